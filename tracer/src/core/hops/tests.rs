mod hidden;
mod tunnel;

use std::sync::Arc;

use upload_protocol::{
    ConnectionId, End, Moment,
    timeline::{
        Body, Certainty, Endpoint, Exchange, HopEvidence, Maintenance, PassedOn, Phase, Process,
        Protocol, Request, Response, Span, Timeline, UploadHop,
    },
};

use super::{Excess, Leg, Legs, RequestName, Sent, Sought, Way, way};
use crate::core::{
    connection::Relays,
    event::Relay,
    payload::{Marks, Turns},
};

/// The sockets: of each connection the client's and the server's.
const FRONT: (u64, u64) = (10, 11);
const BACK: (u64, u64) = (20, 21);
/// The process that holds a connection's server and the next one's client.
const PROXY: u32 = 7;
const CLIENT: u32 = 5;
const SERVER: u32 = 9;

const fn span(start: u64, end: u64) -> Span {
    Span {
        start_ns: Some(start),
        end_ns: Some(end),
        certainty: Certainty::Observed,
    }
}

/// A request: its upload, when it began and ended, when the response began, and the size of its body.
fn exchange(sequence: u32, upload: &str, [start, end, response]: [u64; 3], bytes: u64) -> Exchange {
    Exchange {
        request: Request {
            span: span(start, start),
            method: "PUT".into(),
            target: format!("/{upload}"),
            ..Request::default()
        },
        body: Body {
            span: span(start, end),
            bytes: Some(bytes),
            ..Body::default()
        },
        response: Response {
            span: span(response, response),
            ..Response::default()
        },
        upload: Some(upload.to_owned()),
        sequence,
        ..Exchange::default()
    }
}

fn endpoint(process: u32) -> Endpoint {
    Endpoint {
        addr: [127, 0, 0, 1].into(),
        port: 50_000 + u16::try_from(process).unwrap(),
        owner: Process {
            pid: Some(process),
            ..Process::default()
        },
        ..Endpoint::default()
    }
}

/// A connection of the client to the proxy, or of the proxy to the server, by its client's socket.
fn leg(client: u64, exchanges: Vec<Exchange>) -> Leg {
    let (from, to) = if client == BACK.0 {
        (PROXY, SERVER)
    } else {
        (CLIENT, PROXY)
    };
    let protocol = if exchanges.is_empty() {
        Protocol::Tls
    } else {
        Protocol::Http1
    };
    Leg {
        timeline: Timeline {
            at: Moment::default(),
            connection: ConnectionId::new(client, None),
            client: endpoint(from),
            server: endpoint(to),
            phases: vec![Phase::Maintenance(Box::new(Maintenance {
                protocol,
                exchanges,
                ..Maintenance::default()
            }))],
            ..Timeline::default()
        },
        last_ns: u64::MAX,
        turns: Turns::default(),
        relays: [Relays::default(), Relays::default()],
        relayed: [Relays::default(), Relays::default()],
        sockets: [Some(client), Some(client + 1)],
        sent: [100_000, 100_000],
        marks: Vec::new(),
        proxied: None,
        hello: None,
    }
}

/// The connections that there are, and one request that is known to be another's.
struct Known<'a> {
    legs: &'a [&'a Leg],
    taken: Option<RequestName>,
    usual: Option<Excess>,
}

impl Legs for Known<'_> {
    fn is_intermediary(&self, process: u32) -> bool {
        process == PROXY || process > SERVER
    }

    fn accepts(&self, process: u32) -> bool {
        let mut legs = self.legs.iter();
        legs.any(|leg| leg.is_held_by(End::Server, process))
    }

    fn of_process(&self, process: u32, sought: &Sought) -> Vec<(Arc<Leg>, End)> {
        let ends = |leg: &Leg| {
            [End::Client, End::Server]
                .into_iter()
                .filter(|end| leg.is_held_by(*end, process) && leg.may_carry(sought, *end))
                .collect::<Vec<End>>()
        };
        self.legs
            .iter()
            .flat_map(|leg| {
                let kept = Arc::new((*leg).clone());
                ends(leg)
                    .into_iter()
                    .map(move |end| (Arc::clone(&kept), end))
            })
            .collect()
    }

    fn is_taken(&self, front: RequestName, _: RequestName) -> bool {
        self.taken == Some(front)
    }

    fn usual_excess(&self, _: u32) -> Option<Excess> {
        self.usual
    }

    fn sent_by(&self, process: u32, from_ns: u64, to_ns: u64) -> Vec<Sent> {
        let its = self.legs.iter();
        let its = its.filter(|leg| leg.is_held_by(End::Client, process));
        let sent = its.flat_map(|leg| leg.sent());
        sent.filter(|sent| (from_ns..=to_ns).contains(&sent.start_ns))
            .collect()
    }
}

const SENT: bool = false;
const CONNECTED: bool = true;

fn relays(of: &[(u64, u64, bool)]) -> Relays {
    let mut relays = Relays::default();
    for (at, read, connects) in of.iter().copied() {
        relays.record(at, Relay { read, connects });
    }
    relays
}

fn way_of(last: &Leg, upload: &str, fronts: &[&Leg]) -> Way {
    let mut legs = fronts.to_vec();
    legs.push(last);
    let known = Known {
        legs: &legs,
        taken: None,
        usual: None,
    };
    way(&Arc::new(last.clone()), upload, &known)
}

fn hops_of(last: &Leg, upload: &str, fronts: &[&Leg]) -> Vec<UploadHop> {
    way_of(last, upload, fronts).hops
}

#[test]
fn a_proxy_that_streams() {
    let mut front = leg(FRONT.0, vec![exchange(1, "a", [100, 900, 1_000], 500)]);
    let mut back = leg(BACK.0, vec![exchange(1, "a", [200, 910, 950], 500)]);
    // Until it was connected, the thread had read elsewhere.
    back.relays[0] = relays(&[(190, FRONT.1, CONNECTED), (210, 99, SENT)]);
    front.relays[1] = relays(&[(1_001, BACK.0, SENT)]);

    let found = hops_of(&back, "a", &[&front]);

    let [first, last] = found.as_slice() else {
        panic!("{found:#?}");
    };
    assert_eq!(first.connection, front.timeline.connection);
    assert_eq!(
        (first.request_mono_ns, first.request_ns),
        (Some(100), Some(800))
    );
    assert_eq!((first.wait_ns, first.share), (Some(100), Some(1.0)));
    assert_eq!(
        (first.passed_on, first.held_ns),
        (Some(PassedOn::Streamed), Some(100))
    );
    assert_eq!(
        first.evidence,
        [
            HopEvidence::Connect,
            HopEvidence::Response,
            HopEvidence::Target,
            HopEvidence::Time,
        ]
    );
    assert_eq!(first.certainty, Certainty::Observed);
    assert_eq!(last.share, Some(750.0 / 900.0));
    assert_eq!((last.passed_on, last.held_ns), (None, None));
    assert!(last.evidence.is_empty());
}

/// The proxy keeps its connection to the server, and each upload comes over another one.
#[test]
fn a_connection_to_the_server_that_is_kept() {
    let mut back = leg(
        BACK.0,
        vec![
            exchange(1, "a", [200, 210, 220], 5),
            exchange(2, "b", [400, 410, 420], 5),
            // What its thread read before was not seen.
            exchange(3, "c", [600, 610, 620], 5),
        ],
    );
    back.relays[0] = relays(&[(190, 11, CONNECTED), (201, 11, SENT), (401, 13, SENT)]);
    back.relayed[0] = relays(&[(231, 11, SENT), (431, 13, SENT)]);
    let mut a = leg(10, vec![exchange(1, "a", [100, 150, 230], 5)]);
    a.relays[1] = relays(&[(231, BACK.0, SENT)]);
    let mut b = leg(12, vec![exchange(1, "b", [300, 350, 430], 5)]);
    b.relays[1] = relays(&[(431, BACK.0, SENT)]);
    let fronts = [&a, &b];
    let first = |upload| {
        let found = hops_of(&back, upload, &fronts);
        found.first().map(|hop| (hop.connection, hop.passed_on))
    };
    let expected = |leg: &Leg| {
        let id = leg.timeline.connection;
        Some((id, Some(PassedOn::Buffered)))
    };
    assert_eq!(first("a"), expected(&a));
    assert_eq!(first("b"), expected(&b));
    // None was open, or had it.
    assert_eq!(first("c"), None);
}

#[test]
fn what_cannot_be() {
    let mut back = leg(BACK.0, vec![exchange(1, "a", [200, 210, 220], 500)]);
    back.relays[0] = relays(&[(201, FRONT.1, SENT)]);
    let check = |times, bytes, expected| {
        let mut front = leg(FRONT.0, vec![exchange(1, "a", times, bytes)]);
        front.relays[1] = relays(&[(240, BACK.0, SENT)]);
        let found = hops_of(&back, "a", &[&front]);
        assert_eq!(found.len(), expected, "{times:?} {bytes}");
    };
    check([100, 190, 230], 500, 2);
    // It has fewer bytes than what was passed on.
    check([100, 190, 230], 499, 0);
    // It was answered before.
    check([100, 190, 219], 500, 0);
    // It began later.
    check([202, 203, 230], 500, 0);
}

/// A thread that reads from several connections before it sends is credited with the last one. So what it did
/// counts as observed only where both ways agree, and nothing else was sent after the same reads.
#[test]
fn a_thread_that_reads_ahead() {
    use Certainty::{Inferred, Observed};
    let check = |relayed_by_front: &[_], sent_on_front: &[_], relayed_by_back: &[_], expected| {
        let mut back = leg(BACK.0, vec![exchange(1, "a", [200, 210, 220], 500)]);
        back.relays[0] = relays(&[(201, FRONT.1, SENT)]);
        back.relayed[0] = relays(relayed_by_back);
        let mut front = leg(FRONT.0, vec![exchange(1, "a", [100, 190, 230], 500)]);
        front.relayed[1] = relays(relayed_by_front);
        front.relays[1] = relays(sent_on_front);
        let found = hops_of(&back, "a", &[&front]);
        assert_eq!(
            found[0].certainty, expected,
            "{relayed_by_front:?} {relayed_by_back:?}"
        );
    };
    let (request, response) = ((201, BACK.0, SENT), (231, FRONT.1, SENT));
    let sent = (231, BACK.0, SENT);
    check(&[request], &[sent], &[response], Observed);
    // The response was read, and then something else.
    check(&[request], &[(231, 30, SENT)], &[], Inferred);
    check(&[request], &[], &[], Inferred);
    // Two requests were sent, or two responses.
    check(&[request, (202, 30, SENT)], &[sent], &[response], Inferred);
    check(&[request], &[sent], &[response, (232, 31, SENT)], Inferred);
    // That one belongs to another request.
    check(&[request, (900, 30, SENT)], &[sent], &[response], Observed);
}

/// Two connections that may both have carried it.
#[test]
fn several_fit() {
    let mut back = leg(BACK.0, vec![exchange(1, "a", [200, 210, 220], 500)]);
    let one = leg(10, vec![exchange(1, "b", [100, 190, 230], 500)]);
    let other = leg(12, vec![exchange(1, "b", [110, 190, 240], 500)]);
    let found = |back: &Leg, fronts: &[&Leg]| {
        let way = way_of(back, "a", fronts);
        let first = way.hops.first().map(|hop| hop.connection);
        (first, way.ambiguous)
    };
    let id = |leg: &Leg| Some(leg.timeline.connection);
    assert_eq!(found(&back, &[&one, &other]), (None, Some(2)));
    assert_eq!(found(&back, &[&one]), (id(&one), None));

    // The target decides …
    let mut same = other.clone();
    let Some(Phase::Maintenance(phase)) = same.timeline.phases.first_mut() else {
        panic!("it has one");
    };
    phase.exchanges[0].request.target = "/a".to_owned();
    assert_eq!(found(&back, &[&one, &same]), (id(&same), None));

    // … or an identifier, or what the proxy says of its client.
    let marks = |request_id, forwarded_for: Option<(&str, u16)>| Marks {
        request_id,
        trace_id: None,
        forwarded_for: forwarded_for.map(|(ip, port)| (ip.parse().unwrap(), Some(port))),
        ..Marks::default()
    };
    let (mut first, mut second) = (one.clone(), other.clone());
    second.marks = vec![(1, marks(Some(4), None))];
    back.marks = vec![(1, marks(Some(4), None))];
    assert_eq!(found(&back, &[&first, &second]), (id(&second), None));
    second.timeline.client.port = 4_711;
    back.marks = vec![(1, marks(None, Some(("127.0.0.1", 4_711))))];
    assert_eq!(found(&back, &[&first, &second]), (id(&second), None));
    back.marks = Vec::new();
    let address = |port: u16| ([127, 0, 0, 1], port).into();
    back.proxied = Some((address(4_711), address(443)));
    assert_eq!(found(&back, &[&first, &second]), (id(&second), None));
    back.proxied = None;
    (first.hello, back.hello) = (Some(1), Some(1));
    assert_eq!(found(&back, &[&first, &second]), (id(&first), None));
}

/// Its client had read elsewhere before it sent, and what it read was not seen: it is a proxy, too.
#[test]
fn a_way_whose_beginning_was_not_seen() {
    let back = leg(BACK.0, vec![exchange(1, "a", [200, 210, 220], 500)]);
    let mut front = leg(FRONT.0, vec![exchange(1, "a", [100, 190, 230], 500)]);
    assert_eq!(hops_of(&back, "a", &[&front]).len(), 2);
    front.relays[0] = relays(&[(90, 77, CONNECTED)]);
    let way = way_of(&back, "a", &[&front]);
    assert!(way.hops.is_empty() && way.is_open);
}

#[test]
fn a_request_of_another() {
    let back = leg(BACK.0, vec![exchange(1, "a", [200, 210, 220], 500)]);
    let front = leg(FRONT.0, vec![exchange(1, "a", [100, 190, 230], 500)]);
    let check = |taken, expected: usize| {
        let known = Known {
            legs: &[&front],
            taken,
            usual: None,
        };
        let way = way(&Arc::new(back.clone()), "a", &known);
        assert_eq!(way.hops.len(), expected);
        let joins = way.joins.into_iter();
        joins
            .map(|join| (join.front, join.behind))
            .collect::<Vec<_>>()
    };
    let front = (front.timeline.connection, 1);
    let behind = (back.timeline.connection, 1);
    assert_eq!(check(None, 2), [(front, behind)]);
    check(Some(front), 0);
}

#[test]
fn a_loop_ends() {
    let mut one = leg(10, vec![exchange(1, "a", [100, 110, 900], 5)]);
    one.relays[0] = relays(&[(101, 11, SENT)]);
    one.timeline.client = endpoint(PROXY);
    assert!(hops_of(&one, "a", &[&one]).is_empty());
}
