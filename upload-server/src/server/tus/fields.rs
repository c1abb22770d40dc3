//! The header fields of tus.

use axum::http::{HeaderMap, HeaderName, header::CONTENT_TYPE};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::error::TusError;
use crate::server::{
    digest::{Algorithm, Digest},
    error::Error,
    name::{Name, NameError},
};

pub(crate) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(crate) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(crate) const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub(crate) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(crate) const TUS_CHECKSUM_ALGORITHM: HeaderName =
    HeaderName::from_static("tus-checksum-algorithm");
pub(crate) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(crate) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(crate) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(crate) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");

pub(crate) const VERSION: &str = "1.0.0";
pub(crate) const CHECKSUM_ALGORITHMS: &str = "sha1,sha256,sha512";
const BODY: &str = "application/offset+octet-stream";

/// An error unless the client speaks the server's version.
pub(crate) fn check_version(headers: &HeaderMap) -> Result<(), Error> {
    match text(headers, &TUS_RESUMABLE)? {
        Some(VERSION) => Ok(()),
        _ => Err(TusError::Version.into()),
    }
}

/// Whether the request carries bytes of the file.
pub(crate) fn has_bytes(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE);
    content_type.is_some_and(|content_type| content_type == BODY)
}

/// A field that is a number of bytes.
pub(crate) fn bytes(headers: &HeaderMap, field: &HeaderName) -> Result<u64, Error> {
    let number = text(headers, field)?.and_then(|number| number.parse().ok());
    // A file's length is a signed number (lseek(2)).
    let number = number.filter(|number| *number <= u64::MAX >> 1);
    number.ok_or_else(|| Error::Malformed(format!("the field {field} is not a number of bytes")))
}

/// The file's name in the metadata of the upload.
pub(crate) fn name(metadata: &str) -> Result<Name, Error> {
    let value = |wanted: &str| {
        metadata.split(',').find_map(|pair| {
            let (key, value) = pair.trim().split_once(' ')?;
            (key == wanted).then_some(value)
        })
    };
    let name = value("filename").or_else(|| value("name"));
    let name =
        name.ok_or_else(|| Error::Malformed(format!("{UPLOAD_METADATA} has no filename")))?;
    let name = BASE64_STANDARD
        .decode(name.trim())
        .map_err(|error| Error::Malformed(format!("{UPLOAD_METADATA}: {error}")))?;
    let name = str::from_utf8(&name).map_err(|_| NameError::NotUtf8)?;
    Ok(Name::new(name)?)
}

/// The metadata of the upload, unparsed.
pub(crate) fn metadata(headers: &HeaderMap) -> Result<&str, Error> {
    Ok(text(headers, &UPLOAD_METADATA)?.unwrap_or_default())
}

/// The checksum of the request's body, if the client sends one.
pub(crate) fn checksum(headers: &HeaderMap) -> Result<Option<Digest>, Error> {
    let Some(checksum) = text(headers, &UPLOAD_CHECKSUM)? else {
        return Ok(None);
    };
    let malformed = || {
        Error::Malformed(format!(
            "the field {UPLOAD_CHECKSUM} is malformed (tus 1.0)"
        ))
    };
    let (algorithm, value) = checksum.split_once(' ').ok_or_else(malformed)?;
    let algorithm = match algorithm {
        "sha1" => Algorithm::Sha1,
        "sha256" => Algorithm::Sha256,
        "sha512" => Algorithm::Sha512,
        _ => {
            let known = format!("unknown checksum algorithm: use one of {CHECKSUM_ALGORITHMS}");
            return Err(Error::Malformed(known));
        }
    };
    let value = BASE64_STANDARD
        .decode(value.trim())
        .map_err(|_| malformed())?;
    Ok(Some(Digest { algorithm, value }))
}

fn text<'a>(headers: &'a HeaderMap, field: &HeaderName) -> Result<Option<&'a str>, Error> {
    let value = headers.get(field).map(|value| value.to_str());
    value
        .transpose()
        .map_err(|_| Error::Malformed(format!("the field {field} is not plain text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_name() {
        check("filename Y2F0LnBuZw==", Some("cat.png"));
        check("filetype aW1hZ2U=,filename Y2F0LnBuZw==", Some("cat.png"));
        check("is_private, filename Y2F0LnBuZw==", Some("cat.png"));
        check("name Y2F0LnBuZw==", Some("cat.png"));
        check("name eA==,filename Y2F0LnBuZw==", Some("cat.png"));
        check("", None);
        check("filename", None);
        check("filename !", None);
        check("filename Li4vY2F0", None);
        check("filename /w==", None);

        fn check(metadata: &str, expected: Option<&str>) {
            let name = name(metadata).ok();
            assert_eq!(name.as_ref().map(Name::as_str), expected, "{metadata}");
        }
    }

    #[test]
    fn reads_numbers() {
        check("0", Some(0));
        check("9223372036854775807", Some(u64::MAX >> 1));
        check("9223372036854775808", None);
        check("-1", None);
        check("", None);

        fn check(text: &str, expected: Option<u64>) {
            let headers = [(UPLOAD_OFFSET, text.parse().unwrap())];
            let read = bytes(&headers.into_iter().collect(), &UPLOAD_OFFSET);
            assert_eq!(read.ok(), expected, "{text}");
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
            let headers = [(UPLOAD_CHECKSUM, text.parse().unwrap())];
            let read = checksum(&headers.into_iter().collect());
            let read = read.map(|digest| digest.map(|digest| digest.algorithm));
            assert_eq!(read.ok(), expected, "{text}");
        }
    }
}
