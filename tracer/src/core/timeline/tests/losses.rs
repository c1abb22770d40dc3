//! Conversations of which records are lost: what is left contradicts itself nowhere.

use std::collections::BTreeSet;

use proptest::prelude::{any, prop, prop_assert_eq, proptest};
use serde_json::json;
use tracer_ebpf::record::{self, state};
use upload_protocol::{Flags, Timeline, timeline::consistency::contradictions, upload::FeedLine};

use super::{
    BEGINNING_NS, CLIENT, HEAD, Record, SERVER,
    talk::{Talk, any_talk},
    tick,
};
use crate::core::{
    input::{Feed, Input, Tick},
    output::Output,
    pipeline::Pipeline,
};

/// All timelines of these records without the lost ones; the server reports its upload at the end.
fn timelines(
    records: &[(u64, Record)],
    lost: &BTreeSet<usize>,
    reported: Option<FeedLine>,
) -> Vec<Timeline> {
    let mut pipeline = Pipeline::new(false);
    let mut outputs = Vec::new();
    let mut mono_ns = BEGINNING_NS;
    let mut lost_ring = 0;
    pipeline.advance(tick(mono_ns), &mut outputs);
    for (number, (after_ns, record)) in records.iter().enumerate() {
        mono_ns += after_ns;
        if lost.contains(&number) {
            lost_ring += 1;
            let told = Tick {
                mono_ns,
                lost_ring,
                ..Tick::default()
            };
            pipeline.advance(Input::Tick(told), &mut outputs);
        } else {
            pipeline.advance(Input::Kernel(record.bytes(mono_ns).into()), &mut outputs);
        }
    }
    if let Some(line) = reported {
        pipeline.advance(Input::Feed(Feed::Line(Box::new(line))), &mut outputs);
    }
    let last = Tick {
        mono_ns: mono_ns + 1,
        lost_ring,
        ..Tick::default()
    };
    pipeline.advance(Input::Tick(last), &mut outputs);
    pipeline.advance(Input::Shutdown, &mut outputs);
    let timelines = outputs.into_iter().filter_map(|output| match output {
        Output::Timeline(timeline) => Some(*timeline),
        _ => None,
    });
    timelines.collect()
}

/// What the server reports of the upload: it accepts the connection once its end is established, and reads
/// a piece right after the piece has arrived.
fn report(records: &[(u64, Record)]) -> FeedLine {
    let mut now_ns = BEGINNING_NS;
    let mut established_ns = None;
    let mut pieces = Vec::new();
    for (after_ns, record) in records {
        now_ns += after_ns;
        match record {
            Record::Change {
                cookie: SERVER,
                new: state::ESTABLISHED,
                ..
            } => {
                established_ns = Some(now_ns);
            }
            Record::Segment {
                cookie,
                direction,
                payload,
                ..
            } if (*cookie == CLIENT) == (*direction == record::EGRESS) && !payload.is_empty() => {
                pieces.push(now_ns);
            }
            _ => {}
        }
    }
    let accepted_ns = established_ns.or(pieces.first().copied()).unwrap_or(now_ns);
    let first = pieces.first().copied().unwrap_or(now_ns).max(accepted_ns);
    let last = pieces.last().copied().unwrap_or(now_ns).max(accepted_ns);
    serde_json::from_value(json!({
        "type": "upload", "id": "1", "cookie": SERVER.to_string(), "request": 1,
        "client": "10.0.0.1:40000", "method": "PUT", "target": "/file", "version": "HTTP/1.1",
        "name": "file", "content_length": 9, "bytes": 9, "status": 201,
        "outcome": "complete", "error": null, "accepted_ns": accepted_ns, "first_byte_ns": first,
        "head_ns": first, "body_first_ns": last, "body_last_ns": last, "stored_ns": last,
        "response_ns": last, "sent_ns": now_ns,
    }))
    .unwrap()
}

fn check(talk: &Talk, lost: &BTreeSet<usize>, is_reported: bool) -> Result<(), String> {
    let records = talk.records();
    let reported = is_reported.then(|| report(&records));
    for timeline in timelines(&records, lost, reported) {
        let found = contradictions(&timeline);
        if !found.is_empty() {
            return Err(format!("{found:#?}\nin {timeline:#?}"));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_record_may_be_lost(
        talk in any_talk(),
        lost in prop::collection::btree_set(0_usize..32, 0..24),
        is_reported in any::<bool>(),
    ) {
        prop_assert_eq!(check(&talk, &lost, is_reported), Ok(()));
    }
}

/// Whatever is lost, a count of bytes is true, or unknown: never one more for a FIN that was not seen.
fn check_bytes(talk: &Talk, lost: &BTreeSet<usize>) -> Result<(), String> {
    let mut records = talk.records();
    let Some(carried) = talk.carried() else {
        return Ok(());
    };
    let lost = lost
        .iter()
        .copied()
        .filter(|at| *at < records.len())
        .collect();
    let mut found = timelines(&records, &lost, None);
    found.retain(|timeline| {
        timeline.bytes.client_to_server.is_some() || timeline.bytes.server_to_client.is_some()
    });
    for timeline in found {
        let told = [
            timeline.bytes.client_to_server,
            timeline.bytes.server_to_client,
        ];
        for (told, carried) in told.into_iter().zip(carried) {
            if told.is_some_and(|told| told != carried) {
                records.retain(|(_, record)| matches!(record, Record::Change { .. }));
                return Err(format!(
                    "{told:?} instead of {carried} with {lost:?} lost of {records:#?}"
                ));
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn bytes_are_true_or_unknown(
        talk in any_talk(),
        lost in prop::collection::btree_set(0_usize..32, 0..8),
    ) {
        prop_assert_eq!(check_bytes(&talk, &lost), Ok(()));
    }
}

/// Everything from the SYN to the FIN is lost. The FIN is the first segment with an ACK: no third ACK.
#[test]
fn a_fin_is_no_third_ack() {
    let segment = |direction, flags, seq, ack| Record::Segment {
        cookie: CLIENT,
        direction,
        flags,
        seq,
        ack,
        payload: if flags == Flags::ACK && seq == 1001 {
            HEAD.to_vec()
        } else {
            Vec::new()
        },
        turned_ns: 0,
    };
    let change = |old, new| Record::Change {
        cookie: CLIENT,
        old,
        new,
        error: 0,
        closing: record::closing::KNOWN,
        counted: [0; 2],
    };
    let end = 1001 + u32::try_from(HEAD.len()).unwrap();
    let records = [
        (0, change(state::CLOSE, state::SYN_SENT)),
        (0, segment(record::EGRESS, Flags::SYN, 1000, 0)),
        (
            10,
            segment(record::INGRESS, Flags::SYN | Flags::ACK, 5000, 1001),
        ),
        (10, segment(record::EGRESS, Flags::ACK, 1001, 5001)),
        (
            10,
            segment(record::EGRESS, Flags::FIN | Flags::ACK, end, 5001),
        ),
        (0, change(state::ESTABLISHED, state::FIN_WAIT1)),
    ];
    for lost in [BTreeSet::from([2, 3]), BTreeSet::from([3])] {
        let found = timelines(&records, &lost, Some(report(&records)));
        assert_eq!(contradictions(&found[0]), Vec::<String>::new());
        assert_eq!(found[0].maintenance().unwrap().start_ns, None);
    }
}
