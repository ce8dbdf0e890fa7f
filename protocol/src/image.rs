//! The image: one byte string that is the payload of RECV, an element of SYNCED, and what the log holds.
//!
//! ```text
//! format u8 · kind u8 · flags u16 · seq u64 · time_ms u64 · channel · from · sender 8 · number u64
//!   · TLV length u16 · TLVs · body length u32 · body
//! ```
//! `from` is 0 or 1 (that side of a person channel) or 255 and an id that is no side. Each image has one spelling.

use bytes::Bytes;

use crate::{BODY_BYTES, Channel, ChannelKind, CommandId, DecodeError, Id, Reader, Sender, TLV_BYTES, Tlvs, Writer};

/// The format byte of an image.
const FORMAT: u8 = 0;

/// Who an image is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// A side of the person channel: 0 the first id, 1 the second.
    Side(u8),
    /// A user.
    User(Id),
}

/// A decoded image. Its slices share memory with the bytes it was decoded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What it tells: an [`crate::ImageKind`], or a number from a newer server; 128 and above never leave a server.
    pub kind: u8,
    /// Bits of [`crate::image_flag`].
    pub flags: u16,
    /// Position in its channel, from 1; 0 for what is not sequenced.
    pub seq: u64,
    /// Server time, milliseconds since 1970.
    pub time_ms: u64,
    /// Its channel.
    pub channel: Channel,
    /// Its author.
    pub from: From,
    /// The sender of the command that made it.
    pub sender: Sender,
    /// That sender's number for it.
    pub number: u64,
    /// Optional fields.
    pub tlvs: Tlvs,
    /// The message's own bytes.
    pub body: Bytes,
}

impl Image {
    /// Sender and number of the command that it comes from: the id of what that made.
    #[must_use]
    pub const fn command_id(&self) -> CommandId {
        CommandId { sender: self.sender, number: self.number }
    }

    /// Takes one image off `reader`.
    ///
    /// # Errors
    /// `MALFORMED` when the bytes are not an image.
    pub fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let at = reader.position();
        if reader.u8("image format")? != FORMAT {
            return Err(DecodeError::malformed("image format", at));
        }
        let kind = reader.u8("image kind")?;
        let flags = reader.u16("image flags")?;
        let seq = reader.u64("seq")?;
        let time_ms = reader.u64("time")?;
        let channel = Channel::read(reader)?;
        let from = From::read(reader, &channel)?;
        let sender = Sender::from_bytes(reader.opaque8("sender")?);
        let number = reader.u64("number")?;
        let at = reader.position();
        let tlvs = Tlvs::parse(reader.bytes16(TLV_BYTES, "TLV length")?, at + 2)?;
        let at = reader.position();
        let body = reader.bytes32("body")?;
        if body.len() > BODY_BYTES {
            return Err(DecodeError::malformed("body length", at));
        }
        Ok(Self { kind, flags, seq, time_ms, channel, from, sender, number, tlvs, body })
    }

    /// An image and nothing else.
    ///
    /// # Errors
    /// `MALFORMED` when the bytes are not exactly one image.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let image = Self::read(&mut reader)?;
        reader.end()?;
        Ok(image)
    }

    /// Appends the image to `out`.
    pub fn write(&self, out: &mut impl Writer) {
        ImageView {
            kind: self.kind,
            flags: self.flags,
            seq: self.seq,
            time_ms: self.time_ms,
            channel: &self.channel,
            from: &self.from,
            sender: self.sender,
            number: self.number,
            tlvs: &self.tlvs,
            body: &self.body,
        }
        .write(out);
    }

    /// Whether it may leave a server: sequenced, of a kind below 128, in a channel with conversations.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.seq > 0 && self.kind < 128 && self.channel.kind() != ChannelKind::User
    }

    /// The author's id.
    #[must_use]
    pub fn author(&self) -> Id {
        self.from.user_in(&self.channel)
    }
}

impl From {
    /// How `user` is written in `channel`.
    #[must_use]
    pub fn of(user: &Id, channel: &Channel) -> Self {
        channel.side_of(user.as_bytes()).map_or_else(|| Self::User(user.clone()), Self::Side)
    }

    /// The user it means in `channel`.
    #[must_use]
    pub fn user_in(&self, channel: &Channel) -> Id {
        match self {
            Self::User(user) => user.clone(),
            Self::Side(side) => {
                let (low, high) = channel.ids();
                if *side == 0 { low } else { high.unwrap_or(low) }
            }
        }
    }

    /// Takes the one way in which a user is written in `channel` off `reader`.
    fn read(reader: &mut Reader, channel: &Channel) -> Result<Self, DecodeError> {
        let at = reader.position();
        let from = match reader.u8("from")? {
            side @ (0 | 1) if channel.has_side(side) => Self::Side(side),
            255 => Self::User(Id::read(reader, "from")?),
            _ => return Err(DecodeError::malformed("from", at)),
        };
        match &from {
            Self::User(user) if channel.side_of(user.as_bytes()).is_some() => {
                Err(DecodeError::malformed("a side of the channel spelled out", at))
            }
            _ => Ok(from),
        }
    }
}

/// An image about to be written: the same fields, borrowed, so that nothing is cloned on the way into a buffer.
#[derive(Clone, Copy, Debug)]
pub struct ImageView<'a> {
    /// As [`Image::kind`].
    pub kind: u8,
    /// As [`Image::flags`].
    pub flags: u16,
    /// As [`Image::seq`].
    pub seq: u64,
    /// As [`Image::time_ms`].
    pub time_ms: u64,
    /// As [`Image::channel`].
    pub channel: &'a Channel,
    /// As [`Image::from`].
    pub from: &'a From,
    /// As [`Image::sender`].
    pub sender: Sender,
    /// As [`Image::number`].
    pub number: u64,
    /// As [`Image::tlvs`].
    pub tlvs: &'a Tlvs,
    /// As [`Image::body`].
    pub body: &'a [u8],
}

impl ImageView<'_> {
    /// Appends the image to `out`; returns the offset, within the image, of the TLV length: what lies before it is
    /// its head, what follows are TLVs and body with their lengths.
    pub fn write(&self, out: &mut impl Writer) -> usize {
        out.u8(FORMAT);
        out.u8(self.kind);
        out.u16(self.flags);
        out.u64(self.seq);
        out.u64(self.time_ms);
        out.raw(self.channel.as_bytes());
        let from_len = match self.from {
            From::Side(side) => {
                out.u8(*side);
                1
            }
            From::User(user) => {
                out.u8(255);
                out.bytes8(user.as_bytes());
                2 + user.as_bytes().len()
            }
        };
        out.raw(self.sender.as_bytes());
        out.u64(self.number);
        out.bytes16(self.tlvs.as_bytes());
        out.bytes32(self.body);
        20 + self.channel.as_bytes().len() + from_len + 16
    }
}
