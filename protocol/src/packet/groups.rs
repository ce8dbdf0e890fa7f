//! Fields of the group methods, and the bodies of their images.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{CALL_IDS, DecodeError, Id, Reader, Writer};

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
