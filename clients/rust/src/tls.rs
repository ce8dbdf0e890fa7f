//! Whose certificates a client trusts.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// Whose certificates a client trusts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

/// Why a file of certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct TlsError {
    path: PathBuf,
    what: String,
}

impl Tls {
    /// Trusts the public authorities, as Mozilla lists them.
    #[must_use]
    pub fn public() -> Self {
        Self::trusting(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// Trusts the authorities in a PEM file, and nobody else.
    ///
    /// # Errors
    /// The file cannot be read, holds no certificate, or one that cannot be used.
    pub fn with_ca_file(path: &Path) -> Result<Self, TlsError> {
        let error = |what: String| TlsError { path: path.to_owned(), what };
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(path).map_err(|e| error(e.to_string()))?;
        for certificate in certificates {
            roots.add(certificate.map_err(|e| error(e.to_string()))?).map_err(|e| error(e.to_string()))?;
        }
        if roots.is_empty() {
            return Err(error("no certificate in it; a PEM file with BEGIN CERTIFICATE is expected".to_owned()));
        }
        Ok(Self::trusting(roots))
    }

    fn trusting(roots: RootCertStore) -> Self {
        let mut config = match ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
        {
            Ok(builder) => builder.with_root_certificates(roots).with_no_client_auth(),
            Err(error) => unreachable!("the provider is built with both versions: {error}"),
        };
        config.resumption = rustls::client::Resumption::in_memory_sessions(8);
        Self { config: Arc::new(config) }
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_authorities_are_known() {
        let _ = Tls::public();
    }

    #[test]
    fn a_file_without_a_certificate_is_refused_and_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Tls::with_ca_file(file.path()).unwrap_err().to_string();
        assert!(error.contains("no certificate") && error.contains(file.path().to_str().unwrap()), "{error}");
        assert!(Tls::with_ca_file(Path::new("/nonexistent/ca.pem")).is_err());
    }
}
