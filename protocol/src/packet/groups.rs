//! Fields of the group methods, and the bodies of their images.

mod answers;

use alloc::vec::Vec;

use bytes::Bytes;

pub use answers::{GroupInfo, Member, MembersPage, RequestsPage, Waiting, group_role, waiting};

use crate::{
    ANNOUNCEMENT_BYTES, AVATAR_BYTES, CALL_IDS, CUSTOM_BYTES, DESCRIPTION_BYTES, DecodeError, Id, NAME_BYTES,
    NICKNAME_BYTES, REQUEST_TEXT_BYTES, Reader, Tlvs, Writer, tag,
};

/// What a group tells of itself, ascending.
pub const TEXTS: [u16; 5] = [tag::NAME, tag::AVATAR, tag::ANNOUNCEMENT, tag::DESCRIPTION, tag::CUSTOM];
/// How a group is set, ascending; all of them above [`TEXTS`].
pub const SETTINGS: [u16; 3] = [tag::JOIN_MODE, tag::HISTORY, tag::MAX_MEMBERS];

/// Who may join a group: values of the TLV `JOIN_MODE`.
pub mod join_mode {
    /// Everybody.
    pub const OPEN: u8 = 0;
    /// Who is approved by the owner or an admin.
    pub const APPROVAL: u8 = 1;
    /// Who is invited.
    pub const INVITED: u8 = 2;
}

/// A list of users, `count u16 · ids`: the body of membership images. At most 100.
///
/// # Errors
/// `MALFORMED` when `bytes` are not exactly such a list.
pub fn read_users(bytes: Bytes) -> Result<Vec<Id>, DecodeError> {
    whole(bytes, users)
}

/// The fields of `GROUP_ADD`, `GROUP_REMOVE` and `GROUP_INVITE`: `group bytes8 · count u16 · ids`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_change(fields: Bytes) -> Result<(Id, Vec<Id>), DecodeError> {
    whole(fields, |r| Ok((group(r)?, users(r)?)))
}

/// The fields of `GROUP_CREATE`: those of a change, then TLVs out of [`TEXTS`] and [`SETTINGS`].
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that, or a TLV is over its limit.
pub fn read_create(fields: Bytes) -> Result<(Id, Vec<Id>, Tlvs), DecodeError> {
    whole(fields, |r| Ok((group(r)?, users(r)?, settings(r)?)))
}

/// The fields of `GROUP_CHANGE`: `group bytes8`, then at least one TLV out of [`TEXTS`] and [`SETTINGS`].
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that, or a TLV is over its limit.
pub fn read_settings(fields: Bytes) -> Result<(Id, Tlvs), DecodeError> {
    let (group, tlvs) = whole(fields, |r| Ok((group(r)?, settings(r)?)))?;
    if tlvs.is_empty() { Err(DecodeError::malformed("nothing to change", 0)) } else { Ok((group, tlvs)) }
}

/// The fields of `GROUP_DISMISS` and `GROUP_INFO`: `group bytes8`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_group(fields: Bytes) -> Result<Id, DecodeError> {
    whole(fields, group)
}

/// The fields of `GROUP_MEMBERS` and `GROUP_REQUESTS`: `group bytes8 · after bytes8`; none for `after` asks for the
/// first page.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_members(fields: Bytes) -> Result<(Id, Option<Id>), DecodeError> {
    whole(fields, |r| Ok((group(r)?, Id::read_optional(r, "after")?)))
}

/// The fields of `GROUP_ROLES`: `group bytes8`, then what [`read_roles_changed`] reads.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_roles(fields: Bytes) -> Result<(Id, u8, Vec<Id>), DecodeError> {
    whole(fields, |r| {
        let group = group(r)?;
        let (role, users) = roles(r)?;
        Ok((group, role, users))
    })
}

/// The body of `ROLES_CHANGED`: `role u8 · count u16 · ids`; the role is 0 or 1.
///
/// # Errors
/// `MALFORMED` when `body` is not exactly that.
pub fn read_roles_changed(body: Bytes) -> Result<(u8, Vec<Id>), DecodeError> {
    whole(body, roles)
}

/// The fields of `GROUP_TRANSFER`: `group bytes8 · user bytes8`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_transfer(fields: Bytes) -> Result<(Id, Id), DecodeError> {
    whole(fields, |r| Ok((group(r)?, Id::read(r, "user")?)))
}

/// The body of `OWNER_CHANGED`: `user bytes8`.
///
/// # Errors
/// `MALFORMED` when `body` is not exactly that.
pub fn read_owner_changed(body: Bytes) -> Result<Id, DecodeError> {
    whole(body, |r| Id::read(r, "user"))
}

/// The fields of `GROUP_MUTE`: `group bytes8`, then what [`read_members_muted`] reads.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_mute(fields: Bytes) -> Result<(Id, u64, Vec<Id>), DecodeError> {
    whole(fields, |r| Ok((group(r)?, r.u64("until")?, users(r)?)))
}

/// The body of `MEMBERS_MUTED`: `until_ms u64 · count u16 · ids`; nobody stands for everybody.
///
/// # Errors
/// `MALFORMED` when `body` is not exactly that.
pub fn read_members_muted(body: Bytes) -> Result<(u64, Vec<Id>), DecodeError> {
    whole(body, |r| Ok((r.u64("until")?, users(r)?)))
}

/// The fields of `GROUP_JOIN`: `group bytes8 · text bytes16`; the text is UTF-8 of at most 256 bytes.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_join(fields: Bytes) -> Result<(Id, Bytes), DecodeError> {
    whole(fields, |r| Ok((group(r)?, utf8(r, |r| r.bytes16(REQUEST_TEXT_BYTES, "text"))?)))
}

/// The fields of `GROUP_ANSWER`: `group bytes8 · accept u8 · count u16 · ids`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_answer(fields: Bytes) -> Result<(Id, bool, Vec<Id>), DecodeError> {
    whole(fields, |r| Ok((group(r)?, flag(r, "accept")?, users(r)?)))
}

/// The fields of `GROUP_NICKNAME`: `group bytes8 · nickname bytes8`; UTF-8 of at most 64 bytes.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_nickname(fields: Bytes) -> Result<(Id, Bytes), DecodeError> {
    whole(fields, |r| Ok((group(r)?, nickname(r)?)))
}

/// What `read` takes off `bytes`, which is all of them.
fn whole<T>(bytes: Bytes, read: impl FnOnce(&mut Reader) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

fn group(reader: &mut Reader) -> Result<Id, DecodeError> {
    Id::read(reader, "group")
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

fn roles(reader: &mut Reader) -> Result<(u8, Vec<Id>), DecodeError> {
    let at = reader.position();
    let role = reader.u8("role")?;
    if role > group_role::ADMIN {
        return Err(DecodeError::malformed("role", at));
    }
    Ok((role, users(reader)?))
}

fn nickname(reader: &mut Reader) -> Result<Bytes, DecodeError> {
    let at = reader.position();
    let nickname = utf8(reader, |r| r.bytes8("nickname"))?;
    if nickname.len() > NICKNAME_BYTES {
        Err(DecodeError::malformed("nickname over 64 bytes", at))
    } else {
        Ok(nickname)
    }
}

fn flag(reader: &mut Reader, what: &'static str) -> Result<bool, DecodeError> {
    let at = reader.position();
    match reader.u8(what)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::malformed(what, at)),
    }
}

fn utf8(
    reader: &mut Reader,
    read: impl FnOnce(&mut Reader) -> Result<Bytes, DecodeError>,
) -> Result<Bytes, DecodeError> {
    let at = reader.position();
    let text = read(reader)?;
    if core::str::from_utf8(&text).is_ok() { Ok(text) } else { Err(DecodeError::malformed("text", at)) }
}

/// TLVs of a group to the end.
fn settings(reader: &mut Reader) -> Result<Tlvs, DecodeError> {
    let at = reader.position();
    let tlvs = Tlvs::read_to_end(reader)?;
    let wrong = tlvs.iter().find_map(|(tag, value)| wrong_setting(&tlvs, tag, value));
    wrong.map_or(Ok(tlvs), |what| Err(DecodeError::malformed(what, at)))
}

/// What is wrong with one of them.
fn wrong_setting(tlvs: &Tlvs, tag: u16, value: &[u8]) -> Option<&'static str> {
    let is_over = |max| tlvs.get_u32(tag).is_none_or(|number| number > max);
    match tag {
        tag::NAME => (value.len() > NAME_BYTES).then_some("NAME over 128 bytes"),
        tag::AVATAR => (value.len() > AVATAR_BYTES).then_some("AVATAR over 512 bytes"),
        tag::ANNOUNCEMENT => (value.len() > ANNOUNCEMENT_BYTES).then_some("ANNOUNCEMENT over 1,024 bytes"),
        tag::DESCRIPTION => (value.len() > DESCRIPTION_BYTES).then_some("DESCRIPTION over 512 bytes"),
        tag::CUSTOM => (value.len() > CUSTOM_BYTES).then_some("CUSTOM over 1,024 bytes"),
        tag::JOIN_MODE => is_over(u32::from(join_mode::INVITED)).then_some("JOIN_MODE is 0, 1 or 2"),
        tag::HISTORY => is_over(1).then_some("HISTORY is 0 or 1"),
        tag::MAX_MEMBERS => None,
        _ => Some("a TLV that is none of a group"),
    }
}

/// Appends a list of users.
pub fn write_users(out: &mut impl Writer, users: &[Id]) {
    out.u16(u16::try_from(users.len()).unwrap_or(u16::MAX));
    for user in users {
        out.bytes8(user.as_bytes());
    }
}

/// Appends the fields of a change; those of `GROUP_CREATE` without TLVs are the same.
pub fn write_change(out: &mut impl Writer, group: &Id, users: &[Id]) {
    out.bytes8(group.as_bytes());
    write_users(out, users);
}

/// Appends the fields of `GROUP_CREATE`.
pub fn write_create(out: &mut impl Writer, group: &Id, users: &[Id], tlvs: &Tlvs) {
    write_change(out, group, users);
    out.raw(tlvs.as_bytes());
}

/// Appends the fields of `GROUP_CHANGE`.
pub fn write_settings(out: &mut impl Writer, group: &Id, tlvs: &Tlvs) {
    out.bytes8(group.as_bytes());
    out.raw(tlvs.as_bytes());
}

/// Appends the fields of `GROUP_MEMBERS` and `GROUP_REQUESTS`.
pub fn write_members(out: &mut impl Writer, group: &Id, after: Option<&Id>) {
    out.bytes8(group.as_bytes());
    out.bytes8(after.map_or(&[], Id::as_bytes));
}

/// Appends the body of `ROLES_CHANGED`.
pub fn write_roles_changed(out: &mut impl Writer, role: u8, users: &[Id]) {
    out.u8(role);
    write_users(out, users);
}

/// Appends the fields of `GROUP_ROLES`.
pub fn write_roles(out: &mut impl Writer, group: &Id, role: u8, users: &[Id]) {
    out.bytes8(group.as_bytes());
    write_roles_changed(out, role, users);
}

/// Appends the fields of `GROUP_TRANSFER`.
pub fn write_transfer(out: &mut impl Writer, group: &Id, user: &Id) {
    out.bytes8(group.as_bytes());
    out.bytes8(user.as_bytes());
}

/// Appends the body of `MEMBERS_MUTED`.
pub fn write_members_muted(out: &mut impl Writer, until_ms: u64, users: &[Id]) {
    out.u64(until_ms);
    write_users(out, users);
}

/// Appends the fields of `GROUP_MUTE`.
pub fn write_mute(out: &mut impl Writer, group: &Id, until_ms: u64, users: &[Id]) {
    out.bytes8(group.as_bytes());
    write_members_muted(out, until_ms, users);
}

/// Appends the fields of `GROUP_JOIN`.
pub fn write_join(out: &mut impl Writer, group: &Id, text: &[u8]) {
    out.bytes8(group.as_bytes());
    out.bytes16(text);
}

/// Appends the fields of `GROUP_ANSWER`.
pub fn write_answer(out: &mut impl Writer, group: &Id, accept: bool, users: &[Id]) {
    out.bytes8(group.as_bytes());
    out.u8(u8::from(accept));
    write_users(out, users);
}

/// Appends the fields of `GROUP_NICKNAME`.
pub fn write_nickname(out: &mut impl Writer, group: &Id, nickname: &[u8]) {
    out.bytes8(group.as_bytes());
    out.bytes8(nickname);
}
