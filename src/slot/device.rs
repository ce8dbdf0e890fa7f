//! Devices: that one came. Nobody waits for it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use postrider_protocol::{Channel, Id, Tlvs, Writer as _};
use postrider_storage::{DeviceRow, StateKey, StoreError, UserRow, fold};

use super::{case::Case, command::Origin, decide::Decider, decided::Audience, draft::Draft};

/// A device that comes again the same is noted once in so long.
const DAY_MS: u64 = 86_400_000;

/// What holds for the devices of each user.
#[derive(Clone, Copy, Debug)]
pub struct DeviceRules {
    /// Most devices; the one not used for longest makes room.
    pub max: usize,
    /// No token is good for longer, milliseconds: so long a removed device is remembered.
    pub token_ms: u64,
}

/// Most removed devices of a user that have to be remembered.
pub(super) const REMOVED: usize = 100;

/// Whether it is worth an entry that a device came at `now_ms` with `fields`: it is new, tells something else, had been
/// removed (`all_ms`: when it last was with all others), or a day has passed.
#[must_use]
pub fn is_news(known: Option<&DeviceRow>, all_ms: u64, fields: &Tlvs, now_ms: u64) -> bool {
    known.is_none_or(|row| {
        row.fields != *fields || row.is_removed(all_ms) || now_ms >= row.last_ms.saturating_add(DAY_MS)
    })
}

impl Decider {
    /// The device of `origin` came and tells `fields`.
    pub(super) fn came(&mut self, origin: &Origin, fields: &Tlvs) -> Result<(), StoreError> {
        let Some(device) = &origin.device else { return Ok(()) };
        if self.rules.full.load(Ordering::Relaxed) {
            return Ok(());
        }
        let channel = Channel::user(&origin.user);
        let Some(case) = self.case(origin, &channel, false, false)? else { return Ok(()) };
        let user: UserRow = case.row(&StateKey::User)?.unwrap_or_default();
        let known: Option<DeviceRow> = case.row(&StateKey::Device(device.clone()))?;
        let all_ms = user.removed_of(Some(device));
        let removed_ms = known.as_ref().map_or(all_ms, |row| row.removed_ms.max(all_ms));
        if origin.token_ms <= removed_ms && removed_ms > 0 || !is_news(known.as_ref(), all_ms, fields, case.now.wall_ms)
        {
            return Ok(());
        }
        let room = case.room(&user, device)?;
        let own = (fold::DEVICE_TAG, device.as_bytes());
        let tlvs = Tlvs::from_pairs(fields.iter().chain([own]));
        let mut body = Vec::new();
        if let Some(room) = room {
            body.bytes8(room.as_bytes());
        }
        let draft = Draft::new(fold::DEVICE_KIND, (0, 0), 0, &channel, &tlvs, &body);
        case.accept(&draft, Audience::Nobody).map(|_| ())
    }
}

impl Case<'_> {
    /// The devices of the user whose channel this is, those of removed ones too.
    pub(super) fn devices(&self) -> Result<BTreeMap<Id, DeviceRow>, StoreError> {
        let mut devices = self.store.devices(self.origin.tenant, &self.origin.user)?.into_iter().collect();
        self.parts.channel.rows.overlay(&mut devices, StateKey::device);
        Ok(devices)
    }

    /// Which device makes room when `device` comes: of too many the one not used for longest, or a removed one that
    /// need not be remembered any more.
    fn room(&self, user: &UserRow, device: &Id) -> Result<Option<Id>, StoreError> {
        let DeviceRules { max, token_ms } = self.rules.devices;
        let mut others = self.devices()?;
        others.remove(device);
        let (removed, used): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|(id, row)| row.is_removed(user.removed_of(Some(id))));
        if used.len() >= max {
            // Of those that came within one millisecond the one whose entry is older.
            let oldest = used.into_iter().min_by_key(|(_, row)| (row.last_ms, row.position));
            return Ok(oldest.map(|(id, _)| id));
        }
        let is_past = |(id, row): &(Id, DeviceRow)| {
            let all_ms = user.removed_of(Some(id));
            row.removed_ms <= all_ms || row.removed_ms.saturating_add(token_ms) < self.now.wall_ms
        };
        Ok(removed.into_iter().find(is_past).map(|(id, _)| id))
    }
}
