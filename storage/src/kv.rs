//! Values by key: sled and a file of blocks, or memory. Each value carries a header and a CRC over key, header and payload, checked on each
//! read; a missing value is missing, a damaged one an error.
//!
//! ```text
//! value: magic u16 · format u8 · table u8 · payload length u16 · CRC u32 · payload
//! key: table u8 · the rest
//! ```
//! What sled is trusted with: to return a value or not, to say how many there are, and to have on disk what was flushed
//! and then synced by us; it never syncs itself. Everything it panics at becomes an error.

use std::{
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use bytes::Bytes;
use postrider_protocol::Writer;

use crate::{
    StoreError, disk,
    entry::{be32, be64},
    lock::wait_until_free,
    memory::Hold,
    ring::Ring,
    table::{TABLES, Table},
};

/// No value is longer, with its header: longer ones go to files of sled's that are never synced.
const VALUE_MAX: usize = 4_000;
const HEAD: usize = 10;
/// No payload of a row is longer.
const PAYLOAD_MAX: usize = VALUE_MAX - HEAD;
/// The file of the blocks, in the store's directory.
pub(crate) const BLOCKS: &str = "blocks";
/// No payload of a block is longer.
pub(crate) const BLOCK_PAYLOAD_MAX: usize = 16_000 - HEAD;
const MAGIC: u16 = 0x5052;
const FORMAT: u8 = 0;
/// sled's own segments; fixed for the life of a store. With its default a batch of ours spans several, and a drive that
/// reorders writes loses data.
const ENGINE_SEGMENT: usize = 8 << 20;

/// sled's file may be so long, and so much longer for each row, before [`Kv::is_sparse`] says so.
const DENSE_BYTES: u64 = 64 << 20;
const DENSE_ROW_BYTES: u64 = 1 << 10;
/// With so many changes of a page sled writes it anew.
const CHANGES: u8 = 10;

/// sled lets go of its lock a moment after it was dropped, when the last task of its own threads is over; who opens the
/// store again within the process waits so often and so long for it. Other processes are kept out by our own lock.
const PAUSES: u32 = 400;
const PAUSE: Duration = Duration::from_millis(5);

/// Takes a key and its payload, or what is wrong with it; tells whether to go on.
pub(crate) type Take<'a> = dyn FnMut(&[u8], Result<Bytes, StoreError>) -> Result<bool, StoreError> + 'a;

/// A place for values.
#[derive(Debug)]
pub(crate) enum Kv {
    Sled(Box<Engine>),
    Memory(Hold),
}

/// sled with what it lacks.
#[derive(Debug)]
pub(crate) struct Engine {
    rows: sled::Tree,
    /// Has one page, which is changed so that sled moves another.
    mover: sled::Tree,
    /// Those of the table of blocks.
    blocks: Ring,
    db: sled::Db,
    /// sled's file, to sync it.
    file: File,
    blobs: PathBuf,
    is_poisoned: AtomicBool,
}

impl Kv {
    /// Opens or creates a store in `dir`.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let is_new = !dir.join("db").exists();
        if let Ok(last) = File::open(dir.join("db")) {
            wait_until_free(&last, PAUSES, || thread::sleep(PAUSE));
        }
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(cache_bytes)
            .flush_every_ms(None)
            .use_compression(false)
            .segment_size(ENGINE_SEGMENT);
        let opened = catch_unwind(AssertUnwindSafe(|| -> Result<_, sled::Error> {
            let db = config.open()?;
            Ok((db.open_tree("rows")?, db.open_tree("mover")?, db))
        }));
        let (rows, mover, db) = match opened {
            Ok(opened) => opened.map_err(|error| StoreError::Engine(error.to_string()))?,
            Err(panic) => return Err(panicked(panic.as_ref())),
        };
        let path = dir.join("db");
        let io = || StoreError::io(format!("opening {}", path.display()));
        let file = File::options().read(true).write(true).open(&path).map_err(io())?;
        let blocks = Ring::open(&dir.join(BLOCKS)).map_err(io())?;
        let blobs = dir.join("blobs");
        let engine = Engine { rows, mover, blocks, db, file, blobs, is_poisoned: AtomicBool::new(false) };
        let kv = Self::Sled(Box::new(engine));
        if is_new {
            kv.sync()?;
            let made = File::open(dir.join("conf")).and_then(|conf| conf.sync_all()).and_then(|()| disk::sync_dir(dir));
            made.map_err(io())?;
        }
        kv.check_blobs()?;
        Ok(kv)
    }

    /// The payload at `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = match self {
            Self::Sled(engine) if is_block(key) => {
                // The log has what a block that cannot be read had.
                let damaged = |_| StoreError::Damaged { table: Table::name_of(key) };
                engine.blocks.get(be64(key, 1)).map_err(damaged)?.map(Bytes::from)
            }
            Self::Sled(engine) => {
                engine.guarded(|engine| engine.rows.get(key))?.map(|value| Bytes::copy_from_slice(&value))
            }
            Self::Memory(hold) => hold.get(key).map_err(memory)?.map(Bytes::from),
        };
        value.map(|value| unpack(key, &within_place(key, value))).transpose()
    }

    /// Puts `payload` at `key`.
    pub(crate) fn put(&self, key: &[u8], payload: &[u8]) -> Result<(), StoreError> {
        self.put_by(&mut Vec::new(), key, payload)
    }

    /// As [`Kv::put`], by way of `value`, whose bytes do not matter: for many in turn.
    pub(crate) fn put_by(&self, value: &mut Vec<u8>, key: &[u8], payload: &[u8]) -> Result<(), StoreError> {
        let most = if Table::of(key) == Some(Table::Block) { BLOCK_PAYLOAD_MAX } else { PAYLOAD_MAX };
        if payload.len() > most {
            return Err(StoreError::Engine(format!("a value of {} bytes", payload.len())));
        }
        pack(value, key, payload);
        match self {
            Self::Sled(engine) if is_block(key) => engine.blocks.put(be64(key, 1), value).map_err(memory),
            Self::Sled(engine) => engine.guarded(|engine| engine.rows.insert(key, value.as_slice())).map(|_| ()),
            Self::Memory(hold) => hold.insert(key, value).map_err(memory),
        }
    }

    /// Removes what is at `key`, if anything is.
    pub(crate) fn remove(&self, key: &[u8]) -> Result<(), StoreError> {
        match self {
            Self::Sled(engine) if is_block(key) => engine.blocks.remove(be64(key, 1)).map_err(memory),
            Self::Sled(engine) => engine.guarded(|engine| engine.rows.remove(key)).map(|_| ()),
            Self::Memory(hold) => hold.delete(key).map_err(memory),
        }
    }

    /// Gives each key that begins with `prefix`, ascending, and its payload or what is wrong with it, to `take`, until
    /// that returns false. Blocks are not walked over.
    pub(crate) fn scan(&self, prefix: &[u8], take: &mut Take<'_>) -> Result<(), StoreError> {
        self.scan_from(prefix, prefix, take)
    }

    /// As [`Kv::scan`], but only keys from `from` on, which begins with `prefix`.
    pub(crate) fn scan_from(&self, prefix: &[u8], from: &[u8], take: &mut Take<'_>) -> Result<(), StoreError> {
        let mut step = |key: &[u8], value: &[u8]| {
            if key.starts_with(prefix) { take(key, unpack(key, &Bytes::copy_from_slice(value))) } else { Ok(false) }
        };
        match self {
            Self::Sled(engine) => {
                let mut pairs = engine.guarded(|engine| Ok(engine.rows.range(from..)))?;
                while let Some((key, value)) = engine.guarded(|_| pairs.next().transpose())? {
                    if !step(&key, &value)? {
                        break;
                    }
                }
                Ok(())
            }
            Self::Memory(hold) => {
                let (mut at, mut or_at) = (from.to_vec(), true);
                while let Some((key, value)) = hold.next(&at, or_at).map_err(memory)? {
                    if !step(&key, &value)? {
                        break;
                    }
                    (at, or_at) = (key, false);
                }
                Ok(())
            }
        }
    }

    /// How many keys each table has, every value checked. Blocks are left out: the log has what is in them, and they are
    /// most of what there is to read.
    pub(crate) fn count(&self) -> Result<[u64; TABLES], StoreError> {
        let mut counts = [0; TABLES];
        for (count, table) in counts.iter_mut().zip(Table::ALL).filter(|(_, table)| *table != Table::Block) {
            self.scan(&[table as u8], &mut |_, payload| {
                payload?;
                *count += 1;
                Ok(true)
            })?;
        }
        Ok(counts)
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> Result<bool, StoreError> {
        let mut is_empty = true;
        for table in Table::ALL {
            self.scan(&[table as u8], &mut |_, _| {
                is_empty = false;
                Ok(false)
            })?;
        }
        Ok(is_empty)
    }

    /// Whether sled's file is much longer than so many rows need.
    pub(crate) fn is_sparse(&self, rows: u64) -> bool {
        let Self::Sled(engine) = self else { return false };
        engine.file_bytes() > DENSE_BYTES.saturating_add(rows.saturating_mul(DENSE_ROW_BYTES))
    }

    /// Has sled move the next page out of a part of its file that is half empty, if there is any.
    ///
    /// By itself it does so once for each page that it writes anew, the nearest to the beginning of the file first. Pages
    /// that are written all the time empty parts there as fast, so that it never comes to those behind, each of which is
    /// kept for a few pages that nothing changes: the file would grow for as long as there is something to write.
    pub(crate) fn move_page(&self) -> Result<(), StoreError> {
        let Self::Sled(engine) = self else { return Ok(()) };
        engine.guarded(|engine| {
            // What is there already would be no change.
            (0..CHANGES).try_for_each(|change| engine.mover.insert([0], &[change % 2]).map(|_| ()))
        })
    }

    /// Makes everything put so far durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        match self {
            Self::Sled(engine) => {
                engine.guarded(|engine| engine.db.flush())?;
                let synced = engine.blocks.sync().and_then(|()| engine.file.sync_data());
                if synced.is_err() {
                    engine.is_poisoned.store(true, Ordering::SeqCst);
                }
                synced.map_err(StoreError::io("syncing the store"))
            }
            Self::Memory(hold) => hold.sync_store().map_err(memory),
        }
    }

    /// sled must not have put a value into a file of its own, which it would never sync.
    pub(crate) fn check_blobs(&self) -> Result<(), StoreError> {
        let Self::Sled(engine) = self else { return Ok(()) };
        match fs::read_dir(&engine.blobs).map(|mut files| files.next().is_some()) {
            Ok(true) => Err(StoreError::Engine("a value went to blobs/".into())),
            _ => Ok(()),
        }
    }

    /// Bytes on disk.
    pub(crate) fn size_bytes(&self) -> u64 {
        match self {
            Self::Sled(engine) => engine.file_bytes() + engine.blocks.len().unwrap_or_default(),
            Self::Memory(_) => 0,
        }
    }
}

impl Engine {
    /// How long sled's file is.
    fn file_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |file| file.len())
    }

    fn guarded<T>(&self, work: impl FnOnce(&Self) -> Result<T, sled::Error>) -> Result<T, StoreError> {
        if self.is_poisoned.load(Ordering::SeqCst) {
            return Err(StoreError::Poisoned);
        }
        let error = match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => StoreError::Engine(error.to_string()),
            Err(panic) => panicked(panic.as_ref()),
        };
        self.is_poisoned.store(true, Ordering::SeqCst);
        Err(error)
    }
}

fn is_block(key: &[u8]) -> bool {
    key.first() == Some(&(Table::Block as u8))
}

/// The value without the rest of its place.
fn within_place(key: &[u8], value: Bytes) -> Bytes {
    if !is_block(key) {
        return value;
    }
    let len = value.get(4..6).and_then(|len| len.first_chunk()).map_or(0, |len| u16::from_be_bytes(*len));
    value.slice(..value.len().min(HEAD + usize::from(len)))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> StoreError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    StoreError::Engine(format!("panicked: {text}"))
}

fn memory(source: io::Error) -> StoreError {
    StoreError::Io { what: "blocks, or a store in memory".into(), source }
}

fn crc(key: &[u8], head: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(head);
    crc.update(payload);
    crc.finalize()
}

fn pack(value: &mut Vec<u8>, key: &[u8], payload: &[u8]) {
    value.clear();
    value.u16(MAGIC);
    value.u8(FORMAT);
    value.u8(key.first().copied().unwrap_or_default());
    value.u16(u16::try_from(payload.len()).unwrap_or(u16::MAX));
    value.u32(crc(key, value, payload));
    value.raw(payload);
}

fn unpack(key: &[u8], value: &Bytes) -> Result<Bytes, StoreError> {
    let damaged = || StoreError::Damaged { table: Table::name_of(key) };
    let (head, payload) = value.split_at_checked(HEAD).ok_or_else(damaged)?;
    if crc(key, head.get(..6).unwrap_or_default(), payload) != be32(head, 6) || !head.starts_with(&MAGIC.to_be_bytes())
    {
        return Err(damaged());
    }
    Ok(value.slice(HEAD..))
}
