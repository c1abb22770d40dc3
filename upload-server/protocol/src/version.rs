//! Which source a program was built from.

/// The commit, where the build was given one: `cargo xtask dist` and the source that it packs do so.
const COMMIT: Option<&str> = option_env!("SOURCE_COMMIT");

/// A version, with the commit where it is known: `0.2.0 (1a2b3c4)`.
#[must_use]
pub fn of_source(version: &str) -> String {
    with_commit(version, COMMIT)
}

fn with_commit(version: &str, commit: Option<&str>) -> String {
    match commit {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::with_commit;

    #[test]
    fn without_git_there_is_no_commit() {
        assert_eq!(with_commit("0.2.0", Some("1a2b3c4")), "0.2.0 (1a2b3c4)");
        assert_eq!(with_commit("0.2.0", None), "0.2.0");
    }
}
