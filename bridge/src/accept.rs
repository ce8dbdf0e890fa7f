//! The server's side of the handshake: who may open a WebSocket, and where.

use std::{io, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::{
    Error as WsError,
    error::{CapacityError, ProtocolError},
    handshake::{
        machine::TryParse as _,
        server::{Request, create_response, write_response},
    },
    http::header,
    protocol::Role,
};

use crate::{MESSAGE_BYTES, WsStream, head};

/// More header lines than this are refused.
const MAX_HEADERS: usize = 64;
/// Who is refused has so long to hear it.
const LINGER: Duration = Duration::from_secs(1);

/// The pages that may open a WebSocket, by their origin. A client that sends no `Origin` is no page and may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Only pages of the host and port that the request itself names.
    #[must_use]
    pub const fn own() -> Self {
        Self(Vec::new())
    }

    /// Only these, like `https://chat.example.org`; an empty list is [`Origins::own`].
    #[must_use]
    pub const fn list(origins: Vec<String>) -> Self {
        Self(origins)
    }

    fn allow(&self, origin: &str, host: Option<&str>) -> bool {
        if !self.0.is_empty() {
            return self.0.iter().any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin));
        }
        let port = |scheme: &str| if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
        match (origin.split_once("://"), host) {
            (Some((scheme, authority)), Some(host)) => {
                let bare = |text| str::strip_suffix(text, port(scheme)).unwrap_or(text);
                !authority.is_empty() && bare(authority).eq_ignore_ascii_case(bare(host))
            }
            _ => false,
        }
    }
}

/// What a request must be like to become a WebSocket.
#[derive(Clone, Debug)]
pub struct AcceptRules {
    /// The request target; nothing may follow it, so no token ends up in a log of addresses.
    pub path: String,
    /// The pages that may connect.
    pub origins: Origins,
    /// The longest head of a request.
    pub max_header_bytes: usize,
    /// The longest message of the WebSocket.
    pub max_message_bytes: usize,
}

impl Default for AcceptRules {
    fn default() -> Self {
        Self {
            path: "/ws".to_owned(),
            origins: Origins::own(),
            max_header_bytes: 16 * 1024,
            max_message_bytes: MESSAGE_BYTES,
        }
    }
}

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The client was told this HTTP status.
    #[error("HTTP {status}: {why}")]
    Refused {
        /// The status.
        status: u16,
        /// The text that the client was sent.
        why: &'static str,
    },
    /// The stream failed or ended.
    #[error(transparent)]
    Io(#[from] io::Error),
}

struct Refusal(u16, &'static str);

/// Answers the HTTP request on `stream` and makes a WebSocket of it. Has no deadline of its own; when it is dropped
/// the stream is too.
///
/// # Errors
/// [`AcceptError`]: 400 for a request that is none, 403 for a foreign origin, 404 for another path, 405 for another
/// method, 426 for another version of WebSocket, 431 for too long a head.
pub async fn accept<S>(mut stream: S, rules: &AcceptRules) -> Result<WsStream<S>, AcceptError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let checked = match head::read(&mut stream, rules.max_header_bytes).await? {
        None => Err(Refusal(431, "the request is too long")),
        Some((_, behind)) if !behind.is_empty() => Err(Refusal(400, "bytes before the WebSocket is open")),
        Some((head, _)) => check(&head, rules),
    };
    match checked {
        Ok(response) => {
            stream.write_all(&response).await?;
            stream.flush().await?;
            Ok(WsStream::over(stream, Role::Server, Vec::new(), rules.max_message_bytes).await)
        }
        Err(Refusal(status, why)) => {
            refuse(&mut stream, status, why).await?;
            Err(AcceptError::Refused { status, why })
        }
    }
}

/// The answer to a request that keeps the rules.
fn check(head: &[u8], rules: &AcceptRules) -> Result<Vec<u8>, Refusal> {
    let request = match Request::try_parse(head) {
        Ok(Some((_, request))) => request,
        Err(WsError::Protocol(ProtocolError::WrongHttpMethod)) => return Err(Refusal(405, "only GET is taken")),
        Err(WsError::Capacity(CapacityError::TooManyHeaders)) => return Err(Refusal(431, "too many headers")),
        Ok(None) | Err(_) => return Err(Refusal(400, "this is no HTTP/1.1 request")),
    };
    let headers = request.headers();
    if headers.len() > MAX_HEADERS {
        return Err(Refusal(431, "too many headers"));
    }
    if request.uri().path() != rules.path {
        return Err(Refusal(404, "there is no WebSocket at this path"));
    }
    if request.uri().query().is_some() {
        return Err(Refusal(400, "no query is taken; the token belongs in CONNECT"));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    if host.is_none() || hosts.next().is_some() {
        return Err(Refusal(400, "there must be one Host"));
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if let Some(origin) = origins.next() {
        let allowed = origin.to_str().is_ok_and(|origin| rules.origins.allow(origin, host));
        if !allowed || origins.next().is_some() {
            return Err(Refusal(403, "pages of this origin may not connect; see listeners.ws.origins"));
        }
    }
    let response = create_response(&request).map_err(|error| match error {
        WsError::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            Refusal(426, "only version 13 of WebSocket is spoken")
        }
        WsError::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader | ProtocolError::MissingUpgradeWebSocketHeader,
        ) => Refusal(426, "this address speaks WebSocket only"),
        _ => Refusal(400, "this is no WebSocket handshake"),
    })?;
    let mut bytes = Vec::with_capacity(256);
    write_response(&mut bytes, &response).map_err(|_| Refusal(400, "this is no WebSocket handshake"))?;
    Ok(bytes)
}

/// Says no, and reads on until the client has heard it: closing with bytes unread would reset the connection.
async fn refuse<S>(stream: &mut S, status: u16, why: &str) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = match status {
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed\r\nAllow: GET",
        426 => "Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
        431 => "Request Header Fields Too Large",
        _ => "Bad Request",
    };
    let length = why.len() + 1;
    let answer = format!(
        "HTTP/1.1 {status} {name}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{why}\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(64 * 1024);
    let _ = tokio::time::timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    Ok(())
}
