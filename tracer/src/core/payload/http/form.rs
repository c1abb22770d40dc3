//! The files in a body of `multipart/form-data` (RFC 7578, RFC 2046 section 5.1): the name of each, and how
//! long it is. Keeps no content.

mod disposition;

use std::mem;

use memchr::memmem;

/// A form, as far as it has passed.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// The line end and the boundary between two parts.
    delimiter: Box<[u8]>,
    position: Position,
    /// How many bytes of the body have passed.
    passed: u64,
    /// The last of them, in which a delimiter may begin.
    tail: Vec<u8>,
    /// The part whose content passes, if it is a file.
    open: Option<FormFile>,
    /// Where its content begins.
    open_at: u64,
    files: Vec<FormFile>,
    name_bytes: usize,
    left_out: u64,
}

/// A file in a form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormFile {
    /// Without the folders that a client may send with it, what is hidden escaped.
    pub name: String,
    /// Bytes of its content that passed.
    pub bytes: u64,
    /// Whether its end was seen.
    pub is_whole: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Position {
    /// Before the first delimiter, or in a part's content.
    Content,
    /// After a delimiter, on its line. Where that began.
    Line(u64, Vec<u8>),
    /// In a part's head.
    Head(Vec<u8>),
    /// After the last delimiter, or after a hole.
    Done,
}

/// RFC 2046, section 5.1.1.
const MAX_BOUNDARY: usize = 70;
/// Blanks may follow a boundary.
const MAX_LINE: usize = 128;
/// A name of 4 KiB, escaped, with the other fields.
const MAX_HEAD: usize = 16 << 10;
const MAX_FILES: usize = 1000;
/// Of all the names in a form.
const MAX_NAME_BYTES: usize = 64 << 10;

/// The boundary in a value of Content-Type, if that is a form's.
pub(in crate::core::payload) fn boundary(content_type: &[u8]) -> Option<Box<[u8]>> {
    let is_form = content_type
        .get(..19)
        .is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/form-data"));
    let boundary = disposition::parameter(content_type.get(19..)?, "boundary")?;
    let fits = !boundary.is_empty() && boundary.len() <= MAX_BOUNDARY;
    (is_form && fits).then(|| boundary.into())
}

impl Form {
    pub(super) fn new(boundary: &[u8]) -> Self {
        Self {
            delimiter: [b"\r\n--", boundary].concat().into(),
            position: Position::Content,
            passed: 0,
            // The first delimiter may begin the body.
            tail: b"\r\n".to_vec(),
            open: None,
            open_at: 0,
            files: Vec::new(),
            name_bytes: 0,
            left_out: 0,
        }
    }

    /// The files, in order; the last may have no end yet.
    pub fn files(&self) -> impl Iterator<Item = FormFile> {
        let open = self.open.as_ref().map(|open| FormFile {
            bytes: self.passed.saturating_sub(self.open_at),
            ..open.clone()
        });
        self.files.iter().cloned().chain(open)
    }

    /// How many files came after those.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What the names take in memory, in bytes.
    pub(in crate::core::payload) fn memory(&self) -> usize {
        self.name_bytes + self.files.capacity() * size_of::<FormFile>()
    }

    /// Reads no more of it.
    pub(in crate::core::payload) fn give_up(&mut self) {
        if self.position != Position::Done {
            self.end();
            self.left_out += 1;
        }
    }

    /// Takes the next bytes of the body.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = match &mut self.position {
                Position::Content => self.content(bytes),
                Position::Line(..) => self.line(bytes),
                Position::Head(_) => self.head(bytes),
                Position::Done => bytes.len(),
            };
            self.passed += taken as u64;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Some bytes of the body were not captured: delimiters may be among them.
    pub(super) fn skip(&mut self, hole: u64) {
        self.close(self.passed, false);
        self.passed += hole;
        self.tail = Vec::new();
        self.position = Position::Done;
    }

    /// The body has ended.
    pub(super) fn end(&mut self) {
        self.close(self.passed, false);
        self.tail = Vec::new();
        self.position = Position::Done;
    }

    /// Looks for the delimiter. Returns how many bytes are before its end.
    fn content(&mut self, bytes: &[u8]) -> usize {
        let length = self.delimiter.len();
        // Across the border first: at most a delimiter of the new bytes.
        let before = self.tail.len();
        let new = bytes.get(..length).unwrap_or(bytes);
        self.tail.extend_from_slice(new);
        let found = memmem::find(&self.tail, &self.delimiter)
            .map(|at| (at + length).saturating_sub(before))
            .or_else(|| Some(memmem::find(bytes, &self.delimiter)? + length));
        let Some(end) = found else {
            if bytes.len() >= length {
                self.tail.clear();
                let last = bytes.len().saturating_sub(length - 1);
                self.tail
                    .extend_from_slice(bytes.get(last..).unwrap_or_default());
            } else {
                let surplus = self.tail.len().saturating_sub(length - 1);
                self.tail.drain(..surplus);
            }
            return bytes.len();
        };
        self.tail.clear();
        let begins = (self.passed + end as u64).saturating_sub(length as u64);
        self.position = Position::Line(begins, Vec::new());
        end
    }

    /// The rest of the delimiter's line. If it is not one, the content goes on.
    fn line(&mut self, bytes: &[u8]) -> usize {
        let Position::Line(begins, line) = &mut self.position else {
            return bytes.len();
        };
        let begins = *begins;
        let taken = bytes.iter().position(|byte| *byte == b'\n');
        let taken = taken.map_or(bytes.len(), |at| at + 1);
        line.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        let is_last = line.starts_with(b"--");
        let is_delimiter = line.iter().all(u8::is_ascii_whitespace) || *line == b"-";
        if is_last {
            self.close(begins, true);
            self.position = Position::Done;
        } else if !is_delimiter || line.len() > MAX_LINE {
            let mut line = mem::take(line);
            let surplus = line.len().saturating_sub(self.delimiter.len() - 1);
            line.drain(..surplus);
            self.tail = line;
            self.position = Position::Content;
        } else if line.ends_with(b"\n") {
            self.close(begins, true);
            self.position = Position::Head(Vec::new());
        }
        taken
    }

    fn head(&mut self, bytes: &[u8]) -> usize {
        let Position::Head(head) = &mut self.position else {
            return bytes.len();
        };
        let before = head.len();
        let room = MAX_HEAD.saturating_sub(before);
        head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let from = before.saturating_sub(3);
        let end = if head.starts_with(b"\r\n") {
            Some(2)
        } else {
            let rest = head.get(from..).unwrap_or_default();
            memmem::find(rest, b"\r\n\r\n").map(|at| from + at + 4)
        };
        match end {
            Some(end) => {
                let name = disposition::file_name(head.get(..end).unwrap_or_default());
                let taken = end - before;
                self.begin(name, self.passed + taken as u64);
                taken
            }
            None if head.len() == MAX_HEAD => {
                self.begin(None, 0);
                self.left_out += 1;
                room
            }
            None => bytes.len(),
        }
    }

    /// A part's content begins. A form for which no file was chosen has an empty name.
    fn begin(&mut self, name: Option<String>, at: u64) {
        // A part may be empty: then the delimiter's line end is the head's.
        self.tail = b"\r\n".to_vec();
        self.position = Position::Content;
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return;
        };
        if self.files.len() == MAX_FILES || self.name_bytes + name.len() > MAX_NAME_BYTES {
            self.left_out += 1;
            return;
        }
        self.name_bytes += name.len();
        self.open_at = at;
        self.open = Some(FormFile {
            name,
            ..FormFile::default()
        });
    }

    fn close(&mut self, at: u64, is_whole: bool) {
        if let Some(open) = self.open.take() {
            self.files.push(FormFile {
                bytes: at.saturating_sub(self.open_at),
                is_whole,
                ..open
            });
        }
    }
}

#[cfg(test)]
mod tests;
