//! Connections that ended, and that may have carried an upload before: a proxy's connection to its server may
//! stay open for longer than its client's.

use std::{collections::VecDeque, sync::Arc};

use upload_protocol::{End, timeline::Timeline};

use crate::core::hops::{Leg, Sent, Sought};

/// Of more than these, in number or in bytes, the oldest are forgotten.
const MAX_ENDED: usize = 2_048;
const MAX_ENDED_BYTES: usize = 16 << 20;

/// The oldest first.
#[derive(Debug, Default)]
pub(in crate::core::pipeline) struct EndedLegs {
    legs: VecDeque<(Arc<Leg>, usize)>,
    bytes: usize,
}

impl EndedLegs {
    pub(super) fn add(&mut self, leg: Arc<Leg>) {
        let bytes = leg.bytes();
        while self.legs.len() >= MAX_ENDED
            || !self.legs.is_empty() && self.bytes.saturating_add(bytes) > MAX_ENDED_BYTES
        {
            let oldest = self.legs.pop_front();
            let freed = oldest.map_or(0, |(_, bytes)| bytes);
            self.bytes = self.bytes.saturating_sub(freed);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.legs.push_back((leg, bytes));
    }

    /// Those that a process held and that may have carried the request, with the end that it held.
    pub(super) fn of_process(
        &self,
        process: u32,
        sought: &Sought,
    ) -> impl Iterator<Item = (Arc<Leg>, End)> {
        self.legs.iter().flat_map(move |(leg, _)| {
            let ends = [End::Client, End::Server].into_iter();
            let its = ends
                .filter(move |end| leg.may_carry(sought, *end) && leg.is_held_by(*end, process));
            its.map(|end| (Arc::clone(leg), end))
        })
    }

    /// The requests in the clear that a process sent.
    pub(super) fn sent_by(&self, process: u32) -> impl Iterator<Item = Sent> {
        let legs = self.legs.iter().map(|(leg, _)| leg);
        let its = legs.filter(move |leg| leg.is_held_by(End::Client, process));
        its.flat_map(|leg| leg.sent())
    }
}

/// Whether an ended connection may have carried an upload: not one whose requests have no body, in the clear.
pub(super) fn may_carry_upload(timeline: &Timeline) -> bool {
    let exchanges = timeline.exchanges();
    let has_body = |length: Option<u64>| length.is_none_or(|length| length > 0);
    exchanges.is_empty()
        || exchanges.iter().any(|exchange| {
            let request = &exchange.request;
            !matches!(&*request.method, "GET" | "HEAD" | "OPTIONS")
                && has_body(request.content_length)
        })
}

#[cfg(test)]
mod tests {
    use upload_protocol::{
        ConnectionId,
        timeline::{Exchange, Maintenance, Phase, Timeline},
    };

    use super::{Arc, EndedLegs, Leg, MAX_ENDED, MAX_ENDED_BYTES, Sought};
    use crate::core::connection::Connection;

    /// A peer chooses its targets.
    #[test]
    fn ended_connections_are_limited_in_number_and_in_bytes() {
        let check = |target: usize, most: usize| {
            let mut ended = EndedLegs::default();
            for cookie in 1..=2 * MAX_ENDED as u64 {
                let mut exchange = Exchange::default();
                exchange.request.target = "/".repeat(target);
                let phase = Maintenance {
                    exchanges: vec![exchange],
                    ..Maintenance::default()
                };
                let timeline = Timeline {
                    phases: vec![Phase::Maintenance(Box::new(phase))],
                    ..Timeline::default()
                };
                let connection = Connection::new(ConnectionId::new(cookie, None));
                ended.add(Arc::new(Leg::new(&connection, timeline)));
                assert!(ended.bytes <= MAX_ENDED_BYTES);
            }
            assert!(ended.legs.len() <= most && ended.legs.len() >= most / 2);
        };
        check(1, MAX_ENDED);
        check(1 << 20, 16);
    }

    /// A busy proxy has had hundreds of clients, and few at a time.
    #[test]
    fn a_connection_that_ended_before_did_not_carry_it() {
        const PROXY: u32 = 7;
        let mut timeline = Timeline::default();
        timeline.server.owner.pid = Some(PROXY);
        let mut connection = Connection::new(ConnectionId::new(1, None));
        connection.last_ns = 10;
        let mut ended = EndedLegs::default();
        ended.add(Arc::new(Leg::new(&connection, timeline)));
        let found = |start_ns| {
            let sought = Sought { start_ns, bytes: 0 };
            ended.of_process(PROXY, &sought).count()
        };
        assert_eq!([found(10), found(11)], [1, 0]);
    }
}
