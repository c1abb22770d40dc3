//! One end of a connection: its address and its owner.

use std::{borrow::Cow, net::SocketAddr, sync::Arc};

use upload_protocol::{
    Cookie, End, MptcpToken, OwnerFrom,
    timeline::{Endpoint, Process},
};

use super::container::names;
use crate::core::{
    connection::{Connection, Owner},
    host::Host,
};

/// One end; `None` where nothing is known of it.
pub(crate) fn endpoint(connection: &Connection, end: End, host: &Host) -> Option<Endpoint> {
    let peer = connection.view(end.other());
    let itself = peer.filter(|_| connection.is_its_own_peer());
    let view = connection.view(end).or(itself);
    let seen_by_peer = peer.map(|peer| peer.addresses.remote);
    // With one end alone here, what NAT on this machine makes of the address.
    let on_wire = match (view, peer) {
        (Some(view), None) => view.incidents().on_wire.map(|(local, _)| local),
        (None, Some(peer)) => peer.incidents().on_wire.map(|(_, remote)| remote),
        _ => None,
    };
    let address = view.map(|view| view.addresses.local).or(seen_by_peer)?;
    let owner = view.and_then(|view| view.owner.as_ref());
    let others = view.map_or(&[][..], |view| &view.incidents().holders);
    Some(Endpoint {
        addr: address.ip(),
        port: address.port(),
        owner: owner.map_or_else(Process::default, |owner| process(owner, host)),
        also: others
            .iter()
            .filter(|other| owner.is_none_or(|owner| !owner.task.is_same_process(&other.task)))
            .map(|other| process(other, host))
            .collect(),
        netns: view
            .map(|view| view.addresses.netns)
            .filter(|netns| *netns != 0),
        seen_as: on_wire
            .or(seen_by_peer)
            .filter(|seen| *seen != address && address.port() != 0)
            .map(SocketAddr::from),
        cookie: view
            .filter(|_| connection.captured.is_none())
            .map(|view| Cookie(view.cookie)),
        mptcp: view
            .and_then(|view| view.incidents().mptcp)
            .map(|of| MptcpToken(of.token)),
    })
}

fn process(owner: &Owner, host: &Host) -> Process {
    let cgroup = host.cgroup(owner.task.cgroup);
    let names = cgroup.map(|path| names(path)).unwrap_or_default();
    let container = names.container.unwrap_or_default();
    Process {
        pid: owner.task.id(),
        comm: Some(Arc::clone(&owner.task.comm)),
        // The server's report does not name the user.
        uid: Some(owner.task.uid).filter(|_| owner.from != OwnerFrom::Cookie),
        cgroup: cgroup.map(Arc::clone),
        container: container.id.map(str::to_owned),
        container_name: container.name.map(Cow::into_owned),
        container_runtime: container.runtime,
        pod: names.pod.map(Cow::into_owned),
        unit: names.unit.map(str::to_owned),
        claimed_by: names.claimed_by.map(str::to_owned),
        owner_from: Some(owner.from),
    }
}
