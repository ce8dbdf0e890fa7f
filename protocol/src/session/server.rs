//! The server's side of one connection: which packets may come when, and which deadlines run.
//!
//! ```text
//! awaiting CONNECT ──CONNECT──▶ authenticating ──accepted()──▶ open ──DISCONNECT──▶ closed
//!        └──────────── error, deadline ─────────────┴───────────┴──────────────────────▲
//! ```
//! The driver calls [`ServerSession::handle_bytes`], then [`ServerSession::poll_event`] until it has no more. It decides
//! what an event means (rights, limits, order); this machine vouches for the rules of SPEC.md that need nothing but
//! the bytes of this connection. After [`ServerEvent::Close`] or [`ServerEvent::Ended`] there are no further events.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::{
    CONNECT_PAYLOAD_BYTES, DecodeError, FRAME_PAYLOAD_BYTES, HELD_BYTES, Kind, Method, Reason, SEND_WINDOW, Tlvs,
    frame::Decoder,
    packet::{
        CallPacket, ConnectPacket, ListPacket, ListedPacket, NoticePacket, Packet, RecvackPacket, ReplyPacket,
        SendPacket, SyncPacket, SyncedPacket,
    },
    tag,
};

/// The deadlines of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerTimers {
    /// From the start of the connection to the last byte of CONNECT, milliseconds.
    pub connect_ms: u64,
    /// From the first byte of a frame to its last, milliseconds.
    pub frame_ms: u64,
    /// From one whole frame to the next, milliseconds.
    pub dead_ms: u64,
}

impl Default for ServerTimers {
    fn default() -> Self {
        Self { connect_ms: 10_000, frame_ms: 10_000, dead_ms: 90_000 }
    }
}

/// What the driver has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// Authenticate it, then call [`ServerSession::accepted`], or answer a refusing CONNACK and close.
    Connect(ConnectPacket),
    /// Answer SENDACK. `number` and `oldest` are in the window; the body may be over the limit, and the TLVs may hold
    /// an unknown critical one: refuse both by SENDACK.
    Send(SendPacket),
    /// Answer REPLY. `number` and `oldest` are in the window when the method changes something, 0 when it is known not
    /// to; the method may be unknown.
    Call(CallPacket),
    /// Move the cursor, or close when `seq` lies beyond the head.
    Recvack(RecvackPacket),
    /// Answer LISTED.
    List(ListPacket),
    /// Answer SYNCED.
    Sync(SyncPacket),
    /// Pass it on, or leave it: it has no answer.
    Notice(NoticePacket),
    /// Send this packet.
    Answer(Packet),
    /// Send DISCONNECT with the reason and the detail, then close.
    Close {
        /// What the peer is told.
        reason: Reason,
        /// What exactly was wrong, for the peer's developer.
        detail: Option<Detail>,
    },
    /// The peer said DISCONNECT: finish what was accepted, then close.
    Ended,
}

/// What was wrong with what a peer sent, or did not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Bytes that could not be decoded.
    Decode(DecodeError),
    /// A rule that was broken.
    Rule(&'static str),
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::Rule(rule) => f.write_str(rule),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitingConnect,
    Authenticating,
    Open,
    Closed,
}

/// The state of one connection. It owns no buffer while no frame is half here.
#[derive(Debug)]
pub struct ServerSession {
    timers: ServerTimers,
    decoder: Decoder,
    state: State,
    suspended: bool,
    /// When the connection began.
    started_ms: u64,
    /// When bytes came last.
    bytes_ms: u64,
    /// When the first byte of the frame that is half here came.
    frame_ms: u64,
    /// When a whole frame came last.
    life_ms: u64,
}

const UNKNOWN_CRITICAL: &str = "a critical TLV that is not known";

/// A broken rule: the reason and the words for it.
type Broken = (Reason, Detail);

impl ServerSession {
    /// A connection that began at `now_ms`.
    #[must_use]
    pub fn new(timers: ServerTimers, now_ms: u64) -> Self {
        Self {
            timers,
            decoder: Decoder::limited(CONNECT_PAYLOAD_BYTES),
            state: State::AwaitingConnect,
            suspended: false,
            started_ms: now_ms,
            bytes_ms: now_ms,
            frame_ms: now_ms,
            life_ms: now_ms,
        }
    }

    /// Takes bytes that the peer sent, cut anywhere. Poll for events before giving more: what is not polled is held.
    pub fn handle_bytes(&mut self, now_ms: u64, bytes: Bytes) {
        if self.state == State::Closed || bytes.is_empty() {
            return;
        }
        if !self.decoder.is_partial() {
            self.frame_ms = now_ms;
        }
        self.bytes_ms = now_ms;
        self.decoder.feed(bytes);
    }

    /// The next event, or none until there are more bytes (while authenticating: until [`Self::accepted`]).
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        loop {
            match self.state {
                State::Closed => return None,
                State::Authenticating if self.decoder.buffered() > HELD_BYTES => {
                    return Some(self.close(violation("more than 64 KiB before CONNACK")));
                }
                State::Authenticating => return None,
                State::AwaitingConnect | State::Open => {}
            }
            let frame = match self.decoder.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return None,
                Err(error) => return Some(self.close(undecodable(error))),
            };
            self.life_ms = self.bytes_ms;
            self.frame_ms = self.bytes_ms;
            let result = match Kind::from_number(frame.kind) {
                // What comes most becomes its event without being a packet on the way.
                Some(Kind::Send) if self.state == State::Open => read_send(frame.payload).map(Some),
                Some(Kind::Recvack) if self.state == State::Open => read_recvack(frame.payload).map(Some),
                _ => Packet::decode(frame).map_err(undecodable).and_then(|packet| self.packet(packet)),
            };
            match result {
                Ok(None) => {}
                Ok(event) => return event,
                Err(broken) => return Some(self.close(broken)),
            }
        }
    }

    /// Authentication succeeded: what was held behind CONNECT can be polled, and the dead timer runs.
    pub fn accepted(&mut self, now_ms: u64) {
        if self.state == State::Authenticating {
            self.state = State::Open;
            self.decoder.set_limit(FRAME_PAYLOAD_BYTES);
            self.restart_timers(now_ms);
        }
    }

    /// Whether bytes are here that [`Self::poll_event`] has not looked at: there may be an event without new bytes.
    #[must_use]
    pub fn has_held(&self) -> bool {
        self.state != State::Closed && self.decoder.has_input()
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn held(&self) -> usize {
        self.decoder.buffered()
    }

    /// The driver does not read the socket: silence is the driver's doing, and no deadline runs.
    pub const fn suspend_reading(&mut self, _now_ms: u64) {
        self.suspended = true;
    }

    /// Whether the driver does not read the socket.
    #[must_use]
    pub const fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// The driver reads: if it did not before, every deadline starts anew.
    pub const fn resume_reading(&mut self, now_ms: u64) {
        if self.suspended {
            self.suspended = false;
            self.restart_timers(now_ms);
        }
    }

    /// When [`Self::handle_timeout`] has something to say if nothing else happens before; none when nothing runs.
    /// It may become later with each frame; a driver may sleep to the old time and ask again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.deadline().map(|(at, _)| at)
    }

    /// Closes the connection if a deadline has passed at `now_ms`.
    pub fn handle_timeout(&mut self, now_ms: u64) -> Option<ServerEvent> {
        let (at, what) = self.deadline()?;
        (now_ms >= at).then(|| self.close((Reason::Timeout, Detail::Rule(what))))
    }

    const fn restart_timers(&mut self, now_ms: u64) {
        self.life_ms = now_ms;
        self.frame_ms = now_ms;
        self.bytes_ms = now_ms;
    }

    fn deadline(&self) -> Option<(u64, &'static str)> {
        if self.suspended || self.has_held() {
            return None;
        }
        let (whole, what) = match self.state {
            State::AwaitingConnect => (self.started_ms.saturating_add(self.timers.connect_ms), "no CONNECT in time"),
            State::Open => (self.life_ms.saturating_add(self.timers.dead_ms), "no frame in time"),
            State::Authenticating | State::Closed => return None,
        };
        let part = self.frame_ms.saturating_add(self.timers.frame_ms);
        if self.decoder.is_partial() && part < whole {
            return Some((part, "a frame was not complete in time"));
        }
        Some((whole, what))
    }

    fn close(&mut self, (reason, detail): Broken) -> ServerEvent {
        self.end();
        ServerEvent::Close { reason, detail: Some(detail) }
    }

    fn end(&mut self) {
        self.state = State::Closed;
        self.decoder = Decoder::limited(0);
    }

    /// What a packet means in this state; none when there is nothing to do.
    fn packet(&mut self, packet: Option<Packet>) -> Result<Option<ServerEvent>, Broken> {
        if self.state == State::AwaitingConnect {
            let Some(Packet::Connect(connect)) = packet else {
                return Err(violation("the first frame is not CONNECT"));
            };
            check_unanswered_tags(&connect.tlvs)?;
            self.state = State::Authenticating;
            return Ok(Some(ServerEvent::Connect(connect)));
        }
        let Some(packet) = packet else { return Ok(None) };
        let event = match packet {
            Packet::Call(call) => {
                check_tags(&call.tlvs)?;
                check_call(&call)?;
                refuse_critical(&call.tlvs, |tlvs| Packet::Reply(refused_call(call.request, tlvs)))
                    .unwrap_or(ServerEvent::Call(call))
            }
            Packet::List(list) => {
                check_tags(&list.tlvs)?;
                refuse_critical(&list.tlvs, |tlvs| Packet::Listed(refused_list(list.request, tlvs)))
                    .unwrap_or(ServerEvent::List(list))
            }
            Packet::Sync(sync) => {
                check_tags(&sync.tlvs)?;
                refuse_critical(&sync.tlvs, |tlvs| Packet::Synced(refused_sync(sync.request, tlvs)))
                    .unwrap_or(ServerEvent::Sync(sync))
            }
            Packet::Notice(notice) => {
                check_unanswered_tags(&notice.tlvs)?;
                ServerEvent::Notice(notice)
            }
            Packet::Ping(tlvs) => {
                check_unanswered_tags(&tlvs)?;
                ServerEvent::Answer(Packet::Pong(Tlvs::new()))
            }
            Packet::Pong(tlvs) => {
                check_unanswered_tags(&tlvs)?;
                return Ok(None);
            }
            Packet::Disconnect(_) => {
                self.end();
                ServerEvent::Ended
            }
            Packet::Connect(_) => return Err(violation("a second CONNECT")),
            // Where they may come they did not come here.
            Packet::Send(_) | Packet::Recvack(_) => return Ok(None),
            Packet::Connack(_)
            | Packet::Sendack(_)
            | Packet::Recv(_)
            | Packet::Listed(_)
            | Packet::Synced(_)
            | Packet::Lag(_)
            | Packet::Reply(_) => return Err(violation("a frame that only servers send")),
        };
        Ok(Some(event))
    }
}

fn read_send(payload: Bytes) -> Result<ServerEvent, Broken> {
    let send = SendPacket::decode(payload).map_err(undecodable)?;
    check_tags(&send.tlvs)?;
    check_window(send.number, send.oldest)?;
    Ok(ServerEvent::Send(send))
}

fn read_recvack(payload: Bytes) -> Result<ServerEvent, Broken> {
    let recvack = RecvackPacket::decode(payload).map_err(undecodable)?;
    check_unanswered_tags(&recvack.tlvs)?;
    Ok(ServerEvent::Recvack(recvack))
}

const fn violation(rule: &'static str) -> Broken {
    (Reason::ProtocolViolation, Detail::Rule(rule))
}

const fn undecodable(error: DecodeError) -> Broken {
    (error.reason, Detail::Decode(error))
}

/// `1 ≤ oldest ≤ number`, and less than a window between them.
fn check_window(number: u64, oldest: u64) -> Result<(), Broken> {
    match number.checked_sub(oldest) {
        _ if oldest == 0 => Err(violation("number and oldest count from 1")),
        None => Err(violation("oldest is above number")),
        Some(distance) if distance >= SEND_WINDOW as u64 => Err(violation("number is 64 or more above oldest")),
        Some(_) => Ok(()),
    }
}

fn check_call(call: &CallPacket) -> Result<(), Broken> {
    match Method::from_number(call.method) {
        Some(method) if method.changes() => check_window(call.number, call.oldest),
        Some(_) if call.number != 0 || call.oldest != 0 => {
            Err(violation("a method that changes nothing has number and oldest 0"))
        }
        Some(_) | None => Ok(()),
    }
}

/// A client sets no TLV that only the server sets.
fn check_tags(tlvs: &Tlvs) -> Result<(), Broken> {
    if tlvs.has_server_tag() { Err(violation("a TLV that only the server sets")) } else { Ok(()) }
}

/// The answer that refuses an unknown critical TLV, when there is one.
fn refuse_critical(tlvs: &Tlvs, answer: impl FnOnce(Tlvs) -> Packet) -> Option<ServerEvent> {
    let detail = || Tlvs::from_pairs([(tag::DETAIL, UNKNOWN_CRITICAL.as_bytes())]);
    tlvs.has_unknown_critical().then(|| ServerEvent::Answer(answer(detail())))
}

fn refused_call(request: u32, tlvs: Tlvs) -> ReplyPacket {
    ReplyPacket { request, reason: Reason::UnknownCritical, seq: 0, time_ms: 0, fields: Bytes::new(), tlvs }
}

fn refused_list(request: u32, tlvs: Tlvs) -> ListedPacket {
    let (token, next, conversations) = (Bytes::new(), Bytes::new(), Vec::new());
    ListedPacket { request, reason: Reason::UnknownCritical, token, next, conversations, tlvs }
}

fn refused_sync(request: u32, tlvs: Tlvs) -> SyncedPacket {
    let reason = Reason::UnknownCritical;
    SyncedPacket { request, reason, epoch: 0, head: 0, from: 0, to: 0, items: Vec::new(), tlvs }
}

/// As [`check_tags`], for packets without an answer that could refuse an unknown critical TLV.
fn check_unanswered_tags(tlvs: &Tlvs) -> Result<(), Broken> {
    check_tags(tlvs)?;
    if tlvs.has_unknown_critical() {
        return Err((Reason::UnknownCritical, Detail::Rule(UNKNOWN_CRITICAL)));
    }
    Ok(())
}
