//! Why an upload took as long as it did. Its time is cut first by the phases that the timeline has; the
//! body is cut further, by what its sender and its receiver were limited by.

mod black_hole;
mod body;
mod course;
mod evidence;
mod named;
mod ruled;
mod spans;
mod timed_out;
mod verdict;
mod words;

use tracer_ebpf::record::INGRESS;
use upload_protocol::{
    End,
    timeline::{
        Certainty, Diagnosis, EstimatedBy, Exchange, HeldBackBy, Incomplete, Timeline,
        UploadSummary,
    },
};

use self::{body::Body, named::Signs, spans::Spans, timed_out::Asked};
use super::Origin;
use crate::core::connection::{Connection, Stretch};

/// Adds its diagnosis to each upload of a timeline, where a kernel measured an end of the connection, or a
/// capture's segments show one.
/// `sender` sends the bodies: causes and sides take it for the client.
pub(super) fn diagnose(
    timeline: &mut Timeline,
    connection: &Connection,
    sender: End,
    origin: Origin,
) {
    let is_measured = connection.views().any(|(_, view)| view.limits.is_some());
    if !is_measured || timeline.began_before() || connection.is_its_own_peer() {
        return;
    }
    let found: Vec<Option<Diagnosis>> = timeline
        .uploads
        .iter()
        .map(|upload| {
            let spans = Spans::of(timeline, &upload.id, connection, sender, origin)?;
            Some(of_upload(
                timeline, connection, &spans, upload, sender, origin,
            ))
        })
        .collect();
    for (upload, diagnosis) in timeline.uploads.iter_mut().zip(found) {
        upload.diagnosis = diagnosis.map(Box::new);
    }
}

fn of_upload(
    timeline: &Timeline,
    connection: &Connection,
    spans: &Spans,
    upload: &UploadSummary,
    sender: End,
    origin: Origin,
) -> Diagnosis {
    let stretch = |end: End| -> Option<Stretch> {
        let (from, to) = spans.body?;
        let limits = connection.view(end)?.limits.as_deref()?;
        limits.between(origin.0 + from, origin.0 + to)
    };
    let body = Body {
        length_ns: spans.body_ns(),
        bytes: upload.bytes,
        answered: spans.response().is_some(),
        read_ns: spans.response().and_then(|at| {
            let limits = connection.view(sender.other())?.limits.as_deref()?;
            limits.read_before(origin.0 + at)
        }),
        client: stretch(sender),
        server: stretch(sender.other()),
        silent_ns: silent_ns(connection, sender.other(), spans, origin),
        window_scaling: window_scaling(timeline),
        handshake_rtt_ns: timeline.initiation().and_then(|phase| phase.rtt_ns),
        is_estimated: connection.captured.is_some(),
    };
    let exchange = exchange_of(timeline, upload);
    let signs = Signs {
        black_hole: spans.body.and_then(|(from, to)| {
            let span = (origin.0 + from, origin.0 + to);
            black_hole::seen(connection.view(sender)?, body.client.as_ref(), span)
        }),
        is_http2: named::is_http2(timeline, exchange),
        stream_window: connection.dialogue.payload.stream_window(),
        disk_ns: upload.disk_ns,
    };
    let (mut causes, after) = spans.phases(&body, origin);
    let mut certainty = Certainty::Observed;
    if body.length_ns > 0 {
        let cut = body.causes();
        certainty = cut.certainty;
        causes.extend(course::bounded(cut.causes));
        if signs.black_hole.is_some_and(|hole| !hole.mss_fell) {
            black_hole::take_rest(&mut causes);
        }
    }
    causes.extend(after);
    let evidence = body.evidence();
    let course = course::of(&causes, spans.start, spans.wall_ns());
    let shares = verdict::shares(causes, spans.wall_ns());
    let ends = ends(&body, sender);
    let (from, by, near) = match body.is_estimated {
        true => (
            Vec::new(),
            Some(EstimatedBy::Segments),
            ends.first().copied(),
        ),
        false => (ends, None, None),
    };
    let mut diagnosis = Diagnosis {
        certainty,
        from,
        by,
        near,
        sender: Some(sender).filter(|sender| *sender != End::Client),
        wall_ns: spans.wall_ns(),
        shares,
        course,
        evidence,
        ..Diagnosis::default()
    };
    verdict::judge(&mut diagnosis, is_unsure(timeline));
    let is_reported = timeline
        .initiation()
        .is_some_and(|phase| phase.accepted_ns.is_some());
    if diagnosis.verdict == Some(HeldBackBy::Accept) && !is_reported {
        diagnosis.certainty = Certainty::Inferred;
    }
    if body.is_estimated && diagnosis.certainty == Certainty::Observed {
        diagnosis.certainty = Certainty::Inferred;
    }
    named::put(&mut diagnosis, &body, signs);
    diagnosis.ended_by = exchange
        .map(|exchange| Asked::of(timeline, connection, exchange, origin))
        .and_then(|asked| timed_out::find(timeline, asked));
    words::put(&mut diagnosis);
    diagnosis
}

/// For how long the receiver had received nothing when the body ended without its rest: somebody had given up.
/// No segment ends such a stretch, so that none measures it.
fn silent_ns(connection: &Connection, receiver: End, spans: &Spans, origin: Origin) -> u64 {
    let arrived_ns = connection
        .view(receiver)
        .and_then(|view| view.passed.as_ref())
        .map_or(0, |passed| passed[usize::from(INGRESS)].last_ns);
    match spans.body {
        Some((start, end)) if arrived_ns > 0 => {
            end.saturating_sub(origin.since(arrived_ns).max(start))
        }
        _ => 0,
    }
}

fn exchange_of<'a>(timeline: &'a Timeline, upload: &UploadSummary) -> Option<&'a Exchange> {
    let mut exchanges = timeline.exchanges().iter();
    exchanges.find(|exchange| exchange.is_of(&upload.id))
}

/// The ends that were measured or estimated, the client first.
fn ends(body: &Body, sender: End) -> Vec<End> {
    let mut ends = body.ends();
    if sender == End::Server {
        ends = ends.into_iter().rev().map(End::other).collect();
    }
    ends
}

/// Whether records of the connection may be missing.
fn is_unsure(timeline: &Timeline) -> bool {
    timeline.incomplete.iter().any(|reason| {
        !matches!(
            reason,
            Incomplete::StillOpen
                | Incomplete::CaptureEnded
                | Incomplete::LeftOut
                | Incomplete::Evicted
        )
    })
}

fn window_scaling(timeline: &Timeline) -> Option<bool> {
    let options = timeline.initiation()?.options?;
    Some(options.window_scale.is_some())
}

#[cfg(test)]
mod tests;
