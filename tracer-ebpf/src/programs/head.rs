//! Captures an HTTP head that is longer than a burst's first bytes, until its blank line.
//!
//! Everything that these functions work on is read from the socket's storage. So the verifier takes the
//! state at [`follow`] for the same on each way there, and follows it once.

use core::ptr::{addr_of, addr_of_mut};

use aya_ebpf::bindings::__sk_buff;
use tracer_ebpf::{
    filter::Burst,
    head::{self, Begin, LineEnds, MAX_HEAD, MAX_METHOD},
    record::{CAPTURES, MORE_BYTES, MORE_CAPTURES, MoreBytes},
};

use crate::{
    memory::{self, opaque},
    packet, ring,
    sock::{OfPacket, Sock as _},
};

/// Longer pieces are captured without a search: the verifier follows each step of it, whenever the program
/// is loaded.
const MAX_SEARCHED: usize = 4096;

/// How many bytes are searched between two decisions. The verifier follows both branches of each.
const BLOCK: u64 = 64;

/// A part of a segment's payload, with room for it.
#[repr(C)]
struct Captured<const ROOM: usize> {
    more: MoreBytes,
    bytes: [u8; ROOM],
}

/// Searches the captured payload of the burst's present segment for the end of a head, and captures more
/// of it if the head goes on.
///
/// # Safety
/// `bytes` must have `ROOM` bytes, [padded](pad) after the captured ones, and be aligned to 8. `burst` must
/// be valid.
#[inline(never)]
pub(crate) unsafe fn follow<const ROOM: usize>(
    skb: *mut __sk_buff,
    bytes: *const u8,
    burst: *mut Burst,
    direction: u8,
) {
    // SAFETY: as the caller promises.
    unsafe {
        if (*burst).is_first != 0 {
            begin::<ROOM>(bytes, burst);
        }
        if addr_of!((*burst).head_left).read_volatile() == 0 {
            return;
        }
        search(bytes, ROOM as u64, burst);
        pass::<ROOM>(bytes, captured(burst), burst);
        // The other records have room for the whole payload.
        let _ = ROOM == CAPTURES[4]
            && more::<{ MORE_CAPTURES[0] }>(skb, burst, direction)
            && more::<{ MORE_CAPTURES[1] }>(skb, burst, direction)
            && more::<{ MORE_CAPTURES[2] }>(skb, burst, direction)
            && more::<{ MORE_CAPTURES[3] }>(skb, burst, direction)
            && more::<{ MORE_CAPTURES[4] }>(skb, burst, direction);
    }
}

/// Captures more of the head, if it has not ended. Returns false if there is no room for it.
///
/// # Safety
/// `burst` must be valid.
#[inline(never)]
unsafe fn more<const ROOM: usize>(skb: *mut __sk_buff, burst: *mut Burst, direction: u8) -> bool {
    // SAFETY: as the caller promises.
    let (start, left) = unsafe {
        let start = (*burst).headers + (*burst).captured;
        (start, u64::from((*skb).len.saturating_sub(start)))
    };
    // SAFETY: as the caller promises.
    if left == 0 || unsafe { (*burst).head_left } == 0 {
        return false;
    }
    let piece = if left > ROOM as u64 {
        ROOM as u64
    } else {
        left
    };
    // SAFETY: as the caller promises.
    let wanted = unsafe {
        addr_of_mut!((*burst).piece).write_volatile(piece as u32);
        u64::from(addr_of!((*burst).piece).read_volatile())
    };
    let Some(mut entry) = ring::reserve::<Captured<ROOM>>(MORE_BYTES, OfPacket(skb).cookie())
    else {
        return false;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the reserved entry; every field is written, and `wanted` bytes of the packet.
    unsafe {
        let more = addr_of_mut!((*record).more);
        addr_of_mut!((*more).before_bytes).write((*burst).before_bytes);
        addr_of_mut!((*more).offset).write((*burst).captured);
        addr_of_mut!((*more).captured).write(wanted as u32);
        // The padding with it.
        addr_of_mut!((*more).direction)
            .cast::<u64>()
            .write(u64::from(direction).to_le());
        let bytes = addr_of_mut!((*record).bytes);
        if ROOM <= MAX_SEARCHED {
            memory::zero(bytes);
        }
        if packet::copy::<ROOM>(skb, start, bytes.cast(), wanted) {
            (*burst).captured += wanted as u32;
            if ROOM <= MAX_SEARCHED {
                search_all::<ROOM>(bytes.cast(), burst);
            } else if wanted > 2 {
                let last = [3, 2, 1].map(|back| read::<ROOM>(bytes.cast(), wanted - back));
                if matches!(last, [_, b'\n', b'\n'] | [b'\n', b'\r', b'\n']) {
                    (*burst).head_left = 0;
                }
            }
            pass::<ROOM>(bytes.cast(), (0, wanted), burst);
        } else {
            addr_of_mut!((*more).captured).write(0);
        }
    }
    ring::send(entry);
    // Otherwise LLVM keeps whether the entry is null for this, and asks twice. Linux 6.1 then follows the way of an entry
    // that is null after it was not, and finds that nothing submits it.
    opaque(1) != 0
}

/// Takes captured bytes off what is left of a head.
///
/// # Safety
/// `bytes` must have `ROOM` bytes, and `burst` must be valid.
#[inline(always)]
unsafe fn pass<const ROOM: usize>(bytes: *const u8, (start, end): (u64, u64), burst: *mut Burst) {
    // SAFETY: as the caller promises.
    unsafe {
        let captured = end.saturating_sub(start);
        let left = u64::from((*burst).head_left);
        (*burst).head_left = left.saturating_sub(captured) as u32;
        let mut line_ends = (*burst).line_ends;
        if captured > 1 {
            line_ends.pass(read::<ROOM>(bytes, end - 2));
        }
        line_ends.pass(read::<ROOM>(bytes, end - 1));
        (*burst).line_ends = line_ends;
    }
}

/// Where the payload captured with the headers starts and ends. Read anew each time: what a comparison
/// shows the verifier of a value then holds for this reading alone.
///
/// # Safety
/// `burst` must be valid.
#[inline(always)]
unsafe fn captured(burst: *const Burst) -> (u64, u64) {
    // SAFETY: as the caller promises.
    unsafe {
        let start = u64::from(addr_of!((*burst).headers).read_volatile());
        let captured = u64::from(addr_of!((*burst).captured).read_volatile());
        (start, start + captured)
    }
}

/// Sets `head_left` and `preamble` if a burst begins with a head.
///
/// # Safety
/// `bytes` must have `ROOM` bytes, and `burst` must be valid.
#[inline(never)]
unsafe fn begin<const ROOM: usize>(bytes: *const u8, burst: *mut Burst) {
    // SAFETY: as the caller promises.
    unsafe {
        let (start, end) = captured(burst);
        let mut place = 0;
        while place < MAX_METHOD {
            let at = start + place as u64;
            if at >= end {
                return;
            }
            match head::begin(place, read::<ROOM>(bytes, at)) {
                Begin::Undecided => place += 1,
                Begin::Other => return,
                Begin::Head => {
                    if place == 0 {
                        let length = [start + 14, start + 15].map(|at| read::<ROOM>(bytes, at));
                        let fifth = read::<ROOM>(bytes, start + 4);
                        (*burst).preamble = head::preamble(fifth, length);
                    }
                    (*burst).head_left = MAX_HEAD;
                    (*burst).line_ends = LineEnds::NONE;
                    return;
                }
            }
        }
    }
}

/// Sets `head_left` to 0 if a blank line ends in the captured payload. Returns nothing: the verifier
/// would follow the code after it once for each way out of the loop.
///
/// # Safety
/// `bytes` must have `room` bytes and be aligned to 8; those after the captured ones must be
/// [padding](pad). `burst` must be valid.
#[inline(never)]
unsafe fn search(bytes: *const u8, room: u64, burst: *mut Burst) {
    // SAFETY: as the caller promises.
    unsafe {
        let (start, end) = captured(burst);
        let from = start + u64::from((*burst).preamble);
        let mut line_ends = (*burst).line_ends;
        // Headers of IP and TCP are multiples of 4 bytes long.
        let mut at = opaque(from & !7);
        if at > room - 8 {
            return;
        }
        let mut found = 0;
        if from & 4 != 0 {
            found = line_ends.search_half(word(bytes, at));
            at += 8;
        }
        loop {
            at = opaque(at);
            if at > room - BLOCK {
                break;
            }
            if at >= end {
                return;
            }
            let is_found;
            (line_ends, is_found) = search_block(bytes.add(at as usize), line_ends);
            if is_found || found != 0 {
                (*burst).head_left = 0;
                return;
            }
            at += BLOCK;
        }
        loop {
            at = opaque(at);
            if at > room - 8 {
                break;
            }
            found |= line_ends.search(word(bytes, at));
            at += 8;
        }
        if found != 0 {
            (*burst).head_left = 0;
        }
    }
}

/// The same for all of the room, without another way out of the loop.
///
/// # Safety
/// `bytes` must have `ROOM` bytes and be aligned to 8, and `burst` must be valid.
#[inline(never)]
unsafe fn search_all<const ROOM: usize>(bytes: *const u8, burst: *mut Burst) {
    // SAFETY: as the caller promises.
    unsafe {
        let mut line_ends = (*burst).line_ends;
        let mut found = 0;
        let mut at = 0;
        loop {
            // Otherwise LLVM unrolls the loop, and needs more stack than there is.
            at = opaque(at);
            if at > ROOM as u64 - BLOCK {
                break;
            }
            let is_found;
            (line_ends, is_found) = search_block(bytes.add(at as usize), line_ends);
            found |= u64::from(is_found);
            at += BLOCK;
        }
        if found != 0 {
            (*burst).head_left = 0;
        }
    }
}

/// Searches a block. Returns the line ends there, and whether a blank line ends in it.
///
/// # Safety
/// `bytes` must have [`BLOCK`] bytes and be aligned to 8.
#[inline(always)]
unsafe fn search_block(bytes: *const u8, line_ends: LineEnds) -> (LineEnds, bool) {
    LineEnds::found(tracer_search(bytes.cast(), line_ends.bits()))
}

/// As `tracer_comm`, this is a global function.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tracer_search(block: *const [u64; BLOCK as usize / 8], line_ends: u64) -> u64 {
    // The verifier takes it for one that may be NULL.
    // SAFETY: `search_block` has a block.
    match unsafe { block.as_ref() } {
        Some(block) => LineEnds::search_all(line_ends, block),
        None => 0,
    }
}

/// # Safety
/// `bytes` must be valid there and aligned to 8.
#[inline(always)]
unsafe fn word(bytes: *const u8, at: u64) -> u64 {
    // SAFETY: as the caller promises.
    unsafe { bytes.add(at as usize).cast::<u64>().read() }
}

/// Writes zeros where the captured bytes will end, before they are copied.
///
/// # Safety
/// `bytes` must be valid for writes of `ROOM` bytes and aligned to 8.
#[inline(always)]
pub(crate) unsafe fn pad<const ROOM: usize>(bytes: *mut u8, end: u64) {
    let last = ROOM as u64 - BLOCK;
    let at = opaque(if end > last { last } else { end & !7 });
    let mut place = 0;
    while place < BLOCK {
        // SAFETY: as the caller promises.
        unsafe {
            let word = bytes.add((at + place) as usize).cast::<u64>();
            word.write_volatile(0);
        }
        place += 8;
    }
}

/// The byte at `at`; 0 beyond the room.
///
/// # Safety
/// `bytes` must have `ROOM` bytes.
#[inline(always)]
unsafe fn read<const ROOM: usize>(bytes: *const u8, at: u64) -> u8 {
    let at = opaque(at);
    if at >= ROOM as u64 {
        return 0;
    }
    // SAFETY: as the caller promises.
    unsafe { bytes.add(at as usize).read() }
}
