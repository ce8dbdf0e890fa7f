//! State rows as they are committed: in the view, or in the store behind it. The view is looked at first, for what
//! leaves it is in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use postrider_protocol::{Channel, CommandId, Id, Tlvs};
use postrider_storage::{
    AnswerRow, BroadcastRow, ConversationRow, DeviceRow, Found, MemberRow, OfState, RequestRow, ScheduledRow, StateKey,
    Store, StoreError, TargetRow, UserRow, fold,
};

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
        let mut requests = self.store.requests(tenant, group)?.into_iter().collect();
        fresh.overlay(&mut requests, StateKey::requested);
        Ok(requests)
    }

    /// All of a user's views, by channel.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn conversations(&self, tenant: u32, user: &Id) -> Result<BTreeMap<Channel, ConversationRow>, StoreError> {
        let held = self.view.conversations(tenant, user);
        let mut rows: BTreeMap<_, _> = self.store.conversations(tenant, user)?.into_iter().collect();
        rows.extend(held);
        Ok(rows)
    }

    /// What a user says of themselves; the default for who said nothing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn user(&self, tenant: u32, user: &Id) -> Result<UserRow, StoreError> {
        Ok(self.row(tenant, &Channel::user(user), &StateKey::User)?.unwrap_or_default())
    }

    /// All device rows of a user, by id, those of removed devices too.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn devices(&self, tenant: u32, user: &Id) -> Result<BTreeMap<Id, DeviceRow>, StoreError> {
        let fresh = self.view.rows(tenant, &Channel::user(user));
        let mut devices = self.store.devices(tenant, user)?.into_iter().collect();
        fresh.overlay(&mut devices, StateKey::device);
        Ok(devices)
    }

    /// When `device` of the user, or what has none, was last removed, alone or with all others; 0 if it never was.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn removed_ms(&self, tenant: u32, user: &Id, device: Option<&Id>) -> Result<u64, StoreError> {
        let all_ms = self.user(tenant, user)?.removed_of(device);
        let Some(device) = device else { return Ok(all_ms) };
        let row: Option<DeviceRow> = self.row(tenant, &Channel::user(user), &StateKey::Device(device.clone()))?;
        Ok(row.map_or(all_ms, |row| row.removed_ms.max(all_ms)))
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
        let is_member = |key: &StateKey| matches!(key, StateKey::User | StateKey::Member(_));
        let fresh = self.view.rows_from(tenant, group, &StateKey::User, is_member);
        let mut members = self.store.members_above(tenant, group, above)?.into_iter().collect();
        fresh.overlay(&mut members, |key| key.member().filter(|user| above.is_none_or(|above| user > above)));
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
        let fresh = self.view.targets(tenant, channel, (from, to));
        let mut targets: BTreeMap<u64, TargetRow> =
            self.store.targets(tenant, channel, (from, to))?.into_iter().collect();
        for (seq, row) in fresh {
            if targets.get(&seq).is_none_or(|stored| stored.position <= row.position) {
                targets.insert(seq, row);
            }
        }
        Ok(targets)
    }

    /// What `user` has scheduled in a channel, above `after`, by id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn scheduled(
        &self,
        tenant: u32,
        channel: &Channel,
        user: &Id,
        after: CommandId,
    ) -> Result<BTreeMap<CommandId, ScheduledRow>, StoreError> {
        let fresh = self.view.rows_only(tenant, channel, |key| key.scheduled_by(user).is_some());
        let mut scheduled = self.store.scheduled(tenant, channel, user, after)?.into_iter().collect();
        fresh.overlay(&mut scheduled, |key| key.scheduled_by(user).filter(|id| *id > after));
        Ok(scheduled)
    }

    /// TLVs and body of what `user` has scheduled in a channel, or broadcasts in their own, under an id in so many parts;
    /// none when it is there no more, or damaged.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn content(
        &self,
        (tenant, channel): (u32, &Channel),
        user: &Id,
        content: (CommandId, u8),
    ) -> Result<Option<(Tlvs, Bytes)>, StoreError> {
        fold::parts::content(user, content, |key| self.row(tenant, channel, key))
    }

    /// The broadcasts of `user`, under way and ended, by id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn broadcasts(&self, tenant: u32, user: &Id) -> Result<BTreeMap<CommandId, BroadcastRow>, StoreError> {
        let fresh = self.view.rows_only(tenant, &Channel::user(user), |key| key.broadcast().is_some());
        let mut broadcasts = self.store.broadcasts(tenant, user)?.into_iter().collect();
        fresh.overlay(&mut broadcasts, StateKey::broadcast);
        Ok(broadcasts)
    }

    /// The own channels of users who came with a device, have a profile, or tags (`are_tagged`: of those alone who have
    /// tags, or had some until now), after one of them, ascending, at most `most`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn own_channels(
        &self,
        tenant: u32,
        are_tagged: bool,
        (after, most): (Option<&Channel>, usize),
    ) -> Result<BTreeSet<Channel>, StoreError> {
        let mut channels = self.view.own_channels(tenant, are_tagged, after);
        channels.extend(self.store.own_channels(tenant, are_tagged, (after, most))?);
        Ok(channels.into_iter().take(most).collect())
    }

    /// The answers in the thread of `root`, from the newest below `before` on, at most `most`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn answers(
        &self,
        tenant: u32,
        channel: &Channel,
        root: u64,
        (before, most): (u64, usize),
    ) -> Result<Vec<u64>, StoreError> {
        let is_answer = |key: &StateKey| matches!(key, StateKey::Answer(of, _) if *of == root);
        let fresh = self.view.rows_from(tenant, channel, &StateKey::Answer(root, 0), is_answer);
        let fresh = fresh.of::<AnswerRow>(is_answer).filter_map(|(key, _)| match key {
            StateKey::Answer(_, seq) if *seq < before => Some(*seq),
            _ => None,
        });
        let stored = self.store.answers(tenant, channel, root, (before, most))?;
        let answers: BTreeSet<u64> = fresh.chain(stored).collect();
        Ok(answers.into_iter().rev().take(most).collect())
    }

    /// What is committed at a seq of a channel; none above its head.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn image(&self, tenant: u32, channel: &Channel, seq: u64) -> Result<Option<Found>, StoreError> {
        match self.view.recent(tenant, channel, seq, seq, 1).pop() {
            Some((_, image)) => Ok(Some(Found::Image(image))),
            None => Ok(self.store.read(tenant, channel, seq, seq)?.pop()),
        }
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
