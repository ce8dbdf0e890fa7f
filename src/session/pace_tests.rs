#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use postrider_protocol::{
    Channel, Id, Sender, SenderKind, Tlvs, VERSION,
    packet::{ConnectPacket, Limits, ListPacket, Packet, RecvackPacket},
};
use postrider_storage::{MemoryDisk, Opened, Options};

use super::*;
use crate::{
    auth::{Claims, Verifier, mint},
    hub::Hub,
    presence::Presence,
    quota,
};

const SECRET: &[u8] = b"a secret that is long enough for the tests";

fn at(mono_ms: u64) -> Now {
    Now { mono_ms, wall_ms: 1_800_000_000_000 + mono_ms }
}

fn shared() -> Arc<Shared> {
    let Opened { store, slots, .. } =
        postrider_storage::open_memory(&MemoryDisk::new(), &Options::new("memory")).unwrap();
    let (view, hub, metrics) = (Arc::new(View::new(&slots)), Arc::new(Hub::default()), Arc::new(Metrics::new()));
    let lookup = Lookup::new(store, Arc::clone(&view));
    let bounds = Arc::new(OutboxBounds::new(1 << 18, 1_000, 1 << 28));
    let presence = Presence::local(Arc::clone(&hub), 10_000);
    let notices = Notices::new(Arc::clone(&hub), Arc::clone(&bounds), lookup.clone(), Arc::clone(&metrics), presence);
    let verifier = Verifier::new(Some(SECRET), &[], Duration::from_secs(86_400), Duration::from_secs(60));
    Arc::new(Shared {
        hub,
        view,
        lookup,
        schemas: Schemas::default(),
        quotas: Arc::new(Quotas::new(quota::Limits::default())),
        bounds,
        workers: 1,
        timers: ServerTimers::default(),
        welcome: Welcome { verifier, limits: Limits::default(), issuer: Issuer::new(1, 1) },
        notices: Arc::new(notices),
        pace: Arc::default(),
        metrics,
    })
}

/// A device, and what the server does for it.
struct Peer {
    session: Session,
    reads: usize,
    commands: usize,
}

impl Peer {
    fn connect(shared: &Arc<Shared>, number: u64, user: &str, device: &str) -> Self {
        let claims = Claims::new(user.to_owned(), at(0).wall_ms / 1_000, Duration::from_secs(3_600));
        let connect = Packet::Connect(ConnectPacket {
            version_min: VERSION,
            version_max: VERSION,
            token: mint(SECRET, None, &claims).unwrap().into(),
            device: Some(device.parse().unwrap()),
            sender: Sender::request(SenderKind::Kept),
            tlvs: Tlvs::new(),
        });
        let mut peer = Self { session: Session::new(Arc::clone(shared), number, at(0)), reads: 0, commands: 0 };
        peer.say(&[connect]);
        peer.go_on(at(0));
        peer
    }

    fn say(&mut self, packets: &[Packet]) {
        let mut bytes = Vec::new();
        packets.iter().for_each(|packet| packet.encode(&mut bytes));
        self.session.handle_bytes(at(0), bytes.into());
    }

    /// Goes on as long as anything happens: every read is answered, and every command, at once.
    fn go_on(&mut self, now: Now) {
        let mut effects = self.session.handle_timeout(now);
        loop {
            effects.extend(self.session.advance(now));
            if effects.is_empty() {
                return;
            }
            for effect in effects.drain(..) {
                match effect {
                    Effect::Read(request) => {
                        self.reads += 1;
                        request.origin().answer_read(&Packet::Pong(Tlvs::new()));
                    }
                    Effect::Submit(_, submission) => {
                        self.commands += submission.commands.len();
                        let count = u32::try_from(submission.commands.len()).unwrap();
                        submission.origin.outbox.pay(Vec::new(), count);
                    }
                }
            }
            self.session.outbox().take(&mut Vec::new());
        }
    }

    /// Goes on at each moment at which it asks to, until `end_ms`.
    fn live(&mut self, end_ms: u64) {
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= end_ms) {
            self.go_on(at(due));
        }
    }
}

fn lists(count: usize) -> Vec<Packet> {
    let none = Bytes::new;
    let list = Packet::List(ListPacket { request: 1, token: none(), page: none(), limit: 0, tlvs: Tlvs::new() });
    vec![list; count]
}

#[test]
fn a_user_who_reads_without_end_is_served_at_a_pace() {
    let shared = shared();
    let [mut phone, mut tablet] = ["phone", "tablet"].map(|name| Peer::connect(&shared, 1, "alice", name));
    let mut bob = Peer::connect(&shared, 2, "bob", "phone");
    phone.say(&lists(5_000));
    phone.go_on(at(0));
    assert!((1_000..1_500).contains(&phone.reads), "who comes back reads what they missed at once: {}", phone.reads);
    assert!(!phone.session.wants_bytes(), "what more they send waits with them");
    tablet.say(&lists(1));
    tablet.go_on(at(0));
    bob.say(&lists(1));
    bob.go_on(at(0));
    assert_eq!((tablet.reads, bob.reads), (0, 1), "all devices of a user have one pace, and others do not feel it");
    let at_once = phone.reads;
    tablet.live(1_000);
    assert_eq!(tablet.reads, 1, "it has its turn");
    phone.live(1_000);
    assert!((1_500..3_000).contains(&(phone.reads - at_once)), "then so many a second: {}", phone.reads - at_once);
    phone.live(3_000);
    assert_eq!(phone.reads, 5_000, "nothing is refused");
    assert!(phone.session.wants_bytes());
}

#[test]
fn cursors_of_ever_new_channels_are_taken_at_a_pace() {
    let shared = shared();
    let mut phone = Peer::connect(&shared, 1, "alice", "phone");
    let cursor = |at: usize| {
        let group: Id = format!("g{at}").parse().unwrap();
        Packet::Recvack(RecvackPacket { channel: Channel::group(&group), seq: 1, tlvs: Tlvs::new() })
    };
    let cursors: Vec<_> = (0..50_000).map(cursor).collect();
    let before = phone.commands;
    phone.say(&cursors);
    phone.go_on(at(0));
    let at_once = phone.commands - before;
    assert!((10_000..20_000).contains(&at_once), "a device that comes back tells all it has at once: {at_once}");
    phone.live(1_000);
    let then = phone.commands - before - at_once;
    assert!((20_000..30_000).contains(&then), "then so many a second: {then}");
}

#[test]
fn a_channel_whose_cursor_is_kept_costs_nothing_to_move() {
    let shared = shared();
    let mut phone = Peer::connect(&shared, 1, "alice", "phone");
    let channel = Channel::group(&"g".parse().unwrap());
    phone.say(&[Packet::Recvack(RecvackPacket { channel: channel.clone(), seq: 1, tlvs: Tlvs::new() })]);
    phone.go_on(at(0));
    let again = Packet::Recvack(RecvackPacket { channel, seq: 1, tlvs: Tlvs::new() });
    phone.say(&vec![again; 50_000]);
    phone.go_on(at(0));
    assert!(phone.session.wants_bytes());
}
