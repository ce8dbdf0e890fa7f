//! Blocks: records of consecutive entries of one slot, copied as they are in the log. The newest of them are kept, in a
//! ring of values: a block takes the place of the one that left the window when it came, so the tree of keys that the
//! engine keeps does not change any more once the ring is full, and neighbours in its files die together.
//!
//! ```text
//! key: number modulo the ring's length · value: number u64 · slot u8 · position of the last u64 · records
//! ```

use postrider_protocol::Writer as _;

use crate::{entry::be64, kv::BLOCK_PAYLOAD_MAX, picked::Pending, slots::PerSlot};

/// Bytes of a block before its records.
const HEAD: usize = 17;

/// How many blocks a window of so many bytes has.
pub(crate) fn ring_of(window_bytes: u64) -> u64 {
    (window_bytes / BLOCK_PAYLOAD_MAX as u64).max(1)
}

/// Whether `payload` is the block `number`, and has a record at `offset`.
pub(crate) fn has(payload: &[u8], number: u64, offset: usize) -> bool {
    (HEAD..payload.len()).contains(&offset) && be64(payload, 0) == number
}

/// Whether `payload` is the block `number`, and has nothing but entries up to `positions`.
pub(crate) fn is_within(payload: &[u8], number: u64, positions: &PerSlot<u64>) -> bool {
    has(payload, number, HEAD) && payload.get(8).is_some_and(|&slot| be64(payload, 9) <= *positions.at(slot))
}

/// Lays records out in blocks, numbered on; the same records always come to lie in the same places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Number of the block after the last.
    pub next: u64,
    /// Length of the open block; 0 when none is open.
    len: usize,
}

impl Layout {
    /// After the block before `next`.
    pub(crate) const fn new(next: u64) -> Self {
        Self { next, len: 0 }
    }

    /// Ends the open block: another slot begins.
    pub(crate) const fn end(&mut self) {
        self.len = 0;
    }

    /// The block of the next record, of `len` bytes, and its offset there; none when it fits into no block.
    pub(crate) const fn place(&mut self, len: usize) -> Option<(u64, usize)> {
        if HEAD + len > BLOCK_PAYLOAD_MAX {
            return None;
        }
        if self.len == 0 || self.len + len > BLOCK_PAYLOAD_MAX {
            self.next += 1;
            self.len = HEAD;
        }
        let offset = self.len;
        self.len += len;
        Some((self.next - 1, offset))
    }
}

/// Takes a block: its number, and its payload.
pub(crate) type Put<'a, E> = dyn FnMut(u64, &[u8]) -> Result<(), E> + 'a;

/// Writes the blocks of a checkpoint again as they were laid out, one at a time.
#[derive(Debug)]
pub(crate) struct Writer {
    layout: Layout,
    number: u64,
    payload: Vec<u8>,
}

impl Writer {
    /// From block `next` on.
    pub(crate) fn new(next: u64) -> Self {
        Self { layout: Layout::new(next), number: 0, payload: Vec::with_capacity(BLOCK_PAYLOAD_MAX) }
    }

    /// Gives each block of the entries of one slot to `put`.
    pub(crate) fn slot<'a, E>(
        &mut self,
        entries: impl Iterator<Item = Pending<'a>>,
        put: &mut Put<'_, E>,
    ) -> Result<(), E> {
        for pending in entries {
            let record = pending.written.record(pending.record).bytes();
            let Some((number, _)) = self.layout.place(record.len()) else { continue };
            if number != self.number {
                self.end(put)?;
                self.number = number;
                self.payload.u64(number);
                self.payload.u8(pending.record.slot);
                self.payload.u64(0);
            }
            if let Some(last) = self.payload.get_mut(9..HEAD) {
                last.copy_from_slice(&pending.record.position.to_be_bytes());
            }
            self.payload.extend_from_slice(record);
        }
        self.layout.end();
        self.end(put)
    }

    fn end<E>(&mut self, put: &mut Put<'_, E>) -> Result<(), E> {
        if !self.payload.is_empty() {
            put(self.number, &self.payload)?;
            self.payload.clear();
        }
        Ok(())
    }
}
