//! `cgroup_skb` at the root cgroup (Linux 4.10): each packet that leaves or reaches a socket of this
//! machine, once per socket, however many network devices it passes.

use core::ptr::{addr_of_mut, null_mut};

use aya_ebpf::{
    Global, bindings::__sk_buff, helpers::generated::bpf_ktime_get_ns, macros::cgroup_skb,
    programs::SkBuffContext,
};
use tracer_ebpf::{
    filter::{Burst, Remembered},
    record::{CAPTURES, EGRESS, INGRESS, Passed, SEGMENT, Segment, state},
};

use crate::{
    burst, filter, head, limits,
    memory::opaque,
    mptcp,
    packet::{ACK, FIN, Packet, RST, SYN},
    ring,
    sock::{OfPacket, Sock as _},
    socket::Socket,
};

/// Whether every segment becomes a record, or only those that open or close a connection, or change
/// the direction of its payload.
#[unsafe(no_mangle)]
static EVERY_SEGMENT: Global<u8> = Global::new(0);

/// How many segments after a FIN are recorded. An orderly termination has four; a half-closed
/// connection may go on for long.
const CLOSING_SEGMENTS: u32 = 8;
/// Room for the headers of any segment.
const HEADERS: usize = CAPTURES[1];
/// The packet is always let through.
const PASS: i32 = 1;

/// A segment with room for its first bytes.
#[repr(C)]
struct Captured<const ROOM: usize> {
    segment: Segment,
    bytes: [u8; ROOM],
}

/// The fields of [`Segment`] that do not come from the packet.
#[derive(Clone, Copy)]
struct Extra {
    /// When the program saw the packet, CLOCK_MONOTONIC.
    seen_ns: u64,
    before_bytes: u64,
    turned_ns: u64,
    under_listener: u8,
    accept_queue: u32,
    accept_queue_limit: u32,
    /// The burst that its payload begins, or whose head goes on in it; else null.
    burst: *mut Burst,
    /// Whether it begins that burst.
    begins_burst: bool,
}

impl Extra {
    const NONE: Self = Self {
        seen_ns: 0,
        before_bytes: 0,
        turned_ns: 0,
        under_listener: 0,
        accept_queue: 0,
        accept_queue_limit: 0,
        burst: null_mut(),
        begins_burst: false,
    };
}

/// Segments that reach a socket.
#[cgroup_skb(ingress)]
pub(crate) fn tracer_in(ctx: SkBuffContext) -> i32 {
    observe(ctx.skb.skb, INGRESS);
    PASS
}

/// Segments that leave a socket.
#[cgroup_skb(egress)]
pub(crate) fn tracer_out(ctx: SkBuffContext) -> i32 {
    observe(ctx.skb.skb, EGRESS);
    PASS
}

#[inline(always)]
fn observe(skb: *mut __sk_buff, direction: u8) {
    let sock = OfPacket(skb);
    if let Some(remembered) = filter::remembered(sock) {
        if let Some(packet) = Packet::parse(skb) {
            observe_known(packet, direction, sock, remembered);
        }
    } else if filter::may_admit_handshake()
        && is_listener(skb)
        && is_handshake_wanted(skb, direction)
    {
        send_handshake(skb, direction);
    }
}

/// SYN, SYN-ACK and the third ACK have the listener's socket, and so its cookie.
#[inline(always)]
fn is_listener(skb: *mut __sk_buff) -> bool {
    // SAFETY: the program's context; the verifier knows the socket's type.
    unsafe {
        let sk = (*skb).__bindgen_anon_2.sk;
        !sk.is_null() && (*sk).state == u32::from(state::LISTEN)
    }
}

/// Whether a listener's packet belongs to a traced connection. Not inlined: the addresses take much of
/// the stack.
#[inline(never)]
fn is_handshake_wanted(skb: *mut __sk_buff, direction: u8) -> bool {
    if filter::admits_every_handshake() {
        return true;
    }
    // SAFETY: the program's context.
    let Some(listener) = (unsafe { Socket::of_packet(skb) }) else {
        return false;
    };
    let Some(packet) = Packet::parse(skb) else {
        return false;
    };
    // NAT may have given the SYN-ACK other addresses.
    let is_syn_ack = direction == EGRESS && packet.flags & (SYN | ACK) == SYN | ACK;
    if is_syn_ack && packet.ack().is_some_and(filter::answers_number) {
        return true;
    }
    let Some(mut addresses) = packet.addresses(direction) else {
        return false;
    };
    addresses.local_port = listener.local_port();
    if is_syn(packet, direction)
        && let Some(seq) = packet.seq()
    {
        filter::match_number(seq, &addresses);
    }
    filter::admits_handshake(&addresses, listener.netns())
}

/// Sends a listener's packet, with the first of its payload: in a SYN (TCP Fast Open), in a third ACK, or
/// where the listener waits for it (`TCP_DEFER_ACCEPT`). Not inlined, likewise.
#[inline(never)]
fn send_handshake(skb: *mut __sk_buff, direction: u8) {
    let Some(packet) = Packet::parse(skb) else {
        return;
    };
    let mut extra = Extra {
        seen_ns: now(),
        under_listener: 1,
        ..Extra::NONE
    };
    if is_syn(packet, direction) {
        // SAFETY: the program's context.
        if let Some(listener) = unsafe { Socket::of_packet(skb) } {
            (extra.accept_queue, extra.accept_queue_limit) = listener.accept_queue();
        }
    }
    let mut payload = u64::from(packet.payload());
    if payload > burst::MAX_PAYLOAD {
        payload = burst::MAX_PAYLOAD;
    }
    let wanted = u64::from(packet.headers) + payload;
    send(packet, direction, OfPacket(skb).cookie(), wanted, extra);
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// Whether the packet is a SYN that reaches a listener.
#[inline(always)]
const fn is_syn(packet: Packet, direction: u8) -> bool {
    direction == INGRESS && packet.flags & (SYN | ACK) == SYN
}

#[inline(always)]
fn observe_known(packet: Packet, direction: u8, sock: OfPacket, remembered: *mut Remembered) {
    let payload = packet.payload();
    let is_fin = packet.flags & FIN != 0;
    let is_bare_ack = payload == 0 && !is_fin;
    // An acknowledgment that leaves seldom needs the time.
    let now_ns = if direction == EGRESS && is_bare_ack {
        0
    } else {
        now()
    };
    // SAFETY: a value of `SOCKETS`.
    let turns = payload > 0 && unsafe { (*remembered).last_payload } != u32::from(direction) + 1;
    // First: the verifier follows it for each of the ways that lead to it.
    // SAFETY: the program's context, and as above.
    unsafe {
        if direction == EGRESS {
            limits::window_opens(packet.skb, remembered);
        }
        if now_ns != 0 {
            let passing = limits::Passing {
                direction,
                payload,
                is_fin,
                turns,
                now: now_ns,
            };
            limits::observe(sock, remembered, passing);
        }
    }
    // SAFETY: a value of `SOCKETS`. Each direction has its own `passed`, which only its program
    // writes. The kernel handles a connection's packets of one direction one after another.
    let (head, mut extra) = unsafe {
        let passed = addr_of_mut!((*remembered).passed)
            .cast::<Passed>()
            .add(direction as usize);
        let burst = addr_of_mut!((*remembered).bursts)
            .cast::<Burst>()
            .add(direction as usize);
        let before_bytes = (*passed).bytes;
        if payload > 0 {
            burst::count(passed, payload, now_ns);
        }
        let turned_ns = if turns {
            burst::begin(remembered, direction, burst, before_bytes == 0)
        } else {
            0
        };
        let extra = Extra {
            seen_ns: now_ns,
            before_bytes,
            turned_ns,
            burst: if turns || (*burst).head_left > 0 {
                burst
            } else {
                null_mut()
            },
            begins_burst: turns,
            ..Extra::NONE
        };
        (burst::head_bytes(burst, payload), extra)
    };
    if packet.flags & (SYN | ACK) == SYN && direction == EGRESS && filter::expects_peers() {
        tracer_expect(packet.skb);
    }
    // SAFETY: as above.
    if direction == EGRESS && unsafe { (*remembered).opened } == 0 && packet.flags & SYN == 0 {
        mptcp::observe(packet.skb, sock.cookie());
    }
    // SAFETY: as above.
    let is_step = unsafe { is_step(packet, direction, remembered) };
    // Of a connection that is only followed, segments are not shown.
    // SAFETY: as above.
    let every = EVERY_SEGMENT.load() != 0 && unsafe { (*remembered).followed } == 0;
    if is_step || head > 0 || every {
        if now_ns == 0 {
            extra.seen_ns = now();
        }
        let mut wanted = u64::from(packet.headers) + head;
        if every && wanted < HEADERS as u64 {
            // The record has that much room in any case.
            wanted = u64::from(packet.length);
            if wanted > HEADERS as u64 {
                wanted = HEADERS as u64;
            }
        }
        send(packet, direction, sock.cookie(), wanted, extra);
    }
}

/// A traced socket's SYN leaves. Not inlined: the addresses take much of the stack. As `tracer_comm`, this is a global
/// function.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tracer_expect(skb: *mut __sk_buff) -> u32 {
    if let Some(packet) = Packet::parse(skb)
        && let Some(addresses) = packet.addresses(EGRESS)
    {
        filter::expect_peer_of(&addresses);
        if let Some(seq) = packet.seq() {
            filter::expect_number(seq);
        }
    }
    0
}

/// Whether the segment belongs to the handshake or to the termination.
///
/// # Safety
/// `remembered` must be valid.
#[inline(always)]
unsafe fn is_step(packet: Packet, direction: u8, remembered: *mut Remembered) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        if packet.flags & FIN != 0 {
            (*remembered).closing_left = CLOSING_SEGMENTS;
        }
        if packet.flags & (SYN | FIN | RST) != 0 {
            return true;
        }
        if direction == EGRESS && (*remembered).opened == 0 {
            (*remembered).opened = 1;
            return true;
        }
        if (*remembered).closing_left == 0 {
            return false;
        }
        (*remembered).closing_left -= 1;
        true
    }
}

/// Sends the packet's first `wanted` bytes, or as many as the largest record has room for. `wanted`
/// has 64 bits, so that the compiler does not copy it into another register, of which the verifier
/// would not know the bounds.
#[inline(always)]
fn send(packet: Packet, direction: u8, cookie: u64, wanted: u64, extra: Extra) {
    if wanted <= HEADERS as u64 {
        send_headers(packet, direction, cookie, wanted, extra);
    } else if wanted <= CAPTURES[2] as u64 {
        send_in::<{ CAPTURES[2] }>(packet, direction, cookie, wanted, extra);
    } else if wanted <= CAPTURES[3] as u64 {
        send_in::<{ CAPTURES[3] }>(packet, direction, cookie, wanted, extra);
    } else {
        send_in::<{ CAPTURES[4] }>(packet, direction, cookie, wanted, extra);
    }
}

/// The same for headers alone.
#[inline(always)]
fn send_headers(packet: Packet, direction: u8, cookie: u64, wanted: u64, extra: Extra) {
    if wanted <= CAPTURES[0] as u64 {
        send_in::<{ CAPTURES[0] }>(packet, direction, cookie, wanted, extra);
    } else {
        send_in::<HEADERS>(packet, direction, cookie, wanted, extra);
    }
}

#[inline(always)]
fn send_in<const ROOM: usize>(
    packet: Packet,
    direction: u8,
    cookie: u64,
    wanted: u64,
    extra: Extra,
) {
    // Later bounds are of this value, and not of the one that was wanted.
    let captured = opaque(if wanted > ROOM as u64 {
        ROOM as u64
    } else {
        wanted
    });
    // Payload is counted with this time, too.
    let Some(mut entry) = ring::reserve_at::<Captured<ROOM>>(SEGMENT, cookie, extra.seen_ns) else {
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the reserved entry; every field is written, and `captured` bytes of the packet.
    unsafe {
        let segment = addr_of_mut!((*record).segment);
        addr_of_mut!((*segment).length).write(packet.length);
        addr_of_mut!((*segment).captured).write(captured as u32);
        addr_of_mut!((*segment).gso_segs).write(packet.gso_segs());
        addr_of_mut!((*segment).direction).write(direction);
        addr_of_mut!((*segment).under_listener).write(extra.under_listener);
        addr_of_mut!((*segment).local_port).write(packet.socket_port());
        addr_of_mut!((*segment).before_bytes).write(extra.before_bytes);
        addr_of_mut!((*segment).turned_ns).write(extra.turned_ns);
        addr_of_mut!((*segment).accept_queue).write(extra.accept_queue);
        addr_of_mut!((*segment).accept_queue_limit).write(extra.accept_queue_limit);
        let bytes = addr_of_mut!((*record).bytes).cast();
        if !extra.burst.is_null() {
            // Read again: of a value that is known to be large, Linux 6.1 follows the branch of a small one, too.
            let end = addr_of_mut!((*segment).captured).read_volatile();
            head::pad::<ROOM>(bytes, u64::from(end));
        }
        if !packet.copy::<ROOM>(bytes, captured) {
            addr_of_mut!((*segment).captured).write(0);
        } else if !extra.burst.is_null() && captured > u64::from(packet.headers) {
            let burst = extra.burst;
            (*burst).is_first = u32::from(extra.begins_burst);
            (*burst).headers = packet.headers;
            (*burst).preamble = 0;
            (*burst).captured = (captured - u64::from(packet.headers)) as u32;
            (*burst).before_bytes = extra.before_bytes;
            // This record is submitted after those with the rest of the head, so that the tracer gets
            // all or nothing.
            head::follow::<ROOM>(packet.skb, bytes, burst, direction);
        }
    }
    ring::send(entry);
}
