//! Acts about messages that the server is to send at a given time.

use postrider_protocol::{
    Channel, CommandId, DecodeError, Method, Reason, SCHEDULED, Tlvs,
    packet::{
        CallPacket,
        schedule::{self, Plan},
    },
};
use postrider_storage::{
    StoreError,
    fold::{
        self,
        schedule::{ORDER_BYTES, Order, Ordered},
    },
};

use super::{Asked, Verdict, tlvs_for_later};
use crate::slot::{answer::Refusal, case::Case, draft::check_message};

/// Nothing is scheduled for later than so long from now: 366 days.
const AHEAD_MS: u64 = 366 * 86_400_000;

/// See the module.
#[derive(Clone, Debug)]
pub enum ScheduleAct {
    /// A message is scheduled, with these TLVs.
    Make(Plan, Tlvs),
    /// Another one takes the place of what was scheduled.
    Replace(CommandId, Plan, Tlvs),
    /// It is scheduled no more.
    Cancel(CommandId),
}

impl ScheduleAct {
    pub(super) fn read(method: Method, call: &CallPacket) -> Result<(Channel, Self), DecodeError> {
        let fields = call.fields.clone();
        if method == Method::ScheduleCancel {
            let (channel, id) = schedule::read_named(fields)?;
            return Ok((channel, Self::Cancel(id)));
        }
        let tlvs = tlvs_for_later(call, ORDER_BYTES)?;
        if method == Method::ScheduleEdit {
            let (channel, id, plan) = schedule::read_edit(fields)?;
            return Ok((channel, Self::Replace(id, plan, tlvs)));
        }
        let (channel, plan) = schedule::read_schedule(fields)?;
        Ok((channel, Self::Make(plan, tlvs)))
    }

    pub(super) fn asked(&self) -> Asked {
        let (kind, content) = (fold::SCHEDULE_KIND, |order, id, plan: &Plan, tlvs: &Tlvs| {
            let (due_ms, flags) = (plan.due_ms, plan.flags);
            (Ordered { due_ms, flags, ..Ordered::about(order, id) }.with(tlvs), plan.body.to_vec())
        });
        let (tlvs, body) = match self {
            Self::Make(plan, tlvs) => content(Order::Make, CommandId::FIRST, plan, tlvs),
            Self::Replace(id, plan, tlvs) => content(Order::Replace, *id, plan, tlvs),
            Self::Cancel(id) => (Ordered::about(Order::End, *id).with(&Tlvs::new()), Vec::new()),
        };
        Asked { kind, tlvs, body }
    }

    pub(super) fn decide(&self, case: &mut Case<'_>) -> Result<Verdict, StoreError> {
        if let Self::Replace(id, ..) | Self::Cancel(id) = self
            && case.scheduled(*id)?.is_none()
        {
            return Ok(Refusal::new(Reason::NoTarget, "no such message is scheduled").into());
        }
        if let Self::Make(plan, tlvs) | Self::Replace(_, plan, tlvs) = self
            && let Some(refusal) = refuse(case, plan, tlvs)?
        {
            return Ok(refusal.into());
        }
        if matches!(self, Self::Make(..)) && case.count_scheduled()? >= SCHEDULED {
            return Ok(Refusal::new(Reason::TooMany, "100 messages are scheduled").into());
        }
        Ok(Verdict::quiet())
    }
}

/// Why the message would be refused if it were sent now, or its time is none.
fn refuse(case: &mut Case<'_>, plan: &Plan, tlvs: &Tlvs) -> Result<Option<Refusal>, StoreError> {
    if case.origin.is_system {
        // By then nobody vouches for it.
        return Ok(Some(Refusal::new(Reason::NotAllowed, "a system user schedules nothing")));
    }
    if let Some(refusal) = check_message(plan.flags, &case.parts.channel.channel, tlvs, &plan.body) {
        return Ok(Some(refusal));
    }
    if plan.due_ms > case.now.wall_ms.saturating_add(AHEAD_MS) {
        return Ok(Some(Refusal::new(Reason::Malformed, "more than 366 days from now")));
    }
    Ok(case.may_say(plan.flags, tlvs)?.err())
}
