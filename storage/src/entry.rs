//! Entries: what the log holds, and the record in which log and blocks keep one.
//!
//! ```text
//! head CRC-32 · tail CRC-32 · image length u32 · image head length u16 · tenant u32 · oldest u64 · read u64 · image
//! ```
//! The tail CRC covers the image from its TLV length on, the part that erasure empties; the head CRC covers all else,
//! the TLV length included. So either part is checked alone, and an emptied tail leaves a sound head.

use bytes::Bytes;
use postrider_protocol::{Channel, DecodeError, Image, Writer};

/// Bytes of a record before its image.
pub(crate) const RECORD_HEAD: usize = 34;
/// No record is longer; what claims to be is damaged.
pub(crate) const RECORD_MAX: usize = 128 * 1024;
/// Offset of the channel in an image.
const CHANNEL_AT: usize = 20;

/// One decided command: an image with what belongs to it but is told to nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The tenant of the channel.
    pub tenant: u32,
    /// The lowest number that the sender may still send again.
    pub oldest: u64,
    /// The highest seq on the author's screen; 0 for none.
    pub read: u64,
    /// The image as it is on the wire.
    pub image: Bytes,
    /// Offset of the TLV length in the image.
    pub head_len: u32,
    /// CRC-32 of the image from `head_len` on, as it was when the entry was made.
    pub crc: u32,
}

impl Entry {
    /// An entry of `image`, whose TLV length is at `head_len`.
    #[must_use]
    pub fn new(tenant: u32, oldest: u64, read: u64, image: Bytes, head_len: u32) -> Self {
        let crc = crc32fast::hash(image.get(head_len as usize..).unwrap_or_default());
        Self { tenant, oldest, read, image, head_len, crc }
    }

    /// Its image. Where the bytes after the head are not those that were stored, only the head is told: no TLVs and
    /// an empty body.
    ///
    /// # Errors
    /// When the head is not that of an image.
    pub fn image(&self) -> Result<Image, DecodeError> {
        if self.is_whole() {
            return Image::decode(self.image.clone());
        }
        let mut bare = self.image.get(..self.head_len as usize).unwrap_or_default().to_vec();
        bare.extend_from_slice(&[0; 6]);
        Image::decode(bare.into())
    }

    /// Whether TLVs and body are those that were stored.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        crc32fast::hash(self.image.get(self.head_len as usize..).unwrap_or_default()) == self.crc
    }

    /// Bytes it takes in the log.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        RECORD_HEAD + self.image.len()
    }

    /// Whether it is the entry `seq` of `channel` in `tenant`.
    pub(crate) fn is(&self, tenant: u32, channel: &Channel, seq: u64) -> bool {
        self.tenant == tenant
            && self.image.get(4..12) == Some(&seq.to_be_bytes()[..])
            && self.image.get(CHANNEL_AT..).is_some_and(|rest| rest.starts_with(channel.as_bytes()))
    }

    /// Appends its record to `out`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.u32(0);
        out.u32(self.crc);
        out.u32(u32::try_from(self.image.len()).unwrap_or(u32::MAX));
        out.u16(u16::try_from(self.head_len).unwrap_or(u16::MAX));
        out.u32(self.tenant);
        out.u64(self.oldest);
        out.u64(self.read);
        out.raw(&self.image);
        let covered = RECORD_HEAD + self.head_len as usize + 2;
        let crc = crc32fast::hash(out.get(at + 4..at + covered).unwrap_or_default());
        if let Some(field) = out.get_mut(at..at + 4) {
            field.copy_from_slice(&crc.to_be_bytes());
        }
    }

    /// The entry whose record `bytes` begin with, and the record's length, if its head is sound. The tail may be not:
    /// ask [`Entry::is_whole`].
    pub(crate) fn parse(bytes: &Bytes) -> Option<(Self, usize)> {
        let head: &[u8; RECORD_HEAD] = bytes.first_chunk()?;
        let image_len = record_image_len(head)?;
        let head_len = u32::from(u16::from_be_bytes([head[12], head[13]]));
        let len = RECORD_HEAD + image_len;
        let covered = RECORD_HEAD + head_len as usize + 2;
        if len > bytes.len() || covered > len || crc32fast::hash(bytes.get(4..covered)?) != be32(head, 0) {
            return None;
        }
        let image = bytes.slice(RECORD_HEAD..len);
        let (tenant, oldest, read) = (be32(head, 14), be64(head, 18), be64(head, 26));
        Some((Self { tenant, oldest, read, image, head_len, crc: be32(head, 4) }, len))
    }
}

/// The image length that a record's head claims, if it is possible.
pub(crate) fn record_image_len(head: &[u8; RECORD_HEAD]) -> Option<usize> {
    let len = be32(head, 8) as usize;
    (len <= RECORD_MAX - RECORD_HEAD).then_some(len)
}

/// The big-endian u32 at `at`; 0 where the bytes end before it.
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// The big-endian u64 at `at`; 0 where the bytes end before it.
pub(crate) fn be64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// An entry with its place in its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The slot of its channel.
    pub slot: u8,
    /// Its position in the slot, dense from 1.
    pub position: u64,
    /// The entry.
    pub entry: Entry,
}

/// Where a record begins in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Locator {
    /// Number of the segment, from 1; 0 stands for nowhere.
    pub segment: u32,
    /// Offset in the segment's file.
    pub offset: u32,
}
