//! Users and their devices.

use bytes::Bytes;
use postrider_protocol::{Id, Image, Reader, Tlvs, tag};

use super::{DEVICE_KIND, DEVICE_REMOVED_KIND, DEVICE_TAG, group::merged};
use crate::{DeviceRow, StateKey, UserRow};

/// A field of a device is cut to so many bytes.
const FIELD_BYTES: usize = 128;
const DEVICE_TAGS: [u16; 4] = [tag::PLATFORM, tag::APP_VERSION, tag::LANGUAGE, tag::TIME_ZONE];
const PROFILE_TAGS: [u16; 4] = [tag::NAME, tag::AVATAR, tag::DESCRIPTION, tag::CUSTOM];

/// What of a CONNECT's TLVs is kept of the device, each at most 128 bytes.
#[must_use]
pub fn of_device(tlvs: &Tlvs) -> Tlvs {
    cut_fields(tlvs, &DEVICE_TAGS, FIELD_BYTES)
}

/// What of the TLVs of PROFILE_SET is the profile.
#[must_use]
pub fn of_profile(tlvs: &Tlvs) -> Tlvs {
    cut_fields(tlvs, &PROFILE_TAGS, usize::MAX)
}

/// The texts of `tags`, each cut to at most `bytes` bytes between two characters.
#[must_use]
pub fn cut_fields(tlvs: &Tlvs, tags: &[u16], bytes: usize) -> Tlvs {
    let cut = |&tag: &u16| {
        let text = tlvs.get_text(tag)?;
        let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        Some((tag, text.get(..end).unwrap_or_default().as_bytes()))
    };
    Tlvs::from_pairs(tags.iter().filter_map(cut))
}

fn device_of(image: &Image) -> Option<Id> {
    Id::new(Bytes::copy_from_slice(image.tlvs.get(DEVICE_TAG)?))
}

/// The device in the body.
fn named(image: &Image) -> Option<Id> {
    Id::read(&mut Reader::new(image.body.clone()), "device").ok().map(|id| id.detached())
}

pub(super) fn changed(image: &Image, keys: &mut Vec<StateKey>) {
    match image.kind {
        DEVICE_KIND => keys.extend(device_of(image).into_iter().chain(named(image)).map(StateKey::Device)),
        DEVICE_REMOVED_KIND => keys.push(named(image).map_or(StateKey::User, StateKey::Device)),
        _ => keys.push(StateKey::User),
    }
}

pub(super) fn apply(row: &mut Option<UserRow>, position: u64, image: &Image) {
    let row = row.get_or_insert_default();
    row.position = position;
    if image.kind == DEVICE_REMOVED_KIND {
        let kept = device_of(image);
        row.kept_removed_ms = row.removed_of(kept.as_ref());
        (row.removed_ms, row.kept) = (image.time_ms, kept);
        return;
    }
    row.fields = merged(&row.fields, &image.tlvs, &PROFILE_TAGS);
    let flag = |tag, before| image.tlvs.get_u32(tag).map_or(before, |value| value == 1);
    row.receipts_private = flag(tag::RECEIPTS_PRIVATE, row.receipts_private);
    row.presence_private = flag(tag::PRESENCE_PRIVATE, row.presence_private);
    row.contacts_only = flag(tag::CONTACTS_ONLY, row.contacts_only);
}

pub(super) fn apply_device(row: &mut Option<DeviceRow>, position: u64, device: &Id, image: &Image) {
    if image.kind == DEVICE_REMOVED_KIND {
        let row = row.get_or_insert_default();
        (row.removed_ms, row.position) = (image.time_ms, position);
        return;
    }
    if device_of(image).as_ref() != Some(device) {
        match row {
            // One that came back and is forgotten stays removed for its tokens of before.
            Some(row) if row.removed_ms > 0 && row.last_ms > row.removed_ms => {
                (row.last_ms, row.position) = (0, position);
            }
            row => *row = None,
        }
        return;
    }
    let row = row.get_or_insert_default();
    row.fields = of_device(&image.tlvs);
    if row.first_ms == 0 {
        row.first_ms = image.time_ms;
    }
    (row.last_ms, row.position) = (image.time_ms.max(row.removed_ms + 1), position);
}
