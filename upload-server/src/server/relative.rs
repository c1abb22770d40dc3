//! Relative addresses. A proxy may offer this server beneath a path of its own (`/upload/`), which the
//! server does not see. An address that is relative to that of the request leads to the right place all
//! the same.

use std::sync::Arc;

/// The server's addresses, as the answer to one request refers to them.
pub(crate) struct Links {
    /// The path of the request.
    from: String,
    /// The path beneath which a trusted proxy offers this server.
    prefix: Option<Arc<str>>,
}

impl Links {
    pub(crate) fn new(from: &str, prefix: Option<Arc<str>>) -> Self {
        Self {
            from: from.to_owned(),
            prefix,
        }
    }

    /// A link to a path of this server. With a known prefix, it does not depend on the request's
    /// address: a proxy may offer `/` as `/upload`, without the slash at the end.
    pub(crate) fn to(&self, path: &str) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}{path}"),
            None => relative(&self.from, path),
        }
    }

    /// The path as clients know it.
    pub(crate) fn absolute(&self, path: &str) -> String {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        format!("{prefix}{path}")
    }
}

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
