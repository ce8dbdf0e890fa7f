//! BROADCASTS and TAGS.

use bytes::Bytes;
use postrider_protocol::{
    Channel, Reason,
    packet::{
        broadcast::{self, Broadcast, Broadcasts},
        people,
    },
};
use postrider_storage::{StateKey, TagsRow};

use super::{Asker, Reader, call::No};

const ONLY_SYSTEM: No = No::Refused(Reason::NotAllowed, "only a system user may");

impl Reader {
    pub(super) fn broadcasts(&self, asker: &Asker, fields: Bytes) -> Result<Vec<u8>, No> {
        people::read_nothing(fields)?;
        if !asker.is_system {
            return Err(ONLY_SYSTEM);
        }
        let mut all: Vec<_> = self.lookup.broadcasts(asker.tenant, &asker.user)?.into_iter().collect();
        all.sort_by_key(|(_, row)| row.made);
        let broadcasts = all.into_iter().map(|(id, row)| Broadcast {
            id,
            reach: row.reach,
            made_ms: row.made_ms,
            is_cancelled: row.is_cancelled,
            ended_ms: row.ended_ms,
            sent: row.sent,
            refused: row.refused,
        });
        let mut out = Vec::new();
        Broadcasts(broadcasts.collect()).write(&mut out);
        Ok(out)
    }

    pub(super) fn tags(&self, asker: &Asker, fields: Bytes) -> Result<Vec<u8>, No> {
        let user = people::read_user(fields)?;
        if !asker.is_system {
            return Err(ONLY_SYSTEM);
        }
        let row: Option<TagsRow> = self.lookup.row(asker.tenant, &Channel::user(&user), &StateKey::Tags)?;
        let mut out = Vec::new();
        broadcast::write_tags(&mut out, &row.unwrap_or_default().tags);
        Ok(out)
    }
}
