//! Taking back by the clock: the channel's own time decides, to the millisecond, and never goes back.

use std::sync::Arc;

use bytes::Bytes;
use postrider_protocol::{
    Channel, Id, Method, Reason, Tlvs,
    frame::Decoder,
    packet::{CallPacket, Packet, SendPacket, targets},
};
use postrider_storage::{MemoryDisk, Opened, Options, Store};

use crate::{
    commit::Committer,
    lookup::Lookup,
    metrics::Metrics,
    slot::{Act, Command, Decider, Now, Origin, Submission, sample},
    view::View,
};

/// Some time.
const START_MS: u64 = 1_700_000_000_000;

struct World {
    decider: Decider,
    committer: Committer,
    origin: Arc<Origin>,
    channel: Channel,
    number: u64,
    _store: Arc<Store>,
}

impl World {
    fn new() -> Self {
        let options = Options::new("memory");
        let Opened { log, store, slots, .. } =
            postrider_storage::open_memory(&MemoryDisk::new(), &options).expect("memory");
        let (view, metrics) = (Arc::new(View::new(&slots)), Arc::new(Metrics::new()));
        let rules = sample::rules(500, Arc::clone(&metrics));
        let user: Id = "alice".parse().expect("an id");
        let origin = sample::origin(1, user.clone(), None);
        let lookup = Lookup::new(Arc::clone(&store), Arc::clone(&view));
        Self {
            decider: Decider::new(lookup, Arc::new(rules), &slots, 0, 1).unwrap(),
            committer: Committer::new(log, &slots, view, metrics),
            origin: Arc::new(origin),
            channel: Channel::person(&user, &"bob".parse().expect("an id")),
            number: 0,
            _store: store,
        }
    }

    /// Decides and commits one command at `wall_ms`; its answer.
    fn at(&mut self, wall_ms: u64, command: Command) -> Packet {
        let now = Now { wall_ms, mono_ms: 0 };
        let submission = Submission { origin: Arc::clone(&self.origin), at_ms: 0, commands: vec![command] };
        let mut batch = [self.decider.decide(now, vec![submission]).expect("decided")];
        let answer = batch[0].answers[0].frames.clone();
        self.committer.commit(&mut batch).expect("committed");
        let mut decoder = Decoder::new();
        decoder.feed(answer.into());
        Packet::decode(decoder.next_frame().expect("a frame").expect("whole")).expect("a packet").expect("known")
    }

    fn send(&mut self, wall_ms: u64) -> u64 {
        self.number += 1;
        let (number, channel, body) = (self.number, self.channel.clone(), Bytes::from_static(b"hi"));
        let send = SendPacket { number, oldest: number, channel, flags: 1, body, tlvs: Tlvs::new() };
        match self.at(wall_ms, Command::Send(send)) {
            Packet::Sendack(ack) => ack.seq,
            other => panic!("{other:?}"),
        }
    }

    fn revoke(&mut self, wall_ms: u64, seq: u64) -> (Reason, u64, u64) {
        self.number += 1;
        let mut fields = Vec::new();
        targets::write_revoke(&mut fields, &self.channel, seq);
        let (method, number, tlvs) = (Method::Revoke, self.number, Tlvs::new());
        let call =
            CallPacket { request: 1, method: method.number(), number, oldest: number, fields: fields.into(), tlvs };
        let (channel, act) = Act::read(method, &call, &self.origin.user, None).expect("fields");
        let command = Command::Act { request: 1, number, oldest: number, channel, act };
        match self.at(wall_ms, command) {
            Packet::Reply(reply) => (reply.reason, reply.seq, reply.time_ms),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_message_is_taken_back_up_to_and_including_its_120_000th_millisecond() {
    for (age_ms, expected) in [(119_999, Reason::Ok), (120_000, Reason::Ok), (120_001, Reason::TooLate)] {
        let mut world = World::new();
        let seq = world.send(START_MS);
        assert_eq!(world.revoke(START_MS + age_ms, seq).0, expected, "after {age_ms} ms");
    }
}

#[test]
fn a_clock_that_goes_back_opens_no_time_again() {
    let mut world = World::new();
    let seq = world.send(START_MS);
    // Ten minutes pass, and are taken back.
    world.send(START_MS + 600_000);
    assert_eq!(world.revoke(START_MS, seq).0, Reason::TooLate);
    // What is sent then has the channel's time, and so has all of its own.
    let late = world.send(START_MS);
    assert_eq!(world.revoke(START_MS + 600_000 + 120_001, late).0, Reason::TooLate);
    let later = world.send(START_MS);
    assert_eq!(world.revoke(START_MS + 1_000, later).0, Reason::Ok);
}

#[test]
fn a_second_wish_is_answered_with_the_first_also_much_later() {
    let mut world = World::new();
    let seq = world.send(START_MS);
    let first = world.revoke(START_MS + 5, seq);
    assert_eq!(first, (Reason::Ok, 2, START_MS + 5));
    assert_eq!(world.revoke(START_MS + 999_999, seq), first);
}

#[test]
fn what_is_not_committed_is_not_there() {
    let mut world = World::new();
    world.send(START_MS);
    assert_eq!(world.revoke(START_MS, 2).0, Reason::NoTarget);
    assert_eq!(world.revoke(START_MS, 1).0, Reason::Ok);
}
