//! One connection, as a value: bytes in, effects out, no IO, no clock. The driver in `net` carries the effects out over
//! a socket; the simulator does it on one thread.
//!
//! The rules of the bytes are in `postrider_protocol::session::server`; here they meet the server: who the client is,
//! which worker decides, what may be read, and how much a connection may have under way.

mod connect;
mod notice;
#[cfg(test)]
mod pace_tests;
mod read;

use std::collections::BTreeMap;
use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use postrider_protocol::{
    Channel, Kind, Method, Reason, SEND_WINDOW, Tlvs,
    packet::{CallPacket, Packet, RecvackPacket, ReplyPacket},
    session::server::{ServerEvent, ServerSession, ServerTimers},
    tag,
};

pub use connect::{Issuer, Welcome};
use notice::Typing;
pub use read::ReadRequest;

use crate::{
    hub::Hub,
    lookup::Lookup,
    metrics::Metrics,
    notice::Notices,
    outbox::{Farewell, Outbox, OutboxBounds},
    pace::Pace,
    quota::Quotas,
    schemas::Schemas,
    slot::{Act, Command, Now, Origin, Submission, worker_of},
    view::View,
};

/// Cursors go to the log at most so long after they moved.
const CURSOR_DELAY_MS: u64 = 10_000;
/// A connection keeps so many cursors before it hands them on early.
const CURSORS: usize = 1_024;
/// What the first cursor of a channel is charged, microseconds of a core.
const NEW_CURSOR_US: u64 = 10;
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
    /// The same with the store behind it: which devices were removed.
    pub lookup: Lookup,
    /// What bodies must be like.
    pub schemas: Schemas,
    /// What connections may use.
    pub quotas: Arc<Quotas>,
    /// Bounds of outboxes.
    pub bounds: Arc<OutboxBounds>,
    /// How many workers decide.
    pub workers: usize,
    /// The deadlines of a connection.
    pub timers: ServerTimers,
    /// What CONNACK tells, and who may come.
    pub welcome: Welcome,
    /// Who is to hear what is not stored.
    pub notices: Arc<Notices>,
    /// How much of the machine each user has.
    pub pace: Arc<Pace>,
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
    /// The channel's head when it was looked up last; it only rises.
    head: u64,
    /// What the log was last told.
    told: u64,
}

/// What one turn hands to the workers.
#[derive(Debug, Default)]
struct Work {
    /// The worker of `commands`: nearly always all are for one.
    worker: usize,
    commands: Vec<Command>,
    /// What is for other workers.
    others: BTreeMap<usize, Vec<Command>>,
    /// How many commands these are together.
    count: u32,
    /// Frames that were taken in.
    sends: u64,
    recvacks: u64,
    /// Channels of which the session kept no cursor.
    newly: u64,
}

impl Work {
    fn push(&mut self, worker: usize, command: Command) {
        self.count += 1;
        if self.commands.is_empty() {
            self.worker = worker;
        }
        if self.worker == worker {
            self.commands.push(command);
        } else {
            self.others.entry(worker).or_default().push(command);
        }
    }
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
    /// What it says of its user's typing; made when it first does.
    typing: Option<Box<Typing>>,
    /// Until when nothing more is read or handled; 0 while it is not held up.
    paused_until: u64,
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
            typing: None,
            paused_until: 0,
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
        !self.over && self.held.is_none() && !self.is_full() && self.paused_until == 0
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
        let (mut work, mut effects) = (Work::default(), Vec::new());
        let pause = self.origin.as_ref().and_then(|origin| origin.pause.end_ms(now.mono_ms));
        self.paused_until = pause.unwrap_or_default();
        let mut is_behind = self.is_behind();
        let mut is_drained = false;
        while !self.over && !is_behind && self.paused_until == 0 && self.owes(&work) < SEND_WINDOW {
            let held = self.held.take().map(|event| *event);
            let Some(event) = held.or_else(|| self.machine.poll_event()) else {
                is_drained = true;
                break;
            };
            // What goes to a worker puts nothing into the outbox here.
            let is_answered = !matches!(event, ServerEvent::Send(_) | ServerEvent::Recvack(_));
            self.handle(now, event, &mut work, &mut effects);
            if is_answered {
                is_behind = self.is_behind();
            }
            if self.held.is_some() {
                break;
            }
        }
        if work.newly > 0 {
            self.charge(work.newly * NEW_CURSOR_US, now);
            self.keep_pace(now);
        }
        self.submit(now, work, &mut effects);
        // What stopped it above may have gone since, answered by another thread. Something may wait here all the same, and
        // perhaps no byte will come: it goes on when it is woken for those answers.
        if is_drained && self.wants_bytes() {
            self.machine.resume_reading(now.mono_ms);
        } else {
            self.machine.suspend_reading(now.mono_ms);
        }
        effects
    }

    /// The next moment, monotonic milliseconds, at which [`Session::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let cursors = self.cursors_since.map(|since| since + CURSOR_DELAY_MS);
        let machine = if self.over { None } else { self.machine.poll_timeout() };
        cursors.into_iter().chain(machine).chain(Some(self.paused_until).filter(|until| *until > 0)).min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.cursors_since.is_some_and(|since| now.mono_ms >= since + CURSOR_DELAY_MS) {
            let mut work = Work::default();
            self.flush_cursors(&mut work);
            self.submit(now, work, &mut effects);
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
            self.shared.notices.go(origin, now);
            self.shared.metrics.sessions.dec();
        }
        let (mut work, mut effects) = (Work::default(), Vec::new());
        self.flush_cursors(&mut work);
        self.submit(now, work, &mut effects);
        effects
    }

    fn handle(&mut self, now: Now, event: ServerEvent, work: &mut Work, effects: &mut Vec<Effect>) {
        match event {
            ServerEvent::Send(packet) => {
                work.sends += 1;
                let unfit = self.unfit(&packet.tlvs, &packet.body);
                self.command(Command::Send(packet).unless(unfit), work);
            }
            ServerEvent::Recvack(ack) => {
                work.recvacks += 1;
                self.recvack(now, &ack, work);
            }
            ServerEvent::Connect(packet) => {
                self.count(Kind::Connect, 1);
                self.connect(now, &packet, work);
            }
            ServerEvent::Call(call) => {
                self.count(Kind::Call, 1);
                self.call(now, call, work, effects);
            }
            ServerEvent::List(_) => {
                self.count(Kind::List, 1);
                self.read(now, event, effects);
            }
            ServerEvent::Sync(_) => {
                self.count(Kind::Sync, 1);
                self.read(now, event, effects);
            }
            ServerEvent::Notice(notice) => {
                self.count(Kind::Notice, 1);
                self.notice(now, notice, work);
            }
            ServerEvent::Answer(packet) => {
                self.count(Kind::Ping, 1);
                if self.charge_ping(now.mono_ms) {
                    self.answer(&packet);
                } else {
                    self.close(Reason::RateLimited, Some("too many PINGs".to_owned()));
                }
            }
            ServerEvent::Close { reason, detail } => {
                self.shared.metrics.frame_error(reason);
                self.close(reason, detail.map(|detail| detail.to_string()));
            }
            ServerEvent::Ended => {
                self.count(Kind::Disconnect, 1);
                self.over = true;
                self.outbox.close(Farewell { silent: true, ..Reason::Ok.into() });
            }
        }
    }

    /// Counts frames that were taken in.
    fn count(&self, kind: Kind, frames: u64) {
        if frames > 0 {
            self.shared.metrics.frames_received.of(kind).inc_by(frames);
        }
    }

    fn call(&mut self, now: Now, call: CallPacket, work: &mut Work, effects: &mut Vec<Effect>) {
        let Some(origin) = &self.origin else { return };
        let (request, number, oldest) = (call.request, call.number, call.oldest);
        let Some(method) = Method::from_number(call.method) else {
            return self.refuse_call(request, Reason::UnknownMethod, "method");
        };
        if !method.changes() {
            return self.read(now, ServerEvent::Call(call), effects);
        }
        match Act::read(method, &call, &origin.user, origin.device.as_ref()) {
            Ok((channel, act)) => {
                let unfit = act.content().and_then(|(tlvs, body)| self.unfit(tlvs, body));
                self.command(Command::Act { request, number, oldest, channel, act }.unless(unfit), work);
            }
            Err(error) => self.refuse_call(request, error.reason, &error.to_string()),
        }
    }

    fn refuse_call(&self, request: u32, reason: Reason, detail: &str) {
        let tlvs = Tlvs::from_pairs([(tag::DETAIL, detail.as_bytes())]);
        self.answer(&Packet::Reply(ReplyPacket { request, reason, seq: 0, time_ms: 0, fields: Bytes::new(), tlvs }));
    }

    /// In what way a message does not follow the schema of its type, if it does not.
    fn unfit(&self, tlvs: &Tlvs, body: &[u8]) -> Option<String> {
        self.shared.schemas.refuse(self.origin.as_ref()?.tenant, tlvs, body)
    }

    fn command(&self, command: Command, work: &mut Work) {
        let Some(origin) = &self.origin else { return };
        if work.commands.capacity() == 0 {
            // As many as are likely here already: a short message takes about so many bytes.
            let more = self.machine.held() / 128;
            work.commands.reserve_exact(1 + more.min(SEND_WINDOW));
        }
        work.push(worker_of(command.channel().slot(origin.tenant), self.shared.workers), command);
    }

    /// A cursor beyond the committed head is a violation. The head is looked up in memory alone; the first cursor of a
    /// channel goes to its worker at once, which knows the head and the user's rights.
    fn recvack(&mut self, now: Now, ack: &RecvackPacket, work: &mut Work) {
        let Some(origin) = &self.origin else { return };
        if origin.device.is_none() {
            return self.close(Reason::ProtocolViolation, Some("RECVACK without a device".to_owned()));
        }
        let progress = self.cursors.get_mut(&ack.channel);
        let mut known = progress.as_ref().map_or(0, |progress| progress.head);
        if ack.seq > known
            && let Some(head) = self.shared.view.head(origin.tenant, &ack.channel)
        {
            known = head.seq;
            if ack.seq > known {
                return self.close(Reason::ProtocolViolation, Some("RECVACK above the head".to_owned()));
            }
        }
        if let Some(progress) = progress {
            progress.head = known;
            if ack.seq > progress.seq {
                progress.seq = ack.seq;
                self.cursors_since.get_or_insert(now.mono_ms);
            }
            return;
        }
        let channel = ack.channel.detached();
        work.newly += 1;
        self.cursors.insert(channel.clone(), Progress { seq: ack.seq, head: known, told: ack.seq });
        self.command(Command::Cursor { channel, seq: ack.seq }, work);
        if self.cursors.len() > CURSORS {
            self.flush_cursors(work);
            self.cursors.clear();
        }
    }

    fn flush_cursors(&mut self, work: &mut Work) {
        self.cursors_since = None;
        let mut moved = Vec::new();
        for (channel, progress) in &mut self.cursors {
            if progress.seq > progress.told {
                progress.told = progress.seq;
                moved.push(Command::Cursor { channel: channel.clone(), seq: progress.seq });
            }
        }
        for command in moved {
            self.command(command, work);
        }
    }

    /// Hands over what a turn has gathered; from here on the session owes its answers.
    fn submit(&self, now: Now, work: Work, effects: &mut Vec<Effect>) {
        self.count(Kind::Send, work.sends);
        self.count(Kind::Recvack, work.recvacks);
        let Some(origin) = self.origin.as_ref().filter(|_| work.count > 0) else { return };
        self.outbox.owe(work.count);
        for (worker, commands) in std::iter::once((work.worker, work.commands)).chain(work.others) {
            let submission = Submission { origin: Arc::clone(origin), at_ms: now.mono_ms, commands };
            effects.push(Effect::Submit(worker, submission));
        }
    }

    fn owes(&self, work: &Work) -> usize {
        self.outbox.owed() as usize + work.count as usize
    }

    fn is_behind(&self) -> bool {
        self.outbox.waiting() > self.shared.bounds.queue_bytes
    }

    fn is_full(&self) -> bool {
        self.outbox.owed() as usize >= SEND_WINDOW || self.is_behind()
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_gets_its_commands_in_the_order_they_came() {
        let cursor = |group: &str, seq| Command::Cursor { channel: Channel::group(&group.parse().unwrap()), seq };
        let mut work = Work::default();
        for (worker, seq) in [(2, 1), (0, 2), (2, 3), (1, 4), (0, 5)] {
            work.push(worker, cursor("g", seq));
        }
        let seqs = |commands: &[Command]| -> Vec<u64> {
            let seq = |command: &Command| if let Command::Cursor { seq, .. } = command { *seq } else { 0 };
            commands.iter().map(seq).collect()
        };
        assert_eq!((work.worker, seqs(&work.commands)), (2, vec![1, 3]));
        let others: Vec<_> = work.others.iter().map(|(worker, commands)| (*worker, seqs(commands))).collect();
        assert_eq!(others, [(0, vec![2, 5]), (1, vec![4])]);
        assert_eq!(work.count, 5);
    }
}
