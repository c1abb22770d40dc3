//! Which cause held an upload back when: the causes whose sums are the shares, in the order of time.

use upload_protocol::timeline::{CauseSpan, HeldBackBy};

use super::spans::Causes;

/// As many of the body as a page can show beside each other. The phases around it are eleven at most.
const MAX_OF_BODY: usize = 48;

/// The causes of pieces that follow each other, joined where a cause goes on.
///
/// In which order the causes of one piece ruled is unknown: the one that the piece before ended with comes
/// first.
pub(super) fn in_order(pieces: impl IntoIterator<Item = Causes>) -> Causes {
    let mut course = Causes::new();
    for piece in pieces {
        let mut sums = Causes::new();
        for (cause, ns) in piece.into_iter().filter(|(_, ns)| *ns > 0) {
            match sums.iter_mut().find(|(known, _)| *known == cause) {
                Some((_, sum)) => *sum += ns,
                None => sums.push((cause, ns)),
            }
        }
        let before = course.last().map(|(cause, _)| *cause);
        sums.sort_by_key(|(cause, _)| Some(*cause) != before);
        for (cause, ns) in sums {
            push(&mut course, cause, ns);
        }
    }
    course
}

/// The same in no more spans than [`MAX_OF_BODY`], with the same sums: of too many, pieces of equal length
/// are made.
pub(super) fn bounded(causes: Causes) -> Causes {
    let mut bounded = causes;
    let mut count = MAX_OF_BODY as u64;
    while bounded.len() > MAX_OF_BODY {
        bounded = in_order(pieces(&bounded, count));
        count /= 2;
    }
    bounded
}

/// The spans of an upload that began at `start_ns` and took `wall_ns`. What no cause covers comes last, as
/// among its shares.
pub(super) fn of(causes: &Causes, start_ns: u64, wall_ns: u64) -> Vec<CauseSpan> {
    let covered: u64 = causes.iter().map(|(_, ns)| ns).sum();
    let rest = (HeldBackBy::Other, wall_ns.saturating_sub(covered));
    let mut joined = Causes::new();
    for (cause, ns) in causes.iter().copied().chain([rest]) {
        push(&mut joined, cause, ns);
    }
    let mut now = start_ns;
    let spans = joined.into_iter().map(|(cause, ns)| {
        let start_ns = now;
        now = now.saturating_add(ns);
        CauseSpan {
            cause,
            start_ns,
            end_ns: now,
        }
    });
    spans.collect()
}

/// The causes cut into so many pieces of equal length.
fn pieces(causes: &Causes, count: u64) -> Vec<Causes> {
    let all: u64 = causes.iter().map(|(_, ns)| ns).sum();
    let length = all.div_ceil(count.max(1)).max(1);
    let mut pieces = vec![Causes::new()];
    let mut room = length;
    for (cause, ns) in causes {
        let mut left = *ns;
        while left > 0 {
            if room == 0 {
                pieces.push(Causes::new());
                room = length;
            }
            let taken = left.min(room);
            if let Some(piece) = pieces.last_mut() {
                piece.push((*cause, taken));
            }
            left -= taken;
            room -= taken;
        }
    }
    pieces
}

/// Lets a cause follow: the last one goes on where it is the same.
fn push(course: &mut Causes, cause: HeldBackBy, ns: u64) {
    match course.last_mut() {
        Some((last, sum)) if *last == cause => *sum += ns,
        _ if ns > 0 => course.push((cause, ns)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
