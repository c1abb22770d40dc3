//! Programs that people upload with and to.

use upload_protocol::timeline::HeldBackBy;

use super::R;
use crate::held_back::scenario::{Client, Scenario, Server, Share, Truth};

pub(super) const PROGRAMS: &[Scenario] = &[
    Scenario {
        name: "program: curl --limit-rate",
        up: R,
        down: R,
        server: Server::Shell(
            "exec $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public",
        ),
        client: Client::Shell("curl -sS --limit-rate 1M -T $FILES/3M $URL/f"),
        truth: Truth::Held(HeldBackBy::ClientApplication, Share::AtLeast(85)),
    },
    Scenario {
        name: "program: curl --limit-rate over TLS",
        up: R,
        down: R,
        server: Server::Shell(
            "exec $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public --tls",
        ),
        client: Client::Shell("curl -sSk --limit-rate 1M -T $FILES/3M https://$HOST:$PORT/f"),
        truth: Truth::Held(HeldBackBy::ClientApplication, Share::AtLeast(85)),
    },
    Scenario {
        name: "program: curl -T - from a slow pipe",
        up: R,
        down: R,
        server: Server::Shell(
            "exec $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public",
        ),
        client: Client::Shell(
            "exec 3>&1
{
  head -c 500000 /dev/zero
  begun=$(date +%s%N); sleep 4; head -c 1000 /dev/zero; ended=$(date +%s%N)
  echo held client_application $((ended - begun)) >&3
  head -c 499000 /dev/zero
} | curl -sS -T - $URL/f",
        ),
        truth: Truth::Held(HeldBackBy::ClientApplication, Share::Timed),
    },
    Scenario {
        name: "program: curl to a server that does not know Expect",
        up: R,
        down: R,
        server: Server::Ends(""),
        client: Client::Shell("curl -sS -H 'Expect: 100-continue' -T $FILES/3M $URL/f"),
        truth: Truth::Held(HeldBackBy::ServerSilent, Share::Lasts(1000)),
    },
    Scenario {
        name: "program: curl on 8 Mbit/s",
        up: "delay=10 rate=8000 queue=60000",
        down: R,
        server: Server::Shell(
            "exec $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public",
        ),
        client: Client::Shell("curl -sS -T $FILES/3M $URL/f"),
        truth: Truth::Held(HeldBackBy::Path, Share::AtLeast(60)),
    },
    Scenario {
        name: "program: curl on 8 Mbit/s over TLS",
        up: "delay=10 rate=8000 queue=60000",
        down: R,
        server: Server::Shell(
            "exec $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public --tls",
        ),
        client: Client::Shell("curl -sSk -T $FILES/3M https://$HOST:$PORT/f"),
        truth: Truth::Held(HeldBackBy::Path, Share::AtLeast(60)),
    },
    Scenario {
        name: "program: curl on 8 Mbit/s over HTTP/2",
        up: "delay=10 rate=8000 queue=60000",
        down: R,
        server: Server::Shell(
            "exec $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public --http2",
        ),
        client: Client::Shell("curl -sS --http2-prior-knowledge -T $FILES/3M $URL/f"),
        truth: Truth::Held(HeldBackBy::Path, Share::AtLeast(60)),
    },
    Scenario {
        name: "program: curl --form on 8 Mbit/s",
        up: "delay=10 rate=8000 queue=60000",
        down: R,
        server: Server::Shell(
            "exec $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public",
        ),
        client: Client::Shell("curl -sS -F f=@$FILES/3M $URL/"),
        truth: Truth::Held(HeldBackBy::Path, Share::AtLeast(60)),
    },
    Scenario {
        name: "program: HTTP/2 to a server with a window of 64 KB at 80 ms",
        up: "delay=40",
        down: "delay=40",
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
    Scenario {
        name: "program: HTTP/2 over TLS to nginx that passes it on at once, at 80 ms",
        up: "delay=40",
        down: "delay=40",
        server: Server::Nginx(
            r#"http2_body_preread_size 64k; client_body_buffer_size 64k; ssl_certificate $HOME/../pem; ssl_certificate_key $HOME/../pem;
           location / { proxy_pass http://unix:$HOME/backend; proxy_http_version 1.1; proxy_request_buffering off; } }
           server { listen unix:$HOME/backend; root $HOME; location / { dav_methods PUT; }"#,
        ),
        client: Client::Shell("curl -sSk --http2 -T $FILES/3M https://$HOST:$PORT/f"),
        truth: Truth::Held(HeldBackBy::WaitsForPeer, Share::AtLeast(50)),
    },
    Scenario {
        name: "program: curl --limit-rate over HTTP/2 at 80 ms",
        up: "delay=40",
        down: "delay=40",
        server: Server::Shell(
            r#"exec node -e '
const server = require("http2").createServer();
server.on("stream", (stream) => {
  stream.resume();
  stream.on("end", () => { stream.respond({ ":status": 201 }); stream.end(); });
});
server.listen(+process.env.PORT);'"#,
        ),
        client: Client::Shell(
            "curl -sS --http2-prior-knowledge --limit-rate 200k -T $FILES/500k $URL/f",
        ),
        truth: Truth::Held(HeldBackBy::ClientApplication, Share::AtLeast(50)),
    },
    Scenario {
        name: "program: nginx, 8 Mbit/s",
        up: "delay=10 rate=8000 queue=60000",
        down: R,
        server: Server::Nginx(
            "root $HOME; client_body_buffer_size 64k; location / { dav_methods PUT; }",
        ),
        client: Client::Shell("curl -sS -T $FILES/3M $URL/f"),
        truth: Truth::Held(HeldBackBy::Path, Share::AtLeast(60)),
    },
    Scenario {
        name: "program: nginx gives up a client that is silent",
        up: R,
        down: R,
        server: Server::Nginx(
            "root $HOME; client_body_buffer_size 64k; location / { dav_methods PUT; } client_body_timeout 2s;",
        ),
        client: Client::Ends("bytes=1e6 pause=4 pause_at=5e5"),
        truth: Truth::Held(HeldBackBy::ClientApplication, Share::AtLeast(85)),
    },
    Scenario {
        name: "program: nginx in front of a server that works for 2 s",
        up: R,
        down: R,
        server: Server::Proxy(
            "location / { proxy_pass http://127.0.0.1:$BACKEND; }",
            "think=2",
        ),
        client: Client::Shell("curl -sS -H Expect: -T $FILES/3M $URL/f"),
        truth: Truth::Held(HeldBackBy::ServerThinks, Share::Timed),
    },
    Scenario {
        name: "program: nginx that passes on at once to a server that reads 1 MB/s",
        up: R,
        down: R,
        server: Server::Proxy(
            "location / { proxy_pass http://127.0.0.1:$BACKEND; proxy_http_version 1.1; proxy_request_buffering off; }",
            "rate=2500000 receive_buffer=65536",
        ),
        client: Client::Shell("curl -sS -H Expect: -T $FILES/10M $URL/f"),
        truth: Truth::Either(HeldBackBy::ServerNotReading, HeldBackBy::ServerThinks),
    },
    Scenario {
        name: "program: wget on 8 Mbit/s",
        up: "delay=10 rate=8000 queue=60000",
        down: R,
        server: Server::Shell(
            "exec $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public",
        ),
        client: Client::Shell("wget -q -O /dev/null --method PUT --body-file $FILES/3M $URL/f"),
        truth: Truth::Held(HeldBackBy::Path, Share::AtLeast(60)),
    },
    Scenario {
        name: "program: Python requests with a slow generator",
        up: R,
        down: R,
        server: Server::Shell(
            "exec $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public",
        ),
        client: Client::Shell(
            r#"exec python3 -c '
import os, requests, time
def pieces():
    for _ in range(20):
        yield bytes(50000)
        time.sleep(0.1)
requests.put(os.environ["URL"] + "/f", data=pieces())'"#,
        ),
        truth: Truth::Held(HeldBackBy::ClientApplication, Share::AtLeast(85)),
    },
    Scenario {
        name: "program: openssl s_server on 8 Mbit/s",
        up: "delay=10 rate=8000 queue=60000",
        down: R,
        server: Server::Shell(
            "sleep 80 | openssl s_server -accept $PORT -cert $PEM -quiet -naccept 1 >/dev/null",
        ),
        client: Client::Shell(
            "{ cat $FILES/3M; } | openssl s_client -quiet -no_ign_eof -connect $HOST:$PORT >/dev/null",
        ),
        truth: Truth::Held(HeldBackBy::Path, Share::AtLeast(60)),
    },
    Scenario {
        name: "program: a server that waits 4 s for its disk",
        up: R,
        down: R,
        server: Server::Shell(
            "exec strace -f --seccomp-bpf -qq -o /dev/null -P $HOME/files -e trace=fsync -e inject=fsync:delay_enter=4000000 $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public --fsync",
        ),
        client: Client::Shell("curl -sS -H Expect: -T $FILES/1M $URL/f"),
        truth: Truth::Held(HeldBackBy::ServerThinks, Share::Lasts(4000)),
    },
    Scenario {
        name: "program: a server whose disk writes 4 MB/s",
        up: R,
        down: R,
        server: Server::Shell(
            "exec strace -f --seccomp-bpf -qq -o /dev/null -e trace=writev -e inject=writev:delay_enter=250000 $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public",
        ),
        client: Client::Shell("curl -sS -H Expect: -T $FILES/20M $URL/f"),
        truth: Truth::Either(HeldBackBy::ServerNotReading, HeldBackBy::ServerThinks),
    },
    Scenario {
        name: "program: tus over three connections, 1 MB/s",
        up: R,
        down: R,
        server: Server::Shell(
            "exec $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public",
        ),
        client: Client::Shell(
            r#"l=$(curl -sS -D - -o /dev/null -X POST -H 'Tus-Resumable: 1.0.0' -H 'Upload-Length: 3000000' -H 'Upload-Metadata: filename Zg==' $URL/tus/ | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
l=$URL/tus/$l
for o in 0 1000000 2000000; do
  curl -sS --limit-rate 1M -X PATCH -H Expect: -H 'Tus-Resumable: 1.0.0' -H 'Content-Type: application/offset+octet-stream' -H "Upload-Offset: $o" --data-binary @$FILES/1M $l
done"#,
        ),
        truth: Truth::Held(HeldBackBy::ClientApplication, Share::AtLeast(70)),
    },
    Scenario {
        name: "program: Chromium on 8 Mbit/s",
        up: "delay=10 rate=8000 queue=60000",
        down: R,
        server: Server::Nginx(
            r#"location / { root $HOME; dav_methods PUT; } location = /page { default_type text/html; return 200 '<p id=answered hidden>Stored<script>fetch(\"f\",{method:\"PUT\",body:new Blob([new Uint8Array(3e6)])}).then(()=>answered.hidden=false)</script>'; }"#,
        ),
        client: Client::Shell("exec node $BROWSER $MODULES $URL/page"),
        truth: Truth::Held(HeldBackBy::Path, Share::AtLeast(60)),
    },
    Scenario {
        name: "program: the bundled page in Chromium on 8 Mbit/s",
        up: "delay=10 rate=8000 queue=60000",
        down: R,
        server: Server::Shell(
            "exec $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public",
        ),
        client: Client::Shell("exec node $BROWSER $MODULES $URL/ $FILES/3M"),
        truth: Truth::Held(HeldBackBy::Path, Share::AtLeast(60)),
    },
    Scenario {
        name: "program: the bundled page in Chromium, resumable, on 20 Mbit/s",
        up: "delay=10 rate=20000 queue=150000",
        down: R,
        server: Server::Shell(
            "exec $BINARIES/upload-server --listen [::]:$PORT --dir $HOME/files --control $HOME/control --state $HOME/state --public",
        ),
        client: Client::Shell("exec node $BROWSER $MODULES $URL/ $FILES/20M"),
        truth: Truth::Held(HeldBackBy::Path, Share::AtLeast(60)),
    },
];
