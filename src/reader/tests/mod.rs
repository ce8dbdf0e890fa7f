//! A server without sessions, for the reader: what was appended is durable, shown, and fed to the store.

mod marks;
mod unread;

use std::collections::BTreeMap;
use std::sync::Arc;

use postrider_protocol::{Channel, From, Id, ImageView, Kind, Sender, Tlvs, frame};
use postrider_storage::{
    Crash, Entry, Log, Materialiser, MemoryDisk, Options, SLOTS, StateKey, StateRow, fold, open_memory,
};

use super::{Asker, ReadLimits, Reader};
use crate::{
    hub::Hub,
    lookup::Lookup,
    metrics::Metrics,
    notice::Notices,
    outbox::OutboxBounds,
    presence::Presence,
    quota::{Limits, Quotas},
    slot::{Accepted, Audience, Decided, Run},
    uncovered::Change,
    view::View,
};

fn user(at: usize) -> Id {
    format!("user-{at}").parse().unwrap()
}

fn asker(at: usize) -> Asker {
    Asker { tenant: 0, user: user(at), device: None, is_system: false }
}

/// See the module.
struct World {
    disk: MemoryDisk,
    log: Log,
    materialiser: Materialiser,
    view: Arc<View>,
    reader: Reader,
    rows: BTreeMap<(Channel, StateKey), Option<StateRow>>,
    positions: BTreeMap<u8, u64>,
    heads: BTreeMap<Channel, u64>,
    now_ms: u64,
    /// What is decided and not appended yet.
    next: Decided,
}

impl World {
    fn new() -> Self {
        let disk = MemoryDisk::new();
        let (log, materialiser, view, reader) = Self::open(&disk);
        let (rows, positions, heads) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (now_ms, next) = (1_000_000, Decided::default());
        Self { disk, log, materialiser, view, reader, rows, positions, heads, now_ms, next }
    }

    fn open(disk: &MemoryDisk) -> (Log, Materialiser, Arc<View>, Reader) {
        let sizes = Options { segment_bytes: 256 << 10, checkpoint_bytes: 64 << 10, ..Options::new("memory") };
        let opened =
            open_memory(disk, &Options { window_bytes: 128 << 10, reserve_bytes: 0, ballast_bytes: 0, ..sizes });
        let opened = opened.unwrap();
        let view = Arc::new(View::new(&opened.slots));
        let lookup = Lookup::new(opened.store, Arc::clone(&view));
        let limits = ReadLimits { page: 50, page_max: 100, window: 1_000, age_ms: 1_000_000_000 };
        let (hub, metrics) = (Arc::new(Hub::default()), Arc::new(Metrics::new()));
        let bounds = Arc::new(OutboxBounds::new(1 << 18, 1_000, 1 << 28));
        let presence = Presence::local(Arc::clone(&hub), 10_000);
        let notices = Notices::new(Arc::clone(&hub), bounds, lookup.clone(), Arc::clone(&metrics), presence);
        let quotas = Arc::new(Quotas::new(Limits::default()));
        let reader = Reader::new(lookup, (hub, Arc::new(notices)), quotas, limits, metrics);
        (opened.log, opened.materialiser, view, reader)
    }

    fn head(&self, channel: &Channel) -> u64 {
        self.heads.get(channel).copied().unwrap_or_default()
    }

    /// Decides one entry.
    fn entry(&mut self, (kind, flags): (u8, u16), by: usize, channel: &Channel, tlvs: &Tlvs, body: &[u8], read: u64) {
        let from = From::of(&user(by), channel);
        let mut seq = 0;
        if kind < fold::CURSOR_KIND {
            seq = self.head(channel) + 1;
            self.heads.insert(channel.clone(), seq);
        }
        self.now_ms += 1;
        let (time_ms, sender) = (self.now_ms, Sender::from_bytes([0; 8]));
        let view = ImageView { kind, flags, seq, time_ms, channel, from: &from, sender, number: 0, tlvs, body };
        let start = self.next.frames.len();
        let head_len = frame::append(&mut self.next.frames, Kind::Recv, |out| view.write(out));
        let mut bytes = Vec::new();
        view.write(&mut bytes);
        let entry = Entry::new(0, 0, read, bytes.into(), head_len as u32);
        let slot = channel.slot(0);
        let position = self.positions.entry(slot).or_default();
        *position += 1;
        let position = *position;
        let image = entry.image().unwrap();
        let fold = |key: StateKey| {
            let row = self.rows.entry((channel.clone(), key.clone())).or_default();
            fold::apply(&key, row, position, &image, read);
            Change { key, position, row: row.clone() }
        };
        let changes = fold::changed(&image, read).into_iter().map(fold).collect();
        let frame = (start as u32, (self.next.frames.len() - start) as u32);
        let (head_len, crc) = (head_len as u32, entry.crc);
        self.next.accepted.push(Accepted { position, seq, time_ms, oldest: 0, read, frame, head_len, crc });
        let (audience, channel) = (Audience::Nobody, channel.clone());
        self.next.runs.push(Run { slot, tenant: 0, channel, count: 1, audience, except: 0, changes });
    }

    /// Makes what is decided durable, if anything is.
    fn commit(&mut self) {
        if self.next.accepted.is_empty() {
            return;
        }
        let batch = [std::mem::take(&mut self.next)];
        let ticket = self.log.append(&[1; SLOTS], batch.iter().flat_map(Decided::entries)).unwrap();
        let written = self.log.wait(ticket).unwrap();
        self.view.commit(&batch, &written);
        self.materialiser.feed(written);
        if self.materialiser.is_due() {
            self.materialiser.checkpoint().unwrap();
            let store = Arc::clone(self.reader.lookup.store());
            self.view.release(|slot| store.covered(slot));
        }
    }

    /// Loses what is not synced and begins again.
    fn crash(self) -> Self {
        self.disk.crash(Crash::default());
        let Self { disk, rows, positions, heads, now_ms, next, .. } = self;
        let (log, materialiser, view, reader) = Self::open(&disk);
        Self { disk, log, materialiser, view, reader, rows, positions, heads, now_ms, next }
    }
}
