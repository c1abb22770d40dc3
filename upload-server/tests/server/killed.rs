//! A server that is killed at any moment: every named file is whole, and the history is correct.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::process::Signal;
use tokio::{sync::Notify, task::JoinSet};
use upload_server::record::Outcome;

use crate::{
    client::{Client, content, put_head},
    history::history,
    process::{Running, tempdir},
    random::Random,
};

const ROUNDS: usize = 40;
const UPLOADS: usize = 5;
const CHUNK: usize = 64 * 1024;

/// What a client had sent, and whether it learned that its file is stored.
struct Sent {
    name: String,
    length: usize,
    stored: bool,
}

/// Counts what the clients do, and signals when the moment to kill has come.
struct Moment {
    passed: AtomicUsize,
    chosen: usize,
    come: Notify,
}

impl Moment {
    fn pass(&self) {
        if self.passed.fetch_add(1, Ordering::Relaxed) == self.chosen {
            self.come.notify_one();
        }
    }
}

#[tokio::test]
async fn leaves_nothing_half_and_forgets_nothing() {
    let root = tempdir();
    let mut random = Random::new();
    let mut sent = Vec::new();
    for round in 0..ROUNDS {
        let server = Running::start(root.path()).await;
        let uploads: Vec<_> = (0..UPLOADS)
            // Small ones, too: with these, a kill often meets the end of an upload.
            .map(|number| {
                (
                    format!("{round}-{number}"),
                    random.below([1_000, 2_000_000][number % 2]),
                )
            })
            .collect();
        let moments = uploads.iter().map(|(_, length)| length.div_ceil(CHUNK) + 2);
        let moment = Arc::new(Moment {
            passed: AtomicUsize::new(0),
            chosen: random.below(moments.sum()),
            come: Notify::new(),
        });
        let mut clients = JoinSet::new();
        for (name, length) in uploads {
            clients.spawn(upload(server.address, name, length, Arc::clone(&moment)));
        }
        moment.come.notified().await;
        server.stop_with(Signal::KILL).await;
        sent.extend(clients.join_all().await);
    }
    let server = Running::start(root.path()).await;
    let mut last = Client::connect(server.address).await;
    assert_eq!(last.put("last", b"").await.status, 201);
    check(root.path(), &sent).await;
}

/// Sends until everything is sent or the server is killed.
async fn upload(address: SocketAddr, name: String, length: usize, moment: Arc<Moment>) -> Sent {
    let sending = async {
        let mut client = Client::connect(address).await;
        client
            .try_send(put_head(&name, length).as_bytes())
            .await
            .ok()?;
        moment.pass();
        for chunk in content(length).chunks(CHUNK) {
            client.try_send(chunk).await.ok()?;
            moment.pass();
        }
        client.try_status().await
    };
    let stored = sending.await == Some(201);
    moment.pass();
    Sent {
        name,
        length,
        stored,
    }
}

async fn check(root: &Path, sent: &[Sent]) {
    let files = root.join("files");
    let lengths: HashMap<_, _> = sent.iter().map(|sent| (&*sent.name, sent.length)).collect();
    let mut found = 0;
    for entry in fs::read_dir(&files).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name != "last" {
            let length = lengths.get(&*name);
            let length = *length.unwrap_or_else(|| panic!("{name} is nobody's"));
            let stored = fs::read(files.join(&name)).unwrap();
            assert!(stored == content(length), "{name}");
            found += 1;
        }
    }

    let mut kept: HashMap<_, _> = HashMap::new();
    for (upload, _) in history(root, "?limit=1000").await {
        if upload.outcome == Outcome::Complete {
            let name = upload.name.unwrap();
            let length = fs::metadata(files.join(&name)).unwrap().len();
            assert_eq!(length, upload.bytes, "{name}");
            assert_eq!(kept.insert(name, upload.id), None);
        }
    }
    let stored: Vec<_> = sent.iter().filter(|sent| sent.stored).collect();
    for Sent { name, .. } in &stored {
        assert!(files.join(name).exists(), "{name} is lost");
        assert!(kept.contains_key(name), "{name} is forgotten");
    }
    println!(
        "of {} uploads {} were answered, {} are kept, {found} stored",
        sent.len(),
        stored.len(),
        kept.len() - 1
    );
    assert!(!stored.is_empty() && stored.len() < sent.len());
}
