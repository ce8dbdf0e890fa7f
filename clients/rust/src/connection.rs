//! One bare connection: packets in, packets out; no retry, no heartbeat, no memory.

use std::{io, time::Duration};

use bytes::{Buf as _, BytesMut};
use postrider_protocol::{
    DecodeError, Reason,
    frame::{Decoder, Frame},
    packet::{ConnackPacket, ConnectPacket, Packet},
    tag,
};
use tokio::{
    io::{AsyncWriteExt as _, ReadHalf, WriteHalf},
    time::timeout,
};

use crate::{
    Address, DialError, Tls,
    transport::{Intake, Socket, dial},
};

/// From CONNECT to CONNACK.
const CONNACK: Duration = Duration::from_secs(10);

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The server was not reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The server refused CONNECT.
    #[error("the server refused the connection: {}{}", .0.reason.name(), detail(.0))]
    Refused(Box<ConnackPacket>),
    /// The server did not answer CONNECT in time.
    #[error("the server did not answer CONNECT within 10 s")]
    Timeout,
    /// The stream failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The stream ended.
    #[error("the server closed the connection")]
    Ended,
    /// The server sent what is no packet.
    #[error("the server sent what is no packet: {0}")]
    Decode(#[from] DecodeError),
}

fn detail(connack: &ConnackPacket) -> String {
    let text = connack.tlvs.get(tag::DETAIL).map(String::from_utf8_lossy).unwrap_or_default();
    if text.is_empty() { String::new() } else { format!(", {text}") }
}

/// Both ends of a connection, for who speaks in turns; [`Connection::split`] is for who does not.
#[derive(Debug)]
pub struct Connection {
    reader: ConnectionReader,
    writer: ConnectionWriter,
}

impl Connection {
    /// Connects, with all handshakes below CONNECT, and says nothing yet.
    ///
    /// # Errors
    /// [`ConnectionError::Dial`].
    pub async fn dial(address: &Address, tls: &Tls) -> Result<Self, ConnectionError> {
        let (reader, writer) = tokio::io::split(dial(address, tls).await?);
        let reader = ConnectionReader { stream: reader, intake: Intake::new(), decoder: Decoder::new() };
        let writer = ConnectionWriter { stream: writer, output: BytesMut::new() };
        Ok(Self { reader, writer })
    }

    /// Connects and says CONNECT; returns the CONNACK that accepts it.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn open(
        address: &Address,
        tls: &Tls,
        connect: ConnectPacket,
    ) -> Result<(Self, ConnackPacket), ConnectionError> {
        let mut connection = Self::dial(address, tls).await?;
        connection.send(&Packet::Connect(connect)).await?;
        let first = timeout(CONNACK, connection.recv()).await.map_err(|_| ConnectionError::Timeout)??;
        match first {
            Packet::Connack(connack) if connack.reason == Reason::Ok => Ok((connection, connack)),
            Packet::Connack(connack) => Err(ConnectionError::Refused(Box::new(connack))),
            _ => Err(DecodeError::malformed("the first frame is not CONNACK", 0).into()),
        }
    }

    /// Sends one packet.
    ///
    /// # Errors
    /// [`ConnectionError::Io`].
    pub async fn send(&mut self, packet: &Packet) -> Result<(), ConnectionError> {
        self.writer.send(packet).await
    }

    /// The next packet. Cancel safe.
    ///
    /// # Errors
    /// [`ConnectionError::Ended`], [`ConnectionError::Io`], [`ConnectionError::Decode`].
    pub async fn recv(&mut self) -> Result<Packet, ConnectionError> {
        self.reader.recv().await
    }

    /// The halves, for two tasks.
    #[must_use]
    pub fn split(self) -> (ConnectionReader, ConnectionWriter) {
        (self.reader, self.writer)
    }
}

/// The half that receives.
pub struct ConnectionReader {
    stream: ReadHalf<Box<dyn Socket>>,
    intake: Intake,
    decoder: Decoder,
}

impl ConnectionReader {
    /// The next packet. Cancel safe.
    ///
    /// # Errors
    /// [`ConnectionError::Ended`], [`ConnectionError::Io`], [`ConnectionError::Decode`].
    pub async fn recv(&mut self) -> Result<Packet, ConnectionError> {
        loop {
            if let Some(packet) = self.received()? {
                return Ok(packet);
            }
            self.fill().await?;
        }
    }

    /// The next packet that is already here, without waiting.
    ///
    /// # Errors
    /// [`ConnectionError::Decode`].
    pub fn received(&mut self) -> Result<Option<Packet>, ConnectionError> {
        while let Some(frame) = self.received_frame()? {
            if let Some(packet) = Packet::decode(frame)? {
                return Ok(Some(packet));
            }
        }
        Ok(None)
    }

    /// The next frame that is already here, undecoded, without waiting.
    ///
    /// # Errors
    /// [`ConnectionError::Decode`].
    pub fn received_frame(&mut self) -> Result<Option<Frame>, ConnectionError> {
        Ok(self.decoder.next_frame()?)
    }

    /// Waits for more bytes. Cancel safe.
    ///
    /// # Errors
    /// [`ConnectionError::Ended`], [`ConnectionError::Io`].
    pub async fn fill(&mut self) -> Result<(), ConnectionError> {
        let piece = self.intake.read(&mut self.stream).await?;
        if piece.is_empty() {
            return Err(ConnectionError::Ended);
        }
        self.decoder.feed(piece);
        Ok(())
    }
}

/// The half that sends.
pub struct ConnectionWriter {
    stream: WriteHalf<Box<dyn Socket>>,
    output: BytesMut,
}

impl ConnectionWriter {
    /// Appends a packet to what [`Self::flush`] writes.
    pub fn feed(&mut self, packet: &Packet) {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        self.feed_bytes(&bytes);
    }

    /// Appends bytes as they are to what [`Self::flush`] writes.
    pub fn feed_bytes(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// How many bytes wait to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.output.len()
    }

    /// Writes all that waits. Cancel safe: what was written is gone, the rest waits on.
    ///
    /// # Errors
    /// [`ConnectionError::Io`].
    pub async fn flush(&mut self) -> Result<(), ConnectionError> {
        while !self.output.is_empty() {
            let written = self.stream.write(&self.output).await?;
            if written == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
            self.output.advance(written);
        }
        Ok(self.stream.flush().await?)
    }

    /// Sends one packet, behind what waits.
    ///
    /// # Errors
    /// [`ConnectionError::Io`].
    pub async fn send(&mut self, packet: &Packet) -> Result<(), ConnectionError> {
        self.feed(packet);
        self.flush().await
    }

    /// Writes what waits and ends the direction to the server.
    ///
    /// # Errors
    /// [`ConnectionError::Io`].
    pub async fn shutdown(&mut self) -> Result<(), ConnectionError> {
        self.flush().await?;
        Ok(self.stream.shutdown().await?)
    }
}

impl std::fmt::Debug for ConnectionReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionReader").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ConnectionWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionWriter").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}
