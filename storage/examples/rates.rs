//! Measures log, materialiser and rebuild beside a plain file that is written and synced in the same pieces:
//! `rates [entries=N] [batch=N] [channels=N] [body=N] [window=MIB] [blocks=1] [checkpoint=MIB] [rounds=N] [dir=PATH]`. Prints one
//! line of JSON. Each round writes its part of the entries to the plain file, to a log alone, and to log and store, in
//! turn; rates are the medians over the rounds, CPU that of the calling thread, and
//! for checkpoints also that of the process, which has threads of the engine.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    fs::{self, File},
    io::Write as _,
    ops::AddAssign,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use postrider_protocol::{Channel, From, Id, ImageView, Sender, SenderKind, Tlvs, image_flag};
use postrider_storage::{NewEntry, Opened, Options, SLOTS, Written, fold, open};
use rustix::time::{ClockId, clock_gettime};

/// What a run is told.
struct Arguments(Vec<String>);

impl Arguments {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
    }

    fn number(&self, name: &str, default: u64) -> u64 {
        self.text(name).map_or(default, |number| number.parse().unwrap())
    }
}

/// Time on the wall, of this thread, and of the whole process, seconds.
#[derive(Clone, Copy, Default)]
struct Cost {
    wall: f64,
    cpu: f64,
    all_cpu: f64,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
        self.all_cpu += other.all_cpu;
    }
}

fn cpu(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

fn cost<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let clocks = [ClockId::ThreadCPUTime, ClockId::ProcessCPUTime];
    let (wall, before) = (Instant::now(), clocks.map(cpu));
    let done = work();
    let [cpu, all_cpu] = clocks.map(cpu);
    (done, Cost { wall: wall.elapsed().as_secs_f64(), cpu: cpu - before[0], all_cpu: all_cpu - before[1] })
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Who writes, where to, and how far they are.
struct Pair {
    user: Id,
    channel: Channel,
    slot: u8,
    head: u64,
    sender: Sender,
    number: u64,
}

/// One batch, as it was decided.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Decided>,
}

struct Decided {
    slot: u8,
    position: u64,
    oldest: u64,
    /// Where its image ends.
    end: usize,
    head_len: u32,
    crc: u32,
}

impl Batch {
    fn entries(&self) -> impl Iterator<Item = NewEntry<'_>> + Clone {
        let mut start = 0;
        self.entries.iter().map(move |&Decided { slot, position, oldest, end, head_len, crc }| {
            let image = &self.bytes[std::mem::replace(&mut start, end)..end];
            NewEntry { slot, position, tenant: 0, oldest, read: 0, image, head_len, crc }
        })
    }

    fn stored_bytes(&self) -> u64 {
        self.entries().map(|entry| entry.stored_bytes() as u64).sum()
    }
}

/// An open directory and what it is filled with.
struct World {
    opened: Opened,
    epochs: [u32; SLOTS],
    positions: Vec<u64>,
    pairs: Vec<Pair>,
    body: Vec<u8>,
    next: usize,
    /// Blocks are put into the store whatever the rate; as the server does it, not when the last time was just now.
    always_blocks: bool,
    last: Instant,
}

impl World {
    fn open(options: &Options, arguments: &Arguments) -> Self {
        let opened = open(options, &mut |_| {}).unwrap();
        let pairs = (0..arguments.number("channels", 100)).map(|at| {
            let user: Id = format!("user-{}", at * 2).parse().unwrap();
            let channel = Channel::person(&user, &format!("user-{}", at * 2 + 1).parse().unwrap());
            let slot = channel.slot(0);
            Pair { user, channel, slot, head: 0, sender: Sender::issue(SenderKind::Kept, at + 1), number: 0 }
        });
        Self {
            epochs: std::array::from_fn(|slot| opened.slots[slot].epoch),
            positions: opened.slots.iter().map(|slot| slot.position).collect(),
            pairs: pairs.collect(),
            opened,
            body: vec![b'.'; arguments.number("body", 128) as usize],
            next: 0,
            always_blocks: false,
            last: Instant::now(),
        }
    }

    /// The next `count` messages: each pair sends a window of 16, as connections do that are read in turn.
    fn decide(&mut self, count: u64) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..count {
            let at = self.next / 16 % self.pairs.len();
            self.next += 1;
            let pair = &mut self.pairs[at];
            pair.head += 1;
            pair.number += 1;
            let position = &mut self.positions[usize::from(pair.slot)];
            *position += 1;
            let head_len = ImageView {
                kind: 1,
                flags: image_flag::COUNTABLE,
                seq: pair.head,
                time_ms: 1_700_000_000_000 + pair.head,
                channel: &pair.channel,
                from: &From::of(&pair.user, &pair.channel),
                sender: pair.sender,
                number: pair.number,
                tlvs: &Tlvs::new(),
                body: &self.body,
            }
            .write(&mut batch.bytes);
            // The server has it from the look-up of the command.
            let crc = fold::tail_crc(&Tlvs::new(), &self.body);
            let (end, head_len, oldest) = (batch.bytes.len(), head_len as u32, pair.number.saturating_sub(31).max(1));
            batch.entries.push(Decided { slot: pair.slot, position: *position, oldest, end, head_len, crc });
        }
        batch
    }

    fn append(&mut self, batch: &Batch) -> Arc<Written> {
        let ticket = self.opened.log.append(&self.epochs, batch.entries()).unwrap();
        self.opened.log.wait(ticket).unwrap()
    }
}

/// What the rounds sum up to.
#[derive(Default)]
struct Sums {
    entry_bytes: u64,
    log: Cost,
    feed: Cost,
    checkpoint: Cost,
    longest: f64,
    plain_rates: Vec<f64>,
    log_rates: Vec<f64>,
    all_rates: Vec<f64>,
}

fn main() {
    let arguments = Arguments(std::env::args().skip(1).collect());
    let dir = Path::new(arguments.text("dir").unwrap_or("rates")).to_path_buf();
    fs::create_dir(&dir).unwrap();
    let mib = |name, default| arguments.number(name, default) << 20;
    let options = Options {
        window_bytes: mib("window", 256),
        checkpoint_bytes: mib("checkpoint", 16),
        ballast_bytes: 0,
        ..Options::new(dir.join("data"))
    };
    let (entries, batch) = (arguments.number("entries", 1_000_000), arguments.number("batch", 1_600));
    let rounds = arguments.number("rounds", 3);
    let mut sums = Sums::default();
    let mut world = World::open(&options, &arguments);
    world.always_blocks = arguments.number("blocks", 0) == 1;
    let mut log_alone = World::open(&Options { path: dir.join("log-alone"), ..options.clone() }, &arguments);
    // Its blocks are allocated, as those of the log are.
    let plain_bytes = entries.div_ceil(batch) * (batch * (arguments.number("body", 128) + 128) + 4_096);
    fs::write(dir.join("plain"), vec![0; plain_bytes as usize]).unwrap();
    let mut plain = File::options().write(true).open(dir.join("plain")).unwrap();
    plain.sync_all().unwrap();
    for _ in 0..rounds {
        round(&mut world, &mut log_alone, &mut plain, entries.div_ceil(rounds), batch, &mut sums);
    }
    let (log_bytes, store_bytes) = finish(world, log_alone, &options);
    let ((), reopened) = cost(|| drop(open(&options, &mut |_| {}).unwrap()));
    fs::remove_dir_all(options.path.join("store")).unwrap();
    let (report, rebuilt) = cost(|| open(&options, &mut |_| {}).unwrap().report);
    fs::remove_dir_all(&dir).unwrap();
    tell(&sums, (entries, batch), log_bytes, store_bytes, &options, reopened, (report.entries, rebuilt));
}

/// Writes one part everywhere, piece by piece in turn.
fn round(world: &mut World, log_alone: &mut World, plain: &mut File, entries: u64, batch: u64, sums: &mut Sums) {
    let (mut to_plain, mut to_log, mut to_all) = (0.0, 0.0, 0.0);
    let mut left = entries;
    while left > 0 {
        let count = batch.min(left);
        left -= count;
        let decided = log_alone.decide(count);
        let piece = vec![7; decided.stored_bytes() as usize];
        sums.entry_bytes += piece.len() as u64;
        let ((), plainly) = cost(|| plain.write_all(&piece).and_then(|()| plain.sync_data()).unwrap());
        to_plain += plainly.wall;
        let (_, alone) = cost(|| log_alone.append(&decided));
        to_log += alone.wall;
        sums.log += alone;
        let decided = world.decide(count);
        let (written, appended) = cost(|| world.append(&decided));
        let ((), fed) = cost(|| world.opened.materialiser.feed(written));
        sums.feed += fed;
        to_all += appended.wall + fed.wall;
        if world.opened.materialiser.is_due() {
            let is_hurried = world.last.elapsed() < Duration::from_secs(1) && !world.always_blocks;
            world.opened.materialiser.hurry(is_hurried);
            world.last = Instant::now();
            let (_, checkpoint) = cost(|| world.opened.materialiser.checkpoint().unwrap());
            sums.checkpoint += checkpoint;
            sums.longest = sums.longest.max(checkpoint.wall);
            to_all += checkpoint.wall;
        }
    }
    for (rates, seconds) in
        [(&mut sums.plain_rates, to_plain), (&mut sums.log_rates, to_log), (&mut sums.all_rates, to_all)]
    {
        rates.push(entries as f64 / seconds);
    }
}

/// Closes everything; how many bytes of the log are used, and how many the store takes.
fn finish(mut world: World, log_alone: World, options: &Options) -> (u64, u64) {
    log_alone.opened.log.close().unwrap();
    world.opened.materialiser.checkpoint().unwrap();
    world.opened.log.close().unwrap();
    let log = fs::read_dir(options.path.join("log")).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    // The last one was made ready.
    (log.sum::<u64>() - options.segment_bytes, world.opened.store.size_bytes())
}

fn tell(
    sums: &Sums,
    (entries, batch): (u64, u64),
    log_bytes: u64,
    store_bytes: u64,
    options: &Options,
    reopened: Cost,
    (found, rebuilt): (u64, Cost),
) {
    let (plain, log, all) =
        (median(sums.plain_rates.clone()), median(sums.log_rates.clone()), median(sums.all_rates.clone()));
    let each = |seconds: f64| seconds * 1e6 / entries as f64;
    let window = options.window_bytes.min(sums.entry_bytes);
    println!(
        "{{\"entries\":{entries},\"batch\":{batch},\"plain_per_s\":{plain:.0},\"log_per_s\":{log:.0},\
         \"all_per_s\":{all:.0},\"log_of_plain\":{:.3},\"all_of_plain\":{:.3},\"log_cpu_us\":{:.3},\
         \"feed_cpu_us\":{:.3},\"checkpoint_cpu_us\":{:.3},\"checkpoint_process_cpu_us\":{:.3},\"checkpoint_us\":{:.3},\"longest_checkpoint_s\":{:.3},\
         \"entry_bytes\":{},\"log_bytes\":{log_bytes},\"log_of_entries\":{:.3},\"window_bytes\":{window},\
         \"store_bytes\":{store_bytes},\"store_of_window\":{:.3},\"reopen_s\":{:.2},\"rebuilt_entries\":{found},\
         \"rebuild_per_s\":{:.0},\"rebuild_cpu_us\":{:.3}}}",
        log / plain,
        all / plain,
        each(sums.log.cpu),
        each(sums.feed.cpu),
        each(sums.checkpoint.cpu),
        each(sums.checkpoint.all_cpu),
        each(sums.checkpoint.wall),
        sums.longest,
        sums.entry_bytes,
        log_bytes as f64 / sums.entry_bytes as f64,
        store_bytes as f64 / window as f64,
        reopened.wall,
        found as f64 / rebuilt.wall,
        rebuilt.cpu * 1e6 / found.max(1) as f64,
    );
}
