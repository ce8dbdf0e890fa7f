//! One connection to the server, packet by packet: no reconnect, no state, so that a suite sees exactly what was said.

use std::{io, time::Duration};

use bytes::BytesMut;
use postrider_protocol::{
    Id, Reason, Sender, Tlvs, VERSION,
    frame::Decoder,
    packet::{ConnackPacket, ConnectPacket, Conversation, ListPacket, Packet, SyncItem, SyncPacket, SyncedPacket},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::Result;

/// How long an answer may take before the suite says that there is none.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most that is read at once.
const READ_BYTES: usize = 64 * 1024;

/// A stream of bytes, whatever carries it.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection.
pub struct Wire {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    input: BytesMut,
    out: Vec<u8>,
}

impl Wire {
    /// Over this stream.
    pub fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, decoder: Decoder::new(), input: BytesMut::new(), out: Vec::new() }
    }

    /// Says CONNECT and takes the CONNACK, which may be a refusal.
    pub async fn connect(&mut self, token: &str, device: Option<&Id>, sender: Sender) -> Result<ConnackPacket> {
        self.put(&Packet::Connect(ConnectPacket {
            version_min: VERSION,
            version_max: VERSION,
            token: bytes::Bytes::copy_from_slice(token.as_bytes()),
            device: device.cloned(),
            sender,
            tlvs: Tlvs::new(),
        }));
        self.flush().await?;
        match timeout(PATIENCE, self.next()).await?? {
            Packet::Connack(connack) => Ok(connack),
            packet => Err(format!("the answer to CONNECT was {}", packet.kind().name()).into()),
        }
    }

    /// Puts a packet behind those that wait for [`Wire::flush`].
    pub fn put(&mut self, packet: &Packet) {
        packet.encode(&mut self.out);
    }

    /// Writes what was put. Not cancel safe.
    pub async fn flush(&mut self) -> Result {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        Ok(self.stream.flush().await?)
    }

    /// The next packet that has arrived whole, without waiting.
    pub fn ready(&mut self) -> Result<Option<Packet>> {
        while let Some(frame) = self.decoder.next_frame()? {
            if let Some(packet) = Packet::decode(frame)? {
                return Ok(Some(packet));
            }
        }
        Ok(None)
    }

    /// Reads a piece of the stream. Cancel safe.
    pub async fn read(&mut self) -> Result {
        self.input.reserve(READ_BYTES);
        if self.stream.read_buf(&mut self.input).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.decoder.feed(self.input.split().freeze());
        Ok(())
    }

    /// The next packet. Cancel safe.
    pub async fn next(&mut self) -> Result<Packet> {
        loop {
            if let Some(packet) = self.ready()? {
                return Ok(packet);
            }
            self.read().await?;
        }
    }

    /// The first packet for which `wanted` has an answer; others go to `aside`.
    pub async fn answer<T>(
        &mut self,
        wanted: impl Fn(&Packet) -> Option<T>,
        mut aside: impl FnMut(Packet),
    ) -> Result<T> {
        self.flush().await?;
        loop {
            let packet = timeout(PATIENCE, self.next()).await.map_err(|_| "the server does not answer")??;
            match wanted(&packet) {
                Some(answer) => return Ok(answer),
                None => aside(packet),
            }
        }
    }

    /// All conversations of the user.
    pub async fn list(&mut self) -> Result<Vec<Conversation>> {
        let (mut all, mut page) = (Vec::new(), bytes::Bytes::new());
        loop {
            self.put(&Packet::List(ListPacket {
                request: 1,
                token: bytes::Bytes::new(),
                page: page.clone(),
                limit: 0,
                tlvs: Tlvs::new(),
            }));
            let listed = |packet: &Packet| match packet {
                Packet::Listed(listed) => Some(listed.clone()),
                _ => None,
            };
            let listed = self.answer(listed, drop).await?;
            if listed.reason != Reason::Ok {
                return Err(format!("LIST was refused: {}", listed.reason.name()).into());
            }
            all.extend(listed.conversations);
            page = listed.next;
            if page.is_empty() {
                return Ok(all);
            }
        }
    }

    /// One SYNC and its answer.
    pub async fn sync(&mut self, conversation: &Conversation, from: u64, to: u64) -> Result<SyncedPacket> {
        self.put(&Packet::Sync(SyncPacket {
            request: 2,
            channel: conversation.channel.clone(),
            epoch: conversation.epoch,
            from,
            to,
            limit: 0,
            tlvs: Tlvs::new(),
        }));
        let synced = |packet: &Packet| match packet {
            Packet::Synced(synced) => Some(synced.clone()),
            _ => None,
        };
        let synced = self.answer(synced, drop).await?;
        if synced.reason != Reason::Ok {
            return Err(format!("SYNC from {from} was refused: {}", synced.reason.name()).into());
        }
        Ok(synced)
    }

    /// Everything of a conversation from `from` up to its head, page by page.
    pub async fn sync_all(&mut self, conversation: &Conversation, mut from: u64) -> Result<Vec<SyncItem>> {
        let mut items = Vec::new();
        while from <= conversation.head {
            let synced = self.sync(conversation, from, conversation.head).await?;
            if synced.to < from {
                return Err(format!("SYNC from {from} answered nothing").into());
            }
            from = synced.to + 1;
            items.extend(synced.items);
        }
        Ok(items)
    }
}
