//! The commands of one sender that are not answered yet, in order of number.
//!
//! Those in flight are the first `in_flight` of the queue, except after a refusal that asks to come again: then
//! nothing goes out until the rest of what is in flight is answered and the time has come, so that the order of the
//! numbers is the order in which the server accepts them.

use alloc::{collections::VecDeque, vec::Vec};
use core::mem;

use bytes::Bytes;

use crate::{
    Channel, Method, Reason, SEND_WINDOW, Sender, SenderKind, Tlvs,
    packet::{CallPacket, Packet, SendPacket},
};

/// When a refusal that asks to come again does not say when.
const RETRY_MS: u32 = 1_000;

/// What a command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Send { flags: u16, body: Bytes, tlvs: Tlvs },
    Call { method: Method, fields: Bytes, tlvs: Tlvs },
}

/// One intent under its number.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub number: u64,
    pub channel: Channel,
    pub intent: Intent,
    /// How often it was put on the wire without an answer; while that is not 0 it may have been stored.
    pub unsure: u32,
    in_flight: bool,
    /// The request of a CALL in flight.
    request: u32,
}

impl Command {
    pub(super) const fn new(number: u64, channel: Channel, intent: Intent, unsure: u32) -> Self {
        Self { number, channel, intent, unsure, in_flight: false, request: 0 }
    }
}

/// What an answer means for a command.
#[derive(Debug)]
pub(super) enum Answer {
    Stored(Command),
    Refused(Command),
    Perhaps(Command),
    /// It stays in the queue.
    Later,
}

#[derive(Debug)]
pub(super) struct Commands {
    pub sender: Sender,
    /// The number of the next command.
    pub next: u64,
    waiting: VecDeque<Command>,
    in_flight: usize,
    /// Most in flight: 1 after a refusal that asks to come again, one more with each command stored.
    window: usize,
    resume_at: Option<u64>,
    /// The server does not know the sender any more.
    expired: bool,
}

impl Commands {
    pub(super) const fn new(kind: SenderKind) -> Self {
        Self::resume(Sender::request(kind), 1, VecDeque::new())
    }

    /// `waiting` is ascending by number, all below `next`.
    pub(super) const fn resume(sender: Sender, next: u64, waiting: VecDeque<Command>) -> Self {
        Self { sender, next, waiting, in_flight: 0, window: SEND_WINDOW, resume_at: None, expired: false }
    }

    pub(super) fn push(&mut self, channel: Channel, intent: Intent) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.push_back(Command::new(number, channel, intent, 0));
        number
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Command> {
        self.waiting.iter()
    }

    /// The next command to put on the wire; a CALL takes its request from `next_request`.
    pub(super) fn poll(&mut self, now_ms: u64, next_request: &mut u32) -> Option<Packet> {
        if let Some(at) = self.resume_at {
            if self.in_flight > 0 || now_ms < at {
                return None;
            }
            self.resume_at = None;
        }
        if self.expired || self.in_flight >= self.window {
            return None;
        }
        let oldest = self.waiting.front()?.number;
        let command = self.waiting.get_mut(self.in_flight)?;
        if command.number.saturating_sub(oldest) >= SEND_WINDOW as u64 {
            return None;
        }
        command.in_flight = true;
        command.unsure = command.unsure.saturating_add(1);
        self.in_flight += 1;
        let number = command.number;
        Some(match command.intent.clone() {
            Intent::Send { flags, body, tlvs } => {
                Packet::Send(SendPacket { number, oldest, channel: command.channel.clone(), flags, body, tlvs })
            }
            Intent::Call { method, fields, tlvs } => {
                command.request = *next_request;
                *next_request = next_request.wrapping_add(1);
                let (request, method) = (command.request, method.number());
                Packet::Call(CallPacket { request, method, number, oldest, fields, tlvs })
            }
        })
    }

    /// When [`Self::poll`] may have something again although nothing was answered before.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.resume_at.filter(|_| self.in_flight == 0)
    }

    /// The number of the CALL in flight with this request.
    pub(super) fn of_request(&self, request: u32) -> Option<u64> {
        let is_it = |c: &&Command| c.in_flight && c.request == request && matches!(c.intent, Intent::Call { .. });
        self.waiting.iter().find(is_it).map(|command| command.number)
    }

    /// What an answer to `number` means; none when that is not in flight.
    pub(super) fn answer(&mut self, now_ms: u64, number: u64, reason: Reason, after: Option<u32>) -> Option<Answer> {
        let at = self.waiting.binary_search_by_key(&number, |command| command.number).ok()?;
        let command = self.waiting.get_mut(at).filter(|command| command.in_flight)?;
        command.unsure = command.unsure.saturating_sub(1);
        match reason {
            Reason::Busy | Reason::RateLimited | Reason::QuotaExceeded | Reason::StorageFull | Reason::Shutdown => {
                self.stop(at);
                let resume_at = now_ms.saturating_add(u64::from(after.unwrap_or(RETRY_MS)));
                self.resume_at = self.resume_at.max(Some(resume_at));
                self.window = 1;
                Some(Answer::Later)
            }
            // Every copy that was put on the wire has been refused: it was not stored, and may go under a new sender.
            Reason::SenderExpired if command.unsure == 0 => {
                self.stop(at);
                self.expired = true;
                Some(Answer::Later)
            }
            Reason::SenderExpired => {
                self.expired = true;
                self.remove(at).map(Answer::Perhaps)
            }
            Reason::Ok => {
                self.window = (self.window + 1).min(SEND_WINDOW);
                self.remove(at).map(Answer::Stored)
            }
            Reason::Stale => self.remove(at).map(Answer::Perhaps),
            _ => self.remove(at).map(Answer::Refused),
        }
    }

    /// The command of this number was found stored.
    pub(super) fn settle(&mut self, number: u64) -> Option<Command> {
        let at = self.waiting.binary_search_by_key(&number, |command| command.number).ok()?;
        self.remove(at)
    }

    fn stop(&mut self, at: usize) {
        if let Some(command) = self.waiting.get_mut(at).filter(|command| command.in_flight) {
            command.in_flight = false;
            self.in_flight -= 1;
        }
    }

    fn remove(&mut self, at: usize) -> Option<Command> {
        self.stop(at);
        self.waiting.remove(at)
    }

    /// The connection ended: nothing is in flight any more.
    pub(super) fn lost(&mut self) {
        for command in &mut self.waiting {
            command.in_flight = false;
        }
        self.in_flight = 0;
    }

    /// Whether the connection has to end because only a new one gets a new sender.
    pub(super) const fn needs_sender(&self) -> bool {
        self.expired && self.in_flight == 0
    }

    /// Whether the next CONNECT has to ask for a new sender.
    pub(super) const fn is_expired(&self) -> bool {
        self.expired
    }

    /// Takes `sender` in place of the old one. Returns the old one and the commands that may have been stored under
    /// it: they cannot be sent again.
    pub(super) fn adopt(&mut self, sender: Sender) -> (Sender, Vec<Command>) {
        self.expired = false;
        if sender == self.sender {
            return (sender, Vec::new());
        }
        let old = mem::replace(&mut self.sender, sender);
        let (keep, perhaps) = self.waiting.drain(..).partition(|command| command.unsure == 0);
        self.waiting = keep;
        (old, Vec::from_iter::<VecDeque<Command>>(perhaps))
    }

    /// Forgets the sender; the next CONNECT asks for a new one.
    pub(super) fn forget_sender(&mut self) -> (Sender, Vec<Command>) {
        self.adopt(Sender::request(self.sender.kind()))
    }
}
