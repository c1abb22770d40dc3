//! The fields of RFC 9530, which are dictionaries (RFC 9651, 3.2).

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::{Algorithm, Digest};
use crate::server::error::Error;

pub(crate) const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");

/// The digests that the sender gives for its content. An upload is a whole representation, so that both
/// fields describe the same bytes. Unknown algorithms are ignored (RFC 9530, 2 and 3).
pub(super) fn expected(headers: &HeaderMap) -> Result<Vec<Digest>, Error> {
    let mut digests = Vec::new();
    for field in [CONTENT_DIGEST, REPR_DIGEST] {
        let members = dictionary(headers, &field)?;
        for algorithm in Algorithm::OF_FIELDS {
            match members.get(algorithm.name()).map(bare_item) {
                Some(Some(BareItem::ByteSequence(value))) => digests.push(Digest {
                    algorithm,
                    value: value.clone(),
                }),
                Some(_) => return Err(malformed(&field)),
                None => {}
            }
        }
    }
    Ok(digests)
}

/// The algorithm of the digest that the client wants back, the preferred one of several (RFC 9530, 4).
pub(crate) fn wanted(headers: &HeaderMap) -> Result<Option<Algorithm>, Error> {
    let members = dictionary(headers, &WANT_REPR_DIGEST)?;
    let mut wanted = None;
    let mut most = 0;
    for algorithm in Algorithm::OF_FIELDS {
        match members.get(algorithm.name()).map(bare_item) {
            Some(Some(BareItem::Integer(preference))) => {
                let preference = i64::from(*preference);
                if preference > most {
                    (wanted, most) = (Some(algorithm), preference);
                }
            }
            Some(_) => return Err(malformed(&WANT_REPR_DIGEST)),
            None => {}
        }
    }
    Ok(wanted)
}

fn dictionary(headers: &HeaderMap, field: &HeaderName) -> Result<Dictionary, Error> {
    let lines = headers.get_all(field).iter().map(HeaderValue::as_bytes);
    let lines: Vec<_> = lines.collect();
    let joined = lines.join(&b", "[..]);
    Parser::new(&joined).parse().map_err(|_| malformed(field))
}

fn bare_item(entry: &ListEntry) -> Option<&BareItem> {
    match entry {
        ListEntry::Item(item) => Some(&item.bare_item),
        ListEntry::InnerList(_) => None,
    }
}

fn malformed(field: &HeaderName) -> Error {
    Error::Malformed(format!("the field {field} is malformed (RFC 9530)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn reads_expected_digests() {
        check(&[], Some(0));
        check(&["sha-256=:AA==:"], Some(1));
        check(&["sha-256=:AA==:", "sha-512=:AA==:"], Some(2));
        check(&["md5=:AA==:, unixsum=7"], Some(0));
        check(&["sha-256=AA"], None);
        check(&["sha-256=(:AA==:)"], None);
        check(&["sha-256"], None);
        check(&["sha-256=:AA"], None);
        check(&["SHA-256=:AA==:"], None);

        fn check(lines: &[&str], count: Option<usize>) {
            for field in [CONTENT_DIGEST, REPR_DIGEST] {
                let lines: Vec<_> = lines.iter().map(|line| (field.clone(), *line)).collect();
                let digests = expected(&headers(&lines));
                assert_eq!(
                    digests.ok().map(|digests| digests.len()),
                    count,
                    "{lines:?}"
                );
            }
        }
    }

    #[test]
    fn reads_preferences() {
        check("", Some(None));
        check("sha-256=1", Some(Some(Algorithm::Sha256)));
        check("sha-256=1, sha-512=1", Some(Some(Algorithm::Sha256)));
        check(
            "sha-256=3, sha-512=10, md5=10",
            Some(Some(Algorithm::Sha512)),
        );
        check("sha-256=0", Some(None));
        check("md5=10", Some(None));
        check("sha-256=:AA==:", None);
        check("sha-256=", None);

        fn check(line: &str, expected: Option<Option<Algorithm>>) {
            let wanted = wanted(&headers(&[(WANT_REPR_DIGEST, line)]));
            assert_eq!(wanted.ok(), expected, "{line}");
        }
    }
}
