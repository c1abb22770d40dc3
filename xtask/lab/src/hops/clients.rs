//! The uploads, each by a curl with one connection, and the port of that connection.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::place::Place;
use crate::bench::stop::Stop;

/// No upload takes so long.
const LONGEST: Duration = Duration::from_secs(120);
/// The same sizes in each run.
const SEED: u64 = 9293;
const SMALLEST: f64 = 1e3;
const LARGEST: f64 = 20e6;
/// Where all have the same size.
const SAME: u64 = 100_000;

/// Files to upload, by name.
pub(crate) struct Files {
    folder: PathBuf,
    names: Vec<String>,
}

/// The port of each upload's client, by the upload's name.
pub(crate) type Truth = HashMap<String, u16>;

impl Files {
    /// So many. The prefix is in each name.
    pub(crate) fn make(folder: &Path, prefix: &str, count: usize, is_same: bool) -> Result<Self> {
        let sizes = match is_same {
            true => vec![SAME; count],
            false => sizes(count),
        };
        let mut names = Vec::new();
        for (number, size) in sizes.into_iter().enumerate() {
            let name = format!("{prefix}{number}");
            File::create(folder.join(&name))?.set_len(size)?;
            names.push(name);
        }
        Ok(Self {
            folder: folder.to_owned(),
            names,
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }

    /// Uploads each to an address, some at once.
    pub(crate) fn upload(
        &self,
        place: &Place,
        url: &str,
        at_once: usize,
        stop: &Stop,
    ) -> Result<Truth> {
        let (next, truth) = (AtomicUsize::new(0), Mutex::new(Truth::new()));
        let work = || -> Result<()> {
            while let Some(name) = self.names.get(next.fetch_add(1, Ordering::Relaxed)) {
                let port = self.upload_one(place, url, name, stop)?;
                let mut truth = truth.lock().unwrap_or_else(PoisonError::into_inner);
                truth.insert(name.clone(), port);
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                match worker.join() {
                    Ok(outcome) => outcome?,
                    Err(_) => bail!("a thread that uploads failed"),
                }
            }
            Ok(())
        })?;
        Ok(truth.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn upload_one(&self, place: &Place, url: &str, name: &str, stop: &Stop) -> Result<u16> {
        let mut curl = Command::new("curl");
        curl.args(["-q", "-4", "-k", "-f", "-sS", "-o", "/dev/null"])
            .args(["-w", "%{local_port}", "-T"])
            .arg(self.folder.join(name))
            .arg(format!("{url}{name}"))
            .stdout(Stdio::piped());
        let printed = place.start("curl", &mut curl)?.finish(LONGEST, stop)?;
        printed.parse().context("curl named no port")
    }
}

/// So many, no two alike; as many between 1 and 10 kB as between 1 and 10 MB.
fn sizes(count: usize) -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let (mut sizes, mut known) = (Vec::new(), HashSet::new());
    while sizes.len() < count {
        let size = SMALLEST * (LARGEST / SMALLEST).powf(random.f64());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between the two limits"
        )]
        let size = size as u64;
        if known.insert(size) {
            sizes.push(size);
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_distinct_and_the_same_each_time() {
        let some = sizes(1_000);
        assert_eq!(some.iter().collect::<HashSet<_>>().len(), 1_000);
        assert_eq!(sizes(60), some[..60]);
        let small = some.iter().filter(|size| **size < 10_000).count();
        let large = some.iter().filter(|size| **size >= 2_000_000).count();
        assert!(small.abs_diff(large) < 100, "{small}, {large}");
        assert!(some.iter().all(|size| (1_000..20_000_000).contains(size)));
    }
}
