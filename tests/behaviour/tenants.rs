//! Tenants: nothing of one can be seen or changed in another, whatever ids they have in common.

use std::collections::BTreeSet;

use bytes::Bytes;
use postrider::auth::Claims;
use postrider_protocol::{
    CommandId, Id, Method, Reason, Tlvs, Writer as _,
    packet::{
        CallPacket, MembersPage, Packet, RecvackPacket, SendPacket,
        broadcast::{self, Announcement, Reach},
        groups, marks, people,
        schedule::{self, Plan},
        targets,
    },
    tag,
};

use crate::{
    contacts::{answer, ask, contacts},
    devices::devices,
    harness::{Client, Server, World, channel_of, claims, everywhere, group, id, now_s, on_all, until},
    people::{block, blocked, profile, say},
};

/// The user's device `phone` in a tenant.
fn connect(world: World<'_>, tenant: u32, user: &str) -> Client {
    let user = world.name(user);
    let claims = Claims { ten: Some(tenant), ..claims(&user, "") };
    Client::connect_claiming(world.server, world.via, &claims, "phone")
}

fn built(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::new();
    write(&mut out);
    out.into()
}

/// Everything that Alice of a tenant can see of it.
fn all(alice: &mut Client, bob: &str, name: &str) -> String {
    let mut members = Vec::new();
    groups::write_members(&mut members, &id(name), None);
    let members = alice.call(Method::GroupMembers, members.into());
    let members = MembersPage::decode(members.fields).ok();
    let seen = [channel_of(&alice.user, bob), group(name)].map(|channel| {
        alice.listed(&channel).map(|listed| (listed.head, listed.read, alice.sync_from(&channel, 1).images))
    });
    let names: Vec<_> = devices(alice).into_iter().map(|it| (it.device, it.first_ms, it.fields)).collect();
    let said = [profile(alice, bob), profile(alice, &alice.user.clone())];
    let named = built(|out| schedule::write_named(out, &channel_of(&alice.user, bob), &CommandId::FIRST));
    let planned = alice.call(Method::Scheduled, named).fields;
    format!("{planned:?} {members:?} {seen:?} {names:?} {said:?} {:?} {:?}", blocked(alice), contacts(alice))
}

/// What a client of another tenant tries with ids of the first one.
fn attempts(alice: &str, bob: &str, name: &str) -> Vec<(Method, Bytes, Tlvs)> {
    let users = |users: &[&str]| -> Vec<Id> { users.iter().map(|user| id(user)).collect() };
    let change = |list: &[&str]| built(|out| groups::write_change(out, &id(name), &users(list)));
    let mark = |seq| built(|out| marks::write_mark(out, &channel_of(alice, bob), seq));
    let switch = |user: &str, is| built(|out| people::write_switch(out, &id(user), is));
    let text = |user: &str| built(|out| people::write_text(out, &id(user), "text"));
    let name_tlv = Tlvs::from_pairs([(tag::NAME, &b"Mallory"[..])]);
    let none = Bytes::new;
    let named = || built(|out| schedule::write_named(out, &channel_of(alice, bob), &CommandId::FIRST));
    let announcement = Announcement { reach: Reach::Everybody, flags: 0, body: "for all".into() };
    let cases = vec![
        (Method::GroupAdd, change(&["mallory"])),
        (Method::GroupRemove, change(&[bob])),
        (Method::GroupMembers, built(|out| groups::write_members(out, &id(name), None))),
        (Method::Read, mark(1)),
        (Method::Block, switch(bob, true)),
        (Method::Blocked, built(|out| people::write_optional(out, None))),
        (Method::Profiles, built(|out| groups::write_users(out, &users(&[alice, bob])))),
        (Method::Devices, none()),
        (Method::DeviceRemove, built(|out| people::write_optional(out, Some(&id("tablet"))))),
        (Method::DeviceRemove, built(|out| people::write_optional(out, None))),
        (Method::Usage, none()),
        (Method::Usage, Bytes::copy_from_slice(group(name).as_bytes())),
        (Method::ContactAnswer, switch(bob, true)),
        (Method::ContactNote, text(bob)),
        (Method::ContactRemove, built(|out| people::write_user(out, &id(bob)))),
        (Method::ContactAsk, text(bob)),
        (Method::Contacts, built(|out| people::write_optional(out, None))),
        (Method::GroupCreate, change(&[bob])),
        (Method::Thread, built(|out| targets::write_thread(out, &channel_of(alice, bob), 1, 0))),
        (Method::Scheduled, named()),
        (Method::ScheduleCancel, named()),
        (Method::TagsSet, built(|out| broadcast::write_tagging(out, &id(alice), &[id("tag")]))),
        (Method::Tags, built(|out| people::write_user(out, &id(alice)))),
        (Method::Broadcast, built(|out| announcement.write(out))),
        (Method::BroadcastCancel, built(|out| CommandId::FIRST.write(out))),
        (Method::Broadcasts, none()),
    ];
    let mut all: Vec<_> = cases.into_iter().map(|(method, fields)| (method, fields, Tlvs::new())).collect();
    all.push((Method::ProfileSet, none(), name_tlv));
    all
}

/// Methods that have no case of their own here.
const ELSEWHERE: [Method; 25] = [
    Method::GroupDismiss,
    Method::GroupChange,
    Method::GroupRoles,
    Method::GroupTransfer,
    Method::GroupMute,
    Method::GroupJoin,
    Method::GroupInvite,
    Method::GroupAnswer,
    Method::GroupNickname,
    Method::GroupInfo,
    Method::GroupRequests,
    Method::ConversationSet,
    Method::Badge,
    Method::Receipts,
    Method::Revoke,
    Method::Edit,
    Method::React,
    Method::Pin,
    Method::Hide,
    Method::Pins,
    Method::Edits,
    Method::Schedule,
    Method::ScheduleEdit,
    Method::Presence,
    Method::Watch,
];

#[test]
fn no_method_sees_or_changes_anything_of_another_tenant() {
    let mut server = Server::start(&["limits.quota.channel.bytes_per_day=1MiB"]);
    let before: std::sync::Mutex<Vec<(&str, String)>> = std::sync::Mutex::default();
    on_all(&server, |world| {
        let (mut alice, mut bob, name) = (connect(world, 1, "alice"), connect(world, 1, "bob"), world.name("g"));
        let (a, b) = (alice.user.clone(), bob.user.clone());
        alice.create(&name, &[&b]);
        alice.send(&group(&name), "secret");
        alice.send(&channel_of(&a, &b), "secret");
        assert_eq!(say(&mut bob, &[(tag::NAME, b"Bob")]).reason, Reason::Ok);
        assert_eq!(ask(&mut bob, &a, "secret").reason, Reason::Ok);
        assert_eq!(answer(&mut alice, &b, true).reason, Reason::Ok);
        assert_eq!(block(&mut alice, "carol", true).reason, Reason::Ok);
        until("the device", || (devices(&mut alice).len() == 1).then_some(()));
        let plan = Plan { due_ms: (now_s() + 86_400) * 1_000, flags: 0, body: "secret".into() };
        let planned = built(|out| schedule::write_schedule(out, &channel_of(&a, &b), &plan));
        assert_eq!(alice.call(Method::Schedule, planned).reason, Reason::Ok);
        let seen = all(&mut alice, &b, &name);

        let cases = attempts(&a, &b, &name);
        let tried: BTreeSet<u16> = cases.iter().map(|(method, ..)| method.number()).collect();
        for method in Method::ALL {
            let is_tried = tried.contains(&method.number());
            assert!(is_tried != ELSEWHERE.contains(&method), "{} has no case, or is not elsewhere", method.name());
        }
        let mut other = connect(world, 2, "alice");
        for (method, fields, tlvs) in cases {
            let reply = other.call_with(method, fields, tlvs);
            let told = String::from_utf8_lossy(&reply.fields).into_owned();
            assert!(!told.contains("secret") && !told.contains("Bob"), "{}: {told}", method.name());
            if matches!(method, Method::GroupAdd | Method::GroupRemove | Method::GroupMembers | Method::Read) {
                assert_eq!(reply.reason, Reason::NoChannel, "{}", method.name());
            }
            if matches!(method, Method::Blocked | Method::Contacts) {
                assert!(!told.contains("carol"), "{told}");
            }
        }
        assert_eq!(other.try_send(&channel_of(&a, &b), "x").reason, Reason::Blocked, "it blocks its own Bob");
        assert_eq!(other.send(&group(&name), "of tenant 2"), 2, "the id is free in each tenant");
        assert_eq!(other.sync_from(&group(&name), 1).images.len(), 2);
        assert_eq!([1, 2].map(|_| bob.recv_of(&group(&name)).seq), [1, 2]);
        assert_eq!(bob.recv_of(&channel_of(&a, &b)).seq, 1);
        bob.ping();
        alice.ping();
        assert_eq!((alice.recvs_heard(), bob.recvs_heard()), (0, 0));
        assert_eq!(all(&mut alice, &b, &name), seen, "nothing has changed");
        before.lock().unwrap().push((world.via.name(), seen));
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        let mut alice = connect(world, 1, "alice");
        let (_, seen) = before.lock().unwrap().iter().find(|(via, _)| *via == world.via.name()).unwrap().clone();
        assert_eq!(all(&mut alice, &world.name("bob"), &world.name("g")), seen);
        assert_eq!(connect(world, 2, "alice").list(&Bytes::new()).0.len(), 1);
    });
}

/// Trap 52: who wrote something is who the token says, and what only the server says no client can say.
#[test]
fn a_client_cannot_say_what_only_the_server_says() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        let block = || built(|out| people::write_switch(out, &id("carol"), true));
        for tag in [0x4002, 0x4003, 0x4004, 0x7fff] {
            let tlvs = || Tlvs::from_pairs([(tag, &[0, 0, 0, 0, 0, 0, 0, 1][..])]);
            let mut mallory = world.connect("mallory");
            let send = mallory.next_send(&channel_of(&mallory.user, &bob.user), "x");
            let call = mallory.next_call(Method::Block, block());
            for packet in
                [Packet::Send(SendPacket { tlvs: tlvs(), ..send }), Packet::Call(CallPacket { tlvs: tlvs(), ..call })]
            {
                mallory.say(&packet);
                mallory.ends_with(Reason::ProtocolViolation);
                mallory = world.connect("mallory");
            }
            assert_eq!(blocked(&mut mallory), [""; 0], "{tag:#x}");
        }
        let critical = || Tlvs::from_pairs([(0x8000, &b""[..])]);
        let send = alice.next_send(&channel, "x");
        assert_eq!(alice.resend(&SendPacket { tlvs: critical(), ..send }).reason, Reason::UnknownCritical);
        assert_eq!(alice.call_with(Method::Block, block(), critical()).reason, Reason::UnknownCritical);
        assert_eq!(alice.try_send(&channel_of(&bob.user, "carol"), "as Bob").reason, Reason::NoChannel);
        for body in [&b"\x02\x0a"[..], b"{\"from\":\"carol\",\"contentType\":1501}"] {
            alice.send(&channel, body);
            let image = bob.recv();
            assert_eq!((image.kind, image.author(), &image.body[..]), (1, id(&alice.user), body));
        }
        assert_eq!(blocked(&mut alice), [""; 0]);
    });
}

/// A channel of one user alone, in which the server keeps what it knows of them, is on no wire.
#[test]
fn a_user_s_own_channel_cannot_be_named() {
    everywhere(&[], |world| {
        let own = built(|out| {
            out.u8(3);
            out.bytes8(world.name("alice").as_bytes());
        });
        let mark = built(|out| {
            out.raw(&own);
            out.u64(1);
        });
        let mut alice = world.connect("alice");
        assert_eq!(alice.call(Method::Read, mark).reason, Reason::Malformed);
        assert_eq!(alice.call(Method::Usage, own.clone()).reason, Reason::Malformed);
        let channel = postrider_protocol::Channel::user(&id(&alice.user));
        alice.say(&Packet::Recvack(RecvackPacket { channel, seq: 0, tlvs: Tlvs::new() }));
        alice.ends_with(Reason::Malformed);
    });
}
