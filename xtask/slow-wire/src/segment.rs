//! TCP segments in the packets of a wire.

/// A TCP segment in an IPv4 or IPv6 packet.
pub(crate) struct Segment {
    /// Where its header begins.
    tcp: usize,
    pub(crate) is_syn: bool,
    pub(crate) has_payload: bool,
    /// Its sequence number.
    pub(crate) seq: u32,
}

/// What a NAT does to one port in one direction.
pub(crate) struct Translation {
    pub(crate) port: Port,
    pub(crate) from: u16,
    pub(crate) to: u16,
}

pub(crate) enum Port {
    Source,
    Destination,
}

impl Segment {
    /// `None` for any other packet: the kernel sends some on its own (ICMPv6).
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        const TCP: u8 = 6;
        const SYN: u8 = 2;
        let (protocol, tcp) = match packet.first()? >> 4 {
            4 => (*packet.get(9)?, usize::from(packet[0] & 15) * 4),
            6 => (*packet.get(6)?, 40),
            _ => return None,
        };
        if protocol != TCP {
            return None;
        }
        let header = usize::from(packet.get(tcp + 12)? >> 4) * 4;
        Some(Self {
            tcp,
            is_syn: packet.get(tcp + 13)? & SYN != 0,
            has_payload: packet.len() > tcp + header,
            seq: u32::from_be_bytes(packet.get(tcp + 4..tcp + 8)?.try_into().ok()?),
        })
    }

    /// Puts another port in its place.
    pub(crate) fn translate(&self, packet: &mut [u8], translation: &Translation) {
        let at = match translation.port {
            Port::Source => self.tcp,
            Port::Destination => self.tcp + 2,
        };
        if packet[at..at + 2] == translation.from.to_be_bytes() {
            let (before, after) = (translation.from.into(), translation.to.into());
            packet[at..at + 2].copy_from_slice(&translation.to.to_be_bytes());
            self.mend(packet, before, after);
        }
    }

    /// Mends the checksum after the sum of the words that it covers has changed (RFC 1624):
    /// ~(~C + ~m + m'). A TUN device says that the checksum of what it gives back is to be checked.
    fn mend(&self, packet: &mut [u8], before: u64, after: u64) {
        let at = self.tcp + 16..self.tcp + 18;
        let checksum = u16::from_be_bytes([packet[at.start], packet[at.start + 1]]);
        let most = u64::from(u16::MAX) * 60;
        let mut sum = u64::from(!checksum) + most - before + after;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        let mended = !u16::try_from(sum).unwrap_or(0);
        packet[at].copy_from_slice(&mended.to_be_bytes());
    }

    /// Overwrites the option (RFC 7323, section 2.2) with no-operations.
    pub(crate) fn remove_window_scale(&self, packet: &mut [u8]) {
        const NO_OPERATION: u8 = 1;
        const WINDOW_SCALE: u8 = 3;
        let tcp = self.tcp;
        let end = (tcp + usize::from(packet[tcp + 12] >> 4) * 4).min(packet.len());
        let mut at = tcp + 20;
        while at + 1 < end && packet[at] != 0 {
            let length = match packet[at] {
                NO_OPERATION => 1,
                _ => usize::from(packet[at + 1]).max(1),
            };
            if packet[at] == WINDOW_SCALE && at + length <= end {
                let before = words(&packet[tcp..end]);
                packet[at..at + length].fill(NO_OPERATION);
                let after = words(&packet[tcp..end]);
                self.mend(packet, before, after);
                return;
            }
            at += length;
        }
    }
}

/// The sum of the 16-bit words.
fn words(header: &[u8]) -> u64 {
    let pairs = header.chunks_exact(2);
    pairs
        .map(|pair| u64::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN with the options MSS, no-operation and window scale, and a right checksum (but for the
    /// addresses).
    fn syn() -> Vec<u8> {
        let mut packet = vec![0; 20];
        packet[0] = 0x45;
        packet[9] = 6;
        let mut tcp = vec![0; 20];
        tcp[12] = 7 << 4;
        tcp[13] = 2;
        tcp.extend([2, 4, 5, 180, 1, 3, 3, 10]);
        let sum = words(&tcp);
        let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        tcp[16..18].copy_from_slice(&(!folded).to_be_bytes());
        packet.extend(tcp);
        packet
    }

    fn is_valid(tcp: &[u8]) -> bool {
        let sum = words(tcp);
        (sum & 0xffff) + (sum >> 16) == 0xffff
    }

    #[test]
    fn window_scaling_is_taken_out_and_the_checksum_stays_right() {
        let mut packet = syn();
        assert!(is_valid(&packet[20..]));
        let segment = Segment::of(&packet).unwrap();
        assert!(segment.is_syn && !segment.has_payload);
        segment.remove_window_scale(&mut packet);
        assert_eq!(packet[40..], [2, 4, 5, 180, 1, 1, 1, 1]);
        assert!(is_valid(&packet[20..]));
    }

    #[test]
    fn a_port_is_translated_and_the_checksum_stays_right() {
        let mut packet = syn();
        packet[22..24].copy_from_slice(&80_u16.to_be_bytes());
        let segment = Segment::of(&packet).unwrap();
        segment.mend(&mut packet, 0, 80);
        assert!(is_valid(&packet[20..]));
        let translation = |from| Translation {
            port: Port::Destination,
            from,
            to: 8080,
        };
        segment.translate(&mut packet, &translation(81));
        assert_eq!(packet[22..24], 80_u16.to_be_bytes());
        segment.translate(&mut packet, &translation(80));
        assert_eq!(packet[22..24], 8080_u16.to_be_bytes());
        assert!(is_valid(&packet[20..]));
    }

    #[test]
    fn what_is_no_segment_is_none() {
        assert!(Segment::of(&[]).is_none());
        let mut udp = syn();
        udp[9] = 17;
        assert!(Segment::of(&udp).is_none());
        assert!(Segment::of(&syn()[..30]).is_none());
    }
}
