//! What goes wrong in the world: processes, disk, network, clocks, clients.

use std::sync::atomic::Ordering;

use postrider_storage::Crash;

use super::{World, id};
use crate::{
    device::Device,
    link::Link,
    report::{Verdict, ensure},
    server::Server,
};

/// What can go wrong. A seed has a random half of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Crash,
    FailedSync,
    LostSync,
    CutCheckpoint,
    CutStart,
    CleanStop,
    CutLink,
    HalfCut,
    Stall,
    ClockJump,
    ClientCrash,
    ClientLoss,
    NewDevice,
    DiskFull,
    Hostile,
    Storm,
}

pub const FAULTS: [Fault; 16] = [
    Fault::Crash,
    Fault::FailedSync,
    Fault::LostSync,
    Fault::CutCheckpoint,
    Fault::CutStart,
    Fault::CleanStop,
    Fault::CutLink,
    Fault::HalfCut,
    Fault::Stall,
    Fault::ClockJump,
    Fault::ClientCrash,
    Fault::ClientLoss,
    Fault::NewDevice,
    Fault::DiskFull,
    Fault::Hostile,
    Fault::Storm,
];

impl World {
    /// The server starts, or is cut short by the disk.
    pub fn start(&mut self) -> Verdict {
        if self.faults.contains(&Fault::CutStart) && self.trouble.one_in(4) {
            self.disk.stop_store_after(self.trouble.below(40));
            self.may_fail = true;
        }
        match Server::open(&self.disk, &self.sizes, self.now_ms) {
            Ok((server, slots, report)) => {
                self.say(|| format!("started: {report:?}"));
                let lost = !report.losses.is_empty() || !report.raised.is_empty() || report.damaged > 0;
                self.oracle.recovered(&server.store, &slots, lost)?;
                self.oracle.counters.add("starts");
                for (is_so, name) in [
                    (report.torn_bytes > 0, "torn tails"),
                    (report.rebuilt.is_some(), "rebuilds"),
                    (lost, "losses noticed"),
                ] {
                    if is_so {
                        self.oracle.counters.add(name);
                    }
                }
                self.server = Some(server);
            }
            Err(error) => {
                self.say(|| format!("did not start: {error}"));
                ensure(self.may_fail, "the disk opens", || error.to_string())?;
                self.oracle.counters.add("cut starts");
                self.crash();
            }
        }
        Ok(())
    }

    /// The process is gone, and with some luck the power.
    pub fn crash(&mut self) {
        self.server = None;
        let (log, store) = self.disk.unsynced();
        let crash = if self.trouble.one_in(3) {
            Crash { writes: log, torn: false, store_writes: store }
        } else {
            let writes = self.trouble.below(log + 1);
            Crash { writes, torn: self.trouble.one_in(2), store_writes: self.trouble.below(store + 1) }
        };
        self.say(|| format!("{crash:?} of {log} and {store} writes"));
        self.oracle.counters.add("crashes");
        if crash.writes > 0 {
            self.oracle.counters.add("crashes with survivors");
        }
        self.disk.crash(crash);
        self.may_fail = false;
        for link in self.links.values_mut() {
            link.server_left = true;
            if self.trouble.one_in(2) {
                link.cut();
            }
        }
        self.restart_at = self.now_ms + self.trouble.between(1, 2_000);
    }

    /// The server stops as SIGTERM asks it to.
    pub fn stop(&mut self) -> Verdict {
        let Some(server) = &self.server else { return Ok(()) };
        server.say_goodbye();
        for _ in 0..200 {
            self.pump()?;
            self.now_ms += 50;
            if self.server.as_ref().is_none_or(|server| server.connections().is_empty()) {
                break;
            }
        }
        while self.pump()? {}
        let Some(server) = self.server.take_if(|server| server.connections().is_empty()) else { return Ok(()) };
        self.restart_at = self.now_ms + 100;
        if let Err(error) = server.close() {
            ensure(self.may_fail, "stages do not fail", || error)?;
            self.crash();
        }
        self.oracle.counters.add("clean stops");
        Ok(())
    }

    /// One fault happens now.
    pub fn go_wrong(&mut self, fault: Fault) -> Verdict {
        let device = self.trouble.below(self.devices.len());
        let link = self.devices[device].connection().and_then(|number| self.links.get_mut(&number));
        match fault {
            Fault::Crash if self.server.is_some() => self.crash(),
            Fault::FailedSync if self.server.is_some() => {
                self.disk.fail_next_sync();
                self.may_fail = true;
            }
            Fault::LostSync if self.server.is_some() => {
                self.disk.lose_next_sync();
                self.oracle.may_lose = true;
            }
            Fault::CutCheckpoint if self.server.is_some() => {
                self.disk.stop_store_after(self.trouble.below(60));
                self.may_fail = true;
            }
            Fault::CleanStop => self.stop()?,
            Fault::CutLink => link.map(Link::cut).unwrap_or_default(),
            Fault::HalfCut => {
                if let Some(link) = link {
                    link.cut_silently(*self.trouble.pick(&[(true, false), (false, true)]));
                }
            }
            Fault::Stall => {
                if let Some(link) = link {
                    link.stalled_until = self.now_ms + self.trouble.between(10, 60_000);
                }
            }
            Fault::ClockJump => {
                self.wall_ms = self.wall_ms - 1_800_000 + self.trouble.between(0, 3_600_000);
            }
            Fault::ClientCrash | Fault::ClientLoss if self.devices[device].id.is_some() => {
                if let Some(link) = link {
                    link.client_left = true;
                }
                let keeps = fault == Fault::ClientCrash;
                self.devices[device].crash(self.now_ms, keeps, &mut self.oracle);
            }
            Fault::NewDevice if self.devices.len() < 12 => {
                let user = self.devices[device].user.clone();
                self.devices.push(Device::new(&user, Some(id(&format!("new{}", self.step))), 3));
            }
            Fault::DiskFull => {
                if let Some(server) = &self.server {
                    server.rules.full.fetch_xor(true, Ordering::Relaxed);
                }
            }
            Fault::Hostile => self.attack(),
            Fault::Storm if self.trouble.one_in(20) => self.one_shot(40),
            _ => {}
        }
        Ok(())
    }

    fn attack(&mut self) {
        let (now, wall_ms) = (self.now(), self.wall());
        let Some(server) = &mut self.server else { return };
        let link = self.hostile.connection.and_then(|number| self.links.get_mut(&number));
        let Some(link) = link.filter(|link| !link.server_left) else {
            self.connections += 1;
            server.accept(self.connections, now);
            let mut link = Link::new(1 << 16);
            link.write_up(&self.hostile.connect(self.connections, wall_ms));
            self.links.insert(self.connections, link);
            return;
        };
        link.read_down(&mut self.network);
        for _ in 0..self.trouble.between(1, 5) {
            link.write_up(&self.hostile.act(&mut self.trouble, &mut self.oracle, self.step));
        }
    }
}
