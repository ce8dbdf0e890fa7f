//! One connection, as a value: bytes in, effects out, no IO, no clock. The driver in `net` carries the effects out over
//! a socket; the simulator does it on one thread.
//!
//! The rules of the bytes are in `postrider_protocol::session::server`; here they meet the server: who the client is,
//! which worker decides, what may be read, and how much a connection may have under way.

mod connect;
mod read;

use std::collections::BTreeMap;
use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use postrider_protocol::{
    Channel, Kind, Method, Reason, SEND_WINDOW, Tlvs,
    packet::{CallPacket, Packet, RecvackPacket, ReplyPacket, groups, marks},
    session::server::{ServerEvent, ServerSession, ServerTimers},
    tag,
};

pub use connect::{Issuer, Welcome};
pub use read::ReadRequest;

use crate::{
    hub::Hub,
    metrics::Metrics,
    outbox::{Farewell, Outbox, OutboxBounds},
    slot::{Command, GroupChange, Now, Origin, Submission, worker_of},
    view::View,
};

/// Cursors go to the log at most so long after they moved.
const CURSOR_DELAY_MS: u64 = 10_000;
/// A connection keeps so many cursors before it hands them on early.
const CURSORS: usize = 1_024;
/// PINGs and PONGs a connection may send at once, and the milliseconds after which one more is allowed.
const PINGS: u64 = 2_000;
const PING_EVERY_MS: u64 = 10;

/// What all sessions of a server share.
#[derive(Debug)]
pub struct Shared {
    /// Who is online.
    pub hub: Arc<Hub>,
    /// What is committed.
    pub view: Arc<View>,
    /// Bounds of outboxes.
    pub bounds: Arc<OutboxBounds>,
    /// How many workers decide.
    pub workers: usize,
    /// The deadlines of a connection.
    pub timers: ServerTimers,
    /// What CONNACK tells, and who may come.
    pub welcome: Welcome,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// What the driver has to do for a session.
#[derive(Debug)]
pub enum Effect {
    /// Hand this to the worker; wait for room if its queue is full.
    Submit(usize, Submission),
    /// Read this, then put the answer into the outbox.
    Read(ReadRequest),
}

/// A device's progress in a channel.
#[derive(Clone, Copy, Debug)]
struct Progress {
    seq: u64,
    /// What the log was last told.
    told: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    number: u64,
    machine: ServerSession,
    outbox: Arc<Outbox>,
    origin: Option<Arc<Origin>>,
    /// Waits for the read that is in service.
    held: Option<Box<ServerEvent>>,
    cursors: BTreeMap<Channel, Progress>,
    /// When the oldest cursor that the log does not know moved.
    cursors_since: Option<u64>,
    pings_free_at_ms: u64,
    /// Until when nothing more is read or handled.
    paused_until: Option<u64>,
    over: bool,
}

impl Session {
    /// A connection that begins now; `number` is unique in this process.
    #[must_use]
    pub fn new(shared: Arc<Shared>, number: u64, now: Now) -> Self {
        let outbox = Arc::new(Outbox::new(Arc::clone(&shared.bounds)));
        shared.hub.enter(number, &outbox);
        Self {
            machine: ServerSession::new(shared.timers, now.mono_ms),
            shared,
            number,
            outbox,
            origin: None,
            held: None,
            cursors: BTreeMap::new(),
            cursors_since: None,
            pings_free_at_ms: 0,
            paused_until: None,
            over: false,
        }
    }

    /// Where its frames wait to be written.
    #[must_use]
    pub const fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Bytes that the peer sent. Call [`Session::advance`] afterwards.
    pub fn handle_bytes(&mut self, now: Now, bytes: Bytes) {
        self.machine.handle_bytes(now.mono_ms, bytes);
    }

    /// Whether the driver should read more from the socket.
    #[must_use]
    pub fn wants_bytes(&self) -> bool {
        !self.over && self.held.is_none() && !self.is_full() && self.paused_until.is_none()
    }

    /// Whether there is something to go on with that no further byte brings: [`Session::advance`] stopped early.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        !self.over && self.machine.is_suspended()
    }

    /// Whether nothing is under way for it any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.outbox.owed() == 0 && !self.is_reading()
    }

    /// Goes on as far as possible; call it after bytes, wake-ups and timeouts.
    pub fn advance(&mut self, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut batches: BTreeMap<usize, Vec<Command>> = BTreeMap::new();
        let pause = self.origin.as_ref().map_or(0, |origin| origin.paused_until_ms.load(Ordering::Acquire));
        self.paused_until = (pause > now.mono_ms).then_some(pause);
        while !self.over && !self.is_full() && self.paused_until.is_none() {
            let held = self.held.take().map(|event| *event);
            let Some(event) = held.or_else(|| self.machine.poll_event()) else { break };
            self.handle(now, event, &mut batches, &mut effects);
            if self.held.is_some() {
                break;
            }
        }
        if self.wants_bytes() {
            self.machine.resume_reading(now.mono_ms);
        } else {
            self.machine.suspend_reading(now.mono_ms);
        }
        self.submit(now, batches, &mut effects);
        effects
    }

    /// The next moment, monotonic milliseconds, at which [`Session::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let cursors = self.cursors_since.map(|since| since + CURSOR_DELAY_MS);
        let machine = if self.over { None } else { self.machine.poll_timeout() };
        cursors.into_iter().chain(machine).chain(self.paused_until).min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.cursors_since.is_some_and(|since| now.mono_ms >= since + CURSOR_DELAY_MS) {
            let batches = self.flush_cursors();
            self.submit(now, batches, &mut effects);
        }
        if !self.over
            && let Some(ServerEvent::Close { reason, detail }) = self.machine.handle_timeout(now.mono_ms)
        {
            self.close(reason, detail.map(|detail| detail.to_string()));
        }
        effects
    }

    /// The connection is over, whoever ended it: it receives nothing more, and its cursors go to the log.
    pub fn finish(&mut self, now: Now) -> Vec<Effect> {
        self.over = true;
        self.shared.hub.leave(self.number);
        if let Some(origin) = &self.origin {
            self.shared.hub.unregister(origin);
            self.shared.metrics.sessions.dec();
        }
        let mut effects = Vec::new();
        let batches = self.flush_cursors();
        self.submit(now, batches, &mut effects);
        effects
    }

    fn handle(
        &mut self,
        now: Now,
        event: ServerEvent,
        batches: &mut BTreeMap<usize, Vec<Command>>,
        effects: &mut Vec<Effect>,
    ) {
        let received = &self.shared.metrics.frames_received;
        match &event {
            ServerEvent::Connect(_) => received.of(Kind::Connect).inc(),
            ServerEvent::Send(_) => received.of(Kind::Send).inc(),
            ServerEvent::Call(_) => received.of(Kind::Call).inc(),
            ServerEvent::Recvack(_) => received.of(Kind::Recvack).inc(),
            ServerEvent::List(_) => received.of(Kind::List).inc(),
            ServerEvent::Sync(_) => received.of(Kind::Sync).inc(),
            ServerEvent::Answer(_) => received.of(Kind::Ping).inc(),
            ServerEvent::Ended => received.of(Kind::Disconnect).inc(),
            ServerEvent::Close { reason, .. } => {
                self.shared.metrics.frame_error(*reason);
                0
            }
        };
        match event {
            ServerEvent::Connect(packet) => self.connect(now, &packet),
            ServerEvent::Send(packet) => self.command(Command::Send(packet), batches),
            ServerEvent::Call(call) => self.call(call, batches, effects),
            ServerEvent::Recvack(ack) => self.recvack(now, &ack, batches),
            ServerEvent::List(_) | ServerEvent::Sync(_) => self.read(event, effects),
            ServerEvent::Answer(packet) => {
                if self.charge_ping(now.mono_ms) {
                    self.answer(&packet);
                } else {
                    self.close(Reason::RateLimited, Some("too many PINGs".to_owned()));
                }
            }
            ServerEvent::Close { reason, detail } => self.close(reason, detail.map(|detail| detail.to_string())),
            ServerEvent::Ended => {
                self.over = true;
                self.outbox.close(Farewell { silent: true, ..Reason::Ok.into() });
            }
        }
    }

    fn call(&mut self, call: CallPacket, batches: &mut BTreeMap<usize, Vec<Command>>, effects: &mut Vec<Effect>) {
        let (request, number, oldest) = (call.request, call.number, call.oldest);
        let change = match Method::from_number(call.method) {
            Some(Method::GroupMembers) => return self.read(ServerEvent::Call(call), effects),
            Some(Method::GroupCreate) => GroupChange::Create,
            Some(Method::GroupAdd) => GroupChange::Add,
            Some(Method::GroupRemove) => GroupChange::Remove,
            Some(Method::Read) => {
                return match marks::read_mark(call.fields) {
                    Ok((channel, seq)) => {
                        self.command(Command::Read { request, number, oldest, channel, seq }, batches);
                    }
                    Err(error) => self.refuse_call(request, Reason::Malformed, &error.to_string()),
                };
            }
            None => return self.refuse_call(request, Reason::UnknownMethod, "method"),
        };
        match groups::read_change(call.fields) {
            Ok((group, users)) => {
                let channel = Channel::group(&group);
                self.command(Command::Group { request, number, oldest, change, channel, users }, batches);
            }
            Err(error) => self.refuse_call(request, Reason::Malformed, &error.to_string()),
        }
    }

    fn refuse_call(&self, request: u32, reason: Reason, detail: &str) {
        let tlvs = Tlvs::from_pairs([(tag::DETAIL, detail.as_bytes())]);
        self.answer(&Packet::Reply(ReplyPacket { request, reason, seq: 0, time_ms: 0, fields: Bytes::new(), tlvs }));
    }

    fn command(&mut self, command: Command, batches: &mut BTreeMap<usize, Vec<Command>>) {
        let Some(origin) = &self.origin else { return };
        self.outbox.owe(1);
        let worker = worker_of(command.channel().slot(origin.tenant), self.shared.workers);
        batches.entry(worker).or_default().push(command);
    }

    /// A cursor beyond the committed head is a violation. The head is looked up in memory alone; the first cursor of a
    /// channel goes to its worker at once, which knows the head and the user's rights.
    fn recvack(&mut self, now: Now, ack: &RecvackPacket, batches: &mut BTreeMap<usize, Vec<Command>>) {
        let Some(origin) = &self.origin else { return };
        if origin.device.is_none() {
            return self.close(Reason::ProtocolViolation, Some("RECVACK without a device".to_owned()));
        }
        let head = self.shared.view.head(origin.tenant, &ack.channel);
        if head.is_some_and(|head| ack.seq > head.seq) {
            return self.close(Reason::ProtocolViolation, Some("RECVACK above the head".to_owned()));
        }
        if let Some(progress) = self.cursors.get_mut(&ack.channel) {
            if ack.seq > progress.seq {
                progress.seq = ack.seq;
                self.cursors_since.get_or_insert(now.mono_ms);
            }
            return;
        }
        let channel = ack.channel.detached();
        self.cursors.insert(channel.clone(), Progress { seq: ack.seq, told: ack.seq });
        self.command(Command::Cursor { channel, seq: ack.seq }, batches);
        if self.cursors.len() > CURSORS {
            for (worker, commands) in self.flush_cursors() {
                batches.entry(worker).or_default().extend(commands);
            }
            self.cursors.clear();
        }
    }

    fn flush_cursors(&mut self) -> BTreeMap<usize, Vec<Command>> {
        self.cursors_since = None;
        let mut moved = Vec::new();
        for (channel, progress) in &mut self.cursors {
            if progress.seq > progress.told {
                progress.told = progress.seq;
                moved.push(Command::Cursor { channel: channel.clone(), seq: progress.seq });
            }
        }
        let mut batches = BTreeMap::new();
        for command in moved {
            self.command(command, &mut batches);
        }
        batches
    }

    fn submit(&self, now: Now, batches: BTreeMap<usize, Vec<Command>>, effects: &mut Vec<Effect>) {
        let Some(origin) = &self.origin else { return };
        for (worker, commands) in batches {
            let submission = Submission { origin: Arc::clone(origin), at_ms: now.mono_ms, commands };
            effects.push(Effect::Submit(worker, submission));
        }
    }

    fn is_full(&self) -> bool {
        self.outbox.owed() as usize >= SEND_WINDOW || self.outbox.waiting() > self.shared.bounds.queue_bytes
    }

    fn is_reading(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.reading.load(Ordering::Acquire))
    }

    fn charge_ping(&mut self, now_ms: u64) -> bool {
        let free_at = self.pings_free_at_ms.max(now_ms);
        self.pings_free_at_ms = free_at + PING_EVERY_MS;
        free_at - now_ms <= PINGS * PING_EVERY_MS
    }

    fn answer(&self, packet: &Packet) {
        let mut frame = Vec::new();
        packet.encode(&mut frame);
        self.outbox.push_answers(&frame);
    }

    fn close(&mut self, reason: Reason, detail: Option<String>) {
        self.over = true;
        self.outbox.close(Farewell { reason, retry_after_ms: None, detail, silent: false });
    }
}
