# moto's S3, which says what came: one JSON line a request.
import json, logging, sys, threading
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server


def say(said):
    # At once: threads share the line.
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


logging.getLogger("werkzeug").disabled = True
moto = DomainDispatcherApplication(create_backend_app)


def app(environ, start_response):
    def started(status, *rest):
        said = {
            "port": int(environ["REMOTE_PORT"]),
            "method": environ["REQUEST_METHOD"],
            "target": environ["RAW_URI"],
            "bytes": int(environ.get("CONTENT_LENGTH") or 0),
            "chunked": "HTTP_TRANSFER_ENCODING" in environ,
            "status": int(status.split()[0]),
        }
        say(said)
        return start_response(status, *rest)

    return moto(environ, started)


server = make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
