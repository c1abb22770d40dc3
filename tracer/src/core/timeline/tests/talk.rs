//! Conversations that make sense: what two ends record of an upload, from the SYN to the end.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use tracer_ebpf::record::{self, state};
use upload_protocol::Flags;

use super::{ANSWER, CLIENT, HEAD, Record, SERVER};

/// What may differ between two conversations.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    client_seen: bool,
    server_seen: bool,
    /// How much of the request the SYN carries.
    in_syn: usize,
    /// How much of it before a pause, if not all.
    before_pause: usize,
    /// Whether the server's socket is there with the first data only.
    defers: bool,
    server_closes_first: bool,
    /// Whether the client closes its direction before the answer.
    half_closes: bool,
    end: TalkEnd,
    /// Between two records.
    pauses_ns: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
enum TalkEnd {
    Fin,
    ResetByClient,
    ResetByServer,
    /// The client's kernel gives up.
    TimedOut,
    StillOpen,
}

pub(super) fn any_talk() -> impl Strategy<Value = Talk> {
    let whole = HEAD.len() + 9;
    let end = prop::sample::select(vec![
        TalkEnd::Fin,
        TalkEnd::ResetByClient,
        TalkEnd::ResetByServer,
        TalkEnd::TimedOut,
        TalkEnd::StillOpen,
    ]);
    let seen = prop_oneof![Just((true, true)), Just((true, false)), Just((false, true))];
    let in_syn = prop_oneof![Just(0), 1..=whole];
    (
        seen,
        in_syn,
        0..=whole,
        any::<[bool; 3]>(),
        end,
        prop::collection::vec(1_u64..2_000_000_000, 64),
    )
        .prop_map(
            |(seen, in_syn, before_pause, [defers, first, half], end, pauses_ns)| Talk {
                client_seen: seen.0,
                server_seen: seen.1,
                in_syn,
                before_pause: before_pause.max(in_syn),
                defers: defers && in_syn == 0,
                server_closes_first: first,
                half_closes: half,
                end,
                pauses_ns,
            },
        )
}

/// Initial sequence numbers of client and server.
const FIRST: [u32; 2] = [1000, 5000];

/// Writes the records of a [`Talk`], in the order of time.
struct Writer<'a> {
    talk: &'a Talk,
    records: Vec<(u64, Record)>,
    now_ns: u64,
    /// The next sequence number of client and server, and when payload last passed.
    next: [u32; 2],
    last_payload: Option<(bool, u64)>,
    /// The last acknowledgment number from client and server; 0 before the first.
    acknowledged: [u32; 2],
    /// Whether client and server sent a FIN.
    closed: [bool; 2],
}

impl Writer<'_> {
    fn push(&mut self, record: Record) {
        let pause = self.talk.pauses_ns[self.records.len() % self.talk.pauses_ns.len()];
        self.now_ns += pause;
        self.records.push((pause, record));
    }

    fn change(&mut self, cookie: u64, old: u8, new: u8, error: u32) {
        let seen = if cookie == CLIENT {
            self.talk.client_seen
        } else {
            self.talk.server_seen
        };
        if seen {
            self.push(Record::Change {
                cookie,
                old,
                new,
                error,
                closing: record::closing::KNOWN,
                counted: self.counted(cookie, new),
            });
        }
    }

    /// `bytes_received` and `bytes_acked` of a socket, as the kernel counts them: a client's SYN and a FIN, too.
    fn counted(&self, cookie: u64, new: u8) -> [u64; 2] {
        let is_server = usize::from(cookie == SERVER);
        // The ACK that leads to FIN_WAIT2 is processed before a FIN of the same segment.
        let uncounted = u32::from(new == state::FIN_WAIT2 && self.closed[1 - is_server]);
        let received =
            self.next[1 - is_server].saturating_sub(FIRST[1 - is_server] + 1 + uncounted);
        // Who has sent the SYN-ACK counts from the third ACK on.
        let acked_from = FIRST[is_server] + u32::try_from(is_server).unwrap();
        let acked = self.acknowledged[1 - is_server].saturating_sub(acked_from);
        [received, acked].map(u64::from)
    }

    fn event(&mut self, cookie: u64, kind: u16, state: u8) {
        let seen = if cookie == CLIENT {
            self.talk.client_seen
        } else {
            self.talk.server_seen
        };
        if seen {
            self.push(Record::Event {
                cookie,
                kind,
                state,
                error: 0,
            });
        }
    }

    /// As it leaves its sender, where that is seen, or else as it arrives.
    fn segment(&mut self, by_client: bool, flags: u16, payload: &[u8]) {
        let leaves = if by_client {
            self.talk.client_seen
        } else {
            self.talk.server_seen
        };
        let at_client = by_client == leaves;
        let (own, peer) = (usize::from(!by_client), usize::from(by_client));
        let turned = self
            .last_payload
            .filter(|(by, _)| *by != by_client && !payload.is_empty());
        let record = Record::Segment {
            cookie: if at_client { CLIENT } else { SERVER },
            direction: if leaves {
                record::EGRESS
            } else {
                record::INGRESS
            },
            flags,
            seq: self.next[own],
            ack: if flags & Flags::ACK == 0 {
                0
            } else {
                self.next[peer]
            },
            payload: payload.to_vec(),
            turned_ns: turned.map_or(0, |(_, at)| at),
        };
        self.push(record);
        if flags & Flags::ACK != 0 {
            self.acknowledged[own] = self.next[peer];
        }
        self.closed[own] |= flags & Flags::FIN != 0;
        let takes_one = flags & (Flags::SYN | Flags::FIN) != 0;
        self.next[own] += u32::try_from(payload.len()).unwrap() + u32::from(takes_one);
        if !payload.is_empty() {
            self.last_payload = Some((by_client, 1_000_000_000 + self.now_ns));
        }
    }
}

impl Talk {
    /// How many bytes of payload client and server sent, and got acknowledged, where both ended with FINs.
    pub(super) fn carried(&self) -> Option<[u64; 2]> {
        let sent = [HEAD.len() + 9, ANSWER.len()];
        matches!(self.end, TalkEnd::Fin).then(|| sent.map(|sent| u64::try_from(sent).unwrap()))
    }

    pub(super) fn records(&self) -> Vec<(u64, Record)> {
        use state::{
            CLOSE, CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, LAST_ACK, SYN_RECV, SYN_SENT,
        };
        let mut to = Writer {
            talk: self,
            records: Vec::new(),
            now_ns: 0,
            next: FIRST,
            last_payload: None,
            acknowledged: [0; 2],
            closed: [false; 2],
        };
        let request = [HEAD, &[b'x'; 9]].concat();
        let (in_syn, rest) = request.split_at(self.in_syn);
        let (first, second) = rest.split_at(self.before_pause - self.in_syn);
        to.change(CLIENT, CLOSE, SYN_SENT, 0);
        to.segment(true, Flags::SYN, in_syn);
        to.segment(false, Flags::SYN | Flags::ACK, &[]);
        to.change(CLIENT, SYN_SENT, ESTABLISHED, 0);
        to.segment(true, Flags::ACK, &[]);
        if !self.defers {
            to.change(SERVER, SYN_RECV, ESTABLISHED, 0);
        }
        for part in [first, second] {
            if !part.is_empty() {
                to.segment(true, Flags::ACK, part);
            }
        }
        if self.defers {
            to.change(SERVER, SYN_RECV, ESTABLISHED, 0);
        }
        let fin = Flags::FIN | Flags::ACK;
        let half_closes = self.half_closes && matches!(self.end, TalkEnd::Fin);
        if half_closes {
            to.change(CLIENT, ESTABLISHED, FIN_WAIT1, 0);
            to.segment(true, fin, &[]);
            to.change(SERVER, ESTABLISHED, CLOSE_WAIT, 0);
            to.segment(false, Flags::ACK, &[]);
            to.change(CLIENT, FIN_WAIT1, FIN_WAIT2, 0);
        }
        to.segment(false, Flags::ACK, ANSWER);
        match self.end {
            TalkEnd::Fin if half_closes => {
                to.change(SERVER, CLOSE_WAIT, LAST_ACK, 0);
                to.segment(false, fin, &[]);
                to.segment(true, Flags::ACK, &[]);
                to.change(CLIENT, FIN_WAIT2, CLOSE, 0);
                to.change(SERVER, LAST_ACK, CLOSE, 0);
            }
            TalkEnd::Fin => {
                let by_client = !self.server_closes_first;
                let (one, other) = if by_client {
                    (CLIENT, SERVER)
                } else {
                    (SERVER, CLIENT)
                };
                to.change(one, ESTABLISHED, FIN_WAIT1, 0);
                to.segment(by_client, fin, &[]);
                to.change(other, ESTABLISHED, CLOSE_WAIT, 0);
                to.change(other, CLOSE_WAIT, LAST_ACK, 0);
                to.segment(!by_client, fin, &[]);
                to.change(one, FIN_WAIT1, FIN_WAIT2, 0);
                to.segment(by_client, Flags::ACK, &[]);
                to.change(one, FIN_WAIT2, CLOSE, 0);
                to.change(other, LAST_ACK, CLOSE, 0);
            }
            TalkEnd::ResetByClient | TalkEnd::ResetByServer => {
                let by_client = matches!(self.end, TalkEnd::ResetByClient);
                let (one, other) = if by_client {
                    (CLIENT, SERVER)
                } else {
                    (SERVER, CLIENT)
                };
                // The process closes its socket, and the RST follows.
                to.change(one, ESTABLISHED, CLOSE, 0);
                to.segment(by_client, Flags::RST | Flags::ACK, &[]);
                to.event(one, record::RESET_SENT, CLOSE);
                to.event(other, record::RESET_RECEIVED, ESTABLISHED);
                to.change(other, ESTABLISHED, CLOSE, 104);
            }
            TalkEnd::TimedOut => {
                to.segment(true, Flags::RST | Flags::ACK, &[]);
                to.event(CLIENT, record::RESET_SENT, ESTABLISHED);
                to.change(CLIENT, ESTABLISHED, CLOSE, 110);
            }
            TalkEnd::StillOpen => {}
        }
        to.records
    }
}
