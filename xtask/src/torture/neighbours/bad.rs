//! The bad neighbours, and how each begins. What it does ends when its [`Attack`] is dropped.

use std::{
    hint,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use clap::ValueEnum;
use tokio::{runtime::Handle, task::JoinSet};

use super::{guests, scene::Scene, storms};
use crate::Result;

/// What a neighbour does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Nothing: the noise of the measurement.
    Nobody,
    /// Loops behind everything else, one for each core: what the machine makes wait when no core is idle.
    BusyCores,
    /// Members of the busy group who ask for history and read nothing: zero windows.
    SlowReader,
    /// Devices of members that are connected and never look at their sockets again.
    Vanished,
    /// Devices that take everything and acknowledge nothing, and come back for it again.
    NeverAck,
    /// Hundreds of connections that say nothing.
    Silent,
    /// Half frames, before and after CONNECT, and CONNECTs that come byte by byte.
    HalfFrames,
    /// PINGs as fast as they go; whoever is closed comes back.
    PingFlood,
    /// Connects with bad CRCs and with noise, at every listener.
    GarbageStorm,
    /// Lengths above what is allowed, and frames of the largest size that never end.
    Oversized,
    /// CONNECTs with 4 KiB tokens that are no good.
    BadTokens,
    /// TLS handshakes, whole ones, and nothing after them.
    HandshakeStorm,
    /// Good CONNECTs of one device, each replacing the one before.
    ReplaceStorm,
    /// SENDs of one user as fast as they go, against the default limit.
    SendFlood,
    /// SENDs of 64 KiB of some users as fast as they go, against the default limit.
    BigBodies,
    /// LISTs of a user with 1,100 conversations as fast as they are answered.
    ListFlood,
    /// SYNCs over a long history as fast as they are answered.
    SyncFlood,
    /// RECVACKs for 1,100 channels, round and round.
    RecvackFlood,
    /// SENDs of one user as fast as they go, without a limit.
    UnlimitedSendFlood,
    /// SENDs of 64 KiB as fast as they go, without a limit.
    UnlimitedBigBodies,
}

impl Kind {
    /// The kinds for a server without a rate limit, or for one with the default.
    pub fn all(unlimited: bool) -> impl Iterator<Item = Self> {
        let all = Self::value_variants().iter().copied();
        all.filter(move |kind| kind.is_machine() || kind.needs_no_limit() == unlimited)
    }

    const fn needs_no_limit(self) -> bool {
        matches!(self, Self::UnlimitedSendFlood | Self::UnlimitedBigBodies)
    }

    /// Whether it tells of the machine, and not of the server.
    pub const fn is_machine(self) -> bool {
        matches!(self, Self::Nobody | Self::BusyCores)
    }

    /// Whether the bound holds for it. Without a limit one user may take all that the machine has.
    pub const fn is_judged(self) -> bool {
        !self.is_machine() && !self.needs_no_limit()
    }

    /// As on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// A neighbour at work.
pub struct Attack {
    _tasks: JoinSet<()>,
    acts: Arc<AtomicU64>,
}

impl Attack {
    /// How much it did: frames, connects or drops, whatever it is made of.
    pub fn acts(&self) -> u64 {
        self.acts.load(Relaxed)
    }
}

/// What the tasks of an attack are made with.
pub struct Means<'a> {
    pub scene: &'a Arc<Scene>,
    handle: &'a Handle,
    tasks: JoinSet<()>,
    acts: Arc<AtomicU64>,
}

impl Means<'_> {
    /// One task that is done again as soon as it is over; what ends it does not matter, but it must not spin.
    pub fn again<F, T>(&mut self, task: F)
    where
        F: Fn(Arc<Scene>, Acts) -> T + Send + 'static,
        T: Future<Output = Result> + Send,
    {
        let (scene, acts) = (Arc::clone(self.scene), Acts(Arc::clone(&self.acts)));
        let run = async move {
            loop {
                let _ = task(Arc::clone(&scene), acts.clone()).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        self.tasks.spawn_on(run, self.handle);
    }

    /// `task` so many times a second, at most 256 of them at once.
    pub fn storm<F, T>(&mut self, per_second: u32, task: F)
    where
        F: Fn(Arc<Scene>, u64) -> T + Send + 'static,
        T: Future<Output = Result> + Send + 'static,
    {
        let (scene, acts) = (Arc::clone(self.scene), Acts(Arc::clone(&self.acts)));
        let run = async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1) / per_second);
            let mut running = JoinSet::new();
            for number in 0.. {
                tick.tick().await;
                while running.try_join_next().is_some() {}
                if running.len() < 256 {
                    acts.add(1);
                    let one = task(Arc::clone(&scene), number);
                    running.spawn(async move {
                        let _ = one.await;
                    });
                }
            }
        };
        self.tasks.spawn_on(run, self.handle);
    }
}

/// Counts what an attack does.
#[derive(Clone)]
pub struct Acts(Arc<AtomicU64>);

impl Acts {
    /// So many more.
    pub fn add(&self, acts: u64) {
        self.0.fetch_add(acts, Relaxed);
    }
}

/// Keeps every core busy for as long as somebody holds `acts`.
fn keep_busy(handle: &Handle, acts: &Arc<AtomicU64>) {
    for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
        let acts = Arc::downgrade(acts);
        handle.spawn_blocking(move || {
            while acts.strong_count() > 0 {
                hint::spin_loop();
            }
        });
    }
}

/// Lets a neighbour begin.
pub fn begin(kind: Kind, scene: &Arc<Scene>, handle: &Handle) -> Attack {
    let mut means = Means { scene, handle, tasks: JoinSet::new(), acts: Arc::default() };
    match kind {
        Kind::Nobody => {}
        Kind::BusyCores => keep_busy(handle, &means.acts),
        Kind::SlowReader => guests::slow_readers(&mut means),
        Kind::Vanished => guests::vanished(&mut means),
        Kind::NeverAck => guests::never_acknowledge(&mut means),
        Kind::Silent => storms::silent(&mut means),
        Kind::HalfFrames => storms::half_frames(&mut means),
        Kind::PingFlood => guests::pings(&mut means),
        Kind::GarbageStorm => storms::garbage(&mut means),
        Kind::Oversized => storms::oversized(&mut means),
        Kind::BadTokens => storms::bad_tokens(&mut means),
        Kind::HandshakeStorm => storms::handshakes(&mut means),
        Kind::ReplaceStorm => storms::replaced(&mut means),
        Kind::SendFlood | Kind::UnlimitedSendFlood => guests::sends(&mut means, 200, 1),
        Kind::BigBodies | Kind::UnlimitedBigBodies => guests::sends(&mut means, 65_536, 4),
        Kind::ListFlood => guests::lists(&mut means),
        Kind::SyncFlood => guests::syncs(&mut means),
        Kind::RecvackFlood => guests::recvacks(&mut means),
    }
    Attack { _tasks: means.tasks, acts: means.acts }
}
