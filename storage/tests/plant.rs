//! Planted faults do what they say: a suite that does not notice them is blind.
#![cfg(feature = "plant")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod world;

use postrider_storage::{
    Crash, MemoryDisk,
    plant::{self, Fault},
};
use world::{Truth, World, options};

/// How many images are missing after a commit and a crash.
fn missing_after_crash(fail_sync: bool) -> usize {
    let disk = MemoryDisk::new();
    let mut world = World::open_memory(&disk, &options("unused"), Truth::default()).unwrap();
    world.run(1, 20, 5);
    if fail_sync {
        disk.fail_next_sync();
    }
    let entry = world.truth.message(1, 2, b"acknowledged");
    world.commit(&[entry]);
    disk.crash(Crash::default());
    let truth = world.truth;
    drop(world.opened);
    let world = World::open_memory(&disk, &options("unused"), truth).unwrap();
    world.truth.check_no_wrong(&world.opened.store)
}

#[test]
fn each_fault_loses_what_was_acknowledged() {
    assert_eq!(missing_after_crash(false), 0);
    for (fault, fail_sync) in
        [(Fault::NoFdatasync, false), (Fault::DropLastEntry, false), (Fault::FlushErrorIgnored, true)]
    {
        plant::set(fault);
        assert!(missing_after_crash(fail_sync) > 0, "{fault:?}");
        plant::set(Fault::None);
    }
}
