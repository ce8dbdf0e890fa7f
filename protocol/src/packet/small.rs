//! RECVACK, DISCONNECT, LAG. (RECV is an image; PING and PONG are TLVs alone.)

use bytes::Bytes;

use super::read_reason;
use crate::{Channel, DecodeError, Reader, Reason, Tlvs, Writer};

/// RECVACK: `channel · seq u64 · TLVs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecvackPacket {
    /// The channel.
    pub channel: Channel,
    /// The device holds everything up to and including this seq.
    pub seq: u64,
    /// Optional fields.
    pub tlvs: Tlvs,
}

impl RecvackPacket {
    /// Takes a whole payload.
    pub(crate) fn decode(payload: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        // TLVs are all that may follow, so that nothing is left.
        Self::read(&mut reader)
    }

    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { channel: Channel::read_shared(r)?, seq: r.u64("seq")?, tlvs: Tlvs::read_to_end(r)? })
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        out.raw(self.channel.as_bytes());
        out.u64(self.seq);
        out.raw(self.tlvs.as_bytes());
    }
}

/// DISCONNECT: `reason u16 · TLVs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisconnectPacket {
    /// Why; OK when the client is simply done.
    pub reason: Reason,
    /// `RETRY_AFTER_MS`, `DETAIL`.
    pub tlvs: Tlvs,
}

impl DisconnectPacket {
    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { reason: read_reason(r)?, tlvs: Tlvs::read_to_end(r)? })
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        out.u16(self.reason.number());
        out.raw(self.tlvs.as_bytes());
    }
}

/// LAG: `dropped u32 · TLVs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagPacket {
    /// How many RECVs were dropped for this connection since it last kept up.
    pub dropped: u32,
    /// Optional fields.
    pub tlvs: Tlvs,
}

impl LagPacket {
    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { dropped: r.u32("dropped")?, tlvs: Tlvs::read_to_end(r)? })
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        out.u32(self.dropped);
        out.raw(self.tlvs.as_bytes());
    }
}
