//! The materialiser.
use crate::{Locator, Placed, SLOTS, StoreError};

/// The position up to which each slot is in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered(pub Box<[u64; SLOTS]>);

/// Puts committed entries into the store.
#[derive(Debug)]
pub struct Materialiser {}

#[allow(missing_docs, clippy::missing_errors_doc, unused_variables)]
impl Materialiser {
    pub fn feed(&mut self, committed: Vec<(Placed, Locator)>) {}
    pub fn pending_bytes(&self) -> u64 {
        0
    }
    pub fn is_due(&self) -> bool {
        false
    }
    pub fn checkpoint(&mut self) -> Result<Covered, StoreError> {
        Err(StoreError::Poisoned)
    }
}
