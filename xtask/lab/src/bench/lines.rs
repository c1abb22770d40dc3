//! The lines of a tracer's `-o ndjson`, as they come.

use std::{
    io::{self, BufRead as _, PipeReader, Read as _},
    os::fd::{AsFd, BorrowedFd},
};

use serde::Deserialize;

/// As much as a pipe holds.
const PIECE: usize = 64 << 10;

pub(crate) struct Lines {
    pipe: PipeReader,
    piece: Vec<u8>,
    /// A line whose end has not come yet.
    begun: Vec<u8>,
}

/// A line `lost`: records that were lost, and where.
#[derive(Debug, Deserialize)]
pub(crate) struct Lost {
    /// How many.
    pub(crate) count: u64,
    /// Where.
    pub(crate) hop: String,
}

impl Lines {
    /// Of this pipe, from which nothing was read yet.
    pub(crate) fn new(pipe: PipeReader) -> Self {
        Self {
            pipe,
            piece: vec![0; PIECE],
            begun: Vec::new(),
        }
    }

    /// Waits for a piece of output; hands the lines that are whole with it to `each`, without their
    /// ends. False at the end of the output.
    pub(crate) fn read(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<bool> {
        let read = self.pipe.read(&mut self.piece)?;
        let mut rest = &self.piece[..read];
        while !rest.is_empty() {
            // The standard library's search is quick even where this program is not optimised.
            rest.read_until(b'\n', &mut self.begun)?;
            if self.begun.pop_if(|last| *last == b'\n').is_some() {
                each(&self.begun);
                self.begun.clear();
            }
        }
        Ok(read > 0)
    }
}

impl AsFd for Lines {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Whether a line is of this type: every line begins with its type.
pub(crate) fn is_of_type(line: &[u8], name: &str) -> bool {
    line.strip_prefix(b"{\"type\":\"")
        .and_then(|rest| rest.strip_prefix(name.as_bytes()))
        .is_some_and(|rest| rest.starts_with(b"\""))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_are_whole_however_they_come() {
        let (read, mut write) = io::pipe().unwrap();
        let mut lines = Lines::new(read);
        let mut seen = Vec::new();
        for piece in ["a\nb", "c", "d\n\ne\n", "f"] {
            write.write_all(piece.as_bytes()).unwrap();
            let more = lines.read(|line| seen.push(String::from_utf8(line.to_vec()).unwrap()));
            assert!(more.unwrap());
        }
        drop(write);
        assert!(!lines.read(|_| {}).unwrap());
        assert_eq!(seen, ["a", "bcd", "", "e"]);
    }

    #[test]
    fn a_type_is_a_whole_word() {
        assert!(is_of_type(br#"{"type":"state","time":"#, "state"));
        assert!(!is_of_type(br#"{"type":"states","time":"#, "state"));
        assert!(!is_of_type(br#"{"type":"sta"#, "state"));
    }
}
