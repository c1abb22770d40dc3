//! A program as a tar archive: unpacked into `/usr/local`, it is installed.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder, write::GzEncoder};
use tar::{Builder, EntryType, Header};

use crate::{program::Built, tree::Tree};

/// `NAME-VERSION-ARCHITECTURE.tar.gz`, in one folder of that name.
pub(crate) fn write(built: &Built<'_>, out: &Path) -> Result<()> {
    let (program, version) = (built.program.name, built.release.version);
    let name = format!("{program}-{version}-{}", built.architecture.name());
    let archive = packed(&built.tree, &name, built.release.epoch)?;
    let place = out.join(format!("{name}.tar.gz"));
    fs::write(&place, archive).with_context(|| place.display().to_string())
}

/// Nothing in it depends on when, where or by whom it was made.
pub(crate) fn packed(tree: &Tree, folder: &str, epoch: u64) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for (path, file) in &tree.files {
        let mut header = header(EntryType::Regular, file.mode(), 0, epoch);
        header.set_size(u64::try_from(file.content.len())?);
        archive.append_data(&mut header, format!("{folder}/{path}"), &*file.content)?;
    }
    gzip(&archive.into_inner()?)
}

/// Of an entry that belongs to this user, and to the group of the same number.
pub(crate) fn header(kind: EntryType, mode: u32, user: u32, epoch: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(epoch);
    header.set_uid(user.into());
    header.set_gid(user.into());
    header
}

/// Compressed, without a name and a time.
pub(crate) fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut compressed: GzEncoder<Vec<u8>> =
        GzBuilder::new().write(Vec::new(), Compression::best());
    compressed.write_all(content)?;
    Ok(compressed.finish()?)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::packed;
    use crate::tree::Tree;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.add("share/b", "second");
        tree.add("bin/a", "first");
        tree
    }

    #[test]
    fn an_archive_is_the_same_each_time() {
        assert_eq!(
            packed(&tree(), "x", 7).unwrap(),
            packed(&tree(), "x", 7).unwrap()
        );
    }

    #[test]
    fn an_archive_has_each_file_in_order() {
        let packed = packed(&tree(), "x-1", 7).unwrap();
        let mut archive = tar::Archive::new(GzDecoder::new(&*packed));
        let files = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 7);
            let path = entry.path().unwrap().display().to_string();
            (path, entry.header().mode().unwrap(), content)
        });
        let files: Vec<_> = files.collect();
        let expected = [
            ("x-1/bin/a", 0o644, "first"),
            ("x-1/share/b", 0o644, "second"),
        ];
        let expected =
            expected.map(|(path, mode, content)| (path.to_owned(), mode, content.to_owned()));
        assert_eq!(files, expected);
    }
}
