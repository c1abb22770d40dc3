//! The preconditions of a request (RFC 9110, 13): in which state the client expects a stored file, by
//! its entity tag or its date.
//!
//! A field that cannot be read is refused where a file would change: `If-None-Match: cat` would otherwise
//! let the request replace what it is meant to protect. Dates alone are ignored then, as the RFC demands.

use std::time::{Duration, SystemTime};

use axum::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE},
};

use super::{error::Error, store::FileStat};

/// The fields of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preconditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    if_unmodified_since: Option<SystemTime>,
    if_modified_since: Option<SystemTime>,
}

/// The value of `If-Match` or `If-None-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`: whatever the file is.
    Any,
    These(Vec<Tag>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    weak: bool,
    /// With its quotes.
    opaque: String,
}

impl Preconditions {
    /// Of a request that changes a file.
    pub(crate) fn of_change(headers: &HeaderMap) -> Result<Self, Error> {
        let tags = |field| {
            tags(headers, field).map_err(|_| {
                Error::Malformed(format!(
                    "the field {field} must have * or entity tags in double quotes"
                ))
            })
        };
        Ok(Self::new(headers, tags(&IF_MATCH)?, tags(&IF_NONE_MATCH)?))
    }

    /// Of a request that reads a file. Tags that cannot be read are those of no file.
    pub(crate) fn of_download(headers: &HeaderMap) -> Self {
        let tags = |field| {
            let tags = tags(headers, field);
            tags.unwrap_or_else(|_| Some(Tags::These(Vec::new())))
        };
        Self::new(headers, tags(&IF_MATCH), tags(&IF_NONE_MATCH))
    }

    fn new(headers: &HeaderMap, if_match: Option<Tags>, if_none_match: Option<Tags>) -> Self {
        Self {
            if_match,
            if_none_match,
            if_unmodified_since: date(headers, &IF_UNMODIFIED_SINCE),
            if_modified_since: date(headers, &IF_MODIFIED_SINCE),
        }
    }

    /// Whether a request that changes a file is free to do so in any state.
    pub(crate) fn is_empty(&self) -> bool {
        self.if_match.is_none()
            && self.if_none_match.is_none()
            && self.if_unmodified_since.is_none()
    }

    /// Whether the client knows a file of the name, and wants to change this one.
    pub(crate) fn expect_a_file(&self) -> bool {
        self.if_match.is_some() || self.if_unmodified_since.is_some()
    }

    /// An error where a file in this state, or a free name, must not be changed.
    pub(crate) fn check_change(&self, found: Option<&FileStat>) -> Result<(), Error> {
        self.check_is_expected(found)?;
        match (&self.if_none_match, found) {
            (Some(Tags::Any), Some(_)) => Err(unmet("If-None-Match", "a file of this name exists")),
            (Some(tags), Some(found)) if tags.match_weakly(found) => {
                Err(unmet("If-None-Match", "the file has this tag"))
            }
            _ => Ok(()),
        }
    }

    /// An error for a form that must not be taken. Its target is the page, which always exists, and has
    /// neither tag nor date.
    pub(crate) fn check_form(&self) -> Result<(), Error> {
        const WHY: &str =
            "it applies to the page that takes forms; to protect a file, send it with PUT";
        if matches!(self.if_match, Some(Tags::These(_))) {
            return Err(unmet("If-Match", WHY));
        }
        match self.if_none_match {
            Some(Tags::Any) => Err(unmet("If-None-Match", WHY)),
            _ => Ok(()),
        }
    }

    /// Whether the client has the file as it is. An error where it expects another one.
    pub(crate) fn is_not_modified(&self, found: &FileStat) -> Result<bool, Error> {
        self.check_is_expected(Some(found))?;
        Ok(match (&self.if_none_match, self.if_modified_since) {
            (Some(tags), _) => tags.match_weakly(found),
            (None, Some(date)) => whole_seconds(found.modified) <= date,
            (None, None) => false,
        })
    }

    fn check_is_expected(&self, found: Option<&FileStat>) -> Result<(), Error> {
        match (&self.if_match, self.if_unmodified_since, found) {
            (Some(_), _, None) => Err(unmet("If-Match", "there is no file of this name")),
            (Some(tags), _, Some(found)) if !tags.match_strongly(found) => {
                Err(unmet("If-Match", "the file has changed"))
            }
            (None, Some(date), Some(found)) if whole_seconds(found.modified) > date => {
                Err(unmet("If-Unmodified-Since", "the file has changed"))
            }
            _ => Ok(()),
        }
    }
}

impl Tags {
    fn match_strongly(&self, found: &FileStat) -> bool {
        self.any(found, |tag| !tag.weak && tag.opaque == found.tag())
    }

    fn match_weakly(&self, found: &FileStat) -> bool {
        self.any(found, |tag| tag.opaque == found.tag())
    }

    fn any(&self, found: &FileStat, is_same: impl Fn(&Tag) -> bool) -> bool {
        found.is_file
            && match self {
                Self::Any => true,
                Self::These(tags) => tags.iter().any(is_same),
            }
    }
}

/// The date as header fields have it, without a fraction.
pub(crate) fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.unwrap_or_default().as_secs())
}

fn unmet(field: &'static str, why: &'static str) -> Error {
    Error::Precondition { field, why }
}

/// Neither `*` nor a list of tags.
#[derive(Debug)]
struct Malformed;

fn tags(headers: &HeaderMap, field: &HeaderName) -> Result<Option<Tags>, Malformed> {
    let lines = headers.get_all(field).iter().map(HeaderValue::to_str);
    let lines: Result<Vec<_>, _> = lines.collect();
    let list = lines.map_err(|_| Malformed)?.join(",");
    let list = list.trim();
    if !headers.contains_key(field) {
        Ok(None)
    } else if list == "*" {
        Ok(Some(Tags::Any))
    } else {
        let these = these(list).filter(|tags| !tags.is_empty());
        Ok(Some(Tags::These(these.ok_or(Malformed)?)))
    }
}

/// A list of entity tags (RFC 9110, 8.8.3). Empty elements do not count (5.6.1.2).
fn these(list: &str) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    let mut rest = list;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            return Some(tags);
        }
        let strong = rest.strip_prefix("W/");
        let quoted = strong.unwrap_or(rest);
        let end = quoted.strip_prefix('"')?.find('"')? + 2;
        let (opaque, after) = quoted.split_at_checked(end)?;
        if !after.trim_start().starts_with([',']) && !after.trim_start().is_empty() {
            return None;
        }
        tags.push(Tag {
            weak: strong.is_some(),
            opaque: opaque.to_owned(),
        });
        rest = after;
    }
}

fn date(headers: &HeaderMap, field: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(field)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_of_tags() {
        check(&["\"a\""], Some("\"a\""));
        check(
            &["\"a\", W/\"b\" ,, \"c,d\""],
            Some("\"a\" W/\"b\" \"c,d\""),
        );
        check(&["\"a\"", "\"b\""], Some("\"a\" \"b\""));
        check(&[" * "], Some("*"));
        check(&["\"\""], Some("\"\""));
        for malformed in [
            "",
            ",",
            "a",
            "\"a",
            "\"a\" \"b\"",
            "w/\"a\"",
            "*, \"a\"",
            "\"a\"b",
        ] {
            check(&[malformed], None);
        }

        fn check(lines: &[&str], expected: Option<&str>) {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(IF_MATCH, line.parse().unwrap());
            }
            let read = tags(&headers, &IF_MATCH).ok().flatten();
            let read = read.map(|tags| match tags {
                Tags::Any => "*".to_owned(),
                Tags::These(tags) => {
                    let weak = |tag: &Tag| if tag.weak { "W/" } else { "" };
                    let tags = tags
                        .iter()
                        .map(|tag| format!("{}{}", weak(tag), tag.opaque));
                    tags.collect::<Vec<_>>().join(" ")
                }
            });
            assert_eq!(read.as_deref(), expected, "{lines:?}");
        }
    }
}
