//! The client's side: [`ClientSession`] is one connection, [`ClientState`] is what a client keeps across connections.
//!
//! To connect: [`ClientState::connect`], then carry bytes. Give what arrives to [`ClientSession::handle_bytes`]; when
//! the time of a `poll_timeout` has come, call [`ClientSession::handle_timeout`]; after each of these and after each
//! command call [`ClientState::drive`], write [`ClientSession::take_output`], and take [`ClientState::poll_event`]
//! until there is none. When [`ClientSession::is_closed`], write what is left and close the transport; when the
//! transport ends first, call [`ClientState::handle_lost`]. The session is then of no more use; the state connects
//! again when and if [`ClientEvent::Closed`] says so.

mod answer;
mod channels;
mod commands;
mod event;
mod pull;
mod saved;
mod state;

use alloc::vec::Vec;

use bytes::Bytes;

pub use event::{ClientEvent, Failure, Retry};
pub use state::ClientState;

use super::server::Detail;
use crate::{
    Reason, Tlvs,
    frame::Decoder,
    packet::{ConnackPacket, ConnectPacket, DisconnectPacket, Packet},
};

/// From the start of the connection to CONNACK, milliseconds.
const CONNECT_MS: u64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// CONNECT is out, CONNACK is not in.
    Connecting,
    Open,
    Closed,
}

/// The state of one connection.
#[derive(Debug)]
pub struct ClientSession {
    decoder: Decoder,
    phase: Phase,
    output: Vec<u8>,
    started_ms: u64,
    /// When a frame came last.
    heard_ms: u64,
    /// When a frame went out last.
    said_ms: u64,
    /// When a PING went out last.
    pinged_ms: u64,
    /// PINGs without a PONG.
    unanswered: u32,
    heartbeat_ms: u64,
    dead_ms: u64,
}

impl ClientSession {
    /// A connection that began at `now_ms`; its output starts with CONNECT.
    #[must_use]
    pub fn open(now_ms: u64, connect: ConnectPacket) -> Self {
        let mut output = Vec::new();
        Packet::Connect(connect).encode(&mut output);
        Self {
            decoder: Decoder::new(),
            phase: Phase::Connecting,
            output,
            started_ms: now_ms,
            heard_ms: now_ms,
            said_ms: now_ms,
            pinged_ms: now_ms,
            unanswered: 0,
            heartbeat_ms: 30_000,
            dead_ms: 90_000,
        }
    }

    /// Takes bytes that the server sent, cut anywhere.
    pub fn handle_bytes(&mut self, bytes: Bytes) {
        if self.phase != Phase::Closed {
            self.decoder.feed(bytes);
        }
    }

    /// The next packet that means something beyond this connection's life, or none until there are more bytes. The
    /// first is CONNACK.
    ///
    /// # Errors
    /// What the server did wrong; the output then ends with a DISCONNECT and the session is closed.
    pub fn poll_packet(&mut self, now_ms: u64) -> Result<Option<Packet>, Failure> {
        while self.phase != Phase::Closed {
            let frame = match self.decoder.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return Err(self.fail(Failure::decode(error))),
            };
            self.heard_ms = now_ms;
            let packet = match Packet::decode(frame) {
                Ok(Some(packet)) => packet,
                Ok(None) => continue,
                Err(error) => return Err(self.fail(Failure::decode(error))),
            };
            match self.handle_packet(now_ms, packet) {
                Ok(None) => {}
                Ok(packet) => return Ok(packet),
                Err(failure) => return Err(self.fail(failure)),
            }
        }
        Ok(None)
    }

    fn handle_packet(&mut self, now_ms: u64, packet: Packet) -> Result<Option<Packet>, Failure> {
        match (&packet, self.phase) {
            (Packet::Disconnect(_), _) => self.phase = Phase::Closed,
            (Packet::Connack(connack), Phase::Connecting) => self.connected(connack),
            (_, Phase::Connecting) => return Err(Failure::violation("the first frame is not CONNACK")),
            (Packet::Ping(_), _) => {
                self.send(now_ms, &Packet::Pong(Tlvs::new()));
                return Ok(None);
            }
            (Packet::Pong(_), _) => {
                self.unanswered = self.unanswered.saturating_sub(1);
                return Ok(None);
            }
            (
                Packet::Connack(_)
                | Packet::Connect(_)
                | Packet::Send(_)
                | Packet::Recvack(_)
                | Packet::List(_)
                | Packet::Sync(_)
                | Packet::Call(_),
                _,
            ) => return Err(Failure::violation("a frame that does not come from a server here")),
            _ => {}
        }
        Ok(Some(packet))
    }

    fn connected(&mut self, connack: &ConnackPacket) {
        if connack.reason != Reason::Ok {
            self.phase = Phase::Closed;
            return;
        }
        self.phase = Phase::Open;
        // A timer of 0 would be a PING without end.
        self.heartbeat_ms = u64::from(connack.limits.heartbeat_ms).max(100);
        self.dead_ms = u64::from(connack.limits.dead_ms).max(self.heartbeat_ms.saturating_mul(2));
    }

    /// Appends a packet to the output. DISCONNECT closes the session; after that nothing is appended.
    pub fn send(&mut self, now_ms: u64, packet: &Packet) {
        if self.phase == Phase::Closed {
            return;
        }
        match packet {
            Packet::Ping(_) => {
                self.unanswered = self.unanswered.saturating_add(1);
                self.pinged_ms = now_ms;
            }
            Packet::Disconnect(_) => self.phase = Phase::Closed,
            _ => {}
        }
        self.said_ms = now_ms;
        packet.encode(&mut self.output);
    }

    /// Says DISCONNECT for a fault of the server's; returns the failure.
    pub(super) fn fail(&mut self, failure: Failure) -> Failure {
        let detail = alloc::format!("{}", failure.detail);
        let tlvs = Tlvs::from_pairs([(crate::tag::DETAIL, detail.as_bytes())]);
        let packet = Packet::Disconnect(DisconnectPacket { reason: failure.reason, tlvs });
        self.send(self.said_ms, &packet);
        failure
    }

    /// When [`Self::handle_timeout`] has something to do if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        match self.phase {
            Phase::Connecting => Some(self.started_ms.saturating_add(CONNECT_MS)),
            Phase::Open => Some(self.ping_at().min(self.heard_ms.saturating_add(self.dead_ms))),
            Phase::Closed => None,
        }
    }

    /// A PING is due when for a heartbeat nothing was said, or nothing heard, and no PING went out since.
    fn ping_at(&self) -> u64 {
        self.said_ms.min(self.heard_ms).max(self.pinged_ms).saturating_add(self.heartbeat_ms)
    }

    /// Sends the PING that is due at `now_ms`.
    ///
    /// # Errors
    /// `TIMEOUT` when the server has been silent for too long; the session is then closed.
    pub fn handle_timeout(&mut self, now_ms: u64) -> Result<(), Failure> {
        let (limit_ms, since_ms) = match self.phase {
            Phase::Connecting => (CONNECT_MS, self.started_ms),
            Phase::Open => (self.dead_ms, self.heard_ms),
            Phase::Closed => return Ok(()),
        };
        if now_ms >= since_ms.saturating_add(limit_ms) {
            let silent = Detail::Rule("the server is silent");
            return Err(self.fail(Failure { reason: Reason::Timeout, detail: silent }));
        }
        if self.phase == Phase::Open && now_ms >= self.ping_at() {
            self.send(now_ms, &Packet::Ping(Tlvs::new()));
        }
        Ok(())
    }

    /// Whether every PING so far was answered, and with it everything that was sent before it was taken.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        self.unanswered == 0
    }

    /// Whether nothing more will be said on this connection: write the output, then close the transport.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// How many bytes wait to be written.
    #[must_use]
    pub const fn output_len(&self) -> usize {
        self.output.len()
    }

    /// The bytes to write to the server; they are gone from here.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }
}
