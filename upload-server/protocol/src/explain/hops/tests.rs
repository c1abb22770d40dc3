use super::{hop_remarks, hops, passed_on};
use crate::timeline::{Certainty, HopEvidence, PassedOn, TlsVersion, UploadHop};

const TLS: Option<TlsVersion> = Some(TlsVersion::TLS_1_3);

fn hop(client: &str, server: &str, tls: Option<TlsVersion>) -> UploadHop {
    let mut hop = UploadHop {
        tls,
        ..UploadHop::default()
    };
    hop.client.owner.comm = Some(client.into());
    hop.server.owner.comm = Some(server.into());
    hop
}

/// A TLS front that receives all of an upload before it passes anything on.
fn buffered() -> [UploadHop; 2] {
    [
        UploadHop {
            request_ns: Some(13_500_000_000),
            wait_ns: Some(100_000_000),
            share: Some(1.0),
            bytes: Some(1_200_000_000),
            passed_on: Some(PassedOn::Buffered),
            held_ns: Some(13_000_000_000),
            evidence: vec![HopEvidence::Connect, HopEvidence::Response],
            certainty: Certainty::Observed,
            ..hop("curl", "nginx", TLS)
        },
        UploadHop {
            request_ns: Some(500_000_000),
            wait_ns: Some(80_000_000),
            share: Some(0.0426),
            bytes: Some(1_200_000_000),
            certainty: Certainty::Observed,
            ..hop("nginx", "upload-server", None)
        },
    ]
}

#[test]
fn what_a_proxy_made_of_it() {
    let check = |how, held_ns, expected: Option<&str>| {
        let hop = UploadHop {
            passed_on: how,
            held_ns,
            ..hop("curl", "nginx", None)
        };
        assert_eq!(passed_on(&hop).as_deref(), expected);
    };
    check(None, None, None);
    check(Some(PassedOn::Streamed), Some(1_000), None);
    check(
        Some(PassedOn::Streamed),
        Some(250_000_000),
        Some("nginx passed it on as it came, and began 250 ms after its first byte"),
    );
    check(
        Some(PassedOn::Buffered),
        Some(13_500_000_000),
        Some(
            "nginx received all of it before it passed anything on (request buffering): 13.5 s in which the next server saw nothing",
        ),
    );
}

#[test]
fn a_row_remarks_what_is_known_and_worth_it() {
    let check = |hop: &UploadHop, is_last, expected: &[&str]| {
        assert_eq!(hop_remarks(hop, is_last), expected);
    };
    let [front, back] = buffered();
    check(
        &front,
        false,
        &["TLS 1.3", "1.2 GB", "body 13.5 s", "88.8 MB/s"],
    );
    check(
        &back,
        true,
        &["1.2 GB", "body 500 ms", "2.4 GB/s", "wait 80.0 ms"],
    );
    let short = UploadHop {
        request_ns: Some(0),
        wait_ns: Some(400_000),
        bytes: Some(5),
        ..UploadHop::default()
    };
    check(&short, true, &["5 B"]);
    let endless = UploadHop {
        request_ns: Some(1_000_000),
        bytes: Some(u64::MAX),
        ..UploadHop::default()
    };
    let most = "18446744 TB";
    let remarks = [most, "body 1.0 ms", &format!("{most}/s")];
    check(&endless, true, &remarks);
    check(&UploadHop::default(), true, &[]);
}

#[test]
fn a_tls_front_that_buffers() {
    assert_eq!(
        hops(&buffered()),
        [
            "The upload went over 2 TCP connections: hop 1 from curl to nginx, hop 2 from nginx to upload-server.",
            "Each has its own three phases: a handshake, its use with windows and losses of its own, and a close. No segment goes from one to the next: the process between reads from one socket, and sends on the other.",
            "On hop 1, HTTP is within TLS 1.3: the handshake of TLS follows that of TCP, and then a capture shows encrypted records alone, of the request and of the response.",
            "On hop 2 no TLS was seen. As far as that shows, TLS ends at nginx: it decrypts what it receives, and sends the request on in clear text.",
            "From hop 1 to hop 2: nginx received all of it before it passed anything on (request buffering): 13.0 s in which the next server saw nothing.",
            "From the first byte of the request to the first byte of the response passed 13.6 s on hop 1, 580 ms on hop 2 (4 %); the time of a hop lies within that of the hop before it.",
            "Of the last hop's time, 80.0 ms passed between the last byte of the request and the first byte of the response: upload-server was at work.",
            "Hop 1 carried the same upload as hop 2 because a thread read from this connection, and opened the next one; a thread read the response from the next one, and sent on this one. That was observed.",
        ]
    );
}

/// Which hops are encrypted, and what that means.
#[test]
fn where_tls_begins_and_ends() {
    let check = |versions: &[Option<TlsVersion>], expected: &[&str]| {
        let chain = versions.iter().map(|tls| hop("front", "back", *tls));
        let sentences = hops(&chain.collect::<Vec<_>>()).join(" ");
        let mut rest = sentences.as_str();
        for part in expected {
            let (_, after) = rest.split_once(part).expect(&sentences);
            rest = after;
        }
        let named =
            sentences.matches("TLS was seen").count() + sentences.matches("TLS 1.3").count();
        assert_eq!(named, expected.len(), "{sentences}");
    };
    check(&[None, None], &["TLS was seen on none of them"]);
    check(&[None, None, None], &["TLS was seen on none of them"]);
    check(
        &[TLS, TLS],
        &[
            "On hop 1, HTTP is within TLS 1.3",
            "Hop 2 has TLS 1.3, too: either back ends TLS, has the clear text, and encrypts it anew, or it passes on the encrypted bytes as they are.",
        ],
    );
    check(
        &[None, TLS],
        &[
            "On hop 1 no TLS was seen: as far as that shows, HTTP is in clear text there.",
            "On hop 2, HTTP is within TLS 1.3: back encrypts what it sends on.",
        ],
    );
    check(
        &[TLS, None, None],
        &[
            "On hop 1, HTTP is within TLS 1.3",
            "On hop 2 no TLS was seen. As far as that shows, TLS ends at back",
        ],
    );
    check(
        &[TLS, None, TLS],
        &[
            "On hop 1, HTTP is within TLS 1.3",
            "On hop 2 no TLS was seen. ",
            "On hop 3, HTTP is within TLS 1.3: back encrypts what it sends on.",
        ],
    );
}

/// Three hops, of which nothing is known but that they belong together.
#[test]
fn what_is_unknown_is_called_unknown() {
    let mut chain = [(); 3].map(|()| UploadHop::default());
    chain[0].certainty = Certainty::Inferred;
    chain[0].evidence = vec![HopEvidence::Target];
    chain[0].passed_on = Some(PassedOn::Streamed);
    assert_eq!(
        hops(&chain)[2..],
        [
            "TLS was seen on none of them: as far as that shows, HTTP is in clear text all the way, and a capture of any of them has the file.",
            "From hop 1 to hop 2: the process between passed it on as it came.",
            "Whether the process between passed it on to hop 3 as it came, or after all of it had come, is not known.",
            "How long it took is not known of hop 1, hop 2, hop 3.",
            "Hop 1 carried the same upload as hop 2 because both requests have the same method and target. That is inferred: it is likely, and another upload at the same time could look alike.",
            "Hop 2 carried the same upload as hop 3; the reason is not known here. How certain that is, is not known.",
        ]
    );
    let sentences = hops(&chain);
    assert_eq!(
        sentences[0],
        "The upload went over 3 TCP connections: hop 1 from an unknown process to an unknown process, hop 2 from an unknown process to an unknown process, hop 3 from an unknown process to an unknown process."
    );
}
