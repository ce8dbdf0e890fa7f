//! Acts by which a system user broadcasts.

use postrider_protocol::{
    BROADCASTS, CommandId, DecodeError, Method, Reason, Tlvs,
    packet::{
        CallPacket,
        broadcast::{self, Announcement},
    },
    tag,
};
use postrider_storage::{
    StoreError,
    fold::{
        self,
        broadcast::{STEP_BYTES, Step},
    },
};

use super::{Asked, Verdict, tlvs_for_later};
use crate::slot::{answer::Refusal, case::Case, draft::check_message};

/// See the module.
#[derive(Clone, Debug)]
pub enum BroadcastAct {
    /// A message is sent to many, with these TLVs.
    Make(Announcement, Tlvs),
    /// Nobody else gets it.
    Cancel(CommandId),
}

impl BroadcastAct {
    pub(super) fn read(method: Method, call: &CallPacket) -> Result<Self, DecodeError> {
        if method == Method::BroadcastCancel {
            return broadcast::read_id(call.fields.clone()).map(Self::Cancel);
        }
        Ok(Self::Make(Announcement::decode(call.fields.clone())?, tlvs_for_later(call, STEP_BYTES)?))
    }

    pub(super) fn asked(&self) -> Asked {
        let kind = fold::BROADCAST_KIND;
        match self {
            Self::Make(Announcement { reach, flags, body }, tlvs) => {
                let step = Step::Make { flags: *flags, reach: reach.clone() };
                Asked { kind, tlvs: step.with(tlvs), body: body.to_vec() }
            }
            Self::Cancel(id) => Asked { kind, tlvs: Step::Cancel(*id).with(&Tlvs::new()), body: Vec::new() },
        }
    }

    pub(super) fn decide(&self, case: &Case<'_>) -> Result<Verdict, StoreError> {
        if !case.origin.is_system {
            return Ok(Refusal::only_system().into());
        }
        let broadcasts = case.broadcasts()?;
        let (announcement, tlvs) = match self {
            Self::Make(announcement, tlvs) => (announcement, tlvs),
            Self::Cancel(id) => {
                return Ok(match broadcasts.get(id) {
                    Some(row) if row.is_cancelled => Verdict::UNCHANGED,
                    Some(row) if row.ended_ms == 0 => Verdict::quiet(),
                    _ => Refusal::new(Reason::NoTarget, "no such broadcast is under way").into(),
                });
            }
        };
        if let Some(refusal) = check_message(announcement.flags, &case.parts.channel.channel, tlvs, &announcement.body)
        {
            return Ok(refusal.into());
        }
        if [tag::REPLY_TO, tag::THREAD].iter().any(|&tag| tlvs.get(tag).is_some()) {
            return Ok(Refusal::new(Reason::Malformed, "a broadcast answers nothing").into());
        }
        if broadcasts.values().filter(|row| row.ended_ms == 0).count() >= BROADCASTS {
            return Ok(Refusal::new(Reason::TooMany, "16 broadcasts are under way").into());
        }
        Ok(Verdict::quiet())
    }
}
