//! One direction's lines, as far as they were captured.

use crate::core::payload::stream::NewBytes;

/// Names are as long as paths may be, 4,096 bytes.
const MAX_LINE: usize = 5 * 1024;
/// Telnet's commands begin with it: clients send some before ABOR (RFC 959, section 4.1.3).
const TELNET: u8 = 0xf0;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lines {
    /// The line that has begun.
    line: Vec<u8>,
    /// Whether the rest of a line with a hole is being skipped.
    is_lost: bool,
    /// Whether anything was seen: what begins in the middle begins with a line, since it answers one.
    begun: bool,
}

impl Lines {
    /// The lines that end in these bytes, and whether none was missed.
    pub(super) fn take(&mut self, new_bytes: &NewBytes<'_>) -> (Vec<String>, bool) {
        let is_after_hole = self.begun && new_bytes.gap > 0;
        self.begun = true;
        let mut is_whole = !is_after_hole && new_bytes.rest == 0;
        if is_after_hole {
            self.lose();
        }
        let mut lines = Vec::new();
        for byte in new_bytes.bytes {
            match byte {
                b'\n' if self.is_lost => self.is_lost = false,
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    lines.push(text(&line));
                }
                _ if self.is_lost => {}
                _ if self.line.len() == MAX_LINE => {
                    self.lose();
                    is_whole = false;
                }
                byte => self.line.push(*byte),
            }
        }
        if new_bytes.rest > 0 {
            self.lose();
        }
        (lines, is_whole)
    }

    fn lose(&mut self) {
        self.line.clear();
        self.is_lost = true;
    }
}

fn text(line: &[u8]) -> String {
    let start = line.iter().position(|byte| *byte < TELNET);
    let line = start
        .and_then(|start| line.get(start..))
        .unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(line).into_owned()
}
