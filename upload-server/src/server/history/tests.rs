//! What the history keeps, and for how long.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::record::tests::upload;

fn keep(history: &History, upload: &Upload) {
    history.keep(upload).unwrap().wait();
}

fn ids(history: &History, before: Option<u64>) -> Vec<String> {
    let past = history.lines(before, 100).unwrap();
    let past = serde_json::to_value(past).unwrap();
    let past = past.as_array().unwrap().iter();
    past.map(|past| past["upload"]["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn outlives_the_server() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("made/if/missing");
    let history = History::open(&directory, 10, false).unwrap();
    assert_eq!(history.last_id(), 0);
    keep(&history, &upload(1));
    history.queue(&upload(2));
    assert!(history.set_timeline(1, "7".into(), "{}".into()));
    assert!(!history.set_timeline(3, "7".into(), "{}".into()));
    history.close();
    drop(history);

    let history = History::open(&directory, 10, true).unwrap();
    assert_eq!(history.last_id(), 2);
    assert_eq!(ids(&history, None), ["2", "1"]);
    assert_eq!(history.timelines(1).unwrap().unwrap(), ["{}"]);
    assert_eq!(history.timelines(2).unwrap().unwrap(), [""; 0]);
    assert_eq!(history.timelines(3).unwrap(), None);
    for file in ["history.sqlite", "history.lock"] {
        let mode = fs::metadata(directory.join(file)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, MODE, "{file}");
    }
}

#[test]
fn keeps_the_latest_record() {
    let root = tempfile::tempdir().unwrap();
    let history = History::open(root.path(), 10, false).unwrap();
    keep(&history, &upload(1));
    assert!(history.set_timeline(1, "7".into(), "[1]".into()));
    assert!(history.set_timeline(1, "8".into(), "[2]".into()));
    let mut known = upload(1);
    known.status = Some(201);
    keep(&history, &known);
    assert!(history.set_timeline(1, "7".into(), "[3]".into()));
    let past = history.lines(None, 1).unwrap();
    let line = serde_json::to_value(&past[0]).unwrap();
    assert_eq!(line["upload"]["status"], 201);
    assert_eq!(line["timelines"], serde_json::json!([[2], [3]]));
}

#[test]
fn forgets_the_oldest() {
    let root = tempfile::tempdir().unwrap();
    let history = History::open(root.path(), 3, false).unwrap();
    for id in 1..=5 {
        keep(&history, &upload(id));
        assert!(history.set_timeline(id, "7".into(), "{}".into()));
    }
    assert_eq!(ids(&history, None), ["5", "4", "3"]);
    assert_eq!(history.timelines(2).unwrap(), None);
    assert_eq!(ids(&history, Some(5)), ["4", "3"]);
    assert_eq!(history.lines(Some(5), 1).unwrap().len(), 1);
}

/// The timelines of 20 uploads are larger than the history of 20 may be.
#[test]
fn has_a_size() {
    let root = tempfile::tempdir().unwrap();
    let history = History::open(root.path(), 20, false).unwrap();
    let timeline = format!("\"{}\"", "x".repeat(100_000));
    for id in 1..=20 {
        keep(&history, &upload(id));
        assert!(history.set_timeline(id, "7".into(), timeline.clone()));
        assert!(ids(&history, None).contains(&id.to_string()));
    }
    let left = ids(&history, None).len();
    assert!((7..=10).contains(&left), "{left}");
    history.close();
    let file = fs::metadata(root.path().join("history.sqlite")).unwrap();
    assert!(file.len() < 1_300_000, "{}", file.len());
}

/// Orders follow each other without a pause in which the log could be emptied.
#[test]
fn its_log_has_a_size() {
    const ORDERS: u64 = 3_000;
    let root = tempfile::tempdir().unwrap();
    let history = History::open(root.path(), 100, false).unwrap();
    let mut large = upload(1);
    large.error = Some("x".repeat(15_000));
    let log = root.path().join("history.sqlite-wal");
    let mut longest = 0;
    for id in 1..=ORDERS {
        large.id = id.to_string();
        keep(&history, &large);
        longest = longest.max(fs::metadata(&log).unwrap().len());
    }
    // Each order takes eight pages of the log or more.
    assert!(longest < 64 * 1024 * 1024, "{longest}");
}

#[test]
fn takes_the_response_later() {
    let root = tempfile::tempdir().unwrap();
    let history = History::open(root.path(), 10, false).unwrap();
    keep(&history, &upload(1));
    let answered = Answered {
        status: Some(201),
        response_ns: Some(7),
        sent_ns: Some(8),
    };
    // The second is unknown.
    history.queue_response(vec![1, 2], answered);
    let mut expected = upload(1);
    answered.add_to(&mut expected);
    let record = history.record(1).unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Upload>(&record).unwrap(), expected);
    assert_eq!(ids(&history, None), ["1"]);
}

#[test]
fn keeps_what_comes_at_the_same_time() {
    let root = tempfile::tempdir().unwrap();
    let history = History::open(root.path(), 1_000, false).unwrap();
    thread::scope(|scope| {
        for first in 0..4 {
            let history = &history;
            scope.spawn(move || {
                for id in (1 + first..=200).step_by(4) {
                    let together = [history.keep(&upload(id)), history.keep(&upload(id + 200))];
                    together.into_iter().flatten().for_each(Keeping::wait);
                    history.queue(&upload(id));
                    assert!(history.set_timeline(id, "7".into(), "{}".into()));
                    assert!(history.record(id + 200).unwrap().is_some());
                }
            });
        }
    });
    assert_eq!(history.lines(None, 1_000).unwrap().len(), 400);
}

#[test]
fn is_read_as_it_was_queued() {
    let root = tempfile::tempdir().unwrap();
    let history = History::open(root.path(), 10, false).unwrap();
    history.queue(&upload(1));
    assert_eq!(ids(&history, None), ["1"]);
    history.close();
    keep(&history, &upload(2));
    history.queue(&upload(3));
    assert_eq!(ids(&history, None), ["1"]);
}

#[test]
fn belongs_to_one_server() {
    let root = tempfile::tempdir().unwrap();
    let history = History::open(root.path(), 3, false).unwrap();
    let second = History::open(root.path(), 3, false);
    assert!(matches!(second, Err(HistoryError::InUse)));
    history.close();
    drop(history);
    assert!(History::open(root.path(), 3, false).is_ok());
}

#[test]
fn a_file_of_another_kind_is_not_touched() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("history.sqlite");
    let text = "no database".repeat(1_000);
    fs::write(&path, &text).unwrap();
    let opened = History::open(root.path(), 3, false);
    assert!(matches!(opened, Err(HistoryError::Database(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}
