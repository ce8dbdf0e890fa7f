//! Blocks of the newest entries: a window that slides, changes its size, and is left out in a hurry. What is served is
//! always the same.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod world;

use std::{fs, path::Path, sync::Arc};

use postrider_storage::{MemoryDisk, Options, check};
use world::{Truth, World, options};

/// Breaks the bodies of the log that begin with `mark`; tells how many.
fn break_bodies(log: &Path, mark: &[u8]) -> usize {
    let mut broken = 0;
    for file in fs::read_dir(log).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let places: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(mark)).collect();
        places.iter().for_each(|&at| bytes[at] ^= 1);
        broken += places.len();
        fs::write(path, bytes).unwrap();
    }
    broken
}

/// Appends `count` messages to one channel, and makes the checkpoints that are due.
fn write(world: &mut World, count: u64, text: &str) {
    for at in 0..count {
        let entry = world.truth.message(5, 6, format!("{text} {at} {:700}", "").as_bytes());
        world.commit(&[entry]);
    }
    world.opened.materialiser.checkpoint().unwrap();
}

fn small(dir: &Path, window_bytes: u64) -> Options {
    Options { window_bytes, checkpoint_bytes: 32 << 10, ..options(dir) }
}

#[test]
fn the_newest_entries_are_served_from_their_blocks_and_older_ones_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let options = small(dir.path(), 64 << 10);
    let mut world = World::open(&options, Truth::default()).unwrap();
    write(&mut world, 400, "old");
    write(&mut world, 60, "new");
    let truth = world.close();
    assert_eq!(check(dir.path()).unwrap(), Vec::<String>::new());
    assert!(break_bodies(&dir.path().join("log"), b"new ") >= 60);
    let world = World::open(&options, truth.clone()).unwrap();
    truth.check(&world.opened.store);
    drop(world);
    assert!(break_bodies(&dir.path().join("log"), b"old ") >= 400);
    let world = World::open(&options, truth).unwrap();
    let missing = world.truth.check_no_wrong(&world.opened.store);
    assert!((300..=400).contains(&missing), "{missing} are missing");
}

#[test]
fn a_checkpoint_in_pieces_lets_others_in_after_each_entry_and_is_read_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { checkpoint_bytes: 1 << 20, ..small(dir.path(), 64 << 10) };
    let mut world = World::open(&options, Truth::default()).unwrap();
    for at in 0..400 {
        let entry = world.truth.message(5, 6, format!("in pieces {at}").as_bytes());
        world.commit(&[entry]);
    }
    let (store, mut pieces) = (Arc::clone(&world.opened.store), 0);
    let covered = world.opened.materialiser.checkpoint_in_pieces(&mut || {
        pieces += 1;
        assert!(store.size_bytes() > 0 && store.conversations(0, &world::id("nobody")).unwrap().is_empty());
    });
    assert!(covered.unwrap().0.iter().any(|position| *position >= 400));
    assert!(pieces > 400, "{pieces} pieces");
    world.truth.check(&world.opened.store);
}

#[test]
fn a_window_of_another_size_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut truth = Truth::default();
    for window_bytes in [64 << 10, 128 << 10, 128 << 10, 48 << 10, 16 << 10, 256 << 10] {
        let mut world = World::open(&small(dir.path(), window_bytes), truth).unwrap();
        assert_eq!(world.opened.report.rebuilt, None);
        world.truth.check(&world.opened.store);
        write(&mut world, 150, "text");
        world.truth.check(&world.opened.store);
        truth = world.close();
        assert_eq!(check(dir.path()).unwrap(), Vec::<String>::new());
    }
}

#[test]
fn in_a_hurry_blocks_are_left_out_and_the_log_serves() {
    let dir = tempfile::tempdir().unwrap();
    let options = small(dir.path(), 256 << 10);
    let mut world = World::open(&options, Truth::default()).unwrap();
    write(&mut world, 100, "calm");
    world.opened.materialiser.hurry(true);
    write(&mut world, 100, "hurried");
    world.opened.materialiser.hurry(false);
    write(&mut world, 100, "calm");
    world.truth.check(&world.opened.store);
    let truth = world.close();
    assert_eq!(check(dir.path()).unwrap(), Vec::<String>::new());
    break_bodies(&dir.path().join("log"), b"calm ");
    let world = World::open(&options, truth.clone()).unwrap();
    truth.check(&world.opened.store);
    drop(world);
    break_bodies(&dir.path().join("log"), b"hurried ");
    let world = World::open(&options, truth).unwrap();
    assert_eq!(world.truth.check_no_wrong(&world.opened.store), 100);
}

#[test]
fn s23_a_crash_at_every_write_of_a_checkpoint_that_turns_the_ring_loses_nothing() {
    let options = small(Path::new("unused"), 48 << 10);
    for (budget, is_hurried) in (0..60).flat_map(|budget| [(budget, false), (budget, true)]) {
        let disk = MemoryDisk::new();
        let mut world = World::open_memory(&disk, &options, Truth::default()).unwrap();
        write(&mut world, 90, "before");
        let more: Vec<_> = (0..60).map(|at| world.truth.message(at % 9, 9, &[b'x'; 600])).collect();
        let options = Options { checkpoint_bytes: 1 << 20, ..options.clone() };
        world.commit_only(&more);
        world.opened.materialiser.hurry(is_hurried);
        world.cut_checkpoint(&disk, &options, budget);
    }
}
