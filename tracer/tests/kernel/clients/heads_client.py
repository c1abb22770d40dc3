# Requests with heads of so many bytes, whose last field is Content-Length: the first and the last of
# `count` on each connection.
import socket, sys

port, count, body_bytes, pieces, *heads = map(int, sys.argv[1:])


def request(name, head_bytes):
    start = f"PUT /{name} HTTP/1.1\r\nHost: localhost\r\n"
    end = f"Content-Length: {body_bytes}\r\n\r\n"
    fields = ""
    number = 0
    # No field is longer than servers take.
    while (room := head_bytes - len(start + fields + end)) > 0:
        name = f"X-Token-{number}: "
        fields += name + "t" * min(max(1, room - len(name) - 2), 7000) + "\r\n"
        number += 1
    return (start + fields + end).encode()


def answer(connection):
    said = b""
    while b"\r\n\r\n" not in said:
        more = connection.recv(65536)
        assert more, said
        said += more
    assert said.startswith(b"HTTP/1.1 201"), said


for head in heads:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for number in range(1, count + 1):
        is_long = number in (1, count)
        sent = request(f"h{head}-{number}", head if is_long else 0) + b"x" * body_bytes
        step = -(-len(sent) // pieces)
        for start in range(0, len(sent), step):
            connection.sendall(sent[start : start + step])
        answer(connection)
    connection.close()
