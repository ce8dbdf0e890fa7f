//! The fold: how an entry changes the rows. Decide, the materialiser and replay use this one piece of code.
//!
//! Each row is folded alone, carries the position it covers, and skips what it covers; so entries may be folded twice,
//! and rows of different age may be folded on. A membership entry lists only users whom it changes: decide sees to it.

use std::collections::{BTreeSet, VecDeque};

use postrider_protocol::{Channel, ChannelKind, Id, Image, ImageKind, SEND_WINDOW, Sender, SenderKind, Tlvs, packet};

use crate::{Answer, ChannelRow, ConversationRow, Cursor, MemberRow, SenderRow, SenderTable, head::Head};

/// A control entry that moves the cursor of a device (TLV [`DEVICE_TAG`]) to the seq in its body.
pub const CURSOR_KIND: u8 = 128;
/// A control entry that moves the read mark of its author to the seq in its body.
pub const READ_KIND: u8 = 129;
/// The TLV of a cursor entry that names the device.
pub const DEVICE_TAG: u16 = 0x4003;
/// Cursors that a conversation keeps; the least recently moved goes.
pub const CURSORS: usize = 10;
/// Senders of each kind that a user has in a slot; the least recently used goes.
pub const SENDERS: usize = 32;
/// The role of the owner of a group.
pub const OWNER: u8 = 2;

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

/// What `image` does to memberships: who joins with which role, or who leaves.
enum Membership {
    Join(Vec<(Id, u8)>),
    Leave(Vec<Id>),
    None,
}

fn membership(image: &Image) -> Membership {
    let kind = ImageKind::from_number(image.kind);
    let listed = || -> BTreeSet<Id> {
        let users = packet::groups::read_users(image.body.clone()).unwrap_or_default();
        users.iter().map(Id::detached).collect()
    };
    match kind {
        Some(ImageKind::GroupCreated) => {
            let mut users = listed();
            let creator = image.author().detached();
            users.remove(&creator);
            let members = users.into_iter().map(|user| (user, 0));
            Membership::Join(std::iter::once((creator, OWNER)).chain(members).collect())
        }
        Some(ImageKind::MembersJoined) => Membership::Join(listed().into_iter().map(|user| (user, 0)).collect()),
        Some(ImageKind::MembersLeft | ImageKind::MembersRemoved) => Membership::Leave(listed().into_iter().collect()),
        Some(ImageKind::Message) | None => Membership::None,
    }
}

/// The users whose member row `image` may change, each once.
#[must_use]
pub fn changed_members(image: &Image) -> Vec<Id> {
    match membership(image) {
        Membership::Join(users) => users.into_iter().map(|(user, _)| user).collect(),
        Membership::Leave(users) => users,
        Membership::None => Vec::new(),
    }
}

/// The users whose conversation row an entry may change, each once; `read` is that of the entry.
#[must_use]
pub fn changed_conversations(image: &Image, read: u64) -> Vec<Id> {
    let mut users = changed_members(image);
    if image.channel.kind() == ChannelKind::Person && image.seq == 1 {
        let (low, high) = image.channel.ids();
        users.extend(high.filter(|high| *high != low).map(|high| high.detached()));
        users.push(low.detached());
    }
    if read > 0 || matches!(image.kind, CURSOR_KIND | READ_KIND) {
        let author = image.author().detached();
        if !users.contains(&author) {
            users.push(author);
        }
    }
    users
}

/// Whose sender table an entry changes, if it came from a command: the author.
#[must_use]
pub fn changed_sender(image: &Image) -> Option<Id> {
    (image.sender != Sender::from_bytes([0; 8]) && image.number > 0).then(|| image.author().detached())
}

/// Whether an entry does more than to come next in its channel and to answer its command: whether rows of members or
/// conversations change, or the number of members.
pub(crate) fn is_more_than_a_message(head: &Head<'_>, read: u64) -> bool {
    let is_of_members = match ImageKind::from_number(head.kind) {
        Some(
            ImageKind::GroupCreated | ImageKind::MembersJoined | ImageKind::MembersLeft | ImageKind::MembersRemoved,
        ) => true,
        Some(ImageKind::Message) | None => false,
    };
    is_of_members || read > 0 || matches!(head.kind, CURSOR_KIND | READ_KIND) || head.is_person() && head.seq == 1
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
        match membership(image) {
            Membership::Join(users) => row.members = row.members.saturating_add(count(users.len())),
            Membership::Leave(users) => row.members = row.members.saturating_sub(count(users.len())),
            Membership::None => {}
        }
    }
}

impl MemberRow {
    /// Folds the entry at `position` into the row of `user`; who leaves has none.
    pub fn apply(row: &mut Option<Self>, position: u64, user: &Id, image: &Image) {
        if row.as_ref().is_some_and(|row| position <= row.position) {
            return;
        }
        match membership(image) {
            Membership::Join(users) => {
                if let Some((_, role)) = users.iter().find(|(joined, _)| joined == user) {
                    let visible_from = image.seq.saturating_sub(1);
                    *row = Some(Self { role: *role, visible_from, position });
                }
            }
            Membership::Leave(users) => {
                if users.contains(user) {
                    *row = None;
                }
            }
            Membership::None => {}
        }
    }
}

impl ConversationRow {
    /// Folds the entry at `position` into the row of `user`; `read` is that of the entry. Only joining, and the first
    /// entry of a person channel, make a row.
    pub fn apply(row: &mut Option<Self>, position: u64, user: &Id, image: &Image, read: u64) {
        if row.as_ref().is_some_and(|row| position <= row.position) {
            return;
        }
        match membership(image) {
            Membership::Join(users) if users.iter().any(|(joined, _)| joined == user) => {
                let row = row.get_or_insert_default();
                row.visible_from = image.seq.saturating_sub(1);
                row.visible_to = None;
                (row.changed, row.position) = (position, position);
            }
            Membership::Leave(users) if users.contains(user) => {
                if let Some(row) = row {
                    row.visible_to = Some(image.seq);
                    (row.changed, row.position) = (position, position);
                }
            }
            _ => {}
        }
        if image.seq == 1 && image.channel.side_of(user.as_bytes()).is_some() && row.is_none() {
            *row = Some(Self { changed: position, position, ..Self::default() });
        }
        let Some(row) = row.as_mut().filter(|_| image.author() == *user) else { return };
        match image.kind {
            CURSOR_KIND => row.move_cursor(position, image),
            READ_KIND => row.move_read(position, seq_in_body(image).unwrap_or_default()),
            _ => row.move_read(position, read),
        }
        row.position = position;
    }

    fn move_read(&mut self, position: u64, read: u64) {
        if read > self.read {
            self.read = read;
            self.changed = position;
        }
    }

    fn move_cursor(&mut self, position: u64, image: &Image) {
        let device = image.tlvs.get(DEVICE_TAG).and_then(|id| Id::new(bytes::Bytes::copy_from_slice(id)));
        let (Some(device), Some(seq)) = (device, seq_in_body(image)) else { return };
        let known = self.cursors.iter().position(|cursor| cursor.device == device);
        let before = known.map_or(0, |at| self.cursors.remove(at).seq);
        if self.cursors.len() >= CURSORS {
            self.cursors.remove(0);
        }
        self.cursors.push(Cursor { device, seq: seq.max(before), position });
    }
}

impl SenderTable {
    /// Folds the entry at `position`, made by a command of the table's user, into the table.
    pub fn apply(&mut self, position: u64, entry: &Numbered) {
        let known = self.senders.iter().position(|row| row.sender == entry.sender);
        if known.is_none() {
            let answers = VecDeque::new();
            let row = SenderRow { sender: entry.sender, floor: 0, since: position, used: position, answers };
            self.senders.push(row);
        }
        let at = known.unwrap_or(self.senders.len().saturating_sub(1));
        let Some(row) = self.senders.get_mut(at) else { return };
        row.accept(position, entry);
        if row.since == position {
            self.forget(entry.sender.kind(), position);
        }
    }

    /// The row of `sender`.
    #[must_use]
    pub fn get(&self, sender: &Sender) -> Option<&SenderRow> {
        self.senders.iter().find(|row| row.sender == *sender)
    }

    /// Whether `sender`, when it is not in the table, may have been in it once.
    #[must_use]
    pub fn may_be_forgotten(&self, sender: &Sender) -> bool {
        let [kept, one_shot] = self.forgotten_through;
        sender.stamp() <= if sender.kind() == SenderKind::Kept { kept } else { one_shot }
    }

    /// Drops the least recently used senders of `kind` over the limit. Those that came after `position` do not count:
    /// a row of a later state must not push out one that is still to be used.
    fn forget(&mut self, kind: SenderKind, position: u64) {
        let here = |row: &SenderRow| row.sender.kind() == kind && row.since <= position;
        while self.senders.iter().filter(|row| here(row)).count() > SENDERS {
            let oldest = self.senders.iter().enumerate().filter(|(_, row)| here(row)).min_by_key(|(_, row)| row.used);
            let Some((at, _)) = oldest else { return };
            let gone = self.senders.remove(at);
            let [kept, one_shot] = &mut self.forgotten_through;
            let through = if kind == SenderKind::Kept { kept } else { one_shot };
            *through = (*through).max(gone.sender.stamp());
        }
    }
}

impl SenderRow {
    /// The answer to `number`.
    #[must_use]
    pub fn answer(&self, number: u64) -> Option<&Answer> {
        let last = self.answers.back().filter(|last| last.number >= number)?;
        // Most numbers follow each other without a hole.
        let back = usize::try_from(last.number - number).ok()?;
        let guess = self.answers.len().checked_sub(back + 1).and_then(|at| self.answers.get(at));
        guess.filter(|answer| answer.number == number).or_else(|| {
            let at = self.answers.binary_search_by_key(&number, |answer| answer.number).ok()?;
            self.answers.get(at)
        })
    }

    /// Adds an answer, unless it is there or stale; folding one again changes nothing.
    fn accept(&mut self, position: u64, entry: &Numbered) {
        let &Numbered { number, oldest, seq, time_ms, crc, .. } = entry;
        self.used = self.used.max(position);
        self.since = self.since.min(position);
        // Numbers are in a window that the protocol keeps to, so that a row has a bound.
        self.floor = self.floor.max(oldest).max(number.saturating_sub(SEND_WINDOW as u64 - 1));
        let answer = Answer { number, seq, time_ms, crc };
        if self.answers.back().is_none_or(|last| last.number < number) {
            self.answers.push_back(answer);
        } else if let Err(at) = self.answers.binary_search_by_key(&number, |answer| answer.number) {
            self.answers.insert(at, answer);
        }
        while self.answers.front().is_some_and(|first| first.number < self.floor) {
            self.answers.pop_front();
        }
    }
}
