//! Codings of a body that the server does not undo: a file would be stored in its coding, under the name
//! of the file that it decodes to.

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, TRANSFER_ENCODING},
};

use super::error::Error;

pub(crate) const CONTENT_TRANSFER_ENCODING: HeaderName =
    HeaderName::from_static("content-transfer-encoding");

/// How much of an unknown coding is shown in a sentence, in letters.
const SHOWN: usize = 80;

/// An error where the body is not the file itself. The fields are those of a request, or of a part of
/// a form.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Error> {
    if let Some(coding) = other(headers, &CONTENT_ENCODING, &["identity"]) {
        return Err(Error::ContentEncoding(coding));
    }
    // Not a field of HTTP, but clients that write one mean it.
    let as_is = ["7bit", "8bit", "binary", "identity"];
    if let Some(encoding) = other(headers, &CONTENT_TRANSFER_ENCODING, &as_is) {
        return Err(Error::Protocol {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            detail: format!(
                "this server does not decode Content-Transfer-Encoding: {encoding}. \
                 Send the file as it is"
            ),
        });
    }
    // RFC 9112, 6.1.
    if let Some(coding) = other(headers, &TRANSFER_ENCODING, &["chunked", "identity"]) {
        return Err(Error::Protocol {
            status: StatusCode::NOT_IMPLEMENTED,
            detail: format!(
                "this server does not decode Transfer-Encoding: {coding}. Send the file as it is"
            ),
        });
    }
    Ok(())
}

/// The first member of the field's list that is not one of these.
fn other(headers: &HeaderMap, field: &HeaderName, known: &[&str]) -> Option<String> {
    let lines = headers.get_all(field).iter().map(HeaderValue::as_bytes);
    let mut members = lines.flat_map(|line| line.split(|byte| *byte == b','));
    let other = members.find(|member| {
        let member = member.trim_ascii();
        let is_known = |known: &&str| member.eq_ignore_ascii_case(known.as_bytes());
        !member.is_empty() && !known.iter().any(is_known)
    })?;
    let other = String::from_utf8_lossy(other.trim_ascii());
    Some(other.chars().take(SHOWN).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_is_the_file_itself() {
        check(&[], true);
        check(&[("content-encoding", "")], true);
        check(&[("content-encoding", "Identity, identity")], true);
        check(&[("content-encoding", "gzip")], false);
        check(&[("content-encoding", "identity, gzip")], false);
        check(
            &[("content-encoding", "identity"), ("content-encoding", "br")],
            false,
        );
        check(&[("content-encoding", "\u{ff}")], false);
        check(&[("content-transfer-encoding", "BINARY")], true);
        check(&[("content-transfer-encoding", "base64")], false);
        check(&[("transfer-encoding", "chunked")], true);
        check(&[("transfer-encoding", "gzip, chunked")], false);

        fn check(fields: &[(&'static str, &str)], expected: bool) {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.append(*name, value);
            }
            assert_eq!(super::check(&headers).is_ok(), expected, "{fields:?}");
        }
    }
}
