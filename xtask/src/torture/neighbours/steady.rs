//! The others: pairs of users who write to each other at a steady rate, whatever the server does, and a busy group.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use postrider_client::{Address, Tls};
use postrider_protocol::{
    Channel, Id, Reason, Sender, SenderKind, Tlvs,
    packet::{Packet, RecvackPacket, SendPacket},
};
use tokio::{runtime::Runtime, task::JoinHandle};

use super::{
    super::{server::Site, wire::Wire},
    scene,
};
use crate::Result;

/// Bytes of a line between two.
const BODY: usize = 200;
/// Bytes of a line in the group, and the time between two of one member.
const GROUP_BODY: usize = 1_024;
const GROUP_EVERY: Duration = Duration::from_millis(200);
/// A client tells its cursor after so many images.
const ACK_EVERY: u32 = 8;
/// Below the send window, so that an ordinary wait holds nothing back.
const UNANSWERED: usize = 60;
/// What a refusal counts as, microseconds.
const REFUSED: u32 = 1_000_000;

/// How long each answer took, by window.
#[derive(Default)]
pub struct Ledger {
    window: AtomicU32,
    over: AtomicBool,
    samples: Mutex<HashMap<u32, Vec<u32>>>,
    found: Mutex<BTreeSet<String>>,
}

impl Ledger {
    /// SENDs from now on belong to `window`; to none if it is 0.
    pub fn open(&self, window: u32) {
        self.window.store(window, Relaxed);
    }

    /// Microseconds by window, ascending.
    pub fn samples(&self) -> HashMap<u32, Vec<u32>> {
        let mut samples = lock(&self.samples).clone();
        samples.values_mut().for_each(|samples| samples.sort_unstable());
        samples
    }

    fn add(&self, window: u32, micros: u32) {
        if window > 0 {
            lock(&self.samples).entry(window).or_default().push(micros);
        }
    }

    fn find(&self, what: String) {
        lock(&self.found).insert(what);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much of it.
pub struct Steady {
    /// Pairs of users.
    pub pairs: u32,
    /// Messages a second, of all pairs together.
    pub rate: u32,
}

/// The running load.
pub struct Load {
    runtime: Runtime,
    clients: Vec<JoinHandle<()>>,
    ledger: Arc<Ledger>,
}

impl Steady {
    /// Connects everybody and lets them write.
    pub fn start(&self, site: &Site, ledger: &Arc<Ledger>) -> Result<Load> {
        let runtime = super::runtime(-10)?;
        let every = Duration::from_secs_f64(f64::from(self.pairs * 2) / f64::from(self.rate.max(1)));
        let mut clients = Vec::new();
        for at in 0..self.pairs * 2 {
            let (user, other) = (scene::id(&format!("pair-{at}")), scene::id(&format!("pair-{}", at ^ 1)));
            let channel = Channel::person(&user, &other);
            let client = Client::new(site, at, user, channel, (BODY, every), ledger)?;
            let delay = every.mul_f64(f64::from(at) / f64::from(self.pairs * 2));
            clients.push(runtime.spawn(client.run(delay)));
        }
        for at in 0..scene::MEMBERS {
            let (user, channel) = (scene::member(at), Channel::group(&scene::busy_group()));
            let client = Client::new(site, at, user, channel, (GROUP_BODY, GROUP_EVERY), ledger)?;
            let delay = GROUP_EVERY.mul_f64(f64::from(at) / f64::from(scene::MEMBERS));
            clients.push(runtime.spawn(client.run(delay)));
        }
        Ok(Load { runtime, clients, ledger: Arc::clone(ledger) })
    }
}

impl Load {
    /// Lets them end; returns what should not have happened to them.
    pub fn stop(self) -> Result<Vec<String>> {
        self.ledger.over.store(true, Relaxed);
        for client in self.clients {
            self.runtime.block_on(client)?;
        }
        Ok(lock(&self.ledger.found).iter().cloned().collect())
    }
}

/// One user with one connection.
struct Client {
    address: Address,
    tls: Tls,
    token: String,
    user: Id,
    channel: Channel,
    body: Bytes,
    every: Duration,
    ledger: Arc<Ledger>,
    number: u64,
    /// When each was sent that has no answer, and in which window.
    unanswered: BTreeMap<u64, (Instant, u32)>,
    unacknowledged: u32,
}

impl Client {
    fn new(
        site: &Site,
        at: u32,
        user: Id,
        channel: Channel,
        (body, every): (usize, Duration),
        ledger: &Arc<Ledger>,
    ) -> Result<Self> {
        Ok(Self {
            address: site.address(at)?.clone(),
            tls: site.tls.clone(),
            token: site.token(user.as_str(), "d1")?,
            user,
            channel,
            body: vec![b'.'; body].into(),
            every,
            ledger: Arc::clone(ledger),
            number: 0,
            unanswered: BTreeMap::new(),
            unacknowledged: 0,
        })
    }

    async fn run(mut self, delay: Duration) {
        let ledger = Arc::clone(&self.ledger);
        if let Err(error) = self.talk(delay).await {
            ledger.find(format!("{} lost its connection: {error}", self.user));
        }
    }

    async fn talk(&mut self, delay: Duration) -> Result {
        let mut wire = Wire::dial(&self.address, &self.tls).await?;
        let connack = wire.connect(&self.token, Some(&scene::id("d1")), Sender::request(SenderKind::OneShot)).await?;
        if connack.reason != Reason::Ok {
            return Err(format!("CONNECT was refused: {}", connack.reason.name()).into());
        }
        let mut due = tokio::time::interval(self.every);
        due.reset_after(delay);
        while !self.ledger.over.load(Relaxed) {
            tokio::select! {
                _ = due.tick() => self.send(&mut wire),
                read = wire.read() => {
                    read?;
                    while let Some(packet) = wire.ready()? {
                        self.take(&mut wire, packet)?;
                    }
                }
            }
            wire.flush().await?;
        }
        Ok(())
    }

    fn send(&mut self, wire: &mut Wire) {
        let window = self.ledger.window.load(Relaxed);
        if self.unanswered.len() >= UNANSWERED {
            self.ledger.add(window, REFUSED);
            return self.ledger.find("a user could not send: 60 messages had no answer".to_owned());
        }
        self.number += 1;
        self.unanswered.insert(self.number, (Instant::now(), window));
        let oldest = self.unanswered.keys().next().copied().unwrap_or(self.number);
        wire.put(&Packet::Send(SendPacket {
            number: self.number,
            oldest,
            channel: self.channel.clone(),
            flags: postrider_protocol::image_flag::COUNTABLE,
            body: self.body.clone(),
            tlvs: Tlvs::new(),
        }));
    }

    fn take(&mut self, wire: &mut Wire, packet: Packet) -> Result {
        match packet {
            Packet::Sendack(ack) => {
                let Some((sent, window)) = self.unanswered.remove(&ack.number) else { return Ok(()) };
                if ack.reason == Reason::Ok {
                    self.ledger.add(window, u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
                } else {
                    self.ledger.add(window, REFUSED);
                    self.ledger.find(format!("a user's SEND was refused: {}", ack.reason.name()));
                }
            }
            Packet::Recv(image) => {
                self.unacknowledged += 1;
                if self.unacknowledged >= ACK_EVERY {
                    self.unacknowledged = 0;
                    let (channel, seq) = (image.channel.clone(), image.seq);
                    wire.put(&Packet::Recvack(RecvackPacket { channel, seq, tlvs: Tlvs::new() }));
                }
            }
            Packet::Lag(lag) => self.ledger.find(format!("a user who reads lagged by {}", lag.dropped)),
            Packet::Disconnect(end) => return Err(end.reason.name().into()),
            _ => {}
        }
        Ok(())
    }
}
