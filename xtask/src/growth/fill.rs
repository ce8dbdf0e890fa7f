//! A data directory with many messages, written by the storage API as the server writes it.

use std::{collections::VecDeque, path::Path, sync::Arc, time::Instant};

use postrider_protocol::{Channel, From, Id, ImageView, Sender, SenderKind, Tlvs, image_flag};
use postrider_storage::{Entry, Opened, Options, Placed, Retention, SLOTS, Written, open};

use crate::Result;

/// Messages of one commit.
const BATCH: u64 = 1_600;
/// Commits of one message that are synced together: what is on disk is the same as with a sync for each.
const TOGETHER: u64 = 256;
/// Bytes of a body.
const BODY: [u8; 128] = [b'.'; 128];
/// About the bytes of a message in the log.
const RECORD_BYTES: u64 = 240;

/// The user who writes first in channel `number`.
pub fn user_of(number: u64) -> String {
    format!("user-{number}")
}

/// A channel while it is filled.
struct Line {
    users: [Id; 2],
    channel: Channel,
    slot: u8,
    head: u64,
}

struct Filler {
    opened: Opened,
    epochs: [u32; SLOTS],
    positions: Vec<u64>,
    lines: Vec<Line>,
    /// Where in `lines` the messages go, by chance.
    dice: u64,
    time_ms: u64,
}

/// Fills `data` with `messages` in `channels`; `single` of them are a commit each.
pub fn fill(data: &Path, messages: u64, channels: u32, single: u64) -> Result {
    let mut filler = Filler::open(&Options::new(data), channels)?;
    let (mut done, begun) = (0, Instant::now());
    let mut told = 0;
    while done < messages {
        let left = messages - done;
        // They are spread over the whole.
        let singles = (BATCH * single / messages.saturating_sub(single).max(1)).min(left).min(TOGETHER);
        done += filler.commit(BATCH.min(left - singles), singles)?;
        if done * 20 / messages > told {
            told = done * 20 / messages;
            eprintln!("{done} messages, {:.0} s", begun.elapsed().as_secs_f64());
        }
    }
    filler.opened.materialiser.checkpoint()?;
    Ok(())
}

/// Lets retention slide over a log of about `messages`: bytes of log and store, files as they are, after each of
/// `turnovers`.
pub fn slide(data: &Path, messages: u64, channels: u32, turnovers: u32) -> Result<Vec<(u64, u64)>> {
    let bytes = messages * RECORD_BYTES;
    let mut options = Options::new(data);
    options.segment_bytes = (bytes / 16).clamp(4 << 20, options.segment_bytes);
    options.window_bytes = options.window_bytes.min(bytes / 2);
    options.retention = Retention { max_bytes: bytes, snapshot_segments: 2, ..Retention::KEEP };
    let mut filler = Filler::open(&options, channels)?;
    let mut sizes = Vec::new();
    for turnover in 1..=turnovers {
        let mut done = 0;
        while done < messages {
            done += filler.commit(BATCH, 0)?;
            // The server does a piece of retention's work for each commit.
            while filler.opened.materialiser.retain(filler.time_ms)? {}
        }
        let store = &filler.opened.store;
        sizes.push((store.log_bytes()?, store.size_bytes()));
        eprintln!("turnover {turnover}: log and store {:?} bytes", sizes.last());
    }
    Ok(sizes)
}

fn line(number: u64, channels: u32) -> Result<Line> {
    let id = |number| user_of(number).parse::<Id>().map_err(|_| "a user id");
    let users = [id(number)?, id((number * 7 + 1) % u64::from(channels))?];
    let [one, other] = &users;
    let channel = Channel::person(one, other);
    Ok(Line { slot: channel.slot(0), users, channel, head: 0 })
}

impl Filler {
    fn open(options: &Options, channels: u32) -> Result<Self> {
        let opened = open(options, &mut |_| {})?;
        let epochs = std::array::from_fn(|slot| opened.slots.get(slot).map_or(1, |slot| slot.epoch));
        let positions = opened.slots.iter().map(|slot| slot.position).collect();
        let lines = (0..u64::from(channels)).map(|number| line(number, channels)).collect::<Result<_>>()?;
        Ok(Self { opened, epochs, positions, lines, dice: 1, time_ms: 1_750_000_000_000 })
    }

    /// Commits `batch` messages at once, and then `singles` one by one; how many that were.
    fn commit(&mut self, batch: u64, singles: u64) -> Result<u64> {
        let mut tickets = VecDeque::new();
        for size in std::iter::once(batch).chain((0..singles).map(|_| 1)) {
            let made: Vec<Placed> = (0..size).filter_map(|_| self.make()).collect();
            tickets.push_back(self.opened.log.append(&self.epochs, made.iter().map(Placed::as_new))?);
        }
        for ticket in tickets {
            let written: Arc<Written> = self.opened.log.wait(ticket)?;
            self.opened.materialiser.feed(written);
        }
        if self.opened.materialiser.is_due() {
            self.opened.materialiser.checkpoint()?;
        }
        Ok(batch + singles)
    }

    fn make(&mut self) -> Option<Placed> {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.time_ms += 1;
        let at = (self.dice >> 33) as usize % self.lines.len().max(1);
        let line = self.lines.get_mut(at)?;
        line.head += 1;
        let [one, other] = &line.users;
        let from = From::of(if line.head % 2 == 1 { one } else { other }, &line.channel);
        let mut image = Vec::with_capacity(256);
        let number = line.head.div_ceil(2);
        let view = ImageView {
            kind: 1,
            flags: image_flag::COUNTABLE,
            seq: line.head,
            time_ms: self.time_ms,
            channel: &line.channel,
            from: &from,
            // A sender for each channel, so that numbers are dense.
            sender: Sender::issue(SenderKind::Kept, 5 + at as u64),
            number,
            tlvs: &Tlvs::new(),
            body: &BODY,
        };
        let head_len = u32::try_from(view.write(&mut image)).ok()?;
        let position = self.positions.get_mut(usize::from(line.slot))?;
        *position += 1;
        let oldest = number.saturating_sub(3).max(1);
        let entry = Entry::new(0, oldest, 0, image.into(), head_len);
        Some(Placed { slot: line.slot, position: *position, entry })
    }
}
