//! What `--explain` says, where it would be easily untrue.

use crate::lab::{Lab, run};

/// What is said of the connection of a Python script.
fn explained(script: &str) -> String {
    run(Lab::new().inside(env!("CARGO_BIN_EXE_tracer")).args([
        "--explain",
        "--",
        "python3",
        "-c",
        script,
    ]))
}

/// The line after the one that begins with `step`.
fn sentence<'a>(text: &'a str, step: &str) -> &'a str {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with(step)).unwrap();
    lines.next().unwrap()
}

#[test]
fn each_end_announces_its_own_segments() {
    let text = explained(
        "
import socket
listener = socket.socket()
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
listener.bind(('127.0.0.1', 0))
listener.listen()
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
client.close()
server.close()
",
    );
    let syn = sentence(&text, "SYN ");
    assert!(!syn.contains("1000 bytes"), "{syn}");
    let syn_ack = sentence(&text, "SYN-ACK ");
    assert!(syn_ack.contains("1000 bytes"), "{syn_ack}");
}

#[test]
fn a_body_that_was_sent_unasked() {
    let text = explained(
        r"
import socket
listener = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
client.sendall(b'PUT /f HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n')
server.recv(100)
client.sendall(b'hello')
server.recv(100)
server.sendall(b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n')
client.recv(100)
client.close()
server.close()
",
    );
    let exchange = sentence(&text, "The kernel's smoothed");
    assert!(exchange.starts_with("The client sends"), "{text}");
    assert!(!exchange.contains("only when"), "{exchange}");
    assert!(exchange.contains("before the server sends"), "{exchange}");
}

#[test]
fn what_held_an_upload_back() {
    let text = explained(
        r"
import socket, time
listener = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
client.sendall(b'PUT /f HTTP/1.1\r\nContent-Length: 50000\r\n\r\n' + bytes(50000))
got = 0
while got < 50000:
    got += len(server.recv(65536))
time.sleep(0.6)
server.sendall(b'HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n')
client.recv(100)
client.close()
server.close()
",
    );
    let (_, told) = text.split_once("verdict ").expect(&text);
    let told: Vec<&str> = told.lines().skip(1).map(str::trim).collect();
    assert!(told[0].starts_with("The upload took "), "{text}");
    let cause = "% server_thinks, the server's work: the server had read the whole body";
    assert!(told[1].contains(cause), "{text}");
    let ends = "The kernels of both ends measured the body";
    assert!(told.iter().any(|line| line.starts_with(ends)), "{text}");
    let certain = "The verdict is observed";
    assert!(told.iter().any(|line| line.starts_with(certain)), "{text}");
}

/// Each FIN is on its way for a while: the qdisc lets 66 bytes pass in 66 ms.
#[test]
fn both_ends_close_at_once() {
    let text = explained(
        "
import socket, subprocess
listener = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
slow = 'tc qdisc add dev lo root tbf rate 8kbit burst 1600 latency 10s'
subprocess.run(slow.split(), check=True)
client.sendall(b'x' * 1500)
client.shutdown(socket.SHUT_WR)
server.shutdown(socket.SHUT_WR)
while server.recv(10000): pass
assert client.recv(10) == b''
subprocess.run('tc qdisc del dev lo root'.split(), check=True)
",
    );
    assert!(
        text.contains("so both keep the connection in TIME_WAIT"),
        "{text}"
    );
    assert!(!text.contains("closed first"), "{text}");
}

/// A socket connected to itself: both ends open at once, with the same segments.
#[test]
fn both_ends_open_at_once() {
    let text = explained(
        "
import socket
both = socket.socket()
both.bind(('127.0.0.1', 5000))
both.connect(('127.0.0.1', 5000))
both.close()
",
    );
    assert!(text.contains("  SYN · SYN-ACK  "), "{text}");
    assert!(!text.contains("No answer came in time"), "{text}");
}

/// Two requests on one connection, which HTTP/1.1 keeps alive and HTTP/2 was made for. (curl 7.88
/// reuses a connection of HTTP/2 over TLS only.)
#[test]
fn a_second_request_paid_no_handshake() {
    for (option, reason) in [
        ("--http1.1", "keep-alive"),
        ("--http2", "HTTP/2 carries many on one connection"),
    ] {
        let lab = Lab::new();
        let server = lab.server(&["--tls", "--http2"]);
        let control = lab.control();
        let mut tracer = lab.tracer_alone(&["--explain", "--server", control.to_str().unwrap()]);
        let file = lab.file("file", 1000);
        let file = file.to_str().unwrap();
        let [first, second] =
            ["one", "two"].map(|name| format!("https://{}/{name}", server.address));
        let done = lab.curl(&["-k", option, "-T", file, &first, "-T", file, &second]);
        assert!(done.status.success(), "{done:?}");
        tracer.wait_for_text("termination");
        let text = tracer.stop_text();
        server.stop();
        let sentence_line = text
            .lines()
            .find(|line| line.contains("request 2 on this connection"));
        assert!(sentence_line.unwrap().contains(reason), "{text}");
    }
}
