//! What was acknowledged is there after a restart, a cut, a crash; what was not may be gone.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod world;

use std::fs;

use postrider_storage::{Crash, MemoryDisk, OpenError, Options, check, open};
use proptest::prelude::*;
use world::{Truth, World, copy_all, options};

#[test]
fn all_is_there_after_a_clean_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let mut world = World::open(&options, Truth::default()).unwrap();
    world.run(1, 3_000, 40);
    world.opened.materialiser.checkpoint().unwrap();
    world.truth.check(&world.opened.store);
    let truth = world.close();

    let world = World::open(&options, truth).unwrap();
    world.truth.check(&world.opened.store);
    let report = &world.opened.report;
    assert!(report.was_closed && report.losses.is_empty() && report.rebuilt.is_none() && report.raised.is_empty());
    for (slot, position) in &world.truth.positions {
        assert_eq!(world.opened.slots[usize::from(*slot)].position, *position);
    }
}

#[test]
fn all_is_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let mut truth = Truth::default();
    for round in 0..6 {
        let mut world = World::open(&options, truth).unwrap();
        world.truth.check(&world.opened.store);
        assert_eq!(world.opened.report.rebuilt, None);
        world.run(round, 400, 7);
        truth = world.truth;
        drop(world.opened);
        // A store behind its log is as it should be.
        assert_eq!(check(dir.path()).unwrap(), Vec::<String>::new());
    }
}

#[test]
fn long_batches_that_end_with_their_page_are_found_among_short_ones() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 8 << 20, ..options(dir.path()) };
    let mut truth = Truth::default();
    for round in 0..4 {
        let mut world = World::open(&options, truth).unwrap();
        world.truth.check(&world.opened.store);
        for batch in [1_000, 3, 700, 900, 40] {
            world.run(round * 1_000 + batch, batch, batch);
        }
        truth = world.truth;
        drop(world.opened);
        assert_eq!(check(dir.path()).unwrap(), Vec::<String>::new());
    }
    let log = fs::read(dir.path().join("log").join("0000000001.seg")).unwrap();
    let id = &log[64..72];
    let starts: Vec<_> = (64..log.len()).step_by(64).filter(|&at| log[at..].starts_with(id)).collect();
    let long = starts.windows(2).filter(|pair| pair[1] - pair[0] >= 32 << 10);
    let at_pages = long.clone().filter(|pair| pair[1] % 4_096 == 0).count();
    assert!(at_pages > 2 && at_pages == long.count(), "{starts:?}");
    fs::remove_dir_all(dir.path().join("store")).unwrap();
    let rebuilt = World::open(&options, truth).unwrap();
    rebuilt.truth.check(&rebuilt.opened.store);
}

#[test]
fn s05_tail_cut_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let mut world = World::open(&options, Truth::default()).unwrap();
    world.run(5, 50, 10);
    world.opened.materialiser.checkpoint().unwrap();
    let acked = world.truth.clone();
    let last: Vec<_> = (0..3).map(|at| world.truth.message(at, at + 1, b"the last words")).collect();
    let locators = world.commit(&last);
    let segment = format!("{:010}.seg", locators[0].segment);
    let whole = world.truth.clone();
    drop(world);

    let path = dir.path().join("log").join(&segment);
    let bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let begin = locators[0].offset as usize - 80;
    let copy = tempfile::tempdir().unwrap();
    for (at, zeros) in (begin..=end).flat_map(|at| [(at, false), (at, true)]) {
        copy_all(dir.path(), copy.path());
        // The CRC that ends the batch may itself end with zeros; what follows it are zeros up to a multiple of 64.
        let kept = if at < end { at } else { (end + 3).next_multiple_of(64) };
        let mut cut = bytes[..kept].to_vec();
        if zeros {
            cut.resize(bytes.len(), 0);
        }
        fs::write(copy.path().join("log").join(&segment), cut).unwrap();
        let options = world::options(copy.path());
        let opened = open(&options, &mut |_| {}).unwrap();
        assert!(opened.report.losses.is_empty() && opened.report.raised.is_empty(), "cut at {at}");
        // A cut in the last record's last byte still leaves it out whole.
        if at < end { acked.check(&opened.store) } else { whole.check(&opened.store) }
    }
}

#[test]
fn s10_a_failed_sync_ends_the_log() {
    let disk = MemoryDisk::new();
    let mut world = World::open_memory(&disk, &options("unused"), Truth::default()).unwrap();
    world.run(3, 10, 5);
    let entry = world.truth.clone().message(1, 2, b"never acknowledged");
    let ticket = world.append(&[entry]);
    disk.fail_next_sync();
    assert!(world.opened.log.wait(ticket).is_err());
    assert!(world.opened.log.append(&world.epochs, std::iter::empty()).is_err(), "nothing more is taken");
}

#[test]
fn s19_a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = World::open(&options(dir.path()), Truth::default()).unwrap();
    let second = open(&options(dir.path()), &mut |_| {});
    assert!(matches!(second, Err(OpenError::Locked(_))), "{second:?}");
    drop(first);
    open(&options(dir.path()), &mut |_| {}).unwrap();
}

#[test]
fn s20_a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    World::open(&options(dir.path()), Truth::default()).unwrap().close();
    let path = dir.path().join("FORMAT");
    let text = fs::read_to_string(&path).unwrap();
    let line = text.lines().next().unwrap().replace("format 0", "format 1");
    fs::write(&path, format!("{line}\n{:08x}\n", crc32fast::hash(line.as_bytes()))).unwrap();
    let refused = open(&options(dir.path()), &mut |_| {});
    assert!(matches!(refused, Err(OpenError::NewerFormat { found: 1, .. })), "{refused:?}");
}

#[test]
fn s08_a_directory_without_its_log_or_format_is_refused_and_left_alone() {
    for gone in ["log", "FORMAT"] {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::open(&options(dir.path()), Truth::default()).unwrap();
        world.run(8, 100, 10);
        world.opened.materialiser.checkpoint().unwrap();
        world.close();
        fs::rename(dir.path().join(gone), dir.path().join("elsewhere")).unwrap();
        let refused = open(&options(dir.path()), &mut |_| {});
        assert!(matches!(refused, Err(OpenError::NotWhole { .. })), "{gone}: {refused:?}");
        let _ = fs::remove_dir_all(dir.path().join(gone));
        fs::rename(dir.path().join("elsewhere"), dir.path().join(gone)).unwrap();
        let world = open(&options(dir.path()), &mut |_| {}).unwrap();
        assert_eq!(world.report.rebuilt, None);
    }
}

#[test]
fn s08_a_first_open_that_was_cut_short_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    World::open(&options, Truth::default()).unwrap().close();
    // As a power cut leaves it: the store was begun, the log's first segment has no name yet.
    let whole = fs::read_to_string(dir.path().join("FORMAT")).unwrap();
    let line = whole.lines().next().unwrap().replace("whole", "new");
    fs::write(dir.path().join("FORMAT"), format!("{line}\n{:08x}\n", crc32fast::hash(line.as_bytes()))).unwrap();
    for segment in fs::read_dir(dir.path().join("log")).unwrap() {
        fs::remove_file(segment.unwrap().path()).unwrap();
    }

    let mut world = World::open(&options, Truth::default()).unwrap();
    world.run(1, 200, 10);
    let world = World::open(&options, world.close()).unwrap();
    world.truth.check(&world.opened.store);
}

#[test]
fn s18_bodies_around_every_threshold_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let mut world = World::open(&options, Truth::default()).unwrap();
    let around = |at: usize| (at.saturating_sub(130)..at + 3).step_by(7).chain([at - 1, at, at + 1]);
    let sizes = (0..40).chain(around(990)).chain(around(3_990)).chain(around(8_192)).chain([32_768, 65_535, 65_536]);
    for len in sizes {
        let body: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let entry = world.truth.message(1, 2, &body);
        world.commit(&[entry]);
    }
    let truth = world.truth;
    drop(world.opened);
    let world = World::open(&options, truth).unwrap();
    world.truth.check(&world.opened.store);
    assert_eq!(fs::read_dir(dir.path().join("store/blobs")).map_or(0, Iterator::count), 0);
}

/// One step of a life.
#[derive(Clone, Debug)]
enum Step {
    Commit { seed: u64, count: u64 },
    Checkpoint,
    Empty,
    Crash { unacked: u64, writes: usize, torn: bool, store_writes: usize },
    CrashInCheckpoint { store_writes: usize },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<u64>(), 1..60u64).prop_map(|(seed, count)| Step::Commit { seed, count }),
        2 => Just(Step::Checkpoint),
        1 => Just(Step::Empty),
        3 => (0..4u64, 0..3usize, any::<bool>(), 0..90usize).prop_map(|(unacked, writes, torn, store_writes)| {
            Step::Crash { unacked, writes, torn, store_writes }
        }),
        2 => (0..400usize).prop_map(|store_writes| Step::CrashInCheckpoint { store_writes }),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_survives_every_crash(steps in prop::collection::vec(step(), 1..14)) {
        let disk = MemoryDisk::new();
        let options = options("unused");
        let mut world = World::open_memory(&disk, &options, Truth::default()).unwrap();
        for step in steps {
            let truth = match step {
                Step::Commit { seed, count } => {
                    world.run(seed, count, 9);
                    continue;
                }
                Step::Checkpoint => {
                    world.opened.materialiser.checkpoint().unwrap();
                    world.truth.check(&world.opened.store);
                    continue;
                }
                Step::Empty => {
                    world.commit(&[]);
                    continue;
                }
                Step::Crash { unacked, writes, torn, store_writes } => {
                    let mut states = vec![world.truth.clone()];
                    for at in 0..unacked {
                        let entry = world.truth.message(at, at + 2, &vec![b'u'; 300]);
                        world.append(&[entry]);
                        states.push(world.truth.clone());
                    }
                    // Where a segment was sealed in between, what came before is synced.
                    let unsynced = disk.unsynced().0;
                    disk.crash(Crash { writes, torn, store_writes });
                    states.swap_remove(unacked as usize - unsynced + writes.min(unsynced))
                }
                Step::CrashInCheckpoint { store_writes } => {
                    disk.stop_store_after(store_writes);
                    let _ = world.opened.materialiser.checkpoint();
                    disk.crash(Crash { store_writes: usize::MAX, ..Crash::default() });
                    world.truth.clone()
                }
                Step::Restart => world.truth.clone(),
            };
            let epochs = world.epochs;
            drop(world);
            world = World::open_memory(&disk, &options, truth).unwrap();
            world.truth.check(&world.opened.store);
            prop_assert_eq!(&world.opened.report.losses, &vec![]);
            prop_assert_eq!(&world.opened.report.rebuilt, &None);
            prop_assert_eq!(world.epochs, epochs);
        }
    }
}

#[test]
fn a_checkpoint_that_is_cut_anywhere_is_done_again_without_a_rebuild() {
    // What is written in advance is edited and refused between two checkpoints: its place leaves the table of what is to
    // be erased.
    for store_writes in 0..80 {
        let disk = MemoryDisk::new();
        let options = options("unused");
        let mut world = World::open_memory(&disk, &options, Truth::default()).unwrap();
        world.run(1_868_030_550_859_627_703, 42, 9);
        world.run(856_579_258_218_339_615, 39, 9);
        disk.stop_store_after(store_writes);
        let _ = world.opened.materialiser.checkpoint();
        disk.crash(Crash { store_writes: usize::MAX, ..Crash::default() });
        let truth = world.truth.clone();
        drop(world);
        let world = World::open_memory(&disk, &options, truth).unwrap();
        world.truth.check(&world.opened.store);
        assert_eq!(world.opened.report.rebuilt, None, "after {store_writes} writes");
    }
}
