//! The content of a message that waits in an entry, in parts: one row may not have it all.

use bytes::Bytes;
use postrider_protocol::{BODY_BYTES, CommandId, Id, Image, Reader, TLV_BYTES, Tlvs};

use crate::{PartRow, StateKey, StoreError};

/// Most bytes of a part.
pub const PART_BYTES: usize = 3_500;

/// Most parts of a content.
const PARTS: u8 = ((2 + TLV_BYTES + BODY_BYTES).div_ceil(PART_BYTES) & 0xff) as u8;

/// TLVs and body of the content that `user` has under `id` in so many parts, each read by `row`; none when it is not whole.
/// It lies there as `tlvs bytes16 · body`.
///
/// # Errors
/// Those of `row`.
pub fn content(
    user: &Id,
    (id, parts): (CommandId, u8),
    row: impl Fn(&StateKey) -> Result<Option<PartRow>, StoreError>,
) -> Result<Option<(Tlvs, Bytes)>, StoreError> {
    let mut all = Vec::new();
    for at in 0..parts {
        let part = row(&StateKey::Part(user.clone(), id, at))?;
        all.extend(part.into_iter().flat_map(|part| part.bytes));
    }
    Ok(split(all.into()))
}

fn split(all: Bytes) -> Option<(Tlvs, Bytes)> {
    let mut r = Reader::new(all.clone());
    let tlvs = Tlvs::parse(r.bytes16(usize::from(u16::MAX), "tlvs").ok()?, 0).ok()?;
    let at = r.position();
    Some((tlvs, all.slice(at..)))
}

/// The TLVs of the message in an entry: those that no client sets are the entry's own.
fn tlvs_of(image: &Image) -> Tlvs {
    Tlvs::from_pairs(image.tlvs.iter().filter(|&(tag, _)| !matches!(tag, 0x4000..=0x7fff)))
}

/// In how many parts the content of an entry lies.
pub(super) fn count(image: &Image) -> u8 {
    let bytes = 2 + tlvs_of(image).as_bytes().len() + image.body.len();
    u8::try_from(bytes.div_ceil(PART_BYTES)).unwrap_or(PARTS)
}

/// Names the parts of what an entry makes.
pub(super) fn made(user: &Id, id: CommandId, image: &Image, keys: &mut Vec<StateKey>) {
    keys.extend((0..count(image)).map(|at| StateKey::Part(user.clone(), id, at)));
}

/// Names all parts that `id` may have.
pub(super) fn all(user: &Id, id: CommandId, keys: &mut Vec<StateKey>) {
    keys.extend((0..PARTS).map(|at| StateKey::Part(user.clone(), id, at)));
}

/// Folds the content of an entry into a part; an entry without content takes it away.
pub(super) fn apply(row: &mut Option<PartRow>, at: u8, position: u64, content: Option<&Image>) {
    let bytes = content.map(|image| part(&tlvs_of(image), &image.body, at)).unwrap_or_default();
    *row = (!bytes.is_empty()).then(|| PartRow { bytes: bytes.into(), position });
}

/// What the `at`-th part has; nothing behind the last one.
fn part(tlvs: &Tlvs, body: &[u8], at: u8) -> Vec<u8> {
    let tlvs = tlvs.as_bytes();
    let len = u16::try_from(tlvs.len()).unwrap_or(u16::MAX).to_be_bytes();
    let (mut skip, mut part) = (usize::from(at) * PART_BYTES, Vec::new());
    for piece in [&len[..], tlvs, body] {
        let rest = piece.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(piece.len());
        part.extend(rest.iter().take(PART_BYTES - part.len()));
    }
    part
}
