//! Groups: every way in, who waits, the limit of members, what is seen of before.

use postrider_protocol::{
    ImageKind, Method, Reason, Tlvs,
    packet::{Packet, conversation_flag, groups, groups::waiting},
    tag,
};

use crate::harness::{Client, Server, Via, World, everywhere, group, id, on_all, user_list};

const APPROVAL: (u16, &[u8]) = (tag::JOIN_MODE, &[0, 0, 0, 1]);
const INVITED: (u16, &[u8]) = (tag::JOIN_MODE, &[0, 0, 0, 2]);
const OPEN: (u16, &[u8]) = (tag::JOIN_MODE, &[0, 0, 0, 0]);
const HISTORY: (u16, &[u8]) = (tag::HISTORY, &[0, 0, 0, 1]);

/// Alice's group with Bob, set like this; Carol is none of it.
fn two(world: World<'_>, with: &[(u16, &[u8])]) -> (Client, Client, Client, String) {
    let (mut alice, mut bob, carol) = (world.connect("alice"), world.connect("bob"), world.connect("carol"));
    let name = world.name("g");
    let with: Vec<_> = [(tag::NAME, &b"Team"[..])].into_iter().chain(with.iter().copied()).collect();
    assert_eq!(alice.create_with(&name, &[&bob.user], &with).seq, 1);
    assert_eq!(bob.recv().seq, 1);
    (alice, bob, carol, name)
}

/// Who waits, why, and by whom.
fn waiting_in(client: &mut Client, name: &str) -> Vec<(String, u8, String)> {
    let all = client.requests(name).unwrap();
    all.into_iter().map(|one| (one.user.to_string(), one.what, one.by.to_string())).collect()
}

#[test]
fn anybody_joins_an_open_group() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, mut carol, name) = two(world, &[]);
        alice.send(&group(&name), "2");
        let info = carol.info(&name).unwrap();
        assert_eq!((info.role, info.members, info.flags), (255, 2, 0));
        assert_eq!(info.tlvs.iter().map(|(tag, _)| tag).collect::<Vec<_>>(), [tag::NAME, tag::JOIN_MODE]);
        let reply = carol.join(&name, "hello");
        assert_eq!((reply.reason, reply.seq), (Reason::Ok, 3));
        assert_eq!((bob.recv().seq, bob.recv().seq), (2, 3));
        let image = alice.recv();
        assert_eq!((image.kind, image.author()), (ImageKind::MembersJoined.number(), id(&carol.user)));
        assert_eq!(groups::read_users(image.body).unwrap(), [id(&carol.user)]);
        assert_eq!(carol.join(&name, "").reason, Reason::AlreadyExists);
        assert_eq!(carol.send(&group(&name), "here"), 4);
        let member = carol.members(&name).unwrap().pop().unwrap();
        assert_eq!((member.user, member.role, member.joined, member.inviter), (id(&carol.user), 0, 3, None));
        assert_eq!(bob.requests(&name), Err(Reason::NotAllowed));
        assert_eq!(world.connect("dave").requests(&name), Err(Reason::NoChannel));
    });
}

#[test]
fn who_asks_joins_when_it_is_accepted() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob, mut carol, name) = two(world, &[APPROVAL]);
        let reply = carol.join(&name, "may I?");
        assert_eq!((reply.reason, reply.seq), (Reason::Ok, 0), "a request has no seq");
        assert_eq!(carol.try_send(&group(&name), "x").reason, Reason::NoChannel);
        assert_eq!(carol.members(&name), Err(Reason::NoChannel));
        assert_ne!(carol.info(&name).unwrap().flags & conversation_flag::ASKED, 0);
        assert_eq!(carol.join(&name, "please!").reason, Reason::Ok, "it replaces the first");
        let all = alice.requests(&name).unwrap();
        assert_eq!((all.len(), all[0].what, &all[0].text[..]), (1, waiting::ASKED, &b"please!"[..]));
        assert_eq!(bob.change(Method::GroupAdd, &name, &[&carol.user]).reason, Reason::NotAllowed);
        assert_eq!(bob.answer(&name, true, &[&carol.user]).reason, Reason::NotAllowed);
        assert_eq!(bob.answer(&name, false, &[&carol.user]).reason, Reason::NotAllowed);
        assert_eq!(alice.answer(&name, true, &[&carol.user, "dave"]).reason, Reason::VersionConflict);
        assert_eq!(alice.send(&group(&name), "2"), 2, "no request and no refusal used a seq");
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        let (mut alice, mut carol, name) = (world.connect("alice"), world.connect("carol"), world.name("g"));
        assert_eq!(alice.requests(&name).unwrap().len(), 1);
        assert_eq!(alice.answer(&name, true, &[&carol.user]).seq, 3);
        assert_eq!(carol.recv().kind, ImageKind::MembersJoined.number());
        assert_eq!(alice.requests(&name).unwrap(), []);
        assert_eq!(alice.answer(&name, true, &[&carol.user]).reason, Reason::VersionConflict);
        assert_eq!(carol.send(&group(&name), "thanks"), 4);
        let seen: Vec<u64> = carol.sync_from(&group(&name), 1).images.iter().map(|image| image.seq).collect();
        assert_eq!(seen, [3, 4], "what was before is not theirs");
    });
}

#[test]
fn a_request_is_refused_or_withdrawn_and_may_come_again() {
    everywhere(&[], |world| {
        let (mut alice, _, mut carol, name) = two(world, &[APPROVAL]);
        assert_eq!(carol.answer(&name, false, &[&carol.user.clone()]).reason, Reason::NoChannel);
        for who in 0..2 {
            assert_eq!(carol.join(&name, "").seq, 0);
            let user = carol.user.clone();
            let ends = if who == 0 { &mut alice } else { &mut carol };
            assert_eq!(ends.answer(&name, false, &[&user]).reason, Reason::Ok);
            assert_eq!(alice.requests(&name).unwrap(), []);
            assert_eq!(alice.answer(&name, true, &[&user]).reason, Reason::VersionConflict);
            assert_eq!(carol.info(&name).unwrap().flags, 0);
        }
        assert_eq!(carol.join(&name, "").reason, Reason::Ok);
    });
}

/// Z02: to who is not invited a closed group is none.
#[test]
fn only_the_invited_join_a_closed_group() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, mut carol, name) = two(world, &[INVITED]);
        let none = world.name("none.such");
        let mut mallory = world.connect("mallory");
        let mut ask = |name: &str| {
            let replies = [
                mallory.join(name, "let me in"),
                mallory.change(Method::GroupInvite, name, &["mallory"]),
                mallory.change(Method::GroupAdd, name, &["mallory"]),
                mallory.answer(name, false, &[&mallory.user.clone()]),
                mallory.answer(name, true, &["bob"]),
                mallory.set(name, &[(tag::NAME, b"x")]),
                mallory.dismiss(name),
                mallory.mute(name, 0, &[]),
                mallory.give_role(name, 1, &["mallory"]),
                mallory.transfer(name, "mallory"),
                mallory.nickname(name, "m"),
                mallory.call_writing(Method::GroupInfo, |out| groups::write_settings(out, &id(name), &Tlvs::new())),
            ];
            replies.map(|reply| (reply.reason, reply.seq, reply.time_ms, reply.fields, reply.tlvs))
        };
        let (foreign, missing) = (ask(&name), ask(&none));
        assert_eq!(foreign, missing);
        assert!(foreign.iter().all(|reply| reply.0 == Reason::NoChannel), "{foreign:?}");
        assert_eq!(bob.change(Method::GroupInvite, &name, &[&carol.user]).reason, Reason::NotAllowed);
        assert_eq!(alice.change(Method::GroupInvite, &name, &[&carol.user]).seq, 0);
        assert_eq!(waiting_in(&mut alice, &name), [(carol.user.clone(), waiting::INVITED, alice.user.clone())]);
        let info = carol.info(&name).unwrap();
        assert_eq!((info.flags, info.tlvs.get_text(tag::NAME)), (conversation_flag::INVITED, Some("Team")));
        assert_eq!(carol.join(&name, "").seq, 2);
        assert_eq!(bob.recv().seq, 2);
        assert_eq!(alice.requests(&name).unwrap(), []);
        assert_eq!(alice.change(Method::GroupInvite, &name, &[&carol.user, "dave"]).reason, Reason::AlreadyExists);
    });
}

#[test]
fn an_invitation_is_declined_or_withdrawn() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, mut carol, name) = two(world, &[]);
        let c = carol.user.clone();
        assert_eq!(bob.change(Method::GroupInvite, &name, &[&c, "dave", "eve"]).reason, Reason::Ok);
        let again = alice.change(Method::GroupInvite, &name, &[&c]);
        assert_eq!((again.reason, again.seq), (Reason::Ok, 0), "it is so already");
        let by_bob = |user: &str| (user.to_owned(), waiting::INVITED, bob.user.clone());
        let all = [by_bob(&c), by_bob("dave"), by_bob("eve")];
        assert_eq!(waiting_in(&mut alice, &name), all);
        assert_eq!(alice.answer(&name, true, &[&c]).reason, Reason::VersionConflict, "the invited join by themselves");
        assert_eq!(carol.answer(&name, false, &["dave"]).reason, Reason::NoChannel);
        assert_eq!(carol.answer(&name, false, &[&c]).reason, Reason::Ok, "declined");
        assert_eq!(bob.answer(&name, false, &["dave"]).reason, Reason::Ok, "taken back by who gave it");
        assert_eq!(alice.answer(&name, false, &["eve"]).reason, Reason::Ok, "or by the owner");
        assert_eq!(alice.requests(&name).unwrap(), []);
        assert_eq!(alice.set(&name, &[INVITED]).seq, 2);
        assert_eq!(carol.join(&name, "").reason, Reason::NoChannel);
    });
}

#[test]
fn an_invitation_takes_the_place_of_a_request() {
    everywhere(&[], |world| {
        let (mut alice, _, mut carol, name) = two(world, &[APPROVAL]);
        assert_eq!(carol.join(&name, "?").seq, 0);
        assert_eq!(alice.change(Method::GroupInvite, &name, &[&carol.user]).reason, Reason::Ok);
        assert_eq!(waiting_in(&mut alice, &name), [(carol.user.clone(), waiting::INVITED, alice.user.clone())]);
        assert_eq!(carol.join(&name, "").seq, 2);
        assert_eq!(alice.requests(&name).unwrap(), []);
    });
}

#[test]
fn new_members_see_what_was_before_if_the_group_says_so() {
    let mut server = Server::start(&[]);
    let ways = ["added", "joined", "accepted", "back"];
    on_all(&server, |world| {
        let (mut alice, _, _, name) = two(world, &[HISTORY]);
        alice.send(&group(&name), "2");
        let mut back = world.connect("back");
        assert_eq!(back.join(&name, "").seq, 3);
        assert_eq!(back.change(Method::GroupRemove, &name, &[&back.user.clone()]).seq, 4);
        alice.send(&group(&name), "5");
        assert_eq!(alice.change(Method::GroupAdd, &name, &[&world.name("added")]).seq, 6);
        assert_eq!(world.connect("joined").join(&name, "").seq, 7);
        assert_eq!(alice.set(&name, &[APPROVAL]).seq, 8);
        assert_eq!(world.connect("accepted").join(&name, "").seq, 0);
        assert_eq!(alice.answer(&name, true, &[&world.name("accepted")]).seq, 9);
        assert_eq!(alice.change(Method::GroupAdd, &name, &[&back.user]).seq, 10);
        ways.iter().for_each(|user| sees_all(world, user, &name));
    });
    server.crash_and_restart();
    on_all(&server, |world| ways.iter().for_each(|user| sees_all(world, user, &world.name("g"))));
}

fn sees_all(world: World<'_>, user: &str, name: &str) {
    let seqs: Vec<u64> = world.connect(user).sync_from(&group(name), 1).images.iter().map(|one| one.seq).collect();
    assert_eq!(seqs, (1..=10).collect::<Vec<_>>(), "{user}");
}

/// Trap 13: whoever comes first, and by whatever way, the limit holds.
#[test]
fn the_limit_of_members_holds_against_all_who_come_at_once() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, _, name) = two(world, &[(tag::MAX_MEMBERS, &[0, 0, 0, 6])]);
        let mut joining: Vec<Client> = (0..8).map(|n| world.connect(&format!("user{n}"))).collect();
        for round in 0..5 {
            let mut calls = Vec::new();
            for client in &mut joining {
                let mut fields = Vec::new();
                groups::write_join(&mut fields, &id(&name), b"");
                calls.push(client.next_call(Method::GroupJoin, fields.into()));
            }
            let adds = [&mut alice, &mut bob].map(|client| {
                let call = client.next_call(Method::GroupAdd, user_list(&name, &["x", "y"]));
                client.say(&Packet::Call(call.clone()));
                call.request
            });
            joining.iter_mut().zip(&calls).for_each(|(client, call)| client.say(&Packet::Call(call.clone())));
            let mut came = 0;
            for (client, request) in [&mut alice, &mut bob].into_iter().zip(adds) {
                match client.reply(request).reason {
                    Reason::Ok => came += 2,
                    reason => assert!([Reason::TooManyMembers, Reason::AlreadyExists].contains(&reason), "{reason:?}"),
                }
            }
            for (client, call) in joining.iter_mut().zip(&calls) {
                match client.reply(call.request).reason {
                    Reason::Ok => came += 1,
                    reason => assert_eq!(reason, Reason::TooManyMembers),
                }
            }
            let members = alice.members(&name).unwrap();
            assert_eq!((members.len(), came), (6, 4), "round {round}");
            let others: Vec<String> = members.iter().map(|member| member.user.to_string()).collect();
            let others: Vec<&str> =
                others.iter().map(String::as_str).filter(|user| ![&*alice.user, &*bob.user].contains(user)).collect();
            assert_eq!(alice.change(Method::GroupRemove, &name, &others).reason, Reason::Ok);
        }
    });
}

#[test]
fn no_more_wait_than_may() {
    everywhere(&[], |world| {
        let (mut alice, _, mut carol, name) = two(world, &[APPROVAL]);
        let users: Vec<String> = (0..1_001).map(|n| format!("user{n:04}")).collect();
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        for hundred in users[..1_000].chunks(100) {
            assert_eq!(alice.change(Method::GroupInvite, &name, hundred).reason, Reason::Ok);
        }
        assert_eq!(carol.join(&name, "").reason, Reason::TooMany);
        assert_eq!(alice.change(Method::GroupInvite, &name, &[users[999], users[1_000]]).reason, Reason::TooMany);
        assert_eq!(alice.change(Method::GroupInvite, &name, &[users[999]]).reason, Reason::Ok, "it waits already");
        let all = alice.requests(&name).unwrap();
        assert!(all.len() == 1_000 && all.is_sorted_by_key(|one| one.user.clone()));
        assert_eq!(alice.answer(&name, false, &[users[0]]).reason, Reason::Ok);
        assert_eq!(carol.join(&name, "").reason, Reason::Ok);
        assert_eq!(alice.change(Method::GroupInvite, &name, &[users[0]]).reason, Reason::TooMany);
        let also = [users[0], &carol.user];
        assert_eq!(alice.change(Method::GroupInvite, &name, &also).reason, Reason::TooMany, "one who asked beside");
        assert_eq!(alice.change(Method::GroupAdd, &name, &[users[1]]).seq, 2, "who joins waits no more");
        assert_eq!(alice.change(Method::GroupInvite, &name, &[users[0]]).reason, Reason::Ok);
    });
}

/// A join becomes a request or a membership by what the group is set to: sent again it has its first answer, whatever
/// the group is set to now.
#[test]
fn a_repeated_join_has_its_first_answer() {
    let mut server = Server::start(&[]);
    let calls = std::sync::Mutex::new(Vec::new());
    on_all(&server, |world| {
        let (mut alice, _, mut carol, name) = two(world, &[APPROVAL]);
        let mut dave = world.connect("dave");
        let join = |client: &mut Client| {
            let mut fields = Vec::new();
            groups::write_join(&mut fields, &id(&name), b"hi");
            let call = client.next_call(Method::GroupJoin, fields.into());
            client.say(&Packet::Call(call.clone()));
            (call.clone(), client.reply(call.request))
        };
        let (call, asked) = join(&mut carol);
        assert_eq!((asked.reason, asked.seq), (Reason::Ok, 0));
        assert_eq!(alice.set(&name, &[OPEN]).seq, 2);
        let (dave_call, joined) = join(&mut dave);
        assert_eq!((joined.reason, joined.seq), (Reason::Ok, 3));
        assert_eq!(alice.set(&name, &[APPROVAL]).seq, 4);
        assert_eq!(alice.change(Method::GroupRemove, &name, &[&dave.user]).seq, 5);
        assert_eq!(alice.set(&name, &[OPEN]).seq, 6);
        let mut kept = calls.lock().unwrap();
        kept.push((world.via.name(), carol.sender, call, asked));
        kept.push((world.via.name(), dave.sender, dave_call, joined));
    });
    for _ in 0..2 {
        for (via, sender, call, first) in calls.lock().unwrap().iter() {
            let via = Via::ALL.into_iter().find(|one| one.name() == *via).unwrap();
            let user = if first.seq == 0 { "carol" } else { "dave" };
            let user = World { server: &server, via }.name(user);
            let mut client = Client::connect_with(&server, via, &user, "phone", *sender);
            client.say(&Packet::Call(call.clone()));
            assert_eq!(client.reply(call.request), *first);
        }
        server.crash_and_restart();
    }
    on_all(&server, |world| {
        let mut alice = world.connect("alice");
        assert_eq!(alice.members(&world.name("g")).unwrap().len(), 2, "nobody joined by a repetition");
        assert_eq!(alice.requests(&world.name("g")).unwrap().len(), 1);
    });
}

/// Trap 11: ids that look like addresses, like each other's beginnings, or are as long as may be.
#[test]
fn groups_and_users_with_hostile_ids_are_kept_apart() {
    let mut server = Server::start(&[]);
    let long = "z".repeat(128);
    let longer = format!("{}y", "z".repeat(127));
    let names = ["group:x", "x", "user:x", "x:x", "x:x:x", "-", "=", &long, &longer, "a@b", "A@b"];
    let users = ["group:x", "x", "user:group:x", "x:x", "..", "~", &long, &longer];
    {
        let mut owner = Client::connect(&server, Via::Tcp, "owner:a", "phone");
        for (at, name) in names.iter().enumerate() {
            owner.create(name, &[users[at % users.len()]]);
            assert_eq!(owner.nickname(name, name.get(..64).unwrap_or(name)).seq, 2);
        }
    }
    for _ in 0..2 {
        let mut owner = Client::connect(&server, Via::Tcp, "owner:a", "phone");
        for (at, name) in names.iter().enumerate() {
            let mut expected = [("owner:a".to_owned(), 2), (users[at % users.len()].to_owned(), 0)];
            expected.sort();
            assert_eq!(owner.roles(name), expected, "{name}");
            for user in users {
                let is_in = user == users[at % users.len()];
                let info = Client::connect(&server, Via::Ws, user, "").info(name).unwrap();
                assert_eq!(info.role == 0, is_in, "{user} in {name}");
            }
        }
        server.crash_and_restart();
    }
}
