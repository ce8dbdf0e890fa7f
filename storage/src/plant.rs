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
    /// Who was removed from a group still gets what comes.
    DeliverToRemoved = 6,
    /// What was revoked is forgotten with the process.
    RevokeInMemory = 7,
    /// Own messages count as unread.
    UnreadCountsOwn = 8,
    /// The last element of a SYNC is left out.
    SkipLastSyncItem = 9,
}

impl Fault {
    /// The fault that is called so on a command line.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "no-fdatasync" => Some(Self::NoFdatasync),
            "drop-last-entry" => Some(Self::DropLastEntry),
            "flush-error-ignored" => Some(Self::FlushErrorIgnored),
            "ack-before-commit" => Some(Self::AckBeforeCommit),
            "dedup-in-memory" => Some(Self::DedupInMemory),
            "deliver-to-removed" => Some(Self::DeliverToRemoved),
            "revoke-in-memory" => Some(Self::RevokeInMemory),
            "unread-counts-own" => Some(Self::UnreadCountsOwn),
            "skip-last-sync-item" => Some(Self::SkipLastSyncItem),
            _ => None,
        }
    }
}

/// Plants the fault that the environment variable `PLANT_FAULT` names, if it names one.
///
/// # Errors
/// No fault is called so.
#[cfg(feature = "plant")]
pub fn set_from_environment() -> Result<(), String> {
    let Ok(name) = std::env::var("PLANT_FAULT") else { return Ok(()) };
    set(Fault::from_name(&name).ok_or_else(|| format!("PLANT_FAULT: no fault is called {name}"))?);
    Ok(())
}

/// Does nothing: this build cannot be made faulty.
///
/// # Errors
/// None.
#[cfg(not(feature = "plant"))]
#[inline(always)]
pub const fn set_from_environment() -> Result<(), String> {
    Ok(())
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
