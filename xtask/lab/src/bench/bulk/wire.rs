//! Two network namespaces and a wire between them that behaves like a network card without
//! offloads: frames of 1500 bytes, neither split nor merged by the device.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{self, Command},
    time::Duration,
};

use anyhow::Result;

use crate::bench::namespace::{Namespace, configure, without_offloads};

/// The device's name in each namespace.
const DEVICE: &str = "wire";
const MTU: &str = "1500";
const SENDER: &str = "10.77.0.1";
const RECEIVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// Nobody else is there.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Wire {
    sender: Namespace,
    receiver: Namespace,
}

impl Wire {
    /// Makes both namespaces and joins them.
    pub(super) fn new() -> Result<Self> {
        let wire = Self {
            sender: Namespace::new()?,
            receiver: Namespace::new()?,
        };
        let peer = format!("/proc/{}/fd/{}", process::id(), wire.receiver.descriptor());
        wire.sender.within(|| {
            let link = ["link", "add", DEVICE, "mtu", MTU, "type", "veth"];
            let other = ["peer", "name", DEVICE, "mtu", MTU, "netns", &peer];
            configure(Command::new("ip").args(link).args(other))
        })?;
        wire.sender.within(|| bring_up(SENDER))?;
        wire.receiver.within(|| bring_up(&RECEIVER.to_string()))?;
        Ok(wire)
    }

    /// A socket of the receiver's that listens.
    pub(super) fn listen(&self) -> Result<TcpListener> {
        let address = SocketAddr::from((RECEIVER, 0));
        self.receiver.within(|| Ok(TcpListener::bind(address)?))
    }

    /// A connection from the sender to `address`.
    pub(super) fn connect(&self, address: &SocketAddr) -> Result<TcpStream> {
        self.sender
            .within(|| Ok(TcpStream::connect_timeout(address, CONNECTS_WITHIN)?))
    }
}

fn bring_up(address: &str) -> Result<()> {
    let address = format!("{address}/24");
    without_offloads(DEVICE)?;
    configure(Command::new("ip").args(["address", "add", &address, "dev", DEVICE]))?;
    configure(Command::new("ip").args(["link", "set", DEVICE, "up"]))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn the_wire_carries_and_joins_nothing() {
        if !xtask::command::is_root() {
            eprintln!("skipped: only root makes network namespaces");
            return;
        }
        let before = File::open("/proc/thread-self/ns/net").unwrap();
        let wire = Wire::new().unwrap();
        let listener = wire.listen().unwrap();
        let connected = wire.connect(&listener.local_addr().unwrap()).unwrap();
        assert_eq!(
            connected.peer_addr().unwrap(),
            listener.local_addr().unwrap()
        );
        let shown = wire.receiver.within(|| {
            let output = Command::new("ethtool").args(["-k", DEVICE]).output()?;
            Ok(String::from_utf8(output.stdout)?)
        });
        for feature in [
            "tcp-segmentation-offload",
            "generic-segmentation-offload",
            "generic-receive-offload",
        ] {
            let off = format!("{feature}: off");
            assert!(shown.as_ref().unwrap().contains(&off), "{feature}");
        }
        // This thread is where it was.
        let after = File::open("/proc/thread-self/ns/net").unwrap();
        let inode = |file: &File| std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap());
        assert_eq!(inode(&before), inode(&after));
    }
}
