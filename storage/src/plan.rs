//! The plan of a checkpoint: which rows to write, as a function of the store before and the entries, and of nothing
//! else. So it can be made again after a crash, and comes out the same.
//!
//! Writes are in an order that a prefix of them leaves sound: blocks and pages before the rows that point to them, what
//! was forgotten before the removal.

use std::collections::{BTreeMap, HashMap, btree_map, hash_map};

use postrider_protocol::{Image, ImageKind, Sender};

use crate::{
    ChannelRow, Digest, OfState as _, SLOTS, ScheduledRow, SenderTable, StateRow, StoreError,
    blocks::Layout,
    codec::{Forgotten, Marker, Place, Places, Row, StoredChannel},
    fold,
    head::Head,
    kv::Kv,
    picked::{Pending, Picked},
    plant,
    slots::PerSlot,
    store,
    table::{self, TABLES, Table},
};

/// A key and its payload.
type Put = (Vec<u8>, Vec<u8>);

/// What a checkpoint writes beside the blocks.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// In this order.
    pub puts: Vec<Put>,
    /// After the puts; those of the table of what is to be erased before the rows.
    pub removes: Vec<Vec<u8>>,
    /// How the number of keys of each table changes, but for blocks.
    pub changes: [i64; TABLES],
    pub next_block: u64,
    /// Latest time of each slot's new entries.
    pub times: PerSlot<u64>,
}

/// Keys of what is to be erased once an entry says so, their payloads, and whether the store had them: puts, unless an
/// entry of the same checkpoint says so.
type Waits = BTreeMap<Vec<u8>, (Vec<u8>, bool)>;

impl Plan {
    /// Plans to put `entries` on top of what `marker` says is in `kv`; without blocks the log alone has them. `between`
    /// is called after each.
    pub(crate) fn make(
        kv: &Kv,
        marker: &Marker,
        entries: &Picked<'_>,
        with_blocks: bool,
        between: &mut dyn FnMut(),
    ) -> Result<Self, StoreError> {
        let mut plan = Self::default();
        let (mut rows, mut waits) = (Touched::default(), Waits::new());
        let mut layout = Layout::new(marker.next_block);
        for (slot, entries) in entries.of_slots() {
            let mut of_slot = OfSlot { kv, channels: Index::default(), users: Index::default() };
            for pending in entries {
                let record = pending.written.record(pending.record);
                let block = if with_blocks { layout.place(record.len()) } else { None };
                // A sound record that is no image was none when it was appended; there is nothing in it to fold.
                let Some(head) = Head::of(record.image()) else { continue };
                let place = Place::new(pending.written.place_of(pending.record), block, Digest::of(&head));
                let mut image = None;
                if fold::is_more_than_a_message(&head, record.read()) {
                    let Some(found) = pending.image() else { continue };
                    for (key, place) in rows.fold(kv, record.tenant(), &pending, (&found, place))? {
                        plan.note(kv, &mut waits, key, place)?;
                    }
                    plan.erase(kv, record.tenant(), &found)?;
                    image = Some(found);
                }
                let time_ms = plan.times.at_mut(slot);
                *time_ms = head.time_ms.max(*time_ms);
                of_slot.fold(slot, &pending, &head, image.as_ref(), place, &mut plan)?;
                between();
            }
            layout.end();
            of_slot.finish(slot, *marker.covered.at(slot), &mut plan);
        }
        plan.next_block = layout.next;
        rows.finish(&mut plan);
        for (key, (payload, was)) in waits {
            plan.put(Table::Erase, key, payload, was);
        }
        plan.puts.sort_unstable_by(|(a, _), (b, _)| (order(a), a).cmp(&(order(b), b)));
        Ok(plan)
    }

    /// What is put before anything leaves the table of what is to be erased, and what after it: the rows.
    pub(crate) fn around_erasure(&self) -> (&[Put], &[Put]) {
        self.puts.split_at(self.puts.partition_point(|(key, _)| order(key) <= ERASE))
    }

    fn put(&mut self, table: Table, key: Vec<u8>, payload: Vec<u8>, was: bool) {
        self.puts.push((key, payload));
        if !was {
            self.change(table, 1);
        }
    }

    /// Notes what is to be erased because of `image`: what it takes back, or itself once it has gone away.
    fn erase(&mut self, kv: &Kv, tenant: u32, image: &Image) -> Result<(), StoreError> {
        let is_revoke = image.kind == ImageKind::Revoked.number();
        let (due_ms, seq) = if is_revoke { (0, fold::target_of(image)) } else { (fold::expires_ms(image), image.seq) };
        if seq == 0 || !is_revoke && due_ms == 0 {
            return Ok(());
        }
        let key = table::erase(due_ms, tenant, image.channel.as_bytes(), seq);
        let was = kv.get(&key)?.is_some();
        self.put(Table::Erase, key, Vec::new(), was);
        Ok(())
    }

    /// Puts a key of [`table::erase`] with the place of what is to be erased; without one it moves from where it is known
    /// to lie, as [`table::NOT_YET`].
    fn note(&mut self, kv: &Kv, waits: &mut Waits, key: Vec<u8>, place: Option<Place>) -> Result<(), StoreError> {
        if let Some(place) = place {
            let was = kv.get(&key)?.is_some();
            waits.insert(key, (place.encode(), was));
            return Ok(());
        }
        let mut waiting = table::erases();
        waiting.extend(table::NOT_YET.to_be_bytes());
        waiting.extend(key.get(9..).unwrap_or_default());
        let (payload, was) = match waits.remove(&waiting) {
            Some((payload, was)) => (Some(payload), was),
            None => {
                let stored = kv.get(&waiting)?.map(|payload| payload.to_vec());
                let was = stored.is_some();
                (stored, was)
            }
        };
        if was {
            self.remove(Table::Erase, waiting);
        }
        // Without one it was erased before, and is folded again.
        if let Some(payload) = payload {
            let was = kv.get(&key)?.is_some();
            self.put(Table::Erase, key, payload, was);
        }
        Ok(())
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

/// See [`order`].
const ERASE: u8 = 2;

/// Puts go in the order of keys, which is how the engine keeps them; but pages come before the rows that point to them, and
/// what is to be erased before the rows that it is known by.
fn order(key: &[u8]) -> u8 {
    match Table::of(key) {
        Some(Table::Index) => 0,
        Some(Table::Channel) => 1,
        Some(Table::Erase) => ERASE,
        Some(Table::Sender) => 4,
        _ => 3,
    }
}

/// Tenant, and the bytes of a channel or of a user's id.
type Key<'a> = (u32, &'a [u8]);

/// Rows of one slot by key. Entries come in runs of one channel and one user, so the last row is looked at first.
#[derive(Debug)]
struct Index<'a, R> {
    by_key: HashMap<Key<'a>, usize>,
    rows: Vec<(Key<'a>, R)>,
    last: usize,
}

impl<R> Default for Index<'_, R> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), rows: Vec::new(), last: 0 }
    }
}

impl<'a, R> Index<'a, R> {
    fn get(&mut self, key: Key<'a>, load: impl FnOnce() -> Result<R, StoreError>) -> Result<&mut R, StoreError> {
        if self.rows.get(self.last).is_none_or(|(last, _)| *last != key) {
            self.last = match self.by_key.entry(key) {
                hash_map::Entry::Occupied(known) => *known.get(),
                hash_map::Entry::Vacant(place) => {
                    self.rows.push((key, load()?));
                    *place.insert(self.rows.len() - 1)
                }
            };
        }
        let row = self.rows.get_mut(self.last).map(|(_, row)| row);
        row.ok_or(StoreError::Damaged { table: "none" })
    }
}

/// What a checkpoint changes of one slot: its channels, and the senders of its users.
#[derive(Debug)]
struct OfSlot<'k, 'a> {
    kv: &'k Kv,
    channels: Index<'a, Channel>,
    users: Index<'a, Senders>,
}

/// A channel's row, and whether it was there before.
#[derive(Debug)]
struct Channel {
    was: bool,
    stored: Option<StoredChannel>,
}

/// A user's senders, and what of them was there before.
#[derive(Debug)]
struct Senders {
    had: Vec<Sender>,
    had_forgotten: bool,
    forgotten_through: [u64; 2],
    now: SenderTable,
}

impl<'a> OfSlot<'_, 'a> {
    /// Folds an entry into the row of its channel and the table of its author's senders; `image` where the head does
    /// not say all.
    fn fold(
        &mut self,
        slot: u8,
        pending: &Pending<'a>,
        head: &Head<'a>,
        image: Option<&Image>,
        place: Place,
        plan: &mut Plan,
    ) -> Result<(), StoreError> {
        let record = pending.written.record(pending.record);
        let (kv, tenant, position) = (self.kv, record.tenant(), pending.record.position);
        if head.seq > 0 {
            let channel = self.channels.get((tenant, head.channel), || Channel::load(kv, tenant, head.channel))?;
            channel.fold(position, head, image, place, |page, places| {
                plan.put(Table::Index, table::index(tenant, head.channel, page), places.encode(), false);
            });
        }
        if head.is_numbered() {
            let senders = self.users.get((tenant, head.author), || Senders::load(kv, slot, tenant, head.author))?;
            let (seq, time_ms) = (head.seq, head.time_ms);
            let crc = fold::intent_of_tail(head.kind, head.flags, head.channel, record.crc());
            let (sender, number, oldest) = (head.sender, head.number, record.oldest());
            senders.now.apply(position, &fold::Numbered { sender, number, oldest, seq, time_ms, crc });
        }
        Ok(())
    }

    fn finish(self, slot: u8, covered: u64, plan: &mut Plan) {
        for ((tenant, channel), Channel { was, stored }) in self.channels.rows {
            if let Some(row) = stored {
                plan.put(Table::Channel, table::channel(tenant, channel), row.encode(), was);
            }
        }
        for ((tenant, user), senders) in self.users.rows {
            senders.finish(plan, (slot, tenant, user), covered);
        }
    }
}

impl Channel {
    fn load(kv: &Kv, tenant: u32, channel: &[u8]) -> Result<Self, StoreError> {
        let stored = kv.get(&table::channel(tenant, channel))?;
        let stored = stored.map(|payload| StoredChannel::decode(Table::Channel, payload)).transpose()?;
        Ok(Self { was: stored.is_some(), stored })
    }

    /// Folds a sequenced entry in and notes its place; `page` takes what fills a page.
    fn fold(
        &mut self,
        position: u64,
        head: &Head<'_>,
        image: Option<&Image>,
        place: Place,
        page: impl FnMut(u64, Places),
    ) {
        let is_new = self.stored.is_none();
        let stored = self.stored.get_or_insert_default();
        let before = stored.row.head;
        let mut row = (!is_new).then(|| std::mem::take(&mut stored.row));
        match image {
            Some(image) => ChannelRow::apply(&mut row, position, image),
            None => _ = ChannelRow::advance(&mut row, position, head.seq, head.time_ms),
        }
        stored.row = row.unwrap_or_default();
        stored.index(before, head.seq, place, page);
    }
}

impl Senders {
    fn load(kv: &Kv, slot: u8, tenant: u32, user: &[u8]) -> Result<Self, StoreError> {
        let (now, had_forgotten) = store::load_senders(kv, slot, tenant, user)?;
        let had = now.senders.iter().map(|row| row.sender).collect();
        Ok(Self { had, had_forgotten, forgotten_through: now.forgotten_through, now })
    }

    /// Plans what is new after `covered`.
    fn finish(&self, plan: &mut Plan, (slot, tenant, user): (u8, u32, &[u8]), covered: u64) {
        if self.now.forgotten_through != self.forgotten_through {
            let row = Forgotten(self.now.forgotten_through).encode();
            plan.put(Table::Forgotten, table::forgotten(slot, tenant, user), row, self.had_forgotten);
        }
        for row in self.now.senders.iter().filter(|row| row.used > covered) {
            let was = self.had.contains(&row.sender);
            plan.put(Table::Sender, table::sender(slot, tenant, user, &row.sender), row.encode(), was);
        }
        for gone in self.had.iter().filter(|sender| self.now.get(sender).is_none()) {
            plan.remove(Table::Sender, table::sender(slot, tenant, user, gone));
        }
    }
}

/// A key of [`table::erase`], and the place of what it is about.
type Erase = (Vec<u8>, Option<Place>);

/// The rows that only few entries touch, loaded when first touched.
#[derive(Debug, Default)]
struct Touched(BTreeMap<Vec<u8>, (bool, Option<StateRow>)>);

impl Touched {
    /// Folds an entry into its rows. Returns keys of [`table::erase`]: with its place what is to be erased later, without
    /// one what is to be from now on.
    fn fold(
        &mut self,
        kv: &Kv,
        tenant: u32,
        pending: &Pending<'_>,
        (image, place): (&Image, Place),
    ) -> Result<Vec<Erase>, StoreError> {
        let mut erases = Vec::new();
        let (position, read) = (pending.record.position, pending.written.record(pending.record).read());
        for key in fold::changed(image, read) {
            let (_, row) = match self.0.entry(key.encode(tenant, image.channel.as_bytes())) {
                btree_map::Entry::Occupied(row) => row.into_mut(),
                btree_map::Entry::Vacant(place) => {
                    let stored =
                        kv.get(place.key())?.map(|payload| StateRow::decode(key.table(), payload)).transpose()?;
                    place.insert((stored.is_some(), stored))
                }
            };
            let made = |row: &Option<StateRow>| row.as_ref().and_then(ScheduledRow::of).map_or(0, |row| row.made);
            let before = made(row);
            fold::apply(&key, row, position, image, read);
            let after = made(row);
            if before != after {
                let erase = |due_ms, position| {
                    table::erase(due_ms, tenant, image.channel.as_bytes(), table::CONTROL | position)
                };
                if before > 0 {
                    erases.push((erase(image.time_ms, before), None));
                }
                if after > 0 {
                    erases.push((erase(table::NOT_YET, after), Some(place)));
                }
            }
        }
        Ok(erases)
    }

    fn finish(self, plan: &mut Plan) {
        for (key, (was, row)) in self.0 {
            let Some(table) = Table::of(&key) else { continue };
            if table == Table::Target && plant::is(plant::Fault::RevokeInMemory) {
                continue;
            }
            match row {
                Some(row) => plan.put(table, key, row.encode(), was),
                None if was => plan.remove(table, key),
                None => {}
            }
        }
    }
}

const _: () = assert!(SLOTS == 256, "a slot is a byte");
