//! SEND and SENDACK.

use bytes::Bytes;

use super::read_reason;
use crate::{Channel, DecodeError, HEADER_BYTES, Kind, Reader, Reason, Tlvs, Writer, image_flag};

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
    /// Bytes of the frame of one without TLVs.
    pub const FRAME_BYTES: usize = HEADER_BYTES + 26;

    /// The frame of the one that says that the SEND of this number is stored: what nearly all are, so nothing is built
    /// for it.
    #[must_use]
    pub fn stored(number: u64, seq: u64, time_ms: u64) -> [u8; Self::FRAME_BYTES] {
        const CRC: usize = HEADER_BYTES - 4;
        let mut covered = [0; Self::FRAME_BYTES - 4];
        covered[..4].copy_from_slice(&((Self::FRAME_BYTES - HEADER_BYTES) as u32).to_be_bytes());
        covered[4] = Kind::Sendack.number();
        covered[6..14].copy_from_slice(&number.to_be_bytes());
        covered[14..16].copy_from_slice(&Reason::Ok.number().to_be_bytes());
        covered[16..24].copy_from_slice(&seq.to_be_bytes());
        covered[24..].copy_from_slice(&time_ms.to_be_bytes());
        let mut frame = [0; Self::FRAME_BYTES];
        frame[..CRC].copy_from_slice(&covered[..CRC]);
        frame[CRC..HEADER_BYTES].copy_from_slice(&crc32fast::hash(&covered).to_be_bytes());
        frame[HEADER_BYTES..].copy_from_slice(&covered[CRC..]);
        frame
    }

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
