//! System users: they write to everybody, what they write is marked, and nobody else takes it back.

use postrider::auth::Claims;
use postrider_protocol::{
    Method, Reason, image_flag,
    packet::{Packet, SendPacket},
};

use crate::{
    harness::{Client, Server, World, channel_of, claims, everywhere, group, on_all},
    messages::{react, revoke},
    people::block,
};

/// Connects as a system user.
fn system(world: World<'_>, name: &str) -> Client {
    let user = world.name(name);
    let claims = Claims { sys: Some(true), ..claims(&user, "") };
    Client::connect_claiming(world.server, world.via, &claims, "bot")
}

#[test]
fn a_system_user_writes_to_who_blocks_it_and_to_groups_of_others_and_it_is_marked() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let mut news = system(world, "news");
        let two = channel_of(&alice.user, &news.user);
        assert_eq!(block(&mut alice, &news.user, true).reason, Reason::Ok);
        news.send(&two, "for you");
        let image = alice.recv_of(&two);
        assert_eq!((&image.body[..], image.flags), (&b"for you"[..], image_flag::COUNTABLE | image_flag::SYSTEM));
        assert_eq!(alice.listed(&two).unwrap().unread, 1);
        let team = world.name("team");
        alice.create(&team, &[&bob.user]);
        let of_team = group(&team);
        news.send(&of_team, "for all of you");
        for client in [&mut alice, &mut bob] {
            let image = loop {
                let image = client.recv_of(&of_team);
                if image.kind == 1 {
                    break image;
                }
            };
            assert_eq!(
                (image.author().as_str(), image.flags & image_flag::SYSTEM),
                (news.user.as_str(), image_flag::SYSTEM)
            );
        }
        assert_eq!(news.change(Method::GroupRemove, &team, &[&bob.user]).reason, Reason::NoChannel, "it only writes");
        assert!(news.listed(&of_team).is_none(), "and reads nothing");
        assert_eq!(news.try_send(&group(&world.name("nowhere")), "?").reason, Reason::NoChannel);
        assert_eq!(alice.dismiss(&team).reason, Reason::Ok);
        assert_eq!(news.try_send(&of_team, "?").reason, Reason::Dismissed);
    });
}

#[test]
fn only_the_system_user_takes_back_what_it_wrote() {
    let server = Server::start(&["messages.revoke_within=1ms"]);
    on_all(&server, |world| {
        let mut alice = world.connect("alice");
        let (mut news, mut other) = (system(world, "news"), system(world, "other"));
        let team = world.name("team");
        alice.create(&team, &[]);
        let channel = group(&team);
        let seq = news.send(&channel, "a mistake");
        assert_eq!(react(&mut alice, &channel, seq, true, "?").reason, Reason::Ok);
        assert_eq!(revoke(&mut alice, &channel, seq).reason, Reason::NotAllowed, "its owner neither");
        assert_eq!(revoke(&mut other, &channel, seq).reason, Reason::NotAllowed);
        assert_eq!(revoke(&mut news, &channel, seq).reason, Reason::Ok);
        assert_eq!(revoke(&mut news, &channel, seq).reason, Reason::Ok, "it is so already");
        let own = alice.send(&channel, "hers");
        assert_eq!(revoke(&mut news, &channel, own).reason, Reason::NotAllowed);
    });
}

#[test]
fn nobody_else_marks_messages_as_the_systems() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, "bob");
        alice.send(&channel, "mine");
        assert_eq!(alice.sync_from(&channel, 1).images[0].flags & image_flag::SYSTEM, 0);
        let flagged = SendPacket { flags: image_flag::SYSTEM, ..alice.next_send(&channel, "?") };
        alice.say(&Packet::Send(flagged));
        alice.ends_with(Reason::Malformed);
    });
}
