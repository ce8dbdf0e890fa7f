//! What is measured, and who takes part.

/// Who takes part, and over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrant {
    Tcp,
    Tls,
    Ws,
    Wss,
    /// Debian's NATS, and the newest.
    Nats,
    NatsNew,
    JetStream,
    JetStreamNew,
    Mosquitto,
}

use Entrant::{JetStream, JetStreamNew, Mosquitto, Nats, NatsNew, Tcp, Tls, Ws, Wss};

impl Entrant {
    /// As `--target` calls it.
    pub const fn target(self) -> &'static str {
        match self {
            Tcp | Tls | Ws | Wss => "postrider",
            Nats | NatsNew => "nats",
            JetStream | JetStreamNew => "jetstream",
            Mosquitto => "mqtt",
        }
    }

    /// What it has done when a place in the window is free again.
    pub const fn promise(self) -> &'static str {
        match self.target().as_bytes() {
            b"postrider" => "on disk (fdatasync), ordered, deduplicated; acknowledged",
            b"nats" => "none: not stored, not acknowledged",
            b"jetstream" => "in a file, not synced; publisher acknowledged",
            _ => "in memory; acknowledged both ways (QoS 1)",
        }
    }
}

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub title: &'static str,
    pub scenario: &'static str,
    pub connections: u32,
    pub seconds: u32,
    /// Further arguments of `postrider bench`.
    pub arguments: &'static [&'static str],
    pub entrants: &'static [Entrant],
    /// What it is about, as in the report.
    pub figure: Figure,
}

/// The figure that ratios are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    Deliveries,
    /// The smaller the better.
    MemoryPerConnection,
    /// The smaller the better.
    AckP99,
    Connects,
}

const EVERYBODY: &[Entrant] = &[Tcp, Nats, NatsNew, JetStream, JetStreamNew, Mosquitto];

/// All of them, in the order of the page.
pub const fn all() -> [Case; 9] {
    const fn case(name: &'static str, title: &'static str, scenario: &'static str, connections: u32) -> Case {
        let (seconds, arguments, entrants): (u32, &[&str], _) = (10, &[], EVERYBODY);
        Case { name, title, scenario, connections, seconds, arguments, entrants, figure: Figure::Deliveries }
    }
    [
        Case { arguments: &["--window", "32"], ..case("p2p-32", "p2p, 100 connections, window 32", "p2p", 100) },
        Case { arguments: &["--window", "1"], ..case("p2p-1", "p2p, 100 connections, window 1", "p2p", 100) },
        Case { arguments: &["--window", "4"], ..case("p2p-1000", "p2p, 1,000 connections, window 4", "p2p", 1_000) },
        Case {
            arguments: &["--window", "64"],
            entrants: &[Tcp, Ws, Tls, Nats, NatsNew, JetStream, Mosquitto],
            ..case("fanout", "fan-out, one sender to 1,000 members", "fanout", 1_000)
        },
        Case {
            arguments: &["--rate", "20000"],
            figure: Figure::AckP99,
            ..case("rate", "20,000 messages a second over 1,000 connections", "rate", 1_000)
        },
        Case {
            seconds: 60,
            entrants: &[Tcp, Ws, Tls, Wss, Nats, NatsNew, Mosquitto],
            figure: Figure::MemoryPerConnection,
            ..case("idle", "10,000 idle connections, a minute after the last came", "idle", 10_000)
        },
        Case {
            arguments: &["--missed", "20"],
            entrants: &[Tcp],
            figure: Figure::Connects,
            ..case("storm", "10,000 devices come back and fetch 20 missed messages each", "storm", 10_000)
        },
        Case {
            arguments: &["--missed", "200"],
            entrants: &[Tcp],
            ..case("sync", "100 devices at a time fetch 200 missed messages each", "sync", 100)
        },
        Case {
            seconds: 600,
            arguments: &["--rate", "2000"],
            entrants: &[Tcp],
            ..case("mixed", "a chat of 2,000 users who come and go, 10 minutes", "mixed", 2_000)
        },
    ]
}
