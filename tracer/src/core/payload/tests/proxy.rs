//! What a proxy sends before its client's bytes.

use upload_protocol::{
    End::{Client, Server},
    timeline::Protocol,
};

use super::{defects, feed_cut, text};

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x30\x39\0\x50";
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const REQUEST: &[u8] = b"PUT /f HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";

#[test]
fn a_request_behind_a_header_is_found_wherever_it_is_cut() {
    let check = |header: &[u8], proxied: Option<(&str, &str)>| {
        let all = [header, REQUEST].concat();
        let response = text(Server, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        for cut in 0..all.len() {
            let turns = [(Client, all.clone()), response.clone()];
            let payload = feed_cut(&turns, |length| {
                if length == all.len() {
                    vec![cut]
                } else {
                    Vec::new()
                }
            });
            let context = format!("{} cut at {cut}", header.escape_ascii());
            let proxied = proxied.map(|(client, server)| {
                let address = |text: &str| text.parse().unwrap();
                (address(client), address(server))
            });
            assert_eq!(payload.proxied(), proxied, "{context}");
            assert_eq!(payload.protocol(), Protocol::Http1, "{context}");
            assert_eq!(defects(&payload), Vec::<&str>::new(), "{context}");
            let [exchange] = payload.exchanges() else {
                panic!("{context}: {:?}", payload.exchanges());
            };
            let request = exchange.request.as_ref().unwrap();
            assert_eq!(request.target, "/f", "{context}");
            assert_eq!(request.content_length, Some(3), "{context}");
            let offset = (all.len() - 3) as u64;
            assert_eq!(request.body_offset, Some(offset), "{context}");
            assert!(request.body_sent, "{context}");
            assert_eq!(exchange.response.as_ref().unwrap().status, 201, "{context}");
        }
    };
    check(b"", None);
    check(b"\r\n", None);
    check(b"\r\n\r\n", None);
    check(
        b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 80\r\n",
        Some(("192.0.2.1:12345", "192.0.2.2:80")),
    );
    check(
        b"PROXY TCP6 2001:db8::1 2001:db8::2 12345 443\r\n",
        Some(("[2001:db8::1]:12345", "[2001:db8::2]:443")),
    );
    check(b"PROXY UNKNOWN\r\n", None);
    check(V2, Some(("192.0.2.1:12345", "192.0.2.2:80")));
    check(V2_LOCAL, None);
}

#[test]
fn methods_that_begin_like_a_header_are_no_header() {
    for method in ["P", "PUT", "POST", "PATCH", "PROPFIND", "PROPPATCH"] {
        let head = format!("{method} / HTTP/1.1\r\n\r\n");
        let turns = [text(Client, &head)];
        let payload = feed_cut(&turns, |length| (0..length).collect());
        let request = payload.exchanges()[0].request.as_ref().unwrap();
        assert_eq!(request.method, method);
    }
}
