//! What is measured of a finished connection.

use upload_protocol::timeline::{Exchange, HeldBackBy, Initiation, Timeline, UploadSummary};

use super::{
    Histogram, Metric, Points, Unit,
    family::{Family, Histograms},
    histogram::{DURATIONS, RATES, SEGMENTS},
    names,
};

#[derive(Clone, Debug)]
pub(super) struct Timelines {
    connect: Histograms,
    accept_wait: Histogram,
    tls_handshake: Histograms,
    response_wait: Histograms,
    upload_rate: Histograms,
    duration: Histograms,
    retransmits: Histogram,
    connections: Family<u64>,
    payload: Family<u64>,
    diagnoses: Family<u64>,
    held_back: Family<u64>,
}

impl Default for Timelines {
    fn default() -> Self {
        let endings = names::ENDINGS.map(|ending| [("ending", ending)]);
        let directions = DIRECTIONS.map(|direction| [("direction", direction)]);
        let causes = HeldBackBy::ALL.iter();
        Self {
            connect: Histograms::new(DURATIONS),
            accept_wait: Histogram::new(DURATIONS),
            tls_handshake: Histograms::new(DURATIONS),
            response_wait: Histograms::new(DURATIONS),
            upload_rate: Histograms::new(RATES),
            duration: Histograms::new(DURATIONS),
            retransmits: Histogram::new(SEGMENTS),
            connections: Family::beginning_at_0(endings),
            payload: Family::beginning_at_0(directions),
            diagnoses: Family::beginning_at_0::<2>([]),
            held_back: Family::beginning_at_0(causes.map(|cause| [("cause", cause.name())])),
        }
    }
}

const DIRECTIONS: [&str; 2] = ["client_to_server", "server_to_client"];

impl Timelines {
    /// Takes a connection's final timeline.
    pub(super) fn take(&mut self, timeline: &Timeline) {
        let ending = names::ending(timeline);
        *self.connections.of([("ending", ending)]) += 1;
        self.retransmits.observe(timeline.retransmits);
        let bytes = timeline.bytes;
        let bytes = [bytes.client_to_server, bytes.server_to_client];
        for (direction, count) in DIRECTIONS.iter().zip(bytes) {
            add(
                self.payload.of([("direction", direction)]),
                count.unwrap_or_default(),
            );
        }
        if let Some(initiation) = timeline.initiation() {
            self.opening(timeline, initiation);
        }
        let end_ns = timeline.termination().and_then(|phase| phase.end_ns);
        if let Some(end_ns) = end_ns.filter(|_| !timeline.open && !timeline.lacks_begin()) {
            self.duration.observe(&[("ending", ending)], end_ns);
        }
        let maintenance = timeline.maintenance();
        if let Some(tls) = maintenance.and_then(|phase| phase.tls.as_ref())
            && let Some(ns) = tls.end_ns.zip(tls.start_ns).and_then(between)
        {
            let version = names::tls_version(tls.version);
            let labels = [("tls.protocol.version", version)];
            self.tls_handshake.observe(&labels, ns);
        }
        for exchange in timeline.exchanges() {
            if let Some(ns) = exchange
                .wait
                .end_ns
                .zip(exchange.wait.start_ns)
                .and_then(between)
            {
                let class = names::status_class(exchange.response.status);
                self.response_wait.observe(&[("status_class", class)], ns);
            }
        }
        for upload in &timeline.uploads {
            self.upload(timeline.exchanges(), upload);
        }
    }

    fn opening(&mut self, timeline: &Timeline, initiation: &Initiation) {
        if timeline.lacks_begin() {
            return;
        }
        let ns = initiation
            .end_ns
            .zip(Some(initiation.start_ns))
            .and_then(between);
        if let Some(ns) = ns {
            let outcome = names::opening(initiation);
            self.connect.observe(&[("outcome", outcome)], ns);
        }
        if let Some(ns) = initiation.accept_wait_ns {
            self.accept_wait.observe(ns);
        }
    }

    fn upload(&mut self, exchanges: &[Exchange], upload: &UploadSummary) {
        let diagnosis = upload.diagnosis.as_deref();
        let side = names::side(diagnosis);
        let measured = diagnosis.and_then(|diagnosis| diagnosis.evidence.bytes_per_second);
        let of_exchange = || {
            let exchange = exchanges.iter().find(|one| one.is_of(&upload.id))?;
            exchange.body.bytes_per_second
        };
        if let Some(rate) = measured.or_else(of_exchange) {
            self.upload_rate.observe(&[("side", side)], rate);
        }
        let Some(diagnosis) = diagnosis else { return };
        let verdict = names::verdict(diagnosis);
        *self.diagnoses.of([("verdict", verdict), ("side", side)]) += 1;
        for share in &diagnosis.shares {
            add(self.held_back.of([("cause", share.cause.name())]), share.ns);
        }
    }

    pub(super) fn metrics(&self) -> Vec<Metric<'_>> {
        let histogram = |histogram| Points::Histograms(vec![(<_>::default(), histogram)]);
        let metric = |name, help, unit, points| Metric {
            name,
            help,
            unit,
            points,
        };
        vec![
            metric(
                "tracer.connect.duration",
                "Time to open a connection, from the SYN to the third ACK, or until the attempt failed",
                Unit::Seconds,
                self.connect.points(),
            ),
            metric(
                "tracer.accept.wait",
                "Time that an open connection waited until the server's process accepted it",
                Unit::Seconds,
                histogram(&self.accept_wait),
            ),
            metric(
                "tracer.tls.handshake.duration",
                "Time of a TLS handshake, from its first record to the last Finished",
                Unit::Seconds,
                self.tls_handshake.points(),
            ),
            metric(
                "tracer.response.wait",
                "Time from the last byte of a request to the first of its response",
                Unit::Seconds,
                self.response_wait.points(),
            ),
            metric(
                "tracer.upload.rate",
                "Rate of an upload's body while it was sent, by the side that held it back",
                Unit::BytesPerSecond,
                self.upload_rate.points(),
            ),
            metric(
                "tracer.connection.duration",
                "Time from a connection's beginning until both of its ends were closed",
                Unit::Seconds,
                self.duration.points(),
            ),
            metric(
                "tracer.connection.retransmits",
                "Segments that a connection retransmitted",
                Unit::Count("{segment}"),
                histogram(&self.retransmits),
            ),
            metric(
                "tracer.connections",
                "Connections that were reported, by how they ended",
                Unit::Count("{connection}"),
                self.connections.counters(),
            ),
            metric(
                "tracer.payload",
                "Payload of reported connections that arrived in order",
                Unit::Bytes,
                self.payload.counters(),
            ),
            metric(
                "tracer.diagnoses",
                "Uploads by what held them back, or why that is not known",
                Unit::Count("{upload}"),
                self.diagnoses.counters(),
            ),
            metric(
                "tracer.held_back",
                "Time of uploads by what held them back meanwhile",
                Unit::Seconds,
                self.held_back.counters(),
            ),
        ]
    }
}

fn between((end_ns, start_ns): (u64, u64)) -> Option<u64> {
    end_ns.checked_sub(start_ns)
}

const fn add(count: &mut u64, more: u64) {
    *count = count.saturating_add(more);
}
