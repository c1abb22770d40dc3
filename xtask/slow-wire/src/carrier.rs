//! The threads that carry packets from one device to the other.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::Instant,
};

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tun_rs::SyncDevice;

use crate::line::Line;

/// More than any MTU of a TUN device without offloads.
const LARGEST_PACKET: usize = 65_536;

/// A packet, when it arrives, and its number among all of its direction.
type Packet = (Instant, u64, Vec<u8>);

/// Carries packets one way until the devices are gone.
pub(crate) fn carry(from: Arc<SyncDevice>, to: Arc<SyncDevice>, mut line: Line) {
    let waiting = Arc::new(AtomicUsize::new(0));
    let (enter, entered) = mpsc::channel::<Packet>();
    let left = Arc::clone(&waiting);
    thread::spawn(move || {
        come_first();
        deliver(&entered, &to, &left);
    });
    thread::spawn(move || {
        come_first();
        let mut buffer = vec![0; LARGEST_PACKET];
        for number in 0.. {
            let Ok(length) = from.recv(&mut buffer) else {
                return;
            };
            let packet = &mut buffer[..length];
            let before = waiting.load(Ordering::Relaxed);
            let Some(at) = line.arrives(Instant::now(), packet, before) else {
                continue;
            };
            waiting.fetch_add(length, Ordering::Relaxed);
            if enter.send((at, number, packet.to_vec())).is_err() {
                return;
            }
        }
    });
}

/// A wire is not late because processors are busy. It takes little of them.
fn come_first() {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    // A container may forbid it: then the wire is late where its ends are.
    let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
}

/// Hands packets over, each at its time; those of one time in their order.
fn deliver(entered: &Receiver<Packet>, to: &SyncDevice, waiting: &AtomicUsize) {
    let mut under_way = BinaryHeap::<Reverse<Packet>>::new();
    loop {
        let next = under_way.peek().map(|Reverse((at, ..))| *at);
        let received = match next {
            None => entered.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => entered.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match received {
            Ok(packet) => under_way.push(Reverse(packet)),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        while let Some(next) = under_way.peek_mut()
            && next.0.0 <= Instant::now()
        {
            let Reverse((_, _, packet)) = PeekMut::pop(next);
            waiting.fetch_sub(packet.len(), Ordering::Relaxed);
            if to.send(&packet).is_err() {
                return;
            }
        }
    }
}
