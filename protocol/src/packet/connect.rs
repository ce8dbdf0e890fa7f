//! CONNECT and CONNACK.

use bytes::Bytes;

use super::read_reason;
use crate::{DecodeError, Id, Reader, Reason, Sender, TOKEN_BYTES, Tlvs, Writer};

/// CONNECT: `version_min u8 · version_max u8 · token bytes16 · device bytes8 (may be empty) · sender 8 · TLVs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectPacket {
    /// The lowest version the client speaks.
    pub version_min: u8,
    /// The highest version the client speaks.
    pub version_max: u8,
    /// What proves the user.
    pub token: Bytes,
    /// The device; none for a connection that only sends and calls.
    pub device: Option<Id>,
    /// The sender it numbers commands under, or a request for one.
    pub sender: Sender,
    /// Platform, app version, language, time zone, client time.
    pub tlvs: Tlvs,
}

impl ConnectPacket {
    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let at = r.position();
        let (version_min, version_max) = (r.u8("version_min")?, r.u8("version_max")?);
        if version_max < version_min {
            return Err(DecodeError::malformed("version_max is below version_min", at + 1));
        }
        Ok(Self {
            version_min,
            version_max,
            token: r.bytes16(TOKEN_BYTES, "token")?,
            device: Id::read_optional(r, "device")?,
            sender: Sender::read(r)?,
            tlvs: Tlvs::read_to_end(r)?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        out.u8(self.version_min);
        out.u8(self.version_max);
        out.bytes16(&self.token);
        out.bytes8(self.device.as_ref().map_or(&[], Id::as_bytes));
        out.raw(self.sender.as_bytes());
        out.raw(self.tlvs.as_bytes());
    }
}

/// What the server tells of its limits and timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Send something at least this often, milliseconds.
    pub heartbeat_ms: u32,
    /// Without a frame for so long the server gives the connection up, milliseconds.
    pub dead_ms: u32,
    /// Longest payload of a frame.
    pub frame_bytes: u32,
    /// Longest message body.
    pub body_bytes: u32,
    /// Most elements of one SYNCED.
    pub sync_page: u16,
}

/// CONNACK: `reason u16 · version u8 · version_min u8 · version_max u8 · user bytes8 · sender 8 · server_time_ms u64
/// · heartbeat_ms u32 · dead_ms u32 · frame_bytes u32 · body_bytes u32 · sync_page u16 · TLVs`. In a refusal `user` is
/// empty and `version`, sender, time, limits and timers are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnackPacket {
    /// OK, or why not.
    pub reason: Reason,
    /// The version of this connection.
    pub version: u8,
    /// The lowest version the server speaks.
    pub version_min: u8,
    /// The highest version the server speaks.
    pub version_max: u8,
    /// Who the token says the client is.
    pub user: Option<Id>,
    /// The sender to number commands under: the one of CONNECT, or a new one.
    pub sender: Sender,
    /// The server's clock, milliseconds since 1970.
    pub server_time_ms: u64,
    /// Limits and timers.
    pub limits: Limits,
    /// `RETRY_AFTER_MS`, `DETAIL`.
    pub tlvs: Tlvs,
}

impl ConnackPacket {
    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            reason: read_reason(r)?,
            version: r.u8("version")?,
            version_min: r.u8("version_min")?,
            version_max: r.u8("version_max")?,
            user: Id::read_optional(r, "user")?,
            sender: Sender::from_bytes(r.opaque8("sender")?),
            server_time_ms: r.u64("server_time_ms")?,
            limits: Limits {
                heartbeat_ms: r.u32("heartbeat_ms")?,
                dead_ms: r.u32("dead_ms")?,
                frame_bytes: r.u32("frame_bytes")?,
                body_bytes: r.u32("body_bytes")?,
                sync_page: r.u16("sync_page")?,
            },
            tlvs: Tlvs::read_to_end(r)?,
        })
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        out.u16(self.reason.number());
        out.u8(self.version);
        out.u8(self.version_min);
        out.u8(self.version_max);
        out.bytes8(self.user.as_ref().map_or(&[], Id::as_bytes));
        out.raw(self.sender.as_bytes());
        out.u64(self.server_time_ms);
        out.u32(self.limits.heartbeat_ms);
        out.u32(self.limits.dead_ms);
        out.u32(self.limits.frame_bytes);
        out.u32(self.limits.body_bytes);
        out.u16(self.limits.sync_page);
        out.raw(self.tlvs.as_bytes());
    }
}
