//! The span of a whole connection, as one end describes it.

use std::net::IpAddr;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_semantic_conventions::attribute::{
    CLIENT_ADDRESS, CLIENT_PORT, ERROR_TYPE, NETWORK_LOCAL_ADDRESS, NETWORK_LOCAL_PORT,
    NETWORK_PEER_ADDRESS, NETWORK_PEER_PORT, NETWORK_PROTOCOL_NAME, NETWORK_PROTOCOL_VERSION,
    NETWORK_TRANSPORT, NETWORK_TYPE, SERVER_ADDRESS, SERVER_PORT, TLS_CIPHER, TLS_ESTABLISHED,
    TLS_NEXT_PROTOCOL, TLS_PROTOCOL_NAME, TLS_PROTOCOL_VERSION, TLS_RESUMED,
};
use upload_protocol::{
    End,
    timeline::{Ending, Failure, Incomplete, Maintenance, Protocol, Timeline, TlsHandshake},
};

use super::{
    Described, Observer, What,
    exchange::{diagnosis, upload},
};
use crate::sink::otlp::{
    attributes::{Attributes, own},
    ids::{SpanId, seen_numbers},
};

pub(super) fn connection(described: Described<'_>) -> Span {
    let Described {
        timeline,
        trace,
        observer,
    } = described;
    let is_beside = Observer::beside(timeline) == Some(observer);
    let first = SpanId::of(trace, Observer::of(timeline), What::Connection);
    let mut attributes = Attributes::default();
    addresses(&mut attributes, described);
    numbers(&mut attributes, described);
    if let Some(phase) = timeline.maintenance() {
        protocol(&mut attributes, phase);
    }
    let status = error(timeline).and_then(|error| {
        attributes.text(ERROR_TYPE, &error.replace(' ', "_"));
        super::error(error)
    });
    if !is_beside {
        // What no request carried, such as within TLS.
        let loose = timeline.uploads.iter().filter(|upload| {
            let mut exchanges = timeline.exchanges().iter();
            !exchanges.any(|exchange| exchange.is_of(&upload.id) && exchange.window().is_some())
        });
        let loose: Vec<_> = loose.collect();
        upload(&mut attributes, &loose);
        diagnosis(&mut attributes, &loose);
    }
    let elsewhere = observer
        .elsewhere(timeline)
        .filter(|_| seen_numbers(timeline).is_some());
    let links = elsewhere.map(|other| {
        let other = SpanId::of(trace, other, What::Connection);
        described.link(other, "the other end of the connection")
    });
    let whole = (
        0,
        timeline
            .open_for_ns
            .unwrap_or_default()
            .max(timeline.last_ns()),
    );
    Span {
        attributes: attributes.0,
        links: links.into_iter().collect(),
        status,
        ..described.span(
            What::Connection,
            "TCP connection",
            is_beside.then_some(first),
            whole,
        )
    }
}

/// Both ends, as the conventions name them.
pub(super) fn addresses(attributes: &mut Attributes, described: Described<'_>) {
    let Described {
        timeline, observer, ..
    } = described;
    let (client, server) = (&timeline.client, &timeline.server);
    let (local, peer) = (observer.own(timeline), observer.peer(timeline));
    attributes.text(NETWORK_TRANSPORT, "tcp");
    attributes.text(
        NETWORK_TYPE,
        match local.addr {
            IpAddr::V4(_) => "ipv4",
            IpAddr::V6(_) => "ipv6",
        },
    );
    attributes.text(CLIENT_ADDRESS, &client.addr.to_string());
    attributes.number(CLIENT_PORT, client.port);
    let asked = timeline
        .maintenance()
        .and_then(|phase| phase.tls.as_ref()?.server_name.clone());
    attributes.text(
        SERVER_ADDRESS,
        &asked.unwrap_or_else(|| server.addr.to_string()),
    );
    attributes.number(SERVER_PORT, server.port);
    if let Observer::End(_) = observer {
        attributes.text(NETWORK_LOCAL_ADDRESS, &local.addr.to_string());
        attributes.number(NETWORK_LOCAL_PORT, local.port);
        attributes.text(NETWORK_PEER_ADDRESS, &peer.addr.to_string());
        attributes.number(NETWORK_PEER_PORT, peer.port);
    }
}

fn numbers(attributes: &mut Attributes, described: Described<'_>) {
    let timeline = described.timeline;
    attributes.text(own::CONNECTION, &timeline.connection.to_string());
    let numbers = seen_numbers(timeline);
    attributes.flag(own::HANDSHAKE_SEEN, numbers.is_some());
    attributes.some_number(own::ISN_CLIENT, numbers.map(|isn| isn.client));
    attributes.some_number(own::ISN_SERVER, numbers.map(|isn| isn.server));
    let by = timeline.retransmits_by;
    let retransmits = match described.observer {
        Observer::End(End::Client) => by.client,
        Observer::End(End::Server) => by.server,
        Observer::Capture => Some(timeline.retransmits),
    };
    attributes.some_number(own::RETRANSMITS, retransmits);
    attributes.some_number(own::CLIENT_BYTES, timeline.bytes.client_to_server);
    attributes.some_number(own::SERVER_BYTES, timeline.bytes.server_to_client);
    attributes.flag(own::COMPLETE, timeline.complete);
    if !timeline.incomplete.is_empty() {
        let reasons = timeline.incomplete.iter();
        attributes.texts(
            own::INCOMPLETE,
            reasons.map(|reason| Incomplete::name(*reason)),
        );
    }
    if timeline.open {
        attributes.flag(own::OPEN, true);
    }
}

fn protocol(attributes: &mut Attributes, phase: &Maintenance) {
    let alpn = phase.tls.as_ref().and_then(|tls| tls.alpn.as_deref());
    let request = phase
        .exchanges
        .first()
        .map(|exchange| &*exchange.request.version);
    let version = match (phase.protocol, alpn, request) {
        (Protocol::Http2, ..) | (_, Some("h2"), _) => Some("2"),
        (_, Some("http/1.1"), _) => Some("1.1"),
        (_, _, Some(version)) => version.strip_prefix("HTTP/"),
        _ => None,
    };
    let is_http = version.is_some() || phase.protocol == Protocol::Http1;
    attributes.some_text(NETWORK_PROTOCOL_NAME, is_http.then_some("http"));
    attributes.some_text(NETWORK_PROTOCOL_VERSION, version);
    if let Some(handshake) = &phase.tls {
        tls(attributes, handshake);
    }
}

fn tls(attributes: &mut Attributes, handshake: &TlsHandshake) {
    let version = handshake.version.map(|version| version.to_string());
    // Such as `TLS 1.3`.
    let (name, number) = match version.as_deref().and_then(|text| text.split_once(' ')) {
        Some((name, number)) => (name.to_ascii_lowercase(), Some(number)),
        None => ("tls".to_owned(), None),
    };
    attributes.text(TLS_PROTOCOL_NAME, &name);
    attributes.some_text(TLS_PROTOCOL_VERSION, number);
    attributes.some_text(TLS_CIPHER, handshake.cipher_suite.as_deref());
    attributes.some_text(TLS_NEXT_PROTOCOL, handshake.alpn.as_deref());
    attributes.flag(TLS_ESTABLISHED, handshake.end_ns.is_some());
    if let Some(resumed) = handshake.session_resumed {
        attributes.flag(TLS_RESUMED, resumed);
    }
}

/// What went wrong with the connection itself. A RST alone is how many programs close.
fn error(timeline: &Timeline) -> Option<String> {
    if let Some(failure) = timeline.initiation().and_then(|phase| phase.failure) {
        return Some(Failure::name(failure).to_owned());
    }
    let phase = timeline.termination()?;
    let gave_up = phase.ending == Some(Ending::Error);
    gave_up.then(|| {
        let error = phase.cause.error.map(|error| error.name().into_owned());
        error.unwrap_or_else(|| "gave up".to_owned())
    })
}
