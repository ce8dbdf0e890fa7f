//! What the dialects tell: answers and deliveries, counted against the plan.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    ledger::{Ledger, Seen},
    plan::{Plan, Stamp},
    window::Window,
};

/// How far receivers are, for senders that wait for them.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// By flow: how many of its messages its receiver has; for flows whose both ends are on this thread.
    delivered: Vec<u64>,
    /// Senders of this thread that may go on.
    pub(crate) woken: Vec<u32>,
    fan: Option<Fan>,
}

/// The members of a fan-out on one thread.
#[derive(Debug)]
struct Fan {
    members: u32,
    /// How many members have message n, at n modulo its length.
    counts: Vec<u32>,
    /// All members have the messages up to this one.
    done: u64,
    moved: bool,
}

impl Progress {
    /// With a flow for each sender of `flows`, or with so many members of a fan-out.
    pub(crate) fn new(flows: usize, members: Option<u32>) -> Self {
        let fan = members.map(|members| Fan { members, counts: vec![0; 8_192], done: 0, moved: false });
        Self { delivered: vec![0; if fan.is_some() { 0 } else { flows }], woken: Vec::new(), fan }
    }

    /// How many messages of `flow` its receiver has.
    pub(crate) fn delivered(&self, flow: u32) -> u64 {
        self.delivered.get(flow as usize).copied().unwrap_or_default()
    }

    fn note(&mut self, plan: &Plan, stamp: Stamp) {
        if let Some(fan) = &mut self.fan {
            return fan.note(stamp.number);
        }
        if let Some(delivered) = self.delivered.get_mut(stamp.flow as usize) {
            *delivered += 1;
            let sender = plan.flows.get(stamp.flow as usize).map(|flow| flow.sender);
            if self.woken.last().copied() != sender {
                self.woken.extend(sender);
            }
        }
    }

    /// Publishes how far the members of this thread are; true when that has changed.
    pub(crate) fn publish(&mut self, to: &AtomicU64) -> bool {
        let Some(fan) = &mut self.fan else { return false };
        to.store(if fan.members == 0 { u64::MAX } else { fan.done }, Ordering::Release);
        std::mem::take(&mut fan.moved)
    }
}

impl Fan {
    fn note(&mut self, number: u64) {
        let len = self.counts.len() as u64;
        if let Some(count) = self.counts.get_mut((number % len) as usize) {
            *count += 1;
        }
        while let Some(count) = self.counts.get_mut(((self.done + 1) % len) as usize)
            && *count == self.members
        {
            *count = 0;
            self.done += 1;
            self.moved = true;
        }
    }
}

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The server pushed it: it must be new.
    Pushed,
    /// It was asked for, or pushed as well as asked for: it may be here already.
    Pulled,
}

/// Where the bytes of one connection lead.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    pub now_ns: u64,
    /// The connection's number.
    pub me: u32,
    pub plan: &'a Plan,
    /// The connection's flows.
    pub sends: &'a [u32],
    pub ledger: &'a mut Ledger,
    pub seen: &'a mut Seen,
    pub window: &'a mut Window,
    pub progress: &'a mut Progress,
    /// Bytes to be sent.
    pub out: &'a mut Vec<u8>,
    /// Set once the server has let the connection in, and everything is subscribed.
    pub up: bool,
    /// Set once everything missed is here.
    pub caught_up: bool,
}

impl Sink<'_> {
    /// The body of a message arrived; false when it was here before.
    pub(crate) fn delivered(&mut self, body: &[u8], how: How) -> bool {
        let Some(stamp) = Stamp::read(body) else { return true };
        let flow = self.plan.flows.get(stamp.flow as usize);
        if flow.is_none_or(|flow| flow.sender == self.me) {
            return true;
        }
        if !self.seen.note(stamp.flow, stamp.number) {
            self.ledger.duplicated += u64::from(how == How::Pushed);
            return false;
        }
        match how {
            How::Pushed => self.ledger.delivered(stamp.at_ns, self.now_ns),
            How::Pulled => {
                self.ledger.received += 1;
                self.ledger.synced += 1;
            }
        }
        self.progress.note(self.plan, stamp);
        true
    }

    /// The server has taken command `number`.
    pub(crate) fn acknowledged(&mut self, number: u64) {
        let Some(sent) = self.window.answered(number) else { return };
        let flow = self.sends.get(sent.flow as usize).and_then(|flow| self.plan.flows.get(*flow as usize));
        let receivers = flow.map_or(0, |flow| flow.receivers);
        self.ledger.acknowledged(sent.at_ns, self.now_ns, receivers);
    }

    /// The server will never take command `number`.
    pub(crate) fn failed(&mut self, number: u64) {
        self.ledger.failed += u64::from(self.window.answered(number).is_some());
    }
}
