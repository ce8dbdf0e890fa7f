//! How much a user has not read, and how much of it mentions them: counted from marks and memberships.

use bytes::Bytes;
use postrider_protocol::{
    Channel, Method, Reason, Tlvs, image_flag,
    packet::{Packet, SendPacket},
    tag, write_ids,
};

use crate::harness::{Client, Server, Via, World, channel_of, everywhere, group, id, on_all};

/// The SEND that mentions these users; with nobody and `MENTION_ALL`, everybody.
fn mention(client: &mut Client, channel: &Channel, flags: u16, users: &[&str]) -> SendPacket {
    let users = write_ids(&users.iter().map(|user| id(user)).collect::<Vec<_>>());
    let tlvs = Tlvs::from_pairs((!users.is_empty()).then_some((tag::MENTIONS, &users[..])));
    SendPacket { flags: image_flag::COUNTABLE | flags, tlvs, ..client.next_send(channel, "look") }
}

/// Unread and mentions of a conversation.
fn counts(client: &mut Client, channel: &Channel) -> (u16, u16) {
    let listed = client.listed(channel).unwrap();
    (listed.unread, listed.mentions)
}

#[test]
fn unread_is_what_others_sent_above_the_mark() {
    let mut server = Server::start(&[]);
    let check = |world: World<'_>, expected: u16| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        assert_eq!((counts(&mut bob, &channel).0, counts(&mut alice, &channel).0), (expected, 1));
    };
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        alice.send_many(5, &channel, "x");
        assert_eq!((counts(&mut bob, &channel), counts(&mut alice, &channel)), ((5, 0), (0, 0)));
        bob.send(&channel, "own messages do not count, and do not read");
        assert_eq!((counts(&mut bob, &channel), counts(&mut alice, &channel)), ((5, 0), (1, 0)));
        bob.read(&channel, 3);
        assert_eq!(counts(&mut bob, &channel), (2, 0));
        let quiet = SendPacket { flags: 0, ..alice.next_send(&channel, "not countable") };
        assert_eq!(alice.resend(&quiet).seq, 7);
        alice.send(&channel, "y");
        check(world, 3);
    });
    server.crash_and_restart();
    on_all(&server, |world| check(world, 3));
    on_all(&server, |world| {
        let (alice, mut bob) = (world.name("alice"), world.connect("bob"));
        let channel = channel_of(&alice, &bob.user);
        assert_eq!(bob.read(&channel, 8).reason, Reason::Ok);
        assert_eq!(counts(&mut bob, &channel), (0, 0));
    });
}

#[test]
fn notes_to_self_and_events_are_never_unread() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let notes = channel_of(&alice.user, &alice.user);
        alice.send_many(3, &notes, "note");
        assert_eq!(counts(&mut alice, &notes), (0, 0));
        let name = world.name("g");
        alice.create(&name, &[&bob.user]);
        assert_eq!(alice.change(Method::GroupAdd, &name, &["carol"]).seq, 2);
        assert_eq!(counts(&mut bob, &group(&name)), (0, 0));
        alice.send(&group(&name), "3");
        assert_eq!((counts(&mut bob, &group(&name)), counts(&mut alice, &group(&name))), ((1, 0), (0, 0)));
        alice.send_many(30, &group(&name), "x");
        assert_eq!((counts(&mut bob, &group(&name)), counts(&mut alice, &group(&name))), ((31, 0), (0, 0)));
    });
}

#[test]
fn unread_is_exact_to_a_thousand_and_one_more_stands_for_any_above() {
    let server = Server::start(&[]);
    let world = World { server: &server, via: Via::Tcp };
    let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
    let channel = channel_of(&alice.user, &bob.user);
    let mut send = |count: u64| {
        for _ in 0..count.div_ceil(60) {
            let sends: Vec<_> = (0..60).map(|_| Packet::Send(alice.next_send(&channel, "x"))).collect();
            alice.say_all(&sends);
            alice.ping();
            (0..60).for_each(|back| assert_eq!(alice.sendack(alice.number - back).reason, Reason::Ok));
        }
    };
    send(1_020);
    bob.read(&channel, 21);
    assert_eq!(counts(&mut bob, &channel), (999, 0));
    bob.read(&channel, 20);
    assert_eq!(counts(&mut bob, &channel), (999, 0), "the mark does not go back");
    send(60);
    assert_eq!(counts(&mut bob, &channel), (1_001, 0));
    bob.read(&channel, 80);
    assert_eq!(counts(&mut bob, &channel), (1_000, 0));
    bob.read(&channel, 81);
    assert_eq!(counts(&mut bob, &channel), (999, 0));
}

#[test]
fn mentions_count_for_those_they_name() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, mut carol) = (world.connect("alice"), world.connect("bob"), world.connect("carol"));
        let name = world.name("g");
        alice.create(&name, &[&bob.user, &carol.user]);
        let channel = group(&name);
        let some = mention(&mut alice, &channel, image_flag::MENTIONS, &[&bob.user, "nobody"]);
        assert_eq!(alice.resend(&some).seq, 2);
        assert_eq!(bob.recv().seq, 1);
        let image = bob.recv();
        assert_eq!((image.flags, image.tlvs.get_ids(tag::MENTIONS).unwrap().len()), (some.flags, 2));
        let all = mention(&mut alice, &channel, image_flag::MENTION_ALL, &[]);
        assert_eq!(alice.resend(&all).seq, 3);
        let both = mention(&mut alice, &channel, image_flag::MENTION_ALL | image_flag::MENTIONS, &[&bob.user]);
        assert_eq!(alice.resend(&both).seq, 4);
        alice.send(&channel, "none");
        assert_eq!((counts(&mut bob, &channel), counts(&mut carol, &channel)), ((4, 3), (4, 2)));
        assert_eq!(counts(&mut alice, &channel), (0, 0), "who writes does not mention themselves");
        bob.read(&channel, 3);
        assert_eq!(counts(&mut bob, &channel), (2, 1));
        let forbidden = mention(&mut bob, &channel, image_flag::MENTION_ALL, &[]);
        assert_eq!(bob.resend(&forbidden).reason, Reason::NotAllowed);
    });
}

#[test]
fn a_mention_that_does_not_say_what_it_is_is_malformed() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let name = world.name("g");
        alice.create(&name, &[]);
        let many: Vec<String> = (0..101).map(|n| format!("user-{n:03}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let person = channel_of(&alice.user, "bob");
        for (channel, flags, users) in [
            (group(&name), image_flag::MENTIONS, &[][..]),
            (group(&name), 0, &["bob"]),
            (group(&name), image_flag::MENTION_ALL, &["bob"]),
            (group(&name), image_flag::MENTIONS, &many),
            (person.clone(), image_flag::MENTIONS, &["bob"]),
            (person, image_flag::MENTION_ALL, &[]),
        ] {
            let send = mention(&mut alice, &channel, flags, users);
            assert_eq!(alice.resend(&send).reason, Reason::Malformed, "{send:?}");
        }
        let most = mention(&mut alice, &group(&name), image_flag::MENTIONS, &many[1..]);
        assert_eq!(alice.resend(&most).seq, 2, "no refusal used a seq");
    });
}

/// What the definition of unread needs of a message.
struct Told {
    author: usize,
    is_countable: bool,
    mentions: Vec<usize>,
}

/// What it needs of a user: when they were a member, what they read and cleared.
#[derive(Default)]
struct Seen {
    spans: Vec<(u64, u64)>,
    read: u64,
    cleared: u64,
}

/// Users in a group of which one comes and goes, and what must be true of it.
struct Model {
    clients: Vec<Client>,
    channel: Channel,
    name: String,
    told: Vec<Told>,
    seen: Vec<Seen>,
}

impl Model {
    fn head(&self) -> u64 {
        self.told.len() as u64
    }

    fn last(&self, user: usize) -> u64 {
        self.seen[user].spans.last().map_or(0, |(_, last)| self.head().min(*last))
    }

    fn step(&mut self, dice: &mut impl FnMut(u64) -> u64) {
        let user = dice(self.clients.len() as u64) as usize;
        let is_member = self.seen[user].spans.last().is_some_and(|(_, last)| *last == u64::MAX);
        let seq = dice(self.last(user) + 1);
        match dice(12) {
            0 if user > 0 && is_member => self.membership(user, Method::GroupRemove),
            1 if user > 0 && !is_member => self.membership(user, Method::GroupAdd),
            2 => {
                let seen = &mut self.seen[user];
                let expected = if seen.spans.is_empty() { Reason::NoChannel } else { Reason::Ok };
                assert_eq!(self.clients[user].read(&self.channel, seq).reason, expected);
                seen.read = seen.read.max(if expected == Reason::Ok { seq } else { 0 });
            }
            3 if dice(4) == 0 && !self.seen[user].spans.is_empty() => {
                let settings = Tlvs::from_pairs([(tag::CLEARED, &seq.to_be_bytes()[..])]);
                assert_eq!(
                    crate::conversations::set(&mut self.clients[user], &self.channel, &settings).reason,
                    Reason::Ok
                );
                self.seen[user].cleared = self.seen[user].cleared.max(seq);
            }
            _ if is_member => self.message(user, dice),
            _ => assert_eq!(self.clients[user].try_send(&self.channel, "x").reason, Reason::NoChannel),
        }
    }

    fn membership(&mut self, user: usize, method: Method) {
        let named = self.clients[user].user.clone();
        assert_eq!(self.clients[0].change(method, &self.name, &[&named]).seq, self.head() + 1);
        self.told.push(Told { author: 0, is_countable: false, mentions: Vec::new() });
        let (head, spans) = (self.head(), &mut self.seen[user].spans);
        if method == Method::GroupRemove {
            spans.last_mut().unwrap().1 = head;
            return;
        }
        spans.push((head, u64::MAX));
        // Nine are kept: the present one, and eight before it.
        if spans.len() > 9 {
            spans.remove(0);
        }
    }

    fn message(&mut self, author: usize, dice: &mut impl FnMut(u64) -> u64) {
        let is_countable = dice(6) > 0;
        let mentions: Vec<usize> = (0..self.clients.len()).filter(|_| dice(8) == 0).collect();
        let named: Vec<_> = mentions.iter().map(|at| self.clients[*at].user.clone()).collect();
        let named: Vec<_> = named.iter().map(String::as_str).collect();
        let flags = if named.is_empty() { 0 } else { image_flag::MENTIONS };
        let mut send = mention(&mut self.clients[author], &self.channel, flags, &named);
        if !is_countable {
            send.flags &= !image_flag::COUNTABLE;
        }
        assert_eq!(self.clients[author].resend(&send).seq, self.head() + 1);
        self.told.push(Told { author, is_countable, mentions });
    }

    fn definition(&self, user: usize) -> (u16, u16) {
        let seen = &self.seen[user];
        let told = (1..).zip(&self.told).filter(|(seq, told)| {
            let is_visible = seen.spans.iter().any(|(first, last)| (*first..=*last).contains(seq));
            told.is_countable && told.author != user && is_visible && *seq > seen.read.max(seen.cleared)
        });
        told.fold((0, 0), |(unread, mentions), (_, told)| {
            (unread + 1, mentions + u16::from(told.mentions.contains(&user)))
        })
    }

    fn check(&mut self) {
        for user in 0..self.clients.len() {
            let (expected, last) = (self.definition(user), self.last(user));
            let Some(listed) = self.clients[user].listed(&self.channel) else {
                assert!(self.seen[user].spans.is_empty());
                continue;
            };
            assert_eq!((listed.unread, listed.mentions), expected, "user {user} of head {last}");
            assert_eq!(
                (listed.head, listed.read, listed.cleared),
                (last, self.seen[user].read, self.seen[user].cleared)
            );
        }
    }

    /// What SYNC tells of all seqs is what the times as a member say.
    fn check_visible(&mut self) {
        for user in 0..self.clients.len() {
            let seen = &self.seen[user];
            if seen.spans.is_empty() {
                continue;
            }
            let visible = |seq: &u64| {
                *seq > seen.cleared && seen.spans.iter().any(|(first, last)| (*first..=*last).contains(seq))
            };
            let expected: Vec<u64> = (1..=self.last(user)).filter(visible).collect();
            let synced = self.clients[user].sync_from(&self.channel, 1);
            let got: Vec<u64> = synced.images.iter().map(|image| image.seq).collect();
            assert_eq!(got, expected, "user {user}");
        }
    }
}

#[test]
fn unread_and_what_is_visible_equal_their_definition_over_the_wire_also_after_kill_9() {
    let mut server = Server::start(&[]);
    let connect = |server: &Server| -> Vec<Client> {
        let world = World { server, via: Via::Tcp };
        (0..5).map(|at| world.connect_as(&format!("user{at}"), "")).collect()
    };
    let mut clients = connect(&server);
    let name = "g".to_owned();
    let others: Vec<String> = clients[1..3].iter().map(|client| client.user.clone()).collect();
    clients[0].create(&name, &[&others[0], &others[1]]);
    let told = vec![Told { author: 0, is_countable: false, mentions: Vec::new() }];
    let seen =
        (0..5).map(|at| Seen { spans: if at < 3 { vec![(1, u64::MAX)] } else { Vec::new() }, ..Seen::default() });
    let mut model = Model { clients, channel: group(&name), name, told, seen: seen.collect() };
    let mut state = 11_u64;
    let mut dice = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for round in 0..4 {
        for _ in 0..300 {
            model.step(&mut dice);
            if dice(10) == 0 {
                model.check();
            }
        }
        model.check();
        model.check_visible();
        if round % 2 == 1 {
            server.crash_and_restart();
            model.clients = connect(&server);
            model.check();
            model.check_visible();
        }
    }
    let joined = model.seen.iter().map(|seen| seen.spans.len()).max().unwrap();
    assert!(joined == 9, "somebody came and went more often than is kept: {joined}");
}

#[test]
fn reading_is_what_ends_unread_whatever_was_listed_before() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        alice.send_many(2, &channel, "x");
        let (_, token) = bob.list(&Bytes::new());
        assert!(bob.list(&token).0.is_empty());
        assert_eq!(bob.read(&channel, 2).reason, Reason::Ok);
        let (changed, token) = bob.list(&token);
        assert_eq!((changed.len(), changed[0].unread, changed[0].read), (1, 0, 2), "other devices learn of it");
        let again = bob.read(&channel, 1);
        assert_eq!((again.reason, again.seq, again.time_ms), (Reason::Ok, 0, 0), "it changes nothing");
        assert!(bob.list(&token).0.is_empty());
    });
}
