//! Fields of the methods about users: profiles, devices, blocks, contacts.

use alloc::vec::Vec;
use core::str;

use bytes::Bytes;

use crate::{DecodeError, Id, NAME_BYTES, REQUEST_TEXT_BYTES, Reader, Tlvs, Writer};

/// The fields of `PROFILE_SET`, which has TLVs alone, and of `DEVICES`: none.
///
/// # Errors
/// `MALFORMED` when there are some.
pub fn read_nothing(fields: Bytes) -> Result<(), DecodeError> {
    Reader::new(fields).end()
}

/// The fields of `CONTACT_REMOVE`: `user bytes8`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_user(fields: Bytes) -> Result<Id, DecodeError> {
    let mut reader = Reader::new(fields);
    let user = Id::read(&mut reader, "user")?;
    reader.end()?;
    Ok(user)
}

/// Appends the fields of `CONTACT_REMOVE`.
pub fn write_user(out: &mut impl Writer, user: &Id) {
    out.bytes8(user.as_bytes());
}

/// The fields of `DEVICE_REMOVE`: `device bytes8`, empty for all others; and of `BLOCKED` and `CONTACTS`:
/// `after bytes8`, empty for the first page.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_optional(fields: Bytes) -> Result<Option<Id>, DecodeError> {
    let mut reader = Reader::new(fields);
    let id = Id::read_optional(&mut reader, "id")?;
    reader.end()?;
    Ok(id)
}

/// Appends the fields of `DEVICE_REMOVE`, `BLOCKED` or `CONTACTS`.
pub fn write_optional(out: &mut impl Writer, id: Option<&Id>) {
    out.bytes8(id.map_or(&[], Id::as_bytes));
}

/// The fields of `BLOCK` and `CONTACT_ANSWER`: `user bytes8 · is u8`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_switch(fields: Bytes) -> Result<(Id, bool), DecodeError> {
    let mut reader = Reader::new(fields);
    let user = Id::read(&mut reader, "user")?;
    let is = flag(&mut reader)?;
    reader.end()?;
    Ok((user, is))
}

/// Appends the fields of `BLOCK` or `CONTACT_ANSWER`.
pub fn write_switch(out: &mut impl Writer, user: &Id, is: bool) {
    out.bytes8(user.as_bytes());
    out.u8(u8::from(is));
}

/// The fields of `CONTACT_ASK`: `user bytes8 · text bytes16`, at most 256 bytes of UTF-8.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_ask(fields: Bytes) -> Result<(Id, Bytes), DecodeError> {
    read_text(fields, REQUEST_TEXT_BYTES)
}

/// The fields of `CONTACT_NOTE`: `user bytes8 · note bytes16`, at most 128 bytes of UTF-8; none ends it.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_note(fields: Bytes) -> Result<(Id, Bytes), DecodeError> {
    read_text(fields, NAME_BYTES)
}

/// Appends the fields of `CONTACT_ASK` or `CONTACT_NOTE`.
pub fn write_text(out: &mut impl Writer, user: &Id, text: &str) {
    out.bytes8(user.as_bytes());
    out.bytes16(text.as_bytes());
}

fn read_text(fields: Bytes, max: usize) -> Result<(Id, Bytes), DecodeError> {
    let mut reader = Reader::new(fields);
    let user = Id::read(&mut reader, "user")?;
    let text = text(&mut reader, max)?;
    reader.end()?;
    Ok((user, text))
}

fn text(reader: &mut Reader, max: usize) -> Result<Bytes, DecodeError> {
    let at = reader.position();
    let text = reader.bytes16(max, "text")?;
    match str::from_utf8(&text) {
        Ok(_) => Ok(text),
        Err(_) => Err(DecodeError::malformed("text that is not UTF-8", at)),
    }
}

fn flag(reader: &mut Reader) -> Result<bool, DecodeError> {
    let at = reader.position();
    match reader.u8("flag")? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::malformed("a flag is 0 or 1", at)),
    }
}

fn tlvs(reader: &mut Reader) -> Result<Tlvs, DecodeError> {
    let at = reader.position();
    Tlvs::parse(reader.bytes16(usize::from(u16::MAX), "fields")?, at)
}

fn count(out: &mut impl Writer, len: usize) {
    out.u16(u16::try_from(len).unwrap_or(u16::MAX));
}

/// The answer of `PROFILES`: `count u16 · (user bytes8 · fields bytes16) …`. Asked by `count u16 · users`; answers the
/// first of them, at least one, in the order in which they were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profiles(
    /// What each says of themselves, as TLVs.
    pub Vec<(Id, Tlvs)>,
);

impl Profiles {
    /// Takes an answer that is all of `fields`.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly that.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(fields);
        let mut profiles = Vec::new();
        for _ in 0..reader.u16("count")? {
            profiles.push((Id::read(&mut reader, "user")?, tlvs(&mut reader)?));
        }
        reader.end()?;
        Ok(Self(profiles))
    }

    /// Appends the answer to `out`.
    pub fn write(&self, out: &mut impl Writer) {
        count(out, self.0.len());
        for (user, fields) in &self.0 {
            out.bytes8(user.as_bytes());
            out.bytes16(fields.as_bytes());
        }
    }
}

/// A device as `DEVICES` tells it: `device bytes8 · first_ms u64 · last_ms u64 · is_online u8 · is_this u8 ·
/// fields bytes16`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub device: Id,
    /// When it first connected, milliseconds since 1970.
    pub first_ms: u64,
    /// When it last connected, to a day.
    pub last_ms: u64,
    /// Whether it is connected.
    pub is_online: bool,
    /// Whether it is the one that asks.
    pub is_this: bool,
    /// `PLATFORM`, `APP_VERSION`, `LANGUAGE`, `TIME_ZONE`, as it last told.
    pub fields: Tlvs,
}

/// The answer of `DEVICES`: `count u16 · devices`, ascending by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices(
    /// All devices of the caller.
    pub Vec<Device>,
);

impl Devices {
    /// Takes an answer that is all of `fields`.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly that.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(fields);
        let r = &mut reader;
        let mut devices = Vec::new();
        for _ in 0..r.u16("count")? {
            devices.push(Device {
                device: Id::read(r, "device")?,
                first_ms: r.u64("first")?,
                last_ms: r.u64("last")?,
                is_online: flag(r)?,
                is_this: flag(r)?,
                fields: tlvs(r)?,
            });
        }
        reader.end()?;
        Ok(Self(devices))
    }

    /// Appends the answer to `out`.
    pub fn write(&self, out: &mut impl Writer) {
        count(out, self.0.len());
        for device in &self.0 {
            out.bytes8(device.device.as_bytes());
            out.u64(device.first_ms);
            out.u64(device.last_ms);
            out.u8(u8::from(device.is_online));
            out.u8(u8::from(device.is_this));
            out.bytes16(device.fields.as_bytes());
        }
    }
}

/// The answer of `BLOCKED`: `count u16 · users · more u8`, ascending by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockedPage {
    /// Whom the caller blocks.
    pub users: Vec<Id>,
    /// Whether more come after the last.
    pub more: bool,
}

impl BlockedPage {
    /// Takes a page that is all of `fields`.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly a page.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(fields);
        let mut users = Vec::new();
        for _ in 0..reader.u16("count")? {
            users.push(Id::read(&mut reader, "user")?);
        }
        let more = flag(&mut reader)?;
        reader.end()?;
        Ok(Self { users, more })
    }

    /// Appends the page to `out`.
    pub fn write(&self, out: &mut impl Writer) {
        count(out, self.users.len());
        self.users.iter().for_each(|user| out.bytes8(user.as_bytes()));
        out.u8(u8::from(self.more));
    }
}

/// A user as `CONTACTS` tells them: `user bytes8 · state u8 · text bytes16`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The user.
    pub user: Id,
    /// 1 asked by the caller, 2 asks the caller, 3 a contact.
    pub state: u8,
    /// What the caller calls the contact, or what the one who asks says; UTF-8.
    pub text: Bytes,
}

/// The answer of `CONTACTS`: `count u16 · contacts · more u8`, ascending by user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactsPage {
    /// Contacts, and who waits to become one.
    pub contacts: Vec<Contact>,
    /// Whether more come after the last.
    pub more: bool,
}

impl ContactsPage {
    /// Takes a page that is all of `fields`.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly a page.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(fields);
        let mut contacts = Vec::new();
        for _ in 0..reader.u16("count")? {
            let (user, at) = (Id::read(&mut reader, "user")?, reader.position());
            let state = reader.u8("state")?;
            if !(1..=3).contains(&state) {
                return Err(DecodeError::malformed("state of a contact", at));
            }
            contacts.push(Contact { user, state, text: text(&mut reader, REQUEST_TEXT_BYTES)? });
        }
        let more = flag(&mut reader)?;
        reader.end()?;
        Ok(Self { contacts, more })
    }

    /// Appends the page to `out`.
    pub fn write(&self, out: &mut impl Writer) {
        count(out, self.contacts.len());
        for contact in &self.contacts {
            out.bytes8(contact.user.as_bytes());
            out.u8(contact.state);
            out.bytes16(&contact.text);
        }
        out.u8(u8::from(self.more));
    }
}
