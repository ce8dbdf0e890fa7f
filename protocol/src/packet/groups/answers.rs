//! What the reading methods of groups answer.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{flag, nickname, utf8};
use crate::{DecodeError, Id, REQUEST_TEXT_BYTES, Reader, Tlvs, Writer};

/// Roles in a group.
pub mod group_role {
    /// A plain member.
    pub const MEMBER: u8 = 0;
    /// An admin.
    pub const ADMIN: u8 = 1;
    /// The owner.
    pub const OWNER: u8 = 2;
    /// No member; in [`super::GroupInfo`] alone.
    pub const NONE: u8 = 255;
}

/// Why somebody waits in a group.
pub mod waiting {
    /// They asked to join.
    pub const ASKED: u8 = 1;
    /// They are invited.
    pub const INVITED: u8 = 2;
}

/// A member: `user bytes8 · role u8 · joined u64 · joined_ms u64 · muted_until_ms u64 · nickname bytes8 · inviter bytes8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: Id,
    /// One of [`group_role`].
    pub role: u8,
    /// The seq of the image of their joining.
    pub joined: u64,
    /// Its time, milliseconds since 1970.
    pub joined_ms: u64,
    /// They may not speak until then; 0 when they were never muted.
    pub muted_until_ms: u64,
    /// UTF-8 of at most 64 bytes; empty for none.
    pub nickname: Bytes,
    /// Who brought them in; none for who came by themselves.
    pub inviter: Option<Id>,
}

/// The answer of `GROUP_MEMBERS`: `count u16 · members · more u8`; ascending by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembersPage {
    /// Who is a member now.
    pub members: Vec<Member>,
    /// Whether more come after the last.
    pub more: bool,
}

impl MembersPage {
    /// Takes a page that is all of `fields`.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly a page.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let (members, more) = page(fields, Member::read)?;
        Ok(Self { members, more })
    }

    /// Appends the page to `out`.
    pub fn write(&self, out: &mut impl Writer) {
        out.u16(u16::try_from(self.members.len()).unwrap_or(u16::MAX));
        self.members.iter().for_each(|member| member.write(out));
        out.u8(u8::from(self.more));
    }
}

impl Member {
    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            user: Id::read(r, "user")?,
            role: r.u8("role")?,
            joined: r.u64("joined")?,
            joined_ms: r.u64("joined_ms")?,
            muted_until_ms: r.u64("muted_until_ms")?,
            nickname: nickname(r)?,
            inviter: Id::read_optional(r, "inviter")?,
        })
    }

    fn write(&self, out: &mut impl Writer) {
        out.bytes8(self.user.as_bytes());
        out.u8(self.role);
        out.u64(self.joined);
        out.u64(self.joined_ms);
        out.u64(self.muted_until_ms);
        out.bytes8(&self.nickname);
        out.bytes8(self.inviter.as_ref().map_or(&[], Id::as_bytes));
    }

    /// Bytes that it takes in a page.
    #[must_use]
    pub fn size(&self) -> usize {
        28 + self.user.as_bytes().len()
            + self.nickname.len()
            + self.inviter.as_ref().map_or(0, |id| id.as_bytes().len())
    }
}

/// Somebody who waits in a group: `user bytes8 · what u8 · by bytes8 · time_ms u64 · text bytes16`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Who.
    pub user: Id,
    /// One of [`waiting`].
    pub what: u8,
    /// Who asked for it: the user, or who invited them.
    pub by: Id,
    /// When, milliseconds since 1970.
    pub time_ms: u64,
    /// What a user who asked said; UTF-8 of at most 256 bytes.
    pub text: Bytes,
}

/// The answer of `GROUP_REQUESTS`: `count u16 · waiting · more u8`; ascending by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestsPage {
    /// Who waits.
    pub waiting: Vec<Waiting>,
    /// Whether more come after the last.
    pub more: bool,
}

impl RequestsPage {
    /// Takes a page that is all of `fields`.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly a page.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let (waiting, more) = page(fields, Waiting::read)?;
        Ok(Self { waiting, more })
    }

    /// Appends the page to `out`.
    pub fn write(&self, out: &mut impl Writer) {
        out.u16(u16::try_from(self.waiting.len()).unwrap_or(u16::MAX));
        self.waiting.iter().for_each(|waiting| waiting.write(out));
        out.u8(u8::from(self.more));
    }
}

impl Waiting {
    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            user: Id::read(r, "user")?,
            what: r.u8("what")?,
            by: Id::read(r, "by")?,
            time_ms: r.u64("time_ms")?,
            text: utf8(r, |r| r.bytes16(REQUEST_TEXT_BYTES, "text"))?,
        })
    }

    fn write(&self, out: &mut impl Writer) {
        out.bytes8(self.user.as_bytes());
        out.u8(self.what);
        out.bytes8(self.by.as_bytes());
        out.u64(self.time_ms);
        out.bytes16(&self.text);
    }

    /// Bytes that it takes in a page.
    #[must_use]
    pub fn size(&self) -> usize {
        13 + self.user.as_bytes().len() + self.by.as_bytes().len() + self.text.len()
    }
}

/// The answer of `GROUP_INFO`:
/// `flags u16 · role u8 · members u32 · muted_until_ms u64 · all_muted_until_ms u64 · TLVs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupInfo {
    /// `LEFT`, `INVITED`, `ASKED` and `DISMISSED` of [`crate::packet::conversation_flag`].
    pub flags: u16,
    /// The caller's: one of [`group_role`].
    pub role: u8,
    /// How many members there are.
    pub members: u32,
    /// The caller may not speak until then; 0 when they were never muted.
    pub muted_until_ms: u64,
    /// No plain member may speak until then; 0 when they were never muted.
    pub all_muted_until_ms: u64,
    /// What the group tells of itself and how it is set.
    pub tlvs: Tlvs,
}

impl GroupInfo {
    /// Takes an answer that is all of `fields`.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly an answer.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(fields);
        Ok(Self {
            flags: r.u16("flags")?,
            role: r.u8("role")?,
            members: r.u32("members")?,
            muted_until_ms: r.u64("muted_until_ms")?,
            all_muted_until_ms: r.u64("all_muted_until_ms")?,
            tlvs: Tlvs::read_to_end(r)?,
        })
    }

    /// Appends the answer to `out`.
    pub fn write(&self, out: &mut impl Writer) {
        out.u16(self.flags);
        out.u8(self.role);
        out.u32(self.members);
        out.u64(self.muted_until_ms);
        out.u64(self.all_muted_until_ms);
        out.raw(self.tlvs.as_bytes());
    }
}

/// `count u16 · rows · more u8`.
fn page<Row>(
    fields: Bytes,
    read: impl Fn(&mut Reader) -> Result<Row, DecodeError>,
) -> Result<(Vec<Row>, bool), DecodeError> {
    let mut reader = Reader::new(fields);
    let count = reader.u16("count")?;
    let mut rows = Vec::new();
    for _ in 0..count {
        rows.push(read(&mut reader)?);
    }
    let more = flag(&mut reader, "more")?;
    reader.end()?;
    Ok((rows, more))
}
