//! The same over TLS.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use rustix::process::Signal;
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{PrivateKeyDer, ServerName},
    version::{TLS12, TLS13},
};
use tokio::{net::TcpStream, process::Command};
use tokio_rustls::{TlsConnector, client::TlsStream};
use upload_server::{
    record::Outcome,
    server::{Config, TlsIdentity},
};

use crate::{
    client::{Client, content, expecting_put_head},
    feed::Feed,
    process::{Running, control, curl, refusal, tempdir},
    put::assert_in_order,
    test_server::{TestServer, within_limit},
};

/// A server's certificate, and a client that trusts it.
pub(crate) struct Trust {
    pub(crate) tls: TlsIdentity,
    pub(crate) roots: RootCertStore,
}

impl Trust {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        Self {
            tls: TlsIdentity::new(vec![certificate], key).unwrap(),
            roots,
        }
    }

    pub(crate) async fn serve(&self, adjust: impl FnOnce(&mut Config)) -> TestServer {
        TestServer::start_with(|config| {
            config.tls = Some(self.tls.clone());
            adjust(config);
        })
        .await
    }

    pub(crate) async fn connect(&self, server: &TestServer) -> Client<TlsStream<TcpStream>> {
        Client::over(self.handshake(server, &TLS13, &[]).await)
    }

    pub(crate) async fn handshake(
        &self,
        server: &TestServer,
        version: &'static SupportedProtocolVersion,
        alpn: &[&str],
    ) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(server.address).await.unwrap();
        handshake(stream, self.roots.clone(), version, alpn).await
    }
}

pub(crate) async fn handshake(
    stream: TcpStream,
    roots: RootCertStore,
    version: &'static SupportedProtocolVersion,
    alpn: &[&str],
) -> TlsStream<TcpStream> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    within_limit(connecting).await.unwrap()
}

#[tokio::test]
async fn stores_what_was_sent_and_records_it() {
    check(&TLS12).await;
    check(&TLS13).await;

    async fn check(version: &'static SupportedProtocolVersion) {
        let trust = Trust::new();
        let server = trust.serve(|_| ()).await;
        let mut feed = server.feed().await;
        let stream = trust.handshake(&server, version, &["h2", "http/1.1"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let mut client = Client::over(stream);
        for (request, name, length) in [(1, "one", 3_000_000), (2, "two", 0)] {
            let response = client.put(name, &content(length)).await;
            assert_eq!(response.status, 201);
            assert!(fs::read(server.path(name)).unwrap() == content(length));

            let upload = feed.upload().await;
            let address = client.get_ref().get_ref().0.local_addr().unwrap();
            assert_eq!((upload.client, upload.request), (address, request));
            assert_eq!(
                (upload.version.as_str(), upload.bytes),
                ("HTTP/1.1", length as u64)
            );
            assert_eq!(upload.outcome, Outcome::Complete);
            assert_in_order(&upload);
        }
        drop(client);
        assert_eq!(feed.connection().await.requests, 2);
    }
}

#[tokio::test]
async fn a_cut_body_leaves_no_file() {
    for sent in [0, 1, 16 * 1024, 600_000] {
        check(sent, Cut::CloseNotify, Outcome::Aborted).await;
        check(sent, Cut::Fin, Outcome::Aborted).await;
        check(sent, Cut::Rst, Outcome::Reset).await;
    }

    async fn check(sent: usize, cut: Cut, expected: Outcome) {
        let trust = Trust::new();
        let server = trust.serve(|_| ()).await;
        let mut feed = server.feed().await;
        let mut client = trust.connect(&server).await;
        client.send(expecting_put_head("file", 1_000_000)).await;
        assert_eq!(client.response().await.status, 100);
        client.send(&content(sent)).await;
        match cut {
            Cut::CloseNotify => {
                client.finish_sending().await;
                assert_eq!(client.response().await.status, 400);
            }
            Cut::Fin => drop(client),
            Cut::Rst => {
                client.get_ref().get_ref().0.set_zero_linger().unwrap();
                drop(client);
            }
        }
        let upload = feed.upload().await;
        assert_eq!(
            upload.outcome, expected,
            "{sent} {cut:?} {:?}",
            upload.error
        );
        assert_eq!(server.names(), [""; 0]);
        assert_eq!(feed.connection().await.cookie, upload.cookie);
    }
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    CloseNotify,
    /// Without a close_notify in TLS.
    Fin,
    Rst,
}

#[tokio::test]
async fn the_answer_to_a_refused_body_is_read() {
    let trust = Trust::new();
    let server = trust
        .serve(|config| config.limits.max_size = Some(1_000))
        .await;
    let mut client = trust.connect(&server).await;
    let response = client.put("file", &content(8 * 1024 * 1024)).await;
    assert_eq!(response.status, 413);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_silent_client_is_dropped_and_delays_nobody() {
    let trust = Trust::new();
    let server = trust
        .serve(|config| config.limits.head = Duration::from_millis(200))
        .await;
    let mut feed = server.feed().await;
    let mut silent = server.connect().await;
    let mut half = server.connect().await;
    half.send([0x16, 3, 1, 2, 0, 1]).await;
    let mut client = trust.connect(&server).await;
    assert_eq!(client.put("file", b"meanwhile").await.status, 201);
    assert_eq!(feed.upload().await.outcome, Outcome::Complete);
    drop(client);
    assert_eq!(feed.connection().await.requests, 1);
    for client in [&mut silent, &mut half] {
        assert!(client.is_closed().await);
        assert_eq!(feed.connection().await.requests, 0);
    }
}

#[tokio::test]
async fn a_failed_handshake_has_its_line() {
    let trust = Trust::new();
    let server = trust.serve(|_| ()).await;
    let mut feed = server.feed().await;
    let mut broken = server.connect().await;
    broken.send([0x16, 3, 1, 0, 4, 9, 9, 9, 9]).await;
    let end = feed.connection().await;
    assert_eq!(end.requests, 0);
    assert!(end.accepted_ns < end.closed_ns);
    // The alert with the reason comes first, unless the connection is reset before it is read.
    broken.rest().await;
}

#[tokio::test]
async fn clear_text_gets_a_hint_to_use_tls() {
    let trust = Trust::new();
    let server = trust.serve(|_| ()).await;
    let mut feed = server.feed().await;
    let mut plain = server.connect().await;
    let response = plain.put("file", &content(1_000_000)).await;
    assert_eq!(response.status, 400);
    let detail = response.problem()["detail"].to_string();
    assert!(detail.contains("https://"), "{detail}");
    assert!(plain.is_closed().await);
    drop(plain);
    assert_eq!(feed.connection().await.requests, 1);
    assert_eq!(server.names(), [""; 0]);
}

#[tokio::test]
async fn a_shutdown_waits_for_no_handshake() {
    let trust = Trust::new();
    let server = trust
        .serve(|config| config.grace = Duration::from_secs(3_600))
        .await;
    let mut silent = server.connect().await;
    server.stop().await;
    assert!(silent.is_closed().await);
}

#[tokio::test]
async fn curl_trusts_the_certificate_that_the_server_made() {
    let root = tempdir();
    let state = root.path().join("state");
    let state = state.to_str().unwrap();
    let certificate = format!("{state}/certificate.pem");
    let file = root.path().join("sent.bin");
    fs::write(&file, content(1_000_000)).unwrap();
    let mut fingerprints = Vec::new();

    for start in ["first", "again"] {
        let server = Running::start_with(&["--tls", "--state", state], root.path()).await;
        let mut feed = Feed::open(&control(root.path())).await;
        let port = server.address.port();
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("https://{host}:{port}/{start}-{host}");
            let file = file.to_str().unwrap();
            curl(&["--fail", "--cacert", &certificate, "-T", file, &url]).await;
            assert_eq!(feed.upload().await.outcome, Outcome::Complete);
            feed.connection().await;
        }
        fingerprints.push(printed_fingerprint(root.path()));
        assert_eq!(server.stop_with(Signal::TERM).await, Some(0));
    }
    assert_eq!(fingerprints[0], fingerprints[1]);
    let openssl = Command::new("openssl")
        .args([
            "x509",
            "-noout",
            "-fingerprint",
            "-sha256",
            "-in",
            &certificate,
        ])
        .output();
    let shown = String::from_utf8(within_limit(openssl).await.unwrap().stdout).unwrap();
    assert!(shown.trim_end().ends_with(&fingerprints[0]), "{shown}");
    let key = fs::metadata(format!("{state}/key.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}

fn printed_fingerprint(root: &Path) -> String {
    let stderr = fs::read_to_string(root.join("stderr")).unwrap();
    let (_, fingerprint) = stderr.split_once("SHA-256 fingerprint ").unwrap();
    fingerprint.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn takes_a_certificate_and_its_key() {
    let root = tempdir();
    let [certificate, key, other_key] =
        ["cert.pem", "key.pem", "other.pem"].map(|name| root.path().join(name));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let other = rcgen::KeyPair::generate().unwrap();
    fs::write(&other_key, other.serialize_pem()).unwrap();
    let [certificate, key, other_key] =
        [&certificate, &key, &other_key].map(|path| path.to_str().unwrap());

    let server = Running::start_with(&["--cert", certificate, "--key", key], root.path()).await;
    let url = format!("https://localhost:{}/", server.address.port());
    curl(&["--fail", "--cacert", certificate, &url]).await;

    check(certificate, other_key, "cannot be used together").await;
    check(key, key, "cannot read a certificate from").await;
    check(certificate, certificate, "cannot read a private key from").await;
    check("/missing", key, "cannot read a certificate from").await;

    async fn check(certificate: &str, key: &str, expected: &str) {
        let stderr = refusal(&["--cert", certificate, "--key", key]).await;
        assert!(stderr.contains(expected), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}
