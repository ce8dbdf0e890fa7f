//! Client and server machines face to face: a fake clock, streams cut anywhere, connections that break, refusals for
//! now, dropped RECVs; and nothing lost, nothing twice, everything in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use postrider_protocol::{
    Channel, From, Id, Image, Reason, Sender, SenderKind, Tlvs,
    packet::{
        ConnackPacket, Conversation, LagPacket, Limits, ListedPacket, Packet, SendPacket, SendackPacket, SyncItem,
        SyncPacket, SyncedPacket,
    },
    session::{
        client::{ClientEvent, ClientSession, ClientState},
        server::{ServerEvent, ServerSession, ServerTimers},
    },
    tag,
};
use proptest::prelude::*;

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn channel() -> Channel {
    Channel::person(&id("alice"), &id("bob"))
}

/// A small generator: the same seed, the same run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

/// The least that a server has to be: one channel, its messages, who sent what, and cursors.
#[derive(Default)]
struct Server {
    images: Vec<Image>,
    cursors: BTreeMap<Id, u64>,
    floors: BTreeMap<Sender, u64>,
    issued: u64,
}

impl Server {
    fn head(&self) -> u64 {
        self.images.len() as u64
    }

    fn stored(&self, sender: Sender, number: u64) -> Option<&Image> {
        self.images.iter().find(|image| image.sender == sender && image.number == number)
    }

    fn send(&mut self, user: &Id, sender: Sender, send: &SendPacket, now_ms: u64) -> (Packet, Option<Image>) {
        let floor = *self.floors.get(&sender).unwrap_or(&0);
        let known = self.stored(sender, send.number);
        let (mut reason, mut seq, mut new) = (Reason::Ok, 0, None);
        if let Some(image) = known {
            seq = image.seq;
            assert_eq!(image.body, send.body, "a number is bound to its content");
        } else if send.number < floor {
            reason = Reason::Stale;
        } else {
            seq = self.head() + 1;
            let (channel, body) = (send.channel.detached(), send.body.clone());
            let from = From::of(user, &channel);
            let (kind, flags, time_ms, number, tlvs) = (1, send.flags, now_ms, send.number, Tlvs::new());
            let image = Image { kind, flags, seq, time_ms, channel, from, sender, number, tlvs, body };
            self.images.push(image.clone());
            self.floors.insert(sender, floor.max(send.oldest));
            new = Some(image);
        }
        let tlvs = Tlvs::new();
        (Packet::Sendack(SendackPacket { number: send.number, reason, seq, time_ms: now_ms, tlvs }), new)
    }

    fn list(&self, request: u32, user: &Id) -> Packet {
        let cursor = self.cursors.get(user).copied().unwrap_or_default();
        let image = self.images.last().map(encoded_image).unwrap_or_default();
        let (head, read, epoch, flags) = (self.head(), 0, 1, 0);
        let (unread, mentions, muted_until_ms, cleared, sync_from) = (0, 0, 0, 0, cursor);
        let conversation = Conversation {
            channel: channel(),
            flags,
            epoch,
            head,
            sync_from,
            read,
            unread,
            mentions,
            muted_until_ms,
            cleared,
            name: Bytes::new(),
            avatar: Bytes::new(),
            image,
        };
        let conversations = if head == 0 { Vec::new() } else { vec![conversation] };
        let (token, next) = (Bytes::from_static(b"t"), Bytes::new());
        Packet::Listed(ListedPacket { request, reason: Reason::Ok, token, next, conversations, tlvs: Tlvs::new() })
    }

    /// At most three elements, so that intervals take several pages.
    fn sync(&self, sync: &SyncPacket) -> Packet {
        let last = sync.to.min(self.head()).min(sync.from + 2);
        let items = (sync.from..=last)
            .map(|seq| SyncItem::Image(encoded_image(&self.images[usize::try_from(seq - 1).unwrap()])))
            .collect();
        let (request, from, head) = (sync.request, sync.from, self.head());
        let (reason, tlvs) = (Reason::Ok, Tlvs::new());
        Packet::Synced(SyncedPacket { request, reason, epoch: 1, head, from, to: last, items, tlvs })
    }
}

fn encoded_image(image: &Image) -> Bytes {
    let mut out = Vec::new();
    image.write(&mut out);
    out.into()
}

/// One connection: both machines and the bytes under way.
struct Link {
    client: ClientSession,
    server: ServerSession,
    up: VecDeque<u8>,
    down: VecDeque<u8>,
    sender: Option<Sender>,
    /// RECVs were dropped since the last LAG.
    dropped: u32,
    /// The number that was refused for now.
    stuck: Option<u64>,
}

/// A user with a device: what the client keeps, and what the app was told.
struct User {
    id: Id,
    state: ClientState,
    link: Option<Link>,
    written: Vec<String>,
    sent: BTreeMap<u64, u64>,
    /// The seqs it was told, in the order in which it was told them.
    told: Vec<u64>,
    read: BTreeMap<u64, Bytes>,
    acknowledged: u64,
}

impl User {
    fn new(name: &str) -> Self {
        Self {
            id: id(name),
            state: ClientState::new(Some(id("phone")), SenderKind::Kept),
            link: None,
            written: Vec::new(),
            sent: BTreeMap::new(),
            told: Vec::new(),
            read: BTreeMap::new(),
            acknowledged: 0,
        }
    }

    fn write(&mut self) {
        let text = format!("{} {}", self.id, self.written.len());
        self.state.send(channel(), 1, Bytes::from(text.clone()), Tlvs::new()).unwrap();
        self.written.push(text);
    }

    fn connect(&mut self, now_ms: u64) {
        let client = self.state.connect(now_ms, Bytes::from_static(b"token"), Tlvs::new());
        let server = ServerSession::new(ServerTimers::default(), now_ms);
        let (up, down) = Default::default();
        self.link = Some(Link { client, server, up, down, sender: None, dropped: 0, stuck: None });
    }

    fn lose(&mut self) {
        self.link = None;
        self.state.handle_lost("cut");
    }

    fn take_events(&mut self, now_ms: u64, acknowledge: bool) {
        while let Some(event) = self.state.poll_event() {
            match event {
                ClientEvent::Message { image } => {
                    self.told.push(image.seq);
                    let before = self.read.insert(image.seq, image.body);
                    assert!(before.is_none(), "seq {} twice", image.seq);
                }
                ClientEvent::Gap { gap, .. } => self.told.extend(gap.from..=gap.to),
                ClientEvent::Sent { number, seq, .. } => {
                    assert!(self.sent.insert(number, seq).is_none(), "number {number} answered twice");
                }
                ClientEvent::Refused { number, reason, .. } => panic!("{number} refused: {reason:?}"),
                ClientEvent::PerhapsSent { number, .. } => panic!("{number} perhaps sent"),
                _ => {}
            }
        }
        // Everything up to the first hole is on this device: told as an image or a gap, or its own.
        let own: BTreeSet<u64> = self.sent.values().copied().collect();
        let told: BTreeSet<u64> = self.told.iter().copied().collect();
        let held = (1..).take_while(|seq| own.contains(seq) || told.contains(seq)).last().unwrap_or(0);
        if acknowledge && held > self.acknowledged {
            self.acknowledged = held;
            self.state.acknowledge(now_ms, &channel(), held);
        }
    }
}

struct World {
    now_ms: u64,
    chance: Chance,
    server: Server,
    users: [User; 2],
    /// Whether things go wrong.
    rough: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let users = [User::new("alice"), User::new("bob")];
        Self { now_ms: 1_000, chance: Chance(seed), server: Server::default(), users, rough: true }
    }

    /// Moves some bytes each way for one user, and lets both machines act.
    fn carry(&mut self, at: usize) {
        let user = &mut self.users[at];
        let Some(link) = &mut user.link else { return };
        link.up.extend(link.client.take_output());
        let piece = take(&mut link.up, &mut self.chance);
        link.server.handle_bytes(self.now_ms, piece);
        let mut live = Vec::new();
        let mut open = true;
        while let Some(event) = link.server.poll_event() {
            open &= serve(
                &mut self.server,
                link,
                &user.id,
                event,
                self.now_ms,
                &mut live,
                self.rough.then_some(&mut self.chance),
            );
        }
        let piece = take(&mut link.down, &mut self.chance);
        link.client.handle_bytes(piece);
        user.state.drive(&mut link.client, self.now_ms);
        user.take_events(self.now_ms, self.chance.one_in(3));
        if !open || user.link.as_ref().is_some_and(|link| link.client.is_closed()) {
            user.lose();
        }
        for image in &live {
            for (other, user) in self.users.iter_mut().enumerate() {
                if let Some(link) = user.link.as_mut().filter(|link| other != at && link.sender.is_some()) {
                    push(link, image, self.rough && self.chance.one_in(5));
                }
            }
        }
    }

    fn step(&mut self) {
        let at = self.chance.below(2);
        match self.chance.below(12) {
            0 => self.users[at].write(),
            1 if self.users[at].link.is_none() => self.users[at].connect(self.now_ms),
            2 if self.chance.one_in(4) => self.users[at].lose(),
            3 => self.pass(self.chance.0 % 400),
            _ => self.carry(at),
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        for user in &mut self.users {
            if let Some(link) = &mut user.link {
                link.client.handle_timeout(self.now_ms).unwrap();
                assert_eq!(link.server.handle_timeout(self.now_ms), None);
                user.state.drive(&mut link.client, self.now_ms);
            }
        }
    }

    /// Nothing goes wrong any more: everything that is waited for comes.
    fn settle(&mut self) {
        self.rough = false;
        for user in &mut self.users {
            match &mut user.link {
                Some(link) => lag(link),
                None => user.connect(self.now_ms),
            }
        }
        for _ in 0..4_000 {
            self.carry(0);
            self.carry(1);
            self.pass(20);
        }
    }
}

/// A piece of what is under way, sometimes all of it, often a few bytes.
fn take(bytes: &mut VecDeque<u8>, chance: &mut Chance) -> Bytes {
    let len = if chance.one_in(2) { bytes.len() } else { bytes.len().min(chance.below(40)) };
    bytes.drain(..len).collect()
}

fn say(link: &mut Link, packet: &Packet) {
    let mut out = Vec::new();
    packet.encode(&mut out);
    link.down.extend(out);
}

/// Tells of what was dropped, once.
fn lag(link: &mut Link) {
    if link.dropped > 0 {
        say(link, &Packet::Lag(LagPacket { dropped: link.dropped, tlvs: Tlvs::new() }));
        link.dropped = 0;
    }
}

fn push(link: &mut Link, image: &Image, drop: bool) {
    if drop {
        link.dropped += 1;
        return;
    }
    lag(link);
    say(link, &Packet::Recv(image.clone()));
}

/// Does what `event` asks; false when the connection is over. `chance` decides what goes wrong, if anything may.
fn serve(
    server: &mut Server,
    link: &mut Link,
    user: &Id,
    event: ServerEvent,
    now_ms: u64,
    live: &mut Vec<Image>,
    chance: Option<&mut Chance>,
) -> bool {
    match event {
        ServerEvent::Connect(connect) => {
            let sender = if connect.sender.is_request() {
                server.issued += 1;
                Sender::issue(connect.sender.kind(), server.issued)
            } else {
                connect.sender
            };
            link.sender = Some(sender);
            say(link, &connack(user, sender, now_ms));
            link.server.accepted(now_ms);
        }
        ServerEvent::Send(send) => {
            let sender = link.sender.unwrap();
            if link.stuck.is_some_and(|stuck| send.number == stuck || send.oldest > stuck) {
                link.stuck = None;
            }
            let busy = link.stuck.is_some() || chance.is_some_and(|chance| chance.one_in(6));
            if busy && server.stored(sender, send.number).is_none() {
                link.stuck.get_or_insert(send.number);
                let (number, reason) = (send.number, Reason::Busy);
                let tlvs = Tlvs::from_pairs([(tag::RETRY_AFTER_MS, &50u32.to_be_bytes()[..])]);
                say(link, &Packet::Sendack(SendackPacket { number, reason, seq: 0, time_ms: 0, tlvs }));
                return true;
            }
            let (answer, new) = server.send(user, sender, &send, now_ms);
            say(link, &answer);
            live.extend(new);
        }
        ServerEvent::List(list) => {
            let answer = server.list(list.request, user);
            say(link, &answer);
        }
        ServerEvent::Sync(sync) => {
            let answer = server.sync(&sync);
            say(link, &answer);
        }
        ServerEvent::Recvack(ack) => {
            assert!(ack.seq <= server.head(), "a cursor above the head");
            let cursor = server.cursors.entry(user.clone()).or_default();
            *cursor = ack.seq.max(*cursor);
        }
        ServerEvent::Answer(packet) => say(link, &packet),
        ServerEvent::Close { reason, detail } => panic!("the client did wrong: {reason:?} {detail:?}"),
        ServerEvent::Call(_) | ServerEvent::Notice(_) => panic!("nobody calls or tells here"),
        ServerEvent::Ended => return false,
    }
    true
}

fn connack(user: &Id, sender: Sender, server_time_ms: u64) -> Packet {
    Packet::Connack(ConnackPacket {
        reason: Reason::Ok,
        version: 0,
        version_min: 0,
        version_max: 0,
        user: Some(user.clone()),
        sender,
        server_time_ms,
        limits: Limits {
            heartbeat_ms: 30_000,
            dead_ms: 90_000,
            frame_bytes: 131_072,
            body_bytes: 65_536,
            sync_page: 100,
        },
        tlvs: Tlvs::new(),
    })
}

/// Everything that was written is in the channel once, in the order of its writer, and the other one read it.
fn check(world: &World) {
    let stored: Vec<String> =
        world.server.images.iter().map(|image| String::from_utf8(image.body.to_vec()).unwrap()).collect();
    for user in &world.users {
        let own: Vec<&String> = stored.iter().filter(|text| text.starts_with(&user.id.to_string())).collect();
        assert_eq!(own, user.written.iter().collect::<Vec<_>>(), "what {} wrote", user.id);
        assert_eq!(user.sent.len(), user.written.len(), "what {} was told of it", user.id);
        assert!(user.told.is_sorted_by(|a, b| a < b), "{} was told in order: {:?}", user.id, user.told);
        for (seq, image) in (1..).zip(&world.server.images) {
            let is_own = user.sent.values().any(|own| *own == seq);
            match user.read.get(&seq) {
                Some(body) => assert_eq!(body, &image.body, "{} read another {seq}", user.id),
                None => assert!(is_own, "{} never read {seq}, {} told", user.id, user.told.len()),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn nothing_is_lost_nothing_comes_twice_and_order_is_kept(seed in any::<u64>(), steps in 50usize..600) {
        let mut world = World::new(seed);
        for _ in 0..steps {
            world.step();
        }
        world.settle();
        check(&world);
    }
}

#[test]
fn a_calm_connection_stays_alive_by_itself() {
    let mut world = World::new(1);
    world.rough = false;
    for user in &mut world.users {
        user.connect(world.now_ms);
    }
    for _ in 0..600 {
        world.carry(0);
        world.carry(1);
        world.pass(1_000);
    }
    assert!(world.users.iter().all(|user| user.link.is_some()));
}

#[test]
fn a_peer_that_says_goodbye_is_not_waited_for() {
    let mut world = World::new(2);
    world.rough = false;
    world.users[0].connect(world.now_ms);
    for _ in 0..50 {
        world.carry(0);
    }
    world.users[0].state.close();
    for _ in 0..50 {
        world.carry(0);
        world.pass(20);
    }
    assert!(world.users[0].link.is_none());
}
