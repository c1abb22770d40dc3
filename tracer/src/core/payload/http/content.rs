//! What has passed of a body that is read whole: without the chunks around it.

use super::form::Form;

/// Of the names in all forms of a connection, in bytes.
const MAX_NAMES: usize = 1 << 20;

/// The content of a body (RFC 9110, section 6.4), in a stream that is passed whole and in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// Bytes that passed, those in holes included where the body's length is known.
    pub bytes: u64,
    /// Whether its end passed.
    pub is_over: bool,
    /// Whether the end of the connection is its end (RFC 9112, section 6.3).
    pub until_close: bool,
    /// Whether some of it was not captured.
    pub has_hole: bool,
    /// Whether one of the ends gave it up, and the connection goes on (RFC 9113, section 6.4).
    pub is_aborted: bool,
    /// The files in it.
    pub form: Option<Box<Form>>,
}

impl Content {
    /// Content that begins. A form has a boundary.
    pub(in crate::core::payload) fn new(boundary: Option<&[u8]>) -> Self {
        Self {
            form: boundary.map(|boundary| Box::new(Form::new(boundary))),
            ..Self::default()
        }
    }

    /// No content.
    pub(in crate::core::payload) fn none() -> Self {
        Self {
            is_over: true,
            ..Self::default()
        }
    }

    /// Takes its next bytes. `names` is how much the names in the connection's forms take.
    pub(in crate::core::payload) fn take(&mut self, bytes: &[u8], names: &mut usize) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if let Some(form) = &mut self.form {
            let before = form.memory();
            form.take(bytes);
            *names = (*names + form.memory()).saturating_sub(before);
            if *names > MAX_NAMES {
                form.give_up();
            }
        }
    }

    pub(in crate::core::payload) fn skip(&mut self, hole: u64) {
        self.bytes = self.bytes.saturating_add(hole);
        self.lose();
        if let Some(form) = &mut self.form {
            form.skip(hole);
        }
    }

    /// Some of it was not captured, and nobody can tell how much.
    pub(in crate::core::payload) const fn lose(&mut self) {
        self.has_hole = true;
        self.until_close = false;
    }

    pub(in crate::core::payload) fn end(&mut self) {
        self.is_over = true;
        if let Some(form) = &mut self.form {
            form.end();
        }
    }
}
