//! The metadata of an upload, and the name of its file within it.

use axum::http::HeaderMap;
use base64::{
    Engine, alphabet,
    engine::{
        DecodePaddingMode::Indifferent, GeneralPurpose, GeneralPurposeConfig, general_purpose::PAD,
    },
};

use super::{error::TusError, fields::UPLOAD_METADATA};
use crate::server::{
    error::Error,
    name::{Name, NameError, is_path_of_windows, last_component},
};

/// The longest metadata. HEAD sends it back, and proxies take no more than 4 KiB of header fields in
/// all (nginx, `proxy_buffer_size`). A name of 255 bytes takes 340 here, and Uppy sends it three times.
pub(crate) const MAX_BYTES: usize = 2_048;

/// The keys of the name, the best first. Clients differ in the case of the letters.
const FILENAME: [&str; 2] = ["filename", "name"];

/// Base64, with padding or without.
const CONFIG: GeneralPurposeConfig = PAD.with_decode_padding_mode(Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);

/// The metadata, unparsed. It may come in several fields (RFC 9110, 5.2).
pub(crate) fn read(headers: &HeaderMap) -> Result<String, TusError> {
    let values = headers.get_all(UPLOAD_METADATA).iter();
    let values: Result<Vec<_>, _> = values.map(|value| value.to_str()).collect();
    let values = values.map_err(|_| TusError::field(&UPLOAD_METADATA, "is not plain text"))?;
    let metadata = values.join(",");
    if metadata.len() > MAX_BYTES {
        return Err(TusError::LongMetadata(MAX_BYTES));
    }
    Ok(metadata)
}

/// The file's name. None where the client gives no name.
pub(crate) fn name(metadata: &str) -> Result<Option<Name>, Error> {
    for key in FILENAME {
        if let Some(name) = value(metadata, key)? {
            return Ok(Some(Name::new(without_folders(&name))?));
        }
    }
    // Uppy sends "null" for a file that is in no folder.
    let path = value(metadata, "relativePath")?.filter(|path| path != "null");
    let name = path.as_deref().map(without_folders);
    let name = name.filter(|name| !name.is_empty());
    Ok(name.map(Name::new).transpose()?)
}

/// The value of a key; the key alone, and an empty value, count as none.
fn value(metadata: &str, key: &str) -> Result<Option<String>, Error> {
    let mut found = None;
    for pair in metadata.split(',').map(str::trim) {
        let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let value = value.trim();
        if !name.eq_ignore_ascii_case(key) || value.is_empty() {
            continue;
        }
        if found.is_some_and(|found| found != value) {
            let problem = format!("has two values of {key}");
            return Err(TusError::field(&UPLOAD_METADATA, problem).into());
        }
        found = Some(value);
    }
    let Some(value) = found else {
        return Ok(None);
    };
    let bytes = STANDARD.decode(value).or_else(|_| URL_SAFE.decode(value));
    let bytes = bytes.map_err(|_| {
        let problem = format!("has a value of {key} that is not Base64");
        TusError::field(&UPLOAD_METADATA, problem)
    })?;
    let text = String::from_utf8(bytes).map_err(|_| NameError::NotUtf8)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn without_folders(path: &str) -> &str {
    last_component(path, is_path_of_windows(path))
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    #[test]
    fn reads_the_name() {
        check("filename Y2F0LnBuZw==", Ok(Some("cat.png")));
        check(
            "filetype aW1hZ2U=,filename Y2F0LnBuZw==",
            Ok(Some("cat.png")),
        );
        check("is_private, filename Y2F0LnBuZw==", Ok(Some("cat.png")));
        check("fileName Y2F0LnBuZw==", Ok(Some("cat.png")));
        check("name Y2F0LnBuZw==", Ok(Some("cat.png")));
        check("name eA==,filename Y2F0LnBuZw==", Ok(Some("cat.png")));
        check("name eA==,filename", Ok(Some("x")));
        check("filename eA==,filename eA==", Ok(Some("x")));
        check("", Ok(None));
        check("filename", Ok(None));
        check("filename ", Ok(None));
        check(",,filetype", Ok(None));
        check("filename eA==,filename eQ==", Err("two values of filename"));
        check("filename !", Err("value of filename that is not Base64"));
        check(
            "filename cat.png",
            Err("value of filename that is not Base64"),
        );
        check("filename /w==", Err("it is not UTF-8"));
        check("filename Li4vY2F0", Err("it has a '/'"));
        check("filename LnR1cy14", Err("it begins with a '.'"));

        fn check(metadata: &str, expected: Result<Option<&str>, &str>) {
            match (name(metadata), expected) {
                (Ok(name), Ok(expected)) => {
                    assert_eq!(name.as_ref().map(Name::as_str), expected, "{metadata}");
                }
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{metadata}: {error}");
                }
                (name, _) => panic!("{metadata}: {name:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn reads_names_however_they_are_encoded() {
        check("naïve.bin", "naïve.bin");
        check("ÿÿ>>??.bin", "ÿÿ>>??.bin");
        check(r"C:\pictures\cat.png", "cat.png");
        check(r"\\server\share\cat.png", "cat.png");
        check(r"C:/pictures/cat.png", "cat.png");
        check("pictures/cat.png", "cat.png");
        check(r"back\slash", r"back\slash");

        fn check(sent: &str, expected: &str) {
            let standard = BASE64_STANDARD.encode(sent);
            let url_safe = URL_SAFE.encode(sent);
            for value in [&standard, standard.trim_end_matches('='), &url_safe] {
                let name = name(&format!("filename {value}")).unwrap().unwrap();
                assert_eq!(name.as_str(), expected, "{value}");
            }
        }
    }

    #[test]
    fn a_path_gives_the_name_where_nothing_else_does() {
        check("dir/cat.png", Some("cat.png"));
        check("null", None);

        fn check(path: &str, expected: Option<&str>) {
            let metadata = format!("relativePath {}", BASE64_STANDARD.encode(path));
            let name = name(&metadata).unwrap();
            assert_eq!(name.as_ref().map(Name::as_str), expected, "{path}");
        }
    }
}
