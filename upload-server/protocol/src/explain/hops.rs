//! Explains the way of an upload over several connections.

use crate::{
    timeline::{PassedOn, UploadHop},
    units::duration,
};

/// A shorter pause is what any program needs.
const LEAST_HELD_NS: u64 = 100_000_000;

/// The process at the server's end of a hop, as a subject.
fn proxy(hop: &UploadHop) -> String {
    match &hop.server.owner.comm {
        Some(comm) => comm.to_string(),
        None => "the process between".to_owned(),
    }
}

/// What the process at the server's end of a hop made of the request; `None` for the last hop, and where it took
/// no time.
#[must_use]
pub fn passed_on(hop: &UploadHop) -> Option<String> {
    let held_ns = hop.held_ns.filter(|held| *held >= LEAST_HELD_NS)?;
    let (proxy, held) = (proxy(hop), duration(held_ns));
    Some(match hop.passed_on? {
        PassedOn::Buffered => format!(
            "{proxy} received all of it before it passed anything on (request buffering): {held} in which the next server saw nothing"
        ),
        PassedOn::Streamed => {
            format!("{proxy} passed it on as it came, and began {held} after its first byte")
        }
    })
}

/// Why each hop belongs to the next.
#[must_use]
pub fn hops(hops: &[UploadHop]) -> Vec<String> {
    let mut sentences = vec![format!(
        "The upload went over {} TCP connections. Each has a handshake, windows and losses of its own; a proxy joins them.",
        hops.len()
    )];
    for (number, hop) in (1..).zip(hops) {
        let evidence: Vec<_> = hop.evidence.iter().map(|what| what.describe()).collect();
        if evidence.is_empty() {
            continue;
        }
        sentences.push(format!(
            "Hop {number} carried the same upload as hop {}: {}, by the order of {}'s system calls.",
            number + 1,
            evidence.join("; "),
            proxy(hop),
        ));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::passed_on;
    use crate::timeline::{PassedOn, UploadHop};

    #[test]
    fn what_a_proxy_made_of_it() {
        let check = |how, held_ns, expected: Option<&str>| {
            let mut hop = UploadHop {
                passed_on: how,
                held_ns,
                ..UploadHop::default()
            };
            hop.server.owner.comm = Some("nginx".into());
            assert_eq!(passed_on(&hop).as_deref(), expected);
        };
        check(None, None, None);
        check(Some(PassedOn::Streamed), Some(1_000), None);
        check(
            Some(PassedOn::Streamed),
            Some(250_000_000),
            Some("nginx passed it on as it came, and began 250 ms after its first byte"),
        );
        check(
            Some(PassedOn::Buffered),
            Some(13_500_000_000),
            Some(
                "nginx received all of it before it passed anything on (request buffering): 13.5 s in which the next server saw nothing",
            ),
        );
    }
}
