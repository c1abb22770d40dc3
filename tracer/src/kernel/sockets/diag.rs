//! One network namespace's TCP sockets over netlink: sock_diag(7), `linux/inet_diag.h`.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, Nla as _,
};
use netlink_packet_sock_diag::{
    AF_INET, AF_INET6, IPPROTO_TCP, SockDiagMessage,
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, nlas::Nla},
};
use rustix::{
    fd::OwnedFd,
    io::retry_on_intr,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    },
};
use zerocopy::FromBytes;

use super::Which;
use crate::core::{
    event::{self, Addresses},
    input::{Counters, OpenSocket, Reading},
};

/// The kernel fills at most 32 KiB at a time.
const BUFFER: usize = 64 << 10;

/// The socket's cgroup (`linux/inet_diag.h`; Linux 5.7).
const INET_DIAG_CGROUP_ID: u16 = 21;

/// The sockets of the calling thread's network namespace, which has this inode number. Their
/// holders are left empty.
pub(super) fn dump(netns: u32, which: Which) -> Result<Vec<OpenSocket>> {
    let mut sockets = Vec::new();
    for family in [AF_INET, AF_INET6] {
        dump_family(family, which, |response| {
            sockets.extend(open_socket(response, netns)?);
            Ok(())
        })?;
    }
    Ok(sockets)
}

/// What the connections of the calling thread's network namespace have counted, so many of them at most.
pub(super) fn readings(most: usize) -> Result<Vec<Reading>> {
    let mut readings = Vec::new();
    for family in [AF_INET, AF_INET6] {
        dump_family(family, Which::Connections, |response| {
            if readings.len() < most {
                readings.extend(reading(response));
            }
            Ok(())
        })?;
    }
    Ok(readings)
}

fn dump_family(
    family: u8,
    which: Which,
    mut each: impl FnMut(&InetResponse) -> Result<()>,
) -> Result<()> {
    let netlink = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )
    .context("opening a netlink socket")?;
    let request = request(family, which);
    retry_on_intr(|| send(&netlink, &request, SendFlags::empty()))
        .context("asking the kernel for its TCP sockets")?;
    let mut buffer = vec![0; BUFFER];
    while answer(&netlink, &mut buffer, &mut each)? {}
    Ok(())
}

fn request(family: u8, which: Which) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::INFO,
        states: match which {
            Which::All => StateFlags::all() - StateFlags::TIME_WAIT - StateFlags::CLOSE,
            Which::Connections => {
                StateFlags::all() - StateFlags::TIME_WAIT - StateFlags::CLOSE - StateFlags::LISTEN
            }
            Which::Listeners => StateFlags::LISTEN,
        },
        socket_id: if family == AF_INET {
            SocketId::new_v4()
        } else {
            SocketId::new_v6()
        },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Reads one datagram; whether more follow.
fn answer(
    netlink: &OwnedFd,
    buffer: &mut [u8],
    each: &mut impl FnMut(&InetResponse) -> Result<()>,
) -> Result<bool> {
    let (_, length) = retry_on_intr(|| recv(netlink, &mut *buffer, RecvFlags::TRUNC))
        .context("reading the kernel's TCP sockets")?;
    let mut rest = buffer
        .get(..length)
        .context("the kernel's answer is longer than it should be")?;
    while !rest.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
            .context("the kernel's answer about TCP sockets is not understood")?;
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                each(&response)?;
            }
            NetlinkPayload::Done(done) if done.code == 0 => return Ok(false),
            NetlinkPayload::Done(done) => bail!(refused(done.code)),
            NetlinkPayload::Error(error) => bail!(refused(error.raw_code())),
            _ => {}
        }
        let length = usize::try_from(message.header.length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(true)
}

fn refused(code: i32) -> anyhow::Error {
    anyhow::Error::new(std::io::Error::from_raw_os_error(-code)).context(
        "the kernel does not list its TCP sockets; it needs CONFIG_INET_TCP_DIAG (tcp_diag)",
    )
}

/// `None` for what is no full socket: the kernel has no `tcp_info` of TIME_WAIT entries, which it
/// hands out as FIN_WAIT2 too, and of connection requests, which it calls SYN_RECV.
fn open_socket(response: &InetResponse, netns: u32) -> Result<Option<OpenSocket>> {
    let header = &response.header;
    let id = &header.socket_id;
    let mut cgroup_id = None;
    let mut counters = None;
    for attribute in &response.nlas {
        match attribute {
            Nla::TcpInfo(bytes) => counters = Some(counters_of(bytes)),
            Nla::Other(other) if other.kind() == INET_DIAG_CGROUP_ID => {
                let mut bytes = [0; 8];
                if other.value_len() == bytes.len() {
                    other.emit_value(&mut bytes);
                    cgroup_id = Some(u64::from_ne_bytes(bytes));
                }
            }
            _ => {}
        }
    }
    let state = event::state(header.state)?;
    Ok(counters.map(|counters| OpenSocket {
        cookie: cookie(id),
        addresses: Addresses {
            local: SocketAddr::new(id.source_address, id.source_port).into(),
            remote: SocketAddr::new(id.destination_address, id.destination_port).into(),
            netns,
        },
        state,
        inode: header.inode,
        uid: header.uid,
        cgroup_id,
        counters,
        holders: Vec::new(),
    }))
}

fn cookie(id: &SocketId) -> u64 {
    let [c0, c1, c2, c3, c4, c5, c6, c7] = id.cookie;
    let low = u32::from_ne_bytes([c0, c1, c2, c3]);
    let high = u32::from_ne_bytes([c4, c5, c6, c7]);
    u64::from(high) << 32 | u64::from(low)
}

/// `None` for what is no full socket, as above.
fn reading(response: &InetResponse) -> Option<Reading> {
    let info = response.nlas.iter().find_map(|attribute| match attribute {
        Nla::TcpInfo(bytes) => Some(bytes),
        _ => None,
    })?;
    let (info, _) = TcpInfo::read_from_prefix(info).ok()?;
    Some(Reading {
        cookie: cookie(&response.header.socket_id),
        bytes_acked: info.bytes_acked,
        bytes_received: info.bytes_received,
        total_retrans: info.total_retrans,
        rtt_us: info.rtt,
    })
}

/// The begin of `struct tcp_info` (`linux/tcp.h`), which grows at its end only; as of Linux 4.2.
#[derive(FromBytes)]
#[repr(C)]
struct TcpInfo {
    _from_state_to_rcv_ssthresh: [u32; 17],
    /// The smoothed round-trip time in microseconds.
    rtt: u32,
    _from_rttvar_to_rcv_space: [u32; 7],
    total_retrans: u32,
    _pacing_rates: [u64; 2],
    bytes_acked: u64,
    bytes_received: u64,
    segs_out: u32,
    segs_in: u32,
}

const _: () = assert!(size_of::<TcpInfo>() == 144);

fn counters_of(tcp_info: &[u8]) -> Counters {
    TcpInfo::read_from_prefix(tcp_info).map_or_else(
        |_| Counters::default(),
        |(info, _)| Counters {
            bytes_acked: info.bytes_acked,
            bytes_received: info.bytes_received,
            segs_out: info.segs_out,
            segs_in: info.segs_in,
            total_retrans: info.total_retrans,
        },
    )
}
