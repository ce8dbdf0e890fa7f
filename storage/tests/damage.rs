//! Damage: bits flip, files go, a store is lost. What is served is right, and damage is told.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod world;

use std::{fs, path::Path};

use postrider_storage::{MemoryDisk, OpenError, check, open};
use world::{Truth, World, copy_all, options};

/// A directory with everything in it, closed.
fn filled(dir: &Path, seed: u64, count: u64) -> Truth {
    let mut world = World::open(&options(dir), Truth::default()).unwrap();
    world.run(seed, count, 20);
    world.opened.materialiser.checkpoint().unwrap();
    world.close()
}

fn dice(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 20) as usize
}

fn flip(path: &Path, bit: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = (bit / 8) % bytes.len();
    bytes[at] ^= 1 << (bit % 8);
    fs::write(path, bytes).unwrap();
}

#[test]
fn s06_a_flipped_bit_in_the_log_is_never_served() {
    let mut state = 42;
    for round in 0..400 {
        let disk = MemoryDisk::new();
        let mut options = options("unused");
        options.window_bytes = 8 << 10;
        let mut world = World::open_memory(&disk, &options, Truth::default()).unwrap();
        world.run(round % 5, 120, 8);
        if round % 2 == 0 {
            world.opened.materialiser.checkpoint().unwrap();
        }
        let truth = world.close();
        disk.flip(false, dice(&mut state));
        let world = World::open_memory(&disk, &options, truth).unwrap();
        world.truth.check_no_wrong(&world.opened.store);
    }
}

#[test]
fn s06_a_flipped_bit_in_the_log_leaves_heads_and_is_told_and_raises_the_epoch() {
    let mut options = options("unused");
    options.checkpoint_bytes = 1 << 20;
    let mut state = 7;
    let (mut lost, mut kept) = (0, 0);
    for round in 0..200 {
        let disk = MemoryDisk::new();
        let mut world = World::open_memory(&disk, &options, Truth::default()).unwrap();
        let epochs = world.epochs;
        if round % 4 == 0 {
            // One that ends with a page.
            world.run(2, 300, 300);
        }
        world.run(3, 100, 8);
        let truth = world.close();
        disk.flip(false, dice(&mut state));
        let world = World::open_memory(&disk, &options, truth).unwrap();
        let missing = world.truth.check_no_wrong(&world.opened.store);
        let report = &world.opened.report;
        if missing > 0 {
            lost += 1;
            assert!(report.damaged > 0 || !report.raised.is_empty(), "{missing} missing: {report:?}");
        } else {
            kept += 1;
        }
        for &slot in &report.raised {
            assert_eq!(world.epochs[usize::from(slot)], epochs[usize::from(slot)] + 1);
        }
        let raised = report.raised.clone();
        let (epochs, truth) = (world.epochs, world.truth.clone());
        world.close();
        // A new epoch is raised once, not at each open.
        let world = World::open_memory(&disk, &options, truth).unwrap();
        assert_eq!(world.epochs, epochs, "{raised:?}");
        assert!(world.opened.report.raised.is_empty());
    }
    assert!(lost > 0 && kept > 0);
}

#[test]
fn s06_damaged_log_entries_are_served_from_their_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.window_bytes = 4 << 20;
    let mut world = World::open(&options, Truth::default()).unwrap();
    let mut locators = Vec::new();
    for at in 0..50 {
        let entry = world.truth.message(at % 3, 4, format!("number {at} of fifty").as_bytes());
        locators.extend(world.commit(&[entry]));
    }
    world.opened.materialiser.checkpoint().unwrap();
    let truth = world.close();
    let path = dir.path().join(format!("log/{:010}.seg", locators[20].segment));
    for locator in &locators {
        flip(&path, (locator.offset as usize + 100) * 8);
    }
    let world = World::open(&options, truth).unwrap();
    world.truth.check(&world.opened.store);
}

#[test]
fn s06_a_flipped_bit_in_the_store_is_never_served() {
    let origin = tempfile::tempdir().unwrap();
    let truth = filled(origin.path(), 11, 600);
    let mut state = 99;
    for _ in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        copy_all(origin.path(), dir.path());
        let mut files: Vec<_> =
            fs::read_dir(dir.path().join("store")).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|path| path.is_file() && fs::metadata(path).unwrap().len() > 0);
        files.sort();
        // Mostly sled's data, in the part that is used.
        let path = files.iter().find(|path| path.ends_with("db")).filter(|_| !dice(&mut state).is_multiple_of(4));
        let path = path.unwrap_or(&files[dice(&mut state) % files.len()]);
        let used = fs::read(path).unwrap().iter().rposition(|&byte| byte != 0).unwrap() + 1;
        flip(path, dice(&mut state) % (used * 8));
        let world = World::open(&options(dir.path()), truth.clone()).unwrap();
        world.truth.check(&world.opened.store);
    }
}

#[test]
fn s06_a_flipped_bit_in_a_value_of_the_store_is_found() {
    let mut state = 5;
    for round in 0..200 {
        let disk = MemoryDisk::new();
        let options = options("unused");
        let mut world = World::open_memory(&disk, &options, Truth::default()).unwrap();
        world.run(round % 3, 150, 10);
        world.opened.materialiser.checkpoint().unwrap();
        let truth = world.close();
        disk.flip(true, dice(&mut state));
        let world = World::open_memory(&disk, &options, truth).unwrap();
        world.truth.check(&world.opened.store);
    }
}

#[test]
fn s07_a_lost_or_broken_store_is_rebuilt() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("deleted", |store| fs::remove_dir_all(store).unwrap()),
        ("db deleted", |store| fs::remove_file(store.join("db")).unwrap()),
        ("cut", |store| {
            let file = fs::File::options().write(true).open(store.join("db")).unwrap();
            let used = fs::read(store.join("db")).unwrap().iter().rposition(|&byte| byte != 0).unwrap();
            file.set_len(used as u64 / 2 + 3).unwrap();
        }),
        ("noise", |store| {
            let len = fs::metadata(store.join("db")).unwrap().len() as usize;
            let mut state = 3;
            let noise: Vec<u8> = (0..len).map(|_| dice(&mut state) as u8).collect();
            fs::write(store.join("db"), noise).unwrap();
        }),
        ("conf emptied", |store| fs::write(store.join("conf"), "").unwrap()),
    ];
    for (name, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        let truth = filled(dir.path(), 17, 900);
        damage(&dir.path().join("store"));
        let mut told = 0;
        let opened = open(&options(dir.path()), &mut |progress| told += u64::from(progress.rebuild)).unwrap();
        // What is left of a cut file may be a whole earlier state, on which the log goes on; conf is made anew.
        let must = !matches!(name, "cut" | "conf emptied");
        assert!(!must || (opened.report.rebuilt.is_some() && told > 0), "{name}");
        truth.check(&opened.store);
        drop(opened);
        assert_eq!(check(dir.path()).unwrap(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn the_check_is_silent_when_all_is_well_and_tells_each_kind_of_damage() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 23, 700);
    assert_eq!(check(dir.path()).unwrap(), Vec::<String>::new());

    let segment = dir.path().join("log/0000000001.seg");
    let bytes = fs::read(&segment).unwrap();
    for at in [3, 70, 300, bytes.len() - 3] {
        flip(&segment, at * 8);
        assert!(!check(dir.path()).unwrap().is_empty(), "byte {at}");
        fs::write(&segment, &bytes).unwrap();
    }
    assert_eq!(check(dir.path()).unwrap(), Vec::<String>::new());
    let _open = open(&options(dir.path()), &mut |_| {}).unwrap();
    assert!(matches!(check(dir.path()), Err(OpenError::Locked(_))));
}
