//! Acts about groups: what they ask for. Who may is in `rules`.

mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use bytes::Bytes;
use postrider_protocol::{Channel, DecodeError, Id, ImageKind, Method, Tlvs, Writer as _, packet::groups};
use postrider_storage::fold::{self, request};

use super::Asked;

/// See the module. Users are ascending, each once.
#[derive(Clone, Debug)]
pub enum GroupAct {
    /// The group begins, with these beside its owner.
    Create {
        /// The users.
        users: Vec<Id>,
        /// What it tells of itself and how it is set.
        tlvs: Tlvs,
    },
    /// These join.
    Add(Vec<Id>),
    /// These are removed.
    Remove(Vec<Id>),
    /// The caller leaves.
    Leave(Id),
    /// The group ends.
    Dismiss,
    /// It tells something else of itself, or is set otherwise.
    Change(Tlvs),
    /// These get a role.
    Roles {
        /// 0 or 1.
        role: u8,
        /// The users.
        users: Vec<Id>,
    },
    /// This one becomes the owner.
    Transfer(Id),
    /// These may not speak; nobody stands for everybody.
    Mute {
        /// Until then.
        until_ms: u64,
        /// The users.
        users: Vec<Id>,
    },
    /// The caller joins, or else asks to.
    Join {
        /// The caller.
        user: Id,
        /// What they say when they have to ask.
        text: Bytes,
    },
    /// These may join.
    Invite(Vec<Id>),
    /// These asked, and join.
    Accept(Vec<Id>),
    /// These asked or were invited, and wait no more.
    End(Vec<Id>),
    /// The caller is called this in the group.
    Nickname(Bytes),
}

impl GroupAct {
    pub(super) fn read(method: Method, fields: Bytes, user: &Id) -> Result<(Channel, Self), DecodeError> {
        let (group, act) = match method {
            Method::GroupCreate => {
                let (group, users, tlvs) = groups::read_create(fields)?;
                (group, Self::Create { users: sorted(&users), tlvs })
            }
            Method::GroupAdd => some(groups::read_change(fields)?, Self::Add)?,
            Method::GroupRemove => some(groups::read_change(fields)?, |users| Self::removal(users, user))?,
            Method::GroupInvite => some(groups::read_change(fields)?, Self::Invite)?,
            Method::GroupDismiss => (groups::read_group(fields)?, Self::Dismiss),
            Method::GroupChange => {
                let (group, tlvs) = groups::read_settings(fields)?;
                (group, Self::Change(tlvs))
            }
            Method::GroupRoles => {
                let (group, role, users) = groups::read_roles(fields)?;
                some((group, users), |users| Self::Roles { role, users })?
            }
            Method::GroupTransfer => {
                let (group, user) = groups::read_transfer(fields)?;
                (group, Self::Transfer(user.detached()))
            }
            Method::GroupMute => {
                let (group, until_ms, users) = groups::read_mute(fields)?;
                (group, Self::Mute { until_ms, users: sorted(&users) })
            }
            Method::GroupJoin => {
                let (group, text) = groups::read_join(fields)?;
                (group, Self::Join { user: user.detached(), text })
            }
            Method::GroupAnswer => {
                let (group, accept, users) = groups::read_answer(fields)?;
                some((group, users), if accept { Self::Accept } else { Self::End })?
            }
            Method::GroupNickname => {
                let (group, nickname) = groups::read_nickname(fields)?;
                (group, Self::Nickname(nickname))
            }
            _ => return Err(super::not_known()),
        };
        Ok((Channel::group(&group), act))
    }

    fn removal(users: Vec<Id>, caller: &Id) -> Self {
        if users == [caller.clone()] { Self::Leave(caller.detached()) } else { Self::Remove(users) }
    }

    pub(super) fn asked(&self) -> Asked {
        let image = |kind: ImageKind, body| Asked { kind: kind.number(), tlvs: Tlvs::new(), body };
        match self {
            Self::Create { users, tlvs } => {
                Asked { tlvs: tlvs.clone(), ..image(ImageKind::GroupCreated, listed(users)) }
            }
            Self::Add(users) | Self::Accept(users) => image(ImageKind::MembersJoined, listed(users)),
            Self::Join { user, .. } => image(ImageKind::MembersJoined, listed(std::slice::from_ref(user))),
            Self::Remove(users) => image(ImageKind::MembersRemoved, listed(users)),
            Self::Leave(user) => image(ImageKind::MembersLeft, listed(std::slice::from_ref(user))),
            Self::Dismiss => image(ImageKind::GroupDismissed, Vec::new()),
            Self::Change(tlvs) => Asked { tlvs: tlvs.clone(), ..image(ImageKind::GroupChanged, Vec::new()) },
            Self::Roles { role, users } => {
                image(ImageKind::RolesChanged, written(|body| groups::write_roles_changed(body, *role, users)))
            }
            Self::Transfer(user) => image(ImageKind::OwnerChanged, written(|body| body.bytes8(user.as_bytes()))),
            Self::Mute { until_ms, users } => {
                image(ImageKind::MembersMuted, written(|body| groups::write_members_muted(body, *until_ms, users)))
            }
            Self::Invite(users) => requested(request::INVITE, b"", users),
            Self::End(users) => requested(request::END, b"", users),
            Self::Nickname(nickname) => image(ImageKind::NicknameChanged, nickname.to_vec()),
        }
    }

    /// What it comes to when it cannot be what was asked for first: a request to join.
    pub(super) fn asked_otherwise(&self) -> Option<Asked> {
        let Self::Join { user, text } = self else { return None };
        Some(requested(request::ASK, text, std::slice::from_ref(user)))
    }
}

fn requested(op: u8, text: &[u8], users: &[Id]) -> Asked {
    Asked { kind: fold::REQUEST_KIND, tlvs: Tlvs::new(), body: request::body(op, text, users) }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = Vec::new();
    write(&mut body);
    body
}

fn listed(users: &[Id]) -> Vec<u8> {
    written(|body| groups::write_users(body, users))
}

fn sorted(users: &[Id]) -> Vec<Id> {
    users.iter().collect::<BTreeSet<_>>().into_iter().map(Id::detached).collect()
}

/// What is made of a list of users that has somebody in it.
fn some((group, users): (Id, Vec<Id>), make: impl FnOnce(Vec<Id>) -> GroupAct) -> Result<(Id, GroupAct), DecodeError> {
    if users.is_empty() {
        return Err(DecodeError::malformed("no users", 0));
    }
    Ok((group, make(sorted(&users))))
}
