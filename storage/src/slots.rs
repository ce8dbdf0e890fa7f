//! Something for each of the 256 slots.

use crate::SLOTS;

/// A value per slot; total, because a slot is a byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PerSlot<T>(Box<[T; SLOTS]>);

impl<T> PerSlot<T> {
    pub(crate) fn new(mut make: impl FnMut(u8) -> T) -> Self {
        Self(Box::new(std::array::from_fn(|slot| make((slot & 0xff) as u8))))
    }

    #[allow(clippy::indexing_slicing, reason = "a byte is below 256")]
    pub(crate) fn at(&self, slot: u8) -> &T {
        &self.0[usize::from(slot)]
    }

    #[allow(clippy::indexing_slicing, reason = "a byte is below 256")]
    pub(crate) fn at_mut(&mut self, slot: u8) -> &mut T {
        &mut self.0[usize::from(slot)]
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u8, &T)> {
        (0u8..=255).zip(self.0.iter())
    }
}

impl<T: Default> Default for PerSlot<T> {
    fn default() -> Self {
        Self::new(|_| T::default())
    }
}
