//! The value of a field with parameters (`form-data; name="file"; filename="cat.png"`), as clients really
//! write it. A quoted string may have quotes that its sender did not escape, and backslashes that
//! escape nothing.

/// The most parameters of a value. Each takes a hundred bytes, of which its sender needs to write two.
const MAX_PARAMETERS: usize = 64;

/// A value, such as `form-data`, and its parameters.
#[derive(Debug)]
pub(super) struct Parameters {
    /// In lower case.
    pub(super) value: String,
    parameters: Vec<Parameter>,
    /// There are more, which are left out.
    pub(super) are_too_many: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    /// In lower case.
    pub(super) name: String,
    /// Without quotes, and without the backslashes of quoted pairs.
    pub(super) bytes: Vec<u8>,
    pub(super) is_quoted: bool,
    /// As [`Self::bytes`], with all backslashes.
    pub(super) raw: Vec<u8>,
}

impl Parameters {
    pub(super) fn read(field: &[u8]) -> Self {
        let mut rest = field;
        let (mut value, mut parameters) = (String::new(), Vec::new());
        let mut is_first = true;
        let mut are_too_many = false;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| matches!(byte, b';' | b'='));
            let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
            let name = String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase();
            if let Some(after) = after.strip_prefix(b"=") {
                if parameters.len() == MAX_PARAMETERS {
                    are_too_many = true;
                    break;
                }
                let (parameter, after) = parameter(name, after.trim_ascii_start());
                parameters.push(parameter);
                rest = after;
            } else {
                if is_first {
                    value = name;
                }
                rest = after;
            }
            rest = rest.strip_prefix(b";").unwrap_or(rest);
            is_first = false;
        }
        Self {
            value,
            parameters,
            are_too_many,
        }
    }

    /// The parameters of this name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Parameter> {
        self.iter().filter(move |parameter| parameter.name == name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter()
    }
}

/// The parameter at the beginning, and everything behind it.
fn parameter(name: String, field: &[u8]) -> (Parameter, &[u8]) {
    let quoted = field.strip_prefix(b"\"");
    let (bytes, raw, rest) = match quoted.map(|field| (quoted_string(field), field)) {
        Some((Some(read), _)) => read,
        Some((None, field)) => unescaped_string(field),
        None => {
            let end = field.iter().position(|byte| *byte == b';');
            let (token, rest) = field.split_at(end.unwrap_or(field.len()));
            let token = token.trim_ascii();
            (token.to_vec(), token, rest)
        }
    };
    let parameter = Parameter {
        name,
        bytes,
        is_quoted: quoted.is_some(),
        raw: raw.to_vec(),
    };
    (parameter, rest)
}

/// A quoted string (RFC 9110, 5.6.4) up to its closing quote. A backslash escapes a quote or a
/// backslash alone, since no client escapes anything else: `C:\new` keeps its own.
fn quoted_string(field: &[u8]) -> Option<(Vec<u8>, &[u8], &[u8])> {
    let mut bytes = Vec::new();
    let mut at = 0;
    loop {
        match field.get(at..)? {
            [b'\\', escaped @ (b'"' | b'\\'), ..] => {
                bytes.push(*escaped);
                at += 2;
            }
            [b'"', ..] => {
                let rest = closed(field, at)?;
                return Some((bytes, field.get(..at)?, rest));
            }
            [byte, ..] => {
                bytes.push(*byte);
                at += 1;
            }
            [] => return None,
        }
    }
}

/// A string whose sender escaped nothing: it goes up to the first quote that ends a parameter.
fn unescaped_string(field: &[u8]) -> (Vec<u8>, &[u8], &[u8]) {
    let quotes = (0..field.len()).filter(|at| field.get(*at) == Some(&b'"'));
    let end = quotes
        .filter_map(|at| Some((at, closed(field, at)?)))
        .next();
    let (end, rest) = end.unwrap_or((field.len(), b""));
    let string = field.get(..end).unwrap_or_default();
    (string.to_vec(), string, rest)
}

/// The bytes behind the quote at this place, if it ends a parameter.
fn closed(field: &[u8], at: usize) -> Option<&[u8]> {
    let rest = field.get(at + 1..)?.trim_ascii_start();
    (rest.is_empty() || rest.starts_with(b";")).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_parameters() {
        check("form-data", "form-data");
        check("Form-Data; Name=a", "form-data|name=a");
        check(
            r#"form-data;name="a";FileName = "b" ;"#,
            "form-data|name=a|filename=b",
        );
        check(r#"name="a"; filename="b""#, "|name=a|filename=b");
        check(
            "form-data; filename=two words ; x",
            "form-data|filename=two words",
        );
        check(
            r#"f; a="x; filename=\"y\"; b"; filename="z""#,
            r#"f|a=x; filename="y"; b|filename=z"#,
        );
        check(
            r#"f; filename*=utf-8''a%3Bb; filename="c""#,
            "f|filename*=utf-8''a%3Bb|filename=c",
        );
        check(r#"f; filename="a;b=c""#, "f|filename=a;b=c");
        check("f; filename=", "f|filename=");
        check("", "");
        check(" ; ;; ", "");
    }

    #[test]
    fn counts_parameters() {
        check(MAX_PARAMETERS, false);
        check(MAX_PARAMETERS + 1, true);

        fn check(number: usize, are_too_many: bool) {
            let read = Parameters::read(b"f");
            assert!(!read.are_too_many);
            let read = Parameters::read(format!("f{}", ";a=".repeat(number)).as_bytes());
            assert_eq!(read.are_too_many, are_too_many);
            assert_eq!(read.iter().count(), MAX_PARAMETERS);
        }
    }

    #[test]
    fn reads_quotes_and_backslashes_as_they_were_meant() {
        check(r#"f; filename="a\"b""#, r#"f|filename=a"b"#);
        check(r#"f; filename="a\\b""#, r"f|filename=a\b");
        check(r#"f; filename="a\b""#, r"f|filename=a\b");
        check(r#"f; filename="a\"; b""#, r#"f|filename=a"; b"#);
        check(
            r#"f; filename="C:\dir\cat.png""#,
            r"f|filename=C:\dir\cat.png",
        );
        // Not escaped at all.
        check(
            r#"f; filename="say "hi".txt""#,
            r#"f|filename=say "hi".txt"#,
        );
        check(r#"f; filename="a\""#, r"f|filename=a\");
        check(r#"f; name="a\"; filename="b""#, r"f|name=a\|filename=b");
        check(r#"f; filename="a"#, "f|filename=a");
    }

    fn check(field: &str, expected: &str) {
        let read = Parameters::read(field.as_bytes());
        let parameters = read.iter().map(|parameter| {
            let text = str::from_utf8(&parameter.bytes).unwrap();
            format!("|{}={text}", parameter.name)
        });
        let text: String = std::iter::once(read.value.clone())
            .chain(parameters)
            .collect();
        assert_eq!(text, expected, "{field}");
    }
}
