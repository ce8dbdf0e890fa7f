//! The store brought up to the log at a start: what is new in the log is added to it, and a store that is missing or
//! unfit is rebuilt, from the log and, where that does not begin at its beginning any more, from a snapshot.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    Materialiser, OpenError, Progress, Store, StoreError, Written,
    codec::{Marker, Row},
    disk::Disk,
    kv::Kv,
    log::Epochs,
    materialise::Sizes,
    open::Opening,
    reader::Reader,
    retain::{Contents, Keeper, Low},
    scan::{self, Scan},
    slots::PerSlot,
    snapshot::{self, Snapshot},
    table::{self, Table},
};

/// A store brought up to the log.
pub(crate) struct Filled {
    pub materialiser: Materialiser,
    pub store: Arc<Store>,
    pub epochs: Epochs,
    pub scan: Scan,
}

/// Why a store could not be brought up to the log.
pub(crate) enum Unfit {
    /// The log or the system is at fault: rebuilding does not help.
    Fatal(OpenError),
    /// The store is.
    Store(String),
}

impl From<io::Error> for Unfit {
    fn from(source: io::Error) -> Self {
        Self::Fatal(source.into())
    }
}

impl From<OpenError> for Unfit {
    fn from(error: OpenError) -> Self {
        Self::Fatal(error)
    }
}

impl From<StoreError> for Unfit {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full | StoreError::Io { .. } => Self::Fatal(error.into()),
            _ => Self::Store(error.to_string()),
        }
    }
}

/// A store that is open, and where it stands.
struct Begun {
    kv: Kv,
    low: Low,
    marker: Option<Marker>,
    intent: Option<Marker>,
    /// Index pages that the intent lets go of.
    pages: Vec<Vec<u8>>,
    /// No row of the snapshot is newer, if one was loaded.
    ends: Option<PerSlot<u64>>,
}

impl Opening<'_> {
    /// Opens the store and puts into it what the log has and it has not.
    pub(crate) fn fill(&mut self, rebuild: bool) -> Result<Filled, Unfit> {
        let Begun { kv, low, marker, mut intent, pages, ends } = self.begin(rebuild)?;
        let from = marker.as_ref().map_or(1, |marker| marker.segment.max(1));
        // What recovery keeps may be in the page cache alone, after a process was killed; the store must not be ahead.
        for number in self.place.disk.segments()?.into_iter().filter(|&number| number >= from) {
            self.place.disk.open(number)?.sync_data()?;
        }
        let total_bytes = self.place.disk.len_from(from)?;
        let reader = Reader::new(self.place.disk.clone());
        let store = Arc::new(Store::new(kv, reader, self.space.clone(), Arc::clone(&self.lock)));
        store.set_first(low.first);
        let sizes = Sizes { checkpoint_bytes: self.options.checkpoint_bytes, window_bytes: self.options.window_bytes };
        let epochs: Epochs = Arc::new(PerSlot::default());
        let covered = marker.as_ref().map(|marker| marker.covered.clone()).unwrap_or_default();
        let mut materialiser =
            Materialiser::start(Arc::clone(&store), sizes, Arc::clone(&epochs), marker, self.place.id)?;
        let mut entries = 0;
        let progress = &mut self.progress;
        let mut take = |written: Option<Written>, bytes| {
            if let Some(written) = written {
                entries += written.len() as u64;
                materialiser.feed(Arc::new(written));
            }
            if let Some(unfinished) = &intent {
                if materialiser.redo(unfinished, &pages)? {
                    check_counts(store.kv(), unfinished)?;
                    intent = None;
                }
            } else if materialiser.is_enough() {
                progress(Progress { rebuild, entries, bytes, total_bytes });
                materialiser.checkpoint_now()?;
            }
            Ok(())
        };
        // One that only trims needs no entries.
        take(None, 0)?;
        let (disk, id) = (&self.place.disk, self.place.id);
        let mut sink = |written, bytes| take(Some(written), bytes);
        let mut scan = scan::scan::<Unfit>(disk, id, from, &covered, &mut sink)?;
        if intent.is_some() {
            return Err(Unfit::Store("entries of an unfinished checkpoint are gone from the log".into()));
        }
        for slot in 0..=255 {
            let epoch = (*scan.epochs.at(slot)).max(materialiser.slot(slot).epoch).max(1);
            epochs.at(slot).store(epoch, Ordering::Relaxed);
            // Rows that the snapshot has of entries that the log has lost.
            let end = ends.as_ref().map_or(0, |ends| *ends.at(slot));
            if end > *scan.positions.at(slot) {
                (*scan.positions.at_mut(slot), *scan.raise.at_mut(slot)) = (end, true);
            }
        }
        materialiser.checkpoint_now()?;
        (self.progress)(Progress { rebuild, entries, bytes: total_bytes, total_bytes });
        let keeper = Keeper::new(self.place.folder.clone(), disk.clone(), id, self.options.retention, low)?;
        keeper.finish(&mut materialiser)?;
        *materialiser.keeper() = Some(keeper);
        // What was taken back before the stop; what goes away by its time is for who has a clock.
        while materialiser.erase(0)? {}
        Ok(Filled { materialiser, store, epochs, scan })
    }

    /// Opens the store; an empty one gets what the log does not have any more.
    fn begin(&self, rebuild: bool) -> Result<Begun, Unfit> {
        let kv = match (&self.place.store, &self.place.disk) {
            (Some(dir), _) => Kv::open(dir, self.options.cache_bytes)?,
            (None, Disk::Memory(hold)) => Kv::Memory(hold.clone()),
            (None, Disk::Files(_)) => return Err(Unfit::Store("no place".into())),
        };
        let (marker, intent) = read_marker(&kv, self.place.id)?;
        let low = self.low()?;
        let Some(marker) = marker else {
            if !rebuild && self.has_entries()? {
                return Err(Unfit::Store("it is missing".into()));
            }
            let (mut marker, mut ends) = (None, None);
            if let Some(snapshot) = self.snapshot(&low)? {
                let mut new = Marker::new(self.place.id);
                (new.segment, new.first) = (low.first, low.first);
                let (loaded, positions) = snapshot.load(&self.place.folder, &kv, (new, &low.positions))?;
                (marker, ends) = (Some(loaded), Some(positions));
            }
            return Ok(Begun { kv, low, marker, intent: None, pages: Vec::new(), ends });
        };
        let mut pages = Vec::new();
        match &intent {
            None => check_counts(&kv, &marker)?,
            Some(intent) => {
                let of_trim = |number: &u32| (marker.first..intent.first).contains(number);
                for number in self.place.disk.segments()?.into_iter().filter(of_trim) {
                    pages.extend(Contents::read(&self.place.disk, self.place.id, number)?.pages);
                }
            }
        }
        Ok(Begun { kv, low, marker: Some(marker), intent, pages, ends: None })
    }

    /// Where the log begins.
    fn low(&self) -> io::Result<Low> {
        let (low, is_whole) = Low::load(&self.place.folder, &self.place.disk, self.place.id)?;
        if !is_whole {
            tracing::error!("LOW is damaged: the log is taken to begin with its oldest segment");
        }
        Ok(low)
    }

    /// The newest snapshot that is whole, if one is needed for a rebuild.
    fn snapshot(&self, low: &Low) -> Result<Option<Snapshot>, OpenError> {
        if low.first <= 1 {
            return Ok(None);
        }
        let (folder, id) = (&self.place.folder, self.place.id);
        let mut damaged: Vec<String> = Vec::new();
        for snapshot in snapshot::list(folder, id)? {
            if snapshot.covers(&low.positions) && snapshot.is_whole(folder, id)? {
                // They are not to count as one that is there.
                damaged.iter().try_for_each(|name| folder.remove(name))?;
                return Ok(Some(snapshot));
            }
            tracing::error!(file = snapshot.name(), "a snapshot is damaged");
            damaged.push(snapshot.name());
        }
        let path = self.options.path.clone();
        let what = "the store is unfit, the log was trimmed, and no snapshot is whole: restore a backup".into();
        Err(OpenError::NotWhole { path, what })
    }

    /// Sees to it that a store that is set aside can be rebuilt.
    pub(crate) fn look_for_snapshot(&self) -> Result<(), OpenError> {
        self.snapshot(&self.low()?).map(|_| ())
    }

    fn has_entries(&self) -> Result<bool, Unfit> {
        for number in self.place.disk.segments()? {
            let bytes = self.place.disk.read_all(number)?;
            if bytes.get(crate::segment::SEGMENT_HEAD..).is_some_and(|rest| rest.iter().any(|&byte| byte != 0)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The marker, if the store is not new, and the intent, if it was not carried out.
fn read_marker(kv: &Kv, id: u64) -> Result<(Option<Marker>, Option<Marker>), Unfit> {
    let read = |key: Vec<u8>| {
        let payload = kv.get(&key)?;
        payload.map(|payload| Marker::decode(Table::Marker, payload)).transpose()
    };
    let Some(marker) = read(table::marker())? else {
        let is_new = kv.is_empty()?;
        return if is_new { Ok((None, None)) } else { Err(Unfit::Store("it has no marker".into())) };
    };
    if marker.id != id {
        return Err(Unfit::Store("it belongs to another log".into()));
    }
    let intent = read(table::intent())?;
    match &intent {
        None if marker.sequence > 0 => Err(Unfit::Store("it has no intent".into())),
        Some(found) if found.sequence > marker.sequence => Ok((Some(marker), intent)),
        _ => Ok((Some(marker), None)),
    }
}

fn check_counts(kv: &Kv, marker: &Marker) -> Result<(), Unfit> {
    match marker.differs(&kv.count()?) {
        Some((table, must, is)) => {
            let name = Table::name_of(&[table as u8]);
            Err(Unfit::Store(format!("table {name} has {is} keys and not {must}")))
        }
        None => Ok(()),
    }
}
