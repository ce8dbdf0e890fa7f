//! What can be wrong with bytes from a peer.

use crate::Reason;

/// Why bytes could not be decoded: what, and at which offset of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at} of the payload")]
pub struct DecodeError {
    /// The reason that the peer is told.
    pub reason: Reason,
    /// The field, and what is wrong with it.
    pub what: &'static str,
    /// Offset of the field in the payload; for a header error, in the frame.
    pub at: usize,
}

impl DecodeError {
    /// A field that does not follow the layout.
    #[must_use]
    pub const fn malformed(what: &'static str, at: usize) -> Self {
        Self { reason: Reason::Malformed, what, at }
    }
}
