//! Fields with which the scripts of pages say that a form has a piece of a file. Each of these scripts cuts
//! a large file into several forms; none of them has the file, whatever its name says.

use super::refusal;
use crate::server::error::Error;

/// The fields that have the number of pieces: of Dropzone, resumable.js, flow.js, Fine Uploader and
/// Plupload.
const NUMBERS: [&str; 5] = [
    "dztotalchunkcount",
    "resumableTotalChunks",
    "flowTotalChunks",
    "qqtotalparts",
    "chunks",
];

/// The longest number.
const MAX_DIGITS: usize = 20;

/// The value of a field, as far as a number of pieces may go.
pub(super) struct NumberOfPieces {
    field: Option<&'static str>,
    digits: Vec<u8>,
}

impl NumberOfPieces {
    /// For the value of this field.
    pub(super) fn of(field: Option<&[u8]>) -> Self {
        let is_field = |name: &&str| field == Some(name.as_bytes());
        Self {
            field: NUMBERS.into_iter().find(is_field),
            digits: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = MAX_DIGITS.saturating_sub(self.digits.len());
        self.digits.extend(bytes.iter().take(room));
    }

    /// An error where there are several pieces.
    pub(super) fn check(&self) -> Result<(), Error> {
        let number = str::from_utf8(&self.digits).ok();
        let number = number.and_then(|number| number.trim().parse::<u64>().ok());
        match (self.field, number) {
            (Some(field), Some(number @ 2..)) => Err(refusal(format!(
                "{field} is {number}, and this server does not put a file together from several \
                 forms. Send it whole, or resumable at tus/"
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_pieces_are_no_file() {
        check("dztotalchunkcount", "2", false);
        check("chunks", " 3\n", false);
        check("chunks", "1", true);
        check("chunks", "", true);
        check("chunks", "many", true);
        check("other", "2", true);

        fn check(field: &str, value: &str, expected: bool) {
            let mut number = NumberOfPieces::of(Some(field.as_bytes()));
            for byte in value.as_bytes() {
                number.push(&[*byte]);
            }
            assert_eq!(number.check().is_ok(), expected, "{field}: {value}");
        }
    }
}
