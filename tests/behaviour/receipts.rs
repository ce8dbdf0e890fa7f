//! Who has got and read a message: counted from the marks of those who were there when it came.

use postrider_protocol::{
    Channel, Method, Reason,
    packet::marks::{self, Receipt, ReceiptsPage},
};

use crate::harness::{Client, Server, Via, World, channel_of, everywhere, group, id, on_all, until};

fn ask(client: &mut Client, channel: &Channel, seq: u64, after: Option<&str>) -> Result<ReceiptsPage, Reason> {
    let mut fields = Vec::new();
    marks::write_receipts(&mut fields, channel, seq, after.map(id).as_ref());
    let reply = client.call(Method::Receipts, fields.into());
    if reply.reason == Reason::Ok { Ok(ReceiptsPage::decode(reply.fields).unwrap()) } else { Err(reply.reason) }
}

/// Members, delivered, read.
fn counts(client: &mut Client, channel: &Channel, seq: u64) -> (u32, u32, u32) {
    let page = ask(client, channel, seq, None).unwrap();
    (page.members, page.delivered, page.read)
}

/// Says that a device has a channel, and waits until others can know.
fn delivered(client: &mut Client, channel: &Channel, seq: u64, asker: &mut Client) {
    client.recvack(channel, seq);
    client.ping();
    until("the receipt", || (counts(asker, channel, seq).1 == 1).then_some(()));
}

#[test]
fn delivered_and_read_are_two_things_between_two_people() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        alice.send_many(3, &channel, "x");
        assert_eq!(counts(&mut alice, &channel, 1), (1, 0, 0));
        delivered(&mut bob, &channel, 2, &mut alice);
        assert_eq!((counts(&mut alice, &channel, 2), counts(&mut alice, &channel, 3)), ((1, 1, 0), (1, 0, 0)));
        assert_eq!(bob.read(&channel, 1).reason, Reason::Ok);
        assert_eq!((counts(&mut alice, &channel, 1), counts(&mut alice, &channel, 2)), ((1, 1, 1), (1, 1, 0)));
        let page = ask(&mut alice, &channel, 1, None).unwrap();
        assert_eq!((page.users, page.more), (vec![(id(&bob.user), Receipt::Read)], false));
        assert_eq!(bob.read(&channel, 3).reason, Reason::Ok);
        assert_eq!(counts(&mut alice, &channel, 3), (1, 1, 1), "what is read is delivered");
        let notes = channel_of(&alice.user, &alice.user);
        alice.send(&notes, "note");
        assert_eq!(counts(&mut alice, &notes, 1), (0, 0, 0));
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        let (mut alice, bob) = (world.connect("alice"), world.name("bob"));
        let channel = channel_of(&alice.user, &bob);
        assert_eq!(counts(&mut alice, &channel, 3), (1, 1, 1));
    });
}

#[test]
fn who_was_there_when_it_came_is_counted_and_nobody_else() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, mut carol) = (world.connect("alice"), world.connect("bob"), world.connect("carol"));
        let (mut dave, name) = (world.connect("dave"), world.name("g"));
        alice.create(&name, &[&bob.user, &carol.user]);
        let channel = group(&name);
        assert_eq!(alice.send(&channel, "2"), 2);
        assert_eq!(bob.read(&channel, 2).reason, Reason::Ok);
        assert_eq!(counts(&mut alice, &channel, 2), (2, 1, 1));
        assert_eq!(alice.change(Method::GroupAdd, &name, &[&dave.user]).seq, 3);
        assert_eq!(dave.read(&channel, 3).reason, Reason::Ok);
        assert_eq!(counts(&mut alice, &channel, 2), (2, 1, 1), "who came later was not there");
        assert_eq!(alice.change(Method::GroupRemove, &name, &[&bob.user]).seq, 4);
        assert_eq!(counts(&mut alice, &channel, 2), (2, 1, 1), "who has left was there");
        assert_eq!(alice.send(&channel, "5"), 5);
        assert_eq!(carol.read(&channel, 5).reason, Reason::Ok);
        assert_eq!((counts(&mut alice, &channel, 5), counts(&mut alice, &channel, 2)), ((2, 1, 1), (2, 2, 2)));
        assert_eq!(alice.change(Method::GroupAdd, &name, &[&bob.user]).seq, 6);
        assert_eq!(counts(&mut alice, &channel, 5), (2, 1, 1), "who comes back was away");
        assert_eq!(counts(&mut carol, &channel, 2), (2, 2, 2), "any member may ask");
        let page = ask(&mut carol, &channel, 2, None).unwrap();
        assert_eq!(page.users, [(id(&bob.user), Receipt::Read), (id(&carol.user), Receipt::Read)]);
    });
}

#[test]
fn who_may_not_see_a_message_learns_nothing_of_it() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, mut mallory) =
            (world.connect("alice"), world.connect("bob"), world.connect("mallory"));
        let name = world.name("g");
        alice.create(&name, &[]);
        let channel = group(&name);
        alice.send(&channel, "2");
        assert_eq!(alice.change(Method::GroupAdd, &name, &[&bob.user]).seq, 3);
        assert_eq!(ask(&mut bob, &channel, 2, None), Err(Reason::NoTarget), "before their time");
        for seq in [0, 4] {
            assert_eq!(ask(&mut alice, &channel, seq, None), Err(Reason::NoTarget));
        }
        assert_eq!(ask(&mut mallory, &channel, 2, None), Err(Reason::NoChannel));
        assert_eq!(ask(&mut mallory, &group("none.such"), 2, None), Err(Reason::NoChannel));
        assert_eq!(alice.change(Method::GroupRemove, &name, &[&bob.user]).seq, 4);
        assert_eq!(ask(&mut bob, &channel, 3, None), Err(Reason::NoChannel), "who has left");
        assert_eq!(alice.call(Method::Receipts, b"junk"[..].into()).reason, Reason::Malformed);
    });
}

/// One mark says all that came before it: 3,000 messages of a big group take one entry of each reader.
#[test]
fn a_big_group_answers_with_counts_and_pages() {
    let server = Server::start(&["groups.max_members=10000"]);
    let world = World { server: &server, via: Via::Tcp };
    let mut alice = world.connect("alice");
    let name = world.name("g");
    alice.create(&name, &[]);
    let users: Vec<String> = (0..2_500).map(|at| format!("user-{at:05}")).collect();
    for users in users.chunks(100) {
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        assert_eq!(alice.change(Method::GroupAdd, &name, &users).reason, Reason::Ok);
    }
    let channel = group(&name);
    let seq = alice.send(&channel, "hello");
    for at in [1, 150, 2_400] {
        let mut client = Client::connect(&server, Via::Tcp, &users[at], "phone");
        assert_eq!(client.read(&channel, seq).reason, Reason::Ok);
    }
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = ask(&mut alice, &channel, seq, after.as_deref()).unwrap();
        assert_eq!((page.members, page.delivered, page.read), (2_500, 3, 3));
        all.extend(page.users);
        after = all.last().map(|(user, _)| user.to_string());
        if !page.more {
            break;
        }
    }
    assert!(all.len() == 2_500 && all.is_sorted_by_key(|(user, _)| user.clone()));
    let readers = all.iter().filter(|(_, state)| *state == Receipt::Read).map(|(user, _)| user.to_string());
    assert_eq!(readers.collect::<Vec<_>>(), [&users[1], &users[150], &users[2_400]].map(String::as_str));
}
