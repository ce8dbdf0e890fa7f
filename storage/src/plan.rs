//! The plan of a checkpoint: what to write, as a function of the store before and the entries, and of nothing else. So
//! it can be made again after a crash, and comes out the same.
//!
//! Writes are in an order that a prefix of them leaves sound: blocks and pages before the rows that point to them, what
//! was forgotten before the removal.

use std::{
    collections::{BTreeMap, btree_map},
    sync::Arc,
};

use postrider_protocol::{Id, Image, Writer};

use crate::{
    ChannelRow, ConversationRow, MemberRow, Placed, SLOTS, SenderTable, StoreError, Written,
    codec::{Forgotten, Marker, Place, Places, Row, StoredChannel},
    fold,
    kv::{Kv, PAYLOAD_MAX},
    slots::PerSlot,
    store,
    table::{self, TABLES, Table},
    written::Record,
};

/// Bytes of a block before its records.
pub(crate) const BLOCK_HEAD: usize = 11;

/// The entries of a checkpoint by slot, each slot's in the order of their positions.
#[derive(Debug)]
pub(crate) struct Picked<'a> {
    written: &'a [Arc<Written>],
    /// Which of `written`, and which record of it.
    at: Vec<(u32, u32)>,
    /// Where the entries of each slot end.
    ends: PerSlot<usize>,
}

/// An entry that is to be put into the store.
#[derive(Clone, Copy, Debug)]
struct Pending<'a> {
    written: &'a Written,
    at: usize,
    record: &'a Record,
}

impl<'a> Picked<'a> {
    /// Those of `written` that come after `covered`, up to `until`.
    pub(crate) fn new(written: &'a [Arc<Written>], covered: &PerSlot<u64>, until: &PerSlot<u64>) -> Self {
        let mut ends = PerSlot::<usize>::default();
        each(written, covered, until, |_, slot| *ends.at_mut(slot) += 1);
        let mut sum = 0;
        for end in ends.iter_mut() {
            sum += std::mem::replace(end, sum);
        }
        let mut at = vec![(0, 0); sum];
        each(written, covered, until, |place, slot| {
            let end = ends.at_mut(slot);
            if let Some(free) = at.get_mut(*end) {
                *free = place;
            }
            *end += 1;
        });
        Self { written, at, ends }
    }

    fn of_slots(&self) -> impl Iterator<Item = (u8, impl Iterator<Item = Pending<'a>> + Clone + '_)> {
        let mut start = 0;
        self.ends.iter().map(move |(slot, &end)| {
            let of_slot = self.at.get(std::mem::replace(&mut start, end)..end).unwrap_or_default();
            (slot, of_slot.iter().filter_map(|&at| self.pending(at)))
        })
    }

    fn pending(&self, (written, at): (u32, u32)) -> Option<Pending<'a>> {
        let (written, at) = (&**self.written.get(written as usize)?, at as usize);
        Some(Pending { written, at, record: written.records().get(at)? })
    }
}

/// Visits the records that come after `covered`, up to `until`.
fn each(written: &[Arc<Written>], covered: &PerSlot<u64>, until: &PerSlot<u64>, mut visit: impl FnMut((u32, u32), u8)) {
    let mut reached = covered.clone();
    for (batch, written) in (0..).zip(written) {
        for (at, record) in (0..).zip(written.records()) {
            let reached = reached.at_mut(record.slot);
            if record.position > *reached && record.position <= *until.at(record.slot) {
                *reached = record.position;
                visit((batch, at), record.slot);
            }
        }
    }
}

/// What a checkpoint writes.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// In this order.
    pub puts: Vec<(Vec<u8>, Vec<u8>)>,
    /// After the puts.
    pub removes: Vec<Vec<u8>>,
    /// How the number of keys of each table changes, but for blocks.
    pub changes: [i64; TABLES],
    pub next_block: u64,
    /// How many entries it covers.
    pub entries: usize,
    /// Latest time of each slot's new entries.
    pub times: PerSlot<u64>,
}

impl Plan {
    /// Plans to put `entries` on top of what `marker` says is in `kv`.
    pub(crate) fn make(kv: &Kv, marker: &Marker, entries: &Picked<'_>) -> Result<Self, StoreError> {
        let mut plan = Self { next_block: marker.next_block, entries: entries.at.len(), ..Self::default() };
        let mut rows = Touched::default();
        for (slot, entries) in entries.of_slots() {
            let blocks = plan.pack(slot, entries.clone());
            for (pending, block) in entries.zip(blocks) {
                let Some(placed) = pending.written.placed(pending.at) else { continue };
                // A sound record that is no image was none when it was appended; there is nothing in it to fold.
                let Ok(image) = placed.entry.image() else { continue };
                let time_ms = plan.times.at_mut(slot);
                *time_ms = image.time_ms.max(*time_ms);
                let place = Place::new(pending.written.place_of(pending.record), block);
                rows.fold(kv, &placed, &image, place)?;
            }
        }
        rows.finish(&mut plan);
        Ok(plan)
    }

    /// Packs the entries of one slot into blocks; tells where each is, if it fits into one.
    fn pack<'a>(&mut self, slot: u8, entries: impl Iterator<Item = Pending<'a>>) -> Vec<Option<(u64, usize)>> {
        let mut places = Vec::new();
        let (mut block, mut count) = (Vec::new(), 0u16);
        for pending in entries {
            let record = pending.written.record(pending.record);
            if BLOCK_HEAD + record.len() > PAYLOAD_MAX {
                places.push(None);
                continue;
            }
            if block.len() + record.len() > PAYLOAD_MAX {
                self.end_block(std::mem::take(&mut block), count);
            }
            if block.is_empty() {
                block.u8(slot);
                block.u64(pending.record.position);
                block.u16(0);
                count = 0;
            }
            places.push(Some((self.next_block, block.len())));
            block.raw(record.bytes());
            count += 1;
        }
        if !block.is_empty() {
            self.end_block(block, count);
        }
        places
    }

    fn end_block(&mut self, mut block: Vec<u8>, count: u16) {
        if let Some(place) = block.get_mut(9..BLOCK_HEAD) {
            place.copy_from_slice(&count.to_be_bytes());
        }
        self.puts.push((table::block(self.next_block), block));
        self.next_block += 1;
    }

    fn put(&mut self, table: Table, key: Vec<u8>, payload: Vec<u8>, was: bool) {
        self.puts.push((key, payload));
        if !was {
            self.change(table, 1);
        }
    }

    pub(crate) fn remove(&mut self, table: Table, key: Vec<u8>) {
        self.removes.push(key);
        self.change(table, -1);
    }

    fn change(&mut self, table: Table, by: i64) {
        if let Some(change) = self.changes.get_mut(table.index()) {
            *change += by;
        }
    }
}

/// Rows of one table, loaded when first touched.
#[derive(Debug)]
struct Rows<R> {
    table: Table,
    rows: BTreeMap<Vec<u8>, (bool, Option<R>)>,
}

impl<R: Row> Rows<R> {
    const fn new(table: Table) -> Self {
        Self { table, rows: BTreeMap::new() }
    }

    fn get(&mut self, kv: &Kv, key: Vec<u8>) -> Result<&mut Option<R>, StoreError> {
        match self.rows.entry(key) {
            btree_map::Entry::Occupied(row) => Ok(&mut row.into_mut().1),
            btree_map::Entry::Vacant(place) => {
                let stored = kv.get(place.key())?.map(|payload| R::decode(self.table, payload)).transpose()?;
                Ok(&mut place.insert((stored.is_some(), stored)).1)
            }
        }
    }

    fn finish(self, plan: &mut Plan) {
        for (key, (was, row)) in self.rows {
            match row {
                Some(row) => plan.put(self.table, key, row.encode(), was),
                None if was => plan.remove(self.table, key),
                None => {}
            }
        }
    }
}

/// A user's senders in a slot, before and now.
#[derive(Debug)]
struct Senders {
    before: store::Senders,
    now: SenderTable,
}

/// All rows that a checkpoint touches.
#[derive(Debug)]
struct Touched {
    pages: Vec<(Vec<u8>, Places)>,
    channels: Rows<StoredChannel>,
    members: Rows<MemberRow>,
    conversations: Rows<ConversationRow>,
    senders: BTreeMap<(u8, u32, Id), Senders>,
}

impl Default for Touched {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            channels: Rows::new(Table::Channel),
            members: Rows::new(Table::Member),
            conversations: Rows::new(Table::Conversation),
            senders: BTreeMap::new(),
        }
    }
}

impl Touched {
    fn fold(&mut self, kv: &Kv, placed: &Placed, image: &Image, place: Place) -> Result<(), StoreError> {
        let Placed { slot, position, ref entry } = *placed;
        let (tenant, channel) = (entry.tenant, &image.channel);
        if image.seq > 0 {
            self.place(kv, placed, image, place)?;
        }
        for user in fold::changed_members(image) {
            let row = self.members.get(kv, table::member(tenant, channel, &user))?;
            MemberRow::apply(row, position, &user, image);
        }
        for user in fold::changed_conversations(image, entry.read) {
            let row = self.conversations.get(kv, table::conversation(tenant, &user, channel))?;
            ConversationRow::apply(row, position, &user, image, entry.read);
        }
        if let Some(user) = fold::changed_sender(image) {
            let senders = match self.senders.entry((slot, tenant, user)) {
                btree_map::Entry::Occupied(senders) => senders.into_mut(),
                btree_map::Entry::Vacant(place) => {
                    let before = store::load_senders(kv, slot, tenant, &place.key().2)?;
                    let now = before.table.clone();
                    place.insert(Senders { before, now })
                }
            };
            senders.now.apply(position, &fold::numbered(image, entry.oldest, entry.crc));
        }
        Ok(())
    }

    /// Folds a sequenced entry into its channel's row and notes its place. Seqs that were lost have a place nowhere.
    fn place(&mut self, kv: &Kv, placed: &Placed, image: &Image, place: Place) -> Result<(), StoreError> {
        let (tenant, channel) = (placed.entry.tenant, &image.channel);
        let stored = self.channels.get(kv, table::channel(tenant, channel))?;
        let is_new = stored.is_none();
        let found = stored.get_or_insert_default();
        let before = found.row.head;
        let mut row = (!is_new).then(|| std::mem::take(&mut found.row));
        ChannelRow::apply(&mut row, placed.position, image);
        found.row = row.unwrap_or_default();
        let pages = &mut self.pages;
        found.index(before, image.seq, place, |page, places| pages.push((table::index(tenant, channel, page), places)));
        Ok(())
    }

    fn finish(self, plan: &mut Plan) {
        for (key, page) in self.pages {
            plan.put(Table::Index, key, page.encode(), false);
        }
        self.channels.finish(plan);
        self.members.finish(plan);
        self.conversations.finish(plan);
        for ((slot, tenant, user), senders) in &self.senders {
            senders.finish(plan, *slot, *tenant, user);
        }
    }
}

impl Senders {
    fn finish(&self, plan: &mut Plan, slot: u8, tenant: u32, user: &Id) {
        let before = &self.before;
        if self.now.forgotten_through != before.table.forgotten_through {
            let row = Forgotten(self.now.forgotten_through).encode();
            plan.put(Table::Forgotten, table::forgotten(slot, tenant, user), row, before.has_forgotten);
        }
        for row in &self.now.senders {
            let was = before.table.get(&row.sender);
            if was == Some(row) {
                continue;
            }
            plan.put(Table::Sender, table::sender(slot, tenant, user, &row.sender), row.encode(), was.is_some());
        }
        for gone in before.table.senders.iter().filter(|row| self.now.get(&row.sender).is_none()) {
            plan.remove(Table::Sender, table::sender(slot, tenant, user, &gone.sender));
        }
    }
}

const _: () = assert!(SLOTS == 256, "a slot is a byte");
