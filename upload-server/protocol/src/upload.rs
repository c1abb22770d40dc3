//! The lines of the control socket's `GET /uploads`: one JSON object each, distinguished by `type`.
//!
//! Times are nanoseconds of CLOCK_MONOTONIC, taken in the server; what the server did not
//! see is `null`. Over TLS they are those of the clear text: bytes are there when they have been
//! decrypted, and sent when their encrypted form has been handed to the kernel.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest target in a record, in bytes.
pub const MAX_TARGET: usize = 1_024;

/// One line of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FeedLine {
    /// The first line: the serving process.
    Server(Server),
    /// A part of an upload ended, complete or not; more may follow.
    Part(PartOfUpload),
    /// An upload ended, complete or not.
    Upload(Upload),
    /// A connection was closed by the server or found closed: no upload of it will follow.
    Connection(ConnectionEnd),
    /// A line of a later version of the server; ignore it.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// The serving process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its process id.
    pub pid: u32,
    /// Its process name (`/proc/PID/comm`).
    pub comm: String,
    /// Inode number of its network namespace.
    pub netns: u64,
    /// The addresses it listens on for uploads.
    pub listen: Vec<SocketAddr>,
    /// The crate's version.
    pub version: String,
}

/// The end of a connection, as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionEnd {
    /// The accepted socket.
    pub cookie: Cookie,
    /// When `accept` returned it.
    pub accepted_ns: u64,
    /// When the server was done with it.
    pub closed_ns: u64,
    /// How many requests it carried.
    pub requests: u32,
}

/// One file of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Names the upload: unique in the server's history, or in the server's life where it keeps none.
    pub id: String,
    /// The accepted socket that carried it, or its last part, or the request to put its parts together.
    pub cookie: Cookie,
    /// Which request on that connection, counted from 1.
    pub request: u32,
    /// The client, or a proxy: the other end of the connection.
    pub client: SocketAddr,
    /// The client beyond a trusted proxy, as the proxy reports it; absent where there is none, or it is
    /// unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_for: Option<IpAddr>,
    /// The request's method.
    pub method: String,
    /// The request's target, as it came, without its query, which may be secret; of a long one, the
    /// beginning: at most [`MAX_TARGET`] bytes.
    pub target: String,
    /// How long the target was, in bytes, where `target` is only its beginning; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_bytes: Option<u64>,
    /// The request's protocol version, such as `HTTP/1.1`.
    pub version: String,
    /// The name the file was or would have been stored under; `null` where none was accepted.
    pub name: Option<String>,
    /// The request's `X-Request-Id`, by which its sender knows it again; `null` where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The request's `Content-Length`.
    pub content_length: Option<u64>,
    /// Bytes of the file that arrived.
    pub bytes: u64,
    /// How long the stored file was when it got its name; `null` where none is stored.
    #[serde(default)]
    pub stored_bytes: Option<u64>,
    /// SHA-256 of the stored file as hexadecimal digits; `null` where it was not computed.
    #[serde(default)]
    pub sha256: Option<String>,
    /// The status of the response; `null` when none was sent. Of a form with many files, the records of the
    /// earlier files come before the response: their status and times of the response are `null`, and added
    /// to the server's history once it is sent.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong, in a sentence; `null` where nothing did.
    pub error: Option<String>,
    /// The requests that carried parts of it, in the order of its bytes, where it came in parts (tus);
    /// empty where one request was the upload. Of very many, the latest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<Part>,
    /// The server's events, with their times.
    #[serde(flatten)]
    pub times: Times,
}

/// A part of an upload, and the connection that carried it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The accepted socket that carried it.
    pub cookie: Cookie,
    /// Which request on that connection, counted from 1.
    pub request: u32,
    /// The client, or a proxy: the other end of the connection.
    pub client: SocketAddr,
    /// The client beyond a trusted proxy, as the proxy reports it; absent where there is none, or it is
    /// unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_for: Option<IpAddr>,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// Bytes of the file that arrived.
    pub bytes: u64,
    /// The server's events, with their times; those of the response only for the last part.
    #[serde(flatten)]
    pub times: Times,
}

/// A request that brought a part of an upload that comes in several (tus). The upload's own line
/// follows when the upload ends, on whichever connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartOfUpload {
    /// Names the upload until it ends: the first digits of its address's last segment. Enough to
    /// distinguish uploads, too few to resume one.
    pub resumable: String,
    /// The name the file is to be stored under; `null` for a partial upload (tus).
    pub name: Option<String>,
    /// Bytes of the upload: of the whole file, or of a partial upload (tus), which the client has put
    /// together with others later; `null` where the client does not know yet.
    pub length: Option<u64>,
    /// The request's method.
    pub method: String,
    /// The request's target, as it came, without its query, which may be secret; of a long one, the
    /// beginning: at most [`MAX_TARGET`] bytes.
    pub target: String,
    /// How long the target was, in bytes, where `target` is only its beginning; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_bytes: Option<u64>,
    /// The request's protocol version, such as `HTTP/1.1`.
    pub version: String,
    /// The request's `Content-Length`.
    pub content_length: Option<u64>,
    /// The part. When its response was sent is not known yet.
    #[serde(flatten)]
    pub part: Part,
}

/// The server's events of an upload, with their times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// `accept` returned the connection.
    pub accepted_ns: u64,
    /// The first bytes of the request were read; `null` where they came together with an earlier
    /// request's, and with HTTP/2, which mixes the bytes of several requests.
    pub first_byte_ns: Option<u64>,
    /// The request head was complete.
    pub head_ns: u64,
    /// The first bytes of the body were handed on.
    pub body_first_ns: Option<u64>,
    /// The last bytes of the body were handed on.
    pub body_last_ns: Option<u64>,
    /// The file was stored under its name.
    pub stored_ns: Option<u64>,
    /// The response was ready to be sent.
    pub response_ns: Option<u64>,
    /// The response had been handed to the kernel.
    pub sent_ns: Option<u64>,
    /// For how long the request waited for the disk: while its body arrived, and while the file was stored.
    /// Digests that are computed as the bytes are written are in it. `null` where nothing was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_ns: Option<u64>,
}

/// How an upload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Stored under its name.
    Complete,
    /// The client closed the connection before the body was complete.
    Aborted,
    /// The connection was reset before the body was complete.
    Reset,
    /// The client sent nothing for too long.
    TimedOut,
    /// The body is larger than the server takes.
    TooLarge,
    /// The server declined: a name it does not accept, a malformed request.
    Refused,
    /// The disk is full.
    DiskFull,
    /// The server failed in another way.
    Failed,
}

impl Upload {
    /// For how long its requests on this connection waited for the disk; `None` where that is unknown.
    #[must_use]
    pub fn disk_ns_on(&self, connection: Cookie) -> Option<u64> {
        let last = (self.cookie, self.request);
        // The times of the last request go on after its part.
        let parts = self.connections.iter();
        let earlier = parts.filter(|part| (part.cookie, part.request) != last);
        earlier
            .map(|part| (part.cookie, part.times))
            .chain([(self.cookie, self.times)])
            .filter(|(cookie, _)| *cookie == connection)
            .filter_map(|(_, times)| times.disk_ns)
            .reduce(u64::saturating_add)
    }

    /// The address that the upload came from: that of the client, not of a trusted proxy.
    #[must_use]
    pub fn origin(&self) -> String {
        let beyond = self.forwarded_for.map(|address| address.to_string());
        beyond.unwrap_or_else(|| self.client.to_string())
    }

    /// Whether a request with this target may have carried the upload: of a long target, the beginning is
    /// compared.
    #[must_use]
    pub fn has_target(&self, target: &str) -> bool {
        match self.target_bytes {
            None => self.target == target,
            Some(_) => target.starts_with(&self.target),
        }
    }
}

impl Outcome {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Aborted => "aborted",
            Self::Reset => "reset",
            Self::TimedOut => "timed_out",
            Self::TooLarge => "too_large",
            Self::Refused => "refused",
            Self::DiskFull => "disk_full",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Complete => "complete",
            Self::Aborted => "aborted",
            Self::Reset => "reset",
            Self::TimedOut => "timed out",
            Self::TooLarge => "too large",
            Self::Refused => "refused",
            Self::DiskFull => "disk full",
            Self::Failed => "failed",
        })
    }
}

/// A socket cookie: the kernel's number for a socket, never used again while it runs. A string in
/// JSON, because a `u64` loses digits in `jq` and JavaScript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cookie(pub u64);

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Cookie {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Serialize for Cookie {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cookie {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_newer_server_is_passed_over() {
        let line = r#"{"type":"news","of":{"what":7}}"#;
        assert_eq!(
            serde_json::from_str::<FeedLine>(line).unwrap(),
            FeedLine::Unknown
        );
    }

    #[test]
    fn a_record_of_an_older_server_is_read() {
        let line = r#"{"id":"1","cookie":"7","request":1,"client":"192.0.2.1:4000","method":"PUT",
            "target":"/file","version":"HTTP/1.1","name":"file","content_length":3,"bytes":3,
            "status":null,"outcome":"complete","error":null,"accepted_ns":0,"first_byte_ns":null,
            "head_ns":0,"body_first_ns":null,"body_last_ns":null,"stored_ns":null,
            "response_ns":null,"sent_ns":null}"#;
        let upload: Upload = serde_json::from_str(line).unwrap();
        assert_eq!((&upload.sha256, &upload.request_id), (&None, &None));
        assert_eq!(upload.forwarded_for, None);
        assert_eq!(upload.disk_ns_on(upload.cookie), None);
        assert!(upload.has_target("/file") && !upload.has_target("/file2"));
        let cut = Upload {
            target_bytes: Some(6),
            ..upload
        };
        assert!(cut.has_target("/file2") && !cut.has_target("/fil"));
    }

    #[test]
    fn each_connection_has_its_own_waits_for_the_disk() {
        let line = r#"{"id":"1","cookie":"7","request":2,"client":"192.0.2.1:4000","method":"PATCH",
            "target":"/tus/1","version":"HTTP/1.1","name":"file","content_length":3,"bytes":9,
            "status":null,"outcome":"complete","error":null,"accepted_ns":0,"first_byte_ns":null,
            "head_ns":0,"body_first_ns":null,"body_last_ns":null,"stored_ns":null,
            "response_ns":null,"sent_ns":null}"#;
        let mut upload: Upload = serde_json::from_str(line).unwrap();
        let part = |cookie: u64, request, disk_ns| Part {
            cookie: Cookie(cookie),
            request,
            client: upload.client,
            forwarded_for: None,
            offset: 0,
            bytes: 3,
            times: Times {
                disk_ns,
                ..upload.times
            },
        };
        let parts = vec![
            part(6, 1, Some(10)),
            part(7, 1, Some(20)),
            part(7, 2, Some(30)),
        ];
        upload.connections = parts;
        upload.times.disk_ns = Some(40);
        let of = |cookie: u64| upload.disk_ns_on(Cookie(cookie));
        assert_eq!([of(6), of(7), of(8)], [Some(10), Some(60), None]);
    }
}
