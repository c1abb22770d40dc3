//! Calls of the file system that fail, one after the other: whatever was answered is true, no part of a file has a
//! name, and the server goes on. Every other few calls; `cargo xtask integrity` takes each.

mod injector;
mod session;

use std::{collections::BTreeMap, env, fs, mem, path::Path};

use nix::errno::Errno;
use rustix::process::Signal;

use self::{
    injector::{Fault, Injector},
    session::{Session, ask, put},
};
use crate::{
    history::history,
    process::{Running, stderr},
    random::Random,
};

/// With these options, the server uses more of the file system.
const OPTIONS: [&str; 6] = [
    "--delete",
    "--fsync",
    "--max-uploads",
    "2",
    "--on-duplicate",
    "overwrite",
];

const ERRORS: [Errno; 3] = [Errno::EIO, Errno::ENOSPC, Errno::EMFILE];

#[tokio::test]
async fn each_call_may_fail() {
    let step = env::var("FAULTS_STEP").map_or(16, |step| step.parse().unwrap());
    let mut random = Random::new();
    let (mut rounds, mut wrong) = (0, Vec::new());
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let server = Running::start_with(&OPTIONS, root.path()).await;
    // It reports that it is ready before it opens its directory.
    put(server.address, "first", 3).await;
    fs::remove_file(root.path().join("files/first")).unwrap();
    let directories = ["files", "state"].map(|name| root.path().join(name));
    let injector = Injector::attach(server.pid(), &directories);
    let before = descriptors(&server);
    for lasts in [false, true] {
        for error in ERRORS {
            let step = if lasts { 2 * step } else { step };
            let mut first = 1 + random.below(step);
            loop {
                let fault = Fault {
                    error,
                    first,
                    lasts,
                };
                rounds += 1;
                let (failed, of_fault) = run(&server, root.path(), &injector, fault, rounds).await;
                wrong.extend(of_fault);
                if failed == 0 {
                    break;
                }
                first += step;
            }
        }
    }
    drop(injector);
    println!("{rounds} sessions");
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The last connection may be open still. SQLite keeps a reader's descriptor for the next one, and opens the
    // log for checkpoints at the first of them.
    let left = descriptors(&server);
    let is_kept = |(kind, number): (&String, &usize)| {
        *number <= before.get(kind).copied().unwrap_or_default() + 1
    };
    assert!(left.iter().all(is_kept), "{left:#?} instead of {before:#?}");
    assert_eq!(server.stop_with(Signal::TERM).await, Some(0));
    let _server = Running::start(root.path()).await;
    assert_eq!(hidden(root.path()), [""; 0]);
}

/// A disk that fails, or that the kernel has made read-only.
#[tokio::test]
async fn uploads_go_on_without_a_history() {
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let server = Running::start_with(&OPTIONS, root.path()).await;
    let injector = Injector::attach(server.pid(), &[root.path().join("state")]);
    for (error, number) in [Errno::EIO, Errno::EROFS, Errno::ENOSPC, Errno::EMFILE]
        .into_iter()
        .zip(1..)
    {
        let fault = Fault {
            error,
            first: 1,
            lasts: true,
        };
        let logged = stderr(root.path()).len();
        injector.begin(fault);
        for file in 0..5 {
            let answer = put(server.address, &format!("{number}-{file}"), 3).await;
            assert_eq!(answer.status, Some(201), "{error}: {answer:?}");
        }
        let page = ask(server.address, "GET / HTTP/1.1\r\n\r\n", b"").await;
        assert_eq!(page.status, Some(200), "{error}: {page:?}");
        let failed = injector.end();
        let after = format!("after-{number}");
        assert_eq!(put(server.address, &after, 3).await.status, Some(201));
        let latest = history(root.path(), "?limit=1").await;
        assert_eq!(latest[0].0.name, Some(after), "{error}");
        let log = stderr(root.path()).split_off(logged);
        let reports = [
            "the history cannot be written",
            "the history is written again",
        ];
        for report in reports {
            // Files that are open stay open.
            let expected = usize::from(error != Errno::EMFILE);
            assert_eq!(log.matches(report).count(), expected, "{failed:?}: {log}");
        }
    }
}

/// How many descriptors the server has, of each kind.
fn descriptors(server: &Running) -> BTreeMap<String, usize> {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    let mut kinds = BTreeMap::new();
    for target in descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()) {
        let target = target.to_string_lossy();
        let kind = target.split(":[").next().unwrap_or_default();
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    kinds
}

/// A session in which calls fail, and what follows once they do not. Returns how many calls failed, and what was wrong.
async fn run(
    server: &Running,
    root: &Path,
    injector: &Injector,
    fault: Fault,
    round: usize,
) -> (usize, Vec<String>) {
    let files = root.join("files");
    let logged = stderr(root).len();
    let mut session = Session::new(server.address, round);
    injector.begin(fault);
    let resumable = session.run().await;
    let failed = injector.end();
    let is_among = |name: &str| failed.iter().any(|call| call.starts_with(name));
    // Bytes that were not flushed are not to be trusted: their upload begins anew.
    session.resume(resumable, is_among("fsync")).await;
    let after = format!("{round}-after");
    let answer = put(server.address, &after, 3).await;
    assert_eq!(answer.status, Some(201), "{answer:?}");
    fs::remove_file(files.join(&after)).unwrap();
    session.check(&files);
    let mut wrong = mem::take(&mut session.wrong);

    let log = stderr(root).split_off(logged);
    assert!(!log.contains("panicked"), "{log}");
    let kept = history(root, "?limit=40").await;
    let kept = kept.iter().filter_map(|(upload, _)| upload.name.as_deref());
    let kept: Vec<_> = kept.collect();
    assert!(kept.contains(&&*after));
    let reported = log.contains("the history cannot be written");
    let is_forgotten = |name: &&str| !reported && !kept.contains(name);
    let forgotten = session.stored().into_iter().filter(is_forgotten);
    wrong.extend(forgotten.map(|name| format!("{name} is not in the history")));

    for name in hidden(root) {
        if !is_among("unlink") {
            wrong.push(format!("{name} is left"));
        }
        fs::remove_file(files.join(name)).unwrap();
    }
    let at = format!("{fault:?}: {:?}", &failed[..failed.len().min(4)]);
    (
        failed.len(),
        wrong
            .into_iter()
            .map(|wrong| format!("{at}: {wrong}"))
            .collect(),
    )
}

/// The hidden files but the descriptions of complete uploads.
fn hidden(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("files")).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| name.starts_with('.') && !name.ends_with(".json") && name != ".tus-time");
    names.sort();
    names
}
