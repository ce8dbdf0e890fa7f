//! Acts about groups.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use postrider_protocol::{Channel, DecodeError, Id, ImageKind, Method, Reason, Tlvs, packet::groups};
use postrider_storage::{StoreError, fold};

use super::{Asked, Verdict};
use crate::slot::{
    answer::Refusal,
    case::Case,
    decided::{Audience, Group},
};

/// See the module.
#[derive(Clone, Debug)]
pub enum GroupAct {
    /// The group begins, with these beside its owner.
    Create(Vec<Id>),
    /// These join.
    Add(Vec<Id>),
    /// These are removed.
    Remove(Vec<Id>),
    /// The caller leaves.
    Leave(Id),
}

impl GroupAct {
    pub(super) fn read(method: Method, fields: Bytes, user: &Id) -> Result<(Channel, Self), DecodeError> {
        let (group, users) = groups::read_change(fields)?;
        let users: Vec<Id> = users.iter().collect::<BTreeSet<_>>().into_iter().map(Id::detached).collect();
        let act = match method {
            Method::GroupCreate => Self::Create(users),
            Method::GroupAdd => Self::Add(users),
            _ if users.iter().all(|one| one == user) && !users.is_empty() => Self::Leave(user.detached()),
            _ => Self::Remove(users),
        };
        Ok((Channel::group(&group), act))
    }

    pub(super) fn asked(&self) -> Asked {
        let users = |kind: ImageKind, users: &[Id]| {
            let mut body = Vec::new();
            groups::write_users(&mut body, users);
            Asked { kind: kind.number(), tlvs: Tlvs::new(), body }
        };
        match self {
            Self::Create(list) => users(ImageKind::GroupCreated, list),
            Self::Add(list) => users(ImageKind::MembersJoined, list),
            Self::Remove(list) => users(ImageKind::MembersRemoved, list),
            Self::Leave(user) => users(ImageKind::MembersLeft, std::slice::from_ref(user)),
        }
    }

    pub(super) fn decide(&self, case: &Case<'_>) -> Result<Verdict, StoreError> {
        if let Self::Create(users) | Self::Add(users) = self
            && case.is_blocked_by_any(users)?
        {
            return Ok(Refusal::new(Reason::NotAllowed, "one of them blocks the caller").into());
        }
        if let Self::Create(users) = self {
            return Ok(create(case, users));
        }
        let Some(group) = case.group() else {
            return Ok(Refusal::new(Reason::NoChannel, "no such channel for this user").into());
        };
        let refusal = match self {
            Self::Add(users) => refuse_add(group, users, case.rules.max_members),
            Self::Remove(users) => refuse_remove(group, &case.origin.user, users),
            _ => is_owner(group, &case.origin.user).then(|| Refusal::new(Reason::NotAllowed, "the owner cannot leave")),
        };
        let tell = || Verdict::tell(Audience::Members(Arc::clone(group)));
        Ok(refusal.map_or_else(tell, Into::into))
    }
}

fn create(case: &Case<'_>, users: &[Id]) -> Verdict {
    if case.parts.channel.head > 0 {
        return Refusal::new(Reason::AlreadyExists, "the group exists").into();
    }
    let others = users.iter().filter(|user| **user != case.origin.user).count();
    if others + 1 > case.rules.max_members {
        return too_many().into();
    }
    Verdict::tell(Audience::Members(Arc::default()))
}

const fn too_many() -> Refusal {
    Refusal::new(Reason::TooManyMembers, "the group would have too many members")
}

fn is_owner(group: &Group, user: &Id) -> bool {
    group.members.get(user).is_some_and(|row| row.role == fold::OWNER)
}

fn refuse_add(group: &Group, users: &[Id], max: usize) -> Option<Refusal> {
    if users.is_empty() {
        Some(Refusal::new(Reason::Malformed, "nobody to add"))
    } else if users.iter().any(|user| group.members.contains_key(user)) {
        Some(Refusal::new(Reason::AlreadyExists, "one of them is a member"))
    } else {
        (group.members.len() + users.len() > max).then(too_many)
    }
}

fn refuse_remove(group: &Group, by: &Id, users: &[Id]) -> Option<Refusal> {
    if users.is_empty() || !users.iter().all(|user| group.members.contains_key(user)) {
        Some(Refusal::new(Reason::NotAllowed, "one of them is no member"))
    } else if users.iter().any(|user| is_owner(group, user)) {
        Some(Refusal::new(Reason::NotAllowed, "the owner cannot leave"))
    } else if !is_owner(group, by) {
        Some(Refusal::new(Reason::NotAllowed, "only the owner removes others"))
    } else {
        None
    }
}
