//! Puts a server together from its configuration, starts it, and stops it in order: no new connections, what was
//! accepted is finished, clients are told when to come back, the log is closed, the store filled.

use std::sync::{Arc, Weak, atomic::AtomicBool};
use std::time::Duration;

use postrider_bridge::{AcceptRules, Origins};
use postrider_protocol::{BODY_BYTES, FRAME_PAYLOAD_BYTES, Reason, packet::Limits, session::server::ServerTimers};
use postrider_storage::{Opened, Options, Progress, Recovery, Retention, StoreError};
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::Verifier,
    broadcast::{Broadcaster, broadcasters::Broadcasters},
    clock::Clock,
    commit::Committer,
    config::{self, Config},
    deliver::Deliverer,
    health::Health,
    hub::Hub,
    lookup::Lookup,
    metrics::Metrics,
    net::{
        drive::Services,
        listener::{Listener, bind},
        reads::Reads,
        tls::Certificates,
        transport::TransportKind,
    },
    notice::Notices,
    outbox::{Farewell, OutboxBounds},
    pace::Pace,
    pipeline::{BatchLimits, Pipeline, Stages},
    presence::{Keeper, Presence},
    quota::{self, Quotas},
    rate::Rates,
    reader::{ReadLimits, Reader},
    schemas::Schemas,
    session::{Issuer, Shared, Welcome},
    slot::{Decider, DeviceRules, MessageRules, Rules},
    view::View,
};

/// What waited longer than this for its turn is refused with `BUSY`.
const BUSY_AFTER: Duration = Duration::from_secs(1);
/// At the end what shares presence has so long to tell who went.
const KEEPER_PATIENCE: Duration = Duration::from_secs(1);
/// When clients of a server that stops should come back.
const RETRY_AFTER_MS: u32 = 1_000;
/// What was used of quotas is written to disk so often: a crash loses no more.
const KEEP_QUOTAS_EVERY: Duration = Duration::from_secs(10);

/// A running server.
pub struct Server {
    services: Arc<Services>,
    pipeline: Pipeline,
    /// What shares presence with other servers, until `last`.
    keeper: Option<JoinHandle<()>>,
    last: CancellationToken,
    tracker: TaskTracker,
    stop: CancellationToken,
    drain: Duration,
    certificates: Option<Arc<Certificates>>,
    quotas: Arc<Quotas>,
    quota_file: quota::File,
}

impl Server {
    /// Opens the storage and starts to listen. Blocks while the storage is opened; call it within a runtime.
    ///
    /// # Errors
    /// What could not be opened, read or bound, and why.
    pub async fn start(config: &Config, metrics: Arc<Metrics>, health: Arc<Health>) -> Result<Self, String> {
        let clock = Clock::default();
        let verifier = Verifier::load(&config.auth.jwt)?;
        let schemas = Schemas::load(&config.messages.schemas)?;
        let certificates = load_certificates(config)?;
        let opened = open_storage(config)?;
        let quotas = Arc::new(Quotas::new(quota_limits(&config.limits.quota)));
        let quota_file = quota::File::within(&config.storage.path);
        quota_file.load(&quotas);
        let platforms = config.devices.connected.iter();
        let hub = Arc::new(Hub::new(platforms.map(|it| (it.name.clone(), it.most as usize)).collect()));
        let (presence, keeper) = presence(config, &hub, &metrics, health)?;
        let assembled = assemble(config, opened, (verifier, schemas), clock, metrics, &quotas, (hub, presence));
        let (services, pipeline, broadcaster) = assembled.map_err(|error| error.to_string())?;
        let last = CancellationToken::new();
        let keeper = keeper.map(|keeper| tokio::spawn(keeper.run(last.clone())));
        tokio::spawn(tick(Arc::downgrade(&services.shared.notices), clock));
        let server = Self {
            services,
            pipeline,
            keeper,
            last,
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            drain: config.drain.timeout,
            certificates,
            quotas,
            quota_file,
        };
        server.keep_quotas();
        server.tracker.spawn(broadcaster.run(server.stop.clone()));
        for listener in server.listeners(config)? {
            let addr = listener.addr().map_err(|error| error.to_string())?;
            tracing::info!(transport = listener.kind.name(), %addr, "listening");
            let run = listener.run(Arc::clone(&server.services), server.tracker.clone(), server.stop.clone());
            server.tracker.spawn(run);
        }
        Ok(server)
    }

    /// Reads the certificates again; the old ones stay when the new ones are no good.
    pub fn reload(&self) {
        let Some(certificates) = &self.certificates else { return };
        match certificates.reload() {
            Ok(()) => tracing::info!("certificates read again"),
            Err(error) => tracing::error!(error, "certificates not read again, the old ones stay"),
        }
    }

    /// Stops in order, within the configured time.
    ///
    /// # Errors
    /// When connections were not done in time.
    pub async fn stop(self) -> Result<(), String> {
        self.stop.cancel();
        self.tracker.close();
        self.services
            .shared
            .hub
            .close_all(&Farewell { retry_after_ms: Some(RETRY_AFTER_MS), ..Reason::Shutdown.into() });
        let drained = tokio::time::timeout(self.drain, self.tracker.wait()).await.is_ok();
        self.last.cancel();
        if let Some(keeper) = self.keeper {
            // Sessions that it could not write go by themselves.
            let _ = tokio::time::timeout(KEEPER_PATIENCE, keeper).await;
        }
        // The queues' last clones are in here: the stages end after the last submission.
        drop(self.services);
        if !drained {
            return Err("connections were not done in time".to_owned());
        }
        let joined = tokio::task::spawn_blocking(move || {
            self.pipeline.join();
            self.quota_file.save(&self.quotas);
        });
        joined.await.map_err(|error| error.to_string())
    }

    /// Keeps what was used of quotas, again and again until the server stops.
    fn keep_quotas(&self) {
        if !self.quotas.is_on() {
            return;
        }
        let (quotas, file, stop) = (Arc::clone(&self.quotas), self.quota_file.clone(), self.stop.clone());
        self.tracker.spawn(async move {
            while tokio::time::timeout(KEEP_QUOTAS_EVERY, stop.cancelled()).await.is_err() {
                let (quotas, file) = (Arc::clone(&quotas), file.clone());
                // It is written again the next time when this was cut short.
                let _ = tokio::task::spawn_blocking(move || file.save(&quotas)).await;
            }
        });
    }

    fn listeners(&self, config: &Config) -> Result<Vec<Listener>, String> {
        let listeners = &config.listeners;
        let origins =
            if listeners.ws.origins.is_empty() { Origins::own() } else { Origins::list(listeners.ws.origins.clone()) };
        let rules = Arc::new(AcceptRules { origins, ..AcceptRules::default() });
        let all = [
            (TransportKind::Tcp, listeners.tcp.addr),
            (TransportKind::Tls, listeners.tls.addr),
            (TransportKind::Ws, listeners.ws.addr),
            (TransportKind::Wss, listeners.wss.addr),
        ];
        let mut bound = Vec::new();
        for (kind, addr) in all {
            let Some(addr) = addr else { continue };
            let socket = bind(addr)
                .map_err(|error| format!("listeners.{}.addr: cannot listen on {addr}: {error}", kind.name()))?;
            let tls = match (kind, &self.certificates) {
                (TransportKind::Tls, Some(certificates)) => Some(certificates.for_tls()?),
                (TransportKind::Wss, Some(certificates)) => Some(certificates.for_wss()?),
                _ => None,
            };
            bound.push(Listener {
                socket,
                kind,
                tls: tls.map(TlsAcceptor::from),
                rules: Arc::clone(&rules),
                max: listeners.max_connections as usize,
                handshake: config.session.connect_timeout,
            });
        }
        Ok(bound)
    }
}

fn load_certificates(config: &Config) -> Result<Option<Arc<Certificates>>, String> {
    match (&config.tls.cert_file, &config.tls.key_file) {
        (Some(cert), Some(key)) => Certificates::load(cert, key).map(Some),
        _ if config.listeners.tls.addr.is_some() || config.listeners.wss.addr.is_some() => {
            Err("listeners.tls and listeners.wss need tls.cert_file and tls.key_file".to_owned())
        }
        _ => Ok(None),
    }
}

fn open_storage(config: &Config) -> Result<Opened, String> {
    let storage = &config.storage;
    let options = Options {
        path: storage.path.clone(),
        segment_bytes: storage.segment_bytes.bytes(),
        checkpoint_bytes: storage.checkpoint_bytes.bytes(),
        window_bytes: storage.window_bytes.bytes(),
        cache_bytes: storage.cache_bytes.bytes(),
        reserve_bytes: storage.reserve_bytes.bytes(),
        ballast_bytes: storage.ballast_bytes.bytes(),
        retention: Retention {
            max_age_ms: millis(storage.retention.max_age),
            max_bytes: storage.retention.max_bytes.bytes(),
            snapshot_segments: storage.retention.snapshot_segments,
        },
    };
    let mut told = 0;
    let mut progress = |progress: Progress| {
        let percent = progress.bytes.saturating_mul(100) / progress.total_bytes.max(1);
        if percent >= told + 10 {
            told = percent;
            let what = if progress.rebuild { "rebuilding the store" } else { "reading the log" };
            tracing::info!(percent, entries = progress.entries, "{what}");
        }
    };
    let opened = postrider_storage::open(&options, &mut progress)
        .map_err(|error| format!("storage.path {}: {error}", storage.path.display()))?;
    tell_recovery(&opened.report);
    Ok(opened)
}

fn tell_recovery(report: &Recovery) {
    tracing::info!(batches = report.batches, entries = report.entries, torn_bytes = report.torn_bytes, "log read");
    if let Some(why) = &report.rebuilt {
        tracing::warn!(why, "the store was rebuilt from the log");
    }
    for loss in &report.losses {
        let (segment, offset) = (loss.segment, loss.offset);
        let (first, last, salvaged) = (loss.first, loss.last, loss.salvaged);
        tracing::error!(segment, offset, first, last, salvaged, "batches of the log are damaged: run `store check`");
    }
    if report.damaged > 0 {
        tracing::error!(entries = report.damaged, "entries of the log are damaged: run `store check`");
    }
}

fn assemble(
    config: &Config,
    opened: Opened,
    (verifier, schemas): (Verifier, Schemas),
    clock: Clock,
    metrics: Arc<Metrics>,
    quotas: &Arc<Quotas>,
    (hub, presence): (Arc<Hub>, Presence),
) -> Result<(Arc<Services>, Pipeline, Broadcaster), StoreError> {
    let Opened { log, store, materialiser, slots, report } = opened;
    let view = Arc::new(View::new(&slots));
    let lookup = Lookup::new(Arc::clone(&store), Arc::clone(&view));
    let bounds = Arc::new(bounds(&config.session));
    let rules = Arc::new(rules(config, quotas, &metrics));
    let notices = Notices::new(Arc::clone(&hub), Arc::clone(&bounds), lookup.clone(), Arc::clone(&metrics), presence);
    let notices = Arc::new(notices);
    let workers = workers(config);
    metrics.slots_owned.set(i64::try_from(slots.len()).unwrap_or(i64::MAX));
    let decider = |worker| Decider::new(lookup.clone(), Arc::clone(&rules), &slots, worker, workers);
    let deciders = (0..workers).map(decider).collect::<Result<_, StoreError>>()?;
    let newest_ms = slots.iter().map(|slot| slot.time_ms).max().unwrap_or_default();
    let broadcasters = Arc::new(Broadcasters::new(store.broadcasters()?));
    let told = (Arc::clone(&hub), Arc::clone(&notices), Arc::clone(&broadcasters));
    let issuer = Issuer::new(newest_ms, report.first_batch);
    let stages = Stages {
        deciders,
        committer: Committer::new(log, &slots, Arc::clone(&view), Arc::clone(&metrics)),
        deliverer: Deliverer::new(told, Arc::clone(&bounds), Arc::clone(&metrics)),
        materialiser,
        view: Arc::clone(&view),
        store: Arc::clone(&store),
        rules,
        metrics: Arc::clone(&metrics),
        clock,
        queue: config.slots.queue as usize,
        limits: batch_limits(config),
        reserve_bytes: config.storage.reserve_bytes.bytes(),
        erase_within_ms: millis(config.storage.erase_within),
    };
    let (queues, pipeline) = stages.start();
    let told = (Arc::clone(&hub), Arc::clone(&notices));
    let reader = Reader::new(lookup.clone(), told, Arc::clone(quotas), read_limits(config), Arc::clone(&metrics));
    let broadcaster = Broadcaster::new(broadcasters, lookup.clone(), queues.clone(), clock, Arc::clone(&metrics));
    let pace = Arc::new(Pace::default());
    let shared = Arc::new(Shared {
        hub,
        view: Arc::clone(&view),
        lookup,
        schemas,
        quotas: Arc::clone(quotas),
        bounds,
        workers,
        timers: timers(&config.session),
        welcome: Welcome { verifier, limits: told_limits(config), issuer },
        notices: Arc::clone(&notices),
        pace: Arc::clone(&pace),
        metrics: Arc::clone(&metrics),
    });
    let services = Arc::new(Services {
        shared,
        queues,
        reads: Reads::start(reader, reads(config), pace, clock, Arc::clone(&metrics))?,
        clock,
        metrics,
        slow_after_ms: millis(config.session.slow_after),
    });
    Ok((services, pipeline, broadcaster))
}

fn batch_limits(config: &Config) -> BatchLimits {
    BatchLimits { entries: config.commit.batch_entries as usize, bytes: config.commit.batch_bytes.as_usize() }
}

fn rules(config: &Config, quotas: &Arc<Quotas>, metrics: &Arc<Metrics>) -> Rules {
    let jwt = &config.auth.jwt;
    Rules {
        max_members: config.groups.max_members as usize,
        messages: MessageRules {
            revoke_within_ms: millis(config.messages.revoke_within),
            edit_within_ms: millis(config.messages.edit_within),
        },
        busy_after_ms: millis(BUSY_AFTER),
        rates: Rates::new(config.limits.user_rate, config.limits.user_burst),
        quotas: Arc::clone(quotas),
        devices: DeviceRules { max: config.devices.max.into(), token_ms: millis(jwt.max_ttl + jwt.leeway) },
        full: AtomicBool::new(false),
        metrics: Arc::clone(metrics),
    }
}

fn quota_limits(quotas: &config::Quotas) -> quota::Limits {
    let limit = |quota: &config::Quota| quota::Limit {
        requests_per_minute: quota.requests_per_minute.into(),
        bytes_per_day: quota.bytes_per_day.bytes(),
        bytes_per_month: quota.bytes_per_month.bytes(),
    };
    quota::Limits {
        user: limit(&quotas.user),
        channel: limit(&quotas.channel),
        connection: limit(&quotas.connection),
        tenant: limit(&quotas.tenant),
    }
}

/// Where it is known who is online.
fn presence(
    config: &Config,
    hub: &Arc<Hub>,
    metrics: &Arc<Metrics>,
    health: Arc<Health>,
) -> Result<(Presence, Option<Keeper>), String> {
    let grace_ms = millis(config.presence.grace);
    match &config.redis.url {
        None => Ok((Presence::local(Arc::clone(hub), grace_ms), None)),
        Some(_) => {
            let (hub, metrics) = (Arc::clone(hub), Arc::clone(metrics));
            let (presence, keeper) = Presence::redis(hub, &config.redis, grace_ms, metrics, health)?;
            Ok((presence, Some(keeper)))
        }
    }
}

/// Lets notices that were gathered leave, once a second, while the server is there.
async fn tick(notices: Weak<Notices>, clock: Clock) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let Some(notices) = notices.upgrade() else { return };
        let told = tokio::task::spawn_blocking(move || notices.tick(clock.now())).await;
        if let Ok(Err(error)) = told {
            tracing::error!(%error, "notices were not told");
        }
    }
}

fn bounds(session: &config::Session) -> OutboxBounds {
    let (bytes, total) = (session.queue_bytes.as_usize(), session.queue_total_bytes.as_usize());
    OutboxBounds::new(bytes, session.queue_frames as usize, total)
}

fn timers(session: &config::Session) -> ServerTimers {
    ServerTimers {
        connect_ms: millis(session.connect_timeout),
        frame_ms: millis(session.frame_timeout),
        dead_ms: millis(session.dead),
    }
}

fn read_limits(config: &Config) -> ReadLimits {
    ReadLimits {
        page: usize::from(config.sync.page),
        page_max: usize::from(config.sync.page_max),
        window: u64::from(config.sync.window),
        age_ms: millis(config.sync.age),
    }
}

fn told_limits(config: &Config) -> Limits {
    let number = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    Limits {
        heartbeat_ms: u32::try_from(millis(config.session.heartbeat)).unwrap_or(u32::MAX),
        dead_ms: u32::try_from(millis(config.session.dead)).unwrap_or(u32::MAX),
        frame_bytes: number(FRAME_PAYLOAD_BYTES),
        body_bytes: number(BODY_BYTES),
        sync_page: config.sync.page_max,
    }
}

/// How many workers decide: as configured, or one for every two cores, at most 8.
fn workers(config: &Config) -> usize {
    if config.slots.workers > 0 { usize::from(config.slots.workers) } else { half_the_cores().min(8) }
}

/// How many LISTs and SYNCs are in service at once: as configured, or one for every two cores. They mostly find what
/// they read in memory; more of them than cores would keep the stages that acknowledge from running.
fn reads(config: &Config) -> usize {
    if config.sync.concurrent > 0 { config.sync.concurrent as usize } else { half_the_cores() }
}

fn half_the_cores() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (cores / 2).max(1)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
