//! The files of a program, by their paths beneath `/usr`: one list for archives and packages.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};

/// A file.
pub(crate) struct File {
    pub(crate) content: Vec<u8>,
    pub(crate) is_program: bool,
}

impl File {
    pub(crate) const fn mode(&self) -> u32 {
        if self.is_program { 0o755 } else { 0o644 }
    }
}

/// Files, in the order of their paths.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, File>,
}

impl Tree {
    pub(crate) fn add(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        let file = File {
            content: content.into(),
            is_program: false,
        };
        self.files.insert(path.to_owned(), file);
    }

    /// Adds a file of this machine as a program.
    pub(crate) fn add_program(&mut self, path: &str, built: &Path) -> Result<()> {
        let file = File {
            content: fs::read(built).with_context(|| built.display().to_string())?,
            is_program: true,
        };
        self.files.insert(path.to_owned(), file);
        Ok(())
    }

    /// Writes all files beneath a folder that is made anew.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        for (path, file) in &self.files {
            let place = folder.join(path);
            let parent = place.parent().unwrap_or(folder);
            fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
            fs::write(&place, &file.content).with_context(|| place.display().to_string())?;
        }
        Ok(())
    }
}
