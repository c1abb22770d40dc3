//! Explains the way of an upload over several connections.

use crate::{
    timeline::{
        Certainty, HopEvidence, HopRole, PassedOn, Process, Timeline, UploadHop, UploadSummary,
    },
    units::{bytes, duration},
};

/// A shorter pause is what any program needs.
const LEAST_HELD_NS: u64 = 100_000_000;
/// What takes less is not worth a remark, and its rate means nothing.
const LEAST_REMARKED_NS: u64 = 1_000_000;

/// What a row of a hop remarks, where it is known and worth it: the version of TLS, the bytes, how long the body
/// took and its rate, and, on the last hop, the wait for the response. On the others, the wait is the next hop's
/// time.
#[must_use]
pub fn hop_remarks(hop: &UploadHop, is_last: bool) -> Vec<String> {
    let is_long = |ns: &u64| *ns >= LEAST_REMARKED_NS;
    let body_ns = hop.request_ns.filter(is_long);
    let wait_ns = hop.wait_ns.filter(is_long).filter(|_| is_last);
    let rate = body_ns.zip(hop.bytes).map(|(ns, bytes)| rate(bytes, ns));
    let mut remarks = Vec::new();
    remarks.extend((hop.role == HopRole::Tunnel).then(|| "tunnel".to_owned()));
    remarks.extend(hop.tls.map(|version| version.to_string()));
    remarks.extend(hop.bytes.map(|sent| bytes(sent).to_string()));
    remarks.extend(body_ns.map(|ns| format!("body {}", duration(ns))));
    remarks.extend(rate.map(|rate| format!("{}/s", bytes(rate))));
    remarks.extend(wait_ns.map(|ns| format!("wait {}", duration(ns))));
    remarks
}

fn rate(bytes: u64, ns: u64) -> u64 {
    let rate = u128::from(bytes) * 1_000_000_000 / u128::from(ns.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// That the connection in front of an upload's is not known, where several may be it.
#[must_use]
pub fn ambiguous_hops(timeline: &Timeline, upload: &UploadSummary) -> Option<String> {
    let count = upload.ambiguous_hops?;
    let client = named(&timeline.client.owner, "a process");
    Some(format!(
        "through {client}: {count} connections may be the one in front; which one is not known"
    ))
}

/// What the receiving process of a hop made of the request; `None` for the last hop, and where it took no time.
#[must_use]
pub fn passed_on(hop: &UploadHop) -> Option<String> {
    hop.held_ns.filter(|held| *held >= LEAST_HELD_NS)?;
    made_of_it(hop)
}

fn made_of_it(hop: &UploadHop) -> Option<String> {
    let proxy = proxy(hop);
    let held = hop.held_ns.map(|held| duration(held).to_string());
    Some(match (hop.passed_on?, held) {
        (PassedOn::Buffered, Some(held)) => format!(
            "{proxy} received all of it before it passed anything on (request buffering): {held} in which the next server saw nothing"
        ),
        (PassedOn::Buffered, None) => {
            format!("{proxy} received all of it before it passed anything on (request buffering)")
        }
        (PassedOn::Streamed, Some(held)) => {
            format!("{proxy} passed it on as it came, and began {held} after its first byte")
        }
        (PassedOn::Streamed, None) => format!("{proxy} passed it on as it came"),
    })
}

/// The whole way: how many connections, where TLS ends, what each proxy did, which part of the time passed on which
/// hop, and how it is known that the hops belong together.
#[must_use]
pub fn hops(hops: &[UploadHop]) -> Vec<String> {
    let mut sentences = connections(hops);
    sentences.extend(tls(hops));
    let pairs = || (1..).zip(hops.windows(2));
    for (number, pair) in pairs() {
        let [hop, _] = pair else { continue };
        let next = number + 1;
        sentences.push(match made_of_it(hop) {
            Some(what) => format!("From hop {number} to hop {next}: {what}."),
            None => format!(
                "Whether {} passed it on to hop {next} as it came, or after all of it had come, is not known.",
                proxy(hop)
            ),
        });
    }
    sentences.extend(times(hops));
    for (number, pair) in pairs() {
        let [hop, _] = pair else { continue };
        sentences.push(evidence(hop, number));
    }
    sentences
}

fn connections(hops: &[UploadHop]) -> Vec<String> {
    let ways = (1..).zip(hops).map(|(number, hop)| {
        let sender = named(&hop.sending().owner, "an unknown process");
        let receiver = named(&hop.receiving().owner, "an unknown process");
        match hop.role {
            HopRole::Exchange => format!("hop {number} from {sender} to {receiver}"),
            HopRole::Tunnel => format!("hop {number}, a tunnel, from {sender} to {receiver}"),
        }
    });
    let ways: Vec<String> = ways.collect();
    vec![
        format!(
            "The upload went over {} TCP connections: {}.",
            hops.len(),
            ways.join(", ")
        ),
        "Each has its own three phases: a handshake, its use with windows and losses of its own, and a close. No segment goes from one to the next: the process between reads from one socket, and sends on the other.".to_owned(),
    ]
}

/// Which hops are encrypted, and where that begins and ends.
fn tls(hops: &[UploadHop]) -> Vec<String> {
    let is_clear = |hop: &UploadHop| hop.tls.is_none() && hop.role == HopRole::Exchange;
    if hops.iter().all(is_clear) {
        return vec!["TLS was seen on none of them: as far as that shows, HTTP is in clear text all the way, and a capture of any of them has the file.".to_owned()];
    }
    let before = [None].into_iter().chain(hops.iter().map(Some));
    let places = (1..).zip(before.zip(hops));
    places
        .filter_map(|(number, (before, hop))| tls_of(number, before, hop))
        .collect()
}

fn tls_of(number: usize, before: Option<&UploadHop>, hop: &UploadHop) -> Option<String> {
    let proxy = before.map(proxy).unwrap_or_default();
    if hop.role == HopRole::Tunnel {
        return Some(format!(
            "Hop {number} was open before the upload and goes on after it: the upload is within it, perhaps beside others, and its bytes are not told apart from theirs. The protocol of the tunnel decides whether they are encrypted."
        ));
    }
    let goes_through =
        before.is_some_and(|before| before.evidence.contains(&HopEvidence::ClientHello));
    if goes_through {
        return Some(format!(
            "On hop {number} is the same TLS: {proxy} passes on the encrypted bytes as they are."
        ));
    }
    let before = before.filter(|before| before.role == HopRole::Exchange);
    let encrypted = before.map(|before| before.tls.is_some());
    Some(match (encrypted, hop.tls) {
        (None, Some(version)) => format!(
            "On hop {number}, HTTP is within {version}: the handshake of TLS follows that of TCP, and then a capture shows encrypted records alone, of the request and of the response."
        ),
        (None, None) => format!(
            "On hop {number} no TLS was seen: as far as that shows, HTTP is in clear text there."
        ),
        (Some(false), Some(version)) => {
            format!("On hop {number}, HTTP is within {version}: {proxy} encrypts what it sends on.")
        }
        (Some(true), Some(version)) => format!(
            "Hop {number} has {version}, too: either {proxy} ends TLS, has the clear text, and encrypts it anew, or it passes on the encrypted bytes as they are."
        ),
        (Some(true), None) => format!(
            "On hop {number} no TLS was seen. As far as that shows, TLS ends at {proxy}: it decrypts what it receives, and sends the request on in clear text."
        ),
        (Some(false), None) => return None,
    })
}

/// How long the upload was on each hop; each one's time is a part of that of the hop before.
fn times(hops: &[UploadHop]) -> Vec<String> {
    let mut known = Vec::new();
    let mut unknown = Vec::new();
    for (number, hop) in (1..).zip(hops) {
        match hop.until_response_ns().map(duration) {
            None => unknown.push(format!("hop {number}")),
            Some(took) if number == 1 => known.push(format!("{took} on hop 1")),
            Some(took) => known.push(match hop.share {
                Some(share) => format!("{took} on hop {number} ({:.0} %)", share * 100.0),
                None => format!("{took} on hop {number}"),
            }),
        }
    }
    let mut sentences = Vec::new();
    if !known.is_empty() {
        sentences.push(format!(
            "From the first byte of the request to the first byte of the response passed {}; the time of a hop lies within that of the hop before it.",
            known.join(", ")
        ));
    }
    if !unknown.is_empty() {
        let unknown = unknown.join(", ");
        sentences.push(format!("How long it took is not known of {unknown}."));
    }
    sentences.extend(hops.last().and_then(server_at_work));
    sentences
}

fn server_at_work(last: &UploadHop) -> Option<String> {
    last.until_response_ns()?;
    let server = named(&last.server.owner, "the server");
    Some(format!(
        "Of the last hop's time, {} passed between the last byte of the request and the first byte of the response: {server} was at work.",
        duration(last.wait_ns?)
    ))
}

/// Why a hop belongs to the next, and how certain that is.
fn evidence(hop: &UploadHop, number: usize) -> String {
    let next = number + 1;
    let reasons: Vec<_> = hop.evidence.iter().map(|what| what.describe()).collect();
    let mut text = format!("Hop {number} carried the same upload as hop {next}");
    if reasons.is_empty() {
        text.push_str("; the reason is not known here.");
    } else {
        text.push_str(" because ");
        text.push_str(&reasons.join("; "));
        text.push('.');
    }
    text.push_str(match hop.certainty {
        Certainty::Observed => " That was observed.",
        Certainty::Inferred => {
            " That is inferred: it is likely, and another upload at the same time could look alike."
        }
        Certainty::Unknown => " How certain that is, is not known.",
    });
    text
}

/// The receiving process of a hop, as a subject.
fn proxy(hop: &UploadHop) -> String {
    named(&hop.receiving().owner, "the process between")
}

pub(super) fn named(process: &Process, otherwise: &str) -> String {
    match &process.comm {
        Some(comm) => comm.to_string(),
        None => otherwise.to_owned(),
    }
}

#[cfg(test)]
mod tests;
