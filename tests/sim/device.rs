//! One client: the real state machine, and an app that keeps what it is told. What it writes out it has stored before;
//! a crash takes it back to what was stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use postrider::auth::{Claims, mint};
use postrider_protocol::{
    Channel, GapReason, Id, Method, Reason, SenderKind, Tlvs, image_flag,
    packet::{groups, marks},
    session::client::{ClientEvent, ClientSession, ClientState, Retry},
    tag,
};

use crate::{
    chance::Chance,
    link::Link,
    oracle::{Oracle, Written},
    report::{Verdict, ensure},
    server::SECRET,
};

/// What the app knows of one channel.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Its history begins above this seq.
    pub base: Option<u64>,
    /// It has everything up to here.
    pub done: u64,
    pub acknowledged: u64,
    /// What it was told of each seq; true for an image, false for a gap.
    pub told: BTreeMap<u64, bool>,
    /// Its own commands' seqs.
    pub own: BTreeSet<u64>,
    /// LIST told it to begin above this seq, because what is below was trimmed.
    skips: u64,
}

/// A command without an answer.
#[derive(Clone, Debug)]
struct Waiting {
    body: Option<Bytes>,
    mark: Option<(Channel, u64)>,
}

/// The answer to a command: its number, what it was, and where it is stored if it is.
type Answered = (u64, Waiting, Option<(Channel, u64)>);

/// What is on the client's disk.
#[derive(Clone, Debug, Default)]
struct Saved {
    state: Bytes,
    /// Base and acknowledged seq of each channel.
    notes: BTreeMap<Channel, (u64, u64)>,
}

/// See the module.
#[derive(Debug)]
pub struct Device {
    pub user: Id,
    pub id: Option<Id>,
    state: ClientState,
    wire: Option<(u64, ClientSession)>,
    /// When it connects again; never while it is none.
    pub reconnect_at: Option<u64>,
    pub notes: BTreeMap<Channel, Notes>,
    waiting: BTreeMap<u64, Waiting>,
    saved: Saved,
    /// Numbers used since the last save.
    unsaved: Vec<u64>,
    /// Answers since the last save.
    fresh: Vec<Answered>,
    /// It acknowledges once in so many turns.
    pub laziness: usize,
    /// It was started again, or has a new sender: its own messages may come as those of others.
    may_repeat_own: bool,
    /// The server lost what it had promised, and this state knows of it: only a new one can go on.
    is_void: bool,
    /// The last `CaughtUp` was of this connection.
    pub is_caught_up: bool,
}

impl Device {
    pub fn new(user: &Id, id: Option<Id>, laziness: usize) -> Self {
        let kind = if id.is_some() { SenderKind::Kept } else { SenderKind::OneShot };
        Self {
            user: user.clone(),
            state: ClientState::new(id.clone(), kind),
            id,
            wire: None,
            reconnect_at: Some(0),
            notes: BTreeMap::new(),
            waiting: BTreeMap::new(),
            saved: Saved::default(),
            unsaved: Vec::new(),
            fresh: Vec::new(),
            laziness,
            may_repeat_own: false,
            is_void: false,
            is_caught_up: false,
        }
    }

    /// The connection it has.
    pub fn connection(&self) -> Option<u64> {
        self.wire.as_ref().map(|(number, _)| *number)
    }

    /// Whether it waits for an answer.
    pub fn is_waiting(&self) -> bool {
        self.state.waiting() > 0
    }

    /// The app writes a message.
    pub fn write(&mut self, oracle: &mut Oracle, step: u64, channel: &Channel, size: usize, mark: u64) {
        let mut body = format!("{}/{}:", self.user, oracle.written.len()).into_bytes();
        body.resize(body.len().max(size), b'.');
        let body = Bytes::from(body);
        let tlvs = match mark {
            0 => Tlvs::new(),
            mark => Tlvs::from_pairs([(tag::READ, &mark.to_be_bytes()[..])]),
        };
        let sent = self.state.send(channel.clone(), image_flag::COUNTABLE, body.clone(), tlvs);
        let number = sent.expect("a body within the limit");
        let (author, channel) = (self.user.clone(), channel.clone());
        let mark = (mark > 0).then(|| (channel.clone(), mark));
        oracle.written.insert(body.clone(), Written { author, channel, at: step, sent: None, is_void: false });
        self.waiting.insert(number, Waiting { body: Some(body), mark });
        self.unsaved.push(number);
    }

    /// The app changes a group.
    pub fn change(&mut self, oracle: &mut Oracle, method: Method, group: &Id, users: &[Id]) {
        let mut fields = Vec::new();
        groups::write_change(&mut fields, group, users);
        oracle.callers.insert((Channel::group(group), self.user.clone()));
        self.call(Channel::group(group), method, fields, None);
    }

    /// The user has read what there is.
    pub fn read(&mut self, channel: &Channel) {
        let seq = self.notes.get(channel).map_or(0, |notes| notes.done);
        if seq > 0 {
            let mut fields = Vec::new();
            marks::write_mark(&mut fields, channel, seq);
            self.call(channel.clone(), Method::Read, fields, Some((channel.clone(), seq)));
        }
    }

    fn call(&mut self, channel: Channel, method: Method, fields: Vec<u8>, mark: Option<(Channel, u64)>) {
        let number = self.state.call(channel, method, fields.into()).expect("a call that changes something");
        self.waiting.insert(number, Waiting { body: None, mark });
        self.unsaved.push(number);
    }

    /// Says goodbye once everything is told.
    pub fn close(&mut self, now_ms: u64, step: u64, oracle: &mut Oracle) -> Verdict {
        self.state.close();
        self.events(now_ms, step, oracle)
    }

    /// Begins a connection; `number` is none when nobody is there.
    pub fn connect(&mut self, now_ms: u64, wall_ms: u64, number: Option<u64>, oracle: &mut Oracle) -> Verdict {
        self.reconnect_at = None;
        match number {
            Some(number) => {
                let token = Bytes::from(token(&self.user, self.id.as_ref(), wall_ms));
                self.wire = Some((number, self.state.connect(now_ms, token, Tlvs::new())));
                self.is_caught_up = false;
                Ok(())
            }
            None => {
                self.state.handle_unreachable("nobody is there");
                self.events(now_ms, 0, oracle)
            }
        }
    }

    /// The app is killed. With `keeps` it starts again from what it had stored.
    pub fn crash(&mut self, now_ms: u64, keeps: bool, oracle: &mut Oracle) {
        self.wire = None;
        self.reconnect_at = Some(now_ms);
        for number in std::mem::take(&mut self.unsaved) {
            if let Some(Waiting { body: Some(body), .. }) = self.waiting.remove(&number) {
                oracle.written.entry(body).and_modify(|written| written.is_void = true);
            }
        }
        if !keeps || self.saved.state.is_empty() {
            *self = Self::new(&self.user, self.id.clone(), self.laziness);
            self.reconnect_at = Some(now_ms);
            return;
        }
        self.state = ClientState::load(self.saved.state.clone()).expect("what was saved");
        for (number, waiting, stored) in std::mem::take(&mut self.fresh) {
            if let Some(body) = waiting.body.clone() {
                oracle.written.entry(body).and_modify(|written| written.is_void = false);
            }
            if let Some((channel, seq)) = stored {
                self.notes.entry(channel).or_default().own.remove(&seq);
            }
            self.waiting.insert(number, waiting);
        }
        let saved = &self.saved.notes;
        for (channel, notes) in &mut self.notes {
            let known = saved.get(channel);
            let (base, acknowledged) = known.copied().unwrap_or_default();
            notes.base = known.map(|_| base);
            // The client library acknowledges gaps by itself.
            notes.told.retain(|seq, is_image| *seq <= acknowledged || !*is_image);
            (notes.acknowledged, notes.done) = (acknowledged, base.max(acknowledged));
            notes.advance();
        }
        self.may_repeat_own = true;
    }

    /// Lets the client go on: read, time, write. Whether anything moved.
    pub fn turn(
        &mut self,
        now_ms: u64,
        step: u64,
        link: &mut Link,
        chance: &mut Chance,
        oracle: &mut Oracle,
    ) -> Verdict<bool> {
        let Some((_, session)) = &mut self.wire else { return Ok(false) };
        let mut moved = false;
        if now_ms >= link.stalled_until {
            let piece = link.read_down(chance);
            moved |= !piece.is_empty();
            session.handle_bytes(piece);
        }
        if session.poll_timeout().is_some_and(|at| now_ms >= at)
            && let Err(failure) = session.handle_timeout(now_ms)
        {
            self.state.handle_failure(failure);
        }
        self.state.drive(session, now_ms);
        self.events(now_ms, step, oracle)?;
        if chance.one_in(self.laziness) {
            moved |= self.acknowledge(now_ms, oracle);
        }
        let Some((_, session)) = &mut self.wire else { return Ok(moved) };
        self.state.drive(session, now_ms);
        self.events(now_ms, step, oracle)?;
        let Some((_, session)) = &mut self.wire else { return Ok(moved) };
        let output = session.take_output();
        let is_closed = session.is_closed();
        if !output.is_empty() {
            self.save();
            oracle.trace.add(2, now_ms, &output);
            link.write_up(&output);
            moved = true;
        }
        if is_closed || link.ends_down() && now_ms >= link.stalled_until {
            self.lose(now_ms, step, link, oracle)?;
            moved = true;
        }
        if self.is_void {
            self.crash(now_ms, false, oracle);
        }
        Ok(moved)
    }

    /// The connection is over.
    pub fn lose(&mut self, now_ms: u64, step: u64, link: &mut Link, oracle: &mut Oracle) -> Verdict {
        link.client_left = true;
        self.wire = None;
        self.state.handle_lost("the connection ended");
        self.events(now_ms, step, oracle)
    }

    fn save(&mut self) {
        let mut bytes = Vec::new();
        self.state.save(&mut bytes);
        self.saved.state = bytes.into();
        let known = |(channel, notes): (&Channel, &Notes)| Some((channel.clone(), (notes.base?, notes.acknowledged)));
        self.saved.notes = self.notes.iter().filter_map(known).collect();
        self.unsaved.clear();
        self.fresh.clear();
    }

    fn acknowledge(&mut self, now_ms: u64, oracle: &mut Oracle) -> bool {
        let mut moved = false;
        for (channel, notes) in self.notes.iter_mut().filter(|(_, notes)| notes.done > notes.acknowledged) {
            notes.acknowledged = notes.done;
            self.state.acknowledge(now_ms, channel, notes.done);
            moved = true;
            if let Some(id) = &self.id {
                let key = (channel.clone(), self.user.clone(), id.clone());
                let most = oracle.acknowledged.entry(key).or_default();
                *most = notes.done.max(*most);
            }
        }
        moved
    }

    /// Keeps what the app is told.
    fn events(&mut self, now_ms: u64, step: u64, oracle: &mut Oracle) -> Verdict {
        while let Some(event) = self.state.poll_event() {
            oracle.say(|| told(&self.user, self.id.as_ref(), &event));
            match event {
                ClientEvent::Sent { number, channel, seq, .. } => self.sent(step, number, channel, seq, oracle)?,
                ClientEvent::Refused { number, reason, .. } => {
                    oracle.counters.add("refused for good");
                    let conflict = reason == Reason::DedupConflict && oracle.tainted.is_empty();
                    ensure(!conflict, "I2 uniqueness", || format!("{}'s number {number} is taken", self.user))?;
                    let body = self.answered(number).and_then(|waiting| waiting.body);
                    if let Some(written) = body.and_then(|body| oracle.written.get_mut(&body)) {
                        written.is_void = true;
                    }
                }
                ClientEvent::PerhapsSent { number, .. } => {
                    oracle.counters.add("perhaps sent");
                    self.answered(number);
                }
                ClientEvent::Closed { reason, retry, detail } => {
                    self.closed(now_ms, reason, retry, &detail, oracle)?;
                }
                ClientEvent::CaughtUp => {
                    self.is_caught_up = true;
                    self.notes.values_mut().for_each(Notes::skip);
                }
                event => self.history(event, oracle)?,
            }
        }
        Ok(())
    }

    /// A command was answered without being stored.
    fn answered(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&number)?;
        self.fresh.push((number, waiting.clone(), None));
        Some(waiting)
    }

    /// What the app is told of the history of a channel.
    fn history(&mut self, event: ClientEvent, oracle: &mut Oracle) -> Verdict {
        match event {
            ClientEvent::Conversation { conversation, reset } if !oracle.skips(&conversation.channel) => {
                self.conversation(&conversation.channel, conversation.sync_from, reset, oracle)
            }
            ClientEvent::Message { image } if !oracle.skips(&image.channel) => {
                let stored = oracle.stored(&image.channel, image.seq);
                let is_same = stored.is_some_and(|stored| {
                    stored.body == image.body && stored.author == image.author() && stored.kind == image.kind
                });
                ensure(is_same, "I4 agreement", || format!("{} was told another {image:?}", self.user))?;
                self.tell(&image.channel, image.seq, image.seq, true)
            }
            ClientEvent::Gap { channel, gap } if !oracle.skips(&channel) => {
                let visible_from = oracle.stays(&channel, &self.user).last().map_or(0, |(from, _)| *from);
                let is_true = match gap.why {
                    GapReason::NotVisible => gap.to <= visible_from,
                    GapReason::Trimmed => gap.to <= oracle.trimmed(&channel),
                    GapReason::Quarantined | GapReason::Expired | GapReason::Hidden => false,
                };
                ensure(is_true, "I9 completeness", || format!("{} was told {gap:?}", self.user))?;
                self.tell(&channel, gap.from, gap.to, false)
            }
            _ => Ok(()),
        }
    }

    fn sent(&mut self, step: u64, number: u64, channel: Channel, seq: u64, oracle: &mut Oracle) -> Verdict {
        let Some(waiting) = self.waiting.remove(&number) else {
            return ensure(false, "I11 no duplicate", || format!("{}'s number {number} sent twice", self.user));
        };
        if let Some(written) = waiting.body.as_ref().and_then(|body| oracle.written.get_mut(body)) {
            let is_same = written.sent.is_none_or(|(before, _)| before == seq);
            ensure(is_same || !oracle.tainted.is_empty(), "I2 uniqueness", || {
                format!("{}'s number {number} is {seq} and {:?}", self.user, written.sent)
            })?;
            written.sent.get_or_insert((seq, step));
        }
        if let Some((channel, mark)) = waiting.mark.clone() {
            oracle.read.entry((channel, self.user.clone())).and_modify(|most| *most = mark.max(*most)).or_insert(mark);
        }
        if seq > 0 && self.id.is_some() && !oracle.skips(&channel) {
            let notes = self.notes.entry(channel.clone()).or_default();
            let is_new = notes.told.get(&seq) != Some(&true);
            ensure(is_new, "I11 no duplicate", || format!("{} has its own {seq} as a message", self.user))?;
            notes.own.insert(seq);
            if seq == 1 {
                // Who is there from the first entry on needs no LIST to know where it begins.
                notes.base.get_or_insert(0);
            }
            notes.advance();
        }
        self.fresh.push((number, waiting, Some((channel, seq))));
        Ok(())
    }

    fn conversation(&mut self, channel: &Channel, from: u64, reset: bool, oracle: &mut Oracle) -> Verdict {
        let user = &self.user;
        ensure(!reset, "I9 completeness", || format!("{user} has to forget {channel:?}, of which nothing is lost"))?;
        let notes = self.notes.entry(channel.clone()).or_default();
        if notes.base.is_some() {
            // Who holds nothing but own commands goes on there, without asking for what is gone.
            if from <= oracle.trimmed(channel) && notes.skips <= notes.done {
                notes.skips = from;
            }
            return Ok(());
        }
        notes.base = Some(from);
        notes.advance();
        let visible_from = oracle.stays(channel, user).last().map_or(0, |(from, _)| *from);
        let key = self.id.clone().map(|id| (channel.clone(), user.clone(), id));
        let acknowledged = key.and_then(|key| oracle.acknowledged.get(&key).copied()).unwrap_or_default();
        // Its own messages need no acknowledgement: the client library holds them.
        let is_own = |seq| oracle.stored(channel, seq).is_some_and(|stored| stored.author == *user);
        let low = acknowledged.max(visible_from).max(oracle.trimmed(channel));
        ensure((low + 1..=from).all(is_own), "I9 completeness", || {
            format!("{user} is to begin {channel:?} at {from}, and acknowledged {acknowledged}")
        })
    }

    /// The app is told of the seqs of an image, or of a gap.
    fn tell(&mut self, channel: &Channel, from: u64, to: u64, is_image: bool) -> Verdict {
        let notes = self.notes.entry(channel.clone()).or_default();
        if from == 1 {
            notes.base.get_or_insert(0);
        }
        let here = || format!("{} {:?} is told {from} to {to} of {channel:?}", self.user, self.id);
        ensure(notes.base.is_some(), "I9 completeness", || format!("{}, and does not know it", here()))?;
        if from > notes.skips && (notes.skips + 1..from).all(|seq| notes.own.contains(&seq)) {
            notes.skip();
        }
        let done = notes.done;
        // A gap may reach over its own commands, which it knows already.
        let is_own = is_image && notes.own.contains(&from);
        let is_next = if is_image && !is_own { from == done + 1 } else { from <= done + 1 };
        ensure(is_next, "I9 completeness", || format!("{} after {done}", here()))?;
        for seq in from..=to {
            let is_new = notes.told.insert(seq, is_image).is_none();
            let is_once = (is_new || !is_image) && (!is_own || self.may_repeat_own);
            ensure(is_once, "I11 no duplicate", || format!("{}, again", here()))?;
        }
        notes.advance();
        Ok(())
    }

    fn closed(
        &mut self,
        now_ms: u64,
        reason: Option<Reason>,
        retry: Retry,
        detail: &str,
        oracle: &mut Oracle,
    ) -> Verdict {
        match reason {
            Some(Reason::SlowConsumer) => oracle.counters.add("slow consumers"),
            Some(Reason::SenderExpired) => {
                oracle.counters.add("senders expired");
                self.may_repeat_own = true;
            }
            _ => {}
        }
        let is_fault = matches!(
            reason,
            Some(
                Reason::Malformed
                    | Reason::BadCrc
                    | Reason::UnknownKind
                    | Reason::FrameTooLarge
                    | Reason::ProtocolViolation
                    | Reason::Replaced
                    | Reason::Internal
            )
        );
        let is_excused = !is_fault || !oracle.tainted.is_empty();
        ensure(is_excused, "honest peers part in peace", || format!("{}: {reason:?} {detail}", self.user))?;
        self.is_void = is_fault;
        self.reconnect_at = match retry {
            Retry::Never if reason.is_none_or(|reason| reason == Reason::Ok) => None,
            Retry::Never | Retry::NewToken => Some(now_ms + 500),
            Retry::Now => Some(now_ms),
            Retry::BackOff { at_least_ms } => Some(now_ms + 300 + u64::from(at_least_ms)),
        };
        Ok(())
    }

    /// When it has something to do by itself.
    pub fn poll_timeout(&self) -> Option<u64> {
        let session = self.wire.as_ref().and_then(|(_, session)| session.poll_timeout());
        let state = self.wire.as_ref().and_then(|_| self.state.poll_timeout());
        [session, state, self.reconnect_at].into_iter().flatten().min()
    }
}

impl Notes {
    /// Begins above what was trimmed.
    fn skip(&mut self) {
        for seq in self.done + 1..=self.skips {
            self.told.entry(seq).or_insert(false);
        }
        self.advance();
    }

    /// Moves over what is held.
    fn advance(&mut self) {
        let Some(base) = self.base else { return };
        self.done = self.done.max(base);
        while self.told.contains_key(&(self.done + 1)) || self.own.contains(&(self.done + 1)) {
            self.done += 1;
        }
    }
}

/// What an app was told, in short.
fn told(user: &Id, device: Option<&Id>, event: &ClientEvent) -> String {
    let who = format!("  {user}/{}:", device.map_or("-", Id::as_str));
    match event {
        ClientEvent::Conversation { conversation: told, reset } => {
            format!("{who} {:?} head {} from {} reset {reset}", told.channel, told.head, told.sync_from)
        }
        ClientEvent::Message { image } => format!("{who} {:?} {}", image.channel, image.seq),
        ClientEvent::Connected { .. } => format!("{who} connected"),
        event => format!("{who} {event:?}"),
    }
}

/// A token of the user, issued now.
pub fn token(user: &Id, device: Option<&Id>, wall_ms: u64) -> String {
    let dev = device.map(ToString::to_string);
    let claims = Claims { dev, ..Claims::new(user.to_string(), wall_ms / 1_000, Duration::from_secs(3_600)) };
    mint(SECRET, None, &claims).expect("a token")
}
