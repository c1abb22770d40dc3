//! Which limits ruled a stretch of a body. Some show only what another makes: they give their time to that.

use tracer_ebpf::record::{receiver, sender};

use crate::core::connection::{Stretch, Times};

/// A limit that returns within this time, or within this many round trips, rules all of it …
const AGAIN_NS: u64 = 100_000_000;
const AGAIN_RTTS: u64 = 4;
/// … if it rules at least one part of this many.
pub(super) const AGAIN_SHARE: u64 = 20;

/// The limits of a sender that are no property of the path.
const BY_AN_END: [usize; 7] = [
    sender::IDLE,
    sender::APPLICATION,
    sender::LOCKSTEP,
    sender::SEND_BUFFER,
    sender::WINDOW,
    sender::ZERO_WINDOW,
    sender::NAGLE,
];
/// What the sender takes for a property of the path.
const BY_THE_PATH: [usize; 3] = [sender::CONGESTION_WINDOW, sender::PACING, sender::QUEUE];

/// What a receiver sees while its process does not read.
const WHILE_UNREAD: [usize; 3] = [receiver::SENDER_GAP, receiver::GAP, receiver::FLOW];
/// What a receiver sees of a limit that returns in each round trip. An outage does not return.
const RETURNING: [usize; 5] = [
    receiver::HOLE,
    receiver::NOT_READ,
    receiver::WINDOW,
    receiver::SENDER_GAP,
    receiver::GAP,
];
/// Such a limit makes a gap of at least half a round trip in each: at least one part of this many, even where
/// every second one is missed.
const GAP_SHARE: u64 = 4;
/// A gap that is so many times as long as everything that arrives around it is a pause, and does not return.
const PAUSE_TIMES: u64 = 10;
/// A process that waits for its peer answers at once at least one time of this many, whatever keeps it from its
/// processor. One that does not wait seems to, by chance: less than one time of four.
const ANSWER_SHARE: u64 = 3;
/// Where the process gives nothing for at least one part of this many of the time that Nagle's algorithm has,
/// it gives in pieces.
const PIECES_SHARE: u64 = 4;

/// What the sender was limited by, piece by piece, in nanoseconds by [`sender`].
pub(super) fn sender(client: &Stretch) -> Vec<[u64; sender::COUNT]> {
    let pieces = pieces(client, |times| {
        let limits = &mut times.sender;
        wait_for_the_peer(limits);
        leave_the_path_out(limits);
        wait_for_the_process(limits);
    });
    pieces.iter().map(|times| times.sender).collect()
}

/// A process that waits for its peer, and on a busy machine for its processor as well, seems to be late on its
/// own.
fn wait_for_the_peer(limits: &mut [u64; sender::COUNT]) {
    let process = limits[sender::IDLE] + limits[sender::APPLICATION];
    let peer = limits[sender::LOCKSTEP];
    if peer > (peer + process) / ANSWER_SHARE {
        limits[sender::LOCKSTEP] += process;
        limits[sender::IDLE] = 0;
        limits[sender::APPLICATION] = 0;
    }
}

/// A full path never lets the sender run out of something to send, nor of the peer's window. So where an
/// end limits the sender again and again, the path does not: BBR paces what it gets, at the rate at which
/// it gets it.
fn leave_the_path_out(limits: &mut [u64; sender::COUNT]) {
    let of = |some: &[usize]| -> u64 { some.iter().map(|at| limits[*at]).sum() };
    let (ends, path) = (of(&BY_AN_END), of(&BY_THE_PATH));
    if ends > path / AGAIN_SHARE {
        for limit in BY_AN_END {
            limits[limit] += part(path, limits[limit], ends);
        }
        for limit in BY_THE_PATH {
            limits[limit] = 0;
        }
    }
}

/// Nagle's algorithm keeps the end of a piece back until an acknowledgment comes, or more. Where the process
/// gives in pieces, and nothing between them, it is the process that the segment waits for.
fn wait_for_the_process(limits: &mut [u64; sender::COUNT]) {
    let process = limits[sender::IDLE] + limits[sender::APPLICATION];
    if process > limits[sender::NAGLE] / PIECES_SHARE {
        limits[sender::APPLICATION] += limits[sender::NAGLE];
        limits[sender::NAGLE] = 0;
    }
}

/// What a receiver saw, in nanoseconds by [`receiver`].
pub(super) type Receiver = [u64; receiver::COUNT];

/// What the receiver saw, piece by piece, and for how long of it nothing came at all.
pub(super) fn receiver(server: &Stretch) -> (Vec<Receiver>, u64) {
    let mut pauses_ns: u64 = 0;
    let pieces = pieces(server, |times| {
        wait_for_the_reader(&mut times.receiver);
        pauses_ns = pauses_ns.saturating_add(rule_what_arrives(&mut times.receiver));
    });
    (
        pieces.iter().map(|times| times.receiver).collect(),
        pauses_ns,
    )
}

/// A receiver's queue is full only where its process is slower than the sender, so the sender does not limit
/// then, whatever gaps it makes. Nor does the window, where it is used up for less time than the queue is full:
/// it closes because nobody reads, and opens a round trip after somebody did.
fn wait_for_the_reader(seen: &mut Receiver) {
    let all: u64 = seen.iter().sum();
    if seen[receiver::NOT_READ] <= all / AGAIN_SHARE {
        return;
    }
    let is_closed_by_reader = seen[receiver::NOT_READ] > seen[receiver::WINDOW];
    let window = is_closed_by_reader.then_some(receiver::WINDOW);
    for at in WHILE_UNREAD.into_iter().chain(window) {
        seen[receiver::NOT_READ] += seen[at];
        seen[at] = 0;
    }
}

/// What arrives without a gap and in time belongs to whatever makes the gaps around it, again and again.
/// Returns for how long there was a pause.
fn rule_what_arrives(seen: &mut Receiver) -> u64 {
    let gaps: u64 = RETURNING.iter().map(|at| seen[*at]).sum();
    let (flow, late) = (seen[receiver::FLOW], seen[receiver::LATE]);
    if gaps > (flow + late).saturating_mul(PAUSE_TIMES) {
        return seen[receiver::OUTAGE] + gaps;
    }
    if gaps > (flow + late) / GAP_SHARE && gaps > late {
        for at in RETURNING {
            seen[at] += part(flow, seen[at], gaps);
        }
        seen[receiver::FLOW] = 0;
    }
    seen[receiver::OUTAGE]
}

/// The pieces of a course that are long enough for the rule, with the rule applied to each.
fn pieces(stretch: &Stretch, mut rule: impl FnMut(&mut Times)) -> Vec<Times> {
    let few_rtts = stretch.rtt_ns.unwrap_or(0).saturating_mul(AGAIN_RTTS);
    let least = few_rtts.max(AGAIN_NS);
    let (mut pieces, mut piece) = (Vec::new(), Times::default());
    let mut course = stretch.course.iter().peekable();
    while let Some(times) = course.next() {
        piece = piece.and(times);
        let sender: u64 = piece.sender.iter().sum();
        let receiver: u64 = piece.receiver.iter().sum();
        if sender.max(receiver) >= least || course.peek().is_none() {
            rule(&mut piece);
            pieces.push(piece);
            piece = Times::default();
        }
    }
    pieces
}

/// The pieces together.
pub(super) fn sum<const COUNT: usize>(pieces: &[[u64; COUNT]]) -> [u64; COUNT] {
    std::array::from_fn(|at| pieces.iter().map(|times| times[at]).sum())
}

/// What a receiver saw between two moments, in nanoseconds since the first piece began. Both ends measure
/// from the first byte of a body on, so moments of the sender are the receiver's, but for half a round trip.
pub(super) fn between(pieces: &[Receiver], from: u64, to: u64) -> Receiver {
    let mut seen = [0; receiver::COUNT];
    let mut end = 0;
    for times in pieces {
        let length: u64 = times.iter().sum();
        let begin = end;
        end += length;
        let within = end.min(to).saturating_sub(begin.max(from));
        for (seen, ns) in seen.iter_mut().zip(times) {
            *seen += part(*ns, within, length);
        }
    }
    seen
}

/// `whole` × `one` ÷ `all`; 0 of nothing.
pub(super) fn part(whole: u64, one: u64, all: u64) -> u64 {
    let scaled = u128::from(whole) * u128::from(one);
    let part = scaled.checked_div(u128::from(all)).unwrap_or(0);
    u64::try_from(part).unwrap_or(u64::MAX)
}
