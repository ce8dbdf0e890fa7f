//! Fields of the methods by which a system user writes to everybody, or to who has a tag.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{read_body, targets::read_switch};
use crate::{CommandId, DecodeError, Id, Reader, TAG_BYTES, TAGS, Writer};

/// Who gets a broadcast: `1`, or `2 · tag bytes8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every user of the tenant.
    Everybody,
    /// The users who have the tag.
    Tagged(Id),
}

impl Reach {
    /// Takes one off `r`.
    ///
    /// # Errors
    /// `MALFORMED` when it is neither.
    pub fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let at = r.position();
        match r.u8("reach")? {
            1 => Ok(Self::Everybody),
            2 => read_tag(r).map(Self::Tagged),
            _ => Err(DecodeError::malformed("reach", at)),
        }
    }

    /// Appends it.
    pub fn write(&self, out: &mut impl Writer) {
        match self {
            Self::Everybody => out.u8(1),
            Self::Tagged(tag) => {
                out.u8(2);
                out.bytes8(tag.as_bytes());
            }
        }
    }
}

/// A tag: an id of at most [`TAG_BYTES`].
fn read_tag(r: &mut Reader) -> Result<Id, DecodeError> {
    let at = r.position();
    let tag = Id::read(r, "tag")?;
    if tag.as_bytes().len() > TAG_BYTES { Err(DecodeError::malformed("tag over 32 bytes", at)) } else { Ok(tag) }
}

/// The fields of `BROADCAST`: `reach · flags u16 · body bytes32`. The TLVs of the message are those of the CALL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Who gets it.
    pub reach: Reach,
    /// As those of SEND.
    pub flags: u16,
    /// At most [`crate::BODY_BYTES`].
    pub body: Bytes,
}

impl Announcement {
    /// Takes it from all of `fields`.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly that.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(fields);
        let r = &mut reader;
        let announcement = Self { reach: Reach::read(r)?, flags: r.u16("flags")?, body: read_body(r)? };
        reader.end()?;
        Ok(announcement)
    }

    /// Appends it.
    pub fn write(&self, out: &mut impl Writer) {
        self.reach.write(out);
        out.u16(self.flags);
        out.bytes32(&self.body);
    }
}

/// The fields of `BROADCAST_CANCEL`: `id`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_id(fields: Bytes) -> Result<CommandId, DecodeError> {
    let mut reader = Reader::new(fields);
    let id = CommandId::read(&mut reader)?;
    reader.end()?;
    Ok(id)
}

/// A broadcast and how far it is:
/// `id · reach · made_ms u64 · is_cancelled u8 · ended_ms u64 · sent u64 · refused u64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// Sender and number of its BROADCAST.
    pub id: CommandId,
    /// Who gets it.
    pub reach: Reach,
    /// When it was asked for, milliseconds since 1970.
    pub made_ms: u64,
    /// Whether it was cancelled.
    pub is_cancelled: bool,
    /// When it ended; 0 while it is under way.
    pub ended_ms: u64,
    /// How many users have it, as far as was noted.
    pub sent: u64,
    /// To how many it could not be sent.
    pub refused: u64,
}

impl Broadcast {
    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            id: CommandId::read(r)?,
            reach: Reach::read(r)?,
            made_ms: r.u64("made_ms")?,
            is_cancelled: read_switch(r)?,
            ended_ms: r.u64("ended_ms")?,
            sent: r.u64("sent")?,
            refused: r.u64("refused")?,
        })
    }

    fn write(&self, out: &mut impl Writer) {
        self.id.write(out);
        self.reach.write(out);
        out.u64(self.made_ms);
        out.u8(u8::from(self.is_cancelled));
        out.u64(self.ended_ms);
        out.u64(self.sent);
        out.u64(self.refused);
    }
}

/// The answer of `BROADCASTS`: `count u16 · broadcasts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broadcasts(
    /// In the order in which they were asked for, which is that in which they are sent.
    pub Vec<Broadcast>,
);

impl Broadcasts {
    /// Takes an answer that is all of `fields`.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly that.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(fields);
        let mut all = Vec::new();
        for _ in 0..reader.u16("count")? {
            all.push(Broadcast::read(&mut reader)?);
        }
        reader.end()?;
        Ok(Self(all))
    }

    /// Appends the answer.
    pub fn write(&self, out: &mut impl Writer) {
        out.u16(u16::try_from(self.0.len()).unwrap_or(u16::MAX));
        self.0.iter().for_each(|broadcast| broadcast.write(out));
    }
}

/// The fields of `TAGS_SET`: `user bytes8 · tags`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_tagging(fields: Bytes) -> Result<(Id, Vec<Id>), DecodeError> {
    let mut reader = Reader::new(fields);
    let user = Id::read(&mut reader, "user")?;
    let tags = tags(&mut reader)?;
    reader.end()?;
    Ok((user, tags))
}

/// Appends the fields of `TAGS_SET`.
pub fn write_tagging(out: &mut impl Writer, user: &Id, tags: &[Id]) {
    out.bytes8(user.as_bytes());
    write_tags(out, tags);
}

/// The answer of `TAGS`: `count u8 · tag bytes8 …`, ascending and each once.
///
/// # Errors
/// `MALFORMED` when `bytes` are not exactly that.
pub fn read_tags(bytes: Bytes) -> Result<Vec<Id>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let tags = tags(&mut reader)?;
    reader.end()?;
    Ok(tags)
}

/// Appends the answer of `TAGS`.
pub fn write_tags(out: &mut impl Writer, tags: &[Id]) {
    out.u8(u8::try_from(tags.len()).unwrap_or(u8::MAX));
    tags.iter().for_each(|tag| out.bytes8(tag.as_bytes()));
}

fn tags(r: &mut Reader) -> Result<Vec<Id>, DecodeError> {
    let at = r.position();
    let count = usize::from(r.u8("count")?);
    if count > TAGS {
        return Err(DecodeError::malformed("more than 32 tags", at));
    }
    let mut tags = Vec::new();
    for _ in 0..count {
        tags.push(read_tag(r)?);
    }
    if tags.is_sorted_by(|one, next| one < next) { Ok(tags) } else { Err(DecodeError::malformed("tags ascend", at)) }
}
