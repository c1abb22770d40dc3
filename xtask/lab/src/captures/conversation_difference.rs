//! How the conversations of one capture differ, and which differences are explained.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

use upload_protocol::timeline::{Defect, Incomplete};

use super::conversation::{Conversation, Conversations, Message};

/// What differs, and what was compared.
#[derive(Default)]
pub(super) struct ConversationDifferences {
    /// By name, each with the conversation and both programs' values.
    different: Vec<(&'static str, String)>,
    /// How many differ for a known reason, by that reason.
    pub(super) explained: BTreeMap<&'static str, usize>,
    /// What one program alone saw, by name.
    pub(super) alone: BTreeMap<&'static str, usize>,
    alone_details: Vec<String>,
    /// Requests and responses that both saw.
    pub(super) messages: usize,
    /// Conversations in which both saw TLS.
    pub(super) handshakes: usize,
    /// Conversations whose length and duration were compared.
    pub(super) volumes: usize,
}

/// What differences of messages are called.
struct MessageNames {
    bytes: &'static str,
    by_tracer: &'static str,
    by_tshark: &'static str,
}

const REQUESTS: MessageNames = MessageNames {
    bytes: "request bytes",
    by_tracer: "requests by the tracer alone",
    by_tshark: "requests by tshark alone",
};
const RESPONSES: MessageNames = MessageNames {
    bytes: "response bytes",
    by_tracer: "responses by the tracer alone",
    by_tshark: "responses by tshark alone",
};

impl Conversation {
    /// Whether the capture lacks some of it.
    fn has_holes(&self) -> bool {
        self.is_incomplete(Incomplete::HolesInCapture)
    }

    /// Whether the capture lacks some of it, or its end.
    fn lacks_some(&self) -> bool {
        self.has_holes() || self.is_incomplete(Incomplete::CaptureEnded)
    }

    /// Whether the tracer says that this is malformed.
    fn has_malformed(&self, what: Defect) -> bool {
        self.malformed.iter().any(|one| one == what.name())
    }

    fn is_incomplete(&self, why: Incomplete) -> bool {
        self.incomplete.iter().any(|reason| reason == why.name())
    }
}

const WAITS: &str = "tshark waits for what the capture lacks";
/// With these, the end of a message is disputed.
const OF_HEADS: [Defect; 4] = [
    Defect::HttpHeadNotText,
    Defect::HttpFieldMalformed,
    Defect::HttpContentLengthsDiffer,
    Defect::HttpContentLengthNotANumber,
];

impl ConversationDifferences {
    /// `goes_back`: whether the capture's times do.
    pub(super) fn between(
        found: &Conversations,
        expected: &Conversations,
        goes_back: bool,
    ) -> Self {
        let mut differences = Self::default();
        for (stream, expected) in expected {
            let Some(found) = found.get(stream) else {
                continue;
            };
            differences.messages(
                stream,
                &REQUESTS,
                found,
                &found.requests,
                &expected.requests,
            );
            differences.messages(
                stream,
                &RESPONSES,
                found,
                &found.responses,
                &expected.responses,
            );
            differences.tls(stream, found, expected);
            differences.volume(stream, found, expected, goes_back);
        }
        differences
    }

    /// How many differences have each name.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for (name, _) in &self.different {
            *counts.entry(*name).or_default() += 1;
        }
        counts
    }

    pub(super) const fn len(&self) -> usize {
        self.different.len()
    }

    pub(super) fn details(&self, file: &Path) -> String {
        let mut text = String::new();
        let file = file.display();
        for (name, values) in &self.different {
            let _ = writeln!(text, "{file} {name}: {values}");
        }
        for alone in &self.alone_details {
            let _ = writeln!(text, "{file} {alone}");
        }
        text
    }

    fn differ(&mut self, name: &'static str, stream: &str, found: &str, expected: &str) {
        let values = format!("stream {stream}: tracer {found}, tshark {expected}");
        self.different.push((name, values));
    }

    fn explain(&mut self, reason: &'static str) {
        *self.explained.entry(reason).or_default() += 1;
    }

    fn only(&mut self, name: &'static str, stream: &str, what: &str) {
        *self.alone.entry(name).or_default() += 1;
        self.alone_details
            .push(format!("{name}, stream {stream}: {what}"));
    }

    fn messages(
        &mut self,
        stream: &str,
        names: &MessageNames,
        conversation: &Conversation,
        found: &[Message],
        expected: &[Message],
    ) {
        let has_holes = conversation.has_holes();
        let connects = conversation.requests.iter();
        let connects = connects.filter(|request| request.head.starts_with("CONNECT "));
        let has_tunnel = connects.count() > 0;
        for pair in aligned(found, expected) {
            match pair {
                (Some(found), Some(expected)) => {
                    self.messages += 1;
                    if found.bytes.unwrap_or_default() == expected.bytes.unwrap_or_default() {
                        continue;
                    }
                    // tshark shows what came of it with the head, or nothing of it.
                    if found.missing_end.is_some() {
                        self.explain("a body without its end");
                        continue;
                    }
                    if OF_HEADS
                        .iter()
                        .any(|what| conversation.has_malformed(*what))
                    {
                        self.explain("where the body behind a malformed head ends is disputed");
                        continue;
                    }
                    let is_success = found.head.len() == 3 && found.head.starts_with('2');
                    if found.bytes.is_none() && has_tunnel && is_success {
                        self.explain("what follows a successful CONNECT is no body");
                        continue;
                    }
                    let value = |message: &Message| format!("{} {:?}", message.head, message.bytes);
                    self.differ(names.bytes, stream, &value(found), &value(expected));
                }
                (Some(found), None) if found.missing_end.is_some() => {
                    self.explain("tshark shows a message once it is whole");
                }
                (Some(_), None) if has_holes => {
                    self.explain(WAITS);
                }
                (Some(found), None) => self.only(names.by_tracer, stream, &found.head),
                (None, Some(expected)) => self.only(names.by_tshark, stream, &expected.head),
                (None, None) => {}
            }
        }
    }

    fn tls(&mut self, stream: &str, found: &Conversation, expected: &Conversation) {
        match (found.is_tls, expected.is_tls) {
            (false, false) => return,
            (false, true) => return self.only("TLS by tshark alone", stream, ""),
            (true, false) => return self.only("TLS by the tracer alone", stream, ""),
            (true, true) => self.handshakes += 1,
        }
        let lacks_some = found.lacks_some();
        let hello_is_malformed = found.has_malformed(Defect::TlsServerHelloLengths);
        let names: BTreeSet<_> = found.tls.keys().chain(expected.tls.keys()).collect();
        for name in names {
            let [found, expected] =
                [found, expected].map(|all| all.tls.get(name).map_or("", String::as_str));
            if found == expected {
                continue;
            }
            if lacks_some && found.starts_with(expected) {
                self.explain(WAITS);
            } else if matches!(*name, "version" | "cipher suite")
                && found.is_empty()
                && hello_is_malformed
            {
                self.explain("tshark reads a ServerHello whose lengths do not fit");
            } else {
                let expected = if expected.is_empty() {
                    "nothing"
                } else {
                    expected
                };
                self.differ(name, stream, found, expected);
            }
        }
    }

    fn volume(
        &mut self,
        stream: &str,
        found: &Conversation,
        expected: &Conversation,
        goes_back: bool,
    ) {
        self.volumes += 1;
        let has_holes = found.has_holes();
        let has_one_direction = found.is_incomplete(Incomplete::OneDirection);
        let is_numbered_anew = expected.is_numbered_anew;
        for (name, end) in [("client's bytes", 0), ("server's bytes", 1)] {
            let (found, expected) = (found.bytes[end], expected.bytes[end]);
            // Of a conversation without its end, the tracer does not tell a length.
            let Some(found) = found else { continue };
            let value = expected.unwrap_or_default();
            if found != value && is_numbered_anew {
                self.explain("tshark numbers a conversation anew after another SYN-ACK");
                continue;
            }
            let expected = value;
            if found > expected && (has_holes || has_one_direction) {
                self.explain("bytes that the capture lacks, and their receiver acknowledged");
            } else if found != expected {
                self.differ(name, stream, &found.to_string(), &expected.to_string());
            }
        }
        if let (Some(found), Some(expected)) = (found.duration_ns, expected.duration_ns)
            && found != expected
        {
            if goes_back {
                self.explain("the capture goes back in time, the tracer does not");
                return;
            }
            self.differ(
                "duration",
                stream,
                &found.to_string(),
                &expected.to_string(),
            );
        }
    }
}

/// Pairs of the same head, in order, as many as possible, and of these as many of the same length as possible; the
/// others alone.
fn aligned<'a>(
    found: &'a [Message],
    expected: &'a [Message],
) -> Vec<(Option<&'a Message>, Option<&'a Message>)> {
    const PAIR: u64 = 1 << 32;
    let (rows, columns) = (found.len(), expected.len());
    let mut lengths = vec![vec![0_u64; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            let (one, other) = (&found[row], &expected[column]);
            let alone = lengths[row + 1][column].max(lengths[row][column + 1]);
            let is_equal = one.bytes.unwrap_or_default() == other.bytes.unwrap_or_default();
            let paired = lengths[row + 1][column + 1] + PAIR + u64::from(is_equal);
            lengths[row][column] = if one.head == other.head {
                paired.max(alone)
            } else {
                alone
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut pairs = Vec::new();
    while row < rows || column < columns {
        let alone = |row: usize, column: usize| {
            let next = |row: usize, column: usize| lengths.get(row)?.get(column).copied();
            next(row + 1, column).max(next(row, column + 1))
        };
        let may_pair = row < rows && column < columns;
        let is_pair = may_pair
            && found[row].head == expected[column].head
            && (lengths[row][column] > alone(row, column).unwrap_or_default());
        if is_pair {
            pairs.push((Some(&found[row]), Some(&expected[column])));
            row += 1;
            column += 1;
        } else if column == columns
            || row < rows && lengths[row + 1][column] >= lengths[row][column + 1]
        {
            pairs.push((Some(&found[row]), None));
            row += 1;
        } else {
            pairs.push((None, Some(&expected[column])));
            column += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::{Message, aligned};

    #[test]
    fn messages_are_paired_in_order() {
        let messages = |heads: &str| -> Vec<Message> {
            let heads = heads.chars();
            heads
                .map(|head| Message {
                    head: head.to_string(),
                    ..Message::default()
                })
                .collect()
        };
        let check = |found: &str, expected: &str, pairs: &str| {
            let (found, expected) = (messages(found), messages(expected));
            let text: Vec<String> = aligned(&found, &expected)
                .iter()
                .map(|(one, other)| {
                    let head = |message: &Option<&Message>| {
                        message
                            .map_or("-", |message| message.head.as_str())
                            .to_owned()
                    };
                    head(one) + &head(other)
                })
                .collect();
            assert_eq!(text.join(" "), pairs);
        };
        let sized = |sizes: &[u64]| -> Vec<Message> {
            let sized = |bytes| Message {
                head: "a".to_owned(),
                bytes: Some(bytes),
                ..Message::default()
            };
            sizes.iter().map(|bytes| sized(*bytes)).collect()
        };
        // The first response to what the tracer does not show.
        let (found, expected) = (sized(&[2, 3]), sized(&[1, 2, 3]));
        assert!(matches!(
            aligned(&found, &expected)[..],
            [(None, Some(_)), (Some(_), Some(_)), _]
        ));
        check("", "", "");
        check("ab", "ab", "aa bb");
        check("abc", "bd", "a- bb c- -d");
        check("a", "xay", "-x aa -y");
    }
}
