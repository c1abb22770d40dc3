//! One conversation: what each of its two sockets went through, as far as it was seen. Facts only;
//! what they mean is the [`timeline`](crate::timeline)'s business.

mod owner;

use std::sync::{Arc, LazyLock};

use serde::Serialize;
use tracer_ebpf::record::{Counters, Passed};
use zerocopy::FromZeros as _;

pub use self::owner::{Learned, Owner};
use crate::{
    dialogue::Dialogue,
    end::End,
    event::{AcceptQueue, Addresses, State, Task},
};

/// A TCP connection as this machine saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Names it in every output: the cookie of the socket that was seen first.
    pub id: String,
    /// The client's socket, if it is on this machine.
    pub client: Option<View>,
    /// The server's socket, if it is on this machine.
    pub server: Option<View>,
    /// When the listener sent the SYN-ACK again.
    pub syn_ack_retransmits: Vec<u64>,
    /// Whether anything was seen to happen on it, rather than that it was there.
    pub active: bool,
    /// The listener's accept queue whenever a SYN came, and when.
    pub accept_queues: Vec<(u64, AcceptQueue)>,
    /// How it is known which end is the client.
    pub roles_from: RolesFrom,
    /// Its segments.
    pub dialogue: Dialogue,
    /// Records lost while the connection was open, of whichever connection: an upper bound.
    pub lost: u64,
    /// Whether nothing is certain to have been lost.
    pub lost_at_most: bool,
    /// Whether anything had been lost, or dropped, before it was first seen.
    pub after_loss: bool,
    /// Whether the machine was suspended meanwhile.
    pub suspended: bool,
    /// When anything was last seen of it, CLOCK_MONOTONIC.
    pub last_ns: u64,
    /// Why it is told without its end.
    pub unfinished: Option<Unfinished>,
}

/// Why a connection is told without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// There were too many connections, and it had been idle for the longest time.
    Dropped,
    /// Its sockets are gone; the record of that was lost.
    Gone,
}

/// What one socket went through.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The socket's cookie.
    pub cookie: u64,
    /// Its addresses.
    pub addresses: Addresses,
    /// Whose it is, once that is known: the best known of the processes that acted on it.
    pub owner: Option<Owner>,
    /// Every process that acted on it, in the order in which they were seen to.
    pub holders: Vec<Owner>,
    /// When it was found to be there before the tracer, CLOCK_MONOTONIC.
    pub found_ns: Option<u64>,
    /// Each change of state, in order.
    pub transitions: Vec<Transition>,
    /// Segments retransmitted, SYNs included.
    pub retransmits: u64,
    /// What went wrong, where anything did.
    pub(crate) trouble: Option<Box<Trouble>>,
    /// What passed it, sent and received, once it is closed.
    pub passed: Option<Box<[Passed; 2]>>,
}

/// What few sockets have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trouble {
    /// When the socket sent its SYN again.
    pub syn_retransmits: Vec<u64>,
    /// When it could not, and why.
    pub held_back_syns: Vec<HeldBack>,
    /// Each RST that it sent or received.
    pub resets: Vec<Reset>,
    /// The first error that it had to report to its process, an errno.
    pub error: Option<u32>,
    /// Whether it had an ICMP message to report while it was in SYN_SENT.
    pub icmp_in_syn_sent: bool,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When, CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// The state it left.
    pub old: State,
    /// The state it entered.
    pub new: State,
    /// The socket's counters then; none on the way to a state in which nothing was counted yet.
    counters: Option<Box<Counters>>,
    /// `sk_err` then.
    pub error: u32,
}

/// A segment that this machine did not let out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// When, CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// Why, an errno.
    pub error: u32,
}

/// A RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// When, CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// Whether this socket sent it; else it received it.
    pub sent: bool,
}

/// How it is known which end of a connection is the client, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RolesFrom {
    /// An end was seen to open it, actively or passively.
    Opening,
    /// It was open already, and at one end's address and port a socket listened.
    Listener,
    /// It was open already, and the lower port is taken for the server's.
    Ports,
}

/// A socket may be inherited by any number of processes.
const MOST_HOLDERS: usize = 16;
/// A socket sends and receives a RST once; more are a broken peer's.
const MOST_RESETS: usize = 8;
/// `net.ipv4.tcp_syn_retries` may be up to 127.
const MOST_SYN_RETRANSMITS: usize = 127;

impl View {
    /// A socket seen for the first time.
    #[must_use]
    pub const fn new(cookie: u64, addresses: Addresses) -> Self {
        Self {
            cookie,
            addresses,
            owner: None,
            holders: Vec::new(),
            found_ns: None,
            transitions: Vec::new(),
            retransmits: 0,
            trouble: None,
            passed: None,
        }
    }

    /// The first time it entered `state`.
    #[must_use]
    pub fn entered(&self, state: State) -> Option<&Transition> {
        self.transitions.iter().find(|seen| seen.new == state)
    }

    /// Its last change of state.
    #[must_use]
    pub fn last(&self) -> Option<&Transition> {
        self.transitions.last()
    }

    /// Whether it has entered CLOSE.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.last().is_some_and(|last| last.new == State::Close)
    }

    /// Whether its beginning was seen: `connect`, or the third ACK of a passive open.
    #[must_use]
    pub fn began(&self) -> bool {
        self.found_ns.is_none()
            && self.transitions.first().is_some_and(|first| {
                first.new == State::SynSent
                    || first.new == State::SynRecv
                    || first.old == State::SynRecv
            })
    }

    /// What went wrong.
    #[must_use]
    pub fn trouble(&self) -> &Trouble {
        const NONE: &Trouble = &Trouble {
            syn_retransmits: Vec::new(),
            held_back_syns: Vec::new(),
            resets: Vec::new(),
            error: None,
            icmp_in_syn_sent: false,
        };
        self.trouble.as_deref().unwrap_or(NONE)
    }

    /// Notes whose socket it is, unless something better is known.
    pub fn learn_owner(&mut self, task: Arc<Task>, learned: Learned) {
        let is_better = self
            .owner
            .as_ref()
            .is_none_or(|known| learned < known.learned);
        let is_new = self.holders.len() < MOST_HOLDERS
            && self.holders.iter().all(|known| known.task.pid != task.pid);
        let owner = Owner { task, learned };
        if is_new {
            // There are seldom more than one.
            self.holders.reserve_exact(1);
            self.holders.push(owner.clone());
        }
        if is_better {
            self.owner = Some(owner);
        }
    }

    pub(crate) fn note_transition(&mut self, transition: Transition) {
        if self.transitions.is_empty() {
            // To be opened, and to be open.
            self.transitions.reserve_exact(2);
        }
        self.transitions.push(transition);
    }

    pub(crate) fn note_retransmit(&mut self, mono_ns: u64, state: State) {
        self.retransmits += 1;
        if state == State::SynSent {
            let again = &mut self.trouble_mut().syn_retransmits;
            if again.len() < MOST_SYN_RETRANSMITS {
                again.push(mono_ns);
            }
        }
    }

    pub(crate) fn note_held_back(&mut self, mono_ns: u64, state: State, error: u32) {
        if state == State::SynSent {
            let held_back = &mut self.trouble_mut().held_back_syns;
            if held_back.len() < MOST_SYN_RETRANSMITS {
                held_back.push(HeldBack { mono_ns, error });
            }
        }
    }

    pub(crate) fn note_reset(&mut self, reset: Reset) {
        let resets = &mut self.trouble_mut().resets;
        if resets.len() < MOST_RESETS {
            resets.push(reset);
        }
    }

    /// An error, an errno, or 0 for an ICMP message that is none yet.
    pub(crate) fn note_error(&mut self, error: u32) {
        let opening = self.last().is_some_and(|last| last.new == State::SynSent);
        let trouble = self.trouble_mut();
        match error {
            0 => trouble.icmp_in_syn_sent |= opening,
            error => _ = trouble.error.get_or_insert(error),
        }
    }

    fn trouble_mut(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_default()
    }
}

impl Transition {
    /// A change of state at `mono_ns`, with the socket's counters and `sk_err`.
    #[must_use]
    pub fn new(
        mono_ns: u64,
        (old, new): (State, State),
        counters: Box<Counters>,
        error: u32,
    ) -> Self {
        let counts = !matches!(new, State::SynSent | State::SynRecv);
        Self {
            mono_ns,
            old,
            new,
            counters: counts.then_some(counters),
            error,
        }
    }

    /// The socket's counters then.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        static NONE: LazyLock<Counters> = LazyLock::new(Counters::new_zeroed);
        self.counters.as_deref().unwrap_or(&NONE)
    }
}

impl Connection {
    /// A connection of which nothing is known but its name.
    #[must_use]
    pub fn new(id: String) -> Self {
        Self {
            id,
            client: None,
            server: None,
            syn_ack_retransmits: Vec::new(),
            active: false,
            accept_queues: Vec::new(),
            roles_from: RolesFrom::Ports,
            dialogue: Dialogue::default(),
            lost: 0,
            lost_at_most: false,
            after_loss: false,
            suspended: false,
            last_ns: 0,
            unfinished: None,
        }
    }

    /// Counts lost records against it; `at_most` where it may have been fewer.
    pub(crate) const fn note_lost(&mut self, count: u64, at_most: bool) {
        self.lost_at_most = at_most && (self.lost == 0 || self.lost_at_most);
        self.lost = self.lost.saturating_add(count);
    }

    /// Notes that the listener sent the SYN-ACK again.
    pub(crate) fn note_syn_ack_retransmit(&mut self, mono_ns: u64) {
        if self.syn_ack_retransmits.len() < MOST_SYN_RETRANSMITS {
            self.syn_ack_retransmits.push(mono_ns);
        }
    }

    /// Notes how full the accept queue was when a SYN came.
    pub(crate) fn note_accept_queue(&mut self, mono_ns: u64, queue: AcceptQueue) {
        if self.accept_queues.len() < MOST_SYN_RETRANSMITS {
            if self.accept_queues.is_empty() {
                // A SYN is seldom sent again.
                self.accept_queues.reserve_exact(1);
            }
            self.accept_queues.push((mono_ns, queue));
        }
    }

    /// The view of one end.
    #[must_use]
    pub const fn view(&self, end: End) -> Option<&View> {
        match end {
            End::Client => self.client.as_ref(),
            End::Server => self.server.as_ref(),
        }
    }

    pub(crate) const fn view_mut(&mut self, end: End) -> &mut Option<View> {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }

    /// The ends that were seen, the client first.
    pub fn views(&self) -> impl Iterator<Item = (End, &View)> {
        [End::Client, End::Server]
            .into_iter()
            .filter_map(|end| self.view(end).map(|view| (end, view)))
    }

    /// When the first record of it was made, or when it was found.
    #[must_use]
    pub fn first_ns(&self) -> Option<u64> {
        let first = |view: &View| view.transitions.first().map(|first| first.mono_ns);
        self.views()
            .filter_map(|(_, view)| view.found_ns.or_else(|| first(view)))
            .min()
    }

    /// Whether every end that was seen is closed, and when the last of them was.
    #[must_use]
    pub fn closed_ns(&self) -> Option<u64> {
        let mut latest = None;
        for (_, view) in self.views() {
            if !view.is_closed() {
                return None;
            }
            latest = latest.max(view.last().map(|last| last.mono_ns));
        }
        latest
    }
}
