//! Resumable uploads by an independent client: tus-js-client.

use std::fs;

use tokio::process::Command;
use upload_server::record::{FeedLine, Outcome, Upload};

use crate::{
    client::content,
    programs::{node_package, run, script},
    proxy::Proxy,
    test_server::TestServer,
};

/// Uploads content of this length in chunks, over connections that are cut after these numbers of
/// bytes. Returns the record.
async fn upload(length: usize, chunk: &str, cuts: &[u64]) -> Upload {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.address, cuts).await;
    let file = server.path("../sent.bin");
    fs::write(&file, content(length)).unwrap();
    let mut client = Command::new("node");
    client
        .arg(script("server/tus_client.mjs"))
        .arg(node_package("tus-js-client"))
        .arg(format!("http://{}/tus/", proxy.address))
        .arg(file)
        .args(["naïve.bin", chunk]);
    run(&mut client).await;
    assert!(fs::read(server.path("naïve.bin")).unwrap() == content(length));
    assert_eq!(
        server.names().len(),
        2,
        "the file and its upload's description"
    );

    drop(proxy);
    let mut feed = server.feed().await;
    server.stop().await;
    let (mut uploads, mut parts) = (Vec::new(), Vec::new());
    while let Some(line) = feed.next().await {
        match line {
            FeedLine::Upload(upload) => uploads.push(upload),
            FeedLine::Part(part) => parts.push(part),
            _ => {}
        }
    }
    assert_eq!(uploads.len(), 1, "one upload, one record: {uploads:?}");
    let upload = uploads.remove(0);
    assert_eq!(
        (upload.outcome, upload.bytes),
        (Outcome::Complete, length as u64)
    );
    let mut end = 0;
    for part in &upload.connections {
        assert_eq!(part.offset, end);
        end += part.bytes;
    }
    assert_eq!(end, length as u64);
    // Each part was published as it ended, before its response was sent.
    assert_eq!(parts.len(), upload.connections.len());
    for (published, part) in parts.iter().zip(&upload.connections) {
        assert_eq!(published.resumable, parts[0].resumable);
        assert_eq!(published.name.as_deref(), Some("naïve.bin"));
        assert_eq!(published.length, Some(length as u64));
        assert_eq!(
            (
                published.part.cookie,
                published.part.request,
                published.part.offset
            ),
            (part.cookie, part.request, part.offset)
        );
        assert_eq!(published.part.bytes, part.bytes);
        assert_eq!(published.part.times.sent_ns, None);
    }
    upload
}

#[tokio::test]
async fn stores_what_it_sends() {
    assert_eq!(upload(0, "Infinity", &[]).await.connections.len(), 0);
    assert_eq!(upload(1, "Infinity", &[]).await.connections.len(), 1);
    assert_eq!(
        upload(6_000_000, "Infinity", &[]).await.connections.len(),
        1
    );
    assert_eq!(upload(6_000_000, "2000000", &[]).await.connections.len(), 3);
}

#[tokio::test]
async fn goes_on_after_its_connections_break() {
    let upload = upload(9_000_000, "Infinity", &[2_000_000, 3_000_000, 1_000_000]).await;
    let mut cookies: Vec<_> = upload.connections.iter().map(|part| part.cookie).collect();
    cookies.sort();
    cookies.dedup();
    assert_eq!((upload.connections.len(), cookies.len()), (4, 4));
    assert_eq!(upload.connections[3].times, upload.times);
}
