//! CALL and REPLY.

use bytes::Bytes;

use super::read_reason;
use crate::{DecodeError, Reader, Reason, Tlvs, Writer};

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
