//! Whether every byte arrived: the number that the client announced, the server read, the disk stored
//! and TCP acknowledged has to be the same.

use maud::Markup;
use upload_protocol::{
    timeline::Protocol,
    upload::{Cookie, Outcome, Upload},
};

use super::{shown::Shown, tables};

/// A count of bytes, and its source.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) name: &'static str,
    pub(super) bytes: Option<u64>,
    /// How it is known, or why not.
    pub(super) how: String,
    /// Whether it counts this upload's bytes alone, and so has to agree with the others.
    counts: bool,
}

/// The result of comparing the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every count is known, and all are the same.
    Agree,
    /// The known counts are the same; others are unknown.
    AgreeAsFarAsKnown,
    /// The upload did not come to its end: less arrived than was announced.
    CutShort,
    /// Two counts differ that should not.
    Differ,
    /// Fewer than two counts are known.
    Unknown,
}

/// Whether the counts of an upload agree, as a sentence with a sign.
#[must_use]
pub fn verdict(upload: &Upload, timelines: &[Shown]) -> Markup {
    tables::verdict(compare(upload, &all(upload, timelines)))
}

/// The counts of an upload as a table, each with its source.
#[must_use]
pub fn counts(upload: &Upload, timelines: &[Shown]) -> Markup {
    tables::integrity(&all(upload, timelines))
}

fn all(upload: &Upload, timelines: &[Shown]) -> Vec<Count> {
    vec![
        announced(upload),
        Count {
            name: "Bytes read by the server",
            bytes: Some(upload.bytes),
            how: "counted as they came out of the connection".to_owned(),
            counts: true,
        },
        stored(upload),
        acknowledged(upload, timelines),
    ]
}

fn compare(upload: &Upload, counts: &[Count]) -> Verdict {
    let known: Vec<u64> = counts
        .iter()
        .filter(|count| count.counts)
        .filter_map(|count| count.bytes)
        .collect();
    let all_known = counts
        .iter()
        .all(|count| count.counts && count.bytes.is_some());
    let same = known.windows(2).all(|pair| pair.first() == pair.last());
    match (same, upload.outcome) {
        _ if known.len() < 2 => Verdict::Unknown,
        (true, Outcome::Complete) if all_known => Verdict::Agree,
        (true, _) => Verdict::AgreeAsFarAsKnown,
        (false, Outcome::Complete) => Verdict::Differ,
        (false, _) => Verdict::CutShort,
    }
}

fn is_form(upload: &Upload) -> bool {
    upload.method == "POST" && upload.connections.is_empty()
}

fn announced(upload: &Upload) -> Count {
    let (bytes, how, counts) = if upload.connections.len() > 1 {
        let of_last = "the upload came in parts, and this is the last request's";
        (upload.content_length, of_last, false)
    } else if is_form(upload) {
        let of_form = "of the whole form, which wraps the file";
        (upload.content_length, of_form, false)
    } else if upload.content_length.is_none() {
        (None, "the client announced no length (chunks)", true)
    } else {
        (upload.content_length, "announced by the client", true)
    };
    Count {
        name: "Content-Length",
        bytes,
        how: how.to_owned(),
        counts,
    }
}

fn stored(upload: &Upload) -> Count {
    let how = match (upload.stored_bytes, upload.outcome) {
        (Some(_), _) => "the file's length when it got its name",
        (None, Outcome::Complete) => "not noted by the server that took it",
        (None, _) => "nothing was stored",
    };
    Count {
        name: "Bytes stored",
        bytes: upload.stored_bytes,
        how: how.to_owned(),
        counts: true,
    }
}

/// The sum over the requests of an upload in parts.
fn acknowledged(upload: &Upload, timelines: &[Shown]) -> Count {
    let requests: Vec<(Cookie, u32)> = if upload.connections.is_empty() {
        vec![(upload.cookie, upload.request)]
    } else {
        let parts = upload.connections.iter();
        parts.map(|part| (part.cookie, part.request)).collect()
    };
    let of_request = |(cookie, request): &(Cookie, u32)| {
        let of_connection = |timeline: &&Shown| timeline.server.cookie == Some(*cookie);
        let timeline = timelines.iter().find(of_connection)?;
        let mut exchanges = timeline.exchanges().iter();
        exchanges
            .find(|exchange| exchange.sequence == *request)?
            .body
            .acknowledged
    };
    let bytes = requests
        .iter()
        .map(of_request)
        .try_fold(0_u64, |sum, bytes| sum.checked_add(bytes?));
    let encrypted = timelines.iter().any(|timeline| {
        let protocol = timeline.maintenance().map(|phase| phase.protocol);
        protocol == Some(Protocol::Tls)
    });
    let how = match bytes {
        Some(_) => "by the acknowledgment number that the server's answer carries",
        None if timelines.is_empty() => "there is no timeline",
        None if encrypted => "encrypted: where the heads end is not seen",
        None if upload.content_length.is_none() => "the chunks' own lines count as well",
        None => "the segments do not show it",
    };
    Count {
        name: "TCP payload without the heads",
        bytes,
        how: how.to_owned(),
        counts: !is_form(upload),
    }
}

#[cfg(test)]
mod tests {
    use upload_protocol::{Timeline, upload::Times};

    use super::*;

    /// An upload that went well.
    fn upload() -> Upload {
        Upload {
            id: "1".to_owned(),
            cookie: Cookie(7),
            request: 1,
            client: ([192, 0, 2, 1], 4_000).into(),
            forwarded_for: None,
            method: "PUT".to_owned(),
            target: "/file".to_owned(),
            target_bytes: None,
            version: "HTTP/1.1".to_owned(),
            name: Some("file".to_owned()),
            request_id: None,
            content_length: Some(3),
            bytes: 3,
            stored_bytes: None,
            sha256: None,
            status: None,
            outcome: Outcome::Complete,
            error: None,
            connections: Vec::new(),
            times: Times::default(),
        }
    }

    fn timeline(acknowledged: Option<u64>) -> Shown {
        let timeline = serde_json::json!({
            "server": {"cookie": "7"},
            "phases": [{"name": "maintenance", "exchanges": [
                {"sequence": 1, "body": {"acknowledged": acknowledged}}
            ]}]
        });
        let timeline: Timeline = serde_json::from_value(timeline).unwrap();
        Shown::new(timeline, |_| true)
    }

    fn check(upload: &Upload, timelines: &[Shown], expected: Verdict) {
        let counts = all(upload, timelines);
        assert_eq!(compare(upload, &counts), expected, "{counts:?}");
    }

    #[test]
    fn four_counts_are_one_number() {
        let mut upload = upload();
        upload.stored_bytes = Some(3);
        check(&upload, &[timeline(Some(3))], Verdict::Agree);
        check(&upload, &[timeline(None)], Verdict::AgreeAsFarAsKnown);
        check(&upload, &[], Verdict::AgreeAsFarAsKnown);
        check(&upload, &[timeline(Some(4))], Verdict::Differ);
        upload.stored_bytes = Some(2);
        check(&upload, &[], Verdict::Differ);
    }

    #[test]
    fn what_was_cut_short_is_no_mismatch() {
        let mut upload = upload();
        (upload.outcome, upload.bytes) = (Outcome::Aborted, 2);
        check(&upload, &[], Verdict::CutShort);
    }

    #[test]
    fn a_forms_length_is_not_its_files() {
        let mut upload = upload();
        upload.method = "POST".to_owned();
        (upload.content_length, upload.stored_bytes) = (Some(200), Some(3));
        check(&upload, &[timeline(Some(200))], Verdict::AgreeAsFarAsKnown);
    }
}
