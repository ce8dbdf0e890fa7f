//! The hot path on one thread, without sockets and without a disk: session, decide, commit, deliver, outbox, and the
//! way to the materialiser. `hot_path SHAPE MESSAGES` sends so many; `cargo xtask counts` counts its instructions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use bytes::Bytes;
use postrider::{
    auth::{Claims, Verifier, mint},
    broadcast::broadcasters::Broadcasters,
    commit::Committer,
    deliver::Deliverer,
    hub::Hub,
    lookup::Lookup,
    metrics::Metrics,
    notice::Notices,
    outbox::OutboxBounds,
    presence::Presence,
    quota::{Limits as QuotaLimits, Quotas},
    rate::Rates,
    schemas::Schemas,
    session::{Effect, Issuer, Session, Shared, Welcome},
    slot::{Decider, DeviceRules, MessageRules, Now, Rules, Submission},
    view::View,
};
use postrider_protocol::{
    Channel, Id, Method, Sender, SenderKind, Tlvs, VERSION, image_flag,
    packet::{CallPacket, ConnectPacket, Limits, Packet, SendPacket, groups},
    session::server::ServerTimers,
};
use postrider_storage::{Materialiser, MemoryDisk, Opened, Options};

const SECRET: &[u8] = b"0123456789abcdefghijklmnopqrstuv";
const NOW: Now = Now { wall_ms: 1 << 40, mono_ms: 1 };

/// What is sent in one round.
struct Shape {
    users: u32,
    /// Who sends.
    senders: u32,
    /// How many messages each.
    window: u64,
    group: bool,
}

impl Shape {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "person" => Self { users: 100, senders: 100, window: 32, group: false },
            "person-alone" => Self { users: 2, senders: 1, window: 1, group: false },
            "group-100" => Self { users: 100, senders: 1, window: 32, group: true },
            _ => return None,
        })
    }
}

/// A device and what it sends.
struct Device {
    session: Session,
    channel: Channel,
    number: u64,
    bytes: Vec<u8>,
}

struct World {
    decider: Decider,
    committer: Committer,
    deliverer: Deliverer,
    materialiser: Materialiser,
    devices: Vec<Device>,
    out: Vec<u8>,
}

impl World {
    fn new(shape: &Shape) -> Self {
        let options = Options { checkpoint_bytes: 1 << 40, ..Options::new("memory") };
        let Opened { log, store, materialiser, slots, .. } =
            postrider_storage::open_memory(&MemoryDisk::new(), &options).unwrap();
        let (view, hub, metrics) = (Arc::new(View::new(&slots)), Arc::new(Hub::default()), Arc::new(Metrics::new()));
        let bounds = Arc::new(OutboxBounds::new(1 << 18, 1_000, 1 << 28));
        let (quotas, lookup) = (Arc::new(Quotas::new(QuotaLimits::default())), Lookup::new(store, Arc::clone(&view)));
        let rules = Rules {
            max_members: 500,
            messages: MessageRules::default(),
            busy_after_ms: 1_000,
            rates: Rates::new(0, 0),
            quotas: Arc::clone(&quotas),
            devices: DeviceRules { max: 10, token_ms: 1 },
            full: AtomicBool::new(false),
            metrics: Arc::clone(&metrics),
        };
        let verifier = Verifier::new(Some(SECRET), &[], Duration::from_secs(86_400), Duration::from_secs(60));
        let presence = Presence::local(Arc::clone(&hub), 10_000);
        let notices =
            Notices::new(Arc::clone(&hub), Arc::clone(&bounds), lookup.clone(), Arc::clone(&metrics), presence);
        let notices = Arc::new(notices);
        let shared = Arc::new(Shared {
            hub: Arc::clone(&hub),
            view: Arc::clone(&view),
            lookup: lookup.clone(),
            schemas: Schemas::default(),
            quotas,
            bounds: Arc::clone(&bounds),
            workers: 1,
            timers: ServerTimers::default(),
            welcome: Welcome { verifier, limits: Limits::default(), issuer: Issuer::new(1, 1) },
            notices: Arc::clone(&notices),
            pace: Arc::default(),
            metrics: Arc::clone(&metrics),
        });
        let mut world = Self {
            decider: Decider::new(lookup, Arc::new(rules), &slots, 0, 1).unwrap(),
            committer: Committer::new(log, &slots, view, Arc::clone(&metrics)),
            deliverer: Deliverer::new((hub, notices, Arc::new(Broadcasters::default())), bounds, metrics),
            materialiser,
            devices: Vec::new(),
            out: Vec::new(),
        };
        for number in 0..shape.users {
            world.connect(&shared, number, shape.group);
        }
        if shape.group {
            world.make_group();
        }
        world
    }

    fn connect(&mut self, shared: &Arc<Shared>, number: u32, group: bool) {
        let claims = Claims::new(user(number).to_string(), NOW.wall_ms / 1_000, Duration::from_secs(3_600));
        let connect = Packet::Connect(ConnectPacket {
            version_min: VERSION,
            version_max: VERSION,
            token: mint(SECRET, None, &claims).unwrap().into(),
            device: Some("phone".parse().unwrap()),
            sender: Sender::request(SenderKind::Kept),
            tlvs: Tlvs::new(),
        });
        let channel = if group { group_channel() } else { Channel::person(&user(number), &user(number ^ 1)) };
        let mut session = Session::new(Arc::clone(shared), u64::from(number) + 1, NOW);
        let mut bytes = Vec::new();
        connect.encode(&mut bytes);
        session.handle_bytes(NOW, bytes.into());
        let effects = session.advance(NOW);
        self.run(submissions(effects).collect());
        self.devices.push(Device { session, channel, number: 0, bytes: Vec::new() });
        self.write();
    }

    fn make_group(&mut self) {
        let members: Vec<Id> = (1..self.devices.len() as u32).map(user).collect();
        let mut fields = Vec::new();
        groups::write_change(&mut fields, &"team".parse().unwrap(), &members);
        let device = &mut self.devices[0];
        device.number += 1;
        let call = CallPacket {
            request: 1,
            method: Method::GroupCreate.number(),
            number: 1,
            oldest: 1,
            fields: fields.into(),
            tlvs: Tlvs::new(),
        };
        Packet::Call(call).encode(&mut device.bytes);
        self.stages(1);
        assert!(self.write() > 100, "everybody was told of the group");
    }

    /// Each sender sends a window of messages; returns how many.
    fn round(&mut self, shape: &Shape) -> u64 {
        for device in self.devices.iter_mut().take(shape.senders as usize) {
            let oldest = device.number + 1;
            for _ in 0..shape.window {
                device.number += 1;
                let send = SendPacket {
                    number: device.number,
                    oldest,
                    channel: device.channel.clone(),
                    flags: image_flag::COUNTABLE,
                    body: Bytes::from_static(&[7; 128]),
                    tlvs: Tlvs::new(),
                };
                Packet::Send(send).encode(&mut device.bytes);
            }
        }
        self.stages(shape.senders as usize);
        assert!(self.write() > 0);
        u64::from(shape.senders) * shape.window
    }

    /// From bytes that arrived to bytes in the outboxes.
    fn stages(&mut self, senders: usize) {
        let mut all = Vec::new();
        for device in self.devices.iter_mut().take(senders) {
            device.session.handle_bytes(NOW, std::mem::take(&mut device.bytes).into());
            all.extend(submissions(device.session.advance(NOW)));
        }
        self.run(all);
    }

    fn run(&mut self, submissions: Vec<Submission>) {
        let mut batch = [self.decider.decide(NOW, submissions).unwrap()];
        let written = self.committer.commit(&mut batch).unwrap().unwrap();
        self.deliverer.deliver(&batch[0]);
        self.materialiser.feed(written);
    }

    /// Takes what every connection would write; returns how many bytes.
    fn write(&mut self) -> usize {
        let mut bytes = 0;
        for device in &mut self.devices {
            self.out.clear();
            let farewell = device.session.outbox().take(&mut self.out);
            assert!(farewell.is_none(), "a session was closed: {farewell:?}");
            bytes += self.out.len();
        }
        bytes
    }
}

fn submissions(effects: Vec<Effect>) -> impl Iterator<Item = Submission> {
    effects.into_iter().filter_map(|effect| match effect {
        Effect::Submit(_, submission) => Some(submission),
        Effect::Read(_) => None,
    })
}

fn user(number: u32) -> Id {
    format!("user-{number}").parse().unwrap()
}

fn group_channel() -> Channel {
    Channel::group(&"team".parse().unwrap())
}

fn main() {
    // cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let messages: u64 = arguments.get(1).map_or(20_000, |number| number.parse().unwrap());
    let names = ["person", "person-alone", "group-100"];
    for name in names.into_iter().filter(|name| arguments.first().is_none_or(|wanted| wanted == name)) {
        let shape = Shape::of(name).unwrap();
        let mut world = World::new(&shape);
        let (start, mut sent) = (Instant::now(), 0);
        while sent < messages {
            sent += world.round(&shape);
        }
        let ns = start.elapsed().as_nanos() as f64 / sent.max(1) as f64;
        println!("{{\"name\":\"{name}\",\"messages\":{sent},\"ns\":{ns:.1}}}");
    }
}
