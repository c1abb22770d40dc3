//! The certificate that the server presents over TLS: the one that the user gives, or one that the
//! server generates.
//!
//! A generated certificate is kept in the state directory, so that clients that trust it still do
//! after a restart. It is not an authority: trusting it means to trust this server alone.

use std::{
    fs::{self, Permissions},
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, anyhow};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use upload_server::server::TlsIdentity;

/// How long a generated certificate is valid: the longest that browsers accept.
const LIFE: Duration = Duration::from_secs(397 * 24 * 3_600);

/// How far behind a client's clock may be.
const CLOCK_SKEW: Duration = Duration::from_secs(24 * 3_600);

/// A kept certificate that expires sooner is replaced.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3_600);

pub(crate) struct GeneratedCertificate {
    pub(crate) tls: TlsIdentity,
    /// The certificate's PEM file, for clients that are to trust it.
    pub(crate) path: PathBuf,
    /// SHA-256 of the certificate, in the form that browsers and openssl show.
    pub(crate) fingerprint: String,
}

/// The certificate and key that the user gives as PEM files.
pub(crate) fn from_files(certificate: &Path, key: &Path) -> Result<TlsIdentity> {
    let (certificate_name, key_name) = (certificate.display(), key.display());
    let chain = read_chain(certificate).map_err(|error| {
        anyhow!("cannot read a certificate from {certificate_name}: choose another with --cert ({error})")
    })?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| {
        anyhow!("cannot read a private key from {key_name}: choose another with --key ({error})")
    })?;
    TlsIdentity::new(chain, key).map_err(|error| {
        anyhow!("{certificate_name} and {key_name} cannot be used together: give a certificate and its key ({error})")
    })
}

/// The certificate kept in this directory, or a new one where the kept one is missing, about to
/// expire, or not valid for localhost, the addresses and the hosts.
pub(crate) fn generated(
    state: &Path,
    listen: &[SocketAddr],
    hosts: &[String],
) -> Result<GeneratedCertificate> {
    let names = names(listen, hosts);
    let (path, key_path) = (state.join("certificate.pem"), state.join("key.pem"));
    if let Some(kept) = kept(&path, &key_path, &names) {
        return Ok(kept);
    }
    generate(state, &path, &key_path, &names).with_context(|| {
        format!(
            "cannot generate a certificate in {}: choose another directory with --state",
            state.display()
        )
    })?;
    kept(&path, &key_path, &names).ok_or_else(|| {
        anyhow!(
            "the certificate generated in {} cannot be used: choose another directory with --state",
            state.display()
        )
    })
}

/// The names in the certificate. An unspecified address such as 0.0.0.0 is no name.
fn names(listen: &[SocketAddr], hosts: &[String]) -> Vec<String> {
    let loopback = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    let addresses = listen.iter().map(|address| address.ip().to_canonical());
    let mut addresses: Vec<_> = loopback
        .into_iter()
        .chain(addresses.filter(|address| !address.is_unspecified()))
        .collect();
    addresses.sort();
    addresses.dedup();
    let mut names = vec!["localhost".to_owned()];
    names.extend(addresses.iter().map(IpAddr::to_string));
    names.extend(hosts.iter().cloned());
    names
}

fn kept(path: &Path, key_path: &Path, names: &[String]) -> Option<GeneratedCertificate> {
    let chain = read_chain(path).ok()?;
    let certificate = chain.first()?.clone();
    let soon = UnixTime::since_unix_epoch(
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()?
            + RENEW_BEFORE,
    );
    if !is_accepted(&certificate, names, soon) {
        return None;
    }
    let tls = TlsIdentity::new(chain, PrivateKeyDer::from_pem_file(key_path).ok()?).ok()?;
    Some(GeneratedCertificate {
        tls,
        path: path.to_owned(),
        fingerprint: fingerprint(&certificate),
    })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?;
    if chain.is_empty() {
        return Err(anyhow!("it holds no certificate in PEM form"));
    }
    Ok(chain)
}

/// Whether a client that trusts this certificate accepts it at that time for all these names.
fn is_accepted(certificate: &CertificateDer<'_>, names: &[String], then: UnixTime) -> bool {
    let mut roots = RootCertStore::empty();
    if roots.add(certificate.clone().into_owned()).is_err() {
        return false;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let Ok(verifier) = verifier else {
        return false;
    };
    names.iter().all(|name| {
        ServerName::try_from(name.as_str()).is_ok_and(|name| {
            verifier
                .verify_server_cert(certificate, &[], &name, &[], then)
                .is_ok()
        })
    })
}

fn generate(state: &Path, path: &Path, key_path: &Path, names: &[String]) -> Result<()> {
    fs::create_dir_all(state)?;
    let mut certificate = CertificateParams::new(names)?;
    let now = SystemTime::now();
    certificate.not_before = (now - CLOCK_SKEW).into();
    certificate.not_after = (now + LIFE).into();
    certificate.distinguished_name = DistinguishedName::new();
    certificate
        .distinguished_name
        .push(DnType::CommonName, "upload-server");
    certificate.is_ca = IsCa::ExplicitNoCa;
    certificate.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = certificate.self_signed(&key)?;
    write(state, key_path, &key.serialize_pem(), 0o600)?;
    write(state, path, &certificate.pem(), 0o644)?;
    Ok(())
}

/// The file appears with its whole content and its mode, or not at all.
fn write(directory: &Path, path: &Path, content: &str, mode: u32) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory)?;
    file.write_all(content.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let bytes: Vec<_> = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    bytes.join(":")
}
