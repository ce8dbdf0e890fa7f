//! The server's side of TLS: 1.2 and 1.3 by rustls over ring, no early data, one certificate that can be read again
//! while connections go on.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// What listeners offer besides HTTP over WebSocket; a client that offers nothing is served too.
const ALPN: &[u8] = b"postrider/1";

/// The certificate in use, and the files it came from.
pub struct Certificates {
    cert_file: PathBuf,
    key_file: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("cert_file", &self.cert_file).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads a chain and its key.
    ///
    /// # Errors
    /// Which file cannot be used, and why; that the key is not the certificate's.
    pub fn load(cert_file: &Path, key_file: &Path) -> Result<Arc<Self>, String> {
        let current = RwLock::new(read(cert_file, key_file)?);
        Ok(Arc::new(Self { cert_file: cert_file.to_owned(), key_file: key_file.to_owned(), current }))
    }

    /// Reads the files again, for handshakes from now on.
    ///
    /// # Errors
    /// As [`Certificates::load`]; the certificate of before stays in use.
    pub fn reload(&self) -> Result<(), String> {
        let fresh = read(&self.cert_file, &self.key_file)?;
        *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The configuration of a TLS listener.
    ///
    /// # Errors
    /// When the provider of cryptography lacks a protocol version; it does not.
    pub fn for_tls(self: &Arc<Self>) -> Result<Arc<ServerConfig>, String> {
        self.config(&[ALPN])
    }

    /// The configuration of a WSS listener.
    ///
    /// # Errors
    /// As [`Certificates::for_tls`].
    pub fn for_wss(self: &Arc<Self>) -> Result<Arc<ServerConfig>, String> {
        self.config(&[b"http/1.1"])
    }

    fn config(self: &Arc<Self>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, String> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(self) as _;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| format!("TLS: {error}"))?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner)))
    }
}

/// The one provider of cryptography.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read(cert_file: &Path, key_file: &Path) -> Result<Arc<CertifiedKey>, String> {
    let at = |key: &str, file: &Path, why: &dyn fmt::Display| format!("tls.{key} {}: {why}", file.display());
    let cert_error = |why: &dyn fmt::Display| at("cert_file", cert_file, why);
    let key_error = |why: &dyn fmt::Display| at("key_file", key_file, why);

    let pem = std::fs::read(cert_file).map_err(|error| cert_error(&error))?;
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| cert_error(&error))?;
    if chain.is_empty() {
        return Err(cert_error(&"no certificate in it; a PEM file with BEGIN CERTIFICATE is needed"));
    }
    let pem = std::fs::read(key_file).map_err(|error| key_error(&error))?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| key_error(&"no private key in it; a PEM file with BEGIN PRIVATE KEY is needed"))?;
    let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => key_error(&format!("not the key of {}", cert_file.display())),
        rustls::Error::InvalidCertificate(why) => cert_error(&format!("not a certificate: {why:?}")),
        other => key_error(&other),
    })?;
    Ok(Arc::new(certified))
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
