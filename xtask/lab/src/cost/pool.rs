//! What may be held whatever is sent: as much for each connection, and what a fixed number of others share.

use std::fmt;

use super::{candidate::Candidate, kind::Kind};

const KIB: u64 = 1024;

/// For each connection.
const CONNECTION: u64 = 64 * KIB;

/// Whatever happens: the allocator's pages, buffers of the history.
const SERVER: u64 = 2048 * KIB;

/// For each thread that waits for the disk; there are 64 for each event loop.
const THREAD: u64 = 256 * KIB;

/// Slots that requests share, with what each slot may hold.
struct Pool {
    slots: u64,
    each: u64,
}

/// `--max-uploads`
const UPLOADS: Pool = Pool {
    slots: 256,
    each: 16 * KIB,
};

/// `--max-downloads`: a chunk that is sent, the next, and in HTTP/2 what waits for the window.
const DOWNLOADS: Pool = Pool {
    slots: 256,
    each: 1024 * KIB,
};

const LISTENERS: Pool = Pool {
    slots: 256,
    each: 16 * KIB,
};

/// Requests of HTTP/2 in flight, whatever they ask for: as many in all, and a few more for each connection.
const REQUESTS: Pool = Pool {
    slots: 4_096,
    each: 20 * KIB,
};
const REQUESTS_OF_EACH: u64 = 4;

/// Answers that one client has not taken.
const ANSWERS: u64 = 16 * 1024 * KIB;

/// Bodies of HTTP/2 that are there while the reader of another waits: in all, beyond what is right for each
/// connection. A connection gets an eighth of what is left.
const BODIES: u64 = 128 * 1024 * KIB;

/// The bytes that this load may take besides those that its own bytes pay for.
pub(super) fn allowed(candidate: &Candidate, threads: u64) -> u64 {
    let at_once = if candidate.http2 {
        candidate.requests
    } else {
        1
    };
    let at_once = u64::from(candidate.connections) * u64::from(at_once);
    let of_kind = pool(candidate.kind).map_or(0, |pool| pool.slots.min(at_once) * pool.each);
    let requests = if candidate.http2 {
        let beyond = at_once.saturating_sub(REQUESTS_OF_EACH * u64::from(candidate.connections));
        beyond.min(REQUESTS.slots) * REQUESTS.each
    } else {
        0
    };
    let answers = if candidate.kind.has_large_answers() {
        ANSWERS
    } else {
        0
    };
    // Where there is another body.
    let bodies = if candidate.http2 && candidate.requests > 1 && candidate.piece > 0 {
        let left = (0..candidate.connections).fold(BODIES, |left, _| left - left / 8);
        BODIES - left
    } else {
        0
    };
    let connections = CONNECTION * u64::from(candidate.connections);
    SERVER + connections + THREAD * threads + of_kind + requests + answers + bodies
}

/// What is not counted, in words.
pub(super) struct Pools;

impl fmt::Display for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Memory is counted beyond {} KiB for each connection, {} KiB for the server, {} KiB for each\n\
             thread that waits for the disk (128 at most on two cores), and these pools:\n",
            CONNECTION / KIB,
            SERVER / KIB,
            THREAD / KIB
        )?;
        for (what, Pool { slots, each }) in [
            ("uploads", UPLOADS),
            ("downloads", DOWNLOADS),
            ("listeners for events", LISTENERS),
            ("requests of HTTP/2 in flight", REQUESTS),
        ] {
            let all = slots * each / KIB / KIB;
            writeln!(f, "- {what}: {slots} × {} KiB = {all} MiB", each / KIB)?;
        }
        writeln!(
            f,
            "- bodies of HTTP/2 that are read ahead: {} MiB",
            BODIES / KIB / KIB
        )?;
        writeln!(
            f,
            "- unread answers of one client: {} MiB",
            ANSWERS / KIB / KIB
        )
    }
}

fn pool(kind: Kind) -> Option<Pool> {
    match kind {
        Kind::Put
        | Kind::PutWithDigest
        | Kind::FormFiles
        | Kind::FormParameters
        | Kind::FormPartFields
        | Kind::FormBase64
        | Kind::Parameters
        | Kind::TusCreation
        | Kind::TusBytes
        | Kind::TusPatch
        | Kind::TusConcatenation => Some(UPLOADS),
        Kind::Download | Kind::Ranges | Kind::DownloadDigest => Some(DOWNLOADS),
        Kind::Events => Some(LISTENERS),
        _ => None,
    }
}
