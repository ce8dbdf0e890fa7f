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

/// The role with which `user` joins by this image, if they do. Each row of a change asks for itself: nothing is copied.
pub(super) fn role_given(image: &Image, user: &Id) -> Option<u8> {
    match ImageKind::from_number(image.kind) {
        Some(ImageKind::GroupCreated) if image.author() == *user => Some(OWNER),
        Some(ImageKind::GroupCreated | ImageKind::MembersJoined) => lists(image, user).then_some(0),
        _ => None,
    }
}

/// Whether `user` leaves by this image.
pub(super) fn is_leaving(image: &Image, user: &Id) -> bool {
    let kind = ImageKind::from_number(image.kind);
    matches!(kind, Some(ImageKind::MembersLeft | ImageKind::MembersRemoved)) && lists(image, user)
}

/// Whether the list of users that is the body of `image` has `user`.
fn lists(image: &Image, user: &Id) -> bool {
    let mut rest = image.body.get(2..).unwrap_or_default();
    while let Some((len, after)) = rest.split_first() {
        let Some((listed, after)) = after.split_at_checked(usize::from(*len)) else { return false };
        if listed == user.as_bytes() {
            return true;
        }
        rest = after;
    }
    false
}

/// The op and the text of a [`REQUEST_KIND`] entry, and a reader of what follows.
fn request_of(image: &Image) -> Option<(u8, Bytes, Reader)> {
    let mut reader = Reader::new(image.body.clone());
    let (op, text) = (reader.u8("op").ok()?, reader.bytes16(usize::from(u16::MAX), "text").ok()?);
    Some((op, text, reader))
}

/// Whom a [`REQUEST_KIND`] entry is about.
fn requested(image: &Image) -> Option<Vec<Id>> {
    let (_, _, mut reader) = request_of(image)?;
    groups::read_users(reader.bytes(reader.remaining(), "users").ok()?).ok()
}

/// Until when the body of `MEMBERS_MUTED` mutes.
fn muted_until(image: &Image) -> Option<u64> {
    Reader::new(image.body.clone()).u64("until").ok()
}

/// The new owner in the body of `OWNER_CHANGED`.
fn owner_of(image: &Image) -> Option<Id> {
    groups::read_owner_changed(image.body.clone()).ok().map(|id| id.detached())
}

pub(super) fn changed(image: &Image, keys: &mut Vec<StateKey>) {
    let members = |users: Vec<Id>| sorted(users).into_iter().map(StateKey::Member);
    match ImageKind::from_number(image.kind) {
        Some(ImageKind::GroupDismissed | ImageKind::GroupChanged) => keys.push(StateKey::Group),
        Some(ImageKind::RolesChanged) => {
            let changed = groups::read_roles_changed(image.body.clone());
            keys.extend(changed.into_iter().flat_map(|(_, users)| members(users)));
        }
        Some(ImageKind::MembersMuted) => match groups::read_members_muted(image.body.clone()).ok() {
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
            for user in sorted(requested(image).unwrap_or_default()) {
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
    let row = row.get_or_insert_default();
    row.position = position;
    match ImageKind::from_number(image.kind) {
        Some(ImageKind::GroupDismissed) => row.is_dismissed = true,
        Some(ImageKind::MembersMuted) => row.muted_until_ms = muted_until(image).unwrap_or(row.muted_until_ms),
        _ => {
            row.fields = merged(&row.fields, &image.tlvs, &groups::TEXTS);
            let number = |tag| image.tlvs.get_u32(tag);
            row.join_mode = number(tag::JOIN_MODE).and_then(|mode| mode.try_into().ok()).unwrap_or(row.join_mode);
            row.shows_history = number(tag::HISTORY).map_or(row.shows_history, |history| history == 1);
            row.max_members = number(tag::MAX_MEMBERS).unwrap_or(row.max_members);
        }
    }
}

pub(super) fn apply_member(row: &mut Option<MemberRow>, position: u64, user: &Id, image: &Image, read: u64) {
    if let Some(role) = role_given(image, user) {
        let author = image.author();
        let row = row.get_or_insert_default();
        if let Some(left) = row.left.take() {
            push_span(&mut row.earlier, Span { above: row.joined, through: left });
        }
        (row.role, row.joined, row.joined_ms) = (role, image.seq.saturating_sub(1), image.time_ms);
        row.inviter = (author != *user).then(|| author.detached());
        row.position = position;
        return;
    }
    let Some(row) = row else { return };
    row.position = position;
    match ImageKind::from_number(image.kind) {
        Some(ImageKind::MembersLeft | ImageKind::MembersRemoved) => (row.left, row.role) = (Some(image.seq), 0),
        Some(ImageKind::RolesChanged) => row.role = image.body.first().copied().unwrap_or(row.role),
        Some(ImageKind::MembersMuted) => row.muted_until_ms = muted_until(image).unwrap_or(row.muted_until_ms),
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

pub(super) fn apply_request(row: &mut Option<RequestRow>, position: u64, image: &Image) {
    let waits = (image.kind == REQUEST_KIND).then(|| request_of(image)).flatten();
    *row = waits.filter(|(op, ..)| *op != request::END).map(|(op, text, _)| RequestRow {
        is_invitation: op == request::INVITE,
        by: image.author().detached(),
        text: Bytes::copy_from_slice(&text),
        time_ms: image.time_ms,
        position,
    });
}
