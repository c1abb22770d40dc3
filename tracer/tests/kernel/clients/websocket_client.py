# Each file as a message, over a connection of its own (`each`) or all over one (`one`).
import contextlib, sys
from websockets.sync.client import connect

way, url, *files = sys.argv[1:]


def send(connection, path):
    with open(path, "rb") as file:
        connection.send(file.read())
    assert connection.recv() == "stored"


with contextlib.ExitStack() as stack:
    if way == "one":
        kept = stack.enter_context(connect(url, compression=None))
    for path in files:
        if way == "one":
            send(kept, path)
        else:
            with connect(url, compression=None) as connection:
                send(connection, path)
