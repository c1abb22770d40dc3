//! The data connections that control connections of FTP announced, until they are told: found by the
//! address that listens.

use std::{collections::VecDeque, net::SocketAddr};

use foldhash::HashMap;
use upload_protocol::{ConnectionId, End};

use crate::core::{address::Address, connection::Connection, payload::Transfer};

#[derive(Debug, Default)]
pub(super) struct Transfers {
    by_address: HashMap<Address, VecDeque<Announced>>,
    /// Their addresses, oldest first.
    order: VecDeque<Address>,
}

#[derive(Debug)]
struct Announced {
    control: ConnectionId,
    transfer: Transfer,
    /// The data connection that it announced, once that is told.
    data: Option<ConnectionId>,
}

const MAX_TRANSFERS: usize = 4096;

impl Transfers {
    /// Takes the news from a connection, if it is a control connection.
    pub(super) fn learn(&mut self, connection: &mut Connection) {
        for transfer in connection.dialogue.payload.take_transfers() {
            for address in addresses(connection, &transfer) {
                self.keep(address, connection.id, &transfer);
            }
        }
    }

    fn keep(&mut self, address: Address, control: ConnectionId, transfer: &Transfer) {
        let all = self.by_address.entry(address).or_default();
        let known = all
            .iter_mut()
            .find(|known| known.control == control && known.transfer.number == transfer.number);
        if let Some(known) = known {
            known.transfer = transfer.clone();
            return;
        }
        all.push_back(Announced {
            control,
            transfer: transfer.clone(),
            data: None,
        });
        self.order.push_back(address);
        if self.order.len() > MAX_TRANSFERS
            && let Some(oldest) = self.order.pop_front()
            && let Some(all) = self.by_address.get_mut(&oldest)
        {
            all.pop_front();
            if all.is_empty() {
                self.by_address.remove(&oldest);
            }
        }
    }

    /// What a data connection serves: the latest announcement before it that no other connection
    /// answered.
    pub(super) fn of(&self, connection: &Connection) -> Option<&Transfer> {
        let (address, place) = self.find(connection)?;
        let announced = self.by_address.get(&address)?.get(place)?;
        Some(&announced.transfer)
    }

    /// The same, for good.
    pub(super) fn claim(&mut self, connection: &Connection) -> Option<Transfer> {
        let (address, place) = self.find(connection)?;
        let announced = self.by_address.get_mut(&address)?.get_mut(place)?;
        announced.data = Some(connection.id);
        Some(announced.transfer.clone())
    }

    fn find(&self, connection: &Connection) -> Option<(Address, usize)> {
        if self.by_address.is_empty() {
            return None;
        }
        let opened_ns = connection.first_ns()?;
        connection.views().find_map(|(end, view)| {
            let address = match end {
                End::Client => view.addresses.remote,
                End::Server => view.addresses.local,
            };
            let place = self.by_address.get(&address)?.iter().rposition(|one| {
                one.transfer.announced_ns <= opened_ns
                    && one.data.is_none_or(|data| data == connection.id)
            })?;
            Some((address, place))
        })
    }
}

/// Where the data connection will be opened to, as each end of the control connection sees it and as the
/// announcement says. Behind NAT they differ.
fn addresses(connection: &Connection, transfer: &Transfer) -> Vec<Address> {
    let port = transfer.port;
    let seen = connection.views().map(|(end, view)| {
        let listens_here = end == transfer.listens;
        let address = if listens_here {
            view.addresses.local
        } else {
            view.addresses.remote
        };
        address.with_port(port)
    });
    let said = transfer.ip.map(|ip| SocketAddr::new(ip, port).into());
    let mut addresses: Vec<Address> = seen.chain(said).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
