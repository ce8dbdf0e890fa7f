//! Deliver: the same frame to every receiving session of every member. Never waits: a full outbox drops the frame and
//! tells its client later.

use std::sync::Arc;

use postrider_protocol::ChannelKind;
use postrider_storage::{StateKey, StateRow};

use crate::{
    broadcast::broadcasters::Broadcasters,
    hub::Hub,
    metrics::Metrics,
    notice::Notices,
    outbox::{Frames, OutboxBounds},
    slot::{Audience, Decided, Origin, Run},
};

/// See the module.
#[derive(Debug)]
pub struct Deliverer {
    hub: Arc<Hub>,
    bounds: Arc<OutboxBounds>,
    metrics: Arc<Metrics>,
    notices: Arc<Notices>,
    broadcasters: Arc<Broadcasters>,
}

impl Deliverer {
    /// Over the sessions of `hub`; notices and broadcasts are told by the others.
    #[must_use]
    pub fn new(
        (hub, notices, broadcasters): (Arc<Hub>, Arc<Notices>, Arc<Broadcasters>),
        bounds: Arc<OutboxBounds>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { hub, bounds, metrics, notices, broadcasters }
    }

    /// How many outboxes it takes to deliver this, at one session for each user.
    #[must_use]
    pub fn reach(decided: &Decided) -> usize {
        let runs: usize = decided.runs.iter().map(|run| run.audience.reach()).sum();
        runs + decided.tells.iter().map(Notices::reach).sum::<usize>()
    }

    /// Tells the audience of each run, then what else there is to tell; then wakes those who were answered.
    pub fn deliver(&self, decided: &Decided) {
        let (mut queued, mut dropped) = (0, 0);
        for (run, entries) in decided.iter() {
            if !run.changes.is_empty() && run.channel.kind() == ChannelKind::User {
                self.tell_own(run);
            }
            let frames = Frames { bytes: decided.frames_of(entries), count: entries.len() };
            let mut tell = |user: &[u8]| {
                self.hub.for_each(run.tenant, user, run.except, |outbox| {
                    let taken = outbox.push_live(frames);
                    queued += taken as u64;
                    dropped += (frames.count - taken) as u64;
                });
            };
            match &run.audience {
                Audience::Nobody => {}
                Audience::One(user) => tell(user.as_bytes()),
                Audience::Person => {
                    let (low, high) = run.channel.ids();
                    tell(low.as_bytes());
                    if let Some(high) = high.filter(|high| *high != low) {
                        tell(high.as_bytes());
                    }
                }
                Audience::Members(group) => group.members.keys().for_each(|user| tell(user.as_bytes())),
                Audience::Change(before, after) => {
                    after.members.keys().for_each(|user| tell(user.as_bytes()));
                    before.members.without(&after.members).for_each(|user| tell(user.as_bytes()));
                    self.notices.part(run.tenant, &run.channel, before, after);
                }
            }
            if self.bounds.is_over() {
                self.hub.shed(|| !self.bounds.is_over());
            }
        }
        decided.tells.iter().for_each(|tell| self.notices.tell(tell));
        for answers in &decided.answers {
            answers.origin.outbox.wake();
        }
        self.metrics.deliveries.inc_by(queued);
        self.metrics.live_dropped.inc_by(dropped);
        self.metrics.outbound_queue_bytes.set(i64::try_from(self.bounds.total()).unwrap_or(i64::MAX));
    }

    /// Ends the sessions of devices that were removed, whose token is of before that, and tells of broadcasts whoever sees
    /// to them.
    fn tell_own(&self, run: &Run) {
        let (user, _) = run.channel.ids();
        let end = |is_it: &dyn Fn(&Origin) -> bool| self.hub.remove(run.tenant, user.as_bytes(), is_it);
        for change in &run.changes {
            match (&change.key, &change.row) {
                (StateKey::Device(device), Some(StateRow::Device(row))) if row.removed_ms > 0 => {
                    end(&|origin| origin.removable() == Some(device) && origin.token_ms <= row.removed_ms);
                }
                (StateKey::User, Some(StateRow::User(row))) if row.removed_ms > 0 => {
                    let removed_ms = |origin: &Origin| row.removed_of(origin.removable());
                    end(&|origin| removed_ms(origin) > 0 && origin.token_ms <= removed_ms(origin));
                }
                (StateKey::Broadcast(_), Some(_)) => self.broadcasters.add(run.tenant, &user),
                _ => {}
            }
        }
    }
}
