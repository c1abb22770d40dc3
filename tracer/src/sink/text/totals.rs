//! What was lost, and the totals at the end.

use std::io::{self, Write as _};

use upload_protocol::{
    line::{CaptureTotals, ExportTotals, LostLine, Missing, SummaryLine},
    units::duration,
};

use super::{Styles, chart::put, counted, separated::Separated, transit};

pub(super) fn write_lost(out: &mut Vec<u8>, styles: Styles, lost: &LostLine) -> io::Result<()> {
    let bad = styles.bad;
    let within = duration(lost.to_ns.saturating_sub(lost.from_ns));
    let up_to = if lost.at_most { "up to " } else { "" };
    writeln!(
        out,
        "{bad}lost{bad:#}  {up_to}{} within {within}: {}\n",
        counted(lost.count, lost.hop.counts()),
        lost.hop.describe()
    )
}

pub(super) fn write_summary(
    out: &mut Vec<u8>,
    styles: Styles,
    summary: &SummaryLine,
) -> io::Result<()> {
    let Styles { dim, bad, .. } = styles;
    let lost = match summary.lost {
        0 => "nothing lost".to_owned(),
        lost if summary.lost_at_most => format!("{bad}up to {lost} lost{bad:#}"),
        lost => format!("{bad}{lost} lost{bad:#}"),
    };
    write!(
        out,
        "{dim}{}, {}, {}, {lost}",
        counted(summary.connections, "connection"),
        counted(summary.uploads, "upload"),
        counted(summary.events, "event")
    )?;
    if summary.left_out > 0 {
        let connections = counted(summary.left_out, "connection");
        write!(out, ", {bad}something left out of {connections}{bad:#}")?;
    }
    writeln!(out, "{dim:#}")?;
    if let Some(capture) = &summary.capture {
        write_capture(out, styles, capture)?;
    }
    let collected = [("span", summary.spans), ("data point", summary.data_points)];
    for (what, totals) in collected {
        let Some(ExportTotals { exported, lost }) = totals else {
            continue;
        };
        let taken = counted(exported, what);
        write!(out, "{dim}  the collector took {taken}{dim:#}")?;
        if lost > 0 {
            write!(out, ", {bad}{lost} were lost{bad:#}")?;
        }
        writeln!(out)?;
    }
    if let Some(clocks) = &summary.clocks {
        transit::clocks(out, styles, clocks)?;
    }
    for Missing { what, lost } in &summary.missing {
        writeln!(
            out,
            "{dim}  {what} is unavailable on this kernel, so {lost} will be unknown{dim:#}"
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

/// What a capture's frames were, other than whole segments.
fn write_capture(out: &mut Vec<u8>, styles: Styles, capture: &CaptureTotals) -> io::Result<()> {
    let dim = styles.dim;
    let frames = counted(capture.frames, "frame");
    let segments = counted(capture.segments, "TCP segment");
    write!(out, "{dim}  {frames}, {segments}")?;
    if capture.cut > 0 {
        write!(out, ", {} of them cut by the snap length", capture.cut)?;
    }
    if capture.duplicates > 0 {
        write!(out, ", {} of them twice in the capture", capture.duplicates)?;
    }
    let mut unread = Separated::by(", ");
    if capture.unread().next().is_some() {
        put(out, "; not read: ");
    }
    for (count, what) in capture.unread() {
        unread.next(out);
        write!(out, "{count} {what}")?;
    }
    writeln!(out, "{dim:#}")
}
