//! The way of an upload as trace events: a thread for each hop, and one between for the time for which a proxy held it,
//! since slices of one thread must not overlap in part.

use serde_json::{Value, json};
use upload_protocol::{connection::ConnectionId, timeline::UploadHop, units::socket_address};

/// The connections that carried an upload, up to one of the page's.
pub(super) struct Way<'a> {
    pub(super) process: usize,
    pub(super) connection: ConnectionId,
    pub(super) hops: &'a [UploadHop],
}

impl Way<'_> {
    /// When its request began, as far as that is known.
    pub(super) fn begins_mono_ns(&self) -> Option<u64> {
        let starts = self.hops.iter().filter_map(|hop| hop.request_mono_ns);
        starts.min()
    }

    /// Adds its events, with times since `first_mono_ns`.
    pub(super) fn write(&self, first_mono_ns: u64, events: &mut Vec<Value>) {
        let named = format!("way to connection {}", self.connection);
        events.push(self.name("process_name", 0, &named));
        for (number, hop) in (1..).zip(self.hops) {
            let (row, between) = (2 * number - 1, 2 * number);
            let (client, server) = (&hop.client, &hop.server);
            let named = format!(
                "hop {number} {} → {}",
                socket_address(client.addr, client.port),
                socket_address(server.addr, server.port)
            );
            events.push(self.name("thread_name", row, &named));
            let begins = hop.request_mono_ns;
            let begins = begins.map(|at| at.saturating_sub(first_mono_ns));
            let ends = begins
                .zip(hop.request_ns)
                .map(|(at, ns)| at.saturating_add(ns));
            let args = json!({"connection": hop.connection, "tls": hop.tls, "bytes": hop.bytes,
                "share": hop.share});
            events.extend(self.slice("request", row, (begins, hop.request_ns), &args));
            events.extend(self.slice("wait", row, (ends, hop.wait_ns), &args));
            if hop.held_ns.is_some() {
                let proxy = server
                    .owner
                    .comm
                    .as_deref()
                    .unwrap_or("the process between");
                let named = format!("held by {proxy} after hop {number}");
                events.push(self.name("thread_name", between, &named));
                let args = json!({"passed_on": hop.passed_on, "evidence": hop.evidence,
                    "certainty": hop.certainty});
                events.extend(self.slice("held", between, (begins, hop.held_ns), &args));
            }
        }
    }

    fn name(&self, what: &str, row: usize, name: &str) -> Value {
        json!({"ph": "M", "name": what, "pid": self.process, "tid": row, "args": {"name": name}})
    }

    /// None where its beginning or its length is unknown: the format cannot express that.
    fn slice(
        &self,
        name: &str,
        row: usize,
        (start, length): (Option<u64>, Option<u64>),
        args: &Value,
    ) -> Option<Value> {
        let (start, length) = (start?, length?);
        Some(json!({
            "ph": "X", "name": name, "pid": self.process, "tid": row,
            "ts": start as f64 / 1e3, "dur": length as f64 / 1e3, "args": args,
        }))
    }
}
