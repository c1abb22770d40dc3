//! How much of the traffic to show, as the command line asks.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only connections that carried uploads are shown in full.
    pub uploads_only: bool,
    /// Every segment is shown.
    pub segments: bool,
    /// Every segment is traced, to be shown or written to a file.
    pub every_segment: bool,
}

impl Scope {
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.uploads_only as u8 | (self.segments as u8) << 1 | (self.every_segment as u8) << 2
    }

    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self {
            uploads_only: byte & 1 != 0,
            segments: byte & 2 != 0,
            every_segment: byte & 4 != 0,
        }
    }
}
