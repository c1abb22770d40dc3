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
    assert!(
        exchange.contains("before the server has said"),
        "{exchange}"
    );
}
