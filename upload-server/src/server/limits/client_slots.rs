//! Slots for what clients do at the same time, such as uploads: in all, and for each client.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use crate::server::error::Error;
use parking_lot::Mutex;

#[derive(Debug)]
pub(crate) struct ClientSlots {
    /// What a slot is for, in the plural.
    of: &'static str,
    most: usize,
    most_per_client: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// The slot of one of them, or the slots of something large. Dropping it frees them.
#[derive(Debug)]
pub(crate) struct ClientSlot {
    slots: Arc<ClientSlots>,
    client: IpAddr,
    number: usize,
}

impl ClientSlots {
    pub(crate) fn new(of: &'static str, most: usize, most_per_client: usize) -> Self {
        Self {
            of,
            most,
            most_per_client,
            taken: Mutex::default(),
        }
    }

    /// An error where all slots, or all of this client's, are taken.
    pub(crate) fn take(self: &Arc<Self>, client: IpAddr) -> Result<ClientSlot, Error> {
        self.take_several(1, client)
    }

    /// The same for something that takes this many slots.
    pub(crate) fn take_several(
        self: &Arc<Self>,
        number: usize,
        client: IpAddr,
    ) -> Result<ClientSlot, Error> {
        let client = network(client);
        let mut taken = self.taken.lock();
        if taken.all + number > self.most {
            return Err(Error::Busy);
        }
        let of_client = taken.by_client.get(&client).copied();
        if of_client.unwrap_or_default() + number > self.most_per_client {
            return Err(Error::TooMany {
                of: self.of,
                most: self.most_per_client,
            });
        }
        Ok(self.add(&mut taken, number, client))
    }

    /// One slot even where all are taken: for what exists already.
    pub(crate) fn take_anyway(self: &Arc<Self>, client: IpAddr) -> ClientSlot {
        self.add(&mut self.taken.lock(), 1, network(client))
    }

    fn add(self: &Arc<Self>, taken: &mut Taken, number: usize, client: IpAddr) -> ClientSlot {
        *taken.by_client.entry(client).or_default() += number;
        taken.all += number;
        ClientSlot {
            slots: Arc::clone(self),
            client,
            number,
        }
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock();
        taken.all -= self.number;
        if let Some(of_client) = taken.by_client.get_mut(&self.client) {
            *of_client -= self.number;
            if *of_client == 0 {
                taken.by_client.remove(&self.client);
            }
        }
    }
}

/// A client with one IPv6 address usually has a whole /64 network of them: it counts as one client.
pub(crate) fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_all_and_each() {
        let slots = Arc::new(ClientSlots::new("uploads", 3, 2));
        let take = |client: &str| slots.take(client.parse().unwrap());
        let first = take("192.0.2.1").unwrap();
        let _second = take("192.0.2.1").unwrap();
        assert!(matches!(
            take("192.0.2.1"),
            Err(Error::TooMany { most: 2, .. })
        ));
        let _other = take("192.0.2.2").unwrap();
        assert!(matches!(take("192.0.2.3"), Err(Error::Busy)));
        drop(first);
        assert!(take("192.0.2.1").is_ok());
        assert_eq!(slots.taken.lock().by_client.len(), 2);
    }

    #[test]
    fn something_large_takes_several() {
        let slots = Arc::new(ClientSlots::new("bytes", 9, 6));
        let take = |number, client: &str| slots.take_several(number, client.parse().unwrap());
        let first = take(6, "192.0.2.1").unwrap();
        assert!(take(1, "192.0.2.1").is_err());
        assert!(take(4, "192.0.2.2").is_err());
        let _other = take(3, "192.0.2.2").unwrap();
        drop(first);
        assert!(take(7, "192.0.2.1").is_err());
        assert!(take(6, "192.0.2.1").is_ok());
        assert_eq!(slots.taken.lock().by_client.len(), 1);
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let slots = Arc::new(ClientSlots::new("uploads", 9, 1));
        let take = |client: &str| slots.take(client.parse().unwrap());
        let _first = take("2001:db8::1").unwrap();
        assert!(take("2001:db8::ffff:1").is_err());
        assert!(take("2001:db8:0:1::1").is_ok());
    }
}
