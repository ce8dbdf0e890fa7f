//! What a client is told.

use alloc::string::String;

use crate::{
    Channel, DecodeError, Id, Image, Reason, Sender,
    packet::{Conversation, Gap, Limits, NoticePacket, ReplyPacket},
    session::server::Detail,
};

/// What an app has to know. Of each channel, `Message` and `Gap` come in order of seq, every seq above the first once;
/// a seq is left out only when it is one of this client's own commands, told by `Sent`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The server accepted the connection.
    Connected {
        /// Who the token says the client is.
        user: Id,
        /// The server's clock, milliseconds since 1970.
        server_time_ms: u64,
        /// Its limits and timers.
        limits: Limits,
    },
    /// A conversation changed, or is told for the first time.
    Conversation {
        /// As the server told it.
        conversation: Conversation,
        /// What the app holds of this channel is void: its history comes anew from `sync_from`.
        reset: bool,
    },
    /// The next image of its channel: a message or a membership event.
    Message {
        /// The image.
        image: Image,
    },
    /// Seqs of a channel that have no image for this user.
    Gap {
        /// The channel.
        channel: Channel,
        /// Which seqs, and why.
        gap: Gap,
    },
    /// What is not stored.
    Notice(NoticePacket),
    /// Everything that was missed before this connection has been handed out; once per connection.
    CaughtUp,
    /// A command is durable.
    Sent {
        /// Its number.
        number: u64,
        /// Its channel.
        channel: Channel,
        /// The seq of what it stored; 0 for what has no seq.
        seq: u64,
        /// The time of what it stored, milliseconds since 1970.
        time_ms: u64,
    },
    /// A command was refused for good; nothing was stored.
    Refused {
        /// Its number.
        number: u64,
        /// Why.
        reason: Reason,
        /// The server's words.
        detail: String,
    },
    /// Whether a command was stored cannot be known any more; an image with its sender and number shows that it was.
    PerhapsSent {
        /// The sender it went under.
        sender: Sender,
        /// Its number.
        number: u64,
    },
    /// The answer to a question.
    Reply {
        /// What [`super::ClientState::ask`] returned.
        question: u64,
        /// The answer, which may be a refusal.
        reply: ReplyPacket,
    },
    /// The connection ended.
    Closed {
        /// What the server said, or what it did wrong; none when the transport just ended.
        reason: Option<Reason>,
        /// What to do about it.
        retry: Retry,
        /// Words for a developer.
        detail: String,
    },
}

/// What to do after the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Connect no more: the app asked for the end, another connection took over, or it would end the same way.
    Never,
    /// Connect with another token.
    NewToken,
    /// Connect at once: a new sender is needed.
    Now,
    /// Connect after a back-off, and not before so many milliseconds.
    BackOff {
        /// What the server asked for; 0 when it did not.
        at_least_ms: u32,
    },
}

impl Retry {
    /// What a server means that ends a connection with `reason`.
    pub(super) const fn after(reason: Reason, at_least_ms: Option<u32>) -> Self {
        match reason {
            Reason::Replaced
            | Reason::VersionUnsupported
            | Reason::Malformed
            | Reason::FrameTooLarge
            | Reason::UnknownKind
            | Reason::UnknownCritical
            | Reason::ProtocolViolation => Self::Never,
            Reason::Unauthenticated | Reason::TokenExpired => Self::NewToken,
            Reason::SenderExpired => Self::Now,
            _ => Self::BackOff {
                at_least_ms: match at_least_ms {
                    Some(ms) => ms,
                    None => 0,
                },
            },
        }
    }
}

/// What a server did wrong, or did not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it is told.
    pub reason: Reason,
    /// What exactly.
    pub detail: Detail,
}

impl Failure {
    pub(super) const fn decode(error: DecodeError) -> Self {
        Self { reason: error.reason, detail: Detail::Decode(error) }
    }

    pub(super) const fn violation(rule: &'static str) -> Self {
        Self { reason: Reason::ProtocolViolation, detail: Detail::Rule(rule) }
    }
}
