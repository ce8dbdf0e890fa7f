//! CALL and REPLY, and the fields of the methods.

use alloc::vec::Vec;

use bytes::Bytes;

use super::read_reason;
use crate::{CALL_IDS, Channel, DecodeError, Id, Reader, Reason, Tlvs, Writer};

/// CALL: `request u32 · method u16 · number u64 · oldest u64 · fields bytes32 · TLVs`. A method that changes nothing has
/// number and oldest 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPacket {
    /// Repeated in the answer.
    pub request: u32,
    /// A [`crate::Method`] by number.
    pub method: u16,
    /// The sender's number for this command, shared with SEND.
    pub number: u64,
    /// The lowest number this sender may still send again.
    pub oldest: u64,
    /// The method's own fields.
    pub fields: Bytes,
    /// Optional fields.
    pub tlvs: Tlvs,
}

impl CallPacket {
    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            request: r.u32("request")?,
            method: r.u16("method")?,
            number: r.u64("number")?,
            oldest: r.u64("oldest")?,
            fields: r.bytes32("fields")?,
            tlvs: Tlvs::read_to_end(r)?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        out.u32(self.request);
        out.u16(self.method);
        out.u64(self.number);
        out.u64(self.oldest);
        out.bytes32(&self.fields);
        out.raw(self.tlvs.as_bytes());
    }
}

/// REPLY: `request u32 · reason u16 · seq u64 · time_ms u64 · fields bytes32 · TLVs`. seq and time are those of the
/// entry that a changing method made, else 0; a changing method has no fields in its reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyPacket {
    /// The request it answers.
    pub request: u32,
    /// OK, or why not.
    pub reason: Reason,
    /// The seq of the entry it made; 0 for one without a seq.
    pub seq: u64,
    /// The time of the entry it made.
    pub time_ms: u64,
    /// The method's answer.
    pub fields: Bytes,
    /// `RETRY_AFTER_MS`, `DETAIL`.
    pub tlvs: Tlvs,
}

impl ReplyPacket {
    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            request: r.u32("request")?,
            reason: read_reason(r)?,
            seq: r.u64("seq")?,
            time_ms: r.u64("time_ms")?,
            fields: r.bytes32("fields")?,
            tlvs: Tlvs::read_to_end(r)?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        out.u32(self.request);
        out.u16(self.reason.number());
        out.u64(self.seq);
        out.u64(self.time_ms);
        out.bytes32(&self.fields);
        out.raw(self.tlvs.as_bytes());
    }
}

/// Fields of the group methods, and the body of membership images.
pub mod groups {
    use super::{Bytes, CALL_IDS, DecodeError, Id, Reader, Vec, Writer};

    /// A list of users, `count u16 · ids`: the body of membership images. At most 100.
    ///
    /// # Errors
    /// `MALFORMED` when `bytes` are not exactly such a list.
    pub fn read_users(bytes: Bytes) -> Result<Vec<Id>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let users = users(&mut reader)?;
        reader.end()?;
        Ok(users)
    }

    /// The fields of `GROUP_CREATE`, `GROUP_ADD` and `GROUP_REMOVE`: `group bytes8 · count u16 · ids`.
    ///
    /// # Errors
    /// `MALFORMED` when `fields` are not exactly that.
    pub fn read_change(fields: Bytes) -> Result<(Id, Vec<Id>), DecodeError> {
        let mut reader = Reader::new(fields);
        let group = Id::read(&mut reader, "group")?;
        let users = users(&mut reader)?;
        reader.end()?;
        Ok((group, users))
    }

    /// The fields of `GROUP_MEMBERS`: `group bytes8 · after bytes8`; none for `after` asks for the first page.
    ///
    /// # Errors
    /// `MALFORMED` when `fields` are not exactly that.
    pub fn read_members(fields: Bytes) -> Result<(Id, Option<Id>), DecodeError> {
        let mut reader = Reader::new(fields);
        let group = Id::read(&mut reader, "group")?;
        let after = Id::read_optional(&mut reader, "after")?;
        reader.end()?;
        Ok((group, after))
    }

    fn users(reader: &mut Reader) -> Result<Vec<Id>, DecodeError> {
        let at = reader.position();
        let count = usize::from(reader.u16("count")?);
        if count > CALL_IDS {
            return Err(DecodeError::malformed("more than 100 ids", at));
        }
        let mut users = Vec::new();
        for _ in 0..count {
            users.push(Id::read(reader, "user")?);
        }
        Ok(users)
    }

    /// Appends a list of users.
    pub fn write_users(out: &mut impl Writer, users: &[Id]) {
        out.u16(u16::try_from(users.len()).unwrap_or(u16::MAX));
        for user in users {
            out.bytes8(user.as_bytes());
        }
    }

    /// Appends the fields of a change.
    pub fn write_change(out: &mut impl Writer, group: &Id, users: &[Id]) {
        out.bytes8(group.as_bytes());
        write_users(out, users);
    }

    /// Appends the fields of `GROUP_MEMBERS`.
    pub fn write_members(out: &mut impl Writer, group: &Id, after: Option<&Id>) {
        out.bytes8(group.as_bytes());
        out.bytes8(after.map_or(&[], Id::as_bytes));
    }
}

/// Fields of the method `READ`.
pub mod marks {
    use super::{Bytes, Channel, DecodeError, Reader, Writer};

    /// The fields of `READ`: `channel · seq u64`.
    ///
    /// # Errors
    /// `MALFORMED` when `fields` are not exactly that.
    pub fn read_mark(fields: Bytes) -> Result<(Channel, u64), DecodeError> {
        let mut reader = Reader::new(fields);
        let channel = Channel::read_shared(&mut reader)?;
        let seq = reader.u64("seq")?;
        reader.end()?;
        Ok((channel, seq))
    }

    /// Appends the fields of `READ`.
    pub fn write_mark(out: &mut impl Writer, channel: &Channel, seq: u64) {
        out.raw(channel.as_bytes());
        out.u64(seq);
    }
}

/// The answer of `GROUP_MEMBERS`: `count u16 · (user bytes8 · role u8) … · more u8`. Asked by
/// `group bytes8 · after bytes8 (empty for the first page)`; ascending by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembersPage {
    /// Members with their role: 0 member, 2 owner.
    pub members: Vec<(Id, u8)>,
    /// Whether more come after the last.
    pub more: bool,
}

impl MembersPage {
    /// Takes a page that is all of `fields`.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly a page.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(fields);
        let count = reader.u16("count")?;
        let mut members = Vec::new();
        for _ in 0..count {
            members.push((Id::read(&mut reader, "user")?, reader.u8("role")?));
        }
        let at = reader.position();
        let more = match reader.u8("more")? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::malformed("more", at)),
        };
        reader.end()?;
        Ok(Self { members, more })
    }

    /// Appends the page to `out`.
    pub fn write(&self, out: &mut impl Writer) {
        out.u16(u16::try_from(self.members.len()).unwrap_or(u16::MAX));
        for (user, role) in &self.members {
            out.bytes8(user.as_bytes());
            out.u8(*role);
        }
        out.u8(u8::from(self.more));
    }
}
