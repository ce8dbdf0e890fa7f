//! Everything that happens comes from one seed, in streams that know nothing of each other: a draw more in one does
//! not shift the others.

/// One stream.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The stream `name` of `seed`.
    pub fn stream(seed: u64, name: &str) -> Self {
        let salt = u64::from(crc32fast::hash(name.as_bytes()));
        let mut chance = Self(seed ^ salt << 32);
        chance.next();
        chance
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `from`.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// How many of `waiting` to take now: often all, sometimes few, at least one of any.
    pub fn some_of(&mut self, waiting: usize) -> usize {
        if waiting < 2 || !self.one_in(3) { waiting } else { 1 + self.below(waiting.min(200)) }
    }
}

/// What a run did, as one number: equal for equal runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace(u64);

impl Trace {
    /// Adds an event.
    pub fn add(&mut self, kind: u8, number: u64, bytes: &[u8]) {
        let crc = u64::from(crc32fast::hash(bytes)) << 8 | u64::from(kind);
        self.0 = (self.0 ^ crc ^ number << 40).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    /// The number.
    pub const fn hash(self) -> u64 {
        self.0
    }
}
