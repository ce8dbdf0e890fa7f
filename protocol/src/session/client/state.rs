//! What a client keeps across connections, and what it says on each.

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::{String, ToString},
};

use bytes::Bytes;

use super::{
    ClientSession,
    channels::{Channels, Held, Outlet, detail},
    commands::{Answer, Command, Commands, Intent},
    event::{ClientEvent, Failure, Retry},
};
use crate::{
    BODY_BYTES, Channel, Id, Method, Reason, SenderKind, Tlvs, VERSION,
    packet::{
        CallPacket, ConnackPacket, ConnectPacket, DisconnectPacket, ListPacket, ListedPacket, Packet, RecvackPacket,
        ReplyPacket, SendackPacket, SyncPacket, SyncedPacket,
    },
    tag,
};

/// Most LIST, SYNC and questions on the wire at a time; the server serves one after the other.
const READS: usize = 4;
/// With so many bytes waiting to be written no more packets are made.
const OUTPUT_BYTES: usize = 256 << 10;
/// When a refusal that asks to come again does not say when.
const RETRY_MS: u32 = 1_000;

/// What waits for an answer that changes nothing.
#[derive(Debug)]
enum Read {
    List,
    Sync { channel: Channel, from: u64, to: u64 },
    Question(Question),
}

#[derive(Debug)]
struct Question {
    id: u64,
    method: Method,
    fields: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
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
    questions: VecDeque<Question>,
    next_question: u64,
    reads: BTreeMap<u32, Read>,
    /// No LIST, SYNC or question before.
    reads_at: u64,
    next_request: u32,
    sync_page: u16,
    phase: Phase,
    closing: Closing,
    caught_up: bool,
    /// Images were held back because too many events waited.
    held_back: bool,
    events: VecDeque<ClientEvent>,
}

impl ClientState {
    /// Nothing sent and nothing received. Without a device the client only sends and calls. A sender of kind
    /// [`SenderKind::Kept`] is for who stores [`Self::save`] before each [`Self::drive`] that follows a command.
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
        if !method.changes() {
            return Err(Reason::UnknownMethod);
        }
        if fields.len() > BODY_BYTES {
            return Err(Reason::BodyTooLarge);
        }
        Ok(self.commands.push(channel, Intent::Call { method, fields, tlvs: Tlvs::new() }))
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

    /// What the app has to know next.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
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

    const fn channels_and_outlet(&mut self) -> (&mut Channels, Outlet<'_>) {
        (&mut self.channels, Outlet { events: &mut self.events, commands: &mut self.commands })
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

    fn handle_packet(&mut self, now_ms: u64, packet: Packet) -> Result<(), Failure> {
        match packet {
            Packet::Connack(connack) => self.handle_connack(connack)?,
            Packet::Disconnect(DisconnectPacket { reason, tlvs }) => self.refused(reason, &tlvs),
            Packet::Sendack(sendack) => {
                let SendackPacket { number, reason, seq, time_ms, tlvs } = sendack;
                self.handle_answer(now_ms, number, (reason, seq, time_ms), &tlvs)?;
            }
            Packet::Reply(reply) => self.handle_reply(now_ms, reply)?,
            Packet::Recv(image) if self.device.is_some() => {
                let channel = image.channel.clone();
                let (channels, mut out) = self.channels_and_outlet();
                channels.receive(now_ms, &channel, image.seq, Held::Image(image), &mut out);
            }
            Packet::Lag(_) if self.device.is_some() => self.channels.listing.wanted = true,
            Packet::Listed(listed) => self.handle_listed(now_ms, listed)?,
            Packet::Synced(synced) => self.handle_synced(now_ms, synced)?,
            // The session passes nothing else on.
            _ => {}
        }
        Ok(())
    }

    fn handle_connack(&mut self, connack: ConnackPacket) -> Result<(), Failure> {
        if connack.reason != Reason::Ok {
            if connack.reason == Reason::SenderExpired {
                let perhaps = self.commands.forget_sender();
                self.perhaps_sent(perhaps);
            }
            self.refused(connack.reason, &connack.tlvs);
            return Ok(());
        }
        let Some(user) = connack.user.map(|user| user.detached()) else {
            return Err(Failure::violation("CONNACK names no user"));
        };
        if self.user.as_ref().is_some_and(|known| *known != user) {
            let detail = "the token is another user's than this state";
            self.closed(Some(Reason::Unauthenticated), Retry::NewToken, detail.to_string());
            return Ok(());
        }
        self.user = Some(user.clone());
        let perhaps = self.commands.adopt(connack.sender);
        self.phase = Phase::Open;
        self.sync_page = connack.limits.sync_page;
        let (server_time_ms, limits) = (connack.server_time_ms, connack.limits);
        self.events.push_back(ClientEvent::Connected { user, server_time_ms, limits });
        self.perhaps_sent(perhaps);
        Ok(())
    }

    /// The answer to a command: its reason, the seq and the time of what it stored.
    fn handle_answer(
        &mut self,
        now_ms: u64,
        number: u64,
        (reason, seq, time_ms): (Reason, u64, u64),
        tlvs: &Tlvs,
    ) -> Result<(), Failure> {
        if reason == Reason::Internal {
            // Whether it was stored is open: connect again and send it again.
            return Err(Failure { reason, detail: super::Detail::Rule("the server failed to answer a command") });
        }
        let after = tlvs.get_u32(tag::RETRY_AFTER_MS);
        match self.commands.answer(now_ms, number, reason, after) {
            Some(Answer::Stored(Command { number, channel, .. })) => {
                self.events.push_back(ClientEvent::Sent { number, channel: channel.clone(), seq, time_ms });
                if self.device.is_some() {
                    let (channels, mut out) = self.channels_and_outlet();
                    channels.receive(now_ms, &channel, seq, Held::Own, &mut out);
                }
            }
            Some(Answer::Refused(Command { number, .. })) => {
                self.events.push_back(ClientEvent::Refused { number, reason, detail: detail(tlvs) });
            }
            Some(Answer::Perhaps(command)) => self.perhaps_sent([command]),
            // Not in flight any more: its image told of it before its answer.
            Some(Answer::Later) | None => {}
        }
        Ok(())
    }

    fn handle_reply(&mut self, now_ms: u64, reply: ReplyPacket) -> Result<(), Failure> {
        if let Some(number) = self.commands.of_request(reply.request) {
            return self.handle_answer(now_ms, number, (reply.reason, reply.seq, reply.time_ms), &reply.tlvs);
        }
        if let Some(Read::Question(question)) = self.take_read(reply.request, |read| matches!(read, Read::Question(_)))
        {
            if self.comes_again(now_ms, reply.reason, &reply.tlvs) {
                self.questions.push_front(question);
            } else {
                self.events.push_back(ClientEvent::Reply { question: question.id, reply });
            }
        }
        Ok(())
    }

    fn handle_listed(&mut self, now_ms: u64, listed: ListedPacket) -> Result<(), Failure> {
        if self.take_read(listed.request, |read| matches!(read, Read::List)).is_none() {
            return Ok(());
        }
        match listed.reason {
            Reason::Ok => {
                let (channels, mut out) = self.channels_and_outlet();
                channels.listed(now_ms, listed, &mut out);
            }
            Reason::BadListToken if !self.channels.listing.token.is_empty() => self.channels.listing.start_over(),
            reason if self.comes_again(now_ms, reason, &listed.tlvs) => self.channels.listing.repeat(),
            reason => return Err(Failure { reason, detail: super::Detail::Rule("the server refused LIST") }),
        }
        Ok(())
    }

    fn handle_synced(&mut self, now_ms: u64, synced: SyncedPacket) -> Result<(), Failure> {
        let Some(Read::Sync { channel, from, to }) =
            self.take_read(synced.request, |read| matches!(read, Read::Sync { .. }))
        else {
            return Ok(());
        };
        match synced.reason {
            Reason::Ok => {
                let (channels, mut out) = self.channels_and_outlet();
                channels.synced(now_ms, &channel, (from, to), synced, &mut out)?;
            }
            Reason::EpochMismatch => {
                self.channels.sync_ended(&channel);
                self.channels.mismatch(&channel);
                self.reads.retain(|_, read| !matches!(read, Read::List));
                // A server that says so again and again is not asked without a pause.
                self.reads_at = now_ms.saturating_add(u64::from(RETRY_MS));
            }
            Reason::NoChannel => self.channels.forget(&channel),
            reason if self.comes_again(now_ms, reason, &synced.tlvs) => self.channels.sync_ended(&channel),
            reason => return Err(Failure { reason, detail: super::Detail::Rule("the server refused SYNC") }),
        }
        Ok(())
    }

    fn take_read(&mut self, request: u32, is_it: impl FnOnce(&Read) -> bool) -> Option<Read> {
        if self.reads.get(&request).is_some_and(is_it) { self.reads.remove(&request) } else { None }
    }

    /// Whether a refused LIST, SYNC or question has to be asked again; notes when.
    fn comes_again(&mut self, now_ms: u64, reason: Reason, tlvs: &Tlvs) -> bool {
        let again = matches!(reason, Reason::Busy | Reason::RateLimited | Reason::StorageFull | Reason::Shutdown);
        if again {
            let after = u64::from(tlvs.get_u32(tag::RETRY_AFTER_MS).unwrap_or(RETRY_MS));
            self.reads_at = self.reads_at.max(now_ms.saturating_add(after));
        }
        again
    }

    /// The server ended the connection, or did not begin it.
    fn refused(&mut self, reason: Reason, tlvs: &Tlvs) {
        let retry = Retry::after(reason, tlvs.get_u32(tag::RETRY_AFTER_MS));
        self.closed(Some(reason), retry, detail(tlvs));
    }

    fn closed(&mut self, reason: Option<Reason>, retry: Retry, detail: String) {
        self.went_offline();
        let retry = if self.closing == Closing::No { retry } else { Retry::Never };
        self.closing = Closing::No;
        self.events.push_back(ClientEvent::Closed { reason, retry, detail });
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

    fn perhaps_sent(&mut self, commands: impl IntoIterator<Item = Command>) {
        self.events.extend(commands.into_iter().map(|command| ClientEvent::PerhapsSent { number: command.number }));
    }

    fn tell_caught_up(&mut self) {
        let channels = &self.channels;
        let done = channels.settled && channels.listing.is_idle() && channels.behind.is_empty();
        if done && !self.caught_up && self.phase == Phase::Open {
            self.caught_up = true;
            self.events.push_back(ClientEvent::CaughtUp);
        }
    }
}
