//! A packet as `cgroup_skb` programs see it: from the IP header on.

use core::ffi::c_void;

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use tracer_ebpf::record::{Addresses, INGRESS};

use crate::memory::opaque;

const IPPROTO_TCP: u8 = 6;
const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;
const TCP_HEADER: u32 = 20;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// A TCP segment within its packet.
#[derive(Clone, Copy)]
pub(crate) struct Packet {
    pub(crate) skb: *mut __sk_buff,
    is_ipv6: bool,
    /// Where the TCP header starts.
    tcp: u32,
    /// Where the payload starts.
    pub(crate) headers: u32,
    /// Length of the whole packet.
    pub(crate) length: u32,
    pub(crate) flags: u8,
}

impl Packet {
    /// The segment, if the packet is one. Fragments other than the first, and IPv6 packets with
    /// extension headers before TCP, are not recognised.
    #[inline(always)]
    pub(crate) fn parse(skb: *mut __sk_buff) -> Option<Self> {
        let Start {
            is_ipv6,
            protocol,
            tcp,
            data_offset_and_flags: [offset, flags],
        } = match Start::linear(skb) {
            Some(start) => start,
            None => Start::paged(skb)?,
        };
        if protocol != IPPROTO_TCP || tcp < IPV4_HEADER {
            return None;
        }
        let header = u32::from(offset >> 4) * 4;
        // SAFETY: the program's context.
        let length = unsafe { (*skb).len };
        let headers = tcp + header;
        if header < TCP_HEADER || headers > length {
            return None;
        }
        Some(Self {
            skb,
            is_ipv6,
            tcp,
            headers,
            length,
            flags,
        })
    }

    #[inline(always)]
    pub(crate) const fn payload(self) -> u32 {
        self.length - self.headers
    }

    /// Into how many segments the packet is cut on the wire.
    #[inline(always)]
    pub(crate) fn gso_segs(self) -> u32 {
        // SAFETY: the program's context.
        unsafe { (*self.skb).gso_segs }
    }

    /// The addresses as the socket sees them, without the network namespace.
    //
    // The helper writes into the result: copies would take much of the stack.
    #[inline(always)]
    pub(crate) fn addresses(self, direction: u8) -> Option<Addresses> {
        let [source_port, destination_port]: [[u8; 2]; 2] = load(self.skb, self.tcp)?;
        let source_port = u16::from_be_bytes(source_port);
        let destination_port = u16::from_be_bytes(destination_port);
        let mut addresses = Addresses {
            local: MAPPED,
            remote: MAPPED,
            local_port: source_port,
            remote_port: destination_port,
            netns: 0,
        };
        let (mut source, mut destination) = (&raw mut addresses.local, &raw mut addresses.remote);
        if direction == INGRESS {
            (source, destination) = (destination, source);
            addresses.local_port = destination_port;
            addresses.remote_port = source_port;
        }
        // SAFETY: each address has 16 bytes, of which IPv4 takes the last four.
        let are_loaded = unsafe {
            if self.is_ipv6 {
                load_into(self.skb, 8, source.cast(), 16)
                    && load_into(self.skb, 24, destination.cast(), 16)
            } else {
                load_into(self.skb, 12, source.cast::<u8>().add(12), 4)
                    && load_into(self.skb, 16, destination.cast::<u8>().add(12), 4)
            }
        };
        if are_loaded { Some(addresses) } else { None }
    }

    #[inline(always)]
    pub(crate) fn seq(self) -> Option<u32> {
        Some(u32::from_be_bytes(load(self.skb, self.tcp + 4)?))
    }

    #[inline(always)]
    pub(crate) fn ack(self) -> Option<u32> {
        Some(u32::from_be_bytes(load(self.skb, self.tcp + 8)?))
    }

    /// The socket's own port, whatever NAT has made of the packet's.
    #[inline(always)]
    pub(crate) fn socket_port(self) -> u16 {
        // SAFETY: the program's context; the verifier knows the socket's type.
        unsafe {
            let sk = (*self.skb).__bindgen_anon_2.sk;
            if sk.is_null() {
                return 0;
            }
            (*sk).src_port as u16
        }
    }

    /// Copies the first `length` bytes to `into`. False where the packet is shorter, or `length` is
    /// less than a header.
    ///
    /// # Safety
    /// `into` must be valid for writes of `ROOM` bytes.
    #[inline(always)]
    pub(crate) unsafe fn copy<const ROOM: usize>(self, into: *mut u8, length: u64) -> bool {
        // SAFETY: as the caller promises.
        length >= u64::from(TCP_HEADER) && unsafe { copy::<ROOM>(self.skb, 0, into, length) }
    }
}

/// Copies `length` bytes of a packet from `start` on to `into`. False where the packet is shorter, or
/// `length` is 0.
///
/// # Safety
/// `into` must be valid for writes of `ROOM` bytes.
#[inline(always)]
pub(crate) unsafe fn copy<const ROOM: usize>(
    skb: *mut __sk_buff,
    start: u32,
    into: *mut u8,
    length: u64,
) -> bool {
    // One comparison for both bounds: before Linux 6.2 the verifier learns nothing from one with 0, which
    // is what LLVM makes of `length < 1`.
    let last = opaque(length.wrapping_sub(1));
    if last >= ROOM as u64 {
        return false;
    }
    let length = opaque(last) + 1;
    // SAFETY: as the caller promises.
    let result =
        unsafe { bpf_skb_load_bytes(skb.cast(), start, into.cast::<c_void>(), length as u32) };
    result == 0
}

/// The start of the headers.
struct Start {
    is_ipv6: bool,
    protocol: u8,
    /// Where the TCP header starts.
    tcp: u32,
    /// Two neighbouring bytes of the TCP header.
    data_offset_and_flags: [u8; 2],
}

impl Start {
    /// The most frequent case without a helper call: IPv4 without options, headers in the linear part
    /// of the buffer.
    #[inline(always)]
    fn linear(skb: *mut __sk_buff) -> Option<Self> {
        const LENGTH: usize = (IPV4_HEADER + TCP_HEADER) as usize;
        const WITHOUT_OPTIONS: u8 = 0x45;
        // SAFETY: the program's context. The verifier checks that each read is before `data_end`.
        unsafe {
            let (data, end) = ((*skb).data as usize, (*skb).data_end as usize);
            if data + LENGTH > end {
                return None;
            }
            let bytes = data as *const u8;
            if bytes.read() != WITHOUT_OPTIONS {
                return None;
            }
            let both = bytes.add(IPV4_HEADER as usize + 12);
            Some(Self {
                is_ipv6: false,
                protocol: bytes.add(9).read(),
                tcp: IPV4_HEADER,
                data_offset_and_flags: [both.read(), both.add(1).read()],
            })
        }
    }

    #[inline(always)]
    fn paged(skb: *mut __sk_buff) -> Option<Self> {
        let first: u8 = load(skb, 0)?;
        let is_ipv6 = first >> 4 == 6;
        let (protocol, tcp) = if is_ipv6 {
            (load::<u8>(skb, 6)?, IPV6_HEADER)
        } else {
            (load::<u8>(skb, 9)?, u32::from(first & 0x0f) * 4)
        };
        Some(Self {
            is_ipv6,
            protocol,
            tcp,
            data_offset_and_flags: load(skb, tcp + 12)?,
        })
    }
}

/// `::ffff:0.0.0.0`
const MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];

/// Byte arrays: any bytes make one.
trait Bytes: Copy {}
impl Bytes for u8 {}
impl Bytes for [u8; 2] {}
impl Bytes for [u8; 4] {}
impl Bytes for [[u8; 2]; 2] {}

#[inline(always)]
fn load<T: Bytes>(skb: *mut __sk_buff, offset: u32) -> Option<T> {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: the helper fills all of `value` or fails; any bytes are a `T`.
    unsafe {
        if load_into(
            skb,
            offset,
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
        ) {
            Some(value.assume_init())
        } else {
            None
        }
    }
}

/// # Safety
/// `into` must be valid for writes of `length` bytes.
#[inline(always)]
unsafe fn load_into(skb: *mut __sk_buff, offset: u32, into: *mut u8, length: u32) -> bool {
    // SAFETY: as the caller promises.
    unsafe { bpf_skb_load_bytes(skb.cast(), offset, into.cast(), length) == 0 }
}
