//! A client that uses everything that works on files, and what must be true whatever it was answered.

use std::{collections::HashMap, fs, net::SocketAddr, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{client::content, test_server::within_limit, tus};

/// More than a batch of writes.
const LARGE: usize = 1_100_000;

/// Less than what gets its file early.
const SMALL: usize = 10_000;

/// What the client had of an answer: nothing, where the connection ended before its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: Option<u16>,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status < 300)
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            (found == name).then_some(value)
        })
    }
}

/// Sends a request on a connection of its own.
pub(super) async fn ask(address: SocketAddr, head: &str, body: &[u8]) -> Answer {
    let talk = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = head.replacen("\r\n", "\r\nHost: localhost\r\nConnection: close\r\n", 1);
        let mut answer = Vec::new();
        // The server may answer, or close, before it has read all of the body.
        if stream.write_all(head.as_bytes()).await.is_ok() {
            let _ = stream.write_all(body).await;
        }
        let _ = stream.read_to_end(&mut answer).await;
        answer
    };
    let answer = within_limit(talk).await;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.map_or(answer.len(), |end| end + 4);
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    Answer {
        status: head.split(' ').nth(1).and_then(|word| word.parse().ok()),
        head,
        body: answer[end..].to_vec(),
    }
}

pub(super) async fn put(address: SocketAddr, name: &str, length: usize) -> Answer {
    let head = format!("PUT /{name} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
    ask(address, &head, &content(length)).await
}

/// The uploads of one session.
pub(super) struct Session {
    address: SocketAddr,
    round: usize,
    /// The files that were sent, and whether the client knows that they are stored.
    sent: HashMap<String, (usize, bool)>,
    /// Whether the client knows that the file is removed.
    removed: HashMap<String, bool>,
    /// What should not have happened.
    pub(super) wrong: Vec<String>,
}

impl Session {
    pub(super) fn new(address: SocketAddr, round: usize) -> Self {
        Self {
            address,
            round,
            sent: HashMap::new(),
            removed: HashMap::new(),
            wrong: Vec::new(),
        }
    }

    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.round)
    }

    fn sent(&mut self, name: &str, length: usize, stored: bool) {
        self.sent.insert(name.to_owned(), (length, stored));
    }

    /// Uploads in each way, downloads, removes and lists. Returns what is to be resumed.
    pub(super) async fn run(&mut self) -> Resumable {
        for (name, length) in [("large", LARGE), ("small", SMALL)] {
            let name = self.name(name);
            let answer = put(self.address, &name, length).await;
            self.sent(&name, length, answer.succeeded());
        }
        self.send_form().await;
        let resumable = self.upload_in_parts().await;
        let large = self.name("large");
        let get = format!("GET /files/{large} HTTP/1.1\r\n\r\n");
        let answer = ask(self.address, &get, b"").await;
        if answer.status == Some(200) {
            let whole = answer.field("content-length") == Some(&LARGE.to_string());
            let sent = content(LARGE);
            if !whole || !sent.starts_with(&answer.body) {
                self.wrong
                    .push(format!("{large} is another: {}", answer.head));
            }
        }
        let small = self.name("small");
        let delete = format!("DELETE /files/{small} HTTP/1.1\r\n\r\n");
        let answer = ask(self.address, &delete, b"").await;
        self.removed.insert(small, answer.succeeded());
        ask(self.address, "GET / HTTP/1.1\r\n\r\n", b"").await;
        resumable
    }

    async fn send_form(&mut self) {
        let names = [self.name("form-1"), self.name("form-2")];
        let mut body = Vec::new();
        for name in &names {
            let part = "--b\r\nContent-Disposition: form-data; filename=";
            body.extend(format!("{part}{name}\r\n\r\n").as_bytes());
            body.extend(content(SMALL));
            body.extend(b"\r\n");
        }
        body.extend(b"--b--\r\n");
        let head = format!(
            "POST / HTTP/1.1\r\nContent-Length: {}\r\n\
             Content-Type: multipart/form-data; boundary=b\r\n\r\n",
            body.len()
        );
        let answer = ask(self.address, &head, &body).await;
        for name in names {
            self.sent(&name, SMALL, answer.succeeded());
        }
    }

    async fn upload_in_parts(&mut self) -> Resumable {
        let whole = InParts {
            name: Some(self.name("resumed")),
            target: None,
            content: content(SMALL),
        };
        let mut all = vec![whole];
        let sent = content(2 * SMALL);
        all.extend(sent.chunks(SMALL).map(|piece| InParts {
            name: None,
            target: None,
            content: piece.to_vec(),
        }));
        for upload in &mut all {
            upload.create(self.address).await;
            // In two parts, of which the first may be lost.
            upload.send(self.address, 0, SMALL / 2).await;
            upload.send(self.address, SMALL / 2, SMALL).await;
        }
        let assembled = self.name("assembled");
        let mut resumable = Resumable { all, assembled };
        resumable.assemble(self.address).await;
        resumable
    }

    /// Goes on with everything that was not complete: the server works again. If `anew`, it may have given up
    /// uploads.
    pub(super) async fn resume(&mut self, mut resumable: Resumable, anew: bool) {
        for upload in &mut resumable.all {
            let mut completed = upload.complete(self.address).await;
            if anew && completed.is_err() {
                upload.target = None;
                completed = upload.complete(self.address).await;
            }
            if let Err(answer) = completed {
                let name = upload.name.as_deref().unwrap_or("a partial upload");
                self.wrong
                    .push(format!("{name} does not go on: {answer:?}"));
            }
        }
        if !resumable.assemble(self.address).await {
            self.wrong.push("the file is not assembled".to_owned());
        }
        self.sent(&self.name("resumed"), SMALL, true);
        self.sent(&resumable.assembled, 2 * SMALL, true);
    }

    /// The names of the files of which the client knows that they are stored.
    pub(super) fn stored(&self) -> Vec<&str> {
        let stored = self.sent.iter().filter(|(_, (_, stored))| *stored);
        stored.map(|(name, _)| name.as_str()).collect()
    }

    /// Every file is whole, and all that the client knows to be stored, and nothing that it knows to be removed,
    /// is there. Removes them.
    pub(super) fn check(&mut self, files: &Path) {
        let mut found = Vec::new();
        for entry in fs::read_dir(files).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.starts_with('.') {
                continue;
            }
            let path = files.join(&name);
            let sent = self.sent.get(&name).map(|(length, _)| content(*length));
            if sent != Some(fs::read(&path).unwrap()) {
                self.wrong.push(format!("{name} is not what was sent"));
            }
            fs::remove_file(path).unwrap();
            found.push(name);
        }
        for (name, (_, stored)) in &self.sent {
            let is_there = found.contains(name);
            let is_right = match self.removed.get(name) {
                Some(removed) => !removed || !is_there,
                None => is_there || !stored,
            };
            if !is_right {
                self.wrong.push(format!("{name} is lost or back"));
            }
        }
    }
}

/// The resumable uploads of a session: a whole one, and two that make another file.
pub(super) struct Resumable {
    all: Vec<InParts>,
    assembled: String,
}

impl Resumable {
    /// Returns whether the file is stored.
    async fn assemble(&mut self, address: SocketAddr) -> bool {
        let targets = self.all[1..].iter().map(|part| part.target.as_deref());
        let Some(targets) = targets.collect::<Option<Vec<_>>>() else {
            return false;
        };
        let targets = targets.join(" ");
        let name = BASE64_STANDARD.encode(&self.assembled);
        let fields = format!(
            "Upload-Concat: final;{targets}\r\nUpload-Metadata: filename {name}\r\n\
             Content-Length: 0\r\n"
        );
        let answer = ask_tus(address, "POST", "/tus/", &fields, b"").await;
        answer.succeeded()
    }
}

struct InParts {
    /// None for a partial upload.
    name: Option<String>,
    target: Option<String>,
    content: Vec<u8>,
}

impl InParts {
    async fn create(&mut self, address: SocketAddr) {
        let kind = match &self.name {
            Some(name) => format!("Upload-Metadata: filename {}", BASE64_STANDARD.encode(name)),
            None => "Upload-Concat: partial".to_owned(),
        };
        let length = self.content.len();
        let fields = format!("Upload-Length: {length}\r\nContent-Length: 0\r\n{kind}\r\n");
        let answer = ask_tus(address, "POST", "/tus/", &fields, b"").await;
        let location = answer.field("location").filter(|_| answer.succeeded());
        let id = location.and_then(|location| location.rsplit('/').next());
        self.target = id.map(|id| format!("/tus/{id}"));
    }

    async fn send(&self, address: SocketAddr, from: usize, to: usize) {
        if let Some(target) = &self.target {
            let fields = format!("Upload-Offset: {from}\r\n{}", tus::bytes(to - from));
            ask_tus(address, "PATCH", target, &fields, &self.content[from..to]).await;
        }
    }

    /// Sends what the server lacks.
    async fn complete(&mut self, address: SocketAddr) -> Result<(), Answer> {
        if self.target.is_none() {
            self.create(address).await;
        }
        let length = self.content.len();
        let offset = self.offset(address).await?;
        if offset < length {
            self.send(address, offset, length).await;
        }
        assert_eq!(self.offset(address).await?, length);
        Ok(())
    }

    async fn offset(&self, address: SocketAddr) -> Result<usize, Answer> {
        let target = self.target.as_ref().unwrap();
        let answer = ask_tus(address, "HEAD", target, "", b"").await;
        let offset = answer.field("upload-offset");
        offset.and_then(|offset| offset.parse().ok()).ok_or(answer)
    }
}

async fn ask_tus(
    address: SocketAddr,
    method: &str,
    target: &str,
    fields: &str,
    body: &[u8],
) -> Answer {
    let head = format!("{method} {target} HTTP/1.1\r\nTus-Resumable: 1.0.0\r\n{fields}\r\n");
    ask(address, &head, body).await
}
