//! The client's side of the handshake.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::{
    handshake::{
        client::{Response, generate_key},
        derive_accept_key,
        machine::TryParse as _,
    },
    protocol::Role,
};

use crate::{MESSAGE_BYTES, WsStream, head};

/// The longest head of an answer.
const MAX_HEAD: usize = 16 * 1024;

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server answered with another HTTP status than 101.
    #[error("the server refused the WebSocket with HTTP {0}")]
    Refused(u16),
    /// What answered does not speak WebSocket.
    #[error("what answers there is no WebSocket server: {0}")]
    NotWebSocket(&'static str),
    /// The stream failed or ended.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Opens a WebSocket at `path` of `host`, as the `Host` header names it with its port, over a connected `stream`. Has
/// no deadline of its own; when it is dropped the stream is too.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect<S>(mut stream: S, host: &str, path: &str) -> Result<WsStream<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if !host.bytes().chain(path.bytes()).all(|byte| byte.is_ascii_graphic()) {
        let what = "a host and a path have no spaces and no characters beyond ASCII";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what).into());
    }
    let key = generate_key();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let (head, early) =
        head::read(&mut stream, MAX_HEAD).await?.ok_or(ConnectError::NotWebSocket("its answer is too long"))?;
    let (_, response) = Response::try_parse(&head)
        .ok()
        .flatten()
        .ok_or(ConnectError::NotWebSocket("its answer is no HTTP/1.1 response"))?;
    if response.status() != 101 {
        return Err(ConnectError::Refused(response.status().as_u16()));
    }
    let is = |name, value: &str| {
        response.headers().get(name).and_then(|v| v.to_str().ok()).is_some_and(|v| v.eq_ignore_ascii_case(value))
    };
    let accepted =
        response.headers().get("Sec-WebSocket-Accept").is_some_and(|v| v == derive_accept_key(key.as_bytes()).as_str());
    if !is("Upgrade", "websocket") || !is("Connection", "upgrade") || !accepted {
        return Err(ConnectError::NotWebSocket("its answer does not belong to the request"));
    }
    Ok(WsStream::over(stream, Role::Client, early, MESSAGE_BYTES).await)
}
