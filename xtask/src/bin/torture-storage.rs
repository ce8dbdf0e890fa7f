//! The storage code alone, for the torture suites: writes a directory and says what is durable, or opens one and says
//! what is there. A process of its own, so that a panic, a hang and a kill count as what they are.
//!
//! `write DIR SEED FIRST ENTRIES`, `write-and-rest`, `write-and-close`: appends entries FIRST.. of the world that SEED decides; after each batch prints one
//! line with `channel:seq` for each channel that rose. `read DIR [CHANNEL:SEQ …]` on standard input: opens, reads all
//! channels, prints `missing CHANNEL SEQ` and `wrong CHANNEL SEQ`, appends, closes, opens and reads again. `check DIR`.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    io::{self, Read, Write},
    process::ExitCode,
};

use bytes::Bytes;
use postrider_protocol::{Channel, From, Id, Image, ImageKind, ImageView, Sender, SenderKind, Tlvs, image_flag};
use postrider_storage::{Entry, Found, Opened, Options, Placed, SLOTS, check, open, plant};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Channels of the world.
const CHANNELS: u32 = 40;
/// Entries of one batch at most.
const BATCH: u64 = 60;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        _ if plant::set_from_environment().is_err() => Err("PLANT_FAULT names no fault".into()),
        ["write", dir, seed, first, entries] => write(dir, seed, first, entries, End::Killed),
        ["write-and-rest", dir, seed, first, entries] => write(dir, seed, first, entries, End::Rested),
        ["write-and-close", dir, seed, first, entries] => write(dir, seed, first, entries, End::Closed),
        ["read", dir] => read(dir),
        ["check", dir] => tell_check(dir),
        _ => Err("usage: torture-storage write DIR SEED FIRST ENTRIES | read DIR | check DIR".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Small sizes, so that a short run has several segments and many checkpoints.
fn options(dir: &str) -> Options {
    const KIB: u64 = 1 << 10;
    Options {
        segment_bytes: 1024 * KIB,
        checkpoint_bytes: 256 * KIB,
        window_bytes: 2048 * KIB,
        cache_bytes: 8192 * KIB,
        reserve_bytes: 1024 * KIB,
        ballast_bytes: 64 * KIB,
        ..Options::new(dir)
    }
}

fn start(dir: &str) -> Result<Opened> {
    Ok(open(&options(dir), &mut |_| ())?)
}

fn user(number: u32) -> Result<Id> {
    Ok(format!("u{number:03}").parse()?)
}

fn channel(number: u32) -> Result<Channel> {
    Ok(Channel::person(&user(2 * number)?, &user(2 * number + 1)?))
}

const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// The body at a seq: follows from its place alone.
fn body(channel: u32, seq: u64) -> Vec<u8> {
    let mut fill = mix((u64::from(channel) << 32) ^ mix(seq));
    let len = match fill % 100 {
        0 => 20_000,
        1..4 => 4_096,
        _ => fill % 400,
    };
    let mut body = Vec::new();
    while (body.len() as u64) < len {
        fill = mix(fill.wrapping_add(0x9E37_79B9_7F4A_7C15));
        body.extend_from_slice(&fill.to_be_bytes());
    }
    body.truncate(usize::try_from(len).unwrap_or_default());
    body
}

fn entry(number: u32, seq: u64) -> Result<Entry> {
    let channel = channel(number)?;
    let mut image = Vec::new();
    let head = ImageView {
        kind: ImageKind::Message.number(),
        flags: image_flag::COUNTABLE,
        seq,
        time_ms: 1_700_000_000_000 + seq,
        channel: &channel,
        from: &From::Side(0),
        sender: Sender::issue(SenderKind::Kept, 1_000),
        number: seq,
        tlvs: &Tlvs::new(),
        body: &body(number, seq),
    }
    .write(&mut image);
    Ok(Entry::new(0, seq.saturating_sub(30).max(1), 0, image.into(), u32::try_from(head)?))
}

/// Where the writer stands: heads of channels, positions of slots.
struct Writer {
    opened: Opened,
    epochs: [u32; SLOTS],
    positions: Vec<u64>,
    heads: Vec<u64>,
}

impl Writer {
    fn new(opened: Opened) -> Result<Self> {
        let mut epochs = [1; SLOTS];
        for (epoch, slot) in epochs.iter_mut().zip(&opened.slots) {
            *epoch = slot.epoch;
        }
        let positions = opened.slots.iter().map(|slot| slot.position).collect();
        let mut heads = Vec::new();
        for number in 0..CHANNELS {
            heads.push(opened.store.channel(0, &channel(number)?)?.map_or(0, |row| row.head));
        }
        Ok(Self { opened, epochs, positions, heads })
    }

    /// Appends one entry to each of `channels`, waits, feeds the store; returns the heads that rose.
    fn batch(&mut self, channels: impl Iterator<Item = u32>) -> Result<BTreeMap<u32, u64>> {
        let (mut placed, mut rose) = (Vec::new(), BTreeMap::new());
        for number in channels {
            let slot = channel(number)?.slot(0);
            let head = self.heads.get_mut(number as usize).ok_or("no such channel")?;
            let position = self.positions.get_mut(usize::from(slot)).ok_or("no such slot")?;
            *head += 1;
            *position += 1;
            rose.insert(number, *head);
            placed.push(Placed { slot, position: *position, entry: entry(number, *head)? });
        }
        let ticket = self.opened.log.append(&self.epochs, placed.iter().map(Placed::as_new))?;
        self.opened.materialiser.feed(self.opened.log.wait(ticket)?);
        if self.opened.materialiser.is_due() {
            self.opened.materialiser.checkpoint()?;
        }
        Ok(rose)
    }
}

/// How a writer ends.
enum End {
    /// Right after the last batch.
    Killed,
    /// Killed when nothing had come for a while, so that the last batch is vouched for as a server does then. Before, a bit
    /// that goes bad in it cannot be told from a write that was cut short.
    Rested,
    Closed,
}

fn write(dir: &str, seed: &str, first: &str, entries: &str, end: End) -> Result {
    let (seed, first, entries): (u64, u64, u64) = (seed.parse()?, first.parse()?, entries.parse()?);
    let mut writer = Writer::new(start(dir)?)?;
    let mut done = 0;
    while done < entries {
        let chance = mix(seed ^ mix(first + done));
        let count = (1 + chance % BATCH).min(entries - done);
        let channels = (0..count).map(|at| (mix(chance ^ at) % u64::from(CHANNELS)) as u32);
        let rose = writer.batch(channels)?;
        let line: Vec<String> = rose.iter().map(|(channel, seq)| format!("{channel}:{seq}")).collect();
        // One write: the tracer sees it between the sync before it and whatever comes next.
        io::stdout().lock().write_all(format!("{}\n", line.join(" ")).as_bytes())?;
        io::stdout().flush()?;
        done += count;
    }
    match end {
        End::Killed => {}
        End::Rested => _ = writer.opened.log.append(&writer.epochs, std::iter::empty())?,
        End::Closed => {
            writer.opened.materialiser.checkpoint()?;
            writer.opened.log.close()?;
        }
    }
    Ok(())
}

/// Reads everything twice, with a few more entries and a close in between.
fn read(dir: &str) -> Result {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let mut durable: BTreeMap<u32, u64> = BTreeMap::new();
    for pair in text.split_whitespace() {
        let (channel, seq) = pair.split_once(':').ok_or("CHANNEL:SEQ")?;
        durable.insert(channel.parse()?, seq.parse()?);
    }
    let mut writer = Writer::new(start(dir)?)?;
    for loss in &writer.opened.report.losses {
        println!("loss {loss:?}");
    }
    if let Some(why) = &writer.opened.report.rebuilt {
        println!("rebuilt {why}");
    }
    tell(&writer.opened, &durable)?;
    durable.extend(writer.batch(0..CHANNELS)?);
    durable.extend(writer.batch(0..CHANNELS)?);
    writer.opened.log.close()?;
    drop((writer.opened.store, writer.opened.materialiser));
    let again = start(dir)?;
    println!("again");
    tell(&again, &durable)
}

/// Prints what is missing or wrong, up to what is durable and up to the head.
fn tell(opened: &Opened, durable: &BTreeMap<u32, u64>) -> Result {
    let (mut right, mut out) = (0_u64, String::new());
    for number in 0..CHANNELS {
        let channel = channel(number)?;
        let head = opened.store.channel(0, &channel)?.map_or(0, |row| row.head);
        let due = durable.get(&number).copied().unwrap_or_default();
        for seq in head + 1..=due {
            out += &format!("missing {number} {seq}\n");
        }
        if head == 0 {
            continue;
        }
        for (seq, found) in (1..).zip(opened.store.read(0, &channel, 1, head)?) {
            match found {
                Found::Image(bytes) if is_right(&bytes, number, seq) => right += 1,
                Found::Image(_) => out += &format!("wrong {number} {seq}\n"),
                Found::Missing | Found::Trimmed | Found::Erased(_) => out += &format!("missing {number} {seq}\n"),
            }
        }
    }
    print!("{out}");
    println!("right {right}");
    Ok(())
}

fn is_right(bytes: &Bytes, number: u32, seq: u64) -> bool {
    let Ok(image) = Image::decode(bytes.clone()) else { return false };
    image.seq == seq && image.body == body(number, seq) && channel(number).is_ok_and(|channel| channel == image.channel)
}

fn tell_check(dir: &str) -> Result {
    let findings = check(dir.as_ref())?;
    findings.iter().for_each(|finding| println!("{finding}"));
    if findings.is_empty() { Ok(()) } else { Err(format!("{} findings", findings.len()).into()) }
}
