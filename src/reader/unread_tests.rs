//! Unread equals its definition: random histories of channels, counted by the reader over view and store, and again by going
//! through every image. The disk loses what was not synced, again and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use postrider_protocol::{
    Channel, From, Id, ImageKind, ImageView, Kind, Sender, Tlvs, Writer as _, frame, image_flag, packet::groups, tag,
    write_ids,
};
use postrider_storage::{
    ConversationRow, Crash, Entry, Log, Materialiser, MemoryDisk, Options, SLOTS, StateKey, StateRow, fold, open_memory,
};

use super::{ABOVE, Unread};
use crate::{
    lookup::Lookup,
    metrics::Metrics,
    reader::{Asker, ReadLimits, Reader},
    slot::{Accepted, Audience, Decided, Run},
    uncovered::Change,
    view::View,
};

const USERS: usize = 6;

struct Dice(u64);

impl Dice {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

fn user(at: usize) -> Id {
    format!("user-{at}").parse().unwrap()
}

/// An image, as the definition needs it.
struct Told {
    author: usize,
    is_countable: bool,
    mentions_all: bool,
    mentions: Vec<usize>,
    expires_ms: Option<u64>,
    is_erased: bool,
}

/// A user's view of a channel, as the definition needs it.
#[derive(Clone, Default)]
struct Seen {
    /// First and last visible seq, oldest first.
    spans: Vec<(u64, u64)>,
    read: u64,
    deleted: Vec<bool>,
    hides: usize,
}

impl Seen {
    fn may_see(&self, seq: u64) -> bool {
        self.spans.iter().any(|(first, last)| (*first..=*last).contains(&seq))
    }

    fn delete(&mut self, from: u64, to: u64) {
        let to = (to as usize + 1).max(from as usize);
        self.deleted.resize(to.max(self.deleted.len()), false);
        self.deleted[from as usize..to].fill(true);
    }

    fn is_deleted(&self, seq: u64) -> bool {
        self.deleted.get(seq as usize).copied().unwrap_or_default()
    }

    fn is_member(&self) -> bool {
        self.spans.last().is_some_and(|(_, last)| *last == u64::MAX)
    }

    fn last(&self, head: u64) -> u64 {
        self.spans.last().map_or(0, |(_, last)| head.min(*last))
    }
}

/// A server without sessions: what was appended is durable, shown, and fed to the store.
struct World {
    disk: MemoryDisk,
    log: Log,
    materialiser: Materialiser,
    view: Arc<View>,
    reader: Reader,
    rows: BTreeMap<(Channel, StateKey), Option<StateRow>>,
    positions: BTreeMap<u8, u64>,
    now_ms: u64,
    /// What is decided and not appended yet.
    next: Decided,
    told: BTreeMap<Channel, Vec<Told>>,
    seen: BTreeMap<(Channel, usize), Seen>,
}

impl World {
    fn new() -> Self {
        let disk = MemoryDisk::new();
        let (log, materialiser, view, reader) = Self::open(&disk);
        let (rows, positions, next) = (BTreeMap::new(), BTreeMap::new(), Decided::default());
        let (told, seen) = (BTreeMap::new(), BTreeMap::new());
        Self { disk, log, materialiser, view, reader, rows, positions, now_ms: 1_000_000, next, told, seen }
    }

    fn open(disk: &MemoryDisk) -> (Log, Materialiser, Arc<View>, Reader) {
        let sizes = Options { segment_bytes: 256 << 10, checkpoint_bytes: 64 << 10, ..Options::new("memory") };
        let opened =
            open_memory(disk, &Options { window_bytes: 128 << 10, reserve_bytes: 0, ballast_bytes: 0, ..sizes });
        let opened = opened.unwrap();
        let view = Arc::new(View::new(&opened.slots));
        let lookup = Lookup::new(opened.store, Arc::clone(&view));
        let limits = ReadLimits { page: 50, page_max: 100, window: 1_000, age_ms: 1_000_000_000 };
        let reader = Reader::new(lookup, limits, Arc::new(Metrics::new()));
        (opened.log, opened.materialiser, view, reader)
    }

    fn head(&self, channel: &Channel) -> u64 {
        self.told.get(channel).map_or(0, |told| told.len() as u64)
    }

    fn entry(&mut self, (kind, flags): (u8, u16), by: usize, channel: &Channel, tlvs: &Tlvs, body: &[u8], read: u64) {
        let from = From::of(&user(by), channel);
        let seq = if kind < fold::CURSOR_KIND { self.head(channel) + 1 } else { 0 };
        self.now_ms += 1;
        let (time_ms, sender) = (self.now_ms, Sender::from_bytes([0; 8]));
        let view = ImageView { kind, flags, seq, time_ms, channel, from: &from, sender, number: 0, tlvs, body };
        let start = self.next.frames.len();
        let head_len = frame::append(&mut self.next.frames, Kind::Recv, |out| view.write(out));
        let mut bytes = Vec::new();
        view.write(&mut bytes);
        let entry = Entry::new(0, 0, read, bytes.into(), head_len as u32);
        let slot = channel.slot(0);
        let position = self.positions.entry(slot).or_default();
        *position += 1;
        let position = *position;
        let image = entry.image().unwrap();
        let fold = |key: StateKey| {
            let row = self.rows.entry((channel.clone(), key.clone())).or_default();
            fold::apply(&key, row, position, &image, read);
            Change { key, position, row: row.clone() }
        };
        let changes = fold::changed(&image, read).into_iter().map(fold).collect();
        let frame = (start as u32, (self.next.frames.len() - start) as u32);
        let (head_len, crc) = (head_len as u32, entry.crc);
        self.next.accepted.push(Accepted { position, seq, time_ms, oldest: 0, read, frame, head_len, crc });
        let (audience, channel) = (Audience::Nobody, channel.clone());
        self.next.runs.push(Run { slot, tenant: 0, channel, count: 1, audience, except: 0, changes });
    }

    fn commit(&mut self) {
        let batch = [std::mem::take(&mut self.next)];
        let ticket = self.log.append(&[1; SLOTS], batch.iter().flat_map(Decided::entries)).unwrap();
        let written = self.log.wait(ticket).unwrap();
        self.view.commit(&batch, &written);
        self.materialiser.feed(written);
        if self.materialiser.is_due() {
            self.materialiser.checkpoint().unwrap();
            let store = Arc::clone(self.reader.lookup.store());
            self.view.release(|slot| store.covered(slot));
        }
    }

    fn crash(self) -> Self {
        self.disk.crash(Crash::default());
        let Self { disk, rows, positions, now_ms, next, told, seen, .. } = self;
        let (log, materialiser, view, reader) = Self::open(&disk);
        Self { disk, log, materialiser, view, reader, rows, positions, now_ms, next, told, seen }
    }

    fn tell(&mut self, channel: &Channel, told: Told) {
        self.told.entry(channel.clone()).or_default().push(told);
    }

    fn message(&mut self, dice: &mut Dice, by: usize, channel: &Channel) {
        let is_group = channel.kind() == postrider_protocol::ChannelKind::Group;
        let mut flags = if dice.one_in(6) { 0 } else { image_flag::COUNTABLE };
        let mentions: Vec<usize> = (0..USERS).filter(|_| is_group && dice.one_in(20)).collect();
        let mentions_all = is_group && dice.one_in(30);
        let expires_ms = dice.one_in(9).then(|| self.now_ms + dice.below(20_000));
        let named = write_ids(&mentions.iter().map(|at| user(*at)).collect::<Vec<_>>());
        let expires = expires_ms.unwrap_or_default().to_be_bytes();
        let named = (!mentions.is_empty()).then_some((tag::MENTIONS, &named[..]));
        let tlvs = Tlvs::from_pairs(named.into_iter().chain(expires_ms.map(|_| (tag::EXPIRES_AT_MS, &expires[..]))));
        for (is, flag) in [
            (mentions_all, image_flag::MENTION_ALL),
            (!mentions.is_empty(), image_flag::MENTIONS),
            (expires_ms.is_some(), image_flag::EXPIRING),
        ] {
            flags |= if is { flag } else { 0 };
        }
        let read = if dice.one_in(50) { dice.below(self.head(channel) + 1) } else { 0 };
        let is_countable = flags & image_flag::COUNTABLE != 0;
        self.entry((ImageKind::Message.number(), flags), by, channel, &tlvs, b"hello", read);
        self.tell(channel, Told { author: by, is_countable, mentions_all, mentions, expires_ms, is_erased: false });
        if !is_group && self.head(channel) == 1 {
            for at in 0..USERS {
                if channel.side_of(user(at).as_bytes()).is_some() {
                    self.seen.entry((channel.clone(), at)).or_default().spans.push((1, u64::MAX));
                }
            }
        }
        let seen = self.seen.get_mut(&(channel.clone(), by)).unwrap();
        seen.read = seen.read.max(read);
    }

    /// Something about a message, which is no message.
    fn about(&mut self, dice: &mut Dice, by: usize, channel: &Channel) {
        let target = 1 + dice.below(self.head(channel));
        let (kind, body) = *[(ImageKind::Revoked, &b""[..]), (ImageKind::Edited, b"x"), (ImageKind::Reacted, b"\x01y")]
            .get(dice.below(3) as usize)
            .unwrap();
        let told = &mut self.told.get_mut(channel).unwrap()[target as usize - 1];
        if told.is_erased && kind == ImageKind::Revoked {
            return;
        }
        told.is_erased |= kind == ImageKind::Revoked;
        let tlvs = Tlvs::from_pairs([(tag::TARGET, &target.to_be_bytes()[..])]);
        self.entry((kind.number(), image_flag::COUNTABLE), by, channel, &tlvs, body, 0);
        self.plain(channel, by);
    }

    /// What came last is no message.
    fn plain(&mut self, channel: &Channel, author: usize) {
        let (mentions, is_erased) = (Vec::new(), false);
        let (is_countable, mentions_all) = (false, false);
        self.tell(channel, Told { author, is_countable, mentions_all, mentions, expires_ms: None, is_erased });
    }

    fn membership(&mut self, dice: &mut Dice, channel: &Channel) {
        let at = dice.below(USERS as u64) as usize;
        let (is_new, is_member) = (self.head(channel) == 0, self.is_member(channel, at));
        let kind = match (is_new, is_member) {
            (true, _) => ImageKind::GroupCreated,
            (false, true) => ImageKind::MembersRemoved,
            (false, false) => ImageKind::MembersJoined,
        };
        let (mut body, with_history) = (Vec::new(), dice.one_in(4));
        groups::write_users(&mut body, &[user(at)]);
        let read = if with_history { fold::HISTORY } else { 0 };
        self.entry((kind.number(), 0), at, channel, &Tlvs::new(), &body, read);
        self.plain(channel, at);
        let (head, seen) = (self.head(channel), self.seen.entry((channel.clone(), at)).or_default());
        if is_member {
            seen.spans.last_mut().unwrap().1 = head;
            return;
        }
        if with_history {
            seen.spans.clear();
        }
        seen.spans.push((if with_history { 1 } else { head }, u64::MAX));
        if seen.spans.len() > fold::SPANS + 1 {
            seen.spans.remove(0);
        }
    }

    fn is_member(&self, channel: &Channel, at: usize) -> bool {
        self.seen.get(&(channel.clone(), at)).is_some_and(Seen::is_member)
    }

    /// Something that a user does for themselves.
    fn mark(&mut self, dice: &mut Dice, by: usize, channel: &Channel) {
        let head = self.head(channel);
        let Some(seen) = self.seen.get_mut(&(channel.clone(), by)) else { return };
        let seq = dice.below(seen.last(head) + 1);
        match dice.below(9) {
            0 => {
                seen.delete(1, seq.min(head / 2));
                let tlvs = Tlvs::from_pairs([(tag::CLEARED, &seq.min(head / 2).to_be_bytes()[..])]);
                self.entry((fold::CONVERSATION_KIND, 0), by, channel, &tlvs, b"", 0);
            }
            1 if seen.hides < fold::HIDES && seq > 0 => {
                let through = (seq + dice.below(9)).min(head);
                seen.delete(seq, through);
                seen.hides += 1;
                let mut body = Vec::new();
                body.u64(seq);
                body.u64(through);
                self.entry((fold::HIDE_KIND, 0), by, channel, &Tlvs::new(), &body, 0);
            }
            2..=5 if by < 5 && dice.one_in(5) => {
                let seq = if dice.one_in(2) { seen.last(head) } else { seq };
                seen.read = seen.read.max(seq);
                self.entry((fold::READ_KIND, 0), by, channel, &Tlvs::new(), &seq.to_be_bytes(), 0);
            }
            _ => {
                let tlvs = Tlvs::from_pairs([(tag::MARKED_UNREAD, &1u32.to_be_bytes()[..])]);
                self.entry((fold::CONVERSATION_KIND, 0), by, channel, &tlvs, b"", 0);
            }
        }
    }

    /// Unread as it is defined.
    fn definition(&self, channel: &Channel, at: usize) -> Unread {
        let (seen, mut count) = (&self.seen[&(channel.clone(), at)], Unread::default());
        let told = self.told[channel].iter().enumerate().rev().map(|(before, told)| (before as u64 + 1, told));
        let unread = told.filter(|(seq, told)| {
            told.is_countable
                && *seq > seen.read
                && seen.may_see(*seq)
                && !seen.is_deleted(*seq)
                && told.author != at
                && !told.is_erased
                && told.expires_ms.is_none_or(|expires_ms| expires_ms > self.now_ms)
        });
        for (_, told) in unread.take(ABOVE.into()) {
            count.unread += 1;
            count.mentions += u16::from(told.mentions_all || told.mentions.contains(&at));
        }
        count
    }

    /// Compares one view of a channel with the definition; tells what it is.
    fn check(&self, channel: &Channel, at: usize) -> Unread {
        let asker = Asker { tenant: 0, user: user(at), device: None };
        let row = self.reader.lookup.conversation(0, &asker.user, channel).unwrap().unwrap();
        let head = row.last_visible(self.head(channel));
        let counted = self.reader.unread(&asker, channel, (&row, head), self.now_ms).unwrap();
        assert_eq!(counted, self.definition(channel, at), "{channel:?} {at} {row:?}");
        if self.now_ms.is_multiple_of(8) {
            self.check_visible(channel, at, &row);
        }
        counted
    }

    /// What is seen of a channel is what the times as a member say.
    fn check_visible(&self, channel: &Channel, at: usize, row: &ConversationRow) {
        let (seen, mut seq) = (&self.seen[&(channel.clone(), at)], 1);
        while seq <= self.head(channel) {
            let (why, through) = row.stretch(seq);
            for seq in seq..=through.min(self.head(channel)) {
                let is = (seen.may_see(seq), seen.is_deleted(seq));
                let expected = match why {
                    Some(postrider_protocol::GapReason::NotVisible) => !is.0,
                    Some(_) => is == (true, true),
                    None => is == (true, false),
                };
                assert!(expected, "{channel:?} {at} {seq} {why:?} {row:?}");
            }
            seq = through.saturating_add(1);
        }
    }
}

#[test]
fn unread_equals_its_definition_after_100_000_operations_and_crashes() {
    let mut channels: Vec<Channel> =
        [(0, 1), (0, 2), (1, 2), (3, 3)].map(|(a, b)| Channel::person(&user(a), &user(b))).into();
    channels.extend((0..4).map(|at| Channel::group(&format!("group-{at}").parse().unwrap())));
    let (mut world, mut dice, mut checks, mut most) = (World::new(), Dice(7), 0, Unread::default());
    let (mut zeros, mut crashes) = (0, 0);
    for step in 0..100_000 {
        let channel = channels[dice.below(8) as usize].clone();
        let is_person = channel.kind() == postrider_protocol::ChannelKind::Person;
        let by = dice.below(USERS as u64) as usize;
        let may_write =
            if is_person { channel.side_of(user(by).as_bytes()).is_some() } else { world.is_member(&channel, by) };
        match dice.below(40) {
            0..3 if !is_person => world.membership(&mut dice, &channel),
            3..6 if world.head(&channel) > 0 => world.about(&mut dice, by, &channel),
            6..10 => world.mark(&mut dice, by, &channel),
            _ if may_write => world.message(&mut dice, by, &channel),
            _ => world.now_ms += 1,
        }
        if dice.one_in(8) && !world.next.accepted.is_empty() {
            world.commit();
        }
        if world.next.accepted.is_empty() && dice.one_in(8) && world.seen.contains_key(&(channel.clone(), by)) {
            let counted = world.check(&channel, by);
            most = Unread { unread: most.unread.max(counted.unread), mentions: most.mentions.max(counted.mentions) };
            zeros += usize::from(counted.unread == 0);
            checks += 1;
        }
        if step % 8_000 == 7_999 {
            if !world.next.accepted.is_empty() {
                world.commit();
            }
            world = world.crash();
            crashes += 1;
            for (channel, at) in world.seen.keys() {
                world.check(channel, *at);
            }
        }
    }
    let happened = format!("{checks} checks, {zeros} of them of nothing, {crashes} crashes, at most {most:?}");
    assert!(checks > 1_000 && zeros > 50 && zeros < checks / 2, "{happened}");
    assert!(most.unread == ABOVE && most.mentions > 20 && crashes == 12, "{happened}");
}
