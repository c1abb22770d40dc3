//! Where TLS 1.3 hides its Finished messages (RFC 8446, section 4.4): in application_data records
//! whose lengths give them away.
//!
//! An encrypted Finished that has a record of its own is exactly as long as its cipher suite makes
//! it (4 bytes, the hash, the content type, the tag). So the **client's** is in the record of that
//! length that is its first after the ServerHello, or its second after an empty Certificate, or its
//! third after a Certificate and a CertificateVerify. Otherwise it is ambiguous: with early data,
//! padding, or messages that share a record.
//!
//! The **server's** was sent before the client's. So it is in its only record between the
//! ServerHello and that, or in the one record there of Finished's length that does not come first.

/// The encrypted records after a ServerHello.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Flight {
    sizes: Sizes,
    client: Vec<u16>,
    /// Time and length of each; emptied once they are no longer needed.
    server: Vec<(u64, u16)>,
    /// Whether all of the server's were seen.
    server_whole: bool,
    stage: Stage,
}

/// How long encrypted records are that hold one message each.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sizes {
    finished: u16,
    empty_certificate: u16,
    key_update: u16,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Handshake,
    Finished,
    ApplicationData,
    Undecided,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Inferred {
    /// The client's Finished; and when the server's was sent, if unambiguous.
    Finished(Option<u64>),
    ApplicationData,
}

/// A server's flight has five messages.
const MAX_SERVER: usize = 16;

impl Flight {
    /// The handshake after a ServerHello; `None` for an unknown cipher suite.
    pub(super) fn new(cipher_suite: u16, early_data: bool) -> Option<Self> {
        Some(Self {
            sizes: Sizes::of(cipher_suite)?,
            client: Vec::new(),
            server: Vec::new(),
            server_whole: true,
            stage: if early_data {
                Stage::Undecided
            } else {
                Stage::Handshake
            },
        })
    }

    /// A record of the server's.
    pub(super) fn server(&mut self, mono_ns: u64, length: u16) {
        if self.stage != Stage::Handshake {
            return;
        }
        if self.server.len() < MAX_SERVER {
            self.server.push((mono_ns, length));
        } else {
            self.server_whole = false;
        }
    }

    /// Records of the server's may have been missed.
    pub(super) const fn server_lost(&mut self) {
        self.server_whole = false;
    }

    /// Records of the client's may have been missed.
    pub(super) fn client_lost(&mut self) {
        if self.stage == Stage::Handshake {
            self.stage = Stage::Undecided;
        }
    }

    /// A record of the client's.
    pub(super) fn client(&mut self, length: u16) -> Option<Inferred> {
        match self.stage {
            Stage::Handshake => {
                self.client.push(length);
                if self.is_client_finished() {
                    self.stage = Stage::Finished;
                    return Some(Inferred::Finished(self.server_finished()));
                }
                if self.client.len() == 3 {
                    self.stage = Stage::Undecided;
                }
                None
            }
            // Not an alert, and not a KeyUpdate, which is longer than one.
            Stage::Finished if length > self.sizes.key_update => {
                self.stage = Stage::ApplicationData;
                Some(Inferred::ApplicationData)
            }
            Stage::Finished | Stage::ApplicationData | Stage::Undecided => None,
        }
    }

    fn is_client_finished(&self) -> bool {
        let finished = self.sizes.finished;
        match *self.client.as_slice() {
            [only] => only == finished,
            [certificate, second] => {
                certificate == self.sizes.empty_certificate && second == finished
            }
            [certificate, verify, third] => {
                certificate > finished && verify > finished && third == finished
            }
            _ => false,
        }
    }

    fn server_finished(&self) -> Option<u64> {
        if !self.server_whole {
            return None;
        }
        if let [(mono_ns, _)] = *self.server.as_slice() {
            return Some(mono_ns);
        }
        let mut candidates = self
            .server
            .iter()
            .skip(1)
            .filter(|(_, length)| *length == self.sizes.finished);
        match (candidates.next(), candidates.next()) {
            (Some((mono_ns, _)), None) => Some(*mono_ns),
            _ => None,
        }
    }
}

impl Sizes {
    /// RFC 8446, section 5.2 and appendix B.4; the tags are those of RFC 5116 and RFC 6655.
    fn of(cipher_suite: u16) -> Option<Self> {
        let (hash, tag) = match cipher_suite {
            0x1301 | 0x1303 | 0x1304 => (32, 16),
            0x1302 => (48, 16),
            0x1305 => (32, 8),
            _ => return None,
        };
        let record = |message: u16| message + 1 + tag;
        Some(Self {
            finished: record(4 + hash),
            empty_certificate: record(4 + 4),
            key_update: record(4 + 1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Flight, Inferred};

    const AES_256: u16 = 0x1302;

    /// Feeds the server's records at 1, 2, …, then the client's; checks the result of the last.
    fn check(early_data: bool, server: &[u16], client: &[u16], expected: Option<Inferred>) {
        let mut flight = Flight::new(AES_256, early_data);
        let inferred = flight.as_mut().and_then(|flight| {
            for (mono_ns, length) in (1..).zip(server) {
                flight.server(mono_ns, *length);
            }
            client.iter().map(|length| flight.client(*length)).last()?
        });
        assert_eq!(inferred, expected, "{server:?} {client:?}");
    }

    #[test]
    fn record_lengths_identify_finished() {
        let server = |mono_ns| Some(Inferred::Finished(mono_ns));
        let flight = [32, 416, 96, 69];
        check(false, &flight, &[69], server(Some(4)));
        check(false, &flight, &[25, 69], server(Some(4)));
        check(false, &flight, &[416, 96, 69], server(Some(4)));
        check(false, &flight, &[69, 300], Some(Inferred::ApplicationData));
        check(false, &[700], &[69], server(Some(1)));
        check(false, &[69, 69], &[69], server(Some(2)));
        check(false, &[], &[69], server(None));
        check(false, &[32, 69, 69], &[69], server(None));
        check(false, &[69, 700], &[69], server(None));
        check(false, &[32, 700], &[69], server(None));
    }

    #[test]
    fn an_ambiguous_finished_is_left_out() {
        let flight = [32, 416, 96, 69];
        check(true, &flight, &[69], None);
        check(false, &flight, &[19], None);
        check(false, &flight, &[19, 69], None);
        check(false, &flight, &[600, 69], None);
        check(false, &flight, &[600, 61, 69], None);
        check(false, &flight, &[69, 19], None);
        check(false, &flight, &[69, 22], None);
        check(false, &flight, &[300, 300, 300, 69], None);
        assert_eq!(Flight::new(0x1337, false), None);
    }
}
