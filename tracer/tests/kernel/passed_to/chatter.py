"""Two processes that exchange 10,000 messages over a Unix socket: chatter.py PATH. Prints `over` after that."""
import os
import socket
import sys

listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
if os.fork() == 0:
    peer, _ = listener.accept()
    while message := peer.recv(4096):
        peer.sendall(message)
    os._exit(0)
print("ready")
other = socket.socket(socket.AF_UNIX)
other.connect(sys.argv[1])
for _ in range(10_000):
    other.sendall(b"a message of some bytes")
    other.recv(4096)
print("over")
sys.stdin.read()
