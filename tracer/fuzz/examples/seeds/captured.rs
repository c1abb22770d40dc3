//! The conversations of the tests' captures: each alone, and as it would be seen at two places.

use std::{collections::BTreeMap, fs, io::Cursor, path::Path};

use anyhow::{Context as _, Result};
use tracer::internals::{
    core::{
        address::Address,
        input::Flow,
        packet::{Packet, Streams},
    },
    source::capture::Capture,
};

use crate::{Seeds, files};

/// What a seed has of each frame, in bytes: the heads of requests and the handshakes of TLS …
const MOST_OF_FRAME: usize = 1024;
/// … and at most of all frames together.
const MOST_OF_SEED: usize = 8 << 10;
/// How long a segment takes from one place to the other, in nanoseconds: less than the ends took to answer.
const DELAY_NS: u64 = 5_000;
/// The segment that the other place lacks.
const LOST: usize = 6;

/// A frame, its time in nanoseconds since the Unix epoch, and its sender.
type Frame = (u64, Packet<'static>, Address);

pub(crate) fn write(seeds: &Seeds, folder: &Path) -> Result<()> {
    let mut both_ends = Vec::new();
    for extension in ["pcap", "pcapng", "gz", "zst"] {
        for path in files(folder, extension)? {
            let bytes = fs::read(&path)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = name.split('.').next().unwrap_or_default();
            if ["gz", "zst"].contains(&extension) {
                seeds.write("capture", &format!("{name}-{extension}"), &bytes)?;
            }
            let streams = conversations(bytes).with_context(|| path.display().to_string())?;
            if let Some(frames) = streams.get(&0)
                && name.starts_with("lost-")
            {
                both_ends.push(pcap(frames));
            }
            for (stream, frames) in &streams {
                let name = format!("{name}-{stream}");
                let near = pcap(frames);
                seeds.write("capture", &name, &near)?;
                let both = tracer_fuzz::two_captures::input(&near, &pcap(&far(frames)));
                seeds.write("two_captures", &name, &both)?;
            }
        }
    }
    if let [client, server] = &both_ends[..] {
        let both = tracer_fuzz::two_captures::input(client, server);
        seeds.write("two_captures", "lost", &both)?;
    }
    Ok(())
}

/// The frames of each conversation, by its number.
fn conversations(bytes: Vec<u8>) -> Result<BTreeMap<u64, Vec<Frame>>> {
    let mut streams = Streams::default();
    let mut conversations: BTreeMap<u64, Vec<Frame>> = BTreeMap::new();
    Capture::open(Cursor::new(bytes))?.read(|packet, first_ns| {
        let Ok(segment) = packet.segment() else {
            return Flow::GoOn;
        };
        let (source, number) = (segment.source, streams.number(&(&segment).into()).number);
        let time_ns = first_ns + packet.mono_ns;
        let frames = conversations.entry(number).or_default();
        frames.push((time_ns, packet.into_owned(), source));
        Flow::GoOn
    })?;
    Ok(conversations)
}

/// The same at the server's place: what the client sends comes later there, what the server sends was there
/// before, and one segment never came.
fn far(frames: &[Frame]) -> Vec<Frame> {
    let client = frames.first().map(|(.., source)| *source);
    let mut far: Vec<Frame> = frames
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != LOST)
        .map(|(_, (time_ns, packet, source))| {
            let time_ns = if Some(*source) == client {
                time_ns + DELAY_NS
            } else {
                time_ns - DELAY_NS
            };
            (time_ns, packet.clone(), *source)
        })
        .collect();
    far.sort_by_key(|(time_ns, ..)| *time_ns);
    far
}

/// A file with nanoseconds of the first frames, cut as a snap length does.
fn pcap(frames: &[Frame]) -> Vec<u8> {
    const NANOSECOND_MAGIC: u32 = 0xa1b2_3c4d;
    const VERSION: u32 = 4 << 16 | 2;
    let link_type = frames.first().map_or(0, |(_, packet, _)| packet.link_type);
    let header = [NANOSECOND_MAGIC, VERSION, 0, 0, 1 << 18, link_type.into()];
    let mut file = words(&header);
    for (time_ns, packet, _) in frames {
        let bytes = &packet.bytes[..packet.bytes.len().min(MOST_OF_FRAME)];
        if file.len() + bytes.len() > MOST_OF_SEED {
            break;
        }
        let seconds = time_ns / 1_000_000_000;
        let (time, rest) = (seconds as u32, (time_ns % 1_000_000_000) as u32);
        file.extend(words(&[time, rest, bytes.len() as u32, packet.length]));
        file.extend(bytes);
    }
    file
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
