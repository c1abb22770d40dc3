//! The fields of a request or a response that matter here (RFC 9113, section 8.3).

use std::borrow::Cow;

use crate::core::payload::http::{boundary, decimal, escape, method};

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Head {
    method: Option<Cow<'static, str>>,
    path: Option<String>,
    authority: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) content_length: Option<u64>,
    pub(super) expect_continue: bool,
    /// The boundary between the parts of a form.
    pub(super) boundary: Option<Box<[u8]>>,
    has_content_type: bool,
}

/// As in HTTP/1.1.
const MAX_METHOD: usize = 32;

impl Head {
    /// Takes a field. Of those that repeat, the first counts.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b":method" if self.method.is_none() && value.len() <= MAX_METHOD => {
                self.method = Some(method(&escape(value)));
            }
            b":path" if self.path.is_none() => self.path = Some(escape(value)),
            b":authority" if self.authority.is_none() => self.authority = Some(escape(value)),
            b":status" if self.status.is_none() => {
                self.status = decimal(value).and_then(|status| u16::try_from(status).ok());
            }
            b"content-length" if self.content_length.is_none() => {
                self.content_length = decimal(value);
            }
            b"content-type" if !self.has_content_type => {
                self.has_content_type = true;
                self.boundary = boundary(value);
            }
            b"expect" => self.expect_continue |= value.eq_ignore_ascii_case(b"100-continue"),
            _ => {}
        }
    }

    /// The method and the target of a request. `CONNECT` has no path (RFC 9113, section 8.5).
    pub(super) fn request(&self) -> Option<(Cow<'static, str>, String)> {
        let target = self.path.as_ref().or(self.authority.as_ref());
        self.method.clone().zip(target.cloned())
    }
}
