//! Which end of a connection sent a segment, as its payload shows.

use upload_protocol::End;

use super::{ftp, http};

/// A TLS record of a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
/// Messages of the handshake (RFC 8446, section 4).
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// The end that sends such payload: a request, the preface of HTTP/2, a ClientHello or a command of FTP comes from
/// the client, a response or a ServerHello from the server. `None` for all else.
#[must_use]
pub fn sender(payload: &[u8]) -> Option<End> {
    if let [HANDSHAKE, 3, 0..=4, _, _, message, ..] = *payload {
        return match message {
            CLIENT_HELLO => Some(End::Client),
            SERVER_HELLO => Some(End::Server),
            _ => None,
        };
    }
    let is_by =
        |end: &End| http::looks_like_head(*end, payload) || ftp::looks_like_command(*end, payload);
    if payload.starts_with(http::PREFACE) {
        return Some(End::Client);
    }
    [End::Client, End::Server].into_iter().find(is_by)
}

#[cfg(test)]
mod tests {
    use upload_protocol::End::{self, Client, Server};

    use super::sender;

    #[test]
    fn payload_shows_its_sender() {
        let data: [(&[u8], Option<End>); 16] = [
            (b"PUT /cat.png HTTP/1.1\r\nHost: a\r\n", Some(Client)),
            (b"GET / HTTP/1.0\n", Some(Client)),
            // A target may be longer than a segment.
            (b"PUT /cut", Some(Client)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Client)),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", Some(Client)),
            (b"PASV\r\n", Some(Client)),
            (b"HTTP/1.1 201 Created\r\n", Some(Server)),
            (b"HTTP/1.1 100 Continue\r\n\r\n", Some(Server)),
            (b"HTTP/1.0 404 Not Found\r\nServer: a", Some(Server)),
            (b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76", Some(Server)),
            // A certificate may be either's; so may application data, and text.
            (b"\x16\x03\x03\x00\x7a\x0b\x00\x00\x76", None),
            (b"\x17\x03\x03\x00\x7a\x01\x00\x00\x76", None),
            (b"\x16\x03\x03\x00\x7a", None),
            (b"220 ready\r\n", None),
            (b"SSH-2.0-OpenSSH\r\n", None),
            (b"", None),
        ];
        for (payload, expected) in data {
            assert_eq!(sender(payload), expected, "{}", payload.escape_ascii());
        }
    }
}
