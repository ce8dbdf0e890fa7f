//! A command that is sent again, on whatever connection, is stored once and answered as the first time.

use postrider_protocol::{
    Channel, Method, Reason, Sender, SenderKind, Tlvs, image_flag,
    packet::{CallPacket, Packet, SendPacket},
    tag,
};

use crate::harness::{Client, Server, Via, World, channel_of, everywhere, group, on_all, user_list};

/// A connection under a sender that is there already.
fn again(world: World<'_>, client: &Client) -> Client {
    Client::connect_with(world.server, world.via, &client.user, "phone", client.sender)
}

/// Connects, sends and drops the connection with bytes unread, which resets it.
fn send_and_reset(world: World<'_>, client: &Client, send: &SendPacket) {
    let mut lost = Client::new(world.server, world.via);
    let connect = crate::harness::connect_packet(&client.user, "phone", client.sender);
    lost.say_all(&[Packet::Connect(connect), Packet::Send(send.clone())]);
}

#[test]
fn f24_a_send_whose_answer_was_lost_is_answered_as_the_first_time() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        for round in 1..=10 {
            let send = alice.next_send(&channel, format!("{round}"));
            send_and_reset(world, &alice, &send);
            let image = bob.recv();
            assert_eq!((image.seq, &image.body), (round, &send.body));
            let ack = again(world, &alice).resend(&send);
            assert_eq!((ack.reason, ack.seq, ack.time_ms), (Reason::Ok, round, image.time_ms));
        }
        assert_eq!(bob.bodies(&channel).len(), 10, "each once");
    });
}

#[test]
fn a_duplicate_is_known_on_the_same_connection_on_another_and_after_a_crash() {
    let mut server = Server::start(&[]);
    let sent: std::sync::Mutex<Vec<_>> = Default::default();
    on_all(&server, |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, &world.name("bob"));
        let sends: Vec<_> =
            (0..40).map(|n| SendPacket { oldest: 1, ..alice.next_send(&channel, format!("{n}")) }).collect();
        let acks: Vec<_> = sends.iter().map(|send| alice.resend(send)).collect();
        assert_eq!(acks.iter().map(|ack| ack.seq).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
        let both = |client: &mut Client| sends.iter().map(|send| client.resend(send)).collect::<Vec<_>>();
        assert_eq!(both(&mut alice), acks);
        assert_eq!(both(&mut again(world, &alice)), acks);
        sent.lock().unwrap().push((alice.user.clone(), alice.sender, channel.clone(), sends.clone(), acks));
    });
    for crash in [true, false] {
        if crash {
            server.crash_and_restart();
        } else {
            server.stop();
            server.start_again();
        }
        for (user, sender, channel, sends, acks) in sent.lock().unwrap().iter() {
            let mut alice = Client::connect_with(&server, Via::Tcp, user, "phone", *sender);
            for (send, ack) in sends.iter().zip(acks) {
                assert_eq!(alice.resend(send), *ack);
            }
            assert_eq!(alice.sync_from(channel, 1).images.len(), 40);
        }
    }
}

#[test]
fn f31_a_number_is_bound_to_its_channel_and_content() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, &world.name("bob"));
        let send = alice.next_send(&channel, "first");
        let first = alice.resend(&send);
        // The other channel lies in the same slot, whose table knows the number.
        let other = (0..)
            .map(|n| channel_of(&alice.user, &format!("{}{n}", world.name("carol"))))
            .find(|other| other.slot(0) == channel.slot(0))
            .unwrap();
        let others = [
            SendPacket { body: "second".into(), ..send.clone() },
            SendPacket { body: "".into(), ..send.clone() },
            SendPacket { flags: image_flag::SILENT, ..send.clone() },
            SendPacket { tlvs: Tlvs::from_pairs([(tag::CONTENT_TYPE, &b"text/html"[..])]), ..send.clone() },
            SendPacket { channel: other, ..send.clone() },
        ];
        for other in others {
            let ack = alice.resend(&other);
            assert_eq!((ack.reason, ack.seq, ack.time_ms), (Reason::DedupConflict, 0, 0), "{other:?}");
        }
        let read = SendPacket { tlvs: Tlvs::from_pairs([(tag::READ, &1_u64.to_be_bytes()[..])]), ..send.clone() };
        assert_eq!(alice.resend(&read), first, "the read mark is no content");
        assert_eq!(alice.resend(&send), first, "the first one stands");
        assert_eq!(alice.bodies(&channel), ["first"]);
    });
}

#[test]
fn below_the_floor_a_number_is_stale() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, &world.name("bob"));
        let old = alice.next_send(&channel, "old");
        let never = SendPacket { oldest: 1, ..alice.next_send(&channel, "never sent") };
        alice.resend(&old);
        let new = alice.next_send(&channel, "new");
        assert_eq!((new.number, new.oldest), (3, 3));
        assert_eq!(alice.resend(&new).seq, 2);
        for stale in [&old, &never] {
            let ack = alice.resend(stale);
            assert_eq!((ack.reason, ack.seq), (Reason::Stale, 0));
        }
        assert_eq!(alice.resend(&new).seq, 2, "the floor itself is known");
        assert_eq!(alice.bodies(&channel), ["old", "new"]);
    });
}

#[test]
fn numbers_outside_the_window_are_a_violation() {
    everywhere(&[], |world| {
        for (number, oldest) in [(0, 0), (1, 0), (0, 1), (1, 2), (65, 1), (1 << 40, 1)] {
            let mut alice = world.connect("alice");
            let channel = channel_of(&alice.user, "bob");
            let send = SendPacket { number, oldest, ..alice.next_send(&channel, "x") };
            alice.say(&Packet::Send(send));
            alice.ends_with(Reason::ProtocolViolation);
            let mut alice = world.connect("alice");
            let call = alice.next_call(Method::GroupCreate, user_list("g", &[]));
            alice.say(&Packet::Call(CallPacket { number, oldest, ..call }));
            alice.ends_with(Reason::ProtocolViolation);
        }
        let mut alice = world.connect("alice");
        let call = alice.next_call(Method::GroupMembers, Default::default());
        alice.say(&Packet::Call(CallPacket { number: 1, oldest: 1, ..call }));
        alice.ends_with(Reason::ProtocolViolation);
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, "bob");
        let send = SendPacket { number: 64, oldest: 1, ..alice.next_send(&channel, "x") };
        assert_eq!(alice.resend(&send).seq, 1, "the window is 64 wide");
    });
}

#[test]
fn the_same_text_from_two_one_shot_senders_is_two_messages() {
    everywhere(&[], |world| {
        let user = world.name("alice");
        let channel = channel_of(&user, "bob");
        for seq in 1..=2 {
            let one_shot = Sender::request(SenderKind::OneShot);
            let mut client = Client::connect_with(world.server, world.via, &user, "", one_shot);
            assert_eq!(client.send(&channel, "same"), seq);
        }
    });
}

#[test]
fn the_least_recently_used_of_33_one_shot_senders_has_expired() {
    let mut server = Server::start(&[]);
    let expired: std::sync::Mutex<Vec<(String, Sender, SendPacket)>> = Default::default();
    on_all(&server, |world| {
        let mut kept = world.connect("alice");
        let channel = channel_of(&kept.user, "bob");
        let kept_send = kept.next_send(&channel, "kept");
        kept.resend(&kept_send);
        let mut clients = Vec::new();
        for n in 0..32 {
            let one_shot = Sender::request(SenderKind::OneShot);
            let mut client = Client::connect_with(world.server, world.via, &kept.user, "", one_shot);
            let send = SendPacket { oldest: 1, ..client.next_send(&channel, format!("{n}")) };
            assert_eq!(client.resend(&send).seq, n + 2);
            clients.push((client, send));
        }
        let (first, send) = &mut clients[0];
        let ack = first.resend(send);
        assert_eq!((ack.reason, ack.seq), (Reason::Ok, 2), "32 are kept");
        // The first is used again, so the second has waited longest.
        let next = SendPacket { oldest: 1, ..clients[0].0.next_send(&channel, "again") };
        assert_eq!(clients[0].0.resend(&next).seq, 34);
        let mut last =
            Client::connect_with(world.server, world.via, &kept.user, "", Sender::request(SenderKind::OneShot));
        assert_eq!(last.send(&channel, "33rd"), 35);
        for (at, (client, send)) in clients.iter_mut().enumerate() {
            let ack = client.resend(send);
            let expected = if at == 1 { Reason::SenderExpired } else { Reason::Ok };
            assert_eq!(ack.reason, expected, "sender {at}");
        }
        assert_eq!(kept.resend(&kept_send).seq, 1, "one-shot senders push out no kept one");
        let (client, send) = &clients[1];
        expired.lock().unwrap().push((client.user.clone(), client.sender, send.clone()));
    });
    server.crash_and_restart();
    for (user, sender, send) in expired.into_inner().unwrap() {
        let mut client = Client::connect_with(&server, Via::Tcp, &user, "", sender);
        assert_eq!(client.resend(&send).reason, Reason::SenderExpired, "also after a crash");
        assert_eq!(client.sync_from(&send.channel, 1).images.len(), 35);
        let mut fresh = Client::connect_with(&server, Via::Tcp, &user, "", Sender::request(SenderKind::OneShot));
        assert_eq!(fresh.send(&send.channel, "fresh"), 36, "a new sender is not expired");
    }
}

#[test]
fn senders_that_the_server_never_gave_do_not_lock_the_user_out() {
    everywhere(&[], |world| {
        let user = world.name("alice");
        let channel: Channel = channel_of(&user, "bob");
        for n in 0..40 {
            let forged = Sender::issue(SenderKind::Kept, (1 << 56) - 1 - n);
            let mut client = Client::new(world.server, world.via);
            let connack = client.ask_in(&crate::harness::connect_packet(&user, "", forged));
            if connack.reason == Reason::Ok {
                client.try_send(&channel, "x");
            }
        }
        let head = world.connect("alice").listed(&channel).map_or(0, |listed| listed.head);
        assert_eq!(world.connect("alice").send(&channel, "mine"), head + 1);
    });
}

#[test]
fn changing_calls_are_known_too() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let name = world.name("g");
        let call = alice.next_call(Method::GroupCreate, user_list(&name, &["bob", "carol", "bob"]));
        let ask = |client: &mut Client, call: &CallPacket| {
            client.say(&Packet::Call(call.clone()));
            client.reply(call.request)
        };
        let first = ask(&mut alice, &call);
        assert_eq!((first.reason, first.seq), (Reason::Ok, 1));
        assert_eq!(ask(&mut alice, &call), first);
        let other_order = CallPacket { fields: user_list(&name, &["carol", "bob"]), ..call.clone() };
        assert_eq!(ask(&mut alice, &other_order), first, "order and repetition do not count");
        assert_eq!(ask(&mut again(world, &alice), &call), first);
        let mut alice = again(world, &alice);
        for other in [
            CallPacket { fields: user_list(&name, &["bob"]), ..call.clone() },
            CallPacket { method: Method::GroupAdd.number(), ..call.clone() },
        ] {
            assert_eq!(ask(&mut alice, &other).reason, Reason::DedupConflict);
        }
        assert_eq!(alice.sync_from(&group(&name), 1).images.len(), 1);
    });
}

#[test]
fn a_known_command_is_answered_also_when_it_is_not_allowed_any_more() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let name = world.name("g");
        alice.create(&name, &[&bob.user]);
        let send = bob.next_send(&group(&name), "said");
        let first = bob.resend(&send);
        assert_eq!(first.seq, 2);
        assert_eq!(alice.change(Method::GroupRemove, &name, &[&bob.user]).reason, Reason::Ok);
        assert_eq!(bob.resend(&send), first);
        assert_eq!(bob.try_send(&group(&name), "more").reason, Reason::NoChannel);
    });
}
