//! Erasure: TLVs and bodies of what was taken back, or has gone away, are overwritten where they lie: in the log, and in
//! the blocks of the store. The rest of the record stays, so that nothing is renumbered and repetitions are known.
//!
//! What is to be erased is in a table of the store, by the time from which on it is; it is put there by the checkpoint
//! that covers the entry which erases it, and leaves the table when it is gone from the disk. So a cut at any place is
//! finished later, and a store that is rebuilt finds it all again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use postrider_protocol::{Channel, ImageKind, image_flag};

use crate::{
    Entry, Locator, Materialiser, OfState as _, StateKey, Store, StoreError, TargetRow, Written, blocks,
    codec::{Marker, Place},
    entry::{MARK_BYTES, RECORD_HEAD, be64},
    fold,
    kv::Kv,
    plan::Plan,
    reader::Piece,
    table::{self, Table},
    written::Record,
};

/// So many messages are erased between two changes of the table.
const MESSAGES: usize = 256;

/// A key of the table, and what it has.
type Due = (Vec<u8>, Bytes);

/// A record that is to be overwritten: where, and with what.
struct Overwrite {
    locator: Locator,
    /// Offset in the record.
    at: usize,
    tail: Vec<u8>,
}

/// From when on something is to be erased because of an entry that was committed; none when nothing is.
pub(crate) fn due_of(written: &Written, at: usize, record: &Record) -> Option<u64> {
    let image = written.record(record).image();
    let flags = image.get(2..4).and_then(|flags| flags.first_chunk()).map_or(0, |flags| u16::from_be_bytes(*flags));
    if image.get(1) == Some(&ImageKind::Revoked.number()) {
        return Some(be64(image, 12));
    }
    let is_scheduled = image.get(1) == Some(&fold::SCHEDULE_KIND) || flags & image_flag::SCHEDULED != 0;
    if is_scheduled {
        // It ends what was scheduled, or may.
        return Some(be64(image, 12));
    }
    if flags & image_flag::EXPIRING == 0 {
        return None;
    }
    let expires_ms = fold::expires_ms(&written.placed(at)?.entry.image().ok()?);
    (expires_ms > 0).then_some(expires_ms)
}

/// The keys that a change of the table, which `intent` was about, was to remove and has not: it removes the first ones.
pub(crate) fn left_over(kv: &Kv, intent: &Marker) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut keys = Vec::new();
    kv.scan(&table::erases(), &mut |key, _| {
        keys.push(key.to_vec());
        Ok(true)
    })?;
    let kept = usize::try_from(intent.count(Table::Erase)).unwrap_or(usize::MAX);
    keys.truncate(keys.len().saturating_sub(kept));
    Ok(keys)
}

/// What a key of the table says: tenant, channel, seq.
fn named(key: &[u8]) -> Option<(u32, Channel, u64)> {
    let rest = key.get(9..)?;
    let (tenant, rest) = rest.split_first_chunk()?;
    let (channel, seq) = rest.split_last_chunk::<8>()?;
    let channel = Channel::new(Bytes::copy_from_slice(channel))?;
    Some((u32::from_be_bytes(*tenant), channel, u64::from_be_bytes(*seq)))
}

impl Store {
    /// The keys of what is to be erased by `now_ms` with what they have, a piece of them, and when the next one is after
    /// these.
    fn due(&self, now_ms: u64) -> Result<(Vec<Due>, Option<u64>), StoreError> {
        let (mut keys, mut next) = (Vec::new(), None);
        self.kv().scan(&table::erases(), &mut |key, payload| {
            let due_ms = be64(key, 1);
            if due_ms <= now_ms && keys.len() < MESSAGES {
                keys.push((key.to_vec(), payload?));
                return Ok(true);
            }
            next = Some(due_ms).filter(|due_ms| *due_ms < table::NOT_YET);
            Ok(false)
        })?;
        Ok((keys, next))
    }

    /// Where a message and its edits lie.
    fn places_of(&self, tenant: u32, channel: &Channel, seq: u64) -> Result<Vec<Place>, StoreError> {
        let Some(stored) = self.stored_channel(tenant, channel)? else { return Ok(Vec::new()) };
        let row = self.state(tenant, channel, &StateKey::Target(seq))?;
        let edits = row.as_ref().and_then(TargetRow::of).map(|row| row.edits.clone()).unwrap_or_default();
        let mut places = Vec::new();
        for seq in std::iter::once(seq).chain(edits).filter(|&seq| (1..=stored.row.head).contains(&seq)) {
            places.extend(self.place(tenant, channel, &stored, seq, &mut None)?);
        }
        Ok(places)
    }

    /// Overwrites the records at `places` in the log.
    fn erase_in_log(&self, places: &[Place]) -> Result<(), StoreError> {
        let mut overwrites = Vec::new();
        for place in places {
            let entry = self.reader().entry(place.locator, &mut Piece::default())?;
            if let Some((at, tail)) = entry.and_then(|entry| entry.erasure()) {
                overwrites.push(Overwrite { locator: place.locator, at: RECORD_HEAD + at, tail });
            }
        }
        // What says that the rest is erased is durable before the rest goes: a cut in between leaves nothing that looks
        // like damage.
        self.overwrite(&overwrites, MARK_BYTES)?;
        self.overwrite(&overwrites, usize::MAX)
    }

    /// Writes up to `len` bytes of each, and makes them durable.
    fn overwrite(&self, overwrites: &[Overwrite], len: usize) -> Result<(), StoreError> {
        let mut segments = BTreeSet::new();
        for Overwrite { locator, at, tail } in overwrites {
            let io = || StoreError::io(format!("erasing in segment {}", locator.segment));
            let segment = self.reader().segment(locator.segment).map_err(io())?;
            let bytes = tail.get(..len.min(tail.len())).unwrap_or_default();
            segment.write_all_at(bytes, u64::from(locator.offset) + *at as u64).map_err(io())?;
            segments.insert(locator.segment);
        }
        for number in segments {
            let io = || StoreError::io(format!("syncing what was erased in segment {number}"));
            self.reader().segment(number).map_err(io())?.sync_data().map_err(io())?;
        }
        Ok(())
    }

    /// Overwrites the records at `places` in their blocks. A block that cannot be read goes as a whole: the log has it.
    fn erase_in_blocks(&self, places: &[Place], ring: u64) -> Result<(), StoreError> {
        let mut of_block: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for place in places.iter().filter(|place| self.has_block(**place)) {
            if let Some((number, offset)) = place.block() {
                of_block.entry(number).or_default().push(offset);
            }
        }
        for (number, offsets) in of_block {
            let key = table::block(number % ring.max(1));
            let block = match self.kv().get(&key) {
                Ok(block) => block,
                Err(StoreError::Damaged { .. }) => {
                    self.kv().put(&key, &[])?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(block) = block else { continue };
            let mut after = block.to_vec();
            for offset in offsets.into_iter().filter(|&offset| blocks::has(&block, number, offset)) {
                let erasure = Entry::parse(&block.slice(offset..)).and_then(|entry| entry.erasure());
                let Some((at, tail)) = erasure else { continue };
                let start = offset + RECORD_HEAD + at;
                if let Some(place) = after.get_mut(start..start + tail.len()) {
                    place.copy_from_slice(&tail);
                }
            }
            self.kv().put(&key, &after)?;
        }
        self.kv().sync()
    }
}

impl Materialiser {
    /// Whether something that is in the log should have been erased `within_ms` before `now_ms` and was not: a checkpoint
    /// is due, and [`Materialiser::erase`] after it.
    #[must_use]
    pub fn is_erasure_due(&self, now_ms: u64, within_ms: u64) -> bool {
        self.erase_ms().is_some_and(|due_ms| now_ms >= due_ms.saturating_add(within_ms))
    }

    /// Erases a piece of what is to be erased by `now_ms` (since 1970), as far as the store covers it; whether there was
    /// any. To be called after each checkpoint until there is none.
    ///
    /// # Errors
    /// As [`Materialiser::checkpoint`].
    pub fn erase(&mut self, now_ms: u64) -> Result<bool, StoreError> {
        let (keys, next) = self.store().due(now_ms)?;
        if keys.is_empty() {
            self.set_erase_ms(next);
            return Ok(false);
        }
        let mut places = Vec::new();
        for (key, payload) in &keys {
            let Some((tenant, channel, seq)) = named(key) else { continue };
            if seq & table::CONTROL != 0 {
                places.extend(Place::decode(payload));
                continue;
            }
            match self.store().places_of(tenant, &channel, seq) {
                Ok(found) => places.extend(found),
                // The rebuild that a damaged store comes to finds it again.
                Err(error @ StoreError::Damaged { .. }) => {
                    tracing::error!(%error, ?channel, seq, "what is to be erased cannot be found");
                }
                Err(error) => return Err(error),
            }
        }
        let ring = self.marker().ring;
        self.store().erase_in_log(&places)?;
        self.store().erase_in_blocks(&places, ring)?;
        let mut plan = Plan { next_block: self.marker().next_block, ..Plan::default() };
        let count = keys.len();
        keys.into_iter().for_each(|(key, _)| plan.remove(Table::Erase, key));
        self.change(&plan)?;
        tracing::debug!(messages = count, records = places.len(), "erased");
        Ok(true)
    }
}
