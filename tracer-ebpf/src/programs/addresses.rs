//! Addresses from a `struct sock_common`, the part that full sockets and request sockets share.

use core::ptr::addr_of_mut;

use tracer_ebpf::record::Addresses;

use crate::kernel::{
    COMMON_DADDR, COMMON_DPORT, COMMON_FAMILY, COMMON_NET, COMMON_NUM, COMMON_RCV_SADDR,
    COMMON_V6_DADDR, COMMON_V6_RCV_SADDR, NET_INUM, Pointer,
};

const AF_INET: u16 = 2;

#[inline(always)]
pub(crate) fn local_port(common: Pointer) -> u16 {
    common.load(&COMMON_NUM)
}

#[inline(always)]
pub(crate) fn remote_port(common: Pointer) -> u16 {
    u16::from_be(common.load(&COMMON_DPORT))
}

/// Inode number of the network namespace.
#[inline(always)]
pub(crate) fn netns(common: Pointer) -> u32 {
    common.follow(&COMMON_NET).load(&NET_INUM)
}

/// Whether the peer has an address of this network namespace: the kernel takes it as the socket's own address, too.
#[inline(always)]
pub(crate) fn is_peer_here(common: Pointer) -> bool {
    if common.load::<u16>(&COMMON_FAMILY) == AF_INET {
        let remote: u32 = common.load(&COMMON_DADDR);
        return remote == common.load(&COMMON_RCV_SADDR) || is_loopback(remote);
    }
    let word = |place, number: usize| common.load_after::<u32>(place, number * 4);
    let remote = |number| word(&COMMON_V6_DADDR, number);
    let is_own = |number| remote(number) == word(&COMMON_V6_RCV_SADDR, number);
    let is_mapped = remote(0) == 0 && remote(1) == 0 && remote(2) == 0x0000_ffff_u32.to_be();
    is_own(0) && is_own(1) && is_own(2) && is_own(3) || is_mapped && is_loopback(remote(3))
}

/// `127.0.0.0/8`, in network byte order.
#[inline(always)]
const fn is_loopback(address: u32) -> bool {
    address.to_ne_bytes()[0] == 127
}

/// # Safety
/// `into` must be valid for writes.
#[inline(always)]
pub(crate) unsafe fn write(common: Pointer, into: *mut Addresses) {
    // SAFETY: as the caller promises.
    unsafe {
        addr_of_mut!((*into).local_port).write(local_port(common));
        addr_of_mut!((*into).remote_port).write(remote_port(common));
        addr_of_mut!((*into).netns).write(netns(common));
        let local = addr_of_mut!((*into).local).cast::<u32>();
        let remote = addr_of_mut!((*into).remote).cast::<u32>();
        if common.load::<u16>(&COMMON_FAMILY) == AF_INET {
            write_mapped(local, common.load(&COMMON_RCV_SADDR));
            write_mapped(remote, common.load(&COMMON_DADDR));
        } else {
            let mut word = 0;
            while word < 4 {
                let from = word * 4;
                local
                    .add(word)
                    .write(common.load_after(&COMMON_V6_RCV_SADDR, from));
                remote
                    .add(word)
                    .write(common.load_after(&COMMON_V6_DADDR, from));
                word += 1;
            }
        }
    }
}

/// `::ffff:a.b.c.d`, from an address in network byte order.
///
/// # Safety
/// `into` must be valid for writes of four words.
#[inline(always)]
unsafe fn write_mapped(into: *mut u32, address: u32) {
    // SAFETY: as the caller promises.
    unsafe {
        into.write(0);
        into.add(1).write(0);
        into.add(2).write(0x0000_ffff_u32.to_be());
        into.add(3).write(address);
    }
}
