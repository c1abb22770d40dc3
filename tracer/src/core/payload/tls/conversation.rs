//! Both directions of TLS. Each needs facts from the other: the version, and whether it is encrypted.

mod messages;
mod record_log;

use upload_protocol::{
    End,
    timeline::{Defect, Malformed, TlsMessage, TlsVersion},
};

use super::{
    LONGEST, LONGEST_BEFORE_1_3, Tls, TlsAlert,
    flight::{Flight, Inferred},
    handshake::Messages,
    record::{Event, Header, Records},
};
use crate::core::payload::{
    Verdict,
    begun::{Begun, begin},
    record_malformed,
    stream::NewBytes,
};

#[derive(Clone, Debug, PartialEq)]
pub(in crate::core::payload) struct Conversation {
    tls: Tls,
    client: Direction,
    server: Direction,
    version: Option<TlsVersion>,
    session_id: Vec<u8>,
    early_data: bool,
    flight: Option<Flight>,
    /// Whether the server's next message shows if the session is resumed.
    resumption_open: bool,
    malformed: Vec<Malformed>,
    confirmed: bool,
    /// Lent while bytes are read.
    begun: Begun,
}

/// One direction.
#[derive(Clone, Debug, PartialEq)]
struct Direction {
    records: Records,
    messages: Messages,
    content: Content,
    /// Records whose headers were seen.
    seen: usize,
    /// Whether a hole or a late start may hide a ChangeCipherSpec.
    lost: bool,
    changed_cipher: bool,
    /// Whether the next record holds Finished, if it is a handshake record.
    finished_next: bool,
    has_application_data: bool,
}

/// The content of the current record.
#[derive(Clone, Debug, PartialEq)]
enum Content {
    Opaque,
    Handshake,
    /// An alert in clear text: its bytes so far, and its index in the list.
    Alert(Vec<u8>, usize),
}

/// A message of the handshake that cannot be read.
const ENCRYPTED: &str = "Encrypted Handshake Message";
const MAX_ALERTS: usize = 16;
const ALERT_LENGTH: u16 = 2;

impl Conversation {
    /// A conversation that begins with `new_bytes`. A direction that is joined late is read from the
    /// first segment that begins with a record.
    pub(in crate::core::payload) fn new(new_bytes: &NewBytes<'_>, peer_silent: bool) -> Self {
        let (client, server) = match new_bytes.from {
            End::Client => (new_bytes.is_start, peer_silent),
            End::Server => (peer_silent, new_bytes.is_start),
        };
        Self {
            tls: Tls::default(),
            client: Direction::new(client),
            server: Direction::new(server),
            version: None,
            session_id: Vec::new(),
            early_data: false,
            flight: None,
            resumption_open: false,
            malformed: Vec::new(),
            confirmed: false,
            begun: None,
        }
    }

    pub(in crate::core::payload) const fn tls(&self) -> &Tls {
        &self.tls
    }

    pub(in crate::core::payload) fn malformed(&self) -> &[Malformed] {
        &self.malformed
    }

    /// Whether a whole record header was seen.
    pub(in crate::core::payload) const fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    pub(in crate::core::payload) fn feed(
        &mut self,
        new_bytes: &NewBytes<'_>,
        begun: &mut Begun,
    ) -> Verdict {
        self.begun = begun.take();
        let verdict = self.read(new_bytes);
        *begun = self.begun.take();
        verdict
    }

    fn read(&mut self, new_bytes: &NewBytes<'_>) -> Verdict {
        let NewBytes { from, mono_ns, .. } = *new_bytes;
        self.skip(from, new_bytes.gap);
        self.direction(from).records.resume(new_bytes.bytes);
        let mut bytes = new_bytes.bytes;
        loop {
            let most = self.longest(from);
            let records = &mut self.direction(from).records;
            let Some(event) = records.next(mono_ns, &mut bytes, most) else {
                break;
            };
            if matches!(event, Event::NoRecord) && !self.confirmed {
                return Verdict::NotOurs;
            }
            self.take(mono_ns, from, event);
        }
        self.skip(from, new_bytes.rest);
        if !self.confirmed && self.direction(from).records == Records::Lost {
            return Verdict::Undecided;
        }
        Verdict::Ours
    }

    fn skip(&mut self, from: End, mut hole: u64) {
        while let Some(event) = self.direction(from).records.skip(&mut hole) {
            self.take(0, from, event);
        }
    }

    const fn direction(&mut self, from: End) -> &mut Direction {
        match from {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }

    fn is_1_3(&self) -> bool {
        self.version == Some(TlsVersion::TLS_1_3)
    }

    fn longest(&mut self, from: End) -> u16 {
        let direction = self.direction(from);
        let may_be_encrypted = direction.changed_cipher || direction.lost;
        if may_be_encrypted && !self.is_1_3() {
            LONGEST_BEFORE_1_3
        } else {
            LONGEST
        }
    }

    fn take(&mut self, mono_ns: u64, from: End, event: Event<'_>) {
        match event {
            Event::Header(header) => self.record(from, header),
            Event::Content(content) => self.content(mono_ns, from, content),
            Event::Hole(length) => self.hole(from, length),
            Event::Lost => self.lose(from),
            Event::NoRecord => {
                self.malform(from, Defect::TlsRecordMissing);
            }
            Event::TooLong(header) => {
                self.list(from, header);
                self.malform(from, Defect::TlsRecordTooLong);
            }
        }
    }

    /// A record's header was read.
    fn record(&mut self, from: End, header: Header) {
        self.list(from, header);
        let is_1_3 = self.is_1_3();
        let version = self.version;
        let direction = self.direction(from);
        let finished = std::mem::take(&mut direction.finished_next);
        if header.content_type != 22 && direction.messages.is_inside() {
            self.malform(from, Defect::TlsMessageCutOff);
            return;
        }
        direction.content = Content::Opaque;
        let encrypted = direction.changed_cipher && !is_1_3;
        match header.content_type {
            20 if !encrypted => {
                if header.length != 1 && !direction.lost {
                    self.malform(from, Defect::TlsChangeCipherSpecLength);
                    return;
                }
                direction.changed_cipher = true;
                direction.finished_next = version.is_some() && !is_1_3;
                begin(&mut self.begun, || "Change Cipher Spec");
                self.step(TlsMessage::ChangeCipherSpec, header.mono_ns, from, false);
                self.settle_resumption(from, true);
            }
            21 => self.alert(from, header, encrypted),
            22 if encrypted && finished => {
                begin(&mut self.begun, || ENCRYPTED);
                self.step(TlsMessage::Finished, header.mono_ns, from, true);
            }
            22 if encrypted => begin(&mut self.begun, || ENCRYPTED),
            22 if header.length == 0 => self.malform(from, Defect::TlsHandshakeRecordEmpty),
            22 => {
                direction.content = Content::Handshake;
                direction.messages.begin_record(header.length);
            }
            23 => {
                begin(&mut self.begun, || "Application Data");
                self.application_data(from, header);
            }
            24 => begin(&mut self.begun, || "Heartbeat"),
            _ => {}
        }
    }

    fn alert(&mut self, from: End, header: Header, encrypted: bool) {
        let clear = header.length == ALERT_LENGTH;
        if !clear && !encrypted && !self.direction(from).lost {
            self.malform(from, Defect::TlsAlertLength);
            return;
        }
        self.step(TlsMessage::Alert, header.mono_ns, from, false);
        begin(&mut self.begun, || {
            if clear { "Alert" } else { "Encrypted Alert" }
        });
        if self.tls.alerts.len() == MAX_ALERTS {
            self.tls.alerts_left_out += 1;
            return;
        }
        if clear {
            self.direction(from).content = Content::Alert(Vec::new(), self.tls.alerts.len());
        }
        let description = if clear { "not captured" } else { "encrypted" };
        self.tls.alerts.push(TlsAlert {
            mono_ns: header.mono_ns,
            from,
            level: None,
            description: description.into(),
        });
    }

    fn application_data(&mut self, from: End, header: Header) {
        let Header {
            mono_ns, length, ..
        } = header;
        let first = match (self.version, &mut self.flight, from) {
            (Some(TlsVersion::TLS_1_3), Some(flight), End::Server) => {
                flight.server(mono_ns, length);
                false
            }
            (Some(TlsVersion::TLS_1_3), Some(flight), End::Client) => match flight.client(length) {
                Some(Inferred::Finished(server)) => {
                    if let Some(server_ns) = server {
                        self.step(TlsMessage::Finished, server_ns, End::Server, true);
                    }
                    self.step(TlsMessage::Finished, mono_ns, from, true);
                    false
                }
                Some(Inferred::ApplicationData) => true,
                None => false,
            },
            (Some(TlsVersion::TLS_1_3) | None, ..) => false,
            (Some(_), ..) => self.direction(from).changed_cipher,
        };
        if first && !std::mem::replace(&mut self.direction(from).has_application_data, true) {
            self.step(TlsMessage::ApplicationData, mono_ns, from, self.is_1_3());
        }
    }

    /// The start of a direction's next record is lost.
    fn lose(&mut self, from: End) {
        let direction = self.direction(from);
        direction.lost = true;
        direction.content = Content::Opaque;
        direction.finished_next = false;
        if let Some(cut) = direction.messages.lose() {
            self.message(from, cut);
        }
        match (from, &mut self.flight) {
            (End::Client, Some(flight)) => flight.client_lost(),
            (End::Server, Some(flight)) => flight.server_lost(),
            (_, None) => {}
        }
        if from == End::Server {
            self.resumption_open = false;
        }
    }

    /// Records a defect, and stops reading that direction.
    fn malform(&mut self, from: End, defect: Defect) {
        record_malformed(&mut self.malformed, from, defect);
        self.lose(from);
        self.direction(from).records = Records::Stopped;
    }
}

impl Direction {
    const fn new(from_start: bool) -> Self {
        Self {
            records: if from_start {
                Records::new()
            } else {
                Records::Lost
            },
            messages: if from_start {
                Messages::new()
            } else {
                Messages::Adrift
            },
            content: Content::Opaque,
            seen: 0,
            lost: !from_start,
            changed_cipher: false,
            finished_next: false,
            has_application_data: false,
        }
    }
}
