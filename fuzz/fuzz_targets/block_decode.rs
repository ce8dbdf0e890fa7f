//! A damaged store is found out: input is bits of the store's values, blocks and rows alike, to flip.
#![no_main]

mod storage;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let world = storage::World::new();
    for bit in storage::bits(data) {
        world.disk.flip(true, bit);
    }
    world.read_back();
});
