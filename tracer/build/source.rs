//! Names the source of the eBPF programs by a digest: an object that was built from it carries the same. xtask uses
//! this file, too.

use std::{
    fs::{self, DirEntry},
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// The object, beneath the workspace's folder.
pub const PREBUILT: &str = "tracer/prebuilt/programs";
/// The digest of the source that it was built from.
pub const PREBUILT_FROM: &str = "tracer/prebuilt/programs.source";

/// What the object is made of: the programs, what they depend on, and how they are optimised.
pub const SOURCE: [&str; 3] = ["Cargo.lock", "Cargo.toml", "tracer-ebpf"];

/// The object that was built from this very source, if there is one.
pub fn prebuilt(workspace: &Path) -> io::Result<Option<PathBuf>> {
    let object = workspace.join(PREBUILT);
    let from = match fs::read_to_string(workspace.join(PREBUILT_FROM)) {
        Ok(from) if object.is_file() => from,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let is_of_this_source = from.trim_end() == digest(workspace)?;
    Ok(is_of_this_source.then_some(object))
}

/// The SHA-256 of every file's path, length and content, in the order of their paths.
pub fn digest(workspace: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    for path in SOURCE {
        add(workspace, Path::new(path), &mut files)?;
    }
    files.sort();
    let mut digest = Sha256::new();
    for path in files {
        let content = fs::read(workspace.join(&path))?;
        let name = path.display().to_string().replace('\\', "/");
        digest.update(format!("{name}\n{}\n", content.len()));
        digest.update(content);
    }
    let bytes = digest.finalize();
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn add(workspace: &Path, path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !workspace.join(path).is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries: Vec<DirEntry> = fs::read_dir(workspace.join(path))?.collect::<Result<_, _>>()?;
    for entry in entries {
        add(workspace, &path.join(entry.file_name()), files)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::{PREBUILT, PREBUILT_FROM, digest, prebuilt};

    fn write(workspace: &Path, path: &str, content: &str) {
        let place = workspace.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, content).unwrap();
    }

    #[test]
    fn an_object_is_of_the_source_that_it_was_built_from_alone() {
        let workspace = tempfile::tempdir().unwrap();
        let workspace = workspace.path();
        for path in ["Cargo.lock", "Cargo.toml", "tracer-ebpf/src/head.rs"] {
            write(workspace, path, path);
        }
        assert_eq!(prebuilt(workspace).unwrap(), None);
        write(workspace, PREBUILT_FROM, &digest(workspace).unwrap());
        assert_eq!(prebuilt(workspace).unwrap(), None);
        write(workspace, PREBUILT, "object");
        assert_eq!(prebuilt(workspace).unwrap(), Some(workspace.join(PREBUILT)));

        write(workspace, "tracer/src/main.rs", "no part of it");
        assert!(prebuilt(workspace).unwrap().is_some());
        write(workspace, "tracer-ebpf/src/head.rs", "changed");
        assert_eq!(prebuilt(workspace).unwrap(), None);
        write(
            workspace,
            "tracer-ebpf/src/head.rs",
            "tracer-ebpf/src/head.rs",
        );
        write(workspace, "tracer-ebpf/src/new.rs", "");
        assert_eq!(prebuilt(workspace).unwrap(), None);
    }

    #[test]
    fn what_moves_from_one_file_to_the_next_changes_the_digest() {
        let digest_of = |first, second| {
            let workspace = tempfile::tempdir().unwrap();
            for (path, content) in [
                ("Cargo.lock", ""),
                ("Cargo.toml", ""),
                ("tracer-ebpf/a", first),
                ("tracer-ebpf/b", second),
            ] {
                write(workspace.path(), path, content);
            }
            digest(workspace.path()).unwrap()
        };
        assert_ne!(digest_of("xy", ""), digest_of("x", "y"));
        assert_eq!(digest_of("x", "y"), digest_of("x", "y"));
    }
}
