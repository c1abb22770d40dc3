"""An uploading client and its server, each slow in a way of its own.

ends.py server|client PORT HOST KEY=VALUE ...

Both print `ready`; the client begins once its standard input ends. Both print how long they held the upload
back on purpose: `held CAUSE NANOSECONDS`.

client  bytes, piece, rate (bytes a second), pause and pause_at, stop and stop_at (SIGSTOP), burn (seconds of
        CPU a piece), send_buffer, no_delay, congestion (1 cubic, 2 bbr, 3 reno), expect, requests, idle, grant
server  rate, pause and pause_at, stop and stop_at, receive_buffer, accept, tls_wait, think, give_up, requests,
        grant
both    certificate (a PEM file with its key: TLS)
"""

import fcntl
import os
import select
import signal
import socket
import ssl
import struct
import sys
import time

role, port, host = sys.argv[1], int(sys.argv[2]), sys.argv[3]
texts = dict(pair.split("=", 1) for pair in sys.argv[4:])
certificate = texts.pop("certificate", None)
option = {key: float(value) for key, value in texts.items()}
DONE = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def number(key, default=0):
    return int(option.get(key, default))


def held(cause, seconds):
    print("held", cause, int(seconds * 1e9), flush=True)


def wait(cause, seconds, end=None):
    """Waits; holds nothing back as long as the kernel still has something to send."""
    begun = time.monotonic()
    until = begun + seconds
    while end and unsent(end) and time.monotonic() < until:
        time.sleep(0.001)
        begun = time.monotonic()
    time.sleep(max(0, until - time.monotonic()))
    held(cause, time.monotonic() - begun)


def unsent(end):
    SIOCOUTQNSD = 0x894B
    return struct.unpack("i", fcntl.ioctl(end, SIOCOUTQNSD, bytes(4)))[0]


def stop(cause, seconds):
    """Stops this process; a child wakes it."""
    begun, parent = time.monotonic(), os.getpid()
    child = os.fork()
    if not child:
        time.sleep(seconds)
        os.kill(parent, signal.SIGCONT)
        os._exit(0)
    os.kill(parent, signal.SIGSTOP)
    held(cause, time.monotonic() - begun)
    os.waitpid(child, 0)


def hold(cause, done, end=None):
    """Pauses and stops once, when so much is done."""
    if "pause" in option and done >= number("pause_at"):
        wait(cause, option.pop("pause"), end)
    if "stop" in option and done >= number("stop_at"):
        stop(cause, option.pop("stop"))


def keep_rate(begun, done, rate):
    if rate:
        time.sleep(max(0, begun + done / rate - time.monotonic()))


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def accepted():
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    listener = socket.create_server(
        ("", port), family=socket.AF_INET6, dualstack_ipv6=True, reuse_port=False
    )
    if "receive_buffer" in option:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, number("receive_buffer"))
    print("ready", flush=True)
    if "accept" in option:
        select.select([listener], [], [])
        wait("accept", option["accept"])
    end, _ = listener.accept()
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if certificate:
        if "tls_wait" in option:
            wait("tls", option["tls_wait"])
        end = context.wrap_socket(end, server_side=True)
    return end


def serve():
    end = accepted()
    for _ in range(number("requests", 1)):
        head = b""
        while b"\r\n\r\n" not in head:
            head += end.recv(65536)
        head, rest = head.split(b"\r\n\r\n", 1)
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        begun, got, granted = time.monotonic(), len(rest), 0
        while got < length:
            if "give_up" in option and time.monotonic() - begun > option["give_up"]:
                end.sendall(TIMED_OUT)
                end.close()
                return
            hold("server_not_reading", got)
            piece = end.recv(65536)
            if not piece:
                return
            got += len(piece)
            keep_rate(begun, got, option.get("rate"))
            while "grant" in option and got - granted >= number("grant"):
                granted += number("grant")
                end.sendall(b"+")
        if "think" in option:
            wait("server_thinks", option["think"])
        end.sendall(DONE)
    end.recv(1)


def connected():
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    end = socket.socket(family, kind)
    if "send_buffer" in option:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, number("send_buffer"))
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, number("no_delay", 1))
    cc = {1: b"cubic", 2: b"bbr", 3: b"reno"}.get(number("congestion"))
    if cc:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, cc)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    end.connect(address)
    if certificate:
        end = context.wrap_socket(end)
    return end


def upload():
    print("ready", flush=True)
    sys.stdin.read()
    end = connected()
    for turn in range(number("requests", 1)):
        if turn:
            time.sleep(option.get("idle", 0))
        size, piece = number("bytes"), number("piece", 65536)
        expect = "Expect: 100-continue\r\n" if "expect" in option else ""
        end.sendall(f"PUT /{turn} HTTP/1.1\r\nHost: x\r\n{expect}Content-Length: {size}\r\n\r\n".encode())
        if "expect" in option:
            wait("server_silent", option["expect"])
        begun, sent, granted = time.monotonic(), 0, 2 * number("grant")
        try:
            while sent < size:
                while "grant" in option and sent + piece > granted:
                    grants = end.recv(64)
                    if not grants:
                        return
                    granted += number("grant") * len(grants)
                if "burn" in option:
                    burn(option["burn"])
                end.sendall(bytes(min(piece, size - sent)))
                sent += piece
                hold("client_application", sent, end)
                keep_rate(begun, sent, option.get("rate"))
            answer = end.recv(4096)
            while answer and b"\r\n\r\n" not in answer:
                answer = end.recv(4096)
        except ConnectionError:
            return
    end.close()


serve() if role == "server" else upload()
