//! The same operations on the real server and on the model, one after the other, by users with several devices over
//! all transports; connections break and the server is killed in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use postrider_protocol::{
    Channel, Id, Image, Method, Reason, Tlvs, image_flag,
    packet::{ReplyPacket, SendPacket, groups, marks, people, targets},
    tag, write_ids,
};

use super::{
    broadcasts,
    chance::Chance,
    groups::GroupOp,
    harness::{Client, Server, Via, id, until},
    model::{Draft, Model, NEWS, Outcome, Place, Settings, User},
    scheduled::Planned,
};

pub const USERS: usize = 6;
const DEVICES: [&str; 2] = ["phone", "desk"];
const GROUPS: usize = 3;
const REACTIONS: [&str; 4] = ["👍", "❤", "😂", "+1"];
/// In a run of 100 seeds or more each of these must have happened.
pub const MUST_HAPPEN: &[&str] = &[
    "schedule",
    "schedule cancel",
    "schedule edit",
    "schedule sent",
    "answer",
    "block",
    "broadcast",
    "broadcast over a crash",
    "bursts",
    "clear",
    "crashes",
    "disconnects",
    "done already",
    "edit",
    "expired",
    "group add",
    "group answer",
    "group create",
    "group dismiss",
    "group invite",
    "group join",
    "group join mode",
    "group mute",
    "group name",
    "group nickname",
    "group remove",
    "group role",
    "group transfer",
    "hide",
    "hide conversation",
    "mark unread",
    "mention",
    "mute conversation",
    "pin",
    "pin conversation",
    "react",
    "read",
    "refused",
    "revoke",
    "send",
    "tags",
];

/// One device: its connection, and what it must have been sent since that began.
pub struct Device {
    pub user: User,
    pub name: &'static str,
    pub client: Client,
    due: Vec<(Place, u64)>,
}

pub struct World<'a> {
    pub server: &'a mut Server,
    pub seed: u64,
    pub model: Model,
    pub devices: Vec<Device>,
    pub counters: BTreeMap<&'static str, u64>,
    pub chance: Chance,
    bodies: u64,
    /// What waits to be sent.
    pub planned: Vec<Planned>,
    /// The system user's connection.
    pub news: Client,
    /// Of each user, by number.
    pub tags: BTreeMap<User, BTreeSet<usize>>,
    pub is_verbose: bool,
}

fn name_of(user: User, seed: u64) -> Id {
    id(&format!("u{user}.{seed}"))
}

impl<'a> World<'a> {
    pub fn new(server: &'a mut Server, seed: u64) -> Self {
        let news = broadcasts::connect(server, Via::Tcp, &name_of(NEWS, seed));
        let mut world = Self {
            server,
            seed,
            model: Model::default(),
            devices: Vec::new(),
            counters: BTreeMap::new(),
            chance: Chance::stream(seed, "operations"),
            bodies: 0,
            planned: Vec::new(),
            news,
            tags: BTreeMap::new(),
            is_verbose: false,
        };
        for user in 0..USERS {
            for name in DEVICES {
                let client = world.connect(user, name);
                world.devices.push(Device { user, name, client, due: Vec::new() });
            }
        }
        world
    }

    /// The name of a user of this seed; in the order of the numbers.
    pub fn user(&self, user: User) -> Id {
        name_of(user, self.seed)
    }

    fn users(&self, users: &[User]) -> Vec<Id> {
        users.iter().map(|user| self.user(*user)).collect()
    }

    pub fn group(&self, number: usize) -> Id {
        id(&format!("g{number}.{}", self.seed))
    }

    pub fn channel(&self, place: Place) -> Channel {
        match place {
            Place::Person(low, high) => Channel::person(&self.user(low), &self.user(high)),
            Place::Group(number) => Channel::group(&self.group(number)),
        }
    }

    pub fn place(&self, channel: &Channel) -> Option<Place> {
        let mut places: Vec<Place> = (0..GROUPS).map(Place::Group).collect();
        places.extend((0..=NEWS).flat_map(|low| (low..=NEWS).map(move |high| Place::Person(low, high))));
        places.into_iter().find(|place| self.channel(*place) == *channel)
    }

    fn connect(&mut self, user: User, device: &str) -> Client {
        let via = *self.chance.pick(&Via::ALL);
        Client::connect(self.server, via, self.user(user).as_str(), device)
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counters.entry(what).or_default() += 1;
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.is_verbose {
            println!("{}", what());
        }
    }

    /// One step.
    pub fn step(&mut self) {
        match self.chance.below(200) {
            0 => self.crash(),
            1..=5 => self.disconnect(),
            6..=15 => self.burst(),
            16..=25 => self.schedule(),
            26..=32 => self.broadcast(),
            _ => {
                let at = self.chance.below(self.devices.len());
                let place = self.some_place(self.devices[at].user);
                self.operation(at, place);
            }
        }
    }

    /// A channel of the user, mostly.
    pub fn some_place(&mut self, user: User) -> Place {
        if self.chance.one_in(2) {
            Place::Group(self.chance.below(GROUPS))
        } else {
            Place::person(user, self.chance.below(NEWS + 1))
        }
    }

    pub fn crash(&mut self) {
        self.count("crashes");
        self.say(|| "kill -9".to_owned());
        self.server.crash_and_restart();
        self.reconnect();
    }

    /// All connections are new.
    pub fn reconnect(&mut self) {
        self.news = broadcasts::connect(self.server, Via::Tcp, &self.user(NEWS));
        for at in 0..self.devices.len() {
            let (user, name) = (self.devices[at].user, self.devices[at].name);
            self.devices[at].client = self.connect(user, name);
            self.devices[at].due.clear();
        }
    }

    fn disconnect(&mut self) {
        self.count("disconnects");
        let at = self.chance.below(self.devices.len());
        let (user, name) = (self.devices[at].user, self.devices[at].name);
        self.devices[at].client = self.connect(user, name);
        self.devices[at].due.clear();
    }

    /// Those who are told of `seq` of a place, but for the connection that made it.
    pub fn tell(&mut self, by: usize, place: Place, seq: u64, before: &BTreeSet<User>) {
        let mut audience = self.model.channel(place).audience(place);
        audience.extend(before);
        for (at, device) in self.devices.iter_mut().enumerate() {
            if at != by && audience.contains(&device.user) {
                device.due.push((place, seq));
            }
        }
    }

    pub fn body(&mut self) -> Vec<u8> {
        self.bodies += 1;
        format!("body {} of {}", self.bodies, self.seed).into_bytes()
    }

    fn some_seq(&mut self, place: Place) -> u64 {
        let head = self.model.channel(place).head();
        if self.chance.one_in(20) { head + 1 } else { 1 + self.chance.below(head.max(1) as usize) as u64 }
    }

    fn operation(&mut self, at: usize, place: Place) {
        let user = self.devices[at].user;
        let before = self.model.channel(place).audience(place);
        let head = self.model.channel(place).head();
        let (name, got, want) = match (self.chance.below(24), place) {
            (0..=7, _) => self.send(at, place),
            (8 | 9, _) => self.read(at, place),
            (10, _) => self.set(at, place),
            (11, _) => self.hide(at, place),
            (12, _) => self.revoke(at, place),
            (13, _) => self.edit(at, place),
            (14 | 15, _) => self.react(at, place),
            (16, _) => self.pin(at, place),
            (_, Place::Person(low, high)) => {
                let other = if user == low { high } else { low };
                if other == user || !self.chance.one_in(3) { self.send(at, place) } else { self.block(at, other) }
            }
            (_, Place::Group(number)) => self.group_op(at, number),
        };
        self.count(name);
        self.say(|| format!("{name} by {user}/{} in {place:?}: {want:?}", self.devices[at].name));
        let context = || format!("{name} by user {user} in {place:?}");
        match want {
            Ok(seq) => {
                assert_eq!((got.0, got.1), (Reason::Ok, seq), "{}", context());
                if self.model.channel(place).head() > head {
                    self.tell(at, place, seq, &before);
                } else if seq > 0 {
                    self.count("done already");
                }
            }
            Err(reason) => {
                assert_eq!((got.0, got.1), (reason, 0), "{}", context());
                self.count("refused");
            }
        }
    }

    fn call(&mut self, at: usize, method: Method, fields: Vec<u8>) -> (Reason, u64) {
        let ReplyPacket { reason, seq, .. } = self.devices[at].client.call(method, fields.into());
        (reason, seq)
    }

    fn draft(&mut self, place: Place) -> Draft {
        let mut draft = Draft { body: self.body(), is_countable: !self.chance.one_in(6), ..Draft::default() };
        draft.is_fleeting = self.chance.one_in(15);
        if self.chance.one_in(4) {
            draft.read = self.some_seq(place);
        }
        if self.chance.one_in(5) {
            draft.thread = self.some_seq(place);
        }
        if matches!(place, Place::Group(_)) && self.chance.one_in(4) {
            draft.mentions = (0..USERS).filter(|_| self.chance.one_in(3)).collect();
        }
        draft
    }

    fn packet(&mut self, at: usize, place: Place, draft: &Draft) -> SendPacket {
        let channel = self.channel(place);
        let mut packet = self.devices[at].client.next_send(&channel, &draft.body);
        let mentions = write_ids(&self.users(&draft.mentions.iter().copied().collect::<Vec<_>>()));
        let (read, thread, lifetime) = (draft.read.to_be_bytes(), draft.thread.to_be_bytes(), 1_u64.to_be_bytes());
        let mut tlvs: Vec<(u16, &[u8])> = Vec::new();
        packet.flags = if draft.is_countable { image_flag::COUNTABLE } else { 0 };
        if draft.thread > 0 {
            tlvs.push((tag::THREAD, &thread));
        }
        if !draft.mentions.is_empty() {
            packet.flags |= image_flag::MENTIONS;
            tlvs.push((tag::MENTIONS, &mentions));
        }
        if draft.is_fleeting {
            tlvs.push((tag::LIFETIME_MS, &lifetime));
        }
        if draft.read > 0 {
            tlvs.push((tag::READ, &read));
        }
        packet.tlvs = Tlvs::from_pairs(tlvs);
        packet
    }

    fn send(&mut self, at: usize, place: Place) -> (&'static str, (Reason, u64), Outcome) {
        let draft = self.draft(place);
        let packet = self.packet(at, place, &draft);
        let ack = self.devices[at].client.resend(&packet);
        let want = self.model.send(self.devices[at].user, place, &draft);
        if draft.is_fleeting && want.is_ok() {
            self.outlive();
        }
        let name = match draft {
            Draft { thread: 1.., .. } => "answer",
            _ if draft.mentions.is_empty() => "send",
            _ => "mention",
        };
        (name, (ack.reason, ack.seq), want)
    }

    /// Waits until a message that goes away at once has.
    fn outlive(&mut self) {
        self.count("expired");
        let begun = Instant::now();
        until("the end of its time", || (begun.elapsed() > Duration::from_millis(2)).then_some(()));
    }

    /// Several devices send at once; the seqs say in which order that was.
    fn burst(&mut self) {
        self.count("bursts");
        let first = self.chance.below(self.devices.len());
        let place = self.some_place(self.devices[first].user);
        let audience = self.model.channel(place).audience(place);
        let mut sent = Vec::new();
        for at in 0..self.devices.len() {
            if !audience.contains(&self.devices[at].user) || self.chance.one_in(2) {
                continue;
            }
            for _ in 0..3 {
                let draft = Draft { read: 0, thread: 0, ..self.draft(place) };
                let packet = self.packet(at, place, &draft);
                self.devices[at].client.say(&postrider_protocol::packet::Packet::Send(packet.clone()));
                sent.push((at, packet.number, draft));
            }
        }
        let mut acked = Vec::new();
        for (at, number, draft) in sent {
            let ack = self.devices[at].client.sendack(number);
            acked.push((ack.seq, ack.reason, at, draft));
        }
        acked.sort_by_key(|(seq, ..)| *seq);
        for (seq, reason, at, draft) in acked {
            let want = self.model.send(self.devices[at].user, place, &draft);
            match want {
                Ok(due) => {
                    assert_eq!((reason, seq), (Reason::Ok, due), "a burst in {place:?}");
                    self.tell(at, place, seq, &audience);
                    if draft.is_fleeting {
                        self.outlive();
                    }
                }
                Err(refused) => assert_eq!((reason, seq), (refused, 0), "a burst in {place:?}"),
            }
        }
    }

    fn read(&mut self, at: usize, place: Place) -> (&'static str, (Reason, u64), Outcome) {
        let seq = self.some_seq(place);
        let mut fields = Vec::new();
        marks::write_mark(&mut fields, &self.channel(place), seq);
        let got = self.call(at, Method::Read, fields);
        ("read", got, self.model.read(self.devices[at].user, place, seq))
    }

    fn set(&mut self, at: usize, place: Place) -> (&'static str, (Reason, u64), Outcome) {
        let is_on = self.chance.one_in(2);
        let number = u32::from(is_on).to_be_bytes();
        let (seq, mute) = (self.some_seq(place), if is_on { 1_u64 << 50 } else { 0 });
        let (seq_bytes, mute_bytes) = (seq.to_be_bytes(), mute.to_be_bytes());
        let (name, set, pair) = match self.chance.below(5) {
            0 => ("clear", Settings { cleared: Some(seq), ..Settings::default() }, (tag::CLEARED, &seq_bytes[..])),
            1 => {
                let set = Settings { muted_until_ms: Some(mute), ..Settings::default() };
                ("mute conversation", set, (tag::MUTED_UNTIL_MS, &mute_bytes[..]))
            }
            2 => {
                let set = Settings { is_pinned: Some(is_on), ..Settings::default() };
                ("pin conversation", set, (tag::PINNED, &number[..]))
            }
            3 => {
                let set = Settings { is_hidden: Some(is_on), ..Settings::default() };
                ("hide conversation", set, (tag::HIDDEN, &number[..]))
            }
            _ => {
                let set = Settings { is_marked_unread: Some(is_on), ..Settings::default() };
                ("mark unread", set, (tag::MARKED_UNREAD, &number[..]))
            }
        };
        let mut fields = Vec::new();
        marks::write_settings(&mut fields, &self.channel(place), &Tlvs::from_pairs([pair]));
        let got = self.call(at, Method::ConversationSet, fields);
        (name, got, self.model.set(self.devices[at].user, place, &set))
    }

    fn hide(&mut self, at: usize, place: Place) -> (&'static str, (Reason, u64), Outcome) {
        let from = self.some_seq(place);
        let to = from + self.chance.below(3) as u64;
        let mut fields = Vec::new();
        targets::write_hide(&mut fields, &self.channel(place), (from, to));
        let got = self.call(at, Method::Hide, fields);
        ("hide", got, self.model.hide(self.devices[at].user, place, (from, to)))
    }

    fn revoke(&mut self, at: usize, place: Place) -> (&'static str, (Reason, u64), Outcome) {
        let seq = self.some_seq(place);
        let mut fields = Vec::new();
        targets::write_revoke(&mut fields, &self.channel(place), seq);
        let got = self.call(at, Method::Revoke, fields);
        ("revoke", got, self.model.revoke(self.devices[at].user, place, seq))
    }

    fn edit(&mut self, at: usize, place: Place) -> (&'static str, (Reason, u64), Outcome) {
        let (seq, body) = (self.some_seq(place), self.body());
        let versions = self.model.channel(place).edits.get(&seq).map_or(0, Vec::len) as u32;
        let version = if self.chance.one_in(6) { versions + 1 } else { versions };
        let edit = targets::Edit { channel: self.channel(place), seq, version, body: body.clone().into() };
        let mut fields = Vec::new();
        edit.write(&mut fields);
        let got = self.call(at, Method::Edit, fields);
        ("edit", got, self.model.edit(self.devices[at].user, place, seq, version, &body))
    }

    /// What was so already is answered with the seq that made it so, which the model does not know.
    fn or_done(got: (Reason, u64), want: Result<Option<u64>, Reason>) -> Outcome {
        want.map(|seq| seq.unwrap_or(got.1))
    }

    fn react(&mut self, at: usize, place: Place) -> (&'static str, (Reason, u64), Outcome) {
        let (seq, is_on) = (self.some_seq(place), !self.chance.one_in(3));
        let reaction = *self.chance.pick(&REACTIONS);
        let react = targets::React {
            channel: self.channel(place),
            seq,
            is_on,
            reaction: Bytes::from_static(reaction.as_bytes()),
        };
        let mut fields = Vec::new();
        react.write(&mut fields);
        let got = self.call(at, Method::React, fields);
        let want = self.model.react(self.devices[at].user, place, seq, reaction, is_on);
        ("react", got, Self::or_done(got, want))
    }

    fn pin(&mut self, at: usize, place: Place) -> (&'static str, (Reason, u64), Outcome) {
        let (seq, is_on) = (self.some_seq(place), !self.chance.one_in(3));
        let mut fields = Vec::new();
        targets::write_pin(&mut fields, &self.channel(place), seq, is_on);
        let got = self.call(at, Method::Pin, fields);
        let want = self.model.pin(self.devices[at].user, place, seq, is_on);
        ("pin", got, Self::or_done(got, want))
    }

    fn block(&mut self, at: usize, other: User) -> (&'static str, (Reason, u64), Outcome) {
        let is_on = self.chance.one_in(3);
        let mut fields = Vec::new();
        people::write_switch(&mut fields, &self.user(other), is_on);
        let got = self.call(at, Method::Block, fields);
        ("block", got, self.model.block(self.devices[at].user, other, is_on))
    }

    fn some_group_op(&mut self, user: User) -> GroupOp {
        let other = self.chance.below(USERS);
        match self.chance.below(26) {
            0..=2 => GroupOp::Create {
                users: (0..USERS).filter(|_| self.chance.one_in(2)).collect(),
                join_mode: self.chance.below(3) as u32,
                shows_history: self.chance.one_in(3),
            },
            3..=6 => GroupOp::Add(vec![other]),
            7..=9 => GroupOp::Remove(vec![if self.chance.one_in(3) { user } else { other }]),
            10 if self.chance.one_in(6) => GroupOp::Dismiss,
            10 | 11 => GroupOp::Name(format!("name {}", self.bodies)),
            12 => GroupOp::JoinMode(self.chance.below(3) as u32),
            13 | 14 => GroupOp::Role(u8::from(self.chance.one_in(2)), other),
            15 => GroupOp::Transfer(other),
            16 | 17 => {
                GroupOp::Mute(if self.chance.one_in(4) { Vec::new() } else { vec![other] }, self.chance.one_in(3))
            }
            18..=20 => GroupOp::Join,
            21 | 22 => GroupOp::Invite(other),
            23 | 24 => GroupOp::Answer(other, self.chance.one_in(2)),
            _ => GroupOp::Nickname(format!("nick {}", self.bodies)),
        }
    }

    fn group_op(&mut self, at: usize, number: usize) -> (&'static str, (Reason, u64), Outcome) {
        let user = self.devices[at].user;
        let op = self.some_group_op(user);
        let (method, fields) = self.fields(number, &op);
        let got = self.call(at, method, fields);
        let want = self.model.group(user, number, &op);
        self.say(|| format!("{op:?}"));
        (op.name(), got, want)
    }

    fn fields(&self, number: usize, op: &GroupOp) -> (Method, Vec<u8>) {
        let (group, mut out) = (self.group(number), Vec::new());
        let forever = |is_on: bool| if is_on { 1_u64 << 50 } else { 0 };
        let method = match op {
            GroupOp::Create { users, join_mode, shows_history } => {
                let (mode, history) = (join_mode.to_be_bytes(), u32::from(*shows_history).to_be_bytes());
                let tlvs = Tlvs::from_pairs([(tag::JOIN_MODE, &mode[..]), (tag::HISTORY, &history[..])]);
                groups::write_create(&mut out, &group, &self.users(users), &tlvs);
                Method::GroupCreate
            }
            GroupOp::Add(users) => {
                groups::write_change(&mut out, &group, &self.users(users));
                Method::GroupAdd
            }
            GroupOp::Remove(users) => {
                groups::write_change(&mut out, &group, &self.users(users));
                Method::GroupRemove
            }
            GroupOp::Dismiss => {
                groups::write_settings(&mut out, &group, &Tlvs::new());
                Method::GroupDismiss
            }
            GroupOp::Name(name) => {
                groups::write_settings(&mut out, &group, &Tlvs::from_pairs([(tag::NAME, name.as_bytes())]));
                Method::GroupChange
            }
            GroupOp::JoinMode(mode) => {
                let mode = mode.to_be_bytes();
                groups::write_settings(&mut out, &group, &Tlvs::from_pairs([(tag::JOIN_MODE, &mode[..])]));
                Method::GroupChange
            }
            GroupOp::Role(role, user) => {
                groups::write_roles(&mut out, &group, *role, &[self.user(*user)]);
                Method::GroupRoles
            }
            GroupOp::Transfer(user) => {
                groups::write_transfer(&mut out, &group, &self.user(*user));
                Method::GroupTransfer
            }
            GroupOp::Mute(users, is_on) => {
                groups::write_mute(&mut out, &group, forever(*is_on), &self.users(users));
                Method::GroupMute
            }
            GroupOp::Join => {
                groups::write_join(&mut out, &group, b"let me in");
                Method::GroupJoin
            }
            GroupOp::Invite(user) => {
                groups::write_change(&mut out, &group, &[self.user(*user)]);
                Method::GroupInvite
            }
            GroupOp::Answer(user, accept) => {
                groups::write_answer(&mut out, &group, *accept, &[self.user(*user)]);
                Method::GroupAnswer
            }
            GroupOp::Nickname(name) => {
                groups::write_nickname(&mut out, &group, name.as_bytes());
                Method::GroupNickname
            }
        };
        (method, out)
    }

    /// Each connection was sent what it had to be, and nothing else.
    pub fn check_live(&mut self) {
        for at in 0..self.devices.len() {
            self.devices[at].client.ping();
            let mut heard: Vec<Image> = Vec::new();
            while self.devices[at].client.recvs_heard() > 0 {
                heard.push(self.devices[at].client.recv());
            }
            let mut got: Vec<(Place, u64)> =
                heard.iter().map(|image| (self.place(&image.channel).unwrap(), image.seq)).collect();
            let mut due = std::mem::take(&mut self.devices[at].due);
            let is_ordered = got.is_sorted_by(|a, b| a.0 != b.0 || a.1 < b.1);
            assert!(is_ordered, "live images of a channel out of order: {got:?}");
            got.sort_unstable();
            due.sort_unstable();
            let (user, name) = (self.devices[at].user, self.devices[at].name);
            assert_eq!(got, due, "what user {user} was sent live on {name}");
            for image in heard {
                let item = self.model.channel(self.place(&image.channel).unwrap()).item(image.seq).cloned().unwrap();
                let is_same = image.kind == item.kind.number() && image.author() == self.user(item.author);
                assert!(is_same, "{image:?} is not {item:?}");
            }
        }
    }
}
