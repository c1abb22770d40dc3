//! Reads a ClientHello and a ServerHello (RFC 8446, sections 4.1.2, 4.1.3 and 4.2). A truncated one is
//! read up to the cut.

use upload_protocol::timeline::TlsVersion;

use super::{handshake::Hello, names};

/// What a client offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ClientHello {
    pub(super) legacy_version: u16,
    /// The first bytes of its random.
    pub(super) random: Option<u64>,
    pub(super) session_id: Vec<u8>,
    pub(super) cipher_suites: usize,
    pub(super) server_name: Option<String>,
    pub(super) alpn: Vec<String>,
    /// From the extension supported_versions, where it is there.
    pub(super) versions: Vec<u16>,
    pub(super) early_data: bool,
    /// Whether it was read to its end.
    pub(super) complete: bool,
}

/// What a server chose.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ServerHello {
    /// Whether it asks for another ClientHello (RFC 8446, section 4.1.3), if that was seen.
    pub(super) is_retry: Option<bool>,
    pub(super) session_id: Vec<u8>,
    pub(super) cipher_suite: Option<u16>,
    /// From the extension supported_versions, or else the old field.
    pub(super) version: Option<TlsVersion>,
    pub(super) alpn: Option<String>,
    /// Whether it took a pre-shared key.
    pub(super) pre_shared_key: bool,
    /// Whether it was read to its end.
    pub(super) complete: bool,
}

/// The random of a HelloRetryRequest: SHA-256 of that word (RFC 8446, section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

mod extension {
    pub(super) const SERVER_NAME: u16 = 0;
    pub(super) const ALPN: u16 = 16;
    pub(super) const PRE_SHARED_KEY: u16 = 41;
    pub(super) const EARLY_DATA: u16 = 42;
    pub(super) const SUPPORTED_VERSIONS: u16 = 43;
}

impl ClientHello {
    pub(super) fn read(hello: &Hello) -> Self {
        let mut read = Self::default();
        read.complete = read.fill(&hello.body).is_some() && !hello.cut;
        read
    }

    fn fill(&mut self, body: &[u8]) -> Option<()> {
        let mut body = Reader(body);
        self.legacy_version = body.u16()?;
        let random = body.take(RETRY.len())?;
        self.random = random.first_chunk().copied().map(u64::from_be_bytes);
        self.session_id = body.short_vector()?.0.to_vec();
        let suites = body.vector()?.0;
        self.cipher_suites = suites.len() / 2;
        body.short_vector()?;
        body.extensions(|kind, extension| self.extension(kind, extension))?;
        (suites.len() % 2 == 0).then_some(())
    }

    fn extension(&mut self, kind: u16, mut extension: Reader<'_>) -> Option<()> {
        match kind {
            extension::SERVER_NAME => {
                let mut names = extension.vector()?;
                while !names.is_empty() {
                    let is_host = names.u8()? == 0;
                    let name = names.vector()?;
                    if is_host {
                        self.server_name = Some(name.text());
                    }
                }
            }
            extension::ALPN => self.alpn = extension.protocols()?,
            extension::SUPPORTED_VERSIONS => {
                let mut versions = extension.short_vector()?;
                while !versions.is_empty() {
                    self.versions.push(versions.u16()?);
                }
            }
            extension::EARLY_DATA => self.early_data = true,
            _ => return Some(()),
        }
        extension.is_empty().then_some(())
    }

    /// The versions offered, once certain, without GREASE values (RFC 8701).
    pub(super) fn offered(&self) -> Vec<TlsVersion> {
        let legacy = [self.legacy_version];
        let versions = match self.versions.as_slice() {
            [] if self.complete => &legacy,
            versions => versions,
        };
        versions
            .iter()
            .filter(|version| !names::is_grease(**version))
            .copied()
            .map(TlsVersion)
            .collect()
    }
}

impl ServerHello {
    pub(super) fn read(hello: &Hello) -> Self {
        let mut read = Self::default();
        read.complete = read.fill(&hello.body).is_some() && !hello.cut;
        read
    }

    fn fill(&mut self, body: &[u8]) -> Option<()> {
        let mut body = Reader(body);
        let legacy_version = body.u16()?;
        self.is_retry = Some(body.take(RETRY.len())? == RETRY);
        if is_early_draft(legacy_version) {
            self.cipher_suite = Some(body.u16()?);
        } else {
            self.session_id = body.short_vector()?.0.to_vec();
            self.cipher_suite = Some(body.u16()?);
            body.u8()?;
        }
        body.extensions(|kind, extension| self.extension(kind, extension))?;
        self.version = self.version.or(Some(TlsVersion(legacy_version)));
        Some(())
    }

    fn extension(&mut self, kind: u16, mut extension: Reader<'_>) -> Option<()> {
        match kind {
            extension::ALPN => self.alpn = extension.protocols()?.pop(),
            extension::SUPPORTED_VERSIONS => self.version = Some(TlsVersion(extension.u16()?)),
            extension::PRE_SHARED_KEY => {
                extension.u16()?;
                self.pre_shared_key = true;
            }
            _ => return Some(()),
        }
        extension.is_empty().then_some(())
    }
}

/// Whether a server chose a draft of TLS 1.3 older than draft 22: its hello has no session id and no compression
/// method (draft-ietf-tls-tls13-21, section 4.1.3).
const fn is_early_draft(version: u16) -> bool {
    version >> 8 == 0x7f
}

/// Reads from the front; `None` if an announced length runs past the end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(front)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    /// A vector after a length of one byte.
    fn short_vector(&mut self) -> Option<Self> {
        let length = self.u8()?.into();
        self.take(length).map(Self)
    }

    /// A vector after a length of two bytes.
    fn vector(&mut self) -> Option<Self> {
        let length = self.u16()?.into();
        self.take(length).map(Self)
    }

    /// Reads the extensions, which end the message and may be missing; those before a cut too.
    fn extensions(&mut self, mut read: impl FnMut(u16, Self) -> Option<()>) -> Option<()> {
        if self.is_empty() {
            return Some(());
        }
        let length = usize::from(self.u16()?);
        let fits = length == self.0.len();
        let mut extensions = Self(self.0.get(..length).unwrap_or(self.0));
        while !extensions.is_empty() {
            let kind = extensions.u16()?;
            read(kind, extensions.vector()?)?;
        }
        fits.then_some(())
    }

    /// A list of protocols (RFC 7301, section 3.1).
    fn protocols(&mut self) -> Option<Vec<String>> {
        let mut list = self.vector()?;
        let mut protocols = Vec::new();
        while !list.is_empty() {
            protocols.push(list.short_vector()?.text());
        }
        Some(protocols)
    }

    /// As text, with all but printable ASCII escaped.
    fn text(&self) -> String {
        self.0.escape_ascii().to_string()
    }
}
