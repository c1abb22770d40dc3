//! Timelines for a terminal.

mod chart;
mod closing;
mod diagnosis;
mod explain;
mod heading;
mod hops;
mod packets;
mod phases;
mod separated;
mod styles;
mod totals;
mod transit;

use std::{
    collections::HashMap,
    fmt::{self, Display},
    io::{self, Write as _},
};

use upload_protocol::{
    RolesFrom,
    line::UploadLine,
    timeline::{Incomplete, Timeline},
    units::{bytes_or_unknown, duration, plain, status_text},
    upload::Outcome,
};

pub use self::styles::Styles;
use self::{
    chart::put,
    heading::{
        write_containers, write_ends, write_others, write_took, write_upload_heading, write_whose,
    },
    packets::PacketList,
    separated::Separated,
    totals::{write_lost, write_summary},
};
use super::{Render, way_out};
use crate::core::{output::Output, scope::Scope};

/// Uploads by their id, with their size.
type Shown = HashMap<String, Option<u64>>;

/// A connection that is open is quiet from time to time.
const SILENT_NS: u64 = 1_000_000_000;

pub struct Text {
    styles: Styles,
    /// Uploads shown while their connection was still open, and with how many bytes.
    shown: Shown,
    packets: PacketList,
    /// With `uploads_only`, other connections take one line each, unless they failed.
    scope: Scope,
    explain: bool,
}

impl Text {
    #[must_use]
    pub fn new(styles: Styles, scope: Scope, explain: bool) -> Self {
        Self {
            styles,
            shown: Shown::new(),
            packets: PacketList::default(),
            scope,
            explain,
        }
    }

    fn timeline(&self, timeline: &Timeline, out: &mut Vec<u8>) -> io::Result<()> {
        let styles = self.styles;
        let shown_before = !timeline.uploads.is_empty()
            && timeline
                .uploads
                .iter()
                .all(|upload| self.shown.get(&upload.id) == Some(&upload.bytes));
        if shown_before {
            return if timeline.open {
                Ok(())
            } else {
                write_ending(out, styles, timeline)
            };
        }
        let failed = timeline
            .initiation()
            .is_some_and(|initiation| initiation.failure.is_some());
        if self.scope.uploads_only && timeline.uploads.is_empty() && !failed {
            return write_brief(out, styles, timeline);
        }
        for upload in &timeline.uploads {
            if self.shown.get(&upload.id) != Some(&upload.bytes) {
                write_upload_heading(out, styles, upload, timeline)?;
            }
        }
        if timeline.uploads.is_empty() {
            let bold = styles.bold;
            write!(out, "{bold}connection{bold:#}")?;
            write_whose(out, styles, timeline)?;
        }
        write_containers(out, timeline, self.explain)?;
        write_others(out, timeline)?;
        hops::hops(out, timeline, self.explain, |upload| {
            self.shown.get(&upload.id) != Some(&upload.bytes)
        })?;
        // The maintenance of an open connection has lasted until now.
        let open_ns = timeline.open_for_ns.unwrap_or_default();
        let whole = timeline.last_ns().max(open_ns);
        if let Some(initiation) = timeline.initiation() {
            phases::initiation(out, styles, initiation, timeline, whole)?;
            if self.explain {
                explain::initiation(out, styles, initiation, timeline)?;
            }
        }
        if let Some(maintenance) = timeline.maintenance() {
            phases::maintenance(out, styles, maintenance, timeline, &self.shown, whole)?;
            if self.explain {
                explain::maintenance(out, styles, maintenance, timeline)?;
            }
        }
        if let Some(termination) = timeline.termination() {
            closing::termination(out, styles, termination, timeline, whole)?;
            if self.explain {
                explain::termination(out, styles, termination, timeline)?;
            }
        }
        transit::transit(out, styles, timeline, self.explain)?;
        diagnosis::diagnoses(out, styles, timeline, self.explain, |upload| {
            self.shown.get(&upload.id) != Some(&upload.bytes)
        })?;
        match timeline.roles_from {
            RolesFrom::Opening => {}
            RolesFrom::Simultaneous => writeln!(
                out,
                "  both ends opened it at once: which one is called the client is a convention"
            )?,
            RolesFrom::Listener => writeln!(
                out,
                "  which end is the server is inferred: a socket listened at its address and port"
            )?,
            RolesFrom::Payload => {
                writeln!(
                    out,
                    "  which end is the client is inferred from what they sent"
                )?;
            }
            RolesFrom::Ports => {
                writeln!(out, "  which end is the client is inferred from the ports")?;
            }
        }
        let bad = styles.bad;
        for reason in &timeline.incomplete {
            if !matches!(reason, Incomplete::StillOpen | Incomplete::LeftOut) {
                write!(out, "  {bad}incomplete{bad:#}   {reason}")?;
                write_silence(out, timeline, *reason)?;
                writeln!(out)?;
            }
        }
        write_left_out(out, styles, timeline)?;
        writeln!(out)
    }

    fn remember(&mut self, timeline: &Timeline, ended: bool) {
        for upload in &timeline.uploads {
            if ended {
                self.shown.remove(&upload.id);
            } else {
                self.shown.insert(upload.id.clone(), upload.bytes);
            }
        }
    }
}

impl Render for Text {
    fn shows(&self, output: &Output) -> bool {
        match output {
            Output::State(_) | Output::Snapshot(_) => false,
            Output::Segment(_) => self.scope.segments,
            Output::Upload(upload) => upload.connection.is_none(),
            Output::Progress(_) | Output::Timeline(_) | Output::Lost(_) | Output::Summary(_) => {
                true
            }
        }
    }

    fn render(&mut self, output: &Output, to: &mut Vec<u8>) -> io::Result<()> {
        if !self.shows(output) {
            return Ok(());
        }
        let from = to.len();
        let rendered = self.write(output, to);
        way_out::make_plain(to, from, self.styles.coloured);
        rendered
    }
}

impl Text {
    fn write(&mut self, output: &Output, to: &mut Vec<u8>) -> io::Result<()> {
        match output {
            Output::State(_) | Output::Snapshot(_) => Ok(()),
            Output::Segment(segment) => self.packets.write(to, &segment.line),
            Output::Upload(upload) => write_lone_upload(to, self.styles, upload),
            Output::Progress(timeline) => {
                self.timeline(timeline, to)?;
                self.remember(timeline, false);
                Ok(())
            }
            Output::Timeline(timeline) => {
                self.timeline(timeline, to)?;
                self.remember(timeline, true);
                self.packets.forget(timeline.connection);
                Ok(())
            }
            Output::Lost(lost) => write_lost(to, self.styles, lost),
            Output::Summary(summary) => write_summary(to, self.styles, summary),
        }
    }
}

/// When the last segment passed of a connection that has no end in a capture, if that was not just now.
fn write_silence(out: &mut Vec<u8>, timeline: &Timeline, reason: Incomplete) -> io::Result<()> {
    let is_open = matches!(reason, Incomplete::CaptureEnded | Incomplete::Evicted);
    let silence = timeline.silent_for_ns.filter(|ns| *ns >= SILENT_NS);
    match silence.filter(|_| is_open) {
        Some(ns) => write!(out, ": its last segment had passed {} before", duration(ns)),
        None => Ok(()),
    }
}

fn write_left_out(out: &mut Vec<u8>, styles: Styles, timeline: &Timeline) -> io::Result<()> {
    if timeline.left_out.is_empty() {
        return Ok(());
    }
    let bad = styles.bad;
    let mut list = Separated::by(", ");
    write!(out, "  {bad}left out{bad:#}     ")?;
    for omission in &timeline.left_out {
        list.next(out);
        match omission.count {
            Some(count) => write!(out, "{count} {}", omission.what)?,
            None => write!(out, "{}", omission.what)?,
        }
    }
    writeln!(out)
}

/// The end of a connection whose uploads were shown while it was open.
fn write_ending(out: &mut Vec<u8>, styles: Styles, timeline: &Timeline) -> io::Result<()> {
    let bold = styles.bold;
    let Some(phase) = timeline.termination() else {
        return Ok(());
    };
    let mut ids = Separated::by(", ");
    write!(out, "{bold}upload ")?;
    for upload in &timeline.uploads {
        ids.next(out);
        put(out, &plain(&upload.id));
    }
    let whole = duration(timeline.last_ns());
    write!(
        out,
        "{bold:#}  its connection closed after {whole}\n  termination  "
    )?;
    match phase.start_ns.zip(phase.end_ns) {
        Some((start, end)) => write!(out, "{}", duration(end.saturating_sub(start)))?,
        None => put(out, "?"),
    }
    put(out, "   ");
    closing::closing(out, phase, timeline);
    put(out, "\n");
    write_left_out(out, styles, timeline)?;
    put(out, "\n");
    Ok(())
}

fn write_brief(out: &mut Vec<u8>, styles: Styles, timeline: &Timeline) -> io::Result<()> {
    let dim = styles.dim;
    let exchanges = timeline
        .maintenance()
        .map_or(&[][..], |phase| &phase.exchanges);
    write!(out, "{dim}connection without upload")?;
    for exchange in exchanges {
        put(out, "  ");
        put(out, &plain(&exchange.request.method));
        put(out, " ");
        put(out, &plain(&exchange.request.target));
        write!(out, "  {}", status_text(exchange.response.status))?;
    }
    put(out, "  ");
    write_took(out, timeline)?;
    put(out, "    ");
    write_ends(out, timeline)?;
    writeln!(out, "{dim:#}")
}

fn write_lone_upload(out: &mut Vec<u8>, styles: Styles, upload: &UploadLine) -> io::Result<()> {
    let Styles { bold, bad, .. } = styles;
    writeln!(
        out,
        "{bold}upload {}{bold:#}  {}  {}  {}  {bad}{}{bad:#}  its connection was not seen\n",
        plain(&upload.id),
        upload.name.as_deref().map(plain).unwrap_or_default(),
        bytes_or_unknown(upload.bytes),
        status_text(upload.status),
        upload.outcome.unwrap_or(Outcome::Failed)
    )
}

fn counted(count: u64, what: &str) -> impl Display {
    fmt::from_fn(move |f| {
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{count} {what}{plural}")
    })
}
