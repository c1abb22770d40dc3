//! A folder of 1,000 small files, sent as people send one: every file is stored as it was sent.

use std::{collections::BTreeMap, fs, path::Path};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{browser::browse_with, client::content, programs::run, test_server::TestServer};

const FILES: usize = 1_000;

/// The files on the disk of their sender.
pub(crate) struct Folder {
    directory: TempDir,
    /// The content of each name.
    files: BTreeMap<String, Vec<u8>>,
}

impl Folder {
    /// Files of 0 to 2,997 bytes, no two alike. Their names have spaces, and some have letters beyond
    /// ASCII.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = (0..FILES).map(|number| {
            let letter = if number % 10 == 0 { "ï" } else { "i" };
            let mut content = content(number * 3);
            content.reverse();
            (format!("f{letter}le {number}.bin"), content)
        });
        let files: BTreeMap<_, _> = files.collect();
        for (name, content) in &files {
            fs::write(directory.path().join(name), content).unwrap();
        }
        Self { directory, files }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The server has these files and no others.
    pub(crate) fn assert_stored(&self, server: &TestServer) {
        let stored = server.names().into_iter();
        let stored: BTreeMap<_, _> = stored
            .filter(|name| !name.starts_with('.'))
            .map(|name| (fs::read(server.path(&name)).unwrap(), name))
            .map(|(content, name)| (name, content))
            .collect();
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&stored), names(&self.files));
        for (name, content) in &self.files {
            assert!(stored[name] == *content, "{name} is not what was sent");
        }
    }

    /// Runs curl with this line of its configuration for each file.
    async fn curl(&self, line: impl Fn(&str) -> String) -> String {
        let lines: String = self
            .files
            .keys()
            .map(|name| line(&self.path().join(name).display().to_string()))
            .collect();
        let configuration = self.path().with_extension("curl");
        fs::write(&configuration, lines).unwrap();
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "-K"]).arg(&configuration);
        let output = run(&mut curl).await;
        fs::remove_file(configuration).unwrap();
        output
    }
}

#[tokio::test]
async fn one_form() {
    let (server, folder) = (TestServer::start().await, Folder::new());
    let url = format!("url = \"http://{}/\"\n", server.address);
    let once = std::cell::Cell::new(Some(url));
    let form = |path: &str| {
        let url = once.take().unwrap_or_default();
        format!("{url}form = \"file=@{path}\"\n")
    };
    let answer = folder.curl(form).await;
    folder.assert_stored(&server);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer.as_array().unwrap().len(), FILES);
}

#[tokio::test]
async fn curl_with_a_list() {
    let (server, folder) = (TestServer::start().await, Folder::new());
    let put = |path: &str| {
        format!(
            "upload-file = \"{path}\"\nurl = \"http://{}/\"\n",
            server.address
        )
    };
    folder.curl(put).await;
    folder.assert_stored(&server);
}

#[tokio::test]
async fn the_page_in_chromium() {
    let (server, folder) = (TestServer::start().await, Folder::new());
    browse_with(server.address, "stores_a_folder", folder.path()).await;
    folder.assert_stored(&server);
}
