"""Servers and clients of many kinds, that write down whose each connection is.

A line of the truth: end, the client's address and port, the server's port, process id, process
name.
"""
import os, socket, subprocess, sys, threading

kind, host, port, truth, count = (
    sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))


def own_name():
    # The process's: its first thread's.
    with open(f"/proc/{os.getpid()}/comm") as comm:
        return comm.read().strip()


def note(end, peer, pid=None, name=None):
    line = f"{end} {peer[0]} {peer[1]} {port} {pid or os.getpid()} {name or own_name()}\n"
    file = os.open(truth, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


def answer(connection, peer):
    note("server", peer)
    connection.recv(10)
    connection.sendall(b"hello to you")
    connection.close()


def listen():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((host, port))
    s.listen(500)
    return s


def threads(s):
    for _ in range(count):
        threading.Thread(target=answer, args=s.accept()).start()


def forks(s):
    for _ in range(count):
        connection, peer = s.accept()
        if os.fork() == 0:
            answer(connection, peer)
            os._exit(0)
        connection.close()
    for _ in range(count):
        os.wait()


def workers(s):
    # They accept what their parent listens for.
    for _ in range(5):
        if os.fork() == 0:
            for _ in range(count // 5):
                answer(*s.accept())
            os._exit(0)
    for _ in range(5):
        os.wait()


def speaks_first(s):
    for _ in range(count):
        connection, peer = s.accept()
        note("server", peer)
        connection.sendall(b"220 ready\n")
        connection.close()


def call():
    c = socket.create_connection((host, port))
    note("client", c.getsockname())
    try:
        c.sendall(b"hello")
        while c.recv(100):
            pass
    except ConnectionError:
        # Who closes before it has read everything resets the connection.
        pass
    c.close()


def in_threads():
    callers = [threading.Thread(target=call) for _ in range(count)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()


def in_children():
    for _ in range(count):
        if os.fork() == 0:
            call()
            os._exit(0)
        os.wait()


def by(name, arguments, peer):
    for number in range(count):
        own = ("0.0.0.0", int(truth.rsplit("-", 1)[1]) + number)
        process = subprocess.Popen(
            arguments(own[1]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        note("client", (peer, own[1]), process.pid, name)
        process.wait()


if kind == "curl":
    source = os.environ["SOURCE"]
    by("curl", lambda own: ["curl", "-s", "--http0.9", "--local-port", str(own),
                            f"http://{host}:{port}/"], source)
elif kind in ("in_threads", "in_children"):
    {"in_threads": in_threads, "in_children": in_children}[kind]()
else:
    s = listen()
    print("ready", flush=True)
    {"threads": threads, "forks": forks, "workers": workers, "speaks_first": speaks_first}[kind](s)
