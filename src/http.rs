//! The HTTP side: health, metrics and pages, on a listener of its own that is loopback by default.
//!
//! `/livez` says that the process turns; `/readyz` whether clients are served; `/metrics` what is counted; `/chat` a
//! page that speaks the wire protocol. Nothing here changes anything, and only `postrider dev` hands out tokens.

mod assets;
mod dev;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    extract::{ConnectInfo, Path, Query, RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::{config::Config, health::Health, metrics::Metrics};

pub use assets::assets;
pub use dev::USERS as DEV_USERS;

/// What every handler may see.
struct Site {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    /// The policy of pages: scripts, styles and images of this server, WebSockets of its listeners, nothing else.
    policy: HeaderValue,
    dev: Option<dev::Tokens>,
}

/// The routes of a server with this configuration.
pub fn router(config: &Config, health: Arc<Health>, metrics: Arc<Metrics>) -> Router {
    let dev = config.dev.0.then(|| dev::Tokens::new(config));
    let home = if dev.is_some() { get(to_chat) } else { get(home) };
    let mut router = Router::new()
        .route("/", home)
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .route("/chat", get(to_chat))
        .route("/chat/", get(|State(site): State<Arc<Site>>| async move { page(&site, "index.html") }))
        .route("/chat/{*path}", get(chat));
    if dev.is_some() {
        router = router.route("/dev/token", get(dev_token));
    }
    router.with_state(Arc::new(Site { health, metrics, policy: policy(config), dev }))
}

/// Answers on `listener` until `stop` resolves, then finishes what is under way.
///
/// # Errors
/// Those of the listener.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let app = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}

/// Where pages of this server may connect to.
fn policy(config: &Config) -> HeaderValue {
    let mut connect = String::new();
    for (scheme, addr) in [("ws", config.listeners.ws.addr), ("wss", config.listeners.wss.addr)] {
        if let Some(addr) = addr {
            let hosts = if addr.ip().is_loopback() || addr.ip().is_unspecified() {
                vec![format!("127.0.0.1:{0}", addr.port()), format!("localhost:{0}", addr.port())]
            } else {
                vec![addr.to_string()]
            };
            for host in hosts {
                connect.push_str(&format!(" {scheme}://{host}"));
            }
        }
    }
    let text = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'{connect}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// The page's files are relative to `/chat/`; what the address asks for stays.
async fn to_chat(RawQuery(query): RawQuery) -> Redirect {
    let query = query.map_or(String::new(), |query| format!("?{query}"));
    Redirect::temporary(&format!("/chat/{query}"))
}

async fn home() -> &'static str {
    "Postrider. /readyz?verbose, /metrics, /chat\n"
}

#[derive(Deserialize)]
struct Verbose {
    verbose: Option<String>,
}

async fn readyz(State(site): State<Arc<Site>>, Query(query): Query<Verbose>) -> impl IntoResponse {
    let ready = site.health.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let detail = if query.verbose.is_some() { site.health.report() } else { String::new() };
    (status, format!("{detail}{}\n", if ready { "ready" } else { "not ready" }))
}

async fn metrics_text(State(site): State<Arc<Site>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], site.metrics.text())
}

async fn chat(State(site): State<Arc<Site>>, Path(path): Path<String>) -> Response {
    page(&site, &path)
}

fn page(site: &Site, path: &str) -> Response {
    let Some((mime, bytes)) = assets(path) else {
        return (StatusCode::NOT_FOUND, "no such page\n").into_response();
    };
    let fixed = |text| HeaderValue::from_static(text);
    let headers: [(HeaderName, HeaderValue); 6] = [
        (header::CONTENT_TYPE, fixed(mime)),
        (header::CONTENT_SECURITY_POLICY, site.policy.clone()),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
        (header::CACHE_CONTROL, fixed("no-cache")),
        (HeaderName::from_static("cross-origin-resource-policy"), fixed("same-origin")),
    ];
    (headers, bytes).into_response()
}

#[derive(Deserialize)]
struct WhoseToken {
    user: String,
}

async fn dev_token(
    State(site): State<Arc<Site>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Query(query): Query<WhoseToken>,
) -> Response {
    let Some(tokens) = &site.dev else { return StatusCode::NOT_FOUND.into_response() };
    if let Err(why) = dev::check_origin(peer.ip(), &headers) {
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    match tokens.token(&query.user) {
        Ok(json) => {
            let headers = [
                (header::CONTENT_TYPE, "application/json"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (headers, json).into_response()
        }
        Err(why) => (StatusCode::NOT_FOUND, why).into_response(),
    }
}

/// An address that a browser of this machine can open for `addr`.
#[must_use]
pub fn browsable(addr: SocketAddr) -> SocketAddr {
    let ip = if addr.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { addr.ip() };
    SocketAddr::new(ip, addr.port())
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
