# A WebSocket server that says how long each message is: one JSON line each.
import json, sys, threading
from websockets.sync.server import serve


def say(said):
    # At once: threads share the line.
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def take(connection):
    for message in connection:
        port = connection.remote_address[1]
        say({"port": port, "bytes": len(message)})
        connection.send("stored")


server = serve(take, "127.0.0.1", int(sys.argv[1]), max_size=None)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
