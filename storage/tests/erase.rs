//! Erasure: what was taken back, or has gone away, is nowhere in the data directory after the next checkpoint, whatever
//! is cut in between; all else stays as it was, and nobody takes it for damage.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod world;

use std::{fs, path::Path};

use postrider_protocol::{Channel, ImageKind, Tlvs, image_flag, tag};
use postrider_storage::{Crash, Found, MemoryDisk, Options, Placed, Retention, Store, check};
use world::{Truth, World, copy_all, id, options};

const SECRET: &[u8] = b"a secret that nobody is to find";

/// How often `what` is in the files below `dir`.
fn count(dir: &Path, what: &[u8]) -> usize {
    let mut found = 0;
    for file in fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_dir() {
            found += count(&file.path(), what);
        } else {
            let bytes = fs::read(file.path()).unwrap();
            found += bytes.windows(what.len()).filter(|window| *window == what).count();
        }
    }
    found
}

fn channel() -> Channel {
    Channel::person(&id("user-1"), &id("user-2"))
}

fn message(truth: &mut Truth, body: &[u8]) -> Placed {
    truth.message(1, 2, body)
}

fn secret(text: &str) -> Vec<u8> {
    [SECRET, b": ", text.as_bytes()].concat()
}

/// A message and two edits of it, among others.
fn told(world: &mut World) {
    let (alice, channel) = (id("user-1"), channel());
    let entries = [
        message(&mut world.truth, b"before"),
        message(&mut world.truth, &secret("first")),
        world.truth.about(ImageKind::Edited, &alice, &channel, 2, &secret("second")),
        world.truth.about(ImageKind::Edited, &alice, &channel, 2, &secret("third")),
        message(&mut world.truth, b"after"),
    ];
    world.commit(&entries);
}

fn take_back(world: &mut World) {
    let revoke = world.truth.about(ImageKind::Revoked, &id("user-1"), &channel(), 2, b"");
    world.commit_only(&[revoke]);
}

/// Whether the message and its edits are gone, and all else is there.
fn is_erased(store: &Store) -> bool {
    let found = store.read(0, &channel(), 1, u64::MAX).unwrap();
    let is = |at: usize| matches!(found[at], Found::Erased(_));
    let whole = [0, 4, 5].iter().all(|&at| matches!(found[at], Found::Image(_)));
    assert!(whole, "{found:?}");
    assert_eq!((is(1), is(1)), (is(2), is(3)), "{found:?}");
    is(1)
}

#[test]
fn after_the_next_checkpoint_the_bytes_are_nowhere_on_disk() {
    for covered_before in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::open(&options(dir.path()), Truth::default()).unwrap();
        told(&mut world);
        if covered_before {
            world.opened.materialiser.checkpoint().unwrap();
        }
        assert!(count(dir.path(), SECRET) >= 3);
        assert!(!world.opened.materialiser.is_erasure_due(u64::MAX, 0), "nothing is taken back yet");
        take_back(&mut world);
        let now_ms = 1_000_000 + world.truth.clock;
        assert!(world.opened.materialiser.is_erasure_due(now_ms + 5, 5));
        assert!(!world.opened.materialiser.is_erasure_due(now_ms + 4, 5));
        world.opened.materialiser.checkpoint().unwrap();
        world.erase(0);
        assert!(!world.opened.materialiser.is_erasure_due(u64::MAX, 0));
        assert_eq!(count(dir.path(), SECRET), 0);
        assert_eq!(count(dir.path(), b"text/plain"), count(dir.path(), b"before") + count(dir.path(), b"after"));
        assert!(is_erased(&world.opened.store));
        world.truth.check(&world.opened.store);
        let truth = world.close();
        assert_eq!(check(dir.path()).unwrap(), Vec::<String>::new());
        let world = World::open(&options(dir.path()), truth).unwrap();
        assert_eq!((world.opened.report.damaged, &world.opened.report.rebuilt), (0, &None));
        assert!(is_erased(&world.opened.store));
    }
}

#[test]
fn a_store_that_is_rebuilt_has_the_same_rows_and_no_body() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(&options(dir.path()), Truth::default()).unwrap();
    told(&mut world);
    take_back(&mut world);
    world.run(5, 300, 10);
    world.opened.materialiser.checkpoint().unwrap();
    world.erase(0);
    let truth = world.close();
    fs::remove_dir_all(dir.path().join("store")).unwrap();
    let world = World::open(&options(dir.path()), truth).unwrap();
    assert_eq!(world.opened.report.rebuilt.as_deref(), Some("it is missing"));
    assert_eq!((world.opened.report.damaged, world.opened.report.losses.len()), (0, 0));
    world.truth.check(&world.opened.store);
    assert!(matches!(world.opened.store.read(0, &channel(), 2, 2).unwrap()[..], [Found::Erased(_)]));
    drop(world);
    assert_eq!(count(dir.path(), SECRET), 0);
    assert_eq!(check(dir.path()).unwrap(), Vec::<String>::new());
}

#[test]
fn a_store_that_is_set_aside_keeps_no_body() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(&options(dir.path()), Truth::default()).unwrap();
    told(&mut world);
    world.opened.materialiser.checkpoint().unwrap();
    let truth = world.close();
    // Its rows are unfit.
    let path = dir.path().join("store/db");
    let mut bytes = fs::read(&path).unwrap();
    let len = bytes.len().min(1 << 20);
    bytes[..len].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let mut world = World::open(&options(dir.path()), truth).unwrap();
    assert!(world.opened.report.rebuilt.is_some());
    take_back(&mut world);
    world.opened.materialiser.checkpoint().unwrap();
    world.erase(0);
    assert_eq!(count(dir.path(), SECRET), 0);
}

#[test]
fn whatever_is_cut_the_next_start_erases_the_rest() {
    let options = Options { window_bytes: 64 << 10, ..options("unused") };
    let mut ends = 0;
    for writes in 0..200 {
        let disk = MemoryDisk::new();
        let mut world = World::open_memory(&disk, &options, Truth::default()).unwrap();
        told(&mut world);
        take_back(&mut world);
        if writes % 2 == 0 {
            world.opened.materialiser.checkpoint().unwrap();
        }
        disk.stop_store_after(writes / 2);
        let done = world.opened.materialiser.checkpoint().is_ok() && {
            loop {
                match world.opened.materialiser.erase(0) {
                    Ok(true) => {}
                    Ok(false) => break true,
                    Err(_) => break false,
                }
            }
        };
        // Nothing, a part, or all of what was not synced is there.
        disk.crash(Crash { writes: writes % 7, torn: writes % 3 == 0, store_writes: writes % 5 });
        let truth = world.truth.clone();
        drop(world);
        let world = World::open_memory(&disk, &options, truth).unwrap();
        assert_eq!(world.opened.report.rebuilt, None, "after {writes} writes");
        assert_eq!(world.opened.report.losses.len(), 0, "after {writes} writes");
        assert!(is_erased(&world.opened.store), "after {writes} writes");
        world.truth.check(&world.opened.store);
        ends += usize::from(done);
    }
    assert!(ends > 20, "it never came to an end");
}

#[test]
fn a_crash_between_the_mark_and_the_rest_is_no_damage() {
    // Writes to the log are cut: the mark, then the rest.
    let options = options("unused");
    for (writes, torn) in [(0, false), (0, true), (1, false), (1, true), (2, false), (3, true), (9, false)] {
        let disk = MemoryDisk::new();
        let mut world = World::open_memory(&disk, &options, Truth::default()).unwrap();
        told(&mut world);
        take_back(&mut world);
        world.opened.materialiser.checkpoint().unwrap();
        disk.fail_next_sync();
        assert!(world.opened.materialiser.erase(0).is_err());
        assert!(disk.unsynced().0 > 0, "marks are written");
        disk.crash(Crash { writes, torn, store_writes: usize::MAX });
        let truth = world.truth.clone();
        drop(world);
        let world = World::open_memory(&disk, &options, truth).unwrap();
        assert!(world.opened.report.losses.is_empty() && world.opened.report.raised.is_empty());
        assert!(is_erased(&world.opened.store));
        world.truth.check(&world.opened.store);
    }
}

#[test]
fn what_has_gone_away_is_erased_from_its_time_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::open(&options(dir.path()), Truth::default()).unwrap();
    let entry = mortal(&mut world.truth, 5_000, &secret("mortal"));
    let sent_ms = 1_000_000 + world.truth.clock;
    world.commit_only(&[entry]);
    let channel = channel();
    let edit = world.truth.about(ImageKind::Edited, &id("user-1"), &channel, 1, &secret("still"));
    world.commit_only(&[edit]);
    assert!(!world.opened.materialiser.is_erasure_due(sent_ms + 5_999, 1_000));
    assert!(world.opened.materialiser.is_erasure_due(sent_ms + 6_000, 1_000));
    world.opened.materialiser.checkpoint().unwrap();
    world.erase(sent_ms + 4_999);
    assert!(count(dir.path(), SECRET) > 0);
    assert!(world.opened.materialiser.is_erasure_due(sent_ms + 5_000, 0));
    let truth = world.close();
    let mut world = World::open(&options(dir.path()), truth).unwrap();
    world.erase(sent_ms + 4_999);
    assert!(world.opened.materialiser.is_erasure_due(sent_ms + 5_000, 0), "also after a start");
    world.erase(sent_ms + 5_000);
    assert_eq!(count(dir.path(), SECRET), 0);
    let found = world.opened.store.read(0, &channel, 1, 2).unwrap();
    let [Found::Erased(message), Found::Erased(edit)] = &found[..] else { panic!("{found:?}") };
    let decode = |bytes: &bytes::Bytes| postrider_protocol::Image::decode(bytes.clone()).unwrap();
    assert_ne!(decode(message).flags & image_flag::EXPIRING, 0);
    assert_eq!(decode(edit).tlvs.get_u64(tag::TARGET), Some(1));
    world.close();
    assert_eq!(check(dir.path()).unwrap(), Vec::<String>::new());
}

#[test]
fn with_retention_what_was_taken_back_goes_too() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { max_bytes: 256 << 10, snapshot_segments: 1, ..Retention::KEEP };
    let options = Options { retention, ..options(dir.path()) };
    let mut world = World::open(&options, Truth::default()).unwrap();
    told(&mut world);
    for round in 0..12 {
        world.run(round, 200, 20);
        world.retain(0);
    }
    // The message is dropped by then; its own channel goes on.
    take_back(&mut world);
    world.opened.materialiser.checkpoint().unwrap();
    world.erase(0);
    world.retain(0);
    assert_eq!(count(dir.path(), SECRET), 0);
    let truth = world.close();
    let copy = tempfile::tempdir().unwrap();
    copy_all(dir.path(), copy.path());
    fs::remove_dir_all(copy.path().join("store")).unwrap();
    let world = World::open(&options, truth.clone()).unwrap();
    assert!(world.truth.check_kept(&world.opened.store) > 0);
    drop(world);
    let world = World::open(&Options { path: copy.path().into(), ..options }, truth).unwrap();
    assert!(world.opened.report.rebuilt.is_some());
    world.truth.check_kept(&world.opened.store);
}

/// A message that goes away.
fn mortal(truth: &mut Truth, lifetime_ms: u64, body: &[u8]) -> Placed {
    let tlvs = Tlvs::from_pairs([(tag::LIFETIME_MS, &lifetime_ms.to_be_bytes()[..])]);
    truth.decide_with(1, image_flag::EXPIRING, &id("user-1"), &channel(), tlvs, body, 0)
}
