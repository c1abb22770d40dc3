//! Public reports of slow uploads, rebuilt: each names the report, and what its reporter found.

use upload_protocol::timeline::HeldBackBy;

use super::{R, R40};
use crate::held_back::scenario::{Client, Scenario, Server, Share, Truth};

pub(super) const REPORTS: &[Scenario] = &[
    // https://github.com/haproxy/haproxy/issues/293: the window of a stream is 64 KB.
    Scenario {
        name: "report: haproxy 293, Cloudflare: the window of an HTTP/2 stream",
        up: "delay=50",
        down: "delay=50",
        server: Server::Shell(
            r#"exec node -e '
const server = require("http2").createServer();
server.on("stream", (stream) => {
  stream.resume();
  stream.on("end", () => { stream.respond({ ":status": 201 }); stream.end(); });
});
server.listen(+process.env.PORT);'"#,
        ),
        client: Client::Shell("curl -sS --http2-prior-knowledge -T $FILES/3M $URL/f"),
        truth: Truth::Held(HeldBackBy::WaitsForPeer, Share::AtLeast(50)),
    },
    // https://github.com/oxidecomputer/omicron/issues/6601: the server's receive buffer is fixed.
    Scenario {
        name: "report: omicron 6601: a receive buffer of 128 KB",
        up: "delay=30",
        down: "delay=30",
        server: Server::Ends("receive_buffer=65536"),
        client: Client::Ends("bytes=4e6"),
        truth: Truth::Held(HeldBackBy::ServerWindow, Share::AtLeast(80)),
    },
    // https://overlaid.net/2014/05/01/no-really-its-not-the-network/: a window that does not scale.
    Scenario {
        name: "report: overlaid.net: a window of 17,520 bytes that does not scale",
        up: "delay=9 unscaled=1",
        down: "delay=9",
        server: Server::Ends("receive_buffer=8760"),
        client: Client::Ends("bytes=1e6"),
        truth: Truth::Held(HeldBackBy::ServerWindow, Share::AtLeast(80)),
    },
    // https://github.com/restic/restic/issues/1996: the send buffer is too small for the path.
    Scenario {
        name: "report: restic 1996, gsutil 1145: a small send buffer",
        up: "delay=40",
        down: "delay=40",
        server: Server::Ends(""),
        client: Client::Ends("bytes=2e6 send_buffer=32768"),
        truth: Truth::Held(HeldBackBy::ClientSendBuffer, Share::AtLeast(70)),
    },
    // https://github.com/googleapis/google-http-java-client/issues/278: pieces of 4 KB, and work between them.
    Scenario {
        name: "report: google-http-java 278, dittofs 1407: the client gives little",
        up: "delay=10",
        down: "delay=10",
        server: Server::Ends(""),
        client: Client::Ends("bytes=1e6 piece=4096 burn=0.008"),
        truth: Truth::Held(HeldBackBy::ClientApplication, Share::AtLeast(85)),
    },
    // https://github.com/rwf2/Rocket/issues/2062: Nagle's algorithm and delayed acknowledgments.
    Scenario {
        name: "report: Rocket 2062: 40 ms for each small request",
        up: "",
        down: "",
        server: Server::Ends("requests=10"),
        client: Client::Ends("requests=10 bytes=700 piece=350 no_delay=0"),
        truth: Truth::Held(HeldBackBy::Nagle, Share::AtLeast(70)),
    },
    // https://github.com/yhirose/cpp-httplib/issues/349: 100 Continue never comes.
    Scenario {
        name: "report: cpp-httplib 349, curl 953: a second before the body",
        up: R,
        down: R,
        server: Server::Ends(""),
        client: Client::Shell("curl -sS -H 'Expect: 100-continue' -T $FILES/1M $URL/f"),
        truth: Truth::Held(HeldBackBy::ServerSilent, Share::Lasts(1000)),
    },
    // https://github.com/passteque/gluetun/issues/1650: large segments vanish.
    Scenario {
        name: "report: gluetun 1650: an MTU that the path does not carry",
        up: "delay=10 largest=1300",
        down: R,
        server: Server::Ends(""),
        client: Client::Shell(
            "sysctl -qw net.ipv4.tcp_mtu_probing=1; exec timeout 20 python3 $ENDS client $PORT $HOST bytes=1e6",
        ),
        truth: Truth::OutOfSight(HeldBackBy::Loss, Share::AtLeast(50)),
    },
    // https://www.ids-sax2.com/diagnosis-slow-file-transfer-due-to-tcp-packet-loss/: losses, and time-outs.
    Scenario {
        name: "report: ids-sax2: 8 MB in 30 s",
        up: "delay=20 lose=60 burst=3",
        down: R40,
        server: Server::Ends(""),
        client: Client::Ends("bytes=2e6 congestion=3"),
        truth: Truth::Held(HeldBackBy::Loss, Share::AtLeast(80)),
    },
    // https://github.com/Ansuel/tch-nginx-gui/issues/1002: the line is full, and its queue is long.
    Scenario {
        name: "report: tch-nginx-gui 1002: a queue of seconds",
        up: "delay=10 rate=8000 queue=3000000",
        down: R,
        server: Server::Ends(""),
        client: Client::Ends("bytes=4e6 congestion=1"),
        truth: Truth::Held(HeldBackBy::Path, Share::AtLeast(85)),
    },
    // https://github.com/owncloud/files_antivirus/issues/502: the server scans what it has received.
    Scenario {
        name: "report: owncloud antivirus 502: a scan after the body",
        up: R,
        down: R,
        server: Server::Ends("think=3"),
        client: Client::Ends("bytes=2e6"),
        truth: Truth::Held(HeldBackBy::ServerThinks, Share::Timed),
    },
    // https://github.com/nextcloud/documentation/pull/6746: the proxy's time for a slow client ends.
    Scenario {
        name: "report: nextcloud documentation 6746: a proxy gives up",
        up: R,
        down: R,
        server: Server::Nginx(
            "root $HOME; client_body_buffer_size 64k; location / { dav_methods PUT; } client_body_timeout 2s;",
        ),
        client: Client::Ends("bytes=1e6 pause=4 pause_at=3e5"),
        truth: Truth::Held(HeldBackBy::ClientApplication, Share::AtLeast(85)),
    },
    // https://github.com/Open-Less/openless/issues/998: the handshake takes 4.2 s.
    Scenario {
        name: "report: openless 998: TLS takes seconds",
        up: R,
        down: R,
        server: Server::Ends("tls_wait=2 tls"),
        client: Client::Ends("bytes=1e6 tls"),
        truth: Truth::Held(HeldBackBy::Tls, Share::Timed),
    },
    // https://www.michal-drozd.com/en/blog/tcpdump-syn-no-accept-backlog-trap/: the accept queue.
    Scenario {
        name: "report: michal-drozd: nobody accepts",
        up: R,
        down: R,
        server: Server::Ends("accept=2"),
        client: Client::Ends("bytes=1e6"),
        truth: Truth::Held(HeldBackBy::Accept, Share::Timed),
    },
];
