//! What a client keeps across connections, and what it says on each.

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::{String, ToString},
    vec::Vec,
};

use bytes::Bytes;

use super::{
    ClientSession,
    channels::{Channels, Outlet},
    commands::{Command, Commands, Intent},
    event::{ClientEvent, Failure, Retry},
};
use crate::{
    BODY_BYTES, Channel, Id, Method, Reason, Sender, SenderKind, Tlvs, VERSION,
    packet::{CallPacket, ConnectPacket, DisconnectPacket, ListPacket, Packet, RecvackPacket, SyncPacket},
};

/// Most LIST, SYNC and questions on the wire at a time; the server serves one after the other.
const READS: usize = 4;
/// With so many bytes waiting to be written no more packets are made.
const OUTPUT_BYTES: usize = 256 << 10;
/// When a refusal that asks to come again does not say when.
pub(super) const RETRY_MS: u32 = 1_000;

/// What waits for an answer that changes nothing.
#[derive(Debug)]
pub(super) enum Read {
    List,
    Sync { channel: Channel, from: u64, to: u64 },
    Question(Question),
}

#[derive(Debug)]
pub(super) struct Question {
    pub id: u64,
    method: Method,
    fields: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Offline,
    Connecting,
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// Acknowledgements go out.
    Flush,
    /// A PING is behind them.
    Pinged,
}

/// What a client keeps across connections: its sender and the commands that are not answered, and where it stands in
/// each channel.
#[derive(Debug)]
pub struct ClientState {
    pub(super) device: Option<Id>,
    /// Whose state it is, once a server has told.
    pub(super) user: Option<Id>,
    pub(super) commands: Commands,
    pub(super) channels: Channels,
    pub(super) questions: VecDeque<Question>,
    next_question: u64,
    pub(super) reads: BTreeMap<u32, Read>,
    /// No LIST, SYNC or question before.
    pub(super) reads_at: u64,
    next_request: u32,
    pub(super) sync_page: u16,
    pub(super) phase: Phase,
    closing: Closing,
    caught_up: bool,
    /// Images were held back because too many events waited.
    held_back: bool,
    pub(super) events: VecDeque<ClientEvent>,
    /// What became of commands and questions.
    pub(super) answers: VecDeque<ClientEvent>,
    /// How the last connection ended.
    ended: Option<Retry>,
}

impl ClientState {
    /// Nothing sent and nothing received. Without a device the client only sends and calls. A sender of kind
    /// [`SenderKind::Kept`] is for who stores the state as [`Self::save`] asks.
    #[must_use]
    pub fn new(device: Option<Id>, kind: SenderKind) -> Self {
        Self::with(device, Commands::new(kind))
    }

    pub(super) fn with(device: Option<Id>, commands: Commands) -> Self {
        Self {
            device,
            user: None,
            commands,
            channels: Channels::default(),
            questions: VecDeque::new(),
            next_question: 1,
            reads: BTreeMap::new(),
            reads_at: 0,
            next_request: 1,
            sync_page: 0,
            phase: Phase::Offline,
            closing: Closing::No,
            caught_up: false,
            held_back: false,
            events: VecDeque::new(),
            answers: VecDeque::new(),
            ended: None,
        }
    }

    /// Begins a connection. `tlvs` tell the server of platform, app version, language.
    #[must_use]
    pub fn connect(&mut self, now_ms: u64, token: Bytes, tlvs: Tlvs) -> ClientSession {
        self.went_offline();
        if self.commands.is_expired() {
            let perhaps = self.commands.forget_sender();
            self.perhaps_sent(perhaps);
        }
        self.phase = Phase::Connecting;
        self.ended = None;
        self.caught_up = false;
        let (device, sender) = (self.device.clone(), self.commands.sender);
        let connect = ConnectPacket { version_min: VERSION, version_max: VERSION, token, device, sender, tlvs };
        ClientSession::open(now_ms, connect)
    }

    /// A message for `channel`: returns its number. It goes out in order with the next [`Self::drive`] of a
    /// connection, and again on each further one until it is answered by `Sent`, `Refused` or `PerhapsSent`.
    ///
    /// # Errors
    /// `BODY_TOO_LARGE`.
    pub fn send(&mut self, channel: Channel, flags: u16, body: Bytes, tlvs: Tlvs) -> Result<u64, Reason> {
        if body.len() > BODY_BYTES {
            return Err(Reason::BodyTooLarge);
        }
        Ok(self.commands.push(channel, Intent::Send { flags, body, tlvs }))
    }

    /// A call that changes something in `channel`: as [`Self::send`].
    ///
    /// # Errors
    /// `BODY_TOO_LARGE`; `UNKNOWN_METHOD` when the method changes nothing.
    pub fn call(&mut self, channel: Channel, method: Method, fields: Bytes) -> Result<u64, Reason> {
        self.call_with(channel, method, fields, Tlvs::new())
    }

    /// As [`Self::call`], with the TLVs that methods such as `EDIT` and `PROFILE_SET` take.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn call_with(&mut self, channel: Channel, method: Method, fields: Bytes, tlvs: Tlvs) -> Result<u64, Reason> {
        if !method.changes() {
            return Err(Reason::UnknownMethod);
        }
        if fields.len() > BODY_BYTES {
            return Err(Reason::BodyTooLarge);
        }
        Ok(self.commands.push(channel, Intent::Call { method, fields, tlvs }))
    }

    /// A call that changes nothing: returns the question that `Reply` repeats.
    ///
    /// # Errors
    /// `BODY_TOO_LARGE`; `UNKNOWN_METHOD` when the method changes something.
    pub fn ask(&mut self, method: Method, fields: Bytes) -> Result<u64, Reason> {
        if method.changes() {
            return Err(Reason::UnknownMethod);
        }
        if fields.len() > BODY_BYTES {
            return Err(Reason::BodyTooLarge);
        }
        let id = self.next_question;
        self.next_question += 1;
        self.questions.push_back(Question { id, method, fields });
        Ok(id)
    }

    /// The app holds everything of `channel` up to `seq`, for good. The server is told within 200 ms.
    pub fn acknowledge(&mut self, now_ms: u64, channel: &Channel, seq: u64) {
        self.channels.acknowledge(now_ms, channel, seq);
    }

    /// Ends the connection once the server has taken every acknowledgement; `Closed` follows. Commands without an
    /// answer stay in the state.
    pub fn close(&mut self) {
        if self.closing == Closing::No {
            self.closing = Closing::Flush;
        }
        if self.phase == Phase::Offline {
            self.closed(None, Retry::Never, String::new());
        }
    }

    /// How many commands and questions wait for an answer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.commands.len() + self.questions.len()
    }

    /// Carries packets both ways between the connection and this state.
    pub fn drive(&mut self, session: &mut ClientSession, now_ms: u64) {
        if self.phase == Phase::Offline {
            return;
        }
        loop {
            let handled = match session.poll_packet(now_ms) {
                Ok(None) => break,
                Ok(Some(packet)) => self.handle_packet(now_ms, packet).map_err(|failure| session.fail(failure)),
                Err(failure) => Err(failure),
            };
            if let Err(failure) = handled {
                self.handle_failure(failure);
            }
        }
        if self.phase == Phase::Offline && !session.is_closed() {
            session.send(now_ms, &Packet::Disconnect(DisconnectPacket { reason: Reason::Ok, tlvs: Tlvs::new() }));
        }
        if now_ms >= self.reads_at {
            self.reads_at = 0;
        }
        if self.held_back && self.outlet().has_room() {
            self.held_back = false;
            let (channels, mut out) = self.channels_and_outlet();
            channels.review_all(now_ms, &mut out);
        }
        while self.phase == Phase::Open && session.output_len() < OUTPUT_BYTES {
            let Some(packet) = self.poll_packet(now_ms, session.is_answered()) else { break };
            session.send(now_ms, &packet);
        }
        self.held_back |= !self.outlet().has_room();
        self.tell_caught_up();
    }

    /// The transport ended, or could not be made.
    pub fn handle_lost(&mut self, detail: &str) {
        if self.phase != Phase::Offline {
            self.closed(None, Retry::BackOff { at_least_ms: 0 }, detail.to_string());
        }
    }

    /// The connection failed: what [`ClientSession::handle_timeout`] returned.
    pub fn handle_failure(&mut self, failure: Failure) {
        if self.phase != Phase::Offline {
            let retry = Retry::BackOff { at_least_ms: 0 };
            self.closed(Some(failure.reason), retry, failure.detail.to_string());
        }
    }

    /// A connection could not be made.
    pub fn handle_unreachable(&mut self, detail: &str) {
        self.closed(None, Retry::BackOff { at_least_ms: 0 }, detail.to_string());
    }

    /// What the app has to know next: answers first.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.poll_answer().or_else(|| self.events.pop_front())
    }

    /// What became of a command or a question: `Sent`, `Refused`, `PerhapsSent` or `Reply`. Other events wait; the
    /// app may be slow with them without keeping its own commands from being answered.
    pub fn poll_answer(&mut self) -> Option<ClientEvent> {
        self.answers.pop_front()
    }

    /// Whether a server has accepted a connection that has not ended.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Open
    }

    /// What to do about the end of the last connection; none while there is one, and before the first.
    #[must_use]
    pub const fn retry(&self) -> Option<Retry> {
        self.ended
    }

    /// Whose state it is, once a server has told.
    #[must_use]
    pub const fn user(&self) -> Option<&Id> {
        self.user.as_ref()
    }

    /// The sender that commands go under; a request for one before the first connection.
    #[must_use]
    pub const fn sender(&self) -> Sender {
        self.commands.sender
    }

    /// When [`Self::drive`] has something to do if nothing else happens before; none while offline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        if self.phase != Phase::Open || self.closing == Closing::Pinged {
            return None;
        }
        if self.held_back && self.events.is_empty() {
            return Some(0);
        }
        let reads = (self.reads_at > 0).then_some(self.reads_at);
        let may_read = self.reads_at == 0 && self.reads.len() < READS && !self.held_back;
        let holes = self.channels.hole_timeout().filter(|_| may_read);
        [self.commands.poll_timeout(), self.channels.ack_timeout(), holes, reads].into_iter().flatten().min()
    }

    fn outlet(&mut self) -> Outlet<'_> {
        self.channels_and_outlet().1
    }

    pub(super) const fn channels_and_outlet(&mut self) -> (&mut Channels, Outlet<'_>) {
        (
            &mut self.channels,
            Outlet { events: &mut self.events, answers: &mut self.answers, commands: &mut self.commands },
        )
    }

    /// The next packet to say on an open connection.
    fn poll_packet(&mut self, now_ms: u64, is_answered: bool) -> Option<Packet> {
        let flush = self.closing != Closing::No;
        if self.device.is_some()
            && let Some((channel, seq)) = self.channels.poll_ack(now_ms, flush)
        {
            return Some(Packet::Recvack(RecvackPacket { channel, seq, tlvs: Tlvs::new() }));
        }
        match self.closing {
            Closing::Flush if !self.channels.owes_ack() => {
                self.closing = Closing::Pinged;
                return Some(Packet::Ping(Tlvs::new()));
            }
            Closing::Pinged if is_answered => {
                self.closed(Some(Reason::Ok), Retry::Never, String::new());
                return Some(Packet::Disconnect(DisconnectPacket { reason: Reason::Ok, tlvs: Tlvs::new() }));
            }
            Closing::Pinged => return None,
            Closing::No if self.commands.needs_sender() => {
                self.closed(Some(Reason::SenderExpired), Retry::Now, "the sender has expired".to_string());
                return Some(Packet::Disconnect(DisconnectPacket { reason: Reason::Ok, tlvs: Tlvs::new() }));
            }
            Closing::Flush | Closing::No => {}
        }
        self.commands.poll(now_ms, &mut self.next_request).or_else(|| self.poll_read(now_ms))
    }

    /// The next LIST, SYNC or question.
    fn poll_read(&mut self, now_ms: u64) -> Option<Packet> {
        if self.reads_at > 0 || self.reads.len() >= READS {
            return None;
        }
        let request = self.next_request;
        let (read, packet) = self.next_read(now_ms, request)?;
        self.reads.insert(request, read);
        self.next_request = request.wrapping_add(1);
        Some(packet)
    }

    fn next_read(&mut self, now_ms: u64, request: u32) -> Option<(Read, Packet)> {
        let tlvs = Tlvs::new();
        if let Some(question) = self.questions.pop_front() {
            let (method, fields) = (question.method.number(), question.fields.clone());
            let call = CallPacket { request, method, number: 0, oldest: 0, fields, tlvs };
            return Some((Read::Question(question), Packet::Call(call)));
        }
        if self.device.is_none() || !self.outlet().has_room() {
            return None;
        }
        if let Some((token, page)) = self.channels.listing.poll() {
            return Some((Read::List, Packet::List(ListPacket { request, token, page, limit: 0, tlvs })));
        }
        let (channel, epoch, from, to) = self.channels.poll_sync(now_ms)?;
        let read = Read::Sync { channel: channel.clone(), from, to };
        let limit = self.sync_page;
        Some((read, Packet::Sync(SyncPacket { request, channel, epoch, from, to, limit, tlvs })))
    }

    pub(super) fn closed(&mut self, reason: Option<Reason>, retry: Retry, detail: String) {
        self.went_offline();
        let retry = if self.closing == Closing::No { retry } else { Retry::Never };
        self.closing = Closing::No;
        self.ended = Some(retry);
        if matches!(self.events.back(), Some(ClientEvent::Closed { .. })) {
            self.events.pop_back();
        }
        self.tell(ClientEvent::Closed { reason, retry, detail });
    }

    fn went_offline(&mut self) {
        self.phase = Phase::Offline;
        self.commands.lost();
        self.channels.restart();
        for (_, read) in core::mem::take(&mut self.reads).into_iter().rev() {
            if let Read::Question(question) = read {
                self.questions.push_front(question);
            }
        }
    }

    pub(super) fn perhaps_sent(&mut self, (sender, commands): (Sender, Vec<Command>)) {
        let event = |command: Command| ClientEvent::PerhapsSent { sender, number: command.number };
        self.answers.extend(commands.into_iter().map(event));
    }

    /// Tells of the connection, unless the app is too slow to care.
    pub(super) fn tell(&mut self, event: ClientEvent) {
        if self.outlet().has_room() {
            self.events.push_back(event);
        }
    }

    fn tell_caught_up(&mut self) {
        let channels = &self.channels;
        let done = channels.settled && channels.listing.is_idle() && channels.behind.is_empty();
        if done && !self.caught_up && self.phase == Phase::Open {
            self.caught_up = true;
            self.tell(ClientEvent::CaughtUp);
        }
    }
}
