//! Who may open a WebSocket, and what everybody else is told.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

use std::time::{Duration, Instant};

use postrider_bridge::{AcceptError, AcceptRules, ConnectError, Origins, accept, connect};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const GOOD: [&str; 5] = [
    "Host: chat.example.org:8792",
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// The status that a request is answered with, and whether there is a WebSocket; the bytes come in these pieces.
async fn answer_in_pieces(rules: &AcceptRules, request: &[u8], piece: usize) -> (u16, String, bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let talk = async {
        for bytes in request.chunks(piece) {
            if client.write_all(bytes).await.is_err() {
                break;
            }
        }
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let serve = async {
        // Dropped at the end, so that the client sees the end of the stream.
        match accept(server, rules).await {
            Ok(_) => None,
            Err(AcceptError::Refused { status, .. }) => Some(status),
            Err(AcceptError::Io(error)) => panic!("{error}"),
        }
    };
    let (answer, refused) = tokio::join!(talk, serve);
    let status: u16 = answer.get(9..12).unwrap_or_default().parse().unwrap_or_default();
    assert_eq!(refused, (status != 101).then_some(status), "{answer}");
    (status, answer, refused.is_none())
}

async fn answer(rules: &AcceptRules, request: &[u8]) -> u16 {
    answer_in_pieces(rules, request, 1_000_000).await.0
}

fn request(line: &str, headers: &[&str]) -> Vec<u8> {
    let mut out = format!("{line}\r\n");
    for header in headers {
        out.push_str(header);
        out.push_str("\r\n");
    }
    out.push_str("\r\n");
    out.into_bytes()
}

fn with(extra: &[&str]) -> Vec<u8> {
    request("GET /ws HTTP/1.1", &[&GOOD[..], extra].concat())
}

/// A good request without the header that begins so, and with these.
fn instead(of: &str, extra: &[&str]) -> Vec<u8> {
    let kept: Vec<&str> = GOOD.iter().copied().filter(|header| !header.starts_with(of)).collect();
    request("GET /ws HTTP/1.1", &[&kept, extra].concat())
}

#[tokio::test]
async fn a_handshake_is_answered_as_rfc_6455_says() {
    let (status, answer, open) = answer_in_pieces(&AcceptRules::default(), &with(&[]), 1_000_000).await;
    assert!(status == 101 && open);
    let answer = answer.to_ascii_lowercase();
    assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{answer}");
    assert!(
        !answer.contains("extensions") && !answer.contains("sec-websocket-protocol"),
        "nothing is negotiated: {answer}"
    );
}

#[tokio::test]
async fn pieces_of_one_byte_are_as_good_as_one_piece() {
    let many: Vec<String> = (0..40).map(|n| format!("X-{n}: {}", "y".repeat(300))).collect();
    let extra: Vec<&str> = many.iter().map(String::as_str).collect();
    let request = with(&extra);
    assert!(request.len() > 12_000);
    let start = Instant::now();
    assert_eq!(answer_in_pieces(&AcceptRules::default(), &request, 1).await.0, 101);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn w08_a_page_of_a_foreign_origin_is_refused() {
    let own = AcceptRules::default();
    assert_eq!(answer(&own, &with(&["Origin: http://chat.example.org:8792"])).await, 101);
    assert_eq!(answer(&own, &with(&["Origin: HTTP://CHAT.example.org:8792"])).await, 101);
    assert_eq!(answer(&own, &with(&[])).await, 101, "a client that is no page sends no Origin");
    for origin in [
        "http://evil.example",
        "http://chat.example.org",
        "http://chat.example.org:8793",
        "http://chat.example.org:8792.evil.example",
        "http://evil.example/?chat.example.org:8792",
        "null",
        "",
        "chat.example.org:8792",
        "http://",
    ] {
        assert_eq!(answer(&own, &with(&[&format!("Origin: {origin}")])).await, 403, "{origin}");
    }
    let two = ["Origin: http://chat.example.org:8792", "Origin: http://evil.example"];
    assert_eq!(answer(&own, &with(&two)).await, 403);

    let default_port = |origin: &str| instead("Host", &["Host: chat.example.org", &format!("Origin: {origin}")]);
    assert_eq!(answer(&own, &default_port("https://chat.example.org")).await, 101);
    assert_eq!(answer(&own, &default_port("https://chat.example.org:443")).await, 101);
    assert_eq!(answer(&own, &default_port("https://chat.example.org:80")).await, 403);
}

#[tokio::test]
async fn w08_a_list_of_origins_stands_alone() {
    let origins = Origins::list(vec!["https://app.example".to_owned(), "http://127.0.0.1:8793/".to_owned()]);
    let rules = AcceptRules { origins, ..AcceptRules::default() };
    assert_eq!(answer(&rules, &with(&["Origin: https://app.example"])).await, 101);
    assert_eq!(answer(&rules, &with(&["Origin: http://127.0.0.1:8793"])).await, 101);
    assert_eq!(answer(&rules, &with(&["Origin: http://app.example"])).await, 403);
    assert_eq!(answer(&rules, &with(&["Origin: http://chat.example.org:8792"])).await, 403, "not even its own");
}

#[tokio::test]
async fn w09_what_is_no_handshake_is_told_so() {
    let rules = AcceptRules::default();
    let line = |line: &str| request(line, &GOOD);
    let many: Vec<String> = (0..60).map(|n| format!("X-{n}: y")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let crowd: Vec<String> = (0..200).map(|n| format!("X-{n}: y")).collect();
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    for (status, what, request) in [
        (404, "another path", line("GET /chat HTTP/1.1")),
        (404, "the root", line("GET / HTTP/1.1")),
        (400, "a token in the address", line("GET /ws?token=secret HTTP/1.1")),
        (405, "another method", line("POST /ws HTTP/1.1")),
        (400, "HTTP/1.0", line("GET /ws HTTP/1.0")),
        (400, "HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        (400, "no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()),
        (400, "a folded header", with(&["X: a\r\n b"])),
        (400, "no host", instead("Host", &[])),
        (400, "two hosts", with(&["Host: evil.example"])),
        (426, "no upgrade", instead("Upgrade", &[])),
        (426, "no connection", instead("Connection", &[])),
        (426, "another version", instead("Sec-WebSocket-Version", &["Sec-WebSocket-Version: 8"])),
        (400, "no key", instead("Sec-WebSocket-Key", &[])),
        (400, "a short key", instead("Sec-WebSocket-Key", &["Sec-WebSocket-Key: AAAA"])),
        (431, "65 headers", with(&many)),
        (431, "205 headers", with(&crowd)),
        (431, "a long header", with(&[&format!("X: {}", "y".repeat(17_000))])),
        (431, "a header without end", vec![b'A'; 100_000]),
        (400, "bytes behind the request", [with(&[]), b"early".to_vec()].concat()),
    ] {
        let (got, answer, _) = answer_in_pieces(&rules, &request, 1_000_000).await;
        assert_eq!(got, status, "{what}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{what}: {answer}");
        assert!(!answer.contains("secret"), "nothing of the request comes back: {answer}");
    }
}

#[tokio::test]
async fn a_request_that_ends_half_way_is_an_error_of_the_stream() {
    let whole = with(&[]);
    for cut in [0, 1, 10, whole.len() - 1] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(&whole[..cut]).await.unwrap();
        client.shutdown().await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let result = accept(server, &AcceptRules::default()).await;
        assert!(matches!(result, Err(AcceptError::Io(_))), "cut at {cut}");
    }
}

/// What `connect` makes of a server that answers so.
async fn connect_to(answer: &'static str) -> ConnectError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let serve = async move {
        let mut request = [0; 64];
        server.read_exact(&mut request).await.unwrap();
        server.write_all(answer.as_bytes()).await.unwrap();
        server.shutdown().await.unwrap();
        server
    };
    let (result, _server) = tokio::join!(connect(client, "localhost", "/ws"), serve);
    result.expect_err("no WebSocket")
}

#[tokio::test]
async fn a_client_tells_what_is_no_websocket_server() {
    assert!(matches!(connect_to("HTTP/1.1 403 Forbidden\r\n\r\n").await, ConnectError::Refused(403)));
    assert!(matches!(connect_to("HTTP/1.1 200 OK\r\n\r\nhello").await, ConnectError::Refused(200)));
    let stolen = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert!(matches!(connect_to(stolen).await, ConnectError::NotWebSocket(_)), "an answer to another request");
    assert!(matches!(connect_to("+OK POP3\r\n\r\n").await, ConnectError::NotWebSocket(_)));
    assert!(matches!(connect_to("HTTP/1.1 101 Swi").await, ConnectError::Io(_)));
}

#[tokio::test]
async fn a_host_cannot_smuggle_a_header() {
    let (client, _server) = tokio::io::duplex(1024);
    let result = connect(client, "localhost\r\nX: y", "/ws").await;
    assert!(matches!(result, Err(ConnectError::Io(error)) if error.kind() == std::io::ErrorKind::InvalidInput));
}
