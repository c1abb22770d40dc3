//! A process that may open few files: whatever clients hold open, others are answered, and the server waits.

use std::{fs, time::Duration};

use hyper::Request;
use tokio::{
    net::TcpStream,
    process::Command,
    time::{sleep, timeout},
};

use crate::{
    client::{Client, content, expecting_put_head},
    http2,
    much_work::{descriptors, ticks},
    process::{PROGRAM, Running, stderr, tempdir},
    test_server::within_limit,
};

/// How many streams a connection of HTTP/2 may have.
const STREAMS: usize = 100;

#[tokio::test]
async fn clients_that_hold_all_they_can() {
    for limit in [64, 128, 1_024] {
        let root = tempdir();
        let mut limited = Command::new("sh");
        let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
        limited.args(["-c", &script, PROGRAM, "--http2"]);
        let server = Running::start_as(limited, root.path()).await;
        let mut other = Client::connect(server.address).await;
        assert_eq!(other.put("large", &content(2_000_000)).await.status, 201);
        drop(other);
        let mut held = Vec::new();
        let many = limit / 2;
        for number in 0..many {
            let request = match number % 4 {
                0 => String::new(),
                1 => expecting_put_head(&format!("file-{number}"), 1_000),
                2 => "GET /files/large HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
                _ => "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            };
            let mut client = Client::connect(server.address).await;
            client.send(&request).await;
            if !request.is_empty() {
                let status = client.try_status().await.unwrap();
                assert!([100, 200, 503, 429].contains(&status), "{status}");
            }
            held.push(client);
        }
        let mut in_streams = Vec::new();
        for _ in 0..2 {
            let stream = TcpStream::connect(server.address).await.unwrap();
            let mut client = http2::speak(stream).await;
            for number in 0..STREAMS - 1 {
                let (answer, mut body) = http2::put(&mut client, &format!("stream-{number}"));
                body.send_data("begun".into(), false).unwrap();
                in_streams.push((answer, body));
            }
            // Once this is answered, the others are admitted or refused.
            let health = Request::get("http://localhost/healthz").body(()).unwrap();
            let (answer, _) = client.send_request(health, true).unwrap();
            assert_eq!(within_limit(answer).await.unwrap().status(), 200);
        }
        for (answer, _) in &mut in_streams {
            let answered = timeout(Duration::ZERO, answer).await;
            if let Ok(answer) = answered {
                let status = answer.unwrap().status();
                assert!([503, 429].contains(&status.as_u16()), "{status}");
            }
        }
        assert!(descriptors(&server) < limit, "{limit}");

        for _ in 0..3 {
            let mut health = Client::connect(server.address).await;
            health
                .send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .await;
            assert_eq!(health.response().await.status, 200, "{limit}");
        }
        within_limit(idle(&server)).await;
        let log = stderr(root.path());
        assert_eq!(log.matches("cannot accept").count(), 0, "{log}");
        assert_eq!(log.matches("Too many open files").count(), 0, "{log}");

        drop((held, in_streams));
        let last = async {
            loop {
                let mut client = Client::connect(server.address).await;
                if client.put("last", b"whole").await.status == 201 {
                    return;
                }
            }
        };
        within_limit(last).await;
        assert_eq!(fs::read(root.path().join("files/last")).unwrap(), b"whole");
    }
}

/// Completes once the server waits: a loop that does not would take processor time again and again.
async fn idle(server: &Running) {
    loop {
        let before = ticks(server);
        sleep(Duration::from_millis(300)).await;
        if ticks(server) - before < 3 {
            return;
        }
    }
}
