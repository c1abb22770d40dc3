//! The connections that carried an upload, a row each, on an axis of their own, and where it goes on without TCP.

use std::io::{self, Write as _};

use upload_protocol::{
    explain,
    timeline::{Certainty, Timeline, UploadHop, UploadSummary},
    units::plain,
};

use super::{
    chart::{Row, put},
    heading::write_endpoint,
    separated::Separated,
};

/// There are no more.
const LABELS: [&str; 8] = [
    "hop 1", "hop 2", "hop 3", "hop 4", "hop 5", "hop 6", "hop 7", "hop 8",
];

/// The hops of each upload that has several.
pub(super) fn hops(
    out: &mut Vec<u8>,
    timeline: &Timeline,
    explains: bool,
    is_new: impl Fn(&UploadSummary) -> bool,
) -> io::Result<()> {
    let names = timeline.uploads.len() > 1;
    for upload in timeline.uploads.iter().filter(|upload| is_new(upload)) {
        if upload.hops.is_empty() && upload.ambiguous_hops.is_none() && upload.passed_to.is_none() {
            continue;
        }
        if names {
            writeln!(out, "  upload {}", plain(&upload.id))?;
        }
        if let Some(sentence) = explain::ambiguous_hops(timeline, upload) {
            writeln!(out, "  {}", plain(&sentence))?;
        } else if !upload.hops.is_empty() {
            write_way(out, &upload.hops, explains)?;
        }
        write_passed_to(out, timeline, upload, explains)?;
    }
    Ok(())
}

fn write_way(out: &mut Vec<u8>, hops: &[UploadHop], explains: bool) -> io::Result<()> {
    write_hops(out, hops)?;
    if explains {
        for sentence in explain::hops(hops) {
            writeln!(out, "      {}", plain(&sentence))?;
        }
    } else {
        for sentence in hops.iter().filter_map(explain::passed_on) {
            writeln!(out, "    {}", plain(&sentence))?;
        }
    }
    Ok(())
}

/// The end of what TCP shows.
fn write_passed_to(
    out: &mut Vec<u8>,
    timeline: &Timeline,
    upload: &UploadSummary,
    explains: bool,
) -> io::Result<()> {
    if let Some(sentence) = explain::passed_to(timeline, upload) {
        writeln!(out, "  {}", plain(&sentence))?;
    }
    if explains {
        for sentence in explain::explain_passed_to(timeline, upload) {
            writeln!(out, "      {}", plain(&sentence))?;
        }
    }
    Ok(())
}

fn write_hops(out: &mut Vec<u8>, hops: &[UploadHop]) -> io::Result<()> {
    let mut through = Separated::by(", ");
    write!(out, "  {} hops through ", hops.len())?;
    for hop in hops.iter().rev().skip(1).rev() {
        let owner = &hop.receiving().owner;
        through.next(out);
        match &owner.comm {
            Some(comm) => put(out, &plain(comm)),
            None => put(out, "a process"),
        }
        if let Some(pid) = owner.pid {
            write!(out, "[{pid}]")?;
        }
    }
    if hops.iter().any(|hop| hop.certainty == Certainty::Inferred) {
        put(out, " (inferred)");
    }
    put(out, "\n");
    let starts = hops.iter().filter_map(|hop| hop.request_mono_ns);
    let origin = starts.min().unwrap_or_default();
    let ends = hops.iter().filter_map(|hop| Some(span(hop, origin)?.1));
    let whole = ends.max().unwrap_or_default();
    for (number, (hop, label)) in (1..).zip(hops.iter().zip(LABELS)) {
        let row = Row::part(label).span(span(hop, origin));
        let is_last = number == hops.len();
        row.write(out, whole, |out| remark(out, hop, is_last))?;
    }
    Ok(())
}

/// From the request's first byte to the response's.
fn span(hop: &UploadHop, origin: u64) -> Option<(u64, u64)> {
    let start = hop.request_mono_ns?.checked_sub(origin)?;
    Some((start, start.saturating_add(hop.until_response_ns()?)))
}

fn remark(out: &mut Vec<u8>, hop: &UploadHop, is_last: bool) -> io::Result<()> {
    write_endpoint(out, hop.sending())?;
    put(out, " → ");
    write_endpoint(out, hop.receiving())?;
    put(out, "    ");
    let mut list = Separated::by(", ");
    for remark in explain::hop_remarks(hop, is_last) {
        list.next(out);
        put(out, &remark);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
