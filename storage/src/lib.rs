//! The log that is the truth, and the store that serves it.
//!
//! [`open()`] hands out three things: the [`Log`], which the committer appends to; the [`Store`], from which everybody
//! reads what the materialiser has put there; and the [`Materialiser`], which its thread feeds with committed entries.
//! The store never holds what is not in the log, and can be thrown away: it is rebuilt from the log.
//! All calls are synchronous; the only thread of this crate prepares the next segment of the log.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod batch;
mod blocks;
mod broadcasts;
mod check;
mod codec;
mod digest;
mod direct;
mod disk;
mod entry;
mod erase;
mod error;
mod fill;
pub mod fold;
mod format;
mod head;
mod kv;
mod lock;
mod log;
mod materialise;
mod memory;
mod open;
mod picked;
mod plan;
pub mod plant;
mod reader;
mod retain;
mod ring;
mod rows;
mod scan;
mod scheduled;
mod segment;
mod slots;
mod snapshot;
mod space;
mod state;
mod store;
mod table;
mod whole;
mod written;

pub use digest::{AuthorSieve, Digest};
pub use entry::{Entry, Locator, Placed};
pub use error::{LogError, OpenError, StoreError};
pub use log::{Log, Ticket};
pub use materialise::{Covered, Materialiser};
pub use memory::{Crash, MemoryDisk};
pub use open::{Loss, Opened, Options, Progress, Recovery, SlotState, check, open, open_memory};
pub use retain::Retention;
pub use rows::{
    Answer, AnswerRow, BroadcastRow, ChannelRow, Contact, ConversationRow, Cursor, DeviceRow, GroupRow, HeardRow,
    MemberRow, PartRow, PinsRow, ReactionRow, RequestRow, ScheduledRow, SenderRow, SenderTable, Span, TagsRow,
    TargetRow, UserRow, Waiting,
};
pub use state::{OfState, StateKey, StateRow};
pub use store::{Found, Store};
pub use written::{NewEntry, Written};

/// How many slots there are.
pub const SLOTS: usize = 256;
