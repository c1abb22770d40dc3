//! Connections that ended lately, as many as there is memory for.

use std::collections::VecDeque;

use upload_protocol::{
    ConnectionId, Timeline,
    timeline::{Ending, UploadSummary},
    units::socket_address,
    upload::Outcome,
};

use super::{
    frame::lines_of,
    table::{End, ends},
};
use crate::core::output::Output;

/// How many with uploads, and how many others, are kept.
const MAX_UPLOADS: usize = 200;
const MAX_OTHERS: usize = 50;
/// Of the text of all of them, and of one. A timeline may have a thousand requests.
const MAX_BYTES: usize = 8 << 20;
const MAX_BYTES_OF_ONE: usize = 128 << 10;
/// Of a name, in characters: no screen is wider.
const MAX_NAME: usize = 512;

#[derive(Debug, Default)]
pub(super) struct EndedList {
    /// The latest first.
    uploads: VecDeque<Ended>,
    others: VecDeque<Ended>,
    bytes: usize,
    /// How many were left out.
    pub(super) left_out: u64,
}

/// One that ended. Names are as they came: they are escaped where they are drawn.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) connection: ConnectionId,
    pub(super) client: End,
    pub(super) server: End,
    /// The upload's name, or the first request.
    pub(super) what: String,
    /// The upload's bytes, or those that the client sent.
    pub(super) size: Option<u64>,
    pub(super) took_ns: u64,
    /// Whether it lasted longer than that.
    pub(super) began_before: bool,
    pub(super) retransmits: u64,
    /// How it ended, and what held it back.
    pub(super) verdict: String,
    pub(super) is_bad: bool,
    /// Its timeline as text, plain.
    pub(super) text: Vec<String>,
    /// About how much memory it takes.
    bytes: usize,
}

impl EndedList {
    /// Adds one; the oldest are forgotten where there is no room.
    pub(super) fn add(&mut self, timeline: Timeline, explain: bool) {
        let is_upload = !timeline.uploads.is_empty();
        let ended = Ended::of(timeline, explain);
        self.bytes += ended.bytes;
        let (list, most) = if is_upload {
            (&mut self.uploads, MAX_UPLOADS)
        } else {
            (&mut self.others, MAX_OTHERS)
        };
        list.push_front(ended);
        if list.len() > most {
            let oldest = list.pop_back();
            self.bytes -= oldest.map_or(0, |oldest| oldest.bytes);
        }
        while self.bytes > MAX_BYTES
            && let Some(oldest) = self.others.pop_back().or_else(|| self.uploads.pop_back())
        {
            self.bytes -= oldest.bytes;
        }
    }

    /// Those with uploads first, the latest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Ended> {
        self.uploads.iter().chain(&self.others)
    }

    pub(super) fn find(&self, connection: ConnectionId) -> Option<&Ended> {
        self.iter().find(|ended| ended.connection == connection)
    }
}

impl Ended {
    /// Whether a filter, in small letters, leaves it.
    pub(super) fn has(&self, needle: &str) -> bool {
        if needle.is_empty() {
            return true;
        }
        let mut text = format!("{} {}", ends(&self.client, &self.server), self.what);
        text.push_str(&self.verdict);
        text.make_ascii_lowercase();
        text.contains(needle)
    }

    fn of(timeline: Timeline, explain: bool) -> Self {
        let upload = timeline.uploads.first();
        let what = what(&timeline, upload);
        let (verdict, is_bad) = verdict(&timeline, upload);
        let [client, server] = [&timeline.client, &timeline.server].map(|end| {
            let comm = end.owner.comm.as_deref().map(str::to_owned);
            let address = socket_address(end.addr, end.port);
            (comm, end.owner.pid, address)
        });
        let mut ended = Self {
            connection: timeline.connection,
            client,
            server,
            what: what.chars().take(MAX_NAME).collect(),
            size: upload
                .and_then(|upload| upload.bytes)
                .or(timeline.bytes.client_to_server),
            took_ns: timeline.last_ns(),
            began_before: timeline.lacks_begin(),
            retransmits: timeline.retransmits,
            verdict,
            is_bad,
            text: Vec::new(),
            bytes: 0,
        };
        ended.text = lines_of(
            &Output::Timeline(Box::new(timeline)),
            explain,
            MAX_BYTES_OF_ONE,
        );
        let lines = ended.text.iter();
        let text: usize = lines.map(|line| line.len() + size_of::<String>()).sum();
        ended.bytes = size_of::<Self>() + text;
        ended
    }
}

/// The name of the upload, or else the first request, or the host that the client asked for.
fn what(timeline: &Timeline, upload: Option<&UploadSummary>) -> String {
    if let Some(name) = upload.and_then(|upload| upload.name.as_ref()) {
        return name.clone();
    }
    if let Some(exchange) = timeline.exchanges().first() {
        return format!("{} {}", exchange.request.method, exchange.request.target);
    }
    let tls = timeline
        .maintenance()
        .and_then(|maintenance| maintenance.tls.as_ref());
    match tls {
        Some(tls) => format!("TLS {}", tls.server_name.as_deref().unwrap_or_default()),
        None => String::new(),
    }
}

/// In a few words, and whether something went wrong.
fn verdict(timeline: &Timeline, upload: Option<&UploadSummary>) -> (String, bool) {
    let initiation = timeline.initiation();
    if let Some(failure) = initiation.and_then(|initiation| initiation.failure) {
        return (failure.name().to_owned(), true);
    }
    let ending = timeline
        .termination()
        .and_then(|termination| termination.ending)
        .filter(|ending| *ending != Ending::Fin);
    let Some(upload) = upload else {
        let verdict = ending.map(|ending| ending.name().to_owned());
        return (verdict.unwrap_or_default(), ending.is_some());
    };
    let mut words = Vec::new();
    if let Some(status) = upload.status {
        words.push(status.to_string());
    }
    let outcome = upload
        .outcome
        .filter(|outcome| *outcome != Outcome::Complete);
    words.extend(outcome.map(|outcome| outcome.to_string()));
    words.extend(ending.map(|ending| ending.name().to_owned()));
    if let Some(diagnosis) = &upload.diagnosis {
        let causes = [diagnosis.verdict, diagnosis.second];
        let causes = causes.into_iter().flatten();
        words.extend(causes.map(|cause| cause.name().to_owned()));
        let none = diagnosis.no_verdict;
        words.extend(none.map(|reason| reason.name().to_owned()));
    }
    (words.join(" "), outcome.is_some() || ending.is_some())
}
