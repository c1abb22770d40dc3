//! Resumable uploads (tus) that break off and go on: of one piece, of three pieces at a time that are
//! put together in the end, and of a length that only their end tells.

use std::net::SocketAddr;

use base64::{Engine, prelude::BASE64_STANDARD};

use super::file::File;
use crate::{
    client::{Client, Response},
    random::Random,
    tus::address_of,
};

/// How many pieces of a file are uploaded at a time.
const PIECES: usize = 3;

/// What creates an upload.
enum Length {
    Known,
    /// The last part tells it.
    Deferred,
}

/// In one piece. Returns how often the upload broke off.
pub(super) async fn whole(server: SocketAddr, file: &File<'_>, random: &mut Random) -> usize {
    one(server, file, Length::Known, random).await
}

/// As a stream, whose length is known at its end.
pub(super) async fn deferred(server: SocketAddr, file: &File<'_>, random: &mut Random) -> usize {
    one(server, file, Length::Deferred, random).await
}

/// In pieces at the same time, put together in the end.
pub(super) async fn parallel(server: SocketAddr, file: &File<'_>, random: &mut Random) -> usize {
    let mut randoms = [(); PIECES].map(|()| random.fork());
    let size = file.content.len().div_ceil(PIECES);
    let uploads = randoms
        .iter_mut()
        .enumerate()
        .map(|(piece, random)| async move {
            let begin = (piece * size).min(file.content.len());
            let end = (begin + size).min(file.content.len());
            let content = &file.content[begin..end];
            let fields = format!(
                "Upload-Length: {}\r\nUpload-Concat: partial\r\n",
                content.len()
            );
            let (client, target) = create(server, &fields).await;
            let upload = Upload {
                server,
                target: &target,
                content,
                length: Length::Known,
            };
            let breaks = upload.send(client, random).await;
            (target, breaks)
        });
    let [one, two, three] = uploads.collect::<Vec<_>>().try_into().ok().unwrap();
    let (one, two, three) = tokio::join!(one, two, three);
    let targets = [&one.0, &two.0, &three.0].map(String::as_str).join(" ");
    create(
        server,
        &format!("Upload-Concat: final;{targets}\r\n{}", metadata(file)),
    )
    .await;
    one.1 + two.1 + three.1
}

async fn one(server: SocketAddr, file: &File<'_>, length: Length, random: &mut Random) -> usize {
    let of_length = match length {
        Length::Known => format!("Upload-Length: {}\r\n", file.content.len()),
        Length::Deferred => "Upload-Defer-Length: 1\r\n".to_owned(),
    };
    let (client, target) = create(server, &(of_length + &metadata(file))).await;
    let upload = Upload {
        server,
        target: &target,
        content: file.content,
        length,
    };
    upload.send(client, random).await
}

fn metadata(file: &File<'_>) -> String {
    format!(
        "Upload-Metadata: filename {}\r\n",
        BASE64_STANDARD.encode(&file.name)
    )
}

/// Begins an upload. Returns the path of its address.
async fn create(server: SocketAddr, fields: &str) -> (Client, String) {
    let mut client = Client::connect(server).await;
    let fields = format!("{fields}Content-Length: 0\r\n");
    client.send(head("POST", "/tus/", &fields)).await;
    let response = client.response().await;
    assert_eq!(response.status, 201, "{fields}: {}", response.text());
    (client, address_of(&response))
}

fn head(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n{fields}\r\n")
}

/// An upload that the server has created.
struct Upload<'a> {
    server: SocketAddr,
    target: &'a str,
    content: &'a [u8],
    length: Length,
}

impl Upload<'_> {
    /// Sends the content in parts, some of which break off. Returns how many.
    async fn send(self, mut client: Client, random: &mut Random) -> usize {
        let length = self.content.len();
        let (mut offset, mut breaks) = (0, 0);
        // The length is told with the last part, even if that is empty.
        let mut is_told = matches!(self.length, Length::Known);
        while offset < length || !is_told {
            let rest = &self.content[offset..];
            let sent = &rest[..random.below(rest.len() + 1).max(1).min(rest.len())];
            let is_last = sent.len() == rest.len() && !is_told;
            client.send(self.part(offset, sent.len(), is_last)).await;
            if sent.is_empty() || random.below(3) > 0 {
                client.send(sent).await;
                match client.response().await.status {
                    204 => {
                        offset += sent.len();
                        is_told |= is_last;
                        continue;
                    }
                    // The server may read a request that was cut off after the HEAD that asks for its
                    // offset.
                    status => assert_eq!((status, breaks > 0), (409, true), "{}", self.target),
                }
            } else {
                client.send(&sent[..random.below(sent.len())]).await;
                breaks += 1;
                if random.below(2) == 0 {
                    client.reset();
                }
            }
            client = Client::connect(self.server).await;
            let state = self.state(&mut client).await;
            offset = state.field("upload-offset").unwrap().parse().unwrap();
            is_told = state.field("upload-length").is_some();
        }
        breaks
    }

    fn part(&self, offset: usize, bytes: usize, tells_length: bool) -> String {
        let told = if tells_length {
            format!("Upload-Length: {}\r\n", self.content.len())
        } else {
            String::new()
        };
        let fields = format!(
            "Upload-Offset: {offset}\r\nContent-Type: application/offset+octet-stream\r\n\
             Content-Length: {bytes}\r\n{told}"
        );
        head("PATCH", self.target, &fields)
    }

    async fn state(&self, client: &mut Client) -> Response {
        client.send(head("HEAD", self.target, "")).await;
        let response = client.response_head().await;
        assert_eq!(response.status, 200, "{}", self.target);
        response
    }
}
