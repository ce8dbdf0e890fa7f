//! Frames: a header of ten bytes, then the payload.
//!
//! ```text
//! length u32 · kind u8 · flags u8 · CRC-32 u32 · payload (length bytes)
//! ```
//! `length` counts the payload alone. The CRC-32 (IEEE) covers the six bytes before it and the payload.

use alloc::vec::Vec;

use bytes::{Buf, Bytes, BytesMut};

use crate::{DecodeError, FRAME_PAYLOAD_BYTES, HEADER_BYTES, Kind, Reason, Writer};

/// One whole, checked frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its kind; a number of 0x80 or above that is not known may be ignored.
    pub kind: u8,
    /// What follows the header.
    pub payload: Bytes,
}

/// Cuts a stream of bytes into frames, whatever pieces it comes in. Holds only the bytes of a frame that is not
/// complete yet, and reserves for it no more than has arrived.
#[derive(Debug)]
pub struct Decoder {
    /// The beginning of a frame whose rest has not arrived.
    partial: BytesMut,
    /// What was fed and not looked at.
    input: Bytes,
    /// The longest payload it takes.
    limit: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::limited(FRAME_PAYLOAD_BYTES)
    }

    /// A decoder that takes no payload over `limit` bytes.
    #[must_use]
    pub fn limited(limit: usize) -> Self {
        Self { partial: BytesMut::new(), input: Bytes::new(), limit: limit.min(FRAME_PAYLOAD_BYTES) }
    }

    /// Takes payloads of up to `limit` bytes from now on, never more than [`FRAME_PAYLOAD_BYTES`].
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(FRAME_PAYLOAD_BYTES);
    }

    /// Gives the next piece of the stream; call [`Decoder::next_frame`] until it has no more before the next piece.
    /// What was not taken out before is joined with the piece.
    pub fn feed(&mut self, piece: Bytes) {
        if self.input.is_empty() {
            self.input = piece;
            return;
        }
        let held = core::mem::take(&mut self.input);
        let mut joined = held.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
        joined.extend_from_slice(&piece);
        self.input = joined.freeze();
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.partial.len() + self.input.len()
    }

    /// Whether it holds bytes that [`Decoder::next_frame`] has not looked at.
    #[must_use]
    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Whether part of a frame has arrived and its rest has not.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.partial.is_empty() || !self.input.is_empty()
    }

    /// The next whole frame, or none when more bytes are needed. After an error the stream cannot be followed.
    ///
    /// # Errors
    /// `FRAME_TOO_LARGE`, `MALFORMED` for flags, `BAD_CRC`; each as soon as the bytes that show it are there.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        if !self.partial.is_empty() {
            return self.next_partial();
        }
        let header = match self.input.first_chunk::<HEADER_BYTES>() {
            Some(header) => self.header(header)?,
            None => return Ok(self.keep()),
        };
        if self.input.len() < header.total() {
            return Ok(self.keep());
        }
        open(self.input.split_to(header.total()), &header).map(Some)
    }

    /// Keeps the beginning of a frame until its rest arrives.
    fn keep(&mut self) -> Option<Frame> {
        self.partial.extend_from_slice(&self.input);
        self.input = Bytes::new();
        None
    }

    /// As [`Decoder::next_frame`], when part of the frame is kept.
    fn next_partial(&mut self) -> Result<Option<Frame>, DecodeError> {
        self.fill_partial(HEADER_BYTES);
        let Some(header) = self.partial.first_chunk() else { return Ok(None) };
        let header = self.header(header)?;
        if !self.fill_partial(header.total()) {
            return Ok(None);
        }
        open(core::mem::take(&mut self.partial).freeze(), &header).map(Some)
    }

    /// Moves input to the partial frame until that has `need` bytes; false when there are not enough yet.
    fn fill_partial(&mut self, need: usize) -> bool {
        let missing = need.saturating_sub(self.partial.len()).min(self.input.len());
        self.partial.extend_from_slice(self.input.get(..missing).unwrap_or_default());
        self.input.advance(missing);
        self.partial.len() >= need
    }

    fn header(&self, bytes: &[u8; HEADER_BYTES]) -> Result<Header, DecodeError> {
        let [a, b, c, d, kind, flags, e, f, g, h] = *bytes;
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        if len > self.limit {
            return Err(DecodeError { reason: Reason::FrameTooLarge, what: "frame length", at: 0 });
        }
        if flags != 0 {
            return Err(DecodeError::malformed("frame flags", 5));
        }
        Ok(Header { len, kind, crc: u32::from_be_bytes([e, f, g, h]) })
    }
}

struct Header {
    len: usize,
    kind: u8,
    crc: u32,
}

impl Header {
    const fn total(&self) -> usize {
        HEADER_BYTES + self.len
    }
}

/// Takes a whole frame with this header apart and checks its CRC.
fn open(mut whole: Bytes, header: &Header) -> Result<Frame, DecodeError> {
    let (head, payload) = whole.split_at_checked(HEADER_BYTES).unwrap_or_default();
    if crc(head.get(..6).unwrap_or_default(), payload) != header.crc {
        return Err(DecodeError { reason: Reason::BadCrc, what: "frame CRC", at: 6 });
    }
    whole.advance(HEADER_BYTES);
    Ok(Frame { kind: header.kind, payload: whole })
}

fn crc(head: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(payload);
    crc.finalize()
}

/// The header of a frame of `kind` with this payload.
#[must_use]
pub fn header(kind: Kind, payload: &[u8]) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let head = [a, b, c, d, kind.number(), 0];
    let [e, f, g, h] = crc(&head, payload).to_be_bytes();
    [a, b, c, d, kind.number(), 0, e, f, g, h]
}

/// Appends a frame whose payload `write` appends, and returns what `write` returned. Nothing is copied: the header
/// is filled in afterwards.
pub fn append<T>(out: &mut Vec<u8>, kind: Kind, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let start = out.len();
    out.raw(&[0; HEADER_BYTES]);
    let result = write(out);
    if let Some((head, payload)) = out.get_mut(start..).and_then(|frame| frame.split_at_mut_checked(HEADER_BYTES)) {
        head.copy_from_slice(&header(kind, payload));
    }
    result
}
