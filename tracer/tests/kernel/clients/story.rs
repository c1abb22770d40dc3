//! What the tracers told of a client's uploads, held against what its server says came.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

use super::ends;
use crate::{
    lab::report_figures,
    trace::{Trace, number},
};

/// With fewer bytes nothing is inferred from the volume.
const LEAST: u64 = 16 * 1024;

/// The output of three tracers of the same traffic.
pub(super) struct Story {
    pub(super) both: Trace,
    pub(super) client: Trace,
    pub(super) server: Trace,
}

/// A request that a server says came.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Came {
    /// The client's.
    port: u16,
    method: String,
    target: String,
    bytes: u64,
    #[serde(default)]
    chunked: bool,
    status: u16,
}

/// An upload that the tracer told.
#[derive(Clone, Debug)]
struct Told<'a> {
    connection: &'a Value,
    upload: &'a Value,
}

/// A file that a server says it stored.
#[derive(Debug, Deserialize)]
struct Stored {
    name: String,
    bytes: u64,
}

/// How the uploads of a client were told.
#[derive(Debug, Default)]
pub(super) struct Tally {
    right: usize,
    wrong: Vec<String>,
    missing: Vec<String>,
    /// What one end alone tells otherwise.
    contradicted: Vec<String>,
}

impl Story {
    /// Each request with a body is told, once, with its name, size and status; nothing else is.
    pub(super) fn assert_requests(&self, client: &str, lines: &[String]) {
        let came: Vec<Came> = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|came: &Came| came.bytes > 0)
            .collect();
        assert!(!came.is_empty(), "{client} uploaded nothing");
        let mut told = self.told();
        let mut tally = Tally::default();
        for came in &came {
            tally.compare(came, &mut told);
        }
        tally.take_rest(&told);
        tally.assert(client, came.len(), self);
    }

    /// Each of these files above 16 KiB is told, once, by the volume of its connection; nothing else is.
    pub(super) fn assert_inferred(&self, client: &str, sizes: &[usize]) {
        let told = self.told();
        let mut tally = Tally::default();
        tally.compare_volumes(sizes, &told);
        tally.assert(client, sizes.len(), self);
    }

    /// Each of these files is told by its name, size and status; nothing else is.
    pub(super) fn assert_puts(&self, client: &str, sizes: &[usize], status: u16) {
        let stored = sizes.iter().map(|size| Stored {
            name: format!("f-{size}"),
            bytes: *size as u64,
        });
        self.assert_stored(client, &stored.collect::<Vec<_>>(), status);
    }

    /// The same, with the files that the server says it stored.
    pub(super) fn assert_files(&self, client: &str, lines: &[String], status: u16) {
        let stored = lines.iter().map(|line| serde_json::from_str(line).unwrap());
        self.assert_stored(client, &stored.collect::<Vec<_>>(), status);
    }

    fn assert_stored(&self, client: &str, stored: &[Stored], status: u16) {
        let mut told = self.told();
        let mut tally = Tally::default();
        for file in stored {
            let place = told
                .iter()
                .position(|told| told.upload["name"] == file.name);
            let Some(place) = place else {
                tally.missing.push(format!("{file:?}"));
                continue;
            };
            let told = told.remove(place);
            // The lengths of chunks are not captured.
            let bytes = told.upload["bytes"].as_u64();
            if bytes.is_none_or(|bytes| bytes == file.bytes) && told.upload["status"] == status {
                tally.right += 1;
            } else {
                tally.wrong.push(format!("{}: {file:?}", told.upload));
            }
        }
        tally.take_rest(&told);
        tally.assert(client, stored.len(), self);
    }

    /// Each request is told on the connection that brought it to its server, and by volume on the one
    /// to the proxy.
    pub(super) fn assert_tunnelled(&self, client: &str, server: u16, lines: &[String]) {
        let came: Vec<Came> = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let (mut told, to_proxy): (Vec<_>, Vec<_>) = self
            .told()
            .into_iter()
            .partition(|told| told.connection["server"]["port"] == server);
        let mut tally = Tally::default();
        for came in &came {
            tally.compare(came, &mut told);
        }
        tally.take_rest(&told);
        let bytes = came.iter().map(|came| usize::try_from(came.bytes).unwrap());
        let sizes: Vec<usize> = bytes.collect();
        tally.compare_volumes(&sizes, &to_proxy);
        tally.assert(client, 2 * came.len(), self);
    }

    /// The uploads told of both ends, in order of their connections.
    fn told(&self) -> Vec<Told<'_>> {
        assert_nothing_lost(&self.both);
        let mut told = Vec::new();
        for connection in self.both.timelines() {
            let uploads = connection["uploads"].as_array().unwrap();
            told.extend(uploads.iter().map(|upload| Told { connection, upload }));
        }
        let ids: HashSet<&str> = told.iter().map(|told| id(told.upload)).collect();
        assert_eq!(ids.len(), told.len(), "an upload told twice: {told:#?}");
        let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
        for upload in self.both.of("upload") {
            *lines.entry(id(upload)).or_default() += 1;
        }
        for told in &told {
            assert_eq!(lines.remove(id(told.upload)), Some(1), "{}", told.upload);
        }
        assert!(lines.is_empty(), "uploads on no timeline: {lines:?}");
        told
    }
}

impl Tally {
    /// Looks for what came among what was told, and takes it out.
    fn compare(&mut self, came: &Came, told: &mut Vec<Told<'_>>) {
        let place = told.iter().position(|told| {
            told.connection["client"]["port"] == came.port
                && told.target().is_some_and(|target| target == came.target)
                && told.upload["bytes"]
                    .as_u64()
                    .is_none_or(|bytes| bytes == came.bytes)
        });
        let place = place.or_else(|| {
            told.iter()
                .position(|told| told.connection["client"]["port"] == came.port)
        });
        let Some(place) = place else {
            self.missing.push(format!("{came:?}"));
            return;
        };
        let told = told.remove(place);
        let mut wrong = Vec::new();
        let bytes = told.upload["bytes"].as_u64();
        // The lengths of chunks are not captured.
        if bytes != Some(came.bytes) && !(came.chunked && bytes.is_none()) {
            wrong.push("size");
        }
        if told.upload["status"] != came.status {
            wrong.push("status");
        }
        let path = came.target.split('?').next().unwrap();
        let name = path.rsplit('/').next().filter(|_| came.method == "PUT");
        if told.upload["name"].as_str() != name {
            wrong.push("name");
        }
        if told.upload["outcome"] != "complete" {
            wrong.push("outcome");
        }
        if wrong.is_empty() {
            self.right += 1;
        } else {
            self.wrong
                .push(format!("{wrong:?}: {} is {came:?}", told.upload));
        }
    }

    /// Pairs the largest with the largest. A connection carries more than the file.
    fn compare_volumes(&mut self, sizes: &[usize], told: &[Told<'_>]) {
        let mut told: Vec<u64> = told
            .iter()
            .map(|told| number(&told.upload["bytes"]))
            .collect();
        told.sort_unstable();
        for size in sizes.iter().rev().map(|size| *size as u64) {
            let most = size + size / 20 + 20_000;
            match told.last() {
                Some(bytes) if (size..=most).contains(bytes) => {
                    self.right += 1;
                    told.pop();
                }
                _ if size < LEAST => self.right += 1,
                _ => self.missing.push(format!("{size} bytes")),
            }
        }
        self.wrong.extend(
            told.iter()
                .map(|bytes| format!("nobody sent {bytes} bytes")),
        );
    }

    /// What was told and nobody sent.
    fn take_rest(&mut self, told: &[Told<'_>]) {
        let uploads = told.iter().map(|told| told.upload);
        self.wrong
            .extend(uploads.map(|upload| format!("nobody sent {upload}")));
    }

    fn assert(mut self, client: &str, all: usize, story: &Story) {
        self.contradicted = ends::contradictions(story);
        report_figures(&format!(
            "{client}: {} of {all} uploads right, {} wrong, {} missing, {} connections told otherwise at one end",
            self.right,
            self.wrong.len(),
            self.missing.len(),
            self.contradicted.len()
        ));
        assert!(
            self.wrong.is_empty() && self.missing.is_empty() && self.contradicted.is_empty(),
            "{client}: {self:#?}"
        );
    }
}

impl Told<'_> {
    /// The target of the request that carried it.
    fn target(&self) -> Option<&str> {
        let exchanges = self.connection["phases"][1]["exchanges"].as_array()?;
        let mut exchanges = exchanges.iter();
        let own = exchanges.find(|exchange| exchange["upload"] == self.upload["id"])?;
        own["request"]["target"].as_str()
    }
}

/// What is lost is said; here nothing may be, or the rest shows nothing. A program that was skipped counts
/// against every traced connection, whichever socket of the machine it was called for.
pub(super) fn assert_nothing_lost(trace: &Trace) {
    let mut lost = trace.of("lost");
    lost.retain(|lost| lost["hop"] != "recursion");
    assert!(lost.is_empty(), "{lost:?}");
}

fn id(upload: &Value) -> &str {
    upload["id"].as_str().unwrap()
}
