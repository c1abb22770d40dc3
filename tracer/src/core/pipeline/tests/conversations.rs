//! Conversations of a capture, from their packets to their timelines.

use etherparse::{PacketBuilder, TcpOptions};
use upload_protocol::{
    End,
    timeline::{Bytes, Timeline},
};

use crate::core::{
    input::{Input, Tick},
    output::Output,
    packet::Packet,
    pipeline::Pipeline,
};

/// LINKTYPE_RAW: an IP header is first.
const RAW: u16 = 101;

/// A segment: who sent it, its flags, its relative numbers, its payload. `S` is SYN, `F` FIN, `R` RST; all but the first
/// SYN have ACK.
struct Sent(End, &'static str, u32, u32, &'static [u8]);

fn packet(Sent(from, flags, seq, ack, payload): &Sent) -> Vec<u8> {
    let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let (source, destination, ports, base) = match from {
        End::Client => (client, server, (40_000, 80), (1000, 5000)),
        End::Server => (server, client, (80, 40_000), (5000, 1000)),
    };
    let mut tcp = PacketBuilder::ipv4(source, destination, 64)
        .tcp(ports.0, ports.1, base.0 + seq, 65_000)
        .options_raw(TcpOptions::default().as_slice())
        .unwrap();
    if *flags != "S" {
        tcp = tcp.ack(base.1 + ack);
    }
    for flag in flags.chars() {
        tcp = match flag {
            'S' => tcp.syn(),
            'F' => tcp.fin(),
            'R' => tcp.rst(),
            _ => tcp,
        };
    }
    let mut bytes = Vec::new();
    tcp.write(&mut bytes, payload).unwrap();
    bytes
}

fn timeline(segments: &[Sent]) -> Timeline {
    let mut pipeline = Pipeline::new(false);
    let mut outputs = Vec::new();
    let mut mono_ns = 0;
    for segment in segments {
        mono_ns += 1_000_000;
        let tick = Tick {
            mono_ns,
            ..Tick::default()
        };
        pipeline.advance(Input::Tick(tick), &mut outputs);
        let bytes = packet(segment);
        let packet = Packet {
            mono_ns,
            capture: 0,
            link_type: RAW,
            length: u32::try_from(bytes.len()).unwrap(),
            bytes: bytes.into(),
        };
        pipeline.advance(Input::Packet(packet), &mut outputs);
    }
    pipeline.advance(Input::Shutdown, &mut outputs);
    let timelines = outputs.into_iter().filter_map(|output| match output {
        Output::Timeline(timeline) => Some(*timeline),
        _ => None,
    });
    timelines.last().unwrap()
}

const HANDSHAKE: [Sent; 3] = [
    Sent(End::Client, "S", 0, 0, b""),
    Sent(End::Server, "S.", 0, 1, b""),
    Sent(End::Client, ".", 1, 1, b""),
];

/// The client closes its direction, gets more, and resets the connection: no FIN came that would count.
#[test]
fn a_reset_in_fin_wait_2_is_no_fin() {
    let [syn, syn_ack, ack] = HANDSHAKE;
    let timeline = timeline(&[
        syn,
        syn_ack,
        ack,
        Sent(End::Client, ".", 1, 1, b"question"),
        Sent(End::Client, "F.", 9, 1, b""),
        Sent(End::Server, ".", 1, 10, b"answer"),
        Sent(End::Client, "R.", 10, 7, b""),
    ]);
    let bytes = Bytes {
        client_to_server: Some(8),
        server_to_client: Some(6),
    };
    assert_eq!(timeline.bytes, bytes);
}

/// A form's file is an upload with its name, and the response has its length.
#[test]
fn a_file_in_a_form() {
    let [syn, syn_ack, ack] = HANDSHAKE;
    let request = b"POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 76\r\n\r\n\
        --x\r\nContent-Disposition: form-data; name=f; filename=\"a\x1b.txt\"\r\n\r\n1\r\n--x--\r\n";
    let response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let received = 1 + u32::try_from(request.len()).unwrap();
    let timeline = timeline(&[
        syn,
        syn_ack,
        ack,
        Sent(End::Client, ".", 1, 1, request),
        Sent(End::Server, ".", 1, received, response),
    ]);
    assert_eq!(timeline.uploads.len(), 1, "{:?}", timeline.uploads);
    let upload = &timeline.uploads[0];
    assert_eq!(upload.name.as_deref(), Some("a\\u{1b}.txt"));
    assert_eq!((upload.bytes, upload.status), (Some(1), Some(200)));
    let exchange = &timeline.exchanges()[0];
    assert_eq!(exchange.upload.as_deref(), Some(upload.id.as_str()));
    assert_eq!(exchange.response.bytes, Some(2));
    assert_eq!(exchange.response.missing_end, None);
}

/// What a conversation's exchange came to: the status, and the bytes of the response's body.
fn answered(segments: &[Sent]) -> (Option<u16>, Option<u64>) {
    let timeline = timeline(segments);
    let response = &timeline.exchanges()[0].response;
    (response.status, response.bytes)
}

#[test]
fn a_connect_that_is_refused_has_a_body() {
    let [syn, syn_ack, ack] = HANDSHAKE;
    let answer = |answer| {
        [
            Sent(End::Client, ".", 1, 1, b"CONNECT h:1 HTTP/1.1\r\n\r\n"),
            Sent(End::Server, ".", 1, 25, answer),
        ]
    };
    let refused = answer(b"HTTP/1.1 400 No\r\nContent-Length: 3\r\n\r\nabc");
    let [request, response] = refused;
    let conversation = [syn, syn_ack, ack, request, response];
    assert_eq!(answered(&conversation), (Some(400), Some(3)));
    let [syn, syn_ack, ack] = HANDSHAKE;
    let [request, response] = answer(b"HTTP/1.1 200 OK\r\n\r\nabc");
    let conversation = [syn, syn_ack, ack, request, response];
    assert_eq!(answered(&conversation), (Some(200), None));
}

#[test]
fn the_text_of_a_reset_is_no_payload() {
    let timeline = timeline(&[
        Sent(End::Client, "S", 0, 0, b""),
        Sent(End::Server, "R.", 0, 1, b"port closed"),
    ]);
    assert_eq!(timeline.bytes.server_to_client.unwrap_or_default(), 0);
}

#[test]
fn what_was_acknowledged_and_not_captured_counts() {
    let [syn, syn_ack, ack] = HANDSHAKE;
    let timeline = timeline(&[
        syn,
        syn_ack,
        ack,
        Sent(End::Server, ".", 1, 1, b"seen"),
        Sent(End::Client, ".", 1, 105, b""),
        Sent(End::Client, "F.", 1, 105, b""),
        Sent(End::Server, "F.", 105, 2, b""),
        Sent(End::Client, "R.", 2, 105, b""),
    ]);
    assert_eq!(timeline.bytes.server_to_client, Some(104));
}

/// Of a conversation captured on both sides of a firewall that changes the server's sequence numbers.
#[test]
fn numbers_of_elsewhere_hide_no_payload() {
    const ELSEWHERE: u32 = 2_563_314_864;
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    let [syn, syn_ack, ack] = HANDSHAKE;
    let conversation = [
        syn,
        syn_ack,
        ack,
        Sent(End::Client, ".", 1, 1, b"GET / HTTP/1.1\r\n\r\n"),
        Sent(End::Server, ".", 1 + ELSEWHERE, 19 + ELSEWHERE, ANSWER),
        Sent(End::Server, ".", 1, 19, ANSWER),
    ];
    assert_eq!(answered(&conversation), (Some(200), Some(3)));
}
