//! The name of a file in the field Content-Disposition of a part, as browsers and curl write it: quoted, with
//! `%22` or a backslash before a quote, or as `filename*` (RFC 8187), which is preferred (RFC 6266, section 4.3).

use percent_encoding::percent_decode;
use upload_protocol::plain::plain;

/// The name in a part's head. `None` if the part is no file.
pub(super) fn file_name(head: &[u8]) -> Option<String> {
    let mut fields = head.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let is_it = name
            .trim_ascii()
            .eq_ignore_ascii_case(b"content-disposition");
        is_it.then(|| value.get(1..).unwrap_or_default().trim_ascii())
    });
    let field = fields.next()?;
    let name = extended(field).or_else(|| Some(quoted(&parameter(field, "filename")?)))?;
    Some(plain(last_component(&name)).into_owned())
}

/// The value of a parameter, without quotes.
pub(super) fn parameter(field: &[u8], wanted: &str) -> Option<Vec<u8>> {
    let mut rest = field;
    while let Some(at) = rest.iter().position(|byte| *byte == b';') {
        rest = rest.get(at + 1..)?;
        let end = rest.iter().position(|byte| matches!(byte, b';' | b'='))?;
        let (name, after) = rest.split_at_checked(end)?;
        let Some(after) = after.strip_prefix(b"=") else {
            rest = after;
            continue;
        };
        let (value, after) = value(after.trim_ascii_start());
        if name.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()) {
            return Some(value);
        }
        rest = after;
    }
    None
}

/// A quoted string or a token, and what is behind it.
fn value(field: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = field.strip_prefix(b"\"") else {
        let end = field.iter().position(|byte| *byte == b';');
        let (token, rest) = field.split_at(end.unwrap_or(field.len()));
        return (token.trim_ascii().to_vec(), rest);
    };
    let mut value = Vec::new();
    let mut rest = quoted;
    loop {
        match rest {
            // Clients escape nothing else: `C:\new` keeps its backslash.
            [b'\\', escaped @ (b'"' | b'\\'), after @ ..] => {
                value.push(*escaped);
                rest = after;
            }
            [b'"', after @ ..] => return (value, after),
            [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [] => return (value, rest),
        }
    }
}

/// `UTF-8'en'na%C3%AFve.txt`, if it is UTF-8.
fn extended(field: &[u8]) -> Option<String> {
    let value = parameter(field, "filename*")?;
    let mut pieces = value.splitn(3, |byte| *byte == b'\'');
    let charset = pieces.next()?;
    let encoded = pieces.nth(1)?;
    let is_utf8 = charset.eq_ignore_ascii_case(b"utf-8");
    let name = percent_decode(encoded).decode_utf8().ok()?.into_owned();
    (is_utf8 && !name.is_empty()).then_some(name)
}

/// Browsers encode three characters (HTML, "multipart/form-data encoding algorithm"). Bytes that are not UTF-8
/// are escaped.
fn quoted(name: &[u8]) -> String {
    let text = match str::from_utf8(name) {
        Ok(text) => text.to_owned(),
        Err(_) => name.escape_ascii().to_string(),
    };
    text.replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

/// Without the folders that some clients send.
fn last_component(name: &str) -> &str {
    let after = name.rsplit('/').next().unwrap_or(name);
    let is_path_of_windows = matches!(name.as_bytes(), [drive, b':', b'\\', ..] if drive.is_ascii_alphabetic())
        || name.starts_with("\\\\");
    if is_path_of_windows {
        after.rsplit('\\').next().unwrap_or(after)
    } else {
        after
    }
}
