//! What a session asks a slot for, and how it gets its answer.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;
use postrider_protocol::{
    Channel, Id, Reason, Sender, Tlvs,
    packet::{Packet, SendPacket},
};

use super::{act::Act, broadcast::Deed, notice::Spoken};
use crate::{outbox::Outbox, quota::Connection};

/// Who asks: one authenticated connection. Shared by its session, the hub and what is on its way for it.
#[derive(Debug)]
pub struct Origin {
    /// Number of the connection, unique in this process.
    pub session: u64,
    /// Its tenant.
    pub tenant: u32,
    /// Its user.
    pub user: Id,
    /// Its device; none for a connection that only sends and calls.
    pub device: Option<Id>,
    /// Whether it is a system user, which may write to everybody.
    pub is_system: bool,
    /// For a connection that only sends and calls, the device that its token names.
    pub bound: Option<Box<Id>>,
    /// When its token was issued, milliseconds since 1970.
    pub token_ms: u64,
    /// Which of the platforms that are limited it is of, see [`crate::hub::Hub::platform`].
    pub platform: Option<u16>,
    /// What it used of its quotas; none while connections have none.
    pub usage: Option<Box<Connection>>,
    /// The platform that its CONNECT told, as others are told it; may be empty.
    pub runs_on: Bytes,
    /// The sender that its commands are numbered under.
    pub sender: Sender,
    /// Where its answers and live frames go.
    pub outbox: Arc<Outbox>,
    /// The refusal that its later commands share.
    pub stuck: Stuck,
    /// Whether a read of it is in service.
    pub reading: AtomicBool,
    /// While it is not read, because it sends more than its user may.
    pub pause: Pause,
}

impl Origin {
    /// The server itself, which acts for `user` under a sender of theirs; `outbox` gets the answers.
    pub fn of_server(tenant: u32, user: Id, sender: Sender, outbox: Arc<Outbox>) -> Self {
        Self {
            session: 0,
            tenant,
            user,
            device: None,
            is_system: false,
            bound: None,
            token_ms: 0,
            platform: None,
            usage: None,
            runs_on: Bytes::new(),
            sender,
            outbox,
            stuck: Stuck::default(),
            reading: AtomicBool::new(false),
            pause: Pause::default(),
        }
    }

    /// Answers the read that is in service. In this order: who finds that none is in service finds its answer in the
    /// outbox, and who is woken by the answer finds that none is in service.
    pub fn answer_read(&self, answer: &Packet) {
        let mut frame = Vec::new();
        answer.encode(&mut frame);
        self.outbox.pay(frame, 0);
        self.reading.store(false, Ordering::Release);
        self.outbox.wake();
    }

    /// Ends the connection of a read that will have no answer.
    pub fn give_up_read(&self) {
        self.outbox.close(Reason::Internal);
        self.reading.store(false, Ordering::Release);
        self.outbox.wake();
    }

    /// The device whose removal ends it.
    #[must_use]
    pub fn removable(&self) -> Option<&Id> {
        self.device.as_ref().or(self.bound.as_deref())
    }

    /// When its sender was issued, milliseconds since 1970: the upper 44 bits of the stamp.
    #[must_use]
    pub const fn issued_ms(&self) -> u64 {
        self.sender.stamp() >> 12
    }
}

/// The lowest number that was refused for now, and why. Every higher number gets the same reason until that number
/// comes again or is given up, so that a user's lines never swap.
#[derive(Debug, Default)]
pub struct Stuck {
    number: AtomicU64,
    reason: AtomicU64,
}

impl Stuck {
    /// The refusal that `number` shares, if one does. A command that is the refused one again, or declares by
    /// `oldest` that it was given up, clears it.
    #[must_use]
    pub fn check(&self, number: u64, oldest: u64) -> Option<Reason> {
        let at = self.number.load(Ordering::Acquire);
        if at == 0 || number < at {
            return None;
        }
        if number == at || oldest > at {
            self.number.store(0, Ordering::Release);
            return None;
        }
        let reason = u16::try_from(self.reason.load(Ordering::Acquire)).unwrap_or_default();
        Reason::from_number(reason)
    }

    /// Records that `number` was refused for now.
    pub fn refuse(&self, number: u64, reason: Reason) {
        let at = self.number.load(Ordering::Acquire);
        if at == 0 || number < at {
            self.reason.store(u64::from(reason.number()), Ordering::Release);
            self.number.store(number, Ordering::Release);
        }
    }
}

/// Until when a connection is not read, monotonic milliseconds; none shortens it.
#[derive(Debug, Default)]
pub struct Pause(AtomicU64);

impl Pause {
    /// Not before `until_ms`.
    pub fn lengthen(&self, until_ms: u64) {
        self.0.fetch_max(until_ms, Ordering::AcqRel);
    }

    /// Its end, if that is after `now_ms`.
    #[must_use]
    pub fn end_ms(&self, now_ms: u64) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire)).filter(|end_ms| *end_ms > now_ms)
    }
}

/// One thing to decide.
#[derive(Clone, Debug)]
pub enum Command {
    /// A message; answered by SENDACK.
    Send(SendPacket),
    /// A CALL of a method that changes something; answered by REPLY.
    Act {
        /// Repeated in the REPLY.
        request: u32,
        /// The sender's number.
        number: u64,
        /// The lowest number the sender may still send again.
        oldest: u64,
        /// The channel that decides.
        channel: Channel,
        /// What is asked for.
        act: Act,
    },
    /// A message, or an act with content, that does not follow its schema: it is refused unless it was accepted before.
    Unfit {
        /// What it is.
        command: Box<Command>,
        /// What is wrong, and where.
        why: Box<str>,
    },
    /// What the server does for a broadcast; answered by REPLY.
    Broadcast {
        /// Repeated in the REPLY.
        request: u32,
        /// The channel that decides.
        channel: Channel,
        /// What.
        deed: Deed,
    },
    /// What is not stored; not answered.
    Notice {
        /// The channel.
        channel: Channel,
        /// What is said in it.
        spoken: Spoken,
    },
    /// The device's cursor; not answered.
    Cursor {
        /// The channel.
        channel: Channel,
        /// The device holds everything up to here.
        seq: u64,
    },
    /// The device came; not answered.
    Came {
        /// The user's own.
        channel: Channel,
        /// What it tells.
        fields: Tlvs,
    },
}

impl Command {
    /// It, unless its content is unfit for this reason.
    #[must_use]
    pub fn unless(self, unfit: Option<String>) -> Self {
        match unfit {
            Some(why) => Self::Unfit { command: Box::new(self), why: why.into() },
            None => self,
        }
    }

    /// The channel that decides.
    #[must_use]
    pub const fn channel(&self) -> &Channel {
        match self {
            Self::Unfit { command, .. } => command.channel(),
            Self::Send(packet) => &packet.channel,
            Self::Act { channel, .. }
            | Self::Broadcast { channel, .. }
            | Self::Notice { channel, .. }
            | Self::Cursor { channel, .. }
            | Self::Came { channel, .. } => channel,
        }
    }
}

/// What one session read in one go for one worker.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Who asks.
    pub origin: Arc<Origin>,
    /// When it was handed over, monotonic milliseconds: what waited too long is refused with `BUSY`.
    pub at_ms: u64,
    /// In the order they came.
    pub commands: Vec<Command>,
}

impl Submission {
    /// How many commands, and how many bytes of bodies.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let bytes = |command: &Command| match command {
            // It is stored by nobody.
            Command::Unfit { .. } => 0,
            Command::Send(packet) => packet.body.len(),
            Command::Broadcast { deed: Deed::Send(it), .. } => it.body.len(),
            Command::Notice { spoken: Spoken::Signal { body, .. }, .. } => body.len(),
            _ => 0,
        };
        (self.commands.len(), self.commands.iter().map(bytes).sum())
    }
}

/// The answers to one submission, encoded; they leave with the batch in which they were decided.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Whose they are.
    pub origin: Arc<Origin>,
    /// Whole frames.
    pub frames: Vec<u8>,
    /// How many commands they answer.
    pub count: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_sticks_to_higher_numbers_until_its_number_comes_again() {
        let stuck = Stuck::default();
        assert_eq!(stuck.check(1, 1), None);
        stuck.refuse(5, Reason::Busy);
        stuck.refuse(6, Reason::RateLimited);
        assert_eq!(stuck.check(6, 1), Some(Reason::Busy));
        assert_eq!(stuck.check(4, 1), None, "a lower number is not behind it");
        assert_eq!(stuck.check(5, 1), None, "it came again");
        assert_eq!(stuck.check(6, 1), None);
    }

    #[test]
    fn a_refusal_ends_when_its_number_is_given_up() {
        let stuck = Stuck::default();
        stuck.refuse(5, Reason::Busy);
        assert_eq!(stuck.check(7, 5), Some(Reason::Busy));
        assert_eq!(stuck.check(7, 6), None);
        assert_eq!(stuck.check(8, 6), None);
    }
}
