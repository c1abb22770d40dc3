//! Relative addresses. A proxy may offer this server beneath a path of its own (`/upload/`), which the
//! server does not see. An address that is relative to that of the request leads to the right place all
//! the same.

/// The reference (RFC 3986, 4.2) that leads from the path of a request to another path of this server.
/// Both begin with a slash.
pub(crate) fn relative(from: &str, to: &str) -> String {
    let depth = from.matches('/').count().saturating_sub(1);
    let to = to.strip_prefix('/').unwrap_or(to);
    match (depth, to) {
        (0, "") => "./".to_owned(),
        (0, to) => to.to_owned(),
        (depth, to) => "../".repeat(depth) + to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_to_the_same_place() {
        check("/", "/files/cat.png", "files/cat.png");
        check("/cat.png", "/files/cat.png", "files/cat.png");
        check("/cat.png", "/", "./");
        check("/t/7", "/", "../");
        check("/t/7", "/t/7.har", "../t/7.har");
        check("/tus/", "/tus/abc", "../tus/abc");
        check("/tus", "/tus/abc", "tus/abc");
        check("/a/b/c", "/files/c", "../../files/c");

        fn check(from: &str, to: &str, expected: &str) {
            assert_eq!(relative(from, to), expected, "{from} {to}");
        }
    }
}
