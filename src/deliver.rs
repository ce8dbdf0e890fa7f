//! Deliver: the same frame to every receiving session of every member. Never waits: a full outbox drops the frame and
//! tells its client later.

use std::sync::Arc;

use postrider_protocol::Id;

use crate::{
    hub::Hub,
    metrics::Metrics,
    outbox::OutboxBounds,
    slot::{Accepted, Audience},
};

/// See the module.
#[derive(Debug)]
pub struct Deliverer {
    hub: Arc<Hub>,
    bounds: Arc<OutboxBounds>,
    metrics: Arc<Metrics>,
}

impl Deliverer {
    /// Over the sessions of `hub`.
    #[must_use]
    pub const fn new(hub: Arc<Hub>, bounds: Arc<OutboxBounds>, metrics: Arc<Metrics>) -> Self {
        Self { hub, bounds, metrics }
    }

    /// Tells the audience of each entry.
    pub fn deliver(&self, accepted: &[Accepted]) {
        let (mut queued, mut dropped) = (0, 0);
        for entry in accepted {
            let mut tell = |user: &Id| {
                self.hub.for_each(entry.placed.entry.tenant, user, entry.except, |outbox| {
                    let taken = outbox.push_live(&entry.frame);
                    queued += u64::from(taken);
                    dropped += u64::from(!taken);
                });
            };
            match &entry.audience {
                Audience::Nobody => {}
                Audience::Person => {
                    let (low, high) = entry.channel.ids();
                    tell(&low);
                    if let Some(high) = high.filter(|high| *high != low) {
                        tell(&high);
                    }
                }
                Audience::Members(members) => members.0.keys().for_each(tell),
                Audience::Change(before, after) => {
                    after.0.keys().for_each(&mut tell);
                    before.0.keys().filter(|user| !after.0.contains_key(*user)).for_each(tell);
                }
            }
            if self.bounds.is_over() {
                self.hub.shed(|| !self.bounds.is_over());
            }
        }
        self.metrics.deliveries.inc_by(queued);
        self.metrics.live_dropped.inc_by(dropped);
        self.metrics.outbound_queue_bytes.set(i64::try_from(self.bounds.total()).unwrap_or(i64::MAX));
    }
}
