//! A message ready to be sent again and again: only the stamp and a mark change.

use crate::{options::STAMP, plan::Stamp};

/// See the module.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    /// Where the body begins.
    body: usize,
    /// Where the dialect has its number.
    mark: usize,
}

impl Template {
    /// `head`, a body of `size` bytes, `tail`; the dialect's number at `mark`.
    pub(crate) fn new(head: &[u8], size: usize, tail: &[u8], mark: usize) -> Self {
        let filler = b"an instant message of so many bytes; ";
        let body = filler.iter().copied().cycle().take(size.max(STAMP));
        let bytes = head.iter().copied().chain(body).chain(tail.iter().copied()).collect();
        Self { bytes, body: head.len(), mark }
    }

    /// Sets stamp and mark.
    pub(crate) fn set(&mut self, stamp: Stamp, mark: &[u8]) -> &[u8] {
        if let Some(body) = self.bytes.get_mut(self.body..).and_then(|bytes| bytes.get_mut(..STAMP)) {
            body.copy_from_slice(&stamp.bytes());
        }
        if let Some(place) = self.bytes.get_mut(self.mark..).and_then(|bytes| bytes.get_mut(..mark.len())) {
            place.copy_from_slice(mark);
        }
        &self.bytes
    }
}
