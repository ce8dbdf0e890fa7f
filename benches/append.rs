//! The log beside a plain file with the same group commits, and the way from log to store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod timing;

use std::{fs::File, io::Write as _};

use bytes::Bytes;
use postrider_protocol::{Channel, From, Id, Image, Sender, SenderKind, Tlvs};
use postrider_storage::{Entry, MemoryDisk, Options, Placed, SLOTS};
use timing::measure;

/// Entries of one commit.
const BATCHES: [usize; 3] = [1, 64, 1_024];

/// Messages over 64 channels, seqs and positions without holes.
struct Source {
    channels: Vec<(Channel, u8, u64)>,
    positions: [u64; SLOTS],
    sender: Sender,
    next: usize,
    number: u64,
}

impl Source {
    fn new(slots: &[postrider_storage::SlotState]) -> Self {
        let user = |name: String| name.parse::<Id>().unwrap();
        let channels = (0..64).map(|i| {
            let channel = Channel::person(&user(format!("a{i}")), &user(format!("b{i}")));
            let slot = channel.slot(0);
            (channel, slot, 0)
        });
        let mut positions = [0; SLOTS];
        for (position, slot) in positions.iter_mut().zip(slots) {
            *position = slot.position;
        }
        let sender = Sender::issue(SenderKind::Kept, 1);
        Self { channels: channels.collect(), positions, sender, next: 0, number: 0 }
    }

    fn batch(&mut self, entries: usize) -> Vec<Placed> {
        (0..entries).map(|_| self.entry()).collect()
    }

    fn entry(&mut self) -> Placed {
        self.next = (self.next + 1) % self.channels.len();
        self.number += 1;
        let (channel, slot, seq) = &mut self.channels[self.next];
        *seq += 1;
        let position = &mut self.positions[usize::from(*slot)];
        *position += 1;
        let image = Image {
            kind: 1,
            flags: 1,
            seq: *seq,
            time_ms: 1 << 40,
            channel: channel.clone(),
            from: From::Side(0),
            sender: self.sender,
            number: self.number,
            tlvs: Tlvs::new(),
            body: Bytes::from_static(&[7; 128]),
        };
        let mut bytes = Vec::new();
        image.write(&mut bytes);
        let head = bytes.len() - 128 - 4 - 2;
        let entry = Entry::new(0, self.number, 0, bytes.into(), head as u32);
        Placed { slot: *slot, position: *position, entry }
    }
}

fn main() {
    let folder = tempfile::tempdir_in(std::env::var_os("BENCH_DIR").unwrap_or_else(|| ".".into())).unwrap();
    let options = Options { ballast_bytes: 0, ..Options::new(folder.path().join("data")) };
    let opened = postrider_storage::open(&options, &mut |_| {}).unwrap();
    let mut log = opened.log;
    let mut source = Source::new(&opened.slots);
    for entries in BATCHES {
        measure(&format!("log, {entries} a commit"), entries as u64, || {
            let ticket = log.append(&[1; SLOTS], source.batch(entries).iter().map(Placed::as_new)).unwrap();
            log.wait(ticket).unwrap()
        });
        let bytes: usize = source.batch(entries).iter().map(|placed| placed.entry.image.len()).sum();
        let piece = vec![7; bytes];
        let mut file = File::create(folder.path().join("plain")).unwrap();
        measure(&format!("plain file, {entries} a commit"), entries as u64, || {
            file.write_all(&piece).unwrap();
            file.sync_data().unwrap();
        });
    }
    let mut source = Source::new(&opened.slots);
    measure("making an entry", 64, || source.batch(64));
    in_memory();
}

/// Without a disk: what the log and the store cost by themselves.
fn in_memory() {
    let disk = MemoryDisk::new();
    let mut opened = postrider_storage::open_memory(&disk, &Options::new("memory")).unwrap();
    let mut source = Source::new(&opened.slots);
    measure("log and store in memory, 8,192 a checkpoint", 8_192, || {
        for _ in 0..8 {
            let batch = source.batch(1_024);
            let ticket = opened.log.append(&[1; SLOTS], batch.iter().map(Placed::as_new)).unwrap();
            opened.materialiser.feed(opened.log.wait(ticket).unwrap());
        }
        opened.materialiser.checkpoint().unwrap();
    });
    measure("log in memory, 64 a commit", 64, || {
        let ticket = opened.log.append(&[1; SLOTS], source.batch(64).iter().map(Placed::as_new)).unwrap();
        opened.log.wait(ticket).unwrap()
    });
}
