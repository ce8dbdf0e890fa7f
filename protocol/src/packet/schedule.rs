//! Fields of the methods about messages that the server is to send at a given time.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{read_body, targets::read_switch};
use crate::{Channel, CommandId, DecodeError, Reader, Tlvs, Writer};

/// What is to be sent, and when: `due_ms u64 · flags u16 · body bytes32`. Its TLVs are those of the CALL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// When, milliseconds since 1970.
    pub due_ms: u64,
    /// As those of SEND.
    pub flags: u16,
    /// At most [`crate::BODY_BYTES`].
    pub body: Bytes,
}

impl Plan {
    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let (due_ms, flags) = (r.u64("due_ms")?, r.u16("flags")?);
        Ok(Self { due_ms, flags, body: read_body(r)? })
    }

    fn write(&self, out: &mut impl Writer) {
        out.u64(self.due_ms);
        out.u16(self.flags);
        out.bytes32(&self.body);
    }
}

/// The fields of `SCHEDULE`: `channel · plan`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_schedule(fields: Bytes) -> Result<(Channel, Plan), DecodeError> {
    let mut reader = Reader::new(fields);
    let asked = (Channel::read_shared(&mut reader)?, Plan::read(&mut reader)?);
    reader.end()?;
    Ok(asked)
}

/// Appends the fields of `SCHEDULE`.
pub fn write_schedule(out: &mut impl Writer, channel: &Channel, plan: &Plan) {
    out.raw(channel.as_bytes());
    plan.write(out);
}

/// The fields of `SCHEDULE_EDIT`: `channel · id · plan`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_edit(fields: Bytes) -> Result<(Channel, CommandId, Plan), DecodeError> {
    let mut reader = Reader::new(fields);
    let asked = (Channel::read_shared(&mut reader)?, CommandId::read(&mut reader)?, Plan::read(&mut reader)?);
    reader.end()?;
    Ok(asked)
}

/// Appends the fields of `SCHEDULE_EDIT`.
pub fn write_edit(out: &mut impl Writer, channel: &Channel, id: &CommandId, plan: &Plan) {
    write_named(out, channel, id);
    plan.write(out);
}

/// The fields of `SCHEDULE_CANCEL`, and of `SCHEDULED`, whose id is the last one of the page before: `channel · id`.
///
/// # Errors
/// `MALFORMED` when `fields` are not exactly that.
pub fn read_named(fields: Bytes) -> Result<(Channel, CommandId), DecodeError> {
    let mut reader = Reader::new(fields);
    let asked = (Channel::read_shared(&mut reader)?, CommandId::read(&mut reader)?);
    reader.end()?;
    Ok(asked)
}

/// Appends the fields of `SCHEDULE_CANCEL`, and of `SCHEDULED`.
pub fn write_named(out: &mut impl Writer, channel: &Channel, id: &CommandId) {
    out.raw(channel.as_bytes());
    id.write(out);
}

/// A scheduled message: `id · plan · tlvs bytes16 · refused u16`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// Which.
    pub id: CommandId,
    /// What, and when.
    pub plan: Plan,
    /// Its TLVs.
    pub tlvs: Tlvs,
    /// Why it was not sent when its time had come, a reason by number; 0 while it waits.
    pub refused: u16,
}

impl Scheduled {
    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let (id, plan) = (CommandId::read(r)?, Plan::read(r)?);
        let at = r.position();
        let tlvs = Tlvs::parse(r.bytes16(crate::TLV_BYTES, "tlvs")?, at)?;
        Ok(Self { id, plan, tlvs, refused: r.u16("refused")? })
    }

    /// Appends it.
    pub fn write(&self, out: &mut impl Writer) {
        self.id.write(out);
        self.plan.write(out);
        out.bytes16(self.tlvs.as_bytes());
        out.u16(self.refused);
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        34 + self.plan.body.len() + self.tlvs.as_bytes().len()
    }
}

/// The answer of `SCHEDULED`: `count u16 · scheduled … · more u8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduledPage {
    /// Ascending by id.
    pub scheduled: Vec<Scheduled>,
    /// Whether more come after the last.
    pub more: bool,
}

impl ScheduledPage {
    /// Takes a page that is all of `fields`.
    ///
    /// # Errors
    /// `MALFORMED` when they are not exactly a page.
    pub fn decode(fields: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(fields);
        let count = reader.u16("count")?;
        let mut scheduled = Vec::new();
        for _ in 0..count {
            scheduled.push(Scheduled::read(&mut reader)?);
        }
        let more = read_switch(&mut reader)?;
        reader.end()?;
        Ok(Self { scheduled, more })
    }

    /// Appends the page.
    pub fn write(&self, out: &mut impl Writer) {
        out.u16(u16::try_from(self.scheduled.len()).unwrap_or(u16::MAX));
        for scheduled in &self.scheduled {
            scheduled.write(out);
        }
        out.u8(u8::from(self.more));
    }
}
