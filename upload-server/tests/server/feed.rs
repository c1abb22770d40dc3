//! A reader of `GET /uploads`.

use std::path::Path;

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::UnixStream,
};
use upload_server::record::{ConnectionEnd, FeedLine, Server, Upload};

use crate::test_server::within_limit;

pub(crate) struct Feed {
    lines: Lines<BufReader<UnixStream>>,
    pub(crate) server: Server,
}

impl Feed {
    /// Asks as HTTP/1.0, so that the body is what follows the head, without chunks.
    pub(crate) async fn open(control: &Path) -> Self {
        let mut stream = UnixStream::connect(control).await.unwrap();
        stream
            .write_all(b"GET /uploads HTTP/1.0\r\n\r\n")
            .await
            .unwrap();
        let mut lines = BufReader::new(stream).lines();
        while !within_limit(lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .is_empty()
        {}
        let first = within_limit(lines.next_line()).await.unwrap().unwrap();
        let FeedLine::Server(server) = serde_json::from_str(&first).unwrap() else {
            panic!("the feed begins with {first}");
        };
        Self { lines, server }
    }

    /// The next line, or none at the feed's end.
    pub(crate) async fn next(&mut self) -> Option<FeedLine> {
        let line = within_limit(self.lines.next_line()).await.unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// The next line that is not a part's.
    async fn next_whole(&mut self) -> Option<FeedLine> {
        loop {
            match self.next().await {
                Some(FeedLine::Part(_)) => {}
                line => return line,
            }
        }
    }

    /// The next line apart from parts. It must be an upload.
    pub(crate) async fn upload(&mut self) -> Upload {
        match self.next_whole().await {
            Some(FeedLine::Upload(upload)) => upload,
            other => panic!("an upload was due, not {other:?}"),
        }
    }

    /// The next upload, whatever precedes it.
    pub(crate) async fn next_upload(&mut self) -> Upload {
        loop {
            if let FeedLine::Upload(upload) = self.next().await.unwrap() {
                return upload;
            }
        }
    }

    /// The next line apart from parts. It must be the end of a connection.
    pub(crate) async fn connection(&mut self) -> ConnectionEnd {
        match self.next_whole().await {
            Some(FeedLine::Connection(end)) => end,
            other => panic!("a connection's end was due, not {other:?}"),
        }
    }
}
