//! The four ways a client is connected, as one stream of bytes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use postrider_bridge::WsStream;
use postrider_protocol::Reason;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

/// WebSocket close codes are this and the reason's number.
const WS_CLOSE_BASE: u16 = 4_000;
/// A peer that is told goodbye has so long to hear it…
const LINGER: Duration = Duration::from_secs(1);
/// …while no more than this of what it still sends is thrown away.
const LINGER_BYTES: u64 = 1 << 20;

/// Which way a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportKind {
    /// Plain TCP.
    Tcp,
    /// TCP under TLS.
    Tls,
    /// WebSocket.
    Ws,
    /// WebSocket under TLS.
    Wss,
}

impl TransportKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// Its name in metrics, logs and configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

/// A connected client, handshakes done. Reads and writes are those of the stream inside, with its cancel safety.
#[derive(Debug)]
pub enum Transport {
    /// Plain TCP.
    Tcp(TcpStream),
    /// TCP under TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// WebSocket.
    Ws(Box<WsStream<TcpStream>>),
    /// WebSocket under TLS.
    Wss(Box<WsStream<Box<TlsStream<TcpStream>>>>),
}

/// Does the same with the stream inside, whichever it is.
macro_rules! each {
    ($transport:expr, $stream:ident => $body:expr) => {
        match $transport {
            Transport::Tcp($stream) => $body,
            Transport::Tls($stream) => $body,
            Transport::Ws($stream) => $body,
            Transport::Wss($stream) => $body,
        }
    };
}

impl Transport {
    /// Which it is.
    #[must_use]
    pub const fn kind(&self) -> TransportKind {
        match self {
            Self::Tcp(_) => TransportKind::Tcp,
            Self::Tls(_) => TransportKind::Tls,
            Self::Ws(_) => TransportKind::Ws,
            Self::Wss(_) => TransportKind::Wss,
        }
    }

    /// The TCP connection below.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
            Self::Ws(ws) => ws.get_ref(),
            Self::Wss(ws) => ws.get_ref().get_ref().0,
        }
    }

    /// Flushes, says goodbye in the way of the transport (a WebSocket: close code 4000 + the reason's number; `OK`
    /// closes with 1000; TLS: close_notify), and for at most a second throws away what the peer still sends, because
    /// a socket closed with bytes unread takes back what was written last. A frame that tells the reason must have
    /// been written before. Dropped half way it leaves a socket that only can be dropped.
    ///
    /// # Errors
    /// Those of the socket; the caller has nothing left to do then.
    pub async fn close_with(&mut self, reason: Reason) -> io::Result<()> {
        let code = if reason == Reason::Ok { 1_000 } else { WS_CLOSE_BASE.saturating_add(reason.number()) };
        let goodbye = async {
            match &mut *self {
                Self::Tcp(tcp) => tcp.shutdown().await?,
                Self::Tls(tls) => tls.shutdown().await?,
                Self::Ws(ws) => ws.close_with(code, reason.name()).await?,
                Self::Wss(ws) => ws.close_with(code, reason.name()).await?,
            }
            let mut sink = tokio::io::sink();
            match &mut *self {
                Self::Tcp(tcp) => tokio::io::copy(&mut tcp.take(LINGER_BYTES), &mut sink).await,
                Self::Tls(tls) => tokio::io::copy(&mut tls.take(LINGER_BYTES), &mut sink).await,
                Self::Ws(ws) => tokio::io::copy(&mut ws.get_mut().take(LINGER_BYTES), &mut sink).await,
                Self::Wss(ws) => tokio::io::copy(&mut ws.get_mut().take(LINGER_BYTES), &mut sink).await,
            }
        };
        match tokio::time::timeout(LINGER, goodbye).await {
            Ok(result) => result.map(|_| ()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(&mut *self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(&mut *self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut *self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
