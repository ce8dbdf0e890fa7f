//! What of the committed entries a checkpoint covers.

use std::sync::Arc;

use postrider_protocol::Image;

use crate::{Written, slots::PerSlot, written::Record};

/// The entries of a checkpoint by slot, each slot's in the order of their positions.
#[derive(Debug)]
pub(crate) struct Picked<'a> {
    written: &'a [Arc<Written>],
    /// Which of `written`, and which record of it.
    at: Vec<(u32, u32)>,
    /// Where the entries of each slot end.
    ends: PerSlot<usize>,
}

/// An entry that is to be put into the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending<'a> {
    pub written: &'a Written,
    /// Which of the append it is.
    pub at: usize,
    pub record: &'a Record,
}

impl Pending<'_> {
    /// The image, if it is one.
    pub(crate) fn image(&self) -> Option<Image> {
        self.written.placed(self.at)?.entry.image().ok()
    }
}

impl<'a> Picked<'a> {
    /// Those of `written` that come after `covered`, up to `until`.
    pub(crate) fn new(written: &'a [Arc<Written>], covered: &PerSlot<u64>, until: &PerSlot<u64>) -> Self {
        let mut ends = PerSlot::<usize>::default();
        each(written, covered, until, |_, slot| *ends.at_mut(slot) += 1);
        let mut sum = 0;
        for end in ends.iter_mut() {
            sum += std::mem::replace(end, sum);
        }
        let mut at = vec![(0, 0); sum];
        each(written, covered, until, |place, slot| {
            let end = ends.at_mut(slot);
            if let Some(free) = at.get_mut(*end) {
                *free = place;
            }
            *end += 1;
        });
        Self { written, at, ends }
    }

    /// The entries of each slot.
    pub(crate) fn of_slots(&self) -> impl Iterator<Item = (u8, impl Iterator<Item = Pending<'a>> + Clone + '_)> {
        let mut start = 0;
        self.ends.iter().map(move |(slot, &end)| {
            let of_slot = self.at.get(std::mem::replace(&mut start, end)..end).unwrap_or_default();
            (slot, of_slot.iter().filter_map(|&at| self.pending(at)))
        })
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.at.len()
    }

    fn pending(&self, (written, at): (u32, u32)) -> Option<Pending<'a>> {
        let (written, at) = (&**self.written.get(written as usize)?, at as usize);
        Some(Pending { written, at, record: written.records().get(at)? })
    }
}

/// Visits the records that come after `covered`, up to `until`.
fn each(written: &[Arc<Written>], covered: &PerSlot<u64>, until: &PerSlot<u64>, mut visit: impl FnMut((u32, u32), u8)) {
    let mut reached = covered.clone();
    for (batch, written) in (0..).zip(written) {
        for (at, record) in (0..).zip(written.records()) {
            let reached = reached.at_mut(record.slot);
            if record.position > *reached && record.position <= *until.at(record.slot) {
                *reached = record.position;
                visit((batch, at), record.slot);
            }
        }
    }
}
