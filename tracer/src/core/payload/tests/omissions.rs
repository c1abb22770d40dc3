//! Long heads and many requests: what is read, and what is left out.

use upload_protocol::{
    End::{Client, Server},
    timeline::{LeftOut, Omission},
};

use super::{Turn, feed_cut, feed_head, feed_whole, text};
use crate::core::payload::Payload;

const CREATED: &str = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

/// A request whose head has so many bytes, its length in the last field.
fn put(name: &str, head: usize) -> String {
    let start = format!("PUT /{name} HTTP/1.1\r\nHost: h\r\n");
    let end = "Content-Length: 3\r\n\r\n";
    let mut fields = String::new();
    let mut missing = head.saturating_sub(start.len() + end.len());
    while missing > 0 {
        let value = missing.clamp(8, 2000) - 7;
        fields += &format!("X-A: {}\r\n", "b".repeat(value));
        missing = missing.saturating_sub(value + 7);
    }
    start + &fields + end + "abc"
}

fn lengths(payload: &Payload) -> Vec<Option<u64>> {
    let requests = payload.exchanges().iter();
    requests
        .map(|exchange| exchange.request.as_ref().and_then(|it| it.content_length))
        .collect()
}

#[test]
fn a_head_is_read_to_its_end_whatever_its_length() {
    for head in [200, 2000, 2048, 5000, 16_384, 30_000, 60_000, 65_000] {
        for step in [100, 1448, 2048, 65_483] {
            let turns: Vec<Turn> = (0..3)
                .flat_map(|number| {
                    [
                        text(Client, &put(&number.to_string(), head)),
                        text(Server, CREATED),
                    ]
                })
                .collect();
            let payload = feed_cut(&turns, |length| (step..length).step_by(step).collect());
            assert_eq!(lengths(&payload), [Some(3); 3], "{head} by {step}");
            assert_eq!(payload.omissions(), [], "{head} by {step}");
        }
    }
}

#[test]
fn what_is_not_read_of_a_head_is_left_out() {
    let turns = [
        text(Client, &put("long", 70_000)),
        text(Server, CREATED),
        text(Client, &put("next", 100)),
        text(Server, CREATED),
    ];
    let payload = feed_whole(&turns);
    assert_eq!(lengths(&payload), [None, Some(3)]);
    assert_eq!(payload.omissions(), [Omission::counted(LeftOut::Heads, 1)]);
    // The same for a head of which less was captured.
    let mut payload = Payload::default();
    let head = put("cut", 3000);
    let len = u32::try_from(head.len()).unwrap();
    feed_head(&mut payload, 1, Client, 0, len, &head.as_bytes()[..2000]);
    assert_eq!(payload.omissions(), [Omission::counted(LeftOut::Heads, 1)]);
}

#[test]
fn each_of_many_requests_is_handed_out_once() {
    let turns: Vec<Turn> = (0..1500)
        .flat_map(|number| {
            [
                text(Client, &put(&number.to_string(), 100)),
                text(Server, CREATED),
            ]
        })
        .collect();
    let mut payload = Payload::default();
    let mut sent = [0; 2];
    let mut sequences = Vec::new();
    for (mono_ns, (from, bytes)) in (0..).zip(&turns) {
        let sent = &mut sent[usize::from(*from == Server)];
        let len = u32::try_from(bytes.len()).unwrap();
        feed_head(&mut payload, mono_ns, *from, *sent, len, bytes);
        *sent += u64::from(len);
        let finished = payload.take_finished(false);
        sequences.extend(finished.iter().map(|finished| finished.sequence));
    }
    sequences.extend(payload.take_finished(true).iter().map(|it| it.sequence));
    assert_eq!(sequences, (1..=1500).collect::<Vec<_>>());
    assert_eq!(payload.exchanges().len(), 1000);
    assert_eq!(
        payload.omissions(),
        [Omission::counted(LeftOut::Requests, 500)]
    );
}

#[test]
fn another_protocol_begins_after_connect_and_101() {
    let check = |request: &str, response: &str| {
        let turns = [
            text(Client, request),
            text(Server, response),
            text(Client, "\x16\x03\x01"),
        ];
        let expected = (request.len() as u64, response.len() as u64);
        assert_eq!(feed_whole(&turns).unread_from(), Some(expected));
    };
    check(
        "CONNECT h:443 HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 Connection established\r\n\r\n",
    );
    check(
        "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    );
}
