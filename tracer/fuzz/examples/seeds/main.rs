//! Makes `seeds/` from the recordings and captures of the tracer's tests: small real inputs of
//! every kind, from which the fuzzer sets out.

mod captured;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use tracer::internals::{
    core::{
        address::Address,
        event::{Event, EventKind},
        input::{Feed, Input, Tick},
        pipeline::Pipeline,
        scope::Scope,
        segment::Segment,
    },
    sink::{Interfaces, Pcapng, Recorder, Render as _},
    source::recording::Recording,
};
use tracer_fuzz::payload::Piece;
use upload_protocol::{End, upload::FeedLine};

/// The two addresses of a connection, in order.
type Tuple = [Address; 2];

fn main() -> Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR"));
    let seeds = Seeds(fuzz.join("seeds"));
    seeds.clear()?;
    seeds.write("btf", "sock", &btf())?;
    seeds.write("event", "sample", &sample()?)?;
    for path in files(&fuzz.join("../tests/recordings"), "trace")? {
        let name = stem(&path);
        let mut inputs = Vec::new();
        let bytes = fs::read(&path)?;
        let mut recording =
            Recording::open(&bytes[..]).with_context(|| path.display().to_string())?;
        while let Some(input) = recording.read()? {
            inputs.push(input);
        }
        records(&seeds, &inputs)?;
        for (number, tuple) in tuples(&inputs).into_iter().enumerate() {
            let name = format!("{name}-{}", number + 1);
            seeds.write("payload", &name, &conversation(&inputs, tuple))?;
            let one = only(&inputs, tuple, recording.scope())?;
            seeds.write("recording", &name, &one)?;
            seeds.write("capture", &name, &packets(&one)?)?;
        }
    }
    for path in files(&fuzz.join("../src/core/payload/tests/captured"), "hex")? {
        seeds.write(
            "payload",
            &stem(&path),
            &capture(&fs::read_to_string(&path)?)?,
        )?;
    }
    captured::write(&seeds, &fuzz.join("../tests/captures"))
}

/// The segments of a recording as `--pcapng` writes them.
fn packets(recording: &[u8]) -> Result<Vec<u8>> {
    let mut recording = Recording::open(recording)?;
    let mut pipeline = Pipeline::new(true);
    let mut outputs = Vec::new();
    while let Some(input) = recording.read()? {
        pipeline.advance(input, &mut outputs);
    }
    pipeline.advance(Input::Shutdown, &mut outputs);
    let (mut pcapng, mut file) = Pcapng::new(Interfaces::Ends)?;
    for output in &outputs {
        pcapng.render(output, &mut file)?;
    }
    Ok(file)
}

struct Seeds(PathBuf);

impl Seeds {
    fn clear(&self) -> Result<()> {
        for target in [
            "btf",
            "capture",
            "event",
            "segment",
            "payload",
            "recording",
            "two_captures",
        ] {
            let folder = self.0.join(target);
            if folder.exists() {
                fs::remove_dir_all(&folder)?;
            }
            fs::create_dir_all(&folder)?;
        }
        Ok(())
    }

    fn write(&self, target: &str, name: &str, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let path = self.0.join(target).join(name);
        fs::write(&path, bytes).with_context(|| path.display().to_string())
    }
}

/// BTF with a type of each kind that the reader looks at. A kernel's own has 5 MB.
fn btf() -> Vec<u8> {
    const STRINGS: &[u8] = b"\0sock\0state\0port\0flag\0btf_trace_tcp_probe\0";
    let [sock, state, port, flag, tracepoint] = [1, 6, 12, 17, 22];
    let kind = |kind: u32, length: u32| kind << 24 | length;
    #[rustfmt::skip]
    let types: &[u32] = &[
        // 1: INT
        0, kind(1, 0), 4, 32,
        // 2: STRUCT sock { state; <anonymous 3>; }
        sock, kind(4, 2), 8, state, 1, 0, 0, 3, 32,
        // 3: UNION { port; <anonymous 4>; }
        0, kind(5, 2), 4, port, 1, 0, 0, 4, 0,
        // 4: CONST of 5
        0, kind(10, 0), 5,
        // 5: TYPEDEF of 6
        state, kind(8, 0), 6,
        // 6: ARRAY of 7
        0, kind(3, 0), 0, 7, 1, 2,
        // 7: STRUCT { flag: 3 bits, after 5; }
        0, kind(4, 1) | 1 << 31, 4, flag, 1, 3 << 24 | 5,
        // 8: TYPEDEF btf_trace_tcp_probe of 9
        tracepoint, kind(8, 0), 9,
        // 9: PTR to 10
        0, kind(2, 0), 10,
        // 10: FUNC_PROTO of two parameters
        0, kind(13, 2), 0, 0, 1, 0, 1,
    ];
    let sizes = [4 * types.len(), STRINGS.len()].map(|size| size as u32);
    let header = [24, 0, sizes[0], sizes[0], sizes[1]];
    let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
    bytes.extend([1, 0]);
    bytes.extend(
        header
            .iter()
            .chain(types)
            .flat_map(|word| word.to_ne_bytes()),
    );
    bytes.extend(STRINGS);
    bytes
}

/// A record of a socket that carries much: the recordings have none. The layout is `record::Sample`'s.
fn sample() -> Result<Vec<u8>> {
    const SAMPLE: u16 = 20;
    let (mono_ns, cookie) = (1_000_000_000_u64, 0x10a7_u64);
    let (bytes_acked, bytes_received) = (1_448_001_u64, 586_u64);
    // In flight, the peer's window, its own, the congestion window, the MSS, the round trip, retransmits, padding.
    let rest = [86_880_u32, 292_864, 64_512, 60, 1_448, 176_000, 2, 0];
    let mut bytes = u64::from(SAMPLE).to_le_bytes().to_vec();
    for number in [mono_ns, cookie, bytes_acked, bytes_received] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(rest.map(u32::to_le_bytes).concat());
    match Event::decode(&bytes)?.what {
        EventKind::Sample(sample) if sample.total_retrans == 2 => Ok(bytes),
        other => bail!("not the sample that was made: {other:?}"),
    }
}

/// One record of each kind, and one segment of each kind.
fn records(seeds: &Seeds, inputs: &[Input<'static>]) -> Result<()> {
    for (bytes, event) in events(inputs) {
        let name = match &event.what {
            EventKind::State { old, new, .. } => format!("state-{old}-{new}"),
            EventKind::Retransmit { .. } => "retransmit".to_owned(),
            EventKind::SynAckRetransmit => "syn-ack-retransmit".to_owned(),
            EventKind::ResetSent(_) => "reset-sent".to_owned(),
            EventKind::ResetReceived => "reset-received".to_owned(),
            EventKind::Flow(_) => "flow".to_owned(),
            EventKind::MoreBytes(_) => "more-bytes".to_owned(),
            EventKind::Subflow { .. } => "subflow".to_owned(),
            EventKind::Limits(_) => "limits".to_owned(),
            EventKind::Sample(_) => "sample".to_owned(),
            EventKind::TimeOut { .. } => "time-out".to_owned(),
            EventKind::Relay(_) => "relay".to_owned(),
            EventKind::Adopted(..) => "adopted".to_owned(),
            EventKind::UnixRelay(_) => "unix-relay".to_owned(),
            EventKind::UnixBytes { .. } => "unix-bytes".to_owned(),
            EventKind::Error(_) => "error".to_owned(),
            EventKind::Held(how, _) => format!("{how:?}").to_lowercase(),
            EventKind::Segment(segment) => {
                let name = kind(segment);
                seeds.write("segment", &name, &tracer_fuzz::segment::input(segment))?;
                format!("segment-{name}")
            }
        };
        seeds.write("event", &name, bytes)?;
    }
    Ok(())
}

fn kind(segment: &Segment<&[u8]>) -> String {
    let mut words: Vec<&str> = segment.flags.names().collect();
    let version = if segment.source.ip().is_ipv6() {
        "6"
    } else {
        "4"
    };
    words.insert(0, version);
    if segment.len > 0 {
        words.push("payload");
    }
    if segment.merged {
        words.push("merged");
    }
    words.join("-")
}

/// The inputs of one connection: its records, what the server said of it, and the ticks that
/// something stands between.
fn only(inputs: &[Input<'static>], tuple: Tuple, scope: Scope) -> Result<Vec<u8>> {
    let cookies: BTreeSet<u64> = events(inputs)
        .filter(|(_, event)| event.addresses.is_some() && tuple_of(event) == Some(tuple))
        .map(|(_, event)| event.cookie)
        .collect();
    let mut bytes = Vec::new();
    let mut recorder = Recorder::new(&mut bytes, scope)?;
    let mut waiting: Option<Tick> = None;
    for input in inputs {
        let is_wanted = match input {
            Input::Tick(tick) => {
                waiting = Some(*tick);
                continue;
            }
            Input::Kernel(bytes) => {
                let event = Event::decode(bytes)?;
                cookies.contains(&event.cookie) || tuple_of(&event) == Some(tuple)
            }
            Input::Socket(socket) => cookies.contains(&socket.cookie),
            Input::Feed(feed) => concerns(feed, &cookies),
            _ => true,
        };
        if !is_wanted {
            continue;
        }
        if let Some(tick) = waiting.take() {
            recorder.write(&Input::Tick(tick))?;
        }
        recorder.write(input)?;
    }
    if let Some(tick) = waiting {
        recorder.write(&Input::Tick(tick))?;
    }
    Ok(bytes)
}

fn concerns(feed: &Feed, cookies: &BTreeSet<u64>) -> bool {
    match feed {
        Feed::Gone => true,
        Feed::Line(line) => match &**line {
            FeedLine::Server(_) => true,
            FeedLine::Upload(upload) => cookies.contains(&upload.cookie.0),
            FeedLine::Connection(end) => cookies.contains(&end.cookie.0),
            FeedLine::Part(part) => cookies.contains(&part.part.cookie.0),
            FeedLine::Unknown => false,
        },
    }
}

/// What the two ends of a connection said, as it was captured.
fn conversation(inputs: &[Input<'static>], tuple: Tuple) -> Vec<u8> {
    let mut client = None;
    let mut next = BTreeMap::new();
    let mut pieces = Vec::new();
    let events: Vec<Event> = events(inputs).map(|(_, event)| event).collect();
    for event in events.iter().filter(|event| tuple_of(event) == Some(tuple)) {
        let EventKind::Segment(segment) = &event.what else {
            continue;
        };
        if !segment.leaving || segment.len == 0 {
            continue;
        }
        let client = *client.get_or_insert(segment.source);
        let next = next.entry(segment.source).or_insert(segment.seq);
        let captured = segment.payload();
        pieces.push(Piece {
            from: if segment.source == client {
                End::Client
            } else {
                End::Server
            },
            shift: segment.seq.wrapping_sub(*next).cast_signed(),
            rest: segment
                .len
                .saturating_sub(u32::try_from(captured.len()).unwrap_or(u32::MAX)),
            captured,
        });
        *next = segment.seq.wrapping_add(segment.len);
    }
    tracer_fuzz::payload::input(&pieces)
}

/// A line per turn: who, the length, and in hexadecimal what was captured of it.
fn capture(lines: &str) -> Result<Vec<u8>> {
    let mut turns = Vec::new();
    for line in lines.lines() {
        let [from, length, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            bail!("not a turn: {line}");
        };
        let bytes = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16))
            .collect::<Result<Vec<u8>, _>>()?;
        let from = if from == "C" {
            End::Client
        } else {
            End::Server
        };
        turns.push((from, length.parse::<u32>()?, bytes));
    }
    let mut pieces = Vec::new();
    for (from, length, bytes) in &turns {
        pieces.push(Piece {
            from: *from,
            shift: 0,
            rest: length - u32::try_from(bytes.len())?,
            captured: bytes,
        });
    }
    Ok(tracer_fuzz::payload::input(&pieces))
}

fn events<'a>(inputs: &'a [Input<'static>]) -> impl Iterator<Item = (&'a [u8], Event<'a>)> {
    inputs.iter().filter_map(|input| match input {
        Input::Kernel(bytes) => Some((&bytes[..], Event::decode(bytes).ok()?)),
        _ => None,
    })
}

/// Every connection in the order in which it began.
fn tuples(inputs: &[Input<'static>]) -> Vec<Tuple> {
    let mut tuples = Vec::new();
    for tuple in events(inputs).filter_map(|(_, event)| tuple_of(&event)) {
        if tuple[0].port() != 0 && tuple[1].port() != 0 && !tuples.contains(&tuple) {
            tuples.push(tuple);
        }
    }
    tuples
}

fn tuple_of(event: &Event<'_>) -> Option<Tuple> {
    let mut tuple = match (&event.addresses, &event.what) {
        (Some(addresses), _) => [addresses.local, addresses.remote],
        (None, EventKind::Segment(segment)) => [segment.source, segment.destination],
        _ => return None,
    };
    tuple.sort();
    Some(tuple)
}

/// The files with this extension, by name.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
