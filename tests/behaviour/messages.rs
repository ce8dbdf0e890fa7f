//! What becomes of a message that is there already: taken back, edited, reacted to, pinned, deleted for oneself, gone.

use std::{fs, path::Path};

use bytes::Bytes;
use postrider_protocol::{
    Channel, GapReason, Image, ImageKind, Method, Reason, Tlvs, image_flag,
    packet::{CallPacket, ElementsPage, Made, Packet, ReplyPacket, SendPacket, SyncItem, targets},
    tag,
};

use crate::harness::{Client, Server, Via, channel_of, everywhere, group, on_all, until};

fn fields(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::new();
    write(&mut out);
    out.into()
}

pub fn revoke(client: &mut Client, channel: &Channel, seq: u64) -> ReplyPacket {
    client.call(Method::Revoke, fields(|out| targets::write_revoke(out, channel, seq)))
}

fn edit_call(client: &mut Client, channel: &Channel, (seq, version): (u64, u32), body: &str) -> CallPacket {
    let (channel, body) = (channel.clone(), Bytes::copy_from_slice(body.as_bytes()));
    let fields = fields(|out| targets::Edit { channel, seq, version, body }.write(out));
    client.next_call(Method::Edit, fields)
}

pub fn edit(client: &mut Client, channel: &Channel, of: (u64, u32), body: &str) -> ReplyPacket {
    let call = edit_call(client, channel, of, body);
    client.say(&Packet::Call(call.clone()));
    client.reply(call.request)
}

pub fn react(client: &mut Client, channel: &Channel, seq: u64, is_on: bool, reaction: &str) -> ReplyPacket {
    let (channel, reaction) = (channel.clone(), Bytes::copy_from_slice(reaction.as_bytes()));
    client.call(Method::React, fields(|out| targets::React { channel, seq, is_on, reaction }.write(out)))
}

pub fn pin(client: &mut Client, channel: &Channel, seq: u64, is_on: bool) -> ReplyPacket {
    client.call(Method::Pin, fields(|out| targets::write_pin(out, channel, seq, is_on)))
}

pub fn hide(client: &mut Client, channel: &Channel, from: u64, to: u64) -> ReplyPacket {
    client.call(Method::Hide, fields(|out| targets::write_hide(out, channel, (from, to))))
}

fn page(reply: ReplyPacket) -> ElementsPage {
    assert_eq!(reply.reason, Reason::Ok, "{reply:?}");
    ElementsPage::decode(reply.fields).unwrap()
}

pub fn pins(client: &mut Client, channel: &Channel) -> ElementsPage {
    page(client.call(Method::Pins, fields(|out| targets::write_pins(out, channel, 0))))
}

pub fn edits(client: &mut Client, channel: &Channel, seq: u64) -> Vec<Bytes> {
    let reply = client.call(Method::Edits, fields(|out| targets::write_edits(out, channel, seq, 0)));
    let image = |item| match item {
        SyncItem::Image(bytes) => Image::decode(bytes).unwrap().body,
        other => panic!("{other:?}"),
    };
    page(reply).items.into_iter().map(image).collect()
}

fn read(client: &mut Client, channel: &Channel, seq: u64) -> Image {
    client.sync_from(channel, seq).images.into_iter().find(|image| image.seq == seq).unwrap()
}

fn made(client: &mut Client, channel: &Channel, seq: u64) -> Option<Made> {
    client.sync_from(channel, seq).made.into_iter().find(|made| made.seq == seq)
}

#[track_caller]
fn is_erased(image: &Image) {
    assert_ne!(image.flags & image_flag::ERASED, 0, "{image:?}");
    assert!(image.body.is_empty() && image.tlvs.is_empty(), "{image:?}");
}

#[test]
fn what_is_taken_back_is_erased_in_every_answer_and_told_to_everybody() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        let tlvs = Tlvs::from_pairs([(tag::CONTENT_TYPE, &b"text/plain"[..])]);
        let send = SendPacket { tlvs, ..alice.next_send(&channel, "secret") };
        assert_eq!(alice.resend(&send).seq, 1);
        alice.send(&channel, "kept");
        assert_eq!(edit(&mut alice, &channel, (1, 0), "still secret").seq, 3);
        assert_eq!(react(&mut bob, &channel, 1, true, "+").seq, 4);
        assert_eq!(pin(&mut bob, &channel, 1, true).seq, 5);
        let reply = revoke(&mut alice, &channel, 1);
        assert_eq!((reply.reason, reply.seq), (Reason::Ok, 6), "{reply:?}");
        let told = loop {
            let image = bob.recv_of(&channel);
            if image.seq == 6 {
                break image;
            }
        };
        assert_eq!((told.kind, told.tlvs.get_u64(tag::TARGET)), (ImageKind::Revoked.number(), Some(1)));
        assert!(told.body.is_empty());
        for client in [&mut alice, &mut bob] {
            is_erased(&read(client, &channel, 1));
            is_erased(&read(client, &channel, 3));
            assert_eq!(read(client, &channel, 2).body, "kept");
            assert_eq!(made(client, &channel, 1), None);
            assert!(pins(client, &channel).items.is_empty());
            assert_eq!(edits(client, &channel, 1), ["", ""]);
        }
        // A repetition is the first one; so is a second wish.
        let again = revoke(&mut alice, &channel, 1);
        assert_eq!((again.reason, again.seq, again.time_ms), (Reason::Ok, 6, reply.time_ms));
        for refused in [
            edit(&mut alice, &channel, (1, 1), "x"),
            react(&mut bob, &channel, 1, true, "?"),
            pin(&mut bob, &channel, 1, true),
        ] {
            assert_eq!(refused.reason, Reason::NoTarget);
        }
    });
    server.crash_and_restart();
    for via in Via::ALL {
        let (alice, bob) = (format!("alice.{}", via.name()), format!("bob.{}", via.name()));
        let mut client = Client::connect(&server, via, &bob, "phone");
        let channel = channel_of(&alice, &bob);
        is_erased(&read(&mut client, &channel, 1));
        is_erased(&read(&mut client, &channel, 3));
        assert_eq!(read(&mut client, &channel, 2).body, "kept");
    }
}

#[test]
fn a_repetition_of_what_was_taken_back_is_known_and_brings_nothing_back() {
    let mut server = Server::start(&["storage.erase_within=0ms"]);
    let sends = std::sync::Mutex::new(Vec::new());
    on_all(&server, |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, &world.name("bob"));
        let send = alice.next_send(&channel, "once");
        assert_eq!(alice.resend(&send).seq, 1);
        let call = alice.next_call(Method::Revoke, fields(|out| targets::write_revoke(out, &channel, 1)));
        let call = CallPacket { oldest: send.number, ..call };
        alice.say(&Packet::Call(call.clone()));
        assert_eq!(alice.reply(call.request).seq, 2);
        assert_eq!(alice.resend(&send).seq, 1);
        sends.lock().unwrap().push((world.via, alice.user.clone(), alice.sender, send));
    });
    server.crash_and_restart();
    for (via, user, sender, send) in sends.into_inner().unwrap() {
        let mut alice = Client::connect_with(&server, via, &user, "phone", sender);
        assert_eq!(alice.resend(&send).seq, 1);
        is_erased(&read(&mut alice, &send.channel, 1));
    }
}

/// How often `what` is in the files below `dir`.
pub fn count(dir: &Path, what: &[u8]) -> usize {
    let mut found = 0;
    for file in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        // What is made anew meanwhile has another name a moment later.
        match file.file_type().map(|kind| kind.is_dir()) {
            Ok(true) => found += count(&file.path(), what),
            _ => {
                let bytes = fs::read(file.path()).unwrap_or_default();
                found += bytes.windows(what.len()).filter(|window| *window == what).count();
            }
        }
    }
    found
}

#[test]
fn the_bytes_of_what_is_taken_back_leave_the_disk() {
    let mut server = Server::start(&["storage.erase_within=0ms", "storage.segment_bytes=1MiB"]);
    let (secret, kept) = (b"the secret that is nowhere", b"the text that stays where it is");
    let mut alice = Client::connect(&server, Via::Tcp, "alice", "phone");
    let channel = channel_of("alice", "bob");
    assert_eq!(alice.send(&channel, secret), 1);
    assert_eq!(alice.send(&channel, kept), 2);
    assert_eq!(edit(&mut alice, &channel, (1, 0), std::str::from_utf8(secret).unwrap()).seq, 3);
    assert!(count(&server.place.data(), secret) >= 2);
    assert_eq!(revoke(&mut alice, &channel, 1).seq, 4);
    until("its end on disk", || (count(&server.place.data(), secret) == 0).then_some(()));
    server.crash_and_restart();
    assert_eq!((count(&server.place.data(), secret), count(&server.place.data(), kept) > 0), (0, true));
    let mut alice = Client::connect(&server, Via::Tcp, "alice", "phone");
    is_erased(&read(&mut alice, &channel, 1));
    assert_eq!(read(&mut alice, &channel, 2).body, &kept[..]);
}

#[test]
fn a_device_that_was_away_finds_the_erased_message_and_that_it_was_taken_back() {
    everywhere(&[], |world| {
        let (mut alice, mut phone, tablet) =
            (world.connect("alice"), world.connect("bob"), world.connect_as("bob", "tablet"));
        let channel = channel_of(&alice.user, &phone.user);
        drop(tablet);
        alice.send(&channel, "secret");
        assert_eq!(phone.recv_of(&channel).body, "secret");
        assert_eq!(revoke(&mut alice, &channel, 1).seq, 2);
        assert_eq!(phone.recv_of(&channel).kind, ImageKind::Revoked.number());
        let mut tablet = world.connect_as("bob", "tablet");
        let listed = tablet.listed(&channel).unwrap();
        assert_eq!(Image::decode(listed.image).unwrap().kind, ImageKind::Revoked.number());
        let seen = tablet.sync_from(&channel, 1);
        is_erased(&seen.images[0]);
        assert_eq!(seen.images[1].kind, ImageKind::Revoked.number());
    });
}

#[test]
fn only_messages_that_the_caller_may_see_are_taken_back_and_by_whom_it_is_allowed() {
    everywhere(&[], |world| {
        let (mut alice, mut bob, mut carol) = (world.connect("alice"), world.connect("bob"), world.connect("carol"));
        let channel = channel_of(&alice.user, &bob.user);
        alice.send(&channel, "1");
        assert_eq!(revoke(&mut bob, &channel, 1).reason, Reason::NotAllowed);
        assert_eq!(revoke(&mut alice, &channel, 2).reason, Reason::NoTarget);
        assert_eq!(revoke(&mut carol, &channel, 1).reason, Reason::NoChannel);
        let nobody = channel_of(&alice.user, "nobody");
        assert_eq!(revoke(&mut alice, &nobody, 1).reason, Reason::NoChannel);
        assert_eq!(alice.call(Method::Revoke, b"junk"[..].into()).reason, Reason::Malformed);
        let name = world.name("g");
        alice.create(&name, &[&bob.user, &carol.user]);
        let team = group(&name);
        assert_eq!(bob.send(&team, "bob's"), 2);
        assert_eq!(alice.send(&team, "alice's"), 3);
        assert_eq!(revoke(&mut carol, &team, 2).reason, Reason::NotAllowed);
        assert_eq!(revoke(&mut bob, &team, 3).reason, Reason::NotAllowed);
        assert_eq!(revoke(&mut alice, &team, 1).reason, Reason::NoTarget, "an event");
        assert_eq!(revoke(&mut alice, &team, 2).seq, 4, "the owner takes back what is not theirs");
        assert_eq!(revoke(&mut bob, &team, 4).reason, Reason::NoTarget);
        let user = bob.user.clone();
        assert_eq!(bob.change(Method::GroupRemove, &name, &[&user]).reason, Reason::Ok);
        assert_eq!(revoke(&mut bob, &team, 2).reason, Reason::NoChannel);
        is_erased(&read(&mut bob, &team, 2));
    });
}

#[test]
fn after_its_time_a_message_is_not_taken_back_any_more() {
    everywhere(&["messages.revoke_within=0ms", "messages.edit_within=1ms"], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, "bob");
        let first = alice.try_send(&channel, "1");
        until("its end", || (alice.try_send(&channel, "tick").time_ms > first.time_ms + 1).then_some(()));
        assert_eq!(revoke(&mut alice, &channel, 1).reason, Reason::TooLate);
        assert_eq!(edit(&mut alice, &channel, (1, 0), "x").reason, Reason::TooLate);
        let note = channel_of(&alice.user, &alice.user);
        alice.send(&note, "note");
        assert_eq!(revoke(&mut alice, &note, 1).reason, Reason::Ok, "a note to self at any time");
    });
}

#[test]
fn an_edited_message_has_its_newest_content_wherever_it_is_read() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        alice.send(&channel, "first");
        let mut call = edit_call(&mut alice, &channel, (1, 0), "second");
        call.tlvs = Tlvs::from_pairs([(tag::CONTENT_TYPE, &b"text/markdown"[..])]);
        alice.say(&Packet::Call(call.clone()));
        assert_eq!(alice.reply(call.request).seq, 2);
        assert_eq!(bob.recv_of(&channel).body, "first");
        let told = bob.recv_of(&channel);
        assert_eq!((told.kind, &told.body[..]), (ImageKind::Edited.number(), &b"second"[..]));
        assert_eq!((told.tlvs.get_u64(tag::TARGET), told.tlvs.get_u32(tag::VERSION)), (Some(1), Some(1)));
        alice.say(&Packet::Call(call.clone()));
        assert_eq!(alice.reply(call.request).seq, 2, "sent again it is the same one");
        assert_eq!(edit(&mut alice, &channel, (1, 0), "lost").reason, Reason::VersionConflict);
        assert_eq!(edit(&mut bob, &channel, (1, 1), "forged").reason, Reason::NotAllowed);
        assert_eq!(edit(&mut alice, &channel, (2, 0), "an edit of an edit").reason, Reason::NoTarget);
        assert_eq!(edit(&mut alice, &channel, (1, 1), "third").seq, 3);
        for client in [&mut alice, &mut bob] {
            let image = read(client, &channel, 1);
            assert_eq!((image.flags, &image.body[..]), (image_flag::COUNTABLE | image_flag::EDITED, &b"third"[..]));
            assert_eq!((image.tlvs.get_u32(tag::VERSION), image.tlvs.get(tag::TARGET)), (Some(2), None));
            let made = made(client, &channel, 1).unwrap();
            assert_eq!((made.edit, made.version), (3, 2));
            assert_eq!(edits(client, &channel, 1), ["first", "second", "third"]);
            assert_eq!(client.listed(&channel).unwrap().head, 3);
        }
    });
    server.crash_and_restart();
    for via in Via::ALL {
        let (alice, bob) = (format!("alice.{}", via.name()), format!("bob.{}", via.name()));
        let mut client = Client::connect(&server, via, &alice, "phone");
        let channel = channel_of(&alice, &bob);
        assert_eq!(read(&mut client, &channel, 1).body, "third");
        assert_eq!(edit(&mut client, &channel, (1, 1), "late").reason, Reason::VersionConflict);
    }
}

#[test]
fn who_left_is_told_of_no_later_edit_and_reaction() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let name = world.name("g");
        alice.create(&name, &[&bob.user]);
        let team = group(&name);
        assert_eq!(alice.send(&team, "first"), 2);
        assert_eq!(edit(&mut alice, &team, (2, 0), "second").seq, 3);
        assert_eq!(react(&mut bob, &team, 2, true, "+").seq, 4);
        let user = bob.user.clone();
        assert_eq!(bob.change(Method::GroupRemove, &name, &[&user]).seq, 5);
        assert_eq!(edit(&mut alice, &team, (2, 1), "third").seq, 6);
        assert_eq!(read(&mut bob, &team, 2).body, "second");
        assert_eq!(made(&mut bob, &team, 2).unwrap().edit, 3);
        assert_eq!(made(&mut bob, &team, 2).unwrap().reactions.len(), 1);
        assert_eq!(react(&mut alice, &team, 2, true, "-").seq, 7);
        assert!(made(&mut bob, &team, 2).unwrap().reactions.is_empty());
        assert_eq!(edits(&mut bob, &team, 2), ["first", "second"]);
        assert_eq!(read(&mut alice, &team, 2).body, "third");
    });
}

#[test]
fn reactions_are_counted_once_for_each_user() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        alice.send(&channel, "hi");
        assert_eq!(react(&mut bob, &channel, 1, false, "+").seq, 0, "nothing to take away");
        assert_eq!(react(&mut bob, &channel, 1, true, "+").seq, 2);
        assert_eq!(react(&mut bob, &channel, 1, true, "+").seq, 0, "it is there");
        assert_eq!(react(&mut alice, &channel, 1, true, "+").seq, 3);
        assert_eq!(react(&mut alice, &channel, 1, true, "\u{1f44d}").seq, 4);
        let reactions = |client: &mut Client| {
            let made = made(client, &channel, 1).unwrap();
            let told = made.reactions.iter().map(|it| (it.reaction.to_vec(), it.count, it.is_own));
            told.collect::<Vec<_>>()
        };
        let thumb = "\u{1f44d}".as_bytes().to_vec();
        assert_eq!(reactions(&mut alice), [(b"+".to_vec(), 2, true), (thumb.clone(), 1, true)]);
        assert_eq!(reactions(&mut bob), [(b"+".to_vec(), 2, true), (thumb.clone(), 1, false)]);
        assert_eq!(react(&mut bob, &channel, 1, false, "+").seq, 5);
        assert_eq!(reactions(&mut bob), [(b"+".to_vec(), 1, false), (thumb, 1, false)]);
        for n in 0..18 {
            assert_eq!(react(&mut bob, &channel, 1, true, &format!("r{n}")).reason, Reason::Ok);
        }
        assert_eq!(react(&mut alice, &channel, 1, true, "r20").reason, Reason::TooMany);
        assert_eq!(react(&mut alice, &channel, 1, true, "r17").reason, Reason::Ok, "one that is there");
        assert_eq!(react(&mut alice, &channel, 99, true, "+").reason, Reason::NoTarget);
    });
}

#[test]
fn pinned_messages_are_listed_with_what_became_of_them() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let name = world.name("g");
        alice.create(&name, &[&bob.user]);
        let team = group(&name);
        (2..=4).for_each(|seq| assert_eq!(alice.send(&team, format!("m{seq}")), seq));
        assert_eq!(pin(&mut bob, &team, 2, true).reason, Reason::NotAllowed);
        assert_eq!(pin(&mut alice, &team, 4, true).seq, 5);
        assert_eq!(pin(&mut alice, &team, 2, true).seq, 6);
        assert_eq!(pin(&mut alice, &team, 2, true).seq, 0, "it is pinned");
        assert_eq!(pin(&mut alice, &team, 1, true).reason, Reason::NoTarget, "an event");
        let page = pins(&mut bob, &team);
        let [SyncItem::Image(two), SyncItem::Image(four), SyncItem::Made(made_two), SyncItem::Made(_)] =
            &page.items[..]
        else {
            panic!("{page:?}")
        };
        assert_eq!((Image::decode(two.clone()).unwrap().seq, Image::decode(four.clone()).unwrap().seq), (2, 4));
        assert!(made_two.is_pinned && !page.more);
        assert_eq!(pin(&mut alice, &team, 2, false).seq, 7);
        assert_eq!(pins(&mut bob, &team).items.len(), 2);
        assert_eq!(made(&mut bob, &team, 2), None);
    });
}

#[test]
fn what_a_user_deletes_for_themselves_is_gone_for_them_alone() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        (1..=6).for_each(|seq| assert_eq!(alice.send(&channel, format!("m{seq}")), seq));
        assert_eq!((hide(&mut bob, &channel, 2, 3).reason, hide(&mut bob, &channel, 5, 6).seq), (Reason::Ok, 0));
        assert_eq!(hide(&mut bob, &channel, 7, 7).reason, Reason::EpochMismatch);
        assert_eq!(hide(&mut bob, &channel, 3, 3).reason, Reason::Ok, "deleted already");
        let gaps = |client: &mut Client| {
            let seen = client.sync_from(&channel, 1);
            seen.gaps.iter().map(|gap| (gap.from, gap.to, gap.why)).collect::<Vec<_>>()
        };
        for client in [&mut bob, &mut world.connect_as("bob", "tablet")] {
            assert_eq!(gaps(client), [(2, 3, GapReason::Hidden), (5, 6, GapReason::Hidden)]);
            assert!(client.listed(&channel).unwrap().image.is_empty(), "the last one is deleted");
        }
        assert!(gaps(&mut alice).is_empty());
        assert_eq!(react(&mut bob, &channel, 2, true, "+").reason, Reason::NoTarget);
    });
    server.crash_and_restart();
    let mut bob = Client::connect(&server, Via::Tcp, "bob.tcp", "phone");
    assert_eq!(bob.sync_from(&channel_of("alice.tcp", "bob.tcp"), 1).gaps.len(), 2);
}

#[test]
fn no_more_than_64_ranges_are_deleted_apart() {
    everywhere(&["sync.page_max=100"], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, "bob");
        alice.send_many(131, &channel, "x");
        for n in 0..64 {
            assert_eq!(hide(&mut alice, &channel, 1 + 2 * n, 1 + 2 * n).reason, Reason::Ok);
        }
        assert_eq!(hide(&mut alice, &channel, 129, 129).reason, Reason::TooMany);
        assert_eq!(hide(&mut alice, &channel, 2, 2).reason, Reason::Ok, "it makes one of two");
        assert_eq!(hide(&mut alice, &channel, 131, 131).reason, Reason::Ok);
        let seen = alice.sync_from(&channel, 1);
        assert_eq!((seen.gaps.len(), seen.images.len()), (64, 131 - 66));
    });
}

#[test]
fn a_message_with_a_lifetime_goes_away() {
    let mut server = Server::start(&[]);
    let channels = std::sync::Mutex::new(Vec::new());
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        let mortal = |client: &mut Client, lifetime_ms: u64, body: &str| {
            let tlvs = Tlvs::from_pairs([(tag::LIFETIME_MS, &lifetime_ms.to_be_bytes()[..])]);
            let send = SendPacket { tlvs, ..client.next_send(&channel, body) };
            let ack = client.resend(&send);
            assert_eq!(client.resend(&send), ack, "sent again it is the same one");
            ack
        };
        assert_eq!(mortal(&mut alice, 600_000, "long").seq, 1);
        let told = bob.recv_of(&channel);
        assert_ne!(told.flags & image_flag::EXPIRING, 0);
        assert_eq!(told.tlvs.get_u64(tag::LIFETIME_MS), Some(600_000));
        assert_eq!(edit(&mut alice, &channel, (1, 0), "longer").seq, 2);
        let edited = read(&mut bob, &channel, 1);
        assert_eq!((edited.tlvs.get_u64(tag::LIFETIME_MS), &edited.body[..]), (Some(600_000), &b"longer"[..]));
        assert_eq!(mortal(&mut alice, 1, "short").seq, 3);
        let gap = until("its end", || bob.sync_from(&channel, 1).gaps.pop());
        assert_eq!((gap.from, gap.to, gap.why), (3, 3, GapReason::Expired));
        assert_eq!(edit(&mut alice, &channel, (3, 0), "x").reason, Reason::NoTarget);
        assert_eq!(mortal(&mut alice, 0, "never").reason, Reason::Malformed);
        channels.lock().unwrap().push((world.via, bob.user, channel.clone()));
    });
    server.crash_and_restart();
    for (via, user, channel) in channels.into_inner().unwrap() {
        let mut bob = Client::connect(&server, via, &user, "phone");
        assert_eq!(bob.sync_from(&channel, 1).gaps.len(), 1);
    }
}

#[test]
fn an_answer_is_to_a_message_that_is_there() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, "bob");
        alice.send(&channel, "1");
        for (named, seq, expected) in [
            (tag::REPLY_TO, 1u64, Reason::Ok),
            (tag::THREAD, 1, Reason::Ok),
            (tag::REPLY_TO, 9, Reason::NoTarget),
            (tag::THREAD, 0, Reason::NoTarget),
        ] {
            let tlvs = Tlvs::from_pairs([(named, &seq.to_be_bytes()[..])]);
            let send = SendPacket { tlvs, ..alice.next_send(&channel, "re") };
            assert_eq!(alice.resend(&send).reason, expected, "{named} {seq}");
        }
    });
}
