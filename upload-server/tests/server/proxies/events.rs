//! The server's events through a proxy.

use std::process::Stdio;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
};

use super::{Front, Proxied};
use crate::test_server::within_limit;

/// `/events`, as they arrive.
pub(super) struct Events {
    lines: Lines<BufReader<ChildStdout>>,
    _curl: Child,
}

impl Events {
    pub(super) async fn open(proxied: &Proxied, front: &Front) -> Self {
        let mut curl = proxied.curl();
        let mut child = curl
            .arg("--no-buffer")
            .arg(format!("{}events", front.url))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut events = Self {
            lines,
            _curl: child,
        };
        events.next("tracer").await;
        events
    }

    pub(super) async fn next(&mut self, name: &str) -> Value {
        let mut of = String::new();
        loop {
            let line = within_limit(self.lines.next_line()).await.unwrap().unwrap();
            match line.split_once(": ") {
                Some(("event", name)) => name.clone_into(&mut of),
                Some(("data", data)) if of == name => return serde_json::from_str(data).unwrap(),
                _ => {}
            }
        }
    }
}
