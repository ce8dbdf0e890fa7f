//! Groups: who is in, who may do what, and who sees what, exact to a seq.

use bytes::Bytes;
use postrider_protocol::{
    ImageKind, Method, Reason,
    packet::{Packet, ReplyPacket, conversation_flag, groups},
    tag,
};

use crate::harness::{Client, Server, Via, World, channel_of, everywhere, group, id, on_all};

/// Who is in a group, with which role.
fn members(client: &mut Client, group: &str) -> Result<Vec<(String, u8)>, Reason> {
    let members = client.members(group)?;
    Ok(members.into_iter().map(|member| (member.user.to_string(), member.role)).collect())
}

fn members_after(client: &mut Client, group: &str) -> ReplyPacket {
    client.call_writing(Method::GroupMembers, |out| groups::write_members(out, &id(group), None))
}

/// Alice, Bob and Carol in one group of Alice's; the events of its making are taken.
fn three(world: World<'_>) -> (Client, Client, Client, String) {
    let (mut alice, mut bob, mut carol) = (world.connect("alice"), world.connect("bob"), world.connect("carol"));
    let name = world.name("g");
    alice.create(&name, &[&bob.user, &carol.user]);
    for member in [&mut bob, &mut carol] {
        assert_eq!(member.recv().seq, 1);
    }
    (alice, bob, carol, name)
}

#[test]
fn a_group_is_made_with_its_members_and_all_of_them_are_told() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let (mut tablet, name) = (world.connect_as("alice", "tablet"), world.name("g"));
        alice.create(&name, &[&bob.user, &world.name("alice")]);
        for member in [&mut bob, &mut tablet] {
            let image = member.recv();
            assert_eq!((image.kind, image.seq), (ImageKind::GroupCreated.number(), 1));
            assert_eq!((image.channel.clone(), image.author()), (group(&name), id(&world.name("alice"))));
            let listed = groups::read_users(image.body).unwrap();
            assert_eq!(listed, [id(&world.name("alice")), id(&world.name("bob"))]);
        }
        assert_eq!(alice.recvs_heard(), 0, "the answer tells who asked");
        let roles = [(alice.user.clone(), 2), (bob.user.clone(), 0)];
        assert_eq!(members(&mut bob, &name).unwrap(), roles);
        bob.send(&group(&name), "hello");
        assert_eq!((&alice.recv().body[..], &tablet.recv().body[..]), (&b"hello"[..], &b"hello"[..]));
    });
}

#[test]
fn an_id_is_taken_for_ever() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let name = world.name("g");
        alice.create(&name, &[]);
        for client in [&mut alice, &mut bob] {
            let again = client.change(Method::GroupCreate, &name, &["someone"]);
            assert_eq!((again.reason, again.seq), (Reason::AlreadyExists, 0));
        }
        assert_eq!(alice.send(&group(&name), "x"), 2, "a refusal uses no seq");
    });
}

#[test]
fn any_member_adds_and_none_is_added_twice() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, mut carol, name) = three(world);
        let mut dave = world.connect("dave");
        let users = [&dave.user[..], &carol.user];
        assert_eq!(bob.change(Method::GroupAdd, &name, &users).reason, Reason::AlreadyExists);
        assert_eq!(members(&mut alice, &name).unwrap().len(), 3, "none of them is added");
        let reply = bob.change(Method::GroupAdd, &name, &[&dave.user]);
        assert_eq!((reply.reason, reply.seq), (Reason::Ok, 2));
        for member in [&mut alice, &mut carol, &mut dave] {
            let image = member.recv();
            assert_eq!((image.kind, image.seq), (ImageKind::MembersJoined.number(), 2));
            assert_eq!(groups::read_users(image.body).unwrap(), [id(&world.name("dave"))]);
        }
        assert_eq!(dave.send(&group(&name), "hi"), 3);
        assert_eq!(dave.listed(&group(&name)).unwrap().sync_from, 1, "what was before is not theirs");
    });
}

#[test]
fn only_the_owner_removes_others_and_cannot_leave() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, mut carol, name) = three(world);
        let not_allowed = |reply: ReplyPacket| assert_eq!((reply.reason, reply.seq), (Reason::NotAllowed, 0));
        not_allowed(bob.change(Method::GroupRemove, &name, &[&carol.user]));
        not_allowed(bob.change(Method::GroupRemove, &name, &[&bob.user.clone(), &carol.user]));
        not_allowed(bob.change(Method::GroupRemove, &name, &[&alice.user]));
        not_allowed(alice.change(Method::GroupRemove, &name, &[&alice.user.clone()]));
        not_allowed(alice.change(Method::GroupRemove, &name, &[&bob.user, &alice.user.clone()]));
        not_allowed(alice.change(Method::GroupRemove, &name, &["nobody"]));
        not_allowed(alice.change(Method::GroupRemove, &name, &[&bob.user, "nobody"]));
        assert_eq!(members(&mut alice, &name).unwrap().len(), 3);
        assert_eq!(bob.change(Method::GroupRemove, &name, &[&bob.user.clone()]).seq, 2);
        let image = carol.recv();
        assert_eq!((image.kind, image.author()), (ImageKind::MembersLeft.number(), id(&bob.user)));
        assert_eq!(alice.change(Method::GroupRemove, &name, &[&carol.user]).seq, 3);
        let image = carol.recv();
        assert_eq!((image.kind, image.seq), (ImageKind::MembersRemoved.number(), 3), "who is removed is told");
        assert_eq!(members(&mut alice, &name).unwrap(), [(alice.user.clone(), 2)]);
    });
}

#[test]
fn who_was_removed_sees_their_going_and_nothing_above_it() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob, mut carol, name) = three(world);
        alice.send(&group(&name), "2");
        let (_, token) = bob.list(&Bytes::new());
        assert_eq!(alice.change(Method::GroupRemove, &name, &[&bob.user]).seq, 3);
        (4..=6).for_each(|seq| assert_eq!(alice.send(&group(&name), "secret"), seq));
        // What Bob is told live ends with his going; a message to him alone comes behind all of it.
        alice.send(&channel_of(&alice.user, &bob.user), "end");
        assert_eq!((bob.recv().seq, bob.recv().seq), (2, 3));
        assert_eq!(&bob.recv().body[..], b"end");
        assert_eq!((0..5).map(|_| carol.recv().seq).last(), Some(6));
        let (listed, _) = bob.list(&token);
        let listed = listed.into_iter().find(|listed| listed.channel == group(&name)).unwrap();
        assert_eq!((listed.head, listed.flags), (3, conversation_flag::LEFT));
        no_more_than_three(&mut bob, &name);
        assert_eq!(members(&mut bob, &name), Err(Reason::NoChannel));
        assert_eq!(bob.try_send(&group(&name), "hello?").reason, Reason::NoChannel);
        assert_eq!(bob.read(&group(&name), 4).reason, Reason::EpochMismatch);
        assert_eq!(bob.read(&group(&name), 3).reason, Reason::Ok);
        assert_eq!(bob.change(Method::GroupAdd, &name, &[&bob.user.clone()]).reason, Reason::NoChannel);
        assert_eq!(alice.send(&group(&name), "7"), 7, "no refusal used a seq");
    });
    server.crash_and_restart();
    on_all(&server, |world| no_more_than_three(&mut world.connect("bob"), &world.name("g")));
}

fn no_more_than_three(bob: &mut Client, name: &str) {
    let seen = bob.sync_from(&group(name), 1);
    assert_eq!((seen.head, seen.images.len()), (3, 3));
    let listed = bob.listed(&group(name)).unwrap();
    assert_eq!(bob.sync(&group(name), listed.epoch, (1, 6), 0).to, 3);
    assert_eq!(bob.sync(&group(name), listed.epoch, (4, 6), 0).items, []);
    assert_eq!(bob.sync(&group(name), listed.epoch, (5, 6), 0).reason, Reason::EpochMismatch);
}

#[test]
fn who_comes_back_sees_from_there_on() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, _, name) = three(world);
        alice.send(&group(&name), "2");
        assert_eq!(alice.change(Method::GroupRemove, &name, &[&bob.user]).seq, 3);
        alice.send(&group(&name), "between");
        assert_eq!(alice.change(Method::GroupAdd, &name, &[&bob.user]).seq, 5);
        alice.send(&group(&name), "6");
        let seen = bob.sync_from(&group(&name), 1);
        assert!(seen.images.iter().all(|image| &image.body[..] != b"between"), "{seen:?}");
        assert_eq!(seen.images.last().unwrap().seq, 6);
        assert_eq!(bob.listed(&group(&name)).unwrap().flags, 0);
        assert_eq!(bob.send(&group(&name), "7"), 7);
    });
}

#[test]
fn a_removal_in_the_middle_of_a_burst_is_exact() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, mut carol, name) = three(world);
        for n in 0..60 {
            let send = Packet::Send(bob.next_send(&group(&name), format!("{n}")));
            bob.say(&send);
            if n == 30 {
                let call = alice.next_call(Method::GroupRemove, crate::harness::user_list(&name, &[&bob.user]));
                alice.say(&Packet::Call(call));
            }
        }
        let removed = alice.reply(alice.request).seq;
        for number in 1..=60 {
            let ack = bob.sendack(number);
            match ack.reason {
                Reason::Ok => assert!(ack.seq < removed, "{} after {removed}", ack.seq),
                reason => assert_eq!(reason, Reason::NoChannel),
            }
        }
        let head = alice.send(&group(&name), "after");
        assert_eq!(head, removed + 1);
        let seqs: Vec<u64> = (2..=head).map(|_| carol.recv().seq).collect();
        assert_eq!(seqs, (2..=head).collect::<Vec<_>>());
        alice.send(&channel_of(&alice.user, &bob.user), "end");
        assert_eq!(bob.recv().seq, removed);
        assert_eq!(&bob.recv().body[..], b"end");
    });
}

/// Z02: a group that one is not in answers like one that does not exist.
#[test]
fn a_foreign_group_cannot_be_told_from_none() {
    everywhere(&[], |world| {
        let (mut alice, mut mallory) = (world.connect("alice"), world.connect("mallory"));
        let (there, none) = (world.name("there"), world.name("none.such"));
        alice.create(&there, &["bob"]);
        alice.send(&group(&there), "secret");
        let mut ask = |name: &str| {
            let send = mallory.try_send(&group(name), "knock");
            let sync = mallory.sync(&group(name), 1, (1, 1), 0);
            let read = mallory.read(&group(name), 1);
            let add = mallory.change(Method::GroupAdd, name, &["mallory"]);
            let remove = mallory.change(Method::GroupRemove, name, &["bob"]);
            let listed = members_after(&mut mallory, name);
            let calls = [read, add, remove, listed];
            let calls = calls.map(|reply| (reply.reason, reply.seq, reply.time_ms, reply.fields, reply.tlvs));
            let sync = (sync.reason, sync.epoch, sync.head, sync.from, sync.to, sync.items, sync.tlvs);
            (send.reason, send.seq, send.time_ms, send.tlvs, sync, calls)
        };
        let (foreign, missing) = (ask(&there), ask(&none));
        assert_eq!(foreign, missing);
        assert_eq!(foreign.0, Reason::NoChannel);
        assert!(mallory.list(&Bytes::new()).0.is_empty());
        assert_eq!(alice.send(&group(&there), "next"), 3);
    });
}

#[test]
fn a_group_has_a_largest_size() {
    everywhere(&["groups.max_members=120"], |world| {
        let mut alice = world.connect("alice");
        let name = world.name("g");
        let users: Vec<String> = (0..120).map(|n| format!("user{n:03}")).collect();
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        alice.create(&name, &users[..100]);
        assert_eq!(alice.change(Method::GroupAdd, &name, &users[100..]).reason, Reason::TooManyMembers);
        assert_eq!(alice.change(Method::GroupAdd, &name, &users[100..119]).seq, 2);
        assert_eq!(alice.change(Method::GroupAdd, &name, &users[119..]).reason, Reason::TooManyMembers);
        let all = members(&mut alice, &name).unwrap();
        assert!(all.len() == 120 && all.is_sorted());
        assert_eq!(all[0], (alice.user.clone(), 2));
    });
}

#[test]
fn membership_outlives_a_crash() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, bob, _, name) = three(world);
        assert_eq!(alice.change(Method::GroupRemove, &name, &[&bob.user]).seq, 2);
    });
    server.crash_and_restart();
    for via in Via::ALL {
        let world = World { server: &server, via };
        let (mut alice, mut bob, mut carol) = (world.connect("alice"), world.connect("bob"), world.connect("carol"));
        let name = world.name("g");
        assert_eq!(members(&mut carol, &name).unwrap(), [(alice.user.clone(), 2), (carol.user.clone(), 0)]);
        assert_eq!(bob.try_send(&group(&name), "x").reason, Reason::NoChannel);
        assert_eq!(carol.send(&group(&name), "x"), 3);
        assert_eq!(alice.recv().seq, 3);
    }
}

#[test]
fn the_list_tells_what_groups_are_called_to_who_is_in_them() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let name = world.name("team");
        let reply = alice.create_with(
            &name,
            &[&bob.user],
            &[(tag::NAME, b"The team"), (tag::AVATAR, b"https://example.com/a")],
        );
        assert_eq!(reply.reason, Reason::Ok);
        let channel = group(&name);
        let told = bob.listed(&channel).unwrap();
        assert_eq!((&told.name[..], &told.avatar[..]), (&b"The team"[..], &b"https://example.com/a"[..]));
        assert_eq!(alice.set(&name, &[(tag::NAME, b"The crew")]).reason, Reason::Ok);
        assert_eq!(bob.listed(&channel).unwrap().name, "The crew");
        assert_eq!(alice.change(Method::GroupRemove, &name, &[&bob.user]).reason, Reason::Ok);
        assert_eq!(alice.set(&name, &[(tag::NAME, b"Without Bob")]).reason, Reason::Ok);
        assert_eq!(bob.listed(&channel).unwrap().name, "", "who left learns nothing more");
    });
}
