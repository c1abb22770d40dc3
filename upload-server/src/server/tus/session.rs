//! Who works on an upload: one request at a time. The latest has the word: a client that comes back
//! has given the request before up, although the server may not know that its connection is dead.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex as Turn, OwnedMutexGuard},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{error::TusError, id::Id};

/// How long a request may take to make room: it has to write what it holds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The uploads that are being worked on.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<Id, Place>>>);

/// Where requests for one upload take turns.
struct Place {
    turn: Arc<Turn<()>>,
    /// Of the latest request.
    over: CancellationToken,
}

/// A request's turn, until this is dropped.
pub(crate) struct Session {
    /// Cancelled when another request takes over.
    pub(crate) over: CancellationToken,
    pub(crate) id: Id,
    sessions: Sessions,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Sessions {
    /// Takes an upload over.
    pub(crate) async fn take(&self, id: &Id) -> Result<Session, TusError> {
        let over = CancellationToken::new();
        let turn = {
            let mut places = self.places();
            let place = places.entry(id.clone()).or_insert_with(|| Place {
                turn: Arc::default(),
                over: over.clone(),
            });
            if Arc::strong_count(&place.turn) > 1 {
                place.over.cancel();
            }
            place.over = over.clone();
            Arc::clone(&place.turn)
        };
        let mut session = Session {
            over,
            id: id.clone(),
            sessions: self.clone(),
            turn: None,
        };
        let turn = timeout(PATIENCE, turn.lock_owned()).await;
        session.turn = Some(turn.map_err(|_| TusError::Locked)?);
        Ok(session)
    }

    fn places(&self) -> MutexGuard<'_, HashMap<Id, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Without others to take turns with.
    pub(crate) fn alone(id: Id) -> Self {
        Self {
            over: CancellationToken::new(),
            id,
            sessions: Sessions::default(),
            turn: None,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut places = self.sessions.places();
        self.turn = None;
        let unused = |place: &Place| Arc::strong_count(&place.turn) == 1;
        if places.get(&self.id).is_some_and(unused) {
            places.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_latest_has_the_word() {
        let sessions = Sessions::default();
        let id = Id::new().unwrap();
        let first = sessions.take(&id).await.unwrap();
        let other = sessions.take(&Id::new().unwrap()).await.unwrap();
        assert!(!first.over.is_cancelled());
        let second = tokio::spawn({
            let (sessions, id) = (sessions.clone(), id.clone());
            async move { sessions.take(&id).await }
        });
        first.over.cancelled().await;
        drop(first);
        let second = second.await.unwrap().unwrap();
        assert!(!second.over.is_cancelled() && !other.over.is_cancelled());
        drop((second, other));
        assert!(sessions.places().is_empty());
    }
}
