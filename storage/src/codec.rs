//! How rows are stored.

use bytes::Bytes;
use postrider_protocol::{DecodeError, Reader, Sender, Writer};

use crate::{
    Answer, ChannelRow, Digest, Locator, SLOTS, SenderRow, StoreError,
    slots::PerSlot,
    table::{TABLES, Table},
};

/// How many places an index page has.
pub(crate) const PAGE: u64 = 64;
/// Low bits of [`Place::block`] that are the offset in the block.
const BLOCK_SHIFT: u32 = 14;

/// A row as it is stored: all of a value's payload.
pub(crate) trait Row: Sized {
    /// Appends the row.
    fn write(&self, out: &mut Vec<u8>);
    /// Takes the row off `r`.
    fn read(r: &mut Reader) -> Result<Self, DecodeError>;

    /// The row that is all of `payload`.
    fn decode(table: Table, payload: Bytes) -> Result<Self, StoreError> {
        let mut reader = Reader::new(payload);
        let row = Self::read(&mut reader).and_then(|row| reader.end().map(|()| row));
        row.map_err(|_| StoreError::Damaged { table: Table::name_of(&[table as u8]) })
    }

    /// Its bytes.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

/// Where an entry is, in the log and perhaps in a block, and what counting needs of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub locator: Locator,
    block: u64,
    pub digest: Digest,
}

impl Place {
    pub(crate) fn new(locator: Locator, block: Option<(u64, usize)>, digest: Digest) -> Self {
        let block = block.map_or(0, |(number, offset)| (number << BLOCK_SHIFT) | offset as u64);
        Self { locator, block, digest }
    }

    /// The block, and the offset of the record in its payload.
    pub(crate) fn block(&self) -> Option<(u64, usize)> {
        let offset = usize::try_from(self.block & ((1 << BLOCK_SHIFT) - 1)).unwrap_or_default();
        (self.block > 0).then_some((self.block >> BLOCK_SHIFT, offset))
    }
}

/// Places of consecutive seqs. Neighbours are near each other, so each is stored as what is between it and the one before:
/// segment, offset, number of the block, offset in the block as numbers of 7 bits a byte, then the digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places(pub Vec<Place>);

/// Appends a number, 7 bits a byte, the lowest first.
fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

/// Takes such a number off `bytes`.
fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Appends what is between two numbers, either way.
fn write_step(out: &mut Vec<u8>, from: u64, to: u64) {
    let step = to.wrapping_sub(from);
    write_number(out, (step << 1) ^ 0u64.wrapping_sub(step >> 63));
}

fn read_step(bytes: &mut &[u8], from: u64) -> Option<u64> {
    let step = read_number(bytes)?;
    Some(from.wrapping_add((step >> 1) ^ 0u64.wrapping_sub(step & 1)))
}

impl Place {
    /// It alone.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_after(&Self::default(), &mut out);
        out
    }

    /// What [`Place::encode`] made; none when `bytes` are not that.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        Self::read_after(&Self::default(), &mut bytes)
    }

    /// Appends it, as it comes after `last`.
    fn write_after(&self, last: &Self, out: &mut Vec<u8>) {
        write_step(out, last.locator.segment.into(), self.locator.segment.into());
        write_step(out, last.locator.offset.into(), self.locator.offset.into());
        write_step(out, last.block >> BLOCK_SHIFT, self.block >> BLOCK_SHIFT);
        write_number(out, self.block & ((1 << BLOCK_SHIFT) - 1));
        out.u32(self.digest.bits());
    }

    fn read_after(last: &Self, bytes: &mut &[u8]) -> Option<Self> {
        let segment = read_step(bytes, last.locator.segment.into())?.try_into().ok()?;
        let offset = read_step(bytes, last.locator.offset.into())?.try_into().ok()?;
        let number = read_step(bytes, last.block >> BLOCK_SHIFT)?;
        let block = number.checked_mul(1 << BLOCK_SHIFT)? | read_number(bytes)? & ((1 << BLOCK_SHIFT) - 1);
        let (digest, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        let digest = Digest::from_bits(u32::from_be_bytes(*digest));
        Some(Self { locator: Locator { segment, offset }, block, digest })
    }
}

impl Row for Places {
    fn write(&self, out: &mut Vec<u8>) {
        out.u16(u16::try_from(self.0.len()).unwrap_or(u16::MAX));
        let mut last = &Place::default();
        for place in &self.0 {
            place.write_after(last, out);
            last = place;
        }
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let (count, at) = (r.u16("places")?, r.position());
        let (mut bytes, mut last) = (r.peek(), Place::default());
        let mut places = Vec::with_capacity(usize::from(count).min(bytes.len() / 8));
        for _ in 0..count {
            last = Place::read_after(&last, &mut bytes).ok_or(DecodeError::malformed("places", at))?;
            places.push(last);
        }
        let taken = r.remaining() - bytes.len();
        r.bytes(taken, "places")?;
        Ok(Self(places))
    }
}

/// A channel's row with the places of the entries after the last full page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredChannel {
    pub row: ChannelRow,
    /// The last seq whose place is known: the head, but where the row came from a snapshot. After a rebuild the seqs that
    /// have no place then were trimmed.
    pub indexed: u64,
    pub tail: Places,
}

impl StoredChannel {
    /// A row as a snapshot has it.
    pub(crate) const fn without_places(row: ChannelRow) -> Self {
        Self { row, indexed: 0, tail: Places(Vec::new()) }
    }

    /// Notes that the entry `seq` is at `place`; seqs that were lost have a place nowhere. `take` gets the pages that
    /// are full. `head` is the one of before the entry.
    pub(crate) fn index(&mut self, head: u64, seq: u64, place: Place, mut take: impl FnMut(u64, Places)) {
        // What comes before the first entry that is found for the row of a snapshot was trimmed: of that no pages are made.
        let is_first = self.indexed == 0 && head > 0;
        let before = if is_first { (seq - 1) / PAGE * PAGE } else { self.indexed };
        for at in before + 1..=seq {
            self.tail.0.push(if at == seq { place } else { Place::default() });
            if at % PAGE == 0 {
                take((at - 1) / PAGE, std::mem::take(&mut self.tail));
            }
        }
        self.indexed = self.indexed.max(seq);
    }
}

impl Row for StoredChannel {
    fn write(&self, out: &mut Vec<u8>) {
        out.u64(self.row.head);
        out.u64(self.row.position);
        out.u64(self.row.time_ms);
        out.u32(self.row.members);
        out.u64(self.indexed);
        self.tail.write(out);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let (head, position, time_ms) = (r.u64("head")?, r.u64("position")?, r.u64("time")?);
        let row = ChannelRow { head, position, time_ms, members: r.u32("members")? };
        Ok(Self { row, indexed: r.u64("indexed")?, tail: Places::read(r)? })
    }
}

impl Row for SenderRow {
    fn write(&self, out: &mut Vec<u8>) {
        out.raw(self.sender.as_bytes());
        out.u64(self.floor);
        out.u64(self.since);
        out.u64(self.used);
        out.u8(u8::try_from(self.answers.len()).unwrap_or(u8::MAX));
        for answer in &self.answers {
            out.u64(answer.number);
            out.u64(answer.seq);
            out.u64(answer.time_ms);
            out.u32(answer.crc);
        }
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let sender = Sender::from_bytes(r.opaque8("sender")?);
        let (floor, since, used) = (r.u64("floor")?, r.u64("since")?, r.u64("used")?);
        let answer = |r: &mut Reader| {
            let (number, seq, time_ms) = (r.u64("number")?, r.u64("seq")?, r.u64("time")?);
            Ok(Answer { number, seq, time_ms, crc: r.u32("crc")? })
        };
        let answers = (0..r.u8("answers")?).map(|_| answer(r)).collect::<Result<_, _>>()?;
        Ok(Self { sender, floor, since, used, answers })
    }
}

/// Up to which stamp senders were forgotten, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forgotten(pub [u64; 2]);

impl Row for Forgotten {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|&stamp| out.u64(stamp));
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        // Stamps have 56 bits.
        let mut stamp = || r.opaque8("stamp").map(u64::from_be_bytes);
        Ok(Self([stamp()?, stamp()?]))
    }
}

/// What the store knows of a slot beside its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotRow {
    pub epoch: u32,
    pub position: u64,
    pub time_ms: u64,
}

impl Row for SlotRow {
    fn write(&self, out: &mut Vec<u8>) {
        out.u32(self.epoch);
        out.u64(self.position);
        out.u64(self.time_ms);
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { epoch: r.u32("epoch")?, position: r.u64("position")?, time_ms: r.u64("time")? })
    }
}

/// What a checkpoint leads to: the marker, or before it is written the intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// Counts checkpoints; an intent that is one ahead of the marker was not completed.
    pub sequence: u64,
    /// The log it belongs to.
    pub id: u64,
    /// What is not covered is in this segment or a later one.
    pub segment: u32,
    /// Nothing is kept of what was in segments before this one; 0 for any.
    pub first: u32,
    pub next_block: u64,
    pub oldest_block: u64,
    /// Blocks that the window has.
    pub ring: u64,
    /// Keys per table.
    pub counts: [u64; TABLES],
    pub covered: PerSlot<u64>,
}

impl Marker {
    /// That of an empty store.
    pub(crate) fn new(id: u64) -> Self {
        let mut counts = [0; TABLES];
        for (table, count) in [(Table::Slot, SLOTS as u64), (Table::Marker, 1)] {
            if let Some(place) = counts.get_mut(table.index()) {
                *place = count;
            }
        }
        Self {
            sequence: 0,
            id,
            segment: 0,
            first: 0,
            next_block: 1,
            oldest_block: 1,
            ring: 1,
            counts,
            covered: PerSlot::default(),
        }
    }

    /// How many keys a table has.
    pub(crate) fn count(&self, table: Table) -> u64 {
        self.counts.get(table.index()).copied().unwrap_or_default()
    }

    /// How many keys there are but those of blocks.
    pub(crate) fn rows(&self) -> u64 {
        self.counts.iter().sum::<u64>().saturating_sub(self.count(Table::Block))
    }

    /// The first table that has another number of keys than it must have, among those that are counted.
    pub(crate) fn differs(&self, counts: &[u64; TABLES]) -> Option<(Table, u64, u64)> {
        let pairs = Table::ALL.into_iter().zip(self.counts.iter().zip(counts));
        let is_counted = |table| !matches!(table, Table::Intent | Table::Block);
        let different = pairs.filter(|(table, (must, is))| is_counted(*table) && must != is);
        different.map(|(table, (&must, &is))| (table, must, is)).next()
    }
}

impl Row for Marker {
    fn write(&self, out: &mut Vec<u8>) {
        out.u64(self.sequence);
        out.u64(self.id);
        out.u32(self.segment);
        out.u32(self.first);
        out.u64(self.next_block);
        out.u64(self.oldest_block);
        out.u64(self.ring);
        self.counts.iter().for_each(|&count| out.u64(count));
        self.covered.iter().for_each(|(_, &position)| out.u64(position));
    }

    fn read(r: &mut Reader) -> Result<Self, DecodeError> {
        let sequence = r.u64("sequence")?;
        let mut marker = Self::new(u64::from_be_bytes(r.opaque8("log id")?));
        marker.sequence = sequence;
        (marker.segment, marker.first) = (r.u32("segment")?, r.u32("first")?);
        (marker.next_block, marker.oldest_block) = (r.u64("next block")?, r.u64("oldest block")?);
        marker.ring = r.u64("ring")?.max(1);
        for count in &mut marker.counts {
            *count = r.u64("count")?;
        }
        for slot in 0..=255 {
            *marker.covered.at_mut(slot) = r.u64("covered")?;
        }
        Ok(marker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(dice: u64) -> Places {
        let mut dice = dice;
        let mut roll = |below: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % below
        };
        let some = |_| {
            let near = roll(3) > 0;
            let segment = if near { 7 + roll(2) } else { roll(1 << 31) } as u32;
            let locator = Locator { segment, offset: (roll(1 << 31) * 2 + roll(2)) as u32 };
            let block = match roll(4) {
                0 => None,
                1 => Some((roll(1 << 31) << 18, roll(1 << BLOCK_SHIFT) as usize)),
                _ => Some((900 + roll(9), roll(1 << BLOCK_SHIFT) as usize)),
            };
            let place = Place::new(locator, block, Digest::from_bits(roll(1 << 31) as u32));
            if roll(9) == 0 { Place::default() } else { place }
        };
        Places((0..64).map(some).collect())
    }

    #[test]
    fn places_are_read_as_they_were_written() {
        for seed in 0..1_000 {
            let places = places(seed);
            let bytes = places.encode();
            assert!(bytes.len() < 2_000, "{} bytes", bytes.len());
            assert_eq!(Places::decode(Table::Index, bytes.clone().into()).unwrap(), places);
            assert!(Places::decode(Table::Index, bytes[..bytes.len() - 1].to_vec().into()).is_err());
        }
    }

    #[test]
    fn neighbours_take_few_bytes() {
        let place = |at: u64| {
            let locator = Locator { segment: 3, offset: (at * 190) as u32 };
            Place::new(locator, Some((70_000 + at / 20, (at % 20 * 190) as usize)), Digest::from_bits(u32::MAX))
        };
        let places = Places((0..64).map(place).collect());
        assert!(places.encode().len() <= 64 * 10 + 16, "{}", places.encode().len());
    }
}
