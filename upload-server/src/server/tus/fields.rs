//! The header fields of tus, but for `Upload-Metadata` and `Upload-Concat`.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::error::TusError;
use crate::server::digest::{Algorithm, Digest};

pub(crate) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(crate) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(crate) const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub(crate) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(crate) const TUS_CHECKSUM_ALGORITHM: HeaderName =
    HeaderName::from_static("tus-checksum-algorithm");
pub(crate) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(crate) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(crate) const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(crate) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(crate) const UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");
pub(crate) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

pub(crate) const VERSION: &str = "1.0.0";
pub(crate) const CHECKSUM_ALGORITHMS: &str = "sha1,sha256,sha512";
const BODY: &str = "application/offset+octet-stream";

/// An error unless the client speaks the server's version.
pub(crate) fn check_version(headers: &HeaderMap) -> Result<(), TusError> {
    match text(headers, &TUS_RESUMABLE)? {
        Some(VERSION) => Ok(()),
        _ => Err(TusError::Version),
    }
}

/// Whether the request carries bytes of the file.
pub(crate) fn has_bytes(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::to_str);
    let Some(Ok(content_type)) = content_type else {
        return false;
    };
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case(BODY)
}

/// The method that a client means which can only send POST, in capitals.
pub(crate) fn overriding_method(headers: &HeaderMap) -> Option<String> {
    let method = headers.get(METHOD_OVERRIDE)?.to_str().ok()?;
    Some(method.to_ascii_uppercase())
}

/// The length of the upload that a request creates. None where the client will declare it later.
pub(crate) fn created_length(headers: &HeaderMap) -> Result<Option<u64>, TusError> {
    let length = length(headers)?;
    match (length, is_deferred(headers)?) {
        (Some(_), true) => Err(TusError::field(
            &UPLOAD_DEFER_LENGTH,
            "and Upload-Length exclude each other: send one of them",
        )),
        (None, false) => Err(TusError::field(
            &UPLOAD_LENGTH,
            "is missing: send the number of bytes, or Upload-Defer-Length: 1 if it is not known yet",
        )),
        (length, _) => Ok(length),
    }
}

/// `Upload-Length`, where it is sent.
pub(crate) fn length(headers: &HeaderMap) -> Result<Option<u64>, TusError> {
    bytes(headers, &UPLOAD_LENGTH)
}

/// Whether the client will declare the length later.
pub(crate) fn is_deferred(headers: &HeaderMap) -> Result<bool, TusError> {
    match text(headers, &UPLOAD_DEFER_LENGTH)? {
        None => Ok(false),
        Some("1") => Ok(true),
        Some(_) => Err(TusError::field(&UPLOAD_DEFER_LENGTH, "is not 1")),
    }
}

/// Where the bytes of the request begin.
pub(crate) fn offset(headers: &HeaderMap) -> Result<u64, TusError> {
    let offset = bytes(headers, &UPLOAD_OFFSET)?;
    offset.ok_or_else(|| TusError::field(&UPLOAD_OFFSET, "is missing"))
}

/// The checksum of the request's body, if the client sends one.
pub(crate) fn checksum(headers: &HeaderMap) -> Result<Option<Digest>, TusError> {
    let Some(checksum) = text(headers, &UPLOAD_CHECKSUM)? else {
        return Ok(None);
    };
    let malformed = || {
        TusError::field(
            &UPLOAD_CHECKSUM,
            "is not an algorithm and a value in Base64",
        )
    };
    let (algorithm, value) = checksum.split_once(' ').ok_or_else(malformed)?;
    let algorithm = match algorithm {
        "sha1" => Algorithm::Sha1,
        "sha256" => Algorithm::Sha256,
        "sha512" => Algorithm::Sha512,
        _ => {
            let problem = format!("has an unknown algorithm: use one of {CHECKSUM_ALGORITHMS}");
            return Err(TusError::field(&UPLOAD_CHECKSUM, problem));
        }
    };
    let value = BASE64_STANDARD.decode(value.trim());
    let value = value.map_err(|_| malformed())?;
    Ok(Some(Digest { algorithm, value }))
}

/// A field that is sent once, or several times with the same value.
pub(crate) fn text<'a>(
    headers: &'a HeaderMap,
    field: &HeaderName,
) -> Result<Option<&'a str>, TusError> {
    let mut values = headers.get_all(field).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.any(|other| other != value) {
        return Err(TusError::field(field, "is sent twice, with two values"));
    }
    let text = value.to_str();
    text.map(Some)
        .map_err(|_| TusError::field(field, "is not plain text"))
}

fn bytes(headers: &HeaderMap, field: &HeaderName) -> Result<Option<u64>, TusError> {
    let Some(number) = text(headers, field)? else {
        return Ok(None);
    };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse().ok().filter(|_| digits);
    // A file's length is a signed number (lseek(2)).
    let number = number.filter(|number| *number <= u64::MAX >> 1);
    let number = number.ok_or_else(|| TusError::field(field, "is not a number of bytes"));
    number.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(HeaderName, &str)]) -> HeaderMap {
        let fields = fields.iter();
        fields
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn reads_numbers() {
        check("0", Some(0));
        check("9223372036854775807", Some(u64::MAX >> 1));
        check("9223372036854775808", None);
        check("-1", None);
        check("+1", None);
        check("", None);

        fn check(text: &str, expected: Option<u64>) {
            let read = offset(&fields(&[(UPLOAD_OFFSET, text)]));
            assert_eq!(read.ok(), expected, "{text}");
        }
    }

    #[test]
    fn reads_lengths() {
        let (length, defer) = (UPLOAD_LENGTH, UPLOAD_DEFER_LENGTH);
        check(&[(length.clone(), "7")], Ok(Some(7)));
        check(&[(defer.clone(), "1")], Ok(None));
        check(&[], Err("Upload-Length is missing: "));
        check(&[(defer.clone(), "0")], Err("Upload-Defer-Length is not 1"));
        let both = [(length.clone(), "7"), (defer, "1")];
        check(&both, Err("Upload-Defer-Length and Upload-Length exclude"));
        let twice = [(length.clone(), "7"), (length.clone(), "7")];
        check(&twice, Ok(Some(7)));
        let differing = [(length.clone(), "7"), (length, "8")];
        check(&differing, Err("Upload-Length is sent twice"));

        fn check(sent: &[(HeaderName, &str)], expected: Result<Option<u64>, &str>) {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.append(name, value.parse().unwrap());
            }
            match (created_length(&headers), expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read, expected),
                (Err(read), Err(expected)) => {
                    assert!(read.to_string().starts_with(expected), "{read}");
                }
                (read, _) => panic!("{read:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn reads_checksums() {
        check("sha1 AAAA", Some(Some(Algorithm::Sha1)));
        check("sha512 AAAA", Some(Some(Algorithm::Sha512)));
        check("md5 AAAA", None);
        check("sha1", None);
        check("sha1 !", None);

        fn check(text: &str, expected: Option<Option<Algorithm>>) {
            let read = checksum(&fields(&[(UPLOAD_CHECKSUM, text)]));
            let read = read.map(|digest| digest.map(|digest| digest.algorithm));
            assert_eq!(read.ok(), expected, "{text}");
        }
    }

    #[test]
    fn finds_bytes_of_the_file() {
        check("application/offset+octet-stream", true);
        check("Application/Offset+Octet-Stream; charset=UTF-8", true);
        check("application/octet-stream", false);
        check("", false);

        fn check(content_type: &str, expected: bool) {
            let headers = fields(&[(CONTENT_TYPE, content_type)]);
            assert_eq!(has_bytes(&headers), expected, "{content_type}");
        }
    }
}
