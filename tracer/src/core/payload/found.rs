//! What the parsers have found.

use std::net::SocketAddr;

use upload_protocol::timeline::{Http2Frames, Malformed, Protocol};

use super::{Finished, HttpExchange, Parser, Payload, Tls, Transfer, Turns};

impl Payload {
    /// The protocol, as far as it is known yet.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match &self.parser {
            Parser::Tls(conversation) if conversation.is_confirmed() => Protocol::Tls,
            Parser::Http(conversation) if conversation.is_confirmed() => Protocol::Http1,
            Parser::Tls(_) | Parser::Http(_) | Parser::Proxy(_) | Parser::Unknown => {
                Protocol::Unknown
            }
            Parser::Http2(_) => Protocol::Http2,
            Parser::Ftp(_) | Parser::Other => Protocol::Other,
        }
    }

    /// The TLS handshake, if it is TLS.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        match &self.parser {
            Parser::Tls(conversation) if conversation.is_confirmed() => Some(conversation.tls()),
            _ => None,
        }
    }

    /// The requests and responses of HTTP in clear text, in order, the first 1,000; those of HTTP/2 where the
    /// stream is passed whole.
    #[must_use]
    pub fn exchanges(&self) -> &[HttpExchange] {
        match &self.parser {
            Parser::Http(conversation) => conversation.exchanges(),
            Parser::Http2(conversation) => conversation.exchanges(),
            _ => &[],
        }
    }

    /// The exchange that began last, whether it is one of those or not.
    #[must_use]
    pub fn latest_exchange(&self) -> Option<&HttpExchange> {
        match &self.parser {
            Parser::Http(conversation) => conversation.latest(),
            Parser::Http2(conversation) => conversation.latest(),
            _ => None,
        }
    }

    /// How many exchanges followed those.
    #[must_use]
    pub fn exchanges_left_out(&self) -> usize {
        match &self.parser {
            Parser::Http(conversation) => conversation.left_out(),
            Parser::Http2(conversation) => conversation.left_out(),
            _ => 0,
        }
    }

    /// Whether an exchange is over that was not [taken](Self::take_finished) yet.
    #[must_use]
    pub fn has_finished(&self) -> bool {
        match &self.parser {
            Parser::Http(conversation) => conversation.has_finished(),
            Parser::Http2(conversation) => conversation.has_finished(),
            _ => false,
        }
    }

    /// Takes the exchanges that are over, in order, each once; `all`: the others, too.
    pub fn take_finished(&mut self, all: bool) -> Vec<Finished> {
        match &mut self.parser {
            Parser::Http(conversation) => conversation.take_finished(all),
            Parser::Http2(conversation) => conversation.take_finished(all),
            _ => Vec::new(),
        }
    }

    /// From now on, keeps what begins in it.
    pub fn keep_begun(&mut self) {
        let kept = self.kept.get_or_insert_default();
        kept.begun.get_or_insert_default();
    }

    /// What began since this was last asked, in the words of Wireshark's Info column; `None` where nothing did, or
    /// that is not kept.
    pub fn take_begun(&mut self) -> Option<String> {
        self.kept.as_mut()?.begun.as_mut()?.take()
    }

    /// From now on, keeps where payload changes its direction.
    pub fn keep_turns(&mut self) {
        let is_late = !self.client.is_silent() || !self.server.is_silent();
        let kept = self.kept.get_or_insert_default();
        kept.turns.get_or_insert_with(|| Turns::new(is_late));
    }

    /// Where payload changed its direction, if that is kept.
    #[must_use]
    pub fn turns(&self) -> Option<&Turns> {
        self.kept.as_ref()?.turns.as_ref()
    }

    /// The client's address and the server's of the connection in front of this one, by the header of the PROXY
    /// protocol.
    #[must_use]
    pub fn proxied(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.turns()?.proxied()
    }

    /// Takes whether the server has answered since the last call.
    pub fn take_answered(&mut self) -> bool {
        std::mem::take(&mut self.answered)
    }

    /// How many bytes each end has sent at least, the client's first: as far as they were captured or
    /// acknowledged.
    #[must_use]
    pub fn lengths(&self) -> (u64, u64) {
        let client = self.acknowledged.max(self.client.position());
        (client, self.server.position())
    }

    /// Where in the two streams, the client's first, bytes begin that are not read: another protocol's
    /// after `101` or `CONNECT`, or what follows something that is no HTTP.
    #[must_use]
    pub fn unread_from(&self) -> Option<(u64, u64)> {
        match &self.parser {
            Parser::Http(conversation) => conversation.unread_from(),
            _ => None,
        }
    }

    /// The frames of HTTP/2 in clear text.
    #[must_use]
    pub fn http2_frames(&self) -> Option<&Http2Frames> {
        match &self.parser {
            Parser::Http2(conversation) => Some(conversation.frames()),
            _ => None,
        }
    }

    /// The window of each stream of HTTP/2 in clear text, as the server announced it
    /// (`SETTINGS_INITIAL_WINDOW_SIZE`), in bytes.
    #[must_use]
    pub fn stream_window(&self) -> Option<u32> {
        match &self.parser {
            Parser::Http2(conversation) => conversation.stream_window(),
            _ => None,
        }
    }

    /// The data connections that FTP announced, as far as there is news of them.
    pub fn take_transfers(&mut self) -> Vec<Transfer> {
        match &mut self.parser {
            Parser::Ftp(conversation) => conversation.take_changed(),
            _ => Vec::new(),
        }
    }

    /// The defects found, each kind once per end.
    #[must_use]
    pub fn malformed(&self) -> &[Malformed] {
        match &self.parser {
            Parser::Tls(conversation) => conversation.malformed(),
            Parser::Http(conversation) => conversation.malformed(),
            Parser::Http2(conversation) => conversation.malformed(),
            Parser::Unknown | Parser::Proxy(_) | Parser::Ftp(_) | Parser::Other => &[],
        }
    }
}
