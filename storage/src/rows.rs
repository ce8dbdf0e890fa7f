//! The rows of the state tables. How an entry changes them is in [`crate::fold`]; how they are stored in `codec`.

use std::collections::VecDeque;

use postrider_protocol::{Id, Sender};

/// What is known of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelRow {
    /// Seq of its last entry.
    pub head: u64,
    /// Position of its last sequenced entry.
    pub position: u64,
    /// Time of its last sequenced entry.
    pub time_ms: u64,
    /// How many members it has; 0 for a person channel.
    pub members: u32,
}

/// A member of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberRow {
    /// 0 member, 2 owner.
    pub role: u8,
    /// What comes after this seq is visible.
    pub visible_from: u64,
    /// The position of the last entry it covers.
    pub position: u64,
}

/// How far one device of a user has a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The device.
    pub device: Id,
    /// It holds everything up to this seq.
    pub seq: u64,
    /// Position of the entry that last moved it.
    pub position: u64,
}

/// One user's view of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversationRow {
    /// What comes after this seq is visible.
    pub visible_from: u64,
    /// The last visible seq of who is no member now.
    pub visible_to: Option<u64>,
    /// The read mark: the highest seq read.
    pub read: u64,
    /// At most [`crate::fold::CURSORS`], in the order in which they were last moved.
    pub cursors: Vec<Cursor>,
    /// Position of the last change of read mark or membership; cursors do not count.
    pub changed: u64,
    /// The position of the last entry it covers.
    pub position: u64,
}

/// The answer to an accepted command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The sender's number for the command.
    pub number: u64,
    /// The seq it got; 0 for a control entry.
    pub seq: u64,
    /// The time it got.
    pub time_ms: u64,
    /// The CRC of what was asked, see [`crate::fold::intent`].
    pub crc: u32,
}

/// What one sender had accepted in one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderRow {
    /// The sender.
    pub sender: Sender,
    /// Numbers below are stale.
    pub floor: u64,
    /// Position of its first entry.
    pub since: u64,
    /// Position of its last entry.
    pub used: u64,
    /// The accepted numbers from the floor up, ascending.
    pub answers: VecDeque<Answer>,
}

/// The senders of one user in one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderTable {
    /// At most [`crate::fold::SENDERS`] of each kind, in no particular order.
    pub senders: Vec<SenderRow>,
    /// Senders not in the table with a stamp up to this have been forgotten; by kind: kept, one-shot.
    pub forgotten_through: [u64; 2],
}
