//! One table: each capture, its streams, segments and messages, and what differs.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    path::Path,
};

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use super::{
    Segments, conversation_difference::ConversationDifferences, difference::Differences,
    tracer::Found,
};

/// The captures that were compared.
#[derive(Default)]
pub(super) struct Results {
    rows: Vec<[String; 8]>,
    streams: usize,
    segments: usize,
    equal: usize,
    different: usize,
    messages: usize,
    handshakes: usize,
    volumes: usize,
    conversations_different: usize,
    /// By reason.
    explained: BTreeMap<&'static str, usize>,
    /// What one program alone saw.
    alone: BTreeMap<&'static str, usize>,
    skipped: Vec<String>,
}

impl Results {
    pub(super) fn add(
        &mut self,
        file: &Path,
        expected: &Segments,
        found: &Found,
        differences: &Differences,
        conversations: &ConversationDifferences,
    ) {
        let streams: HashSet<&str> = expected.values().map(|one| one.stream.as_str()).collect();
        let segments = expected.len();
        let different = differences.len();
        let explained: usize = differences.explained().values().sum();
        let equal = segments.saturating_sub(different + explained);
        for (reason, count) in differences
            .explained()
            .iter()
            .chain(&conversations.explained)
        {
            *self.explained.entry(reason).or_default() += count;
        }
        for (name, count) in &conversations.alone {
            *self.alone.entry(name).or_default() += count;
        }
        self.messages += conversations.messages;
        self.handshakes += conversations.handshakes;
        self.volumes += conversations.volumes;
        self.conversations_different += conversations.len();
        self.streams += streams.len();
        self.segments += segments;
        self.equal += equal;
        self.different += different;
        let counts = differences.counts().into_iter();
        let counts = counts.chain(conversations.counts());
        let mut unread: Vec<String> = found
            .unread
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        unread.extend(found.failure.clone());
        self.rows.push([
            file.display().to_string(),
            streams.len().to_string(),
            segments.to_string(),
            equal.to_string(),
            conversations.messages.to_string(),
            conversations.handshakes.to_string(),
            counts
                .map(|(name, count)| format!("{count} {name}"))
                .collect::<Vec<_>>()
                .join(", "),
            unread.join(", "),
        ]);
    }

    /// Counts a file that one of the two does not read.
    pub(super) fn skip(&mut self, file: &Path, why: &str) {
        self.skipped.push(format!("{}: {why}", file.display()));
    }

    pub(super) const fn different(&self) -> usize {
        self.different + self.conversations_different
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN).set_header([
            "capture",
            "streams",
            "segments",
            "equal",
            "messages",
            "TLS",
            "different",
            "not read, by the tracer",
        ]);
        for row in &self.rows {
            table.add_row(row);
        }
        for column in 1..=5 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(f, "{table}")?;
        for skipped in &self.skipped {
            writeln!(f, "not compared: {skipped}")?;
        }
        for (name, count) in &self.alone {
            writeln!(f, "{count} {name}")?;
        }
        for (reason, count) in &self.explained {
            writeln!(f, "{count} explained: {reason}")?;
        }
        writeln!(
            f,
            "{} captures, {} streams, {} segments: {} equal, {} different",
            self.rows.len(),
            self.streams,
            self.segments,
            self.equal,
            self.different,
        )?;
        writeln!(
            f,
            "compared as well: {} HTTP messages, {} TLS handshakes, length and duration of {} streams: {} different",
            self.messages, self.handshakes, self.volumes, self.conversations_different
        )
    }
}
