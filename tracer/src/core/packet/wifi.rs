//! From a frame of a wireless network (IEEE 802.11) to the IP packet in it.

use super::{Bytes, Unread, link::logical};

/// What stands before the frame itself: how it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reception {
    /// Nothing.
    None,
    /// Radiotap: its length is little-endian, at 2.
    Radiotap,
    /// Prism, or AVS where that is what the header begins with.
    Prism,
    /// AVS: its length is big-endian, at 4.
    Avs,
}

/// Bits of the field Frame Control (IEEE 802.11-2020, section 9.2.4.1).
mod control {
    /// Of the first byte: always 0.
    pub(super) const VERSION: u8 = 0x03;
    /// Which type a frame has.
    pub(super) const TYPE: u8 = 0x0c;
    pub(super) const DATA: u8 = 0x08;
    /// The frame has no body.
    pub(super) const NULL: u8 = 0x40;
    pub(super) const QOS: u8 = 0x80;
    /// Of the second byte: the frame goes to an access point, and comes from one.
    pub(super) const TO_AND_FROM: u8 = 0x03;
    pub(super) const MORE_FRAGMENTS: u8 = 0x04;
    pub(super) const PROTECTED: u8 = 0x40;
    /// A frame with QoS has a field HT Control.
    pub(super) const ORDER: u8 = 0x80;
}

/// Bit of the field `QoS` Control: several packets stand in the frame (A-MSDU).
const AGGREGATED: u8 = 0x80;
/// Frame Control, duration, three addresses, sequence.
const HEADER: usize = 24;
const ADDRESS: usize = 6;

/// The IP packet in a frame.
pub(super) fn network(before: Reception, frame: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    let frame = match before {
        Reception::None => frame,
        Reception::Radiotap => {
            let (header, _) = frame.header::<4>()?;
            frame.skip(u16::from_le_bytes([header[2], header[3]]).into())?
        }
        Reception::Prism => {
            let (header, _) = frame.header::<8>()?;
            // AVS begins with its version, 0x8021_1001 or the next.
            if header[..3] == [0x80, 0x21, 0x10] {
                return network(Reception::Avs, frame);
            }
            // In the byte order of whoever captured; no header is longer than the other one would be.
            let length = [header[4], header[5], header[6], header[7]];
            let length = u32::from_le_bytes(length).min(u32::from_be_bytes(length));
            frame.skip(usize::try_from(length).unwrap_or(usize::MAX))?
        }
        Reception::Avs => {
            let (header, _) = frame.header::<8>()?;
            let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            frame.skip(usize::try_from(length).unwrap_or(usize::MAX))?
        }
    };
    let (&[kind, flags], _) = frame.header::<2>()?;
    let sequence = frame.captured.get(HEADER - 2).copied();
    let is_fragment = flags & control::MORE_FRAGMENTS != 0
        || sequence.is_some_and(|sequence| sequence & 0xf != 0);
    let packet = data([kind, flags], frame)?;
    if is_fragment {
        Err(Unread::Fragment)
    } else {
        Ok(packet)
    }
}

/// The IP packet in a frame that an access point has put together and passes on. Some swap the bytes of Frame
/// Control.
pub(super) fn tunnelled(frame: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    let (&[first, second], _) = frame.header::<2>()?;
    let is_data = |kind: u8| kind & (control::VERSION | control::TYPE) == control::DATA;
    let is_swapped = !is_data(first) && is_data(second);
    let control = if is_swapped {
        [second, first]
    } else {
        [first, second]
    };
    data(control, frame)
}

fn data([kind, flags]: [u8; 2], frame: Bytes<'_>) -> Result<Bytes<'_>, Unread> {
    if kind & control::TYPE != control::DATA || kind & control::NULL != 0 {
        return Err(Unread::NotTcp);
    }
    if flags & control::PROTECTED != 0 {
        return Err(Unread::Encrypted);
    }
    let mut rest = frame.skip(HEADER)?;
    if flags & control::TO_AND_FROM == control::TO_AND_FROM {
        rest = rest.skip(ADDRESS)?;
    }
    if kind & control::QOS != 0 {
        let (qos, inner) = rest.header::<2>()?;
        rest = inner;
        if qos[0] & AGGREGATED != 0 {
            return Err(Unread::Aggregated);
        }
        if flags & control::ORDER != 0 {
            rest = rest.skip(4)?;
        }
    }
    logical(rest)
}
