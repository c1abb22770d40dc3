//! The source, with the eBPF object that was built from it: a stable toolchain is all it takes to build.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context as _, Result, ensure};
use xtask::{
    command::workspace,
    ebpf_source::{PREBUILT, PREBUILT_FROM},
};

use crate::{
    archive::packed,
    release::{Release, git},
    tree::{File, Tree},
};

/// Where cargo finds the commit, since there is no git: `[env]` is its table of variables.
const CARGO_CONFIG: &str = ".cargo/config.toml";
const VARIABLES: &str = "[env]\n";

/// `upload-tracer-VERSION-source.tar.gz`, in one folder of that name.
pub(crate) fn write(release: &Release, out: &Path) -> Result<()> {
    let workspace = workspace();
    let mut tree = Tree::default();
    let listed = git(&[
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ])?;
    let listed = listed.split('\0').filter(|path| !path.is_empty());
    for path in listed.chain([PREBUILT, PREBUILT_FROM]) {
        let place = workspace.join(path);
        // Removed, and not yet committed.
        if !place.exists() {
            continue;
        }
        let file = read(&place).with_context(|| place.display().to_string())?;
        tree.files.insert(path.to_owned(), file);
    }
    let config = tree.files.get_mut(CARGO_CONFIG).context(CARGO_CONFIG)?;
    config.content = with_commit(&config.content, &release.commit)?;
    let name = name(release);
    let archive = packed(&tree, &name, release.epoch)?;
    let place = out.join(format!("{name}.tar.gz"));
    fs::write(&place, archive).with_context(|| place.display().to_string())
}

/// Of the archive, and of the folder in it.
pub(crate) fn name(release: &Release) -> String {
    format!("upload-tracer-{}-source", release.version)
}

fn read(place: &Path) -> Result<File> {
    Ok(File {
        content: fs::read(place)?,
        is_program: place.metadata()?.permissions().mode() & 0o100 != 0,
    })
}

fn with_commit(config: &[u8], commit: &str) -> Result<Vec<u8>> {
    let config = std::str::from_utf8(config).context(CARGO_CONFIG)?;
    ensure!(
        config.matches(VARIABLES).count() == 1,
        "{CARGO_CONFIG} has no table of variables"
    );
    let variable = format!("{VARIABLES}SOURCE_COMMIT = {commit:?}\n");
    Ok(config.replace(VARIABLES, &variable).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::with_commit;

    #[test]
    fn the_commit_is_a_variable_of_the_build() {
        let with = |config: &str| with_commit(config.as_bytes(), "abc");
        let config = with("[alias]\n[env]\nA = \"b\"\n").unwrap();
        let expected = "[alias]\n[env]\nSOURCE_COMMIT = \"abc\"\nA = \"b\"\n";
        assert_eq!(String::from_utf8(config).unwrap(), expected);
        assert!(with("[alias]\n").is_err());
    }
}
