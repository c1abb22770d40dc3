//! The headings of timelines: uploads, how long the connection lasted, and its two ends.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
};

use upload_protocol::{
    End, explain,
    timeline::{Certainty, Endpoint, Timeline, UploadSummary},
    units::{bytes_or_unknown, duration, plain, status_text},
    upload::Outcome,
};

use super::{chart::put, styles::Styles};

pub(super) fn write_upload_heading(
    out: &mut Vec<u8>,
    styles: Styles,
    upload: &UploadSummary,
    timeline: &Timeline,
) -> io::Result<()> {
    let Styles { bold, bad, .. } = styles;
    match upload.certainty {
        Certainty::Inferred => write!(out, "{bold}upload (inferred){bold:#}")?,
        _ => write!(out, "{bold}upload {}{bold:#}", plain(&upload.id))?,
    }
    let name = upload.name.as_deref().map(plain).unwrap_or_default();
    write!(out, "  {name}  {}", bytes_or_unknown(upload.bytes))?;
    let is_unknown = upload.status.is_none() && upload.outcome.is_none();
    if upload.certainty != Certainty::Inferred || !is_unknown {
        write!(out, "  {}", status_text(upload.status))?;
        match upload.outcome {
            Some(Outcome::Complete) | None => {}
            Some(outcome) => write!(out, "  {bad}{outcome}{bad:#}")?,
        }
    }
    write_whose(out, styles, timeline)
}

/// The heading's end: how long the connection lasted, and its two ends.
pub(super) fn write_whose(
    out: &mut Vec<u8>,
    styles: Styles,
    timeline: &Timeline,
) -> io::Result<()> {
    let dim = styles.dim;
    put(out, "  ");
    write_took(out, timeline)?;
    write!(out, "    {dim}")?;
    write_ends(out, timeline)?;
    writeln!(out, "{dim:#}")
}

pub(super) fn write_ends(out: &mut Vec<u8>, timeline: &Timeline) -> io::Result<()> {
    write_endpoint(out, &timeline.client)?;
    put(out, " → ");
    write_endpoint(out, &timeline.server)
}

/// How long the connection lasted, as far as that is known.
pub(super) fn write_took(out: &mut Vec<u8>, timeline: &Timeline) -> io::Result<()> {
    let (lacks_begin, whole) = (timeline.lacks_begin(), duration(timeline.last_ns()));
    match timeline.open_for_ns.map(duration) {
        Some(so_far) if timeline.lost > 0 => write!(out, "watched for {so_far}"),
        Some(so_far) if lacks_begin => write!(out, "open for more than {so_far}"),
        Some(so_far) => write!(out, "open for {so_far}"),
        None if lacks_begin => write!(out, "watched for {whole}"),
        None => write!(out, "{whole}"),
    }
}

/// Processes that used a socket beside its owner.
pub(super) fn write_others(out: &mut Vec<u8>, timeline: &Timeline) -> io::Result<()> {
    for (end, endpoint) in [("client", &timeline.client), ("server", &timeline.server)] {
        for other in &endpoint.also {
            if let Some(comm) = &other.comm {
                let comm = plain(comm);
                write!(out, "  the {end}'s socket was used by {comm}")?;
                if let Some(pid) = other.pid {
                    write!(out, "[{pid}]")?;
                }
                writeln!(out, ", too")?;
            }
        }
    }
    Ok(())
}

/// The containers that the ends run in, and with `explains` how that is known.
pub(super) fn write_containers(
    out: &mut Vec<u8>,
    timeline: &Timeline,
    explains: bool,
) -> io::Result<()> {
    for (end, endpoint) in [
        (End::Client, &timeline.client),
        (End::Server, &timeline.server),
    ] {
        if let Some(container) = explain::container(&endpoint.owner) {
            writeln!(out, "  the {end} runs in {}", plain(&container))?;
        }
        if let Some(sentence) = explain::explain_place(end, &endpoint.owner).filter(|_| explains) {
            writeln!(out, "             {}", plain(&sentence))?;
        }
    }
    Ok(())
}

pub(super) fn write_endpoint(out: &mut Vec<u8>, endpoint: &Endpoint) -> io::Result<()> {
    if let Some(comm) = &endpoint.owner.comm {
        put(out, &plain(comm));
        if let Some(pid) = endpoint.owner.pid {
            write!(out, "[{pid}]")?;
        }
        out.push(b' ');
    }
    write!(out, "{}", SocketAddr::new(endpoint.addr, endpoint.port))?;
    if endpoint.port == 0 {
        out.pop();
        out.push(b'?');
    }
    Ok(())
}
