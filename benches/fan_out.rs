//! One live frame into many outboxes, and out of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod timing;

use std::sync::Arc;

use postrider::outbox::{Frames, Outbox, OutboxBounds};
use timing::measure;

/// Members of the group.
const MEMBERS: u64 = 1_000;
/// Frames that are taken together.
const FRAMES: u64 = 16;

fn main() {
    let bounds = Arc::new(OutboxBounds::new(1 << 20, 10_000, 1 << 30));
    let outboxes: Vec<_> = (0..MEMBERS).map(|_| Outbox::new(Arc::clone(&bounds))).collect();
    for len in [220_usize, 4_096] {
        let frame = vec![7; len];
        let one = Frames { bytes: &frame, count: 1 };
        let mut out = Vec::new();
        measure(&format!("push and take, frames of {len} bytes, {FRAMES} at a time"), MEMBERS * FRAMES, || {
            for _ in 0..FRAMES {
                for outbox in &outboxes {
                    assert_eq!(outbox.push_live(one), 1);
                }
            }
            for outbox in &outboxes {
                out.clear();
                outbox.take(&mut out);
            }
        });
    }
}
