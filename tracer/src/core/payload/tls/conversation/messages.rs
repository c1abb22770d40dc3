//! The contents of records: handshake messages and alerts in clear text.

use upload_protocol::{
    End,
    timeline::{Defect, TlsMessage},
};

use super::{Content, Conversation};
use crate::core::payload::{
    begun::{begin, go_on, words},
    tls::{
        flight::Flight,
        handshake::{Hello, Message, Messages},
        hello::{ClientHello, ServerHello},
        names,
    },
};

const NEW_SESSION_TICKET: u8 = 4;
const CERTIFICATE: u8 = 11;

impl Conversation {
    /// Bytes of the current record.
    pub(super) fn content(&mut self, mono_ns: u64, from: End, mut bytes: &[u8]) {
        match &mut self.direction(from).content {
            Content::Opaque => {}
            Content::Handshake => {
                while let Some(message) = self.direction(from).messages.next(mono_ns, &mut bytes) {
                    self.message(from, message);
                }
            }
            Content::Alert(alert, index) => {
                alert.extend_from_slice(bytes);
                let index = *index;
                if let &[level, description] = alert.as_slice()
                    && let Some(alert) = self.tls.alerts.get_mut(index)
                {
                    alert.level = names::alert_level(level);
                    alert.description = names::alert_description(description);
                    let level = alert
                        .level
                        .map_or_else(|| level.to_string(), |level| words(level.name()));
                    let description = words(&alert.description);
                    go_on(&mut self.begun, || {
                        format!(" (Level: {level}, Description: {description})")
                    });
                }
            }
        }
    }

    /// Bytes of the current record that were not captured.
    pub(super) fn hole(&mut self, from: End, length: u64) {
        let direction = self.direction(from);
        if direction.content != Content::Handshake {
            return;
        }
        if let Some(ended) = direction.messages.skip(length) {
            self.message(from, ended);
        }
        if from == End::Server && self.server.messages == Messages::Adrift {
            self.resumption_open = false;
        }
    }

    pub(super) fn message(&mut self, from: End, message: Message) {
        match message {
            Message::Hello(hello) if hello.from_client != (from == End::Client) => {
                self.malform(from, Defect::TlsHelloOfPeer);
            }
            Message::Hello(hello) => {
                self.tls.hellos_cut += u64::from(hello.cut);
                if hello.from_client {
                    self.client_hello(&hello);
                } else {
                    self.server_hello(&hello);
                }
            }
            Message::Begins {
                kind,
                length,
                mono_ns,
            } => {
                match names::handshake_type(kind) {
                    None | Some(TlsMessage::ServerHello) => return,
                    Some(name) => {
                        // A hello is read when it has come whole.
                        if name != TlsMessage::ClientHello {
                            begin(&mut self.begun, || words(name.name()));
                        }
                        self.step(name, mono_ns, from, false);
                    }
                }
                if from == End::Server {
                    if kind == CERTIFICATE {
                        self.tls.certificate_bytes.get_or_insert(length);
                    }
                    self.settle_resumption(from, kind == NEW_SESSION_TICKET);
                }
            }
        }
    }

    fn client_hello(&mut self, message: &Hello) {
        let hello = ClientHello::read(message);
        if !hello.complete && !message.cut {
            self.malform(End::Client, Defect::TlsClientHelloLengths);
        }
        self.tls.versions_offered = hello.offered();
        self.tls.cipher_suites_offered = hello.cipher_suites;
        self.tls.random = hello.random;
        begin(&mut self.begun, || match &hello.server_name {
            Some(name) => format!("Client Hello (SNI={name})"),
            None => "Client Hello".to_owned(),
        });
        self.tls.server_name = hello.server_name;
        self.tls.alpn_offered = hello.alpn;
        self.session_id = hello.session_id;
        self.early_data = hello.early_data;
    }

    fn server_hello(&mut self, message: &Hello) {
        let hello = ServerHello::read(message);
        let name = match hello.is_retry {
            Some(true) => Some(TlsMessage::HelloRetryRequest),
            Some(false) => Some(TlsMessage::ServerHello),
            None => None,
        };
        if let Some(name) = name {
            begin(&mut self.begun, || words(name.name()));
            self.step(name, message.mono_ns, End::Server, false);
        }
        if !hello.complete && !message.cut {
            self.malform(End::Server, Defect::TlsServerHelloLengths);
        }
        self.tls.cipher_suite = hello.cipher_suite.map(names::cipher_suite);
        if !hello.complete {
            return;
        }
        self.version = hello.version;
        self.tls.version = hello.version;
        self.tls.alpn = hello.alpn;
        if hello.is_retry == Some(true) {
            return;
        }
        if self.is_1_3() {
            self.tls.session_resumed = Some(hello.pre_shared_key);
            self.flight = hello
                .cipher_suite
                .and_then(|suite| Flight::new(suite, self.early_data));
        } else if !hello.session_id.is_empty() && hello.session_id == self.session_id {
            self.tls.session_resumed = Some(true);
        } else {
            self.resumption_open = true;
        }
    }

    /// The server's first message after its ServerHello shows whether it resumes a session.
    pub(super) fn settle_resumption(&mut self, from: End, resumed: bool) {
        if from == End::Server && std::mem::take(&mut self.resumption_open) {
            self.tls.session_resumed = Some(resumed);
        }
    }
}
