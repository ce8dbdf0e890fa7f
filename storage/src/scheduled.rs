//! What is scheduled, as it lies in the store.

use bytes::Bytes;
use postrider_protocol::{Channel, CommandId, Id, Reader as Fields};

use crate::{ScheduledRow, StateKey, Store, StoreError, codec::Row as _, table::Table};

impl Store {
    /// What `user` has scheduled in a channel, above `after`, ascending by id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn scheduled(
        &self,
        tenant: u32,
        channel: &Channel,
        user: &Id,
        after: CommandId,
    ) -> Result<Vec<(CommandId, ScheduledRow)>, StoreError> {
        let start = StateKey::Scheduled(user.clone(), after).encode(tenant, channel.as_bytes());
        let (prefix, _) = start.split_at(start.len().saturating_sub(16));
        let mut scheduled = Vec::new();
        self.kv().scan_from(prefix, &start, &mut |key, payload| {
            let mut r = Fields::new(Bytes::copy_from_slice(key.get(prefix.len()..).unwrap_or_default()));
            let id = CommandId::read(&mut r).map_err(|_| StoreError::Damaged { table: "scheduled" })?;
            if id > after {
                scheduled.push((id, ScheduledRow::decode(Table::Scheduled, payload?)?));
            }
            Ok(true)
        })?;
        Ok(scheduled)
    }

    /// Shows everything that is scheduled and waits: tenant, channel, user, id, and when it is due.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn each_scheduled(&self, mut show: impl FnMut(u32, Channel, Id, CommandId, u64)) -> Result<(), StoreError> {
        let damaged = |_| StoreError::Damaged { table: "scheduled" };
        self.kv().scan(&[Table::Scheduled as u8], &mut |key, payload| {
            let mut r = Fields::new(Bytes::copy_from_slice(key.get(1..).unwrap_or_default()));
            let tenant = r.u32("tenant").map_err(damaged)?;
            let channel = Channel::read_shared(&mut r).map_err(damaged)?.detached();
            let (user, id) = (Id::read(&mut r, "user").map_err(damaged)?, CommandId::read(&mut r).map_err(damaged)?);
            let row = ScheduledRow::decode(Table::Scheduled, payload?)?;
            if row.refused == 0 {
                show(tenant, channel, user.detached(), id, row.due_ms);
            }
            Ok(true)
        })
    }
}
