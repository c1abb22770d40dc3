//! Builds a connection's [`Timeline`] from its states and segments: three phases and their steps. Each
//! number is observed, inferred or unknown, and each step names its evidence.

mod container;
mod diagnosis;
mod endpoint;
mod exchange;
mod initiation;
mod maintenance;
mod omissions;
mod passed_to;
mod samples;
mod step;
mod termination;
mod tls;
mod transfer;
mod upload;

use upload_protocol::{
    End, RolesFrom,
    timeline::{
        Bytes, Certainty, Incomplete, PerEnd, Phase, Retransmission, Timeline, UploadSummary,
    },
    upload::{Cookie, Upload},
};

pub(crate) use self::endpoint::endpoint;
pub use self::{
    omissions::{keep_uploads, leave_out_uploads},
    upload::{has_upload, is_much, of_finished},
};
use crate::core::{
    connection::{Connection, Unfinished, View},
    host::Host,
    payload::Transfer,
};

/// The beginning of a connection: a timeline's times count from it.
#[derive(Clone, Copy, Debug)]
struct Origin(u64);

impl Origin {
    const fn since(self, mono_ns: u64) -> u64 {
        mono_ns.saturating_sub(self.0)
    }
}

/// The timeline of a connection at `now_ns`, CLOCK_MONOTONIC, with the uploads that its server reported.
/// Uploads are inferred if no server reports them: for a data connection of FTP, from what it serves. `None`
/// if nothing was seen of the connection.
#[must_use]
pub fn timeline(
    connection: &Connection,
    (reported, transfer): (Option<&[Upload]>, Option<&Transfer>),
    host: &Host,
    now_ns: u64,
) -> Option<Timeline> {
    let uploads = reported.unwrap_or_default();
    let first_ns = first_known(connection.first_ns()?, uploads);
    let origin = Origin(first_ns);
    let closed_ns = connection.closed_ns();
    let bytes = bytes(connection, closed_ns);
    let initiation = initiation::initiation(connection, uploads, origin);
    let mut phases = Vec::with_capacity(3);
    let opened = initiation.failure.is_none();
    let opened_ns = initiation.end_ns;
    phases.push(Phase::Initiation(initiation));
    if opened {
        let termination = termination::termination(connection, opened_ns, closed_ns, origin);
        let span = (opened_ns, termination.start_ns);
        let maintenance = maintenance::maintenance(connection, uploads, bytes, span, origin);
        phases.push(Phase::Maintenance(Box::new(maintenance)));
        phases.push(Phase::Termination(termination));
    }
    let left_out = omissions::omissions(connection);
    let mut incomplete = why_incomplete(connection, closed_ns);
    if !left_out.is_empty() {
        incomplete.push(Incomplete::LeftOut);
    }
    let is_gone = connection.unfinished == Some(Unfinished::Gone);
    let is_open = closed_ns.is_none() && !is_gone;
    let socket = connection.server.as_ref().map(|view| Cookie(view.cookie));
    let mut timeline = Timeline {
        at: host.clock.moment(first_ns),
        connection: connection.id,
        client: endpoint(connection, End::Client, host)?,
        server: endpoint(connection, End::Server, host)?,
        phases,
        uploads: uploads
            .iter()
            .map(|upload| UploadSummary::reported(upload, socket))
            .collect(),
        bytes,
        retransmits_by: PerEnd {
            client: connection.client.as_deref().map(retransmits),
            server: connection
                .server
                .as_deref()
                .map(retransmits)
                .or(connection.is_its_own_peer().then_some(0)),
        },
        retransmits: connection.views().map(|(_, view)| retransmits(view)).sum(),
        retransmitted: retransmitted(connection, origin),
        roles: match connection.roles_from {
            RolesFrom::Opening => Certainty::Observed,
            RolesFrom::Simultaneous
            | RolesFrom::Listener
            | RolesFrom::Payload
            | RolesFrom::Ports => Certainty::Inferred,
        },
        roles_from: connection.roles_from,
        lost: connection.lost,
        lost_at_most: connection.lost_at_most,
        complete: incomplete.is_empty(),
        incomplete,
        left_out,
        open: is_open,
        open_for_ns: is_open.then(|| origin.since(now_ns)),
        silent_for_ns: (is_open && connection.captured.is_some())
            .then(|| now_ns.saturating_sub(connection.last_ns)),
        transit: None,
        samples: samples::samples(connection, origin),
    };
    let mut sender = End::Client;
    if reported.is_none() {
        upload::infer(&mut timeline, &connection.dialogue.payload, transfer);
        sender = upload::sender(&timeline, transfer);
        passed_to::add(&mut timeline, connection);
    }
    diagnosis::diagnose(&mut timeline, connection, sender, origin);
    Some(timeline)
}

/// The earliest known time of a connection: its server may report times from before the tracer saw it.
fn first_known(seen_ns: u64, uploads: &[Upload]) -> u64 {
    let reported = uploads.iter().flat_map(|upload| {
        let times = &upload.times;
        let head = (times.head_ns > 0).then_some(times.head_ns);
        let accepted = (times.accepted_ns > 0).then_some(times.accepted_ns);
        [accepted, times.first_byte_ns, head, times.body_first_ns]
    });
    reported.flatten().fold(seen_ns, u64::min)
}

fn why_incomplete(connection: &Connection, closed_ns: Option<u64>) -> Vec<Incomplete> {
    let mut reasons = Vec::new();
    if connection
        .views()
        .any(|(_, view)| view.incidents().restored)
    {
        reasons.push(Incomplete::Restored);
    } else if connection.views().any(|(_, view)| !view.began()) {
        reasons.push(if connection.captured.is_some() && connection.after_loss {
            Incomplete::Resumed
        } else if connection.captured.is_some() {
            Incomplete::BeganBeforeCapture
        } else if connection.after_loss || connection.lost > 0 {
            Incomplete::BeginUnseen
        } else {
            Incomplete::BeganBefore
        });
    }
    match (closed_ns, connection.unfinished, connection.lost) {
        (Some(_), ..) => {}
        (None, Some(Unfinished::Evicted), _) => reasons.push(Incomplete::Evicted),
        (None, None, _) if connection.captured.is_some() => {
            reasons.push(Incomplete::CaptureEnded);
        }
        (None, None, 0) => reasons.push(Incomplete::StillOpen),
        (None, Some(Unfinished::Gone) | None, _) => reasons.push(Incomplete::EndUnseen),
    }
    if let Some(captured) = connection.captured.as_deref() {
        if captured.has_one_direction() {
            reasons.push(Incomplete::OneDirection);
        } else if captured.has_holes || connection.dialogue.missing_bytes() > 0 {
            reasons.push(Incomplete::HolesInCapture);
        }
    }
    if connection.suspended {
        reasons.push(Incomplete::Suspended);
    }
    if connection.lost > 0 {
        reasons.push(if connection.lost_at_most {
            Incomplete::MayHaveLostRecords
        } else {
            Incomplete::LostRecords
        });
    }
    reasons
}

/// The larger of the kernel's count at the last change of state and the number of events seen.
fn retransmits(view: &View) -> u64 {
    let counted = view.counted.total_retrans;
    u64::from(view.retransmits.max(counted))
}

/// When segments were sent again, in order.
fn retransmitted(connection: &Connection, origin: Origin) -> Vec<Retransmission> {
    let times = connection.views().flat_map(|(from, view)| {
        let times = view.incidents().retransmits.iter();
        times.map(move |mono_ns| Retransmission {
            at_ns: origin.since(*mono_ns),
            from,
        })
    });
    let mut times: Vec<_> = times.collect();
    times.sort_by_key(|one| one.at_ns);
    times
}

/// Unknown for an open connection: the counters are those of the last change of state.
fn bytes(connection: &Connection, closed_ns: Option<u64>) -> Bytes {
    let is_closed = closed_ns.is_some();
    let from = |end| is_closed.then(|| payload(connection, end)).flatten();
    Bytes {
        client_to_server: from(End::Client),
        server_to_client: from(End::Server),
    }
}

/// Payload that `from` sent and the other end received in order: by the receiver's count if its socket
/// was seen, else by the acknowledgments that the sender received. The kernel counts SYN and FIN as
/// bytes; they are subtracted.
fn payload(connection: &Connection, from: End) -> Option<u64> {
    let to = from.other();
    if connection.is_its_own_peer() && from == End::Server {
        // One socket sends and receives each byte: the client.
        return Some(0);
    }
    if let Some(receiver) = connection.view(to) {
        let last = receiver.last()?;
        let fin = u64::from(connection.received_fin(to)?);
        return last
            .bytes_received
            .checked_sub(fin)
            .filter(|_| receiver.counts_all() && receiver.is_closed());
    }
    let sender = connection.view(from)?;
    sender.last()?;
    let syn = u64::from(sender.sent_syn());
    let fin = u64::from(sender.fin_was_acknowledged());
    let acknowledged = sender.counted.bytes_acked;
    acknowledged
        .checked_sub(syn + fin)
        .filter(|_| sender.counts_all() && sender.is_closed())
}

#[cfg(test)]
mod tests;
