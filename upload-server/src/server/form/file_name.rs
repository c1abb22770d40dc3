//! The name of a file in a form, as the person who sends it meant it, from the parameters of the field
//! Content-Disposition. Clients write names in many ways (RFC 7578, 4.2; RFC 8187; RFC 2047; RFC 2231; the
//! HTML standard). A name with two readings is an error, never a guess.

use encoding_rs::{Encoding, UTF_8};
use percent_encoding::percent_decode;

use super::{
    encoded_word,
    parameters::{Parameter, Parameters},
};
use crate::server::name::{is_path_of_windows, last_component};

/// The most sections of one name (RFC 2231, 3).
const MAX_SECTIONS: usize = 64;

/// Why a file has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FileNameError {
    #[error("the filename is not UTF-8: send it in UTF-8, or as filename* (RFC 8187)")]
    NotUtf8,
    #[error(
        "filename* is malformed, or in an unknown charset: write filename*=UTF-8''NAME (RFC 8187)"
    )]
    Extended,
    #[error(
        "the filename has an encoded word that is malformed, or in an unknown charset (RFC 2047)"
    )]
    Word,
    #[error("it has two different names")]
    Ambiguous,
}

/// The name without the folders that a client may send with it. `None` for a part that is no file, an
/// empty name for a file that has none. `is_percent_encoded` is for clients that encode all of it.
pub(super) fn file_name(
    parameters: &Parameters,
    is_percent_encoded: bool,
) -> Result<Option<String>, FileNameError> {
    let extended = match only(parameters, "filename*")? {
        Some(parameter) => Some(extended(&parameter.bytes)),
        None => sections(parameters),
    };
    // The extended name is preferred (RFC 6266, 4.3): the other one may lack letters.
    if let Some(Ok(name)) = &extended
        && !name.is_empty()
    {
        return Ok(Some(without_folders(name, name).to_owned()));
    }
    match (only(parameters, "filename")?, extended) {
        (Some(parameter), None | Some(Ok(_))) => plain(parameter, is_percent_encoded).map(Some),
        (Some(parameter), Some(Err(error))) => match plain(parameter, is_percent_encoded) {
            Ok(name) if !name.is_empty() => Ok(Some(name)),
            _ => Err(error),
        },
        (None, extended) => extended.transpose(),
    }
}

/// The text of bytes in a charset, which must be valid in it. A charset without a name is UTF-8.
pub(super) fn decode_charset(charset: &str, bytes: &[u8]) -> Result<String, FileNameError> {
    let encoding = match charset {
        "" => Some(UTF_8),
        charset => Encoding::for_label(charset.as_bytes()),
    };
    encoding
        .and_then(|encoding| encoding.decode_without_bom_handling_and_without_replacement(bytes))
        .map(Into::into)
        .ok_or(FileNameError::Word)
}

/// The parameter of this name. The same one twice is one, two different ones are an error.
fn only<'a>(
    parameters: &'a Parameters,
    name: &str,
) -> Result<Option<&'a Parameter>, FileNameError> {
    let mut all = parameters.all(name);
    let first = all.next();
    if all.all(|other| Some(&other.bytes) == first.map(|first| &first.bytes)) {
        Ok(first)
    } else {
        Err(FileNameError::Ambiguous)
    }
}

fn plain(parameter: &Parameter, is_percent_encoded: bool) -> Result<String, FileNameError> {
    let text = |bytes| str::from_utf8(bytes).map_err(|_| FileNameError::NotUtf8);
    let raw = text(&parameter.raw)?;
    let name = text(&parameter.bytes)?;
    let name = if let Some(name) = encoded_word::decode(name)? {
        name
    } else if is_percent_encoded {
        let decoded = percent_decode(name.as_bytes()).decode_utf8();
        decoded.map_err(|_| FileNameError::NotUtf8)?.into_owned()
    } else if parameter.is_quoted {
        // Browsers encode these three alone: `%41` is what the file is called (HTML, "multipart/form-data
        // encoding algorithm").
        name.replace("%22", "\"")
            .replace("%0D", "\r")
            .replace("%0A", "\n")
    } else {
        name.to_owned()
    };
    Ok(without_folders(&name, raw).to_owned())
}

/// `UTF-8'en'na%C3%AFve.txt` (RFC 8187).
fn extended(value: &[u8]) -> Result<String, FileNameError> {
    let mut pieces = value.splitn(3, |byte| *byte == b'\'');
    let (Some(charset), Some(_), Some(encoded)) = (pieces.next(), pieces.next(), pieces.next())
    else {
        return Err(FileNameError::Extended);
    };
    let charset = str::from_utf8(charset).map_err(|_| FileNameError::Extended)?;
    let bytes: Vec<_> = percent_decode(encoded).collect();
    decode_charset(charset, &bytes).map_err(|_| FileNameError::Extended)
}

/// A name in sections, `filename*0*=utf-8''na%C3; filename*1*=%AFve; filename*2=".txt"` (RFC 2231, 3), as
/// libraries for mail send a long one.
fn sections(parameters: &Parameters) -> Option<Result<String, FileNameError>> {
    let has_sections = |parameter: &Parameter| parameter.name.starts_with("filename*");
    parameters.iter().any(has_sections).then_some(())?;
    let mut joined = Vec::new();
    let mut charset = Vec::new();
    for number in 0..MAX_SECTIONS {
        let as_is = parameters.all(&format!("filename*{number}")).next();
        let encoded = parameters.all(&format!("filename*{number}*")).next();
        match (as_is, encoded) {
            (Some(section), None) => joined.extend(&section.bytes),
            (None, Some(section)) if number == 0 => {
                let quotes = section.bytes.iter().rposition(|byte| *byte == b'\'');
                let (begin, encoded) = section.bytes.split_at(quotes.map_or(0, |at| at + 1));
                charset = begin.to_vec();
                joined.extend(percent_decode(encoded));
            }
            (None, Some(section)) => joined.extend(percent_decode(&section.bytes)),
            (Some(_), Some(_)) => return Some(Err(FileNameError::Ambiguous)),
            (None, None) if number == 0 => return Some(Err(FileNameError::Extended)),
            (None, None) => break,
        }
    }
    let charset = charset.split(|byte| *byte == b'\'').next();
    let charset = String::from_utf8_lossy(charset.unwrap_or_default());
    Some(decode_charset(&charset, &joined).map_err(|_| FileNameError::Extended))
}

/// In `raw`, the backslashes of a path of Windows may look like escapes.
fn without_folders<'a>(name: &'a str, raw: &str) -> &'a str {
    let has_host = raw.starts_with("\\\\") && name.matches('\\').count() > 2;
    last_component(name, is_path_of_windows(name) || has_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_as_they_are_sent() {
        check(r#"filename="cat.png""#, "cat.png");
        check("filename=cat.png", "cat.png");
        check("filename*=UTF-8''na%C3%AFve.txt", "naïve.txt");
        check("filename*=utf-8'en'na%C3%AFve.txt", "naïve.txt");
        check("filename*=ISO-8859-1''na%EFve.txt", "naïve.txt");
        check("filename*=\"UTF-8''na%C3%AFve.txt\"", "naïve.txt");
        check("filename*=UTF-8''it's.txt", "it's.txt");
        check(
            r#"filename="na?ve.txt"; filename*=UTF-8''na%C3%AFve.txt"#,
            "naïve.txt",
        );
        check(
            r#"filename*=UTF-8''na%C3%AFve.txt; filename="na?ve.txt""#,
            "naïve.txt",
        );
        check(r#"filename*=bad; filename="cat.png""#, "cat.png");
        check(r#"filename="=?utf-8?B?bmHDr3ZlLnR4dA==?=""#, "naïve.txt");
        check(r#"filename="a%22b%41.txt""#, "a\"b%41.txt");
        check("filename=a%22b.txt", "a%22b.txt");
        check(r#"filename="a%0Db%0A""#, "a\rb\n");
        check(r#"filename="a"; filename="a""#, "a");
        check(
            "filename*0*=utf-8''na%C3; filename*1*=%AFve; filename*2=\"%.txt\"",
            "naïve%.txt",
        );
        check("filename*1=b; filename*0=a", "ab");
        check(r#"filename="""#, "");
    }

    #[test]
    fn leaves_folders_out() {
        check(r#"filename="dir/cat.png""#, "cat.png");
        check(r#"filename="/home/me/cat.png""#, "cat.png");
        check(r#"filename="C:\dir\cat.png""#, "cat.png");
        check(r#"filename="C:\\dir\\cat.png""#, "cat.png");
        check(r#"filename="c:/dir/cat.png""#, "cat.png");
        check(r#"filename="\\host\share\cat.png""#, "cat.png");
        check("filename*=UTF-8''C:%5Cdir%5Ccat.png", "cat.png");
        check(r#"filename="back\slash""#, r"back\slash");
        check(r#"filename="\back""#, r"\back");
        check(r#"filename="dir/""#, "");
        check(r#"filename="../cat.png""#, "../cat.png");
        check(r#"filename="C:\..\cat.png""#, "cat.png");
    }

    #[test]
    fn decodes_all_of_a_name_where_the_client_encodes_all() {
        let name = |field: &str| file_name(&Parameters::read(field.as_bytes()), true);
        let expected = Ok(Some("naïve%41.txt".to_owned()));
        assert_eq!(name(r#"f; filename="na%C3%AFve%2541.txt""#), expected);
    }

    #[test]
    fn refuses_names_with_two_readings_or_none() {
        use FileNameError::{Ambiguous, Extended, NotUtf8, Word};
        check_error(b"filename=\"na\xefve\"", NotUtf8);
        check_error(b"filename=a; filename=b", Ambiguous);
        check_error(b"filename*=UTF-8''a; filename*=UTF-8''b", Ambiguous);
        check_error(b"filename*=UTF-8''%FF", Extended);
        check_error(b"filename*=x'a", Extended);
        check_error(b"filename*=nonsense''a", Extended);
        check_error(b"filename*1=a", Extended);
        check_error(b"filename*=bad; filename=\"\xff\"", Extended);
        check_error(b"filename=\"=?x?Q?a?=\"", Word);

        fn check_error(parameters: &[u8], expected: FileNameError) {
            let field = [b"form-data; ", parameters].concat();
            let name = file_name(&Parameters::read(&field), false);
            assert_eq!(
                name,
                Err(expected),
                "{}",
                String::from_utf8_lossy(parameters)
            );
        }
    }

    #[test]
    fn a_part_without_a_filename_is_no_file() {
        for field in [
            "form-data; name=\"a\"",
            "form-data; name=\"filename=b\"",
            "",
            "filenames=a",
        ] {
            let name = file_name(&Parameters::read(field.as_bytes()), false);
            assert_eq!(name, Ok(None), "{field}");
        }
    }

    fn check(parameters: &str, expected: &str) {
        let field = format!("form-data; name=\"file\"; {parameters}");
        let name = file_name(&Parameters::read(field.as_bytes()), false);
        assert_eq!(name, Ok(Some(expected.to_owned())), "{parameters}");
    }
}
