//! SYNC and SYNCED.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{
    read_reason,
    targets::{read_reaction, read_switch},
};
use crate::{Channel, DecodeError, GapReason, REACTIONS, Reader, Reason, Tlvs, Writer};

/// SYNC: `request u32 · channel · epoch u32 · from u64 · to u64 · limit u16 · TLVs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncPacket {
    /// Repeated in the answer.
    pub request: u32,
    /// The channel.
    pub channel: Channel,
    /// The epoch that the client holds for it.
    pub epoch: u32,
    /// First seq wanted, from 1.
    pub from: u64,
    /// Last seq wanted, `from` or above; above the head it means the head.
    pub to: u64,
    /// At most so many elements; 0 leaves it to the server.
    pub limit: u16,
    /// Optional fields.
    pub tlvs: Tlvs,
}

impl SyncPacket {
    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let request = r.u32("request")?;
        let channel = Channel::read_shared(r)?;
        let epoch = r.u32("epoch")?;
        let (from, to) = read_interval(r)?;
        Ok(Self { request, channel, epoch, from, to, limit: r.u16("limit")?, tlvs: Tlvs::read_to_end(r)? })
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        out.u32(self.request);
        out.raw(self.channel.as_bytes());
        out.u32(self.epoch);
        out.u64(self.from);
        out.u64(self.to);
        out.u16(self.limit);
        out.raw(self.tlvs.as_bytes());
    }
}

/// Takes a closed interval of seqs, `from u64 · to u64`, off `r`.
pub(super) fn read_interval(r: &mut Reader) -> Result<(u64, u64), DecodeError> {
    let at = r.position();
    let (from, to) = (r.u64("from")?, r.u64("to")?);
    if from == 0 || to < from {
        return Err(DecodeError::malformed("an interval has 1 ≤ from ≤ to", at));
    }
    Ok((from, to))
}

/// Seqs without an image: `from u64 · to u64 · why u8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub to: u64,
    /// Why there is none.
    pub why: GapReason,
}

/// How often a reaction was given: `reaction bytes8 · count u32 · own u8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// UTF-8, 1 to 32 bytes.
    pub reaction: Bytes,
    /// How many users gave it.
    pub count: u32,
    /// Whether the user who asks is one of them.
    pub is_own: bool,
}

/// What later images made of a message, as far as the user may see them:
/// `seq u64 · edit u64 · version u32 · pinned u8 · answers u32 · answered u64 · count u8 · reactions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The message.
    pub seq: u64,
    /// The seq of its newest edit, whose content the image of the message has; 0 when it was not edited.
    pub edit: u64,
    /// The version that this edit made; 0 when it was not edited.
    pub version: u32,
    /// Whether it is pinned.
    pub is_pinned: bool,
    /// How many answers its thread has had.
    pub answers: u32,
    /// The seq of the newest of them; 0 when it has none.
    pub answered: u64,
    /// In the order in which they came up, at most [`REACTIONS`].
    pub reactions: Vec<Reaction>,
}

impl Made {
    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let at = r.position();
        let seq = r.u64("seq")?;
        let (edit, version, is_pinned) = (r.u64("edit")?, r.u32("version")?, read_switch(r)?);
        let (answers, answered) = (r.u32("answers")?, r.u64("answered")?);
        let count = usize::from(r.u8("reactions")?);
        if seq == 0 || count > REACTIONS {
            return Err(DecodeError::malformed("what was made of a message", at));
        }
        let mut reactions = Vec::new();
        for _ in 0..count {
            let (reaction, count) = (read_reaction(r)?, r.u32("count")?);
            reactions.push(Reaction { reaction, count, is_own: read_switch(r)? });
        }
        Ok(Self { seq, edit, version, is_pinned, answers, answered, reactions })
    }

    fn write(&self, out: &mut impl Writer) {
        out.u64(self.seq);
        out.u64(self.edit);
        out.u32(self.version);
        out.u8(u8::from(self.is_pinned));
        out.u32(self.answers);
        out.u64(self.answered);
        out.u8(u8::try_from(self.reactions.len()).unwrap_or(u8::MAX));
        for Reaction { reaction, count, is_own } in &self.reactions {
            out.bytes8(reaction);
            out.u32(*count);
            out.u8(u8::from(*is_own));
        }
    }

    /// Bytes that it takes as an element.
    #[must_use]
    pub fn element_bytes(&self) -> usize {
        35 + self.reactions.iter().map(|reaction| 6 + reaction.reaction.len()).sum::<usize>()
    }
}

/// One element of SYNCED: `1 u8 · image bytes32`, `2 u8 · gap`, or `3 u8 · made`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncItem {
    /// The bytes of one image; [`crate::Image::decode`] reads them.
    Image(Bytes),
    /// Seqs without an image.
    Gap(Gap),
    /// What later images made of one of the images before.
    Made(Made),
}

/// SYNCED: `request u32 · reason u16 · epoch u32 · head u64 · from u64 · to u64 · count u16 · elements · TLVs`. The
/// images and gaps cover every seq from `from` to `to`, once, ascending; what was made of the images follows all of them,
/// ascending by seq.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncedPacket {
    /// The request it answers.
    pub request: u32,
    /// OK, or why not.
    pub reason: Reason,
    /// The epoch of the channel's slot.
    pub epoch: u32,
    /// The highest seq that the user may see.
    pub head: u64,
    /// The first seq answered: `from` of the request.
    pub from: u64,
    /// The last seq answered; below `to` of the request when the answer is full: ask again from `to` + 1.
    pub to: u64,
    /// Images and gaps, then what was made of the images.
    pub items: Vec<SyncItem>,
    /// `RETRY_AFTER_MS`, `DETAIL`.
    pub tlvs: Tlvs,
}

impl SyncedPacket {
    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let request = r.u32("request")?;
        let reason = read_reason(r)?;
        let epoch = r.u32("epoch")?;
        let head = r.u64("head")?;
        let from = r.u64("from")?;
        let to = r.u64("to")?;
        let count = r.u16("count")?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(SyncItem::read(r)?);
        }
        Ok(Self { request, reason, epoch, head, from, to, items, tlvs: Tlvs::read_to_end(r)? })
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        out.u32(self.request);
        out.u16(self.reason.number());
        out.u32(self.epoch);
        out.u64(self.head);
        out.u64(self.from);
        out.u64(self.to);
        out.u16(u16::try_from(self.items.len()).unwrap_or(u16::MAX));
        for item in &self.items {
            item.write(out);
        }
        out.raw(self.tlvs.as_bytes());
    }
}

impl SyncItem {
    pub(super) fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let at = r.position();
        match r.u8("element")? {
            1 => Ok(Self::Image(r.bytes32("image")?)),
            2 => {
                let (from, to) = read_interval(r)?;
                let at = r.position();
                let why = GapReason::from_number(r.u8("gap reason")?);
                Ok(Self::Gap(Gap { from, to, why: why.ok_or(DecodeError::malformed("gap reason", at))? }))
            }
            3 => Made::read(r).map(Self::Made),
            _ => Err(DecodeError::malformed("element", at)),
        }
    }

    pub(super) fn write(&self, out: &mut impl Writer) {
        match self {
            Self::Image(image) => {
                out.u8(1);
                out.bytes32(image);
            }
            Self::Gap(gap) => {
                out.u8(2);
                out.u64(gap.from);
                out.u64(gap.to);
                out.u8(gap.why.number());
            }
            Self::Made(made) => {
                out.u8(3);
                made.write(out);
            }
        }
    }
}
