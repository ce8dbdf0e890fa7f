//! Fields of the methods about a message that is there already, and what they answer.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{SyncItem, sync::read_interval};
use crate::{BODY_BYTES, Channel, DecodeError, REACTION_BYTES, Reader, Writer};

/// The fields of `REVOKE`: `channel · seq u64`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_revoke(fields: Bytes) -> Result<(Channel, u64), DecodeError> {
    let mut reader = Reader::new(fields);
    let target = read_target(&mut reader)?;
    reader.end()?;
    Ok(target)
}

/// Appends the fields of `REVOKE`.
pub fn write_revoke(out: &mut impl Writer, channel: &Channel, seq: u64) {
    out.raw(channel.as_bytes());
    out.u64(seq);
}

/// The fields of `EDIT`: `channel · seq u64 · version u32 · body bytes32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The channel.
    pub channel: Channel,
    /// The message.
    pub seq: u64,
    /// The version that the caller saw; the new one is the next.
    pub version: u32,
    /// The new body, at most [`BODY_BYTES`].
    pub body: Bytes,
}

impl Edit {
    /// The fields, of which these are all.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly that; `BODY_TOO_LARGE` is for who decides.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(fields);
        let (channel, seq) = read_target(&mut reader)?;
        let version = reader.u32("version")?;
        let at = reader.position();
        let body = reader.bytes32("body")?;
        if body.len() > BODY_BYTES || version == u32::MAX {
            return Err(DecodeError::malformed("body length or version", at));
        }
        reader.end()?;
        Ok(Self { channel, seq, version, body })
    }

    /// Appends the fields.
    pub fn write(&self, out: &mut impl Writer) {
        write_revoke(out, &self.channel, self.seq);
        out.u32(self.version);
        out.bytes32(&self.body);
    }
}

/// The fields of `REACT`: `channel · seq u64 · on u8 · reaction bytes8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct React {
    /// The channel.
    pub channel: Channel,
    /// The message.
    pub seq: u64,
    /// Whether the reaction is added; otherwise it is taken away.
    pub is_on: bool,
    /// UTF-8, 1 to [`REACTION_BYTES`] bytes.
    pub reaction: Bytes,
}

impl React {
    /// The fields, of which these are all.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly that.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(fields);
        let (channel, seq) = read_target(&mut reader)?;
        let is_on = read_switch(&mut reader)?;
        let reaction = read_reaction(&mut reader)?;
        reader.end()?;
        Ok(Self { channel, seq, is_on, reaction })
    }

    /// Appends the fields.
    pub fn write(&self, out: &mut impl Writer) {
        write_revoke(out, &self.channel, self.seq);
        out.u8(u8::from(self.is_on));
        out.bytes8(&self.reaction);
    }
}

/// The fields of `PIN`: `channel · seq u64 · on u8`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_pin(fields: Bytes) -> Result<(Channel, u64, bool), DecodeError> {
    let mut reader = Reader::new(fields);
    let (channel, seq) = read_target(&mut reader)?;
    let is_on = read_switch(&mut reader)?;
    reader.end()?;
    Ok((channel, seq, is_on))
}

/// Appends the fields of `PIN`.
pub fn write_pin(out: &mut impl Writer, channel: &Channel, seq: u64, is_on: bool) {
    write_revoke(out, channel, seq);
    out.u8(u8::from(is_on));
}

/// The fields of `HIDE`: `channel · from u64 · to u64`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that, or no interval.
pub fn read_hide(fields: Bytes) -> Result<(Channel, u64, u64), DecodeError> {
    let mut reader = Reader::new(fields);
    let channel = Channel::read_shared(&mut reader)?;
    let (from, to) = read_interval(&mut reader)?;
    reader.end()?;
    Ok((channel, from, to))
}

/// Appends the fields of `HIDE`.
pub fn write_hide(out: &mut impl Writer, channel: &Channel, (from, to): (u64, u64)) {
    out.raw(channel.as_bytes());
    out.u64(from);
    out.u64(to);
}

/// The fields of `PINS`: `channel · after u64`; 0 for `after` asks for the first page.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_pins(fields: Bytes) -> Result<(Channel, u64), DecodeError> {
    let mut reader = Reader::new(fields);
    let asked = (Channel::read_shared(&mut reader)?, reader.u64("after")?);
    reader.end()?;
    Ok(asked)
}

/// Appends the fields of `PINS`.
pub fn write_pins(out: &mut impl Writer, channel: &Channel, after: u64) {
    write_revoke(out, channel, after);
}

/// The fields of `EDITS`: `channel · seq u64 · after u64`; 0 for `after` asks for the first page, which begins with the
/// message as it was sent.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_edits(fields: Bytes) -> Result<(Channel, u64, u64), DecodeError> {
    let mut reader = Reader::new(fields);
    let (channel, seq) = read_target(&mut reader)?;
    let after = reader.u64("after")?;
    reader.end()?;
    Ok((channel, seq, after))
}

/// Appends the fields of `EDITS`.
pub fn write_edits(out: &mut impl Writer, channel: &Channel, seq: u64, after: u64) {
    write_revoke(out, channel, seq);
    out.u64(after);
}

/// The fields of `THREAD`: `channel · root u64 · before u64`; 0 for `before` asks for the newest page.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_thread(fields: Bytes) -> Result<(Channel, u64, u64), DecodeError> {
    read_edits(fields)
}

/// Appends the fields of `THREAD`.
pub fn write_thread(out: &mut impl Writer, channel: &Channel, root: u64, before: u64) {
    write_edits(out, channel, root, before);
}

/// The answer of `PINS`, `EDITS` and `THREAD`: `count u16 · elements · more u8`, elements as those of SYNCED.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElementsPage {
    /// Images, ascending by seq, then what later images made of them.
    pub items: Vec<SyncItem>,
    /// Whether more come after the last; of a thread, before the first.
    pub more: bool,
}

impl ElementsPage {
    /// Takes a page that is all of `fields`.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly a page.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(fields);
        let count = reader.u16("count")?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(SyncItem::read(&mut reader)?);
        }
        let more = read_switch(&mut reader)?;
        reader.end()?;
        Ok(Self { items, more })
    }

    /// Appends the page to `out`.
    pub fn write(&self, out: &mut impl Writer) {
        out.u16(u16::try_from(self.items.len()).unwrap_or(u16::MAX));
        for item in &self.items {
            item.write(out);
        }
        out.u8(u8::from(self.more));
    }
}

/// A channel and the seq of a message of it, which is at least 1.
fn read_target(reader: &mut Reader) -> Result<(Channel, u64), DecodeError> {
    let channel = Channel::read_shared(reader)?;
    let at = reader.position();
    match reader.u64("seq")? {
        0 => Err(DecodeError::malformed("seq", at)),
        seq => Ok((channel, seq)),
    }
}

/// 0 or 1.
pub(super) fn read_switch(reader: &mut Reader) -> Result<bool, DecodeError> {
    let at = reader.position();
    match reader.u8("switch")? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::malformed("a switch is 0 or 1", at)),
    }
}

/// Text of 1 to 32 bytes.
pub(super) fn read_reaction(reader: &mut Reader) -> Result<Bytes, DecodeError> {
    let at = reader.position();
    let reaction = reader.bytes8("reaction")?;
    let is_text = core::str::from_utf8(&reaction).is_ok();
    if reaction.is_empty() || reaction.len() > REACTION_BYTES || !is_text {
        return Err(DecodeError::malformed("a reaction is 1 to 32 bytes of text", at));
    }
    Ok(reaction)
}
