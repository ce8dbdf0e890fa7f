//! RECEIPTS and BADGE: who has a message, and how much is unread in all.

use bytes::Bytes;
use postrider_protocol::{
    Channel, ChannelKind, Id, Image, Reader as Fields, Reason,
    packet::marks::{self, Badge, Receipt, ReceiptsPage},
};
use postrider_storage::{Found, StateKey, StoreError, UserRow};

use super::{Asker, Reader, call::No};

impl Reader {
    /// The answer to RECEIPTS: any member who may see the message may ask, but one who does not tell what they have read.
    pub(super) fn receipts(&self, asker: &Asker, fields: Bytes) -> Result<Vec<u8>, No> {
        let (channel, seq, after) = marks::read_receipts(fields)?;
        let row = self.row(asker, &channel)?.filter(|row| row.visible_to.is_none());
        let Some(row) = row else { return Err(No::Refused(Reason::NoChannel, "no such channel for this user")) };
        let user = Channel::user(&asker.user);
        let is_private = |row: UserRow| row.receipts_private;
        if self.lookup.row(asker.tenant, &user, &StateKey::User)?.is_some_and(is_private) {
            return Err(No::Refused(Reason::NotAllowed, "who keeps receipts private learns of none"));
        }
        let no_target = || No::Refused(Reason::NoTarget, "no such message for this user");
        if seq == 0 || !row.may_see(seq) || row.is_hidden(seq) {
            return Err(no_target());
        }
        let image = match self.images(asker.tenant, &channel, (seq, seq), 1)?.pop() {
            Some(Found::Image(image) | Found::Erased(image)) => Image::decode(image).ok(),
            Some(Found::Missing | Found::Trimmed) | None => None,
        };
        let Some(image) = image else { return Err(no_target()) };
        let states = self.states(asker.tenant, &channel, seq, &image.author())?;
        let mut fields = Vec::new();
        page(&states, after.as_ref(), self.limits.page_max).write(&mut fields);
        Ok(fields)
    }

    /// How far those have a message who were in its channel when it was given its seq, but its author; ascending.
    fn states(&self, tenant: u32, channel: &Channel, seq: u64, author: &Id) -> Result<Vec<(Id, Receipt)>, StoreError> {
        let state = |read: u64, delivered: u64| match (read >= seq, delivered >= seq) {
            (true, _) => Receipt::Read,
            (false, true) => Receipt::Delivered,
            (false, false) => Receipt::Waiting,
        };
        if channel.kind() == ChannelKind::Group {
            let members = self.lookup.members(tenant, channel)?.into_iter();
            let there = members.filter(|(user, row)| user != author && row.was_member_at(seq));
            return Ok(there.map(|(user, row)| (user, state(row.read, row.delivered))).collect());
        }
        let (low, high) = channel.ids();
        let other = if low == *author { high.unwrap_or(low) } else { low };
        if other == *author {
            return Ok(Vec::new());
        }
        let row = self.lookup.conversation(tenant, &other, channel)?.unwrap_or_default();
        let delivered = row.cursors.iter().map(|cursor| cursor.seq).max().unwrap_or_default();
        Ok(vec![(other, state(row.told, delivered))])
    }

    /// The answer to BADGE.
    pub(super) fn badge(&self, asker: &Asker, fields: Bytes, now_ms: u64) -> Result<Vec<u8>, No> {
        Fields::new(fields).end()?;
        let mut badge = Badge::default();
        for (channel, row) in self.conversations(asker)? {
            let Some(end) = self.end(asker.tenant, &channel)? else { continue };
            if row.muted_until_ms > now_ms || row.is_left_out(end.position) {
                continue;
            }
            let head = row.last_visible(end.head);
            let of_it = self.unread(asker, &channel, (&row, head), now_ms)?;
            let unread = u32::from(of_it.unread).max(u32::from(row.is_marked_unread));
            badge.unread = badge.unread.saturating_add(unread);
            badge.mentions = badge.mentions.saturating_add(of_it.mentions.into());
            badge.conversations += u32::from(unread > 0);
        }
        let mut fields = Vec::new();
        badge.write(&mut fields);
        Ok(fields)
    }
}

/// The page after `after`, with the counts of all.
fn page(states: &[(Id, Receipt)], after: Option<&Id>, limit: usize) -> ReceiptsPage {
    let count = |least| {
        let those = states.iter().filter(|(_, state)| *state >= least).count();
        u32::try_from(those).unwrap_or(u32::MAX)
    };
    let start = after.map_or(0, |after| states.partition_point(|(user, _)| user <= after));
    let rest = states.get(start..).unwrap_or_default();
    ReceiptsPage {
        members: count(Receipt::Waiting),
        delivered: count(Receipt::Delivered),
        read: count(Receipt::Read),
        users: rest.iter().take(limit).cloned().collect(),
        more: rest.len() > limit,
    }
}
