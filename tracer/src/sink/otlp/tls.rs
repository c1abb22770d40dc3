//! TLS to the collector: its certificate must be one of those that the system trusts, or of
//! `OTEL_EXPORTER_OTLP_CERTIFICATE`.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result, bail};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, pem::PemObject as _},
    },
};

use super::endpoint::Protocol;

/// What connects with TLS. `trusted`: a file with the certificates to trust instead of the system's.
pub(super) fn connector(protocol: Protocol, trusted: Option<&Path>) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = trusted {
        let unreadable = || format!("{} has no certificates that can be read", file.display());
        for certificate in CertificateDer::pem_file_iter(file).with_context(unreadable)? {
            roots
                .add(certificate.with_context(unreadable)?)
                .with_context(unreadable)?;
        }
    } else {
        // One that cannot be read is no reason to trust none of the others.
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
    }
    if roots.is_empty() {
        bail!(
            "no certificate is trusted on this system: install ca-certificates, or name a file in OTEL_EXPORTER_OTLP_CERTIFICATE"
        );
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS is not available")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = match protocol {
        Protocol::Grpc => vec![b"h2".to_vec()],
        Protocol::Http => vec![b"http/1.1".to_vec()],
    };
    Ok(TlsConnector::from(Arc::new(config)))
}
