//! The check: everything compared with everything, offline and without changing anything. The rows that the store must
//! have are folded again from the log, in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use postrider_protocol::Channel;

use crate::{
    Locator, OpenError, Placed, Store, StoreError,
    codec::{Marker, Row},
    disk::Disk,
    kv::Kv,
    lock::Lock,
    materialise::{Materialiser, Sizes},
    memory::{Hold, MemoryDisk},
    open::Place,
    reader::{Piece, Reader},
    retain::Low,
    scan::{self, Scan},
    slots::PerSlot,
    snapshot::{self, Snapshot},
    space::Space,
    table::{self, Table},
};

const SIZES: Sizes = Sizes { checkpoint_bytes: 16 << 20, window_bytes: 1 << 20 };

/// What is found out while the log is read.
struct Reading {
    findings: Vec<String>,
    positions: PerSlot<u64>,
    seqs: HashMap<(u32, Channel), u64>,
    /// The first entries of a channel may be gone.
    is_trimmed: bool,
}

impl Reading {
    fn entry(&mut self, placed: &Placed, locator: Locator) {
        let at = format!("log, segment {} byte {}", locator.segment, locator.offset);
        if !placed.entry.is_sound() {
            self.findings.push(format!("{at}: TLVs or body are damaged"));
        }
        let last = self.positions.at_mut(placed.slot);
        if placed.position != *last + 1 {
            self.findings.push(format!("{at}: position {} of slot {} after {last}", placed.position, placed.slot));
        }
        *last = placed.position;
        match placed.entry.image() {
            Err(error) => self.findings.push(format!("{at}: no image: {error}")),
            Ok(image) => {
                if image.channel.slot(placed.entry.tenant) != placed.slot {
                    self.findings.push(format!("{at}: {:?} in slot {}", image.channel, placed.slot));
                }
                if image.seq > 0 {
                    let before = if self.is_trimmed { image.seq - 1 } else { 0 };
                    let last = self.seqs.entry((placed.entry.tenant, image.channel.detached())).or_insert(before);
                    if image.seq != *last + 1 {
                        self.findings.push(format!("{at}: seq {} of {:?} after {last}", image.seq, image.channel));
                    }
                    *last = image.seq;
                }
            }
        }
    }
}

/// Checks a data directory whose lock is `lock`.
pub(crate) fn run(data: &Place, lock: Arc<Lock>) -> Result<Vec<String>, OpenError> {
    let (disk, id) = (&data.disk, data.id);
    let mut findings = Vec::new();
    let (low, snapshot) = low(data, &mut findings)?;
    let found = find(data, &low, &lock, &mut findings)?;
    let memory = MemoryDisk::new();
    let (expected, mut materialiser) = fold_anew(&memory, data, &lock, snapshot.as_ref().map(|found| (found, &low)))?;
    let is_covered = |slot, position| found.as_ref().is_some_and(|(_, marker)| position <= *marker.covered.at(slot));
    let (positions, is_trimmed) = (low.positions.clone(), low.first > 1);
    let mut reading = Reading { findings, positions, seqs: HashMap::new(), is_trimmed };
    let scan = scan::scan::<OpenError>(disk, id, low.first, &low.positions, &mut |mut written, _| {
        let entries = (0..written.len()).filter_map(|at| written.placed(at).zip(written.locator(at)));
        entries.for_each(|(placed, locator)| reading.entry(&placed, locator));
        written.retain(|record| is_covered(record.slot, record.position));
        materialiser.feed(Arc::new(written));
        if materialiser.is_enough() { Ok(materialiser.checkpoint_now()?) } else { Ok(()) }
    })?;
    materialiser.checkpoint_now()?;
    let mut findings = reading.findings;
    of_scan(&scan, &mut findings);
    if let Some((found, marker)) = &found {
        // A checkpoint that was not ended may have put its blocks in the places of older ones.
        let oldest_block = intent_of(found, marker)?.map_or(marker.oldest_block, |intent| intent.oldest_block);
        found.show(&Marker { oldest_block, ..marker.clone() });
        images(found, &mut findings)?;
        if low.first <= 1 || snapshot.is_some() {
            compare(found, &expected, marker, &mut findings)?;
        }
    }
    Ok(findings)
}

/// Where the log begins, and the newest snapshot that stands for what was before.
fn low(data: &Place, findings: &mut Vec<String>) -> Result<(Low, Option<Snapshot>), OpenError> {
    let (low, is_whole) = Low::load(&data.folder, &data.disk, data.id)?;
    if !is_whole {
        findings.push("LOW: it is damaged".into());
    }
    let mut newest = None;
    for snapshot in snapshot::list(&data.folder, data.id)? {
        if !snapshot.is_whole(&data.folder, data.id)? {
            findings.push(format!("{}: it is damaged", snapshot.name()));
        } else if newest.is_none() && snapshot.covers(&low.positions) {
            newest = Some(snapshot);
        }
    }
    let newest = newest.filter(|_| low.first > 1);
    if low.first > 1 && newest.is_none() {
        findings.push("no snapshot is whole: the store could not be rebuilt".into());
    }
    Ok((low, newest))
}

/// The store and its marker, if it is there and can be read.
fn find(
    data: &Place,
    low: &Low,
    lock: &Arc<Lock>,
    findings: &mut Vec<String>,
) -> Result<Option<(Store, Marker)>, OpenError> {
    let Some(store) = &data.store else { return Ok(None) };
    if !store.join("db").exists() {
        findings.push("store: it is missing; the next start rebuilds it".into());
        return Ok(None);
    }
    let found = match Kv::open(store, 64 << 20) {
        Ok(kv) => Store::new(kv, Reader::new(data.disk.clone()), Space::endless(), Arc::clone(lock)),
        Err(error) => {
            findings.push(format!("store: {error}"));
            return Ok(None);
        }
    };
    found.set_first(low.first);
    match found.kv().get(&table::marker()) {
        Ok(Some(payload)) => {
            let marker = Marker::decode(Table::Marker, payload)?;
            return Ok(Some((found, marker)));
        }
        Ok(None) => findings.push("store: no marker".into()),
        Err(error) => findings.push(format!("store: {error}")),
    }
    Ok(None)
}

/// A store in memory to fold into; empty but for what a snapshot stands for.
fn fold_anew(
    memory: &MemoryDisk,
    data: &Place,
    lock: &Arc<Lock>,
    snapshot: Option<(&Snapshot, &Low)>,
) -> Result<(Arc<Store>, Materialiser), OpenError> {
    let hold = Hold::take(memory).ok_or(OpenError::Options("memory is in use"))?;
    let reader = Reader::new(Disk::Memory(hold.clone()));
    let kv = Kv::Memory(hold);
    let load = |(snapshot, low): (&Snapshot, &Low)| {
        snapshot.load(&data.folder, &kv, (Marker::new(data.id), &low.positions)).map(|(marker, _)| marker)
    };
    let marker = snapshot.map(load).transpose()?;
    let store = Arc::new(Store::new(kv, reader, Space::endless(), Arc::clone(lock)));
    let materialiser = Materialiser::start(Arc::clone(&store), SIZES, Arc::new(PerSlot::default()), marker, data.id)?;
    Ok((store, materialiser))
}

fn of_scan(scan: &Scan, findings: &mut Vec<String>) {
    findings.extend(scan.oddities.iter().map(|what| format!("log: {what}")));
    for loss in &scan.losses {
        let (segment, offset) = (loss.segment, loss.offset);
        findings.push(format!(
            "log, segment {segment} byte {offset}: batches {} to {} are damaged or gone, {} entries can be read",
            loss.first, loss.last, loss.salvaged
        ));
    }
}

/// What a checkpoint was about to do that was not ended.
fn intent_of(found: &Store, marker: &Marker) -> Result<Option<Marker>, StoreError> {
    let payload = found.kv().get(&table::intent())?;
    let intent = payload.map(|payload| Marker::decode(Table::Intent, payload)).transpose()?;
    Ok(intent.filter(|intent| intent.sequence > marker.sequence))
}

/// Compares the store with what the log folds to, as far as the store covers the log. A process that was killed leaves
/// a store behind its log, and perhaps a checkpoint half done; the next start goes on there.
fn compare(found: &Store, expected: &Store, marker: &Marker, findings: &mut Vec<String>) -> Result<(), OpenError> {
    if intent_of(found, marker)?.is_some() {
        return Ok(());
    }
    let counts = found.kv().count();
    match counts.as_ref().map(|counts| marker.differs(counts)) {
        Ok(None) => {}
        Ok(Some((table, must, is))) => {
            let name = Table::name_of(&[table as u8]);
            findings.push(format!("store: table {name} has {is} keys and not {must}"));
        }
        Err(error) => findings.push(format!("store: {error}")),
    }
    for table in Table::STATE {
        let (found, expected) = (rows(found.kv(), table)?, rows(expected.kv(), table)?);
        let keys = found.keys().chain(expected.keys().filter(|key| !found.contains_key(*key)));
        for key in keys {
            let (found, expected) = (found.get(key), expected.get(key));
            if found != expected {
                let name = Table::name_of(&[table as u8]);
                let what = if found.is_none() { "is missing" } else { "differs from what the log says" };
                findings.push(format!("store: {name} row {} {what}", key.escape_ascii()));
            }
        }
    }
    Ok(())
}

/// The rows of a table; of channels without their places, which depend on the blocks.
fn rows(kv: &Kv, table: Table) -> Result<BTreeMap<Vec<u8>, Option<Vec<u8>>>, StoreError> {
    let mut rows = BTreeMap::new();
    kv.scan(&[table as u8], &mut |key, payload| {
        let row = match payload {
            Ok(payload) if table == Table::Channel => payload.get(..28).map(<[u8]>::to_vec),
            Ok(payload) => Some(payload.to_vec()),
            Err(_) => None,
        };
        rows.insert(key.to_vec(), row);
        Ok(true)
    })?;
    Ok(rows)
}

/// Reads every image of the store from its block and from the log.
fn images(store: &Store, findings: &mut Vec<String>) -> Result<(), OpenError> {
    let mut channels = Vec::new();
    store.kv().scan(&[Table::Channel as u8], &mut |key, _| {
        let tenant = crate::entry::be32(key, 1);
        let channel = key.get(5..).and_then(|channel| Channel::new(channel.to_vec().into()));
        channels.extend(channel.map(|channel| (tenant, channel)));
        Ok(true)
    })?;
    for (tenant, channel) in channels {
        if let Err(error) = images_of(store, tenant, &channel, findings) {
            findings.push(format!("store: {channel:?}: {error}"));
        }
    }
    Ok(())
}

fn images_of(store: &Store, tenant: u32, channel: &Channel, findings: &mut Vec<String>) -> Result<(), StoreError> {
    let Some(stored) = store.stored_channel(tenant, channel)? else { return Ok(()) };
    let (mut page, mut block, mut piece) = (None, None, Piece::default());
    for seq in store.trimmed_of(tenant, channel, &stored, 1)? + 1..=stored.row.head {
        let Some(place) = store.place(tenant, channel, &stored, seq, &mut page)? else { continue };
        let is_it = |entry: &crate::Entry| entry.is(tenant, channel, seq) && entry.is_sound();
        if !store.reader().entry(place.locator, &mut piece)?.as_ref().is_some_and(is_it) {
            findings.push(format!("log: {channel:?} seq {seq} cannot be read"));
        }
        if store.has_block(place) && !store.block_entry(place, &mut block)?.as_ref().is_some_and(is_it) {
            findings.push(format!("store: {channel:?} seq {seq} is not in its block"));
        }
    }
    Ok(())
}
