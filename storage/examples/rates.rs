//! Measures the log, the materialiser and a rebuild: `rates [DIR] [ENTRIES] [BATCH]`; prints JSON. DIR must be new or of
//! an earlier run.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Instant;

use postrider_protocol::{Channel, From, Id, ImageView, Sender, SenderKind, Tlvs, image_flag};
use postrider_storage::{Entry, Options, Placed, SLOTS, open};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |at: usize, default: u64| args.get(at).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let options = Options::new(args.get(1).map_or("rates", String::as_str));
    let (entries, batch) = (number(2, 1_000_000), number(3, 1_600));
    let mut opened = open(&options, &mut |_| {}).unwrap();
    let epochs: [u32; SLOTS] = std::array::from_fn(|slot| opened.slots[slot].epoch);
    let mut positions: Vec<u64> = opened.slots.iter().map(|slot| slot.position).collect();
    let users: Vec<Id> = (0..1_000).map(|user| format!("user-{user}").parse().unwrap()).collect();
    let pairs: Vec<_> =
        (0..users.len()).map(|at| (at, Channel::person(&users[at], &users[(at * 7 + 1) % 1_000]))).collect();
    let mut heads: Vec<u64> =
        pairs.iter().map(|(_, channel)| opened.store.channel(0, channel).unwrap().map_or(0, |row| row.head)).collect();
    let (started, mut checkpoints) = (Instant::now(), 0.0);
    let mut done = 0;
    while done < entries {
        let placed: Vec<Placed> = (done..(done + batch).min(entries))
            .map(|at| {
                let pair = (at % 1_000) as usize;
                heads[pair] += 1;
                let (user, channel) = &pairs[pair];
                let slot = channel.slot(0);
                positions[usize::from(slot)] += 1;
                let entry = entry(&users[*user], channel, heads[pair], done);
                Placed { slot, position: positions[usize::from(slot)], entry }
            })
            .collect();
        done += placed.len() as u64;
        let ticket = opened.log.append(&epochs, placed.iter().map(Placed::as_new)).unwrap();
        opened.materialiser.feed(opened.log.wait(ticket).unwrap());
        if opened.materialiser.is_due() {
            let before = Instant::now();
            opened.materialiser.checkpoint().unwrap();
            checkpoints += before.elapsed().as_secs_f64();
        }
    }
    let appended = started.elapsed().as_secs_f64();
    opened.log.close().unwrap();
    let size = opened.store.size_bytes();
    drop((opened.store, opened.materialiser));

    let before = Instant::now();
    drop(open(&options, &mut |_| {}).unwrap());
    let reopened = before.elapsed().as_secs_f64();
    std::fs::remove_dir_all(options.path.join("store")).unwrap();
    let before = Instant::now();
    let report = open(&options, &mut |_| {}).unwrap().report;
    let rebuilt = before.elapsed().as_secs_f64();
    println!(
        "{{\"entries\":{entries},\"batch\":{batch},\"per_second\":{:.0},\"checkpoint_seconds\":{checkpoints:.2},\
         \"store_bytes\":{size},\"reopen_seconds\":{reopened:.2},\"rebuilt_entries\":{},\"rebuild_per_second\":{:.0}}}",
        entries as f64 / appended,
        report.entries,
        report.entries as f64 / rebuilt,
    );
}

fn entry(user: &Id, channel: &Channel, seq: u64, number: u64) -> Entry {
    let mut image = Vec::with_capacity(256);
    let head_len = ImageView {
        kind: 1,
        flags: image_flag::COUNTABLE,
        seq,
        time_ms: 1_700_000_000_000,
        channel,
        from: &From::of(user, channel),
        sender: Sender::issue(SenderKind::Kept, 5),
        number: number + 1,
        tlvs: &Tlvs::new(),
        body: &[b'.'; 96],
    }
    .write(&mut image);
    Entry::new(0, number.saturating_sub(3).max(1), 0, image.into(), u32::try_from(head_len).unwrap())
}
