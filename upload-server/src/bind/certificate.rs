//! The certificate that the server presents over TLS: the one that the user gives, or one that the
//! server generates.
//!
//! A generated certificate is kept in the state directory, so that clients that trust it still do
//! after a restart. It is not an authority: trusting it means to trust this server alone.

use std::{
    fs::{self, Permissions},
    io::{self, Write},
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

/// The most names in a certificate, unless more are needed now.
const MAX_NAMES: usize = 64;

pub(crate) struct GeneratedCertificate {
    pub(crate) tls: TlsIdentity,
    /// The certificate's PEM file, for clients that are to trust it.
    pub(crate) path: PathBuf,
    /// SHA-256 of the certificate, in the form that browsers and openssl show.
    pub(crate) fingerprint: String,
    /// Why it takes the place of a former one, which clients may trust.
    pub(crate) replaced: Option<String>,
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
/// expire, or not valid for localhost and all these names and addresses.
pub(crate) fn generated<'a>(
    state: &Path,
    names: impl Iterator<Item = &'a String>,
) -> Result<GeneratedCertificate> {
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut all = own.to_vec();
    for name in names {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    let files = Files::beneath(state);
    let replaced = match files.read(&all) {
        Ok(kept) => return Ok(kept),
        Err(unusable) => unusable,
    };
    files.generate(&all).with_context(|| {
        format!(
            "cannot generate a certificate in {}: choose another directory with --state",
            state.display()
        )
    })?;
    match files.read(&all) {
        Ok(generated) => Ok(GeneratedCertificate {
            replaced: replaced.reason(),
            ..generated
        }),
        Err(_) => Err(anyhow!(
            "the certificate generated in {} cannot be used: choose another directory with --state",
            state.display()
        )),
    }
}

/// Why the kept certificate is not used.
enum Unusable {
    Missing,
    Broken,
    Expires,
    NotValidFor(String),
}

impl Unusable {
    /// None where there was no certificate that clients could have trusted.
    fn reason(self) -> Option<String> {
        match self {
            Self::Missing => None,
            Self::Broken => Some("could not be used".to_owned()),
            Self::Expires => Some("was about to expire".to_owned()),
            Self::NotValidFor(name) => Some(format!("was not valid for {name}")),
        }
    }
}

/// A certificate's files in the state directory.
struct Files<'a> {
    state: &'a Path,
    certificate: PathBuf,
    key: PathBuf,
    /// The names in the certificate, one a line.
    names: PathBuf,
}

impl<'a> Files<'a> {
    fn beneath(state: &'a Path) -> Self {
        Self {
            state,
            certificate: state.join("certificate.pem"),
            key: state.join("key.pem"),
            names: state.join("certificate.names"),
        }
    }

    /// The certificate, if it is valid for all these names.
    fn read(&self, names: &[String]) -> Result<GeneratedCertificate, Unusable> {
        let missing = fs::symlink_metadata(&self.certificate)
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if missing {
            return Err(Unusable::Missing);
        }
        let chain = read_chain(&self.certificate).map_err(|_| Unusable::Broken)?;
        let certificate = chain.first().ok_or(Unusable::Broken)?.clone();
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|_| Unusable::Broken)?;
        let tls = TlsIdentity::new(chain, key).map_err(|_| Unusable::Broken)?;
        check(&certificate, names)?;
        Ok(GeneratedCertificate {
            tls,
            path: self.certificate.clone(),
            fingerprint: fingerprint(&certificate),
            replaced: None,
        })
    }

    /// The names of the former certificate stay: a machine that returns to another network needs no
    /// third one.
    fn generate(&self, names: &[String]) -> Result<()> {
        fs::create_dir_all(self.state)?;
        let mut all = names.to_vec();
        let former = fs::read_to_string(&self.names).unwrap_or_default();
        for name in former.lines() {
            let is_new = !all.iter().any(|known| known == name);
            if is_new && all.len() < MAX_NAMES && ServerName::try_from(name).is_ok() {
                all.push(name.to_owned());
            }
        }
        let key = KeyPair::generate()?;
        let certificate = parameters(&all)?.self_signed(&key)?;
        write(self.state, &self.key, &key.serialize_pem(), 0o600)?;
        write(self.state, &self.certificate, &certificate.pem(), 0o644)?;
        write(self.state, &self.names, &(all.join("\n") + "\n"), 0o644)?;
        Ok(())
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?;
    if chain.is_empty() {
        return Err(anyhow!("it holds no certificate in PEM form"));
    }
    Ok(chain)
}

/// An error unless a client that trusts this certificate accepts it for all these names, also in some
/// time.
fn check(certificate: &CertificateDer<'_>, names: &[String]) -> Result<(), Unusable> {
    let mut roots = RootCertStore::empty();
    roots
        .add(certificate.clone().into_owned())
        .map_err(|_| Unusable::Broken)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|_| Unusable::Broken)?;
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = since_epoch.map_err(|_| Unusable::Broken)?;
    let accepts = |name: &str, then: Duration| {
        ServerName::try_from(name).is_ok_and(|name| {
            let then = UnixTime::since_unix_epoch(then);
            verifier
                .verify_server_cert(certificate, &[], &name, &[], then)
                .is_ok()
        })
    };
    if !accepts("localhost", now + RENEW_BEFORE) {
        return Err(Unusable::Expires);
    }
    match names.iter().find(|name| !accepts(name, now)) {
        Some(name) => Err(Unusable::NotValidFor(name.clone())),
        None => Ok(()),
    }
}

fn parameters(names: &[String]) -> Result<CertificateParams> {
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
    Ok(certificate)
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
