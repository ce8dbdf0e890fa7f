//! Groups: roles, what a group tells of itself, who may speak, how it ends.

use bytes::Bytes;
use postrider_protocol::{
    ImageKind, MAX_INTEGER, Method, Reason,
    packet::{Packet, ReplyPacket, groups},
    tag,
};

use crate::harness::{Client, Server, Via, World, everywhere, group, id, now_s, on_all};

/// Alice's group with Bob as an admin and Carol as a member; the images of its making are taken.
fn with_an_admin(world: World<'_>) -> (Client, Client, Client, String) {
    let (mut alice, mut bob, mut carol) = (world.connect("alice"), world.connect("bob"), world.connect("carol"));
    let name = world.name("g");
    alice.create(&name, &[&bob.user, &carol.user]);
    assert_eq!(alice.give_role(&name, 1, &[&bob.user]).seq, 2);
    for member in [&mut bob, &mut carol] {
        assert_eq!((member.recv().seq, member.recv().seq), (1, 2));
    }
    (alice, bob, carol, name)
}

#[track_caller]
fn refused(reply: &ReplyPacket, reason: Reason) {
    assert_eq!((reply.reason, reply.seq, reply.time_ms), (reason, 0, 0), "{reply:?}");
    assert!(reply.tlvs.get_text(tag::DETAIL).is_some_and(|detail| !detail.is_empty()), "{reply:?}");
}

#[test]
fn the_owner_and_admins_change_what_a_group_tells_of_itself() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob, mut carol, name) = with_an_admin(world);
        let told: [(u16, &[u8]); 2] = [(tag::NAME, "Équipe".as_bytes()), (tag::ANNOUNCEMENT, b"be kind")];
        assert_eq!(bob.set(&name, &told).seq, 3);
        for member in [&mut alice, &mut carol] {
            let image = member.recv();
            assert_eq!((image.kind, image.author(), image.seq), (ImageKind::GroupChanged.number(), id(&bob.user), 3));
            assert!(image.tlvs.iter().eq(told), "{image:?}");
        }
        refused(&carol.set(&name, &[(tag::NAME, b"mine")]), Reason::NotAllowed);
        refused(&bob.set(&name, &[(tag::HISTORY, &[0, 0, 0, 1])]), Reason::NotAllowed);
        assert_eq!(alice.set(&name, &[(tag::NAME, b""), (tag::HISTORY, &[0, 0, 0, 1])]).seq, 4, "an empty one removes");
        let info = carol.info(&name).unwrap();
        assert_eq!((info.role, info.members, info.flags), (0, 3, 0));
        assert_eq!(info.tlvs.get(tag::NAME), None);
        assert_eq!(info.tlvs.get_text(tag::ANNOUNCEMENT), Some("be kind"));
        assert_eq!((info.tlvs.get_u32(tag::HISTORY), info.tlvs.get_u32(tag::JOIN_MODE)), (Some(1), Some(0)));
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        let info = world.connect("bob").info(&world.name("g")).unwrap();
        assert_eq!((info.role, info.tlvs.get_text(tag::ANNOUNCEMENT)), (1, Some("be kind")));
    });
}

#[test]
fn a_group_begins_with_what_it_was_created_with() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let name = world.name("g");
        let with: [(u16, &[u8]); 3] =
            [(tag::NAME, b"Team"), (tag::AVATAR, b"https://example.org/a.png"), (tag::MAX_MEMBERS, &[0, 0, 0, 2])];
        refused(&alice.create_with(&name, &["bob", "carol"], &with), Reason::TooManyMembers);
        assert_eq!(alice.create_with(&name, &[&bob.user], &with).seq, 1);
        assert!(bob.recv().tlvs.iter().eq(with));
        assert!(bob.info(&name).unwrap().tlvs.iter().take(2).eq(with.into_iter().take(2)));
        refused(&alice.change(Method::GroupAdd, &name, &["carol"]), Reason::TooManyMembers);
        assert_eq!(alice.set(&name, &[(tag::MAX_MEMBERS, &[0, 0, 0, 0])]).seq, 2, "the server's limit");
        assert_eq!(alice.change(Method::GroupAdd, &name, &["carol"]).seq, 3);
    });
}

#[test]
fn what_is_too_long_or_no_setting_is_malformed() {
    everywhere(&[], |world| {
        let (mut alice, _, _, name) = with_an_admin(world);
        let long = [b'x'; 1_025];
        let wrong: [(u16, &[u8]); 8] = [
            (tag::NAME, &long[..129]),
            (tag::AVATAR, &long[..513]),
            (tag::ANNOUNCEMENT, &long),
            (tag::DESCRIPTION, &long[..513]),
            (tag::CUSTOM, &long),
            (tag::JOIN_MODE, &[0, 0, 0, 3]),
            (tag::HISTORY, &[0, 0, 0, 2]),
            (tag::CONTENT_TYPE, b"text/plain"),
        ];
        for with in wrong {
            refused(&alice.set(&name, &[with]), Reason::Malformed);
            refused(&alice.create_with(&world.name("other"), &[], &[with]), Reason::Malformed);
        }
        refused(&alice.set(&name, &[]), Reason::Malformed);
        refused(&alice.nickname(&name, &"x".repeat(65)), Reason::Malformed);
        refused(&alice.join(&name, &"x".repeat(257)), Reason::Malformed);
        refused(&alice.give_role(&name, 2, &["bob"]), Reason::Malformed);
        for method in [Method::GroupAdd, Method::GroupRemove, Method::GroupInvite] {
            refused(&alice.change(method, &name, &[]), Reason::Malformed);
        }
        refused(&alice.call(Method::GroupMute, Bytes::from_static(b"\x01g")), Reason::Malformed);
        assert_eq!(alice.send(&group(&name), "x"), 3, "the connection goes on, and nothing was stored");
    });
}

#[test]
fn roles_are_the_owners_to_give() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, mut carol, name) = with_an_admin(world);
        let (a, b, c) = (alice.user.clone(), bob.user.clone(), carol.user.clone());
        refused(&bob.give_role(&name, 1, &[&c]), Reason::NotAllowed);
        refused(&carol.give_role(&name, 1, &[&c]), Reason::NotAllowed);
        refused(&alice.give_role(&name, 0, &[&a]), Reason::NotAllowed);
        refused(&alice.give_role(&name, 1, &[&c, "nobody"]), Reason::NotAllowed);
        refused(&bob.change(Method::GroupRemove, &name, &[&a]), Reason::NotAllowed);
        assert_eq!(alice.roles(&name), [(a.clone(), 2), (b.clone(), 1), (c.clone(), 0)]);
        assert_eq!(alice.give_role(&name, 1, &[&c]).seq, 3);
        let image = bob.recv();
        assert_eq!((image.kind, image.seq), (ImageKind::RolesChanged.number(), 3));
        assert_eq!(groups::read_roles_changed(image.body).unwrap(), (1, vec![id(&c)]));
        refused(&bob.change(Method::GroupRemove, &name, &[&c]), Reason::NotAllowed);
        refused(&bob.mute(&name, MAX_INTEGER, &[&c]), Reason::NotAllowed);
        assert_eq!(alice.give_role(&name, 0, &[&c]).seq, 4);
        assert_eq!(bob.change(Method::GroupRemove, &name, &[&c]).seq, 5, "an admin removes plain members");
        assert_eq!(alice.change(Method::GroupRemove, &name, &[&b]).seq, 6, "the owner anybody");
        assert_eq!(alice.change(Method::GroupAdd, &name, &[&b]).seq, 7);
        assert_eq!(alice.roles(&name), [(a, 2), (b, 0)], "who comes back is a plain member");
    });
}

#[test]
fn the_owner_leaves_only_after_a_transfer() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob, mut carol, name) = with_an_admin(world);
        let (a, c) = (alice.user.clone(), carol.user.clone());
        refused(&alice.change(Method::GroupRemove, &name, &[&a]), Reason::NotAllowed);
        refused(&bob.transfer(&name, &bob.user.clone()), Reason::NotAllowed);
        refused(&alice.transfer(&name, "nobody"), Reason::NotAllowed);
        refused(&alice.transfer(&name, &a), Reason::NotAllowed);
        assert_eq!(alice.transfer(&name, &c).seq, 3);
        let image = carol.recv();
        assert_eq!((image.kind, image.seq), (ImageKind::OwnerChanged.number(), 3));
        assert_eq!(groups::read_owner_changed(image.body).unwrap(), id(&c));
        assert_eq!(carol.roles(&name), [(a.clone(), 1), (bob.user.clone(), 1), (c, 2)]);
        refused(&alice.dismiss(&name), Reason::NotAllowed);
        assert_eq!(alice.change(Method::GroupRemove, &name, &[&a]).seq, 4);
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        let mut carol = world.connect("carol");
        let name = world.name("g");
        assert_eq!(carol.roles(&name), [(world.name("bob"), 1), (world.name("carol"), 2)]);
        assert_eq!(carol.change(Method::GroupRemove, &name, &[&world.name("bob")]).seq, 5);
        refused(&carol.change(Method::GroupRemove, &name, &[&world.name("carol")]), Reason::NotAllowed);
        assert_eq!(carol.dismiss(&name).seq, 6, "the last one ends it");
    });
}

#[test]
fn who_is_muted_may_not_speak() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob, mut carol, name) = with_an_admin(world);
        let (a, b, c) = (alice.user.clone(), bob.user.clone(), carol.user.clone());
        let hour_ms = now_s() * 1_000 + 3_600_000;
        refused(&carol.mute(&name, hour_ms, &[&b]), Reason::NotAllowed);
        refused(&bob.mute(&name, hour_ms, &[&a]), Reason::NotAllowed);
        refused(&alice.mute(&name, hour_ms, &["nobody"]), Reason::NotAllowed);
        let reply = bob.mute(&name, hour_ms, &[&c]);
        assert_eq!((reply.reason, reply.seq), (Reason::Ok, 3));
        let image = carol.recv();
        assert_eq!((image.kind, image.author()), (ImageKind::MembersMuted.number(), id(&b)));
        assert_eq!(groups::read_members_muted(image.body).unwrap(), (hour_ms, vec![id(&c)]));
        let ack = carol.try_send(&group(&name), "hello?");
        assert_eq!((ack.reason, ack.seq), (Reason::Muted, 0));
        let wait_ms = ack.tlvs.get_u32(tag::RETRY_AFTER_MS).unwrap();
        assert!((3_500_000..=3_600_000).contains(&wait_ms), "{wait_ms}");
        assert_eq!(carol.members(&name).unwrap()[2].muted_until_ms, hour_ms);
        assert_eq!(carol.info(&name).unwrap().muted_until_ms, hour_ms);
        assert_eq!(bob.send(&group(&name), "others may"), 4);
        // Nobody gets away by leaving.
        assert_eq!(carol.change(Method::GroupRemove, &name, &[&c]).seq, 5);
        assert_eq!(alice.change(Method::GroupAdd, &name, &[&c]).seq, 6);
        assert_eq!(carol.try_send(&group(&name), "back").reason, Reason::Muted);
        assert_eq!(alice.mute(&name, MAX_INTEGER, &[&b, &c]).seq, 7, "the owner mutes admins too, and for ever");
        let ack = bob.try_send(&group(&name), "I?");
        assert_eq!((ack.reason, ack.tlvs.get_u32(tag::RETRY_AFTER_MS)), (Reason::Muted, None));
        assert_eq!(alice.mute(&name, 0, &[&b]).seq, 8);
        assert_eq!(bob.send(&group(&name), "again"), 9);
        assert_eq!(alice.mute(&name, 1, &[&b]).seq, 10);
        assert_eq!(bob.send(&group(&name), "a time that is over mutes nobody"), 11);
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        assert_eq!(world.connect("carol").try_send(&group(&world.name("g")), "x").reason, Reason::Muted);
    });
}

#[test]
fn while_everybody_is_muted_owner_and_admins_speak() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, mut carol, name) = with_an_admin(world);
        refused(&carol.mute(&name, MAX_INTEGER, &[]), Reason::NotAllowed);
        assert_eq!(bob.mute(&name, MAX_INTEGER, &[]).seq, 3);
        let body = carol.recv().body;
        assert_eq!(groups::read_members_muted(body).unwrap(), (MAX_INTEGER, vec![]));
        assert_eq!(carol.try_send(&group(&name), "x").reason, Reason::Muted);
        assert_eq!((alice.send(&group(&name), "x"), bob.send(&group(&name), "x")), (4, 5));
        assert_eq!(carol.info(&name).unwrap().all_muted_until_ms, MAX_INTEGER);
        assert_eq!(alice.give_role(&name, 1, &[&carol.user]).seq, 6);
        assert_eq!(carol.send(&group(&name), "now I may"), 7);
        assert_eq!(alice.give_role(&name, 0, &[&carol.user]).seq, 8);
        assert_eq!(carol.try_send(&group(&name), "x").reason, Reason::Muted);
        assert_eq!(alice.mute(&name, 0, &[]).seq, 9);
        assert_eq!(carol.send(&group(&name), "x"), 10);
    });
}

/// Trap 16: the log stays, changes are refused, members who were away sync the dismissal.
#[test]
fn a_dismissed_group_is_read_and_not_changed() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob, carol, name) = with_an_admin(world);
        drop(carol);
        alice.send(&group(&name), "3");
        refused(&bob.dismiss(&name), Reason::NotAllowed);
        assert_eq!(alice.dismiss(&name).seq, 4);
        assert_eq!((bob.recv().seq, bob.recv().kind), (3, ImageKind::GroupDismissed.number()));
        still_dismissed(&mut alice, &mut bob, &name);
        refused(&world.connect("dave").join(&name, ""), Reason::Dismissed);
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        let (mut alice, mut bob, mut carol) = (world.connect("alice"), world.connect("bob"), world.connect("carol"));
        let name = world.name("g");
        still_dismissed(&mut alice, &mut bob, &name);
        let seen = carol.sync_from(&group(&name), 1);
        assert_eq!(seen.images.iter().map(|image| image.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(seen.images[3].kind, ImageKind::GroupDismissed.number());
        assert_eq!(carol.read(&group(&name), 4).reason, Reason::Ok);
        assert_eq!(carol.members(&name).unwrap().len(), 3);
        assert_ne!(carol.info(&name).unwrap().flags & 256, 0);
        assert_eq!(alice.listed(&group(&name)).unwrap().head, 4, "no refusal used a seq");
    });
}

fn still_dismissed(alice: &mut Client, bob: &mut Client, name: &str) {
    let (a, b) = (alice.user.clone(), bob.user.clone());
    for client in [&mut *alice, &mut *bob] {
        assert_eq!(client.try_send(&group(name), "x").reason, Reason::Dismissed);
        let own = client.user.clone();
        refused(&client.change(Method::GroupRemove, name, &[&own]), Reason::Dismissed);
        refused(&client.nickname(name, "x"), Reason::Dismissed);
        refused(&client.change(Method::GroupAdd, name, &["eve"]), Reason::Dismissed);
        refused(&client.change(Method::GroupInvite, name, &["eve"]), Reason::Dismissed);
        refused(&client.set(name, &[(tag::NAME, b"x")]), Reason::Dismissed);
        refused(&client.mute(name, 0, &[]), Reason::Dismissed);
        refused(&client.answer(name, true, &["eve"]), Reason::Dismissed);
    }
    refused(&alice.change(Method::GroupRemove, name, &[&b]), Reason::Dismissed);
    refused(&alice.give_role(name, 1, &[&b]), Reason::Dismissed);
    refused(&alice.transfer(name, &b), Reason::Dismissed);
    refused(&alice.dismiss(name), Reason::Dismissed);
    refused(&bob.change(Method::GroupCreate, name, &[&a]), Reason::AlreadyExists);
}

#[test]
fn a_nickname_is_the_members_own() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob, _, name) = with_an_admin(world);
        assert_eq!(bob.nickname(&name, "Bobby ☂").seq, 3);
        let image = alice.recv();
        assert_eq!((image.kind, image.author()), (ImageKind::NicknameChanged.number(), id(&bob.user)));
        assert_eq!(&image.body[..], "Bobby ☂".as_bytes());
        assert_eq!(&alice.members(&name).unwrap()[1].nickname[..], "Bobby ☂".as_bytes());
        assert_eq!(bob.nickname(&name, "").seq, 4);
        assert_eq!(alice.members(&name).unwrap()[1].nickname.len(), 0);
        assert_eq!(bob.nickname(&name, &"é".repeat(32)).seq, 5);
        refused(&world.connect("mallory").nickname(&name, "M"), Reason::NoChannel);
    });
    server.crash_and_restart();
    for via in Via::ALL {
        let world = World { server: &server, via };
        let members = world.connect("carol").members(&world.name("g")).unwrap();
        assert_eq!(members[1].nickname.len(), 64);
        assert_eq!((members[1].joined, members[1].inviter.clone()), (1, Some(id(&world.name("alice")))));
        assert_eq!((members[0].joined, members[0].inviter.clone()), (1, None));
        assert!(members.iter().all(|member| member.joined_ms.abs_diff(now_s() * 1_000) < 600_000));
    }
}

/// A command that is sent again gets its first answer, however the group has changed since.
#[test]
fn repeated_changes_have_their_first_answers() {
    everywhere(&[], |world| {
        let (mut alice, bob, carol, name) = with_an_admin(world);
        let mut fields = Vec::new();
        groups::write_mute(&mut fields, &id(&name), 7, &[id(&carol.user), id(&bob.user), id(&carol.user)]);
        let mute = alice.next_call(Method::GroupMute, fields.into());
        alice.say(&Packet::Call(mute.clone()));
        let first = alice.reply(mute.request);
        assert_eq!((first.reason, first.seq), (Reason::Ok, 3));
        let mut transfer = Vec::new();
        groups::write_transfer(&mut transfer, &id(&name), &id(&bob.user));
        let mut transfer = alice.next_call(Method::GroupTransfer, transfer.into());
        transfer.oldest = mute.number;
        alice.say(&Packet::Call(transfer.clone()));
        assert_eq!(alice.reply(transfer.request).seq, 4);
        for (call, seq) in [(&mute, 3), (&transfer, 4)] {
            alice.say(&Packet::Call(call.clone()));
            let again = alice.reply(call.request);
            assert_eq!((again.reason, again.seq), (Reason::Ok, seq), "alice is no owner any more");
        }
        // The same number with something else is a conflict.
        let mut other = mute;
        other.fields = {
            let mut fields = Vec::new();
            groups::write_mute(&mut fields, &id(&name), 8, &[]);
            fields
        }
        .into();
        alice.say(&Packet::Call(other.clone()));
        assert_eq!(alice.reply(other.request).reason, Reason::DedupConflict);
    });
}
