//! A wire with a delay, a rate, a queue and losses between two network namespaces, for kernels without
//! `netem`: a TUN device in each, and between them threads that carry packets. Ends that are slow in ways
//! one chooses come with it.

mod carrier;
mod line;
mod netem;
mod segment;
mod way;

use std::{
    fs::File,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
};

use anyhow::{Context as _, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use self::{
    line::{Line, Losses},
    segment::{Port, Translation},
};
pub use self::{netem::NetemWire, way::Way};

/// An uploading client and its server, for `python3 -c`. The program's own text lists the options.
pub const ENDS: &str = include_str!("ends.py");

/// The port of a server, as each end knows it. Where they differ, the wire translates: a tracer then takes the
/// two sockets for two connections, unless it compares initial sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Where the client connects to.
    pub of_client: u16,
    /// Where the server listens.
    pub of_server: u16,
}

/// A wire. Dropped, it takes its devices away.
#[derive(Debug)]
pub struct Wire {
    name: String,
    namespaces: [PathBuf; 2],
    losses: [Losses; 2],
}

impl Wire {
    /// Lays a wire between two network namespaces, named by their files. `up` leads from `near` to `far`,
    /// where the server is. No two wires at a time have the same number. Ports that are not named stay as
    /// they are.
    ///
    /// # Errors
    /// When a device cannot be made: without root, or without `/dev/net/tun`.
    pub fn lay(
        (near, far): (&Path, &Path),
        number: u8,
        (up, down): (Way, Way),
        ports: Option<Ports>,
    ) -> Result<Self> {
        let mut wire = Self {
            name: device(number),
            namespaces: [near.to_owned(), far.to_owned()],
            losses: Default::default(),
        };
        let (client, server) = addresses(number);
        let (client6, server6) = addresses_6(number);
        let here = Arc::new(wire.device(near, [(&client, &server), (&client6, &server6)])?);
        let there = Arc::new(wire.device(far, [(&server, &client), (&server6, &client6)])?);
        let translations = ports.map(Ports::translations).unzip();
        let (up, down) = (
            Line::new(up, translations.0),
            Line::new(down, translations.1),
        );
        wire.losses = [up.losses(), down.losses()];
        carrier::carry(Arc::clone(&here), Arc::clone(&there), up);
        carrier::carry(there, here, down);
        Ok(wire)
    }

    /// The sequence numbers of the segments with payload that it has lost: of those from `near`, and of those
    /// from `far`.
    #[must_use]
    pub fn losses(&self) -> [Vec<u32>; 2] {
        let of = |losses: &Losses| {
            losses
                .lock()
                .map(|losses| losses.clone())
                .unwrap_or_default()
        };
        [of(&self.losses[0]), of(&self.losses[1])]
    }

    fn device(&self, namespace: &Path, addresses: [(&str, &str); 2]) -> Result<SyncDevice> {
        let inside = File::open(namespace).with_context(|| namespace.display().to_string())?;
        let builder = DeviceBuilder::new().name(&self.name).layer(Layer::L3);
        // A thread of its own moves into the namespace, and ends.
        let made = thread::spawn(move || -> Result<SyncDevice> {
            move_into_link_name_space(inside.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(builder.build_sync()?)
        });
        let Ok(device) = made.join() else {
            bail!("the thread that makes a TUN device failed");
        };
        let device = device.context("no TUN device can be made")?;
        for (own, peer) in addresses {
            let add = format!("address add {own} peer {peer} dev {} nodad", self.name);
            ip(namespace, &add)?;
        }
        let up = format!("link set {} txqueuelen 10000 up", self.name);
        ip(namespace, &up)?;
        Ok(device)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            // It may be gone, and the device with it.
            let _ = ip(namespace, &format!("link delete {}", self.name));
        }
    }
}

impl Ports {
    fn translations(self) -> (Translation, Translation) {
        let (client, server) = (self.of_client, self.of_server);
        let up = Translation {
            port: Port::Destination,
            from: client,
            to: server,
        };
        let down = Translation {
            port: Port::Source,
            from: server,
            to: client,
        };
        (up, down)
    }
}

/// The name of both devices of the wire with this number.
#[must_use]
pub fn device(number: u8) -> String {
    format!("far{number}")
}

/// The addresses of the client's and the server's end of the wire with this number.
#[must_use]
pub fn addresses(number: u8) -> (String, String) {
    (format!("10.78.{number}.1"), format!("10.78.{number}.2"))
}

/// The same of IPv6.
#[must_use]
pub fn addresses_6(number: u8) -> (String, String) {
    (format!("fd78::{number:x}:1"), format!("fd78::{number:x}:2"))
}

fn ip(namespace: &Path, words: &str) -> Result<()> {
    let namespace = format!("--net={}", namespace.display());
    let mut all = vec!["nsenter", &namespace, "ip"];
    all.extend(words.split(' '));
    tool(&all)
}

fn tool(words: &[&str]) -> Result<()> {
    let output = Command::new(words[0]).args(&words[1..]).output()?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}", words.join(" "), reason.trim());
    }
    Ok(())
}
