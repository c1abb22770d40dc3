//! The names of traces and spans. They follow from what every end of a connection sees, so that tracers on both
//! hosts name the same trace without a word between them.

use sha2::{Digest as _, Sha256};
use upload_protocol::timeline::{InitialNumbers, Timeline};

use super::observer::Observer;

/// A trace's id; never all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TraceId(pub(super) [u8; 16]);

/// A span's id; never all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SpanId(pub(super) [u8; 8]);

/// What a span is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    Connection,
    Initiation,
    Maintenance,
    Termination,
    /// The request with this number on its connection, counted from 1.
    Exchange(u32),
}

impl TraceId {
    /// The trace of a connection whose handshake was seen: the first 16 bytes of SHA-256 over `tcp`, the client's
    /// and the server's initial sequence number, four bytes each, the most significant first.
    ///
    /// The ports are not part of it, since NAT changes them.
    pub(super) fn of_handshake(numbers: InitialNumbers) -> Self {
        let mut hash = Sha256::new_with_prefix("tcp");
        hash.update(numbers.client.to_be_bytes());
        hash.update(numbers.server.to_be_bytes());
        Self(first(&hash.finalize()))
    }

    /// The trace of another connection: no other has it, on whatever host. Hosts and their boots differ in `host`,
    /// and captures and recordings in the time.
    fn of_timeline(timeline: &Timeline, host: &str) -> Self {
        let mut hash = Sha256::new_with_prefix("connection");
        hash.update(host);
        hash.update([0]);
        hash.update(timeline.connection.to_string());
        hash.update([0]);
        hash.update(timeline.at.mono_ns.to_be_bytes());
        if host.is_empty() {
            hash.update(timeline.at.unix_ns.to_be_bytes());
        }
        Self(first(&hash.finalize()))
    }

    /// The trace of a connection.
    pub(super) fn of(timeline: &Timeline, host: &str) -> Self {
        match seen_numbers(timeline) {
            Some(numbers) => Self::of_handshake(numbers),
            None => Self::of_timeline(timeline, host),
        }
    }
}

impl SpanId {
    /// A span in a connection's trace, as this one describes it.
    pub(super) fn of(connection: TraceId, observer: Observer, what: What) -> Self {
        let mut hash = Sha256::new_with_prefix(connection.0);
        hash.update(observer.name());
        let (name, number) = match what {
            What::Connection => ("connection", 0),
            What::Initiation => ("initiation", 0),
            What::Maintenance => ("maintenance", 0),
            What::Termination => ("termination", 0),
            What::Exchange(number) => ("exchange", number),
        };
        hash.update(name);
        hash.update(number.to_be_bytes());
        Self(first(&hash.finalize()))
    }
}

/// The initial sequence numbers, if the handshake was seen.
pub(super) fn seen_numbers(timeline: &Timeline) -> Option<InitialNumbers> {
    timeline.initiation()?.initial_numbers
}

fn first<const N: usize>(hash: &[u8]) -> [u8; N] {
    let mut id = [0; N];
    for (to, from) in id.iter_mut().zip(hash) {
        *to = *from;
    }
    if id == [0; N] {
        // No id may be all zeros.
        id[N - 1] = 1;
    }
    id
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use upload_protocol::{
        ConnectionId, End, Moment,
        timeline::{InitialNumbers, Initiation, Phase, Timeline},
    };

    use super::{Observer, SpanId, TraceId, What};

    const NUMBERS: InitialNumbers = InitialNumbers {
        client: 0x0102_0304,
        server: 0xfffe_fdfc,
    };

    fn timeline(numbers: Option<InitialNumbers>, mono_ns: u64) -> Timeline {
        Timeline {
            at: Moment {
                mono_ns,
                unix_ns: 5,
            },
            connection: ConnectionId::new(7, None),
            phases: vec![Phase::Initiation(Initiation {
                initial_numbers: numbers,
                ..Initiation::default()
            })],
            ..Timeline::default()
        }
    }

    /// `printf 'tcp\x01\x02\x03\x04\xff\xfe\xfd\xfc' | sha256sum | head -c 32`
    #[test]
    fn anybody_can_compute_a_trace_s_id() {
        let TraceId(id) = TraceId::of_handshake(NUMBERS);
        let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "046b6fc3dc8aa6d03b9478723fe18a54");
    }

    #[test]
    fn both_hosts_name_the_same_trace() {
        let here = TraceId::of(&timeline(Some(NUMBERS), 1), "a");
        let there = TraceId::of(&timeline(Some(NUMBERS), 2), "b");
        assert_eq!(here, there);
        let swapped = InitialNumbers {
            client: NUMBERS.server,
            server: NUMBERS.client,
        };
        assert_ne!(here, TraceId::of_handshake(swapped));
    }

    #[test]
    fn without_a_handshake_each_has_its_own() {
        let of = |mono_ns, host| TraceId::of(&timeline(None, mono_ns), host);
        assert_eq!(of(1, "a"), of(1, "a"));
        assert_ne!(of(1, "a"), of(2, "a"));
        assert_ne!(of(1, "a"), of(1, "b"));
        assert_ne!(of(1, ""), of(2, ""));
    }

    #[test]
    fn every_span_has_its_own() {
        let trace = TraceId::of_handshake(NUMBERS);
        let mut whats = vec![
            What::Connection,
            What::Initiation,
            What::Maintenance,
            What::Termination,
        ];
        whats.extend((0..1000).map(What::Exchange));
        let tellers = [
            Observer::End(End::Client),
            Observer::End(End::Server),
            Observer::Capture,
        ];
        let ids: HashSet<_> = tellers
            .iter()
            .flat_map(|observer| whats.iter().map(|what| SpanId::of(trace, *observer, *what)))
            .collect();
        assert_eq!(ids.len(), 3 * whats.len());
    }
}
