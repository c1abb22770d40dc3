# An HTTP/1.1 server that takes every upload, and says what came: one JSON line a request.
import hashlib, http.server, json, sys, threading


def say(said):
    # At once: threads share the line.
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


class Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            piece = self.rfile.read(min(left, 1 << 18))
            if not piece:
                return
            left -= len(piece)
            yield piece

    def take(self):
        size = sum(len(piece) for piece in self.body())
        self.answer(size, {"PUT": 201, "POST": 200, "PATCH": 204}.get(self.command, 200), [])

    def answer(self, size, status, fields):
        said = {
            "port": self.client_address[1],
            "method": self.command,
            "target": self.path,
            "bytes": size,
            "chunked": "Transfer-Encoding" in self.headers,
            "status": status,
        }
        # Before the client can go on.
        say(said)
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_POST = do_PATCH = do_GET = do_HEAD = take

    def log_message(self, *_):
        pass


class Registry(Sink):
    # The uploads of the OCI distribution specification: POST, PATCH for each chunk, PUT.
    received = {}

    def take(self):
        path, _, query = self.path.partition("?")
        pieces = list(self.body())
        size = sum(map(len, pieces))
        if self.command == "POST":
            path += "7f3a"
            self.received[path] = hashlib.sha256()
            return self.answer(size, 202, [("Location", path), ("Range", "0-0")])
        digest = self.received[path]
        for piece in pieces:
            digest.update(piece)
        if self.command == "PATCH":
            last = self.headers["Content-Range"].split("-")[1]
            return self.answer(size, 202, [("Location", path), ("Range", f"0-{last}")])
        is_whole = query == "digest=sha256:" + digest.hexdigest()
        self.answer(size, 201 if is_whole else 400, [])

    do_PUT = do_POST = do_PATCH = take


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, *_):
        pass


kind = {"sink": Sink, "registry": Registry}[sys.argv[1]]
server = Server(("127.0.0.1", int(sys.argv[2])), kind)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
