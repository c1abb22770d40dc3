//! Which Unix socket an upload was passed on to.

use upload_protocol::timeline::{Certainty, HopEvidence};

use super::{Body, choose};
use crate::core::connection::OnUnix;

/// Sent at a time, to a path: so many bytes, and whether these are all.
fn sent(of: &[(u64, &str, u64, bool)]) -> Vec<OnUnix> {
    let one = |(mono_ns, path, bytes, is_all): &(u64, &str, u64, bool)| OnUnix {
        mono_ns: *mono_ns,
        socket: *mono_ns,
        path: (*path).into(),
        listener: None,
        bytes: *bytes,
        is_all: *is_all,
    };
    of.iter().map(one).collect()
}

fn check(of: &[(u64, &str, u64, bool)], body: Body, expected: Option<(&str, Certainty)>) {
    let found = choose(sent(of).iter(), body);
    let found = found.as_ref();
    let found = found.map(|to| (to.path.as_str(), to.certainty));
    assert_eq!(found, expected, "{of:?}");
}

#[test]
fn a_body_and_its_head() {
    let body = Body::Counted(1_000_000);
    let observed = Some(("/app", Certainty::Observed));
    check(&[(1, "/app", 1_000_300, true)], body, observed);
    check(&[(1, "/app", 999_999, true)], body, None);
    // Perhaps with another request.
    let inferred = Some(("/app", Certainty::Inferred));
    check(&[(1, "/app", 3_000_000, true)], body, inferred);
    check(&[], body, None);
}

/// What a log, a database or a service that knows who may get is less than the upload.
#[test]
fn other_places() {
    let body = Body::Counted(1_000_000);
    let observed = Some(("/app", Certainty::Observed));
    let auth = (1, "/auth", 400, true);
    let app = (2, "/app", 1_000_300, true);
    check(&[auth, app, (3, "/db", 80, true)], body, observed);
    check(&[auth], body, None);
    // The first server failed, and nginx went on to the next one.
    check(&[(1, "/app-1", 1_000_300, true), app], body, observed);
    check(&[(1, "/app", 196_719, true), app], body, observed);
}

/// A server that has not answered yet.
#[test]
fn an_upload_under_way() {
    let body = Body::Counted(1_000_000);
    let inferred = Some(("/app", Certainty::Inferred));
    check(
        &[(1, "/auth", 400, true), (2, "/app", 8_192, false)],
        body,
        inferred,
    );
    let found = choose(sent(&[(1, "/app", 8_192, false)]).iter(), body).unwrap();
    assert_eq!(
        (found.bytes, found.evidence),
        (None, vec![HopEvidence::Request])
    );
}

/// Of several requests in one connection, the sum is as many bytes as the client sent, encrypted.
#[test]
fn encrypted() {
    let body = Body::Within(1_000_000);
    let inferred = Some(("/app", Certainty::Inferred));
    let two = [(1, "/app", 600_000, true), (2, "/app", 390_000, true)];
    check(&two, body, inferred);
    check(&two[..1], body, None);
    check(&[(1, "/app", 10, true)], Body::Unknown, inferred);
}
