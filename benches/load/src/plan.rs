//! Who sends what to whom: laid down before the first connection, the same for every thread.

use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    chance::Chance,
    options::{Options, Scenario, Target},
    transport::Site,
};

/// The sender of messages that were sent before the run.
pub(crate) const NOBODY: u32 = u32::MAX;
/// Connections with live traffic beside a storm.
const LIVE: u32 = 100;
/// Persons that each user of `mixed` writes to.
const CONTACTS: u64 = 8;
/// Users of `mixed` for each group.
const USERS_PER_GROUP: u32 = 20;
/// The largest group of `mixed`.
const GROUP: u32 = 500;

/// Messages of one sender to one place, numbered from 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub sender: u32,
    pub to: To,
    /// How many connections receive each.
    pub receivers: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    User(u32),
    Group(u32),
}

/// When a connection sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Never,
    /// As soon as there is a place in the window.
    Window,
    /// Every so many nanoseconds, beginning after the first number of them.
    Even {
        first_ns: u64,
        every_ns: u64,
    },
    /// At random, so many nanoseconds apart on average.
    Random {
        mean_ns: u64,
    },
}

/// When a connection is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stay {
    /// From the beginning to the end.
    Always,
    /// From the storm on.
    Storm,
    /// Until it has caught up, then again.
    Cycle,
    /// So many nanoseconds on average, then away for a moment.
    ComeAndGo { mean_ns: u64 },
}

/// What one connection does.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    /// Its flows.
    pub sends: Vec<u32>,
    pub pace: Pace,
    pub stay: Stay,
    /// Whether anybody sends to it.
    pub receives: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Begins every name of this run, so that runs do not meet.
    pub run: String,
    pub options: Options,
    pub site: Site,
    /// Begins the nanoseconds of the run.
    pub start: Instant,
    /// What the connections show, by number; one for all when there are fewer.
    pub secrets: Vec<Arc<str>>,
    pub flows: Vec<Flow>,
    pub roles: Vec<Role>,
    /// Members of each group, without the sender of a fan-out.
    pub groups: Vec<Vec<u32>>,
}

impl Plan {
    /// The plan of a run; `secrets` are filled in by the caller.
    pub(crate) fn new(options: Options, site: Site) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let run = format!("b{:x}", since.as_millis() & 0xff_ffff_ffff);
        let mut plan = Self {
            run,
            site,
            start: Instant::now(),
            secrets: Vec::new(),
            flows: Vec::new(),
            roles: Vec::new(),
            groups: Vec::new(),
            options,
        };
        plan.lay_down();
        plan
    }

    fn lay_down(&mut self) {
        let options = &self.options;
        let (connections, rate) = (options.connections, options.rate());
        // An odd connection out has nobody to talk to.
        let pairs = connections & !1;
        match options.scenario {
            Scenario::P2p => self.pairs(pairs, |_| Pace::Window),
            Scenario::Rate => self.pairs(pairs, |i| even(i, pairs, rate)),
            Scenario::Fanout => self.fan(connections),
            Scenario::Idle => self.crowd(connections, Stay::Always),
            Scenario::Storm => {
                self.pairs(LIVE, |i| even(i, LIVE, rate));
                self.crowd(connections, Stay::Storm);
                self.feed(LIVE, connections);
            }
            Scenario::Sync => {
                self.crowd(connections, Stay::Cycle);
                self.feed(0, connections);
            }
            Scenario::Mixed => self.chat(connections, rate),
        }
    }

    /// Each connection sends to its neighbour.
    fn pairs(&mut self, connections: u32, pace: impl Fn(u32) -> Pace) {
        for i in 0..connections {
            self.flows.push(Flow { sender: i, to: To::User(i ^ 1), receivers: 1 });
            self.roles.push(Role { sends: vec![i], pace: pace(i), stay: Stay::Always, receives: true });
        }
    }

    /// One sender behind the members.
    fn fan(&mut self, members: u32) {
        self.crowd(members, Stay::Always);
        self.groups.push((0..members).collect());
        self.flows.push(Flow { sender: members, to: To::Group(0), receivers: members });
        self.roles.push(Role { sends: vec![0], pace: Pace::Window, stay: Stay::Always, receives: false });
    }

    fn crowd(&mut self, connections: u32, stay: Stay) {
        for _ in 0..connections {
            self.roles.push(Role { sends: Vec::new(), pace: Pace::Never, stay, receives: true });
        }
    }

    /// Each connection from `first` on has missed messages.
    fn feed(&mut self, first: u32, connections: u32) {
        for i in first..first + connections {
            self.flows.push(Flow { sender: NOBODY, to: To::User(i), receivers: 1 });
        }
    }

    fn chat(&mut self, users: u32, rate: u32) {
        let mut chance = Chance::new(u64::from(users));
        let mean_ns = every_ns(users, rate);
        let stay = Stay::ComeAndGo { mean_ns: u64::from(self.options.stay.max(1)) * 1_000_000_000 };
        for i in 0..users {
            let mut sends = Vec::new();
            for _ in 0..CONTACTS {
                let other = chance.below(u64::from(users)) as u32;
                if other != i {
                    sends.push(self.flow(i, To::User(other), 1));
                }
            }
            self.roles.push(Role { sends, pace: Pace::Random { mean_ns }, stay, receives: true });
        }
        for group in 0..(users / USERS_PER_GROUP).max(1) {
            let most = f64::from(users.min(GROUP)) / 2.0;
            let size = (2.0 * most.powf(chance.unit())).round() as usize;
            let mut members: Vec<u32> = Vec::new();
            while members.len() < size {
                let member = chance.below(u64::from(users)) as u32;
                if !members.contains(&member) {
                    members.push(member);
                }
            }
            for &member in &members {
                let flow = self.flow(member, To::Group(group), members.len() as u32 - 1);
                if let Some(role) = self.roles.get_mut(member as usize) {
                    role.sends.push(flow);
                }
            }
            self.groups.push(members);
        }
    }

    fn flow(&mut self, sender: u32, to: To, receivers: u32) -> u32 {
        self.flows.push(Flow { sender, to, receivers });
        self.flows.len() as u32 - 1
    }

    /// Nanoseconds since the run began.
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The user of a connection.
    pub(crate) fn user(&self, connection: u32) -> String {
        format!("{}-{connection}", self.run)
    }

    /// A group's name.
    pub(crate) fn group(&self, group: u32) -> String {
        format!("{}-g{group}", self.run)
    }

    /// What a connection shows.
    pub(crate) fn secret(&self, connection: u32) -> Arc<str> {
        let secret = self.secrets.get(connection as usize).or(self.secrets.first());
        secret.cloned().unwrap_or_else(|| "".into())
    }

    /// The thread of a connection; neighbours share one. What is live beside a storm has a thread of its own, so that
    /// it does not wait for the work of ten thousand devices in here.
    pub(crate) const fn thread(&self, connection: u32, threads: usize) -> usize {
        let pair = connection as usize / 2;
        match self.options.scenario {
            Scenario::Storm if connection < LIVE => 0,
            Scenario::Storm if threads > 1 => 1 + pair % (threads - 1),
            _ => pair % threads,
        }
    }

    /// Whether connections pull what they missed.
    pub(crate) const fn catches_up(&self) -> bool {
        let away = matches!(self.options.scenario, Scenario::Storm | Scenario::Sync | Scenario::Mixed);
        away && matches!(self.options.target, Target::Postrider)
    }

    /// Whether a sender waits for receivers that are far behind; those that come and go are not waited for.
    pub(crate) const fn waits_for_receivers(&self) -> bool {
        matches!(self.options.scenario, Scenario::P2p | Scenario::Fanout | Scenario::Rate)
    }
}

/// Nanoseconds between two messages of one of so many senders.
fn every_ns(senders: u32, rate: u32) -> u64 {
    u64::from(senders) * 1_000_000_000 / u64::from(rate.max(1))
}

/// The turn of sender `i` of `senders` that send at `rate` together.
fn even(i: u32, senders: u32, rate: u32) -> Pace {
    let every_ns = every_ns(senders, rate);
    Pace::Even { first_ns: every_ns * u64::from(i) / u64::from(senders.max(1)), every_ns }
}

/// The start of a body: which flow, which number, sent when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub flow: u32,
    pub number: u64,
    pub at_ns: u64,
}

impl Stamp {
    /// What `body` begins with.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let (flow, rest) = body.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let at_ns = rest.first_chunk::<8>()?;
        let (flow, number) = (u32::from_be_bytes(*flow), u64::from_be_bytes(*number));
        Some(Self { flow, number, at_ns: u64::from_be_bytes(*at_ns) })
    }

    /// As it stands in a body.
    pub(crate) fn bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        let (flow, rest) = bytes.split_at_mut(4);
        flow.copy_from_slice(&self.flow.to_be_bytes());
        let (number, at_ns) = rest.split_at_mut(8);
        number.copy_from_slice(&self.number.to_be_bytes());
        at_ns.copy_from_slice(&self.at_ns.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Stamp { flow: 7, number: 1 << 40, at_ns: 5 };
        assert_eq!(Stamp::read(&stamp.bytes()), Some(stamp));
        assert_eq!(Stamp::read(&stamp.bytes()[1..]), None);
    }

    #[test]
    fn even_senders_take_turns() {
        assert_eq!(even(0, 10, 1_000), Pace::Even { first_ns: 0, every_ns: 10_000_000 });
        assert_eq!(even(9, 10, 1_000), Pace::Even { first_ns: 9_000_000, every_ns: 10_000_000 });
    }
}
