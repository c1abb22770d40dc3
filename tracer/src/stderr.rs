//! The one way out to stderr: what others named (a program, a file, a server) acts on no terminal.

use std::io::{self, Write};

use upload_protocol::plain::{is_hidden, plain, push_plain};

/// A line on stderr, with the tracer's name.
pub fn message(line: &str) {
    // `eprintln!` panics where nobody reads stderr any more.
    let _ = writeln!(io::stderr(), "tracer: {}", plain(line));
}

/// Stderr for lines of the log. Their formatter escapes values, and colours the rest: of control characters,
/// line ends, tabs and colours pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

impl Write for Log {
    /// Takes a whole line at a time, as the log gives it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(escaped(bytes).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn escaped(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut escaped = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '\n' | '\t' => escaped.push(character),
            '\u{1b}' if is_colour(rest.as_str()) => escaped.push(character),
            hidden if is_hidden(hidden) => push_plain(&mut escaped, hidden),
            seen => escaped.push(seen),
        }
    }
    escaped
}

/// Whether this follows ESC in a sequence that sets a colour (SGR).
fn is_colour(rest: &str) -> bool {
    rest.strip_prefix('[').is_some_and(|rest| {
        let numbers = rest.trim_start_matches(|one: char| one.is_ascii_digit() || one == ';');
        numbers.starts_with('m')
    })
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn only_colours_pass() {
        for (line, expected) in [
            ("plain é\n", "plain é\n"),
            (
                "\u{1b}[33mWARN\u{1b}[0m\tx\n",
                "\u{1b}[33mWARN\u{1b}[0m\tx\n",
            ),
            (
                "\u{1b}[2Ja\u{9b}2Jb\u{202e}c\n",
                "\\u{1b}[2Ja\\u{9b}2Jb\\u{202e}c\n",
            ),
        ] {
            assert_eq!(escaped(line.as_bytes()), expected);
        }
    }
}
