//! One request at a time works on an upload. The latest request wins: a client that returns has given
//! up its previous request, even if the server does not know yet that the connection is dead.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as Turn, OwnedMutexGuard},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{error::TusError, id::Id};

/// How long a request may take to end when another takes over: it has to write its buffered bytes.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// The uploads that requests are working on.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<Id, SessionSlot>>>);

/// The turn of an upload, for which its requests wait.
struct SessionSlot {
    turn: Arc<Turn<()>>,
    /// Cancels the latest request.
    superseded: CancellationToken,
}

/// A request's turn with an upload. Dropping it ends the turn.
pub(crate) struct Session {
    /// Cancelled when another request takes over.
    pub(crate) superseded: CancellationToken,
    pub(crate) id: Id,
    sessions: Sessions,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Sessions {
    /// Takes an upload over from the request that works on it.
    pub(crate) async fn take(&self, id: &Id) -> Result<Session, TusError> {
        let superseded = CancellationToken::new();
        let turn = {
            let mut slots = self.0.lock();
            let slot = slots.entry(id.clone()).or_insert_with(|| SessionSlot {
                turn: Arc::default(),
                superseded: superseded.clone(),
            });
            if Arc::strong_count(&slot.turn) > 1 {
                slot.superseded.cancel();
            }
            slot.superseded = superseded.clone();
            Arc::clone(&slot.turn)
        };
        let mut session = Session {
            superseded,
            id: id.clone(),
            sessions: self.clone(),
            turn: None,
        };
        let turn = timeout(TAKEOVER_TIMEOUT, turn.lock_owned()).await;
        session.turn = Some(turn.map_err(|_| TusError::Locked)?);
        Ok(session)
    }
}

impl Session {
    /// A session outside the server's requests, with no turn to wait for.
    pub(crate) fn alone(id: Id) -> Self {
        Self {
            superseded: CancellationToken::new(),
            id,
            sessions: Sessions::default(),
            turn: None,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut slots = self.sessions.0.lock();
        self.turn = None;
        let unused = |slot: &SessionSlot| Arc::strong_count(&slot.turn) == 1;
        if slots.get(&self.id).is_some_and(unused) {
            slots.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_latest_request_wins() {
        let sessions = Sessions::default();
        let id = Id::new().unwrap();
        let first = sessions.take(&id).await.unwrap();
        let other = sessions.take(&Id::new().unwrap()).await.unwrap();
        assert!(!first.superseded.is_cancelled());
        let second = tokio::spawn({
            let (sessions, id) = (sessions.clone(), id.clone());
            async move { sessions.take(&id).await }
        });
        first.superseded.cancelled().await;
        drop(first);
        let second = second.await.unwrap().unwrap();
        assert!(!second.superseded.is_cancelled() && !other.superseded.is_cancelled());
        drop((second, other));
        assert!(sessions.0.lock().is_empty());
    }
}
