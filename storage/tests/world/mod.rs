//! A small world of users who write to each other, with its own memory of what was acknowledged.
#![allow(dead_code, reason = "each test uses what it needs")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use postrider_protocol::{
    Channel, CommandId, From, Id, Image, ImageKind, ImageView, Sender, SenderKind, Tlvs, Writer as _, image_flag,
    packet::{
        broadcast::{self, Reach},
        groups,
    },
    tag,
};
use postrider_storage::{
    AuthorSieve, ChannelRow, Crash, Digest, Entry, Found, Locator, MemoryDisk, OfState as _, OpenError, Opened,
    Options, Placed, ReactionRow, SLOTS, SenderTable, StateKey, StateRow, Store, TargetRow, Ticket,
    fold::{
        self,
        broadcast::Step,
        request,
        schedule::{Order, Ordered},
    },
    open, open_memory,
};

pub fn options(path: impl Into<std::path::PathBuf>) -> Options {
    Options {
        segment_bytes: 64 << 10,
        checkpoint_bytes: 24 << 10,
        window_bytes: 64 << 10,
        cache_bytes: 4 << 20,
        reserve_bytes: 0,
        ballast_bytes: 0,
        ..Options::new(path)
    }
}

pub fn id(text: &str) -> Id {
    text.parse().unwrap()
}

/// What must be true: made by folding what was acknowledged.
#[derive(Clone, Default)]
pub struct Truth {
    pub images: BTreeMap<(u32, Channel), Vec<Bytes>>,
    pub channels: BTreeMap<(u32, Channel), Option<ChannelRow>>,
    pub rows: BTreeMap<(u32, Channel, StateKey), Option<StateRow>>,
    pub senders: BTreeMap<(u8, u32, Id), SenderTable>,
    pub positions: BTreeMap<u8, u64>,
    pub numbers: BTreeMap<Id, u64>,
    pub clock: u64,
    /// What was taken back, with its edits: it may be erased or not yet.
    pub erased: BTreeSet<(Channel, u64)>,
    /// What is scheduled: whose, where, which, and its body.
    pub planned: Vec<(Id, Channel, CommandId, Vec<u8>)>,
    /// Broadcasts under way: whose, which, and the body.
    pub announced: Vec<(Id, CommandId, Vec<u8>)>,
    /// The last one that ended, whose row is still there.
    pub ended: Option<(Id, CommandId)>,
}

impl Truth {
    pub fn head(&self, channel: &Channel) -> u64 {
        self.images.get(&(0, channel.clone())).map_or(0, |images| images.len() as u64)
    }

    /// Flags of every sort, told by the clock; also on what is no message.
    fn flags(&self, kind: u8) -> u16 {
        let some = [image_flag::EXPIRING, image_flag::MENTION_ALL, image_flag::MENTIONS, 0, 0, 0, 0];
        let more = some[(self.clock % 7) as usize];
        if kind < 128 && !self.clock.is_multiple_of(5) { image_flag::COUNTABLE | more } else { 0 }
    }

    /// Decides one entry of `kind` and folds it.
    pub fn decide(&mut self, kind: u8, from: &Id, channel: &Channel, tlvs: Tlvs, body: &[u8], read: u64) -> Placed {
        let flags = self.flags(kind);
        self.decide_with(kind, flags, from, channel, tlvs, body, read)
    }

    /// As [`Truth::decide`], with these flags.
    #[allow(clippy::too_many_arguments, reason = "they are what an entry is made of")]
    pub fn decide_with(
        &mut self,
        kind: u8,
        flags: u16,
        from: &Id,
        channel: &Channel,
        tlvs: Tlvs,
        body: &[u8],
        read: u64,
    ) -> Placed {
        self.clock += 1;
        let seq = if kind < 128 { self.head(channel) + 1 } else { 0 };
        let number = self.numbers.entry(from.clone()).or_default();
        *number += 1;
        let is_cursor = kind == fold::CURSOR_KIND;
        let sender =
            if is_cursor { Sender::from_bytes([0; 8]) } else { Sender::issue(SenderKind::Kept, 7 + *number / 90) };
        let author = From::of(from, channel);
        let view = ImageView {
            kind,
            flags,
            seq,
            time_ms: 1_000_000 + self.clock,
            channel,
            from: &author,
            sender,
            number: if is_cursor { 0 } else { *number },
            tlvs: &tlvs,
            body,
        };
        let oldest = number.saturating_sub(self.clock % 60).max(1);
        let mut bytes = Vec::new();
        let head_len = view.write(&mut bytes);
        let entry = Entry::new(0, oldest, read, bytes.into(), head_len as u32);
        let slot = channel.slot(0);
        let position = self.positions.get(&slot).copied().unwrap_or_default() + 1;
        let placed = Placed { slot, position, entry };
        self.fold(&placed);
        placed
    }

    /// A message by a sender of the caller's choice.
    pub fn decide_as(&mut self, sender: Sender, number: u64, oldest: u64, from: &Id, channel: &Channel) -> Placed {
        self.clock += 1;
        let seq = self.head(channel) + 1;
        let (time_ms, tlvs, author) = (1_000_000 + self.clock, Tlvs::new(), From::of(from, channel));
        let (kind, flags, from, tlvs, body) = (1, 0, &author, &tlvs, &b"hello"[..]);
        let mut bytes = Vec::new();
        let head_len =
            ImageView { kind, flags, seq, time_ms, channel, from, sender, number, tlvs, body }.write(&mut bytes);
        let slot = channel.slot(0);
        let position = self.positions.get(&slot).copied().unwrap_or_default() + 1;
        let placed = Placed { slot, position, entry: Entry::new(0, oldest, 0, bytes.into(), head_len as u32) };
        self.fold(&placed);
        placed
    }

    pub fn fold(&mut self, placed: &Placed) {
        let image: Image = placed.entry.image().unwrap();
        self.positions.insert(placed.slot, placed.position);
        if image.kind == ImageKind::Revoked.number() {
            let (target, channel) = (fold::target_of(&image), image.channel.clone());
            let row = self.target(&channel, target);
            let seqs = std::iter::once(target).chain(row.edits).map(|seq| (channel.clone(), seq));
            self.erased.extend(seqs);
        }
        if image.seq > 0 {
            self.images.entry((0, image.channel)).or_default().push(placed.entry.image.clone());
        }
        self.fold_rows(placed);
    }

    pub fn fold_rows(&mut self, placed: &Placed) {
        let Placed { slot, position, entry } = placed;
        let image: Image = entry.image().unwrap();
        let channel = image.channel.clone();
        ChannelRow::apply(self.channels.entry((0, channel.clone())).or_default(), *position, &image);
        for key in fold::changed(&image, entry.read) {
            let row = self.rows.entry((0, channel.clone(), key.clone())).or_default();
            fold::apply(&key, row, *position, &image, entry.read);
        }
        if let Some(user) = fold::changed_sender(&image) {
            let crc = fold::intent(image.kind, image.flags, &channel, &image.tlvs, &image.body);
            let numbered = fold::numbered(&image, entry.oldest, entry.crc);
            assert_eq!(numbered.crc, crc);
            self.senders.entry((*slot, 0, user)).or_default().apply(*position, &numbered);
        }
    }

    /// What became of a message.
    pub fn target(&self, channel: &Channel, seq: u64) -> TargetRow {
        let row = self.rows.get(&(0, channel.clone(), StateKey::Target(seq)));
        row.and_then(|row| TargetRow::of(row.as_ref()?)).cloned().unwrap_or_default()
    }

    /// An entry by `user` about the message `seq`, with TLVs beside that which says so.
    pub fn about(&mut self, kind: ImageKind, user: &Id, channel: &Channel, seq: u64, body: &[u8]) -> Placed {
        let version = self.target(channel, seq).version + 1;
        let (seq, version) = (seq.to_be_bytes(), version.to_be_bytes());
        let edited = (kind == ImageKind::Edited).then_some((tag::VERSION, &version[..]));
        let tlvs = Tlvs::from_pairs(std::iter::once((tag::TARGET, &seq[..])).chain(edited));
        self.decide(kind as u8, user, channel, tlvs, body, 0)
    }

    /// Some entry about some message of `channel`, if there is one that is not erased.
    fn some_about(&mut self, user: &Id, channel: &Channel, dice: u64) -> Option<Placed> {
        let seq = dice % self.head(channel).max(1) + 1;
        let image = self.images.get(&(0, channel.clone()))?.get(seq as usize - 1)?;
        if image[1] != 1 || self.erased.contains(&(channel.clone(), seq)) {
            return None;
        }
        let row = self.target(channel, seq);
        Some(match dice % 4 {
            0 => self.about(ImageKind::Revoked, user, channel, seq, b""),
            1 => self.about(ImageKind::Edited, user, channel, seq, format!("edit {dice}").as_bytes()),
            2 => self.about(ImageKind::Pinned, user, channel, seq, &[u8::from(!row.is_pinned)]),
            _ => {
                let key = (0, channel.clone(), StateKey::Reaction(seq, user.clone()));
                let own = self.rows.get(&key).and_then(|row| ReactionRow::of(row.as_ref()?)).cloned();
                let is_on = !own.is_some_and(|row| row.reactions.iter().any(|it| it == "+"));
                self.about(ImageKind::Reacted, user, channel, seq, &[u8::from(is_on), b'+'])
            }
        })
    }

    pub fn message(&mut self, from: u64, to: u64, body: &[u8]) -> Placed {
        let (from, to) = (id(&format!("user-{from}")), id(&format!("user-{to}")));
        let channel = Channel::person(&from, &to);
        let read = if body.len().is_multiple_of(3) { self.head(&channel) } else { 0 };
        self.decide(1, &from, &channel, Tlvs::from_pairs([(1, &b"text/plain"[..])]), body, read)
    }

    /// Some entry of some kind, told by `dice`.
    pub fn some(&mut self, dice: u64) -> Placed {
        let (a, b, c) = (dice % 7, (dice / 7) % 7, (dice / 49) % 17);
        let user = id(&format!("user-{a}"));
        let other = id(&format!("user-{b}"));
        let channel = Channel::person(&user, &other);
        let group = Channel::group(&id(&format!("group-{}", dice % 5)));
        let member = |truth: &Self, user: &Id| {
            let row = truth.rows.get(&(0, group.clone(), StateKey::Member(user.clone())));
            matches!(row, Some(Some(StateRow::Member(row))) if row.is_member())
        };
        let list = |users: &[Id]| {
            let mut body = Vec::new();
            groups::write_users(&mut body, users);
            body
        };
        let group_kind = |truth: &mut Self, kind: ImageKind, users: &[Id]| {
            truth.decide(kind as u8, &user, &group, Tlvs::new(), &list(users), 0)
        };
        match c {
            10 if dice.is_multiple_of(3) => self.schedule(dice / 833, &user, &channel),
            10 if dice % 3 == 1 => self.broadcast(dice / 833, &user, &other),
            0 if self.head(&group) == 0 => group_kind(self, ImageKind::GroupCreated, &[]),
            1 if self.head(&group) > 0 && !member(self, &other) => {
                group_kind(self, ImageKind::MembersJoined, std::slice::from_ref(&other))
            }
            2 if member(self, &other) => group_kind(self, ImageKind::MembersRemoved, std::slice::from_ref(&other)),
            3 if member(self, &user) => {
                self.decide(1, &user, &group, Tlvs::new(), &vec![b'g'; (dice % 500) as usize], 0)
            }
            4 if self.head(&channel) > 0 => {
                let device = format!("device-{}", dice % 13);
                let tlvs = Tlvs::from_pairs([(fold::DEVICE_TAG, device.as_bytes())]);
                let head = self.head(&channel).to_be_bytes();
                self.decide(fold::CURSOR_KIND, &user, &channel, tlvs, &head, 0)
            }
            5 if self.head(&channel) > 0 => {
                let head = self.head(&channel).to_be_bytes();
                self.decide(fold::READ_KIND, &user, &channel, Tlvs::new(), &head, 0)
            }
            7 => self.relation(dice, &user, &channel),
            8 => self.person(dice, &user),
            6 => self.message(a, b, &vec![b'x'; (dice % 9_000) as usize]),
            11 if self.head(&group) > 0 => self.of_group(dice, &user, &other, &group),
            12 if member(self, &other) => self.of_member(dice, &user, &other, &group),
            13 if self.head(&channel) > 0 => {
                let (until, on) = ((dice % 9).to_be_bytes(), u32::from(dice.is_multiple_of(2)).to_be_bytes());
                let all = [(tag::MUTED_UNTIL_MS, &until[..]), (tag::PINNED, &on), (tag::HIDDEN, &on)];
                let marked = (tag::MARKED_UNREAD, &on[..]);
                let cleared = (dice % self.head(&channel)).to_be_bytes();
                let all = all.into_iter().chain([marked, (tag::CLEARED, &cleared[..])]);
                self.decide(fold::CONVERSATION_KIND, &user, &channel, Tlvs::from_pairs(all), &[], 0)
            }
            14 if self.head(&channel) > 0 && dice.is_multiple_of(4) => {
                let to = 1 + dice % self.head(&channel);
                let body = [(1 + dice % to).to_be_bytes(), to.to_be_bytes()].concat();
                self.decide(fold::HIDE_KIND, &user, &channel, Tlvs::new(), &body, 0)
            }
            9 if self.head(&channel) > 0 && dice.is_multiple_of(2) => {
                let seq = self.head(&channel).to_be_bytes();
                self.decide(fold::READ_KIND, &user, &channel, Tlvs::new(), &seq, fold::PRIVATE)
            }
            15 | 16 => {
                let about = self.some_about(&user, &channel, dice / 833);
                about.unwrap_or_else(|| self.message(a, b, format!("message {dice}").as_bytes()))
            }
            _ => self.message(a, b, format!("message {dice}").as_bytes()),
        }
    }

    /// Something about what is scheduled: a new one, or another one's end in every way.
    fn schedule(&mut self, dice: u64, user: &Id, channel: &Channel) -> Placed {
        let body = vec![b's'; (dice % 9_000) as usize];
        let at = usize::try_from(dice).unwrap() % self.planned.len().max(1);
        if self.planned.is_empty() || dice.is_multiple_of(3) {
            let order = Ordered { due_ms: dice, ..Ordered::about(Order::Make, CommandId::FIRST) };
            let placed = self.decide_with(fold::SCHEDULE_KIND, 0, user, channel, order.with(&Tlvs::new()), &body, 0);
            let image = placed.entry.image().unwrap();
            let id = CommandId { sender: image.sender, number: image.number };
            self.planned.push((user.clone(), channel.clone(), id, body));
            return placed;
        }
        let (user, channel, id, old) = self.planned[at].clone();
        let order = match dice % 5 {
            0 => Order::Replace,
            1 => Order::Refuse,
            2 => Order::End,
            _ => {
                self.planned.swap_remove(at);
                return self.sent(image_flag::SCHEDULED, &user, &channel, id, &old);
            }
        };
        let ordered = Ordered { due_ms: dice, refused: 24, ..Ordered::about(order, id) };
        let body = if order == Order::Replace { body } else { Vec::new() };
        match order {
            Order::End => _ = self.planned.swap_remove(at),
            Order::Replace => self.planned[at] = (user.clone(), channel.clone(), id, body.clone()),
            _ => {}
        }
        let tlvs = ordered.with(&Tlvs::new());
        self.decide_with(fold::SCHEDULE_KIND, 0, &user, &channel, tlvs, &body, 0)
    }

    /// Something about a broadcast, or tags.
    fn broadcast(&mut self, dice: u64, user: &Id, other: &Id) -> Placed {
        let body = vec![b'b'; (dice % 9_000) as usize];
        let kind = fold::BROADCAST_KIND;
        if dice.is_multiple_of(7) {
            let mut tags = Vec::new();
            let tag: Id = "tag".parse().unwrap();
            broadcast::write_tags(&mut tags, if dice.is_multiple_of(2) { std::slice::from_ref(&tag) } else { &[] });
            return self.decide(fold::TAGS_KIND, user, &Channel::user(other), Tlvs::new(), &tags, 0);
        }
        if self.announced.is_empty() || dice.is_multiple_of(4) {
            let step = Step::Make { flags: 1, reach: Reach::Everybody };
            let placed = self.decide(kind, user, &Channel::user(user), step.with(&Tlvs::new()), &body, 0);
            let image = placed.entry.image().unwrap();
            self.announced.push((user.clone(), CommandId { sender: image.sender, number: image.number }, body));
            return placed;
        }
        let at = usize::try_from(dice).unwrap() % self.announced.len();
        let (user, id, body) = self.announced[at].clone();
        let step = match dice % 5 {
            0 => Step::Cancel(id),
            1 => Step::Send { id, through: other.clone(), sent: dice, refused: 1 },
            2 => {
                self.announced.swap_remove(at);
                let forgotten = self.ended.replace((user.clone(), id)).filter(|(of, _)| *of == user).map(|(_, id)| id);
                Step::End { id, forgotten }
            }
            _ => {
                let channel = Channel::person(&user, other);
                return self.sent(image_flag::BROADCAST | image_flag::SYSTEM, &user, &channel, id, &body);
            }
        };
        self.decide(kind, &user, &Channel::user(&user), step.with(&Tlvs::new()), &[], 0)
    }

    /// What was an entry before is a message now.
    fn sent(&mut self, flags: u16, user: &Id, channel: &Channel, id: CommandId, body: &[u8]) -> Placed {
        self.clock += 1;
        let (seq, time_ms, author) = (self.head(channel) + 1, 1_000_000 + self.clock, From::of(user, channel));
        let (kind, sender, number) = (1, id.sender, id.number);
        let (tlvs, from) = (&Tlvs::new(), &author);
        let mut bytes = Vec::new();
        let head_len =
            ImageView { kind, flags, seq, time_ms, channel, from, sender, number, tlvs, body }.write(&mut bytes);
        let slot = channel.slot(0);
        let position = self.positions.get(&slot).copied().unwrap_or_default() + 1;
        let placed = Placed { slot, position, entry: Entry::new(0, 0, 0, bytes.into(), head_len as u32) };
        self.fold(&placed);
        placed
    }

    /// Something about a group, or who waits in it.
    fn of_group(&mut self, dice: u64, user: &Id, other: &Id, group: &Channel) -> Placed {
        let users = [user.clone(), other.clone()];
        let waits = |op| (fold::REQUEST_KIND, Tlvs::new(), request::body(op, &[b'?'; 40], &users));
        let muted = {
            let mut body = Vec::new();
            groups::write_members_muted(&mut body, dice % 3, &[]);
            body
        };
        let name = vec![b'n'; (dice % 100) as usize];
        let set = [(tag::NAME, &name[..]), (tag::CUSTOM, &[b'c'; 900]), (tag::JOIN_MODE, &[0, 0, 0, 1])];
        let (kind, tlvs, body) = match (dice / 637) % 7 {
            0 => waits(request::ASK),
            1 | 2 => waits(request::INVITE),
            3 => waits(request::END),
            4 => (ImageKind::MembersMuted as u8, Tlvs::new(), muted),
            5 => (ImageKind::GroupDismissed as u8, Tlvs::new(), Vec::new()),
            _ => (ImageKind::GroupChanged as u8, Tlvs::from_pairs(set), Vec::new()),
        };
        self.decide(kind, user, group, tlvs, &body, 0)
    }

    /// Something about a member.
    fn of_member(&mut self, dice: u64, user: &Id, other: &Id, group: &Channel) -> Placed {
        let (mut body, users) = (Vec::new(), std::slice::from_ref(other));
        let kind = match (dice / 637) % 4 {
            0 => {
                groups::write_roles_changed(&mut body, (dice % 2) as u8, users);
                ImageKind::RolesChanged
            }
            1 => {
                groups::write_members_muted(&mut body, dice, users);
                ImageKind::MembersMuted
            }
            2 => {
                body.bytes8(other.as_bytes());
                ImageKind::OwnerChanged
            }
            _ => {
                body.extend(format!("called {dice}").bytes());
                ImageKind::NicknameChanged
            }
        };
        self.decide(kind as u8, user, group, Tlvs::new(), &body, 0)
    }

    /// A block, or something about contacts.
    fn relation(&mut self, dice: u64, user: &Id, channel: &Channel) -> Placed {
        if dice.is_multiple_of(3) {
            return self.decide(fold::BLOCK_KIND, user, channel, Tlvs::new(), &[(dice % 2) as u8], 0);
        }
        let text = format!("text {dice}");
        let mut body = vec![1 + (dice / 3 % 4) as u8, 0, text.len() as u8];
        body.extend(text.as_bytes());
        self.decide(fold::CONTACT_KIND, user, channel, Tlvs::new(), &body, 0)
    }

    /// What a user says of themselves, or of a device.
    fn person(&mut self, dice: u64, user: &Id) -> Placed {
        let (own, device, other) = (Channel::user(user), dice / 5 % 13, dice / 65 % 13);
        let device = format!("device-{device}");
        let mut body = vec![8 + other.to_string().len() as u8 - 1];
        body.extend(format!("device-{other}").as_bytes());
        let own_device = (fold::DEVICE_TAG, device.as_bytes());
        let tlvs = |first: (u16, &[u8]), more| Tlvs::from_pairs(std::iter::once(first).chain(more));
        match dice % 5 {
            0 => {
                let name = format!("name {dice}");
                let more = Some((tag::CONTACTS_ONLY, &[0, 0, 0, 1][..]));
                self.decide(fold::USER_KIND, user, &own, tlvs((tag::NAME, name.as_bytes()), more), b"", 0)
            }
            1 => self.decide(fold::DEVICE_REMOVED_KIND, user, &own, Tlvs::new(), &body, 0),
            2 => self.decide(fold::DEVICE_REMOVED_KIND, user, &own, Tlvs::from_pairs([own_device]), b"", 0),
            3 if device.as_bytes() != &body[1..] => {
                let told = tlvs((tag::PLATFORM, b"ios"), Some(own_device));
                self.decide(fold::DEVICE_KIND, user, &own, told, &body, 0)
            }
            _ => self.decide(fold::DEVICE_KIND, user, &own, tlvs((tag::PLATFORM, b"web"), Some(own_device)), b"", 0),
        }
    }

    /// Everything acknowledged is in the store, and nothing else.
    pub fn check(&self, store: &Store) {
        assert_eq!(self.check_kept(store), 0, "trimmed");
    }

    /// As [`Truth::check`], but the first seqs of a channel may be trimmed: how many are.
    pub fn check_kept(&self, store: &Store) -> usize {
        let mut trimmed = 0;
        for ((tenant, channel), images) in &self.images {
            let found = store.read(*tenant, channel, 1, u64::MAX).unwrap();
            assert_eq!(found.len(), images.len(), "{channel:?}");
            let gone = found.iter().take_while(|found| **found == Found::Trimmed).count();
            assert_eq!(store.trimmed_through(*tenant, channel, 1).unwrap(), gone as u64, "{channel:?}");
            assert_eq!(store.trimmed_through(*tenant, channel, gone as u64 + 1).unwrap(), 0, "{channel:?}");
            for (seq, (found, image)) in found.iter().zip(images).enumerate().skip(gone) {
                if matches!(found, Found::Erased(_)) && self.erased.contains(&(channel.clone(), seq as u64 + 1)) {
                    continue;
                }
                assert!(*found == Found::Image(image.clone()), "{channel:?} {}: {found:?}", seq + 1);
            }
            let digests = store.digests(*tenant, channel, 1, u64::MAX).unwrap();
            assert_eq!(digests.len(), images.len(), "{channel:?}");
            for (at, (digest, image)) in digests.into_iter().zip(images).enumerate() {
                check_digest(digest, (at >= gone).then_some(image));
            }
            trimmed += gone;
        }
        self.check_rows(store);
        trimmed
    }

    fn check_rows(&self, store: &Store) {
        for ((tenant, channel), row) in &self.channels {
            assert_eq!(store.channel(*tenant, channel).unwrap(), *row);
        }
        for ((tenant, channel, key), row) in &self.rows {
            assert_eq!(store.state(*tenant, channel, key).unwrap(), *row);
            if let StateKey::Conversation(user) = key {
                let listed = store.conversations(*tenant, user).unwrap();
                assert_eq!(listed.iter().any(|(c, _)| c == channel), row.is_some());
            }
        }
        for ((slot, tenant, user), table) in &self.senders {
            let sorted = |mut table: SenderTable| {
                table.senders.sort_by_key(|row| row.sender);
                table
            };
            assert_eq!(sorted(store.senders(*slot, *tenant, user).unwrap()), sorted(table.clone()));
        }
    }

    /// What is served is right, if not complete: every image is the one that was acknowledged for its seq.
    pub fn check_no_wrong(&self, store: &Store) -> usize {
        let mut missing = 0;
        for ((tenant, channel), images) in &self.images {
            let found = store.read(*tenant, channel, 1, u64::MAX).unwrap();
            assert!(found.len() <= images.len());
            missing += images.len() - found.len();
            for (seq, (found, image)) in found.iter().zip(images).enumerate() {
                match found {
                    Found::Image(found) => assert!(found == image, "wrong image: {channel:?} {}", seq + 1),
                    Found::Erased(_) => assert!(self.erased.contains(&(channel.clone(), seq as u64 + 1))),
                    Found::Missing | Found::Trimmed => missing += 1,
                }
            }
        }
        missing
    }
}

/// Whether it says of the image what counting needs; nothing of one that was trimmed.
fn check_digest(digest: Digest, image: Option<&Bytes>) {
    let Some(image) = image.map(|image| Image::decode(image.clone()).unwrap()).filter(|image| image.kind == 1) else {
        return assert_eq!(digest, Digest::default());
    };
    let says = [digest.is_countable(), digest.is_expiring(), digest.mentions_all(), digest.mentions_some()];
    let flags = [image_flag::COUNTABLE, image_flag::EXPIRING, image_flag::MENTION_ALL, image_flag::MENTIONS];
    assert_eq!(says, flags.map(|flag| image.flags & flag != 0));
    let passes = |user: &Id| digest.may_be_from(AuthorSieve::of(user));
    assert!(passes(&image.author()) && !passes(&id("nobody")));
}

/// A running store.
pub struct World {
    pub opened: Opened,
    pub truth: Truth,
    pub epochs: [u32; SLOTS],
}

impl World {
    pub fn open(options: &Options, truth: Truth) -> Result<Self, OpenError> {
        open(options, &mut |_| {}).map(|opened| Self::of(opened, truth))
    }

    pub fn open_memory(disk: &MemoryDisk, options: &Options, truth: Truth) -> Result<Self, OpenError> {
        open_memory(disk, options).map(|opened| Self::of(opened, truth))
    }

    /// Makes a checkpoint that is cut after so many writes of the store, crashes, and opens again.
    pub fn cut_checkpoint(mut self, disk: &MemoryDisk, options: &Options, writes: usize) -> Self {
        disk.stop_store_after(writes);
        let _ = self.opened.materialiser.checkpoint();
        disk.crash(Crash { store_writes: usize::MAX, ..Crash::default() });
        let truth = self.truth.clone();
        drop(self);
        let world = Self::open_memory(disk, options, truth).unwrap();
        assert_eq!(world.opened.report.rebuilt, None, "after {writes} writes");
        world.truth.check(&world.opened.store);
        world
    }

    fn of(opened: Opened, truth: Truth) -> Self {
        let epochs = std::array::from_fn(|slot| opened.slots[slot].epoch);
        Self { opened, truth, epochs }
    }

    /// Appends without waiting.
    pub fn append(&mut self, entries: &[Placed]) -> Ticket {
        self.opened.log.append(&self.epochs, entries.iter().map(Placed::as_new)).unwrap()
    }

    /// Appends, waits, feeds and makes a checkpoint when one is due.
    pub fn commit(&mut self, entries: &[Placed]) -> Vec<Locator> {
        let locators = self.commit_only(entries);
        if self.opened.materialiser.is_due() {
            self.opened.materialiser.checkpoint().unwrap();
            self.erase(0);
        }
        locators
    }

    /// Appends, waits and feeds.
    pub fn commit_only(&mut self, entries: &[Placed]) -> Vec<Locator> {
        let ticket = self.append(entries);
        let written = self.opened.log.wait(ticket).unwrap();
        let locators = (0..written.len()).map(|at| written.locator(at).unwrap()).collect();
        self.opened.materialiser.feed(written);
        locators
    }

    /// Erases all that is to be erased by `now_ms`.
    pub fn erase(&mut self, now_ms: u64) {
        while self.opened.materialiser.erase(now_ms).unwrap() {}
    }

    /// Lets retention do all it has to do.
    pub fn retain(&mut self, now_ms: u64) {
        while self.opened.materialiser.retain(now_ms).unwrap() {}
    }

    /// Commits `count` entries told by `seed`, in batches of up to `batch`.
    pub fn run(&mut self, seed: u64, count: u64, batch: u64) {
        let mut dice = seed;
        let mut left = count;
        while left > 0 {
            let size = batch.min(left);
            let entries: Vec<_> = (0..size)
                .map(|_| {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    self.truth.some(dice >> 33)
                })
                .collect();
            self.opened.materialiser.hurry(dice >> 61 == 0);
            self.commit(&entries);
            left -= size;
        }
    }

    pub fn close(self) -> Truth {
        self.opened.log.close().unwrap();
        self.truth
    }
}

/// Copies a directory over `to`, which is emptied before.
pub fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
