use upload_protocol::timeline::{
    Certainty, Endpoint, HopEvidence, PassedOn, PassedTo, Process, Timeline, TlsVersion, UploadHop,
    UploadSummary,
};

use super::hops;

fn end(comm: &str, pid: u32, port: u16) -> Endpoint {
    Endpoint {
        port,
        owner: Process {
            pid: Some(pid),
            comm: Some(comm.into()),
            ..Process::default()
        },
        addr: [127, 0, 0, 1].into(),
        ..Endpoint::default()
    }
}

/// Through a TLS front that receives all of the upload before it passes anything on.
fn buffered() -> Vec<UploadHop> {
    let begins = 5_000_000_000;
    vec![
        UploadHop {
            client: end("curl", 4242, 50944),
            server: end("nginx", 811, 443),
            tls: Some(TlsVersion::TLS_1_3),
            request_mono_ns: Some(begins),
            request_ns: Some(13_000_000_000),
            wait_ns: Some(600_000_000),
            share: Some(1.0),
            bytes: Some(1_200_000_000),
            passed_on: Some(PassedOn::Buffered),
            held_ns: Some(13_000_000_000),
            evidence: vec![HopEvidence::Connect],
            certainty: Certainty::Observed,
            ..UploadHop::default()
        },
        UploadHop {
            client: end("nginx", 811, 42614),
            server: end("upload-server", 900, 5000),
            request_mono_ns: Some(begins + 13_000_000_000),
            request_ns: Some(500_000_000),
            wait_ns: Some(80_000_000),
            share: Some(0.04),
            bytes: Some(1_200_000_000),
            certainty: Certainty::Observed,
            ..UploadHop::default()
        },
    ]
}

fn written(chain: Vec<UploadHop>, explains: bool) -> String {
    let upload = UploadSummary {
        hops: chain,
        ..UploadSummary::default()
    };
    of_upload(upload, explains)
}

fn of_upload(upload: UploadSummary, explains: bool) -> String {
    let timeline = Timeline {
        server: end("nginx", 811, 443),
        uploads: vec![upload],
        ..Timeline::default()
    };
    let mut out = Vec::new();
    hops(&mut out, &timeline, explains, |_| true).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_row_for_each_hop() {
    let bar = "█".repeat(34);
    let expected = format!(
        "  2 hops through nginx[811]
    hop 1      {bar}██    13.6 s   curl[4242] 127.0.0.1:50944 → nginx[811] 127.0.0.1:443    TLS 1.3, 1.2 GB, body 13.0 s, 92.3 MB/s
    hop 2      {:34}█     580 ms   nginx[811] 127.0.0.1:42614 → upload-server[900] 127.0.0.1:5000    1.2 GB, body 500 ms, 2.4 GB/s, wait 80.0 ms
    nginx received all of it before it passed anything on (request buffering): 13.0 s in which the next server saw nothing
",
        ""
    );
    assert_eq!(written(buffered(), false), expected);
}

/// The explanations have what the proxy made of it, too.
#[test]
fn what_the_proxy_made_of_it_is_there_once() {
    let text = written(buffered(), true);
    assert_eq!(text.matches("request buffering").count(), 1, "{text}");
    assert!(
        text.contains("\n      The upload went over 2 TCP connections: hop 1 from curl to nginx")
    );
}

#[test]
fn a_row_without_times() {
    let unknown = || UploadHop {
        certainty: Certainty::Inferred,
        ..UploadHop::default()
    };
    let row = |number: u32| {
        format!(
            "    hop {number}      {:36}         ?   0.0.0.0:? → 0.0.0.0:?\n",
            ""
        )
    };
    let expected = format!(
        "  2 hops through a process (inferred)\n{}{}",
        row(1),
        row(2)
    );
    assert_eq!(written(vec![unknown(), unknown()], false), expected);
}

/// Where TCP shows no more: after the hops, where there are any. A path may have any characters.
#[test]
fn a_unix_socket_is_the_end() {
    let to = |path: &str| {
        Some(Box::new(PassedTo {
            path: path.to_owned(),
            process: Some(end("gunicorn", 900, 0).owner),
            certainty: Certainty::Observed,
            ..PassedTo::default()
        }))
    };
    let alone = UploadSummary {
        passed_to: to("/run/app.sock"),
        ..UploadSummary::default()
    };
    let sentence = "  nginx[811] passed it on to /run/app.sock (gunicorn[900]): a Unix socket, which TCP does not show\n";
    assert_eq!(of_upload(alone.clone(), false), sentence);
    let explained = of_upload(alone, true);
    assert!(
        explained.contains("what TCP can show ends here"),
        "{explained}"
    );
    let with_hops = UploadSummary {
        hops: buffered(),
        passed_to: to("/run/app.sock"),
        ..UploadSummary::default()
    };
    assert!(of_upload(with_hops, false).ends_with(sentence));
    let hidden = UploadSummary {
        passed_to: to("/run/\u{1b}[31m"),
        ..UploadSummary::default()
    };
    assert!(!of_upload(hidden, true).contains('\u{1b}'));
}
