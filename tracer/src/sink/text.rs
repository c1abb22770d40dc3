//! Timelines for a terminal.

mod chart;
mod explain;
mod packets;
mod units;

use std::{
    collections::HashSet,
    fmt::Write as _,
    io::{self, BufWriter, Write},
    net::SocketAddr,
};

use anstyle::{AnsiColor, Style};
use hyper::StatusCode;
use upload_server::record::Outcome;

use self::{
    chart::Row,
    packets::PacketList,
    units::{bytes, duration, plain},
};
use super::Sink;
use crate::{
    output::{LostLine, Output, SummaryLine, UploadLine},
    timeline::{
        Certainty, Endpoint, Exchange, Failure, How, Initiation, Maintenance, Step, Termination,
        Timeline, UploadSummary,
    },
};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// See the module.
pub struct Text {
    destination: BufWriter<Box<dyn Write + Send>>,
    /// Uploads shown while their connection was still open.
    shown: HashSet<String>,
    packets: PacketList,
    /// Whether only connections that carried an upload, or failed, are shown whole.
    uploads_only: bool,
    /// Whether each step is explained.
    explain: bool,
}

impl Text {
    /// Writes to `destination`; with `uploads_only`, other connections take one line each. With
    /// `explain`, each step is explained.
    #[must_use]
    pub fn new(destination: Box<dyn Write + Send>, uploads_only: bool, explain: bool) -> Self {
        Self {
            destination: super::buffered(destination),
            shown: HashSet::new(),
            packets: PacketList::default(),
            uploads_only,
            explain,
        }
    }

    fn timeline(&mut self, timeline: &Timeline) -> io::Result<()> {
        let out = &mut self.destination;
        let told_before = !timeline.uploads.is_empty()
            && timeline
                .uploads
                .iter()
                .all(|upload| self.shown.contains(&upload.id));
        if told_before && !timeline.open {
            return write_ending(out, timeline);
        }
        let failed = timeline
            .initiation()
            .is_some_and(|initiation| initiation.failure.is_some());
        if self.uploads_only && timeline.uploads.is_empty() && !failed {
            return write_brief(out, timeline);
        }
        for upload in &timeline.uploads {
            if !self.shown.contains(&upload.id) {
                write_upload_heading(out, upload, timeline)?;
            }
        }
        if timeline.uploads.is_empty() {
            write_heading(out, "connection", timeline, "")?;
        }
        let whole = whole_ns(timeline);
        if let Some(initiation) = timeline.initiation() {
            write_initiation(out, initiation, whole)?;
            if self.explain {
                explain::initiation(out, initiation, timeline)?;
            }
        }
        if let Some(maintenance) = timeline.maintenance() {
            write_maintenance(out, maintenance, timeline, &self.shown, whole)?;
            if self.explain {
                explain::maintenance(out, maintenance, timeline)?;
            }
        }
        if let Some(termination) = timeline.termination() {
            write_termination(out, termination, timeline, whole)?;
            if self.explain {
                explain::termination(out, termination, timeline)?;
            }
        }
        for reason in &timeline.incomplete {
            if *reason != "it was still open" {
                writeln!(out, "  {BAD}incomplete{BAD:#}   {reason}")?;
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

impl Sink for Text {
    fn write(&mut self, output: &Output) -> io::Result<()> {
        match output {
            Output::State(_) => Ok(()),
            Output::Segment(segment) => self.packets.write(&mut self.destination, segment),
            Output::Upload(upload) if upload.connection.is_none() => {
                write_lone_upload(&mut self.destination, upload)
            }
            Output::Upload(_) => Ok(()),
            Output::Progress(timeline) => {
                self.timeline(timeline)?;
                self.remember(timeline, false);
                Ok(())
            }
            Output::Timeline(timeline) => {
                self.timeline(timeline)?;
                self.remember(timeline, true);
                self.packets.forget(&timeline.connection);
                Ok(())
            }
            Output::Lost(lost) => write_lost(&mut self.destination, lost),
            Output::Summary(summary) => write_summary(&mut self.destination, summary),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.destination.flush()
    }
}

fn write_upload_heading(
    out: &mut impl Write,
    upload: &UploadSummary,
    timeline: &Timeline,
) -> io::Result<()> {
    let name = upload.name.as_deref().map_or_else(String::new, plain);
    let status = status_text(upload.status);
    let outcome = match upload.outcome {
        Outcome::Complete => String::new(),
        outcome => format!("  {BAD}{outcome}{BAD:#}"),
    };
    let rest = format!("  {name}  {}  {status}{outcome}", bytes(upload.bytes));
    write_heading(out, &format!("upload {}", upload.id), timeline, &rest)
}

fn write_heading(
    out: &mut impl Write,
    what: &str,
    timeline: &Timeline,
    rest: &str,
) -> io::Result<()> {
    let took = duration(whole_ns(timeline));
    let (client, server) = (endpoint(&timeline.client), endpoint(&timeline.server));
    writeln!(
        out,
        "{BOLD}{what}{BOLD:#}{rest}  {took}    {DIM}{client} → {server}{DIM:#}"
    )
}

fn write_initiation(out: &mut impl Write, phase: &Initiation, whole: u64) -> io::Result<()> {
    let mut detail = steps(&phase.steps);
    if let Some(rtt) = phase.rtt_ns {
        let _ = write!(detail, "    RTT {}", duration(rtt));
    }
    if let Some(options) = &phase.options {
        let _ = write!(detail, ", MSS {}", options.mss);
        match options.window_scale {
            Some(scale) if scale.client == scale.server => {
                let _ = write!(detail, ", window scale {}", scale.client);
            }
            Some(scale) => {
                let (client, server) = (scale.client, scale.server);
                let _ = write!(detail, ", window scale {client} and {server}");
            }
            None => {}
        }
        if options.sack_permitted {
            detail.push_str(", SACK");
        }
        if options.timestamps {
            detail.push_str(", timestamps");
        }
    }
    if let Some(failure) = phase.failure {
        let _ = write!(detail, "  {BAD}{}{BAD:#}", failure_text(failure));
    }
    if phase.certainty == Certainty::Unknown && phase.failure.is_none() {
        detail.push_str("    its beginning was not seen");
    }
    let span = match phase.certainty {
        Certainty::Unknown => None,
        _ => phase.end_ns.map(|end| (phase.start_ns, end)),
    };
    Row::phase("initiation", AnsiColor::Cyan)
        .span(span)
        .write(out, whole, &detail)?;
    if let Some(wait) = phase.accept_wait_ns {
        let accepted = phase.accepted_ns.map(|at| (at.saturating_sub(wait), at));
        Row::part("accepted").span(accepted).write(
            out,
            whole,
            "the server's accept() took it from the queue",
        )?;
    }
    Ok(())
}

fn write_maintenance(
    out: &mut impl Write,
    phase: &Maintenance,
    timeline: &Timeline,
    shown: &HashSet<String>,
    whole: u64,
) -> io::Result<()> {
    let up = timeline
        .bytes
        .client_to_server
        .map_or_else(|| "? B".to_owned(), bytes);
    let down = timeline
        .bytes
        .server_to_client
        .map_or_else(|| "? B".to_owned(), bytes);
    let retransmits = match timeline.retransmits {
        0 => "no retransmit".to_owned(),
        1 => "1 retransmit".to_owned(),
        count => format!("{count} retransmits"),
    };
    let detail = if timeline.open {
        retransmits
    } else {
        format!("{up} to the server, {down} back, {retransmits}")
    };
    let end = phase.end_ns.or(timeline.open.then_some(whole));
    Row::phase("maintenance", AnsiColor::Green)
        .span(phase.start_ns.zip(end))
        .write(out, whole, &detail)?;
    for exchange in &phase.exchanges {
        if !shown.contains(&exchange.upload) {
            write_exchange(out, exchange, whole)?;
        }
    }
    Ok(())
}

fn write_exchange(out: &mut impl Write, exchange: &Exchange, whole: u64) -> io::Result<()> {
    let request = &exchange.request;
    let mut line = format!(
        "{} {} {}",
        plain(&request.method),
        plain(&request.target),
        request.version
    );
    if exchange.sequence > 1 {
        line.push_str("    handshake paid by an earlier request");
    }
    let span = |span: &crate::timeline::Span| span.start_ns.zip(span.end_ns);
    Row::part("request")
        .span(span(&request.span))
        .write(out, whole, &line)?;
    let mut line = bytes(exchange.body.bytes);
    if let Some(rate) = exchange.body.bytes_per_second {
        let _ = write!(line, ", {}/s", bytes(rate));
    }
    Row::part("body")
        .span(span(&exchange.body.span))
        .write(out, whole, &line)?;
    Row::part("wait")
        .span(span(&exchange.wait))
        .write(out, whole, "the server works")?;
    Row::part("response")
        .span(span(&exchange.response.span))
        .write(out, whole, &status_text(exchange.response.status))
}

fn write_termination(
    out: &mut impl Write,
    phase: &Termination,
    timeline: &Timeline,
    whole: u64,
) -> io::Result<()> {
    let detail = termination_text(phase, timeline);
    Row::phase("termination", AnsiColor::Yellow)
        .span(phase.start_ns.zip(phase.end_ns))
        .write(out, whole, &detail)
}

fn termination_text(phase: &Termination, timeline: &Timeline) -> String {
    if timeline.open && phase.steps.is_empty() {
        return "the connection is still open".to_owned();
    }
    let mut detail = steps(&phase.steps);
    if let Some(end) = phase.closed_first {
        let did = if phase.how == Some(How::Rst)
            && phase.steps.first().is_some_and(|step| step.name == "RST")
        {
            "reset it"
        } else {
            "closed first"
        };
        let _ = write!(detail, "    {} {did}", end.name());
    }
    if phase.half_close {
        detail.push_str(", then went on receiving (half-close)");
    }
    for missing in &phase.missing {
        let _ = write!(detail, ", {missing}");
    }
    detail
}

/// The end of a connection whose uploads were shown while it was open.
fn write_ending(out: &mut impl Write, timeline: &Timeline) -> io::Result<()> {
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
        "{BOLD}upload {}{BOLD:#}  its connection closed after {}\n  termination  {took}   {}\n",
        ids.join(", "),
        duration(whole_ns(timeline)),
        termination_text(phase, timeline)
    )
}

fn write_brief(out: &mut impl Write, timeline: &Timeline) -> io::Result<()> {
    let took = duration(whole_ns(timeline));
    let (client, server) = (endpoint(&timeline.client), endpoint(&timeline.server));
    writeln!(
        out,
        "{DIM}connection without upload  {took}    {client} → {server}{DIM:#}"
    )
}

fn write_lone_upload(out: &mut impl Write, upload: &UploadLine) -> io::Result<()> {
    writeln!(
        out,
        "{BOLD}upload {}{BOLD:#}  {}  {}  {}  {BAD}{}{BAD:#}  its connection was not seen\n",
        upload.id,
        upload.name.as_deref().map_or_else(String::new, plain),
        bytes(upload.bytes),
        status_text(upload.status),
        upload.outcome
    )
}

fn write_lost(out: &mut impl Write, lost: &LostLine) -> io::Result<()> {
    let within = duration(lost.to_ns.saturating_sub(lost.from_ns));
    writeln!(
        out,
        "{BAD}lost{BAD:#}  {} records within {within}: {}\n",
        lost.count,
        lost.hop.describe()
    )
}

fn write_summary(out: &mut impl Write, summary: &SummaryLine) -> io::Result<()> {
    let lost = match summary.lost {
        0 => "nothing lost".to_owned(),
        lost => format!("{BAD}{lost} lost{BAD:#}"),
    };
    writeln!(
        out,
        "{DIM}{}, {}, {}, {lost}{DIM:#}",
        counted(summary.connections, "connection"),
        counted(summary.uploads, "upload"),
        counted(summary.events, "event")
    )
}

fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

fn steps(steps: &[Step]) -> String {
    let names: Vec<String> = steps
        .iter()
        .map(|step| {
            let again = if step.retransmit { " again" } else { "" };
            let unknown = if step.certainty == Certainty::Unknown {
                "?"
            } else {
                ""
            };
            format!("{}{again}{unknown}", step.name)
        })
        .collect();
    names.join(" · ")
}

fn endpoint(endpoint: &Endpoint) -> String {
    let mut address = SocketAddr::new(endpoint.addr, endpoint.port).to_string();
    if endpoint.port == 0
        && let Some(host) = address.strip_suffix(":0")
    {
        address = format!("{host}:?");
    }
    match (&endpoint.comm, endpoint.pid) {
        (Some(comm), Some(pid)) => format!("{}[{pid}] {address}", plain(comm)),
        _ => address,
    }
}

fn status_text(status: Option<u16>) -> String {
    let Some(status) = status else {
        return "no response".to_owned();
    };
    let reason = StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason());
    format!("{status} {}", reason.unwrap_or_default())
}

const fn failure_text(failure: Failure) -> &'static str {
    match failure {
        Failure::Refused => "refused: a RST answered the SYN",
        Failure::TimedOut => "timed out: no answer to any SYN",
        Failure::Unreachable => "unreachable: no route to the host",
        Failure::Reset => "reset while it was opening",
        Failure::GivenUp => "given up: the client closed the socket before an answer came",
        Failure::Failed => "failed",
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
