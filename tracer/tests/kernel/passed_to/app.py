"""An HTTP server at a Unix socket, which reads each body and answers: app.py PATH [hold].

With `hold` it never answers, and prints `held` instead. Ends when its stdin does.
"""
import http.server
import os
import socketserver
import sys
import threading

path, hold = sys.argv[1], "hold" in sys.argv


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if hold:
            print("held")
            threading.Event().wait()
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()


server = Server("\0" + path[1:] if path.startswith("@") else path, Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready")
print(os.getpid())
sys.stdin.read()
