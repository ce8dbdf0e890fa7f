//! NOTICE: what is not stored.

use bytes::Bytes;

use crate::{DecodeError, Reader, Tlvs, Writer};

/// NOTICE: `what u8 · fields bytes32 · TLVs`. A notice of a kind that is not known is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticePacket {
    /// A [`crate::NoticeKind`] by number.
    pub what: u8,
    /// Its own fields.
    pub fields: Bytes,
    /// Optional fields.
    pub tlvs: Tlvs,
}

impl NoticePacket {
    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { what: r.u8("notice")?, fields: r.bytes32("fields")?, tlvs: Tlvs::read_to_end(r)? })
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        out.u8(self.what);
        out.bytes32(&self.fields);
        out.raw(self.tlvs.as_bytes());
    }
}
