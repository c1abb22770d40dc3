//! Timelines for a terminal.

mod chart;
mod explain;
mod packets;
mod phases;
mod styles;

use std::{
    collections::HashSet,
    fmt::Write as _,
    io::{self, Write},
    net::SocketAddr,
};

use upload_server::record::Outcome;

use self::packets::PacketList;
pub use self::styles::Styles;
use super::{
    Render,
    units::{bytes_or_unknown, duration, plain, status_text},
};
use crate::{
    connection::RolesFrom,
    input::Missing,
    output::{LostLine, Output, SummaryLine, UploadLine},
    source::recording::Scope,
    timeline::{Certainty, Endpoint, Timeline, UploadSummary},
};

/// See the module.
pub struct Text {
    styles: Styles,
    /// Uploads shown while their connection was still open.
    shown: HashSet<String>,
    packets: PacketList,
    /// What was asked for: with `uploads_only`, other connections take one line each, unless they
    /// failed.
    scope: Scope,
    /// Whether each step is explained.
    explain: bool,
}

impl Text {
    /// In these styles. With `explain`, each step is explained.
    #[must_use]
    pub fn new(styles: Styles, scope: Scope, explain: bool) -> Self {
        Self {
            styles,
            shown: HashSet::new(),
            packets: PacketList::default(),
            scope,
            explain,
        }
    }

    fn timeline(&self, timeline: &Timeline, out: &mut Vec<u8>) -> io::Result<()> {
        let styles = self.styles;
        let told_before = !timeline.uploads.is_empty()
            && timeline
                .uploads
                .iter()
                .all(|upload| self.shown.contains(&upload.id));
        if told_before && !timeline.open {
            return write_ending(out, styles, timeline);
        }
        let failed = timeline
            .initiation()
            .is_some_and(|initiation| initiation.failure.is_some());
        if self.scope.uploads_only && timeline.uploads.is_empty() && !failed {
            return write_brief(out, styles, timeline);
        }
        for upload in &timeline.uploads {
            if !self.shown.contains(&upload.id) {
                write_upload_heading(out, styles, upload, timeline)?;
            }
        }
        if timeline.uploads.is_empty() {
            write_heading(out, styles, "connection", timeline, "")?;
        }
        write_others(out, timeline)?;
        let whole = whole_ns(timeline);
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
            phases::termination(out, styles, termination, timeline, whole)?;
            if self.explain {
                explain::termination(out, styles, termination, timeline)?;
            }
        }
        match timeline.roles_from {
            RolesFrom::Opening => {}
            RolesFrom::Listener => writeln!(
                out,
                "  which end is the server is inferred: a socket listened at its address and port"
            )?,
            RolesFrom::Ports => {
                writeln!(out, "  which end is the client is inferred from the ports")?;
            }
        }
        let bad = styles.bad;
        for reason in &timeline.incomplete {
            if *reason != "it was still open" {
                writeln!(out, "  {bad}incomplete{bad:#}   {reason}")?;
            }
        }
        writeln!(out)
    }

    fn remember(&mut self, timeline: &Timeline, ended: bool) {
        for upload in &timeline.uploads {
            if ended {
                self.shown.remove(&upload.id);
            } else {
                self.shown.insert(upload.id.clone());
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
        match output {
            Output::State(_) | Output::Snapshot(_) => Ok(()),
            Output::Segment(segment) => self.packets.write(to, segment),
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

fn write_upload_heading(
    out: &mut impl Write,
    styles: Styles,
    upload: &UploadSummary,
    timeline: &Timeline,
) -> io::Result<()> {
    let bad = styles.bad;
    let name = upload.name.as_deref().map_or_else(String::new, plain);
    let status = status_text(upload.status);
    let outcome = match upload.outcome {
        Some(Outcome::Complete) | None => String::new(),
        Some(outcome) => format!("  {bad}{outcome}{bad:#}"),
    };
    let rest = match upload.certainty {
        Certainty::Inferred if upload.status.is_none() && upload.outcome.is_none() => {
            format!("  {name}  {}", bytes_or_unknown(upload.bytes))
        }
        _ => format!(
            "  {name}  {}  {status}{outcome}",
            bytes_or_unknown(upload.bytes)
        ),
    };
    let what = match upload.certainty {
        Certainty::Inferred => "upload (inferred)".to_owned(),
        _ => format!("upload {}", upload.id),
    };
    write_heading(out, styles, &what, timeline, &rest)
}

fn write_heading(
    out: &mut impl Write,
    styles: Styles,
    what: &str,
    timeline: &Timeline,
    rest: &str,
) -> io::Result<()> {
    let Styles { bold, dim, .. } = styles;
    let took = took(timeline);
    let (client, server) = (endpoint(&timeline.client), endpoint(&timeline.server));
    writeln!(
        out,
        "{bold}{what}{bold:#}{rest}  {took}    {dim}{client} → {server}{dim:#}"
    )
}

/// How long the connection lasted, as far as that is known.
fn took(timeline: &Timeline) -> String {
    match (timeline.open_for_ns, timeline.lacks_begin()) {
        (Some(so_far), false) if timeline.lost == 0 => format!("open for {}", duration(so_far)),
        (Some(so_far), true) if timeline.lost == 0 => {
            format!("open for more than {}", duration(so_far))
        }
        (Some(so_far), _) => format!("watched for {}", duration(so_far)),
        (None, true) => format!("watched for {}", duration(whole_ns(timeline))),
        (None, false) => duration(whole_ns(timeline)),
    }
}

/// Processes that used a socket beside its owner.
fn write_others(out: &mut impl Write, timeline: &Timeline) -> io::Result<()> {
    for (end, endpoint) in [("client", &timeline.client), ("server", &timeline.server)] {
        for other in &endpoint.also {
            if let (Some(comm), Some(pid)) = (&other.comm, other.pid) {
                let comm = plain(comm);
                writeln!(out, "  the {end}'s socket was used by {comm}[{pid}], too")?;
            }
        }
    }
    Ok(())
}

/// The end of a connection whose uploads were shown while it was open.
fn write_ending(out: &mut impl Write, styles: Styles, timeline: &Timeline) -> io::Result<()> {
    let bold = styles.bold;
    let ids: Vec<&str> = timeline
        .uploads
        .iter()
        .map(|upload| upload.id.as_str())
        .collect();
    let Some(phase) = timeline.termination() else {
        return Ok(());
    };
    let took = phase.start_ns.zip(phase.end_ns);
    let took = took.map_or_else(
        || "?".to_owned(),
        |(start, end)| duration(end.saturating_sub(start)),
    );
    writeln!(
        out,
        "{bold}upload {}{bold:#}  its connection closed after {}\n  termination  {took}   {}\n",
        ids.join(", "),
        duration(whole_ns(timeline)),
        phases::termination_text(phase, timeline)
    )
}

fn write_brief(out: &mut impl Write, styles: Styles, timeline: &Timeline) -> io::Result<()> {
    let dim = styles.dim;
    let took = took(timeline);
    let (client, server) = (endpoint(&timeline.client), endpoint(&timeline.server));
    let exchanges = timeline
        .maintenance()
        .map_or(&[][..], |phase| &phase.exchanges);
    let mut requests = String::new();
    for exchange in exchanges {
        let (method, target) = (
            plain(&exchange.request.method),
            plain(&exchange.request.target),
        );
        let _ = write!(
            requests,
            "  {method} {target}  {}",
            status_text(exchange.response.status)
        );
    }
    writeln!(
        out,
        "{dim}connection without upload{requests}  {took}    {client} → {server}{dim:#}"
    )
}

fn write_lone_upload(out: &mut impl Write, styles: Styles, upload: &UploadLine) -> io::Result<()> {
    let Styles { bold, bad, .. } = styles;
    writeln!(
        out,
        "{bold}upload {}{bold:#}  {}  {}  {}  {bad}{}{bad:#}  its connection was not seen\n",
        upload.id,
        upload.name.as_deref().map_or_else(String::new, plain),
        bytes_or_unknown(upload.bytes),
        status_text(upload.status),
        upload.outcome.unwrap_or(Outcome::Failed)
    )
}

fn write_lost(out: &mut impl Write, styles: Styles, lost: &LostLine) -> io::Result<()> {
    let bad = styles.bad;
    let within = duration(lost.to_ns.saturating_sub(lost.from_ns));
    let up_to = if lost.at_most { "up to " } else { "" };
    writeln!(
        out,
        "{bad}lost{bad:#}  {up_to}{} within {within}: {}\n",
        counted(lost.count, "record"),
        lost.hop.describe()
    )
}

fn write_summary(out: &mut impl Write, styles: Styles, summary: &SummaryLine) -> io::Result<()> {
    let Styles { dim, bad, .. } = styles;
    let lost = match summary.lost {
        0 => "nothing lost".to_owned(),
        lost if summary.lost_at_most => format!("{bad}up to {lost} lost{bad:#}"),
        lost => format!("{bad}{lost} lost{bad:#}"),
    };
    writeln!(
        out,
        "{dim}{}, {}, {}, {lost}{dim:#}",
        counted(summary.connections, "connection"),
        counted(summary.uploads, "upload"),
        counted(summary.events, "event")
    )?;
    for Missing { what, lost } in &summary.missing {
        writeln!(
            out,
            "{dim}  not on this kernel: {what}; unknown stays: {lost}{dim:#}"
        )?;
    }
    for program in &summary.programs {
        let cost = duration(program.ns_per_run);
        let runs = counted(program.runs, "run");
        writeln!(
            out,
            "{dim}  {:<16} {cost} per run, {runs}{dim:#}",
            program.name
        )?;
    }
    Ok(())
}

fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

fn endpoint(endpoint: &Endpoint) -> String {
    let mut address = SocketAddr::new(endpoint.addr, endpoint.port).to_string();
    if endpoint.port == 0
        && let Some(host) = address.strip_suffix(":0")
    {
        address = format!("{host}:?");
    }
    match (&endpoint.owner.comm, endpoint.owner.pid) {
        (Some(comm), Some(pid)) => format!("{}[{pid}] {address}", plain(comm)),
        _ => address,
    }
}

/// From the beginning to the last thing that is known.
fn whole_ns(timeline: &Timeline) -> u64 {
    let exchanges = timeline
        .maintenance()
        .map_or(&[][..], |maintenance| &maintenance.exchanges);
    let ends = exchanges.iter().flat_map(|exchange| {
        [
            exchange.request.span.end_ns,
            exchange.body.span.end_ns,
            exchange.response.span.end_ns,
        ]
    });
    let phases = [
        timeline.initiation().and_then(|phase| phase.end_ns),
        timeline
            .initiation()
            .and_then(|phase| phase.steps.last()?.at_ns),
        timeline.maintenance().and_then(|phase| phase.end_ns),
        timeline.termination().and_then(|phase| phase.end_ns),
    ];
    ends.chain(phases).flatten().max().unwrap_or(0)
}
