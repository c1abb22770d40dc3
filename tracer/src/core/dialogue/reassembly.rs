//! Puts the payload of a capture's segments in order: holds what comes too early until the hole before it is
//! filled, or the hole is known to stay.

use std::collections::BTreeMap;

use upload_protocol::End;

use crate::core::payload::{Chunk, MAX_AHEAD, Payload};

/// Both directions of a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reassembly {
    client: Direction,
    server: Direction,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Direction {
    /// Up to where the payload was passed on; `None` before the first of it.
    position: Option<u64>,
    /// When the latest of it passed.
    latest_ns: u64,
    held: BTreeMap<u64, HeldChunk>,
    held_bytes: usize,
    /// Bytes that were never seen.
    missing: u64,
    /// Up to where its receiver has acknowledged it.
    acknowledged: u64,
}

/// A segment's payload that came before what precedes it.
#[derive(Clone, Debug, PartialEq)]
struct HeldChunk {
    mono_ns: u64,
    len: u32,
    bytes: Box<[u8]>,
    turned_ns: Option<u64>,
    received: Option<u32>,
}

/// Of each direction. A receiver's window is seldom larger (`net.ipv4.tcp_rmem` ends at 6 MiB), and what is
/// beyond a hole is mostly repeated.
const MAX_HELD_BYTES: usize = 1 << 20;

impl Reassembly {
    /// Passes payload on, in order, or holds it. A stream that is not seen from its start begins with the
    /// first payload that is seen.
    pub(super) fn add(&mut self, chunk: &Chunk<'_>, is_from_start: bool, to: &mut Payload) {
        let direction = self.of(chunk.from);
        let first = if is_from_start { 0 } else { chunk.offset };
        let position = *direction.position.get_or_insert(first);
        if chunk.offset.saturating_sub(position) > MAX_AHEAD {
            return;
        }
        if chunk.offset > position {
            direction.hold(chunk);
            if direction.held_bytes > MAX_HELD_BYTES {
                direction.give_up_hole(chunk.from, to);
            }
        } else {
            direction.pass(chunk, to);
            direction.pass_held(chunk.from, to);
        }
    }

    /// The receiver of `from`'s payload has acknowledged it up to this offset: what is missing before will
    /// not be sent again.
    pub(super) fn acknowledged(&mut self, from: End, offset: u64, to: &mut Payload) {
        let direction = self.of(from);
        if offset.saturating_sub(direction.position()) <= MAX_AHEAD {
            direction.acknowledged = direction.acknowledged.max(offset);
        }
        while let Some((first, _)) = direction.held.first_key_value()
            && *first < offset
        {
            direction.give_up_hole(from, to);
        }
    }

    /// Passes on all that is held.
    pub(super) fn flush(&mut self, to: &mut Payload) {
        for from in [End::Client, End::Server] {
            let direction = self.of(from);
            while !direction.held.is_empty() {
                direction.give_up_hole(from, to);
            }
        }
    }

    /// Up to where the receiver of an end's payload is known to have it, in bytes: it was seen, or acknowledged. One
    /// number alone is taken for a FIN that was not seen.
    pub(super) fn received(&self, from: End) -> u64 {
        let direction = match from {
            End::Client => &self.client,
            End::Server => &self.server,
        };
        match direction.acknowledged.checked_sub(direction.position()) {
            None | Some(0 | 1) => direction.position(),
            Some(_) => direction.acknowledged,
        }
    }

    /// Up to where the payload of an end is complete, in bytes.
    pub(super) const fn position(&self, from: End) -> u64 {
        match from {
            End::Client => self.client.position(),
            End::Server => self.server.position(),
        }
    }

    /// Bytes held in memory.
    pub(super) const fn held_bytes(&self) -> usize {
        self.client.held_bytes + self.server.held_bytes
    }

    /// Bytes of payload that were never seen.
    pub(super) const fn missing(&self) -> u64 {
        self.client.missing + self.server.missing
    }

    const fn of(&mut self, from: End) -> &mut Direction {
        match from {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }
}

impl Direction {
    const fn position(&self) -> u64 {
        match self.position {
            Some(position) => position,
            None => 0,
        }
    }

    /// Passes payload on: what waited for a hole before it comes when that was filled.
    fn pass(&mut self, chunk: &Chunk<'_>, to: &mut Payload) {
        let end = chunk.offset.saturating_add(chunk.len.into());
        if end > self.position() {
            self.position = Some(end);
            self.latest_ns = self.latest_ns.max(chunk.mono_ns);
            to.feed(&Chunk {
                mono_ns: self.latest_ns,
                ..*chunk
            });
        }
    }

    fn hold(&mut self, chunk: &Chunk<'_>) {
        let known = self.held.get(&chunk.offset);
        if known.is_some_and(|known| known.len >= chunk.len) {
            return;
        }
        let held = HeldChunk {
            mono_ns: chunk.mono_ns,
            len: chunk.len,
            bytes: chunk.head.into(),
            turned_ns: chunk.turned_ns,
            received: chunk.received,
        };
        self.held_bytes += held.size();
        if let Some(shorter) = self.held.insert(chunk.offset, held) {
            self.held_bytes -= shorter.size();
        }
    }

    fn pass_held(&mut self, from: End, to: &mut Payload) {
        while let Some((offset, held)) = self.held.pop_first() {
            if offset > self.position() {
                self.held.insert(offset, held);
                break;
            }
            self.held_bytes -= held.size();
            self.pass(&held.chunk(from, offset), to);
        }
    }

    /// Passes on what follows the first hole, which stays.
    fn give_up_hole(&mut self, from: End, to: &mut Payload) {
        if let Some((offset, held)) = self.held.pop_first() {
            self.held_bytes -= held.size();
            self.missing += offset.saturating_sub(self.position());
            self.pass(&held.chunk(from, offset), to);
            self.pass_held(from, to);
        }
    }
}

impl HeldChunk {
    fn size(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }

    fn chunk(&self, from: End, offset: u64) -> Chunk<'_> {
        Chunk {
            mono_ns: self.mono_ns,
            from,
            offset,
            len: self.len,
            head: &self.bytes,
            turned_ns: self.turned_ns,
            received: self.received,
        }
    }
}

#[cfg(test)]
mod tests;
