//! What is told and not stored: typing, signals, receipts, and what another device of the user did.

use bytes::Bytes;
use postrider_protocol::{
    Channel, Method, NoticeKind, Reason, Tlvs,
    packet::{
        NoticePacket, Packet, RecvackPacket,
        notice::{Receipt, Said, Told, ViewNotice},
        presence,
    },
    tag,
};

use crate::harness::{Client, Server, Via, World, channel_of, everywhere, group, id, on_all};

fn say(client: &mut Client, said: &Said, tlvs: Tlvs) {
    let mut fields = Vec::new();
    said.write(&mut fields);
    client.say(&Packet::Notice(NoticePacket { what: said.what().number(), fields: fields.into(), tlvs }));
}

pub fn types(client: &mut Client, channel: &Channel, is_writing: bool) {
    say(client, &Said::Typing { channel: channel.clone(), is_writing }, Tlvs::new());
}

pub fn signals(client: &mut Client, channel: &Channel, body: &[u8]) {
    let body = Bytes::copy_from_slice(body);
    say(client, &Said::Signal { channel: channel.clone(), body }, Tlvs::new());
}

/// The next notice of one of these kinds.
pub fn told(client: &mut Client, what: &[NoticeKind]) -> Told {
    told_with_tlvs(client, what).0
}

fn told_with_tlvs(client: &mut Client, what: &[NoticeKind]) -> (Told, Tlvs) {
    client.wait("NOTICE", |packet| {
        let Packet::Notice(notice) = packet else { return None };
        let kind = NoticeKind::from_number(notice.what).unwrap();
        what.contains(&kind).then(|| (Told::decode(kind, notice.fields.clone()).unwrap(), notice.tlvs.clone()))
    })
}

/// The body of the next signal.
fn signalled(client: &mut Client) -> Bytes {
    match told(client, &[NoticeKind::Signal]) {
        Told::Signal { body, .. } => body,
        other => panic!("{other:?}"),
    }
}

/// The next of typing and signals: who types, or the body.
pub fn next(client: &mut Client) -> String {
    match told(client, &[NoticeKind::Typing, NoticeKind::Signal]) {
        Told::Typing { user, is_writing, .. } => format!("{} {is_writing}", user.as_str().split('.').next().unwrap()),
        Told::Signal { body, .. } => String::from_utf8(body.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub fn watch(client: &mut Client, channel: Option<&Channel>) -> Reason {
    let mut fields = Vec::new();
    presence::write_watch(&mut fields, channel);
    client.call(Method::Watch, fields.into()).reason
}

pub fn receipts(client: &mut Client) -> (Channel, Vec<Receipt>) {
    match told(client, &[NoticeKind::Receipt]) {
        Told::Receipt { channel, marks } => (channel, marks),
        other => panic!("{other:?}"),
    }
}

pub fn receipt(user: &str, delivered: u64, read: u64) -> Receipt {
    Receipt { user: id(user), delivered, read }
}

pub fn view(client: &mut Client) -> (ViewNotice, Tlvs) {
    match told_with_tlvs(client, &[NoticeKind::Conversation]) {
        (Told::Conversation(view), tlvs) => (view, tlvs),
        other => panic!("{other:?}"),
    }
}

/// Alice and Bob, who know each other.
pub fn two(world: World<'_>) -> (Client, Client, Channel) {
    let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
    let channel = channel_of(&alice.user, &bob.user);
    alice.send(&channel, "hello");
    bob.recv();
    (alice, bob, channel)
}

#[test]
fn typing_is_told_to_the_other_once_a_second_and_not_to_own_devices() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, channel) = two(world);
        let mut tablet = world.connect_as("alice", "tablet");
        for is_writing in [true, true, true, false, false, true] {
            types(&mut alice, &channel, is_writing);
        }
        signals(&mut alice, &channel, b"after");
        assert_eq!([next(&mut bob), next(&mut bob), next(&mut bob)], ["alice true", "alice false", "after"]);
        assert_eq!(next(&mut tablet), "after", "nobody is told of their own typing");
    });
}

#[test]
fn who_may_not_speak_types_and_signals_to_nobody() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, channel) = two(world);
        let mut mallory = world.connect("mallory");
        let name = world.name("g");
        alice.create(&name, &[&bob.user]);
        for of_others in [&channel, &group(&name), &group(&world.name("none"))] {
            types(&mut mallory, of_others, true);
            signals(&mut mallory, of_others, b"spy");
        }
        // Nobody is told that somebody begins to write to them for the first time.
        let first = channel_of(&mallory.user, &bob.user);
        types(&mut mallory, &first, true);
        mallory.ping();
        signals(&mut alice, &channel, b"first");
        assert_eq!(next(&mut bob), "first");
        assert_eq!(alice.change(Method::GroupRemove, &name, &[&bob.user]).reason, Reason::Ok);
        types(&mut alice, &group(&name), true);
        signals(&mut alice, &group(&name), b"without bob");
        signals(&mut alice, &channel, b"second");
        assert_eq!(next(&mut bob), "second", "who was removed hears nothing of the group");
    });
}

#[test]
fn a_signal_reaches_who_is_online_is_in_order_and_is_not_stored() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, channel) = two(world);
        let (mut tablet, mut phone) = (world.connect_as("alice", "tablet"), world.connect_as("bob", "tablet"));
        let text = Tlvs::from_pairs([(tag::CONTENT_TYPE, &b"text/x-call"[..])]);
        let said = Said::Signal { channel: channel.clone(), body: Bytes::from_static(b"ring") };
        say(&mut alice, &said, text.clone());
        for client in [&mut bob, &mut phone, &mut tablet] {
            let (told, tlvs) = told_with_tlvs(client, &[NoticeKind::Signal]);
            let Told::Signal { channel: of, user, time_ms, body } = told else { panic!("{told:?}") };
            assert_eq!((of, user, &body[..]), (channel.clone(), id(&world.name("alice")), &b"ring"[..]));
            assert!(time_ms > 0);
            assert_eq!(tlvs, text);
        }
        for round in 0..20_u8 {
            signals(&mut alice, &channel, &[round]);
        }
        for round in 0..20_u8 {
            assert_eq!(signalled(&mut bob)[..], [round]);
        }
        signals(&mut alice, &channel, &[b'x'; 16_384]);
        assert_eq!(signalled(&mut bob).len(), 16_384);
        assert_eq!(bob.sync_from(&channel, 1).head, 1, "no signal has a seq");
        let mut late = world.connect_as("bob", "watch");
        alice.send(&channel, "stored");
        assert_eq!(late.recv().seq, 2);
        late.ping();
        assert_eq!(alice.send(&channel, "also"), 3);
        assert_eq!(late.recv().seq, 3);
    });
}

#[test]
fn a_signal_over_16_kib_or_that_only_servers_send_ends_the_connection() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, channel) = two(world);
        signals(&mut alice, &channel, &[0; 16_385]);
        alice.ends_with(Reason::Malformed);
        let told = Told::Requests { group: id("g"), waiting: 1 }.packet(Tlvs::new());
        bob.say(&Packet::Notice(told));
        bob.ends_with(Reason::ProtocolViolation);
        let mut carol = world.connect("carol");
        let unknown = NoticePacket { what: 200, fields: Bytes::from_static(b"?"), tlvs: Tlvs::new() };
        carol.say(&Packet::Notice(unknown));
        carol.ping();
    });
}

#[test]
fn signals_count_as_commands_of_the_user() {
    everywhere(&["limits.user_rate=1", "limits.user_burst=5"], |world| {
        let (mut alice, mut bob, channel) = two(world);
        for round in 0..50_u8 {
            signals(&mut alice, &channel, &[round]);
        }
        let last = alice.try_send(&channel, "over the rate");
        assert_eq!(last.reason, Reason::RateLimited);
        let mut heard = 0;
        bob.send(&channel, "that is all");
        while signals_heard(&mut bob) {
            heard += 1;
        }
        assert!((1..=5).contains(&heard), "{heard} of 50 passed");
    });
}

/// Takes one signal that was heard; false when none was.
pub fn signals_heard(client: &mut Client) -> bool {
    client.ping();
    client.take_heard(|packet| matches!(packet, Packet::Notice(notice) if notice.what == NoticeKind::Signal.number()))
}

#[test]
fn in_a_person_channel_the_other_learns_what_was_delivered_and_read() {
    let server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob, channel) = two(world);
        alice.send(&channel, "2");
        assert_eq!(bob.recv().seq, 2);
        // The first cursor of a connection is stored at once.
        bob.say(&Packet::Recvack(RecvackPacket { channel: channel.clone(), seq: 2, tlvs: Tlvs::new() }));
        assert_eq!(receipts(&mut alice), (channel.clone(), vec![receipt(&world.name("bob"), 2, 0)]));
        assert_eq!(bob.read(&channel, 1).reason, Reason::Ok);
        assert_eq!(receipts(&mut alice), (channel.clone(), vec![receipt(&world.name("bob"), 0, 1)]));
        // What was read already is not told again.
        assert_eq!(bob.read(&channel, 1).reason, Reason::Ok);
        assert_eq!(bob.read(&channel, 2).reason, Reason::Ok);
        assert_eq!(receipts(&mut alice), (channel.clone(), vec![receipt(&world.name("bob"), 0, 2)]));
        let own = channel_of(&bob.user, &bob.user);
        bob.send(&own, "to self");
        assert_eq!(bob.read(&own, 1).reason, Reason::Ok);
        bob.ping();
        assert!(!bob.take_heard(|packet| matches!(packet, Packet::Notice(_))), "nobody is told of themselves");
    });
}

#[test]
fn in_a_group_only_who_watches_is_told_of_receipts_and_all_at_once() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let (mut carol, mut dave) = (world.connect("carol"), world.connect("dave"));
        let name = world.name("g");
        alice.create(&name, &[&bob.user, &carol.user, &dave.user]);
        let team = group(&name);
        assert_eq!(watch(&mut alice, Some(&team)), Reason::Ok);
        alice.send_many(3, &team, "x");
        for (who, seq) in [(0, 2), (1, 3), (0, 3), (1, 4), (0, 4)] {
            let client = if who == 0 { &mut bob } else { &mut carol };
            assert_eq!(client.read(&team, seq).reason, Reason::Ok);
        }
        let mut read = std::collections::BTreeMap::new();
        let mut notices = 0;
        while read.len() < 2 || read.values().any(|seq| *seq < 4) {
            let (channel, marks) = receipts(&mut alice);
            assert_eq!(channel, team);
            read.extend(marks.into_iter().map(|mark| (mark.user, mark.read)));
            notices += 1;
        }
        assert!(notices <= 2, "{notices} notices of five marks that moved within a moment");
        dave.ping();
        assert!(!dave.take_heard(|packet| matches!(packet, Packet::Notice(_))), "dave does not watch");
        // One channel a connection; none when it is not the user's.
        assert_eq!(watch(&mut alice, Some(&group(&world.name("none")))), Reason::NoChannel);
        assert_eq!(watch(&mut dave, Some(&team)), Reason::Ok);
        assert_eq!(dave.read(&team, 4).reason, Reason::Ok);
        assert_eq!(receipts(&mut dave).1, [receipt(&world.name("dave"), 0, 4)]);
        alice.ping();
        assert!(!alice.take_heard(|packet| matches!(packet, Packet::Notice(_))), "alice watches nothing now");
        assert_eq!(dave.call(Method::Watch, Bytes::from_static(b"\x02")).reason, Reason::Malformed);
    });
}

#[test]
fn who_is_removed_watches_no_longer() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let name = world.name("g");
        alice.create(&name, &[&bob.user]);
        let team = group(&name);
        assert_eq!(watch(&mut bob, Some(&team)), Reason::Ok);
        assert_eq!(alice.read(&team, 1).reason, Reason::Ok);
        assert_eq!(receipts(&mut bob).1, [receipt(&world.name("alice"), 0, 1)]);
        assert_eq!(alice.change(Method::GroupRemove, &name, &[&bob.user]).reason, Reason::Ok);
        assert_eq!(alice.read(&team, 2).reason, Reason::Ok);
        assert_eq!(watch(&mut alice, Some(&team)), Reason::Ok);
        alice.send(&team, "x");
        assert_eq!(alice.read(&team, 3).reason, Reason::Ok);
        assert_eq!(receipts(&mut alice).1.last(), Some(&receipt(&world.name("alice"), 0, 3)));
        bob.ping();
        assert!(!bob.take_heard(|packet| matches!(packet, Packet::Notice(_))));
    });
}

#[test]
fn what_one_device_read_the_others_of_the_user_clear() {
    everywhere(&[], |world| {
        let (mut alice, mut phone, channel) = two(world);
        let mut desktop = world.connect_as("bob", "desktop");
        assert_eq!(desktop.read(&channel, 1).reason, Reason::Ok);
        let (told, tlvs) = view(&mut phone);
        assert_eq!((told.channel, told.read, told.hidden), (channel.clone(), 1, (0, 0)));
        assert!(tlvs.is_empty() && !told.blocks && told.contact == 0 && told.waiting == 0);
        // A mark that comes with a message is told too.
        alice.send_many(2, &channel, "x");
        let tlvs = Tlvs::from_pairs([(tag::READ, &3_u64.to_be_bytes()[..])]);
        let send = postrider_protocol::packet::SendPacket { tlvs, ..desktop.next_send(&channel, "answer") };
        assert_eq!(desktop.resend(&send).seq, 4);
        assert_eq!(view(&mut phone).0.read, 3);
        desktop.ping();
        let is_view = |packet: &Packet| matches!(packet, Packet::Notice(notice) if notice.what == NoticeKind::Conversation.number());
        assert!(!desktop.take_heard(is_view), "who did it has the answer");
        alice.ping();
        assert!(!alice.take_heard(is_view), "and it is nobody else's business");
    });
}

#[test]
fn typing_in_a_large_group_is_told_only_to_who_watches() {
    let server = Server::start(&[]);
    let via = Via::ALL[0];
    let mut alice = Client::connect(&server, via, "alice", "phone");
    let mut bob = Client::connect(&server, via, "bob", "phone");
    let mut carol = Client::connect(&server, via, "carol", "phone");
    let many: Vec<String> = (0..98).map(|number| format!("member-{number}")).collect();
    let first: Vec<&str> = many.iter().map(String::as_str).collect();
    alice.create("big", &first);
    assert_eq!(alice.change(Method::GroupAdd, "big", &["bob", "carol"]).reason, Reason::Ok);
    let big = group("big");
    assert_eq!(watch(&mut carol, Some(&big)), Reason::Ok);
    types(&mut alice, &big, true);
    signals(&mut alice, &big, b"to all");
    assert_eq!([next(&mut carol), next(&mut carol)], ["alice true", "to all"]);
    assert_eq!(next(&mut bob), "to all");
}
