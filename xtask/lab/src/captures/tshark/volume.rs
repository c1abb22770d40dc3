//! Length and duration of each conversation, from tshark's segments.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::captures::{Segment, conversation::Conversations};

/// Payload between two relative sequence numbers, each once.
#[derive(Default)]
struct Coverage(BTreeMap<u64, u64>);

impl Coverage {
    fn add(&mut self, mut start: u64, mut end: u64) {
        while let Some((&first, &last)) = self.0.range(..=end).next_back()
            && last >= start
        {
            start = start.min(first);
            end = end.max(last);
            self.0.remove(&first);
        }
        self.0.insert(start, end);
    }

    fn bytes(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }
}

/// The conversations of these segments, which passed at these times. `streams`: the conversation that a frame belongs
/// to, and whether the client sent it.
pub(super) fn conversations<'a>(
    segments: impl Iterator<Item = (&'a u64, &'a Segment)>,
    times: &HashMap<u64, u64>,
    streams: &HashMap<u64, (String, bool)>,
) -> Conversations {
    let mut coverage: HashMap<(&str, bool), Coverage> = HashMap::new();
    let mut spans: HashMap<&str, (u64, u64)> = HashMap::new();
    let mut reset: HashSet<&str> = HashSet::new();
    for (frame, segment) in segments {
        let stream = segment.stream.as_str();
        let is_client = streams.get(frame).is_some_and(|(_, is_client)| *is_client);
        let covered = coverage.entry((stream, is_client)).or_default();
        // A SYN has the number before its payload's.
        let start = segment.seq + u64::from(segment.flags & 2 != 0);
        // After a RST, nobody takes payload.
        if segment.flags & 4 != 0 {
            reset.insert(stream);
        }
        let len = segment.len.filter(|len| *len > 0);
        if let Some(len) = len.filter(|_| !reset.contains(stream)) {
            covered.add(start, start + len);
        }
        if let Some(time) = times.get(frame) {
            let span = spans.entry(stream).or_insert((*time, *time));
            *span = (span.0.min(*time), span.1.max(*time));
        }
    }
    let mut conversations = Conversations::new();
    for ((stream, is_client), covered) in coverage {
        let conversation = conversations.entry(stream.to_owned()).or_default();
        conversation.bytes[usize::from(!is_client)] = Some(covered.bytes());
        conversation.duration_ns = spans.get(stream).map(|(first, last)| last - first);
    }
    conversations
}

#[cfg(test)]
mod tests {
    use super::Coverage;

    #[test]
    fn each_byte_counts_once() {
        let mut covered = Coverage::default();
        for (start, end) in [(1, 11), (21, 31), (1, 11), (5, 15), (14, 22), (40, 41)] {
            covered.add(start, end);
        }
        assert_eq!(covered.bytes(), 31);
    }
}
