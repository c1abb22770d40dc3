//! A conversation's payload, in pieces. Each piece of the input is a byte for its sender (odd for
//! the server), by how many bytes it is off its place in the stream (negative: a repetition), how
//! many of its bytes were captured, how many follow those uncaptured, and the captured bytes.

use tracer::internals::core::payload::{Chunk, Payload};
use upload_protocol::End;

/// A segment's payload.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Who sent it.
    pub from: End,
    /// Its distance from the end of what its sender had sent before.
    pub shift: i32,
    /// Bytes after the captured ones.
    pub rest: u32,
    /// The captured ones.
    pub captured: &'a [u8],
}

impl<'a> Piece<'a> {
    const fn chunk(self, mono_ns: u64, offset: u64, len: u32) -> Chunk<'a> {
        Chunk {
            mono_ns,
            from: self.from,
            offset,
            len,
            head: self.captured,
            turned_ns: mono_ns.checked_sub(1),
            received: None,
        }
    }
}

/// What is told of any pieces is in order and bounded, and repetitions add nothing: as it comes live, and as from
/// a capture.
pub fn check(bytes: &[u8]) {
    check_fed(bytes, Payload::default());
    check_fed(bytes, Payload::whole());
}

fn check_fed(bytes: &[u8], mut payload: Payload) {
    let mut sent = [0_u64; 2];
    let mut fed = Vec::new();
    for (mono_ns, piece) in (1..).zip(Pieces(bytes)) {
        let received = sent[usize::from(piece.from == End::Client)];
        let sent = &mut sent[usize::from(piece.from == End::Server)];
        let offset = sent.saturating_add_signed(piece.shift.into());
        let length = u32::try_from(piece.captured.len())
            .unwrap_or(u32::MAX)
            .saturating_add(piece.rest);
        let mut chunk = piece.chunk(mono_ns, offset, length);
        chunk.received = u32::try_from(received).ok();
        payload.feed(&chunk);
        *sent = (*sent).max(offset.saturating_add(length.into()));
        fed.push((piece, offset, length));
    }
    let mut again = payload.clone();
    for (piece, offset, length) in fed {
        again.feed(&piece.chunk(u64::MAX, offset, length));
    }
    assert_eq!(payload, again, "a repetition is news");
    check_outcome(&payload);
}

fn check_outcome(payload: &Payload) {
    assert!(payload.malformed().len() <= 32);
    assert!(payload.exchanges().len() <= 1000);
    for exchange in payload.exchanges() {
        if let Some(request) = &exchange.request {
            in_order([Some(request.start_ns), request.head_end_ns]);
            in_order([request.body_first_ns, request.body_last_ns]);
        }
        if let Some(response) = &exchange.response {
            in_order([Some(response.start_ns), Some(response.last_ns)]);
        }
    }
    let contents = payload.exchanges().iter().flat_map(|exchange| {
        let request = exchange.request.as_ref();
        let response = exchange.response.as_ref();
        [
            request.and_then(|request| request.content.as_deref()),
            response.and_then(|response| response.content.as_deref()),
        ]
    });
    for content in contents.flatten() {
        assert!(!(content.is_over && content.is_aborted));
        let files = content.form.iter().flat_map(|form| form.files());
        let of_files: u64 = files.map(|file| file.bytes).sum();
        assert!(of_files <= content.bytes, "files longer than their form");
    }
    let Some(tls) = payload.tls() else { return };
    for from in [End::Client, End::Server] {
        let steps = tls.steps.iter().filter(|step| step.from == from);
        assert!(
            steps.is_sorted_by_key(|step| step.mono_ns),
            "{:?}",
            tls.steps
        );
        let records = || tls.records.iter().filter(|record| record.from == from);
        assert!(records().count() <= 64);
        assert!(
            records().is_sorted_by_key(|record| record.mono_ns),
            "{:?}",
            tls.records
        );
    }
}

fn in_order(times: [Option<u64>; 2]) {
    if let [Some(start), Some(end)] = times {
        assert!(start <= end, "{start} is after {end}");
    }
}

/// Pieces as input of [`check`].
#[must_use]
pub fn input(pieces: &[Piece<'_>]) -> Vec<u8> {
    let mut input = Vec::new();
    for piece in pieces {
        input.push(u8::from(piece.from == End::Server));
        input.extend(piece.shift.to_le_bytes());
        let captured = u16::try_from(piece.captured.len()).unwrap_or(u16::MAX);
        input.extend(captured.to_le_bytes());
        input.extend(piece.rest.to_le_bytes());
        input.extend(&piece.captured[..captured.into()]);
    }
    input
}

struct Pieces<'a>(&'a [u8]);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    /// The last piece has as many bytes as there are.
    fn next(&mut self) -> Option<Piece<'a>> {
        let ([from], rest) = self.0.split_first_chunk()?;
        let (shift, rest) = rest.split_first_chunk()?;
        let (captured, rest) = rest.split_first_chunk()?;
        let (uncaptured, rest) = rest.split_first_chunk()?;
        let captured = usize::from(u16::from_le_bytes(*captured)).min(rest.len());
        let (captured, rest) = rest.split_at(captured);
        self.0 = rest;
        Some(Piece {
            from: if from & 1 == 0 {
                End::Client
            } else {
                End::Server
            },
            shift: i32::from_le_bytes(*shift),
            rest: u32::from_le_bytes(*uncaptured),
            captured,
        })
    }
}
