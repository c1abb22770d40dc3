//! `Upload-Concat`: whether an upload is a part of another one, or is put together from others (tus 1.0,
//! Concatenation).

use axum::http::HeaderMap;

use super::{
    error::TusError,
    fields::{UPLOAD_CONCAT, text},
    id::Id,
    metadata,
};

/// The most partial uploads of one upload.
pub(crate) const MAX_PARTIAL_UPLOADS: usize = 256;

/// The longest list that HEAD sends back, together with the metadata; of a longer one, it says only that
/// the upload is final.
const MAX_ECHO_BYTES: usize = metadata::MAX_BYTES + 768;

pub(crate) const PARTIAL: &str = "partial";
pub(crate) const FINAL: &str = "final";

/// What the field of a creation asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Concat {
    /// A part of a file.
    Partial,
    /// A file, made of these parts.
    Final(PartialUploads),
}

/// The parts that a client lists, in their order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PartialUploads {
    /// The field as it came.
    pub(crate) field: String,
    pub(crate) ids: Vec<Id>,
}

impl PartialUploads {
    /// The field, as HEAD sends it back.
    pub(crate) fn echo(&self, metadata: &str) -> String {
        if self.field.len() + metadata.len() <= MAX_ECHO_BYTES {
            self.field.clone()
        } else {
            FINAL.to_owned()
        }
    }
}

/// None for an upload that has nothing to do with others.
pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Concat>, TusError> {
    let Some(field) = text(headers, &UPLOAD_CONCAT)? else {
        return Ok(None);
    };
    let malformed = |problem: String| TusError::field(&UPLOAD_CONCAT, problem);
    let (kind, list) = field.split_once(';').unwrap_or((field, ""));
    match kind.trim() {
        PARTIAL if list.trim().is_empty() => return Ok(Some(Concat::Partial)),
        FINAL => {}
        _ => {
            let problem = "is neither \"partial\" nor \"final;\" with addresses of partial uploads";
            return Err(malformed(problem.to_owned()));
        }
    }
    let mut ids = Vec::new();
    for address in list.split_ascii_whitespace() {
        let id = id(address).ok_or(TusError::Missing(ids.len() + 1))?;
        if ids.contains(&id) {
            return Err(malformed("names an upload twice".to_owned()));
        }
        if ids.len() == MAX_PARTIAL_UPLOADS {
            let problem = format!("names more than {MAX_PARTIAL_UPLOADS} partial uploads");
            return Err(malformed(problem));
        }
        ids.push(id);
    }
    if ids.is_empty() {
        return Err(malformed("names no partial upload".to_owned()));
    }
    let field = field.to_owned();
    Ok(Some(Concat::Final(PartialUploads { field, ids })))
}

/// The id in an upload's address, which may be relative, or begin with the name and the path that a proxy
/// has for this server.
fn id(address: &str) -> Option<Id> {
    let path = address.split(['?', '#']).next()?;
    Id::parse(path.rsplit('/').next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_field(field: &str) -> Result<Option<Concat>, TusError> {
        let headers = [(UPLOAD_CONCAT, field.parse().unwrap())];
        read(&headers.into_iter().collect())
    }

    #[test]
    fn finds_the_parts_wherever_they_are() {
        let (a, b) = ("0123456789abcdef".repeat(2), "f".repeat(32));
        check(&format!("final;/tus/{a} /tus/{b}"));
        check(&format!("final;{a} ../tus/{b}"));
        check(&format!(
            "final; https://host:5000/upload/tus/{a}?x  /t/{b}#y "
        ));

        fn check(field: &str) {
            let ids = ["0123456789abcdef".repeat(2), "f".repeat(32)].map(|id| Id::parse(&id));
            let expected = Concat::Final(PartialUploads {
                field: field.trim().to_owned(),
                ids: ids.into_iter().flatten().collect(),
            });
            assert_eq!(read_field(field.trim()), Ok(Some(expected)), "{field}");
        }
    }

    #[test]
    fn reads_nothing_into_other_values() {
        let id = "f".repeat(32);
        assert_eq!(read_field("partial"), Ok(Some(Concat::Partial)));
        assert_eq!(read(&HeaderMap::new()), Ok(None));
        check("whole", "is neither");
        check(&format!("partial;/tus/{id}"), "is neither");
        check("final", "names no partial upload");
        check("final;", "names no partial upload");
        check("final;/tus/ /x", "upload 1 of the list does not exist");
        check(&format!("final;/a/{id} /b/{id}"), "twice");
        let ids = (0..=MAX_PARTIAL_UPLOADS).map(|number| format!("{number:032x}"));
        let many = format!("final;{}", ids.collect::<Vec<_>>().join(" "));
        check(&many, "names more than 256");
        check(&format!("final;{}", "é".repeat(1_000)), "is not plain text");

        fn check(field: &str, expected: &str) {
            let error = read_field(field).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_long_list_is_not_sent_back() {
        let parts = |bytes| PartialUploads {
            field: "x".repeat(bytes),
            ids: Vec::new(),
        };
        assert_eq!(
            parts(MAX_ECHO_BYTES - 1).echo("x").len(),
            MAX_ECHO_BYTES - 1
        );
        assert_eq!(parts(MAX_ECHO_BYTES).echo("x"), FINAL);
    }
}
