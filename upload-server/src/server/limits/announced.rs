//! What clients have announced (`Content-Length`, `Upload-Length`) and not sent yet, of the requests in flight. It
//! counts against further uploads of the same client alone: an announcement costs nothing, so no other client
//! may be kept out by it.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;

use super::client_slots::network;

/// By client, in bytes. Wider than one length, so that the sum of many is exact.
#[derive(Debug, Default)]
pub(super) struct Announced(Mutex<HashMap<IpAddr, u128>>);

/// The bytes of one upload that are still to come. Dropping it forgets them.
#[derive(Debug)]
pub(crate) struct ToCome {
    announced: Arc<Announced>,
    client: IpAddr,
    bytes: u64,
}

impl Announced {
    pub(super) fn announce(self: &Arc<Self>, client: IpAddr, bytes: u64) -> ToCome {
        let client = network(client);
        if bytes > 0 {
            *self.0.lock().entry(client).or_default() += u128::from(bytes);
        }
        ToCome {
            announced: Arc::clone(self),
            client,
            bytes,
        }
    }
}

impl ToCome {
    /// What the client's other uploads have announced, in bytes.
    pub(super) fn of_others(&self) -> u64 {
        let announced = self.announced.0.lock();
        let all = announced.get(&self.client).copied().unwrap_or_default();
        let others = all.saturating_sub(u128::from(self.bytes));
        u64::try_from(others).unwrap_or(u64::MAX)
    }

    /// Call when this many bytes have arrived.
    pub(crate) fn arrived(&mut self, bytes: u64) {
        let arrived = bytes.min(self.bytes);
        self.bytes -= arrived;
        if arrived == 0 {
            return;
        }
        let mut announced = self.announced.0.lock();
        if let Some(all) = announced.get_mut(&self.client) {
            *all = all.saturating_sub(u128::from(arrived));
            if *all == 0 {
                announced.remove(&self.client);
            }
        }
    }
}

impl Drop for ToCome {
    fn drop(&mut self) {
        self.arrived(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_still_to_come() {
        let announced = Arc::<Announced>::default();
        let announce = |client: &str, bytes| announced.announce(client.parse().unwrap(), bytes);
        let mut first = announce("192.0.2.1", 1_000);
        let second = announce("192.0.2.1", u64::MAX);
        let other = announce("192.0.2.2", 5);
        assert_eq!(second.of_others(), 1_000);
        assert_eq!((first.of_others(), other.of_others()), (u64::MAX, 0));
        first.arrived(400);
        assert_eq!(second.of_others(), 600);
        first.arrived(1_000);
        assert_eq!(second.of_others(), 0);
        drop(second);
        assert_eq!(first.of_others(), 0);
        drop((first, other));
        assert!(announced.0.lock().is_empty());
    }
}
