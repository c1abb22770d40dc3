//! The kinds of requests, and what each of them looks like.

use std::fmt::{self, Write as _};

use super::{
    candidate::Candidate,
    request::{Body, Http2, Request},
};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Put,
    /// A `PUT` whose digest is checked.
    PutWithDigest,
    FormFiles,
    FormParameters,
    FormPartFields,
    FormBase64,
    /// A field `Content-Type` with many parameters.
    Parameters,
    TusCreation,
    /// An upload that begins with some of its bytes.
    TusBytes,
    TusPatch,
    TusConcatenation,
    Download,
    Ranges,
    DownloadDigest,
    List,
    Events,
    Timeline,
    Metrics,
    Asset,
    Problem,
    Refused,
    Preflight,
    UnfinishedHead,
    /// A TLS handshake that stops after the first bytes.
    UnfinishedHandshake,
    Frames,
    Continuation,
    Resets,
}

/// A file that is there from the start, and its bytes. It takes no space.
pub(super) const LARGE: (&str, u64) = ("fixture-large", 64 << 20);

/// What a connection needs to know before it begins.
#[derive(Clone, Debug, Default)]
pub(super) struct Prepared {
    /// A number that no other connection has.
    pub(super) number: u64,
    /// The addresses of unfinished resumable uploads.
    pub(super) uploads: Vec<String>,
}

/// The most bytes that one connection sends.
const MOST_BYTES: usize = 2 << 20;

const OCTETS: &str = "application/offset+octet-stream";
const FORM: &str = "multipart/form-data; boundary=b";

impl Kind {
    pub(super) const ALL: [Self; 27] = [
        Self::Put,
        Self::PutWithDigest,
        Self::FormFiles,
        Self::FormParameters,
        Self::FormPartFields,
        Self::FormBase64,
        Self::Parameters,
        Self::TusCreation,
        Self::TusBytes,
        Self::TusPatch,
        Self::TusConcatenation,
        Self::Download,
        Self::Ranges,
        Self::DownloadDigest,
        Self::List,
        Self::Events,
        Self::Timeline,
        Self::Metrics,
        Self::Asset,
        Self::Problem,
        Self::Refused,
        Self::Preflight,
        Self::UnfinishedHead,
        Self::UnfinishedHandshake,
        Self::Frames,
        Self::Continuation,
        Self::Resets,
    ];

    pub(super) fn needs_http2(self) -> bool {
        matches!(self, Self::Frames | Self::Continuation | Self::Resets)
    }

    pub(super) fn has_body(self) -> bool {
        matches!(
            self,
            Self::Put
                | Self::PutWithDigest
                | Self::FormFiles
                | Self::FormParameters
                | Self::FormPartFields
                | Self::FormBase64
                | Self::Parameters
                | Self::TusBytes
                | Self::TusPatch
                | Self::Refused
        )
    }

    /// Whether the answer is much longer than the request.
    pub(super) fn has_large_answers(self) -> bool {
        matches!(
            self,
            Self::List | Self::Timeline | Self::Metrics | Self::Asset | Self::Resets
        )
    }

    /// Count and size to begin with.
    pub(super) fn typical(self) -> (u32, u32) {
        match self {
            Self::FormFiles => (200, 1),
            Self::FormParameters | Self::FormPartFields => (3_000, 1),
            Self::Parameters => (10_000, 1),
            Self::FormBase64 => (1, 4_096),
            Self::TusConcatenation => (16, 1),
            Self::Ranges => (500, 1),
            Self::Frames => (100, 1),
            Self::Problem | Self::Refused | Self::Preflight => (1, 500),
            Self::UnfinishedHead => (1, 8_000),
            Self::Continuation => (1, 20_000),
            _ => (1, 1),
        }
    }

    /// How many partial uploads must be there before.
    pub(super) fn uploads(self, candidate: &Candidate) -> u32 {
        match self {
            Self::TusPatch => 1,
            Self::TusConcatenation => candidate.count.min(256),
            _ => 0,
        }
    }

    pub(super) fn describe(self, of: &Candidate, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, size) = (of.count, of.size);
        match self {
            Self::Put => write!(f, "PUT of {size} B"),
            Self::PutWithDigest => write!(f, "PUT of {size} B with a digest"),
            Self::FormFiles => write!(f, "form of {count} files of one byte, names of {size} B"),
            Self::FormParameters => write!(f, "form, {count} parameters of a part's name"),
            Self::FormPartFields => write!(f, "form, {count} fields in a part's head"),
            Self::FormBase64 => write!(f, "form, a file of {size} B in base64"),
            Self::Parameters => write!(f, "form, {count} parameters of Content-Type"),
            Self::TusCreation => write!(f, "creation of a resumable upload, metadata of {size} B"),
            Self::TusBytes => write!(f, "creation of a resumable upload with {size} B"),
            Self::TusPatch => write!(f, "PATCH of a byte of one resumable upload"),
            Self::TusConcatenation => write!(f, "concatenation of {count} uploads"),
            Self::Download => write!(f, "download"),
            Self::Ranges => write!(f, "download of {count} ranges"),
            Self::DownloadDigest => write!(f, "HEAD of a file with its digest"),
            Self::List => write!(f, "list of files"),
            Self::Events => write!(f, "listener for events"),
            Self::Timeline => write!(f, "page of an upload"),
            Self::Metrics => write!(f, "metrics"),
            Self::Asset => write!(f, "script of the page"),
            Self::Problem => write!(f, "missing file, target of {size} B"),
            Self::Refused => write!(f, "refused form of another site, Origin of {size} B"),
            Self::Preflight => write!(f, "preflight, Origin of {size} B"),
            Self::UnfinishedHead => write!(f, "head without its end, {size} B"),
            Self::UnfinishedHandshake => write!(f, "TLS handshake without its end, {size} B"),
            Self::Frames => write!(f, "{count} frames besides requests"),
            Self::Continuation => write!(f, "fields without their end, {size} B"),
            Self::Resets => write!(f, "request that is given up"),
        }
    }

    /// Everything that one connection sends.
    pub(super) fn script(self, of: &Candidate, prepared: &Prepared) -> Vec<u8> {
        let mut script = Vec::new();
        if self == Self::UnfinishedHandshake {
            script.extend([22, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb, 3, 3]);
            script.resize(of.size.clamp(1, 16_000) as usize, 0);
        } else if of.http2 {
            self.write_http2(of, prepared, &mut script);
        } else {
            for number in 0..of.requests {
                let mut request = self.request(of, prepared, number);
                // A body without its end is the last on its connection.
                if number + 1 < of.requests
                    && let Some(body) = &mut request.body
                {
                    body.ends = true;
                }
                for field in 0..of.fields.min(90) {
                    request.fields.push((format!("x-{field}"), String::new()));
                }
                request.write_http1(&mut script);
                if self == Self::UnfinishedHead {
                    script.truncate(script.len() - 2);
                    break;
                }
                if script.len() > MOST_BYTES {
                    break;
                }
            }
        }
        script
    }

    fn write_http2(self, of: &Candidate, prepared: &Prepared, script: &mut Vec<u8>) {
        let window = if of.reads { 1 << 30 } else { 0 };
        let mut http2 = Http2::begin(script, window);
        let mut bytes = 0;
        for number in 0..of.requests {
            match self {
                Self::Frames => {
                    // PING, SETTINGS, PRIORITY, and one that no document describes.
                    let frames: [(u8, usize); 4] = [(6, 8), (4, 0), (2, 5), (0xfa, 0)];
                    let (kind, length) = frames[of.size as usize % frames.len()];
                    let stream = if kind == 2 { 2 * number + 1 } else { 0 };
                    for _ in 0..of.count.min(10_000) {
                        http2.frame(kind, 0, stream, &vec![0; length]);
                    }
                    bytes += of.count as usize * 17;
                }
                Self::Continuation | Self::UnfinishedHead => {
                    http2.headers(
                        2 * number + 1,
                        0,
                        &vec![0x90; of.size.max(1) as usize],
                        false,
                    );
                    break;
                }
                _ => {
                    let request = self.request(of, prepared, number);
                    bytes += request.body.as_ref().map_or(0, |body| body.bytes.len());
                    let stream = http2.request(&request, of.fields);
                    if self == Self::Resets {
                        http2.reset(stream);
                    }
                }
            }
            if bytes > MOST_BYTES {
                break;
            }
        }
    }

    fn request(self, of: &Candidate, prepared: &Prepared, number: u32) -> Request {
        let name = format!("a{}-{number}", prepared.number);
        let size = of.size as usize;
        let large = format!("/files/{}", LARGE.0);
        match self {
            Self::Put => Request::new("PUT", format!("/{name}")).body(body(of, vec![b'x'; size])),
            Self::PutWithDigest => Request::new("PUT", format!("/{name}"))
                .field("content-digest", format!("sha-256=:{}=:", "A".repeat(43)))
                .body(body(of, vec![b'x'; size])),
            Self::FormFiles => {
                let mut parts = String::new();
                let longer = "n".repeat(size.min(200));
                for file in 0..of.count {
                    let _ = write!(
                        parts,
                        "--b\r\nContent-Disposition: form-data; filename={name}-{file}{longer}\r\n\r\nx\r\n"
                    );
                }
                form(of, parts)
            }
            Self::FormParameters => form(
                of,
                format!(
                    "--b\r\nContent-Disposition: form-data; filename={name}{}\r\n\r\nx",
                    ";a=".repeat(of.count as usize)
                ),
            ),
            Self::FormPartFields => {
                let mut part =
                    format!("--b\r\nContent-Disposition: form-data; filename={name}\r\n");
                for field in 0..of.count {
                    let _ = write!(part, "{field:x}:\r\n");
                }
                form(of, part + "\r\nx")
            }
            Self::FormBase64 => form(
                of,
                format!(
                    "--b\r\nContent-Disposition: form-data; filename={name}\r\n\
                     Content-Transfer-Encoding: base64\r\n\r\n{}",
                    "A".repeat(size)
                ),
            ),
            Self::Parameters => Request::new("POST", "/")
                .field(
                    "content-type",
                    format!("{FORM}{}", ";a=".repeat(of.count as usize)),
                )
                .body(body(of, b"--b\r\n".to_vec())),
            Self::TusCreation => tus(Request::new("POST", "/tus/"))
                .field("upload-length", "1000")
                .field(
                    "upload-metadata",
                    format!("a {}", "A".repeat(size.min(2_000) / 4 * 4)),
                ),
            Self::TusBytes => tus(Request::new("POST", "/tus/"))
                .field("upload-length", (size + 1_000).to_string())
                .field("content-type", OCTETS)
                .body(body(of, vec![b'x'; size])),
            Self::TusPatch => {
                let target = prepared.uploads.first().cloned().unwrap_or_default();
                tus(Request::new("PATCH", target))
                    .field("upload-offset", number.to_string())
                    .field("content-type", OCTETS)
                    .body(body(of, b"x".to_vec()))
            }
            Self::TusConcatenation => tus(Request::new("POST", "/tus/")).field(
                "upload-concat",
                format!("final;{}", prepared.uploads.join(" ")),
            ),
            Self::Download => Request::new("GET", large),
            Self::Ranges => {
                let mut ranges = String::from("bytes=0-0");
                for range in 1..of.count {
                    let _ = write!(ranges, ",{range}-");
                }
                Request::new("GET", large).field("range", ranges)
            }
            Self::DownloadDigest => {
                Request::new("HEAD", large).field("want-repr-digest", "sha-256=1")
            }
            Self::List => Request::new("GET", "/").field("accept", "text/html"),
            Self::Events => Request::new("GET", "/events").field("accept", "text/event-stream"),
            Self::Timeline => {
                let forms = ["", ".json", ".har", ".perfetto.json", "?fragment"];
                Request::new("GET", format!("/t/1{}", forms[size % forms.len()]))
            }
            Self::Metrics => Request::new("GET", "/metrics"),
            Self::Asset => Request::new("GET", "/page/page.js"),
            Self::Problem => Request::new("GET", format!("/{}", "a/".repeat(size / 2)))
                .field("accept", "text/html"),
            Self::Refused => Request::new("POST", "/")
                .field("origin", format!("https://{}", "a".repeat(size)))
                .field("content-type", FORM)
                .body(body(of, b"--b\r\n".to_vec())),
            Self::Preflight => Request::new("OPTIONS", "/")
                .field("origin", format!("https://{}", "a".repeat(size)))
                .field("access-control-request-method", "PUT"),
            Self::UnfinishedHead => Request::new("GET", "/").field("cookie", "a".repeat(size)),
            Self::Resets => Request::new("GET", "/"),
            Self::UnfinishedHandshake | Self::Frames | Self::Continuation => Request::default(),
        }
    }
}

fn body(of: &Candidate, bytes: Vec<u8>) -> Body {
    Body {
        bytes,
        piece: if of.piece == 0 {
            usize::MAX
        } else {
            of.piece as usize
        },
        is_chunked: of.piece > 0,
        ends: of.ends,
    }
}

fn form(of: &Candidate, mut form: String) -> Request {
    if of.ends {
        form += "\r\n--b--\r\n";
    }
    Request::new("POST", "/")
        .field("content-type", FORM)
        .body(body(of, form.into_bytes()))
}

fn tus(request: Request) -> Request {
    request.field("tus-resumable", "1.0.0")
}
