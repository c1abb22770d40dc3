"""An HTTP server at a TCP port that sends to another process over a Unix socket, and waits for its word, before it
answers: server.py PORT PATH question|body. It sends a question, or the body.

That process is a child of its own. Ends when its stdin does.
"""
import http.server
import os
import socket
import sys
import threading

port, path, what = int(sys.argv[1]), sys.argv[2], sys.argv[3]

listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
if os.fork() == 0:
    peer, _ = listener.accept()
    while peer.recv(1 << 20):
        peer.sendall(b"yes")
    os._exit(0)
other = socket.socket(socket.AF_UNIX)
other.connect(path)


class Answer(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        other.sendall(body if what == "body" else b"may this client?")
        other.recv(4096)
        self.send_response(201)
        self.end_headers()


server = http.server.HTTPServer(("127.0.0.1", port), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready")
sys.stdin.read()
