//! Every stored file is what was sent, by whichever protocol, directly or through a proxy, and however often
//! the upload broke off. A few hundred uploads of up to 2 MiB; `cargo xtask integrity` runs 10,000 of up to
//! 64 MiB.

mod file;
mod form;
mod resumable;

use std::{
    env, fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::task::JoinSet;

use self::{
    file::{File, Pool},
    form::form,
};
use crate::{
    client::{Client, chunked_put_head, put_head},
    proxies::in_front_of,
    random::Random,
    test_server::TestServer,
};

const CLIENTS: usize = 8;

/// The largest chunk of a chunked body.
const CHUNK: usize = 100_000;

/// How an upload is sent.
#[derive(Clone, Copy)]
enum Way {
    Put,
    Chunked,
    Form,
    Resumable,
    /// In pieces at the same time.
    Parallel,
    /// The length is known at the end.
    Deferred,
}

const WAYS: [Way; 6] = [
    Way::Put,
    Way::Chunked,
    Way::Form,
    Way::Resumable,
    Way::Parallel,
    Way::Deferred,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stored_file_is_what_was_sent() {
    let number =
        |name: &str, usual| env::var(name).map_or(usual, |number| number.parse::<usize>().unwrap());
    let uploads = number("INTEGRITY_UPLOADS", 300);
    let largest = number("INTEGRITY_LARGEST", 2 << 20);
    let mut random = Random::new();
    let pool = Arc::new(Pool::new(&mut random, largest));
    let server = Arc::new(TestServer::start().await);
    let root = tempfile::tempdir().unwrap();
    let (proxies, _running) = in_front_of(server.address, 4, root.path()).await;
    let [nginx, haproxy] = proxies;
    let addresses = [server.address, nginx, haproxy];
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
                let address = addresses[number / WAYS.len() % addresses.len()];
                let file = pool.file(&mut random, number);
                done.breaks += upload(address, &file, way, &mut random).await;
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
    // Descriptions of resumable uploads that are over, and for how long the server has counted their age.
    let may_stay =
        |name: &String| name == ".tus-time" || name.starts_with(".tus-") && name.ends_with(".json");
    let mut left = server.names();
    left.retain(|name| !may_stay(name));
    assert_eq!(left, [""; 0]);
}

#[derive(Default)]
struct Done {
    files: usize,
    bytes: usize,
    breaks: usize,
}

/// Uploads a file until it is stored. Returns how often the upload broke off.
async fn upload(address: SocketAddr, file: &File<'_>, way: Way, random: &mut Random) -> usize {
    let request = match way {
        Way::Put => put(file),
        Way::Chunked => chunked(file),
        Way::Form => form(file, random),
        Way::Resumable => return resumable::whole(address, file, random).await,
        Way::Parallel => return resumable::parallel(address, file, random).await,
        Way::Deferred => return resumable::deferred(address, file, random).await,
    };
    // A form's file is stored once it is whole, even before the form is.
    let cut_before = request.len() - form::END.len();
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
    let response = client.response().await;
    assert_eq!(response.status, 201, "{}: {}", file.name, response.text());
    breaks
}

fn put(file: &File<'_>) -> Vec<u8> {
    let head = put_head(&encoded(file), file.content.len());
    [head.as_bytes(), file.content].concat()
}

fn encoded(file: &File<'_>) -> String {
    utf8_percent_encode(&file.name, NON_ALPHANUMERIC).to_string()
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
