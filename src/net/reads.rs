//! LIST, SYNC and other reads in service: so many at once as configured; the others wait in the order in which they
//! came. There is one of a session at a time, so as many wait as there are connections at most.
//!
//! They have threads of their own, which step back for those that carry what is live: thousands may come back at once.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use prometheus_client::metrics::gauge::Gauge;

use crate::{
    clock::Clock,
    metrics::Metrics,
    pace::Pace,
    reader::{Reader, step_aside},
    session::ReadRequest,
    slot::Origin,
};

/// How nice readers are: beside a thread that is not they get a quarter of a core that both want.
#[cfg(target_os = "linux")]
const STEP_BACK: i32 = 5;

/// See the module.
#[derive(Debug)]
pub struct Reads(Arc<Service>);

/// What readers work on.
#[derive(Debug)]
struct Service {
    waiting: Mutex<Waiting>,
    came: Condvar,
    reader: Reader,
    pace: Arc<Pace>,
    clock: Clock,
    metrics: Arc<Metrics>,
    gauge: Gauge,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<ReadRequest>,
    is_over: bool,
}

impl Reads {
    /// Reads with `reader`, at most `at_once` at a time, and charges `pace` for it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        reader: Reader,
        at_once: usize,
        pace: Arc<Pace>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let gauge = metrics.queue("read");
        let (waiting, came) = (Mutex::default(), Condvar::new());
        let reads = Self(Arc::new(Service { waiting, came, reader, pace, clock, metrics, gauge }));
        for number in 0..at_once.max(1) {
            let service = Arc::clone(&reads.0);
            thread::Builder::new().name(format!("read-{number}")).spawn(move || service.serve())?;
        }
        Ok(reads)
    }

    /// Puts a read into service: its answer will be in the outbox of who asked.
    pub fn put(&self, request: ReadRequest) {
        let mut waiting = self.0.lock();
        waiting.requests.push_back(request);
        self.0.tell(&waiting);
        drop(waiting);
        self.0.came.notify_one();
    }
}

impl Drop for Reads {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.came.notify_all();
    }
}

impl Service {
    /// Serves until all is over.
    fn serve(&self) {
        step_back();
        while let Some(request) = self.next() {
            let start = Instant::now();
            let origin = Arc::clone(request.origin());
            let now = self.clock.now();
            guarded(&origin, || request.run(&self.reader, now));
            let took = start.elapsed();
            let used_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.pace.charge(origin.tenant, &origin.user, used_us, now.mono_ms);
            self.metrics.read_duration.observe(took.as_secs_f64());
            step_aside();
        }
    }

    fn next(&self) -> Option<ReadRequest> {
        let mut waiting = self.lock();
        loop {
            if waiting.is_over {
                return None;
            }
            let next = waiting.requests.pop_front();
            self.tell(&waiting);
            if next.is_some() {
                return next;
            }
            // What a storm needed is given back.
            waiting.requests = VecDeque::new();
            waiting = self.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn tell(&self, waiting: &Waiting) {
        self.gauge.set(i64::try_from(waiting.requests.len()).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes this thread step back for others: on Linux, where a thread has a niceness of its own.
fn step_back() {
    #[cfg(target_os = "linux")]
    {
        // Where it is not allowed, it is as the others.
        let _ = rustix::process::nice(STEP_BACK);
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
