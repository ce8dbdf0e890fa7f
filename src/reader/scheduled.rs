//! What the caller has scheduled.

use bytes::Bytes;
use postrider_protocol::packet::schedule::{self, Plan, Scheduled, ScheduledPage};

use super::{
    Asker, Reader,
    call::{No, PAGE_BYTES, page},
};

impl Reader {
    /// The answer to SCHEDULED.
    pub(super) fn scheduled(&self, asker: &Asker, fields: Bytes) -> Result<Vec<u8>, No> {
        let (channel, after) = schedule::read_named(fields)?;
        let (mut scheduled, mut bytes) = (Vec::new(), 0);
        for (id, row) in self.lookup.scheduled(asker.tenant, &channel, &asker.user, after)? {
            let content = self.lookup.content((asker.tenant, &channel), &asker.user, (id, row.parts))?;
            // It was sent or taken away just now.
            let Some((tlvs, body)) = content else { continue };
            let plan = Plan { due_ms: row.due_ms, flags: row.flags, body };
            let one = Scheduled { id, plan, tlvs, refused: row.refused };
            bytes += one.bytes();
            scheduled.push(one);
            // The rest is for other pages.
            if bytes > PAGE_BYTES && scheduled.len() > 1 {
                break;
            }
        }
        let (scheduled, more) = page(scheduled, Scheduled::bytes);
        let mut fields = Vec::new();
        ScheduledPage { scheduled, more }.write(&mut fields);
        Ok(fields)
    }
}
