//! Commands other than SEND: groups, read marks, cursors.

use std::collections::BTreeSet;
use std::sync::{Arc, atomic::Ordering};

use postrider_protocol::{Channel, Id, ImageKind, Reason, Tlvs, packet::groups};
use postrider_storage::{MemberRow, StoreError, fold};

use super::{
    answer::{Outcome, Refusal},
    command::{GroupChange, Origin},
    decide::Decider,
    decided::{Audience, Members},
    draft::Draft,
};

/// What a change of a group comes to.
struct Resolved {
    before: Arc<Members>,
    after: Members,
    /// Whose membership changes.
    users: Vec<Id>,
}

impl Decider {
    /// A change of a group: the same look-up and limits as a SEND, then the group's own rules.
    pub(super) fn group(
        &mut self,
        origin: &Origin,
        (number, oldest): (u64, u64),
        change: GroupChange,
        channel: &Channel,
        users: &[Id],
        late: bool,
    ) -> Result<Outcome, StoreError> {
        let users: Vec<Id> = users.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
        let kind = match change {
            GroupChange::Create => ImageKind::GroupCreated,
            GroupChange::Add => ImageKind::MembersJoined,
            GroupChange::Remove if users.iter().all(|user| *user == origin.user) => ImageKind::MembersLeft,
            GroupChange::Remove => ImageKind::MembersRemoved,
        };
        let (tlvs, mut body) = (Tlvs::new(), Vec::new());
        groups::write_users(&mut body, &users);
        let draft = Draft::new(kind.number(), (number, oldest), 0, channel, &tlvs, &body);
        let max = self.rules.max_members;
        let Some(case) = self.case(origin, channel, true, late)? else { return Ok(Outcome::elsewhere()) };
        if let Some(outcome) = case.admit(&draft) {
            return Ok(outcome);
        }
        let (head, before) = (case.parts.channel.head, case.parts.channel.members.clone().unwrap_or_default());
        let resolved = match resolve(&origin.user, change, &users, (head, before), max) {
            Ok(resolved) => resolved,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        let mut rows = Vec::with_capacity(resolved.users.len());
        for user in resolved.users {
            let row = case.conversation(&user)?;
            rows.push((user, row));
        }
        let after = Arc::new(resolved.after);
        let audience = Audience::Change(resolved.before, Arc::clone(&after));
        Ok(case.accept(&draft, audience, rows, Some(after)))
    }

    /// The user's read mark of a channel.
    pub(super) fn read_mark(
        &mut self,
        origin: &Origin,
        numbers: (u64, u64),
        channel: &Channel,
        seq: u64,
        late: bool,
    ) -> Result<Outcome, StoreError> {
        let (tlvs, body) = (Tlvs::new(), seq.to_be_bytes());
        let draft = Draft::new(fold::READ_KIND, numbers, 0, channel, &tlvs, &body);
        let Some(case) = self.case(origin, channel, true, late)? else { return Ok(Outcome::elsewhere()) };
        if let Some(outcome) = case.admit(&draft) {
            return Ok(outcome);
        }
        Ok(match case.visible()? {
            None => Outcome::Refused(Refusal::new(Reason::NoChannel, "no such channel for this user")),
            Some((_, last)) if seq > last => {
                Outcome::Refused(Refusal::new(Reason::EpochMismatch, "the read mark lies above the head"))
            }
            Some((row, _)) => case.accept(&draft, Audience::Nobody, vec![(origin.user.clone(), Some(row))], None),
        })
    }

    /// The device's cursor: nobody waits for it. One that the user may not have closes the connection.
    pub(super) fn cursor(&mut self, origin: &Origin, channel: &Channel, seq: u64) -> Result<(), StoreError> {
        let Some(device) = &origin.device else { return Ok(()) };
        if self.rules.full.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Some(case) = self.case(origin, channel, false, false)? else { return Ok(()) };
        let row = match case.visible()? {
            Some((row, last)) if seq <= last => row,
            _ => {
                origin.outbox.close(Reason::ProtocolViolation);
                return Ok(());
            }
        };
        if row.cursors.iter().any(|cursor| cursor.device == *device && cursor.seq >= seq) {
            return Ok(());
        }
        let tlvs = Tlvs::from_pairs([(fold::DEVICE_TAG, device.as_bytes())]);
        let body = seq.to_be_bytes();
        let draft = Draft::new(fold::CURSOR_KIND, (0, 0), 0, channel, &tlvs, &body);
        case.accept(&draft, Audience::Nobody, vec![(origin.user.clone(), Some(row))], None);
        Ok(())
    }
}

/// What `change` by `user` comes to in a group with this head and these members.
fn resolve(
    user: &Id,
    change: GroupChange,
    users: &[Id],
    (head, before): (u64, Arc<Members>),
    max: usize,
) -> Result<Resolved, Refusal> {
    match change {
        GroupChange::Create if head > 0 => Err(Refusal::new(Reason::AlreadyExists, "the group exists")),
        GroupChange::Create => create(user, users, max),
        GroupChange::Add | GroupChange::Remove if !before.0.contains_key(user) => {
            Err(Refusal::new(Reason::NoChannel, "no such channel for this user"))
        }
        GroupChange::Add => add(before, users, head, max),
        GroupChange::Remove => remove(user, before, users),
    }
}

fn create(creator: &Id, users: &[Id], max: usize) -> Result<Resolved, Refusal> {
    let mut members: Members = Members::default();
    for user in users {
        members.0.insert(user.detached(), member(0, 0));
    }
    members.0.insert(creator.detached(), member(fold::OWNER, 0));
    if members.0.len() > max {
        return Err(Refusal::new(Reason::TooManyMembers, "the group would have too many members"));
    }
    let users = members.0.keys().cloned().collect();
    Ok(Resolved { before: Arc::default(), after: members, users })
}

fn add(before: Arc<Members>, users: &[Id], head: u64, max: usize) -> Result<Resolved, Refusal> {
    if users.is_empty() {
        return Err(Refusal::new(Reason::Malformed, "nobody to add"));
    }
    if users.iter().any(|user| before.0.contains_key(user)) {
        return Err(Refusal::new(Reason::AlreadyExists, "one of them is a member"));
    }
    let new: Vec<Id> = users.iter().map(Id::detached).collect();
    if before.0.len() + new.len() > max {
        return Err(Refusal::new(Reason::TooManyMembers, "the group would have too many members"));
    }
    let mut after = Members::clone(&before);
    for user in &new {
        after.0.insert(user.clone(), member(0, head));
    }
    Ok(Resolved { before, after, users: new })
}

fn remove(by: &Id, before: Arc<Members>, users: &[Id]) -> Result<Resolved, Refusal> {
    let gone: Vec<Id> = users.iter().map(Id::detached).collect();
    let is_owner = before.0.get(by).is_some_and(|row| row.role == fold::OWNER);
    let leaves = users.iter().all(|user| user == by);
    if gone.is_empty() || !users.iter().all(|user| before.0.contains_key(user)) {
        return Err(Refusal::new(Reason::NotAllowed, "one of them is no member"));
    }
    if is_owner && gone.contains(by) {
        return Err(Refusal::new(Reason::NotAllowed, "the owner cannot leave"));
    }
    if !is_owner && !leaves {
        return Err(Refusal::new(Reason::NotAllowed, "only the owner removes others"));
    }
    let mut after = Members::clone(&before);
    for user in &gone {
        after.0.remove(user);
    }
    Ok(Resolved { before, after, users: gone })
}

const fn member(role: u8, visible_from: u64) -> MemberRow {
    MemberRow { role, visible_from, position: 0 }
}
