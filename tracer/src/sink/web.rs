//! Sends timelines to the upload server's control socket, for its page. Each upload gets the timelines
//! of the connections that carried it: a snapshot when the upload has ended, the final one when the
//! connection has. A timeline that the server does not take is counted and not sent again: tracing
//! goes on without the server.

mod control;
mod own;
mod thread;

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tracing::{debug, warn};
use upload_protocol::{
    OwnerFrom,
    client::Bytes,
    explain::explained_line,
    line::UploadLine,
    timeline::{Certainty, Process, Timeline, UploadSummary},
    upload::Cookie,
};

pub use self::thread::WebThread;
use self::{control::Control, own::Split};
use crate::{control::ControlSocket, core::output::Output, sink::way_out};

/// How long to send nothing after the server did not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// The server's limit for a timeline.
const MAX_BYTES: usize = 1024 * 1024;
/// Timelines kept for uploads that continue on another connection, and how many exchanges they may have
/// together.
const MAX_REMEMBERED: usize = 256;
const MAX_EXCHANGES: usize = 16 * 1024;
/// So many of them keep their samples.
const MAX_SAMPLED: usize = 16;

pub struct Web {
    control: Control,
    /// Where the server listens.
    listen: Vec<SocketAddr>,
    /// The user who runs the server; `None` if unknown.
    user: Option<u32>,
    /// The latest uploads that came in parts, and which requests carried these.
    parts: VecDeque<(String, Vec<(Cookie, u64)>)>,
    /// Timelines of connections that may turn out to have carried a part of an upload.
    remembered: VecDeque<(Cookie, Timeline)>,
    /// Connections that carried a part of an upload, and have no timeline yet.
    awaited: VecDeque<(Cookie, String)>,
    pause_until: Option<Instant>,
    /// Whether it was reported that the server takes nothing.
    reported: bool,
    lost: u64,
}

/// An upload server that takes timelines.
#[derive(Debug)]
pub struct WebServer {
    /// Where it takes them.
    pub control: ControlSocket,
    /// Where it takes uploads.
    pub listen: Vec<SocketAddr>,
    /// The user who runs it; `None` if unknown.
    pub user: Option<u32>,
}

impl Web {
    /// Sends to this server.
    pub fn new(server: WebServer) -> io::Result<Self> {
        Ok(Self {
            control: Control::new(server.control)?,
            listen: server.listen,
            user: server.user,
            parts: VecDeque::new(),
            remembered: VecDeque::new(),
            awaited: VecDeque::new(),
            pause_until: None,
            reported: false,
            lost: 0,
        })
    }

    fn wants(output: &Output) -> bool {
        match output {
            Output::Timeline(_) | Output::Snapshot(_) => true,
            Output::Upload(upload) => !upload.parts.is_empty(),
            Output::State(_)
            | Output::Segment(_)
            | Output::Progress(_)
            | Output::Lost(_)
            | Output::Summary(_) => false,
        }
    }

    /// How many timelines of uploads an output gives.
    fn timelines(output: &Output) -> u64 {
        match output {
            Output::Timeline(timeline) | Output::Snapshot(timeline) => {
                reported(timeline).count() as u64
            }
            _ => 0,
        }
    }

    /// Hands in what follows from an output, as long as there is time.
    fn take(&mut self, output: &Output, has_time: impl Fn() -> bool) {
        if !has_time() {
            self.lost += Self::timelines(output);
            return;
        }
        match output {
            Output::Snapshot(timeline) => self.hand_in_all(timeline, has_time),
            Output::Timeline(timeline) => {
                self.hand_in_all(timeline, has_time);
                self.remember(timeline);
            }
            Output::Upload(upload) => self.upload(upload),
            Output::State(_)
            | Output::Segment(_)
            | Output::Progress(_)
            | Output::Lost(_)
            | Output::Summary(_) => {}
        }
    }

    /// An upload that continued on another connection also gets the timelines of the earlier ones.
    fn upload(&mut self, upload: &UploadLine) {
        push_bounded(&mut self.parts, (upload.id.clone(), upload.parts.clone()));
        for cookie in &upload.earlier {
            let known = self.remembered.iter().find(|(of, _)| of == cookie);
            let own = known.map(|(_, timeline)| {
                let heads = self.heads(&upload.id, timeline);
                Split::new(timeline).of(&upload.id, &heads)
            });
            match own {
                Some(own) => self.hand_in_line(&upload.id, &own),
                None => push_bounded(&mut self.awaited, (*cookie, upload.id.clone())),
            }
        }
    }

    fn hand_in_all(&mut self, timeline: &Timeline, has_time: impl Fn() -> bool) {
        if self.is_of_another_user(timeline) && reported(timeline).next().is_some() {
            debug!("the server reports an upload on the connection of another user");
            self.lost += reported(timeline).count() as u64;
            return;
        }
        let split = Split::new(timeline);
        for upload in reported(timeline) {
            if !has_time() {
                self.lost += 1;
                continue;
            }
            let heads = self.heads(upload, timeline);
            self.hand_in_line(upload, &split.of(upload, &heads));
        }
    }

    /// When the heads of an upload's requests on this connection were complete.
    fn heads(&self, upload: &str, timeline: &Timeline) -> Vec<u64> {
        let parts = self.parts.iter().rev().find(|(id, _)| id == upload);
        let parts = parts.map_or(&[][..], |(_, parts)| parts.as_slice());
        let cookie = timeline.server.cookie;
        let own = parts.iter().filter(|(of, _)| Some(*of) == cookie);
        own.map(|(_, head_ns)| *head_ns).collect()
    }

    fn hand_in_line(&mut self, upload: &str, own: &Timeline) {
        match line(own).filter(|line| line.len() <= MAX_BYTES) {
            Some(body) => self.hand_in(upload, body),
            None => self.lost += 1,
        }
    }

    /// Whether only processes of other users than the server's were seen to use the connection's socket.
    /// A feed names the connections that carried its uploads, and is believed no further than the kernel.
    fn is_of_another_user(&self, timeline: &Timeline) -> bool {
        let Some(user) = self.user else { return false };
        let server = &timeline.server;
        let acted = |process: &&Process| {
            use OwnerFrom::{Connect, Read, Send};
            matches!(process.owner_from, Some(Connect | Read | Send))
        };
        let mut users = std::iter::once(&server.owner)
            .chain(&server.also)
            .filter(acted)
            .filter_map(|process| process.uid)
            .peekable();
        users.peek().is_some() && users.all(|one| one != user)
    }

    fn hand_in(&mut self, upload: &str, body: Bytes) {
        if self.pause_until.is_some_and(|until| Instant::now() < until) {
            self.lost += 1;
            return;
        }
        self.pause_until = None;
        match self.control.hand_in(upload, body) {
            Ok(status) if status.is_success() => self.reported = false,
            // The server may have forgotten the upload.
            Ok(status) => {
                debug!(upload, %status, "the server refused a timeline");
                self.lost += 1;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.reported, true) {
                    warn!("cannot send a timeline to the upload server: {error:#}");
                }
                self.lost += 1;
                self.pause_until = Some(Instant::now() + PAUSE);
            }
        }
    }

    fn remember(&mut self, timeline: &Timeline) {
        let is_inferred = |upload: &UploadSummary| upload.certainty != Certainty::Observed;
        let of_server = self
            .listen
            .iter()
            .any(|listen| listen.port() == timeline.server.port);
        let is_own = of_server && !self.is_of_another_user(timeline);
        let Some(cookie) = timeline.server.cookie.filter(|_| is_own) else {
            return;
        };
        if timeline.uploads.iter().any(is_inferred) {
            return;
        }
        let (due, awaited): (VecDeque<_>, _) =
            self.awaited.drain(..).partition(|(of, _)| *of == cookie);
        self.awaited = awaited;
        let split = Split::new(timeline);
        for (_, upload) in due {
            let heads = self.heads(&upload, timeline);
            self.hand_in_line(&upload, &split.of(&upload, &heads));
        }
        push_bounded(&mut self.remembered, (cookie, timeline.clone()));
        if let Some((_, older)) = self.remembered.iter_mut().rev().nth(MAX_SAMPLED) {
            older.samples.clear();
        }
        let exchanges = |(_, timeline): &(_, Timeline)| timeline.exchanges().len();
        let mut all: usize = self.remembered.iter().map(exchanges).sum();
        while all > MAX_EXCHANGES
            && let Some(oldest) = self.remembered.pop_front()
        {
            all -= exchanges(&oldest);
        }
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == MAX_REMEMBERED {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// The uploads that the server reported.
fn reported(timeline: &Timeline) -> impl Iterator<Item = &str> {
    timeline
        .uploads
        .iter()
        .filter(|upload| upload.certainty == Certainty::Observed)
        .map(|upload| upload.id.as_str())
}

/// The timeline as an NDJSON line.
fn line(timeline: &Timeline) -> Option<Bytes> {
    let mut line = serde_json::to_vec(&explained_line(timeline)).ok()?;
    way_out::make_json_plain(&mut line, 0);
    line.push(b'\n');
    Some(line.into())
}
