//! LIST, SYNC and GROUP_MEMBERS: from the committed view and the store, never through a worker. May read the disk, so
//! it runs on the blocking pool. The view is looked at before the store: what leaves the view is in the store.

mod list;
mod presence;
mod sync;

use std::sync::Arc;

use postrider_protocol::{
    Channel, Id, Reason, Tlvs,
    packet::{CallPacket, MembersPage, Packet, ReplyPacket, groups},
    tag,
};
use postrider_storage::{ConversationRow, Found, Store, StoreError};

use crate::{lookup::Lookup, metrics::Metrics, notice::Notices, view::View};

/// Bounds of answers.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Elements of a SYNCED, conversations of a LISTED, when the client leaves it to the server.
    pub page: usize,
    /// At most so many when it does not.
    pub page_max: usize,
    /// A device syncs at most so many of the newest seqs by itself.
    pub window: u64,
    /// A device syncs by itself nothing older than this, milliseconds.
    pub age_ms: u64,
}

/// Who reads.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The tenant.
    pub tenant: u32,
    /// The user.
    pub user: Id,
    /// The device, whose cursors count.
    pub device: Option<Id>,
}

/// See the module.
#[derive(Debug)]
pub struct Reader {
    store: Arc<Store>,
    view: Arc<View>,
    lookup: Lookup,
    limits: ReadLimits,
    metrics: Arc<Metrics>,
    notices: Arc<Notices>,
}

/// The committed end of a channel, wherever it is held.
struct End {
    head: u64,
    position: u64,
    time_ms: u64,
}

impl Reader {
    /// Over the view and the store behind it.
    #[must_use]
    pub fn new(lookup: Lookup, limits: ReadLimits, metrics: Arc<Metrics>, notices: Arc<Notices>) -> Self {
        let (store, view) = (Arc::clone(lookup.store()), Arc::clone(lookup.view()));
        Self { store, view, lookup, limits, metrics, notices }
    }

    /// The answer to a CALL that changes nothing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn members(&self, asker: &Asker, call: &CallPacket) -> Result<Packet, StoreError> {
        let mut reply = ReplyPacket {
            request: call.request,
            reason: Reason::Ok,
            seq: 0,
            time_ms: 0,
            fields: bytes::Bytes::new(),
            tlvs: Tlvs::new(),
        };
        let Ok((group, after)) = groups::read_members(call.fields.clone()) else {
            reply.reason = Reason::Malformed;
            reply.tlvs = Tlvs::from_pairs([(tag::DETAIL, &b"fields of GROUP_MEMBERS"[..])]);
            return Ok(Packet::Reply(reply));
        };
        let channel = Channel::group(&group);
        let is_member = self.row(asker, &channel)?.is_some_and(|row| row.visible_to.is_none());
        if !is_member {
            reply.reason = Reason::NoChannel;
            return Ok(Packet::Reply(reply));
        }
        let rows = self.lookup.members(asker.tenant, &channel)?;
        let all = rows.into_iter().filter(|(_, row)| row.is_member()).map(|(user, row)| (user, row.role));
        let rest = all.filter(|(user, _)| after.as_ref().is_none_or(|after| user > after));
        let mut members: Vec<_> = rest.take(self.limits.page_max + 1).collect();
        let more = members.len() > self.limits.page_max;
        members.truncate(self.limits.page_max);
        let mut fields = Vec::new();
        MembersPage { members, more }.write(&mut fields);
        reply.fields = fields.into();
        Ok(Packet::Reply(reply))
    }

    fn row(&self, asker: &Asker, channel: &Channel) -> Result<Option<ConversationRow>, StoreError> {
        self.lookup.conversation(asker.tenant, &asker.user, channel)
    }

    fn end(&self, tenant: u32, channel: &Channel) -> Result<Option<End>, StoreError> {
        if let Some(head) = self.view.head(tenant, channel) {
            return Ok(Some(End { head: head.seq, position: head.position, time_ms: head.time_ms }));
        }
        let row = self.store.channel(tenant, channel)?;
        Ok(row.map(|row| End { head: row.head, position: row.position, time_ms: row.time_ms }))
    }

    /// One element for each seq in `from..=to`, ascending, at most `limit`.
    fn images(
        &self,
        tenant: u32,
        channel: &Channel,
        (from, to): (u64, u64),
        limit: usize,
    ) -> Result<Vec<Found>, StoreError> {
        let recent = self.view.recent(tenant, channel, from, to, limit);
        let first_recent = recent.first().map_or(to + 1, |&(seq, _)| seq);
        let mut found = Vec::new();
        if from < first_recent {
            let last = (first_recent - 1).min(from.saturating_add(limit as u64 - 1));
            found = self.store.read(tenant, channel, from, last)?;
        }
        let room = limit.saturating_sub(found.len());
        if found.len() as u64 == first_recent - from {
            found.extend(recent.into_iter().take(room).map(|(_, image)| Found::Image(image)));
        }
        Ok(found)
    }
}
