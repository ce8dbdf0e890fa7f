//! LIST, SYNC and other reads in service: so many at once as configured; the others wait in the order in which they
//! came. There is one of a session at a time, so as many wait as there are connections at most.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use prometheus_client::metrics::gauge::Gauge;

use crate::{clock::Clock, metrics::Metrics, reader::Reader, session::ReadRequest, slot::Origin};

/// See the module.
#[derive(Debug)]
pub struct Reads {
    waiting: Mutex<Waiting>,
    at_once: usize,
    reader: Reader,
    clock: Clock,
    metrics: Arc<Metrics>,
    gauge: Gauge,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<ReadRequest>,
    /// Threads that serve them.
    readers: usize,
}

impl Reads {
    /// Reads with `reader`, at most `at_once` at a time.
    #[must_use]
    pub fn new(reader: Reader, at_once: usize, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let gauge = metrics.queue("read");
        Self { waiting: Mutex::default(), at_once: at_once.max(1), reader, clock, metrics, gauge }
    }

    /// Puts a read into service: its answer will be in the outbox of who asked. Call it within a runtime, whose blocking
    /// pool does it.
    pub fn start(self: &Arc<Self>, request: ReadRequest) {
        let mut waiting = self.lock();
        waiting.requests.push_back(request);
        self.tell(&waiting);
        if waiting.readers < self.at_once {
            waiting.readers += 1;
            drop(waiting);
            let reads = Arc::clone(self);
            tokio::task::spawn_blocking(move || reads.serve());
        }
    }

    /// Serves until nothing waits.
    fn serve(&self) {
        while let Some(request) = self.next() {
            let start = Instant::now();
            let origin = Arc::clone(request.origin());
            guarded(&origin, || request.run(&self.reader, self.clock.now()));
            self.metrics.read_duration.observe(start.elapsed().as_secs_f64());
            // Thousands may come back at once: what is live goes between any two of their reads.
            thread::yield_now();
        }
    }

    fn next(&self) -> Option<ReadRequest> {
        let mut waiting = self.lock();
        let next = waiting.requests.pop_front();
        self.tell(&waiting);
        if next.is_none() {
            waiting.readers -= 1;
            // What a storm needed is given back.
            waiting.requests = VecDeque::new();
        }
        next
    }

    fn tell(&self, waiting: &Waiting) {
        self.gauge.set(i64::try_from(waiting.requests.len()).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads for `origin`. A panic in it is told by the panic hook, and ends the connection: its client would wait for the
/// answer for ever, and so would its later reads. It comes back and asks again.
fn guarded(origin: &Origin, read: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(read)).is_err() {
        origin.give_up_read();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::Ordering;

    use postrider_protocol::Reason;

    use super::*;
    use crate::slot::sample;

    #[test]
    fn a_read_that_panics_ends_the_connection_that_asked() {
        let origin = sample::origin(1, "alice".parse().unwrap(), None);
        origin.reading.store(true, Ordering::Release);
        guarded(&origin, || {});
        assert_eq!(origin.outbox.farewell(), None);
        guarded(&origin, || std::panic::resume_unwind(Box::new("a defect")));
        assert_eq!(origin.outbox.farewell().map(|farewell| farewell.reason), Some(Reason::Internal));
        assert!(!origin.reading.load(Ordering::Acquire), "nothing is in service for it any more");
    }
}
