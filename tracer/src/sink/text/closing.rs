//! The termination as a row of the chart.

use std::{fmt::Write as _, io};

use upload_protocol::timeline::{
    Cause, Ending, MissingClose, ResetReason, SocketError, Termination, Timeline, Timer,
};

use super::{
    Styles,
    chart::{Row, put},
    phases::{APART, steps},
    separated::Separated,
};

pub(super) fn termination(
    out: &mut Vec<u8>,
    styles: Styles,
    phase: &Termination,
    timeline: &Timeline,
    whole: u64,
) -> io::Result<()> {
    Row::phase("termination", styles.termination)
        .span(phase.start_ns.zip(phase.end_ns))
        .write(out, whole, |out| {
            closing(out, phase, timeline);
            Ok(())
        })
}

/// The close in one line.
pub(super) fn closing(out: &mut Vec<u8>, phase: &Termination, timeline: &Timeline) {
    if timeline.open && phase.steps.is_empty() && phase.ending.is_none() {
        put(out, "the connection is still open");
        return;
    }
    let mut groups = Separated::by(APART);
    if !phase.steps.is_empty() {
        groups.next(out);
        steps(out, &phase.steps);
    }
    let both = phase.simultaneous && phase.ending == Some(Ending::Fin);
    let began_by_ending = phase.steps.first().is_none_or(|step| !step.name.is_fin());
    let first = phase.closed_first.filter(|first| {
        let is_said_below = began_by_ending && phase.ended_by == Some(*first);
        !both && !is_said_below
    });
    if both || first.is_some() || phase.ended_by.is_some() || !phase.missing.is_empty() {
        groups.next(out);
    }
    let mut remarks = Separated::by(", ");
    if both {
        remarks.next(out);
        put(out, "both closed at once");
    }
    if let Some(end) = first {
        remarks.next(out);
        put(out, end.name());
        put(out, " closed first");
        if phase.half_close {
            put(out, ", then went on receiving (half-close)");
        }
    }
    if let Some(end) = phase.ended_by {
        remarks.next(out);
        put(out, end.name());
        put(out, &ended(phase));
    }
    if let Some(end) = phase.open_end {
        remarks.next(out);
        put(out, "the ");
        put(out, end.name());
        put(out, "'s end is still open");
    }
    let is_said =
        |missing: &MissingClose| phase.open_end.is_some() && *missing == MissingClose::NotClosedYet;
    for missing in phase.missing.iter().filter(|missing| !is_said(missing)) {
        remarks.next(out);
        put(out, missing.name());
    }
}

/// How an end ended the connection otherwise than with a FIN.
fn ended(phase: &Termination) -> String {
    let Cause {
        error,
        timer,
        user_timeout,
        orphan: _,
        reset_reason,
    } = phase.cause;
    let timed_out = timer.is_some() || error == Some(SocketError::TIMED_OUT);
    let mut text = String::new();
    let verb = match phase.ending {
        Some(Ending::Error) if timed_out => " timed out",
        Some(Ending::Error) => " gave up",
        _ => " reset it",
    };
    text.push_str(verb);
    let shown = error.filter(|error| *error != SocketError::TIMED_OUT);
    let why = timer.map(Timer::meaning).or_else(|| {
        let of_reset = reset_reason.map(ResetReason::meaning);
        shown.and_then(SocketError::meaning).or(of_reset)
    });
    if let Some(why) = why {
        text.push_str(": ");
        text.push_str(why);
    }
    if timer.is_some() && user_timeout {
        text.push_str(" within TCP_USER_TIMEOUT");
    }
    if let Some(error) = shown {
        let _ = write!(text, " ({error})");
    }
    text
}
