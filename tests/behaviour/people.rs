//! What users say of themselves, and whom they block.

use bytes::Bytes;
use postrider_protocol::{
    Id, Method, Reason, Tlvs,
    packet::{
        Packet, ReplyPacket, groups,
        people::{self, BlockedPage, Profiles},
    },
    tag,
};

use crate::harness::{Client, Server, channel_of, everywhere, group, id, on_all};

/// Blocks a user, or ends that.
pub fn block(client: &mut Client, user: &str, is: bool) -> ReplyPacket {
    let mut fields = Vec::new();
    people::write_switch(&mut fields, &id(user), is);
    client.call(Method::Block, fields.into())
}

/// Whom the client blocks, from all pages.
pub fn blocked(client: &mut Client) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), None::<Id>);
    loop {
        let mut fields = Vec::new();
        people::write_optional(&mut fields, after.as_ref());
        let page = BlockedPage::decode(client.call(Method::Blocked, fields.into()).fields).unwrap();
        after = page.users.last().cloned();
        all.extend(page.users.iter().map(Id::to_string));
        if !page.more {
            return all;
        }
    }
}

/// Changes the profile.
pub fn say(client: &mut Client, tlvs: &[(u16, &[u8])]) -> ReplyPacket {
    client.call_with(Method::ProfileSet, Bytes::new(), Tlvs::from_pairs(tlvs.iter().copied()))
}

/// The first profiles of these.
pub fn profiles(client: &mut Client, users: &[Id]) -> Vec<(Id, Tlvs)> {
    let mut fields = Vec::new();
    groups::write_users(&mut fields, users);
    let reply = client.call(Method::Profiles, fields.into());
    assert_eq!(reply.reason, Reason::Ok, "{reply:?}");
    Profiles::decode(reply.fields).unwrap().0
}

pub fn profile(client: &mut Client, user: &str) -> Tlvs {
    profiles(client, &[id(user)]).remove(0).1
}

/// What is refused: its name, the TLVs, and the reason.
type Case<'a> = (&'a str, &'a [(u16, &'a [u8])], Reason);

const ON: [u8; 4] = [0, 0, 0, 1];
const OFF: [u8; 4] = [0; 4];

#[test]
fn a_profile_is_what_was_said_last_of_each_field_and_outlives_a_crash() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        assert!(profile(&mut bob, &alice.user).is_empty(), "nothing was said");
        let reply =
            say(&mut alice, &[(tag::NAME, b"Alice"), (tag::AVATAR, b"https://a.example/1"), (tag::CUSTOM, b"{}")]);
        assert_eq!((reply.reason, reply.seq), (Reason::Ok, 0));
        assert_eq!(say(&mut alice, &[(tag::NAME, "Алиса".as_bytes()), (tag::CUSTOM, b"")]).reason, Reason::Ok);
        let told = profile(&mut bob, &alice.user);
        assert_eq!((told.get_text(tag::NAME), told.get(tag::CUSTOM)), (Some("Алиса"), None), "nothing takes it away");
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        let told = profile(&mut world.connect("bob"), &world.name("alice"));
        assert_eq!(told.get_text(tag::AVATAR), Some("https://a.example/1"));
    });
}

#[test]
fn settings_are_told_to_their_user_alone() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let settings = [tag::RECEIPTS_PRIVATE, tag::PRESENCE_PRIVATE, tag::CONTACTS_ONLY];
        assert_eq!(say(&mut alice, &[(settings[0], &ON), (settings[2], &ON)]).reason, Reason::Ok);
        assert_eq!(say(&mut alice, &[(settings[2], &OFF)]).reason, Reason::Ok);
        let own = profile(&mut alice, &world.name("alice"));
        assert_eq!(settings.map(|tag| own.get_u32(tag)), [Some(1), Some(0), Some(0)]);
        assert!(profile(&mut bob, &world.name("alice")).is_empty());
    });
}

#[test]
fn what_is_no_profile_is_refused_and_changes_nothing() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let cases: [Case<'_>; 5] = [
            ("nothing", &[], Reason::Malformed),
            ("a field of something else", &[(tag::ANNOUNCEMENT, b"x")], Reason::Malformed),
            ("a name of 129 bytes", &[(tag::NAME, &[b'x'; 129])], Reason::Malformed),
            ("a setting of 2", &[(tag::NAME, b"x"), (tag::CONTACTS_ONLY, &[0, 0, 0, 2])], Reason::Malformed),
            ("a critical TLV", &[(tag::NAME, b"x"), (0x8001, b"")], Reason::UnknownCritical),
        ];
        for (what, tlvs, reason) in cases {
            assert_eq!(say(&mut alice, tlvs).reason, reason, "{what}");
        }
        let fields =
            alice.call_with(Method::ProfileSet, Bytes::from_static(b"x"), Tlvs::from_pairs([(tag::NAME, &b"x"[..])]));
        assert_eq!(fields.reason, Reason::Malformed);
        assert!(profile(&mut alice, &world.name("alice")).get(tag::NAME).is_none());
        assert_eq!(say(&mut alice, &[(tag::NAME, &[b'x'; 128])]).reason, Reason::Ok, "the longest");
    });
}

#[test]
fn profiles_that_are_too_long_for_one_answer_come_in_several() {
    everywhere(&[], |world| {
        let users: Vec<Id> = (0..100).map(|n| id(&world.name(&format!("user{n:02}")))).collect();
        for user in users.iter().step_by(2) {
            let mut client = Client::connect(world.server, world.via, user.as_str(), "");
            let custom = vec![b'c'; 1_024];
            assert_eq!(
                say(
                    &mut client,
                    &[(tag::AVATAR, &[b'a'; 512]), (tag::DESCRIPTION, &[b'd'; 512]), (tag::CUSTOM, &custom)]
                )
                .reason,
                Reason::Ok
            );
        }
        let (mut alice, mut told) = (world.connect("alice"), Vec::new());
        let mut answers = 0;
        while told.len() < users.len() {
            told.extend(profiles(&mut alice, &users[told.len()..]));
            answers += 1;
        }
        assert_eq!(answers, 2);
        assert!(told.iter().map(|(user, _)| user).eq(&users), "in the order in which they were asked for");
        assert!(told.iter().enumerate().all(|(at, (_, fields))| fields.is_empty() == (at % 2 == 1)));
    });
}

#[test]
fn neither_of_two_writes_to_the_other_while_one_blocks_the_other() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        let first = alice.next_send(&channel, "before");
        let stored = alice.resend(&first);
        assert_eq!((stored.reason, bob.recv().seq), (Reason::Ok, 1));
        let reply = block(&mut bob, &alice.user, true);
        assert_eq!((reply.reason, reply.seq), (Reason::Ok, 0));
        assert_eq!(block(&mut bob, &alice.user, true).reason, Reason::Ok, "it is so already");
        for client in [&mut alice, &mut bob] {
            let ack = client.try_send(&channel, "no");
            assert_eq!((ack.reason, ack.seq), (Reason::Blocked, 0));
        }
        assert_eq!(alice.resend(&first), stored, "what was stored before is answered as before");
        assert_eq!(blocked(&mut bob), [alice.user.clone()]);
        assert_eq!(blocked(&mut alice), [""; 0], "who is blocked sees it at the next message alone");
        assert_eq!(alice.listed(&channel).unwrap().head, 1, "a refusal uses no seq");
        alice.send(&channel_of(&alice.user, &world.name("carol")), "others are as before");
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        assert_eq!(alice.try_send(&channel, "no").reason, Reason::Blocked);
        assert_eq!(block(&mut bob, &alice.user, false).reason, Reason::Ok);
        assert_eq!(alice.send(&channel, "again"), 2);
        assert_eq!(bob.recv().seq, 2);
        assert_eq!(blocked(&mut bob), [""; 0]);
    });
}

#[test]
fn a_stranger_can_be_blocked_before_any_message() {
    everywhere(&[], |world| {
        let (mut alice, mut mallory) = (world.connect("alice"), world.connect("mallory"));
        let channel = channel_of(&alice.user, &mallory.user);
        assert_eq!(block(&mut alice, &mallory.user, true).reason, Reason::Ok);
        assert_eq!(mallory.try_send(&channel, "hello?").reason, Reason::Blocked);
        assert!(alice.list(&Bytes::new()).0.is_empty() && mallory.list(&Bytes::new()).0.is_empty());
        assert_eq!(block(&mut alice, &world.name("alice"), true).reason, Reason::NotAllowed, "not oneself");
        assert_eq!(alice.send(&channel_of(&alice.user, &world.name("alice")), "a note"), 1);
    });
}

#[test]
fn a_block_holds_from_one_message_of_a_burst_to_the_next() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        let sends: Vec<_> = (0..60).map(|n| Packet::Send(alice.next_send(&channel, format!("{n}")))).collect();
        for (at, send) in sends.iter().enumerate() {
            alice.say(send);
            if at == 30 {
                assert_eq!(block(&mut bob, &world.name("alice"), true).reason, Reason::Ok);
            }
        }
        let acks: Vec<_> = (1..=60).map(|number| alice.sendack(number)).collect();
        let stored = acks.iter().take_while(|ack| ack.reason == Reason::Ok).count();
        assert!(stored <= 31 && acks[stored..].iter().all(|ack| ack.reason == Reason::Blocked), "{stored}");
        assert!((1..=stored as u64).all(|seq| bob.recv().seq == seq));
        bob.send(&channel_of(&bob.user, &world.name("bob")), "end");
        assert_eq!(bob.recvs_heard(), 0);
    });
}

#[test]
fn who_blocks_the_caller_is_not_added_to_groups() {
    everywhere(&[], |world| {
        let (mut mallory, mut alice, name) = (world.connect("mallory"), world.connect("alice"), world.name("g"));
        assert_eq!(block(&mut alice, &mallory.user, true).reason, Reason::Ok);
        let user = alice.user.clone();
        assert_eq!(mallory.change(Method::GroupCreate, &name, &[&user]).reason, Reason::NotAllowed);
        mallory.create(&name, &["bob"]);
        assert_eq!(mallory.change(Method::GroupAdd, &name, &["carol", &user]).reason, Reason::NotAllowed);
        assert_eq!(block(&mut alice, &mallory.user, false).reason, Reason::Ok);
        assert_eq!(mallory.change(Method::GroupAdd, &name, &["carol", &user]).seq, 2, "a refusal uses no seq");
        assert_eq!(alice.recv_of(&group(&name)).seq, 2);
    });
}

#[test]
fn a_long_block_list_comes_in_pages() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let users: Vec<String> = (0..205).map(|n| format!("user{n:03}")).collect();
        for user in &users {
            assert_eq!(block(&mut alice, user, true).reason, Reason::Ok);
        }
        assert_eq!(block(&mut alice, &users[7], false).reason, Reason::Ok);
        let expected: Vec<_> = users.iter().filter(|user| **user != users[7]).cloned().collect();
        assert_eq!(blocked(&mut alice), expected);
    });
}
