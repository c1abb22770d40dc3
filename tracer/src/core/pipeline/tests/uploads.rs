//! Uploads that a server reports: their requests, how many are kept, and those that nobody reported.

use tracer_ebpf::record::state;
use upload_protocol::{
    line::Hop,
    timeline::{Incomplete, LeftOut, Omission},
    upload::FeedLine,
};
use zerocopy::IntoBytes as _;

use super::{LAST, change, tick, upload};
use crate::core::{
    input::{Feed, Input},
    output::Output,
    pipeline::Pipeline,
};

#[test]
fn requests_are_counted_from_1() {
    let check = |request: u32, uploads: usize| {
        let mut pipeline = Pipeline::new(false);
        let mut outputs = Vec::new();
        pipeline.advance(Input::Tick(tick(0, 0)), &mut outputs);
        let line = Box::new(upload(1, request).unwrap());
        pipeline.advance(Input::Feed(Feed::Line(line)), &mut outputs);
        pipeline.advance(Input::Tick(tick(LAST, 0)), &mut outputs);
        pipeline.advance(Input::Shutdown, &mut outputs);
        let found = outputs
            .iter()
            .filter(|output| matches!(output, Output::Upload(_)));
        assert_eq!(found.count(), uploads, "request {request}");
    };
    check(0, 0);
    check(1, 1);
}

/// A script that uploads a directory: only so many uploads of one connection are kept, each is counted, and
/// each is in one snapshot.
#[test]
fn more_uploads_of_a_connection_than_are_kept() {
    const ALL: u32 = 3_000;
    let mut pipeline = Pipeline::new(false).with_snapshots();
    let mut outputs = Vec::new();
    pipeline.advance(Input::Tick(tick(0, 0)), &mut outputs);
    let mut opened = change(state::SYN_RECV, state::ESTABLISHED);
    opened.header.mono_ns = 1;
    pipeline.advance(Input::Kernel(opened.as_bytes().into()), &mut outputs);
    for number in 1..=ALL {
        let line = Box::new(upload(number, number).unwrap());
        pipeline.advance(Input::Feed(Feed::Line(line)), &mut outputs);
        let at = tick(u64::from(number) * 1_000_000, 0);
        pipeline.advance(Input::Tick(at), &mut outputs);
    }
    let last = tick(u64::from(ALL) * 1_000_000 + 1_000_000_000, 0);
    pipeline.advance(Input::Tick(last), &mut outputs);
    pipeline.advance(Input::Shutdown, &mut outputs);
    let mut in_snapshots: Vec<u32> = Vec::new();
    let (mut whole, mut summary) = (None, None);
    for output in outputs {
        match output {
            Output::Snapshot(timeline) => {
                assert_eq!(timeline.uploads.len(), timeline.exchanges().len());
                let ids = timeline.uploads.iter().map(|upload| &upload.id);
                in_snapshots.extend(ids.map(|id| id.parse::<u32>().unwrap()));
            }
            Output::Timeline(timeline) => whole = Some(timeline),
            Output::Summary(line) => summary = Some(line),
            _ => {}
        }
    }
    assert_eq!(in_snapshots, (1..=ALL).collect::<Vec<_>>());
    let (whole, summary) = (whole.unwrap(), summary.unwrap());
    assert_eq!(whole.uploads.len(), 1_000);
    assert_eq!(whole.exchanges().len(), 1_000);
    let phase = whole.maintenance().unwrap();
    assert_eq!(phase.exchanges_left_out, ALL as usize - 1_000);
    let omission = Omission::counted(LeftOut::Uploads, u64::from(ALL) - 1_000);
    assert_eq!(whole.left_out, [omission]);
    assert!(whole.incomplete.contains(&Incomplete::LeftOut));
    assert_eq!((summary.uploads, summary.left_out), (u64::from(ALL), 1));
}

/// A server repeats 1,000 uploads to a tracer that reads its feed again. More may have ended meanwhile.
#[test]
fn uploads_that_were_reported_to_nobody_are_lost() {
    let mut pipeline = Pipeline::new(false);
    let mut outputs = Vec::new();
    pipeline.advance(Input::Tick(tick(0, 0)), &mut outputs);
    let server = serde_json::json!({
        "type": "server", "pid": 7, "comm": "upload-server", "netns": 0, "listen": [], "version": "1",
    });
    let server: FeedLine = serde_json::from_value(server).unwrap();
    let uploads = |ids: std::ops::Range<u32>| {
        let lines = ids.map(|id| upload(id, id).unwrap());
        std::iter::once(server.clone()).chain(lines)
    };
    // Read again, the feed first repeats some, then lacks 50.
    for line in uploads(1..101)
        .chain(uploads(51..201))
        .chain(uploads(251..301))
    {
        pipeline.advance(Input::Feed(Feed::Line(Box::new(line))), &mut outputs);
    }
    pipeline.advance(Input::Tick(tick(LAST, 0)), &mut outputs);
    pipeline.advance(Input::Shutdown, &mut outputs);
    let lost = outputs.iter().filter_map(|output| match output {
        Output::Lost(lost) => Some((lost.hop, lost.count, lost.at_most)),
        _ => None,
    });
    assert_eq!(lost.collect::<Vec<_>>(), [(Hop::Feed, 50, true)]);
    let Some(Output::Summary(summary)) = outputs.last() else {
        panic!("no summary");
    };
    assert_eq!((summary.uploads, summary.lost), (250, 50));
}
