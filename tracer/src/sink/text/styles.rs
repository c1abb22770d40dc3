//! Text styles.

use anstyle::{AnsiColor, Style};

/// The default is plain text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Styles {
    pub(super) bold: Style,
    pub(super) dim: Style,
    pub(super) bad: Style,
    pub(super) initiation: Style,
    pub(super) maintenance: Style,
    pub(super) termination: Style,
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
    };
}
