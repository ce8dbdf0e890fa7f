//! The primitive fields: big-endian integers, length-prefixed bytes.

use alloc::vec::Vec;
use core::mem;

use bytes::{Buf as _, Bytes};

use crate::DecodeError;

/// Integers on the wire are at most this (2^53 − 1), so that every language reads them exactly.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Takes fields off a payload, or fails and says where. It never reads past the end and never allocates: what it
/// hands out are slices of the payload.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The payload, or what is left of it behind the last slice that reached its end.
    bytes: Bytes,
    /// Index of the next field in `bytes`, never beyond its end: numbers are read without touching the reference count.
    next: usize,
    /// Offset of `bytes` in the payload.
    start: usize,
}

impl Reader {
    /// A reader at the start of `payload`.
    #[must_use]
    pub const fn new(payload: Bytes) -> Self {
        Self { bytes: payload, next: 0, start: 0 }
    }

    /// Offset of the next field.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.start + self.next
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.bytes.len() - self.next
    }

    /// The bytes that are left, without taking them.
    #[must_use]
    pub fn peek(&self) -> &[u8] {
        self.bytes.get(self.next..).unwrap_or_default()
    }

    /// Exactly `len` bytes.
    ///
    /// # Errors
    /// `MALFORMED` when fewer are left.
    pub fn bytes(&mut self, len: usize, what: &'static str) -> Result<Bytes, DecodeError> {
        if len > self.remaining() {
            return Err(self.malformed(what));
        }
        if len == 0 {
            return Ok(Bytes::new());
        }
        if len < self.remaining() {
            let from = self.next;
            self.next += len;
            return Ok(self.bytes.slice(from..self.next));
        }
        // The last bytes take the reader's own reference with them.
        let mut last = mem::take(&mut self.bytes);
        last.advance(self.next);
        self.start += self.next + len;
        self.next = 0;
        Ok(last)
    }

    #[inline]
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let Some(head) = self.peek().first_chunk::<N>().copied() else {
            return Err(self.malformed(what));
        };
        self.next += N;
        Ok(head)
    }

    #[cold]
    const fn malformed(&self, what: &'static str) -> DecodeError {
        DecodeError::malformed(what, self.position())
    }

    /// One byte.
    ///
    /// # Errors
    /// `MALFORMED` at the end of the payload.
    #[inline]
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array(what)?))
    }

    /// Two bytes.
    ///
    /// # Errors
    /// `MALFORMED` when fewer are left.
    #[inline]
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// `MALFORMED` when fewer are left.
    #[inline]
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    /// Eight bytes, a number of at most [`MAX_INTEGER`].
    ///
    /// # Errors
    /// `MALFORMED` when fewer are left or the number is larger.
    #[inline]
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let at = self.position();
        let number = u64::from_be_bytes(self.array(what)?);
        if number > MAX_INTEGER {
            return Err(DecodeError::malformed(what, at));
        }
        Ok(number)
    }

    /// Eight opaque bytes.
    ///
    /// # Errors
    /// `MALFORMED` when fewer are left.
    pub fn opaque8(&mut self, what: &'static str) -> Result<[u8; 8], DecodeError> {
        self.array(what)
    }

    /// A length of one byte, then so many bytes.
    ///
    /// # Errors
    /// `MALFORMED` when fewer are left.
    pub fn bytes8(&mut self, what: &'static str) -> Result<Bytes, DecodeError> {
        let len = self.u8(what)?;
        self.bytes(usize::from(len), what)
    }

    /// A length of two bytes, at most `max`, then so many bytes.
    ///
    /// # Errors
    /// `MALFORMED` when fewer are left or the length is over `max`.
    pub fn bytes16(&mut self, max: usize, what: &'static str) -> Result<Bytes, DecodeError> {
        let at = self.position();
        let len = usize::from(self.u16(what)?);
        if len > max {
            return Err(DecodeError::malformed(what, at));
        }
        self.bytes(len, what)
    }

    /// A length of four bytes, then so many bytes.
    ///
    /// # Errors
    /// `MALFORMED` when fewer are left.
    #[inline]
    pub fn bytes32(&mut self, what: &'static str) -> Result<Bytes, DecodeError> {
        let at = self.position();
        let len = usize::try_from(self.u32(what)?).map_err(|_| DecodeError::malformed(what, at))?;
        self.bytes(len, what)
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// `MALFORMED` when something is.
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.remaining() == 0 { Ok(()) } else { Err(self.malformed("bytes after the last field")) }
    }
}

/// Puts fields behind each other; the mirror of [`Reader`]. Lengths are the caller's duty: a longer field than its
/// prefix can tell is cut to the prefix's maximum, which no packet of this crate does.
pub trait Writer {
    /// Raw bytes.
    fn raw(&mut self, bytes: &[u8]);

    /// One byte.
    fn u8(&mut self, number: u8) {
        self.raw(&[number]);
    }

    /// Two bytes.
    fn u16(&mut self, number: u16) {
        self.raw(&number.to_be_bytes());
    }

    /// Four bytes.
    fn u32(&mut self, number: u32) {
        self.raw(&number.to_be_bytes());
    }

    /// Eight bytes.
    fn u64(&mut self, number: u64) {
        self.raw(&number.to_be_bytes());
    }

    /// A length of one byte, then the bytes.
    fn bytes8(&mut self, bytes: &[u8]) {
        let len = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
        self.u8(len);
        self.raw(bytes.get(..usize::from(len)).unwrap_or(bytes));
    }

    /// A length of two bytes, then the bytes.
    fn bytes16(&mut self, bytes: &[u8]) {
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(len);
        self.raw(bytes.get(..usize::from(len)).unwrap_or(bytes));
    }

    /// A length of four bytes, then the bytes.
    fn bytes32(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.raw(bytes);
    }
}

impl Writer for Vec<u8> {
    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Writer for bytes::BytesMut {
    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}
