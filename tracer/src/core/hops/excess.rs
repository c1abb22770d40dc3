//! Decides between encrypted requests by their heads: those of one kind of client have about as many bytes. What
//! requests had that were joined otherwise is expected of the next ones, too.

use upload_protocol::timeline::Certainty;

use super::{
    Choice, Legs,
    fit::{Bytes, Fit},
};

/// Heads of one kind of client differ: in the name of the file, in its length.
const DIFFERENCE: u64 = 48;

/// The one request whose head is as long as usual, if no other request of the process may be it.
pub(super) fn choose(fits: Vec<Fit>, process: u32, legs: &impl Legs, bytes: &Bytes) -> Choice {
    let count = u32::try_from(fits.len()).unwrap_or(u32::MAX);
    let Some((least, most)) = legs.usual_excess(process) else {
        return Choice::Several(count);
    };
    let is_usual = |excess: u64, length: u64| {
        // TLS records and frames of HTTP/2 may be shorter than they could be.
        let about = DIFFERENCE + length / 1_024;
        (least.saturating_sub(about)..=most.saturating_add(about)).contains(&excess)
    };
    let usual = |fit: &Fit| {
        let excess = fit.found.excess;
        excess.is_some_and(|excess| is_usual(excess, bytes.least()))
    };
    // What is not known may be usual.
    let may_be = |fit: &Fit| fit.found.excess.is_none() || usual(fit);
    let mut usual = fits.into_iter().filter(may_be);
    let (Some(mut fit), None) = (usual.next(), usual.next()) else {
        return Choice::Several(count);
    };
    let passing = fit.found.request.passing;
    let from_ns = passing.start_ns.unwrap_or(0);
    let to_ns = passing.response_ns.unwrap_or(u64::MAX);
    let sent = legs.sent_by(process, from_ns, to_ns);
    let hidden = fit.found.request.bytes.unwrap_or(0);
    let may_be_it = sent.iter().filter(|sent| {
        let excess = Bytes::known(sent.bytes).excess_of(hidden);
        excess.is_some_and(|excess| is_usual(excess, sent.bytes))
    });
    if may_be_it.count() > 1 {
        return Choice::Several(count);
    }
    fit.found.process = process;
    fit.found.excess = None;
    fit.found.certainty = Certainty::Inferred;
    Choice::One(Box::new(fit.found))
}
