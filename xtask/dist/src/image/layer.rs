//! The files of an image: the program, the licences, and the directories that the program writes to.

use std::{collections::BTreeSet, path::Path};

use anyhow::Result;
use tar::{Builder, EntryType, Header};

use super::Container;
use crate::{archive::header, tree::Tree};

/// A tar archive. Nothing in it depends on when, where or by whom it was made.
pub(super) fn layer(tree: &Tree, container: &Container, epoch: u64) -> Result<Vec<u8>> {
    let files = || tree.files.iter().filter(|(path, _)| is_needed(path));
    let mut archive = Builder::new(Vec::new());
    let places = files().map(|(path, _)| format!("usr/{path}"));
    for directory in above(places) {
        let header = header(EntryType::Directory, 0o755, 0, epoch);
        append(&mut archive, header, &format!("{directory}/"), &[])?;
    }
    for (path, file) in files() {
        let header = header(EntryType::Regular, file.mode(), 0, epoch);
        append(&mut archive, header, &format!("usr/{path}"), &file.content)?;
    }
    let own = container.volumes.iter();
    let own: Vec<_> = own
        .map(|volume| (volume.path.trim_start_matches('/'), volume.mode))
        .collect();
    for directory in above(own.iter().map(|(path, _)| (*path).to_owned())) {
        let header = header(EntryType::Directory, 0o755, 0, epoch);
        append(&mut archive, header, &format!("{directory}/"), &[])?;
    }
    for (directory, mode) in own {
        let header = header(EntryType::Directory, mode, container.user, epoch);
        append(&mut archive, header, &format!("{directory}/"), &[])?;
    }
    Ok(archive.into_inner()?)
}

/// Neither manual pages nor completions, nor services.
fn is_needed(path: &str) -> bool {
    path.starts_with("bin/") || path.starts_with("share/doc/")
}

/// The directories above, each before those within it.
fn above(paths: impl Iterator<Item = String>) -> BTreeSet<String> {
    let above = paths.flat_map(|path| {
        let directories = Path::new(&path).ancestors().skip(1);
        let named = directories.map(|directory| directory.display().to_string());
        named.filter(|name| !name.is_empty()).collect::<Vec<_>>()
    });
    above.collect()
}

fn append(
    archive: &mut Builder<Vec<u8>>,
    mut header: Header,
    path: &str,
    content: &[u8],
) -> Result<()> {
    header.set_size(u64::try_from(content.len())?);
    archive.append_data(&mut header, path, content)?;
    Ok(())
}
