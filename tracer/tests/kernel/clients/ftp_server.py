# An FTP server that says which files came whole: one JSON line each.
import json, logging, os, sys, threading, warnings

warnings.simplefilter("ignore")  # of asyncore, which Python 3.12 drops
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer


def say(said):
    # At once: threads share the line.
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


logging.disable()


class Handler(FTPHandler):
    def on_file_received(self, file):
        said = {"name": os.path.basename(file), "bytes": os.path.getsize(file)}
        say(said)


port, folder = sys.argv[1:]
# Each transfer in passive mode to the same port.
Handler.passive_ports = [2120]
authorizer = DummyAuthorizer()
authorizer.add_anonymous(folder, perm="elradfmw")
Handler.authorizer = authorizer
server = FTPServer(("127.0.0.1", int(port)), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
os._exit(0)
