//! TLS (RFC 8446, RFC 5246) over an accepted socket.

use std::{fmt, sync::Arc};

use parking_lot::RwLock;
use rustls::{
    RootCertStore, ServerConfig,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio_rustls::TlsAcceptor;

/// Protocol names for ALPN (RFC 7301).
pub(crate) const HTTP_1: &[u8] = b"http/1.1";
pub(crate) const HTTP_2: &[u8] = b"h2";

/// The identity that the server presents: a chain of certificates, and the key of the first.
#[derive(Clone)]
pub struct TlsIdentity {
    config: Arc<ServerConfig>,
    presented: Arc<Presented>,
    self_signed: bool,
}

/// What handshakes from now on present.
#[derive(Debug)]
struct Presented(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

impl TlsIdentity {
    /// For TLS 1.2 and 1.3. The key must be the first certificate's.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        // ring compiles in a fraction of the time of aws-lc-rs.
        let provider = Arc::new(ring::default_provider());
        let self_signed = chain.first().is_some_and(is_self_signed);
        let key = CertifiedKey::from_der(chain, key, &provider)?;
        let presented = Arc::new(Presented(RwLock::new(Arc::new(key))));
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&presented) as Arc<dyn ResolvesServerCert>);
        Ok(Self {
            config: Arc::new(config),
            presented,
            self_signed,
        })
    }

    /// From now on, handshakes present the certificate of `other`, in this identity's clones, too. Connections that are
    /// open stay. Whether answers carry HSTS does not change.
    pub fn present(&self, other: &Self) {
        let key = Arc::clone(&other.presented.0.read());
        *self.presented.0.write() = key;
    }

    /// Whether clients trust the certificate only if they trust this very one.
    pub(crate) fn is_self_signed(&self) -> bool {
        self.self_signed
    }

    /// Negotiates HTTP/1.1, or HTTP/2 where it is enabled and the client supports it.
    pub(crate) fn acceptor(&self, http2: bool) -> TlsAcceptor {
        let mut config = ServerConfig::clone(&self.config);
        if http2 {
            config.alpn_protocols.push(HTTP_2.to_vec());
        }
        config.alpn_protocols.push(HTTP_1.to_vec());
        TlsAcceptor::from(Arc::new(config))
    }
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    let mut roots = RootCertStore::empty();
    let Ok(parsed) = ParsedCertificate::try_from(certificate) else {
        return false;
    };
    roots.add(certificate.clone().into_owned()).is_ok()
        && verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &roots,
            &[],
            UnixTime::now(),
            ring::default_provider()
                .signature_verification_algorithms
                .all,
        )
        .is_ok()
}

// Not derived: a log must not show the key.
impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}
