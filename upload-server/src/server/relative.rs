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

/// The shortest reference (RFC 3986, 4.2) that leads from the path of a request to another path of this
/// server. Both begin with a slash. Folders that both share are left out: a proxy may call them
/// otherwise.
pub(crate) fn relative(from: &str, to: &str) -> String {
    let same = from.bytes().zip(to.bytes()).take_while(|(a, b)| a == b);
    let slash = |(index, (byte, _))| (byte == b'/').then_some(index);
    let below = same
        .enumerate()
        .filter_map(slash)
        .last()
        .map_or(0, |slash| slash + 1);
    let (from, to) = (from.get(below..), to.get(below..));
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
    match (from.matches('/').count(), to) {
        (0, "") => "./".to_owned(),
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
        check("/t/7", "/t/7.har", "7.har");
        check("/tus/", "/tus/abc", "abc");
        check("/tus/abc", "/tus/", "./");
        check("/täg", "/töne", "töne");
        check("/tus", "/tus/abc", "tus/abc");
        check("/a/b/c", "/files/c", "../../files/c");

        fn check(from: &str, to: &str, expected: &str) {
            assert_eq!(relative(from, to), expected, "{from} {to}");
        }
    }
}
