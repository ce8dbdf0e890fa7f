//! Packets: what a frame's payload says. A payload is the packet's fields in order, then TLVs, then nothing.

pub mod broadcast;
mod call;
mod connect;
pub mod groups;
mod list;
pub mod marks;
pub mod notice;
pub mod people;
pub mod presence;
pub mod schedule;
mod send;
mod small;
mod sync;
pub mod targets;
pub mod usage;

use alloc::vec::Vec;

use bytes::Bytes;

pub use call::{CallPacket, ReplyPacket};
pub use connect::{ConnackPacket, ConnectPacket, Limits};
pub use groups::MembersPage;
pub use list::{Conversation, ListPacket, ListedPacket, conversation_flag};
pub use notice::NoticePacket;
pub use send::{SendPacket, SendackPacket};
pub use small::{DisconnectPacket, LagPacket, RecvackPacket};
pub use sync::{Gap, Made, Reaction, SyncItem, SyncPacket, SyncedPacket};
pub use targets::ElementsPage;

use crate::{BODY_BYTES, DecodeError, Image, Kind, Reader, Reason, Tlvs, frame, frame::Frame};

/// One packet of either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the packet of that name")]
pub enum Packet {
    Connect(ConnectPacket),
    Connack(ConnackPacket),
    Send(SendPacket),
    Sendack(SendackPacket),
    Recv(Image),
    Recvack(RecvackPacket),
    Ping(Tlvs),
    Pong(Tlvs),
    Disconnect(DisconnectPacket),
    List(ListPacket),
    Listed(ListedPacket),
    Sync(SyncPacket),
    Synced(SyncedPacket),
    Notice(NoticePacket),
    Lag(LagPacket),
    Call(CallPacket),
    Reply(ReplyPacket),
}

impl Packet {
    /// What `frame` says; none when its kind is not known and may be ignored (0x80 and above).
    ///
    /// # Errors
    /// `UNKNOWN_KIND`, or `MALFORMED` with the field.
    pub fn decode(frame: Frame) -> Result<Option<Self>, DecodeError> {
        let Some(kind) = Kind::from_number(frame.kind) else {
            if frame.kind >= 0x80 {
                return Ok(None);
            }
            return Err(DecodeError { reason: Reason::UnknownKind, what: "frame kind", at: 4 });
        };
        let mut reader = Reader::new(frame.payload);
        let r = &mut reader;
        let packet = match kind {
            Kind::Connect => Self::Connect(ConnectPacket::read(r)?),
            Kind::Connack => Self::Connack(ConnackPacket::read(r)?),
            Kind::Send => Self::Send(SendPacket::read(r)?),
            Kind::Sendack => Self::Sendack(SendackPacket::read(r)?),
            Kind::Recv => Self::Recv(read_recv(r)?),
            Kind::Recvack => Self::Recvack(RecvackPacket::read(r)?),
            Kind::Ping => Self::Ping(Tlvs::read_to_end(r)?),
            Kind::Pong => Self::Pong(Tlvs::read_to_end(r)?),
            Kind::Disconnect => Self::Disconnect(DisconnectPacket::read(r)?),
            Kind::List => Self::List(ListPacket::read(r)?),
            Kind::Listed => Self::Listed(ListedPacket::read(r)?),
            Kind::Sync => Self::Sync(SyncPacket::read(r)?),
            Kind::Synced => Self::Synced(SyncedPacket::read(r)?),
            Kind::Notice => Self::Notice(NoticePacket::read(r)?),
            Kind::Lag => Self::Lag(LagPacket::read(r)?),
            Kind::Call => Self::Call(CallPacket::read(r)?),
            Kind::Reply => Self::Reply(ReplyPacket::read(r)?),
        };
        reader.end()?;
        Ok(Some(packet))
    }

    /// The kind of its frame.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Connect(_) => Kind::Connect,
            Self::Connack(_) => Kind::Connack,
            Self::Send(_) => Kind::Send,
            Self::Sendack(_) => Kind::Sendack,
            Self::Recv(_) => Kind::Recv,
            Self::Recvack(_) => Kind::Recvack,
            Self::Ping(_) => Kind::Ping,
            Self::Pong(_) => Kind::Pong,
            Self::Disconnect(_) => Kind::Disconnect,
            Self::List(_) => Kind::List,
            Self::Listed(_) => Kind::Listed,
            Self::Sync(_) => Kind::Sync,
            Self::Synced(_) => Kind::Synced,
            Self::Notice(_) => Kind::Notice,
            Self::Lag(_) => Kind::Lag,
            Self::Call(_) => Kind::Call,
            Self::Reply(_) => Kind::Reply,
        }
    }

    /// Appends its frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        frame::append(out, self.kind(), |out| match self {
            Self::Connect(packet) => packet.write(out),
            Self::Connack(packet) => packet.write(out),
            Self::Send(packet) => packet.write(out),
            Self::Sendack(packet) => packet.write(out),
            Self::Recv(image) => image.write(out),
            Self::Recvack(packet) => packet.write(out),
            Self::Ping(tlvs) | Self::Pong(tlvs) => crate::Writer::raw(out, tlvs.as_bytes()),
            Self::Disconnect(packet) => packet.write(out),
            Self::List(packet) => packet.write(out),
            Self::Listed(packet) => packet.write(out),
            Self::Sync(packet) => packet.write(out),
            Self::Synced(packet) => packet.write(out),
            Self::Notice(packet) => packet.write(out),
            Self::Lag(packet) => packet.write(out),
            Self::Call(packet) => packet.write(out),
            Self::Reply(packet) => packet.write(out),
        });
    }
}

/// Takes an image that may leave a server off `reader`: sequenced, of a channel with conversations.
fn read_recv(reader: &mut Reader) -> Result<Image, DecodeError> {
    let at = reader.position();
    let image = Image::read(reader)?;
    if image.is_public() { Ok(image) } else { Err(DecodeError::malformed("an image that is not for clients", at)) }
}

/// Takes a message's body off `reader`.
fn read_body(reader: &mut Reader) -> Result<Bytes, DecodeError> {
    let at = reader.position();
    let body = reader.bytes32("body")?;
    if body.len() > BODY_BYTES { Err(DecodeError::malformed("body over 65,536 bytes", at)) } else { Ok(body) }
}

/// Takes a reason off `reader`.
fn read_reason(reader: &mut Reader) -> Result<Reason, DecodeError> {
    let at = reader.position();
    Reason::from_number(reader.u16("reason")?).ok_or(DecodeError::malformed("reason", at))
}
