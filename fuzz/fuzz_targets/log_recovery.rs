//! A damaged log is recovered without a wrong image: input is bits of the log to flip.
#![no_main]

mod storage;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let world = storage::World::new();
    for bit in storage::bits(data) {
        world.disk.flip(false, bit);
    }
    world.read_back();
});
