//! Deliver: the same frame to every receiving session of every member. Never waits: a full outbox drops the frame and
//! tells its client later.

use std::sync::Arc;

use postrider_protocol::Id;

use crate::{
    hub::Hub,
    outbox::OutboxBounds,
    slot::{Accepted, Audience},
};

/// See the module.
#[derive(Debug)]
pub struct Deliverer {
    hub: Arc<Hub>,
    bounds: Arc<OutboxBounds>,
}

impl Deliverer {
    /// Over the sessions of `hub`.
    #[must_use]
    pub const fn new(hub: Arc<Hub>, bounds: Arc<OutboxBounds>) -> Self {
        Self { hub, bounds }
    }

    /// Tells the audience of each entry; returns how many frames were queued.
    pub fn deliver(&self, accepted: &[Accepted]) -> u64 {
        let mut queued = 0;
        for entry in accepted {
            let mut tell = |user: &Id| {
                self.hub.for_each(entry.placed.entry.tenant, user, entry.except, |outbox| {
                    queued += u64::from(outbox.push_live(&entry.frame));
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
        queued
    }
}
