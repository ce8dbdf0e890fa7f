//! What the owner of a slot knows: the effect of every entry it decided, whether committed yet or not. What is not in
//! memory is loaded from the store, which is current for everything that memory may have let go.

use std::{cell::Cell, sync::Arc};

use postrider_protocol::{Channel, ChannelKind, Id};
use postrider_storage::{GroupRow, OfState, SenderTable, SlotState, StateKey, Store, StoreError, plant};

use super::{decided::Group, door::Door, members::Member};
use crate::{keyed::Keyed, uncovered::Uncovered};

/// A slot lets go of covered rows when it holds more than this many.
const SWEEP_AT: usize = 512;

/// A channel at its decided end.
#[derive(Clone, Debug)]
pub(super) struct ChannelState {
    /// Itself, in memory of its own.
    pub channel: Channel,
    /// The last seq given.
    pub head: u64,
    /// Position of the last sequenced entry.
    pub position: u64,
    /// A group that was created.
    pub group: Option<Arc<Group>>,
    /// How many wait in a group, once somebody asked.
    pub waiting: Cell<Option<usize>>,
    /// Who of the two users of a person channel may write to the other.
    pub door: Door,
    /// State rows that were changed and may not be in the store yet.
    pub rows: Uncovered,
}

/// Where an entry goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// In the slot.
    pub position: u64,
    /// In the channel; 0 for a control entry.
    pub seq: u64,
    /// When.
    pub time_ms: u64,
}

/// Where a slot ends.
#[derive(Debug)]
pub(super) struct End {
    /// Position of the last entry.
    position: u64,
    /// Time of the last entry.
    time_ms: u64,
}

impl End {
    /// The time of what comes next when the clock says `wall_ms`.
    pub(super) fn time_ms(&self, wall_ms: u64) -> u64 {
        self.time_ms.max(wall_ms)
    }

    /// Gives the next place in the slot, and in `channel` when the entry is sequenced.
    pub(super) fn place(&mut self, channel: &mut ChannelState, is_sequenced: bool, wall_ms: u64) -> Place {
        self.position += 1;
        self.time_ms = self.time_ms(wall_ms);
        let mut place = Place { position: self.position, seq: 0, time_ms: self.time_ms };
        if is_sequenced {
            channel.head += 1;
            channel.position = place.position;
            place.seq = channel.head;
        }
        place
    }
}

/// One slot.
#[derive(Debug)]
pub(super) struct Slot {
    number: u8,
    end: End,
    channels: Keyed<ChannelState>,
    senders: Keyed<SenderTable>,
    sweep_at: usize,
}

/// What a command is decided on.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub end: &'a mut End,
    /// A head of 0 means that it does not exist.
    pub channel: &'a mut ChannelState,
    pub senders: Option<&'a mut SenderTable>,
}

impl Slot {
    pub(super) fn new(number: u8, state: &SlotState) -> Self {
        Self {
            number,
            end: End { position: state.position, time_ms: state.time_ms },
            channels: Keyed::default(),
            senders: Keyed::default(),
            sweep_at: SWEEP_AT,
        }
    }

    /// The channel and the senders of `user`, if one is given, loaded if need be.
    pub(super) fn parts(
        &mut self,
        store: &Store,
        tenant: u32,
        channel: &Channel,
        user: Option<&Id>,
    ) -> Result<Parts<'_>, StoreError> {
        let load = || load_channel(store, tenant, channel);
        let channel = self.channels.get_or_try_make(tenant, channel.as_bytes(), load)?;
        let mut senders = None;
        if let Some(user) = user {
            let load = || {
                let is_forgetful = plant::is(plant::Fault::DedupInMemory);
                if is_forgetful { Ok(SenderTable::default()) } else { store.senders(self.number, tenant, user) }
            };
            senders = Some(self.senders.get_or_try_make(tenant, user.as_bytes(), load)?);
        }
        Ok(Parts { end: &mut self.end, channel, senders })
    }

    /// Lets go of what the store covers, once there is much of it.
    pub(super) fn sweep(&mut self, store: &Store) {
        if self.channels.len() + self.senders.len() < self.sweep_at {
            return;
        }
        let covered = store.covered(self.number);
        self.channels.retain(|_, channel| {
            channel.rows.release(covered);
            channel.position > covered || !channel.rows.is_empty()
        });
        self.senders.retain(|_, table| table.senders.iter().any(|row| row.used > covered));
        self.sweep_at = SWEEP_AT.max((self.channels.len() + self.senders.len()) * 2);
    }
}

fn load_channel(store: &Store, tenant: u32, channel: &Channel) -> Result<ChannelState, StoreError> {
    let row = store.channel(tenant, channel)?;
    let mut group = None;
    if row.is_some() && channel.kind() == ChannelKind::Group {
        let is = store.state(tenant, channel, &StateKey::Group)?;
        let members = store.members(tenant, channel)?.into_iter().filter(|(_, row)| row.is_member());
        let members = members.map(|(user, row)| (user, Member::from(&row)));
        let row = is.as_ref().and_then(GroupRow::of).cloned().unwrap_or_default();
        group = Some(Arc::new(Group { row, members: members.collect() }));
    }
    let row = row.unwrap_or_default();
    let (channel, rows) = (channel.detached(), Uncovered::default());
    let (waiting, door) = (Cell::default(), Door::default());
    Ok(ChannelState { channel, head: row.head, position: row.position, group, waiting, door, rows })
}
