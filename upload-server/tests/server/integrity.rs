//! Every stored file is what was sent, by whichever protocol, and however often the upload broke off. A
//! few hundred uploads of up to 2 MiB; `cargo xtask integrity` runs 10,000 of up to 64 MiB.

use std::{
    env, fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::task::JoinSet;

use crate::{
    client::{Client, chunked_put_head, put_head},
    random::Random,
    test_server::TestServer,
    tus::address_of,
};

const CLIENTS: usize = 8;

/// The largest chunk of a chunked body.
const CHUNK: usize = 100_000;

/// Bytes without a pattern, from which files are made.
struct Pool(Vec<u8>);

/// A file to upload.
struct File<'a> {
    name: String,
    content: &'a [u8],
}

/// How an upload is sent.
#[derive(Clone, Copy)]
enum Way {
    Put,
    Chunked,
    Form,
    Resumable,
}

const WAYS: [Way; 4] = [Way::Put, Way::Chunked, Way::Form, Way::Resumable];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stored_file_is_what_was_sent() {
    let number =
        |name: &str, usual| env::var(name).map_or(usual, |number| number.parse::<usize>().unwrap());
    let uploads = number("INTEGRITY_UPLOADS", 300);
    let largest = number("INTEGRITY_LARGEST", 2 << 20);
    let mut random = Random::new();
    let pool = Arc::new(Pool::new(&mut random, largest));
    let server = Arc::new(TestServer::start().await);
    let begun = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (pool, server, begun) = (Arc::clone(&pool), Arc::clone(&server), Arc::clone(&begun));
        let mut random = random.fork();
        clients.spawn(async move {
            let mut done = Done::default();
            loop {
                let number = begun.fetch_add(1, Ordering::Relaxed);
                if number >= uploads {
                    return done;
                }
                let way = WAYS[number % WAYS.len()];
                let file = pool.file(&mut random, format!("file {number}"));
                done.breaks += upload(server.address, &file, way, &mut random).await;
                let path = server.path(&file.name);
                let stored = tokio::fs::read(&path).await.unwrap();
                assert!(
                    stored == file.content,
                    "{} of {}",
                    file.name,
                    file.content.len()
                );
                fs::remove_file(path).unwrap();
                done.bytes += stored.len();
                done.files += 1;
            }
        });
    }
    let mut all = Done::default();
    for done in clients.join_all().await {
        all.files += done.files;
        all.bytes += done.bytes;
        all.breaks += done.breaks;
    }
    let Done {
        files,
        bytes,
        breaks,
    } = all;
    println!("{files} files of {bytes} bytes in all are what was sent, after {breaks} breaks");
    assert!(files == uploads && breaks > uploads / 20);
    let is_description = |name: &String| name.starts_with(".tus-") && name.ends_with(".json");
    assert!(
        server.names().iter().all(is_description),
        "something is left"
    );
}

#[derive(Default)]
struct Done {
    files: usize,
    bytes: usize,
    breaks: usize,
}

impl Pool {
    fn new(random: &mut Random, largest: usize) -> Self {
        let words = std::iter::repeat_with(|| random.next());
        let words = words.flat_map(u64::to_le_bytes);
        Self(words.take(largest + (1 << 20)).collect())
    }

    /// As many small ones as large ones.
    fn file(&self, random: &mut Random, name: String) -> File<'_> {
        let largest = self.0.len() - (1 << 20);
        let magnitude = random.below(largest.ilog2() as usize + 2);
        let length = random.below(1 << magnitude).min(largest);
        let start = random.below(self.0.len() - length);
        let content = &self.0[start..start + length];
        File { name, content }
    }
}

/// Uploads a file until it is stored. Returns how often the upload broke off.
async fn upload(address: SocketAddr, file: &File<'_>, way: Way, random: &mut Random) -> usize {
    if let Way::Resumable = way {
        return resume(address, file, random).await;
    }
    let request = match way {
        Way::Chunked => chunked(file),
        Way::Form => form(file),
        _ => [
            put_head(&encoded(file), file.content.len()).as_bytes(),
            file.content,
        ]
        .concat(),
    };
    // A form's file is stored once it is whole, even before the form is.
    let cut_before = request.len() - "\r\n--b--\r\n".len();
    let mut breaks = 0;
    while random.below(4) == 0 {
        let mut client = Client::connect(address).await;
        client.send(&request[..random.below(cut_before)]).await;
        if random.below(2) == 0 {
            client.reset();
        }
        breaks += 1;
    }
    let mut client = Client::connect(address).await;
    client.send(request).await;
    assert_eq!(client.response().await.status, 201, "{}", file.name);
    breaks
}

fn encoded(file: &File<'_>) -> String {
    file.name.replace(' ', "%20")
}

fn chunked(file: &File<'_>) -> Vec<u8> {
    let mut request = chunked_put_head(&encoded(file)).into_bytes();
    for chunk in file.content.chunks(CHUNK) {
        request.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend(chunk);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    request
}

fn form(file: &File<'_>) -> Vec<u8> {
    let begin = format!(
        "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{}\"\r\n\r\n",
        file.name
    );
    let body = [begin.as_bytes(), file.content, b"\r\n--b--\r\n"].concat();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary=b\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

async fn resume(address: SocketAddr, file: &File<'_>, random: &mut Random) -> usize {
    let head = |method: &str, target: &str, fields: &str| {
        format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n{fields}\r\n"
        )
    };
    let length = file.content.len();
    let name = BASE64_STANDARD.encode(&file.name);
    let fields = format!(
        "Upload-Length: {length}\r\nUpload-Metadata: filename {name}\r\nContent-Length: 0\r\n"
    );
    let mut client = Client::connect(address).await;
    client.send(head("POST", "/tus/", &fields)).await;
    let response = client.response().await;
    assert_eq!(response.status, 201, "{}", file.name);
    let target = &address_of(&response);

    let mut breaks = 0;
    let mut offset = 0;
    while offset < length {
        let rest = &file.content[offset..];
        let sent = &rest[..=random.below(rest.len())];
        let fields = format!(
            "Upload-Offset: {offset}\r\nContent-Type: application/offset+octet-stream\r\n\
             Content-Length: {}\r\n",
            sent.len()
        );
        client.send(head("PATCH", target, &fields)).await;
        if random.below(3) > 0 {
            client.send(sent).await;
            match client.response().await.status {
                204 => {
                    offset += sent.len();
                    continue;
                }
                // The server may read a request that was cut off after the HEAD that asks for its offset.
                status => assert_eq!((status, breaks > 0), (409, true), "{}", file.name),
            }
        } else {
            client.send(&sent[..random.below(sent.len())]).await;
            breaks += 1;
            if random.below(2) == 0 {
                client.reset();
            }
        }
        client = Client::connect(address).await;
        client.send(head("HEAD", target, "")).await;
        let response = client.response_head().await;
        assert_eq!(response.status, 200, "{}", file.name);
        offset = response.field("upload-offset").unwrap().parse().unwrap();
    }
    breaks
}
