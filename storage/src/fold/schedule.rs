//! Messages that are to be sent at a given time: made, replaced, taken away, refused when their time had come, and sent.
//! The content lies in parts, as one row may not have it all.

use bytes::Bytes;
use postrider_protocol::{
    BODY_BYTES, Image, ImageKind, Reader, TLV_BYTES, Tlvs, Writer as _, image_flag, packet::schedule::ScheduleId,
};

use super::SCHEDULE_KIND;
use crate::{PartRow, ScheduledRow, StateKey};

/// The TLV of a [`SCHEDULE_KIND`] entry that says what it does: [`Ordered`].
pub const ORDER_TAG: u16 = 0x4005;
/// Bytes that the TLV takes.
pub const ORDER_BYTES: usize = 4 + 29;
/// Most bytes of a part.
pub const PART_BYTES: usize = 3_500;

/// Most parts of a content.
const PARTS: u8 = ((2 + TLV_BYTES + BODY_BYTES).div_ceil(PART_BYTES) & 0xff) as u8;

/// What a [`SCHEDULE_KIND`] entry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The author schedules what is in the entry; it gets the entry's own sender and number.
    Make,
    /// What is in the entry takes the place of what was there.
    Replace,
    /// It is scheduled no more.
    End,
    /// Its time had come, and it was refused.
    Refuse,
}

impl Order {
    const fn number(self) -> u8 {
        match self {
            Self::Make => 1,
            Self::Replace => 2,
            Self::End => 3,
            Self::Refuse => 4,
        }
    }

    const fn has_content(self) -> bool {
        matches!(self, Self::Make | Self::Replace)
    }
}

/// Everything that the TLV says: `order u8 · flags u16 · due_ms u64 · refused u16 · id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// What is done.
    pub order: Order,
    /// To which; of what is made the entry's own.
    pub id: ScheduleId,
    /// When it is to be sent.
    pub due_ms: u64,
    /// The message's flags.
    pub flags: u16,
    /// Why it was refused, a reason by number.
    pub refused: u16,
}

impl Ordered {
    /// That `order` is given about `id`, and nothing else.
    #[must_use]
    pub const fn about(order: Order, id: ScheduleId) -> Self {
        Self { order, id, due_ms: 0, flags: 0, refused: 0 }
    }

    /// `tlvs` with it.
    #[must_use]
    pub fn with(&self, tlvs: &Tlvs) -> Tlvs {
        let mut own = vec![self.order.number()];
        own.u16(self.flags);
        own.u64(self.due_ms);
        own.u16(self.refused);
        self.id.write(&mut own);
        let mut pairs: Vec<(u16, &[u8])> = tlvs.iter().chain([(ORDER_TAG, own.as_slice())]).collect();
        pairs.sort_by_key(|&(tag, _)| tag);
        Tlvs::from_pairs(pairs)
    }

    /// Of an entry; none of one whose content was erased.
    #[must_use]
    pub fn of(image: &Image) -> Option<Self> {
        let value = image.tlvs.get(ORDER_TAG).filter(|_| image.kind == SCHEDULE_KIND)?;
        let mut r = Reader::new(Bytes::copy_from_slice(value));
        let order = match r.u8("order").ok()? {
            1 => Order::Make,
            2 => Order::Replace,
            3 => Order::End,
            4 => Order::Refuse,
            _ => return None,
        };
        let (flags, due_ms, refused) = (r.u16("flags").ok()?, r.u64("due").ok()?, r.u16("refused").ok()?);
        let mut id = ScheduleId::read(&mut r).ok()?;
        if order == Order::Make {
            id = ScheduleId { sender: image.sender, number: image.number };
        }
        Some(Self { order, id, due_ms, flags, refused })
    }
}

/// Which scheduled message a message is, that was sent when its time had come.
#[must_use]
pub fn sent(image: &Image) -> Option<ScheduleId> {
    let is_it = image.kind == ImageKind::Message.number() && image.flags & image_flag::SCHEDULED != 0;
    is_it.then_some(ScheduleId { sender: image.sender, number: image.number })
}

/// The content as it lies in the parts: `tlvs bytes16 · body`.
fn content(tlvs: &Tlvs, body: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(2 + tlvs.as_bytes().len() + body.len());
    content.bytes16(tlvs.as_bytes());
    content.raw(body);
    content
}

/// TLVs and body of the content in the parts; none when it is not whole.
#[must_use]
pub fn from_parts(parts: &[Bytes]) -> Option<(Tlvs, Bytes)> {
    let all = Bytes::from(parts.concat());
    let mut r = Reader::new(all.clone());
    let tlvs = Tlvs::parse(r.bytes16(usize::from(u16::MAX), "tlvs").ok()?, 0).ok()?;
    let at = r.position();
    Some((tlvs, all.slice(at..)))
}

/// In how many parts content of `tlvs` and `body` lies.
fn parts(tlvs: &Tlvs, body: &[u8]) -> u8 {
    let bytes = 2 + tlvs.as_bytes().len() + body.len();
    u8::try_from(bytes.div_ceil(PART_BYTES)).unwrap_or(u8::MAX)
}

/// The TLVs of the message in an entry.
fn tlvs_of(image: &Image) -> Tlvs {
    Tlvs::from_pairs(image.tlvs.iter().filter(|&(tag, _)| tag != ORDER_TAG))
}

/// `read` of an entry that replaces another tells how many parts there were. What ends takes all parts with it, however
/// many there are: the entry that made them may be folded again when others after it are erased.
pub(super) fn changed(image: &Image, read: u64, keys: &mut Vec<StateKey>) {
    let author = image.author().detached();
    let mut of = |id: ScheduleId, parts: u8| {
        keys.push(StateKey::Scheduled(author.clone(), id));
        keys.extend((0..parts).map(|at| StateKey::Part(author.clone(), id, at)));
    };
    if let Some(id) = sent(image) {
        let is_erased = image.tlvs.is_empty() && image.body.is_empty();
        of(id, if is_erased { PARTS } else { parts(&image.tlvs, &image.body) });
    } else if let Some(Ordered { order, id, .. }) = Ordered::of(image) {
        let before = u8::try_from(read & 0xff).unwrap_or_default();
        of(
            id,
            match order {
                Order::Make | Order::Replace => before.max(parts(&tlvs_of(image), &image.body)),
                Order::End => PARTS,
                Order::Refuse => 0,
            },
        );
    }
}

pub(super) fn apply(row: &mut Option<ScheduledRow>, position: u64, image: &Image) {
    let Some(ordered) = Ordered::of(image) else {
        *row = None;
        return;
    };
    match ordered.order {
        Order::Make | Order::Replace => {
            let parts = parts(&tlvs_of(image), &image.body);
            let (due_ms, flags) = (ordered.due_ms, ordered.flags);
            *row = Some(ScheduledRow { due_ms, flags, parts, refused: 0, made: position, position });
        }
        Order::End => *row = None,
        Order::Refuse => {
            if let Some(row) = row {
                (row.refused, row.position) = (ordered.refused, position);
            }
        }
    }
}

pub(super) fn apply_part(row: &mut Option<PartRow>, at: u8, position: u64, image: &Image) {
    let has_content = Ordered::of(image).is_some_and(|ordered| ordered.order.has_content());
    let content = if has_content { content(&tlvs_of(image), &image.body) } else { Vec::new() };
    let part = content.chunks(PART_BYTES).nth(usize::from(at));
    *row = part.map(|part| PartRow { bytes: Bytes::copy_from_slice(part), position });
}
