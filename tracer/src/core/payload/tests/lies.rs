//! Malformed TLS and HTTP.

use upload_protocol::{
    End::{Client, Server},
    timeline::Protocol,
};

use super::{captured, defects, feed, feed_head, feed_whole, text};
use crate::core::payload::Payload;

const HELLO: &str = include_str!("captured/tls13.hex");

/// The captured ClientHello, with some bytes set.
fn hello_with(bytes: &[(usize, u8)]) -> Vec<super::Turn> {
    let mut turns = captured(HELLO);
    turns.truncate(1);
    for (at, byte) in bytes {
        turns[0].1[*at] = *byte;
    }
    turns
}

fn check(turns: &[super::Turn], expected: Protocol, malformed: &[&str]) {
    let payload = feed_whole(turns);
    assert_eq!(payload.protocol(), expected);
    assert_eq!(defects(&payload), malformed);
}

#[test]
fn tls_lengths() {
    let tls = Protocol::Tls;
    let long = "a TLS record longer than one may be";
    check(&hello_with(&[]), tls, &[]);
    check(&hello_with(&[(3, 0x41), (4, 0x01)]), tls, &[long]);
    check(&hello_with(&[(3, 0x41), (4, 0x00)]), tls, &[]);
    check(
        &hello_with(&[(3, 0), (4, 0)]),
        tls,
        &["an empty TLS handshake record"],
    );
    let unfit = "a ClientHello whose lengths do not fit";
    // The session id, the cipher suites, the compressions, the extensions, the first extension.
    for at in [43, 77, 86, 89, 93] {
        check(&hello_with(&[(at, 0xfe)]), tls, &[unfit]);
    }
}

#[test]
fn a_message_that_its_records_do_not_hold() {
    let mut turns = hello_with(&[(7, 0x20)]);
    turns.push((Client, b"\x14\x03\x03\x00\x01\x01".to_vec()));
    let cut_off = "a TLS handshake message cut off by another record";
    check(&turns, Protocol::Tls, &[cut_off]);
}

#[test]
fn something_else_where_a_record_should_begin() {
    let mut turns = hello_with(&[]);
    turns.push(text(Server, "HTTP/1.1 400 Bad Request\r\n\r\n"));
    let other = "something else where a TLS record should begin";
    check(&turns, Protocol::Tls, &[other]);
    turns.push((Client, b"\x17\x03\x03\xff\xff".to_vec()));
    check(
        &turns,
        Protocol::Tls,
        &[other, "a TLS record longer than one may be"],
    );
}

#[test]
fn alerts_and_cipher_changes() {
    let mut turns = hello_with(&[]);
    turns.push((Server, b"\x15\x03\x03\x00\x03\x02\x28\x00".to_vec()));
    turns.push((Client, b"\x14\x03\x03\x00\x02\x01\x01".to_vec()));
    let expected = [
        "a TLS alert that is not two bytes",
        "a ChangeCipherSpec that is not one byte",
    ];
    check(&turns, Protocol::Tls, &expected);
}

#[test]
fn http() {
    let get = text(Client, "GET / HTTP/1.1\r\n\r\n");
    let no_response = "something else where an HTTP response should begin";
    check(
        &[
            get.clone(),
            (Server, b"\x15\x03\x01\x00\x02\x02\x46".to_vec()),
        ],
        Protocol::Http1,
        &[no_response],
    );
    let no_request = "something else where an HTTP request should begin";
    check(&[text(Client, "GET /\0")], Protocol::Http1, &[no_request]);
    check(&[get, text(Client, "\0\0")], Protocol::Http1, &[no_request]);
    let check_fields = |fields: &str, expected: &str| {
        let head = format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
        check(&[text(Client, &head)], Protocol::Http1, &[expected]);
    };
    check_fields("Content-Length: x", "Content-Length not a number");
    check_fields(
        "Content-Length: 99999999999999999999",
        "Content-Length not a number",
    );
    check_fields(
        "Content-Length: 1\r\nContent-Length: 2",
        "two different Content-Lengths",
    );
    check_fields("no field", "a line of an HTTP head that is no field");
    check_fields("\u{1}", "an HTTP head that is not text, or too long");
    let request = text(Client, "GET / HTTP/1.1\r\n\r\n");
    check(
        &[request, text(Server, "bye\n")],
        Protocol::Http1,
        &["something else where an HTTP response should begin"],
    );
    check_fields(
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "a chunk without a size",
    );
}

/// Only a damaged recording has offsets like these.
#[test]
fn at_the_end_of_all_numbers() {
    let mut payload = Payload::default();
    let head = b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n";
    feed(&mut payload, 1, Client, 0, head);
    let body = u64::MAX - 3;
    feed_head(&mut payload, 2, Client, head.len() as u64, 9, b"");
    feed(&mut payload, 3, Server, body, b"HTTP/1.1 200 OK\r\n\r\n");
    feed(&mut payload, 4, Client, body, b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(payload.protocol(), Protocol::Http1);
}
