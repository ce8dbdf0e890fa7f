//! The committed view: what readers may see. The committer is its only writer, after the log is durable; LIST, SYNC
//! and the checks of sessions read it beside the store.
//!
//! It holds every entry and every changed row that the store does not cover yet, and the heads of recently active
//! channels. A reader looks here first and in the store second: what leaves here is in the store already.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use postrider_protocol::{Channel, ChannelKind, Id, Reader};
use postrider_storage::{ConversationRow, Digest, SLOTS, SlotState, StateKey, StateRow, TargetRow, Written};

use crate::{
    few::FewMap,
    keyed::Keyed,
    slot::{Accepted, Audience, Decided, Run},
    uncovered::{Change, Uncovered},
};

/// A slot keeps heads of channels without recent entries up to this many.
const IDLE_HEADS: usize = 1_024;

/// The committed end of a channel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    /// The last seq.
    pub seq: u64,
    /// Position of the last sequenced entry.
    pub position: u64,
    /// Its time.
    pub time_ms: u64,
}

/// What is committed of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The epoch.
    pub epoch: u32,
    /// Position of the last entry.
    pub position: u64,
}

/// Consecutive entries of a channel that one append wrote.
#[derive(Debug)]
struct Piece {
    /// Seq of the first.
    seq: u64,
    /// Position of the last.
    position: u64,
    written: Arc<Written>,
    /// Which of the append's entries is the first.
    at: usize,
    count: usize,
}

#[derive(Debug, Default)]
struct ChannelView {
    /// None while only rows of it are held.
    head: Option<Head>,
    /// How many members it has, once that changed.
    members: Option<u32>,
    /// State rows that the store does not cover, but for views of users.
    rows: Uncovered,
    /// What the store does not cover, ascending.
    recent: VecDeque<Piece>,
}

#[derive(Debug, Default)]
struct SlotView {
    committed: Committed,
    channels: Keyed<ChannelView>,
}

type Conversations = FewMap<Channel, ConversationRow>;

/// See the module.
#[derive(Debug)]
pub struct View {
    slots: Vec<Mutex<SlotView>>,
    /// Rows that the store does not cover, by user.
    conversations: Vec<Mutex<Keyed<Conversations>>>,
    /// Rises when a user's own settings change.
    people: AtomicU64,
}

impl View {
    /// The view of a store that covers everything up to `slots`.
    #[must_use]
    pub fn new(slots: &[SlotState]) -> Self {
        let slots = slots
            .iter()
            .map(|slot| Committed { epoch: slot.epoch, position: slot.position })
            .map(|committed| Mutex::new(SlotView { committed, channels: Keyed::default() }))
            .collect();
        let conversations = (0..SLOTS).map(|_| Mutex::default()).collect();
        Self { slots, conversations, people: AtomicU64::new(1) }
    }

    /// Shows what has become durable: `decided` in this order is what `written` holds.
    pub fn commit(&self, decided: &[Decided], written: &Arc<Written>) {
        let (mut at, mut are_people_changed) = (0, false);
        for (run, entries) in decided.iter().flat_map(Decided::iter) {
            for change in &run.changes {
                are_people_changed |= change.key == StateKey::User;
                if let (StateKey::Conversation(user), Some(StateRow::Conversation(row))) = (&change.key, &change.row) {
                    let mut users = self.lock_conversations(run.tenant, user);
                    users.get_or_default(run.tenant, user.as_bytes()).insert(run.channel.clone(), row.as_ref().clone());
                }
            }
            if let (Some(mut slot), Some(last)) = (self.lock(run.slot), entries.last()) {
                slot.keep(run);
                slot.committed.position = last.position;
                if last.seq > 0 {
                    slot.show(run, entries, written, at);
                }
            }
            at += entries.len();
        }
        if are_people_changed {
            self.people.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// While this is the same, no user's own settings have changed. Never 0.
    #[must_use]
    pub fn people(&self) -> u64 {
        self.people.load(Ordering::Acquire)
    }

    /// Lets go of what the store covers; `covered` tells the position for each slot.
    pub fn release(&self, covered: impl Fn(u8) -> u64) {
        for (number, slot) in (0..=u8::MAX).zip(&self.slots) {
            let covered = covered(number);
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let is_crowded = slot.channels.len() > IDLE_HEADS;
            slot.channels.retain(|_, channel| {
                while channel.recent.front().is_some_and(|piece| piece.position <= covered) {
                    channel.recent.pop_front();
                }
                if channel.recent.is_empty() {
                    channel.recent = VecDeque::new();
                }
                channel.rows.release(covered);
                let is_idle = channel.recent.is_empty() && channel.rows.is_empty();
                !(is_idle && (is_crowded || channel.head.is_none()))
            });
        }
        for users in &self.conversations {
            let mut users = users.lock().unwrap_or_else(PoisonError::into_inner);
            users.retain(|tenant, rows| {
                rows.retain(|channel, row| row.position > covered(channel.slot(tenant)));
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
        slot.channels.get(tenant, channel.as_bytes()).and_then(|channel| channel.head)
    }

    /// How many members a group has, if it is known here; otherwise the store's row is current.
    #[must_use]
    pub fn members(&self, tenant: u32, group: &Channel) -> Option<u32> {
        let slot = self.lock(group.slot(tenant))?;
        slot.channels.get(tenant, group.as_bytes())?.members
    }

    /// The images held here with a seq in `from..=to`, ascending and dense, at most `limit`.
    #[must_use]
    pub fn recent(&self, tenant: u32, channel: &Channel, from: u64, to: u64, limit: usize) -> Vec<(u64, Bytes)> {
        let Some(slot) = self.lock(channel.slot(tenant)) else { return Vec::new() };
        let Some(channel) = slot.channels.get(tenant, channel.as_bytes()) else { return Vec::new() };
        let start = channel.recent.partition_point(|piece| piece.seq + piece.count as u64 <= from);
        let pieces = channel.recent.range(start..).take_while(|piece| piece.seq <= to);
        let images = pieces.flat_map(|piece| {
            (piece.seq..)
                .zip(piece.at..piece.at + piece.count)
                .filter_map(|(seq, at)| Some((seq, piece.written.image(at)?)))
        });
        images.skip_while(|(seq, _)| *seq < from).take_while(|(seq, _)| *seq <= to).take(limit).collect()
    }

    /// A state row of a channel, or that there is none, if it is known here; otherwise the store's is current.
    #[must_use]
    pub fn row(&self, tenant: u32, channel: &Channel, key: &StateKey) -> Option<Option<StateRow>> {
        let slot = self.lock(channel.slot(tenant))?;
        let rows = &slot.channels.get(tenant, channel.as_bytes())?.rows;
        rows.get(key).map(|row| row.cloned())
    }

    /// What became of the messages `from` to `to` of a channel, as far as it is held here.
    #[must_use]
    pub fn targets(&self, tenant: u32, channel: &Channel, (from, to): (u64, u64)) -> Vec<(u64, TargetRow)> {
        let Some(slot) = self.lock(channel.slot(tenant)) else { return Vec::new() };
        let Some(channel) = slot.channels.get(tenant, channel.as_bytes()) else { return Vec::new() };
        channel.rows.targets((from, to)).map(|(seq, row)| (seq, row.clone())).collect()
    }

    /// What counting needs of the seqs in `from..=to` that are held here, ascending and dense: the first, and one for each.
    #[must_use]
    pub fn digests(&self, tenant: u32, channel: &Channel, from: u64, to: u64) -> Option<(u64, Vec<Digest>)> {
        let slot = self.lock(channel.slot(tenant))?;
        let channel = slot.channels.get(tenant, channel.as_bytes())?;
        let start = channel.recent.partition_point(|piece| piece.seq + piece.count as u64 <= from);
        let first = channel.recent.get(start).filter(|piece| piece.seq <= to)?.seq.max(from);
        let digests = channel.recent.range(start..).take_while(|piece| piece.seq <= to).flat_map(|piece| {
            (piece.seq..=to)
                .zip(piece.at..piece.at + piece.count)
                .skip(usize::try_from(first.saturating_sub(piece.seq)).unwrap_or(usize::MAX))
                .map(|(_, at)| piece.written.digest(at).unwrap_or_default())
        });
        Some((first, digests.collect()))
    }

    /// All state rows of a channel that are held here.
    #[must_use]
    pub fn rows(&self, tenant: u32, channel: &Channel) -> Uncovered {
        let slot = self.lock(channel.slot(tenant));
        let rows = slot.as_ref().and_then(|slot| slot.channels.get(tenant, channel.as_bytes()));
        rows.map(|channel| channel.rows.clone()).unwrap_or_default()
    }

    /// As [`View::rows`], those alone that `is_it` says.
    #[must_use]
    pub fn rows_only(&self, tenant: u32, channel: &Channel, is_it: impl Fn(&StateKey) -> bool) -> Uncovered {
        let slot = self.lock(channel.slot(tenant));
        let rows = slot.as_ref().and_then(|slot| slot.channels.get(tenant, channel.as_bytes()));
        rows.map(|channel| channel.rows.only(is_it)).unwrap_or_default()
    }

    /// The state rows of a channel that are held here, from a key on as long as `is_it`.
    #[must_use]
    pub fn rows_from(
        &self,
        tenant: u32,
        channel: &Channel,
        from: &StateKey,
        is_it: impl Fn(&StateKey) -> bool,
    ) -> Uncovered {
        let slot = self.lock(channel.slot(tenant));
        let rows = slot.as_ref().and_then(|slot| slot.channels.get(tenant, channel.as_bytes()));
        rows.map(|channel| channel.rows.run(from, is_it)).unwrap_or_default()
    }

    /// A user's row of a channel, if it is held here; otherwise the store's is current.
    #[must_use]
    pub fn conversation(&self, tenant: u32, user: &Id, channel: &Channel) -> Option<ConversationRow> {
        let users = self.lock_conversations(tenant, user);
        users.get(tenant, user.as_bytes())?.get(channel).cloned()
    }

    /// All rows of a user that are held here.
    #[must_use]
    pub fn conversations(&self, tenant: u32, user: &Id) -> BTreeMap<Channel, ConversationRow> {
        let users = self.lock_conversations(tenant, user);
        let rows = users.get(tenant, user.as_bytes());
        rows.into_iter().flat_map(Conversations::iter).map(|(channel, row)| (channel.clone(), row.clone())).collect()
    }

    /// The own channels of users of a tenant of which rows are held here that say that the user is there (`are_tagged`:
    /// that they have tags), after one of them.
    #[must_use]
    pub fn own_channels(&self, tenant: u32, are_tagged: bool, after: Option<&Channel>) -> BTreeSet<Channel> {
        let says = |key: &StateKey| match key {
            StateKey::Tags => true,
            StateKey::User | StateKey::Device(_) => !are_tagged,
            _ => false,
        };
        let after = after.map(Channel::as_bytes).unwrap_or_default();
        let mut channels = BTreeSet::new();
        for slot in &self.slots {
            let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            slot.channels.for_each(|of, bytes, channel| {
                if of == tenant && bytes > after && channel.rows.any(says) {
                    let channel = Channel::read(&mut Reader::new(Bytes::copy_from_slice(bytes)));
                    channels.extend(channel.ok().filter(|channel| channel.kind() == ChannelKind::User));
                }
            });
        }
        channels
    }

    fn lock(&self, slot: u8) -> Option<MutexGuard<'_, SlotView>> {
        Some(self.slots.get(usize::from(slot))?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock_conversations(&self, tenant: u32, user: &Id) -> MutexGuard<'_, Keyed<Conversations>> {
        let shard = Channel::user(user).slot(tenant);
        #[allow(clippy::indexing_slicing, reason = "one shard for each of the 256 values of the number")]
        self.conversations[usize::from(shard)].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotView {
    /// Keeps the rows that a run changed.
    fn keep(&mut self, run: &Run) {
        let is_kept = |change: &&Change| !matches!(change.key, StateKey::Conversation(_));
        for change in run.changes.iter().filter(is_kept) {
            let channel = self.channels.get_or_default(run.tenant, run.channel.as_bytes());
            channel.rows.put(change.clone());
        }
    }

    /// Shows sequenced entries, of which the first is the append's `at`-th.
    fn show(&mut self, run: &Run, entries: &[Accepted], written: &Arc<Written>, at: usize) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let channel = self.channels.get_or_default(run.tenant, run.channel.as_bytes());
        if let Audience::Change(_, after) = &run.audience {
            channel.members = Some(u32::try_from(after.members.len()).unwrap_or(u32::MAX));
        }
        channel.head = Some(Head { seq: last.seq, position: last.position, time_ms: last.time_ms });
        let (written, count) = (Arc::clone(written), entries.len());
        channel.recent.push_back(Piece { seq: first.seq, position: last.position, written, at, count });
    }
}
