//! Who is told of what: muted and blocked users, private marks and presence, requests, invitations, contacts.

use bytes::Bytes;
use postrider_protocol::{
    Method, NoticeKind, Reason,
    packet::{
        Packet,
        notice::{Receipt, Told},
        presence::PresenceState,
    },
    tag,
};

use crate::{
    contacts,
    harness::{Client, everywhere, group, id, now_s},
    notices::{next, receipts, signals, two, types, view, watch},
    people::{block, say},
    presence::{ask, settled, state, told_that},
};

const YES: &[u8] = &[0, 0, 0, 1];
const NO: &[u8] = &[0, 0, 0, 0];
const APPROVAL: (u16, &[u8]) = (tag::JOIN_MODE, &[0, 0, 0, 1]);

fn heard_a_notice(client: &mut Client) -> bool {
    client.ping();
    client.take_heard(|packet| matches!(packet, Packet::Notice(_)))
}

/// How many wait, as an admin is told.
fn waiting(client: &mut Client) -> u32 {
    match crate::notices::told(client, &[NoticeKind::Requests]) {
        Told::Requests { waiting, .. } => waiting,
        other => panic!("{other:?}"),
    }
}

#[test]
fn muted_members_and_members_of_dismissed_groups_type_and_signal_to_nobody() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, channel) = two(world);
        let name = world.name("g");
        alice.create(&name, &[&bob.user]);
        let team = group(&name);
        types(&mut bob, &team, true);
        assert_eq!(next(&mut alice), "bob true");
        let hour = alice.mute(&name, (now_s() + 3_600) * 1_000, &[]);
        assert_eq!(hour.reason, Reason::Ok, "{hour:?}");
        signals(&mut bob, &team, b"muted");
        signals(&mut bob, &channel, b"not here");
        assert_eq!(next(&mut alice), "not here");
        signals(&mut alice, &team, b"the owner may");
        assert_eq!(next(&mut bob), "the owner may");
        assert_eq!(alice.dismiss(&name).reason, Reason::Ok);
        signals(&mut alice, &team, b"dismissed");
        signals(&mut alice, &channel, b"after");
        assert_eq!(next(&mut bob), "after");
    });
}

#[test]
fn who_is_blocked_is_told_nothing_of_the_other() {
    everywhere(&["presence.grace=0ms"], |world| {
        let (mut alice, mut bob, channel) = two(world);
        let (a, b) = (alice.user.clone(), bob.user.clone());
        settled(&mut bob, &a, PresenceState::Online);
        settled(&mut alice, &b, PresenceState::Online);
        let mut tablet = world.connect_as("alice", "tablet");
        assert_eq!(block(&mut alice, &b, true).reason, Reason::Ok);
        // Both were watching, and neither is told more than that.
        told_that(&mut bob, &a, PresenceState::Unknown);
        told_that(&mut alice, &b, PresenceState::Unknown);
        assert!(view(&mut tablet).0.blocks);
        for client in [&mut alice, &mut bob] {
            types(client, &channel, true);
            signals(client, &channel, b"blocked");
        }
        bob.ping();
        assert_eq!(alice.read(&channel, 1).reason, Reason::Ok, "the mark moves");
        assert_eq!([state(&mut alice, &b), state(&mut bob, &a)], [PresenceState::Unknown; 2]);
        assert!(!heard_a_notice(&mut alice) && !heard_a_notice(&mut bob));
        assert_eq!(block(&mut alice, &b, false).reason, Reason::Ok);
        signals(&mut alice, &channel, b"again");
        assert_eq!(next(&mut bob), "again");
        assert_eq!(state(&mut bob, &a), PresenceState::Online);
    });
}

#[test]
fn private_presence_is_unknown_to_others_and_others_to_who_keeps_it() {
    everywhere(&["presence.grace=0ms"], |world| {
        let (mut alice, mut bob, _) = two(world);
        let (a, b) = (alice.user.clone(), bob.user.clone());
        settled(&mut alice, &b, PresenceState::Online);
        settled(&mut bob, &a, PresenceState::Online);
        assert_eq!(say(&mut bob, &[(tag::PRESENCE_PRIVATE, YES)]).reason, Reason::Ok);
        told_that(&mut alice, &b, PresenceState::Unknown);
        told_that(&mut bob, &a, PresenceState::Unknown);
        let seen = ask(&mut alice, &[&b]).remove(0);
        assert_eq!((seen.state, seen.last_seen_ms, seen.platforms.len()), (PresenceState::Unknown, 0, 0));
        assert_eq!(state(&mut bob, &a), PresenceState::Unknown, "both ways");
        assert_eq!(state(&mut bob, &b), PresenceState::Online);
        assert_eq!(say(&mut bob, &[(tag::PRESENCE_PRIVATE, NO)]).reason, Reason::Ok);
        assert_eq!(state(&mut alice, &b), PresenceState::Online);
    });
}

#[test]
fn private_marks_are_not_told_neither_way() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, channel) = two(world);
        assert_eq!(say(&mut bob, &[(tag::RECEIPTS_PRIVATE, YES)]).reason, Reason::Ok);
        assert_eq!(bob.read(&channel, 1).reason, Reason::Ok);
        bob.send(&channel, "2");
        assert_eq!(alice.read(&channel, 2).reason, Reason::Ok);
        assert!(!heard_a_notice(&mut alice) && !heard_a_notice(&mut bob));
        let name = world.name("g");
        alice.create(&name, &[&bob.user]);
        let team = group(&name);
        assert_eq!([watch(&mut alice, Some(&team)), watch(&mut bob, Some(&team))], [Reason::Ok; 2]);
        assert_eq!(bob.read(&team, 1).reason, Reason::Ok);
        assert_eq!(alice.read(&team, 1).reason, Reason::Ok);
        let mark = Receipt { user: id(&alice.user), delivered: 0, read: 1 };
        assert_eq!(receipts(&mut alice), (team.clone(), vec![mark]), "her own alone");
        assert!(!heard_a_notice(&mut bob));
    });
}

#[test]
fn owner_and_admins_are_told_who_waits_and_who_waits_on_all_devices() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, mut carol) = (world.connect("alice"), world.connect("bob"), world.connect("carol"));
        let mut tablet = world.connect_as("carol", "tablet");
        let name = world.name("g");
        assert_eq!(alice.create_with(&name, &[&bob.user], &[APPROVAL]).reason, Reason::Ok);
        assert_eq!(carol.join(&name, "may I?").reason, Reason::Ok);
        assert_eq!(waiting(&mut alice), 1);
        let (told, _) = view(&mut tablet);
        assert_eq!((told.channel, told.waiting), (group(&name), 1));
        let dave = world.connect("dave");
        assert_eq!(alice.change(Method::GroupInvite, &name, &[&dave.user]).reason, Reason::Ok);
        let mut dave = dave;
        assert_eq!(view(&mut dave).0.waiting, 2, "an invitation is told to who is invited");
        assert_eq!(alice.change(Method::GroupAdd, &name, &[&carol.user]).reason, Reason::Ok);
        assert_eq!(waiting(&mut alice), 0);
        assert!(!heard_a_notice(&mut bob), "members are not asked");
    });
}

#[test]
fn who_is_asked_to_be_a_contact_is_told_at_once() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let mut tablet = world.connect_as("alice", "tablet");
        let b = bob.user.clone();
        assert_eq!(contacts::ask(&mut alice, &b, "hi").reason, Reason::Ok);
        assert_eq!([view(&mut bob).0.contact, view(&mut tablet).0.contact], [2, 1]);
        assert_eq!(contacts::answer(&mut bob, &world.name("alice"), true).reason, Reason::Ok);
        assert_eq!([view(&mut alice).0.contact, view(&mut tablet).0.contact], [3, 3]);
        settled(&mut alice, &b, PresenceState::Online);
        assert_eq!(alice.call(Method::Watch, Bytes::new()).reason, Reason::Malformed);
    });
}
