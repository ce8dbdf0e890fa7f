//! Faults that the torture suites plant on purpose, to see that they are noticed. Nothing can be planted unless the
//! `plant` feature is on.

#[cfg(feature = "plant")]
use std::sync::atomic::{AtomicU8, Ordering};

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// None.
    None = 0,
    /// Waiting for a batch does not sync.
    NoFdatasync = 1,
    /// Recovery forgets the last entry of the log.
    DropLastEntry = 2,
    /// A failed sync counts as done.
    FlushErrorIgnored = 3,
    /// The server answers before the commit.
    AckBeforeCommit = 4,
    /// The server keeps what it accepted only in memory.
    DedupInMemory = 5,
}

#[cfg(feature = "plant")]
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants `fault` in this process; [`Fault::None`] removes it.
#[cfg(feature = "plant")]
pub fn set(fault: Fault) {
    PLANTED.store(fault as u8, Ordering::SeqCst);
}

/// Whether `fault` is planted.
#[cfg(feature = "plant")]
#[must_use]
pub fn is(fault: Fault) -> bool {
    PLANTED.load(Ordering::Relaxed) == fault as u8
}

/// Does nothing: this build cannot be made faulty.
#[cfg(not(feature = "plant"))]
#[inline(always)]
pub const fn set(_fault: Fault) {}

/// Whether `fault` is planted: never, in this build.
#[cfg(not(feature = "plant"))]
#[inline(always)]
#[must_use]
pub const fn is(_fault: Fault) -> bool {
    false
}
