//! LIST, SYNC and CALLs that change nothing: from the committed view and the store, never through a worker. May read the disk, so
//! it runs on threads of its own. The view is looked at before the store: what leaves the view is in the store.

mod broadcasts;
mod call;
mod groups;
mod list;
mod people;
mod presence;
mod receipts;
mod scheduled;
mod sync;
mod targets;
#[cfg(test)]
mod tests;
mod unread;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use postrider_protocol::{Channel, Id};
use postrider_storage::{ConversationRow, Found, Store, StoreError};

use crate::{hub::Hub, lookup::Lookup, metrics::Metrics, notice::Notices, quota::Quotas, view::View};

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
    /// Whether it is a system user.
    pub is_system: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Reader {
    store: Arc<Store>,
    view: Arc<View>,
    lookup: Lookup,
    hub: Arc<Hub>,
    quotas: Arc<Quotas>,
    limits: ReadLimits,
    metrics: Arc<Metrics>,
    /// The latest time that was read at: what has gone away stays away when the clock goes back.
    latest_ms: AtomicU64,
    notices: Arc<Notices>,
}

/// The committed end of a channel, wherever it is held.
struct End {
    head: u64,
    position: u64,
    time_ms: u64,
}

/// Lets whoever waits for this core have it. Kernels that look again only at their next tick would give a long read the
/// core for milliseconds, before those that carry what is live.
pub(crate) fn step_aside() {
    std::thread::yield_now();
}

impl Reader {
    /// Over the view and the store behind it; `hub` tells which devices are online, `quotas` what was used.
    #[must_use]
    pub fn new(
        lookup: Lookup,
        (hub, notices): (Arc<Hub>, Arc<Notices>),
        quotas: Arc<Quotas>,
        limits: ReadLimits,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (store, view) = (Arc::clone(lookup.store()), Arc::clone(lookup.view()));
        Self { store, view, lookup, hub, quotas, limits, metrics, latest_ms: AtomicU64::new(0), notices }
    }

    /// The time by which messages go away: never before one that was seen, in the log or by a reader.
    fn expiry_ms(&self, now_ms: u64, end_ms: u64) -> u64 {
        let now_ms = now_ms.max(end_ms);
        self.latest_ms.fetch_max(now_ms, Ordering::AcqRel).max(now_ms)
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
