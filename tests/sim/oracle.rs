//! Who knows the truth: every entry that became durable, what each app wrote, and what each connection was told. It
//! checks while the world runs; what can only be known at the end is in `verdict`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use postrider::slot::Decided;
use postrider_protocol::{
    Channel, ChannelKind, HEADER_BYTES, Id, Image, ImageKind, Reason, Sender,
    frame::Decoder,
    image_flag,
    packet::{Conversation, ListedPacket, Packet, SendackPacket, SyncItem, SyncedPacket, conversation_flag, groups},
};
use postrider_storage::{Found, MemoryDisk, SLOTS, SlotState, Store, fold};

use crate::{
    chance::Trace,
    report::{Counters, Verdict, ensure},
};

/// One sequenced entry, as it is durable.
#[derive(Clone, Debug)]
pub struct Stored {
    pub crc: u32,
    pub kind: u8,
    pub is_countable: bool,
    pub author: Id,
    pub sender: Sender,
    pub number: u64,
    pub body: Bytes,
}

/// One body that an app wrote. No two are equal.
#[derive(Clone, Debug)]
pub struct Written {
    pub author: Id,
    pub channel: Channel,
    /// The step at which it was written.
    pub at: u64,
    /// The seq that the app was told, and the step at which it was.
    pub sent: Option<(u64, u64)>,
    /// It was refused for good, or never left its app.
    pub is_void: bool,
}

/// What one connection was told.
#[derive(Debug, Default)]
struct Tap {
    decoder: Decoder,
    user: Option<Id>,
    sender: Option<Sender>,
    received: BTreeMap<Channel, u64>,
}

/// The times during which a user may see a group: after the first seq, up to the second.
pub type Stay = (u64, Option<u64>);

/// See the module.
#[derive(Debug)]
pub struct Oracle {
    disk: MemoryDisk,
    pub channels: Vec<Channel>,
    pub users: Vec<Id>,
    pub log: BTreeMap<Channel, Vec<Stored>>,
    commands: BTreeMap<(Id, Sender, u64), (Channel, u64)>,
    answered: BTreeSet<(Id, Sender, u64)>,
    bodies: BTreeSet<Bytes>,
    pub stays: BTreeMap<(Channel, Id), Vec<Stay>>,
    positions: Vec<u64>,
    cursors: BTreeMap<(Channel, Id, Id), u64>,
    /// The read marks that are durable.
    pub marks: BTreeMap<(Channel, Id), u64>,
    /// The last seq that retention dropped.
    trimmed: BTreeMap<Channel, u64>,
    /// A sync was lost: what these slots took since is not durable, and the server cannot know.
    at_risk: BTreeSet<u8>,
    pub may_lose: bool,
    /// The drive lied about these slots and then lost of them what it had promised: nothing is asked of them.
    pub tainted: BTreeSet<u8>,
    pub written: BTreeMap<Bytes, Written>,
    /// Who changed which group, or tried to.
    pub callers: BTreeSet<(Channel, Id)>,
    /// The highest seq that each device acknowledged, in any of its lives.
    pub acknowledged: BTreeMap<(Channel, Id, Id), u64>,
    /// The highest read mark that each user was told is stored.
    pub read: BTreeMap<(Channel, Id), u64>,
    taps: BTreeMap<u64, Tap>,
    pub trace: Trace,
    /// Everything that happens is printed.
    pub is_verbose: bool,
    pub counters: Counters,
}

impl Oracle {
    pub fn new(disk: MemoryDisk, channels: Vec<Channel>, users: Vec<Id>) -> Self {
        Self {
            disk,
            channels,
            users,
            log: BTreeMap::new(),
            commands: BTreeMap::new(),
            answered: BTreeSet::new(),
            bodies: BTreeSet::new(),
            stays: BTreeMap::new(),
            positions: vec![0; SLOTS],
            cursors: BTreeMap::new(),
            marks: BTreeMap::new(),
            trimmed: BTreeMap::new(),
            at_risk: BTreeSet::new(),
            may_lose: false,
            tainted: BTreeSet::new(),
            written: BTreeMap::new(),
            callers: BTreeSet::new(),
            acknowledged: BTreeMap::new(),
            read: BTreeMap::new(),
            taps: BTreeMap::new(),
            trace: Trace::default(),
            is_verbose: false,
            counters: Counters::default(),
        }
    }

    /// Prints what happens, if that is wanted.
    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.is_verbose {
            eprintln!("{}", what());
        }
    }

    /// Whether nothing is asked of the channel any more.
    pub fn skips(&self, channel: &Channel) -> bool {
        self.tainted.contains(&channel.slot(0))
    }

    /// The last seq of the channel that retention dropped; 0 for none.
    pub fn trimmed(&self, channel: &Channel) -> u64 {
        self.trimmed.get(channel).copied().unwrap_or_default()
    }

    /// Retention may have dropped something: the oldest of a channel, and what is dropped does not come back.
    pub fn trim(&mut self, store: &Store) -> Verdict {
        for channel in self.channels.clone() {
            let through = store.trimmed_through(0, &channel, 1).expect("a store");
            let before = self.trimmed(&channel);
            if through > before {
                self.counters.add("trims");
                self.say(|| format!("  trimmed: {channel:?} through {through}"));
            }
            let is_true = self.skips(&channel) || through >= before && through <= self.head(&channel);
            ensure(is_true, "I9 completeness", || format!("{channel:?} was trimmed through {before}, now {through}"))?;
            self.trimmed.insert(channel, through);
        }
        Ok(())
    }

    /// The last seq of the channel.
    pub fn head(&self, channel: &Channel) -> u64 {
        self.log.get(channel).map_or(0, |log| log.len() as u64)
    }

    /// What is durable at `seq`.
    pub fn stored(&self, channel: &Channel, seq: u64) -> Option<&Stored> {
        self.log.get(channel)?.get(usize::try_from(seq.checked_sub(1)?).ok()?)
    }

    /// The seqs of the channel that the user may see.
    pub fn stays(&self, channel: &Channel, user: &Id) -> Vec<Stay> {
        match channel.kind() {
            ChannelKind::Person if channel.side_of(user.as_bytes()).is_some() => vec![(0, None)],
            ChannelKind::Person | ChannelKind::User => Vec::new(),
            ChannelKind::Group => self.stays.get(&(channel.clone(), user.clone())).cloned().unwrap_or_default(),
        }
    }

    /// The last seq that the user may see; none when they do not have the channel.
    pub fn last_visible(&self, channel: &Channel, user: &Id) -> Option<u64> {
        let head = self.head(channel);
        let (_, to) = *self.stays(channel, user).last()?;
        (head > 0).then(|| to.unwrap_or(head))
    }

    /// A commit says that these are durable.
    pub fn committed(&mut self, batch: &[Decided]) -> Verdict {
        let is_durable = self.disk.unsynced().0 == 0;
        ensure(is_durable || self.may_lose, "durable before told", || {
            let entries: usize = batch.iter().map(|decided| decided.accepted.len()).sum();
            format!("{entries} entries are acknowledged and not synced")
        })?;
        if is_durable {
            self.at_risk.clear();
        } else {
            self.counters.add("lost syncs");
            self.at_risk.extend(batch.iter().flat_map(|decided| &decided.runs).map(|run| run.slot));
        }
        for decided in batch {
            for (run, entries) in decided.iter() {
                let slot = usize::from(run.slot);
                for entry in entries {
                    self.positions[slot] += 1;
                    ensure(entry.position == self.positions[slot], "I3 density", || {
                        format!("position {} of slot {slot} follows {}", entry.position, self.positions[slot] - 1)
                    })?;
                    let bytes = Bytes::copy_from_slice(&decided.frame(entry)[HEADER_BYTES..]);
                    let image = Image::decode(bytes.clone()).expect("an image that decide made");
                    self.say(|| format!("  durable: {:?} {} of kind {}", run.channel, entry.seq, image.kind));
                    if entry.read > 0 {
                        self.mark(&image, entry.read);
                    }
                    if entry.seq > 0 {
                        self.append(&bytes, &image)?;
                    } else {
                        self.control(&image);
                    }
                }
            }
        }
        Ok(())
    }

    /// A commit failed: nothing of it may be told. `told` is how many bytes were put into outboxes.
    pub fn failed(&mut self, told: usize) -> Verdict {
        self.counters.add("failed commits");
        ensure(told == 0, "durable before told", || format!("{told} bytes were told of a commit that failed"))
    }

    fn mark(&mut self, image: &Image, seq: u64) {
        let mark = self.marks.entry((image.channel.clone(), image.author())).or_default();
        *mark = seq.max(*mark);
    }

    fn control(&mut self, image: &Image) {
        let (channel, user) = (image.channel.clone(), image.author());
        let seq = fold::seq_in_body(image).unwrap_or_default();
        if image.kind == fold::READ_KIND {
            self.mark(image, seq);
        } else if let Some(device) = image.tlvs.get(fold::DEVICE_TAG)
            && image.kind == fold::CURSOR_KIND
        {
            let device = Id::new(Bytes::copy_from_slice(device)).expect("a device");
            let cursor = self.cursors.entry((channel, user, device)).or_default();
            *cursor = seq.max(*cursor);
        }
    }

    /// The next entry of a channel.
    fn append(&mut self, bytes: &Bytes, image: &Image) -> Verdict {
        let (channel, author) = (image.channel.clone(), image.author());
        if self.skips(&channel) {
            return Ok(());
        }
        let head = self.head(&channel);
        let here = || format!("{channel:?} {}", image.seq);
        ensure(image.seq == head + 1, "I3 density", || format!("{} follows {head}", here()))?;
        if image.kind == ImageKind::Message.number() {
            let written = self.written.get(&image.body);
            let is_true = written.is_some_and(|written| written.author == author && written.channel == channel);
            ensure(is_true, "I6 no fabrication", || format!("{} was not written by {author}", here()))?;
            ensure(self.bodies.insert(image.body.clone()), "I2 uniqueness", || format!("{} is stored twice", here()))?;
        } else {
            let is_true = self.callers.contains(&(channel.clone(), author.clone()));
            ensure(is_true, "I6 no fabrication", || format!("{} was not asked for by {author}", here()))?;
            let is_member = self.stays(&channel, &author).last().is_some_and(|(_, to)| to.is_none());
            let may = is_member || image.kind == ImageKind::GroupCreated.number() && head == 0;
            ensure(may, "I13 membership", || format!("{} was changed by {author}, who is no member", here()))?;
            self.change_members(&channel, image);
        }
        let command = (author.clone(), image.sender, image.number);
        let before = self.commands.insert(command, (channel.clone(), image.seq));
        ensure(before.is_none(), "I2 uniqueness", || format!("{} has the number of {before:?}", here()))?;
        let (crc, kind, sender, number) = (crc32fast::hash(bytes), image.kind, image.sender, image.number);
        let body = Bytes::copy_from_slice(&image.body);
        let is_countable = kind == ImageKind::Message.number() && image.flags & image_flag::COUNTABLE != 0;
        let stored = Stored { crc, kind, is_countable, author, sender, number, body };
        self.log.entry(channel).or_default().push(stored);
        Ok(())
    }

    fn change_members(&mut self, channel: &Channel, image: &Image) {
        let mut users = groups::read_users(image.body.clone()).expect("a list of users");
        let joins = [ImageKind::GroupCreated, ImageKind::MembersJoined].map(ImageKind::number).contains(&image.kind);
        if image.kind == ImageKind::GroupCreated.number() && !users.contains(&image.author()) {
            users.push(image.author());
        }
        for user in users {
            let stays = self.stays.entry((channel.clone(), user)).or_default();
            match stays.last_mut() {
                Some((_, to)) if !joins => *to = Some(image.seq),
                _ => stays.push((image.seq - 1, None)),
            }
        }
    }

    /// A process opened the disk: all that was durable is there, and what else is found is durable now. `lost` says
    /// that it noticed a loss.
    pub fn recovered(&mut self, store: &Store, slots: &[SlotState], lost: bool) -> Verdict {
        self.taps.clear();
        let at_risk = std::mem::take(&mut self.at_risk);
        let is_excused = !at_risk.is_empty() || !self.tainted.is_empty();
        ensure(!lost || is_excused, "I1 durability", || "the log says that it lost something".into())?;
        for (slot, state) in (0..=u8::MAX).zip(slots) {
            let before = std::mem::replace(&mut self.positions[usize::from(slot)], state.position);
            if lost || at_risk.contains(&slot) {
                self.tainted.insert(slot);
            } else if !self.tainted.contains(&slot) {
                let is_there = state.position >= before;
                let found = state.position;
                ensure(is_there, "I1 durability", || format!("slot {slot} had {before} entries, {found} are left"))?;
            }
        }
        for channel in self.channels.clone() {
            if !self.skips(&channel) {
                self.recovered_channel(store, &channel)?;
            }
        }
        self.trim(store)
    }

    fn recovered_channel(&mut self, store: &Store, channel: &Channel) -> Verdict {
        let head = store.channel(0, channel).expect("a store").map_or(0, |row| row.head);
        let before = self.head(channel);
        ensure(head >= before, "I1 durability", || format!("{channel:?} had {before} messages, {head} are left"))?;
        let found = if head > 0 { store.read(0, channel, 1, head).expect("a store") } else { Vec::new() };
        ensure(found.len() as u64 == head, "I3 density", || format!("{channel:?} has {} of {head}", found.len()))?;
        for (seq, found) in (1..).zip(found) {
            if found == Found::Trimmed && self.stored(channel, seq).is_some() {
                continue;
            }
            let Found::Image(bytes) = found else {
                return ensure(false, "I1 durability", || format!("{channel:?} {seq} is missing"));
            };
            if let Some(stored) = self.stored(channel, seq) {
                let is_same = stored.crc == crc32fast::hash(&bytes);
                ensure(is_same, "I4 agreement", || format!("{channel:?} {seq} is another after a start"))?;
            } else {
                self.counters.add("survivors");
                self.append(&bytes, &Image::decode(bytes.clone()).expect("an image that was stored"))?;
            }
        }
        for user in self.users.clone() {
            let Some(row) = store.conversation(0, &user, channel).expect("a store") else { continue };
            let mark = self.marks.entry((channel.clone(), user.clone())).or_default();
            ensure(row.read >= *mark, "I1 durability", || format!("{user}'s mark of {channel:?} was {mark}"))?;
            *mark = row.read;
            for cursor in row.cursors {
                let before = self.cursors.entry((channel.clone(), user.clone(), cursor.device)).or_default();
                ensure(cursor.seq >= *before, "I10 no redelivery", || format!("a cursor of {user} was {before}"))?;
                *before = cursor.seq;
            }
        }
        Ok(())
    }

    /// Whole frames leave for a connection.
    pub fn told(&mut self, connection: u64, frames: &Bytes) -> Verdict {
        self.trace.add(1, connection, frames);
        let mut tap = self.taps.remove(&connection).unwrap_or_default();
        tap.decoder.feed(frames.clone());
        while let Some(frame) = tap.decoder.next_frame().expect("the server's frames are whole") {
            let packet = Packet::decode(frame).expect("the server's packets can be read");
            self.packet(&mut tap, packet.expect("a packet that is known"))?;
        }
        self.taps.insert(connection, tap);
        Ok(())
    }

    fn packet(&mut self, tap: &mut Tap, packet: Packet) -> Verdict {
        match packet {
            Packet::Connack(connack) if connack.reason == Reason::Ok => {
                self.say(|| format!("  welcome to {:?}: {:?}", connack.user, connack.sender));
                (tap.user, tap.sender) = (connack.user.map(|user| user.detached()), Some(connack.sender));
                Ok(())
            }
            Packet::Sendack(sendack) => self.sendack(tap, &sendack),
            Packet::Recv(image) => {
                self.counters.add("received");
                let last = tap.received.insert(image.channel.detached(), image.seq).unwrap_or_default();
                let here = || format!("{:?} {} after {last}", image.channel, image.seq);
                ensure(image.seq > last, "I8 delivery order", here)?;
                let mut bytes = Vec::new();
                image.write(&mut bytes);
                self.image(tap, bytes.into())
            }
            Packet::Listed(listed) => self.listed(tap, listed),
            Packet::Synced(synced) => self.synced(tap, synced),
            Packet::Lag(_) => {
                self.counters.add("lags");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn sendack(&mut self, tap: &Tap, sendack: &SendackPacket) -> Verdict {
        match sendack.reason {
            Reason::DedupConflict => self.counters.add("conflicts"),
            Reason::Busy | Reason::RateLimited | Reason::StorageFull => self.counters.add("refused for now"),
            _ => {}
        }
        let (Some(user), Some(sender)) = (&tap.user, tap.sender) else { return Ok(()) };
        if sendack.reason != Reason::Ok || !self.tainted.is_empty() {
            return Ok(());
        }
        let command = (user.clone(), sender, sendack.number);
        self.counters.add("acks");
        if !self.answered.insert(command.clone()) {
            self.counters.add("duplicates answered");
        }
        let stored = self.commands.get(&command);
        let here = || format!("{user} number {} is told as {}, and is {stored:?}", sendack.number, sendack.seq);
        ensure(stored.is_some(), "durable before told", here)?;
        ensure(stored.is_some_and(|(_, seq)| *seq == sendack.seq), "I2 uniqueness", here)
    }

    /// An image was told: it is durable, the same as ever, and the user may see it.
    fn image(&mut self, tap: &Tap, bytes: Bytes) -> Verdict {
        let image = Image::decode(bytes.clone()).expect("the server's images can be read");
        if self.skips(&image.channel) {
            return Ok(());
        }
        let stored = self.stored(&image.channel, image.seq);
        let here = || format!("{:?} {} to {:?}", image.channel, image.seq, tap.user);
        ensure(stored.is_some(), "durable before told", here)?;
        let is_same = stored.is_some_and(|stored| stored.crc == crc32fast::hash(&bytes));
        ensure(is_same, "I4 agreement", here)?;
        let Some(user) = &tap.user else { return ensure(false, "I13 membership", here) };
        let sees = |(from, to): &Stay| image.seq > *from && to.is_none_or(|to| image.seq <= to);
        ensure(self.stays(&image.channel, user).iter().any(sees), "I13 membership", here)
    }

    fn listed(&mut self, tap: &Tap, listed: ListedPacket) -> Verdict {
        self.counters.add("lists");
        self.say(|| {
            format!("  list to {:?}: {} there, more: {}", tap.user, listed.conversations.len(), !listed.next.is_empty())
        });
        for conversation in listed.conversations {
            let channel = &conversation.channel;
            if self.skips(channel) {
                continue;
            }
            let (head, from) = (conversation.head, conversation.sync_from);
            self.say(|| format!("  list to {:?}: {channel:?} head {head} from {from}", tap.user));
            let here = || format!("{channel:?} to {:?}: head {head}, sync_from {from}", tap.user);
            ensure(head <= self.head(channel) && from <= head, "durable before told", here)?;
            self.unread(tap, &conversation)?;
            if !conversation.image.is_empty() && conversation.flags & conversation_flag::CUT == 0 {
                self.image(tap, conversation.image)?;
            }
        }
        Ok(())
    }

    /// Unread is what others wrote above the mark while the user was there, as far as it was kept.
    fn unread(&mut self, tap: &Tap, conversation: &Conversation) -> Verdict {
        let (channel, head, read) = (&conversation.channel, conversation.head, conversation.read);
        let Some(user) = &tap.user else { return Ok(()) };
        let stays = self.stays(channel, user);
        // Nine times as a member are known: the present one and eight before it.
        let stays = stays.get(stays.len().saturating_sub(9)..).unwrap_or_default();
        let counts = |seq: &u64| {
            let is_seen = stays.iter().any(|(from, to)| seq > from && to.is_none_or(|to| *seq <= to));
            is_seen && self.stored(channel, *seq).is_some_and(|stored| stored.is_countable && stored.author != *user)
        };
        let most = (read + 1..=head).filter(counts).count();
        let least = (read.max(self.trimmed(channel)) + 1..=head).filter(counts).count();
        let unread = usize::from(conversation.unread);
        self.counters.add(if unread > 0 { "unread" } else { "all read" });
        ensure((least..=most).contains(&unread), "I12 unread", || {
            format!("{channel:?} to {user:?}: {unread} of {head} above {read}, not {least} to {most}")
        })
    }

    fn synced(&mut self, tap: &Tap, synced: SyncedPacket) -> Verdict {
        self.counters.add("syncs");
        let (from, to, head) = (synced.from, synced.to, synced.head);
        self.say(|| format!("  sync to {:?}: {:?} {from} to {to}, head {head}", tap.user, synced.reason));
        for item in synced.items {
            if let SyncItem::Image(bytes) = item {
                self.counters.add("synced");
                self.image(tap, bytes)?;
            }
        }
        Ok(())
    }

    /// The sender under which a connection numbers its commands, once it was told.
    pub fn sender_of(&self, connection: u64) -> Option<Sender> {
        self.taps.get(&connection)?.sender
    }
}
