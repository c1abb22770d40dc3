//! The view's thread: reads keys, asks for overviews, draws.

use std::{
    io,
    sync::mpsc,
    time::{Duration, Instant},
};

use anstream::{AutoStream, ColorChoice};
use anyhow::{Context as _, Result};
use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::event::{self, Event},
};

use super::{
    Answer,
    draw::{Palette, draw},
    keys::action,
    state::{State, Then},
};
use crate::{
    core::overview::Asked,
    stderr,
    terminal::{self, Screen},
};

/// How often an overview is asked for.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How often the screen is drawn at most.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// How long a message for stderr is shown.
const SHOW_MESSAGE: Duration = Duration::from_secs(5);
/// How long keys are awaited at once, while an answer may come.
const TURN: Duration = Duration::from_millis(50);

pub(super) struct View {
    ask: mpsc::Sender<Asked>,
    answers: mpsc::Receiver<Answer>,
    terminal: Terminal<CrosstermBackend<Screen>>,
    palette: Palette,
    state: State,
    /// Whether a question has no answer yet.
    awaits: bool,
    asked: Instant,
    drawn: Instant,
    /// Whether the screen shows something else than the state.
    is_stale: bool,
    /// Whether to ask at once.
    asks_anew: bool,
    /// The latest message for stderr, and since when it is shown.
    message: Option<(String, Instant)>,
}

impl View {
    pub(super) fn new(
        ask: mpsc::Sender<Asked>,
        answers: mpsc::Receiver<Answer>,
        explain: bool,
    ) -> Result<Self> {
        let backend = CrosstermBackend::new(Screen::default());
        let coloured = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
        let now = Instant::now();
        Ok(Self {
            ask,
            answers,
            terminal: Terminal::new(backend).context("cannot draw on the terminal")?,
            palette: Palette::new(coloured),
            state: State::new(explain),
            awaits: false,
            asked: now,
            drawn: now.checked_sub(DRAW_EVERY).unwrap_or(now),
            is_stale: true,
            asks_anew: true,
            message: None,
        })
    }

    /// Until its user is done with it, or there is nothing more to show.
    pub(super) fn run(mut self) -> Result<()> {
        loop {
            if event::poll(self.patience()).context("cannot read keys")? {
                let event = event::read().context("cannot read keys")?;
                match self.handle(&event) {
                    Then::Quit => return Ok(()),
                    Then::Stop => terminal::stop(),
                    Then::Redraw => self.clear()?,
                    Then::Ask => self.asks_anew = true,
                    Then::Draw | Then::Nothing => {}
                }
            }
            if !terminal::is_taken() {
                return Ok(());
            }
            match self.answers.try_recv() {
                Ok(answer) => {
                    self.awaits = false;
                    self.state.take(answer);
                    self.is_stale = true;
                }
                Err(mpsc::TryRecvError::Empty) => {}
                Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
            }
            if !self.ask() {
                return Ok(());
            }
            self.draw()?;
        }
    }

    /// How long to wait for a key.
    fn patience(&self) -> Duration {
        let mut patience = TURN;
        if self.is_stale {
            patience = patience.min(DRAW_EVERY.saturating_sub(self.drawn.elapsed()));
        }
        patience
    }

    fn handle(&mut self, event: &Event) -> Then {
        self.is_stale = true;
        match event {
            Event::Key(key) => match action(*key, self.state.is_typing) {
                Some(action) => self.state.act(action),
                None => Then::Nothing,
            },
            Event::Resize(..) => Then::Ask,
            _ => Then::Nothing,
        }
    }

    /// Asks for an overview if it is time to; false where nobody answers any more.
    fn ask(&mut self) -> bool {
        let is_due = self.asked.elapsed() >= ASK_EVERY && !self.state.is_frozen;
        if self.awaits || !(is_due || self.asks_anew) {
            return true;
        }
        self.asks_anew = false;
        self.awaits = true;
        self.asked = Instant::now();
        self.ask.send(self.state.asked()).is_ok()
    }

    /// What waits for stderr, while it is new.
    fn message(&mut self) -> Option<String> {
        let latest = stderr::latest_held()?;
        let known = self.message.as_ref().filter(|(known, _)| *known == latest);
        let since = known.map_or_else(Instant::now, |(_, since)| *since);
        self.message = Some((latest.clone(), since));
        (since.elapsed() < SHOW_MESSAGE).then_some(latest)
    }

    /// Clears the screen, so that all of it is drawn anew. `Terminal::clear` would ask the terminal where its cursor is, and
    /// not every terminal answers.
    fn clear(&mut self) -> Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())?;
        Ok(())
    }

    fn draw(&mut self) -> Result<()> {
        if terminal::was_torn() {
            self.clear()?;
            self.is_stale = true;
        }
        if !self.is_stale || self.drawn.elapsed() < DRAW_EVERY {
            return Ok(());
        }
        let message = self.message();
        let (state, palette) = (&mut self.state, self.palette);
        self.terminal
            .draw(|frame| {
                let area = frame.area();
                draw(state, message.as_deref(), palette, frame.buffer_mut(), area);
            })
            .context("cannot draw on the terminal")?;
        self.drawn = Instant::now();
        self.is_stale = false;
        Ok(())
    }
}
