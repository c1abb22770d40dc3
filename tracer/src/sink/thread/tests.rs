//! A sink that is behind, and one that fails.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Write},
    rc::Rc,
    sync::{Arc, Mutex, mpsc},
};

use serde_json::Value;
use upload_protocol::{
    ConnectionId, End, Moment, State,
    line::{Hop, LostLine, StateLine},
};

use super::{MAX_BYTES, MAX_LINES, Render, SinkThread, WhenBehind};
use crate::{
    core::{host::Clock, output::Output},
    ending::Ending,
    sink::Ndjson,
};

/// Writes nothing before it may.
struct Slow {
    may: mpsc::Receiver<()>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Allowed once and for all when the other end is gone.
        let _ = self.may.recv();
        self.written.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts what is rendered, and makes each line longer.
struct Counted {
    ndjson: Ndjson,
    padding: usize,
    times: Rc<Cell<usize>>,
}

impl Render for Counted {
    fn shows(&self, output: &Output) -> bool {
        self.ndjson.shows(output)
    }

    fn render(&mut self, output: &Output, to: &mut Vec<u8>) -> io::Result<()> {
        self.times.set(self.times.get() + 1);
        to.resize(to.len() + self.padding, b' ');
        self.ndjson.render(output, to)
    }
}

fn start(destination: impl Write + Send + 'static) -> (SinkThread, Rc<Cell<usize>>) {
    start_padded(destination, 0)
}

fn start_padded(
    destination: impl Write + Send + 'static,
    padding: usize,
) -> (SinkThread, Rc<Cell<usize>>) {
    let times = Rc::default();
    let render = Counted {
        ndjson: Ndjson::new(false, false),
        padding,
        times: Rc::clone(&times),
    };
    let thread = SinkThread::start(
        "a test".to_owned(),
        Box::new(render),
        Box::new(destination),
        WhenBehind::Drop,
        Ending::default(),
    );
    (thread.unwrap(), times)
}

fn now() -> Moment {
    Clock::default().moment(0)
}

fn line(count: u64) -> Output {
    Output::Lost(LostLine {
        at: now(),
        count,
        at_most: false,
        hop: Hop::Ring,
        from_ns: 0,
        to_ns: 0,
    })
}

fn state(connection: u64) -> Output {
    Output::State(StateLine {
        at: now(),
        connection: ConnectionId::new(connection, None),
        end: End::Client,
        old: State::Close,
        new: State::SynSent,
        pid: None,
        comm: None,
        certainty: None,
    })
}

#[test]
fn neither_losses_nor_what_comes_last_are_dropped() {
    let (allow, may) = mpsc::channel();
    let written = Arc::default();
    let (mut thread, _) = start(Slow {
        may,
        written: Arc::clone(&written),
    });
    let most = usize::try_from(MAX_LINES).unwrap();
    thread.send(&vec![line(1); most], now());
    thread.send(&[state(1), line(2)], now());
    thread.send(&[line(3)], now());
    drop(allow);
    thread.wait_from_now_on();
    thread.send(&[line(4)], now());
    assert_eq!(thread.finish().unwrap(), 1);
    let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    let last: Vec<(String, u64)> = written
        .lines()
        .skip(most)
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let hop = line["hop"].as_str().unwrap().to_owned();
            (hop, line["count"].as_u64().unwrap())
        })
        .collect();
    // That some were dropped, and what these said of other losses.
    let expected = [("sink", 1), ("ring", 5), ("ring", 4)];
    assert_eq!(last, expected.map(|(hop, count)| (hop.to_owned(), count)));
}

#[test]
fn nothing_is_rendered_that_will_be_dropped() {
    let (allow, may) = mpsc::channel();
    let slow = Slow {
        may,
        written: Arc::default(),
    };
    let (mut thread, times) = start_padded(slow, MAX_BYTES / 16);
    thread.send(&vec![state(1); 20], now());
    assert_eq!(times.get(), 16);
    thread.send(&[state(2), state(3)], now());
    assert_eq!(times.get(), 16);
    drop(allow);
    assert_eq!(thread.finish().unwrap(), 6);
    // What was dropped is said.
    assert_eq!(times.get(), 17);
}

#[test]
fn lines_are_lost_with_a_destination_that_fails() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (mut thread, times) = start(full);
    thread.send(&[state(1), state(2)], now());
    thread.writer.wait_for_one();
    assert!(thread.is_broken() && !thread.is_closed());
    thread.send(&[state(3)], now());
    assert_eq!(times.get(), 2);
    let error = thread.finish().unwrap_err();
    assert_eq!(format!("{error:#}"), "3 lines were left out of a test");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let (reader, writer) = io::pipe().unwrap();
    let (mut thread, _) = start(writer);
    drop(reader);
    thread.send(&[state(1)], now());
    thread.writer.wait_for_one();
    assert!(thread.is_broken() && thread.is_closed());
    assert_eq!(thread.finish().unwrap(), 0);
}

#[test]
fn buffers_come_back() {
    let (mut thread, _) = start(io::sink());
    thread.send(&[state(1)], now());
    thread.writer.wait_for_one();
    let buffer = thread.writer.spare[0].as_ptr();
    thread.send(&[state(2)], now());
    assert!(thread.writer.spare.is_empty());
    assert_eq!(thread.chunk.bytes.as_ptr(), buffer);
    assert_eq!(thread.finish().unwrap(), 0);
}
