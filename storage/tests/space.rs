//! Too little space: nothing is written, reading goes on, and it resumes by itself.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod world;

use std::fs;

use postrider_storage::{StoreError, open};
use world::{Truth, World, options};

#[test]
fn s09_without_space_nothing_is_materialised_and_reading_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    let mut world = World::open(&options, Truth::default()).unwrap();
    assert!(world.opened.log.has_room(1 << 20));
    world.run(1, 300, 10);
    world.opened.materialiser.checkpoint().unwrap();
    let truth = world.close();

    options.reserve_bytes = u64::MAX / 2;
    let mut world = World::open(&options, truth).unwrap();
    assert!(!world.opened.log.has_room(0), "commands are to be refused");
    let entry = world.truth.clone().message(1, 2, &[b'x'; 30_000]);
    let slot = entry.slot;
    let covered = world.opened.store.covered(slot);
    world.commit(&[entry]);
    assert!(!world.opened.materialiser.is_due());
    assert!(matches!(world.opened.materialiser.checkpoint(), Err(StoreError::Full)));
    assert_eq!(world.opened.store.covered(slot), covered);
    assert!(world.opened.materialiser.pending_bytes() > 30_000);
    world.truth.check(&world.opened.store);
}

#[test]
fn s09_the_ballast_is_made_when_there_is_space_and_given_up_when_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    options.ballast_bytes = 1 << 20;
    drop(open(&options, &mut |_| {}).unwrap());
    assert_eq!(fs::metadata(dir.path().join("ballast")).unwrap().len(), 1 << 20);
    options.reserve_bytes = u64::MAX / 4;
    drop(open(&options, &mut |_| {}).unwrap());
    assert!(!dir.path().join("ballast").exists());
}

#[test]
fn a_checkpoint_is_due_at_leisure_for_a_quarter_of_what_makes_one_due() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path());
    let mut world = World::open(&options, Truth::default()).unwrap();
    let mut is_due = |len: usize| {
        let entry = world.truth.message(1, 2, &vec![b'x'; len]);
        world.commit_only(&[entry]);
        (world.opened.materialiser.is_due_at_leisure(), world.opened.materialiser.is_due())
    };
    let quarter = usize::try_from(options.checkpoint_bytes / 4).unwrap();
    assert_eq!(is_due(quarter / 2), (false, false));
    assert_eq!(is_due(quarter / 2), (true, false));
    assert_eq!(is_due(3 * quarter), (true, true));
}
