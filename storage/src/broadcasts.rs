//! What broadcasts need of the store: which there are, and whom they reach.

use std::collections::BTreeSet;

use bytes::Bytes;
use postrider_protocol::{Channel, CommandId, Id, Reader as Fields};

use crate::{
    BroadcastRow, Store, StoreError,
    codec::Row as _,
    table::{self, Table},
};

impl Store {
    /// The broadcasts of `user`, under way and ended, ascending by id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn broadcasts(&self, tenant: u32, user: &Id) -> Result<Vec<(CommandId, BroadcastRow)>, StoreError> {
        let prefix = table::of_channel(Table::Broadcast, tenant, Channel::user(user).as_bytes());
        let mut broadcasts = Vec::new();
        self.kv().scan(&prefix, &mut |key, payload| {
            let mut r = Fields::new(Bytes::copy_from_slice(key.get(prefix.len()..).unwrap_or_default()));
            let id = CommandId::read(&mut r).map_err(|_| StoreError::Damaged { table: "broadcast" })?;
            broadcasts.push((id, BroadcastRow::decode(Table::Broadcast, payload?)?));
            Ok(true)
        })?;
        Ok(broadcasts)
    }

    /// Who has broadcasts under way: tenant and user, each once.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn broadcasters(&self) -> Result<BTreeSet<(u32, Id)>, StoreError> {
        let mut broadcasters = BTreeSet::new();
        self.kv().scan(&[Table::Broadcast as u8], &mut |key, payload| {
            if BroadcastRow::decode(Table::Broadcast, payload?)?.ended_ms == 0 {
                let mut r = Fields::new(Bytes::copy_from_slice(key.get(1..).unwrap_or_default()));
                let damaged = |_| StoreError::Damaged { table: "broadcast" };
                let tenant = r.u32("tenant").map_err(damaged)?;
                let channel = Channel::read(&mut r).map_err(damaged)?;
                broadcasters.insert((tenant, channel.ids().0.detached()));
            }
            Ok(true)
        })?;
        Ok(broadcasters)
    }

    /// The own channels of users who came with a device, have a profile, or tags (`are_tagged`: of those alone who have
    /// tags), after one of them, ascending, at most `most`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn own_channels(
        &self,
        tenant: u32,
        are_tagged: bool,
        (after, most): (Option<&Channel>, usize),
    ) -> Result<BTreeSet<Channel>, StoreError> {
        let tables: &[Table] = if are_tagged { &[Table::Tags] } else { &[Table::User, Table::Device, Table::Tags] };
        let mut channels = BTreeSet::new();
        for table in tables {
            let prefix = table::of_own_channels(*table, tenant);
            let start = after.map(|after| table::of_channel(*table, tenant, after.as_bytes()));
            let (mut last, mut count) = (after.cloned(), 0);
            self.kv().scan_from(&prefix, start.as_ref().unwrap_or(&prefix), &mut |key, _| {
                let mut r = Fields::new(Bytes::copy_from_slice(key.get(prefix.len() - 1..).unwrap_or_default()));
                let damaged = |_| StoreError::Damaged { table: Table::name_of(key) };
                let channel = Channel::read(&mut r).map_err(damaged)?.detached();
                if last.as_ref() != Some(&channel) {
                    channels.insert(channel.clone());
                    (last, count) = (Some(channel), count + 1);
                }
                Ok(count < most)
            })?;
        }
        Ok(channels.into_iter().take(most).collect())
    }
}
