//! Sends timelines to the upload server's control socket, for its page. Each upload gets the timelines
//! of the connections that carried it: a snapshot when the upload has ended, the final one when the
//! connection has. A timeline that the server does not take is counted and not sent again: tracing
//! goes on without the server.

mod control;
mod thread;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tracing::{debug, warn};
use upload_protocol::{
    ConnectionId, OwnerFrom,
    client::Bytes,
    explain::explained_line,
    line::UploadLine,
    timeline::{Certainty, Process, Timeline, UploadSummary},
    upload::Cookie,
};

use self::control::Control;
pub use self::thread::WebThread;
use crate::{control::ControlSocket, core::output::Output};

/// How long to send nothing after the server did not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// A timeline with more uploads than this is reduced to one upload for each of them. Otherwise the
/// server would keep, for each upload, a timeline with all of them.
const MAX_WHOLE: usize = 16;
/// The server's limit for a timeline.
const MAX_BYTES: usize = 1024 * 1024;
/// Timelines kept for uploads that continue on another connection.
const MAX_REMEMBERED: usize = 256;

pub struct Web {
    control: Control,
    /// Where the server listens.
    listen: Vec<SocketAddr>,
    /// The user who runs the server; `None` if unknown.
    user: Option<u32>,
    /// Uploads of open connections for which a snapshot was sent.
    handed_in: HashMap<ConnectionId, HashSet<String>>,
    /// Timelines of connections that may turn out to have carried a part of an upload.
    remembered: VecDeque<(Cookie, Bytes)>,
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
            handed_in: HashMap::new(),
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
            Output::Upload(upload) => !upload.earlier.is_empty(),
            Output::State(_)
            | Output::Segment(_)
            | Output::Progress(_)
            | Output::Lost(_)
            | Output::Summary(_) => false,
        }
    }

    fn take(&mut self, output: &Output) {
        match output {
            Output::Snapshot(timeline) => self.snapshot(timeline),
            Output::Timeline(timeline) => self.timeline(timeline),
            Output::Upload(upload) => self.upload(upload),
            Output::State(_)
            | Output::Segment(_)
            | Output::Progress(_)
            | Output::Lost(_)
            | Output::Summary(_) => {}
        }
    }

    fn snapshot(&mut self, timeline: &Timeline) {
        let handed_in = self.handed_in.entry(timeline.connection).or_default();
        let new: Vec<&str> = reported(timeline)
            .filter(|id| handed_in.insert((*id).to_owned()))
            .collect();
        self.hand_in_all(timeline, &new);
    }

    fn timeline(&mut self, timeline: &Timeline) {
        self.handed_in.remove(&timeline.connection);
        let uploads: Vec<&str> = reported(timeline).collect();
        self.hand_in_all(timeline, &uploads);
        self.remember(timeline);
    }

    /// An upload that continued on another connection also gets the timelines of the earlier ones.
    fn upload(&mut self, upload: &UploadLine) {
        for cookie in &upload.earlier {
            let known = self.remembered.iter().find(|(of, _)| of == cookie);
            match known.map(|(_, body)| body.clone()) {
                Some(body) => self.hand_in(&upload.id, body),
                None => push_bounded(&mut self.awaited, (*cookie, upload.id.clone())),
            }
        }
    }

    fn hand_in_all(&mut self, timeline: &Timeline, uploads: &[&str]) {
        if uploads.is_empty() {
            return;
        }
        if self.is_of_another_user(timeline) {
            debug!("the server reports an upload on the connection of another user");
            self.lost += uploads.len() as u64;
            return;
        }
        let whole = (reported(timeline).count() <= MAX_WHOLE)
            .then(|| line(timeline))
            .flatten()
            .filter(|line| line.len() <= MAX_BYTES);
        for upload in uploads {
            match whole.clone().or_else(|| line(&of_upload(timeline, upload))) {
                Some(body) => self.hand_in(upload, body),
                None => self.lost += 1,
            }
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
        let body = line(timeline).filter(|line| line.len() <= MAX_BYTES);
        let Some(body) = body else {
            return;
        };
        let (due, awaited): (VecDeque<_>, _) =
            self.awaited.drain(..).partition(|(of, _)| *of == cookie);
        self.awaited = awaited;
        for (_, upload) in due {
            self.hand_in(&upload, body.clone());
        }
        push_bounded(&mut self.remembered, (cookie, body));
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
    line.push(b'\n');
    Some(line.into())
}

/// The timeline reduced to one upload.
fn of_upload(timeline: &Timeline, upload: &str) -> Timeline {
    let mut own = timeline.clone();
    own.uploads.retain(|listed| listed.id == upload);
    if let Some(phase) = own.maintenance_mut() {
        let all = phase.exchanges.len();
        phase.exchanges.retain(|exchange| exchange.is_of(upload));
        phase.exchanges_left_out += all - phase.exchanges.len();
    }
    own
}
