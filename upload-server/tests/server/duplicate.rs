//! Names that are taken, and two uploads for one name.

use std::fs;

use upload_server::{record::Outcome, server::OnDuplicate};

use crate::{
    client::{Client, Response, chunked_put_head, expecting_put_head, put_head},
    much_work::ticks,
    process::{Running, tempdir},
    test_server::TestServer,
};

async fn serve(on_duplicate: OnDuplicate) -> TestServer {
    TestServer::start_with(|config| config.on_duplicate = on_duplicate).await
}

fn read(server: &TestServer, name: &str) -> String {
    fs::read_to_string(server.path(name)).unwrap()
}

#[tokio::test]
async fn another_name() {
    let server = serve(OnDuplicate::Rename).await;
    let mut feed = server.feed().await;
    let mut client = server.connect().await;
    for (content, name, location) in [
        ("one", "cat.png", "files/cat.png"),
        ("two", "cat (1).png", "files/cat%20%281%29.png"),
        ("three", "cat (2).png", "files/cat%20%282%29.png"),
    ] {
        let response = client.put("cat.png", content.as_bytes()).await;
        assert_eq!(response.status, 201);
        assert!(response.text().contains(&format!("\"name\":\"{name}\"")));
        let location = format!("location: {location}\r\n");
        assert!(response.head.contains(&location), "{}", response.head);
        let upload = feed.upload().await;
        assert_eq!(upload.name.as_deref(), Some(name));
        assert_eq!(read(&server, name), content);
    }
    assert_eq!(server.names().len(), 3);
}

#[tokio::test]
async fn another_name_than_a_directorys() {
    let server = serve(OnDuplicate::Rename).await;
    fs::create_dir(server.path("taken")).unwrap();
    let mut client = server.connect().await;
    assert_eq!(client.put("taken", b"abc").await.status, 201);
    assert_eq!(read(&server, "taken (1)"), "abc");
}

#[tokio::test]
async fn the_older_file_is_lost() {
    let server = serve(OnDuplicate::Overwrite).await;
    let mut client = server.connect().await;
    assert_eq!(client.put("file", b"a longer one").await.status, 201);
    assert_eq!(client.put("file", b"newer").await.status, 200);
    assert_eq!(read(&server, "file"), "newer");
    assert_eq!(server.names(), ["file"]);
}

#[tokio::test]
async fn refused_before_the_body() {
    let server = serve(OnDuplicate::Error).await;
    let mut feed = server.feed().await;
    fs::write(server.path("file"), "older").unwrap();
    let mut client = server.connect().await;
    client.send(expecting_put_head("file", 5)).await;
    let response = client.response().await;
    assert_eq!(response.status, 409);
    let detail = response.problem()["detail"].to_string();
    assert!(detail.contains("exists already"), "{detail}");
    assert_eq!(feed.upload().await.outcome, Outcome::Refused);
    assert_eq!(read(&server, "file"), "older");
    assert_eq!(server.names(), ["file"]);
}

/// Begins two uploads of one name, and ends them one after another.
async fn race(server: &TestServer) -> (Response, Response) {
    let begin = async || {
        let mut client = server.connect().await;
        client.send(expecting_put_head("file", 5)).await;
        assert_eq!(client.response().await.status, 100);
        client
    };
    let end = async |mut client: Client, content| {
        client.send(content).await;
        client.response().await
    };
    let (one, two) = (begin().await, begin().await);
    (end(two, "two..").await, end(one, "one..").await)
}

#[tokio::test]
async fn of_two_that_race() {
    let server = serve(OnDuplicate::Error).await;
    let (first, second) = race(&server).await;
    assert_eq!((first.status, second.status), (201, 409));
    second.problem();
    assert_eq!(read(&server, "file"), "two..");
    assert_eq!(server.names(), ["file"]);

    let server = serve(OnDuplicate::Overwrite).await;
    let (first, second) = race(&server).await;
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!(read(&server, "file"), "one..");
    assert_eq!(server.names(), ["file"]);

    let server = serve(OnDuplicate::Rename).await;
    let (first, second) = race(&server).await;
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(read(&server, "file"), "two..");
    assert_eq!(read(&server, "file (1)"), "one..");
    assert_eq!(server.names(), ["file", "file (1)"]);
}

/// In no order: each client whose upload succeeded has its file.
#[tokio::test]
async fn many_at_once_get_correct_answers() {
    for on_duplicate in [OnDuplicate::Error, OnDuplicate::Rename] {
        let server = serve(on_duplicate).await;
        let mut clients = Vec::new();
        for number in 0..20 {
            let mut client = server.connect().await;
            clients.push(tokio::spawn(async move {
                client.send(chunked_put_head("file")).await;
                client.send(format!("2\r\n{number:02}\r\n0\r\n\r\n")).await;
                (number, client.response().await)
            }));
        }
        let mut stored = Vec::new();
        for client in clients {
            let (number, response) = client.await.unwrap();
            match response.status {
                201 => stored.push(format!("{number:02}")),
                status => assert_eq!((status, on_duplicate), (409, OnDuplicate::Error)),
            }
        }
        let mut found: Vec<_> = server
            .names()
            .iter()
            .map(|name| read(&server, name))
            .collect();
        found.sort();
        stored.sort();
        assert_eq!(found, stored);
        let expected = match on_duplicate {
            OnDuplicate::Error => 1,
            _ => 20,
        };
        assert_eq!(found.len(), expected);
    }
}

#[tokio::test]
async fn follows_the_command_line() {
    for (arguments, status) in [
        (vec![], 201),
        (vec!["--on-duplicate", "rename"], 201),
        (vec!["--on-duplicate", "overwrite", "--fsync"], 200),
        (vec!["--on-duplicate", "error"], 409),
    ] {
        let root = tempdir();
        let server = Running::start_with(&arguments, root.path()).await;
        let mut client = Client::connect(server.address).await;
        assert_eq!(client.put("file", b"one").await.status, 201);
        let again = client.put("file", b"two").await.status;
        assert_eq!(again, status, "{arguments:?}");
    }
}

/// To look at each of them takes longer with each file.
#[tokio::test]
async fn another_name_among_thousands() {
    const TAKEN: usize = 6_000;
    const UPLOADS: usize = 60;
    let root = tempdir();
    let server = Running::start(root.path()).await;
    let files = root.path().join("files");
    fs::write(files.join("cat.png"), "").unwrap();
    for number in 1..=TAKEN {
        fs::write(files.join(format!("cat ({number}).png")), "").unwrap();
    }
    let mut client = Client::connect(server.address).await;
    let begun = ticks(&server);
    for number in 1..=UPLOADS {
        client.send(put_head(&format!("{number}"), 3) + "new").await;
        assert_eq!(client.response().await.status, 201);
    }
    let usual = ticks(&server) - begun;

    let begun = ticks(&server);
    for number in 1..=UPLOADS {
        client.send(put_head("cat.png", 3) + "new").await;
        let response = client.response().await;
        let name = format!("\"name\":\"cat ({}).png\"", TAKEN + number);
        assert!(response.text().contains(&name), "{}", response.text());
    }
    let took = ticks(&server) - begun;
    assert!(took < 3 * usual + 20, "{took} instead of {usual} ticks");
}
