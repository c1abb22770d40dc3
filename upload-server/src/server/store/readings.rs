//! Readings of the directory for the list of files. Each takes a system call for each file, and a request for it is
//! short. So there is one at a time, and it serves all requests that came before it began: each list has every file
//! that was there when it was asked for. Between two readings, the directory rests for as long as the first one took.

use std::{io, net::IpAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as Turn, OwnedMutexGuard, oneshot},
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

use super::{
    directory::Directory,
    listing::{Listing, Place, list},
};
use crate::server::{
    error::Error,
    limits::{ClientSlot, ClientSlots},
};

/// How many files a page lists.
const FILES_LISTED: usize = 200;

/// How many requests may wait for a list; and how many of one client.
const WAITING: usize = 256;
const WAITING_OF_ONE_CLIENT: usize = 64;

/// Clones share the readings.
#[derive(Clone, Debug)]
pub(super) struct Readings {
    slots: Arc<ClientSlots>,
    waiting: Arc<Mutex<Vec<Waiting>>>,
    /// Of the reading; when the next one may begin.
    turn: Arc<Turn<Option<Instant>>>,
}

/// A request that waits for a list.
#[derive(Debug)]
struct Waiting {
    after: Option<Place>,
    answer: oneshot::Sender<io::Result<Listing>>,
    /// Taken until the reading is over, even where the client has left.
    _slot: ClientSlot,
}

impl Readings {
    pub(super) fn new() -> Self {
        Self {
            slots: Arc::new(ClientSlots::new(
                "lists of files",
                WAITING,
                WAITING_OF_ONE_CLIENT,
            )),
            waiting: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// The files behind this place. An error where too many requests wait.
    pub(super) async fn list(
        &self,
        directory: &Arc<Directory>,
        after: Option<Place>,
        client: IpAddr,
    ) -> Result<Listing, Error> {
        let (answer, mut answered) = oneshot::channel();
        let waiting = Waiting {
            after,
            answer,
            _slot: self.slots.take(client)?,
        };
        self.waiting.lock().push(waiting);
        let listed = tokio::select! {
            biased;
            listed = &mut answered => listed,
            turn = self.turn() => {
                self.begin(directory, turn);
                answered.await
            }
        };
        Ok(listed.map_err(io::Error::other)??)
    }

    /// The turn to read, once the directory has rested.
    async fn turn(&self) -> OwnedMutexGuard<Option<Instant>> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if let Some(rested) = *turn {
            sleep_until(rested).await;
        }
        turn
    }

    /// Answers all who wait. The turn ends with the reading, even if the request that began it is dropped.
    fn begin(&self, directory: &Arc<Directory>, mut turn: OwnedMutexGuard<Option<Instant>>) {
        let (waiting, directory) = (Arc::clone(&self.waiting), Arc::clone(directory));
        spawn_blocking(move || {
            let begun = Instant::now();
            let mut waiting = std::mem::take(&mut *waiting.lock());
            waiting.retain(|waiting| !waiting.answer.is_closed());
            let mut places: Vec<_> = waiting.iter().map(|waiting| &waiting.after).collect();
            places.sort_unstable();
            places.dedup();
            let lists = list(&directory, &places, FILES_LISTED);
            let now = Instant::now();
            *turn = Some(now + (now - begun));
            drop(turn);
            let list_of = |after: &Option<Place>| match &lists {
                Ok(lists) => {
                    let list = places.iter().zip(lists).find(|(place, _)| **place == after);
                    Ok(list.map(|(_, list)| list.clone()).unwrap_or_default())
                }
                Err(error) => Err(io::Error::from(error.kind())),
            };
            let answers: Vec<_> = waiting
                .iter()
                .map(|waiting| list_of(&waiting.after))
                .collect();
            for (waiting, list) in waiting.into_iter().zip(answers) {
                // The request may be gone.
                let _ = waiting.answer.send(list);
            }
        });
    }
}
