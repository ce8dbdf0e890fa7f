//! Optional fields: tag, length, bytes, tags ascending.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{DecodeError, Id, MAX_INTEGER, Reader, TLV_BYTES, TLV_COUNT, TlvForm, Writer};

/// The TLVs of a frame or an image, checked: at most 32, at most 8 KiB with their heads, tags strictly ascending, the
/// bytes of a known tag in its form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tlvs(Bytes);

impl Tlvs {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(Bytes::new())
    }

    /// Takes all that is left in `reader`.
    ///
    /// # Errors
    /// `MALFORMED` when it is not a list of TLVs within the limits.
    pub fn read_to_end(reader: &mut Reader) -> Result<Self, DecodeError> {
        if reader.remaining() == 0 {
            return Ok(Self::new());
        }
        let at = reader.position();
        let bytes = reader.bytes(reader.remaining(), "TLVs")?;
        Self::check(&bytes, at)?;
        Ok(Self(bytes))
    }

    /// Takes `bytes` if they are a list of TLVs within the limits; `at` is their offset, for the error.
    ///
    /// # Errors
    /// `MALFORMED` when they are not.
    pub fn parse(bytes: Bytes, at: usize) -> Result<Self, DecodeError> {
        Self::check(&bytes, at)?;
        Ok(Self(bytes))
    }

    fn check(bytes: &[u8], at: usize) -> Result<(), DecodeError> {
        if bytes.len() > TLV_BYTES {
            return Err(DecodeError::malformed("TLVs over 8 KiB", at));
        }
        let (mut rest, mut last, mut count) = (bytes, None, 0);
        while !rest.is_empty() {
            let here = at + (bytes.len() - rest.len());
            let (tag, value, after) = split(rest).ok_or(DecodeError::malformed("TLV", here))?;
            if last.is_some_and(|last| last >= tag) {
                return Err(DecodeError::malformed("TLV tags not ascending", here));
            }
            count += 1;
            if count > TLV_COUNT {
                return Err(DecodeError::malformed("more than 32 TLVs", here));
            }
            if !has_form(tag, value) {
                return Err(DecodeError::malformed("TLV value", here + 4));
            }
            (rest, last) = (after, Some(tag));
        }
        Ok(())
    }

    /// From pairs with ascending tags; pairs that would break the limits, the order or a form are left out.
    #[must_use]
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (u16, &'a [u8])>) -> Self {
        let (mut bytes, mut last, mut count) = (Vec::new(), None, 0);
        for (tag, value) in pairs {
            let fits = bytes.len() + 4 + value.len() <= TLV_BYTES && count < TLV_COUNT;
            if fits && last.is_none_or(|last| last < tag) && has_form(tag, value) {
                bytes.u16(tag);
                bytes.bytes16(value);
                last = Some(tag);
                count += 1;
            }
        }
        Self(bytes.into())
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let mut rest: &[u8] = &self.0;
        core::iter::from_fn(move || {
            let (tag, value, after) = split(rest)?;
            rest = after;
            Some((tag, value))
        })
    }

    /// The bytes of `tag`.
    #[must_use]
    pub fn get(&self, tag: u16) -> Option<&[u8]> {
        self.iter().find(|&(t, _)| t == tag).map(|(_, value)| value)
    }

    /// The bytes of `tag` as text; none when they are not UTF-8, which a known tag of that form cannot be.
    #[must_use]
    pub fn get_text(&self, tag: u16) -> Option<&str> {
        core::str::from_utf8(self.get(tag)?).ok()
    }

    /// The bytes of `tag` as a big-endian u32.
    #[must_use]
    pub fn get_u32(&self, tag: u16) -> Option<u32> {
        self.get(tag)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// The bytes of `tag` as a big-endian u64.
    #[must_use]
    pub fn get_u64(&self, tag: u16) -> Option<u64> {
        self.get(tag)?.try_into().ok().map(u64::from_be_bytes)
    }

    /// The bytes of `tag` as ids; none when they are not, which a known tag of that form cannot be.
    #[must_use]
    pub fn get_ids(&self, tag: u16) -> Option<Vec<Id>> {
        ids(self.get(tag)?)
    }

    /// Whether there is one that only the server sets (tags 0x4000 to 0x7FFF).
    #[must_use]
    pub fn has_server_tag(&self) -> bool {
        self.iter().any(|(tag, _)| (0x4000..0x8000).contains(&tag))
    }

    /// Whether there is a critical one (tags from 0x8000) that this build does not know. It knows none yet.
    #[must_use]
    pub fn has_unknown_critical(&self) -> bool {
        self.iter().any(|(tag, _)| tag >= 0x8000)
    }

    /// As they stand on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Ids, each with its length, ascending: the value of a TLV of that form.
fn ids(value: &[u8]) -> Option<Vec<Id>> {
    let mut reader = Reader::new(Bytes::copy_from_slice(value));
    let mut ids = Vec::<Id>::new();
    while reader.remaining() > 0 {
        let id = Id::read(&mut reader, "id").ok()?;
        if ids.last().is_some_and(|last| *last >= id) {
            return None;
        }
        ids.push(id);
    }
    Some(ids)
}

/// The value of a TLV of ids, from ids in any order.
#[must_use]
pub fn write_ids(ids: &[Id]) -> Vec<u8> {
    let mut sorted: Vec<&Id> = ids.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut out = Vec::new();
    sorted.into_iter().for_each(|id| out.bytes8(id.as_bytes()));
    out
}

/// Whether `value` is what a known `tag` holds; an unknown tag holds anything.
fn has_form(tag: u16, value: &[u8]) -> bool {
    match TlvForm::of(tag) {
        None => true,
        Some(TlvForm::Text) => core::str::from_utf8(value).is_ok(),
        Some(TlvForm::Ids) => ids(value).is_some(),
        Some(TlvForm::U32) => value.len() == 4,
        Some(TlvForm::U64) => value.try_into().is_ok_and(|bytes| u64::from_be_bytes(bytes) <= MAX_INTEGER),
    }
}

fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first_chunk::<2>()?;
    let (len, rest) = rest.split_first_chunk::<2>()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    Some((u16::from_be_bytes(*tag), value, rest))
}
