use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
};

use super::*;
use crate::{auth::Verifier, config::Dev, health::State as PartState};

/// A server on a free port; it stops when this is dropped.
struct Site {
    addr: SocketAddr,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    _stop: oneshot::Sender<()>,
    _secret: tempfile::NamedTempFile,
    config: Config,
}

async fn site(dev: bool) -> Site {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "kJ8#mQ2z!pL5vR9t@wX3yB6nC1dF4gH7").unwrap();
    let mut config = Config { dev: Dev(dev), ..Config::default() };
    config.auth.jwt.secret_file = Some(secret.path().to_owned());
    config.listeners.ws.addr = "127.0.0.1:8792".parse().ok();
    let (health, metrics) = (Arc::new(Health::new(&["store"])), Arc::new(Metrics::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let router = router(&config, Arc::clone(&health), Arc::clone(&metrics));
    tokio::spawn(serve(listener, router, async {
        let _ = stopped.await;
    }));
    Site { addr, health, metrics, _stop: stop, _secret: secret, config }
}

impl Site {
    /// Status, head in lower case, body.
    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
        let host = self.addr.to_string();
        let mut request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            request.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
    }
}

#[tokio::test]
async fn readyz_turns_with_health_and_livez_does_not() {
    let site = site(false).await;
    assert_eq!(site.get("/livez", &[]).await.0, 200);
    assert_eq!(site.get("/readyz", &[]).await.0, 503);
    let (status, _, body) = site.get("/readyz?verbose", &[]).await;
    assert_eq!((status, body.as_str()), (503, "[-] store starting\nnot ready\n"));
    site.health.set("store", PartState::Ready);
    let (status, _, body) = site.get("/readyz", &[]).await;
    assert_eq!((status, body.as_str()), (200, "ready\n"));
    assert_eq!(site.get("/readyz?verbose", &[]).await.2, "[+] store ready\nready\n");
    site.health.set("store", PartState::Draining);
    assert_eq!(site.get("/readyz", &[]).await.0, 503);
    assert_eq!(site.get("/livez", &[]).await.0, 200);
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let site = site(false).await;
    site.metrics.deliveries.inc_by(5);
    let (status, head, body) = site.get("/metrics", &[]).await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text"), "{head}");
    assert!(body.contains("postrider_deliveries_total 5\n") && body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_way_in_is_the_chat_in_dev_only() {
    let (status, head, _) = site(true).await.get("/", &[]).await;
    assert_eq!(status, 307);
    assert!(head.contains("location: /chat/"), "{head}");
    let (_, head, _) = site(true).await.get("/chat?user=bob", &[]).await;
    assert!(head.contains("location: /chat/?user=bob"), "{head}");
    assert_eq!(site(false).await.get("/", &[]).await.0, 200);
}

#[tokio::test]
async fn pages_come_with_a_strict_policy_and_nothing_else_does() {
    let site = site(false).await;
    let (status, head, _) = site.get("/chat/", &[]).await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/html"), "{head}");
    assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    let policy = head.lines().find(|line| line.starts_with("content-security-policy:")).unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(policy.contains("ws://127.0.0.1:8792") && !policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    for path in ["/chat/nothing.js", "/chat/../Cargo.toml", "/chat/%2e%2e/Cargo.toml", "/chat//etc/passwd"] {
        assert_eq!(site.get(path, &[]).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn dev_hands_tokens_to_its_own_page() {
    let site = site(true).await;
    let own = format!("http://{}", site.addr);
    let headers = [("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin")];
    let (status, head, body) = site.get("/dev/token?user=alice", &headers).await;
    assert_eq!(status, 200);
    assert!(head.contains("cache-control: no-store") && !head.contains("access-control"), "{head}");
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["ws"], "ws://127.0.0.1:8792/ws");
    let token = answer["token"].as_str().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let verifier = Verifier::load(&site.config.auth.jwt).unwrap();
    assert_eq!(verifier.verify(token.as_bytes(), now).unwrap().user.as_str(), "alice");
    assert_eq!(site.get("/dev/token?user=root", &headers).await.0, 404);
    assert_eq!(site.get("/dev/token", &headers).await.0, 400);
}

#[tokio::test]
async fn dev_hands_tokens_to_nobody_else() {
    let site = site(true).await;
    let port = site.addr.port();
    let rebound = format!("evil.example:{port}");
    for headers in [
        [("Origin", "http://evil.example"), ("X", "1")],
        [("Origin", "null"), ("X", "1")],
        [("Origin", "http://127.0.0.1:1"), ("X", "1")],
        [("Sec-Fetch-Site", "cross-site"), ("X", "1")],
        [("Sec-Fetch-Site", "same-site"), ("X", "1")],
        [("Host", rebound.as_str()), ("X", "1")],
        [("Host", "evil.example"), ("Origin", "http://evil.example")],
        [("Host", "127.0.0.1.evil.example"), ("X", "1")],
        [("Host", ""), ("X", "1")],
    ] {
        let (status, _, body) = site.get("/dev/token?user=alice", &headers).await;
        assert_eq!(status, 403, "{headers:?}");
        assert!(!body.contains("token\":"), "{body}");
    }
}

#[tokio::test]
async fn serve_hands_out_no_tokens() {
    assert_eq!(site(false).await.get("/dev/token?user=alice", &[]).await.0, 404);
}
