//! Clients that show wrong tokens. After some of them, the client waits before its next token is looked at, a few
//! requests at a time: it finds out at a slow rate whether a token is right, even a short one that a person chose.
//! No client is locked out: somebody else at the same address, who knows the token, only waits.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::time::sleep;

use crate::server::{
    error::Error,
    limits::{ClientSlots, network},
};

/// How many wrong tokens a client may show within this time before it waits.
const FREE: u32 = 20;
const WITHIN: Duration = Duration::from_secs(60);

/// How long it waits, and how many of its requests may.
const WAIT: Duration = Duration::from_secs(1);
const WAITING_OF_ONE_CLIENT: usize = 16;
const WAITING: usize = 256;

/// How many clients are remembered. Where more show wrong tokens within the time, all begin anew.
const MOST_CLIENTS: usize = 10_000;

#[derive(Debug)]
pub(crate) struct WrongTokens {
    clients: Mutex<HashMap<IpAddr, Shown>>,
    waiting: Arc<ClientSlots>,
}

/// How many wrong tokens a client has shown since a moment.
#[derive(Debug)]
struct Shown {
    count: u32,
    since: Instant,
}

impl WrongTokens {
    pub(crate) fn new() -> Self {
        let of = "tries after wrong tokens";
        Self {
            clients: Mutex::default(),
            waiting: Arc::new(ClientSlots::new(of, WAITING, WAITING_OF_ONE_CLIENT)),
        }
    }

    /// Call before a client's token is looked at. An error where too many of its requests wait already.
    pub(super) async fn wait(&self, client: IpAddr) -> Result<(), Error> {
        if self.has_to_wait(client) {
            let _slot = self.waiting.take(client)?;
            sleep(WAIT).await;
        }
        Ok(())
    }

    /// Call when a client has shown a wrong token.
    pub(super) fn add(&self, client: IpAddr) {
        let mut clients = self.clients.lock();
        let client = network(client);
        if clients.len() >= MOST_CLIENTS && !clients.contains_key(&client) {
            clients.retain(|_, shown| shown.is_recent());
            if clients.len() >= MOST_CLIENTS {
                clients.clear();
            }
        }
        let shown = clients.entry(client).or_insert_with(Shown::none);
        if !shown.is_recent() {
            *shown = Shown::none();
        }
        shown.count = shown.count.saturating_add(1);
    }

    fn has_to_wait(&self, client: IpAddr) -> bool {
        let clients = self.clients.lock();
        let shown = clients.get(&network(client));
        shown.is_some_and(|shown| shown.is_recent() && shown.count >= FREE)
    }
}

impl Shown {
    fn none() -> Self {
        Self {
            count: 0,
            since: Instant::now(),
        }
    }

    fn is_recent(&self) -> bool {
        self.since.elapsed() < WITHIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_mistype() {
        let wrong = WrongTokens::new();
        let client = |last: u8| IpAddr::from([192, 0, 2, last]);
        for _ in 0..FREE {
            assert!(!wrong.has_to_wait(client(1)));
            wrong.add(client(1));
        }
        assert!(wrong.has_to_wait(client(1)));
        assert!(!wrong.has_to_wait(client(2)));
    }

    #[test]
    fn has_a_size() {
        let wrong = WrongTokens::new();
        for number in 0..=2 * u32::try_from(MOST_CLIENTS).unwrap() {
            wrong.add(IpAddr::from(number.to_be_bytes()));
            assert!(wrong.clients.lock().len() <= MOST_CLIENTS);
        }
    }
}
