//! Text styles.

use std::io;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

/// The default is plain text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Styles {
    pub(in crate::sink) bold: Style,
    pub(in crate::sink) dim: Style,
    pub(in crate::sink) bad: Style,
    pub(in crate::sink) initiation: Style,
    pub(in crate::sink) maintenance: Style,
    pub(in crate::sink) termination: Style,
    /// Whether any is more than plain text.
    pub(super) coloured: bool,
}

impl Styles {
    /// For a terminal.
    pub const COLOURED: Self = Self {
        bold: Style::new().bold(),
        dim: Style::new().dimmed(),
        bad: AnsiColor::Red.on_default().bold(),
        initiation: AnsiColor::Cyan.on_default(),
        maintenance: AnsiColor::Green.on_default(),
        termination: AnsiColor::Yellow.on_default(),
        coloured: true,
    };

    /// Colours only on a terminal, or where the environment asks for them.
    pub fn of_stdout() -> Self {
        match AutoStream::choice(&io::stdout()) {
            ColorChoice::Never => Self::default(),
            ColorChoice::Auto | ColorChoice::AlwaysAnsi | ColorChoice::Always => {
                // A console of Windows understands styles once it is asked to.
                let _ = AutoStream::always_ansi(io::stdout());
                Self::COLOURED
            }
        }
    }
}
