//! Reaching an address: TCP, then TLS and WebSocket where the address says so.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use postrider_bridge::ConnectError;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{Address, Tls};

/// From the first packet to the end of the last handshake below CONNECT.
const DIAL: Duration = Duration::from_secs(10);
const READ_MIN: usize = 2 << 10;
const READ_MAX: usize = 64 << 10;

/// Why a server was not reached.
#[derive(Debug, thiserror::Error)]
#[error("{address} was not reached: {cause}")]
pub struct DialError {
    address: String,
    cause: DialCause,
}

#[derive(Debug, thiserror::Error)]
enum DialCause {
    #[error("{0}")]
    Tcp(io::Error),
    #[error("its certificate or its TLS was not accepted: {0}")]
    Tls(io::Error),
    #[error("{0:?} is no name that a certificate can have")]
    Name(String),
    #[error("{0}")]
    WebSocket(#[from] ConnectError),
    #[error("no answer within 10 s")]
    Timeout,
}

/// Any of the four transports.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// Connects, with all handshakes below CONNECT.
pub(crate) async fn dial(address: &Address, tls: &Tls) -> Result<Box<dyn Socket>, DialError> {
    let cause = match timeout(DIAL, reach(address, tls)).await {
        Ok(Ok(socket)) => return Ok(socket),
        Ok(Err(cause)) => cause,
        Err(_) => DialCause::Timeout,
    };
    Err(DialError { address: address.to_string(), cause })
}

async fn reach(address: &Address, tls: &Tls) -> Result<Box<dyn Socket>, DialCause> {
    let tcp = TcpStream::connect((address.host(), address.port())).await.map_err(DialCause::Tcp)?;
    tcp.set_nodelay(true).map_err(DialCause::Tcp)?;
    if !address.transport().is_encrypted() {
        return upgrade(address, tcp).await;
    }
    let name = ServerName::try_from(address.host().to_owned());
    let name = name.map_err(|_| DialCause::Name(address.host().to_owned()))?;
    let stream = TlsConnector::from(tls.config()).connect(name, tcp).await.map_err(DialCause::Tls)?;
    upgrade(address, stream).await
}

async fn upgrade<S: Socket + 'static>(address: &Address, stream: S) -> Result<Box<dyn Socket>, DialCause> {
    if address.path().is_empty() {
        return Ok(Box::new(stream));
    }
    Ok(Box::new(postrider_bridge::connect(stream, &address.authority(), address.path()).await?))
}

/// Reads pieces whose size follows what comes, so that an idle connection costs little and a busy one few calls.
#[derive(Debug)]
pub(crate) struct Intake {
    buffer: BytesMut,
    size: usize,
}

impl Intake {
    pub(crate) fn new() -> Self {
        Self { buffer: BytesMut::new(), size: READ_MIN }
    }

    /// The next piece; empty at the end of the stream. Cancel safe.
    pub(crate) async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
        self.buffer.reserve(self.size);
        let got = stream.read_buf(&mut self.buffer).await?;
        if got >= self.size {
            self.size = (self.size * 2).min(READ_MAX);
        } else if got < self.size / 4 {
            self.size = (self.size / 2).max(READ_MIN);
        }
        Ok(self.buffer.split().freeze())
    }
}
