//! Messages that are written now and sent by the server when their time has come.

use bytes::Bytes;
use postrider_protocol::{
    Channel, CommandId, Method, Reason, Tlvs, image_flag,
    packet::{
        CallPacket, Packet, ReplyPacket,
        schedule::{self, Plan, Scheduled, ScheduledPage},
    },
    tag,
};

use crate::{
    harness::{Client, Server, Via, channel_of, everywhere, group, now_s, on_all, until},
    people::block,
};

/// So far ahead that no test waits for it.
const LATER_MS: u64 = 3_600_000;

fn now_ms() -> u64 {
    now_s() * 1_000
}

fn plan(due_ms: u64, body: &str) -> Plan {
    Plan { due_ms, flags: image_flag::COUNTABLE, body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// The id of what is made, and the answer.
fn schedule(client: &mut Client, channel: &Channel, plan: &Plan, tlvs: Tlvs) -> (CommandId, ReplyPacket) {
    let mut fields = Vec::new();
    schedule::write_schedule(&mut fields, channel, plan);
    let call = CallPacket { tlvs, ..client.next_call(Method::Schedule, fields.into()) };
    client.say(&Packet::Call(call.clone()));
    (CommandId { sender: client.sender, number: call.number }, client.reply(call.request))
}

#[track_caller]
fn make(client: &mut Client, channel: &Channel, due_ms: u64, body: &str) -> CommandId {
    let (id, reply) = schedule(client, channel, &plan(due_ms, body), Tlvs::new());
    assert_eq!((reply.reason, reply.seq), (Reason::Ok, 0), "{reply:?}");
    id
}

fn replace(client: &mut Client, channel: &Channel, id: &CommandId, plan: &Plan) -> Reason {
    client.call_writing(Method::ScheduleEdit, |out| schedule::write_edit(out, channel, id, plan)).reason
}

fn cancel(client: &mut Client, channel: &Channel, id: &CommandId) -> Reason {
    client.call_writing(Method::ScheduleCancel, |out| schedule::write_named(out, channel, id)).reason
}

/// Everything that the client's user has scheduled in the channel.
fn scheduled(client: &mut Client, channel: &Channel) -> Vec<Scheduled> {
    let (mut all, mut after) = (Vec::new(), CommandId::FIRST);
    loop {
        let reply = client.call_writing(Method::Scheduled, |out| schedule::write_named(out, channel, &after));
        assert_eq!(reply.reason, Reason::Ok, "{reply:?}");
        let page = ScheduledPage::decode(reply.fields).unwrap();
        all.extend(page.scheduled);
        if !page.more {
            return all;
        }
        after = all.last().unwrap().id;
    }
}

fn bodies(client: &mut Client, channel: &Channel) -> Vec<String> {
    let texts = scheduled(client, channel).into_iter();
    texts.map(|it| String::from_utf8(it.plan.body.to_vec()).unwrap()).collect()
}

#[test]
fn what_is_due_is_sent_once_to_everybody_and_known_to_its_author() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let mut tablet = world.connect_as("alice", "tablet");
        let channel = channel_of(&alice.user, &bob.user);
        let tlvs = Tlvs::from_pairs([(tag::CONTENT_TYPE, &b"text/plain"[..])]);
        let (id, reply) = schedule(&mut alice, &channel, &plan(now_ms(), "now"), tlvs);
        assert_eq!((reply.reason, reply.seq), (Reason::Ok, 0));
        for client in [&mut alice, &mut tablet, &mut bob] {
            let image = client.recv_of(&channel);
            assert_eq!(
                (image.seq, &image.body[..], image.author().as_str()),
                (1, &b"now"[..], world.name("alice").as_str())
            );
            assert_eq!((image.sender, image.number), (id.sender, id.number), "its author knows it by that");
            assert_eq!(image.flags, image_flag::COUNTABLE | image_flag::SCHEDULED);
            assert_eq!(image.tlvs.get_text(tag::CONTENT_TYPE), Some("text/plain"));
        }
        assert_eq!(bob.listed(&channel).unwrap().unread, 1);
        assert_eq!(scheduled(&mut alice, &channel), []);
        assert_eq!(cancel(&mut alice, &channel, &id), Reason::NoTarget, "it is sent");
        assert_eq!(alice.send(&channel, "after"), 2, "and only once");
    });
}

#[test]
fn what_waits_is_listed_edited_and_taken_away_by_its_author_alone() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        let later = now_ms() + LATER_MS;
        let long = "x".repeat(65_536);
        let first = make(&mut alice, &channel, later, &long);
        let second = make(&mut alice, &channel, later, "second");
        assert_eq!(bodies(&mut alice, &channel), [long.as_str(), "second"]);
        assert_eq!(bodies(&mut bob, &channel), [""; 0]);
        assert_eq!(cancel(&mut bob, &channel, &first), Reason::NoTarget);
        assert_eq!(replace(&mut alice, &channel, &first, &plan(later + 1, "short")), Reason::Ok);
        let told = scheduled(&mut alice, &channel);
        assert_eq!((told[0].id, told[0].plan.due_ms, &told[0].plan.body[..]), (first, later + 1, &b"short"[..]));
        assert_eq!(cancel(&mut alice, &channel, &second), Reason::Ok);
        assert_eq!(cancel(&mut alice, &channel, &second), Reason::NoTarget);
        assert_eq!(replace(&mut alice, &channel, &second, &plan(later, "?")), Reason::NoTarget);
        assert_eq!(bodies(&mut alice, &channel), ["short"]);
        assert!(alice.listed(&channel).is_none_or(|told| told.head == 0), "nothing was sent");
        // Sent at once by giving it a time that has come.
        assert_eq!(replace(&mut alice, &channel, &first, &plan(0, "go")), Reason::Ok);
        assert_eq!(bob.recv_of(&channel).body, "go");
    });
}

#[test]
fn a_repetition_schedules_nothing_more() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, "bob");
        let mut fields = Vec::new();
        schedule::write_schedule(&mut fields, &channel, &plan(now_ms() + LATER_MS, "once"));
        let call = alice.next_call(Method::Schedule, fields.into());
        for request in [call.request, call.request + 1] {
            alice.say(&Packet::Call(CallPacket { request, ..call.clone() }));
            assert_eq!(alice.reply(request).reason, Reason::Ok);
        }
        assert_eq!(bodies(&mut alice, &channel), ["once"]);
    });
}

#[test]
fn what_could_not_be_sent_cannot_be_scheduled() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let team = world.name("team");
        alice.create(&team, &[&bob.user]);
        let later = now_ms() + LATER_MS;
        let refused =
            |client: &mut Client, channel: &Channel, plan: &Plan, tlvs| schedule(client, channel, plan, tlvs).1.reason;
        let unknown = group(&world.name("unknown"));
        assert_eq!(refused(&mut bob, &unknown, &plan(later, "x"), Tlvs::new()), Reason::NoChannel);
        let of_team = group(&team);
        let all = Plan { flags: image_flag::MENTION_ALL, ..plan(later, "x") };
        assert_eq!(refused(&mut bob, &of_team, &all, Tlvs::new()), Reason::NotAllowed);
        let server_set = Plan { flags: image_flag::SCHEDULED, ..plan(later, "x") };
        assert_eq!(refused(&mut bob, &of_team, &server_set, Tlvs::new()), Reason::Malformed);
        let next_year = plan(now_ms() + 367 * 86_400_000, "x");
        assert_eq!(refused(&mut bob, &of_team, &next_year, Tlvs::new()), Reason::Malformed);
        let reply = Tlvs::from_pairs([(tag::REPLY_TO, &99_u64.to_be_bytes()[..])]);
        assert_eq!(refused(&mut bob, &of_team, &plan(later, "x"), reply), Reason::NoTarget);
        for _ in 0..100 {
            make(&mut bob, &of_team, later, "one of many");
        }
        assert_eq!(refused(&mut bob, &of_team, &plan(later, "x"), Tlvs::new()), Reason::TooMany);
        assert_eq!(scheduled(&mut bob, &of_team).len(), 100);
        // Contents of any size come in several pages.
        let (first, long) = (scheduled(&mut bob, &of_team)[0].id, "x".repeat(65_536));
        assert_eq!(replace(&mut bob, &of_team, &first, &plan(later, &long)), Reason::Ok);
        assert_eq!(scheduled(&mut bob, &of_team).len(), 100);
    });
}

/// The only one that the user has scheduled, once it was refused.
fn refusal(client: &mut Client, channel: &Channel) -> (CommandId, Reason) {
    until("the refusal", || {
        let all = scheduled(client, channel);
        let refused = Reason::from_number(all[0].refused).unwrap();
        (refused != Reason::Ok).then(|| (all[0].id, refused))
    })
}

#[test]
fn the_rules_hold_when_the_time_has_come_and_its_author_learns_why_it_was_not_sent() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let team = world.name("team");
        alice.create(&team, &[&bob.user]);
        let channel = group(&team);
        let id = make(&mut bob, &channel, now_ms() + LATER_MS, "from bob");
        assert_eq!(alice.change(Method::GroupRemove, &team, &[&bob.user]).reason, Reason::Ok);
        // Who may not speak cannot change what they would say either.
        assert_eq!(replace(&mut bob, &channel, &id, &plan(0, "now")), Reason::NoChannel);
        assert_eq!(cancel(&mut bob, &channel, &id), Reason::Ok);
        let two = channel_of(&alice.user, &bob.user);
        make(&mut bob, &two, now_ms() + 1_500, "hello");
        assert_eq!(block(&mut alice, &bob.user, true).reason, Reason::Ok);
        let (id, refused) = refusal(&mut bob, &two);
        assert_eq!(refused, Reason::Blocked);
        assert_eq!(block(&mut alice, &bob.user, false).reason, Reason::Ok);
        assert_eq!(replace(&mut bob, &two, &id, &plan(0, "hello again")), Reason::Ok);
        assert_eq!(alice.recv_of(&two).body, "hello again");
    });
}

#[test]
fn what_became_due_while_the_server_was_down_is_sent_late_in_order_and_once() {
    let mut server = Server::start(&[]);
    let channel = channel_of("alice", "bob");
    let mut alice = Client::connect(&server, Via::Tcp, "alice", "phone");
    let due_ms = now_ms() + 2_000;
    for (after, body) in [(2, "third"), (0, "first"), (1, "second")] {
        make(&mut alice, &channel, due_ms + after, body);
    }
    make(&mut alice, &channel, due_ms + LATER_MS, "much later");
    server.kill();
    until("its time", || (now_ms() > due_ms).then_some(()));
    // Again and again: what was sent stays sent.
    for round in 0..5 {
        server.start_again();
        let mut bob = Client::connect(&server, Via::Tcp, "bob", "phone");
        until("the messages", || bob.listed(&channel).filter(|told| told.head >= 3));
        assert_eq!(bob.bodies(&channel), ["first", "second", "third"], "round {round}");
        let mut alice = Client::connect(&server, Via::Tcp, "alice", "phone");
        assert_eq!(bodies(&mut alice, &channel), ["much later"]);
        server.kill();
    }
    server.start_again();
}

#[test]
fn a_kill_around_the_time_sends_it_once_all_the_same() {
    let mut server = Server::start(&[]);
    let channel = channel_of("alice", "bob");
    for round in 1..=10_u64 {
        let mut alice = Client::connect(&server, Via::Tcp, "alice", "phone");
        make(&mut alice, &channel, 0, "due");
        if round % 2 == 0 {
            alice.recv_of(&channel);
        }
        server.crash_and_restart();
        let mut bob = Client::connect(&server, Via::Tcp, "bob", "phone");
        until("the message", || bob.listed(&channel).filter(|told| told.head == round));
        assert_eq!(bob.bodies(&channel).len() as u64, round);
    }
}

#[test]
fn the_bytes_of_what_is_scheduled_no_more_leave_the_log() {
    let mut server = Server::start(&["storage.erase_within=0ms"]);
    let channel = channel_of("alice", "bob");
    let mut alice = Client::connect(&server, Via::Tcp, "alice", "phone");
    let kept = make(&mut alice, &channel, now_ms() + LATER_MS, "KEPT-CONTENT");
    let gone = make(&mut alice, &channel, now_ms() + LATER_MS, "CANCELLED-CONTENT");
    let edited = make(&mut alice, &channel, now_ms() + LATER_MS, "EDITED-CONTENT");
    assert_eq!(cancel(&mut alice, &channel, &gone), Reason::Ok);
    assert_eq!(replace(&mut alice, &channel, &edited, &plan(now_ms() + LATER_MS, "OTHER-CONTENT")), Reason::Ok);
    let data = server.place.data().join("log");
    let count = |what: &str| crate::messages::count(&data, what.as_bytes());
    until("the erasure", || {
        alice.send(&channel, "more");
        (count("CANCELLED-CONTENT") == 0 && count("EDITED-CONTENT") == 0).then_some(())
    });
    assert!(count("KEPT-CONTENT") > 0 && count("OTHER-CONTENT") > 0);
    server.crash_and_restart();
    let mut alice = Client::connect(&server, Via::Tcp, "alice", "phone");
    assert_eq!(bodies(&mut alice, &channel), ["KEPT-CONTENT", "OTHER-CONTENT"]);
    assert_eq!(replace(&mut alice, &channel, &kept, &plan(0, "SENT")), Reason::Ok);
    assert_eq!(alice.recv_of(&channel).body, "SENT");
}

#[test]
fn scheduled_messages_are_their_tenants_and_survive_a_rebuild_of_the_store() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, "bob");
        make(&mut alice, &channel, now_ms() + LATER_MS, "kept");
    });
    server.stop();
    server.announce("the store is unfit");
    server.announce("the store was rebuilt");
    std::fs::remove_dir_all(server.place.data().join("store")).unwrap();
    server.start_again();
    on_all(&server, |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, "bob");
        assert_eq!(bodies(&mut alice, &channel), ["kept"]);
    });
}
