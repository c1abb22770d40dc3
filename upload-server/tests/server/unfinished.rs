//! Unfinished resumable uploads are limited in number: in all, and of one client.

use std::net::SocketAddr;

use base64::{Engine, prelude::BASE64_STANDARD};
use rustix::process::Signal;

use crate::{
    client::{Client, Response},
    held::other_client,
    process::{Running, tempdir},
    tus::{address_of, ask, head, patch},
};

async fn create(client: &mut Client, fields: &str) -> Response {
    let fields = format!("Upload-Length: 4\r\nContent-Length: 0\r\n{fields}");
    client.send(head("POST", "/tus/", &fields)).await;
    client.response().await
}

/// Creates this many, and expects the next one to be refused. Where they are.
async fn create_all(server: SocketAddr, number: usize, option: &str) -> Vec<String> {
    let mut client = Client::connect(server).await;
    let mut addresses = Vec::new();
    for _ in 0..number {
        let created = create(&mut client, "").await;
        assert_eq!(created.status, 201, "{}", created.text());
        addresses.push(address_of(&created));
    }
    assert_refused(&create(&mut client, "").await, 429, option);
    addresses
}

fn assert_refused(response: &Response, status: u16, option: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    let problem = response.problem();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(option), "{detail}");
}

#[tokio::test]
async fn are_limited_also_after_a_restart() {
    const OF_CLIENT: &str = "--max-unfinished-per-client";
    let limits = [OF_CLIENT, "5", "--max-unfinished", "7"];
    let root = tempdir();
    let server = Running::start_with(&limits, root.path()).await;
    let addresses = create_all(server.address, 5, OF_CLIENT).await;
    server.stop_with(Signal::KILL).await;

    let server = Running::start_with(&limits, root.path()).await;
    let address = server.address;
    create_all(address, 0, OF_CLIENT).await;
    let mut other = other_client(address).await;
    let of_other = address_of(&create(&mut other, "").await);
    assert_eq!(create(&mut other, "").await.status, 201);
    assert_refused(&create(&mut other, "").await, 503, "--max-unfinished)");
    assert_eq!(ask(address, "DELETE", &of_other).await.status, 204);

    // One that is finished or cancelled makes room, and those that are left go on.
    assert_eq!(
        patch(address, &addresses[0], 0, b"full", "").await.status,
        204
    );
    assert_eq!(ask(address, "DELETE", &addresses[1]).await.status, 204);
    let more = create_all(address, 2, OF_CLIENT).await;
    for left in addresses[2..].iter().chain(&more) {
        assert_eq!(patch(address, left, 0, b"full", "").await.status, 204);
    }
    create_all(address, 5, OF_CLIENT).await;
}

/// A partial upload has a place until it is in the file.
#[tokio::test]
async fn count_the_parts_of_a_file() {
    const OF_CLIENT: &str = "--max-unfinished-per-client";
    let root = tempdir();
    let server = Running::start_with(&[OF_CLIENT, "3"], root.path()).await;
    let mut client = Client::connect(server.address).await;
    for name in ["one", "two"] {
        let mut parts = Vec::new();
        for _ in 0..3 {
            let part = create(&mut client, "Upload-Concat: partial\r\n").await;
            assert_eq!(part.status, 201, "{}", part.text());
            parts.push(address_of(&part));
        }
        for part in &parts {
            assert_eq!(
                patch(server.address, part, 0, b"part", "").await.status,
                204
            );
        }
        assert_refused(&create(&mut client, "").await, 429, OF_CLIENT);
        let fields = format!(
            "Upload-Concat: final;{}\r\nUpload-Metadata: filename {}\r\nContent-Length: 0\r\n",
            parts.join(" "),
            BASE64_STANDARD.encode(name)
        );
        client = Client::connect(server.address).await;
        client.send(head("POST", "/tus/", &fields)).await;
        assert_eq!(client.response().await.status, 201);
    }
    create_all(server.address, 3, OF_CLIENT).await;
}

#[tokio::test]
async fn free_their_places_when_they_expire() {
    const OF_CLIENT: &str = "--max-unfinished-per-client";
    let root = tempdir();
    let arguments = [OF_CLIENT, "2", "--resume-within", "0.3"];
    let server = Running::start_with(&arguments, root.path()).await;
    let mut client = Client::connect(server.address).await;
    for _ in 0..2 {
        assert_eq!(create(&mut client, "").await.status, 201);
    }
    while create(&mut Client::connect(server.address).await, "")
        .await
        .status
        != 201
    {}
}
