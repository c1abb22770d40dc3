//! The header of the PROXY protocol (HAProxy, versions 1 and 2), which a proxy sends before its client's
//! bytes.

use std::net::SocketAddr;

use ppp::{v1, v2};

use super::stream::NewBytes;

/// What was read at the start of a client's stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ProxyHeader {
    /// It may be a header.
    Undecided(HeldBack),
    /// So many more bytes belong to the header, which begins so.
    Rest(u64, Vec<u8>),
}

/// The first bytes of a stream, until it is clear whose they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct HeldBack {
    pub(super) bytes: Vec<u8>,
    /// When the first was sent.
    pub(super) mono_ns: u64,
}

/// What new bytes were.
#[derive(Debug, PartialEq)]
pub(super) enum Taken {
    /// No more than a header, or its beginning.
    All,
    /// The rest is no part of a header.
    Header,
    /// They are no part of a header, and neither were these before them.
    None(HeldBack),
}

const V1: &[u8] = b"PROXY ";
/// The longest header of version 1.
const V1_MAX: usize = 107;
/// As much of a header as is kept until its addresses are read. Version 2 may have more behind them.
const KEPT: usize = 512;
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Its signature, version, family and length.
const V2_FIXED: usize = 16;

impl Default for ProxyHeader {
    fn default() -> Self {
        Self::Undecided(HeldBack::default())
    }
}

impl ProxyHeader {
    /// Whether a stream may begin with one.
    pub(super) fn may_begin(new_bytes: &NewBytes<'_>) -> bool {
        new_bytes.is_start && !matches!(header_length(new_bytes.bytes), Length::None)
    }

    /// The addresses of the client and of the proxy, on the connection between them, once the header is over.
    pub(super) fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::Rest(0, header) => addresses(header),
            Self::Rest(..) | Self::Undecided(_) => None,
        }
    }

    /// Takes the header's bytes off new bytes of the client. What is left then starts a stream.
    pub(super) fn take(&mut self, new_bytes: &mut NewBytes<'_>) -> Taken {
        if let Self::Undecided(held) = self {
            let before = held.bytes.len();
            if before == 0 {
                held.mono_ns = new_bytes.mono_ns;
            }
            if new_bytes.gap == 0 {
                let missing = KEPT.saturating_sub(before);
                held.bytes.extend(new_bytes.bytes.iter().take(missing));
            }
            match header_length(&held.bytes) {
                Length::Known(length) => {
                    held.bytes.truncate(before);
                    let left = length.saturating_sub(before) as u64;
                    *self = Self::Rest(left, std::mem::take(&mut held.bytes));
                }
                Length::Undecided if new_bytes.rest == 0 && new_bytes.gap == 0 => {
                    return Taken::All;
                }
                Length::Undecided | Length::None => {
                    held.bytes.truncate(before);
                    return Taken::None(std::mem::take(held));
                }
            }
        }
        let Self::Rest(left, header) = self else {
            return Taken::None(HeldBack::default());
        };
        let here = usize::try_from(*left).unwrap_or(usize::MAX);
        let here = here.min(new_bytes.bytes.len());
        let kept = here.min(KEPT.saturating_sub(header.len()));
        if new_bytes.gap == 0 {
            header.extend(new_bytes.bytes.iter().take(kept));
        }
        new_bytes.skip(here);
        *left -= here as u64;
        if new_bytes.bytes.is_empty() && new_bytes.rest == 0 && new_bytes.gap == 0 {
            return Taken::All;
        }
        // If the end of the header was not captured, the start of what follows is unknown.
        new_bytes.is_start = *left == 0 && new_bytes.gap == 0;
        Taken::Header
    }
}

/// The addresses of the client and of the proxy that a header names.
fn addresses(header: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    if header.starts_with(V1) {
        let end = header.iter().position(|byte| *byte == b'\n')?;
        let line = str::from_utf8(header.get(..=end)?).ok()?;
        return match v1::Header::try_from(line).ok()?.addresses {
            v1::Addresses::Tcp4(ip) => Some((
                (ip.source_address, ip.source_port).into(),
                (ip.destination_address, ip.destination_port).into(),
            )),
            v1::Addresses::Tcp6(ip) => Some((
                (ip.source_address, ip.source_port).into(),
                (ip.destination_address, ip.destination_port).into(),
            )),
            v1::Addresses::Unknown => None,
        };
    }
    let header = v2::Header::try_from(header).ok()?;
    match header.addresses {
        v2::Addresses::IPv4(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
        v2::Addresses::IPv6(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    }
}

enum Length {
    Known(usize),
    /// More bytes decide.
    Undecided,
    None,
}

fn header_length(bytes: &[u8]) -> Length {
    if bytes.is_empty() {
        return Length::None;
    }
    let may_be = |signature: &[u8]| {
        let common = signature.len().min(bytes.len());
        signature.get(..common) == bytes.get(..common)
    };
    if may_be(V2) {
        return match bytes.get(V2_FIXED - 2..V2_FIXED) {
            Some(&[high, low]) => {
                Length::Known(V2_FIXED + usize::from(u16::from_be_bytes([high, low])))
            }
            _ => Length::Undecided,
        };
    }
    if may_be(V1) {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        return match end {
            Some(end) => Length::Known(end + 1),
            None if bytes.len() < V1_MAX => Length::Undecided,
            None => Length::None,
        };
    }
    Length::None
}
