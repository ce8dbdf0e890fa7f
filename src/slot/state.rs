//! What the owner of a slot knows: the effect of every entry it decided, whether committed yet or not. What is not in
//! memory is loaded from the store, which is current for everything that memory may have let go.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use postrider_protocol::{Channel, ChannelKind, Id, Image};
use postrider_storage::{ConversationRow, SenderTable, SlotState, Store, StoreError};

use super::decide::Members;

/// A slot lets go of covered rows when it holds more than this many.
const SWEEP_AT: usize = 4_096;

/// A channel at its decided end.
#[derive(Clone, Debug, Default)]
pub(super) struct ChannelState {
    /// The last seq given.
    pub head: u64,
    /// Position of the last sequenced entry.
    pub position: u64,
    /// The members of a group.
    pub members: Option<Arc<Members>>,
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

/// One slot.
#[derive(Debug)]
pub(super) struct Slot {
    number: u8,
    /// Position of the last entry.
    position: u64,
    /// Time of the last entry.
    time_ms: u64,
    channels: HashMap<(u32, Channel), ChannelState>,
    senders: HashMap<(u32, Id), SenderTable>,
    conversations: HashMap<(u32, Id, Channel), ConversationRow>,
    sweep_at: usize,
}

impl Slot {
    pub(super) fn new(number: u8, state: &SlotState) -> Self {
        Self {
            number,
            position: state.position,
            time_ms: state.time_ms,
            channels: HashMap::new(),
            senders: HashMap::new(),
            conversations: HashMap::new(),
            sweep_at: SWEEP_AT,
        }
    }

    /// The channel, loaded if need be; a head of 0 means that it does not exist.
    pub(super) fn channel(
        &mut self,
        store: &Store,
        tenant: u32,
        channel: &Channel,
    ) -> Result<&mut ChannelState, StoreError> {
        let key = (tenant, channel.clone());
        if !self.channels.contains_key(&key) {
            let state = load_channel(store, tenant, channel)?;
            self.channels.insert((tenant, channel.detached()), state);
        }
        Ok(self.channels.entry(key).or_default())
    }

    /// The senders of a user, loaded if need be.
    pub(super) fn senders(&mut self, store: &Store, tenant: u32, user: &Id) -> Result<&mut SenderTable, StoreError> {
        let key = (tenant, user.clone());
        if !self.senders.contains_key(&key) {
            let table = if postrider_storage::plant::is(postrider_storage::plant::Fault::DedupInMemory) {
                SenderTable::default()
            } else {
                store.senders(self.number, tenant, user)?
            };
            self.senders.insert((tenant, user.detached()), table);
        }
        Ok(self.senders.entry(key).or_default())
    }

    /// A user's row of a channel, if they have one.
    pub(super) fn conversation(
        &mut self,
        store: &Store,
        tenant: u32,
        user: &Id,
        channel: &Channel,
    ) -> Result<Option<ConversationRow>, StoreError> {
        match self.conversations.get(&(tenant, user.clone(), channel.clone())) {
            Some(row) => Ok(Some(row.clone())),
            None => store.conversation(tenant, user, channel),
        }
    }

    /// Gives the next place in the slot, and in the channel when the entry is sequenced; `members` replaces the group's.
    pub(super) fn place(
        &mut self,
        store: &Store,
        (tenant, channel): (u32, &Channel),
        is_sequenced: bool,
        members: Option<&Arc<Members>>,
        wall_ms: u64,
    ) -> Result<Place, StoreError> {
        self.position += 1;
        self.time_ms = self.time_ms.max(wall_ms);
        let mut place = Place { position: self.position, seq: 0, time_ms: self.time_ms };
        if is_sequenced {
            let state = self.channel(store, tenant, channel)?;
            state.head += 1;
            state.position = place.position;
            place.seq = state.head;
            if let Some(members) = members {
                state.members = Some(Arc::clone(members));
            }
        }
        Ok(place)
    }

    /// Folds the entry `image` into `rows`, and keeps those that there are now until the store covers them.
    pub(super) fn fold_conversations(
        &mut self,
        (tenant, channel): (u32, &Channel),
        position: u64,
        image: &Image,
        read: u64,
        rows: Vec<(Id, Option<ConversationRow>)>,
    ) -> Vec<(Id, ConversationRow)> {
        let mut folded = Vec::with_capacity(rows.len());
        for (user, mut row) in rows {
            ConversationRow::apply(&mut row, position, &user, image, read);
            if let Some(row) = row {
                let user = user.detached();
                self.conversations.insert((tenant, user.clone(), channel.detached()), row.clone());
                folded.push((user, row));
            }
        }
        folded
    }

    /// Lets go of what the store covers, once there is much of it.
    pub(super) fn sweep(&mut self, store: &Store) {
        let held = self.channels.len() + self.senders.len() + self.conversations.len();
        if held < self.sweep_at {
            return;
        }
        let covered = store.covered(self.number);
        self.channels.retain(|_, channel| channel.position > covered);
        // Letting go is the same in any order.
        self.senders.retain(|_, table| table.senders.iter().any(|row| row.used > covered));
        self.conversations.retain(|_, row| row.position > covered);
        let left = self.channels.len() + self.senders.len() + self.conversations.len();
        self.sweep_at = SWEEP_AT.max(left * 2);
    }
}

fn load_channel(store: &Store, tenant: u32, channel: &Channel) -> Result<ChannelState, StoreError> {
    let Some(row) = store.channel(tenant, channel)? else { return Ok(ChannelState::default()) };
    let members = if channel.kind() == ChannelKind::Group {
        let members: BTreeMap<_, _> = store.members(tenant, channel)?.into_iter().collect();
        Some(Arc::new(Members(members)))
    } else {
        None
    };
    Ok(ChannelState { head: row.head, position: row.position, members })
}
