//! The world: users with devices, a network, one server process after the other on one disk, and what goes wrong.

mod trouble;

use std::collections::BTreeMap;

use postrider::slot::Now;
use postrider_protocol::{Channel, Id, Method};
use postrider_storage::MemoryDisk;

use crate::{
    chance::Chance,
    device::Device,
    hostile::Hostile,
    link::Link,
    oracle::Oracle,
    report::{Verdict, Violation, ensure},
    server::{Server, Sizes, Stage},
    verdict,
};
use trouble::{FAULTS, Fault};

/// A quiet world waits for nothing within this time: cursors go to the log after 10 s, heartbeats come after 30 s.
const QUIET_MS: u64 = 11_000;

/// See the module.
pub struct World {
    step: u64,
    now_ms: u64,
    /// What the wall clock shows at 0.
    wall_ms: u64,
    disk: MemoryDisk,
    sizes: Sizes,
    server: Option<Server>,
    restart_at: u64,
    /// Faults of the disk are armed: a stage may fail.
    may_fail: bool,
    links: BTreeMap<u64, Link>,
    connections: u64,
    devices: Vec<Device>,
    hostile: Hostile,
    groups: Vec<Id>,
    faults: Vec<Fault>,
    pub oracle: Oracle,
    ops: Chance,
    network: Chance,
    trouble: Chance,
    schedule: Chance,
}

fn id(text: &str) -> Id {
    text.parse().expect("an id")
}

impl World {
    pub fn new(seed: u64) -> Self {
        let users: Vec<Id> = ["alice", "bob", "carol", "mallory"].map(id).to_vec();
        let groups = vec![id("g1"), id("g2")];
        let pairs = [(0, 1), (0, 2), (1, 2), (0, 0), (0, 3)];
        let mut channels: Vec<Channel> = pairs.map(|(a, b)| Channel::person(&users[a], &users[b])).to_vec();
        channels.extend(groups.iter().map(Channel::group));
        let mut trouble = Chance::stream(seed, "faults");
        let mut ops = Chance::stream(seed, "ops");
        let one_in = |fault: &Fault| if *fault == Fault::LostSync { 10 } else { 2 };
        let faults = FAULTS.into_iter().filter(|fault| trouble.one_in(one_in(fault))).collect();
        let devices = [(0, "phone"), (0, "laptop"), (1, "phone"), (2, "phone"), (2, "tablet")];
        let devices =
            devices.map(|(user, name)| Device::new(&users[user], Some(id(name)), *ops.pick(&[1, 3, 3, 20]))).into();
        let disk = MemoryDisk::new();
        let sizes = Sizes::of(&mut trouble);
        Self {
            step: 0,
            now_ms: 1_000,
            wall_ms: 1_700_000_000_000,
            server: None,
            restart_at: 0,
            may_fail: false,
            links: BTreeMap::new(),
            connections: 0,
            devices,
            hostile: Hostile::new(users[3].clone(), channels[4].clone()),
            groups,
            faults,
            oracle: Oracle::new(disk.clone(), channels, users),
            disk,
            sizes,
            ops,
            network: Chance::stream(seed, "network"),
            trouble,
            schedule: Chance::stream(seed, "schedule"),
        }
    }

    /// How many steps the seed makes.
    pub fn steps(&mut self) -> u64 {
        self.schedule.between(300, 3_000)
    }

    fn say(&self, what: impl FnOnce() -> String) {
        self.oracle.say(|| format!("step {} at {} ms: {}", self.step, self.now_ms, what()));
    }

    /// Something happens.
    pub fn step(&mut self) -> Verdict {
        self.step += 1;
        if self.server.is_none() && self.now_ms >= self.restart_at {
            self.start()?;
        }
        if self.trouble.one_in(40) && !self.faults.is_empty() {
            let fault = *self.trouble.pick(&self.faults.clone());
            self.say(|| format!("{fault:?}"));
            self.go_wrong(fault)?;
        }
        match self.schedule.below(100) {
            0..=27 => {
                let device = self.schedule.below(self.devices.len());
                self.client_turn(device)?;
            }
            28..=49 => {
                let connections = self.server.as_ref().map(Server::connections).unwrap_or_default();
                if !connections.is_empty() {
                    let connection = *self.schedule.pick(&connections);
                    self.server_turn(connection)?;
                }
            }
            50..=71 => {
                let now = self.now();
                let ready = self.server.as_ref().map(|server| server.ready(now)).unwrap_or_default();
                if !ready.is_empty() {
                    let stage = *self.schedule.pick(&ready);
                    self.run(stage)?;
                }
            }
            72..=85 => self.operate()?,
            86..=95 => self.now_ms += *self.schedule.pick(&[1, 5, 20, 100, 300, 1_200]),
            96 => self.now_ms += *self.schedule.pick(&[2_000, 12_000, 31_000, 95_000]),
            _ => {
                self.pump()?;
            }
        }
        Ok(())
    }

    fn wall(&self) -> u64 {
        self.wall_ms + self.now_ms
    }

    fn now(&self) -> Now {
        let wall_ms = self.wall();
        self.server.as_ref().map_or(Now { wall_ms, mono_ms: 0 }, |server| server.now(self.now_ms, wall_ms))
    }

    fn operate(&mut self) -> Verdict {
        let at = self.ops.below(self.devices.len());
        let channels: Vec<Channel> = self.oracle.channels.clone();
        let device = &mut self.devices[at];
        let mine = |channel: &&Channel| {
            channel.side_of(device.user.as_bytes()).is_some() || channel.ids().1.is_none() // a group
        };
        let mine: Vec<&Channel> = channels.iter().filter(mine).collect();
        let channel = *self.ops.pick(&mine);
        if device.id.is_none() {
            return Ok(());
        }
        match self.ops.below(20) {
            0..=12 => {
                let size = *self.ops.pick(&[1, 1, 30, 100, 300, 3_000, 20_000]);
                let seen = device.notes.get(channel).map_or(0, |notes| notes.done);
                let mark = if self.ops.one_in(4) { seen } else { 0 };
                device.write(&mut self.oracle, self.step, channel, size, mark);
            }
            13 => device.read(channel),
            14 | 15 => {
                let group = self.ops.pick(&self.groups).clone();
                let method = *self.ops.pick(&[Method::GroupCreate, Method::GroupAdd, Method::GroupRemove]);
                let users = [self.ops.pick(&self.oracle.users[..3]).clone()];
                device.change(&mut self.oracle, method, &group, &users);
            }
            16 => device.close(self.now_ms, self.step, &mut self.oracle)?,
            17 | 18 if device.connection().is_none() => device.reconnect_at = Some(self.now_ms),
            _ => self.one_shot(1),
        }
        Ok(())
    }

    /// Commands of a terminal: each a new sender, without a device.
    fn one_shot(&mut self, count: usize) {
        for _ in 0..count {
            let mut device = Device::new(&self.oracle.users[0], None, 1);
            let channel = self.oracle.channels[0].clone();
            device.write(&mut self.oracle, self.step, &channel, 1, 0);
            self.devices.push(device);
        }
    }

    fn client_turn(&mut self, at: usize) -> Verdict<bool> {
        let (now_ms, wall_ms, step) = (self.now_ms, self.wall(), self.step);
        let now = self.now();
        let device = &mut self.devices[at];
        let Some(number) = device.connection() else {
            if device.reconnect_at.is_none_or(|at| now_ms < at) {
                return Ok(false);
            }
            let number = self.server.as_mut().map(|server| {
                self.connections += 1;
                server.accept(self.connections, now);
                self.links.insert(self.connections, Link::new(1 << self.network.between(8, 16)));
                self.connections
            });
            device.connect(now_ms, wall_ms, number, &mut self.oracle)?;
            return Ok(number.is_some());
        };
        let Some(link) = self.links.get_mut(&number) else { return Ok(false) };
        let moved = device.turn(now_ms, step, link, &mut self.network, &mut self.oracle)?;
        if device.id.is_none() && !device.is_waiting() {
            device.close(now_ms, step, &mut self.oracle)?;
        }
        Ok(moved)
    }

    fn server_turn(&mut self, number: u64) -> Verdict<bool> {
        let now = self.now();
        let (Some(server), Some(link)) = (&mut self.server, self.links.get_mut(&number)) else { return Ok(false) };
        server.turn(number, now, link, &mut self.network, &mut self.oracle)
    }

    fn run(&mut self, stage: Stage) -> Verdict {
        let now = self.now();
        let Some(server) = &mut self.server else { return Ok(()) };
        if let Err(error) = server.run(stage, now, &mut self.schedule, &mut self.oracle)? {
            self.say(|| format!("{stage:?} failed: {error}"));
            ensure(self.may_fail, "stages do not fail", || format!("{stage:?}: {error}"))?;
            self.crash();
        }
        Ok(())
    }

    /// Everybody goes on until nothing is left of this moment, or for a while. Whether anything moved.
    fn pump(&mut self) -> Verdict<bool> {
        self.step += 1;
        let mut moved = false;
        for device in 0..self.devices.len() {
            moved |= self.client_turn(device)?;
        }
        self.devices.retain(|d| d.id.is_some() || d.connection().is_some() || d.reconnect_at.is_some());
        for connection in self.server.as_ref().map(Server::connections).unwrap_or_default() {
            moved |= self.server_turn(connection)?;
        }
        for _ in 0..100 {
            let now = self.now();
            let mut ready = self.server.as_ref().map(|server| server.ready(now)).unwrap_or_default();
            let Some(stage) = ready.pop() else { break };
            moved |= !matches!(stage, Stage::Idle | Stage::Tick);
            self.run(stage)?;
        }
        Ok(moved)
    }

    /// Nothing goes wrong any more: everybody comes back, and goes on until there is nothing to do.
    fn quiet(&mut self) -> Verdict {
        for (number, link) in &mut self.links {
            link.cut();
            for device in self.devices.iter_mut().filter(|device| device.connection() == Some(*number)) {
                device.lose(self.now_ms, self.step, link, &mut self.oracle)?;
            }
        }
        for device in &mut self.devices {
            device.laziness = 1;
            device.reconnect_at = Some(self.now_ms);
        }
        for _ in 0..20_000 {
            if self.server.is_none() {
                self.now_ms = self.now_ms.max(self.restart_at);
                self.start()?;
            }
            if self.pump()? {
                self.now_ms += 1;
                continue;
            }
            let server =
                self.server.as_ref().and_then(|server| Some(server.poll_timeout()? + self.now_ms - self.now().mono_ms));
            let next = self.devices.iter().filter_map(Device::poll_timeout).chain(server).min();
            match next {
                Some(at) if at <= self.now_ms + QUIET_MS => self.now_ms = at.max(self.now_ms + 1),
                _ => return Ok(()),
            }
        }
        let due = |device: &Device| format!("{}/{:?} at {:?}", device.user, device.id, device.poll_timeout());
        let due: Vec<String> = self.devices.iter().map(due).collect();
        Err(Violation { invariant: "I18 liveness", detail: format!("no rest at {}: {due:?}", self.now_ms) })
    }

    /// Heals the world, starts it again, reads everything on every device and on new ones, and judges.
    pub fn judge(&mut self) -> Verdict {
        self.faults.clear();
        for is_last in [false, true] {
            if is_last && self.ops.one_in(2) {
                self.stop()?;
            } else {
                self.crash();
            }
            self.quiet()?;
            verdict::histories(&self.oracle, |author| *author != self.hostile.user)?;
            for device in self.devices.iter().filter(|device| device.id.is_some()) {
                verdict::complete(&self.oracle, device)?;
            }
        }
        for device in &mut self.devices {
            device.close(self.now_ms, self.step, &mut self.oracle)?;
        }
        for _ in 0..50 {
            self.pump()?;
            self.now_ms += 50;
        }
        let before = std::mem::take(&mut self.devices);
        self.devices = before.iter().map(|device| Device::new(&device.user, device.id.clone(), 1_000_000)).collect();
        self.quiet()?;
        self.devices.iter().try_for_each(|device| verdict::not_again(&self.oracle, device))?;
        self.devices = self.oracle.users.iter().map(|user| Device::new(user, Some(id("audit")), 1_000_000)).collect();
        self.quiet()?;
        self.devices.iter().try_for_each(|device| verdict::readable(&self.oracle, device))
    }
}
