//! The memory of answers that clients have not taken yet. A page may be a thousand times as long as the request
//! for it, and with HTTP/2 a client need not take any of it: so they share a fixed amount.

use std::{net::IpAddr, sync::Arc};

use axum::body::{Body, HttpBody};

use crate::server::{
    error::Error,
    limits::{ClientSlot, ClientSlots},
};

/// For all answers, in KiB, and for those of one client.
const MOST: usize = 32 * 1024;
const MOST_OF_ONE_CLIENT: usize = 16 * 1024;

/// An answer of fewer bytes does not count: requests in flight have a limit of their own.
const SMALL: u64 = 4 * 1024;

#[derive(Clone)]
pub(crate) struct HeldAnswers(Arc<ClientSlots>);

impl HeldAnswers {
    pub(crate) fn new() -> Self {
        let slots = ClientSlots::new("unread answers", MOST, MOST_OF_ONE_CLIENT);
        Self(Arc::new(slots))
    }

    /// What the content of an answer takes, as long as this exists. None where it is small, or read from a file
    /// piece by piece. An error where it does not fit.
    pub(super) fn hold(&self, content: &Body, client: IpAddr) -> Result<Option<ClientSlot>, Error> {
        match content.size_hint().exact() {
            Some(bytes) if bytes > SMALL => {
                // It was written into memory that doubles.
                let kibibytes = bytes.div_ceil(1024).next_power_of_two();
                let kibibytes = usize::try_from(kibibytes).unwrap_or(usize::MAX);
                // A client that holds nothing gets any answer.
                let slots = self
                    .0
                    .take_several(kibibytes.min(MOST_OF_ONE_CLIENT), client);
                slots.map(Some).map_err(|error| match error {
                    Error::TooMany { most, .. } => Error::Unread(most / 1024),
                    busy => busy,
                })
            }
            _ => Ok(None),
        }
    }
}
