//! A part of a form: a file, or a field that is not stored. A part that may be a file but has no name
//! is neither.

use axum::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE},
};

use super::{
    file_name::{FileNameError, file_name},
    parameters::Parameters,
    refusal,
};
use crate::server::{
    content_coding::{self, CONTENT_TRANSFER_ENCODING},
    error::Error,
};

/// How much of a name is shown in a sentence, in letters.
const SHOWN: usize = 80;

/// The types besides `text/*` that the fields of forms have.
const TEXT_TYPES: [&str; 5] = [
    "application/json",
    "application/xml",
    "application/x-www-form-urlencoded",
    "application/yaml",
    "application/graphql",
];

pub(super) struct Part {
    pub(super) headers: HeaderMap,
    disposition: Parameters,
    content_type: Parameters,
}

impl Part {
    pub(super) fn new(headers: HeaderMap) -> Self {
        let parameters = |field: HeaderName| {
            let value = headers.get(field).map(HeaderValue::as_bytes);
            Parameters::read(value.unwrap_or_default())
        };
        Self {
            disposition: parameters(CONTENT_DISPOSITION),
            content_type: parameters(CONTENT_TYPE),
            headers,
        }
    }

    /// The name of the form's field.
    pub(super) fn field(&self) -> Option<&[u8]> {
        let names = ["name", "name*"].map(|name| self.disposition.all(name).next());
        let name = names.into_iter().flatten().next()?;
        Some(&name.bytes)
    }

    /// The part in a sentence: `part 2 of the form (field "file", filename "cat.png")`.
    pub(super) fn describe(&self, position: usize, file_name: Option<&str>) -> String {
        let field = self.field().map(String::from_utf8_lossy);
        let named = [("field", field.as_deref()), ("filename", file_name)];
        let names: Vec<_> = named
            .into_iter()
            .filter_map(|(what, name)| Some(format!("{what} {:?}", shown(name?))))
            .collect();
        match names.as_slice() {
            [] => format!("part {position} of the form"),
            names => format!("part {position} of the form ({})", names.join(", ")),
        }
    }

    /// An error where it is not clear which part this is.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut dispositions = self.headers.get_all(CONTENT_DISPOSITION).iter();
        let Some(first) = dispositions.next() else {
            return Err(refusal("it has no field Content-Disposition"));
        };
        if self.disposition.are_too_many || self.content_type.are_too_many {
            return Err(refusal("a field of its header has too many parameters"));
        }
        if dispositions.any(|other| other != first) {
            return Err(refusal("it has several fields Content-Disposition"));
        }
        Ok(())
    }

    /// The name of the file, which may be empty. `None` where the part is no file.
    pub(super) fn file_name(&self, is_percent_encoded: bool) -> Result<Option<String>, Error> {
        Ok(file_name(&self.disposition, is_percent_encoded)?)
    }

    /// An error where the bytes of a part without a filename are those of a file.
    pub(super) fn check_is_text(&self, bytes: &[u8]) -> Result<(), Error> {
        let content_type = self.content_type.value.as_str();
        if content_type.starts_with("multipart/") {
            return Err(refusal(
                "it is a multipart of its own: let each file be a part of the form (RFC 7578, 4.3)",
            ));
        }
        let is_text = content_type.is_empty()
            || content_type.starts_with("text/")
            || TEXT_TYPES.contains(&content_type)
            || content_type.ends_with("+json")
            || content_type.ends_with("+xml");
        if !is_text || bytes.contains(&0) {
            return Err(refusal("it is a file without a name: add a filename"));
        }
        Ok(())
    }

    /// Whether the content is in base64. It may also be as it is.
    pub(super) fn is_base64(&self) -> Result<bool, Error> {
        let mut headers = self.headers.clone();
        let encodings: Vec<_> = headers.get_all(CONTENT_TRANSFER_ENCODING).iter().collect();
        let is_base64 = match encodings.as_slice() {
            [encoding] => encoding.as_bytes().eq_ignore_ascii_case(b"base64"),
            _ => false,
        };
        if is_base64 {
            headers.remove(CONTENT_TRANSFER_ENCODING);
        }
        content_coding::check(&headers)?;
        Ok(is_base64)
    }
}

/// The beginning of a name.
fn shown(name: &str) -> String {
    name.chars().take(SHOWN).collect()
}

impl From<FileNameError> for Error {
    fn from(error: FileNameError) -> Self {
        refusal(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_described_by_its_place_and_names() {
        check("form-data", None, "part 2 of the form");
        check(
            "form-data; name=\"a\\\"b\"",
            None,
            "part 2 of the form (field \"a\\\"b\")",
        );
        check(
            "form-data; name=file",
            Some("\u{202e}x\n"),
            "part 2 of the form (field \"file\", filename \"\\u{202e}x\\n\")",
        );

        fn check(disposition: &str, file_name: Option<&str>, expected: &str) {
            let part = part(&[("content-disposition", disposition)]);
            assert_eq!(part.describe(2, file_name), expected);
        }
    }

    #[test]
    fn text_is_no_file() {
        check("", b"text", true);
        check("", b"\xff", true);
        check("", b"a\0", false);
        check("text/plain; charset=utf-8", b"text", true);
        check("application/json", b"{}", true);
        check("application/problem+json", b"{}", true);
        check("application/octet-stream", b"text", false);
        check("image/png", b"text", false);
        check("multipart/mixed; boundary=c", b"--c", false);

        fn check(content_type: &str, bytes: &[u8], expected: bool) {
            let part = part(&[("content-type", content_type)]);
            let is_text = part.check_is_text(bytes).is_ok();
            assert_eq!(is_text, expected, "{content_type}");
        }
    }

    #[test]
    fn has_one_disposition() {
        let a = ("content-disposition", "form-data; name=a; filename=a");
        let b = ("content-disposition", "form-data; name=a; filename=b");
        assert!(part(&[a]).check().is_ok() && part(&[a, a]).check().is_ok());
        assert!(part(&[a, b]).check().is_err() && part(&[]).check().is_err());
    }

    #[test]
    fn is_as_it_is_or_in_base64() {
        check(&[], Some(false));
        check(&[("content-transfer-encoding", "Binary")], Some(false));
        check(&[("content-transfer-encoding", "BASE64")], Some(true));
        check(&[("content-transfer-encoding", "quoted-printable")], None);
        check(&[("content-encoding", "gzip")], None);

        fn check(fields: &[(&'static str, &'static str)], expected: Option<bool>) {
            assert_eq!(part(fields).is_base64().ok(), expected, "{fields:?}");
        }
    }

    fn part(fields: &[(&'static str, &str)]) -> Part {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        Part::new(headers)
    }
}
