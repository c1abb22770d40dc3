//! HTTP/2 in clear text with prior knowledge or by an upgrade (RFC 9113, section 3.3; RFC 7540, section 3.2): its
//! frames are counted by type as far as their headers were captured, and the window that the server's SETTINGS
//! announce is read. Where the stream is passed whole, requests and responses are, too.

mod fields;
mod frames;
mod streams;

use upload_protocol::{
    End,
    timeline::{FrameCount, Http2Frames, Malformed},
};

use self::{
    frames::{Event, Frame, Reader},
    streams::Streams,
};
use super::{
    begun::{Begun, begin, go_on},
    http::{Exchanges, Finished, HttpExchange},
    stream::NewBytes,
};

/// Both directions of HTTP/2.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Conversation {
    frames: Http2Frames,
    client: Direction,
    server: Direction,
    /// The window of a stream as the server's SETTINGS announce it.
    stream_window: Option<u32>,
    /// The requests, if the stream is passed whole.
    streams: Option<Box<Streams>>,
}

/// One direction.
#[derive(Clone, Debug, Default, PartialEq)]
struct Direction {
    reader: Reader,
    /// The payload of the SETTINGS that pass.
    settings: Option<Vec<u8>>,
}

const PREFACE_BYTES: u64 = 24;
/// RFC 9113, section 6.5: each setting has an identifier of 2 bytes and a value of 4.
const SETTING_BYTES: usize = 6;
/// No server has more to say; the settings of longer frames are not read.
const MAX_SETTINGS_BYTES: usize = 64 * SETTING_BYTES;
/// SETTINGS that acknowledge the peer's.
const ACK: u8 = 1;
const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 4;
/// RFC 9113, section 6.5.2.
const DEFAULT_WINDOW: u32 = 65_535;

/// Whether a server that sends first begins with SETTINGS, as HTTP/2 wants (RFC 9113, section 3.4).
pub(super) fn looks_like_first(from: End, bytes: &[u8]) -> bool {
    let frame = Frame::read(bytes);
    from == End::Server
        && frame.is_some_and(|frame| {
            let is_settings = (frame.kind, frame.flags, frame.stream) == (frames::SETTINGS, 0, 0);
            is_settings && frame.length as usize <= MAX_SETTINGS_BYTES && frame.length % 6 == 0
        })
}

impl Conversation {
    /// A conversation of which nothing has passed, passed whole.
    pub(super) fn whole() -> Self {
        Self {
            client: Direction::after(PREFACE_BYTES),
            streams: Some(Box::default()),
            ..Self::default()
        }
    }

    /// Frames, once the client's preface was recognised in `new_bytes`.
    pub(super) fn new(new_bytes: &NewBytes<'_>, is_whole: bool, begun: &mut Begun) -> Self {
        let passed = PREFACE_BYTES.saturating_sub(new_bytes.offset);
        let mut conversation = Self {
            client: Direction::after(passed),
            streams: is_whole.then(Box::default),
            ..Self::default()
        };
        conversation.feed(new_bytes, begun);
        conversation
    }

    /// Frames after an upgrade: the first stream is an exchange that began in HTTP/1.1 (RFC 7540, section 3.2).
    pub(super) fn upgraded(exchanges: Exchanges, first: usize) -> Self {
        Self {
            streams: Some(Box::new(Streams::upgraded(exchanges, first))),
            ..Self::whole()
        }
    }

    pub(super) const fn frames(&self) -> &Http2Frames {
        &self.frames
    }

    /// The window of each stream that the server announced; `None` where its SETTINGS were not captured.
    pub(super) const fn stream_window(&self) -> Option<u32> {
        self.stream_window
    }

    pub(super) fn exchanges(&self) -> &[HttpExchange] {
        self.streams
            .as_ref()
            .map_or(&[], |streams| streams.exchanges().kept())
    }

    pub(super) fn latest(&self) -> Option<&HttpExchange> {
        self.streams.as_ref()?.exchanges().latest()
    }

    pub(super) fn left_out(&self) -> usize {
        self.streams
            .as_ref()
            .map_or(0, |streams| streams.exchanges().left_out())
    }

    pub(super) fn has_finished(&self) -> bool {
        let streams = self.streams.as_ref();
        streams.is_some_and(|streams| streams.exchanges().has_finished())
    }

    pub(super) fn take_finished(&mut self, all: bool) -> Vec<Finished> {
        let streams = self.streams.as_mut();
        streams.map_or_else(Vec::new, |streams| streams.take_finished(all))
    }

    pub(super) fn streams(&self) -> Option<&Streams> {
        self.streams.as_deref()
    }

    pub(super) fn malformed(&self) -> &[Malformed] {
        self.streams
            .as_ref()
            .map_or(&[], |streams| streams.malformed())
    }

    pub(super) fn feed(&mut self, new_bytes: &NewBytes<'_>, begun: &mut Begun) {
        let from = new_bytes.from;
        let (mut gap, mut bytes, mut rest) = (new_bytes.gap, new_bytes.bytes, new_bytes.rest);
        while let Some(event) = self.direction(from).reader.skip(&mut gap) {
            self.observe(from, None, event);
        }
        while let Some(event) = self.direction(from).reader.take(&mut bytes) {
            if let Event::Begin(frame) = event {
                begin(begun, || format!("{}[{}]", frame.name(), frame.stream));
            }
            let known = self.exchanges_begun();
            self.observe(from, Some(new_bytes.mono_ns), event);
            if self.exchanges_begun() > known {
                go_on(begun, || self.latest_request());
            }
        }
        while let Some(event) = self.direction(from).reader.skip(&mut rest) {
            self.observe(from, Some(new_bytes.mono_ns), event);
        }
    }

    fn exchanges_begun(&self) -> usize {
        let streams = self.streams.as_ref();
        streams.map_or(0, |streams| streams.exchanges().begun())
    }

    /// The request that began last, behind its frame.
    fn latest_request(&self) -> String {
        let streams = self.streams.as_ref();
        let exchange = streams.and_then(|streams| streams.exchanges().latest());
        let request = exchange.and_then(|exchange| exchange.request.as_ref());
        request.map_or_else(String::new, |request| {
            format!(": {} {}", request.method, request.target)
        })
    }

    const fn direction(&mut self, from: End) -> &mut Direction {
        match from {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }

    fn observe(&mut self, from: End, mono_ns: Option<u64>, event: Event<'_>) {
        match event {
            Event::Begin(frame) => {
                let count = match from {
                    End::Client => &mut self.frames.client,
                    End::Server => &mut self.frames.server,
                };
                record(count, frame);
            }
            Event::Lost => match from {
                End::Client => self.frames.client.more = true,
                End::Server => self.frames.server.more = true,
            },
            Event::Bytes(..) | Event::Hole(..) | Event::End(_) => {}
        }
        if let Some(settings) = self.direction(from).settings(event)
            && from == End::Server
        {
            let known = self.stream_window.unwrap_or(DEFAULT_WINDOW);
            self.stream_window = Some(initial_window(&settings).unwrap_or(known));
        }
        if let Some(streams) = &mut self.streams {
            streams.observe(from, mono_ns, event);
        }
    }
}

impl Direction {
    /// A direction whose frames begin after so many bytes.
    fn after(preface: u64) -> Self {
        Self {
            reader: Reader::after(preface),
            settings: None,
        }
    }

    /// The payload of SETTINGS that were captured whole, at their end.
    fn settings(&mut self, event: Event<'_>) -> Option<Vec<u8>> {
        match event {
            Event::Begin(frame) => {
                let fits = frame.length as usize <= MAX_SETTINGS_BYTES;
                let announces = frame.kind == frames::SETTINGS && frame.flags & ACK == 0;
                self.settings = (announces && fits).then(Vec::new);
                None
            }
            Event::Bytes(_, bytes) => {
                if let Some(settings) = &mut self.settings {
                    settings.extend_from_slice(bytes);
                }
                None
            }
            Event::Hole(..) | Event::Lost => {
                self.settings = None;
                None
            }
            Event::End(_) => self.settings.take(),
        }
    }
}

fn record(count: &mut FrameCount, frame: Frame) {
    let known = count.types.entry(frame.name().into()).or_default();
    known.frames += 1;
    known.bytes += u64::from(frame.length);
}

/// The last value counts (RFC 9113, section 6.5.3).
fn initial_window(settings: &[u8]) -> Option<u32> {
    let mut windows = settings.chunks_exact(SETTING_BYTES).filter_map(|setting| {
        let (identifier, value) = setting.split_first_chunk()?;
        let is_window = u16::from_be_bytes(*identifier) == SETTINGS_INITIAL_WINDOW_SIZE;
        is_window.then_some(u32::from_be_bytes(*value.first_chunk()?))
    });
    windows.next_back()
}
