//! What the server tells of itself at `/metrics`: one registry, and handles that the stages keep.
//!
//! A handle is an atomic that clones cheaply; labelled handles are found once, not at each use, except for rare events.
//! No user and no channel is ever a label. Histograms count seconds unless their name says otherwise.

use std::{
    fmt,
    time::{Instant, SystemTime},
};

use postrider_protocol::{Kind, Reason};
use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

use crate::net::transport::TransportKind;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// 20 µs to 42 s, a factor of two apart.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_02, 2.0, 22))
}

/// Counters by the number of a frame kind.
#[derive(Clone, Debug)]
pub struct ByKind([Counter; 32]);

impl ByKind {
    fn register(registry: &mut Registry, name: &str, help: &str) -> Self {
        let family = Family::<Labels<1>, Counter>::default();
        registry.register(name, help, family.clone());
        let name_of = |number: usize| {
            let kind = u8::try_from(number).ok().and_then(Kind::from_number);
            kind.map_or("other", Kind::name)
        };
        Self(std::array::from_fn(|number| match name_of(number) {
            // Kinds that are not known share the counter at 0.
            "other" if number > 0 => Counter::default(),
            name => family.get_or_create_owned(&[("kind", name)]),
        }))
    }

    /// The counter of frames of `kind`.
    #[must_use]
    pub fn of(&self, kind: Kind) -> &Counter {
        self.0.get(usize::from(kind.number())).unwrap_or_else(|| self.other())
    }

    /// The counter of frames of a kind that this build does not know.
    #[must_use]
    pub const fn other(&self) -> &Counter {
        &self.0[0]
    }
}

/// What one transport counts.
#[derive(Clone, Debug)]
pub struct PerTransport {
    /// Connections that are open now, from accept on.
    pub open: Gauge,
    /// Connections that were accepted.
    pub opened: Counter,
    /// Handshakes of TLS or WebSocket that failed.
    pub handshakes_failed: Counter,
    /// Connections turned away over `listeners.max_connections`.
    pub turned_away: Counter,
}

/// Runs from the append of a batch to the end of its fdatasync. The committer itself knows no clock.
#[derive(Debug)]
pub struct CommitTimer(Instant);

/// All metrics of one server. Cheap to share; nothing here waits.
pub struct Metrics {
    registry: Registry,
    transports: [PerTransport; 4],
    closed: Family<Labels<2>, Counter>,
    refused: Family<Labels<2>, Counter>,
    frame_errors: Family<Labels<1>, Counter>,
    auth_failures: Family<Labels<1>, Counter>,
    queues: Family<Labels<1>, Gauge>,
    /// Frames read from clients.
    pub frames_received: ByKind,
    /// Bytes read from clients, within TLS and WebSocket.
    pub bytes_received: Counter,
    /// Bytes given to the sockets of clients, within TLS and WebSocket.
    pub bytes_sent: Counter,
    /// Sessions past CONNECT.
    pub sessions: Gauge,
    /// From the append of a batch to the end of its fdatasync.
    pub commit_duration: Histogram,
    /// Entries of a batch.
    pub commit_entries: Histogram,
    /// Entries made durable.
    pub entries_committed: Counter,
    /// Images given to outboxes.
    pub deliveries: Counter,
    /// Live frames dropped because their outbox was full; the client is told LAG and syncs.
    pub live_dropped: Counter,
    /// Messages of broadcasts sent.
    pub broadcast_messages: Counter,
    /// Notices given to outboxes.
    pub notices: Counter,
    /// Notices for which there was no room.
    pub notices_dropped: Counter,
    /// 1 while presence is shared over Redis, 0 while Redis is out of reach or not configured.
    pub presence_up: Gauge,
    /// Connections closed with `SLOW_CONSUMER`.
    pub slow_consumers: Counter,
    /// One LIST or SYNC, from request to answer.
    pub read_duration: Histogram,
    /// One checkpoint of the store.
    pub checkpoint_duration: Histogram,
    /// Bytes of log that the store does not hold yet.
    pub checkpoint_pending_bytes: Gauge,
    /// Bytes of the log on disk.
    pub log_bytes: Gauge,
    /// Bytes of the store on disk.
    pub store_bytes: Gauge,
    /// Bytes of live frames that wait in all outboxes.
    pub outbound_queue_bytes: Gauge,
    /// Slots whose channels this node writes.
    pub slots_owned: Gauge,
    /// Gaps that a reader was told are quarantined.
    pub quarantined: Counter,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Registers what is made by `Default` and returns it.
macro_rules! register {
    ($registry:ident, $name:literal, $help:literal) => {
        register!($registry, $name, $help, Default::default())
    };
    ($registry:ident, $name:literal, $help:literal, $metric:expr) => {{
        let metric = $metric;
        $registry.register($name, $help, Clone::clone(&metric));
        metric
    }};
}

macro_rules! register_seconds {
    ($registry:ident, $name:literal, $help:literal) => {{
        let metric = seconds();
        $registry.register_with_unit($name, $help, Unit::Seconds, metric.clone());
        metric
    }};
}

impl Metrics {
    /// A registry with every metric at nothing.
    #[must_use]
    pub fn new() -> Self {
        let mut owned = Registry::with_prefix("postrider");
        let registry = &mut owned;
        registry.register("build", "This build", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let start: Gauge = register!(registry, "start_time_seconds", "When the process started, since 1970");
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        start.set(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        Self {
            transports: Self::transports(registry),
            closed: register!(registry, "connections_closed", "Connections that ended, by the reason told"),
            refused: register!(registry, "refusals", "Commands and reads refused, by reason"),
            frame_errors: register!(registry, "frame_errors", "Frames that could not be taken, by reason"),
            auth_failures: register!(registry, "auth_failures", "CONNECTs refused for their token, by reason"),
            queues: register!(registry, "queue_length", "What waits in a queue between stages"),
            frames_received: ByKind::register(registry, "frames_received", "Frames read from clients"),
            bytes_received: register!(registry, "bytes_received", "Bytes read from clients"),
            bytes_sent: register!(registry, "bytes_sent", "Bytes given to sockets of clients"),
            sessions: register!(registry, "sessions", "Sessions past CONNECT"),
            commit_duration: register_seconds!(registry, "store_commit_duration", "Append and fdatasync of a batch"),
            commit_entries: register!(
                registry,
                "store_commit_batch_size",
                "Entries of a batch",
                Histogram::new(exponential_buckets(1.0, 2.0, 14))
            ),
            entries_committed: register!(registry, "entries_committed", "Entries made durable"),
            deliveries: register!(registry, "deliveries", "Images given to outboxes"),
            live_dropped: register!(registry, "live_frames_dropped", "Live frames dropped at full outboxes"),
            broadcast_messages: register!(registry, "broadcast_messages", "Messages of broadcasts sent"),
            notices: register!(registry, "notices", "Notices given to outboxes"),
            notices_dropped: register!(registry, "notices_dropped", "Notices for which an outbox had no room"),
            presence_up: register!(registry, "presence_redis_up", "Whether presence is shared over Redis"),
            slow_consumers: register!(registry, "slow_consumer_disconnects", "Closed with SLOW_CONSUMER"),
            read_duration: register_seconds!(registry, "read_duration", "One LIST or SYNC"),
            checkpoint_duration: register_seconds!(registry, "checkpoint_duration", "One checkpoint of the store"),
            checkpoint_pending_bytes: register!(registry, "checkpoint_pending_bytes", "Log that the store lacks"),
            log_bytes: register!(registry, "log_bytes", "The log on disk"),
            store_bytes: register!(registry, "store_bytes", "The store behind the log, on disk"),
            outbound_queue_bytes: register!(registry, "outbound_queue_bytes", "Live bytes waiting in all outboxes"),
            slots_owned: register!(registry, "slots_owned", "Slots whose channels this node writes"),
            quarantined: register!(registry, "quarantined_reads", "Gaps told as quarantined"),
            registry: owned,
        }
    }

    fn transports(registry: &mut Registry) -> [PerTransport; 4] {
        let open: Family<Labels<1>, Gauge> = register!(registry, "connections", "Connections that are open");
        let opened: Family<Labels<1>, Counter> = register!(registry, "connections_opened", "Connections accepted");
        let failed: Family<Labels<1>, Counter> =
            register!(registry, "handshakes_failed", "Handshakes of TLS or WebSocket that failed");
        let away: Family<Labels<1>, Counter> =
            register!(registry, "connections_turned_away", "Connections over listeners.max_connections");
        TransportKind::ALL.map(|kind| {
            let labels = [("transport", kind.name())];
            PerTransport {
                open: open.get_or_create_owned(&labels),
                opened: opened.get_or_create_owned(&labels),
                handshakes_failed: failed.get_or_create_owned(&labels),
                turned_away: away.get_or_create_owned(&labels),
            }
        })
    }

    /// What one transport counts.
    #[must_use]
    pub const fn transport(&self, kind: TransportKind) -> &PerTransport {
        let [tcp, tls, ws, wss] = &self.transports;
        match kind {
            TransportKind::Tcp => tcp,
            TransportKind::Tls => tls,
            TransportKind::Ws => ws,
            TransportKind::Wss => wss,
        }
    }

    /// Counts the end of a connection; the gauge of open ones goes down.
    pub fn connection_closed(&self, kind: TransportKind, reason: Reason) {
        self.transport(kind).open.dec();
        self.closed.get_or_create(&[("transport", kind.name()), ("reason", reason.name())]).inc();
    }

    /// Counts a refused command or read, `what` being SEND, CALL, LIST or SYNC.
    pub fn refused(&self, what: Kind, reason: Reason) {
        self.refused.get_or_create(&[("kind", what.name()), ("reason", reason.name())]).inc();
    }

    /// Counts a frame that closed its connection.
    pub fn frame_error(&self, reason: Reason) {
        self.frame_errors.get_or_create(&[("reason", reason.name())]).inc();
    }

    /// Counts a CONNECT refused for its token.
    pub fn auth_failure(&self, reason: Reason) {
        self.auth_failures.get_or_create(&[("reason", reason.name())]).inc();
    }

    /// The gauge of a queue between stages: `decide_0`, `commit`, `deliver`, `materialise`, `read`…
    #[must_use]
    pub fn queue(&self, name: &'static str) -> Gauge {
        self.queues.get_or_create_owned(&[("queue", name)])
    }

    /// Starts the clock of a batch.
    #[must_use]
    pub fn commit_timer(&self) -> CommitTimer {
        CommitTimer(Instant::now())
    }

    /// Counts a batch of so many entries that is durable now.
    pub fn committed(&self, timer: CommitTimer, entries: usize) {
        self.commit_duration.observe(timer.0.elapsed().as_secs_f64());
        self.commit_entries.observe(entries as f64);
        self.entries_committed.inc_by(entries as u64);
    }

    /// Everything in the OpenMetrics text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::with_capacity(16 << 10);
        // Writing to a string cannot fail.
        let _ = encode(&mut out, &self.registry);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_handle_shows_under_its_name() {
        let metrics = Metrics::new();
        metrics.transport(TransportKind::Wss).open.inc();
        metrics.connection_closed(TransportKind::Tcp, Reason::SlowConsumer);
        metrics.frames_received.of(Kind::Send).inc_by(3);
        metrics.frames_received.other().inc();
        metrics.refused(Kind::Send, Reason::RateLimited);
        metrics.queue("commit").set(7);
        metrics.commit_duration.observe(0.001);
        let text = metrics.text();
        for line in [
            "postrider_connections{transport=\"wss\"} 1",
            "postrider_connections_closed_total{transport=\"tcp\",reason=\"SLOW_CONSUMER\"} 1",
            "postrider_frames_received_total{kind=\"SEND\"} 3",
            "postrider_frames_received_total{kind=\"other\"} 1",
            "postrider_refusals_total{kind=\"SEND\",reason=\"RATE_LIMITED\"} 1",
            "postrider_queue_length{queue=\"commit\"} 7",
            "postrider_store_commit_duration_seconds_count 1",
            "postrider_build_info{version=",
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
