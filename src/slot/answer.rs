//! How outcomes are told: SENDACK and REPLY frames.

use std::borrow::Cow;

use bytes::Bytes;
use postrider_protocol::{
    Reason, Tlvs,
    packet::{Packet, ReplyPacket, SendackPacket},
    tag,
};

/// What most answers take: a SENDACK without TLVs.
pub(super) const ANSWER_BYTES: usize = SendackPacket::FRAME_BYTES;

/// A refusal: the reason, when to come back, and what is wrong.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub reason: Reason,
    pub retry_after_ms: Option<u32>,
    pub detail: Cow<'static, str>,
}

impl Refusal {
    /// For good.
    pub(super) const fn new(reason: Reason, detail: &'static str) -> Self {
        Self { reason, retry_after_ms: None, detail: Cow::Borrowed(detail) }
    }

    /// For now.
    pub(super) const fn later(reason: Reason, retry_after_ms: u32, detail: &'static str) -> Self {
        Self { reason, retry_after_ms: Some(retry_after_ms), detail: Cow::Borrowed(detail) }
    }

    /// The channel does not exist, or not for this user: the two cannot be told apart.
    pub(super) const fn no_channel() -> Self {
        Self::new(Reason::NoChannel, "no such channel for this user")
    }

    /// The body does not follow its schema; `why` says where.
    pub(super) fn unfit(why: &str) -> Self {
        Self { reason: Reason::InvalidContent, retry_after_ms: None, detail: Cow::Owned(why.to_owned()) }
    }

    /// Only system users may do that.
    pub(super) const fn only_system() -> Self {
        Self::new(Reason::NotAllowed, "only a system user may")
    }

    /// The group was dismissed.
    pub(super) const fn dismissed() -> Self {
        Self::new(Reason::Dismissed, "the group was dismissed")
    }

    fn tlvs(&self) -> Tlvs {
        let retry_after = self.retry_after_ms.map(u32::to_be_bytes);
        let retry_after = retry_after.as_ref().map(|bytes| (tag::RETRY_AFTER_MS, &bytes[..]));
        Tlvs::from_pairs(retry_after.into_iter().chain([(tag::DETAIL, self.detail.as_bytes())]))
    }
}

/// The outcome of one command.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Stored { seq: u64, time_ms: u64 },
    Refused(Refusal),
}

impl Outcome {
    /// For a command that came to a worker that does not own its slot.
    pub(super) const fn elsewhere() -> Self {
        Self::Refused(Refusal::new(Reason::Internal, "slot of another worker"))
    }

    fn fields(&self) -> (Reason, u64, u64, Tlvs) {
        match self {
            Self::Stored { seq, time_ms } => (Reason::Ok, *seq, *time_ms, Tlvs::new()),
            Self::Refused(refusal) => (refusal.reason, 0, 0, refusal.tlvs()),
        }
    }

    /// Appends the SENDACK of the SEND with this number.
    pub(super) fn write_sendack(&self, out: &mut Vec<u8>, number: u64) {
        if let Self::Stored { seq, time_ms } = *self {
            out.extend_from_slice(&SendackPacket::stored(number, seq, time_ms));
            return;
        }
        let (reason, seq, time_ms, tlvs) = self.fields();
        Packet::Sendack(SendackPacket { number, reason, seq, time_ms, tlvs }).encode(out);
    }

    /// Appends the REPLY to the CALL with this request id.
    pub(super) fn write_reply(&self, out: &mut Vec<u8>, request: u32) {
        let (reason, seq, time_ms, tlvs) = self.fields();
        Packet::Reply(ReplyPacket { request, reason, seq, time_ms, fields: Bytes::new(), tlvs }).encode(out);
    }
}
