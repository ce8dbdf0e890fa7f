//! What is asked for on the command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use postrider_client::{Address, Transport};

/// What the connections do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Connection i sends to i xor 1, as fast as its window allows
    P2p,
    /// One sender, --connections members of one group
    Fanout,
    /// As p2p, at --rate messages a second, whatever the server does
    Rate,
    /// Connections that say nothing; memory for each, --seconds after the last one
    Idle,
    /// Devices that come back at once and catch up, beside live traffic at --rate
    Storm,
    /// Devices that connect, fetch --missed messages, and do it again
    Sync,
    /// Chat-like: 80 % to persons, 20 % to groups of 2 to 500, connections that come and go
    Mixed,
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Postrider
    Postrider,
    /// NATS core: no storage, no acknowledgement
    Nats,
    /// NATS JetStream: a file stream, acknowledged publishes, a push consumer for each receiver
    Jetstream,
    /// An MQTT 3.1.1 broker, QoS 1 both ways
    Mqtt,
}

/// A run.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// What the connections do
    pub scenario: Scenario,
    /// Who is measured
    #[arg(long, value_enum, default_value_t = Target::Postrider)]
    pub target: Target,
    /// The server: HOST:PORT is TCP; or tcp://, tls://, ws://, wss:// and HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    pub addr: Address,
    /// The file with the server's secret: tokens are made with it; for a peer it is the password
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// A PEM file with the private authority that signed the server's certificate
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The server's process, whose CPU time and memory are read from /proc
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// How many connections; with fanout how many members
    #[arg(long, default_value_t = 100)]
    pub connections: u32,
    /// Messages of one connection that may be under way
    #[arg(long, default_value_t = 32)]
    pub window: u32,
    /// Bytes of a body
    #[arg(long, default_value_t = 128)]
    pub size: u32,
    /// How long is measured
    #[arg(long, default_value_t = 10)]
    pub seconds: u32,
    /// How long it runs before that
    #[arg(long, default_value_t = 2)]
    pub warmup: u32,
    /// Messages a second of all connections together: 20,000 with rate, 2,000 with storm, one in 10 s for each
    /// connection with mixed
    #[arg(long)]
    pub rate: Option<u32>,
    /// Messages that each device has missed
    #[arg(long, default_value_t = 20)]
    pub missed: u32,
    /// With mixed, seconds that a connection stays on average
    #[arg(long, default_value_t = 30)]
    pub stay: u32,
    /// A sender waits once the slowest receiver is so many messages behind
    #[arg(long, default_value_t = 512)]
    pub ahead: u32,
    /// Threads; 0 is one for every two cores, with storm at least two
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Print a JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// Write an SVG with the rate over time and the latencies
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

/// The bytes at the start of each body that say whose it is, which, and when it was sent.
pub(crate) const STAMP: usize = 20;
/// Most messages of one connection under way, and most that a receiver may be behind.
const MOST: u32 = 2_048;

impl Options {
    /// What cannot be done, and why; `--secret-file` is the caller's.
    ///
    /// # Errors
    /// The option and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let bound = |name: &str, value: u32, from: u32, to: u32| {
            let ok = (from..=to).contains(&value);
            if ok { Ok(()) } else { Err(format!("--{name} {value}: from {from} to {to}")) }
        };
        bound("size", self.size, STAMP as u32, 65_536)?;
        bound("connections", self.connections, 2, 1_000_000)?;
        bound("seconds", self.seconds, 1, 86_400)?;
        bound("missed", self.missed, 1, 1_000)?;
        bound("ahead", self.ahead, 1, MOST)?;
        let most = if self.target == Target::Postrider { postrider_protocol::SEND_WINDOW as u32 } else { MOST };
        bound("window", self.window, 1, most)?;
        if matches!(self.scenario, Scenario::Sync | Scenario::Mixed) && self.target != Target::Postrider {
            return Err("sync and mixed are for Postrider: a peer keeps nothing here for devices that are away".into());
        }
        if self.target != Target::Postrider && self.addr.transport() != Transport::Tcp {
            return Err("a peer is spoken to over TCP".into());
        }
        Ok(())
    }

    /// Messages a second of all connections together.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate.unwrap_or(match self.scenario {
            Scenario::Storm => 2_000,
            Scenario::Mixed => (self.connections / 10).max(10),
            _ => 20_000,
        })
    }

    /// How many threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        if self.threads > 0 {
            return self.threads;
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = (cores / 2).clamp(1, 16);
        // The devices of a storm are apart from what is live beside them.
        if self.scenario == Scenario::Storm { threads.max(2) } else { threads }
    }

    /// When a place in the window is free again.
    #[must_use]
    pub fn window_rule(&self) -> &'static str {
        match self.target {
            Target::Postrider => "free when the server has acknowledged: the message is on disk (fdatasync)",
            Target::Jetstream => "free when the server has acknowledged: the message is in its file, not synced",
            Target::Mqtt => "free when the server has acknowledged: the message is in its memory",
            Target::Nats => "free when the other side has received; the server acknowledges nothing",
        }
    }
}
