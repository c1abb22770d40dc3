//! A live view on the terminal: the connections under way, and those that ended lately. A thread of its own asks for an
//! [`Overview`], draws it and reads keys. The core's thread answers when it has time: it spends at most a twentieth of
//! it on answers, however many connections there are.

mod draw;
mod ended;
mod frame;
mod keys;
mod state;
mod table;
mod view;
mod words;

use std::{
    io::{self, Write as _},
    mem,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use upload_protocol::{ConnectionId, Timeline, line::SummaryLine};

use self::view::View;
use super::{Choice, Render as _, Styles, Text};
use crate::{
    core::{
        output::Output,
        overview::{Asked, Overview},
        scope::Scope,
    },
    ending::Ending,
    privileges, terminal,
};

/// Of the core's time, answers take at most one part of so many.
const TIME_SHARE: u32 = 20;
/// How many ended connections with uploads, and how many others, go with one answer; more are counted.
const MAX_UPLOADS: usize = 24;
const MAX_OTHERS: usize = 8;

pub struct Screen {
    /// Closed once the view has ended.
    asked: mpsc::Receiver<Asked>,
    answers: Option<mpsc::Sender<Answer>>,
    /// The question that was not answered yet.
    open: Option<Asked>,
    /// The connection whose timeline is shown.
    watched: Option<ConnectionId>,
    next: Answer,
    /// When the next answer may be made.
    not_before: Instant,
    choice: Choice,
    summary: Option<Box<SummaryLine>>,
    /// Gives how the view ended.
    done: mpsc::Receiver<Result<()>>,
    is_closed: bool,
    ending: Ending,
}

/// What the view gets.
#[derive(Debug, Default)]
struct Answer {
    overview: Overview,
    /// Connections that ended since the answer before: the first ones with uploads, and the first others.
    uploads: Vec<Timeline>,
    others: Vec<Timeline>,
    /// How many more ended.
    left_out: u64,
}

impl Screen {
    /// Takes the terminal, and starts the view's thread, which drops all capabilities.
    ///
    /// # Errors
    /// When stdout is no terminal that can show the view.
    pub fn start(choice: Choice, explain: bool, ending: Ending) -> Result<Self> {
        let (ask, asked) = mpsc::channel();
        let (answers, answered) = mpsc::channel();
        let (end, done) = mpsc::channel();
        terminal::take()?;
        let started = thread::Builder::new()
            .name("screen".to_owned())
            .spawn(move || {
                privileges::drop_all();
                let ended = View::new(ask, answered, explain).and_then(View::run);
                terminal::give_back();
                // This fails only if nobody waits for the end any more.
                let _ = end.send(ended);
            });
        if let Err(error) = started {
            terminal::give_back();
            return Err(error).context("starting the view's thread");
        }
        Ok(Self {
            asked,
            answers: Some(answers),
            open: None,
            watched: None,
            next: Answer::default(),
            not_before: Instant::now(),
            choice,
            summary: None,
            done,
            is_closed: false,
            ending,
        })
    }

    /// Takes a turn's outputs.
    pub fn take(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Timeline(timeline) => self.take_timeline(timeline),
                Output::Summary(summary) => self.summary = Some(summary.clone()),
                Output::State(_)
                | Output::Segment(_)
                | Output::Upload(_)
                | Output::Progress(_)
                | Output::Snapshot(_)
                | Output::Lost(_) => {}
            }
        }
    }

    /// What the view asks for, if it is time to answer.
    pub fn asks(&mut self) -> Option<Asked> {
        loop {
            match self.asked.try_recv() {
                Ok(asked) => self.open = Some(asked),
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => {
                    self.is_closed = true;
                    return None;
                }
            }
        }
        if Instant::now() < self.not_before {
            return None;
        }
        let asked = self.open.take()?;
        self.watched = asked.opened.map(|(_, connection)| connection);
        Some(asked)
    }

    /// Answers; `took` is how long that took.
    pub fn answer(&mut self, overview: Overview, took: Duration) {
        self.not_before = Instant::now() + took * (TIME_SHARE - 1);
        let answer = Answer {
            overview,
            ..mem::take(&mut self.next)
        };
        let answers = self.answers.as_ref();
        let is_taken = answers.is_some_and(|answers| answers.send(answer).is_ok());
        self.is_closed |= !is_taken;
    }

    /// Whether the view has ended: its user is done with it, or it cannot be drawn any more.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Ends the view, and writes the summary to the terminal as it was before.
    ///
    /// # Errors
    /// When the view could not be drawn to its end.
    pub fn finish(mut self) -> Result<()> {
        drop(self.answers.take());
        let ended = match self.ending.receive(&self.done) {
            Ok(ended) => ended,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                terminal::give_back();
                bail!("the view ended abnormally")
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                terminal::give_back();
                bail!("the terminal takes nothing any more")
            }
        };
        if let Some(summary) = self.summary.take() {
            let mut text = Text::new(Styles::of_stdout(), Scope::default(), false);
            let mut lines = Vec::new();
            text.render(&Output::Summary(summary), &mut lines)?;
            io::stdout().write_all(&lines)?;
        }
        ended
    }

    fn take_timeline(&mut self, timeline: &Timeline) {
        let is_watched = self.watched == Some(timeline.connection);
        if self.is_closed || !(is_watched || self.choice.chooses(timeline)) {
            return;
        }
        let (list, most) = if timeline.uploads.is_empty() {
            (&mut self.next.others, MAX_OTHERS)
        } else {
            (&mut self.next.uploads, MAX_UPLOADS)
        };
        if list.len() < most || is_watched {
            list.push(timeline.clone());
        } else {
            self.next.left_out += 1;
        }
    }
}

/// Where tracing cannot begin, or fails, the error is for the terminal as it was before.
impl Drop for Screen {
    fn drop(&mut self) {
        terminal::give_back();
    }
}
