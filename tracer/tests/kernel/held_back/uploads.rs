//! The two ends of each case, on their wires.

use std::process::Command;

use slow_wire::{ENDS, Ports, addresses};

use super::{
    BEHIND_NAT, Case, Seen,
    laid::{self, Kind, Laid},
    port, wire,
};
use crate::lab::{Lab, Neighbour, Script};

/// Ends that wait on their wires, and what a tracer is told so that it sees them.
pub(super) struct Uploads {
    wires: Vec<Laid>,
    servers: Vec<Script>,
    clients: Vec<Script>,
    filter: Vec<String>,
}

impl Uploads {
    pub(super) fn lay(
        (lab, neighbour): (&Lab, &Neighbour),
        of: Kind,
        cases: &[&Case],
        seen: Seen,
    ) -> Self {
        let mut all = Self {
            wires: Vec::new(),
            servers: Vec::new(),
            clients: Vec::new(),
            filter: vec!["-o".to_owned(), "ndjson".to_owned()],
        };
        for (number, case) in cases.iter().enumerate() {
            let (near, far) = (lab.namespace_path(), neighbour.namespace_path());
            let (port, ways) = (port(number), (case.up, case.down));
            let ports = (seen == Seen::FromClient).then_some(Ports {
                of_client: port,
                of_server: port + BEHIND_NAT,
            });
            let between = (&*near, &*far);
            let laid = laid::lay(of, between, wire(number), ways, ports);
            all.wires.push(laid);
            let listens_at = ports.map_or(port, |ports| ports.of_server);
            let server = neighbour.inside("python3");
            let server = ends(server, "server", (listens_at, "-"), case.server);
            let (_, host) = addresses(wire(number));
            let client = lab.inside("python3");
            let client = ends(client, "client", (port, &host), case.client);
            all.filter.extend(match seen {
                Seen::Both | Seen::FromClient => ["--port".to_owned(), port.to_string()],
                Seen::FromServer => ["--pid".to_owned(), server.pid().to_string()],
            });
            all.servers.push(server);
            all.clients.push(client);
        }
        all
    }

    pub(super) fn filter(&self) -> Vec<&str> {
        self.filter.iter().map(String::as_str).collect()
    }

    /// Lets the clients upload, and waits until everybody is done.
    pub(super) fn run(mut self) {
        for client in &mut self.clients {
            client.end_input();
        }
        for end in self.clients.into_iter().chain(self.servers) {
            end.end();
        }
    }
}

pub(super) fn ends(
    python: Command,
    role: &str,
    (port, host): (u16, &str),
    options: &str,
) -> Script {
    let port = port.to_string();
    let mut arguments = vec![role, &port, host];
    arguments.extend(options.split_whitespace());
    Script::start_with(python, ENDS, &arguments)
}
