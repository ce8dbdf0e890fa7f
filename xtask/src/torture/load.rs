//! The load on a server that is broken again and again: clients that write down what they see, the cycles, and at the end
//! the reading of every channel and the verdict. Who breaks the server, and how, is the suite's own.

use std::{
    collections::BTreeMap,
    io::Write,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use postrider_protocol::{
    Image, Method, Reason, Sender, SenderKind, Tlvs,
    packet::{CallPacket, Packet, SyncItem, groups},
};
use serde_json::json;
use tokio::{runtime::Runtime, task::JoinHandle};

use super::{
    Found,
    chance::Chance,
    checker,
    client::Client,
    history::{Channel, Command, History, Intent, Outcome, Reading, User},
    server::{Server, Site},
    wire::Wire,
    world::{self, World},
};
use crate::Result;

/// When the load ends, everything must be answered within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much load.
pub struct Plan {
    /// How many users send at once.
    pub users: u32,
    /// Messages a second, of all users together, while the server is up.
    pub rate: u32,
    /// Groups of six, beside the person channels.
    pub groups: u32,
    /// Where chance begins.
    pub seed: u64,
}

/// What the cycles did.
#[derive(Default)]
pub struct Tally {
    /// How often the server was broken.
    pub cycles: u64,
    /// Cycles that cut at least one SEND off.
    pub in_flight: u64,
    /// SENDs cut off in all.
    pub cut_off: u64,
    /// The slowest start after it.
    pub slowest_start: Duration,
    /// The time of all cycles.
    pub time: Duration,
}

/// A server under load.
pub struct Load<'a> {
    site: &'a Site,
    world: Arc<World>,
    runtime: Runtime,
    clients: Vec<JoinHandle<Client>>,
    history: History,
    server: Option<Server>,
    chance: Chance,
    seed: u64,
    /// What was done so far.
    pub tally: Tally,
}

impl<'a> Load<'a> {
    /// Starts the server and the clients.
    pub fn start(site: &'a Site, plan: &Plan) -> Result<Self> {
        let world = Arc::new(World::new(plan.users, plan.groups));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let server = site.start()?;
        let mut history = History { members: world.members.clone(), ..History::default() };
        runtime.block_on(create_groups(site, &world, plan.groups, &mut history))?;
        let rate = f64::from(plan.rate) / f64::from(plan.users);
        let mut clients = Vec::new();
        for user in 0..plan.users {
            clients.push(runtime.spawn(Client::new(user, site, &world, plan.seed, rate)?.run()));
        }
        let (chance, seed) = (Chance::new(plan.seed, u64::MAX), plan.seed);
        Ok(Self { site, world, runtime, clients, history, server: Some(server), chance, seed, tally: Tally::default() })
    }

    /// Lets the server work, and breaks it at a random moment with SENDs under way: `break_it` ends the server, and
    /// `mend` makes the place ready in which it is started again.
    pub fn cycle(&mut self, break_it: impl FnOnce(Server) -> Result, mend: impl FnOnce() -> Result) -> Result {
        let (start, cut_before) = (Instant::now(), self.world.cut_off.load(Relaxed));
        thread::sleep(Duration::from_millis(100 + self.chance.below(1_000)));
        // The moment is chance's; that something is under way then is not.
        while self.world.in_flight.load(Relaxed) == 0 && start.elapsed() < Duration::from_secs(5) {
            thread::yield_now();
        }
        break_it(self.server.take().ok_or("no server is running")?)?;
        let broken = Instant::now();
        while self.world.connected.load(Relaxed) > 0 && broken.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(1));
        }
        let cut_off = self.world.cut_off.load(Relaxed) - cut_before;
        mend()?;
        let starting = Instant::now();
        self.server =
            Some(self.site.start().map_err(|error| Found(format!("cycle {}: {error}", self.tally.cycles + 1)))?);
        let tally = &mut self.tally;
        tally.slowest_start = tally.slowest_start.max(starting.elapsed());
        tally.cycles += 1;
        tally.in_flight += u64::from(cut_off > 0);
        tally.cut_off += cut_off;
        tally.time += start.elapsed();
        let acknowledged = self.world.acknowledged.load(Relaxed);
        print!("\r{} cycles, {acknowledged} acknowledged, {} cut off ", tally.cycles, tally.cut_off);
        let _ = std::io::stdout().flush();
        Ok(())
    }

    /// Lets the clients end, gives every device what it misses, reads every channel, and tells what was done; returns what
    /// was found.
    pub fn finish(mut self, suite: &str) -> Result<Vec<String>> {
        self.world.is_loading.store(false, Relaxed);
        println!("\nthe last messages are answered …");
        let mut clients = Vec::new();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        for client in std::mem::take(&mut self.clients) {
            let done = self.runtime.block_on(async { tokio::time::timeout_at(deadline, client).await });
            let Ok(client) = done else {
                let surprises = self.world.surprises().join("\n");
                return Err(Found(format!("{surprises}\nclients got no answers within {PATIENCE:?}")).into());
            };
            clients.push(client?);
        }
        // An orderly stop: from here on the server must know every cursor.
        self.server.take().ok_or("no server is running")?.stop()?;
        let server = self.site.start().map_err(|error| Found(format!("after an orderly stop: {error}")))?;
        for mut client in clients {
            client.settle();
            let client = self.runtime.block_on(client.catch_up());
            let client = client.map_err(|error| Found(format!("after an orderly stop: {error}")))?;
            self.history.absorb(client.history);
        }
        server.stop()?;
        println!("every channel is read …");
        let server = self.site.start()?;
        let readings = self.runtime.block_on(read_all(self.site, &self.world));
        self.history.readings = readings.map_err(|error| Found(format!("reading every channel: {error}")))?;
        server.stop()?;
        let mut found = self.world.surprises();
        found.extend(self.site.store_check()?.map(|told| format!("store check: {}", told.trim())));
        found.extend(report(suite, self.seed, &self.history, &self.tally));
        Ok(found)
    }

    /// Accepting answers so far.
    pub fn acknowledged(&self) -> u64 {
        self.world.acknowledged.load(Relaxed)
    }
}

/// Opens a connection of `user` for asking.
pub async fn ask_as(site: &Site, user: User) -> Result<(Wire, Sender)> {
    let token = site.token(world::user_id(user).as_str(), world::device_id().as_str())?;
    let mut wire = Wire::dial(site.address(user)?, &site.tls).await?;
    let connack = wire.connect(&token, None, Sender::request(SenderKind::OneShot)).await?;
    if connack.reason != Reason::Ok {
        return Err(format!("CONNECT was refused: {}", connack.reason.name()).into());
    }
    Ok((wire, connack.sender))
}

/// The first member of each group makes it; that is the first entry of its channel.
async fn create_groups(site: &Site, world: &World, groups: u32, history: &mut History) -> Result {
    for group in 0..groups {
        let id = world::group_id(group);
        let channel = world.index(&postrider_protocol::Channel::group(&id)).unwrap_or_default();
        let members = usize::try_from(channel).ok().and_then(|channel| world.members.get(channel));
        let Some((&owner, others)) = members.and_then(|members| members.split_first()) else { continue };
        let (mut wire, sender) = ask_as(site, owner).await?;
        let mut fields = Vec::new();
        groups::write_change(&mut fields, &id, &others.iter().map(|user| world::user_id(*user)).collect::<Vec<_>>());
        let invoked = world.now();
        wire.put(&Packet::Call(CallPacket {
            request: 1,
            method: Method::GroupCreate.number(),
            number: 1,
            oldest: 1,
            fields: fields.into(),
            tlvs: Tlvs::new(),
        }));
        let reply = |packet: &Packet| match packet {
            Packet::Reply(reply) => Some(reply.clone()),
            _ => None,
        };
        let reply = wire.answer(reply, drop).await?;
        if reply.reason != Reason::Ok {
            return Err(format!("GROUP_CREATE was refused: {}", reply.reason.name()).into());
        }
        let intent = Intent { user: owner, sender: sender.stamp(), number: 1 };
        let outcome = Outcome::Acknowledged { at: world.now(), seq: reply.seq };
        history.commands.push(Command { intent, channel, invoked, outcome });
        history.answers.push((intent, reply.seq));
    }
    Ok(())
}

/// Every channel, whole, as each of its first two members reads it.
async fn read_all(site: &Site, world: &World) -> Result<Vec<Reading>> {
    let mut readings = Vec::new();
    let mut readers: BTreeMap<User, Vec<Channel>> = BTreeMap::new();
    for (channel, members) in (0..).zip(&world.members) {
        members.iter().take(2).for_each(|user| readers.entry(*user).or_default().push(channel));
    }
    for (user, channels) in readers {
        let (mut wire, _) = ask_as(site, user).await?;
        for conversation in wire.list().await? {
            let Some(channel) = world.index(&conversation.channel).filter(|channel| channels.contains(channel)) else {
                continue;
            };
            let mut reading = Reading { user, channel, head: conversation.head, items: Vec::new(), gaps: Vec::new() };
            for item in wire.sync_all(&conversation, 1).await? {
                match item {
                    SyncItem::Image(bytes) => {
                        let image = Image::decode(bytes)?;
                        reading.items.push((image.seq, world::intent(&image)));
                    }
                    SyncItem::Made(_) => {}
                    SyncItem::Gap(gap) => reading.gaps.push((gap.from, gap.to)),
                }
            }
            readings.push(reading);
        }
    }
    Ok(readings)
}

/// Tells what was done and found.
fn report(suite: &str, seed: u64, history: &History, tally: &Tally) -> Vec<String> {
    let violations = checker::check(history);
    let acknowledged = history.commands.iter().filter(|c| matches!(c.outcome, Outcome::Acknowledged { .. })).count();
    let refused = history.commands.iter().filter(|c| c.outcome == Outcome::Refused).count();
    println!("  cycles                    {}", tally.cycles);
    println!("  … with SENDs in flight    {}", tally.in_flight);
    println!("  SENDs cut off             {}", tally.cut_off);
    println!("  sent                      {}", history.commands.len());
    println!("  acknowledged              {acknowledged}");
    println!("  refused as they should be {refused}");
    println!("  answered again            {}", history.answers.len() - acknowledged.min(history.answers.len()));
    println!("  seen by devices           {}", history.seen.len());
    println!("  acknowledged per second   {:.0}", acknowledged as f64 / tally.time.as_secs_f64().max(0.001));
    println!("  slowest start             {:.3} s", tally.slowest_start.as_secs_f64());
    for invariant in 1..=11 {
        let count = violations.iter().filter(|violation| violation.invariant == invariant).count();
        println!("  I{invariant:<2} {:>6}  {}", count, checker::name(invariant));
    }
    let summary = json!({
        "suite": suite, "seed": seed, "cycles": tally.cycles, "cycles_in_flight": tally.in_flight,
        "cut_off": tally.cut_off, "sent": history.commands.len(), "acknowledged": acknowledged, "refused": refused,
        "seen": history.seen.len(), "seconds": tally.time.as_secs_f64(), "violations": violations.len(),
    });
    println!("{summary}");
    violations.into_iter().map(|violation| format!("I{}: {}", violation.invariant, violation.what)).collect()
}
