//! Broadcasts: made in the own channel of a system user, sent one user after the other, and ended. Each step is noted, so
//! that what was begun goes on; who has the message of which broadcast is a row of the person channel.

use bytes::Bytes;
use postrider_protocol::{
    CommandId, Id, Image, ImageKind, Reader, Tlvs, Writer as _, image_flag, packet::broadcast::Reach,
};

use super::{BROADCAST_KIND, parts, with_own};
use crate::{BroadcastRow, HeardRow, StateKey, TagsRow};

/// The TLV of a [`BROADCAST_KIND`] entry that says what it does: [`Step`].
pub const STEP_TAG: u16 = 0x4007;
/// Most bytes that the TLV takes.
pub const STEP_BYTES: usize = 4 + 17 + 129 + 16;

/// What a [`BROADCAST_KIND`] entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// What is in the entry is to be sent; the broadcast gets the entry's own sender and number.
    Make {
        /// The flags of the message.
        flags: u16,
        /// To whom.
        reach: Reach,
    },
    /// Nobody else is to get it.
    Cancel(CommandId),
    /// It was sent to some users.
    Send {
        /// Which.
        id: CommandId,
        /// Everybody up to this one was seen to.
        through: Id,
        /// So many more have it.
        sent: u64,
        /// To so many more it could not be sent.
        refused: u64,
    },
    /// It is over.
    End {
        /// Which.
        id: CommandId,
        /// This one, which ended long ago, is listed no more.
        forgotten: Option<CommandId>,
    },
}

impl Step {
    /// `tlvs` with it: `step u8`, then what it has.
    #[must_use]
    pub fn with(&self, tlvs: &Tlvs) -> Tlvs {
        let mut own = Vec::new();
        match self {
            Self::Make { flags, reach } => {
                own.u8(1);
                own.u16(*flags);
                reach.write(&mut own);
            }
            Self::Cancel(id) => {
                own.u8(2);
                id.write(&mut own);
            }
            Self::Send { id, through, sent, refused } => {
                own.u8(3);
                id.write(&mut own);
                own.bytes8(through.as_bytes());
                own.u64(*sent);
                own.u64(*refused);
            }
            Self::End { id, forgotten } => {
                own.u8(4);
                id.write(&mut own);
                forgotten.unwrap_or(CommandId::FIRST).write(&mut own);
            }
        }
        with_own(tlvs, STEP_TAG, &own)
    }

    /// Of an entry.
    #[must_use]
    pub fn of(image: &Image) -> Option<Self> {
        let value = image.tlvs.get(STEP_TAG).filter(|_| image.kind == BROADCAST_KIND)?;
        let r = &mut Reader::new(Bytes::copy_from_slice(value));
        let id = |r: &mut Reader| CommandId::read(r).ok();
        Some(match r.u8("step").ok()? {
            1 => Self::Make { flags: r.u16("flags").ok()?, reach: Reach::read(r).ok()? },
            2 => Self::Cancel(id(r)?),
            3 => Self::Send {
                id: id(r)?,
                through: Id::read(r, "through").ok()?.detached(),
                sent: r.u64("sent").ok()?,
                refused: r.u64("refused").ok()?,
            },
            4 => Self::End { id: id(r)?, forgotten: id(r).filter(|forgotten| *forgotten != CommandId::FIRST) },
            _ => return None,
        })
    }

    /// Which broadcast it is about.
    fn id(&self, image: &Image) -> CommandId {
        match self {
            Self::Make { .. } => image.command_id(),
            Self::Cancel(id) | Self::Send { id, .. } | Self::End { id, .. } => *id,
        }
    }
}

/// Whether a message is of a broadcast.
#[must_use]
pub fn is_of_one(image: &Image) -> bool {
    image.kind == ImageKind::Message.number() && image.flags & image_flag::BROADCAST != 0
}

/// Whether an entry makes a broadcast.
pub(super) fn is_made(image: &Image) -> bool {
    matches!(Step::of(image), Some(Step::Make { .. }))
}

pub(super) fn changed(image: &Image, keys: &mut Vec<StateKey>) {
    let author = || image.author().detached();
    if is_of_one(image) {
        keys.push(StateKey::Heard(author()));
    }
    let Some(step) = Step::of(image) else { return };
    let id = step.id(image);
    keys.push(StateKey::Broadcast(id));
    match step {
        Step::Make { .. } => parts::made(&author(), id, image, keys),
        Step::End { forgotten, .. } => {
            parts::all(&author(), id, keys);
            keys.extend(forgotten.map(StateKey::Broadcast));
        }
        Step::Cancel(_) | Step::Send { .. } => {}
    }
}

pub(super) fn apply(row: &mut Option<BroadcastRow>, key: CommandId, position: u64, image: &Image) {
    let Some(step) = Step::of(image) else { return };
    if let Step::Make { flags, reach } = step {
        *row = Some(BroadcastRow {
            reach,
            flags,
            parts: parts::count(image),
            made: position,
            made_ms: image.time_ms,
            through: None,
            is_cancelled: false,
            ended_ms: 0,
            sent: 0,
            refused: 0,
            position,
        });
        return;
    }
    let Some(known) = row else { return };
    known.position = position;
    match step {
        Step::Make { .. } => {}
        Step::Cancel(_) => known.is_cancelled = true,
        Step::Send { through, sent, refused, .. } => {
            known.through = Some(through);
            known.sent = known.sent.saturating_add(sent);
            known.refused = known.refused.saturating_add(refused);
        }
        Step::End { forgotten, .. } if forgotten == Some(key) => *row = None,
        Step::End { .. } => known.ended_ms = image.time_ms,
    }
}

pub(super) fn apply_heard(row: &mut Option<HeardRow>, position: u64, image: &Image) {
    *row = Some(HeardRow { id: image.command_id(), position });
}

/// The body of a [`super::TAGS_KIND`] entry is as TAGS answers.
pub(super) fn apply_tags(row: &mut Option<TagsRow>, position: u64, image: &Image) {
    let tags = postrider_protocol::packet::broadcast::read_tags(image.body.clone()).unwrap_or_default();
    let tags: Vec<Id> = tags.iter().map(Id::detached).collect();
    *row = (!tags.is_empty()).then_some(TagsRow { tags, position });
}
