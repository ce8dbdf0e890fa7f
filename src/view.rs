//! The committed view: what readers may see. The committer is its only writer, after the log is durable; LIST, SYNC
//! and the checks of sessions read it beside the store.
//!
//! It holds every entry and every changed row that the store does not cover yet, and the heads of recently active
//! channels. A reader looks here first and in the store second: what leaves here is in the store already.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use postrider_protocol::{Channel, HEADER_BYTES, Id};
use postrider_storage::{ConversationRow, SLOTS, SlotState};

use crate::slot::{Accepted, Members};

/// A slot keeps heads of channels without recent entries up to this many.
const IDLE_HEADS: usize = 1_024;

/// The committed end of a channel.
#[derive(Clone, Debug)]
pub struct Head {
    /// The last seq.
    pub seq: u64,
    /// Position of the last sequenced entry.
    pub position: u64,
    /// Its time.
    pub time_ms: u64,
    /// The members of a group, if they changed since the store was opened and are still held.
    pub members: Option<Arc<Members>>,
}

/// What is committed of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The epoch.
    pub epoch: u32,
    /// Position of the last entry.
    pub position: u64,
}

#[derive(Debug)]
struct ChannelView {
    head: Head,
    /// Images that the store does not cover, ascending, with their positions.
    recent: VecDeque<(u64, u64, Bytes)>,
}

#[derive(Debug, Default)]
struct SlotView {
    committed: Committed,
    channels: HashMap<(u32, Channel), ChannelView>,
}

type Conversations = BTreeMap<Channel, ConversationRow>;

/// See the module.
#[derive(Debug)]
pub struct View {
    slots: Vec<Mutex<SlotView>>,
    /// Rows that the store does not cover, by user.
    conversations: Vec<Mutex<HashMap<(u32, Id), Conversations>>>,
}

impl View {
    /// The view of a store that covers everything up to `slots`.
    #[must_use]
    pub fn new(slots: &[SlotState]) -> Self {
        let slots = slots
            .iter()
            .map(|slot| Committed { epoch: slot.epoch, position: slot.position })
            .map(|committed| Mutex::new(SlotView { committed, channels: HashMap::new() }))
            .collect();
        Self { slots, conversations: (0..SLOTS).map(|_| Mutex::default()).collect() }
    }

    /// Shows what has become durable.
    pub fn commit(&self, accepted: &[Accepted]) {
        for entry in accepted {
            for (user, row) in &entry.conversations {
                let mut users = self.lock_conversations(entry.placed.entry.tenant, user);
                let rows = users.entry((entry.placed.entry.tenant, user.clone())).or_default();
                rows.insert(entry.channel.clone(), row.clone());
            }
            let Some(mut slot) = self.lock(entry.placed.slot) else { continue };
            slot.committed.position = entry.placed.position;
            if entry.seq > 0 {
                slot.show(entry);
            }
        }
    }

    /// Lets go of what the store covers; `covered` tells the position for each slot.
    pub fn release(&self, covered: impl Fn(u8) -> u64) {
        for (number, slot) in (0..=u8::MAX).zip(&self.slots) {
            let covered = covered(number);
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            // Letting go is the same in any order.
            for channel in slot.channels.values_mut() {
                while channel.recent.front().is_some_and(|&(_, position, _)| position <= covered) {
                    channel.recent.pop_front();
                }
                if channel.recent.is_empty() {
                    channel.recent = VecDeque::new();
                }
            }
            if slot.channels.len() > IDLE_HEADS {
                slot.channels.retain(|_, channel| !channel.recent.is_empty());
            }
        }
        // As above: any order.
        for users in &self.conversations {
            let mut users = users.lock().unwrap_or_else(PoisonError::into_inner);
            users.retain(|(tenant, _), rows| {
                rows.retain(|channel, row| row.position > covered(channel.slot(*tenant)));
                !rows.is_empty()
            });
        }
    }

    /// What is committed of a slot.
    #[must_use]
    pub fn committed(&self, slot: u8) -> Committed {
        self.lock(slot).map(|slot| slot.committed).unwrap_or_default()
    }

    /// The head of a channel, if it is held here; otherwise the store's is current.
    #[must_use]
    pub fn head(&self, tenant: u32, channel: &Channel) -> Option<Head> {
        let slot = self.lock(channel.slot(tenant))?;
        slot.channels.get(&(tenant, channel.clone())).map(|channel| channel.head.clone())
    }

    /// The images held here with a seq in `from..=to`, ascending and dense, at most `limit`.
    #[must_use]
    pub fn recent(&self, tenant: u32, channel: &Channel, from: u64, to: u64, limit: usize) -> Vec<(u64, Bytes)> {
        let Some(slot) = self.lock(channel.slot(tenant)) else { return Vec::new() };
        let Some(channel) = slot.channels.get(&(tenant, channel.clone())) else { return Vec::new() };
        let start = channel.recent.partition_point(|&(seq, _, _)| seq < from);
        let within = channel.recent.range(start..).take_while(|(seq, _, _)| *seq <= to).take(limit);
        within.map(|(seq, _, image)| (*seq, image.clone())).collect()
    }

    /// A user's row of a channel, if it is held here; otherwise the store's is current.
    #[must_use]
    pub fn conversation(&self, tenant: u32, user: &Id, channel: &Channel) -> Option<ConversationRow> {
        let users = self.lock_conversations(tenant, user);
        users.get(&(tenant, user.clone()))?.get(channel).cloned()
    }

    /// All rows of a user that are held here.
    #[must_use]
    pub fn conversations(&self, tenant: u32, user: &Id) -> BTreeMap<Channel, ConversationRow> {
        let users = self.lock_conversations(tenant, user);
        users.get(&(tenant, user.clone())).cloned().unwrap_or_default()
    }

    fn lock(&self, slot: u8) -> Option<MutexGuard<'_, SlotView>> {
        Some(self.slots.get(usize::from(slot))?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock_conversations(&self, tenant: u32, user: &Id) -> MutexGuard<'_, HashMap<(u32, Id), Conversations>> {
        let shard = Channel::user(user).slot(tenant);
        #[allow(clippy::indexing_slicing, reason = "one shard for each of the 256 values of the number")]
        self.conversations[usize::from(shard)].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotView {
    fn show(&mut self, entry: &Accepted) {
        let key = (entry.placed.entry.tenant, entry.channel.clone());
        let position = entry.placed.position;
        let image = entry.frame.slice(HEADER_BYTES.min(entry.frame.len())..);
        let head = Head { seq: entry.seq, position, time_ms: entry.time_ms, members: entry.members.clone() };
        match self.channels.get_mut(&key) {
            Some(channel) => {
                let members = channel.head.members.take();
                channel.head = head;
                if channel.head.members.is_none() {
                    channel.head.members = members;
                }
                channel.recent.push_back((entry.seq, position, image));
            }
            None => {
                let recent = VecDeque::from([(entry.seq, position, image)]);
                self.channels.insert(key, ChannelView { head, recent });
            }
        }
    }
}
