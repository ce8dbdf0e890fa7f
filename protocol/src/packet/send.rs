//! SEND and SENDACK.

use bytes::Bytes;

use super::read_reason;
use crate::{Channel, DecodeError, Reader, Reason, Tlvs, Writer, image_flag};

/// The image flags that a client may set.
const SEND_FLAGS: u16 = image_flag::COUNTABLE | image_flag::SILENT | image_flag::MENTION_ALL | image_flag::MENTIONS;

/// SEND: `number u64 · oldest u64 · channel · flags u16 · body bytes32 · TLVs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendPacket {
    /// The sender's number for this message, from 1.
    pub number: u64,
    /// The lowest number this sender may still send again.
    pub oldest: u64,
    /// Where it goes.
    pub channel: Channel,
    /// Bits of [`crate::image_flag`] that a client may set.
    pub flags: u16,
    /// The message's own bytes. A longer body than the limit decodes: it is refused by SENDACK, not by a close.
    pub body: Bytes,
    /// Optional fields; those the server does not use itself go into the image.
    pub tlvs: Tlvs,
}

impl SendPacket {
    /// Takes a whole payload.
    pub(crate) fn decode(payload: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        // TLVs are all that may follow, so that nothing is left.
        Self::read(&mut reader)
    }

    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            number: r.u64("number")?,
            oldest: r.u64("oldest")?,
            channel: Channel::read_shared(r)?,
            flags: read_flags(r)?,
            body: r.bytes32("body")?,
            tlvs: Tlvs::read_to_end(r)?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        out.u64(self.number);
        out.u64(self.oldest);
        out.raw(self.channel.as_bytes());
        out.u16(self.flags);
        out.bytes32(&self.body);
        out.raw(self.tlvs.as_bytes());
    }
}

fn read_flags(r: &mut Reader) -> Result<u16, DecodeError> {
    let at = r.position();
    let flags = r.u16("flags")?;
    if flags & !SEND_FLAGS == 0 { Ok(flags) } else { Err(DecodeError::malformed("flags", at)) }
}

/// SENDACK: `number u64 · reason u16 · seq u64 · time_ms u64 · TLVs`. In a refusal seq and time are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendackPacket {
    /// The number of the SEND it answers.
    pub number: u64,
    /// OK when the message is durable, or why it is not stored.
    pub reason: Reason,
    /// Its seq.
    pub seq: u64,
    /// Its time.
    pub time_ms: u64,
    /// `RETRY_AFTER_MS`, `DETAIL`.
    pub tlvs: Tlvs,
}

impl SendackPacket {
    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            number: r.u64("number")?,
            reason: read_reason(r)?,
            seq: r.u64("seq")?,
            time_ms: r.u64("time_ms")?,
            tlvs: Tlvs::read_to_end(r)?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        out.u64(self.number);
        out.u16(self.reason.number());
        out.u64(self.seq);
        out.u64(self.time_ms);
        out.raw(self.tlvs.as_bytes());
    }
}
