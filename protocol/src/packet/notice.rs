//! NOTICE: what is not stored. What each kind carries is [`Said`] from a client and [`Told`] from the server.

use alloc::vec::Vec;

use bytes::Bytes;

use super::presence::{self, Presence};
use crate::{CALL_IDS, Channel, DecodeError, Id, NoticeKind, Reader, SIGNAL_BYTES, Tlvs, Writer};

/// NOTICE: `what u8 · fields bytes32 · TLVs`. A notice of a kind that is not known is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticePacket {
    /// A [`crate::NoticeKind`] by number.
    pub what: u8,
    /// Its own fields.
    pub fields: Bytes,
    /// Optional fields.
    pub tlvs: Tlvs,
}

impl NoticePacket {
    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { what: r.u8("notice")?, fields: r.bytes32("fields")?, tlvs: Tlvs::read_to_end(r)? })
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        out.u8(self.what);
        out.bytes32(&self.fields);
        out.raw(self.tlvs.as_bytes());
    }
}

/// The fields of a notice from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// `channel · state u8`.
    Typing {
        /// Where.
        channel: Channel,
        /// Whether the user writes, or has stopped.
        is_writing: bool,
    },
    /// `channel · body bytes32`.
    Signal {
        /// Where.
        channel: Channel,
        /// At most 16,384 bytes.
        body: Bytes,
    },
}

impl Said {
    /// What a client's notice of the kind `what` says with these fields; none when clients send no such notice.
    ///
    /// # Errors
    /// `MALFORMED` when `fields` are not exactly those of the kind.
    pub fn decode(what: NoticeKind, fields: Bytes) -> Result<Option<Self>, DecodeError> {
        let r = &mut Reader::new(fields);
        let said = match what {
            NoticeKind::Typing => {
                Self::Typing { channel: Channel::read_shared(r)?, is_writing: presence::switch(r, "state")? }
            }
            NoticeKind::Signal => Self::Signal { channel: Channel::read_shared(r)?, body: body(r)? },
            _ => return Ok(None),
        };
        r.end()?;
        Ok(Some(said))
    }

    /// Its kind.
    #[must_use]
    pub const fn what(&self) -> NoticeKind {
        match self {
            Self::Typing { .. } => NoticeKind::Typing,
            Self::Signal { .. } => NoticeKind::Signal,
        }
    }

    /// Appends the fields.
    pub fn write(&self, out: &mut impl Writer) {
        match self {
            Self::Typing { channel, is_writing } => {
                out.raw(channel.as_bytes());
                out.u8(u8::from(*is_writing));
            }
            Self::Signal { channel, body } => {
                out.raw(channel.as_bytes());
                out.bytes32(body);
            }
        }
    }
}

/// How far a user has a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The user.
    pub user: Id,
    /// A device of theirs has everything up to here; 0 when this notice does not say.
    pub delivered: u64,
    /// They have read up to here; 0 when this notice does not say.
    pub read: u64,
}

/// What a user's own view of a channel has become. Its settings that changed are TLVs of the notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewNotice {
    /// The channel.
    pub channel: Channel,
    /// The read mark.
    pub read: u64,
    /// What was deleted by the user for themselves just now, from and to; both 0 for nothing.
    pub hidden: (u64, u64),
    /// Whether the user blocks the other one of a person channel.
    pub blocks: bool,
    /// What the other one of a person channel is to the user: 0 nobody in particular, 1 was asked to become a contact,
    /// 2 has asked, 3 a contact.
    pub contact: u8,
    /// What the user waits for in a group: 0 nothing, 1 has asked to join, 2 is invited.
    pub waiting: u8,
}

/// The fields of a notice from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// `channel · user bytes8 · state u8`.
    Typing {
        /// Where.
        channel: Channel,
        /// Who.
        user: Id,
        /// Whether they write, or have stopped.
        is_writing: bool,
    },
    /// `count u16 · presence …`, see [`Presence`].
    Presence(Vec<Presence>),
    /// `channel · count u16 · (user bytes8 · delivered u64 · read u64) …`, at most 100; none when too many changed.
    Receipt {
        /// Where.
        channel: Channel,
        /// Whose.
        marks: Vec<Receipt>,
    },
    /// `channel · read u64 · from u64 · to u64 · blocks u8 · contact u8 · waiting u8`.
    Conversation(ViewNotice),
    /// `channel · user bytes8 · time_ms u64 · body bytes32`.
    Signal {
        /// Where.
        channel: Channel,
        /// Who.
        user: Id,
        /// When the server took it, milliseconds since 1970.
        time_ms: u64,
        /// At most 16,384 bytes.
        body: Bytes,
    },
    /// `group bytes8 · waiting u32`.
    Requests {
        /// The group.
        group: Id,
        /// How many requests to join wait.
        waiting: u32,
    },
}

impl Told {
    /// What a server's notice of the kind `what` tells with these fields.
    ///
    /// # Errors
    /// `MALFORMED` when `fields` are not exactly those of the kind.
    pub fn decode(what: NoticeKind, fields: Bytes) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(fields);
        let told = match what {
            NoticeKind::Typing => Self::Typing {
                channel: Channel::read_shared(r)?,
                user: Id::read(r, "user")?,
                is_writing: presence::switch(r, "state")?,
            },
            NoticeKind::Presence => Self::Presence(presence::read_list(r)?),
            NoticeKind::Receipt => Self::Receipt { channel: Channel::read_shared(r)?, marks: receipts(r)? },
            NoticeKind::Conversation => Self::Conversation(ViewNotice {
                channel: Channel::read_shared(r)?,
                read: r.u64("read")?,
                hidden: (r.u64("from")?, r.u64("to")?),
                blocks: presence::switch(r, "blocks")?,
                contact: presence::below(r, 4, "contact")?,
                waiting: presence::below(r, 3, "waiting")?,
            }),
            NoticeKind::Signal => Self::Signal {
                channel: Channel::read_shared(r)?,
                user: Id::read(r, "user")?,
                time_ms: r.u64("time_ms")?,
                body: body(r)?,
            },
            NoticeKind::Requests => Self::Requests { group: Id::read(r, "group")?, waiting: r.u32("waiting")? },
        };
        r.end()?;
        Ok(told)
    }

    /// Its kind.
    #[must_use]
    pub const fn what(&self) -> NoticeKind {
        match self {
            Self::Typing { .. } => NoticeKind::Typing,
            Self::Presence(_) => NoticeKind::Presence,
            Self::Receipt { .. } => NoticeKind::Receipt,
            Self::Conversation(_) => NoticeKind::Conversation,
            Self::Signal { .. } => NoticeKind::Signal,
            Self::Requests { .. } => NoticeKind::Requests,
        }
    }

    /// Appends the fields.
    pub fn write(&self, out: &mut impl Writer) {
        match self {
            Self::Typing { channel, user, is_writing } => {
                out.raw(channel.as_bytes());
                out.bytes8(user.as_bytes());
                out.u8(u8::from(*is_writing));
            }
            Self::Presence(list) => presence::write_list(out, list),
            Self::Receipt { channel, marks } => {
                out.raw(channel.as_bytes());
                out.u16(u16::try_from(marks.len()).unwrap_or(u16::MAX));
                for mark in marks {
                    out.bytes8(mark.user.as_bytes());
                    out.u64(mark.delivered);
                    out.u64(mark.read);
                }
            }
            Self::Conversation(view) => {
                out.raw(view.channel.as_bytes());
                out.u64(view.read);
                out.u64(view.hidden.0);
                out.u64(view.hidden.1);
                out.u8(u8::from(view.blocks));
                out.u8(view.contact);
                out.u8(view.waiting);
            }
            Self::Signal { channel, user, time_ms, body } => {
                out.raw(channel.as_bytes());
                out.bytes8(user.as_bytes());
                out.u64(*time_ms);
                out.bytes32(body);
            }
            Self::Requests { group, waiting } => {
                out.bytes8(group.as_bytes());
                out.u32(*waiting);
            }
        }
    }

    /// It as a packet with these TLVs.
    #[must_use]
    pub fn packet(&self, tlvs: Tlvs) -> NoticePacket {
        let mut fields = Vec::new();
        self.write(&mut fields);
        NoticePacket { what: self.what().number(), fields: fields.into(), tlvs }
    }
}

fn body(r: &mut Reader) -> Result<Bytes, DecodeError> {
    let at = r.position();
    let body = r.bytes32("body")?;
    if body.len() > SIGNAL_BYTES {
        return Err(DecodeError::malformed("body over 16,384 bytes", at));
    }
    Ok(body)
}

fn receipts(r: &mut Reader) -> Result<Vec<Receipt>, DecodeError> {
    let at = r.position();
    let count = usize::from(r.u16("count")?);
    if count > CALL_IDS {
        return Err(DecodeError::malformed("more than 100 receipts", at));
    }
    let mut marks = Vec::new();
    for _ in 0..count {
        marks.push(Receipt { user: Id::read(r, "user")?, delivered: r.u64("delivered")?, read: r.u64("read")? });
    }
    Ok(marks)
}
