//! What retention drops reads as trimmed, all else stays: the rows too, through restarts, crashes and rebuilds.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod world;

use std::{fs, path::Path};

use postrider_protocol::Channel;
use postrider_storage::{Crash, MemoryDisk, OpenError, Options, Retention, check};
use world::{Truth, World, copy_all, id, options};

const KEPT: u64 = 512 << 10;

fn by_bytes(path: impl Into<std::path::PathBuf>) -> Options {
    let retention = Retention { max_bytes: KEPT, snapshot_segments: 2, ..Retention::KEEP };
    Options { retention, ..options(path) }
}

/// A directory out of which much was dropped.
fn trimmed(dir: &Path) -> World {
    let mut world = World::open(&by_bytes(dir), Truth::default()).unwrap();
    for round in 0..30 {
        // Some batches end with a page, most do not.
        world.run(round, 200, if round % 5 == 0 { 200 } else { 20 });
        world.retain(0);
    }
    world.opened.materialiser.checkpoint().unwrap();
    world.retain(0);
    world
}

fn files(dir: &Path, suffix: &str) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.contains(suffix)).collect();
    names.sort();
    names
}

fn log_bytes(dir: &Path) -> u64 {
    fs::read_dir(dir.join("log")).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn the_oldest_messages_go_and_all_rows_stay() {
    let dir = tempfile::tempdir().unwrap();
    let world = trimmed(dir.path());
    let gone = world.truth.check_kept(&world.opened.store);
    assert!(gone > 1_000, "only {gone}");
    assert!(log_bytes(dir.path()) < KEPT + 6 * (64 << 10), "{} bytes are left", log_bytes(dir.path()));
    assert_eq!(files(dir.path(), "snapshot-").len(), 2);
    let truth = world.close();
    let again = World::open(&by_bytes(dir.path()), truth).unwrap();
    assert_eq!(again.truth.check_kept(&again.opened.store), gone);
    assert_eq!(again.opened.report.rebuilt, None);
    assert!(again.opened.report.losses.is_empty() && again.opened.report.raised.is_empty());
    drop(again);
    assert_eq!(check(dir.path()).unwrap(), Vec::<String>::new());
}

#[test]
fn without_a_bound_nothing_goes() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(&options(dir.path()), Truth::default()).unwrap();
    world.run(1, 3_000, 30);
    world.retain(u64::MAX);
    world.opened.materialiser.checkpoint().unwrap();
    world.truth.check(&world.opened.store);
    assert_eq!(files(dir.path(), "snapshot-"), Vec::<String>::new());
}

#[test]
fn by_age_what_is_older_goes_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { max_age_ms: 1_000, snapshot_segments: 1, ..Retention::KEEP };
    let options = Options { retention, ..options(dir.path()) };
    let mut world = World::open(&options, Truth::default()).unwrap();
    for round in 0..20 {
        world.run(round, 250, 25);
        world.retain(0);
    }
    world.opened.materialiser.checkpoint().unwrap();
    let now_ms = 1_000_000 + world.truth.clock;
    world.retain(now_ms);
    let gone = world.truth.check_kept(&world.opened.store);
    assert!(gone > 0, "nothing went");
    let kept = |seq: &u64| *seq > 1_000_000 + world.truth.clock - 1_000;
    for ((tenant, channel), images) in &world.truth.images {
        let through = world.opened.store.trimmed_through(*tenant, channel, 1).unwrap() as usize;
        let times = images.iter().map(|image| u64::from_be_bytes(image[12..20].try_into().unwrap()));
        assert!(!times.take(through).any(|time| kept(&time)), "{channel:?}");
    }
    // A clock that goes back keeps what there is.
    world.retain(0);
    assert_eq!(world.truth.check_kept(&world.opened.store), gone);
}

#[test]
fn a_store_that_is_gone_is_rebuilt_from_a_snapshot_and_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = trimmed(dir.path());
    world.run(99, 150, 7);
    world.opened.materialiser.checkpoint().unwrap();
    let gone = world.truth.check_kept(&world.opened.store);
    let truth = world.close();
    let newest = files(dir.path(), "snapshot-").pop().unwrap();
    let copy = tempfile::tempdir().unwrap();
    for damage in [false, true] {
        copy_all(dir.path(), copy.path());
        fs::remove_dir_all(copy.path().join("store")).unwrap();
        if damage {
            let path = copy.path().join(&newest);
            let mut bytes = fs::read(&path).unwrap();
            let at = bytes.len() * 2 / 3;
            bytes[at] ^= 4;
            fs::write(path, bytes).unwrap();
        }
        let mut world = World::open(&by_bytes(copy.path()), truth.clone()).unwrap();
        assert_eq!(world.opened.report.rebuilt.as_deref(), Some("it is missing"));
        assert!(world.opened.report.raised.is_empty());
        assert_eq!(world.truth.check_kept(&world.opened.store), gone);
        // It goes on as if nothing had been.
        world.run(7, 1_500, 20);
        world.retain(0);
        world.opened.materialiser.checkpoint().unwrap();
        world.retain(0);
        let more = world.truth.check_kept(&world.opened.store);
        assert!(more > gone, "{more} of {gone}");
        let truth = world.close();
        let again = World::open(&by_bytes(copy.path()), truth).unwrap();
        assert_eq!(again.truth.check_kept(&again.opened.store), more);
        drop(again);
        assert_eq!(check(copy.path()).unwrap(), Vec::<String>::new());
    }
}

#[test]
fn without_a_whole_snapshot_a_trimmed_log_is_not_taken_for_all_there_is() {
    let dir = tempfile::tempdir().unwrap();
    drop(trimmed(dir.path()));
    for name in files(dir.path(), "snapshot-") {
        let bytes = fs::read(dir.path().join(&name)).unwrap();
        fs::write(dir.path().join(&name), &bytes[..bytes.len() - 9]).unwrap();
    }
    assert_eq!(check(dir.path()).unwrap().len(), 3);
    fs::rename(dir.path().join("store"), dir.path().join("elsewhere")).unwrap();
    let refused = World::open(&by_bytes(dir.path()), Truth::default());
    assert!(matches!(refused, Err(OpenError::NotWhole { .. })));
    let _ = fs::remove_dir_all(dir.path().join("store"));
    fs::rename(dir.path().join("elsewhere"), dir.path().join("store")).unwrap();
    assert_eq!(World::open(&by_bytes(dir.path()), Truth::default()).unwrap().opened.report.rebuilt, None);
}

#[test]
fn a_trim_that_is_cut_at_any_write_is_finished_by_the_next_open() {
    // Blocks leave the store by this alone.
    let options = Options { window_bytes: 64 << 20, ..by_bytes("unused") };
    for (seen, cut) in (0_u64..).step_by(7).enumerate() {
        let disk = MemoryDisk::new();
        let mut world = World::open_memory(&disk, &options, Truth::default()).unwrap();
        for round in 0..6 {
            world.run(round, 200, 20);
            world.retain(0);
        }
        world.run(7, 400, 20);
        world.opened.materialiser.checkpoint().unwrap();
        disk.stop_store_after(cut as usize);
        let done = loop {
            match world.opened.materialiser.retain(0) {
                Ok(true) => {}
                done => break done,
            }
        };
        let store_writes = if cut % 3 == 0 { 0 } else { usize::MAX };
        disk.crash(Crash { store_writes, ..Crash::default() });
        let truth = world.truth.clone();
        drop(world.opened);
        let mut world = World::open_memory(&disk, &options, truth).unwrap();
        assert_eq!(world.opened.report.rebuilt, None, "cut at {cut}");
        let gone = world.truth.check_kept(&world.opened.store);
        world.run(cut + 1, 100, 10);
        world.opened.materialiser.checkpoint().unwrap();
        world.retain(0);
        assert!(world.truth.check_kept(&world.opened.store) >= gone);
        if done.is_ok() {
            assert!(seen > 5, "only {seen} cuts");
            return;
        }
    }
}

#[test]
fn a_channel_whose_messages_are_all_gone_goes_on_with_its_next_seq() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(&by_bytes(dir.path()), Truth::default()).unwrap();
    for _ in 0..70 {
        let entry = world.truth.message(1, 2, b"early");
        world.commit(&[entry]);
    }
    for round in 0..3_000 {
        let entry = world.truth.message(3, 4, &[b'l'; 400]);
        world.commit(&[entry]);
        if round % 100 == 0 {
            world.retain(0);
        }
    }
    let channel = Channel::person(&id("user-1"), &id("user-2"));
    assert_eq!(world.opened.store.trimmed_through(0, &channel, 1).unwrap(), 70);
    let truth = world.close();
    fs::remove_dir_all(dir.path().join("store")).unwrap();
    let mut world = World::open(&by_bytes(dir.path()), truth).unwrap();
    for _ in 0..100 {
        let entry = world.truth.message(2, 1, b"late");
        world.commit(&[entry]);
    }
    world.opened.materialiser.checkpoint().unwrap();
    world.truth.check_kept(&world.opened.store);
    assert_eq!(world.opened.store.trimmed_through(0, &channel, 5).unwrap(), 70);
}

#[test]
fn with_retention_sliding_the_files_do_not_grow() {
    const LIVE: u64 = 4 << 20;
    /// The engine takes its file in pieces of 8 MiB, and comes to five of them with rows that are written over.
    const ENGINE: u64 = 5 * (8 << 20);
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { max_bytes: LIVE, snapshot_segments: 2, ..Retention::KEEP };
    let sizes = Options { segment_bytes: 256 << 10, checkpoint_bytes: 512 << 10, window_bytes: 1 << 20, ..options("") };
    let mut world =
        World::open(&Options { path: dir.path().into(), retention, ..sizes.clone() }, Truth::default()).unwrap();
    let turnover = |world: &mut World| {
        let mut written = 0;
        for round in 0.. {
            let entries: Vec<_> =
                (0..100).map(|at| world.truth.message(at % 5, (at + round) % 7, &[b'x'; 1_000])).collect();
            written += entries.iter().map(|placed| placed.entry.image.len() as u64).sum::<u64>();
            world.commit(&entries);
            world.retain(0);
            if written > LIVE {
                return world.opened.store.log_bytes().unwrap() + world.opened.store.size_bytes();
            }
        }
        unreachable!()
    };
    let after = (0..8).map(|_| turnover(&mut world)).last().unwrap();
    let bound = LIVE + LIVE / 4 + sizes.window_bytes + ENGINE;
    assert!(after <= bound, "{after} bytes, and not {bound}");
}
