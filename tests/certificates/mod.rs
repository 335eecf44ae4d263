//! Certificates of an authority of the tests' own.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use memcached2_proto::tls::{Certificate, Identity};
use memcached2_testkit::{Memcached, MemcachedSetup};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

/// An authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The authority of all servers but those that nobody trusts.
pub(crate) static TRUSTED: LazyLock<Authority> = LazyLock::new(|| Authority::new("trusted"));

/// A certificate and its key.
pub(crate) struct Signed {
    certificate: String,
    key: String,
}

/// A memcached with TLS. The files of its certificate are removed at the end.
#[derive(Debug)]
pub(crate) struct Files(PathBuf, PathBuf);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn certificate(&self) -> Certificate {
        Certificate::from_pem(self.0.pem()).unwrap()
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names.
    pub(crate) fn sign(&self, names: &[&str]) -> Signed {
        self.sign_with(names, |_| {})
    }

    pub(crate) fn sign_expired(&self, names: &[&str]) -> Signed {
        self.sign_with(names, |params| params.not_after = date_time_ymd(2020, 1, 1))
    }

    fn sign_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Signed { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Signed {
    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(format!("{}{}", self.key, self.certificate)).unwrap()
    }

    /// What a server within the process has it by.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let chain = vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
    }

    /// A memcached that has it.
    pub(crate) fn serve(&self, setup: MemcachedSetup) -> (Memcached, Files) {
        let (chain, key) = (file(&self.certificate), file(&self.key));
        (setup.tls(&chain, &key).start(), Files(chain, key))
    }
}

/// A certificate of this machine that the clients trust.
pub(crate) fn signed() -> Signed {
    TRUSTED.sign(&["127.0.0.1", "::1", "localhost"])
}

/// A memcached with TLS that the clients trust.
pub(crate) fn serve(setup: MemcachedSetup) -> (Memcached, Files) {
    signed().serve(setup)
}

/// A connection by TLS, without a client.
pub(crate) fn begin_tls(stream: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(TRUSTED.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    StreamOwned::new(ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap(), stream)
}

/// A file with this text.
pub(crate) fn file(text: &str) -> PathBuf {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let name = format!("memcached2-{}-{}.pem", std::process::id(), FILES.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    fs::write(&path, text).unwrap();
    path
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = (fs::remove_file(&self.0), fs::remove_file(&self.1));
    }
}
