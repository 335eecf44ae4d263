//! Whom a client trusts, and as whom it shows itself.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::error::Error;

/// Certificates of authorities whose servers a client trusts: see [`Options::add_root_certificate`](crate::Options::add_root_certificate).
#[derive(Debug, Clone)]
pub struct Certificate(Vec<CertificateDer<'static>>);

impl Certificate {
    /// Reads a file in PEM: one certificate, or several.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if there is no certificate, or something else.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_ref()).collect();
        match all {
            Ok(all) if !all.is_empty() => Ok(Self(all)),
            Ok(_) => Err(Error::tls("there is no certificate in the PEM")),
            Err(error) => Err(Error::tls(format!("the PEM of a certificate cannot be read: {error}"))),
        }
    }

    /// Takes one certificate in DER. Whether it is one shows when the client is made.
    #[must_use]
    pub fn from_der(der: impl Into<Vec<u8>>) -> Self {
        Self(vec![CertificateDer::from(der.into())])
    }
}

/// The certificate that a client shows to servers, with its key: see [`Options::identity`](crate::Options::identity).
#[derive(Clone)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl Identity {
    /// Reads a file in PEM, which holds the key, the certificate, and those of authorities between the certificate and the root.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if there is no key or no certificate.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        let pem = pem.as_ref();
        let key = PrivateKeyDer::from_pem_slice(pem)
            .map_err(|error| Error::tls(format!("the private key of the identity cannot be read: {error}")))?;
        Ok(Self { chain: Certificate::from_pem(pem)?.0, key: Arc::new(key) })
    }
}

/// The key is not shown.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// What the options say of TLS.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsOptions {
    pub(crate) roots: Vec<Certificate>,
    pub(crate) without_built_in_roots: bool,
    pub(crate) identity: Option<Identity>,
    pub(crate) config: Option<Arc<ClientConfig>>,
    pub(crate) server_name: Option<Arc<str>>,
    pub(crate) without_sni: bool,
    /// Made once for all clones, so that all connections of a client share their sessions.
    made: Arc<OnceLock<Result<Arc<ClientConfig>, Error>>>,
}

impl TlsOptions {
    /// The same with a change.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self.made = Arc::default();
        self
    }

    /// The configuration of all connections. Unless there is one, or only certificates of the program's own are trusted, those of
    /// the system are read the first time.
    pub(crate) fn client_config(&self) -> Result<Arc<ClientConfig>, Error> {
        self.made.get_or_init(|| self.make()).clone()
    }

    fn make(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = &self.config {
            return Ok(Arc::clone(config));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(Error::tls)?.with_root_certificates(self.trusted()?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key }) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|error| Error::tls(format!("the identity is of no use: {error}")))?,
        };
        config.enable_sni = !self.without_sni;
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Arc::new(config))
    }

    fn trusted(&self) -> Result<RootCertStore, Error> {
        let mut trusted = RootCertStore::empty();
        for certificate in self.roots.iter().flat_map(|certificate| &certificate.0) {
            trusted
                .add(certificate.clone())
                .map_err(|error| Error::tls(format!("a root certificate is of no use: {error}")))?;
        }
        if !self.without_built_in_roots {
            trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        match trusted.is_empty() {
            false => Ok(trusted),
            true => Err(Error::tls(
                "no authority is trusted: this system has no root certificates (install ca-certificates, or set \
                 SSL_CERT_FILE), and none was given by add_root_certificate",
            )),
        }
    }
}

/// The number of servers whose sessions are kept, some of each.
const SESSIONS: usize = 256;

/// The name that the certificate of a server must have.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, Error> {
    // The zone of an IPv6 address says which way it is, not who.
    let host = host.split_once('%').map_or(host, |(address, _)| address);
    ServerName::try_from(host.to_owned()).map_err(|_| {
        Error::tls(format!("no certificate can be for {host:?}: name the server by tls_server_name or ?tls_name="))
    })
}
