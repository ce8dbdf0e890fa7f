//! Broadcasts as the owner of a slot decides them.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use postrider_protocol::{
    BROADCASTS, BROADCASTS_KEPT, Channel, CommandId, Id, Method, Reason, Tlvs,
    frame::Decoder,
    packet::{
        CallPacket, Packet,
        broadcast::{Announcement, Reach},
    },
};
use postrider_storage::{MemoryDisk, Opened, Options, fold::broadcast::Step};

use super::{Act, Announced, Command, Decider, Deed, Now, Origin, Rules, Submission, sample};
use crate::{commit::Committer, lookup::Lookup, metrics::Metrics, view::View};

struct World {
    decider: Decider,
    committer: Committer,
    lookup: Lookup,
    rules: Arc<Rules>,
    origin: Arc<Origin>,
    own: Channel,
    number: u64,
}

impl World {
    fn new() -> Self {
        let options = Options::new("memory");
        let Opened { log, store, slots, .. } = postrider_storage::open_memory(&MemoryDisk::new(), &options).unwrap();
        let (view, metrics) = (Arc::new(View::new(&slots)), Arc::new(Metrics::new()));
        let rules = Arc::new(sample::rules(500, Arc::clone(&metrics)));
        let user: Id = "news".parse().unwrap();
        let origin = Origin { is_system: true, ..sample::origin(1, user.clone(), None) };
        let lookup = Lookup::new(store, Arc::clone(&view));
        Self {
            decider: Decider::new(lookup.clone(), Arc::clone(&rules), &slots, 0, 1).unwrap(),
            committer: Committer::new(log, &slots, view, metrics),
            lookup,
            rules,
            origin: Arc::new(origin),
            own: Channel::user(&user),
            number: 0,
        }
    }

    /// Decides and commits one command; why it was refused, if it was.
    fn decide(&mut self, command: Command) -> Reason {
        let now = Now { wall_ms: 1, mono_ms: 0 };
        let submission = Submission { origin: Arc::clone(&self.origin), at_ms: 0, commands: vec![command] };
        let mut batch = [self.decider.decide(now, vec![submission]).unwrap()];
        let answer = batch[0].answers[0].frames.clone();
        self.committer.commit(&mut batch).unwrap();
        let mut decoder = Decoder::new();
        decoder.feed(answer.into());
        match Packet::decode(decoder.next_frame().unwrap().unwrap()).unwrap() {
            Some(Packet::Reply(reply)) => reply.reason,
            other => panic!("{other:?}"),
        }
    }

    fn announce(&mut self) -> (CommandId, Reason) {
        self.number += 1;
        let mut fields = Vec::new();
        Announcement { reach: Reach::Everybody, flags: 0, body: "hi".into() }.write(&mut fields);
        let (method, number, tlvs) = (Method::Broadcast, self.number, Tlvs::new());
        let call =
            CallPacket { request: 1, number, oldest: number, method: method.number(), fields: fields.into(), tlvs };
        let (channel, act) = Act::read(method, &call, &self.origin.user, None).unwrap();
        let reason = self.decide(Command::Act { request: 1, number, oldest: number, channel, act });
        (CommandId { sender: self.origin.sender, number }, reason)
    }

    fn do_for(&mut self, channel: Channel, deed: Deed) -> Reason {
        self.decide(Command::Broadcast { request: 1, channel, deed })
    }

    fn end(&mut self, id: CommandId) {
        let deed = Deed::Note(Step::End { id, forgotten: None });
        assert_eq!(self.do_for(self.own.clone(), deed), Reason::Ok);
    }

    fn ids(&self) -> Vec<CommandId> {
        self.lookup.broadcasts(0, &self.origin.user).unwrap().into_keys().collect()
    }
}

#[test]
fn sixteen_are_under_way_at_most() {
    let mut world = World::new();
    let made: Vec<_> = (0..BROADCASTS).map(|_| world.announce()).collect();
    assert!(made.iter().all(|(_, reason)| *reason == Reason::Ok));
    assert_eq!(world.announce().1, Reason::TooMany);
    world.end(made[3].0);
    assert_eq!(world.announce().1, Reason::Ok, "one has ended");
    assert_eq!(world.announce().1, Reason::TooMany);
}

#[test]
fn of_those_that_ended_the_oldest_goes_and_content_goes_at_the_end() {
    let mut world = World::new();
    let mut ids = Vec::new();
    for _ in 0..BROADCASTS_KEPT + 3 {
        let (id, reason) = world.announce();
        assert_eq!(reason, Reason::Ok);
        let content = |world: &World| world.lookup.content((0, &world.own), &world.origin.user, (id, 1)).unwrap();
        assert_eq!(content(&world), Some((Tlvs::new(), Bytes::from_static(b"hi"))));
        world.end(id);
        assert_eq!(content(&world), None);
        ids.push(id);
    }
    assert_eq!(world.ids(), ids[3..]);
}

#[test]
fn who_has_it_is_not_sent_it_again() {
    let mut world = World::new();
    let (first, second) = (world.announce().0, world.announce().0);
    let channel = Channel::person(&world.origin.user, &"bob".parse().unwrap());
    let message = |id| Deed::Send(Arc::new(Announced { id, flags: 0, tlvs: Tlvs::new(), body: "hi".into() }));
    let head = |world: &World| world.lookup.view().head(0, &channel).map_or(0, |head| head.seq);
    for (id, seq) in [(first, 1), (first, 1), (second, 2), (second, 2)] {
        assert_eq!(world.do_for(channel.clone(), message(id)), Reason::Ok);
        assert_eq!(head(&world), seq);
    }
    world.rules.full.store(true, Ordering::Relaxed);
    assert_eq!(world.do_for(channel.clone(), message(first)), Reason::StorageFull);
    assert_eq!(head(&world), 2);
}
