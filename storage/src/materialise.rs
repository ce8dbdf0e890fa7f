//! The materialiser: puts committed entries into the store, a checkpoint at a time. Its one owner is its thread.
//!
//! A checkpoint first says what it is about to do, then does it, then moves the marker; one that was cut short is done
//! again exactly, at the next open, before anything else.

use std::sync::{Arc, atomic::Ordering};

use crate::{
    SLOTS, Store, StoreError, Written, blocks,
    codec::{Marker, Row, SlotRow},
    erase,
    kv::Kv,
    log::Epochs,
    picked::Picked,
    plan::Plan,
    retain::Keeper,
    slots::PerSlot,
    table::{self, Table},
};

/// The engine writes at most about so many bytes between two syncs: more, and a drive that reorders writes can lose what
/// it needs to open.
const SYNC_BYTES: usize = 1536 << 10;

/// A checkpoint at leisure is due for one part in so many of one in time.
const AT_LEISURE: u64 = 4;

/// While the file of the rows is sparse, a page is moved in it for so many rows that are put.
const ROWS_A_MOVE: usize = 32;
/// About what that writes: the page, and what brings it about.
const MOVE_BYTES: usize = 5 << 10;

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
    is_hurried: bool,
    is_poisoned: bool,
    keeper: Option<Keeper>,
    /// From when on something is to be erased that is not.
    erase_ms: Option<u64>,
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
            is_hurried: false,
            is_poisoned: false,
            keeper: None,
            erase_ms: None,
        })
    }

    /// Takes what was committed, in commit order; what the store covers already is left out. Does no IO.
    pub fn feed(&mut self, written: Arc<Written>) {
        let mut bytes = 0;
        for (at, record) in written.records().iter().enumerate() {
            let reached = self.reached.at_mut(record.slot);
            if record.position > *reached {
                *reached = record.position;
                bytes += u64::from(record.len);
                if let Some(due_ms) = erase::due_of(&written, at, record) {
                    self.erase_ms = Some(self.erase_ms.map_or(due_ms, |before| before.min(due_ms)));
                }
            }
        }
        if bytes > 0 {
            self.pending_bytes += bytes;
            self.pending.push(written);
        }
    }

    /// Whether the next checkpoints are to cost as little as they can: they leave out the blocks, and readers find these
    /// entries in the log.
    pub const fn hurry(&mut self, is_hurried: bool) {
        self.is_hurried = is_hurried;
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

    /// Whether a checkpoint is due for who has the time: it costs more for each entry than a larger one, and what waits
    /// for it takes less memory.
    #[must_use]
    pub fn is_due_at_leisure(&self) -> bool {
        self.pending_bytes >= self.sizes.checkpoint_bytes / AT_LEISURE && self.has_space()
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
        self.checkpoint_in_pieces(&mut || {})
    }

    /// As [`Materialiser::checkpoint`]; `between` is called after every small piece of the work, and may let others have
    /// the core.
    ///
    /// # Errors
    /// As [`Materialiser::checkpoint`].
    pub fn checkpoint_in_pieces(&mut self, between: &mut dyn FnMut()) -> Result<Covered, StoreError> {
        if self.pending_bytes > 0 {
            if !self.has_space() {
                return Err(StoreError::Full);
            }
            self.do_checkpoint(between)?;
        }
        Ok(Covered(Box::new(std::array::from_fn(|slot| *self.marker.covered.at((slot & 0xff) as u8)))))
    }

    /// As [`Materialiser::checkpoint`], whatever the reserve.
    pub(crate) fn checkpoint_now(&mut self) -> Result<(), StoreError> {
        self.do_checkpoint(&mut || {})
    }

    fn do_checkpoint(&mut self, between: &mut dyn FnMut()) -> Result<(), StoreError> {
        if self.pending_bytes == 0 {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        self.guarded(|this| {
            let entries = Picked::new(&pending, &this.marker.covered, &this.reached);
            let plan = Plan::make(this.store.kv(), &this.marker, &entries, !this.is_hurried, between)?;
            let after = this.marker_after(&plan, &pending);
            this.store.kv().put(&table::intent(), &after.encode())?;
            this.store.kv().sync()?;
            this.carry_out(&plan, &entries, after, between)
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
            let with_blocks = intent.next_block > this.marker.next_block;
            let mut plan = Plan::make(this.store.kv(), &this.marker, &entries, with_blocks, &mut || {})?;
            plan.removes.extend_from_slice(pages);
            // A checkpoint plans what leaves the table again; a change of the table alone has no entries to plan from.
            if intent.covered == this.marker.covered {
                plan.removes.extend(erase::left_over(this.store.kv(), intent)?);
            }
            this.carry_out(&plan, &entries, intent.clone(), &mut || {})
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
            while after.oldest_block < after.next_block && is_within(kv, &after, positions)? {
                after.oldest_block += 1;
            }
            count(&mut after, &plan);
            kv.put(&table::intent(), &after.encode())?;
            kv.sync()?;
            this.carry_out(&plan, &Picked::new(&[], positions, positions), after, &mut || {})
        })
    }

    /// Carries out `plan`, which puts no entries into the store, as a checkpoint of its own.
    pub(crate) fn change(&mut self, plan: &Plan) -> Result<(), StoreError> {
        self.guarded(|this| {
            let mut after = this.marker.clone();
            after.sequence += 1;
            count(&mut after, plan);
            this.store.kv().put(&table::intent(), &after.encode())?;
            this.store.kv().sync()?;
            let covered = this.marker.covered.clone();
            this.carry_out(plan, &Picked::new(&[], &covered, &covered), after, &mut || {})
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
        after.ring = blocks::ring_of(self.sizes.window_bytes);
        if after.ring != self.marker.ring {
            after.oldest_block = self.marker.next_block;
        }
        after.oldest_block = after.oldest_block.max(plan.next_block.saturating_sub(after.ring));
        count(&mut after, plan);
        after.covered = self.reached.clone();
        after.segment = pending.iter().map(|written| written.segment()).max().unwrap_or(0).max(after.segment);
        after
    }

    fn carry_out(
        &mut self,
        plan: &Plan,
        entries: &Picked<'_>,
        after: Marker,
        between: &mut dyn FnMut(),
    ) -> Result<(), StoreError> {
        let kv = self.store.kv();
        let mut steps = Steps { kv, bytes: 0, value: Vec::new(), between };
        self.put_blocks(&mut steps, entries, &after)?;
        // What leaves the table of what is to be erased goes between what joins it and the rows: who does this again after a
        // cut and finds a row as it is to be plans nothing for that table any more.
        let is_of_erase = |key: &Vec<u8>| Table::of(key) == Some(Table::Erase);
        let (before, rows) = plan.around_erasure();
        for (key, payload) in before {
            steps.put(key, payload)?;
        }
        for key in plan.removes.iter().filter(|key| is_of_erase(key)) {
            steps.remove(key)?;
        }
        for (key, payload) in rows {
            steps.put(key, payload)?;
        }
        for slot in 0..=255 {
            let row = self.slots.at_mut(slot);
            let (position, time_ms) = (*after.covered.at(slot), (*plan.times.at(slot)).max(row.time_ms));
            let now = SlotRow { epoch: self.epochs.at(slot).load(Ordering::Relaxed).max(row.epoch), position, time_ms };
            if std::mem::replace(row, now) != now {
                steps.put(&table::slot(slot), &now.encode())?;
            }
        }
        for key in plan.removes.iter().filter(|key| !is_of_erase(key)) {
            steps.remove(key)?;
        }
        if kv.is_sparse(after.rows()) {
            (0..plan.puts.len().div_ceil(ROWS_A_MOVE)).try_for_each(|_| steps.move_page())?;
        }
        kv.sync()?;
        kv.put(&table::marker(), &after.encode())?;
        kv.sync()?;
        kv.check_blobs()?;
        tracing::debug!(entries = entries.len(), rows = plan.puts.len(), checkpoint = after.sequence, "materialised");
        self.store.show(&after);
        self.marker = after;
        Ok(())
    }

    /// Puts the blocks of `entries` into the ring.
    fn put_blocks(&self, steps: &mut Steps<'_>, entries: &Picked<'_>, after: &Marker) -> Result<(), StoreError> {
        let (before, ring) = (&self.marker, after.ring);
        let (first, first_kept, is_same) = (before.next_block, after.oldest_block, before.ring == ring);
        for number in before.oldest_block..first_kept.min(first) {
            // Most are overwritten by the block that comes to lie in the same place.
            let again = number + (first_kept - number).div_ceil(ring) * ring;
            if !is_same || again >= after.next_block {
                steps.remove(&table::block(number % before.ring))?;
            }
        }
        if after.next_block == first {
            return Ok(());
        }
        let mut writer = blocks::Writer::new(first);
        for (_, entries) in entries.of_slots() {
            writer.slot(entries, &mut |number, payload| {
                // It may be out of the window before it was ever in.
                if number >= first_kept { steps.put(&table::block(number % ring), payload) } else { Ok(()) }
            })?;
        }
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

    pub(crate) const fn erase_ms(&self) -> Option<u64> {
        self.erase_ms
    }

    /// Notes from when on something is to be erased, now that nothing else is that the store covers.
    pub(crate) fn set_erase_ms(&mut self, next: Option<u64>) {
        // What is pending is told again by nobody: it keeps its time until it is in the store.
        self.erase_ms = if self.pending_bytes == 0 { next } else { self.erase_ms.into_iter().chain(next).min() };
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

/// Whether the oldest block holds nothing but entries up to `positions`.
fn is_within(kv: &Kv, marker: &Marker, positions: &PerSlot<u64>) -> Result<bool, StoreError> {
    match kv.get(&table::block(marker.oldest_block % marker.ring)) {
        Err(StoreError::Damaged { .. }) => Ok(false),
        block => Ok(block?.is_some_and(|block| blocks::is_within(&block, marker.oldest_block, positions))),
    }
}

/// Writes, and syncs every so often.
struct Steps<'a> {
    kv: &'a Kv,
    /// About so many bytes were written since the last sync.
    bytes: usize,
    value: Vec<u8>,
    /// Called after each.
    between: &'a mut dyn FnMut(),
}

impl Steps<'_> {
    fn put(&mut self, key: &[u8], payload: &[u8]) -> Result<(), StoreError> {
        self.kv.put_by(&mut self.value, key, payload)?;
        // A block is written in its place, once.
        let is_block = Table::of(key) == Some(Table::Block);
        let bytes = key.len() + payload.len();
        self.wrote(if is_block { bytes } else { 3 * bytes + 64 })
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.kv.remove(key)?;
        self.wrote(3 * key.len() + 64)
    }

    fn move_page(&mut self) -> Result<(), StoreError> {
        self.kv.move_page()?;
        self.wrote(MOVE_BYTES)
    }

    /// About so many bytes were written: the engine writes a leaf anew after some changes of it, and when it is split or
    /// merged.
    fn wrote(&mut self, bytes: usize) -> Result<(), StoreError> {
        (self.between)();
        self.bytes += bytes;
        if self.bytes < SYNC_BYTES {
            return Ok(());
        }
        self.bytes = 0;
        self.kv.sync()
    }
}
