use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

/// A certificate for localhost in files, and the client that trusts only it.
struct Made {
    dir: TempDir,
    roots: RootCertStore,
}

impl Made {
    fn new() -> Self {
        let mut made = Self { dir: tempfile::tempdir().unwrap(), roots: RootCertStore::empty() };
        made.renew();
        made
    }

    /// Other files in place of these, trusted from now on.
    fn renew(&mut self) {
        let fresh = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(self.cert(), fresh.cert.pem()).unwrap();
        std::fs::write(self.key(), fresh.signing_key.serialize_pem()).unwrap();
        self.roots = RootCertStore::empty();
        self.roots.add(fresh.cert.der().clone()).unwrap();
    }

    fn cert(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    fn load(&self) -> Result<Arc<Certificates>, String> {
        Certificates::load(&self.cert(), &self.key())
    }

    async fn try_handshake(
        &self,
        certificates: &Arc<Certificates>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> std::io::Result<rustls::ProtocolVersion> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let acceptor = TlsAcceptor::from(certificates.for_tls().unwrap());
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        let connect = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), client);
        let accept = async { acceptor.accept(listener.accept().await.unwrap().0).await };
        let (client, server) = tokio::join!(connect, accept);
        let (mut client, mut server) = (client?, server?);
        client.write_all(b"hello").await?;
        let mut heard = [0; 5];
        server.read_exact(&mut heard).await?;
        assert_eq!(&heard, b"hello");
        Ok(server.get_ref().1.protocol_version().unwrap())
    }
}

#[tokio::test]
async fn tls_1_3_and_1_2_are_spoken() {
    let made = Made::new();
    let certificates = made.load().unwrap();
    for (version, name) in [
        (&rustls::version::TLS13, rustls::ProtocolVersion::TLSv1_3),
        (&rustls::version::TLS12, rustls::ProtocolVersion::TLSv1_2),
    ] {
        assert_eq!(made.try_handshake(&certificates, &[version]).await.unwrap(), name);
    }
}

#[test]
fn early_data_is_off() {
    let config = Made::new().load().unwrap().for_wss().unwrap();
    assert_eq!(config.max_early_data_size, 0);
}

#[tokio::test]
async fn a_reload_changes_the_certificate_of_new_handshakes() {
    let mut made = Made::new();
    let certificates = made.load().unwrap();
    made.renew();
    let both = [&rustls::version::TLS13, &rustls::version::TLS12];
    assert!(made.try_handshake(&certificates, &both).await.is_err(), "still the certificate of before");
    certificates.reload().unwrap();
    made.try_handshake(&certificates, &both).await.unwrap();
}

#[tokio::test]
async fn a_reload_of_broken_files_keeps_the_certificate() {
    let made = Made::new();
    let certificates = made.load().unwrap();
    let both = [&rustls::version::TLS13, &rustls::version::TLS12];
    let whole = std::fs::read(made.cert()).unwrap();
    std::fs::write(made.cert(), &whole[..whole.len() / 2]).unwrap();
    assert!(certificates.reload().unwrap_err().contains("cert.pem"));
    made.try_handshake(&certificates, &both).await.unwrap();
    std::fs::remove_file(made.key()).unwrap();
    assert!(certificates.reload().is_err());
    made.try_handshake(&certificates, &both).await.unwrap();
}

#[test]
fn errors_say_which_file_and_why() {
    let made = Made::new();
    let other = Made::new();
    let why = |cert: &Path, key: &Path| Certificates::load(cert, key).unwrap_err();
    let nowhere = Path::new("/nowhere/x.pem");

    let missing = why(nowhere, &made.key());
    assert!(missing.starts_with("tls.cert_file /nowhere/x.pem: "), "{missing}");
    let missing = why(&made.cert(), nowhere);
    assert!(missing.starts_with("tls.key_file /nowhere/x.pem: "), "{missing}");
    let foreign = why(&made.cert(), &other.key());
    assert!(foreign.contains("key.pem") && foreign.contains("not the key of"), "{foreign}");
    let swapped = why(&made.key(), &made.cert());
    assert!(swapped.contains("no certificate in it"), "{swapped}");
    let no_key = why(&made.cert(), &made.cert());
    assert!(no_key.contains("no private key in it"), "{no_key}");
    std::fs::write(made.cert(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(why(&made.cert(), &made.key()).contains("cert.pem"));
}
