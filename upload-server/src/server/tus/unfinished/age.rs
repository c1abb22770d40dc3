//! The age of files, as the server and the ones before it counted it. The count is saved beside the files.

use std::{
    fs,
    io::{self, Read, Write},
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use rustix::{
    fs::OFlags,
    time::{ClockId, clock_gettime},
};
use tracing::warn;

use super::counted_time::{CountedTime, Reading};
use crate::server::store::directory::Directory;

/// The file with the count. It is there as long as there are resumable uploads.
pub(super) const FILE: &str = ".tus-time";

const MAX_BYTES: u64 = 64 * 1024;

pub(crate) struct Ages(Mutex<CountedTime>);

impl Ages {
    /// Where no count was saved, counting starts now.
    pub(crate) fn open(directory: &Directory) -> Self {
        let saved = read(directory).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                warn!(%error, "cannot read {FILE}: resumable uploads expire later");
            }
            CountedTime::default()
        });
        let ages = Self(Mutex::new(saved));
        ages.advance();
        ages
    }

    /// How long ago a file changed.
    pub(super) fn age(&self, modified: SystemTime) -> Duration {
        self.advance().age(modified)
    }

    pub(super) fn save(&self, directory: &Directory) -> io::Result<()> {
        let new = format!("{FILE}.new");
        match directory.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let time = serde_json::to_vec(&self.advance())?;
        directory.create(&new)?.write_all(&time)?;
        directory.rename(&new, FILE)
    }

    fn advance(&self) -> CountedTime {
        let mut time = self.0.lock();
        time.advance(reading());
        time.clone()
    }
}

fn read(directory: &Directory) -> io::Result<CountedTime> {
    let file = directory.open_file(FILE, OFlags::RDONLY)?;
    let mut saved = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut saved)?;
    Ok(serde_json::from_slice(&saved)?)
}

fn reading() -> Reading {
    let boottime = clock_gettime(ClockId::Boottime);
    Reading {
        boot: fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
        boottime: Duration::new(
            boottime.tv_sec.try_into().unwrap_or_default(),
            boottime.tv_nsec.try_into().unwrap_or_default(),
        ),
        wall: SystemTime::now(),
    }
}
