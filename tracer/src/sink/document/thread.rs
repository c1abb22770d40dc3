//! Draws a document on a thread of its own: a connection takes longer to draw than to print.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        mpsc::{self, TryRecvError},
    },
    thread,
};

use anyhow::{Context as _, Result, bail};
use tracing::error;
use upload_protocol::Timeline;
use upload_view::Gaps;

use super::{Document, replacement::Replacement};
use crate::{
    caller::Caller,
    ending::{Ending, FOR_OUTPUTS},
    message, privileges,
    sink::{Choice, WhenBehind, cannot_be_written, weight},
};

pub(super) struct DocumentThread {
    /// The file, for a person.
    name: String,
    messages: mpsc::Sender<Message>,
    /// The weight of each connection that the thread is done with; none any more once it has ended.
    done: mpsc::Receiver<usize>,
    thread: thread::JoinHandle<io::Result<()>>,
    choice: Choice,
    when_behind: WhenBehind,
    ending: Ending,
    /// The weight of what waits.
    waiting: usize,
    /// Connections for the document.
    connections: u64,
    gaps: Gaps,
    is_broken: bool,
}

enum Message {
    Connection(Arc<Timeline>),
    Finish(Gaps),
}

/// Bytes of connections that may wait to be drawn, by [`weight::of_timeline`].
const MAX_WAITING: usize = 64 << 20;

impl DocumentThread {
    /// Prepares the file, and starts the thread. While something is traced, it has no more rights than the caller.
    pub(super) fn start(
        path: &Path,
        document: Box<dyn Document>,
        choice: Choice,
        caller: &Caller,
        when_behind: WhenBehind,
        ending: Ending,
    ) -> Result<Self> {
        let name = path.display().to_string();
        let (messages, to_draw) = mpsc::channel();
        let (drawn, done) = mpsc::channel();
        let (to, begun) = mpsc::channel();
        let (own_name, own_path, own_caller) = (name.clone(), path.to_owned(), caller.clone());
        let thread = thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || {
                if when_behind == WhenBehind::Drop {
                    privileges::drop_all();
                }
                let file = match Replacement::begin(&own_path, &own_caller) {
                    Ok(file) => file,
                    Err(error) => {
                        let _ = to.send(Err(error));
                        return Ok(());
                    }
                };
                let _ = to.send(Ok(()));
                let result = draw_all(document, file, &to_draw, &drawn);
                if let Err(error) = &result {
                    message(&cannot_be_written(&own_name, error));
                }
                result
            })
            .context("starting the output's thread")?;
        let begun = begun.recv().map_err(io::Error::other).flatten();
        begun.with_context(|| caller.cannot(&name, "written"))?;
        Ok(Self {
            name,
            messages,
            done,
            thread,
            choice,
            when_behind,
            ending,
            waiting: 0,
            connections: 0,
            gaps: Gaps::default(),
            is_broken: false,
        })
    }

    /// Hands a connection over, if it is one of those to show. Where the thread is behind, waits, or leaves the
    /// connection out.
    pub(super) fn send(&mut self, timeline: &Arc<Timeline>, is_last: bool) {
        if !self.choice.chooses(timeline) {
            return;
        }
        self.connections += 1;
        self.take_back();
        if self.when_behind == WhenBehind::Wait || is_last {
            while self.waiting >= MAX_WAITING && !self.is_broken {
                match self.ending.receive(&self.done) {
                    Ok(weight) => self.waiting -= weight,
                    Err(_) => self.is_broken = true,
                }
            }
        }
        if self.is_broken {
            return;
        }
        if self.waiting >= MAX_WAITING {
            self.gaps.undrawn += 1;
            return;
        }
        self.waiting += weight::of_timeline(timeline);
        let sent = self
            .messages
            .send(Message::Connection(Arc::clone(timeline)));
        self.is_broken = sent.is_err();
    }

    /// Records that were lost in this run.
    pub(super) const fn record_lost(&mut self, records: u64) {
        self.gaps.lost = records;
    }

    /// How many connections were left out so far, because drawing is slow.
    pub(super) const fn undrawn(&self) -> u64 {
        self.gaps.undrawn
    }

    /// Whether the document cannot be written any more.
    pub(super) const fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Waits until the document is whole, or the time of the end is over.
    ///
    /// # Errors
    /// When it was not written.
    pub(super) fn finish(self) -> Result<()> {
        let _ = self.messages.send(Message::Finish(self.gaps));
        drop(self.messages);
        // The thread ends behind the last connection, and what it sends ends with it.
        while self.ending.receive(&self.done).is_ok() {}
        let (name, connections) = (&self.name, self.connections);
        if self.ending.is_over() && !self.thread.is_finished() {
            bail!(
                "{name} was not written, and lacks {connections} connections: it took more than {} s",
                FOR_OUTPUTS.as_secs()
            );
        }
        match self.thread.join() {
            Ok(Ok(())) => Ok(()),
            // The reason was reported at once.
            Ok(Err(_)) => bail!("{connections} connections were left out of {name}"),
            Err(_) => {
                error!("the output's thread ended abnormally");
                bail!("{name} was not written");
            }
        }
    }

    fn take_back(&mut self) {
        loop {
            match self.done.try_recv() {
                Ok(weight) => self.waiting -= weight,
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.is_broken = true;
                    return;
                }
            }
        }
    }
}

/// Draws connections until there are no more. Without the word to finish, no file is made.
fn draw_all(
    mut document: Box<dyn Document>,
    mut file: Replacement,
    messages: &mpsc::Receiver<Message>,
    done: &mpsc::Sender<usize>,
) -> io::Result<()> {
    let mut piece = Vec::new();
    for message in messages {
        match message {
            Message::Connection(timeline) => {
                if file.length() < document.most_bytes() {
                    piece.clear();
                    document.draw(&timeline, &mut piece);
                    file.add(&piece)?;
                } else {
                    document.leave_out(&timeline);
                }
                // This fails only if the sink was dropped, which counts no more.
                let _ = done.send(weight::of_timeline(&timeline));
            }
            Message::Finish(gaps) => {
                return file.finish(document.head(gaps), document.tail(gaps));
            }
        }
    }
    Ok(())
}
