//! What a user sets for a conversation: theirs alone, the same on all their devices.

use bytes::Bytes;
use postrider_protocol::{
    Channel, GapReason, MAX_INTEGER, Method, Reason, Tlvs,
    packet::{
        Conversation, Gap, ReplyPacket, SyncItem, conversation_flag as flag,
        marks::{self, Badge},
    },
    tag,
};

use crate::harness::{Client, Server, World, channel_of, everywhere, group, on_all};

/// Changes settings of a conversation.
pub fn set(client: &mut Client, channel: &Channel, settings: &Tlvs) -> ReplyPacket {
    let mut fields = Vec::new();
    marks::write_settings(&mut fields, channel, settings);
    client.call(Method::ConversationSet, fields.into())
}

fn switch(tag: u16, on: bool) -> Tlvs {
    Tlvs::from_pairs([(tag, &u32::from(on).to_be_bytes()[..])])
}

fn number(tag: u16, number: u64) -> Tlvs {
    Tlvs::from_pairs([(tag, &number.to_be_bytes()[..])])
}

fn badge(client: &mut Client) -> (u32, u32, u32) {
    let reply = client.call(Method::Badge, Bytes::new());
    assert_eq!(reply.reason, Reason::Ok);
    let badge = Badge::decode(reply.fields).unwrap();
    (badge.unread, badge.mentions, badge.conversations)
}

/// Alice has written 3 messages to Bob.
fn three(world: World<'_>) -> (Client, Client, Channel) {
    let (mut alice, bob) = (world.connect("alice"), world.connect("bob"));
    let channel = channel_of(&alice.user, &bob.user);
    alice.send_many(3, &channel, "x");
    (alice, bob, channel)
}

#[test]
fn settings_are_the_users_own_on_all_devices_and_outlive_a_crash() {
    let mut server = Server::start(&[]);
    let is_set = |listed: Conversation| {
        assert_eq!((listed.flags, listed.muted_until_ms, listed.unread), (flag::PINNED, MAX_INTEGER, 3));
    };
    on_all(&server, |world| {
        let (mut alice, mut bob, channel) = three(world);
        let (_, token) = bob.list(&Bytes::new());
        let both = [(tag::MUTED_UNTIL_MS, &MAX_INTEGER.to_be_bytes()[..]), (tag::PINNED, &1_u32.to_be_bytes())];
        let reply = set(&mut bob, &channel, &Tlvs::from_pairs(both));
        assert_eq!((reply.reason, reply.seq), (Reason::Ok, 0), "settings have no seq");
        assert!(reply.time_ms > 0);
        let (changed, token) = world.connect_as("bob", "tablet").list(&token);
        assert_eq!(changed.len(), 1);
        is_set(changed.into_iter().next().unwrap());
        let reply = set(&mut bob, &channel, &switch(tag::PINNED, true));
        assert_eq!((reply.reason, reply.time_ms), (Reason::Ok, 0), "it is so already");
        assert!(bob.list(&token).0.is_empty());
        let listed = alice.listed(&channel).unwrap();
        assert_eq!((listed.flags, listed.muted_until_ms), (0, 0), "nobody else has them");
        assert_eq!(alice.send(&channel, "4"), 4, "settings use no seq");
        assert_eq!(bob.read(&channel, 1).reason, Reason::Ok);
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        let (alice, mut bob) = (world.name("alice"), world.connect("bob"));
        let channel = channel_of(&alice, &bob.user);
        is_set(bob.listed(&channel).unwrap());
        assert_eq!(set(&mut bob, &channel, &switch(tag::PINNED, false)).reason, Reason::Ok);
        assert_eq!(set(&mut bob, &channel, &number(tag::MUTED_UNTIL_MS, 0)).reason, Reason::Ok);
        let listed = bob.listed(&channel).unwrap();
        assert_eq!((listed.flags, listed.muted_until_ms), (0, 0));
    });
}

#[test]
fn a_hidden_conversation_comes_back_with_something_new() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, channel) = three(world);
        assert_eq!(set(&mut bob, &channel, &switch(tag::HIDDEN, true)).reason, Reason::Ok);
        assert_eq!(bob.listed(&channel).unwrap().flags, flag::HIDDEN);
        assert_eq!(bob.read(&channel, 2).reason, Reason::Ok);
        assert_eq!(bob.listed(&channel).unwrap().flags, flag::HIDDEN, "a mark is nothing new");
        alice.send(&channel, "4");
        assert_eq!(bob.listed(&channel).unwrap().flags, 0);
        assert_eq!(set(&mut bob, &channel, &switch(tag::HIDDEN, true)).reason, Reason::Ok);
        assert_eq!(set(&mut bob, &channel, &switch(tag::HIDDEN, false)).reason, Reason::Ok);
        assert_eq!(bob.listed(&channel).unwrap().flags, 0);
    });
}

#[test]
fn what_is_hidden_after_leaving_stays_hidden() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let name = world.name("g");
        alice.create(&name, &[&bob.user]);
        let channel = group(&name);
        assert_eq!(set(&mut bob, &channel, &switch(tag::HIDDEN, true)).reason, Reason::Ok);
        alice.change(Method::GroupRemove, &name, &[&bob.user]);
        assert_eq!(bob.listed(&channel).unwrap().flags, flag::LEFT, "their going is something new");
        assert_eq!(set(&mut bob, &channel, &switch(tag::HIDDEN, true)).reason, Reason::Ok);
        alice.send(&channel, "not for Bob");
        assert_eq!(bob.listed(&channel).unwrap().flags, flag::LEFT | flag::HIDDEN);
        alice.change(Method::GroupAdd, &name, &[&bob.user]);
        assert_eq!(bob.listed(&channel).unwrap().flags, 0);
    });
}

#[test]
fn marked_as_unread_leaves_the_mark_alone_and_ends_with_any_reading() {
    everywhere(&[], |world| {
        let (_, mut bob, channel) = three(world);
        bob.read(&channel, 3);
        assert_eq!(set(&mut bob, &channel, &switch(tag::MARKED_UNREAD, true)).reason, Reason::Ok);
        let listed = bob.listed(&channel).unwrap();
        assert_eq!((listed.flags, listed.read, listed.unread), (flag::MARKED_UNREAD, 3, 0));
        assert_eq!(badge(&mut bob), (1, 0, 1));
        assert_eq!(bob.read(&channel, 1).reason, Reason::Ok);
        let listed = bob.listed(&channel).unwrap();
        assert_eq!((listed.flags, listed.read), (0, 3));
        assert_eq!(badge(&mut bob), (0, 0, 0));
    });
}

#[test]
fn what_is_cleared_is_gone_for_the_user_alone() {
    let mut server = Server::start(&[]);
    let cleared = |bob: &mut Client, channel: &Channel| {
        let listed = bob.listed(channel).unwrap();
        assert_eq!((listed.cleared, listed.unread, listed.head), (2, 1, 3));
        let synced = bob.sync(channel, listed.epoch, (1, 3), 0);
        assert_eq!(synced.items[0], SyncItem::Gap(Gap { from: 1, to: 2, why: GapReason::Hidden }));
        assert_eq!((synced.items.len(), synced.to), (2, 3));
    };
    on_all(&server, |world| {
        let (mut alice, mut bob, channel) = three(world);
        for seq in [4, MAX_INTEGER] {
            assert_eq!(set(&mut bob, &channel, &number(tag::CLEARED, seq)).reason, Reason::EpochMismatch);
        }
        assert_eq!(set(&mut bob, &channel, &number(tag::CLEARED, 2)).reason, Reason::Ok);
        let lower = set(&mut bob, &channel, &number(tag::CLEARED, 1));
        assert_eq!((lower.reason, lower.time_ms), (Reason::Ok, 0), "it only rises");
        cleared(&mut bob, &channel);
        assert_eq!(alice.sync_from(&channel, 1).images.len(), 3);
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        let (alice, mut bob) = (world.name("alice"), world.connect("bob"));
        let channel = channel_of(&alice, &bob.user);
        cleared(&mut bob, &channel);
        assert_eq!(set(&mut bob, &channel, &number(tag::CLEARED, 3)).reason, Reason::Ok);
        let listed = bob.listed(&channel).unwrap();
        assert_eq!((listed.unread, listed.image), (0, Bytes::new()), "nothing of it is a preview");
    });
}

#[test]
fn settings_that_say_nothing_or_too_much_are_malformed() {
    everywhere(&[], |world| {
        let (_, mut bob, channel) = three(world);
        let two = Tlvs::from_pairs([(tag::PINNED, &2_u32.to_be_bytes()[..])]);
        let detail = Tlvs::from_pairs([(tag::PINNED, &[0, 0, 0, 1][..]), (tag::DETAIL, b"x")]);
        let critical = Tlvs::from_pairs([(tag::PINNED, &[0, 0, 0, 1][..]), (0x8000, b"x")]);
        for settings in [Tlvs::new(), Tlvs::from_pairs([(tag::NAME, &b"x"[..])]), two, detail, critical] {
            assert_eq!(set(&mut bob, &channel, &settings).reason, Reason::Malformed, "{settings:?}");
        }
        let other = channel_of(&bob.user, "nobody");
        assert_eq!(set(&mut bob, &other, &switch(tag::PINNED, true)).reason, Reason::NoChannel);
        assert_eq!(set(&mut bob, &group("none.such"), &switch(tag::PINNED, true)).reason, Reason::NoChannel);
        assert_eq!(bob.listed(&channel).unwrap().flags, 0);
    });
}

#[test]
fn the_badge_is_the_sum_over_what_is_neither_muted_nor_hidden() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, channel) = three(world);
        assert_eq!(badge(&mut bob), (3, 0, 1));
        let name = world.name("g");
        alice.create(&name, &[&bob.user]);
        let all = postrider_protocol::image_flag::MENTION_ALL | postrider_protocol::image_flag::COUNTABLE;
        let send = postrider_protocol::packet::SendPacket { flags: all, ..alice.next_send(&group(&name), "all") };
        assert_eq!(alice.resend(&send).seq, 2);
        assert_eq!((badge(&mut bob), badge(&mut alice)), ((4, 1, 2), (0, 0, 0)));
        let ended = number(tag::MUTED_UNTIL_MS, 1_000);
        assert_eq!(set(&mut bob, &channel, &ended).reason, Reason::Ok);
        assert_eq!(badge(&mut bob), (4, 1, 2), "a mute that is over is none");
        assert_eq!(set(&mut bob, &channel, &number(tag::MUTED_UNTIL_MS, MAX_INTEGER)).reason, Reason::Ok);
        assert_eq!(badge(&mut bob), (1, 1, 1));
        assert_eq!(set(&mut bob, &group(&name), &switch(tag::HIDDEN, true)).reason, Reason::Ok);
        assert_eq!(badge(&mut bob), (0, 0, 0));
        alice.send(&group(&name), "3");
        assert_eq!(badge(&mut bob), (2, 1, 1));
        assert_eq!(bob.call(Method::Badge, b"x"[..].into()).reason, Reason::Malformed);
    });
}
