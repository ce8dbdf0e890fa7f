#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
//! Groups before their slot's owner, with a clock in the test's hand and nothing on a disk.

use std::sync::Arc;

use postrider_protocol::{
    Channel, Id, Method, Reason, Tlvs,
    frame::Decoder,
    packet::{CallPacket, Packet, SendPacket, groups},
    tag,
};
use postrider_storage::{Materialiser, MemoryDisk, Opened, Options, Written};

use crate::{
    commit::Committer,
    lookup::Lookup,
    metrics::Metrics,
    slot::{Act, Command, Decider, Now, Submission, sample},
    view::View,
};

struct World {
    decider: Decider,
    committer: Committer,
    lookup: Lookup,
    _materialiser: Materialiser,
    number: u64,
    now: Now,
}

/// What a command came to.
struct Came {
    reason: Reason,
    seq: u64,
    retry_after_ms: Option<u32>,
    /// What was appended for it.
    written: Option<Arc<Written>>,
}

impl World {
    fn new(max_members: usize) -> Self {
        let Opened { log, store, materialiser, slots, .. } =
            postrider_storage::open_memory(&MemoryDisk::new(), &Options::new("memory")).unwrap();
        let (view, metrics) = (Arc::new(View::new(&slots)), Arc::new(Metrics::new()));
        let rules = sample::rules(max_members, Arc::clone(&metrics));
        let lookup = Lookup::new(store, Arc::clone(&view));
        Self {
            decider: Decider::new(lookup.clone(), Arc::new(rules), &slots, 0, 1).unwrap(),
            committer: Committer::new(log, &slots, view, metrics),
            lookup,
            _materialiser: materialiser,
            number: 0,
            now: Now { wall_ms: 1 << 40, mono_ms: 1 },
        }
    }

    fn come(&mut self, user: &str, command: impl FnOnce(u64) -> Command) -> Came {
        self.number += 1;
        let origin = Arc::new(sample::origin(self.number, id(user), None));
        let submission = Submission { origin, at_ms: self.now.mono_ms, commands: vec![command(self.number)] };
        let mut batch = [self.decider.decide(self.now, vec![submission]).unwrap()];
        let mut decoder = Decoder::new();
        decoder.feed(batch[0].answers[0].frames.clone().into());
        let written = self.committer.commit(&mut batch).unwrap();
        let (reason, seq, tlvs) = match Packet::decode(decoder.next_frame().unwrap().unwrap()).unwrap().unwrap() {
            Packet::Sendack(ack) => (ack.reason, ack.seq, ack.tlvs),
            Packet::Reply(reply) => (reply.reason, reply.seq, reply.tlvs),
            other => panic!("{other:?}"),
        };
        Came { reason, seq, retry_after_ms: tlvs.get_u32(tag::RETRY_AFTER_MS), written }
    }

    fn call(&mut self, user: &str, method: Method, write: impl FnOnce(&mut Vec<u8>)) -> Came {
        let mut fields = Vec::new();
        write(&mut fields);
        let caller = id(user);
        self.come(user, |number| {
            let (request, oldest) = (1, number);
            let call = CallPacket {
                request,
                method: method.number(),
                number,
                oldest,
                fields: fields.into(),
                tlvs: Tlvs::new(),
            };
            let (channel, act) = Act::read(method, &call, &caller, None).unwrap();
            Command::Act { request, number, oldest, channel, act }
        })
    }

    fn send(&mut self, user: &str, group: &str) -> Came {
        let (channel, body, tlvs) = (Channel::group(&id(group)), bytes::Bytes::from_static(b"hello"), Tlvs::new());
        self.come(user, |number| Command::Send(SendPacket { number, oldest: number, channel, flags: 1, body, tlvs }))
    }

    /// A group of Alice and so many others.
    fn group(&mut self, name: &str, others: usize) {
        let users: Vec<Id> = (0..others).map(|n| id(&format!("member{n:05}"))).collect();
        let (first, rest) = users.split_at(others.min(100));
        assert_eq!(self.call("alice", Method::GroupCreate, |out| groups::write_change(out, &id(name), first)).seq, 1);
        for hundred in rest.chunks(100) {
            let came = self.call("alice", Method::GroupAdd, |out| groups::write_change(out, &id(name), hundred));
            assert_eq!(came.reason, Reason::Ok);
        }
    }

    fn mute(&mut self, until_ms: u64, users: &[&str]) -> u64 {
        let users: Vec<Id> = users.iter().map(|user| id(user)).collect();
        let came = self.call("alice", Method::GroupMute, |out| groups::write_mute(out, &id("g"), until_ms, &users));
        assert_eq!(came.reason, Reason::Ok);
        came.seq
    }
}

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

#[test]
fn a_mute_ends_at_its_millisecond_and_a_clock_that_goes_back_does_not_bring_it_again() {
    let mut world = World::new(500);
    world.group("g", 2);
    let start = world.now.wall_ms;
    for users in [&["member00000", "member00001"][..], &[]] {
        let until_ms = world.now.wall_ms + 120_000;
        world.mute(until_ms, users);
        for (wall_ms, reason) in [(until_ms - 120_000, Reason::Muted), (until_ms - 1, Reason::Muted)] {
            world.now.wall_ms = wall_ms;
            let came = world.send("member00000", "g");
            assert_eq!((came.reason, came.retry_after_ms.map(u64::from)), (reason, Some(until_ms - wall_ms)));
            assert!(came.written.is_none(), "a refusal writes nothing");
            assert_eq!(world.send("alice", "g").reason, Reason::Ok);
        }
        world.now.wall_ms = until_ms;
        assert_eq!(world.send("member00000", "g").reason, Reason::Ok);
        world.now.wall_ms = start - 600_000;
        assert_eq!(world.send("member00000", "g").reason, Reason::Ok, "the slot's clock never goes back");
        assert_eq!(world.send("member00001", "g").reason, Reason::Ok);
        world.now.wall_ms = until_ms;
    }
}

/// Trap 1: a message is one entry of one size, whoever many are to read it.
#[test]
fn what_a_message_writes_does_not_depend_on_the_members() {
    let mut world = World::new(10_000);
    let mut written = [Vec::new(), Vec::new()];
    for (name, others) in [("group-of-2", 1), ("group-10e2", 99), ("group-10e4", 9_999)] {
        world.group(name, others);
        for (user, written) in ["alice", "member00000"].into_iter().zip(&mut written) {
            let came = world.send(user, name);
            assert_eq!(came.reason, Reason::Ok);
            let one = came.written.unwrap();
            written.push((one.len(), one.bytes()));
        }
        let count = world.lookup.member_count(0, &Channel::group(&id(name))).unwrap();
        assert_eq!(count as usize, others + 1);
    }
    assert!(written.iter().flatten().all(|(entries, _)| *entries == 1), "{written:?}");
    assert!(written.iter().all(|sizes| sizes.iter().all(|size| *size == sizes[0])), "{written:?}");
}

/// Ten thousand members and a hundred more at a time, without a disk.
#[test]
fn members_come_and_go_from_a_group_of_ten_thousand() {
    let mut world = World::new(10_100);
    world.group("g", 9_999);
    for round in 0..20 {
        let users: Vec<Id> = (0..100).map(|n| id(&format!("guest{round}.{n}"))).collect();
        for method in [Method::GroupAdd, Method::GroupRemove] {
            let came = world.call("alice", method, |out| groups::write_change(out, &id("g"), &users));
            assert_eq!(came.reason, Reason::Ok);
        }
    }
    assert_eq!(world.lookup.member_count(0, &Channel::group(&id("g"))).unwrap(), 10_000);
}
