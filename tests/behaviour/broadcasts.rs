//! A system user writes to everybody, or to who has a tag: each gets it once, whatever happens meanwhile.

use std::collections::BTreeMap;

use bytes::Bytes;
use postrider::auth::Claims;
use postrider_protocol::{
    Channel, CommandId, Image, Method, Reason, Tlvs, image_flag,
    packet::{
        CallPacket, Packet, ReplyPacket, SyncItem,
        broadcast::{self, Announcement, Broadcast, Broadcasts, Reach},
        people,
    },
    tag,
};

use crate::{
    devices::devices,
    harness::{Client, Server, Via, World, channel_of, claims, everywhere, id, on_all, until},
};

/// Connects in a tenant of the transport's own: a broadcast reaches all of it.
fn connect(world: World<'_>, user: &str, device: &str, is_system: bool) -> Client {
    let tenant = 40 + world.via as u32;
    let claims = Claims { ten: Some(tenant), sys: is_system.then_some(true), ..claims(user, "") };
    Client::connect_claiming(world.server, world.via, &claims, device)
}

/// A user whom the server knows.
fn user(world: World<'_>, user: &str) -> Client {
    let mut client = connect(world, user, "phone", false);
    until("the device", || (devices(&mut client).len() == 1).then_some(()));
    client
}

const fn over_tcp(server: &Server) -> World<'_> {
    World { server, via: Via::Tcp }
}

fn system(world: World<'_>, user: &str) -> Client {
    connect(world, user, "desk", true)
}

fn announcement(reach: Reach, body: &str) -> Announcement {
    Announcement { reach, flags: image_flag::COUNTABLE, body: Bytes::copy_from_slice(body.as_bytes()) }
}

fn announce_with(client: &mut Client, announcement: &Announcement, tlvs: Tlvs) -> (CommandId, ReplyPacket) {
    let mut fields = Vec::new();
    announcement.write(&mut fields);
    let call = CallPacket { tlvs, ..client.next_call(Method::Broadcast, fields.into()) };
    client.say(&Packet::Call(call.clone()));
    (CommandId { sender: client.sender, number: call.number }, client.reply(call.request))
}

#[track_caller]
fn announce(client: &mut Client, reach: Reach, body: &str) -> CommandId {
    let (id, reply) = announce_with(client, &announcement(reach, body), Tlvs::new());
    assert_eq!((reply.reason, reply.seq), (Reason::Ok, 0), "{reply:?}");
    id
}

fn cancel(client: &mut Client, id: CommandId) -> Reason {
    client.call_writing(Method::BroadcastCancel, |out| id.write(out)).reason
}

#[track_caller]
fn broadcasts(client: &mut Client) -> Vec<Broadcast> {
    let reply = client.call(Method::Broadcasts, Bytes::new());
    assert_eq!(reply.reason, Reason::Ok, "{reply:?}");
    Broadcasts::decode(reply.fields).unwrap().0
}

fn find(client: &mut Client, id: CommandId) -> Broadcast {
    broadcasts(client).into_iter().find(|it| it.id == id).unwrap()
}

/// The broadcast, once it has ended.
fn ended(client: &mut Client, id: CommandId) -> Broadcast {
    until("the end of a broadcast", || Some(find(client, id)).filter(|it| it.ended_ms > 0))
}

fn set_tags(client: &mut Client, user: &str, tags: &[&str]) -> Reason {
    let tags: Vec<_> = tags.iter().map(|tag| id(tag)).collect();
    client.call_writing(Method::TagsSet, |out| broadcast::write_tagging(out, &id(user), &tags)).reason
}

fn tags(client: &mut Client, user: &str) -> Vec<String> {
    let reply = client.call_writing(Method::Tags, |out| people::write_user(out, &id(user)));
    assert_eq!(reply.reason, Reason::Ok, "{reply:?}");
    broadcast::read_tags(reply.fields).unwrap().iter().map(|tag| tag.as_str().to_owned()).collect()
}

fn tagged(tag: &str) -> Reach {
    Reach::Tagged(id(tag))
}

/// What the client's user has with the other one.
fn bodies(client: &mut Client, other: &str) -> Vec<String> {
    let channel = channel_of(&client.user, other);
    if client.listed(&channel).is_none() {
        return Vec::new();
    }
    client.bodies(&channel).iter().map(|body| String::from_utf8(body.to_vec()).unwrap()).collect()
}

/// What the client's user has with everybody, by the bytes of the channel.
fn all_bodies(client: &mut Client) -> BTreeMap<Channel, Vec<String>> {
    let (listed, _) = client.list(&Bytes::new());
    let bodies = listed.into_iter().map(|it| {
        let synced = client.sync(&it.channel, it.epoch, (1, it.head), 0);
        let images = synced.items.into_iter().filter_map(|item| match item {
            SyncItem::Image(bytes) => Image::decode(bytes).ok(),
            _ => None,
        });
        (it.channel, images.map(|image| String::from_utf8(image.body.to_vec()).unwrap()).collect())
    });
    bodies.collect()
}

/// So many users whom only their tags make known.
fn crowd(news: &mut Client, count: usize) -> Vec<String> {
    let users: Vec<String> = (0..count).map(|at| format!("user-{at}")).collect();
    for some in users.chunks(100) {
        let call = |user: &String| {
            let mut fields = Vec::new();
            broadcast::write_tagging(&mut fields, &id(user), &[id("crowd")]);
            fields
        };
        let calls: Vec<_> = some.iter().map(|user| news.next_call(Method::TagsSet, call(user).into())).collect();
        news.say_all(&calls.iter().cloned().map(Packet::Call).collect::<Vec<_>>());
        for call in calls {
            assert_eq!(news.reply(call.request).reason, Reason::Ok);
        }
    }
    users
}

#[test]
fn everybody_gets_a_broadcast_once_marked_and_can_answer_it() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (user(world, "alice"), user(world, "bob"));
        drop(user(world, "carol"));
        let mut news = system(world, "news");
        let tlvs = Tlvs::from_pairs([(tag::CONTENT_TYPE, &b"text/plain"[..])]);
        let (id, reply) = announce_with(&mut news, &announcement(Reach::Everybody, "to all"), tlvs);
        assert_eq!((reply.reason, reply.seq), (Reason::Ok, 0));
        let channel = channel_of("alice", "news");
        let image = alice.recv();
        assert_eq!((&image.channel, image.seq, &image.body[..]), (&channel, 1, &b"to all"[..]));
        assert_eq!((image.author().as_str(), image.sender, image.number), ("news", id.sender, id.number));
        assert_eq!(image.flags, image_flag::COUNTABLE | image_flag::SYSTEM | image_flag::BROADCAST);
        assert_eq!(image.tlvs.get_text(tag::CONTENT_TYPE), Some("text/plain"));
        assert_eq!(&bob.recv().body[..], b"to all");
        assert_eq!(alice.listed(&channel).unwrap().unread, 1);
        let done = ended(&mut news, id);
        assert_eq!((done.sent, done.refused, done.is_cancelled, &done.reach), (3, 0, false, &Reach::Everybody));
        assert!(done.made_ms > 0 && done.ended_ms >= done.made_ms);
        assert_eq!(bodies(&mut user(world, "carol"), "news"), ["to all"], "who was away has it too");
        assert_eq!(alice.send(&channel, "thank you"), 2);
        assert_eq!(&news.recv().body[..], b"thank you", "an answer reaches the system user, what it wrote did not");
        assert_eq!(bodies(&mut user(world, "dave"), "news"), [""; 0], "who comes later does not");
        assert_eq!(cancel(&mut news, id), Reason::NoTarget, "it has ended");
    });
}

#[test]
fn who_has_a_tag_gets_what_is_for_it() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (user(world, "alice"), user(world, "bob"));
        let mut news = system(world, "news");
        assert_eq!(set_tags(&mut news, "alice", &["beta", "paid"]), Reason::Ok);
        assert_eq!(set_tags(&mut news, "bob", &["paid"]), Reason::Ok);
        assert_eq!((tags(&mut news, "alice"), tags(&mut news, "carol")), (vec!["beta".into(), "paid".into()], vec![]));
        let beta = announce(&mut news, tagged("beta"), "for beta");
        assert_eq!(ended(&mut news, beta).sent, 1);
        assert_eq!(set_tags(&mut news, "alice", &["paid"]), Reason::Ok);
        assert_eq!(set_tags(&mut news, "bob", &[]), Reason::Ok);
        for (tag, sent) in [("paid", 1), ("beta", 0), ("nobody", 0)] {
            let id = announce(&mut news, tagged(tag), tag);
            assert_eq!((ended(&mut news, id).sent, find(&mut news, id).reach), (sent, tagged(tag)), "{tag}");
        }
        assert_eq!(bodies(&mut alice, "news"), ["for beta", "paid"]);
        assert_eq!(bodies(&mut bob, "news"), [""; 0]);
        assert_eq!(set_tags(&mut news, "bob", &["b", "a"]), Reason::Malformed, "tags ascend");
        assert_eq!(set_tags(&mut news, "bob", &[&"x".repeat(33)]), Reason::Malformed);
        let many: Vec<String> = (0..33).map(|at| format!("tag-{at:02}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(set_tags(&mut news, "bob", &many), Reason::Malformed);
        assert_eq!(set_tags(&mut news, "bob", &many[..32]), Reason::Ok);
    });
}

#[test]
fn only_a_system_user_broadcasts_and_knows_tags() {
    everywhere(&[], |world| {
        let (mut alice, mut news) = (user(world, "alice"), system(world, "news"));
        assert_eq!(set_tags(&mut news, "alice", &["paid"]), Reason::Ok);
        let (id, reply) = announce_with(&mut alice, &announcement(Reach::Everybody, "buy"), Tlvs::new());
        assert_eq!(reply.reason, Reason::NotAllowed);
        assert_eq!(cancel(&mut alice, id), Reason::NotAllowed);
        assert_eq!(set_tags(&mut alice, "alice", &["free"]), Reason::NotAllowed);
        let tags_of = |client: &mut Client| {
            client.call_writing(Method::Tags, |out| people::write_user(out, &"alice".parse().unwrap())).reason
        };
        assert_eq!(tags_of(&mut alice), Reason::NotAllowed, "not even one's own");
        assert_eq!(alice.call(Method::Broadcasts, Bytes::new()).reason, Reason::NotAllowed);
        assert_eq!(tags(&mut news, "alice"), ["paid"]);
        let mut other = system(world, "other");
        let id = announce(&mut news, tagged("paid"), "for you");
        assert_eq!(cancel(&mut other, id), Reason::NoTarget, "a broadcast is its author's");
        assert_eq!(broadcasts(&mut other), []);
    });
}

#[test]
fn what_cannot_be_said_to_everybody_is_refused_at_once() {
    everywhere(&[], |world| {
        let mut news = system(world, "news");
        let seq = 1_u64.to_be_bytes();
        let said = |flags, pairs: &[(u16, &[u8])]| {
            (Announcement { flags, ..announcement(Reach::Everybody, "x") }, Tlvs::from_pairs(pairs.iter().copied()))
        };
        for (announcement, tlvs) in [
            said(0, &[(tag::REPLY_TO, &seq)]),
            said(0, &[(tag::THREAD, &seq)]),
            said(0, &[(tag::LIFETIME_MS, &[0; 8])]),
            said(image_flag::MENTION_ALL, &[]),
            said(image_flag::BROADCAST, &[]),
        ] {
            let (_, reply) = announce_with(&mut news, &announcement, tlvs);
            assert_eq!(reply.reason, Reason::Malformed, "{announcement:?}");
        }
        assert_eq!(news.call(Method::Broadcast, Bytes::from_static(b"\x03\0\0\0\0\0\0")).reason, Reason::Malformed);
        assert_eq!(broadcasts(&mut news), []);
    });
}

#[test]
fn broadcasts_of_one_user_come_in_their_order() {
    everywhere(&[], |world| {
        let mut alice = user(world, "alice");
        let mut news = system(world, "news");
        let crowd = crowd(&mut news, 300);
        let ids: Vec<CommandId> =
            (0..6).map(|at| announce(&mut news, Reach::Everybody, &format!("news {at}"))).collect();
        let expected: Vec<String> = (0..6).map(|at| format!("news {at}")).collect();
        for id in &ids {
            assert_eq!(ended(&mut news, *id).sent, 301);
        }
        assert_eq!(bodies(&mut alice, "news"), expected);
        assert_eq!(bodies(&mut news, &crowd[299]), expected);
        assert_eq!(broadcasts(&mut news).iter().map(|it| it.id).collect::<Vec<_>>(), ids);
    });
}

#[test]
fn a_cancelled_broadcast_reaches_nobody_else_and_says_whom_it_reached() {
    everywhere(&[], |world| {
        let mut news = system(world, "news");
        let crowd = crowd(&mut news, 600);
        let first = announce(&mut news, Reach::Everybody, "first");
        let second = announce(&mut news, Reach::Everybody, "second");
        assert_eq!((cancel(&mut news, second), cancel(&mut news, second)), (Reason::Ok, Reason::Ok));
        let it = ended(&mut news, second);
        assert!(it.is_cancelled);
        let got = all_bodies(&mut news);
        assert_eq!(got.len(), crowd.len());
        assert!(got.values().all(|bodies| bodies[0] == "first"));
        assert_eq!(got.values().filter(|bodies| bodies.len() == 2).count() as u64, it.sent);
        assert_eq!(find(&mut news, first).sent, 600);
        let third = announce(&mut news, Reach::Everybody, "third");
        assert_eq!(ended(&mut news, third).sent, 600);
    });
}

/// Whatever is killed, whenever: each user has each broadcast once.
#[test]
fn a_broadcast_goes_on_after_crashes_and_nobody_has_it_twice() {
    const USERS: u64 = 1_500;
    let mut server = Server::start(&[]);
    let mut news = system(over_tcp(&server), "news");
    let crowd = crowd(&mut news, USERS as usize);
    let body = "long ".repeat(2_000);
    let ids = [announce(&mut news, Reach::Everybody, &body), announce(&mut news, tagged("crowd"), "second")];
    // Each of these is in the middle of a piece, which is noted when all of it is sent.
    for at in [150, 420, 800, 1_300] {
        let reader = &crowd[at];
        let mut phone = connect(over_tcp(&server), reader, "phone", false);
        until("the message", || phone.listed(&channel_of(reader, "news")));
        server.crash_and_restart();
        news = system(over_tcp(&server), "news");
    }
    for id in ids {
        let it = ended(&mut news, id);
        assert_eq!((it.sent, it.refused), (USERS, 0));
    }
    let got = all_bodies(&mut news);
    for user in &crowd {
        assert_eq!(got[&channel_of("news", user)], [body.as_str(), "second"], "{user}");
    }
}

#[test]
fn a_broadcast_stays_in_its_tenant() {
    let server = Server::start(&[]);
    on_all(&server, |world| {
        let mut alice = user(world, "alice");
        let mut news = system(world, "news");
        let id = announce(&mut news, Reach::Everybody, world.via.name());
        assert_eq!(ended(&mut news, id).sent, 1);
        assert_eq!(bodies(&mut alice, "news"), [world.via.name()]);
    });
}
