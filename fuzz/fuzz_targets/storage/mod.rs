//! A small log and store in memory, and what of it may be read after damage.

use bytes::Bytes;
use postrider_protocol::{Channel, From, Id, ImageKind, ImageView, Sender, SenderKind, Tlvs, image_flag};
use postrider_storage::{Crash, Entry, Found, MemoryDisk, Opened, Options, Placed, open_memory};

const MESSAGES: u64 = 40;

/// A world of two channels, closed, half of it in the store by a checkpoint.
pub struct World {
    pub disk: MemoryDisk,
    channels: Vec<(Channel, Vec<Bytes>)>,
}

pub fn options() -> Options {
    Options {
        segment_bytes: 16 << 10,
        checkpoint_bytes: 4 << 10,
        window_bytes: 16 << 10,
        cache_bytes: 1 << 20,
        reserve_bytes: 0,
        ballast_bytes: 0,
        ..Options::new("")
    }
}

impl World {
    pub fn new() -> Self {
        let disk = MemoryDisk::new();
        let id = |text: &str| text.parse::<Id>().expect("an id");
        let (alice, bob) = (id("alice"), id("bob"));
        let channels = [Channel::person(&alice, &bob), Channel::person(&alice, &alice)];
        let mut world = Self { disk, channels: channels.map(|channel| (channel, Vec::new())).into() };
        let Opened { mut log, mut materialiser, .. } = open_memory(&world.disk, &options()).expect("an empty disk");
        for number in 1..=MESSAGES {
            let mut batch = Vec::new();
            for (channel, images) in &mut world.channels {
                let seq = images.len() as u64 + 1;
                let body = vec![seq as u8; (number * 7 % 200) as usize];
                let image = ImageView {
                    kind: ImageKind::Message.number(),
                    flags: image_flag::COUNTABLE,
                    seq,
                    time_ms: 1_000 + number,
                    channel,
                    from: &From::of(&alice, channel),
                    sender: Sender::issue(SenderKind::Kept, 7),
                    number,
                    tlvs: &Tlvs::new(),
                    body: &body,
                };
                let mut bytes = Vec::new();
                let head_len = image.write(&mut bytes) as u32;
                let image = Bytes::from(bytes);
                images.push(image.clone());
                let entry = Entry::new(0, number, 0, image, head_len);
                batch.push(Placed { slot: channel.slot(0), position: seq, entry });
            }
            let ticket = log.append(&[1; 256], batch.iter().map(Placed::as_new)).expect("room in memory");
            materialiser.feed(log.wait(ticket).expect("a sync in memory"));
            if number == MESSAGES / 2 {
                materialiser.checkpoint().expect("a store in memory");
            }
        }
        log.close().expect("a sync in memory");
        drop(materialiser);
        world.disk.crash(Crash { writes: usize::MAX, torn: false, store_writes: usize::MAX });
        world
    }

    /// Opens the damaged disk, twice, and reads everything: an image is the one that was stored, or there is none.
    pub fn read_back(&self) {
        for _ in 0..2 {
            let Ok(opened) = open_memory(&self.disk, &options()) else { return };
            for (channel, images) in &self.channels {
                let found = opened.store.read(0, channel, 1, MESSAGES).unwrap_or_default();
                for (image, found) in images.iter().zip(found) {
                    if let Found::Image(found) = found {
                        assert_eq!(image, &found);
                    }
                }
            }
            drop(opened);
            self.disk.crash(Crash { writes: usize::MAX, torn: false, store_writes: usize::MAX });
        }
    }
}

/// The input as bits to flip: four bytes each.
pub fn bits(data: &[u8]) -> impl Iterator<Item = usize> + '_ {
    data.chunks_exact(4).take(16).map(|chunk| u32::from_be_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]) as usize)
}
