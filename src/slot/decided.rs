//! What was decided: entries as plain numbers over one buffer of frames, in runs that share everything else. A run is
//! found, shown and delivered at once, however many entries it has, and nothing of an entry has an owner of its own.

use std::sync::Arc;

use postrider_protocol::{Channel, HEADER_BYTES, Id};
use postrider_storage::{GroupRow, NewEntry};

use super::{command::Answers, members::Members, notice::Tell, timers::Timer};
use crate::uncovered::Change;

/// A RECV frame has about so many bytes beside the body.
const FRAME_HEAD: usize = 128;

/// A group with those who are its members now.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// What it is.
    pub row: GroupRow,
    /// Who they are.
    pub members: Members,
}

/// Who is told of an entry.
#[derive(Clone, Debug)]
pub enum Audience {
    /// Both users of the person channel.
    Person,
    /// This user, one of the person channel.
    One(Id),
    /// These members.
    Members(Arc<Group>),
    /// The members before and after a change.
    Change(Arc<Group>, Arc<Group>),
    /// Nobody.
    Nobody,
}

impl Audience {
    /// How many users these are, about.
    #[must_use]
    pub fn reach(&self) -> usize {
        match self {
            Self::Nobody => 0,
            Self::One(_) => 1,
            Self::Person => 2,
            Self::Members(group) => group.members.len(),
            Self::Change(before, after) => before.members.len() + after.members.len(),
        }
    }

    /// Shows each of them, who are those of `channel`.
    pub fn each(&self, channel: &Channel, mut show: impl FnMut(&Id)) {
        match self {
            Self::Nobody => {}
            Self::Person => {
                let (low, high) = channel.ids();
                show(&low);
                high.filter(|high| *high != low).iter().for_each(show);
            }
            Self::One(user) => show(user),
            Self::Members(group) => group.members.keys().for_each(show),
            Self::Change(before, after) => {
                after.members.keys().for_each(&mut show);
                before.members.without(&after.members).for_each(show);
            }
        }
    }

    /// Whether it is the same without looking at anybody.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Person, Self::Person) | (Self::Nobody, Self::Nobody) => true,
            (Self::Members(one), Self::Members(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// One entry, decided.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// Its position in the slot.
    pub position: u64,
    /// Its seq; 0 for a control entry.
    pub seq: u64,
    /// Its time.
    pub time_ms: u64,
    /// The lowest number that its sender may still send again.
    pub oldest: u64,
    /// The highest seq on the author's screen; 0 for none.
    pub read: u64,
    /// Where its RECV frame begins in the buffer, and how long it is.
    pub frame: (u32, u32),
    /// Length of the head of its image.
    pub head_len: u32,
    /// CRC-32 of what follows the head.
    pub crc: u32,
}

/// Entries of one channel by one connection, decided one right after the other.
#[derive(Clone, Debug)]
pub struct Run {
    /// The slot.
    pub slot: u8,
    /// The tenant.
    pub tenant: u32,
    /// The channel.
    pub channel: Channel,
    /// How many entries.
    pub count: usize,
    /// Whom to tell.
    pub audience: Audience,
    /// The connection that is not told, because its answer says it.
    pub except: u64,
    /// Rows that it changed, as they are after it.
    pub changes: Vec<Change>,
}

/// What an entry shares with its run.
pub(super) struct Shared<'a> {
    pub slot: u8,
    pub tenant: u32,
    pub channel: &'a Channel,
    pub audience: Audience,
    pub except: u64,
    pub changes: Vec<Change>,
}

impl Run {
    /// Whether an entry with this may join.
    fn takes(&self, shared: &Shared<'_>) -> bool {
        self.except == shared.except
            && self.slot == shared.slot
            && self.tenant == shared.tenant
            && self.audience.is_same(&shared.audience)
            && self.channel == *shared.channel
    }
}

/// What one call of [`super::Decider::decide`] decided.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    /// The RECV frames of all entries, back to back; the image of an entry is the payload of its frame.
    pub frames: Vec<u8>,
    /// The entries, per slot in the order of their positions.
    pub accepted: Vec<Accepted>,
    /// How they go together, in the same order.
    pub runs: Vec<Run>,
    /// The answers, to be sent when the entries are durable.
    pub answers: Vec<Answers>,
    /// What there is to tell besides, after the entries.
    pub tells: Vec<Tell>,
    /// What was scheduled, or is not any more, and when it is due.
    pub(super) timers: Vec<(Timer, Option<u64>)>,
}

impl Decided {
    /// With room for what so many submissions, commands and bytes of bodies come to.
    pub(super) fn sized(submissions: usize, commands: usize, bytes: usize) -> Self {
        Self {
            frames: Vec::with_capacity(bytes + commands * FRAME_HEAD),
            accepted: Vec::with_capacity(commands),
            runs: Vec::with_capacity(submissions),
            answers: Vec::with_capacity(submissions),
            tells: Vec::new(),
            timers: Vec::new(),
        }
    }

    /// The runs with their entries.
    pub fn iter(&self) -> impl Iterator<Item = (&Run, &[Accepted])> + Clone {
        let mut rest = self.accepted.as_slice();
        // The runs cover all entries.
        self.runs.iter().map(move |run| {
            let (entries, after) = rest.split_at_checked(run.count).unwrap_or((rest, &[]));
            rest = after;
            (run, entries)
        })
    }

    /// The entries as the log takes them.
    pub fn entries(&self) -> impl Iterator<Item = NewEntry<'_>> + Clone {
        self.iter().flat_map(|(run, accepted)| {
            accepted.iter().map(|entry| NewEntry {
                slot: run.slot,
                position: entry.position,
                tenant: run.tenant,
                oldest: entry.oldest,
                read: entry.read,
                image: self.frame(entry).get(HEADER_BYTES..).unwrap_or_default(),
                head_len: entry.head_len,
                crc: entry.crc,
            })
        })
    }

    /// The frame of an entry.
    #[must_use]
    pub fn frame(&self, entry: &Accepted) -> &[u8] {
        let (start, len) = (entry.frame.0 as usize, entry.frame.1 as usize);
        self.frames.get(start..start + len).unwrap_or_default()
    }

    /// The frames of consecutive entries.
    #[must_use]
    pub fn frames_of(&self, entries: &[Accepted]) -> &[u8] {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return &[] };
        self.frames.get(first.frame.0 as usize..(last.frame.0 + last.frame.1) as usize).unwrap_or_default()
    }

    /// Adds an entry, to the last run if it belongs there.
    pub(super) fn push(&mut self, entry: Accepted, shared: Shared<'_>) {
        self.accepted.push(entry);
        match self.runs.last_mut() {
            Some(last) if last.takes(&shared) => {
                last.count += 1;
                last.changes.extend(shared.changes);
            }
            _ => {
                let Shared { slot, tenant, channel, audience, except, changes } = shared;
                let channel = channel.clone();
                self.runs.push(Run { slot, tenant, channel, count: 1, audience, except, changes });
            }
        }
    }
}
