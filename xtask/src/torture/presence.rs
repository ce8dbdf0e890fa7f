//! Takes Redis away from two servers under load: no send fails, presence is unknown and never wrong, and it is right
//! again soon after Redis is back.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use clap::Args;
use postrider_protocol::{
    Channel, Id, Method, Reason, Sender, SenderKind, Tlvs, image_flag,
    packet::{
        CallPacket, Packet, SendPacket, groups,
        presence::{self, PresenceState},
    },
};
use tokio::time::sleep;

use super::{Found, Shared, bodies, conclude, server::Site, wire::Wire, world};
use crate::{Result, step};

/// Arguments of `torture presence`.
#[derive(Args, Clone)]
pub struct Presence {
    /// How long Redis is away.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// SENDs a second to each server.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    #[command(flatten)]
    shared: Shared,
}

/// How long presence may take until it is right, or unknown.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked.
const EVERY: Duration = Duration::from_millis(200);
/// SENDs written at a time.
const PIECE: u64 = 20;
/// The two whose presence is asked, each at one of the servers, and who sends.
const ALICE: u32 = 1;
const BOB: u32 = 2;
const SENDER: u32 = 3;

/// A Redis at a socket; killed when dropped.
struct Instance {
    socket: PathBuf,
    child: Child,
}

impl Instance {
    fn start(work: &Path) -> Result<Self> {
        let socket = work.join("redis.sock");
        let _ = fs::remove_file(&socket);
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(&socket);
        let child = command.current_dir(work).stdout(Stdio::null()).spawn()?;
        let instance = Self { socket, child };
        let start = Instant::now();
        while UnixStream::connect(&instance.socket).is_err() {
            if start.elapsed() > PATIENCE {
                return Err("Redis does not start".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(instance)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the loads count.
#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    acknowledged: AtomicU64,
    failed: AtomicU64,
}

impl Presence {
    /// As long as the claim says.
    pub fn long() -> Self {
        Self { seconds: 60, rate: 1_000, shared: Shared::default() }
    }

    /// Runs the suite.
    pub fn run(self) -> Result {
        step::require("redis-server", "redis-server")?;
        let work = self.shared.work("presence")?;
        let program = self.shared.build("postrider", "postrider")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let found = runtime.block_on(self.break_it(&work, &program))?;
        conclude("presence", &work, &found)
    }

    async fn break_it(&self, work: &Path, program: &Path) -> Result<Vec<String>> {
        let redis = Instance::start(work)?;
        let site = |name: &str| -> Result<Site> {
            let run = work.join(name);
            let mut site = Site::new(program.to_owned(), &run, run.join("data"), self.shared.environment())?;
            site.settings.push(format!("redis.url=unix://{}", redis.socket.display()));
            site.settings.push("presence.grace=500ms".to_owned());
            Ok(site)
        };
        let sites = [site("one")?, site("two")?];
        let _servers = [sites[0].start()?, sites[1].start()?];
        let mut alice = come(&sites[0], ALICE, Some(world::device_id())).await?;
        let bob = come(&sites[1], BOB, Some(world::device_id())).await?;
        // Who shares no channel with a user is not told.
        send(&mut alice, ALICE, BOB, 1, 1).await?;
        let load = Load::default();
        let [one, two] = &sites;
        let work = async {
            let found = self.watch(&load, &mut alice, redis, work).await;
            load.is_over.store(true, Relaxed);
            found
        };
        let (found, one, two) = tokio::join!(work, self.load(one, &load), self.load(two, &load));
        drop(bob);
        let mut found = found?;
        found.extend([one, two].into_iter().filter_map(|load| load.err().map(|error| format!("the load: {error}"))));
        let (acknowledged, failed) = (load.acknowledged.load(Relaxed), load.failed.load(Relaxed));
        println!(
            "{{\"suite\":\"presence\",\"seconds\":{},\"acknowledged\":{acknowledged},\"failed\":{failed}}}",
            self.seconds
        );
        if failed > 0 {
            found.push(format!("{failed} SENDs failed"));
        }
        if acknowledged < self.seconds {
            return Err(format!("only {acknowledged} SENDs were acknowledged: too few to mean anything").into());
        }
        Ok(found)
    }

    /// Kills Redis, brings it back, and tells what Alice is told of Bob that she should not be.
    async fn watch(&self, load: &Load, alice: &mut Wire, redis: Instance, work: &Path) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut expect = |what: &str, state: PresenceState, seen: Vec<PresenceState>, took: Duration| {
            println!("{what}: {state:?} after {:.1} s", took.as_secs_f64());
            if seen.contains(&PresenceState::Offline) {
                found.push(format!("{what}: Bob, who is online, was told to be offline"));
            }
        };
        until(alice, PresenceState::Online).await?;
        drop(redis);
        let (seen, took) = until(alice, PresenceState::Unknown).await?;
        expect("Redis is gone", PresenceState::Unknown, seen, took);
        let (start, before) = (Instant::now(), load.acknowledged.load(Relaxed));
        let mut wrong = 0_u64;
        while start.elapsed() < Duration::from_secs(self.seconds) {
            sleep(EVERY).await;
            wrong += u64::from(state(alice).await? != PresenceState::Unknown);
        }
        let acknowledged = load.acknowledged.load(Relaxed).saturating_sub(before);
        println!("away for {} s: {acknowledged} SENDs acknowledged meanwhile", self.seconds);
        let _redis = Instance::start(work)?;
        let (seen, took) = until(alice, PresenceState::Online).await?;
        expect("Redis is back, and empty", PresenceState::Online, seen, took);
        if wrong > 0 {
            found.push(format!("{wrong} answers told more than that nothing is known while Redis was away"));
        }
        if acknowledged == 0 {
            found.push("no SEND was acknowledged while Redis was away".to_owned());
        }
        Ok(found)
    }

    /// Sends at the rate until it is over.
    async fn load(&self, site: &Site, load: &Load) -> Result {
        let mut wire = come(site, SENDER, None).await?;
        let every = Duration::from_millis((1_000 * PIECE / self.rate.max(1)).max(1));
        let mut number = 1;
        while !load.is_over.load(Relaxed) {
            let refused = send(&mut wire, SENDER, ALICE, number, PIECE).await?;
            load.failed.fetch_add(refused, Relaxed);
            load.acknowledged.fetch_add(PIECE.saturating_sub(refused), Relaxed);
            number += PIECE;
            sleep(every).await;
        }
        Ok(())
    }
}

async fn come(site: &Site, user: u32, device: Option<Id>) -> Result<Wire> {
    let token = site.token(world::user_id(user).as_str(), world::device_id().as_str())?;
    let mut wire = Wire::dial(site.address(0)?, &site.tls).await?;
    let connack = wire.connect(&token, device.as_ref(), Sender::request(SenderKind::Kept)).await?;
    if connack.reason != Reason::Ok {
        return Err(Found(format!("CONNECT was refused: {}", connack.reason.name())).into());
    }
    Ok(wire)
}

/// SENDs with `count` numbers from `first` on; how many were refused.
async fn send(wire: &mut Wire, from: u32, to: u32, first: u64, count: u64) -> Result<u64> {
    for number in first..first + count {
        wire.put(&Packet::Send(SendPacket {
            number,
            oldest: first,
            channel: Channel::person(&world::user_id(from), &world::user_id(to)),
            flags: image_flag::COUNTABLE,
            body: bodies::body(from, number, 100).into(),
            tlvs: Tlvs::new(),
        }));
    }
    let mut refused = 0;
    for number in first..first + count {
        let sendack = |packet: &Packet| match packet {
            Packet::Sendack(sendack) if sendack.number == number => Some(sendack.reason),
            _ => None,
        };
        refused += u64::from(wire.answer(sendack, drop).await? != Reason::Ok);
    }
    Ok(refused)
}

/// What Alice is told of Bob.
async fn state(alice: &mut Wire) -> Result<PresenceState> {
    let mut fields = Vec::new();
    groups::write_users(&mut fields, &[world::user_id(BOB)]);
    let (request, method) = (7, Method::Presence.number());
    let (number, oldest, fields, tlvs) = (0, 0, fields.into(), Tlvs::new());
    alice.put(&Packet::Call(CallPacket { request, method, number, oldest, fields, tlvs }));
    let reply = |packet: &Packet| match packet {
        Packet::Reply(reply) if reply.request == request => Some(reply.clone()),
        _ => None,
    };
    let reply = alice.answer(reply, drop).await?;
    let told = presence::read_answer(reply.fields).map_err(|error| format!("PRESENCE: {error:?}"))?;
    Ok(told.first().ok_or("PRESENCE told of nobody")?.state)
}

/// Asks until it is so; what was told before, and how long it took.
async fn until(alice: &mut Wire, wanted: PresenceState) -> Result<(Vec<PresenceState>, Duration)> {
    let (start, mut seen) = (Instant::now(), Vec::new());
    loop {
        let now = state(alice).await?;
        if now == wanted {
            return Ok((seen, start.elapsed()));
        }
        seen.push(now);
        if start.elapsed() > PATIENCE {
            return Err(Found(format!("Bob is {now:?} after {PATIENCE:?}, and should be {wanted:?}")).into());
        }
        sleep(EVERY).await;
    }
}
