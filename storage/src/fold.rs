//! The fold: how an entry changes the rows. Decide, the materialiser and replay use this one piece of code.
//!
//! Each row is folded alone, carries the position it covers, and skips what it covers; so entries may be folded twice,
//! and rows of different age may be folded on. An entry names only what it changes: decide sees to it that a membership
//! entry lists nobody whom it leaves as they are, and that a reaction is not there yet.

pub mod broadcast;
mod conversation;
mod group;
pub mod parts;
mod person;
pub mod schedule;
mod sender;
mod target;

use postrider_protocol::{Channel, ChannelKind, Id, Image, ImageKind, MAX_INTEGER, Sender, Tlvs, image_flag, tag};

pub use group::Membership;
pub use person::{cut_fields, of_device, of_profile};

use crate::{ChannelRow, StateKey, StateRow, head::Head};

/// A control entry that moves the cursor of a device (TLV [`DEVICE_TAG`]) to the seq in its body.
pub const CURSOR_KIND: u8 = 128;
/// A control entry that moves the read mark of its author to the seq in its body.
pub const READ_KIND: u8 = 129;
/// A control entry about requests to join and invitations: op u8 ([`request`]), text bytes16, users.
pub const REQUEST_KIND: u8 = 130;
/// A control entry with settings of its author's view, as TLVs.
pub const CONVERSATION_KIND: u8 = 131;
/// A control entry that deletes what is in its body, from u64 and to u64, for its author.
pub const HIDE_KIND: u8 = 132;
/// A control entry by which its author blocks the other one of a person channel, or ends it: on u8.
pub const BLOCK_KIND: u8 = 133;
/// A control entry about contacts in a person channel: op u8 ([`contact`]), text bytes16.
pub const CONTACT_KIND: u8 = 134;
/// A control entry in a user's own channel with the fields of the profile that change.
pub const USER_KIND: u8 = 135;
/// A control entry in a user's own channel: the device of TLV [`DEVICE_TAG`] came, with what it tells; the body names a
/// device that makes room for it: that one is forgotten, but for the time when it was removed.
pub const DEVICE_KIND: u8 = 136;
/// A control entry in a user's own channel: the device in its body is removed, or with an empty body all but that of TLV
/// [`DEVICE_TAG`].
pub const DEVICE_REMOVED_KIND: u8 = 137;
/// A control entry about a message that its author has scheduled: see [`schedule`].
pub const SCHEDULE_KIND: u8 = 138;
/// A control entry in the own channel of a system user about one of its broadcasts: see [`broadcast`].
pub const BROADCAST_KIND: u8 = 139;
/// A control entry in a user's own channel, by a system user, with the tags of the user.
pub const TAGS_KIND: u8 = 140;
/// The TLV that names a device in an entry.
pub const DEVICE_TAG: u16 = 0x4003;
/// Cursors that a conversation keeps; the least recently moved goes.
pub const CURSORS: usize = 10;
/// Senders of each kind that a user has in a slot; the least recently used goes.
pub const SENDERS: usize = 32;
/// Earlier spans that a row keeps; the oldest goes.
pub const SPANS: usize = 8;
/// Spans that a user may have deleted in a channel, apart from each other.
pub const HIDES: usize = postrider_protocol::HIDDEN_RANGES;
/// Edits of a message: decide sees to it that there are no more.
pub const EDITS: usize = postrider_protocol::EDITS;
/// The role of an admin of a group.
pub const ADMIN: u8 = 1;
/// The role of the owner of a group.
pub const OWNER: u8 = 2;
/// A bit of an entry's `read`: others do not learn of the mark.
pub const PRIVATE: u64 = 1 << 63;
/// A bit of the `read` of a joining: who joins sees what was before.
pub const HISTORY: u64 = 1 << 62;

/// The first byte of the body of a [`REQUEST_KIND`] entry, and the body.
pub mod request {
    use postrider_protocol::{Id, Writer as _, packet::groups};

    /// The author asks to join.
    pub const ASK: u8 = 1;
    /// The users may join.
    pub const INVITE: u8 = 2;
    /// The users wait no more.
    pub const END: u8 = 3;

    /// The body that says `op` and `text` of `users`.
    #[must_use]
    pub fn body(op: u8, text: &[u8], users: &[Id]) -> Vec<u8> {
        let mut body = vec![op];
        body.bytes16(text);
        groups::write_users(&mut body, users);
        body
    }
}

/// The first byte of the body of a [`CONTACT_KIND`] entry.
pub mod contact {
    /// The author asks the other one, who reads the text; it accepts what the other one asked, if they did.
    pub const ASK: u8 = 1;
    /// The author accepts what the other one asked.
    pub const ACCEPT: u8 = 2;
    /// The two are no contacts, and neither asks.
    pub const END: u8 = 3;
    /// The text is the author's note.
    pub const NOTE: u8 = 4;
}

/// `tlvs` with one of the server's own, in its place.
fn with_own(tlvs: &Tlvs, tag: u16, value: &[u8]) -> Tlvs {
    let mut pairs: Vec<(u16, &[u8])> = tlvs.iter().chain([(tag, value)]).collect();
    pairs.sort_by_key(|&(tag, _)| tag);
    Tlvs::from_pairs(pairs)
}

/// The seq of the read mark in an entry's `read`; 0 when it has none.
#[must_use]
pub const fn mark_of(read: u64) -> u64 {
    read & !(PRIVATE | HISTORY)
}

/// The seq of the message that an image is about; 0 when it is about none.
#[must_use]
pub fn target_of(image: &Image) -> u64 {
    image.tlvs.get_u64(tag::TARGET).unwrap_or_default()
}

/// The seq of the message in whose thread a message is an answer; none when it is no answer.
#[must_use]
pub fn thread_of(image: &Image) -> Option<u64> {
    let is_answer = image.kind == ImageKind::Message.number() && image.flags & image_flag::THREADED != 0;
    image.tlvs.get_u64(tag::THREAD).filter(|_| is_answer)
}

/// When a message goes away, milliseconds since 1970; 0 when it does not, and for what is no message.
#[must_use]
pub fn expires_ms(image: &Image) -> u64 {
    let is_it = image.kind == ImageKind::Message.number();
    let lifetime_ms = image.tlvs.get_u64(tag::LIFETIME_MS).filter(|_| is_it);
    lifetime_ms.map_or(0, |lifetime_ms| image.time_ms.saturating_add(lifetime_ms).min(MAX_INTEGER))
}

/// The CRC of what a command asks for: two commands with one number and different CRCs are a conflict. TLVs and body
/// are those of the stored image.
#[must_use]
pub fn intent(kind: u8, flags: u16, channel: &Channel, tlvs: &Tlvs, body: &[u8]) -> u32 {
    intent_of_tail(kind, flags, channel.as_bytes(), tail_crc(tlvs, body))
}

/// The CRC of the part of an image that erasure empties: what [`crate::Entry::crc`] is.
#[must_use]
pub fn tail_crc(tlvs: &Tlvs, body: &[u8]) -> u32 {
    let mut tail = crc32fast::Hasher::new();
    tail.update(&u16::try_from(tlvs.as_bytes().len()).unwrap_or(u16::MAX).to_be_bytes());
    tail.update(tlvs.as_bytes());
    tail.update(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    tail.update(body);
    tail.finalize()
}

/// As [`intent`], from the bytes of the channel and [`tail_crc`]: known also when TLVs and body are gone.
#[must_use]
pub fn intent_of_tail(kind: u8, flags: u16, channel: &[u8], tail_crc: u32) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[kind]);
    crc.update(&flags.to_be_bytes());
    crc.update(&tail_crc.to_be_bytes());
    crc.update(channel);
    crc.finalize()
}

/// An entry that came from a numbered command, as far as the table of its author's senders is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// The sender.
    pub sender: Sender,
    /// Its number for the command.
    pub number: u64,
    /// The lowest number that it may still send again.
    pub oldest: u64,
    /// The seq of the entry; 0 for a control entry.
    pub seq: u64,
    /// The time of the entry.
    pub time_ms: u64,
    /// Its [`intent`].
    pub crc: u32,
}

/// The entry with this image, `oldest` and tail CRC.
#[must_use]
pub fn numbered(image: &Image, oldest: u64, tail_crc: u32) -> Numbered {
    let crc = intent_of_tail(image.kind, image.flags, image.channel.as_bytes(), tail_crc);
    let (seq, time_ms) = (image.seq, image.time_ms);
    Numbered { sender: image.sender, number: image.number, oldest, seq, time_ms, crc }
}

/// The seq in the body of a control entry.
#[must_use]
pub fn seq_in_body(image: &Image) -> Option<u64> {
    image.body.as_ref().try_into().ok().map(u64::from_be_bytes)
}

/// Which rows an entry may change, each once; `read` is that of the entry.
#[must_use]
pub fn changed(image: &Image, read: u64) -> Vec<StateKey> {
    let mut keys = Vec::new();
    let author = || image.author().detached();
    let is_group = image.channel.kind() == ChannelKind::Group;
    let of_author = |keys: &mut Vec<StateKey>| {
        keys.push(StateKey::Conversation(author()));
        if is_group {
            keys.push(StateKey::Member(author()));
        }
    };
    match ImageKind::from_number(image.kind) {
        Some(ImageKind::Message) => {
            let is_first = image.channel.kind() == ChannelKind::Person && image.seq == 1;
            if is_first {
                keys.extend(sides(&image.channel));
            } else if mark_of(read) > 0 {
                of_author(&mut keys);
            }
            schedule::changed(image, &mut keys);
            broadcast::changed(image, &mut keys);
            if let Some(root) = thread_of(image) {
                keys.extend([StateKey::Target(root), StateKey::Answer(root, image.seq)]);
            }
        }
        Some(ImageKind::Edited) => keys.push(StateKey::Target(target_of(image))),
        Some(ImageKind::Reacted) => {
            keys.extend([StateKey::Target(target_of(image)), StateKey::Reaction(target_of(image), author())]);
        }
        Some(ImageKind::Pinned | ImageKind::Revoked) => {
            keys.extend([StateKey::Target(target_of(image)), StateKey::Pins])
        }
        Some(_) => group::changed(image, &mut keys),
        None => match image.kind {
            CURSOR_KIND | READ_KIND => of_author(&mut keys),
            CONVERSATION_KIND | HIDE_KIND | BLOCK_KIND => keys.push(StateKey::Conversation(author())),
            CONTACT_KIND if image.body.first() == Some(&contact::NOTE) => keys.push(StateKey::Conversation(author())),
            CONTACT_KIND => keys.extend(sides(&image.channel)),
            SCHEDULE_KIND => schedule::changed(image, &mut keys),
            BROADCAST_KIND => broadcast::changed(image, &mut keys),
            TAGS_KIND => keys.push(StateKey::Tags),
            REQUEST_KIND => group::changed(image, &mut keys),
            USER_KIND | DEVICE_KIND | DEVICE_REMOVED_KIND => person::changed(image, &mut keys),
            _ => {}
        },
    }
    keys
}

/// The views of both users of a person channel.
fn sides(channel: &Channel) -> impl Iterator<Item = StateKey> {
    let (low, high) = channel.ids();
    let high = high.filter(|high| *high != low);
    std::iter::once(low).chain(high).map(|user| StateKey::Conversation(user.detached()))
}

/// Folds the entry at `position` into the row `key`; an entry that it covers changes nothing.
pub fn apply(key: &StateKey, row: &mut Option<StateRow>, position: u64, image: &Image, read: u64) {
    if row.as_ref().is_some_and(|row| position <= row.position()) {
        return;
    }
    match key {
        StateKey::Conversation(user) => {
            within(row, |row: &mut Option<_>| conversation::apply(row, position, user, image, read));
        }
        StateKey::Member(user) => {
            within(row, |row: &mut Option<_>| group::apply_member(row, position, user, image, read));
        }
        StateKey::Group => within(row, |row: &mut Option<_>| group::apply(row, position, image)),
        StateKey::Request(_) => within(row, |row: &mut Option<_>| group::apply_request(row, position, image)),
        StateKey::Target(_) => within(row, |row: &mut Option<_>| target::apply(row, position, image, read)),
        StateKey::Reaction(..) => within(row, |row: &mut Option<_>| target::apply_reaction(row, position, image)),
        StateKey::Answer(..) => within(row, |row: &mut Option<_>| target::apply_answer(row, position)),
        StateKey::Scheduled(..) => within(row, |row: &mut Option<_>| schedule::apply(row, position, image)),
        StateKey::Part(_, _, at) => {
            let content = (schedule::has_content(image) || broadcast::is_made(image)).then_some(image);
            within(row, |row: &mut Option<_>| parts::apply(row, *at, position, content));
        }
        StateKey::Broadcast(id) => within(row, |row: &mut Option<_>| broadcast::apply(row, *id, position, image)),
        StateKey::Heard(_) => within(row, |row: &mut Option<_>| broadcast::apply_heard(row, position, image)),
        StateKey::Tags => within(row, |row: &mut Option<_>| broadcast::apply_tags(row, position, image)),
        StateKey::Pins => within(row, |row: &mut Option<_>| target::apply_pins(row, position, image)),
        StateKey::User => within(row, |row: &mut Option<_>| person::apply(row, position, image)),
        StateKey::Device(device) => {
            within(row, |row: &mut Option<_>| person::apply_device(row, position, device, image));
        }
    }
}

/// Works on the row as what it is.
fn within<R: crate::OfState + Clone + Into<StateRow>>(row: &mut Option<StateRow>, work: impl FnOnce(&mut Option<R>)) {
    let mut typed = row.as_ref().and_then(R::of).cloned();
    work(&mut typed);
    *row = typed.map(Into::into);
}

/// Whose sender table an entry changes, if it came from a command: the author.
#[must_use]
pub fn changed_sender(image: &Image) -> Option<Id> {
    let is_numbered = image.sender != Sender::from_bytes([0; 8]) && image.number > 0;
    let is_numbered = is_numbered && !is_of_earlier(image.kind, image.flags);
    is_numbered.then(|| image.author().detached())
}

/// The flags of messages whose sender and number are those of an earlier entry, which was the command.
const OF_EARLIER: u16 = image_flag::SCHEDULED | image_flag::BROADCAST;

/// Whether sender and number of an entry are those of an earlier one, which was the command.
#[must_use]
pub const fn is_of_earlier(kind: u8, flags: u16) -> bool {
    kind == ImageKind::Message.number() && flags & OF_EARLIER != 0
}

/// The flags of messages that change rows, apart from [`image_flag::EXPIRING`], which a message has for itself.
pub const CHANGING: u16 = OF_EARLIER | image_flag::THREADED;

/// Whether an entry does more than to come next in its channel and to answer its command: whether it changes rows, or
/// the number of members.
pub(crate) fn is_more_than_a_message(head: &Head<'_>, read: u64) -> bool {
    head.kind != ImageKind::Message.number()
        || mark_of(read) > 0
        || head.is_person() && head.seq == 1
        || head.flags & (image_flag::EXPIRING | CHANGING) != 0
}

impl ChannelRow {
    /// Folds an entry that changes no members into the row; none when it was folded before.
    pub(crate) fn advance(row: &mut Option<Self>, position: u64, seq: u64, time_ms: u64) -> Option<&mut Self> {
        if seq == 0 || row.as_ref().is_some_and(|row| position <= row.position) {
            return None;
        }
        let row = row.get_or_insert_default();
        row.head = row.head.max(seq);
        row.position = position;
        row.time_ms = row.time_ms.max(time_ms);
        Some(row)
    }

    /// Folds the entry at `position` into the row of its channel.
    pub fn apply(row: &mut Option<Self>, position: u64, image: &Image) {
        let Some(row) = Self::advance(row, position, image.seq, image.time_ms) else { return };
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        match Membership::of(image) {
            Membership::Join(users) => row.members = row.members.saturating_add(count(users.len())),
            Membership::Leave(users) => row.members = row.members.saturating_sub(count(users.len())),
            Membership::None => {}
        }
    }
}
