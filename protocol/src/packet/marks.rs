//! Fields of the methods about a user's view of a channel, and about how far others have it.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{Channel, DecodeError, Id, Reader, Tlvs, Writer, tag};

/// The settings that `CONVERSATION_SET` takes.
const SETTINGS: [u16; 5] = [tag::MUTED_UNTIL_MS, tag::PINNED, tag::HIDDEN, tag::MARKED_UNREAD, tag::CLEARED];

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

/// The fields of `CONVERSATION_SET`: `channel · TLVs`. What comes back has at least one of `MUTED_UNTIL_MS`, `PINNED`,
/// `HIDDEN`, `MARKED_UNREAD` and `CLEARED`, and nothing else.
///
/// # Errors
/// `MALFORMED` when `fields` are not that, a switch is neither 0 nor 1, or a TLV is critical or the server's.
pub fn read_settings(fields: Bytes) -> Result<(Channel, Tlvs), DecodeError> {
    let mut reader = Reader::new(fields);
    let channel = Channel::read_shared(&mut reader)?;
    let at = reader.position();
    let tlvs = Tlvs::read_to_end(&mut reader)?;
    if tlvs.has_server_tag() || tlvs.has_unknown_critical() {
        return Err(DecodeError::malformed("a TLV that is no setting", at));
    }
    let switches = [tag::PINNED, tag::HIDDEN, tag::MARKED_UNREAD];
    if switches.iter().any(|&tag| tlvs.get_u32(tag).is_some_and(|value| value > 1)) {
        return Err(DecodeError::malformed("a switch is 0 or 1", at));
    }
    let settings = Tlvs::from_pairs(tlvs.iter().filter(|(tag, _)| SETTINGS.contains(tag)));
    if settings.is_empty() {
        return Err(DecodeError::malformed("no setting", at));
    }
    Ok((channel, settings))
}

/// Appends the fields of `CONVERSATION_SET`.
pub fn write_settings(out: &mut impl Writer, channel: &Channel, settings: &Tlvs) {
    out.raw(channel.as_bytes());
    out.raw(settings.as_bytes());
}

/// The fields of `RECEIPTS`: `channel · seq u64 · after bytes8`; none for `after` asks for the first page.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_receipts(fields: Bytes) -> Result<(Channel, u64, Option<Id>), DecodeError> {
    let mut reader = Reader::new(fields);
    let channel = Channel::read_shared(&mut reader)?;
    let seq = reader.u64("seq")?;
    let after = Id::read_optional(&mut reader, "after")?;
    reader.end()?;
    Ok((channel, seq, after))
}

/// Appends the fields of `RECEIPTS`.
pub fn write_receipts(out: &mut impl Writer, channel: &Channel, seq: u64, after: Option<&Id>) {
    write_mark(out, channel, seq);
    out.bytes8(after.map_or(&[], Id::as_bytes));
}

/// How far one user has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Receipt {
    /// No device of theirs has it, as far as others may know.
    Waiting = 0,
    /// A device of theirs has it.
    Delivered = 1,
    /// They have seen it.
    Read = 2,
}

/// The answer of `RECEIPTS`: `members u32 · delivered u32 · read u32 · count u16 · (user bytes8 · state u8) … · more u8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiptsPage {
    /// How many were members when the message was given its seq, without its author.
    pub members: u32,
    /// How many of them have it; who has read it has it.
    pub delivered: u32,
    /// How many of them have read it.
    pub read: u32,
    /// Some of them, ascending by id.
    pub users: Vec<(Id, Receipt)>,
    /// Whether more come after the last.
    pub more: bool,
}

impl ReceiptsPage {
    /// Takes a page that is all of `fields`.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly a page.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(fields);
        let (members, delivered, read) = (reader.u32("members")?, reader.u32("delivered")?, reader.u32("read")?);
        let count = reader.u16("count")?;
        let mut users = Vec::new();
        for _ in 0..count {
            let user = Id::read(&mut reader, "user")?;
            let at = reader.position();
            let state = match reader.u8("state")? {
                0 => Receipt::Waiting,
                1 => Receipt::Delivered,
                2 => Receipt::Read,
                _ => return Err(DecodeError::malformed("state", at)),
            };
            users.push((user, state));
        }
        let at = reader.position();
        let more = match reader.u8("more")? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::malformed("more", at)),
        };
        reader.end()?;
        Ok(Self { members, delivered, read, users, more })
    }

    /// Appends the page to `out`.
    pub fn write(&self, out: &mut impl Writer) {
        out.u32(self.members);
        out.u32(self.delivered);
        out.u32(self.read);
        out.u16(u16::try_from(self.users.len()).unwrap_or(u16::MAX));
        for (user, state) in &self.users {
            out.bytes8(user.as_bytes());
            out.u8(*state as u8);
        }
        out.u8(u8::from(self.more));
    }
}

/// The answer of `BADGE`, over all conversations that are neither muted nor hidden: `unread u32 · mentions u32 ·
/// conversations u32`. Asked by no fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Badge {
    /// The sum of their unread counts, a conversation that is marked as unread counting at least 1.
    pub unread: u32,
    /// The sum of their mentions.
    pub mentions: u32,
    /// How many of them have unread images or are marked as unread.
    pub conversations: u32,
}

impl Badge {
    /// Takes a badge that is all of `fields`.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly that.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(fields);
        let badge = Self {
            unread: reader.u32("unread")?,
            mentions: reader.u32("mentions")?,
            conversations: reader.u32("conversations")?,
        };
        reader.end()?;
        Ok(badge)
    }

    /// Appends the badge to `out`.
    pub fn write(&self, out: &mut impl Writer) {
        out.u32(self.unread);
        out.u32(self.mentions);
        out.u32(self.conversations);
    }
}
