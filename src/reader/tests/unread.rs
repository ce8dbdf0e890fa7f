//! Unread equals its definition: random histories of channels, counted by the reader over view and store, and again by going
//! through every image. The disk loses what was not synced, again and again.

use std::collections::BTreeMap;

use postrider_protocol::{
    Channel, ChannelKind, GapReason, ImageKind, Tlvs, Writer as _, image_flag, packet::groups, tag, write_ids,
};
use postrider_storage::{ConversationRow, fold};

use super::{World, asker, user};
use crate::reader::unread::{ABOVE, Unread};

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

/// A world, and what is true of it.
struct History {
    world: World,
    told: BTreeMap<Channel, Vec<Told>>,
    seen: BTreeMap<(Channel, usize), Seen>,
}

impl History {
    fn new() -> Self {
        Self { world: World::new(), told: BTreeMap::new(), seen: BTreeMap::new() }
    }

    fn tell(&mut self, channel: &Channel, told: Told) {
        self.told.entry(channel.clone()).or_default().push(told);
    }

    fn message(&mut self, dice: &mut Dice, by: usize, channel: &Channel) {
        let is_group = channel.kind() == ChannelKind::Group;
        let mut flags = if dice.one_in(6) { 0 } else { image_flag::COUNTABLE };
        let mentions: Vec<usize> = (0..USERS).filter(|_| is_group && dice.one_in(20)).collect();
        let mentions_all = is_group && dice.one_in(30);
        let lifetime_ms = dice.one_in(9).then(|| 1 + dice.below(20_000));
        let expires_ms = lifetime_ms.map(|lifetime_ms| self.world.now_ms + lifetime_ms);
        let named = write_ids(&mentions.iter().map(|at| user(*at)).collect::<Vec<_>>());
        let lifetime = lifetime_ms.unwrap_or_default().to_be_bytes();
        let named = (!mentions.is_empty()).then_some((tag::MENTIONS, &named[..]));
        let tlvs = Tlvs::from_pairs(named.into_iter().chain(lifetime_ms.map(|_| (tag::LIFETIME_MS, &lifetime[..]))));
        for (is, flag) in [
            (mentions_all, image_flag::MENTION_ALL),
            (!mentions.is_empty(), image_flag::MENTIONS),
            (expires_ms.is_some(), image_flag::EXPIRING),
        ] {
            flags |= if is { flag } else { 0 };
        }
        let read = if dice.one_in(50) { dice.below(self.world.head(channel) + 1) } else { 0 };
        let is_countable = flags & image_flag::COUNTABLE != 0;
        self.world.entry((ImageKind::Message.number(), flags), by, channel, &tlvs, b"hello", read);
        self.tell(channel, Told { author: by, is_countable, mentions_all, mentions, expires_ms, is_erased: false });
        if !is_group && self.world.head(channel) == 1 {
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
        let target = 1 + dice.below(self.world.head(channel));
        let (kind, body) = *[(ImageKind::Revoked, &b""[..]), (ImageKind::Edited, b"x"), (ImageKind::Reacted, b"\x01y")]
            .get(dice.below(3) as usize)
            .unwrap();
        let told = &mut self.told.get_mut(channel).unwrap()[target as usize - 1];
        if told.is_erased && kind == ImageKind::Revoked {
            return;
        }
        told.is_erased |= kind == ImageKind::Revoked;
        let tlvs = Tlvs::from_pairs([(tag::TARGET, &target.to_be_bytes()[..])]);
        self.world.entry((kind.number(), image_flag::COUNTABLE), by, channel, &tlvs, body, 0);
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
        let (is_new, is_member) = (self.world.head(channel) == 0, self.is_member(channel, at));
        let kind = match (is_new, is_member) {
            (true, _) => ImageKind::GroupCreated,
            (false, true) => ImageKind::MembersRemoved,
            (false, false) => ImageKind::MembersJoined,
        };
        let (mut body, with_history) = (Vec::new(), dice.one_in(4));
        groups::write_users(&mut body, &[user(at)]);
        let read = if with_history { fold::HISTORY } else { 0 };
        self.world.entry((kind.number(), 0), at, channel, &Tlvs::new(), &body, read);
        self.plain(channel, at);
        let (head, seen) = (self.world.head(channel), self.seen.entry((channel.clone(), at)).or_default());
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
        let head = self.world.head(channel);
        let Some(seen) = self.seen.get_mut(&(channel.clone(), by)) else { return };
        let seq = dice.below(seen.last(head) + 1);
        match dice.below(9) {
            0 => {
                seen.delete(1, seq.min(head / 2));
                let tlvs = Tlvs::from_pairs([(tag::CLEARED, &seq.min(head / 2).to_be_bytes()[..])]);
                self.world.entry((fold::CONVERSATION_KIND, 0), by, channel, &tlvs, b"", 0);
            }
            1 if seen.hides < fold::HIDES && seq > 0 => {
                let through = (seq + dice.below(9)).min(head);
                seen.delete(seq, through);
                seen.hides += 1;
                let mut body = Vec::new();
                body.u64(seq);
                body.u64(through);
                self.world.entry((fold::HIDE_KIND, 0), by, channel, &Tlvs::new(), &body, 0);
            }
            2..=5 if by < 5 && dice.one_in(5) => {
                let seq = if dice.one_in(2) { seen.last(head) } else { seq };
                seen.read = seen.read.max(seq);
                self.world.entry((fold::READ_KIND, 0), by, channel, &Tlvs::new(), &seq.to_be_bytes(), 0);
            }
            _ => {
                let tlvs = Tlvs::from_pairs([(tag::MARKED_UNREAD, &1u32.to_be_bytes()[..])]);
                self.world.entry((fold::CONVERSATION_KIND, 0), by, channel, &tlvs, b"", 0);
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
                && told.expires_ms.is_none_or(|expires_ms| expires_ms > self.world.now_ms)
        });
        for (_, told) in unread.take(ABOVE.into()) {
            count.unread += 1;
            count.mentions += u16::from(told.mentions_all || told.mentions.contains(&at));
        }
        count
    }

    /// Compares one view of a channel with the definition; tells what it is.
    fn check(&self, channel: &Channel, at: usize) -> Unread {
        let asker = asker(at);
        let row = self.world.reader.lookup.conversation(0, &asker.user, channel).unwrap().unwrap();
        let head = row.last_visible(self.world.head(channel));
        let counted = self.world.reader.unread(&asker, channel, (&row, head), self.world.now_ms).unwrap();
        assert_eq!(counted, self.definition(channel, at), "{channel:?} {at} {row:?}");
        if self.world.now_ms.is_multiple_of(8) {
            self.check_visible(channel, at, &row);
        }
        counted
    }

    /// What is seen of a channel is what the times as a member say.
    fn check_visible(&self, channel: &Channel, at: usize, row: &ConversationRow) {
        let (seen, mut seq) = (&self.seen[&(channel.clone(), at)], 1);
        while seq <= self.world.head(channel) {
            let (why, through) = row.stretch(seq);
            for seq in seq..=through.min(self.world.head(channel)) {
                let is = (seen.may_see(seq), seen.is_deleted(seq));
                let expected = match why {
                    Some(GapReason::NotVisible) => !is.0,
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
    let (mut history, mut dice, mut checks, mut most) = (History::new(), Dice(7), 0, Unread::default());
    let (mut zeros, mut crashes) = (0, 0);
    for step in 0..100_000 {
        let channel = channels[dice.below(8) as usize].clone();
        let is_person = channel.kind() == ChannelKind::Person;
        let by = dice.below(USERS as u64) as usize;
        let may_write =
            if is_person { channel.side_of(user(by).as_bytes()).is_some() } else { history.is_member(&channel, by) };
        match dice.below(40) {
            0..3 if !is_person => history.membership(&mut dice, &channel),
            3..6 if history.world.head(&channel) > 0 => history.about(&mut dice, by, &channel),
            6..10 => history.mark(&mut dice, by, &channel),
            _ if may_write => history.message(&mut dice, by, &channel),
            _ => history.world.now_ms += 1,
        }
        if dice.one_in(8) {
            history.world.commit();
        }
        if history.world.next.accepted.is_empty() && dice.one_in(8) && history.seen.contains_key(&(channel.clone(), by))
        {
            let counted = history.check(&channel, by);
            most = Unread { unread: most.unread.max(counted.unread), mentions: most.mentions.max(counted.mentions) };
            zeros += usize::from(counted.unread == 0);
            checks += 1;
        }
        if step % 8_000 == 7_999 {
            history.world.commit();
            history.world = history.world.crash();
            crashes += 1;
            for (channel, at) in history.seen.keys() {
                history.check(channel, *at);
            }
        }
    }
    let happened = format!("{checks} checks, {zeros} of them of nothing, {crashes} crashes, at most {most:?}");
    assert!(checks > 1_000 && zeros > 50 && zeros < checks / 2, "{happened}");
    assert!(most.unread == ABOVE && most.mentions > 20 && crashes == 12, "{happened}");
}
