//! Snapshots: the state tables in a file, for the day on which the store must be rebuilt and the log no longer begins
//! at its beginning.
//!
//! ```text
//! snapshot-N: magic 8 · format u32 · log id u64 · segment u32 · 256 × (epoch u32, position u64, time u64) · head CRC u32
//!   · (key length u16 · payload length u16 · key · payload) … · 0 u16 · 256 × position u64 · CRC u32 of all before
//! ```
//! A snapshot holds the rows of channels, members, conversations and senders, but neither blocks nor index pages: what
//! they point to is in the log, and a rebuild reads all of the log that is there. So a snapshot only stands for what was
//! trimmed, stays as small as the tables are, and none is written where nothing may be trimmed.
//!
//! It is written a piece at a time, and checkpoints go on between two pieces: rows are of different age, each at least
//! as new as the head says and none newer than the positions at the end. That is enough, for a rebuild folds all of the
//! log over them, and each row skips what it covers. One order matters: senders before what was forgotten of them, so
//! that no sender is in neither.

use std::io::{self, Read};

use bytes::Bytes;
use postrider_protocol::Writer;

use crate::{
    StoreError,
    codec::{Marker, Row, SlotRow, StoredChannel},
    entry::{be32, be64},
    kv::Kv,
    slots::PerSlot,
    table::{self, Table},
    whole::{Draft, Folder, Source},
};

/// What the names of snapshots begin with.
const NAME: &str = "snapshot-";
const MAGIC: &[u8; 8] = b"postsnap";
const FORMAT: u32 = 0;
const SLOT_BYTES: usize = 20;
const HEAD: usize = 24 + 256 * SLOT_BYTES;
/// So many are kept: the older one is for the case that the newer one is damaged.
pub(crate) const KEPT: usize = 2;
/// The tables of a snapshot, in the order in which they are written.
const TABLES: &[Table] = &Table::STATE;
/// A piece is about so long.
const PIECE: usize = 64 << 10;
/// Values of a snapshot that are put into a store between two syncs: it has no marker yet, and is begun again after a
/// crash.
const SYNC_ROWS: usize = 4_096;

/// Takes a key and its payload.
type Take<'a, E> = dyn FnMut(&[u8], &[u8]) -> Result<(), E> + 'a;

/// A snapshot that is there, by its head.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    number: u64,
    /// Everything in segments before this one is covered.
    pub segment: u32,
    /// Where each slot stood when it was begun.
    slots: PerSlot<SlotRow>,
}

/// A snapshot that is being written.
#[derive(Debug)]
pub(crate) struct Export {
    snapshot: Snapshot,
    draft: Draft,
    crc: crc32fast::Hasher,
    /// The table, and the key in it, to go on at.
    at: Option<(usize, Vec<u8>)>,
}

fn name(number: u64) -> String {
    format!("{NAME}{number}")
}

/// The snapshots of the log `id` whose heads are sound, newest first.
pub(crate) fn list(folder: &Folder, id: u64) -> io::Result<Vec<Snapshot>> {
    let mut found = Vec::new();
    for file in folder.names(NAME)? {
        let number = file.strip_prefix(NAME).and_then(|number| number.parse().ok());
        let Some((number, mut source)) = number.zip(folder.open(&file)?) else { continue };
        match read_head(&mut source, id, number) {
            Ok((snapshot, _)) => found.push(snapshot),
            Err(error) if is_damage(&error) => tracing::error!(file, "a snapshot whose head is damaged"),
            Err(error) => return Err(error),
        }
    }
    found.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.number));
    Ok(found)
}

/// Removes all but the newest, and what is left of unfinished ones.
pub(crate) fn tidy(folder: &Folder, snapshots: &mut Vec<Snapshot>) -> io::Result<()> {
    while snapshots.len() > KEPT {
        if let Some(oldest) = snapshots.pop() {
            folder.remove(&name(oldest.number))?;
        }
    }
    Ok(())
}

impl Snapshot {
    /// The name of its file.
    pub(crate) fn name(&self) -> String {
        name(self.number)
    }

    /// Whether it stands for everything up to `positions`.
    pub(crate) fn covers(&self, positions: &PerSlot<u64>) -> bool {
        positions.iter().all(|(slot, &position)| self.slots.at(slot).position >= position)
    }

    /// Whether all of it is as it was written.
    pub(crate) fn is_whole(&self, folder: &Folder, id: u64) -> io::Result<bool> {
        match self.walk(folder, id, &mut |_, _| Ok::<_, io::Error>(())) {
            Ok(_) => Ok(true),
            Err(error) if is_damage(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts it into `kv`, which is empty; what is covered then is `from`, where the log begins. Returns the marker, which
    /// is written, and the position of each slot above which no row is.
    pub(crate) fn load(
        &self,
        folder: &Folder,
        kv: &Kv,
        (mut marker, from): (Marker, &PerSlot<u64>),
    ) -> Result<(Marker, PerSlot<u64>), StoreError> {
        let mut rows = 0_usize;
        let ends = self.walk(folder, marker.id, &mut |key, payload| {
            kv.put(key, payload)?;
            if let Some(count) =
                key.first().and_then(|&table| marker.counts.get_mut(usize::from(table).wrapping_sub(1)))
            {
                *count += 1;
            }
            rows += 1;
            if rows.is_multiple_of(SYNC_ROWS) { kv.sync() } else { Ok(()) }
        })?;
        for (slot, row) in self.slots.iter() {
            let position = *from.at(slot);
            kv.put(&table::slot(slot), &SlotRow { position, ..*row }.encode())?;
        }
        marker.covered = from.clone();
        kv.sync()?;
        kv.put(&table::marker(), &marker.encode())?;
        kv.sync()?;
        Ok((marker, ends))
    }

    /// Gives each row to `take`; returns the positions at the end.
    fn walk<E: From<io::Error>>(&self, folder: &Folder, id: u64, take: &mut Take<'_, E>) -> Result<PerSlot<u64>, E> {
        let mut source = folder.open(&self.name())?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let (_, mut crc) = read_head(&mut source, id, self.number)?;
        loop {
            let key_len = read(&mut source, 2, &mut crc)?;
            let key_len = usize::from(u16::from_be_bytes(key_len.try_into().unwrap_or_default()));
            if key_len == 0 {
                break;
            }
            let len = read(&mut source, 2, &mut crc)?;
            let len = usize::from(u16::from_be_bytes(len.try_into().unwrap_or_default()));
            let row = read(&mut source, key_len + len, &mut crc)?;
            let (key, payload) = row.split_at_checked(key_len).unwrap_or_default();
            take(key, payload)?;
        }
        let ends = read(&mut source, 256 * 8, &mut crc)?;
        let ends = PerSlot::new(|slot| be64(&ends, usize::from(slot) * 8));
        let must = crc.clone().finalize();
        let is = be32(&read(&mut source, 4, &mut crc)?, 0);
        if is == must { Ok(ends) } else { Err(damage().into()) }
    }
}

impl Export {
    /// Begins one of a store that is at `marker`, newer than `before`.
    pub(crate) fn begin(
        folder: &Folder,
        marker: &Marker,
        slots: &PerSlot<SlotRow>,
        before: Option<&Snapshot>,
    ) -> io::Result<Self> {
        let number = before.map_or(0, |before| before.number) + 1;
        let mut head = MAGIC.to_vec();
        head.u32(FORMAT);
        head.raw(&marker.id.to_be_bytes());
        head.u32(marker.segment);
        slots.iter().for_each(|(_, row)| row.write(&mut head));
        head.u32(crc32fast::hash(&head));
        let mut draft = folder.draft(&name(number))?;
        draft.write(&head)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head);
        let snapshot = Snapshot { number, segment: marker.segment, slots: slots.clone() };
        Ok(Self { snapshot, draft, crc, at: Some((0, Vec::new())) })
    }

    /// Writes the next piece; false once all rows are written.
    pub(crate) fn step(&mut self, kv: &Kv) -> Result<bool, StoreError> {
        let Some((mut number, mut from)) = self.at.take() else { return Ok(false) };
        if number >= TABLES.len() {
            return Ok(false);
        }
        let mut piece = Vec::with_capacity(PIECE);
        while piece.len() < PIECE
            && let Some(&table) = TABLES.get(number)
        {
            let prefix = [table as u8];
            if from.is_empty() {
                from.extend(prefix);
            }
            let mut next = None;
            kv.scan_from(&prefix, &from, &mut |key, payload| {
                if piece.len() >= PIECE {
                    next = Some(key.to_vec());
                    return Ok(false);
                }
                let payload = exported(table, payload?)?;
                piece.u16(u16::try_from(key.len()).unwrap_or(u16::MAX));
                piece.u16(u16::try_from(payload.len()).unwrap_or(u16::MAX));
                piece.raw(key);
                piece.raw(&payload);
                Ok(true)
            })?;
            (number, from) = next.map_or((number + 1, Vec::new()), |key| (number, key));
        }
        self.write(&piece)?;
        self.at = Some((number, from));
        Ok(true)
    }

    /// Ends it; no row is newer than `positions`. Durable on return.
    pub(crate) fn done(mut self, positions: &PerSlot<u64>) -> Result<Snapshot, StoreError> {
        let mut end = vec![0; 2];
        positions.iter().for_each(|(_, &position)| end.u64(position));
        self.write(&end)?;
        let crc = self.crc.finalize();
        let Self { mut draft, snapshot, .. } = self;
        let ended = draft.write(&crc.to_be_bytes()).and_then(|()| draft.done());
        ended.map_err(StoreError::io(format!("writing {}", snapshot.name())))?;
        Ok(snapshot)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.crc.update(bytes);
        self.draft.write(bytes).map_err(StoreError::io(format!("writing {}", self.snapshot.name())))
    }
}

/// A row as a snapshot has it: a channel without the places of its entries.
fn exported(table: Table, payload: Bytes) -> Result<Bytes, StoreError> {
    if table != Table::Channel {
        return Ok(payload);
    }
    let row = StoredChannel::decode(table, payload)?.row;
    Ok(StoredChannel::without_places(row).encode().into())
}

fn read_head(source: &mut Source, id: u64, number: u64) -> io::Result<(Snapshot, crc32fast::Hasher)> {
    let mut crc = crc32fast::Hasher::new();
    let head = read(source, HEAD, &mut crc)?;
    let must = crc.clone().finalize();
    let is = be32(&read(source, 4, &mut crc)?, 0);
    if is != must || !head.starts_with(MAGIC) || be32(&head, 8) != FORMAT || be64(&head, 12) != id {
        return Err(damage());
    }
    let slots = PerSlot::new(|slot| {
        let at = 24 + usize::from(slot) * SLOT_BYTES;
        SlotRow { epoch: be32(&head, at), position: be64(&head, at + 4), time_ms: be64(&head, at + 12) }
    });
    Ok((Snapshot { number, segment: be32(&head, 20), slots }, crc))
}

/// The next `len` bytes, which are at most two u16 long.
fn read(source: &mut Source, len: usize, crc: &mut crc32fast::Hasher) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    source.read_exact(&mut bytes)?;
    crc.update(&bytes);
    Ok(bytes)
}

fn damage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a damaged snapshot")
}

fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}
