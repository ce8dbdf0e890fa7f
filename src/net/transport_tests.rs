use std::sync::Arc;

use postrider_bridge::{AcceptRules, accept, connect};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::net::tls::Certificates;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Both ends of a connection of this kind, over a real socket.
async fn pair(kind: TransportKind) -> (Transport, Box<dyn Stream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let rules = AcceptRules::default();
    match kind {
        TransportKind::Tcp => (Transport::Tcp(server), Box::new(client)),
        TransportKind::Ws => {
            let (server, client) = tokio::join!(accept(server, &rules), connect(client, "localhost", "/ws"));
            (Transport::Ws(Box::new(server.unwrap())), Box::new(client.unwrap()))
        }
        TransportKind::Tls => {
            let (server, client) = encrypt(server, client).await;
            (Transport::Tls(Box::new(server)), Box::new(client))
        }
        TransportKind::Wss => {
            let (server, client) = encrypt(server, client).await;
            let (server, client) = tokio::join!(accept(Box::new(server), &rules), connect(client, "localhost", "/ws"));
            (Transport::Wss(Box::new(server.unwrap())), Box::new(client.unwrap()))
        }
    }
}

async fn encrypt(
    server: TcpStream,
    client: TcpStream,
) -> (TlsStream<TcpStream>, tokio_rustls::client::TlsStream<TcpStream>) {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("c"), dir.path().join("k"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let config = Certificates::load(&cert, &key).unwrap().for_tls().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let trust = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let (server, client) = tokio::join!(
        TlsAcceptor::from(config).accept(server),
        TlsConnector::from(Arc::new(trust)).connect(name, client)
    );
    (server.unwrap(), client.unwrap())
}

#[tokio::test]
async fn bytes_go_both_ways_over_every_transport() {
    for kind in TransportKind::ALL {
        let (mut server, mut client) = pair(kind).await;
        assert_eq!(server.kind(), kind);
        assert!(server.tcp().peer_addr().unwrap().ip().is_loopback());
        let sent: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let mut heard = vec![0; sent.len()];
        let write = async {
            client.write_all(&sent).await.unwrap();
            client.flush().await.unwrap();
        };
        tokio::join!(write, async { server.read_exact(&mut heard).await.unwrap() });
        assert!(heard == sent, "{kind:?} to the server");
        heard.fill(0);
        let write = async {
            server.write_all(&sent).await.unwrap();
            server.flush().await.unwrap();
        };
        tokio::join!(write, async { client.read_exact(&mut heard).await.unwrap() });
        assert!(heard == sent, "{kind:?} to the client");
    }
}

#[tokio::test]
async fn the_last_frame_arrives_though_the_client_was_still_sending() {
    for kind in TransportKind::ALL {
        let (mut server, client) = pair(kind).await;
        let (mut reader, mut writer) = tokio::io::split(client);
        // The server reads none of this: closing at once would reset the connection and lose the goodbye.
        writer.write_all(&[7; 50_000]).await.unwrap();
        writer.flush().await.unwrap();
        let close = async {
            server.write_all(b"goodbye").await.unwrap();
            server.flush().await.unwrap();
            let _ = server.close_with(Reason::Shutdown).await;
            drop(server);
        };
        let mut heard = Vec::new();
        let read = async {
            reader.read_to_end(&mut heard).await.unwrap();
            // The client hangs up when it has heard the end, which is what the server lingers for.
            let _ = writer.shutdown().await;
        };
        tokio::join!(close, read);
        assert_eq!(heard, b"goodbye", "{kind:?}");
    }
}

#[tokio::test]
async fn a_websocket_is_closed_with_the_reason_s_code() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let rules = AcceptRules::default();
    let (server, client) = tokio::join!(accept(server, &rules), connect(client, "localhost", "/ws"));
    let mut server = Transport::Ws(Box::new(server.unwrap()));
    let mut client = client.unwrap();
    let read = async {
        // The frame itself, below the WebSocket: fin and close, length, code, reason.
        let mut frame = [0; 4];
        client.get_mut().read_exact(&mut frame).await.unwrap();
        client.get_mut().shutdown().await.unwrap();
        frame
    };
    let (_, frame) = tokio::join!(server.close_with(Reason::Replaced), read);
    assert_eq!(frame[0], 0x88);
    assert_eq!(u16::from_be_bytes([frame[2], frame[3]]), 4_000 + Reason::Replaced.number());
}

#[tokio::test]
async fn who_does_not_hang_up_is_not_waited_for() {
    let (mut server, client) = pair(TransportKind::Tcp).await;
    let closed = tokio::time::timeout(5 * LINGER, server.close_with(Reason::Shutdown)).await;
    assert_eq!(closed.expect("it gives up by itself").unwrap_err().kind(), io::ErrorKind::TimedOut);
    drop(client);
}
