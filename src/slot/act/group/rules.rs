//! Who may do what in a group. A group that the caller is not in answers like one that does not exist, unless it lets
//! them join.

use std::sync::Arc;

use bytes::Bytes;
use postrider_protocol::{
    GROUP_REQUESTS, Id, Reason,
    packet::groups::{SETTINGS, join_mode},
};
use postrider_storage::{RequestRow, StateKey, StoreError, fold};

use super::{super::Verdict, GroupAct};
use crate::slot::{
    answer::Refusal,
    case::Case,
    decided::{Audience, Group},
    members::Member,
};

impl GroupAct {
    pub(in crate::slot::act) fn decide(&self, case: &Case<'_>) -> Result<Verdict, StoreError> {
        if let Self::Create { users, .. } | Self::Add(users) | Self::Invite(users) = self
            && case.is_blocked_by_any(users)?
        {
            return Ok(Refusal::new(Reason::NotAllowed, "one of them blocks the caller").into());
        }
        let group = case.parts.channel.group.as_ref();
        let own = case.group().and_then(|group| Some((group, *group.members.get(&case.origin.user)?)));
        match (self, group, own) {
            (Self::Create { users, tlvs }, ..) => {
                Ok(create(case, users, tlvs.get_u32(postrider_protocol::tag::MAX_MEMBERS)))
            }
            (Self::Join { user, text }, Some(group), None) => join(case, group, user, text),
            (Self::Join { .. }, _, Some(_)) => {
                Ok(Refusal::new(Reason::AlreadyExists, "the user is a member already").into())
            }
            (Self::End(users), Some(group), None) => end_own(case, group, users),
            (_, _, None) | (_, None, _) => Ok(Refusal::no_channel().into()),
            (_, _, Some((group, _))) if group.row.is_dismissed => Ok(Refusal::dismissed().into()),
            (_, _, Some((group, member))) => self.decide_within(case, group, member),
        }
    }

    /// For a member of a group that goes on.
    fn decide_within(&self, case: &Case<'_>, group: &Arc<Group>, own: Member) -> Result<Verdict, StoreError> {
        let leads = own.role >= fold::ADMIN;
        let refusal = match self {
            Self::Add(users) => refuse_add(case, group, own, users),
            Self::Remove(users) => refuse_remove(group, own, users),
            Self::Leave(_) => {
                refuse_if(own.role == fold::OWNER, "the owner cannot leave; transfer or dismiss the group")
            }
            Self::Dismiss => refuse_if(own.role < fold::OWNER, "only the owner dismisses a group"),
            Self::Change(tlvs) => {
                let sets = SETTINGS.iter().any(|tag| tlvs.get(*tag).is_some());
                refuse_if(!leads, "only the owner and admins change a group")
                    .or_else(|| refuse_if(sets && own.role < fold::OWNER, "only the owner changes settings"))
            }
            Self::Roles { users, .. } => refuse_if(own.role < fold::OWNER, "only the owner gives roles")
                .or_else(|| refuse_unless_below(group, users, fold::OWNER)),
            Self::Transfer(user) => refuse_if(own.role < fold::OWNER, "only the owner transfers a group")
                .or_else(|| refuse_unless_below(group, std::slice::from_ref(user), fold::OWNER)),
            Self::Mute { users, .. } => refuse_if(!leads, "only the owner and admins mute")
                .or_else(|| refuse_unless_below(group, users, own.role)),
            Self::Nickname(_) => None,
            Self::Invite(users) => return invite(case, group, own, users),
            Self::Accept(users) => return accept(case, group, own, users),
            Self::End(users) => return end(case, own, users),
            Self::Create { .. } | Self::Join { .. } => Some(Refusal::no_channel()),
        };
        Ok(refusal.map_or_else(|| self.told(group), Into::into))
    }

    /// Accepted, and told to the members; who joins sees what was before if the group says so.
    fn told(&self, group: &Arc<Group>) -> Verdict {
        let audience = Audience::Members(Arc::clone(group));
        let joins = matches!(self, Self::Add(_) | Self::Accept(_) | Self::Join { .. });
        Verdict::Accept { audience, read: if joins { history(group) } else { 0 } }
    }
}

const fn history(group: &Group) -> u64 {
    if group.row.shows_history { fold::HISTORY } else { 0 }
}

fn refuse_if(is_so: bool, detail: &'static str) -> Option<Refusal> {
    is_so.then(|| Refusal::new(Reason::NotAllowed, detail))
}

/// Each of `users` is a member whose role is below `role`.
fn refuse_unless_below(group: &Group, users: &[Id], role: u8) -> Option<Refusal> {
    users.iter().find_map(|user| match group.members.get(user) {
        None => refuse_if(true, "one of them is no member"),
        Some(member) => refuse_if(member.role >= role, "the role of one of them is not below"),
    })
}

/// Most members that a group set to `own` may have; 0 leaves it to the server.
fn most(case: &Case<'_>, own: u32) -> usize {
    let own = usize::try_from(own).unwrap_or(usize::MAX);
    if own == 0 { case.rules.max_members } else { own.min(case.rules.max_members) }
}

fn refuse_more(case: &Case<'_>, group: &Group, more: usize) -> Option<Refusal> {
    (group.members.len().saturating_add(more) > most(case, group.row.max_members)).then(too_many_members)
}

const fn too_many_members() -> Refusal {
    Refusal::new(Reason::TooManyMembers, "the group would have too many members")
}

fn create(case: &Case<'_>, users: &[Id], max: Option<u32>) -> Verdict {
    if case.parts.channel.head > 0 {
        return Refusal::new(Reason::AlreadyExists, "the group exists").into();
    }
    let others = users.iter().filter(|user| **user != case.origin.user).count();
    if others >= most(case, max.unwrap_or_default()) {
        return too_many_members().into();
    }
    Verdict::tell(Audience::Members(Arc::default()))
}

fn refuse_add(case: &Case<'_>, group: &Group, own: Member, users: &[Id]) -> Option<Refusal> {
    let may = own.role >= fold::ADMIN || group.row.join_mode == join_mode::OPEN;
    refuse_if(!may, "only the owner and admins add members")
        .or_else(|| refuse_members(group, users))
        .or_else(|| refuse_more(case, group, users.len()))
}

fn refuse_members(group: &Group, users: &[Id]) -> Option<Refusal> {
    let is_in = users.iter().any(|user| group.members.contains_key(user));
    is_in.then(|| Refusal::new(Reason::AlreadyExists, "one of them is a member"))
}

/// The owner removes anybody, admins plain members; nobody removes the owner, or themselves among others.
fn refuse_remove(group: &Group, own: Member, users: &[Id]) -> Option<Refusal> {
    refuse_if(own.role < fold::ADMIN, "only the owner and admins remove others")
        .or_else(|| refuse_unless_below(group, users, own.role))
}

fn request_of(case: &Case<'_>, user: &Id) -> Result<Option<RequestRow>, StoreError> {
    case.row(&StateKey::Request(user.clone()))
}

fn join(case: &Case<'_>, group: &Arc<Group>, user: &Id, text: &Bytes) -> Result<Verdict, StoreError> {
    let waits = request_of(case, user)?;
    let is_invited = waits.as_ref().is_some_and(|row| row.is_invitation);
    let mode = if is_invited { join_mode::OPEN } else { group.row.join_mode };
    Ok(match mode {
        join_mode::INVITED.. => Refusal::no_channel().into(),
        _ if group.row.is_dismissed => Refusal::dismissed().into(),
        join_mode::OPEN => {
            let act = GroupAct::Join { user: user.clone(), text: text.clone() };
            refuse_more(case, group, 1).map_or_else(|| act.told(group), Into::into)
        }
        _ if waits.is_none() && case.waiting()? >= GROUP_REQUESTS => too_many_waiting().into(),
        _ => Verdict::Otherwise { audience: Audience::Nobody },
    })
}

const fn too_many_waiting() -> Refusal {
    Refusal::new(Reason::TooMany, "as many wait in the group as may")
}

fn invite(case: &Case<'_>, group: &Group, own: Member, users: &[Id]) -> Result<Verdict, StoreError> {
    let may = own.role >= fold::ADMIN || group.row.join_mode == join_mode::OPEN;
    let refusal = refuse_if(!may, "only the owner and admins invite").or_else(|| refuse_members(group, users));
    if let Some(refusal) = refusal {
        return Ok(refusal.into());
    }
    let (mut new, mut done) = (0_usize, Some(0));
    for user in users {
        let row = request_of(case, user)?;
        new = new.saturating_add(usize::from(row.is_none()));
        let invited = row.filter(|row| row.is_invitation).map(|row| row.time_ms);
        done = done.zip(invited).map(|(one, other)| one.max(other));
    }
    Ok(match done {
        Some(time_ms) => Verdict::Done { seq: 0, time_ms },
        None if new > 0 && case.waiting()?.saturating_add(new) > GROUP_REQUESTS => too_many_waiting().into(),
        None => Verdict::quiet(),
    })
}

fn waits_no_more() -> Verdict {
    Refusal::new(Reason::VersionConflict, "one of them does not wait any more").into()
}

fn accept(case: &Case<'_>, group: &Arc<Group>, own: Member, users: &[Id]) -> Result<Verdict, StoreError> {
    if let Some(refusal) = refuse_if(own.role < fold::ADMIN, "only the owner and admins answer requests") {
        return Ok(refusal.into());
    }
    for user in users {
        match request_of(case, user)? {
            Some(row) if !row.is_invitation => {}
            _ => return Ok(waits_no_more()),
        }
    }
    let told = || GroupAct::Accept(Vec::new()).told(group);
    Ok(refuse_more(case, group, users.len()).map_or_else(told, Into::into))
}

/// Who leads ends any; others what they began themselves.
fn end(case: &Case<'_>, own: Member, users: &[Id]) -> Result<Verdict, StoreError> {
    for user in users {
        match request_of(case, user)? {
            None if own.role >= fold::ADMIN => return Ok(waits_no_more()),
            Some(row) if own.role >= fold::ADMIN || row.by == case.origin.user => {}
            _ => return Ok(Refusal::new(Reason::NotAllowed, "only the owner and admins answer requests").into()),
        }
    }
    Ok(Verdict::quiet())
}

/// Who is no member withdraws their request, or declines an invitation.
fn end_own(case: &Case<'_>, group: &Group, users: &[Id]) -> Result<Verdict, StoreError> {
    let is_own = users == std::slice::from_ref(&case.origin.user);
    Ok(if !is_own || request_of(case, &case.origin.user)?.is_none() {
        Refusal::no_channel().into()
    } else if group.row.is_dismissed {
        Refusal::dismissed().into()
    } else {
        Verdict::quiet()
    })
}
