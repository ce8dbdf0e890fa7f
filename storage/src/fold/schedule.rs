//! Messages that are to be sent at a given time: made, replaced, taken away, refused when their time had come, and sent.
//! The content lies in [`parts`].

use bytes::Bytes;
use postrider_protocol::{CommandId, Image, ImageKind, Reader, Tlvs, Writer as _, image_flag};

use super::{SCHEDULE_KIND, parts, with_own};
use crate::{ScheduledRow, StateKey};

/// The TLV of a [`SCHEDULE_KIND`] entry that says what it does: [`Ordered`].
pub const ORDER_TAG: u16 = 0x4005;
/// Bytes that the TLV takes.
pub const ORDER_BYTES: usize = 4 + 29;

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
    pub id: CommandId,
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
    pub const fn about(order: Order, id: CommandId) -> Self {
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
        with_own(tlvs, ORDER_TAG, &own)
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
        let mut id = CommandId::read(&mut r).ok()?;
        if order == Order::Make {
            id = image.command_id();
        }
        Some(Self { order, id, due_ms, flags, refused })
    }
}

/// Whether an entry has the content of a message that waits.
pub(super) fn has_content(image: &Image) -> bool {
    Ordered::of(image).is_some_and(|ordered| ordered.order.has_content())
}

/// Which scheduled message a message is, that was sent when its time had come.
#[must_use]
pub fn sent(image: &Image) -> Option<CommandId> {
    let is_it = image.kind == ImageKind::Message.number() && image.flags & image_flag::SCHEDULED != 0;
    is_it.then_some(image.command_id())
}

/// What is made or replaced takes all parts that there may have been with it, and so does what ends: the entry that made
/// them may be folded again when others after it are erased.
pub(super) fn changed(image: &Image, keys: &mut Vec<StateKey>) {
    let author = image.author().detached();
    if let Some(id) = sent(image) {
        keys.push(StateKey::Scheduled(author.clone(), id));
        parts::all(&author, id, keys);
    } else if let Some(Ordered { order, id, .. }) = Ordered::of(image) {
        keys.push(StateKey::Scheduled(author.clone(), id));
        match order {
            Order::Make => parts::made(&author, id, image, keys),
            Order::Replace | Order::End => parts::all(&author, id, keys),
            Order::Refuse => {}
        }
    }
}

pub(super) fn apply(row: &mut Option<ScheduledRow>, position: u64, image: &Image) {
    let Some(ordered) = Ordered::of(image) else {
        *row = None;
        return;
    };
    match ordered.order {
        Order::Make | Order::Replace => {
            let (parts, due_ms, flags) = (parts::count(image), ordered.due_ms, ordered.flags);
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
