//! What is seen of a connection before it has a socket on this machine: the handshake runs under
//! the listener. Bounded, because anybody may send a SYN.

use std::{collections::VecDeque, net::SocketAddr};

use super::pairing::Numbers;
use crate::{end::End, event::Aside, segment::Segment};

/// A listener under attack hears without end; the oldest are forgotten.
const MOST: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// SYN-ACKs sent again: client, server, when.
    syn_acks: VecDeque<(SocketAddr, SocketAddr, u64)>,
    segments: VecDeque<(u64, Box<Segment>, Aside)>,
}

impl Early {
    pub(super) fn note_syn_ack(&mut self, client: SocketAddr, server: SocketAddr, mono_ns: u64) {
        push(&mut self.syn_acks, (client, server, mono_ns));
    }

    pub(super) fn note_segment(&mut self, mono_ns: u64, segment: Box<Segment>, aside: Aside) {
        push(&mut self.segments, (mono_ns, segment, aside));
    }

    pub(super) fn take_syn_acks(&mut self, client: SocketAddr, server: SocketAddr) -> Vec<u64> {
        take(&mut self.syn_acks, |(of, to, _)| {
            (*of, *to) == (client, server)
        })
        .into_iter()
        .map(|(_, _, mono_ns)| mono_ns)
        .collect()
    }

    /// The initial sequence numbers of a connection, from its third ACK: where addresses are
    /// translated, the SYN-ACK is seen with the translated ones.
    pub(super) fn numbers(&self, client: SocketAddr, server: SocketAddr) -> Option<Numbers> {
        self.segments.iter().find_map(|(_, segment, _)| {
            let is_its = (segment.source, segment.destination) == (client, server);
            Numbers::of_third_ack(segment).filter(|_| is_its)
        })
    }

    pub(super) fn take_segments(
        &mut self,
        client: SocketAddr,
        server: SocketAddr,
    ) -> Vec<(End, u64, Box<Segment>, Aside)> {
        let sender = |segment: &Segment| match (segment.source, segment.destination) {
            tuple if tuple == (client, server) => Some(End::Client),
            tuple if tuple == (server, client) => Some(End::Server),
            _ => None,
        };
        take(&mut self.segments, |(_, segment, _)| {
            sender(segment).is_some()
        })
        .into_iter()
        .filter_map(|(mono_ns, segment, aside)| Some((sender(&segment)?, mono_ns, segment, aside)))
        .collect()
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == MOST {
        queue.pop_front();
    }
    queue.push_back(item);
}

fn take<T>(queue: &mut VecDeque<T>, matches: impl Fn(&T) -> bool) -> Vec<T> {
    let (taken, kept): (Vec<T>, Vec<T>) = std::mem::take(queue).into_iter().partition(matches);
    *queue = kept.into();
    taken
}
