//! What the threads of a run tell each other while it goes on.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU8, AtomicU64, Ordering},
};

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Connections are made; nobody sends.
    Connect,
    /// Everybody does what the scenario says.
    Run,
    /// As before, and the devices of the storm come.
    Storm,
    /// Nobody sends; what is under way arrives.
    Drain,
    /// The threads end.
    Stop,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Connect, Self::Run, Self::Storm, Self::Drain, Self::Stop];

    /// Whether messages are sent.
    pub(crate) const fn sends(self) -> bool {
        matches!(self, Self::Run | Self::Storm)
    }
}

/// The counts of one thread, as it last published them.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) expected: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) acked: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Connections that are let in.
    pub(crate) up: AtomicU64,
    /// Devices of a storm that have everything.
    pub(crate) caught_up: AtomicU64,
    /// What is not finished: commands without an answer, devices that catch up or are away.
    pub(crate) unfinished: AtomicU64,
    /// All members of this thread have the messages of the fan-out up to this one.
    pub(crate) fan: AtomicU64,
}

/// Sums over all threads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) expected: u64,
    pub(crate) received: u64,
    pub(crate) acked: u64,
    pub(crate) refused: u64,
    pub(crate) up: u64,
    pub(crate) caught_up: u64,
    pub(crate) unfinished: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Board {
    phase: AtomicU8,
    pub(crate) tallies: Vec<Tally>,
    /// Nanoseconds of the run between which is measured.
    pub(crate) measured: [AtomicU64; 2],
    /// The storm begins.
    pub(crate) storm_from: AtomicU64,
    troubles: Mutex<Vec<String>>,
    troubled: AtomicU64,
}

/// More troubles than this are counted, not kept.
const TROUBLES: usize = 5;

impl Board {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Connect as u8),
            tallies: (0..threads).map(|_| Tally::default()).collect(),
            measured: [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)],
            storm_from: AtomicU64::new(u64::MAX),
            troubles: Mutex::default(),
            troubled: AtomicU64::new(0),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        let phase = usize::from(self.phase.load(Ordering::Acquire));
        Phase::ALL.get(phase).copied().unwrap_or(Phase::Stop)
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    pub(crate) fn counts(&self) -> Counts {
        let sum = |of: fn(&Tally) -> &AtomicU64| self.tallies.iter().map(|t| of(t).load(Ordering::Relaxed)).sum();
        Counts {
            expected: sum(|t| &t.expected),
            received: sum(|t| &t.received),
            acked: sum(|t| &t.acked),
            refused: sum(|t| &t.refused),
            up: sum(|t| &t.up),
            caught_up: sum(|t| &t.caught_up),
            unfinished: sum(|t| &t.unfinished),
        }
    }

    /// How many messages of the fan-out all its members have.
    pub(crate) fn fan(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.fan.load(Ordering::Acquire)).min().unwrap_or_default()
    }

    /// Something went wrong.
    pub(crate) fn trouble(&self, what: String) {
        self.troubled.fetch_add(1, Ordering::Relaxed);
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.len() < TROUBLES && !troubles.contains(&what) {
            troubles.push(what);
        }
    }

    /// What went wrong, and how often something did.
    pub(crate) fn troubles(&self) -> (Vec<String>, u64) {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (troubles, self.troubled.load(Ordering::Relaxed))
    }
}
