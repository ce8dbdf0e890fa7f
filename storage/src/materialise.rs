//! The materialiser: puts committed entries into the store, a checkpoint at a time. Its one owner is its thread.
//!
//! A checkpoint first says what it is about to do, then does it, then moves the marker; one that was cut short is done
//! again exactly, at the next open, before anything else.

use std::sync::{Arc, atomic::Ordering};

use crate::{
    SLOTS, Store, StoreError, Written,
    codec::{Marker, Row, SlotRow},
    entry::be64,
    kv::{Kv, VALUE_MAX},
    log::Epochs,
    plan::{BLOCK_HEAD, Picked, Plan},
    retain::Keeper,
    slots::PerSlot,
    table::{self, Table},
};

/// At most so many values are written between two syncs: more, and a drive that reorders writes can lose what sled
/// needs to open.
const SYNC_VALUES: usize = (512 << 10) / VALUE_MAX;

/// The position up to which each slot is in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered(pub Box<[u64; SLOTS]>);

/// Sizes of a materialiser.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub checkpoint_bytes: u64,
    pub window_bytes: u64,
}

/// Puts committed entries into the store.
#[derive(Debug)]
pub struct Materialiser {
    store: Arc<Store>,
    sizes: Sizes,
    epochs: Epochs,
    marker: Marker,
    slots: PerSlot<SlotRow>,
    pending: Vec<Arc<Written>>,
    /// Position of the last entry of each slot that is pending or in the store.
    reached: PerSlot<u64>,
    pending_bytes: u64,
    is_poisoned: bool,
    keeper: Option<Keeper>,
}

impl Materialiser {
    /// Goes on where `marker` says; none when `kv` of the store is empty, which then becomes a store of the log `id`.
    pub(crate) fn start(
        store: Arc<Store>,
        sizes: Sizes,
        epochs: Epochs,
        marker: Option<Marker>,
        id: u64,
    ) -> Result<Self, StoreError> {
        let mut slots = PerSlot::<SlotRow>::default();
        let marker = match marker {
            Some(marker) => {
                for slot in 0..=255 {
                    let row = store.kv().get(&table::slot(slot))?.ok_or(StoreError::Damaged { table: "slot" })?;
                    *slots.at_mut(slot) = SlotRow::decode(Table::Slot, row)?;
                }
                marker
            }
            None => {
                let marker = Marker::new(id);
                for slot in 0..=255 {
                    store.kv().put(&table::slot(slot), &SlotRow::default().encode())?;
                }
                store.kv().sync()?;
                store.kv().put(&table::marker(), &marker.encode())?;
                store.kv().sync()?;
                marker
            }
        };
        store.show(&marker);
        let (pending, reached) = (Vec::new(), marker.covered.clone());
        Ok(Self {
            store,
            sizes,
            epochs,
            marker,
            slots,
            pending,
            reached,
            pending_bytes: 0,
            is_poisoned: false,
            keeper: None,
        })
    }

    /// Takes what was committed, in commit order; what the store covers already is left out. Does no IO.
    pub fn feed(&mut self, written: Arc<Written>) {
        let mut bytes = 0;
        for record in written.records() {
            let reached = self.reached.at_mut(record.slot);
            if record.position > *reached {
                *reached = record.position;
                bytes += u64::from(record.len);
            }
        }
        if bytes > 0 {
            self.pending_bytes += bytes;
            self.pending.push(written);
        }
    }

    /// Bytes of the entries that are not in the store yet.
    #[must_use]
    pub const fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// Whether a checkpoint is worth its while, and there is space for it.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.is_enough() && self.has_space()
    }

    pub(crate) const fn is_enough(&self) -> bool {
        self.pending_bytes >= self.sizes.checkpoint_bytes
    }

    fn has_space(&self) -> bool {
        self.store.space().has(self.pending_bytes.saturating_mul(2))
    }

    /// Puts all that is pending into the store, durably; with nothing pending it does nothing.
    ///
    /// # Errors
    /// [`StoreError::Full`] changes nothing and may be tried again. After any other the store is not written any more:
    /// the process should end, and the next open recovers.
    pub fn checkpoint(&mut self) -> Result<Covered, StoreError> {
        if self.pending_bytes > 0 {
            if !self.has_space() {
                return Err(StoreError::Full);
            }
            self.checkpoint_now()?;
        }
        Ok(Covered(Box::new(std::array::from_fn(|slot| *self.marker.covered.at((slot & 0xff) as u8)))))
    }

    /// As [`Materialiser::checkpoint`], whatever the reserve.
    pub(crate) fn checkpoint_now(&mut self) -> Result<(), StoreError> {
        if self.pending_bytes == 0 {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        self.guarded(|this| {
            let entries = Picked::new(&pending, &this.marker.covered, &this.reached);
            let plan = Plan::make(this.store.kv(), &this.marker, &entries)?;
            let after = this.marker_after(&plan, &pending);
            this.store.kv().put(&table::intent(), &after.encode())?;
            this.store.kv().sync()?;
            this.carry_out(&plan, after)
        })
    }

    /// Does again the checkpoint that `intent` was about to do, once all its entries have been fed; false before. `pages`
    /// are those that it lets go of.
    pub(crate) fn redo(&mut self, intent: &Marker, pages: &[Vec<u8>]) -> Result<bool, StoreError> {
        if intent.covered.iter().any(|(slot, &end)| *self.reached.at(slot) < end) {
            return Ok(false);
        }
        let pending = std::mem::take(&mut self.pending);
        self.guarded(|this| {
            let entries = Picked::new(&pending, &this.marker.covered, &intent.covered);
            let mut plan = Plan::make(this.store.kv(), &this.marker, &entries)?;
            plan.removes.extend_from_slice(pages);
            this.carry_out(&plan, intent.clone())
        })?;
        self.reached = self.marker.covered.clone();
        self.pending_bytes = 0;
        pending.into_iter().for_each(|written| self.feed(written));
        Ok(true)
    }

    /// Lets go of what the store has of segments before `first`: the index pages `pages`, and blocks of nothing but
    /// entries up to `positions`. Readers know already.
    pub(crate) fn trim(&mut self, first: u32, pages: &[Vec<u8>], positions: &PerSlot<u64>) -> Result<(), StoreError> {
        self.guarded(|this| {
            let kv = this.store.kv();
            let mut plan = Plan { next_block: this.marker.next_block, ..Plan::default() };
            for key in pages {
                if kv.get(key)?.is_some() {
                    plan.remove(Table::Index, key.clone());
                }
            }
            let mut after = this.marker.clone();
            (after.sequence, after.first) = (after.sequence + 1, first);
            while after.oldest_block < after.next_block && is_within(kv, after.oldest_block, positions)? {
                after.oldest_block += 1;
            }
            count(&mut after, &plan);
            kv.put(&table::intent(), &after.encode())?;
            kv.sync()?;
            this.carry_out(&plan, after)
        })
    }

    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<(), StoreError>) -> Result<(), StoreError> {
        if self.is_poisoned {
            return Err(StoreError::Poisoned);
        }
        let done = work(self);
        self.is_poisoned = done.is_err();
        done
    }

    /// The marker that `plan` leads to.
    fn marker_after(&self, plan: &Plan, pending: &[Arc<Written>]) -> Marker {
        let mut after = self.marker.clone();
        after.sequence += 1;
        after.next_block = plan.next_block;
        let most = (self.sizes.window_bytes / VALUE_MAX as u64).max(1);
        after.oldest_block = after.oldest_block.max(plan.next_block.saturating_sub(most));
        count(&mut after, plan);
        after.covered = self.reached.clone();
        after.segment = pending.iter().map(|written| written.segment()).max().unwrap_or(0).max(after.segment);
        after
    }

    fn carry_out(&mut self, plan: &Plan, after: Marker) -> Result<(), StoreError> {
        let kv = self.store.kv();
        let mut steps = Steps { kv, count: 0 };
        let first_kept = after.oldest_block;
        for number in self.marker.oldest_block..first_kept.min(self.marker.next_block) {
            steps.done(kv.remove(&table::block(number)))?;
        }
        for (key, payload) in &plan.puts {
            // A block may be out of the window before it was ever in.
            if key.first() != Some(&(Table::Block as u8)) || *key >= table::block(first_kept) {
                steps.done(kv.put(key, payload))?;
            }
        }
        for slot in 0..=255 {
            let row = self.slots.at_mut(slot);
            let (position, time_ms) = (*after.covered.at(slot), (*plan.times.at(slot)).max(row.time_ms));
            let now = SlotRow { epoch: self.epochs.at(slot).load(Ordering::Relaxed).max(row.epoch), position, time_ms };
            if std::mem::replace(row, now) != now {
                steps.done(kv.put(&table::slot(slot), &now.encode()))?;
            }
        }
        for key in &plan.removes {
            steps.done(kv.remove(key))?;
        }
        kv.sync()?;
        kv.put(&table::marker(), &after.encode())?;
        kv.sync()?;
        kv.check_blobs()?;
        tracing::debug!(entries = plan.entries, values = plan.puts.len(), checkpoint = after.sequence, "materialised");
        self.store.show(&after);
        self.marker = after;
        Ok(())
    }

    pub(crate) fn slot(&self, slot: u8) -> SlotRow {
        *self.slots.at(slot)
    }

    pub(crate) const fn slots(&self) -> &PerSlot<SlotRow> {
        &self.slots
    }

    pub(crate) const fn marker(&self) -> &Marker {
        &self.marker
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) const fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }

    pub(crate) const fn keeper(&mut self) -> &mut Option<Keeper> {
        &mut self.keeper
    }
}

/// The keys per table that `plan` leads to.
fn count(after: &mut Marker, plan: &Plan) {
    for (table, (count, change)) in Table::ALL.into_iter().zip(after.counts.iter_mut().zip(plan.changes)) {
        *count = match table {
            Table::Block => after.next_block - after.oldest_block,
            Table::Intent => 1,
            _ => count.saturating_add_signed(change),
        };
    }
}

/// Whether the block `number` holds nothing but entries up to `positions`.
fn is_within(kv: &Kv, number: u64, positions: &PerSlot<u64>) -> Result<bool, StoreError> {
    let block = match kv.get(&table::block(number)) {
        Err(StoreError::Damaged { .. }) => return Ok(false),
        block => block?,
    };
    let Some(head) = block.as_ref().and_then(|block| block.first_chunk::<BLOCK_HEAD>()) else { return Ok(false) };
    let count = u64::from(u16::from_be_bytes([head[9], head[10]]));
    Ok(be64(head, 1) + count <= *positions.at(head[0]) + 1)
}

/// Syncs every so many steps.
struct Steps<'a> {
    kv: &'a Kv,
    count: usize,
}

impl Steps<'_> {
    fn done(&mut self, step: Result<(), StoreError>) -> Result<(), StoreError> {
        step?;
        self.count += 1;
        if self.count.is_multiple_of(SYNC_VALUES) { self.kv.sync() } else { Ok(()) }
    }
}
