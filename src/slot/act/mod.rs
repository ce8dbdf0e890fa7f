//! What a changing CALL asks for: read from its fields, made an entry, decided before the owner of its slot. Each
//! group of methods has its file; all of them pass through the same look-up, limits and fold.

mod broadcast;
mod group;
mod mark;
mod person;
mod schedule;
mod target;
#[cfg(test)]
mod target_tests;

use postrider_protocol::{
    Channel, DecodeError, Id, Method, Reason, TLV_BYTES, TLV_COUNT, Tlvs, packet::CallPacket, tag,
};
use postrider_storage::StoreError;

use broadcast::BroadcastAct;
use group::GroupAct;
use mark::MarkAct;
use person::PersonAct;
use schedule::ScheduleAct;
use target::TargetAct;

use super::{
    answer::{Outcome, Refusal},
    case::Case,
    command::Origin,
    decide::Decider,
    decided::Audience,
    draft::Draft,
};

/// See the module.
#[derive(Clone, Debug)]
pub enum Act {
    /// About a group.
    Group(GroupAct),
    /// About a user's view of a channel.
    Mark(MarkAct),
    /// About a message.
    Target(TargetAct),
    /// About users.
    Person(PersonAct),
    /// About what is sent at a given time.
    Schedule(ScheduleAct),
    /// About what a system user sends to everybody.
    Broadcast(BroadcastAct),
}

/// The entry that an act comes to when it is accepted: the same for the same fields, so that a repetition is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub kind: u8,
    pub tlvs: Tlvs,
    pub body: Vec<u8>,
}

impl Asked {
    fn draft<'a>(&'a self, numbers: (u64, u64), channel: &'a Channel) -> Draft<'a> {
        Draft::new(self.kind, numbers, 0, channel, &self.tlvs, &self.body)
    }
}

/// What is decided.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It becomes an entry; `read` is what the server adds, see [`postrider_storage::fold`].
    Accept { audience: Audience, read: u64 },
    /// It becomes the entry that [`Act::asked_otherwise`] says.
    Otherwise { audience: Audience },
    /// It is so already, by an entry with this seq and time.
    Done { seq: u64, time_ms: u64 },
    /// It is refused.
    Refuse(Refusal),
}

impl Verdict {
    /// An entry that the members of the group, or both users, are told of.
    pub(super) const fn tell(audience: Audience) -> Self {
        Self::Accept { audience, read: 0 }
    }

    /// It is so already, by no entry in particular.
    pub(super) const UNCHANGED: Self = Self::Done { seq: 0, time_ms: 0 };

    /// An entry that nobody is sent.
    pub(super) const fn quiet() -> Self {
        Self::quiet_with(0)
    }

    /// As [`Verdict::quiet`], with what the server adds.
    pub(super) const fn quiet_with(read: u64) -> Self {
        Self::Accept { audience: Audience::Nobody, read }
    }
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

impl Act {
    /// What a CALL of `method`, which changes something, by `user` on `device` asks for, and the channel that decides it.
    ///
    /// # Errors
    /// `MALFORMED` when the fields do not follow the method's layout.
    pub fn read(
        method: Method,
        call: &CallPacket,
        user: &Id,
        device: Option<&Id>,
    ) -> Result<(Channel, Self), DecodeError> {
        match method {
            Method::Read | Method::ConversationSet => {
                MarkAct::read(method, call.fields.clone()).map(|(channel, act)| (channel, Self::Mark(act)))
            }
            Method::Revoke | Method::Edit | Method::React | Method::Pin | Method::Hide => {
                TargetAct::read(method, call).map(|(channel, act)| (channel, Self::Target(act)))
            }
            Method::Schedule | Method::ScheduleEdit | Method::ScheduleCancel => {
                ScheduleAct::read(method, call).map(|(channel, act)| (channel, Self::Schedule(act)))
            }
            Method::Broadcast | Method::BroadcastCancel => {
                BroadcastAct::read(method, call).map(|act| (Channel::user(user), Self::Broadcast(act)))
            }
            Method::ProfileSet
            | Method::TagsSet
            | Method::DeviceRemove
            | Method::Block
            | Method::ContactAsk
            | Method::ContactAnswer
            | Method::ContactRemove
            | Method::ContactNote => {
                PersonAct::read(method, call, user, device).map(|(channel, act)| (channel, Self::Person(act)))
            }
            _ => GroupAct::read(method, call.fields.clone(), user).map(|(group, act)| (group, Self::Group(act))),
        }
    }

    /// TLVs and body of the message that it writes, if it writes one.
    #[must_use]
    pub fn content(&self) -> Option<(&Tlvs, &[u8])> {
        match self {
            Self::Target(TargetAct::Edit(edit, tlvs)) => Some((tlvs, &edit.body)),
            Self::Schedule(ScheduleAct::Make(plan, tlvs) | ScheduleAct::Replace(_, plan, tlvs)) => {
                Some((tlvs, &plan.body))
            }
            Self::Broadcast(BroadcastAct::Make(announcement, tlvs)) => Some((tlvs, &announcement.body)),
            _ => None,
        }
    }

    /// The entry that it comes to when that of [`Act::asked`] is refused to its caller and something less is not.
    fn asked_otherwise(&self) -> Option<Asked> {
        match self {
            Self::Group(act) => act.asked_otherwise(),
            Self::Mark(_) | Self::Target(_) | Self::Person(_) | Self::Schedule(_) | Self::Broadcast(_) => None,
        }
    }

    fn asked(&self) -> Asked {
        match self {
            Self::Group(act) => act.asked(),
            Self::Mark(act) => act.asked(),
            Self::Target(act) => act.asked(),
            Self::Person(act) => act.asked(),
            Self::Schedule(act) => act.asked(),
            Self::Broadcast(act) => act.asked(),
        }
    }

    fn decide(&self, case: &mut Case<'_>) -> Result<Verdict, StoreError> {
        match self {
            Self::Group(act) => act.decide(case),
            Self::Mark(act) => act.decide(case),
            Self::Target(act) => act.decide(case),
            Self::Person(act) => act.decide(case),
            Self::Schedule(act) => act.decide(case),
            Self::Broadcast(act) => act.decide(case),
        }
    }
}

impl Decider {
    /// A changing CALL: the same look-up and limits as a SEND, then the act's own rules.
    pub(super) fn act(
        &mut self,
        origin: &Origin,
        numbers: (u64, u64),
        (channel, act): (&Channel, &Act),
        (late, unfit): (bool, Option<&str>),
    ) -> Result<Outcome, StoreError> {
        let (asked, otherwise) = (act.asked(), act.asked_otherwise());
        let mut draft = asked.draft(numbers, channel);
        let otherwise = otherwise.as_ref().map(|asked| asked.draft(numbers, channel));
        let Some(mut case) = self.case(origin, channel, true, late)? else { return Ok(Outcome::elsewhere()) };
        let known = otherwise.as_ref().and_then(|draft| case.known(draft));
        if let Some(outcome) = known.or_else(|| case.admit(&draft)) {
            return Ok(outcome);
        }
        if let Some(why) = unfit {
            return Ok(Outcome::Refused(Refusal::unfit(why)));
        }
        match act.decide(&mut case)? {
            Verdict::Refuse(refusal) => Ok(Outcome::Refused(refusal)),
            Verdict::Done { seq, time_ms } => Ok(Outcome::Stored { seq, time_ms }),
            Verdict::Accept { audience, read } => {
                draft.read = read;
                case.accept(&draft, audience)
            }
            Verdict::Otherwise { audience } => {
                // Only what can come to something else is decided so.
                case.accept(otherwise.as_ref().unwrap_or(&draft), audience)
            }
        }
    }
}

/// The TLVs of a message that a CALL writes for later, beside one of the server with so many bytes. It is read when it is
/// sent, not when it was written.
fn tlvs_for_later(call: &CallPacket, own: usize) -> Result<Tlvs, DecodeError> {
    let tlvs = Tlvs::from_pairs(call.tlvs.iter().filter(|&(tag, _)| tag != tag::READ));
    if tlvs.iter().count() + 1 > TLV_COUNT || tlvs.as_bytes().len() + own > TLV_BYTES {
        return Err(DecodeError::malformed("TLVs of a message for later", 0));
    }
    Ok(tlvs)
}

/// For a method that no act is known for.
const fn not_known() -> DecodeError {
    DecodeError { reason: Reason::UnknownMethod, what: "method", at: 0 }
}
