//! How values become text: JSON lines, and bytes as hexadecimal digits.

use std::fmt::Write;

use serde::Serialize;
use tracing::error;
use upload_protocol::plain::plain_json;

/// The value as JSON, with a newline. Nothing in it acts on a terminal.
pub(crate) fn json_line(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_else(|error| {
        error!(%error, "cannot write a value as JSON");
        "null".to_owned()
    });
    plain_json(&json).into_owned() + "\n"
}

/// Lower case, as `sha256sum` writes a digest.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_has_two_digits_a_byte() {
        assert_eq!(hex(&[]), "");
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }
}
