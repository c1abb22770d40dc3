//! A diagnosis as a sentence, and what to do about it.

mod named;
mod queue;
mod time_out;

use upload_protocol::{
    timeline::{Diagnosis, DiagnosisEvidence, HeldBackBy, NoVerdict},
    units,
};

/// Sets `sentence` and `advice`.
pub(super) fn put(diagnosis: &mut Diagnosis) {
    let evidence = &diagnosis.evidence;
    let sentence = match (diagnosis.verdict, diagnosis.no_verdict) {
        (Some(cause), _) => {
            let rate = evidence.bytes_per_second.filter(|rate| *rate > 0);
            let rate = rate.map_or_else(String::new, |rate| {
                format!(" It went at {}/s.", units::bytes(rate))
            });
            let sentence = named::sentence(diagnosis)
                .or_else(|| queue::of_path(diagnosis))
                .unwrap_or_else(|| of_cause(cause).to_owned());
            sentence + &rate
        }
        (None, Some(NoVerdict::Short)) => {
            "Too short to be held back by anything but its round trips.".to_owned()
        }
        (None, Some(NoVerdict::Fast)) => format!(
            "Nothing held it back: {}/s.",
            units::bytes(evidence.bytes_per_second.unwrap_or_default())
        ),
        (None, Some(NoVerdict::NoSingleCause)) => "No single cause held it back.".to_owned(),
        (None, _) => "What held it back is unknown.".to_owned(),
    };
    let advice = diagnosis
        .verdict
        .and_then(|cause| named::advice(evidence).or_else(|| of_unnamed(evidence, cause)));
    let (ended, about_end) = match &diagnosis.ended_by {
        Some(timed_out) => (
            Some(time_out::sentence(timed_out)),
            Some(time_out::advice(timed_out).to_owned()),
        ),
        None => (None, None),
    };
    let estimated = estimated(diagnosis).map(str::to_owned);
    let all: Vec<String> = std::iter::once(sentence)
        .chain(estimated)
        .chain(ended)
        .collect();
    diagnosis.sentence = diagnosis.by_roles(&all.join(" "));
    let all: Vec<String> = advice.into_iter().chain(about_end).collect();
    diagnosis.advice = (!all.is_empty()).then(|| diagnosis.by_roles(&all.join(" ")));
}

/// Where a verdict comes from that no kernel measured.
fn estimated(diagnosis: &Diagnosis) -> Option<&'static str> {
    diagnosis.verdict.and(diagnosis.by)?;
    Some(match diagnosis.near {
        Some(_) if diagnosis.sees_sender() => "Estimated from segments captured near the client.",
        Some(_) => "Estimated from segments captured near the server.",
        None => "Estimated from segments.",
    })
}

const fn of_cause(cause: HeldBackBy) -> &'static str {
    match cause {
        HeldBackBy::Connect => "The connection took long to open.",
        HeldBackBy::Accept => "The server's process accepted the connection late.",
        HeldBackBy::Tls => "The TLS handshake took most of the time.",
        HeldBackBy::Request => "The head of the request took most of the time.",
        HeldBackBy::ServerSilent => "The client waited for 100 Continue.",
        HeldBackBy::ClientApplication => {
            "The client's process had nothing to send: the kernel waited for it with an empty buffer."
        }
        HeldBackBy::WaitsForPeer => {
            "The client's process waited for the server before it sent more."
        }
        HeldBackBy::ClientSendBuffer => {
            "The client's send buffer was full of what was not acknowledged yet."
        }
        HeldBackBy::Nagle => {
            "Nagle's algorithm kept small segments back until the one before was acknowledged."
        }
        HeldBackBy::ClientQueue => "Segments waited in a queue of the client's own machine.",
        HeldBackBy::ClientSide => {
            "The client's side sent no more: its process, its buffer or its algorithm."
        }
        HeldBackBy::Loss => "Segments were lost, and sent again.",
        HeldBackBy::Path => "The path between client and server was full.",
        HeldBackBy::Rtt => "Round trips took most of the time.",
        HeldBackBy::ServerNotReading => "The server's process did not read what had arrived.",
        HeldBackBy::ServerWindow => {
            "The server's receive window was too small for a path of this length."
        }
        HeldBackBy::ServerThinks => "The server had the whole body, and took long to answer.",
        HeldBackBy::Response => "The response took most of the time.",
        HeldBackBy::Other | HeldBackBy::Unknown => "What held it back is unknown.",
    }
}

fn of_unnamed(evidence: &DiagnosisEvidence, cause: HeldBackBy) -> Option<String> {
    let advice = match cause {
        HeldBackBy::Accept => {
            "Let the server accept in a thread that does nothing else.".to_owned()
        }
        HeldBackBy::ServerSilent => {
            "Let the server answer Expect: 100-continue, or the client not send it.".to_owned()
        }
        HeldBackBy::ClientApplication => {
            "Let the client read faster, or give larger pieces.".to_owned()
        }
        HeldBackBy::WaitsForPeer => {
            let amount = named::in_flight(evidence).map_or_else(String::new, |bytes| {
                format!(" than {}", units::bytes(bytes))
            });
            format!(
                "Let the server permit more{amount} at once: with HTTP/2, a larger window of the stream."
            )
        }
        HeldBackBy::ClientSendBuffer => {
            "Raise the last number of net.ipv4.tcp_wmem on the client.".to_owned()
        }
        HeldBackBy::Nagle => "Set TCP_NODELAY on the client, or send with one call.".to_owned(),
        HeldBackBy::ServerNotReading => {
            let unread = evidence.unread_bytes.filter(|unread| *unread > 0);
            let waited = unread.map_or_else(String::new, |unread| {
                format!(": up to {} waited unread", units::bytes(unread.into()))
            });
            format!("Look at what the server does with the body, such as its disk{waited}.")
        }
        HeldBackBy::ServerWindow => {
            "Raise the last number of net.ipv4.tcp_rmem on the server.".to_owned()
        }
        HeldBackBy::ServerThinks => "Look at what the server does after the body.".to_owned(),
        HeldBackBy::Path => {
            "More connections will not help. Compare the rate with that of the line.".to_owned()
        }
        HeldBackBy::Loss => {
            "Look for loss on the path: a radio link, a full queue, a wrong MTU.".to_owned()
        }
        _ => return None,
    };
    Some(advice)
}
