//! A client of the load: one user with one device that keeps what an app keeps (sender, numbers, unsent messages,
//! cursors), reconnects for ever, sends again what was not answered, and writes down everything it did and saw.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use postrider_client::{Address, Tls};
use postrider_protocol::{
    BODY_BYTES, Image, NoticeKind, Reason, Sender, SenderKind, Tlvs, image_flag,
    packet::{
        ListPacket, ListedPacket, Packet, RecvackPacket, SendPacket, SendackPacket, SyncItem, SyncPacket, SyncedPacket,
    },
};
use tokio::time;

use super::{
    bodies,
    chance::Chance,
    history::{Channel, Command, History, How, Intent, Listed, Outcome, Seen, User},
    kept::{Ask, Pending, Probe, View},
    server::Site,
    wire::{Wire, is_gone},
    world::{self, World},
};
use crate::Result;

/// SENDs without an answer at most.
const WINDOW: usize = 32;

/// Numbers between the lowest that may come again and the next at most; the protocol allows 63.
const SPAN: u64 = 48;

/// Acknowledged numbers that may still be sent again, to see that the answer stays the same.
const REMEMBERED: u64 = 16;

/// How often a client looks whether it should send.
const TICK: Duration = Duration::from_millis(2);

/// A client.
pub struct Client {
    user: User,
    token: String,
    address: Address,
    tls: Tls,
    world: Arc<World>,
    chance: Chance,
    channels: Vec<Channel>,
    /// Messages a second.
    rate: f64,
    budget: f64,
    /// What it did and saw.
    pub history: History,
    sender: Sender,
    next_number: u64,
    pending: BTreeMap<u64, Pending>,
    remembered: VecDeque<(u64, Channel, usize)>,
    probes: HashMap<u64, VecDeque<Probe>>,
    views: BTreeMap<Channel, View>,
    connection: u32,
    list_token: Bytes,
    asks: VecDeque<Ask>,
    asked: Option<Ask>,
}

impl Client {
    /// A client of `user`.
    pub fn new(user: User, site: &Site, world: &Arc<World>, seed: u64, rate: f64) -> Result<Self> {
        Ok(Self {
            user,
            token: site.token(world::user_id(user).as_str(), world::device_id().as_str())?,
            address: site.address(user)?.clone(),
            tls: site.tls.clone(),
            world: Arc::clone(world),
            chance: Chance::new(seed, u64::from(user)),
            channels: world.channels_of(user),
            rate,
            budget: 0.0,
            history: History::default(),
            sender: Sender::request(SenderKind::Kept),
            next_number: 1,
            pending: BTreeMap::new(),
            remembered: VecDeque::new(),
            probes: HashMap::new(),
            views: BTreeMap::new(),
            connection: 0,
            list_token: Bytes::new(),
            asks: VecDeque::new(),
            asked: None,
        })
    }

    /// Sends while the world loads, through every loss of the connection; returns when all is answered and the server has
    /// read the last RECVACK.
    pub async fn run(mut self) -> Self {
        while let Err(error) = self.session().await {
            // The server is gone, which is what this is about; anything else is told.
            if !is_gone(error.as_ref()) {
                self.world.surprise(format!("user {}: {error}", self.user));
            }
            time::sleep(Duration::from_millis(5 + self.chance.below(10))).await;
        }
        self
    }

    /// One more connection, only to learn what is missing.
    pub async fn catch_up(mut self) -> Result<Self> {
        let mut wire = self.open().await?;
        while !self.is_settled() {
            self.ask(&mut wire);
            wire.flush().await?;
            let packet =
                time::timeout(Duration::from_secs(60), wire.next()).await.map_err(|_| "no answer to SYNC")??;
            self.take(packet);
        }
        Ok(self)
    }

    /// Every RECVACK sent so far is one that the server must not forget: it stopped in order.
    pub fn settle(&mut self) {
        self.views.values_mut().for_each(|view| view.settled = view.told);
    }

    fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.asks.is_empty() && self.asked.is_none()
    }

    /// A connection, accepted; what was under way is put again, and what was missed is asked for.
    async fn open(&mut self) -> Result<Wire> {
        let mut wire = Wire::dial(&self.address, &self.tls).await?;
        let connack = wire.connect(&self.token, Some(&world::device_id()), self.sender).await?;
        if connack.reason != Reason::Ok {
            return Err(format!("CONNECT was refused: {}", connack.reason.name()).into());
        }
        if !self.sender.is_request() && connack.sender != self.sender {
            return Err("CONNACK names another sender".into());
        }
        self.sender = connack.sender;
        self.connection += 1;
        self.views.values_mut().for_each(|view| view.told = 0);
        self.asks = VecDeque::from([Ask::List { page: Bytes::new() }]);
        self.asked = None;
        let numbers: Vec<u64> = self.pending.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.put_again(&mut wire, number));
        Ok(wire)
    }

    async fn session(&mut self) -> Result {
        let mut wire = self.open().await?;
        self.world.connected.fetch_add(1, Relaxed);
        self.world.in_flight.fetch_add(self.pending.len() as u64, Relaxed);
        let result = self.converse(&mut wire).await;
        self.world.connected.fetch_sub(1, Relaxed);
        self.world.in_flight.fetch_sub(self.pending.len() as u64, Relaxed);
        if result.is_err() {
            self.world.cut_off.fetch_add(self.pending.len() as u64, Relaxed);
        }
        self.probes.clear();
        self.pending.values_mut().for_each(|pending| pending.is_put_off = false);
        result
    }

    async fn converse(&mut self, wire: &mut Wire) -> Result {
        let mut tick = time::interval(TICK);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Skip);
        loop {
            self.ask(wire);
            wire.flush().await?;
            tokio::select! {
                read = wire.read() => {
                    read?;
                    while let Some(packet) = wire.ready()? {
                        self.take(packet);
                    }
                    self.acknowledge(wire);
                }
                _ = tick.tick() => {
                    if !self.world.is_loading() && self.is_settled() {
                        return self.part(wire).await;
                    }
                    self.load(wire);
                }
            }
        }
    }

    /// The last RECVACKs, and the proof that the server read them.
    async fn part(&mut self, wire: &mut Wire) -> Result {
        self.acknowledge_all(wire);
        wire.put(&Packet::Ping(Tlvs::new()));
        wire.flush().await?;
        loop {
            match wire.next().await? {
                Packet::Pong(_) => return Ok(()),
                packet => self.take(packet),
            }
        }
    }

    /// Sends what is due.
    fn load(&mut self, wire: &mut Wire) {
        if self.pending.values().any(|pending| pending.is_put_off) {
            if self.pending.values().all(|pending| pending.is_put_off) && self.chance.once_in(10) {
                let numbers: Vec<u64> = self.pending.keys().copied().collect();
                numbers.into_iter().for_each(|number| self.put_again(wire, number));
            }
            return;
        }
        if !self.world.is_loading() {
            return;
        }
        self.budget = (self.budget + self.rate * TICK.as_secs_f64()).min(WINDOW as f64);
        // In bursts, as people and reconnecting apps do.
        if !self.chance.once_in(4) {
            return;
        }
        while self.budget >= 1.0 && self.pending.len() < WINDOW && self.next_number - self.oldest() < SPAN {
            self.budget -= 1.0;
            match self.chance.below(100) {
                0..5 => self.probe(wire),
                5 if self.chance.once_in(5) => self.send(wire, BODY_BYTES + 1),
                _ => {
                    let len = self.length();
                    self.send(wire, len);
                }
            }
        }
    }

    fn length(&mut self) -> usize {
        let (least, bound) = match self.chance.below(1_000) {
            0 => (BODY_BYTES, 1),
            1..4 => (4_000, 12_000),
            4..14 => (1_000, 3_000),
            _ => (bodies::LEAST, 200),
        };
        least + self.chance.index(bound)
    }

    /// The lowest number that may come again.
    fn oldest(&self) -> u64 {
        let pending = self.pending.keys().next().copied().unwrap_or(self.next_number);
        pending.min(self.remembered.front().map_or(pending, |(number, ..)| *number))
    }

    fn send(&mut self, wire: &mut Wire, len: usize) {
        // The first channels are the busy ones.
        let at = self.chance.index(self.channels.len()).min(self.chance.index(self.channels.len()));
        let Some(&channel) = self.channels.get(at) else { return };
        let number = self.next_number;
        self.next_number += 1;
        let intent = Intent { user: self.user, sender: self.sender.stamp(), number };
        let command = self.history.commands.len();
        let invoked = self.world.now();
        self.history.commands.push(Command { intent, channel, invoked, outcome: Outcome::Unknown });
        self.pending.insert(number, Pending { channel, len, command, is_put_off: false });
        self.world.in_flight.fetch_add(1, Relaxed);
        self.put(wire, number, channel, bodies::body(self.user, number, len));
    }

    /// Puts a pending message on the wire again, as it was.
    fn put_again(&mut self, wire: &mut Wire, number: u64) {
        if let Some(pending) = self.pending.get_mut(&number) {
            pending.is_put_off = false;
            let (channel, len) = (pending.channel, pending.len);
            self.put(wire, number, channel, bodies::body(self.user, number, len));
        }
    }

    /// Sends an acknowledged message again: as it was, or with other bytes.
    fn probe(&mut self, wire: &mut Wire) {
        let at = self.chance.index(self.remembered.len());
        let Some(&(number, channel, len)) = self.remembered.get(at) else { return };
        let is_same = !self.chance.once_in(5);
        let probe = if is_same { Probe::Same(channel) } else { Probe::Conflict };
        self.probes.entry(number).or_default().push_back(probe);
        let body = bodies::body(self.user, if is_same { number } else { number + (1 << 40) }, len);
        self.put(wire, number, channel, body);
    }

    fn put(&self, wire: &mut Wire, number: u64, channel: Channel, body: Vec<u8>) {
        let Some(channel) = self.world.channel(channel).cloned() else { return };
        let oldest = self.oldest();
        wire.put(&Packet::Send(SendPacket {
            number,
            oldest,
            channel,
            flags: image_flag::COUNTABLE,
            body: body.into(),
            tlvs: Tlvs::new(),
        }));
    }

    fn ask(&mut self, wire: &mut Wire) {
        if self.asked.is_some() {
            return;
        }
        let Some(ask) = self.asks.pop_front() else { return };
        let request = self.connection;
        match &ask {
            Ask::List { page } => wire.put(&Packet::List(ListPacket {
                request,
                token: self.list_token.clone(),
                page: page.clone(),
                limit: 0,
                tlvs: Tlvs::new(),
            })),
            Ask::Sync { channel, epoch, from, to } => {
                let Some(channel) = self.world.channel(*channel).cloned() else { return };
                let (epoch, from, to) = (*epoch, *from, *to);
                wire.put(&Packet::Sync(SyncPacket { request, channel, epoch, from, to, limit: 0, tlvs: Tlvs::new() }));
            }
        }
        self.asked = Some(ask);
    }

    fn take(&mut self, packet: Packet) {
        match packet {
            Packet::Sendack(sendack) => self.take_sendack(&sendack),
            Packet::Recv(image) => self.see(&image, How::Pushed),
            Packet::Listed(listed) => self.take_listed(listed),
            Packet::Synced(synced) => self.take_synced(synced),
            Packet::Lag(_) => self.asks.push_back(Ask::List { page: Bytes::new() }),
            Packet::Disconnect(bye) if bye.reason == Reason::Shutdown => {}
            // That the other one has a message is told to who sent it.
            Packet::Notice(notice) if notice.what == NoticeKind::Receipt.number() => {}
            Packet::Ping(_) | Packet::Pong(_) => {}
            packet => self.world.surprise(format!("user {}: {packet:?}", self.user)),
        }
    }

    fn take_sendack(&mut self, sendack: &SendackPacket) {
        let number = sendack.number;
        let intent = Intent { user: self.user, sender: self.sender.stamp(), number };
        if let Some(pending) = self.pending.get_mut(&number) {
            match sendack.reason {
                Reason::Ok => self.accept(intent, sendack.seq),
                Reason::Busy | Reason::StorageFull | Reason::RateLimited => pending.is_put_off = true,
                Reason::BodyTooLarge if pending.len > BODY_BYTES => self.refuse(number),
                reason => {
                    self.refuse(number);
                    self.world.surprise(format!("user {} number {number}: {}", self.user, reason.name()));
                }
            }
            return;
        }
        let probe = self.probes.get_mut(&number).and_then(VecDeque::pop_front);
        match (probe, sendack.reason) {
            (Some(Probe::Same(channel)), Reason::Ok) => {
                self.history.answers.push((intent, sendack.seq));
                self.views.entry(channel).or_default().hold(sendack.seq);
            }
            (Some(Probe::Conflict), Reason::DedupConflict) => {}
            (Some(_), Reason::Busy | Reason::StorageFull | Reason::RateLimited) => {}
            (probe, reason) => {
                let sent = match probe {
                    Some(Probe::Same(_)) => "sent again as it was",
                    Some(Probe::Conflict) => "sent again with other bytes",
                    None => "not sent",
                };
                self.world.surprise(format!("user {} number {number}, {sent}: {}", self.user, reason.name()));
            }
        }
    }

    fn accept(&mut self, intent: Intent, seq: u64) {
        let Some(pending) = self.pending.remove(&intent.number) else { return };
        let at = self.world.now();
        if let Some(command) = self.history.commands.get_mut(pending.command) {
            command.outcome = Outcome::Acknowledged { at, seq };
        }
        self.history.answers.push((intent, seq));
        self.views.entry(pending.channel).or_default().hold(seq);
        self.remembered.push_back((intent.number, pending.channel, pending.len));
        while self.remembered.front().is_some_and(|(number, ..)| number + REMEMBERED < self.next_number) {
            self.remembered.pop_front();
        }
        self.world.in_flight.fetch_sub(1, Relaxed);
        self.world.acknowledged.fetch_add(1, Relaxed);
    }

    fn refuse(&mut self, number: u64) {
        let Some(pending) = self.pending.remove(&number) else { return };
        if let Some(command) = self.history.commands.get_mut(pending.command) {
            command.outcome = Outcome::Refused;
        }
        self.world.in_flight.fetch_sub(1, Relaxed);
    }

    fn see(&mut self, image: &Image, how: How) {
        let Some(channel) = self.world.index(&image.channel) else {
            self.world.surprise(format!("user {}: an image of {:?}", self.user, image.channel));
            return;
        };
        let intent = world::intent(image);
        let (user, connection, seq) = (self.user, self.connection, image.seq);
        self.history.seen.push(Seen { user, connection, how, channel, seq, intent });
        self.views.entry(channel).or_default().hold(seq);
    }

    fn take_listed(&mut self, listed: ListedPacket) {
        self.asked = None;
        if listed.reason != Reason::Ok {
            self.world.surprise(format!("user {}: LIST was refused: {}", self.user, listed.reason.name()));
            return;
        }
        for conversation in &listed.conversations {
            let Some(channel) = self.world.index(&conversation.channel) else { continue };
            let view = self.views.entry(channel).or_default();
            self.history.listed.push(Listed {
                user: self.user,
                channel,
                sync_from: conversation.sync_from,
                head: conversation.head,
                acknowledged: view.acknowledged,
                settled: view.settled,
            });
            if conversation.head > view.contiguous {
                let (from, to) = (view.contiguous + 1, conversation.head);
                self.asks.push_back(Ask::Sync { channel, epoch: conversation.epoch, from, to });
            }
        }
        if listed.next.is_empty() {
            self.list_token = listed.token;
        } else {
            self.asks.push_front(Ask::List { page: listed.next });
        }
    }

    fn take_synced(&mut self, synced: SyncedPacket) {
        let Some(Ask::Sync { channel, epoch, from, to }) = self.asked.take() else {
            self.world.surprise(format!("user {}: an answer to no SYNC", self.user));
            return;
        };
        if synced.reason != Reason::Ok || synced.from != from || synced.to < from {
            let reason = synced.reason.name();
            self.world
                .surprise(format!("user {}: SYNC {from}..={to}: {reason} {}..={}", self.user, synced.from, synced.to));
            return;
        }
        for item in synced.items {
            match item {
                SyncItem::Image(bytes) => match Image::decode(bytes) {
                    Ok(image) => self.see(&image, How::Pulled),
                    Err(error) => self.world.surprise(format!("user {}: an image in SYNCED: {error}", self.user)),
                },
                SyncItem::Made(_) => {}
                SyncItem::Gap(gap) => {
                    self.world.surprise(format!("user {} channel {channel}: {gap:?}", self.user));
                    let view = self.views.entry(channel).or_default();
                    (gap.from..=gap.to).for_each(|seq| view.hold(seq));
                }
            }
        }
        if synced.to < to {
            self.asks.push_front(Ask::Sync { channel, epoch, from: synced.to + 1, to });
        }
    }

    /// Acknowledges now and then; one user in eight never does.
    fn acknowledge(&mut self, wire: &mut Wire) {
        if self.user % 8 != 7 && self.chance.once_in(8) {
            self.acknowledge_all(wire);
        }
    }

    fn acknowledge_all(&mut self, wire: &mut Wire) {
        for (channel, view) in &mut self.views {
            let Some(channel) = self.world.channel(*channel).filter(|_| view.contiguous > view.told) else {
                continue;
            };
            view.told = view.contiguous;
            view.acknowledged = view.acknowledged.max(view.told);
            let (channel, seq) = (channel.clone(), view.contiguous);
            wire.put(&Packet::Recvack(RecvackPacket { channel, seq, tlvs: Tlvs::new() }));
        }
    }
}
