//! An address as a QR code on a terminal, for the camera of a phone.
//!
//! The code has no token. It would stay on the screen, in the terminal's scrollback and in the phone's
//! history; and scripts cannot make requests from a page whose address has a password (Fetch, `Request`
//! constructor). The browser asks for the token, and one that the server makes is short.

use std::{env, io, io::IsTerminal};

use qrcode::{Color, EcLevel, QrCode};

/// The frame of light modules around the code (ISO/IEC 18004, 5.3.8).
const QUIET: usize = 4;

/// The code's text, where stderr is a terminal that can show it.
pub(super) fn for_stderr(text: &str) -> Option<String> {
    let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
    if is_dumb || !io::stderr().is_terminal() {
        return None;
    }
    let has_colour = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    render(text, has_colour)
}

/// Two modules in a character, one above the other. With colours, the code is black on white whatever
/// the terminal's colours are. Without, it needs the light text on dark ground that most terminals have.
fn render(text: &str, has_colour: bool) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let modules = code.to_colors();
    let is_light = |x: usize, y: usize| {
        let (Some(x), Some(y)) = (x.checked_sub(QUIET), y.checked_sub(QUIET)) else {
            return true;
        };
        x >= width || modules.get(y * width + x) != Some(&Color::Dark)
    };
    let (begin, end) = if has_colour {
        ("\x1b[97;40m", "\x1b[0m\n")
    } else {
        ("", "\n")
    };
    let whole = width + 2 * QUIET;
    let mut shown = String::new();
    for y in (0..whole).step_by(2) {
        shown.push_str(begin);
        shown.extend((0..whole).map(|x| {
            // Below the last of an odd number of rows there is nothing.
            let below = y + 1 < whole && is_light(x, y + 1);
            match (is_light(x, y), below) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            }
        }));
        shown.push_str(end);
    }
    Some(shown)
}
