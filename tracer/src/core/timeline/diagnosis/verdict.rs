//! From causes to shares, and from shares to a verdict.

use upload_protocol::timeline::{Certainty, Diagnosis, HeldBackBy, NoVerdict, Share};

use super::{
    body::{hundredths, ratio},
    spans::Causes,
};

/// An upload that took less, or was held back for less, is too short to be judged.
const SHORT_NS: u64 = 200_000_000;
/// With Nagle's algorithm at one end and a delayed acknowledgment at the other (Linux: 40 ms), even a short
/// one is held back.
const DELAYED_ACK_NS: u64 = 35_000_000;
/// The same in round trips.
const SHORT_RTTS: u64 = 10;
/// One that is faster, in bytes per second, was not held back.
const FAST: u64 = 100_000_000;
/// From this part on, a cause alone is the verdict …
const ALONE: f64 = 0.5;
/// … and two causes together are.
const TOGETHER: f64 = 0.7;
/// A second cause with less is not named.
const SECOND: f64 = 0.2;
/// Smaller causes are not told apart.
const SMALL: f64 = 0.01;

/// Adds equal causes up, and makes shares of them: together 1, the largest first.
pub(super) fn shares(causes: Causes, wall_ns: u64) -> Vec<Share> {
    let mut added: Causes = Vec::new();
    for (cause, ns) in causes {
        match added.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, sum)) => *sum += ns,
            None => added.push((cause, ns)),
        }
    }
    let covered: u64 = added.iter().map(|(_, ns)| ns).sum();
    let mut other = wall_ns.saturating_sub(covered);
    let whole = wall_ns.max(covered);
    let is_small = |ns: u64| ratio(ns, whole.max(1)) < SMALL;
    added.retain(|(_, ns)| {
        if is_small(*ns) {
            other += ns;
        }
        !is_small(*ns)
    });
    added.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    if other > 0 && whole > 0 {
        added.push((HeldBackBy::Other, other));
    }
    round(&added, whole)
}

/// Rounds to hundredths that make 1: those that lose most by rounding down are rounded up.
fn round(causes: &[(HeldBackBy, u64)], whole: u64) -> Vec<Share> {
    let whole = u128::from(whole.max(1));
    let parts = |ns: u64| {
        let scaled = u128::from(ns) * 100;
        (scaled / whole, scaled % whole)
    };
    let rounded: u128 = causes.iter().map(|(_, ns)| parts(*ns).0).sum();
    let missing = usize::try_from(100_u128.saturating_sub(rounded)).unwrap_or(0);
    let mut by_rest: Vec<usize> = (0..causes.len()).collect();
    by_rest.sort_by_key(|at| std::cmp::Reverse(parts(causes[*at].1).1));
    let raised = &by_rest[..missing.min(by_rest.len())];
    let share = |(at, (cause, ns)): (usize, &(HeldBackBy, u64))| {
        let hundredth = parts(*ns).0 + u128::from(raised.contains(&at));
        Share {
            cause: *cause,
            ns: *ns,
            share: ratio(u64::try_from(hundredth).unwrap_or(100), 100),
        }
    };
    causes.iter().enumerate().map(share).collect()
}

/// Names the cause, or why there is none.
pub(super) fn judge(diagnosis: &mut Diagnosis, is_unsure: bool) {
    match cause(diagnosis, is_unsure) {
        Ok((cause, second)) => {
            diagnosis.verdict = Some(cause);
            diagnosis.second = second;
            diagnosis.side = cause.side();
            diagnosis.certainty = match diagnosis.certainty {
                Certainty::Observed if is_inferred(cause) || is_either(cause, second) => {
                    Certainty::Inferred
                }
                // Nothing measured the body, but it is not the body that took long.
                Certainty::Unknown => Certainty::Observed,
                known => known,
            };
        }
        Err(reason) => {
            diagnosis.no_verdict = Some(reason);
            if reason == NoVerdict::Unknown {
                diagnosis.certainty = Certainty::Unknown;
            }
        }
    }
}

/// What follows from a measurement, and is not one.
const fn is_inferred(cause: HeldBackBy) -> bool {
    matches!(
        cause,
        HeldBackBy::Path
            | HeldBackBy::Loss
            | HeldBackBy::Rtt
            | HeldBackBy::ClientSide
            | HeldBackBy::ServerWindow
    )
}

/// Two causes that only the time tells apart which the process took to answer its peer.
const fn is_either(cause: HeldBackBy, second: Option<HeldBackBy>) -> bool {
    matches!(
        (cause, second),
        (
            HeldBackBy::ClientApplication,
            Some(HeldBackBy::WaitsForPeer)
        ) | (
            HeldBackBy::WaitsForPeer,
            Some(HeldBackBy::ClientApplication)
        )
    )
}

fn cause(
    diagnosis: &Diagnosis,
    is_unsure: bool,
) -> Result<(HeldBackBy, Option<HeldBackBy>), NoVerdict> {
    let evidence = &diagnosis.evidence;
    let rtt_ns = evidence.min_rtt_ns.unwrap_or(0);
    let first = diagnosis.shares.first();
    if diagnosis.wall_ns >= DELAYED_ACK_NS
        && let Some(nagle) = first.filter(|first| first.cause == HeldBackBy::Nagle)
        && nagle.share >= ALONE
        && !is_unsure
    {
        return Ok((HeldBackBy::Nagle, None));
    }
    if diagnosis.wall_ns < SHORT_NS || diagnosis.wall_ns < rtt_ns.saturating_mul(SHORT_RTTS) {
        return Err(NoVerdict::Short);
    }
    if is_unsure {
        return Err(NoVerdict::Unknown);
    }
    let mut known = diagnosis
        .shares
        .iter()
        .filter(|share| share.cause.side().is_some());
    let (Some(first), second) = (known.next(), known.next()) else {
        return Err(NoVerdict::Unknown);
    };
    if evidence.bytes_per_second.is_some_and(|rate| rate >= FAST) && is_of_body(first.cause) {
        return Err(NoVerdict::Fast);
    }
    let second = second.filter(|second| second.share >= SECOND);
    let together = first.share + second.map_or(0.0, |second| second.share);
    if first.share >= ALONE || hundredths(together) >= TOGETHER {
        let named = [Some(first), second].into_iter().flatten();
        // Round trips hold nothing back.
        let held = named.filter(|share| share.cause != HeldBackBy::Rtt);
        let held_ns: u64 = held.map(|share| share.ns).sum();
        if first.cause == HeldBackBy::Rtt || held_ns < SHORT_NS {
            return Err(NoVerdict::Short);
        }
        return Ok((first.cause, second.map(|second| second.cause)));
    }
    let unknown = diagnosis
        .shares
        .iter()
        .find(|share| share.cause == HeldBackBy::Unknown);
    Err(match unknown {
        Some(unknown) if unknown.share >= SECOND => NoVerdict::Unknown,
        _ => NoVerdict::NoSingleCause,
    })
}

/// Whether the cause holds the body back, and no other phase.
const fn is_of_body(cause: HeldBackBy) -> bool {
    !matches!(
        cause,
        HeldBackBy::Connect
            | HeldBackBy::Accept
            | HeldBackBy::Tls
            | HeldBackBy::Request
            | HeldBackBy::ServerSilent
            | HeldBackBy::ServerThinks
            | HeldBackBy::Response
    )
}
