//! Connections one after another, as fast as they go.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    ops::Range,
    os::fd::AsFd as _,
    process, thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::lab::Lab;

/// What the client sends.
pub(crate) const PAYLOAD: &[u8; 5] = b"hello";
/// A client has some 28,000 ports towards one address.
const PER_ADDRESS: u32 = 10_000;
/// Loopback addresses of a lane, which has listeners of its own.
const PER_LANE: u32 = 1 << 16;

/// Where the listeners are: a tracer sees every network namespace, and other tests may run beside
/// these.
pub(crate) fn port() -> u16 {
    const PORTS: u32 = 6000;
    u16::try_from(20_000 + process::id() % PORTS * 2).unwrap()
}

/// Connections with these numbers, in so many lanes at once. The client sends five bytes and closes
/// first.
pub(crate) fn churn(lab: &Lab, numbers: &Range<u32>, lanes: u32) {
    churn_at(lab, numbers, lanes, port());
}

/// The same to listeners at this port.
pub(crate) fn churn_at(lab: &Lab, numbers: &Range<u32>, lanes: u32, port: u16) {
    thread::scope(|scope| {
        for lane in 0..lanes {
            scope.spawn(move || within(lab, || run(numbers.clone(), lane, port)));
        }
    });
}

/// Does something in the lab's network namespace.
pub(crate) fn within<T: Send>(lab: &Lab, act: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(lab.namespace_path()).unwrap();
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind).unwrap();
            act()
        });
        inside.join().unwrap()
    })
}

/// A connection's two ends.
pub(crate) fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

fn run(numbers: Range<u32>, lane: u32, port: u16) {
    let mut left = numbers;
    while !left.is_empty() {
        let block = left.start / PER_ADDRESS;
        let end = left.end.min((block + 1) * PER_ADDRESS);
        let address = Ipv4Addr::from_bits(0x7f00_0001 + lane * PER_LANE + block);
        let listener = TcpListener::bind(SocketAddr::from((address, port))).unwrap();
        for _ in left.start..end {
            one(&listener);
        }
        left.start = end;
    }
}

fn one(listener: &TcpListener) {
    let (mut client, mut server) = pair(listener);
    client.write_all(PAYLOAD).unwrap();
    drop(client);
    let mut bytes = [0; PAYLOAD.len() + 1];
    let mut read = 0;
    loop {
        match server.read(&mut bytes[read..]).unwrap() {
            0 => break,
            more => read += more,
        }
    }
    assert_eq!(&bytes[..read], PAYLOAD);
}
