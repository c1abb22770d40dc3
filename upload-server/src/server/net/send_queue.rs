//! How many bytes a socket holds that the other end has not acknowledged: sock_diag(7), `linux/inet_diag.h`. What a
//! client takes of an answer is known to the kernel alone, which buffers megabytes of it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::{
    AF_INET, AF_INET6, IPPROTO_TCP, SockDiagMessage,
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags},
};
use rustix::{
    io::retry_on_intr,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    },
};

use super::connection::Connection;

/// More than the kernel says of one socket.
const BUFFER: usize = 8 * 1024;

/// The send queue of a connection's socket, in bytes. An error where the kernel has no such socket, or no sock_diag.
pub(super) fn send_queue(connection: &Connection) -> io::Result<u32> {
    let netlink = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    retry_on_intr(|| send(&netlink, &request(connection), SendFlags::empty()))?;
    let mut buffer = [0; BUFFER];
    // The kernel answers before it returns from send.
    let flags = RecvFlags::TRUNC | RecvFlags::DONTWAIT;
    let (_, length) = retry_on_intr(|| recv(&netlink, &mut buffer[..], flags))?;
    let answer = buffer.get(..length).unwrap_or_default();
    let answer = NetlinkMessage::<SockDiagMessage>::deserialize(answer);
    match answer.map_err(io::Error::other)?.payload {
        NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(socket)) => {
            Ok(socket.header.send_queue)
        }
        NetlinkPayload::Error(error) => Err(io::Error::from_raw_os_error(-error.raw_code())),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn request(connection: &Connection) -> Vec<u8> {
    let (client, cookie) = (connection.client, connection.cookie.0);
    let local = connection.local.ip().to_canonical();
    let scope = match connection.local {
        SocketAddr::V6(local) => local.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    // Two numbers of 32 bits, the lower one first.
    let low = u32::try_from(cookie & u64::from(u32::MAX)).unwrap_or_default();
    let high = u32::try_from(cookie >> 32).unwrap_or_default();
    let mut of_socket = [0; 8];
    of_socket[..4].copy_from_slice(&low.to_ne_bytes());
    of_socket[4..].copy_from_slice(&high.to_ne_bytes());
    let request = InetRequest {
        family: match local {
            IpAddr::V4(_) => AF_INET,
            IpAddr::V6(_) => AF_INET6,
        },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id: SocketId {
            source_port: connection.local.port(),
            destination_port: client.port(),
            source_address: local,
            destination_address: client.ip(),
            interface_id: scope,
            cookie: of_socket,
        },
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}
