//! How far a capture was read: a line on the terminal, which is gone at the end.

use std::{
    fs::File,
    io::{self, Read},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::system::may_share_the_terminal;

/// With its length known: a bar, by bytes of the file.
const FILE: &str =
    "{wide_bar} {percent} % of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";
/// Of a stream, only what came so far is known.
const STREAM: &str = "{decimal_bytes} read, {msg} packets";

/// Dropped, the line is cleared.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Shown on stderr, if that is a terminal. Not if stdout is one, or a pipe whose reader may write to
    /// one, such as a pager: the line would come between.
    pub(super) fn start(length: Option<u64>) -> Self {
        let target = if may_share_the_terminal(io::stdout()) {
            ProgressDrawTarget::hidden()
        } else {
            // Hidden unless it is a terminal.
            ProgressDrawTarget::stderr()
        };
        Self::on(target, length)
    }

    fn on(target: ProgressDrawTarget, length: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(length, target).with_message("0");
        let template = if length.is_some() { FILE } else { STREAM };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▌ "));
        }
        Self(bar)
    }

    /// Whether nobody knows how much will come.
    pub(super) fn is_of_stream(&self) -> bool {
        self.0.length().is_none()
    }

    /// Counts what is read of a source.
    pub(super) fn of<R: Read>(&self, source: R) -> impl Read + use<R> {
        self.0.wrap_read(source)
    }

    /// Counts what is read of further sources.
    pub(super) fn counter(&self) -> Counter {
        Counter(self.0.clone())
    }

    /// Shows how many packets were read.
    pub(super) fn packets(&self, packets: u64) {
        if !self.0.is_hidden() {
            self.0.set_message(packets.to_string());
        }
    }
}

/// Counts what is read of sources, for a [`Progress`].
pub(super) struct Counter(ProgressBar);

impl Counter {
    pub(super) fn of<R: Read>(&self, source: R) -> impl Read + use<R> {
        self.0.wrap_read(source)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// The length of a regular file.
pub(super) fn length(file: &File) -> Option<u64> {
    let about = file.metadata().ok()?;
    about.is_file().then_some(about.len())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use indicatif::{InMemoryTerm, ProgressDrawTarget};

    use super::Progress;

    fn shown(length: Option<u64>) -> (String, String) {
        let terminal = InMemoryTerm::new(4, 80);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let progress = Progress::on(target, length);
        let mut source = progress.of([7; 1000].as_slice());
        source.read_exact(&mut [0; 500]).unwrap();
        progress.packets(3);
        progress.0.tick();
        let while_reading = terminal.contents();
        drop(progress);
        (while_reading, terminal.contents())
    }

    #[test]
    fn a_file_has_a_bar() {
        let (while_reading, after) = shown(Some(1000));
        assert!(while_reading.starts_with("██"), "{while_reading}");
        let percent = " 50 % of 1.00 kB, ";
        assert!(while_reading.contains(percent), "{while_reading}");
        assert_eq!(after, "");
    }

    #[test]
    fn a_stream_has_counts() {
        let (while_reading, after) = shown(None);
        assert_eq!(while_reading, "500 B read, 3 packets");
        assert_eq!(after, "");
    }
}
