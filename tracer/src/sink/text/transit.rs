//! What became of segments between two captures: a row for each direction, and one for each that was lost.

use std::io::{self, Write as _};

use upload_protocol::{
    End,
    timeline::{Clocks, LostAt, LostSegment, Passage, Timeline, Transit},
    units::{duration, plain},
};

use super::{Styles, chart::put, counted};

/// Lost segments that have a row.
const MAX_LOSSES: usize = 8;
const BLANK: &str = "                ";

pub(super) fn transit(
    out: &mut Vec<u8>,
    styles: Styles,
    timeline: &Timeline,
    explain: bool,
) -> io::Result<()> {
    let Some(transit) = timeline.transit.as_deref() else {
        return Ok(());
    };
    let [near_client, near_server] = &transit.captures[..] else {
        return Ok(());
    };
    let names = (plain(&near_client.file), plain(&near_server.file));
    write!(out, "  transit       {} → {}: ", names.0, names.1)?;
    passage(out, styles, transit.passage(End::Client))?;
    write!(out, "{BLANK}{} → {}: ", names.1, names.0)?;
    passage(out, styles, transit.passage(End::Server))?;
    losses(out, styles, transit, (&names.0, &names.1))?;
    if explain {
        put(
            out,
            "             How long a segment took is inferred: the round-trip time between the captures is known, and half of the least counts for each way. Differences between two delays of one way are exact. A segment without payload that did not arrive counts as lost; it may also be missing in the capture.\n",
        );
    }
    Ok(())
}

fn passage(out: &mut Vec<u8>, styles: Styles, passage: &Passage) -> io::Result<()> {
    let bad = styles.bad;
    let segments = counted(passage.segments, "segment");
    write!(out, "{} of {segments} arrived", passage.arrived)?;
    if let Some(delay) = passage.one_way_delay {
        let (least, most) = (duration(delay.min_ns), duration(delay.max_ns));
        write!(
            out,
            " after {least} to {most}, {} on average",
            duration(delay.mean_ns)
        )?;
    }
    for (count, what) in [
        (passage.lost_between, "lost between the captures"),
        (passage.lost_beyond, "lost beyond the second"),
    ] {
        if count > 0 {
            write!(out, ", {bad}{count} {what}{bad:#}")?;
        }
    }
    for (count, what) in [
        (passage.reordered, "overtaken"),
        (passage.duplicated, "arrived twice"),
        (passage.missing_at_sender, "missing in the first capture"),
        (passage.missing_at_receiver, "missing in the second capture"),
    ] {
        if count > 0 {
            write!(out, ", {count} {what}")?;
        }
    }
    put(out, "\n");
    Ok(())
}

fn losses(
    out: &mut Vec<u8>,
    styles: Styles,
    transit: &Transit,
    (near_client, near_server): (&str, &str),
) -> io::Result<()> {
    let bad = styles.bad;
    for lost in transit.losses.iter().take(MAX_LOSSES) {
        let (first, second) = match lost.from {
            End::Client => (near_client, near_server),
            End::Server => (near_server, near_client),
        };
        let LostSegment { from, seq, len, .. } = lost;
        write!(out, "{BLANK}{bad}lost{bad:#} ")?;
        match lost.at {
            LostAt::Between => write!(out, "between {first} and {second}")?,
            LostAt::Beyond => write!(out, "beyond {second}")?,
        }
        write!(
            out,
            ": Seq={seq} Len={len}, sent by the {from} at +{}",
            duration(lost.at_ns)
        )?;
        if let Some(frame) = lost.frame {
            write!(out, " (frame {frame} of {first})")?;
        }
        put(out, "\n");
    }
    let shown = transit.losses.len().min(MAX_LOSSES);
    let rest = (transit.losses.len() - shown) as u64 + transit.losses_left_out;
    if rest > 0 {
        writeln!(out, "{BLANK}{bad}lost{bad:#} {rest} more")?;
    }
    Ok(())
}

/// How far apart the clocks of two captures are.
pub(super) fn clocks(out: &mut Vec<u8>, styles: Styles, clocks: &Clocks) -> io::Result<()> {
    let dim = styles.dim;
    let [first, second] = &clocks.captures[..] else {
        return Ok(());
    };
    let (first, second) = (plain(first), plain(second));
    let apart = clocks.offset_ns.unsigned_abs();
    let seconds = (apart / 1_000_000_000, apart % 1_000_000_000 / 1000);
    let direction = if clocks.offset_ns < 0 {
        "behind"
    } else {
        "ahead of"
    };
    write!(
        out,
        "{dim}  the clock of {second} is {}.{:06} s {direction} that of {first}, ± {} at most",
        seconds.0,
        seconds.1,
        duration(clocks.error_ns)
    )?;
    if let Some((drift, error)) = clocks.drift_ns_per_s.zip(clocks.drift_error_ns_per_s) {
        let (drift, error) = (drift as f64 / 1000.0, error as f64 / 1000.0);
        write!(out, ", and gains {drift:.1} ± {error:.1} ppm")?;
    }
    writeln!(
        out,
        "{dim:#}\n{dim}  the least round-trip time between the captures is {}, taken to be the same both ways{dim:#}",
        duration(clocks.round_trip_ns)
    )
}
