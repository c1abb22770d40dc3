//! The places of unfinished uploads: one for each hidden file with bytes, as long as it is there. So each partial
//! upload has one, and the file that is put together has that of its first part.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{
    record::Upload,
    server::{
        error::Error,
        limits::{ClientSlot, ClientSlots, Limits},
        tus::{error::TusError, id::Id},
    },
};

pub(super) struct Places {
    slots: Arc<ClientSlots>,
    most: usize,
    most_per_client: usize,
    held: Mutex<HashMap<Id, ClientSlot>>,
}

impl Places {
    pub(super) fn new(limits: &Limits) -> Self {
        let (most, most_per_client) = (limits.unfinished, limits.unfinished_per_client);
        Self {
            slots: Arc::new(ClientSlots::new("uploads", most, most_per_client)),
            most,
            most_per_client,
            held: Mutex::default(),
        }
    }

    /// A place for a new upload. An error where all places, or all of its client's, are taken.
    pub(super) fn take(&self, id: &Id, upload: &Upload) -> Result<(), Error> {
        let slot = self
            .slots
            .take(client(upload))
            .map_err(|error| match error {
                Error::TooMany { .. } => TusError::OfClient(self.most_per_client),
                _ => TusError::OfAll(self.most),
            })?;
        self.held.lock().insert(id.clone(), slot);
        Ok(())
    }

    /// A place for an upload that is there already, even beyond the limits.
    pub(super) fn adopt(&self, id: &Id, upload: &Upload) {
        let slot = || self.slots.take_anyway(client(upload));
        self.held.lock().entry(id.clone()).or_insert_with(slot);
    }

    pub(super) fn free(&self, id: &Id) {
        self.held.lock().remove(id);
    }

    pub(super) fn ids(&self) -> HashSet<Id> {
        self.held.lock().keys().cloned().collect()
    }
}

/// The client that began the upload, or last went on with it.
fn client(upload: &Upload) -> IpAddr {
    upload.forwarded_for.unwrap_or(upload.client.ip())
}
