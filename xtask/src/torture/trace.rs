//! What a preloaded tracer wrote down of a program's writes and syncs, and the crash images that follow from it: a
//! power cut leaves everything that was synced, and of the rest what it likes, page by page.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
};

use super::chance::Chance;
use crate::{Result, step};

/// The unit that a drive keeps or forgets.
const PAGE: u64 = 4096;

/// Compiles the tracer into `work`.
pub fn tracer(work: &Path) -> Result<PathBuf> {
    step::require("cc", "gcc")?;
    let (source, library) = (work.join("trace.c"), work.join("trace.so"));
    fs::write(&source, include_str!("trace.c"))?;
    step::run(Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl"))?;
    Ok(library)
}

/// What happened, one after the other; `object` is a file's or folder's own number.
#[derive(Clone, Debug)]
enum Record {
    Created { object: u64, path: PathBuf },
    Folder { object: u64, path: PathBuf },
    Written { object: u64, at: u64, bytes: Range<usize> },
    Resized { object: u64, len: u64 },
    Renamed { from: PathBuf, to: PathBuf },
    Removed { path: PathBuf },
    SyncBegins { object: u64 },
    SyncDone { object: u64 },
    SyncFailed { object: u64 },
    Said { bytes: Range<usize> },
}

/// A trace: the records, and the bytes they point into.
pub struct Trace {
    bytes: Vec<u8>,
    records: Vec<Record>,
}

impl Trace {
    /// Reads a trace of what happened below `dir`; paths become relative to it.
    pub fn read(file: &Path, dir: &Path) -> Result<Self> {
        Self::parse(fs::read(file)?, dir)
    }

    fn parse(bytes: Vec<u8>, dir: &Path) -> Result<Self> {
        let (mut records, mut at) = (Vec::new(), 0);
        while let Some((head, _)) = bytes.get(at..).and_then(|rest| rest.split_first_chunk::<21>()) {
            let number = |range: Range<usize>| {
                head.get(range).unwrap_or_default().iter().rev().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte))
            };
            let (object, offset) = (number(1..9), number(9..17));
            let data = at + 21..at + 21 + usize::try_from(number(17..21))?;
            let text = bytes.get(data.clone()).ok_or("the trace ends within a record")?;
            let path = |text: &[u8]| {
                let path = PathBuf::from(String::from_utf8_lossy(text).into_owned());
                path.strip_prefix(dir).map_or_else(|_| path.clone(), Path::to_path_buf)
            };
            at = data.end;
            records.push(match head.first() {
                Some(b'C') => Record::Created { object, path: path(text) },
                Some(b'M') => Record::Folder { object, path: path(text) },
                Some(b'W') => Record::Written { object, at: offset, bytes: data },
                Some(b'T') => Record::Resized { object, len: offset },
                Some(b'R') => {
                    let mut both = text.splitn(2, |byte| *byte == 0);
                    let (from, to) = (both.next().unwrap_or_default(), both.next().unwrap_or_default());
                    Record::Renamed { from: path(from), to: path(to) }
                }
                Some(b'U') => Record::Removed { path: path(text) },
                Some(b's') => Record::SyncBegins { object },
                Some(b'S') => Record::SyncDone { object },
                Some(b'F') => Record::SyncFailed { object },
                Some(b'A') => Record::Said { bytes: data },
                kind => return Err(format!("a record of kind {kind:?} in the trace").into()),
            });
        }
        Ok(Self { bytes, records })
    }

    /// How many records there are.
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// Indices of the records by which the program said something.
    pub fn said(&self) -> Vec<usize> {
        let said = self.records.iter().enumerate().filter(|(_, record)| matches!(record, Record::Said { .. }));
        said.map(|(at, _)| at).collect()
    }

    /// How many syncs were completed.
    pub fn syncs(&self) -> usize {
        self.records.iter().filter(|record| matches!(record, Record::SyncDone { .. })).count()
    }

    fn data(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}

/// A change of a file that is not synced.
#[derive(Clone, Debug)]
enum Change {
    Write { at: u64, bytes: Range<usize> },
    Resize { len: u64 },
}

/// A file or a folder: what is synced, what is not, and how many of the unsynced changes each running sync covers.
#[derive(Default)]
struct Object {
    content: Vec<u8>,
    changes: Vec<Change>,
    running: VecDeque<usize>,
}

/// A change of names that is not synced.
#[derive(Clone, Debug)]
enum Naming {
    File { path: PathBuf, object: usize },
    Folder { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
}

/// The names in one folder.
#[derive(Default)]
struct Folder {
    changes: Vec<Naming>,
    running: VecDeque<usize>,
}

/// What is where: files by object, folders without one.
type Names = BTreeMap<PathBuf, Option<usize>>;

/// A disk that has followed a trace up to some record.
pub struct Disk<'a> {
    trace: &'a Trace,
    at: usize,
    objects: Vec<Object>,
    /// Inodes now in use.
    live: BTreeMap<u64, usize>,
    folders: BTreeMap<PathBuf, Folder>,
    folder_objects: BTreeMap<u64, PathBuf>,
    synced: Names,
    /// Everything said so far.
    pub said: Vec<u8>,
}

impl<'a> Disk<'a> {
    /// A disk at the beginning of `trace`, whose root folder has this inode.
    pub fn new(trace: &'a Trace, root: u64) -> Self {
        Self {
            trace,
            at: 0,
            objects: Vec::new(),
            live: BTreeMap::new(),
            folders: BTreeMap::new(),
            folder_objects: BTreeMap::from([(root, PathBuf::new())]),
            synced: Names::new(),
            said: Vec::new(),
        }
    }

    /// Follows the trace up to record `end`, exclusive.
    pub fn follow(&mut self, end: usize) {
        let trace = self.trace;
        for record in trace.records.get(self.at..end).unwrap_or_default() {
            self.take(record);
        }
        self.at = self.at.max(end);
    }

    fn take(&mut self, record: &Record) {
        match record {
            Record::Created { object, path } => {
                let index = self.objects.len();
                self.objects.push(Object::default());
                self.live.insert(*object, index);
                self.rename(path, Naming::File { path: path.clone(), object: index });
            }
            Record::Folder { object, path } => {
                self.folder_objects.insert(*object, path.clone());
                self.rename(path, Naming::Folder { path: path.clone() });
            }
            Record::Written { object, at, bytes } => {
                self.change(*object, Change::Write { at: *at, bytes: bytes.clone() });
            }
            Record::Resized { object, len } => self.change(*object, Change::Resize { len: *len }),
            Record::Renamed { from, to } => {
                self.rename(to, Naming::Rename { from: from.clone(), to: to.clone() });
            }
            Record::Removed { path } => self.rename(path, Naming::Remove { path: path.clone() }),
            Record::SyncBegins { object } => self.sync_begins(*object),
            Record::SyncDone { object } => self.sync_ends(*object, true),
            Record::SyncFailed { object } => self.sync_ends(*object, false),
            Record::Said { bytes } => self.said.extend_from_slice(self.trace.data(bytes)),
        }
    }

    fn rename(&mut self, path: &Path, naming: Naming) {
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        self.folders.entry(folder).or_default().changes.push(naming);
    }

    fn change(&mut self, object: u64, change: Change) {
        if let Some(file) = self.live.get(&object).and_then(|index| self.objects.get_mut(*index)) {
            file.changes.push(change);
        }
    }

    fn sync_begins(&mut self, object: u64) {
        if let Some(path) = self.folder_objects.get(&object) {
            let folder = self.folders.entry(path.clone()).or_default();
            folder.running.push_back(folder.changes.len());
        } else if let Some(file) = self.live.get(&object).and_then(|index| self.objects.get_mut(*index)) {
            file.running.push_back(file.changes.len());
        }
    }

    /// Of several syncs at once the oldest counts as the one that ended: it covers the least.
    fn sync_ends(&mut self, object: u64, is_done: bool) {
        if let Some(path) = self.folder_objects.get(&object) {
            let folder = self.folders.entry(path.clone()).or_default();
            let covered = folder.running.pop_front().unwrap_or_default();
            if is_done {
                folder.running.iter_mut().for_each(|mark| *mark = mark.saturating_sub(covered));
                let settled: Vec<Naming> = folder.changes.drain(..covered.min(folder.changes.len())).collect();
                settled.iter().for_each(|naming| apply_naming(&mut self.synced, naming));
            }
        } else if let Some(file) = self.live.get(&object).and_then(|index| self.objects.get_mut(*index)) {
            let covered = file.running.pop_front().unwrap_or_default();
            if is_done {
                file.running.iter_mut().for_each(|mark| *mark = mark.saturating_sub(covered));
                let settled: Vec<Change> = file.changes.drain(..covered.min(file.changes.len())).collect();
                settled.iter().for_each(|change| apply(&mut file.content, change, self.trace));
            }
        }
    }

    /// Writes to `dir` what a power cut at this moment may leave, as `chance` decides.
    pub fn image(&self, dir: &Path, chance: &mut Chance) -> Result {
        let mut names = self.synced.clone();
        for folder in self.folders.values() {
            // Names are kept by a journal: in order, up to somewhere.
            let kept = chance.index(folder.changes.len() + 1);
            folder.changes.iter().take(kept).for_each(|naming| apply_naming(&mut names, naming));
        }
        // How willing this drive is: from nothing at all to everything.
        let willing = [0, 10, 50, 90, 100].get(chance.index(5)).copied().unwrap_or(50);
        fs::create_dir_all(dir)?;
        for (path, object) in &names {
            let path = dir.join(path);
            match object.and_then(|index| self.objects.get(index)) {
                None => fs::create_dir_all(path)?,
                Some(object) => {
                    fs::create_dir_all(path.parent().unwrap_or(dir))?;
                    fs::write(path, object.after_cut(self.trace, willing, chance))?;
                }
            }
        }
        Ok(())
    }
}

impl Object {
    /// The synced content, and of each page written since then none, some or all of its writes, in their order: a page
    /// reaches the drive whole, as it was at some moment.
    fn after_cut(&self, trace: &Trace, willing: u64, chance: &mut Chance) -> Vec<u8> {
        let mut writes: BTreeMap<u64, usize> = BTreeMap::new();
        for change in &self.changes {
            for page in change.pages() {
                *writes.entry(page).or_default() += 1;
            }
        }
        let mut kept: BTreeMap<u64, usize> = BTreeMap::new();
        for (page, count) in writes {
            let all = chance.below(100) < willing;
            kept.insert(
                page,
                if all {
                    count
                } else if chance.once_in(4) {
                    chance.index(count)
                } else {
                    0
                },
            );
        }
        let mut content = self.content.clone();
        for change in &self.changes {
            match change {
                Change::Resize { .. } if chance.below(100) < willing => apply(&mut content, change, trace),
                Change::Resize { .. } => {}
                Change::Write { at, bytes } => {
                    for page in change.pages() {
                        let left = kept.entry(page).or_default();
                        if *left > 0 {
                            *left -= 1;
                            apply(&mut content, &piece(*at, bytes, page), trace);
                        }
                    }
                }
            }
        }
        content
    }
}

impl Change {
    fn pages(&self) -> Range<u64> {
        match self {
            Self::Write { at, bytes } => at / PAGE..(at + bytes.len() as u64).div_ceil(PAGE),
            Self::Resize { .. } => 0..0,
        }
    }
}

/// The part of a write that lies in `page`.
fn piece(at: u64, bytes: &Range<usize>, page: u64) -> Change {
    let end = at + bytes.len() as u64;
    let (from, to) = (at.max(page * PAGE), end.min((page + 1) * PAGE));
    let skip = |offset: u64| bytes.start + usize::try_from(offset - at).unwrap_or_default();
    Change::Write { at: from, bytes: skip(from)..skip(to) }
}

fn apply(content: &mut Vec<u8>, change: &Change, trace: &Trace) {
    match change {
        Change::Resize { len } => content.resize(usize::try_from(*len).unwrap_or_default(), 0),
        Change::Write { at, bytes } => {
            let start = usize::try_from(*at).unwrap_or_default();
            let end = start + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            if let Some(place) = content.get_mut(start..end) {
                place.copy_from_slice(trace.data(bytes));
            }
        }
    }
}

fn apply_naming(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::File { path, object } => drop(names.insert(path.clone(), Some(*object))),
        Naming::Folder { path } => drop(names.insert(path.clone(), None)),
        Naming::Remove { path } => drop(names.remove(path)),
        Naming::Rename { from, to } => {
            let inside: Vec<PathBuf> = names.keys().filter(|path| path.starts_with(from)).cloned().collect();
            for path in inside {
                if let (Some(object), Ok(rest)) = (names.remove(&path), path.strip_prefix(from)) {
                    let moved = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                    names.insert(moved, object);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
