//! Slots: which worker owns a channel, and what sessions hand to it. The owner of a slot is the only one that decides
//! for its channels (`decide`); everything here is bounded, and a session that finds a worker's queue full waits.

mod act;
mod answer;
mod broadcast;
#[cfg(test)]
mod broadcast_tests;
mod case;
mod command;
mod cursor;
mod decide;
mod decided;
mod dedup;
mod device;
mod door;
mod draft;
mod members;
mod notice;
#[cfg(test)]
#[allow(clippy::redundant_pub_crate)]
pub(crate) mod sample;
mod state;
mod timers;

pub use act::Act;
pub use broadcast::{Announced, Deed};
pub use command::{Answers, Command, Origin, Pause, Stuck, Submission};
pub use decide::{Decider, MessageRules, Now, Rules};
pub use decided::{Accepted, Audience, Decided, Group, Run};
pub use device::{DeviceRules, is_news};
pub use members::{Member, Members};
pub use notice::{News, Spoken, Tell, other_of};
pub use timers::Timer;

/// Which worker, of `workers`, owns `slot`.
#[must_use]
pub fn worker_of(slot: u8, workers: usize) -> usize {
    usize::from(slot) % workers.max(1)
}
