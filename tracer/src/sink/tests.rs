//! A sink that is behind.

use std::{
    io,
    sync::{Arc, Mutex, mpsc},
};

use super::{Batch, MOST_WAITING, Sink, SinkThread, WhenBehind};
use crate::{
    end::End,
    event::State,
    moment::Clock,
    output::{Hop, LostLine, Output, StateLine},
};

/// Writes nothing before it may.
struct Slow {
    may: mpsc::Receiver<()>,
    written: Arc<Mutex<Vec<Output>>>,
}

impl Sink for Slow {
    fn write(&mut self, output: &Output) -> io::Result<()> {
        // Allowed once and for all when the other end is gone.
        let _ = self.may.recv();
        self.written.lock().unwrap().push(output.clone());
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn line(count: u64) -> Output {
    let at = Clock::default().moment(0);
    Output::Lost(LostLine {
        at,
        count,
        at_most: false,
        hop: Hop::Ring,
        from_ns: 0,
        to_ns: 0,
    })
}

#[test]
fn neither_losses_nor_what_comes_last_are_dropped() {
    let (allow, may) = mpsc::channel();
    let written = Arc::default();
    let slow = Slow {
        may,
        written: Arc::clone(&written),
    };
    let mut thread = SinkThread::start(Box::new(slow), WhenBehind::Drop).unwrap();
    let at = Clock::default().moment(0);
    thread.send(&Batch::new(vec![line(1); MOST_WAITING]), at);
    let state = Output::State(StateLine {
        at,
        connection: "1".to_owned(),
        end: End::Client,
        old: State::Close,
        new: State::SynSent,
        pid: None,
        comm: None,
    });
    thread.send(&Batch::new(vec![state, line(2)]), at);
    thread.send(&Batch::new(vec![line(3)]), at);
    thread.wait_from_now_on();
    thread.send(&Batch::new(vec![line(4)]), at);
    drop(allow);
    assert_eq!(thread.finish().unwrap(), 1);
    let written = written.lock().unwrap();
    let last: Vec<(Hop, u64)> = written[MOST_WAITING..]
        .iter()
        .map(|output| match output {
            Output::Lost(lost) => (lost.hop, lost.count),
            _ => unreachable!(),
        })
        .collect();
    // What the dropped ones said of other losses, and that they were dropped.
    assert_eq!(last, [(Hop::Ring, 5), (Hop::Sink, 1), (Hop::Ring, 4)]);
}
