//! Entries: what the log holds, and the record in which log and blocks keep one.
//!
//! ```text
//! head CRC-32 · tail CRC-32 · image length u32 · image head length u16 · tenant u32 · oldest u64 · read u64 · image
//! ```
//! The tail CRC covers the image from its TLV length on; the head CRC covers all else, the TLV length included. So either
//! part is checked alone, and a tail that was erased leaves a sound head. What erasure writes over the TLVs and body,
//! with the same length, says itself that it is that and no damage:
//!
//! ```text
//! CRC-32 of a word, the tail CRC, the head of the image and what follows here · of an edit: TARGET and VERSION · zeros
//! ```

use bytes::Bytes;
use postrider_protocol::{Channel, DecodeError, Image, ImageKind, Tlvs, Writer as _, tag};

use crate::NewEntry;

/// Bytes of a record before its image.
pub(crate) const RECORD_HEAD: usize = 34;
/// No record is longer; what claims to be is damaged.
pub(crate) const RECORD_MAX: usize = 128 * 1024;
/// Offset of the channel in an image.
pub(crate) const CHANNEL_AT: usize = 20;

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
        Image::decode(if self.is_whole() { self.image.clone() } else { self.bare() })
    }

    /// The image without what erasure takes: with no body, and with no TLVs but those of an edit that say what it edits.
    pub(crate) fn bare(&self) -> Bytes {
        let kept = self.erased().unwrap_or_default();
        let mut bare = self.image.get(..self.head_len as usize).unwrap_or_default().to_vec();
        bare.bytes16(kept);
        bare.extend_from_slice(&[0; 4]);
        bare.into()
    }

    /// The TLVs that erasure kept; none when TLVs and body were not erased.
    pub(crate) fn erased(&self) -> Option<&[u8]> {
        erased(&self.image, self.head_len as usize, self.crc)
    }

    /// What erasure writes over TLVs and body, from their offset in the image on, first the mark and then all of it;
    /// none when nothing is to be erased, or all of it was.
    pub(crate) fn erasure(&self) -> Option<(usize, Vec<u8>)> {
        let (at, head_len) = (self.head_len as usize + 2, self.head_len as usize);
        let now = self.image.get(at..)?;
        let kept: Vec<u8> = match self.erased() {
            Some(kept) => kept.to_vec(),
            None if self.is_whole() && now.len() > 4 => kept_of(&self.image(), now.len()),
            // Nothing can be told of what is damaged.
            None => Vec::new(),
        };
        let mut tail = mark(self.image.get(..at)?, self.crc, &kept).to_be_bytes().to_vec();
        tail.extend_from_slice(&kept);
        tail.resize(now.len().max(4), 0);
        (now.len() > 4 && tail != now && head_len > 0).then_some((at, tail))
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

    /// Whether TLVs and body are those that were stored, or were erased.
    pub(crate) fn is_sound(&self) -> bool {
        self.is_whole() || self.erased().is_some()
    }

    /// Whether it is the entry `seq` of `channel` in `tenant`.
    pub(crate) fn is(&self, tenant: u32, channel: &Channel, seq: u64) -> bool {
        self.tenant == tenant
            && self.image.get(4..12) == Some(&seq.to_be_bytes()[..])
            && self.image.get(CHANNEL_AT..).is_some_and(|rest| rest.starts_with(channel.as_bytes()))
    }

    /// The entry whose record `bytes` begin with, if its head is sound. The tail may be not: ask [`Entry::is_whole`].
    pub(crate) fn parse(bytes: &Bytes) -> Option<Self> {
        let record = RecordRef::parse(bytes)?;
        Some(Self::of(&record, bytes.slice(RECORD_HEAD..record.len())))
    }

    /// The entry of `record`, whose image is `image`.
    pub(crate) fn of(record: &RecordRef<'_>, image: Bytes) -> Self {
        let (tenant, oldest, read) = (record.tenant(), record.oldest(), record.read());
        Self { tenant, oldest, read, image, head_len: record.head_len(), crc: record.crc() }
    }
}

/// The TLVs of an edit that erasure keeps, so that it is known what was edited.
const KEPT_TAGS: [u16; 2] = [tag::TARGET, tag::VERSION];
/// Their bytes.
const KEPT_BYTES: usize = 12 + 8;
/// Bytes that erasure writes at first, and makes durable before all else.
pub(crate) const MARK_BYTES: usize = 4 + KEPT_BYTES;

fn kept_of(image: &Result<Image, DecodeError>, len: usize) -> Vec<u8> {
    let Ok(image) = image else { return Vec::new() };
    if image.kind != ImageKind::Edited.number() || len < MARK_BYTES {
        return Vec::new();
    }
    let kept = Tlvs::from_pairs(image.tlvs.iter().filter(|(tag, _)| KEPT_TAGS.contains(tag)));
    if kept.as_bytes().len() == KEPT_BYTES { kept.as_bytes().to_vec() } else { Vec::new() }
}

/// What says that TLVs and body were erased; `head` is the image up to and with its TLV length.
fn mark(head: &[u8], tail_crc: u32, kept: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(b"erased");
    crc.update(&tail_crc.to_be_bytes());
    crc.update(head);
    crc.update(kept);
    crc.finalize()
}

/// The TLVs that erasure kept of `image`; none when its TLVs and body were not erased.
fn erased(image: &[u8], head_len: usize, tail_crc: u32) -> Option<&[u8]> {
    let (head, tail) = image.split_at_checked(head_len + 2)?;
    let (found, rest) = tail.split_first_chunk()?;
    let found = u32::from_be_bytes(*found);
    let is_it = |kept: &&[u8]| mark(head, tail_crc, kept) == found;
    rest.get(..KEPT_BYTES).filter(is_it).or_else(|| Some(&[][..]).filter(is_it))
}

/// A record as it lies in log or block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordRef<'a>(&'a [u8]);

impl<'a> RecordRef<'a> {
    /// The record that is all of `bytes`, which were looked at before.
    pub(crate) const fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The record that `bytes` begin with, if its head is sound.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let head: &[u8; RECORD_HEAD] = bytes.first_chunk()?;
        let len = RECORD_HEAD + record_image_len(head)?;
        let record = Self(bytes.get(..len)?);
        let covered = RECORD_HEAD + record.head_len() as usize + 2;
        (crc32fast::hash(record.0.get(4..covered)?) == be32(head, 0)).then_some(record)
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn head_len(&self) -> u32 {
        self.0
            .get(12..14)
            .and_then(|bytes| bytes.first_chunk())
            .map_or(0, |bytes| u32::from(u16::from_be_bytes(*bytes)))
    }

    pub(crate) fn tenant(&self) -> u32 {
        be32(self.0, 14)
    }

    pub(crate) fn oldest(&self) -> u64 {
        be64(self.0, 18)
    }

    pub(crate) fn read(&self) -> u64 {
        be64(self.0, 26)
    }

    /// CRC-32 of the tail as it was stored.
    pub(crate) fn crc(&self) -> u32 {
        be32(self.0, 4)
    }

    pub(crate) fn image(&self) -> &'a [u8] {
        self.0.get(RECORD_HEAD..).unwrap_or_default()
    }

    /// Whether TLVs and body are those that were stored.
    pub(crate) fn is_whole(&self) -> bool {
        crc32fast::hash(self.image().get(self.head_len() as usize..).unwrap_or_default()) == self.crc()
    }

    /// Whether TLVs and body are those that were stored, or were erased.
    pub(crate) fn is_sound(&self) -> bool {
        self.is_whole() || erased(self.image(), self.head_len() as usize, self.crc()).is_some()
    }
}

/// Writes the record of `entry` to `out`, which is as long.
pub(crate) fn write_record(out: &mut [u8], entry: &NewEntry<'_>) {
    let mut head = [0; RECORD_HEAD];
    head[4..8].copy_from_slice(&entry.crc.to_be_bytes());
    head[8..12].copy_from_slice(&u32::try_from(entry.image.len()).unwrap_or(u32::MAX).to_be_bytes());
    head[12..14].copy_from_slice(&u16::try_from(entry.head_len).unwrap_or(u16::MAX).to_be_bytes());
    head[14..18].copy_from_slice(&entry.tenant.to_be_bytes());
    head[18..26].copy_from_slice(&entry.oldest.to_be_bytes());
    head[26..34].copy_from_slice(&entry.read.to_be_bytes());
    let Some((place, image)) = out.split_first_chunk_mut::<RECORD_HEAD>() else { return };
    *place = head;
    image.copy_from_slice(entry.image);
    let covered = RECORD_HEAD + entry.head_len as usize + 2;
    let crc = crc32fast::hash(out.get(4..covered).unwrap_or_default());
    if let Some(field) = out.first_chunk_mut() {
        *field = crc.to_be_bytes();
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

impl Placed {
    /// As it is appended.
    #[must_use]
    pub fn as_new(&self) -> NewEntry<'_> {
        let Entry { tenant, oldest, read, ref image, head_len, crc } = self.entry;
        NewEntry { slot: self.slot, position: self.position, tenant, oldest, read, image, head_len, crc }
    }
}

/// Where a record begins in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Locator {
    /// Number of the segment, from 1; 0 stands for nowhere.
    pub segment: u32,
    /// Offset in the segment's file.
    pub offset: u32,
}
