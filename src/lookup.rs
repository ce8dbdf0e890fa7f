//! State rows as they are committed: in the view, or in the store behind it. The view is looked at first, for what
//! leaves it is in the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use postrider_protocol::{Channel, Id};
use postrider_storage::{ConversationRow, MemberRow, OfState, RequestRow, StateKey, Store, StoreError, TargetRow};

use crate::view::View;

/// See the module.
#[derive(Clone, Debug)]
pub struct Lookup {
    store: Arc<Store>,
    view: Arc<View>,
}

impl Lookup {
    /// Over the view and the store behind it.
    #[must_use]
    pub const fn new(store: Arc<Store>, view: Arc<View>) -> Self {
        Self { store, view }
    }

    /// A state row of a channel; of somebody's view of it see [`Lookup::conversation`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn row<R: OfState + Clone>(
        &self,
        tenant: u32,
        channel: &Channel,
        key: &StateKey,
    ) -> Result<Option<R>, StoreError> {
        if let Some(known) = self.view.row(tenant, channel, key) {
            return Ok(known.as_ref().and_then(R::of).cloned());
        }
        Ok(self.store.state(tenant, channel, key)?.as_ref().and_then(R::of).cloned())
    }

    /// A user's view of a channel.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn conversation(
        &self,
        tenant: u32,
        user: &Id,
        channel: &Channel,
    ) -> Result<Option<ConversationRow>, StoreError> {
        match self.view.conversation(tenant, user, channel) {
            Some(row) => Ok(Some(row)),
            None => self.store.conversation(tenant, user, channel),
        }
    }

    /// How many members a group has.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn member_count(&self, tenant: u32, group: &Channel) -> Result<u32, StoreError> {
        match self.view.members(tenant, group) {
            Some(members) => Ok(members),
            None => Ok(self.store.channel(tenant, group)?.map_or(0, |row| row.members)),
        }
    }

    /// Who waits in a group, by id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn requests(&self, tenant: u32, group: &Channel) -> Result<BTreeMap<Id, RequestRow>, StoreError> {
        let fresh = self.view.rows_only(tenant, group, |key| matches!(key, StateKey::Request(_)));
        let mut requests: BTreeMap<Id, RequestRow> = self.store.requests(tenant, group)?.into_iter().collect();
        for (key, row) in fresh.of::<RequestRow>(|key| matches!(key, StateKey::Request(_))) {
            let StateKey::Request(user) = key else { continue };
            match row {
                Some(row) if requests.get(user).is_none_or(|stored| stored.position <= row.position) => {
                    requests.insert(user.clone(), row.clone());
                }
                Some(_) => {}
                None => _ = requests.remove(user),
            }
        }
        Ok(requests)
    }

    /// Everybody who is or was a member of a group, by id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn members(&self, tenant: u32, group: &Channel) -> Result<BTreeMap<Id, MemberRow>, StoreError> {
        self.members_above(tenant, group, None)
    }

    /// As [`Lookup::members`], those above an id alone.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn members_above(
        &self,
        tenant: u32,
        group: &Channel,
        above: Option<&Id>,
    ) -> Result<BTreeMap<Id, MemberRow>, StoreError> {
        let is_above = |key: &StateKey| match key {
            StateKey::Member(user) => above.is_none_or(|above| user > above),
            _ => false,
        };
        let fresh = self.view.rows_only(tenant, group, is_above);
        let stored = self.store.members_above(tenant, group, above)?;
        let mut members: BTreeMap<Id, MemberRow> = stored.into_iter().collect();
        for (key, row) in fresh.of::<MemberRow>(|key| matches!(key, StateKey::Member(_))) {
            let StateKey::Member(user) = key else { continue };
            match row {
                Some(row) if members.get(user).is_none_or(|stored| stored.position <= row.position) => {
                    members.insert(user.clone(), row.clone());
                }
                Some(_) => {}
                None => _ = members.remove(user),
            }
        }
        Ok(members)
    }

    /// What later entries made of the messages `from` to `to` of a channel, both included, by seq.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn targets(
        &self,
        tenant: u32,
        channel: &Channel,
        (from, to): (u64, u64),
    ) -> Result<BTreeMap<u64, TargetRow>, StoreError> {
        let fresh = self.view.rows(tenant, channel);
        let mut targets: BTreeMap<u64, TargetRow> =
            self.store.targets(tenant, channel, (from, to))?.into_iter().collect();
        for (key, row) in fresh.of::<TargetRow>(|key| matches!(key, StateKey::Target(_))) {
            let (StateKey::Target(seq), Some(row)) = (key, row) else { continue };
            let is_newer = targets.get(seq).is_none_or(|stored| stored.position <= row.position);
            if (from..=to).contains(seq) && is_newer {
                targets.insert(*seq, row.clone());
            }
        }
        Ok(targets)
    }

    /// The store alone.
    #[must_use]
    pub const fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The view alone.
    #[must_use]
    pub const fn view(&self) -> &Arc<View> {
        &self.view
    }
}
