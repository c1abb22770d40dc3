//! Explains what held an upload back: what each cause means, and how it is known.

use crate::{
    tcp::End,
    timeline::{Certainty, Diagnosis, EstimatedBy, HeldBackBy, NoVerdict, Share},
    units::duration,
};

/// A cause with a smaller share is not explained.
const LEAST: f64 = 0.05;

/// What held the upload back, sentence by sentence: why there is no verdict, or the causes, the largest
/// first, and how they are known.
#[must_use]
pub fn diagnosis(diagnosis: &Diagnosis) -> Vec<String> {
    match diagnosis.no_verdict {
        Some(reason @ (NoVerdict::Short | NoVerdict::Fast | NoVerdict::Unknown)) => {
            vec![without_verdict(reason).to_owned()]
        }
        reason => {
            let wall = duration(diagnosis.wall_ns);
            let whole = format!(
                "The upload took {wall}. Each moment of it belongs to what kept it from going faster then."
            );
            let mut sentences = vec![whole];
            let shares = diagnosis.shares.iter();
            sentences.extend(shares.filter_map(of_share));
            sentences.extend(reason.map(|reason| without_verdict(reason).to_owned()));
            sentences.push(known_by(diagnosis).to_owned());
            sentences.extend(certainty(diagnosis).map(str::to_owned));
            let by_roles = |sentence: &String| diagnosis.by_roles(sentence);
            sentences.iter().map(by_roles).collect()
        }
    }
}

fn of_share(share: &Share) -> Option<String> {
    let meaning = meaning(share.cause).filter(|_| share.share >= LEAST)?;
    let (name, phrase) = (share.cause.name(), share.cause.phrase());
    Some(format!(
        "{:.0} % {name}, {phrase}: {meaning}",
        share.share * 100.0
    ))
}

/// What a cause means, with the RFC that it follows from, and what Linux calls it.
const fn meaning(cause: HeldBackBy) -> Option<&'static str> {
    Some(match cause {
        HeldBackBy::Connect => {
            "the three-way handshake takes a round trip before the first byte may be sent (RFC 9293, section 3.5), and longer where a SYN is lost."
        }
        HeldBackBy::Accept => {
            "the kernel completes handshakes by itself; the connection then waited in the queue of the listening socket until the process called accept()."
        }
        HeldBackBy::Tls => {
            "the two ends agree on keys before the request, which takes at least a round trip (RFC 8446, section 2)."
        }
        HeldBackBy::Request => {
            "from the first byte of the request's head to its last (RFC 9112, section 2.1)."
        }
        HeldBackBy::ServerSilent => {
            "the client had announced its body with Expect: 100-continue, and waited for the server to ask for it (RFC 9110, section 10.1.1)."
        }
        HeldBackBy::ClientApplication => {
            "TCP sends what the process has written, and everything was sent: the send queue was empty (write_seq equals snd_nxt)."
        }
        HeldBackBy::WaitsForPeer => {
            "everything that the process had written was sent, and it wrote more only after something had come from its peer, as with the flow control of HTTP/2 (RFC 9113, section 5.2)."
        }
        HeldBackBy::ClientSendBuffer => {
            "what is sent stays in the send buffer until it is acknowledged; the buffer was full (SOCK_NOSPACE), so the process had to wait, and the window was not."
        }
        HeldBackBy::Nagle => {
            "less than a full segment is kept back while something is not acknowledged (RFC 9293, section 3.7.4), and the peer delays its acknowledgment in the hope of something to send with it (section 3.8.6.3)."
        }
        HeldBackBy::ClientQueue => {
            "segments had left TCP, and waited in the queue of the client's own network device (qdisc)."
        }
        HeldBackBy::ClientSide => {
            "nothing more arrived, though the window was open and nothing was missing; what the client was waiting for is not seen from the server's end."
        }
        HeldBackBy::Loss => {
            "segments did not arrive, and were sent again: at once where acknowledgments show a hole (RFC 5681, section 3.2; TCP_CA_Recovery), or after a time-out (RFC 6298; TCP_CA_Loss). The congestion window is small after that."
        }
        HeldBackBy::Path => {
            "as much was on its way as the congestion window (RFC 5681; snd_cwnd) or the pacing rate (sk_pacing_rate) allows, and they follow what the path carries."
        }
        HeldBackBy::Rtt => {
            "the congestion window or the server's window still grew, which takes round trips (slow start, RFC 5681, section 3.1)."
        }
        HeldBackBy::ServerNotReading => {
            "the server's receive buffer held what its process had not read, so its kernel announced a smaller window, down to 0 (RFC 9293, section 3.8.6), and the client had to wait (TCP_CHRONO_RWND_LIMITED)."
        }
        HeldBackBy::ServerWindow => {
            "no more than the server's window may be on its way in one round trip (RFC 9293, section 3.8.6; RFC 7323, section 2); it was in use to its end, though the process read in time."
        }
        HeldBackBy::ServerThinks => {
            "the server had read the whole body, and had not begun its response."
        }
        HeldBackBy::Response => "from the first byte of the response to its last.",
        HeldBackBy::Unknown => "no measurement covers it.",
        HeldBackBy::Other => return None,
    })
}

const fn without_verdict(reason: NoVerdict) -> &'static str {
    match reason {
        NoVerdict::Short => {
            "The upload took less than 200 ms or ten round trips, so nothing is named that held it back."
        }
        NoVerdict::Fast => {
            "The body went at 100 MB/s or more, so nothing is named that held it back."
        }
        NoVerdict::NoSingleCause => {
            "No cause has half of the time, and no two have 70 %, so none is the verdict."
        }
        NoVerdict::Unknown => {
            "Records were lost, or no kernel measured enough of it, so nothing is named that held it back."
        }
    }
}

/// Who measured the body, or from where its segments show it.
fn known_by(diagnosis: &Diagnosis) -> &'static str {
    match (diagnosis.by, diagnosis.near) {
        (None, _) => measured(&diagnosis.from),
        (Some(EstimatedBy::Segments), Some(_)) if diagnosis.sees_sender() => {
            "No kernel measured the body: it is estimated from segments captured near the client, as far as their headers show it. What the client's process and its buffers did follows from what its segments waited for; that the server's process did not read follows from its window."
        }
        (Some(EstimatedBy::Segments), Some(_)) => {
            "No kernel measured the body: it is estimated from segments captured near the server, as far as their headers show it. What waited for the server's process follows from its window; what held the client back there is not told apart."
        }
        (Some(EstimatedBy::Segments), None) => {
            "No kernel measured the body, and its segments show too little of it; the phases around it are the timeline's."
        }
    }
}

/// Whose kernel measured the body, and what it cannot see.
const fn measured(from: &[End]) -> &'static str {
    match from {
        [] => "No kernel measured the body; the phases around it are the timeline's.",
        [End::Client] => {
            "The client's kernel measured the body: at each segment, what had kept it until then. The server's end was not seen, so that its process did not read follows from its window."
        }
        [End::Server] => {
            "The server's kernel measured the body: what came when, and what waited for the process. The client's end was not seen, so what held it back there is not told apart."
        }
        _ => {
            "The kernels of both ends measured the body: the client's at each segment, what had kept it until then; the server's, what waited for its process."
        }
    }
}

fn certainty(diagnosis: &Diagnosis) -> Option<&'static str> {
    diagnosis.verdict?;
    Some(match diagnosis.certainty {
        Certainty::Observed => "The verdict is observed: a limit that was seen, and timed.",
        Certainty::Inferred if diagnosis.by.is_some() => {
            "The verdict is inferred: it follows from headers alone."
        }
        Certainty::Inferred => "The verdict is inferred: it follows from what was measured.",
        Certainty::Unknown => "How certain the verdict is, is unknown.",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(diagnosis: &Diagnosis) -> String {
        super::diagnosis(diagnosis).join("\n")
    }

    fn share(cause: HeldBackBy, share: f64) -> Share {
        Share {
            cause,
            ns: 1,
            share,
        }
    }

    #[test]
    fn causes_are_explained_by_their_size() {
        let text = found(&Diagnosis {
            verdict: Some(HeldBackBy::ServerNotReading),
            certainty: Certainty::Observed,
            from: vec![End::Client, End::Server],
            wall_ns: 3_000_000_000,
            shares: vec![
                share(HeldBackBy::ServerNotReading, 0.8),
                share(HeldBackBy::Tls, 0.16),
                share(HeldBackBy::Connect, 0.04),
            ],
            ..Diagnosis::default()
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[0].starts_with("The upload took 3.0 s."), "{text}");
        assert!(lines[1].starts_with("80 % server_not_reading, the server's process"));
        assert!(
            lines[2].starts_with("16 % tls, the TLS handshake: "),
            "{text}"
        );
        assert!(lines[3].starts_with("The kernels of both ends"), "{text}");
        assert!(lines[4].contains("observed"), "{text}");
    }

    #[test]
    fn an_estimate_claims_no_kernel() {
        for (near, expected) in [
            (Some(End::Client), "captured near the client"),
            (Some(End::Server), "captured near the server"),
            (None, "show too little"),
        ] {
            let text = found(&Diagnosis {
                verdict: Some(HeldBackBy::Path),
                certainty: Certainty::Inferred,
                by: Some(EstimatedBy::Segments),
                near,
                ..Diagnosis::default()
            });
            assert!(text.contains("No kernel measured the body"), "{text}");
            assert!(text.contains(expected), "{text}");
            assert!(text.ends_with("from headers alone."), "{text}");
        }
    }

    #[test]
    fn without_a_verdict_it_says_why() {
        let short = Diagnosis {
            no_verdict: Some(NoVerdict::Short),
            shares: vec![share(HeldBackBy::Rtt, 1.0)],
            ..Diagnosis::default()
        };
        assert!(found(&short).ends_with("nothing is named that held it back."));
        let many = Diagnosis {
            no_verdict: Some(NoVerdict::NoSingleCause),
            from: vec![End::Server],
            shares: vec![share(HeldBackBy::Rtt, 0.4), share(HeldBackBy::Path, 0.3)],
            ..Diagnosis::default()
        };
        let text = found(&many);
        assert!(text.contains("40 % rtt, round trips: "), "{text}");
        assert!(text.contains("No cause has half of the time"), "{text}");
        assert!(text.contains("The client's end was not seen"), "{text}");
        assert!(!text.contains("The verdict is"), "{text}");
    }

    #[test]
    fn each_cause_has_a_meaning() {
        for cause in HeldBackBy::ALL {
            let has = meaning(*cause).is_some();
            assert_eq!(has, *cause != HeldBackBy::Other, "{}", cause.name());
        }
    }
}
