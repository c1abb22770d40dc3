//! Requests that are encrypted: where payload changes its direction, a request or a response begins.

use upload_protocol::{End, timeline::ContentType};

use super::{
    Bytes, IN, OUT,
    leg::{Leg, Passing, Request},
};
use crate::core::payload::{Marks, Turn};

/// A client asks whether it may send a longer body.
const LONG_BODY: u64 = 64 << 10;
/// RFC 8446, section 5.1.
const RECORD_HEADER: u64 = 5;

impl Leg {
    /// The request that may be another connection's, with that one's times.
    pub(super) fn hidden_request(&self, behind: &Passing, bytes: &Bytes) -> Option<Request> {
        let response = self.hidden_response(behind)?;
        let until_ns = response.map_or(behind.response_ns, |turn| Some(turn.mono_ns));
        let mut of_client = self.turns.of(End::Client);
        let next = of_client.find(|turn| until_ns.is_some_and(|until_ns| turn.mono_ns > until_ns));
        let sent = next.map_or(self.sent[0], |next| next.offset);
        let before = self.passed_on_before(behind);
        let opened_ns = self.tls_end();
        let first_ns = opened_ns.and_then(|opened_ns| self.turn_at(opened_ns));
        let allows = |turn: &Turn| {
            let is_first = Some(turn.mono_ns) <= first_ns;
            bytes.allow(sent.saturating_sub(turn.offset))
                && self.may_be_one(turn, until_ns, bytes.least(), is_first)
        };
        let since = |from_ns: u64| self.hidden_start(behind, from_ns, allows);
        let start = before.and_then(since);
        let start = start.or_else(|| since(first_ns.unwrap_or(0)));
        let (start_ns, bytes) = match start {
            Some(turn) => {
                let bytes = sent.saturating_sub(turn.offset);
                (opened_ns.max(Some(turn.mono_ns)), Some(bytes))
            }
            // Of a connection that is older than what is known of its process, all bytes are one request's, or
            // none fits.
            None if self.turns.is_late() => {
                let sent = sent.checked_sub(self.handshake_bytes()?)?;
                (opened_ns, Some(sent).filter(|sent| bytes.allow(*sent)))
            }
            None => return None,
        };
        bytes?;
        let first = self.turns.of(End::Client);
        let mut first = first.filter(|turn| Some(turn.mono_ns) >= first_ns);
        let is_first = start.is_none_or(|start| first.next() == Some(start));
        Some(Request {
            passing: Passing {
                start_ns,
                end_ns: response.and_then(|turn| turn.before_ns),
                response_ns: response.map(|turn| turn.mono_ns),
            },
            bytes,
            content_length: None,
            head: None,
            marks: Marks::default(),
            after_ns: before.unwrap_or(0),
            number: None,
            is_first: before.is_none(),
            is_doubtful: !is_first && self.may_be_http2(),
        })
    }

    /// The server's turn in which it passed the response on: the first since that came from behind, or the one
    /// before, which goes on. `None` where it has sent nothing since.
    fn hidden_response(&self, behind: &Passing) -> Option<Option<&Turn>> {
        let Some(response_ns) = behind.response_ns else {
            return Some(None);
        };
        let mut of_server = self.turns.of(End::Server);
        let turn = of_server.find(|turn| turn.mono_ns >= response_ns);
        if turn.is_some() {
            return Some(turn);
        }
        (self.turns.server_last_ns() >= response_ns).then_some(None)
    }

    /// The first turn of the client, since the request before, after which it sent as many bytes.
    fn hidden_start(
        &self,
        behind: &Passing,
        from_ns: u64,
        allows: impl Fn(&Turn) -> bool,
    ) -> Option<&Turn> {
        let until_ns = behind.start_ns.unwrap_or(u64::MAX);
        let mut of_client = self.turns.of(End::Client);
        of_client.find(|turn| {
            let is_in_time = (from_ns..=until_ns).contains(&turn.mono_ns);
            is_in_time && allows(turn)
        })
    }

    /// When the response before was passed on, if a thread was seen to do so.
    fn passed_on_before(&self, behind: &Passing) -> Option<u64> {
        let [_, relays] = &self.relays;
        let until_ns = behind.start_ns?.checked_sub(1)?;
        relays.between(0, until_ns).last().map(|(at, _)| at)
    }

    /// When the turn of the client began in which a moment is: the end of a TLS handshake and the first request may
    /// be in one.
    fn turn_at(&self, at_ns: u64) -> Option<u64> {
        let mut of_server = self.turns.of(End::Server);
        let mut of_client = self.turns.of(End::Client);
        let start_ns = of_client.rfind(|turn| turn.mono_ns <= at_ns)?.mono_ns;
        let is_over = of_server.any(|turn| (start_ns..=at_ns).contains(&turn.mono_ns));
        Some(if is_over { at_ns } else { start_ns })
    }

    /// Whether what a client sent from this turn on until a response may be one request. In HTTP/1.1, a server sends
    /// nothing meanwhile but `100 Continue`, which clients ask for before long bodies, and its session tickets.
    fn may_be_one(&self, start: &Turn, until_ns: Option<u64>, body: u64, is_first: bool) -> bool {
        if self.may_be_http2() {
            return true;
        }
        let until_ns = until_ns.unwrap_or(u64::MAX);
        let of_server = self.turns.of(End::Server);
        let between =
            of_server.filter(|turn| turn.mono_ns > start.mono_ns && turn.mono_ns < until_ns);
        between.count() <= usize::from(is_first) + usize::from(body >= LONG_BODY)
    }

    /// Whether its client offered HTTP/2 (RFC 9113, section 3.2).
    fn may_be_http2(&self) -> bool {
        let tls = self
            .timeline
            .maintenance()
            .and_then(|phase| phase.tls.as_ref());
        tls.is_none_or(|tls| {
            tls.alpn.as_deref().is_none_or(|chosen| chosen == "h2")
                && tls.alpn_offered.iter().any(|offered| offered == "h2")
        })
    }

    /// When its TLS handshake ended.
    fn tls_end(&self) -> Option<u64> {
        let tls = self.timeline.maintenance()?.tls.as_ref()?;
        self.moment(tls.end_ns)
    }

    /// How many bytes its client sent before its first application data.
    fn handshake_bytes(&self) -> Option<u64> {
        let tls = self.timeline.maintenance()?.tls.as_ref()?;
        let of_client = tls.records.iter().filter(|record| record.from == OUT);
        let before = of_client.take_while(|record| record.name != ContentType::ApplicationData);
        Some(
            before
                .map(|record| RECORD_HEADER + u64::from(record.length))
                .sum(),
        )
    }

    /// How many bytes an end has sent between two moments, at most.
    pub(super) fn bytes_between(&self, from: End, start_ns: u64, end_ns: u64) -> u64 {
        let all = self.sent[usize::from(from == IN)];
        let turns = || self.turns.of(from);
        let before = turns().rfind(|turn| turn.mono_ns <= start_ns);
        let after = turns().find(|turn| turn.mono_ns > end_ns);
        let until = after.map_or(all, |turn| turn.offset);
        until.saturating_sub(before.map_or(0, |turn| turn.offset))
    }
}
