//! The model's groups.

use postrider_protocol::{ImageKind, Reason};

use super::model::{Channel, Group, Member, Model, Outcome, Place, User, Wait};

/// An operation on a group.
#[derive(Clone, Debug)]
pub enum GroupOp {
    Create {
        users: Vec<User>,
        join_mode: u32,
        shows_history: bool,
    },
    Add(Vec<User>),
    /// Of the caller alone it is leaving.
    Remove(Vec<User>),
    Dismiss,
    Name(String),
    JoinMode(u32),
    Role(u8, User),
    Transfer(User),
    Mute(Vec<User>, bool),
    Join,
    Invite(User),
    Answer(User, bool),
    Nickname(String),
}

impl GroupOp {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "group create",
            Self::Add(_) => "group add",
            Self::Remove(_) => "group remove",
            Self::Dismiss => "group dismiss",
            Self::Name(_) => "group name",
            Self::JoinMode(_) => "group join mode",
            Self::Role(..) => "group role",
            Self::Transfer(_) => "group transfer",
            Self::Mute(..) => "group mute",
            Self::Join => "group join",
            Self::Invite(_) => "group invite",
            Self::Answer(..) => "group answer",
            Self::Nickname(_) => "group nickname",
        }
    }
}

impl Channel {
    /// The users join at the seq that was just given.
    fn join(&mut self, users: &[User]) {
        let head = self.head();
        let group = self.group.as_mut().unwrap();
        for user in users {
            let known = group.left.remove(user).unwrap_or_default();
            group.members.entry(*user).or_insert(Member { role: 0, ..known });
            group.stays.entry(*user).or_default().push((head - 1, None));
            group.waits.remove(user);
            let view = self.views.entry(*user).or_default();
            if group.shows_history {
                view.spans.clear();
            }
            view.spans.push((if group.shows_history { 0 } else { head - 1 }, None));
        }
    }

    fn leave(&mut self, users: &[User]) {
        let head = self.head();
        let group = self.group.as_mut().unwrap();
        for user in users {
            let member = group.members.remove(user).unwrap();
            group.left.insert(*user, member);
            group.stays.get_mut(user).unwrap().last_mut().unwrap().1 = Some(head);
            let view = self.views.get_mut(user).unwrap();
            view.spans.last_mut().unwrap().1 = Some(head);
            view.hidden_at = None;
        }
    }
}

fn allow(is_so: bool) -> Result<(), Reason> {
    if is_so { Ok(()) } else { Err(Reason::NotAllowed) }
}

fn not_below(group: &Group, users: &[User], role: u8) -> bool {
    users.iter().any(|user| group.members.get(user).is_none_or(|member| member.role >= role))
}

impl Model {
    pub fn group(&mut self, user: User, number: usize, op: &GroupOp) -> Outcome {
        let invited: &[User] = match op {
            GroupOp::Create { users, .. } | GroupOp::Add(users) => users,
            GroupOp::Invite(other) => std::slice::from_ref(other),
            _ => &[],
        };
        if invited.iter().any(|other| *other != user && self.blocks(*other, user)) {
            return Err(Reason::NotAllowed);
        }
        let channel = self.channel(Place::Group(number));
        let Some(group) = &mut channel.group else { return create(channel, user, op) };
        let Some(own) = group.members.get(&user).map(|member| member.role) else {
            return outside(channel, user, op);
        };
        match op {
            GroupOp::Create { .. } | GroupOp::Join => return Err(Reason::AlreadyExists),
            _ if group.is_dismissed => return Err(Reason::Dismissed),
            _ => {}
        }
        match op {
            GroupOp::Create { .. } | GroupOp::Join => Err(Reason::AlreadyExists),
            GroupOp::Add(users) => {
                allow(own > 0 || group.join_mode == 0)?;
                if users.iter().any(|user| group.members.contains_key(user)) {
                    return Err(Reason::AlreadyExists);
                }
                let seq = channel.push(ImageKind::MembersJoined, user, Vec::new());
                channel.join(users);
                Ok(seq)
            }
            GroupOp::Remove(users) if *users == [user] => {
                allow(own < 2)?;
                let seq = channel.push(ImageKind::MembersLeft, user, Vec::new());
                channel.leave(users);
                Ok(seq)
            }
            GroupOp::Remove(users) => {
                allow(own > 0 && !not_below(group, users, own))?;
                let seq = channel.push(ImageKind::MembersRemoved, user, Vec::new());
                channel.leave(users);
                Ok(seq)
            }
            GroupOp::Invite(_) | GroupOp::Answer(..) => waiting(channel, user, own, op),
            _ => change(channel, user, own, op),
        }
    }
}

/// What a member with the role `own` makes of the group or of other members.
fn change(channel: &mut Channel, user: User, own: u8, op: &GroupOp) -> Outcome {
    let group = channel.group.as_mut().unwrap();
    let kind = match op {
        GroupOp::Dismiss => {
            allow(own == 2)?;
            group.is_dismissed = true;
            ImageKind::GroupDismissed
        }
        GroupOp::Name(name) => {
            allow(own > 0)?;
            group.name = name.clone().into_bytes();
            ImageKind::GroupChanged
        }
        GroupOp::JoinMode(mode) => {
            allow(own == 2)?;
            group.join_mode = *mode;
            ImageKind::GroupChanged
        }
        GroupOp::Role(role, other) => {
            allow(own == 2 && !not_below(group, &[*other], 2))?;
            group.members.get_mut(other).unwrap().role = *role;
            ImageKind::RolesChanged
        }
        GroupOp::Transfer(other) => {
            allow(own == 2 && !not_below(group, &[*other], 2))?;
            group.members.get_mut(other).unwrap().role = 2;
            group.members.get_mut(&user).unwrap().role = 1;
            ImageKind::OwnerChanged
        }
        GroupOp::Mute(users, is_on) => {
            allow(own > 0 && !not_below(group, users, own))?;
            if users.is_empty() {
                group.is_muted = *is_on;
            }
            for user in users {
                group.members.get_mut(user).unwrap().is_muted = *is_on;
            }
            ImageKind::MembersMuted
        }
        GroupOp::Nickname(name) => {
            group.members.get_mut(&user).unwrap().nickname = name.clone().into_bytes();
            ImageKind::NicknameChanged
        }
        _ => return Err(Reason::NoChannel),
    };
    Ok(channel.push(kind, user, Vec::new()))
}

/// Who waits, and what becomes of them.
fn waiting(channel: &mut Channel, user: User, own: u8, op: &GroupOp) -> Outcome {
    let group = channel.group.as_mut().unwrap();
    match op {
        GroupOp::Invite(other) => {
            allow(own > 0 || group.join_mode == 0)?;
            if group.members.contains_key(other) {
                return Err(Reason::AlreadyExists);
            }
            let known = group.waits.get(other).is_some_and(|wait| wait.is_invited);
            if !known {
                group.waits.insert(*other, Wait { is_invited: true, by: user });
                channel.views.entry(*other).or_default().hidden_at = None;
            }
            Ok(0)
        }
        GroupOp::Answer(other, true) => {
            allow(own > 0)?;
            if group.waits.get(other).is_none_or(|wait| wait.is_invited) {
                return Err(Reason::VersionConflict);
            }
            let seq = channel.push(ImageKind::MembersJoined, user, Vec::new());
            channel.join(&[*other]);
            Ok(seq)
        }
        GroupOp::Answer(other, false) => match group.waits.get(other) {
            None if own > 0 => Err(Reason::VersionConflict),
            Some(wait) if own > 0 || wait.by == user => {
                group.waits.remove(other);
                channel.views.entry(*other).or_default().hidden_at = None;
                Ok(0)
            }
            _ => Err(Reason::NotAllowed),
        },
        _ => Err(Reason::NoChannel),
    }
}

fn create(channel: &mut Channel, user: User, op: &GroupOp) -> Outcome {
    let GroupOp::Create { users, join_mode, shows_history } = op else { return Err(Reason::NoChannel) };
    let group = Group { join_mode: *join_mode, shows_history: *shows_history, ..Group::default() };
    channel.group = Some(group);
    let seq = channel.push(ImageKind::GroupCreated, user, Vec::new());
    let mut all: Vec<User> = users.iter().copied().filter(|other| *other != user).collect();
    all.push(user);
    channel.join(&all);
    channel.group.as_mut().unwrap().members.insert(user, Member { role: 2, ..Member::default() });
    Ok(seq)
}

/// For who is no member.
fn outside(channel: &mut Channel, user: User, op: &GroupOp) -> Outcome {
    let group = channel.group.as_mut().unwrap();
    let wait = group.waits.get(&user).cloned();
    match op {
        GroupOp::Create { .. } => Err(Reason::AlreadyExists),
        GroupOp::Join => {
            let is_invited = wait.as_ref().is_some_and(|wait| wait.is_invited);
            let mode = if is_invited { 0 } else { group.join_mode };
            match mode {
                2 => Err(Reason::NoChannel),
                _ if group.is_dismissed => Err(Reason::Dismissed),
                0 => {
                    let seq = channel.push(ImageKind::MembersJoined, user, Vec::new());
                    channel.join(&[user]);
                    Ok(seq)
                }
                _ => {
                    group.waits.insert(user, Wait { is_invited: false, by: user });
                    channel.views.entry(user).or_default().hidden_at = None;
                    Ok(0)
                }
            }
        }
        GroupOp::Answer(other, false) if *other == user && wait.is_some() => {
            if group.is_dismissed {
                return Err(Reason::Dismissed);
            }
            group.waits.remove(&user);
            channel.views.entry(user).or_default().hidden_at = None;
            Ok(0)
        }
        _ => Err(Reason::NoChannel),
    }
}
