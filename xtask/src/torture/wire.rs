//! One connection to the server, packet by packet: no reconnect, no state, so that a suite sees exactly what was said.

use std::time::Duration;

use postrider_client::{Address, Connection, ConnectionError, ConnectionReader, ConnectionWriter, Tls};
use postrider_protocol::{
    Id, Reason, Sender, Tlvs, VERSION,
    packet::{ConnackPacket, ConnectPacket, Conversation, ListPacket, Packet, SyncItem, SyncPacket, SyncedPacket},
};
use tokio::time::timeout;

use crate::Result;

/// How long an answer may take before the suite says that there is none.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection.
pub struct Wire {
    reader: ConnectionReader,
    writer: ConnectionWriter,
}

/// Whether an error only says that the server is gone, which is what the suites bring about.
pub fn is_gone(error: &(dyn std::error::Error + 'static)) -> bool {
    use ConnectionError::{Dial, Ended, Io};
    matches!(error.downcast_ref(), Some(Dial(_) | Ended | Io(_)))
}

impl Wire {
    /// Connects, and says nothing yet.
    pub async fn dial(address: &Address, tls: &Tls) -> Result<Self> {
        let (reader, writer) = Connection::dial(address, tls).await?.split();
        Ok(Self { reader, writer })
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
        self.writer.feed(packet);
    }

    /// Writes what was put.
    pub async fn flush(&mut self) -> Result {
        Ok(self.writer.flush().await?)
    }

    /// The next packet that has arrived whole, without waiting.
    pub fn ready(&mut self) -> Result<Option<Packet>> {
        Ok(self.reader.received()?)
    }

    /// Waits for more bytes. Cancel safe.
    pub async fn read(&mut self) -> Result {
        Ok(self.reader.fill().await?)
    }

    /// The next packet. Cancel safe.
    pub async fn next(&mut self) -> Result<Packet> {
        Ok(self.reader.recv().await?)
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
