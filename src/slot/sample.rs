//! What tests stand on: a connection, and rules that allow everything.

use std::sync::{Arc, atomic::AtomicBool};

use postrider_protocol::{Id, Sender, SenderKind};

use super::{DeviceRules, MessageRules, Origin, Rules};
use crate::{
    metrics::Metrics,
    outbox::{Outbox, OutboxBounds},
    quota::{Limits, Quotas},
    rate::Rates,
};

/// A connection of tenant 0.
pub fn origin(session: u64, user: Id, device: Option<Id>) -> Origin {
    let outbox = Arc::new(Outbox::new(Arc::new(OutboxBounds::new(1 << 20, 1_000, 1 << 28))));
    Origin { session, device, ..Origin::of_server(0, user, Sender::issue(SenderKind::Kept, 1), outbox) }
}

/// Rules without limits but for the members of a group.
pub fn rules(max_members: usize, metrics: Arc<Metrics>) -> Rules {
    Rules {
        max_members,
        messages: MessageRules::default(),
        busy_after_ms: 1_000,
        rates: Rates::new(0, 0),
        quotas: Arc::new(Quotas::new(Limits::default())),
        devices: DeviceRules { max: 10, token_ms: 1 },
        full: AtomicBool::new(false),
        metrics,
    }
}
