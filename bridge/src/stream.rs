//! The byte stream inside the binary messages of one WebSocket.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as WsError, Message,
        error::ProtocolError,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// The longest message that is taken: one frame of Postrider of the largest size with its header.
pub const MESSAGE_BYTES: usize = 128 * 1024 + 10;

/// The longest message that is written. The buffer in which one is formed is kept, so it is not larger.
const WRITE_BYTES: usize = 16 * 1024;
/// What is asked of the socket at a time: an idle connection keeps a buffer of this size.
const READ_BYTES: usize = 1536;
/// The longest reason of a close frame.
const REASON_BYTES: usize = 123;

/// How tungstenite is run: its own defaults take 256 KiB for an idle connection and have no bound for writing.
fn config(max_message_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(max_message_bytes.saturating_add(READ_BYTES))
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes))
}

/// The bytes inside the binary messages of a WebSocket.
///
/// Reading: messages follow each other without a seam; pings are answered; the end of the stream is the close frame or
/// the end of the socket. A text message closes with 1003, a message over the limit with 1009, bad text with 1007, any
/// other offence with 1002, and reading then fails with `InvalidData`.
///
/// Writing: one write is one binary message, at most 16 KiB of it; flush when there is no more. Shutdown closes with
/// 1000. Reading and writing are cancel safe as [`AsyncRead`] and [`AsyncWrite`] ask.
#[derive(Debug)]
pub struct WsStream<S> {
    socket: WebSocketStream<S>,
    unread: Bytes,
    at_end: bool,
    closing: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WsStream<S> {
    /// Over a stream whose handshake is done; `early` came behind the handshake.
    pub(crate) async fn over(stream: S, role: Role, early: Vec<u8>, max_message_bytes: usize) -> Self {
        let socket = WebSocketStream::from_partially_read(stream, early, role, Some(config(max_message_bytes))).await;
        Self { socket, unread: Bytes::new(), at_end: false, closing: false }
    }

    /// The stream below. What is read or written there is lost to the WebSocket.
    pub fn get_mut(&mut self) -> &mut S {
        self.socket.get_mut()
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        self.socket.get_ref()
    }

    /// Messages instead of bytes, for who tests the WebSocket itself.
    #[must_use]
    pub fn into_messages(self) -> WebSocketStream<S> {
        self.socket
    }

    /// Closes with `code` and as much of `reason` as a close frame holds, and ends the writing side of the stream
    /// below. Nothing happens when a close was sent before. Who calls it should go on reading for a moment: a socket
    /// that is closed with bytes unread takes the close frame with it.
    ///
    /// # Errors
    /// Those of the stream below.
    pub async fn close_with(&mut self, code: u16, reason: &str) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            // What is half written goes first; when that fails the close frame would not arrive either.
            if !self.closing {
                ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(into_io)?;
                self.queue_close(code.into(), reason);
            }
            self.poll_finish(cx)
        })
        .await
    }

    /// Queues a close frame, once.
    fn queue_close(&mut self, code: CloseCode, reason: &str) {
        if self.closing {
            return;
        }
        self.closing = true;
        let end = (0..=REASON_BYTES.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
        let reason = reason.get(..end).unwrap_or_default().into();
        // It fails when the peer closed first; then there is nothing to say.
        let _ = Pin::new(&mut self.socket).start_send(Message::Close(Some(CloseFrame { code, reason })));
    }

    /// Flushes what is queued and ends the writing side.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_flush(cx)) {
            Ok(()) | Err(WsError::AlreadyClosed | WsError::ConnectionClosed) => {}
            Err(error) => return Poll::Ready(Err(into_io(error))),
        }
        Pin::new(self.socket.get_mut()).poll_shutdown(cx)
    }

    /// Tells the peer what it did wrong, as far as the socket takes it now, and fails the read.
    fn refuse(&mut self, cx: &mut Context<'_>, code: CloseCode, what: String) -> io::Error {
        self.at_end = true;
        self.queue_close(code, &what);
        let _ = Pin::new(&mut self.socket).poll_flush(cx);
        io::Error::new(io::ErrorKind::InvalidData, what)
    }

    /// The next bytes: false at the end of the stream.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.unread.is_empty() {
            if self.at_end {
                return Poll::Ready(Ok(false));
            }
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Text(_))) => {
                    let what = "a text message; this server speaks binary only".to_owned();
                    return Poll::Ready(Err(self.refuse(cx, CloseCode::Unsupported, what)));
                }
                // Answers to ping and close are tungstenite's; they leave with the next poll.
                Some(Ok(_)) => {}
                None | Some(Err(WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => self.at_end = true,
                Some(Err(error)) => {
                    let code = match &error {
                        WsError::Capacity(_) => CloseCode::Size,
                        WsError::Utf8(_) => CloseCode::Invalid,
                        WsError::Protocol(_) => CloseCode::Protocol,
                        _ => return Poll::Ready(Err(into_io(error))),
                    };
                    return Poll::Ready(Err(self.refuse(cx, code, error.to_string())));
                }
            }
        }
        Poll::Ready(Ok(true))
    }

    fn poll_message(&mut self, cx: &mut Context<'_>, form: impl FnOnce() -> Bytes) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(into_io)?;
        let message = form();
        let len = message.len();
        if len > 0 {
            Pin::new(&mut self.socket).start_send(Message::Binary(message)).map_err(into_io)?;
        }
        Poll::Ready(Ok(len))
    }
}

fn into_io(error: WsError) -> io::Error {
    match error {
        WsError::Io(error) => error,
        WsError::AlreadyClosed | WsError::ConnectionClosed | WsError::Protocol(ProtocolError::SendAfterClosing) => {
            io::ErrorKind::BrokenPipe.into()
        }
        error => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WsStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if ready!(self.poll_more(cx))? {
            let piece = self.unread.len().min(buf.remaining());
            buf.put_slice(self.unread.get(..piece).unwrap_or_default());
            self.unread.advance(piece);
            if self.unread.is_empty() {
                // An empty slice would still hold the read buffer, and tungstenite could not use that again.
                self.unread = Bytes::new();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WsStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_message(cx, || Bytes::copy_from_slice(buf.get(..WRITE_BYTES).unwrap_or(buf)))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_message(cx, || {
            let total = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(WRITE_BYTES);
            let mut message = Vec::with_capacity(total);
            for buf in bufs {
                let room = total - message.len();
                message.extend_from_slice(buf.get(..room).unwrap_or(buf));
            }
            message.into()
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(into_io)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            match ready!(Pin::new(&mut self.socket).poll_ready(cx)) {
                Ok(()) => self.queue_close(CloseCode::Normal, ""),
                Err(WsError::AlreadyClosed | WsError::ConnectionClosed) => self.closing = true,
                Err(error) => return Poll::Ready(Err(into_io(error))),
            }
        }
        self.poll_finish(cx)
    }
}
