//! What was delivered: once, twice, out of order, how late.

use std::collections::{BTreeSet, HashMap};

use hdrhistogram::Histogram;

/// Latencies in nanoseconds, to three digits, up to 1,000 s.
pub(crate) type Latencies = Histogram<u64>;

const LONGEST_NS: u64 = 1_000_000_000_000;

/// An empty histogram.
pub(crate) fn latencies() -> Latencies {
    // These bounds are valid; the crate has no constructor that says so by its type.
    Histogram::new_with_bounds(1_000, LONGEST_NS, 3).unwrap_or_else(|error| unreachable!("{error}"))
}

/// Which numbers of each flow one receiver has.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    flows: Vec<Track>,
    index: HashMap<u32, usize>,
    /// The flow that was asked for last: in most scenarios it is the only one.
    last: usize,
}

#[derive(Debug)]
struct Track {
    flow: u32,
    /// All numbers below are here.
    next: u64,
    /// What came above.
    ahead: BTreeSet<u64>,
}

impl Seen {
    /// Notes `number` of `flow`; false when it was here before.
    pub(crate) fn note(&mut self, flow: u32, number: u64) -> bool {
        if self.flows.get(self.last).is_none_or(|track| track.flow != flow) {
            self.last = *self.index.entry(flow).or_insert_with(|| {
                self.flows.push(Track { flow, next: 1, ahead: BTreeSet::new() });
                self.flows.len() - 1
            });
        }
        self.flows.get_mut(self.last).is_some_and(|track| track.note(number))
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Track {
    fn note(&mut self, number: u64) -> bool {
        if number == self.next {
            self.next += 1;
            while self.ahead.remove(&self.next) {
                self.next += 1;
            }
            return true;
        }
        number > self.next && self.ahead.insert(number)
    }
}

/// The counts and latencies of one thread.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Deliveries that acknowledged messages must lead to.
    pub expected: u64,
    /// Deliveries, each message and receiver once.
    pub received: u64,
    /// Those that came by SYNC.
    pub synced: u64,
    pub duplicated: u64,
    /// Messages that came after a later one of their channel.
    pub disordered: u64,
    /// Acknowledged messages.
    pub acked: u64,
    /// Refusals for now.
    pub refused: u64,
    /// Refusals for good.
    pub failed: u64,
    /// Frames that the server did not push because a queue was full; they were pulled.
    pub lagged: u64,
    /// From sending to receiving.
    pub delivery: Latencies,
    /// From sending to the acknowledgement.
    pub ack: Latencies,
    /// As `delivery`, during a storm.
    pub storm: Latencies,
    /// Only what was sent within is recorded, nanoseconds of the run.
    pub measured: std::ops::Range<u64>,
    /// From then on it is a storm.
    pub storm_from: u64,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            expected: 0,
            received: 0,
            synced: 0,
            duplicated: 0,
            disordered: 0,
            acked: 0,
            refused: 0,
            failed: 0,
            lagged: 0,
            delivery: latencies(),
            ack: latencies(),
            storm: latencies(),
            measured: 0..0,
            storm_from: u64::MAX,
        }
    }

    /// A message that was pushed arrived.
    pub(crate) fn delivered(&mut self, sent_ns: u64, now_ns: u64) {
        self.received += 1;
        let late = now_ns.saturating_sub(sent_ns);
        if sent_ns >= self.storm_from {
            self.storm.saturating_record(late);
        } else if self.measured.contains(&sent_ns) {
            self.delivery.saturating_record(late);
        }
    }

    /// A message was acknowledged, for so many receivers.
    pub(crate) fn acknowledged(&mut self, sent_ns: u64, now_ns: u64, receivers: u32) {
        self.acked += 1;
        self.expected += u64::from(receivers);
        if self.measured.contains(&sent_ns) {
            self.ack.saturating_record(now_ns.saturating_sub(sent_ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_new_once() {
        let mut seen = Seen::default();
        assert!(seen.note(1, 1) && seen.note(2, 1) && seen.note(1, 3) && seen.note(1, 2));
        assert!(!seen.note(1, 3) && !seen.note(1, 1) && !seen.note(2, 1));
        assert!(seen.note(1, 4));
        seen.clear();
        assert!(seen.note(1, 4));
    }

    #[test]
    fn only_what_was_sent_while_measuring_has_a_latency() {
        let mut ledger = Ledger::new();
        ledger.measured = 1_000_000..2_000_000;
        ledger.delivered(1, 3_000_000);
        ledger.delivered(1_500_000, 3_000_000);
        assert_eq!((ledger.received, ledger.delivery.len()), (2, 1));
    }
}
