//! Uploads that nothing holds back.

use super::R;
use crate::held_back::scenario::{Client, Scenario, Server, Truth};

pub(super) const CONTROLS: &[Scenario] = &[
    Scenario {
        name: "control: 4 MB at 20 ms",
        up: R,
        down: R,
        server: Server::Ends(""),
        client: Client::Ends("bytes=4e6"),
        truth: Truth::Nothing,
    },
    Scenario {
        name: "control: 100 MB over loopback",
        up: "",
        down: "",
        server: Server::Ends(""),
        client: Client::Loopback("bytes=100e6 piece=1000000"),
        truth: Truth::Nothing,
    },
    Scenario {
        name: "control: 100 KB at 20 ms",
        up: R,
        down: R,
        server: Server::Ends(""),
        client: Client::Ends("bytes=1e5"),
        truth: Truth::Nothing,
    },
    Scenario {
        name: "control: 1 KB at 100 ms",
        up: "delay=50",
        down: "delay=50",
        server: Server::Ends(""),
        client: Client::Ends("bytes=1000"),
        truth: Truth::Nothing,
    },
    Scenario {
        name: "control: 2 MB without a delay",
        up: "",
        down: "",
        server: Server::Ends(""),
        client: Client::Ends("bytes=2e6"),
        truth: Truth::Nothing,
    },
    Scenario {
        name: "control: four requests a second apart",
        up: R,
        down: R,
        server: Server::Ends("requests=4"),
        client: Client::Ends("requests=4 bytes=1e5 idle=1"),
        truth: Truth::Nothing,
    },
    Scenario {
        name: "control: 300 KB over TLS",
        up: R,
        down: R,
        server: Server::Ends("tls"),
        client: Client::Ends("bytes=3e5 tls"),
        truth: Truth::Nothing,
    },
    Scenario {
        name: "control: curl to the bundled server",
        up: R,
        down: R,
        server: Server::Shell(
            "exec $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public",
        ),
        client: Client::Shell("curl -sS -T $FILES/100k $URL/f"),
        truth: Truth::Nothing,
    },
    Scenario {
        name: "control: three files on one connection of curl",
        up: R,
        down: R,
        server: Server::Shell(
            "exec $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public",
        ),
        client: Client::Shell("curl -sS -T '{'$FILES/100k,$FILES/1k,$FILES/500k'}' $URL/"),
        truth: Truth::Nothing,
    },
    Scenario {
        name: "control: HTTP/2 with curl",
        up: R,
        down: R,
        server: Server::Shell(
            "exec $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public --http2",
        ),
        client: Client::Shell("curl -sS --http2-prior-knowledge -T $FILES/100k $URL/f"),
        truth: Truth::Nothing,
    },
    Scenario {
        name: "control: IPv6, 1 MB",
        up: R,
        down: R,
        server: Server::Ends(""),
        client: Client::Ends6("bytes=1e6"),
        truth: Truth::Nothing,
    },
];
