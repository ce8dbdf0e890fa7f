//! Groups: what they are, who is in them, who waits.

use std::collections::BTreeSet;

use bytes::Bytes;
use postrider_protocol::{Id, Image, ImageKind, Reader, Tlvs, packet::groups, tag};

use super::{ADMIN, CURSOR_KIND, OWNER, PRIVATE, READ_KIND, REQUEST_KIND, SPANS, mark_of, request, seq_in_body};
use crate::{GroupRow, MemberRow, RequestRow, Span, StateKey};

/// What an image does to memberships: who joins with which role, or who leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// These join.
    Join(Vec<(Id, u8)>),
    /// These leave.
    Leave(Vec<Id>),
    /// Nobody comes or goes.
    None,
}

impl Membership {
    /// That of `image`, each user once.
    #[must_use]
    pub fn of(image: &Image) -> Self {
        let listed = || sorted(groups::read_users(image.body.clone()).unwrap_or_default());
        match ImageKind::from_number(image.kind) {
            Some(ImageKind::GroupCreated) => {
                let creator = image.author().detached();
                let members = listed().into_iter().filter(|user| *user != creator).map(|user| (user, 0));
                Self::Join(std::iter::once((creator.clone(), OWNER)).chain(members).collect())
            }
            Some(ImageKind::MembersJoined) => Self::Join(listed().into_iter().map(|user| (user, 0)).collect()),
            Some(ImageKind::MembersLeft | ImageKind::MembersRemoved) => Self::Leave(listed()),
            _ => Self::None,
        }
    }
}

fn sorted(users: Vec<Id>) -> Vec<Id> {
    let users: BTreeSet<Id> = users.iter().map(Id::detached).collect();
    users.into_iter().collect()
}

/// The body of a [`REQUEST_KIND`] entry.
fn request_of(image: &Image) -> Option<(u8, Bytes, Vec<Id>)> {
    let mut reader = Reader::new(image.body.clone());
    let (op, text) = (reader.u8("op").ok()?, reader.bytes16(usize::from(u16::MAX), "text").ok()?);
    let users = groups::read_users(reader.bytes(reader.remaining(), "users").ok()?).ok()?;
    Some((op, text, sorted(users)))
}

/// The body of `ROLES_CHANGED`: a role and whose.
fn roles_of(image: &Image) -> Option<(u8, Vec<Id>)> {
    let mut reader = Reader::new(image.body.clone());
    let role = reader.u8("role").ok()?;
    Some((role, groups::read_users(reader.bytes(reader.remaining(), "users").ok()?).ok()?))
}

/// The body of `MEMBERS_MUTED`: until when, and who; nobody means everybody.
fn muted_of(image: &Image) -> Option<(u64, Vec<Id>)> {
    let mut reader = Reader::new(image.body.clone());
    let until_ms = reader.u64("until").ok()?;
    Some((until_ms, groups::read_users(reader.bytes(reader.remaining(), "users").ok()?).ok()?))
}

/// The new owner in the body of `OWNER_CHANGED`.
fn owner_of(image: &Image) -> Option<Id> {
    Id::read(&mut Reader::new(image.body.clone()), "owner").ok().map(|id| id.detached())
}

pub(super) fn changed(image: &Image, keys: &mut Vec<StateKey>) {
    let members = |users: Vec<Id>| users.into_iter().map(|user| StateKey::Member(user.detached()));
    match ImageKind::from_number(image.kind) {
        Some(ImageKind::GroupDismissed | ImageKind::GroupChanged) => keys.push(StateKey::Group),
        Some(ImageKind::RolesChanged) => keys.extend(roles_of(image).into_iter().flat_map(|(_, users)| members(users))),
        Some(ImageKind::MembersMuted) => match muted_of(image) {
            Some((_, users)) if users.is_empty() => keys.push(StateKey::Group),
            Some((_, users)) => keys.extend(members(users)),
            None => {}
        },
        Some(ImageKind::OwnerChanged) => {
            keys.push(StateKey::Member(image.author().detached()));
            keys.extend(owner_of(image).map(StateKey::Member));
        }
        Some(ImageKind::NicknameChanged) => keys.push(StateKey::Member(image.author().detached())),
        _ if image.kind == REQUEST_KIND => {
            for user in request_of(image).map(|(_, _, users)| users).unwrap_or_default() {
                keys.extend([StateKey::Request(user.clone()), StateKey::Conversation(user)]);
            }
        }
        _ => of_membership(image, keys),
    }
}

fn of_membership(image: &Image, keys: &mut Vec<StateKey>) {
    let users = match Membership::of(image) {
        Membership::Join(users) => users.into_iter().map(|(user, _)| user).collect(),
        Membership::Leave(users) => users,
        Membership::None => Vec::new(),
    };
    if image.kind == ImageKind::GroupCreated.number() {
        keys.push(StateKey::Group);
    }
    for user in users {
        if image.kind == ImageKind::MembersJoined.number() {
            keys.push(StateKey::Request(user.clone()));
        }
        keys.extend([StateKey::Member(user.clone()), StateKey::Conversation(user)]);
    }
}

/// What `tags` say instead of `before`, without those that are empty.
pub(super) fn merged(before: &Tlvs, after: &Tlvs, tags: &[u16]) -> Tlvs {
    let pick = |&tag: &u16| Some((tag, after.get(tag).or_else(|| before.get(tag))?)).filter(|(_, v)| !v.is_empty());
    Tlvs::from_pairs(tags.iter().filter_map(pick))
}

pub(super) fn apply(row: &mut Option<GroupRow>, position: u64, image: &Image) {
    const TAGS: [u16; 5] = [tag::NAME, tag::AVATAR, tag::ANNOUNCEMENT, tag::DESCRIPTION, tag::CUSTOM];
    let row = row.get_or_insert_default();
    row.position = position;
    match ImageKind::from_number(image.kind) {
        Some(ImageKind::GroupDismissed) => row.is_dismissed = true,
        Some(ImageKind::MembersMuted) => row.is_muted = muted_of(image).is_some_and(|(until_ms, _)| until_ms > 0),
        _ => {
            row.fields = merged(&row.fields, &image.tlvs, &TAGS);
            let number = |tag| image.tlvs.get_u32(tag);
            row.join_mode = number(tag::JOIN_MODE).and_then(|mode| mode.try_into().ok()).unwrap_or(row.join_mode);
            row.shows_history = number(tag::HISTORY).map_or(row.shows_history, |history| history == 1);
            row.max_members = number(tag::MAX_MEMBERS).unwrap_or(row.max_members);
        }
    }
}

pub(super) fn apply_member(row: &mut Option<MemberRow>, position: u64, user: &Id, image: &Image, read: u64) {
    if let Membership::Join(users) = Membership::of(image) {
        let Some((_, role)) = users.iter().find(|(joined, _)| joined == user) else { return };
        let author = image.author();
        let row = row.get_or_insert_default();
        if let Some(left) = row.left.take() {
            push_span(&mut row.earlier, Span { above: row.joined, through: left });
        }
        (row.role, row.joined, row.joined_ms) = (*role, image.seq.saturating_sub(1), image.time_ms);
        row.inviter = (author != *user).then(|| author.detached());
        row.position = position;
        return;
    }
    let Some(row) = row else { return };
    row.position = position;
    match ImageKind::from_number(image.kind) {
        Some(ImageKind::MembersLeft | ImageKind::MembersRemoved) => (row.left, row.role) = (Some(image.seq), 0),
        Some(ImageKind::RolesChanged) => row.role = roles_of(image).map_or(row.role, |(role, _)| role),
        Some(ImageKind::MembersMuted) => {
            row.muted_until_ms = muted_of(image).map_or(row.muted_until_ms, |(until_ms, _)| until_ms);
        }
        Some(ImageKind::OwnerChanged) => row.role = if owner_of(image).as_ref() == Some(user) { OWNER } else { ADMIN },
        Some(ImageKind::NicknameChanged) => row.nickname = Bytes::copy_from_slice(&image.body),
        Some(_) => row.read = row.read.max(public_mark(read)),
        None if image.kind == CURSOR_KIND => {
            row.delivered = row.delivered.max(seq_in_body(image).unwrap_or_default());
        }
        None if image.kind == READ_KIND && read & PRIVATE == 0 => {
            row.read = row.read.max(seq_in_body(image).unwrap_or_default());
        }
        None => {}
    }
}

/// The mark that others may know.
const fn public_mark(read: u64) -> u64 {
    if read & PRIVATE == 0 { mark_of(read) } else { 0 }
}

/// Keeps one more earlier span.
pub(super) fn push_span(earlier: &mut Vec<Span>, span: Span) {
    if earlier.len() >= SPANS {
        earlier.remove(0);
    }
    earlier.push(span);
}

pub(super) fn apply_request(row: &mut Option<RequestRow>, position: u64, user: &Id, image: &Image) {
    let waits = (image.kind == REQUEST_KIND).then(|| request_of(image)).flatten();
    let waits = waits.filter(|(op, _, users)| *op != request::END && users.contains(user));
    *row = waits.map(|(op, text, _)| RequestRow {
        is_invitation: op == request::INVITE,
        by: image.author().detached(),
        text: Bytes::copy_from_slice(&text),
        time_ms: image.time_ms,
        position,
    });
}
