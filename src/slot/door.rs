//! Whether one of the two users of a person channel may write to the other.

use postrider_protocol::{ChannelKind, Id, Reason};
use postrider_storage::{Contact, StoreError};

use super::{answer::Refusal, case::Case};

/// For the user on each side of a person channel, the version of what users say of themselves
/// ([`crate::view::View::people`]) at which nothing kept them from writing; 0 when that is to be looked at. Blocks and
/// contacts are of this channel, so a change of them sets it back.
pub(super) type Door = [u64; 2];

impl Case<'_> {
    /// Why the user may not write to the other one of this person channel, if so. While nothing changes, the answer that
    /// they may costs one comparison.
    pub(super) fn shut(&mut self, side: u8) -> Result<Option<Refusal>, StoreError> {
        let side = usize::from(side);
        // Looked at before the rows are: a change meanwhile is seen the next time.
        let version = self.lookup.view().people();
        if self.parts.channel.door.get(side) == Some(&version) {
            return Ok(None);
        }
        let refusal = self.look_at_door()?;
        if let (None, Some(open)) = (&refusal, self.parts.channel.door.get_mut(side)) {
            *open = version;
        }
        Ok(refusal)
    }

    fn look_at_door(&self) -> Result<Option<Refusal>, StoreError> {
        let Some(other) = self.other() else { return Ok(None) };
        let own = self.conversation(&self.origin.user)?.unwrap_or_default();
        let theirs = self.conversation(&other)?.unwrap_or_default();
        if own.blocks || theirs.blocks {
            return Ok(Some(Refusal::new(Reason::Blocked, "one of the two blocks the other")));
        }
        if own.contact == Contact::Yes || !self.lookup.user(self.origin.tenant, &other)?.contacts_only {
            return Ok(None);
        }
        Ok(Some(Refusal::new(Reason::NotContacts, "the user takes messages of contacts only")))
    }

    /// The other one of this person channel; none for notes to oneself.
    pub(super) fn other(&self) -> Option<Id> {
        let channel = &self.parts.channel.channel;
        if channel.kind() != ChannelKind::Person {
            return None;
        }
        let (low, high) = channel.ids();
        let others = std::iter::once(low).chain(high);
        others.into_iter().find(|id| *id != self.origin.user).map(|id| id.detached())
    }

    /// Whether one of `users` blocks the user who asks, as far as it is committed.
    pub(super) fn is_blocked_by_any(&self, users: &[Id]) -> Result<bool, StoreError> {
        let (tenant, asker) = (self.origin.tenant, &self.origin.user);
        for user in users.iter().filter(|user| *user != asker) {
            let channel = postrider_protocol::Channel::person(user, asker);
            if self.lookup.conversation(tenant, user, &channel)?.is_some_and(|row| row.blocks) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
