//! What black-box tests stand on: the real binary on free ports over a directory of its own, and blocking clients that
//! say exactly the bytes they are told to, over each transport.
//!
//! A test ends with a look at the server's log: a warning or an error that the test did not announce fails it.

mod client;
mod groups;
mod server;
mod token;
mod wire;

use std::time::{Duration, Instant};

pub use client::{Client, Tape, channel_of, connect_packet, group, id, user_list};
pub use server::{Place, Server, cli, ends, files};
pub use token::{Forged, SECRET, claims, now_s, sign};
pub use wire::{Via, Wire, frame, handshake};

/// Nothing that is awaited takes longer, however busy the machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks `done` again and again until it gives a value; `what` is told when it never does.
pub fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One transport of one server, with users of its own.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The server, shared with the same scenario on the other transports.
    pub server: &'a Server,
    /// The transport of this run.
    pub via: Via,
}

impl World<'_> {
    /// The user or group that this run calls `name`.
    pub fn name(&self, name: &str) -> String {
        format!("{name}.{}", self.via.name())
    }

    /// Connects as the user's device `phone`.
    pub fn connect(&self, user: &str) -> Client {
        self.connect_as(user, "phone")
    }

    /// Connects as a device of the user; "" for none.
    pub fn connect_as(&self, user: &str, device: &str) -> Client {
        Client::connect(self.server, self.via, &self.name(user), device)
    }
}

/// Runs a scenario over all transports at once, against one server with these settings.
pub fn everywhere(settings: &[&str], scenario: impl Fn(World<'_>) + Sync) {
    let server = Server::start(settings);
    on_all(&server, scenario);
}

/// Runs a scenario over all transports of `server` at once.
pub fn on_all(server: &Server, scenario: impl Fn(World<'_>) + Sync) {
    let failed: Vec<_> = std::thread::scope(|scope| {
        let runs = Via::ALL.map(|via| {
            (
                via,
                scope.spawn({
                    let scenario = &scenario;
                    move || scenario(World { server, via })
                }),
            )
        });
        runs.into_iter().filter_map(|(via, run)| run.join().err().map(|_| via.name())).collect()
    });
    assert!(failed.is_empty(), "failed over {failed:?}");
}
