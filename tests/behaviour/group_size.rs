//! Groups: kicks amid what everybody writes, a thousand times; ten thousand members.

use std::time::Instant;

use postrider_protocol::{ImageKind, Method, Reason, packet::Packet};

use crate::harness::{Client, Server, Via, World, channel_of, group, on_all, user_list};

/// Trap 14: who is removed at seq k gets everything up to k, k itself once, and nothing above; nothing of theirs is
/// stored above k.
#[test]
fn a_kicked_member_gets_nothing_after_the_kick_over_a_thousand_races() {
    let server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob, mut carol) = (world.connect("alice"), world.connect("bob"), world.connect("carol"));
        let name = world.name("g");
        alice.create(&name, &[&bob.user, &carol.user]);
        let mut next = 1;
        for round in 0..250 {
            next = kick_and_bring_back(&mut alice, &mut bob, &mut carol, &name, (round, next));
        }
        // The log has what the acknowledgements said: nothing of Bob's lies outside his times as a member.
        let mut is_in = true;
        for image in carol.sync_from(&group(&name), 1).images {
            match ImageKind::from_number(image.kind) {
                Some(ImageKind::MembersRemoved) => is_in = false,
                Some(ImageKind::MembersJoined) => is_in = true,
                _ => assert!(is_in || image.author().as_str() != bob.user, "seq {}", image.seq),
            }
        }
    });
}

/// One race: Bob and Carol write while Alice removes Bob, and she brings him back. `next` is the first seq that Bob has
/// not heard of; returns it for the next round.
fn kick_and_bring_back(
    alice: &mut Client,
    bob: &mut Client,
    carol: &mut Client,
    name: &str,
    (round, next): (u64, u64),
) -> u64 {
    let channel = group(name);
    let write = |client: &mut Client, count: u64| {
        let sends: Vec<_> =
            (0..count).map(|n| Packet::Send(client.next_send(&channel, format!("{round}/{n}")))).collect();
        client.say_all(&sends);
        (client.number - count + 1)..=client.number
    };
    let call = alice.next_call(Method::GroupRemove, user_list(name, &[&bob.user]));
    let mut mine = write(bob, 1 + round % 4);
    if round % 2 == 0 {
        alice.say(&Packet::Call(call.clone()));
    }
    let others = write(carol, 1 + round % 3);
    if round % 2 == 1 {
        alice.say(&Packet::Call(call.clone()));
    }
    let late = write(bob, 2);
    mine = *mine.start()..=*late.end();
    let kicked = alice.reply(call.request).seq;
    let mut own = Vec::new();
    for number in mine {
        let ack = bob.sendack(number);
        match ack.reason {
            Reason::Ok => {
                assert!(ack.seq < kicked, "{} was taken after {kicked}", ack.seq);
                own.push(ack.seq);
            }
            reason => assert_eq!(reason, Reason::NoChannel),
        }
    }
    others.for_each(|number| assert_eq!(carol.sendack(number).reason, Reason::Ok));
    let back = alice.change(Method::GroupAdd, name, &[&bob.user]).seq;
    let expected = (next..=kicked).filter(|seq| !own.contains(seq)).chain([back]);
    for seq in expected {
        let image = bob.recv_of(&channel);
        let kind = if seq == kicked { ImageKind::MembersRemoved } else { ImageKind::MembersJoined };
        assert_eq!(image.seq, seq, "round {round}: kicked at {kicked}, back at {back}");
        assert!(image.kind == kind.number() || seq != kicked && seq != back);
    }
    back + 1
}

#[test]
fn ten_thousand_members_read_and_write_like_two() {
    const MEMBERS: usize = 10_000;
    let mut server = Server::start(&["groups.max_members=10000"]);
    let world = World { server: &server, via: Via::Tcp };
    let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
    let users: Vec<String> = (0..MEMBERS - 2).map(|n| format!("member{n:05}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    alice.create("big", &[&bob.user]);
    let mut slowest = 0;
    for hundred in users.chunks(100) {
        let start = Instant::now();
        assert_eq!(alice.change(Method::GroupAdd, "big", hundred).reason, Reason::Ok);
        slowest = slowest.max(start.elapsed().as_millis());
    }
    println!("adding a hundred members took at most {slowest} ms");
    assert_eq!(alice.change(Method::GroupAdd, "big", &["one.more"]).reason, Reason::TooManyMembers);
    let head = alice.send(&group("big"), "to all of you");
    assert_eq!(alice.info("big").unwrap().members as usize, MEMBERS);
    let mut last = Client::connect(&server, Via::Ws, users[MEMBERS - 3], "phone");
    bob.send(&group("big"), "hello");
    assert_eq!(last.recv_of(&group("big")).seq, head + 1);
    let start = Instant::now();
    let members = last.members("big").unwrap();
    println!("{} members in {} ms", members.len(), start.elapsed().as_millis());
    assert!(members.len() == MEMBERS && members.is_sorted_by_key(|member| member.user.clone()));
    assert_eq!(alice.change(Method::GroupRemove, "big", &[&last.user]).reason, Reason::Ok);
    bob.send(&group("big"), "without them");
    alice.send(&channel_of(&alice.user, &last.user), "end");
    assert_eq!(last.recv().kind, ImageKind::MembersRemoved.number());
    assert_eq!(&last.recv().body[..], b"end");
    drop((alice, bob, last));
    server.crash_and_restart();
    let mut bob = World { server: &server, via: Via::Tcp }.connect("bob");
    let start = Instant::now();
    assert!(bob.send(&group("big"), "still here") > head);
    println!("the first message after a start took {} ms", start.elapsed().as_millis());
    assert_eq!(bob.info("big").unwrap().members as usize, MEMBERS - 1);
    assert_eq!(bob.members("big").unwrap().len(), MEMBERS - 1);
}
