//! Threads: answers to one message, counted at it and listed by themselves.

use postrider_protocol::{
    Channel, Image, Method, Reason, Tlvs, image_flag,
    packet::{ElementsPage, Made, Packet, SendPacket, SendackPacket, SyncItem, targets},
    tag,
};

use crate::{
    harness::{Client, Server, channel_of, everywhere, group, on_all},
    messages::{edit, hide, revoke},
};

fn try_answer(client: &mut Client, channel: &Channel, root: u64, body: &str) -> SendackPacket {
    let tlvs = Tlvs::from_pairs([(tag::THREAD, &root.to_be_bytes()[..])]);
    let send = SendPacket { tlvs, ..client.next_send(channel, body) };
    client.resend(&send)
}

#[track_caller]
fn answer(client: &mut Client, channel: &Channel, root: u64, body: &str) -> u64 {
    let ack = try_answer(client, channel, root, body);
    assert_eq!(ack.reason, Reason::Ok, "{ack:?}");
    ack.seq
}

/// A page of a thread: its images, what was made of them, and whether there are earlier ones.
fn page(client: &mut Client, channel: &Channel, root: u64, before: u64) -> (Vec<Image>, Vec<Made>, bool) {
    let reply = client.call_writing(Method::Thread, |out| targets::write_thread(out, channel, root, before));
    assert_eq!(reply.reason, Reason::Ok, "{reply:?}");
    let page = ElementsPage::decode(reply.fields).unwrap();
    let (mut images, mut made) = (Vec::new(), Vec::new());
    for item in page.items {
        match item {
            SyncItem::Image(bytes) => images.push(Image::decode(bytes).unwrap()),
            SyncItem::Made(it) => made.push(it),
            SyncItem::Gap(gap) => panic!("{gap:?}"),
        }
    }
    (images, made, page.more)
}

fn bodies(client: &mut Client, channel: &Channel, root: u64) -> Vec<String> {
    let (images, _, more) = page(client, channel, root, 0);
    assert!(!more);
    images.iter().map(|image| String::from_utf8(image.body.to_vec()).unwrap()).collect()
}

/// How many answers a message has, and the newest, as SYNC tells it.
fn counted(client: &mut Client, channel: &Channel, root: u64) -> (u32, u64) {
    let made = client.sync_from(channel, root).made;
    made.iter().find(|made| made.seq == root).map_or((0, 0), |made| (made.answers, made.answered))
}

#[test]
fn answers_are_counted_and_listed_also_after_a_crash() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        assert_eq!(alice.send(&channel, "root"), 1);
        assert_eq!(answer(&mut bob, &channel, 1, "first"), 2);
        alice.send(&channel, "aside");
        assert_eq!(answer(&mut alice, &channel, 1, "second"), 4);
        let live = bob.recv_of(&channel);
        let live = if live.seq == 1 { bob.recv_of(&channel) } else { live };
        assert_eq!((live.seq, live.flags & image_flag::THREADED), (3, 0));
        let live = bob.recv_of(&channel);
        assert_ne!(live.flags & image_flag::THREADED, 0, "{live:?}");
        assert_eq!(live.tlvs.get_u64(tag::THREAD), Some(1));
        for client in [&mut alice, &mut bob] {
            assert_eq!(bodies(client, &channel, 1), ["first", "second"]);
            assert_eq!(counted(client, &channel, 1), (2, 4));
            assert_eq!(bodies(client, &channel, 3), [""; 0]);
        }
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        let mut bob = world.connect("bob");
        let channel = channel_of(&bob.user, &world.name("alice"));
        assert_eq!(bodies(&mut bob, &channel, 1), ["first", "second"]);
        assert_eq!(counted(&mut bob, &channel, 1), (2, 4));
    });
}

#[test]
fn a_thread_is_of_a_message_that_is_no_answer_itself() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let team = world.name("team");
        alice.create(&team, &[]);
        let channel = group(&team);
        let root = alice.send(&channel, "root");
        let first = answer(&mut alice, &channel, root, "answer");
        for no in [0, 1, first, first + 7] {
            assert_eq!(try_answer(&mut alice, &channel, no, "?").reason, Reason::NoTarget, "{no}");
        }
        assert_eq!(bodies(&mut alice, &channel, root), ["answer"]);
        let flagged = SendPacket { flags: image_flag::THREADED, ..alice.next_send(&channel, "?") };
        alice.say(&Packet::Send(flagged));
        alice.ends_with(Reason::Malformed);
    });
}

#[test]
fn answers_are_read_as_everything_is() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        let root = alice.send(&channel, "root");
        let seqs = ["one", "two", "three"].map(|body| answer(&mut alice, &channel, root, body));
        assert_eq!(edit(&mut alice, &channel, (seqs[0], 0), "ONE").reason, Reason::Ok);
        assert_eq!(revoke(&mut alice, &channel, seqs[1]).reason, Reason::Ok);
        assert_eq!(hide(&mut bob, &channel, seqs[2], seqs[2]).reason, Reason::Ok);
        assert_eq!(bodies(&mut alice, &channel, root), ["ONE", "", "three"]);
        assert_eq!(bodies(&mut bob, &channel, root), ["ONE", ""]);
        let (images, made, _) = page(&mut bob, &channel, root, 0);
        assert_eq!(made.iter().map(|made| (made.seq, made.version)).collect::<Vec<_>>(), [(seqs[0], 1)]);
        assert_eq!(images[0].tlvs.get_u64(tag::THREAD), Some(root), "an edit leaves it in its thread");
        assert_ne!(images[1].flags & image_flag::ERASED, 0);
        assert_eq!(counted(&mut bob, &channel, root), (3, seqs[2]), "what is gone was an answer all the same");
        // A thread outlives the message that began it.
        assert_eq!(revoke(&mut alice, &channel, root).reason, Reason::Ok);
        assert_eq!(bodies(&mut alice, &channel, root), ["ONE", "", "three"]);
        answer(&mut bob, &channel, root, "four");
        assert_eq!(bodies(&mut alice, &channel, root), ["ONE", "", "three", "four"]);
    });
}

#[test]
fn an_edited_answer_still_answers() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, "bob");
        let root = alice.send(&channel, "root");
        let tlvs = Tlvs::from_pairs([(tag::REPLY_TO, &root.to_be_bytes()[..])]);
        let send = SendPacket { tlvs, ..alice.next_send(&channel, "re") };
        let seq = alice.resend(&send).seq;
        assert_eq!(edit(&mut alice, &channel, (seq, 0), "re: root").reason, Reason::Ok);
        let images = alice.sync_from(&channel, seq).images;
        assert_eq!((&images[0].body[..], images[0].tlvs.get_u64(tag::REPLY_TO)), (&b"re: root"[..], Some(root)));
    });
}

#[test]
fn a_long_thread_comes_in_pages_from_its_end() {
    let server = Server::start(&["sync.page=10", "sync.page_max=10"]);
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        let root = alice.send(&channel, "root");
        for number in 0..25 {
            answer(&mut alice, &channel, root, &number.to_string());
            alice.send(&channel, "aside");
        }
        let (mut all, mut before) = (Vec::new(), 0);
        loop {
            let (images, _, more) = page(&mut bob, &channel, root, before);
            assert!(images.windows(2).all(|two| two[0].seq < two[1].seq), "ascending within a page");
            assert!(images.len() <= 10);
            before = images[0].seq;
            all.splice(0..0, images.into_iter().map(|image| String::from_utf8(image.body.to_vec()).unwrap()));
            if !more {
                break;
            }
        }
        assert_eq!(all, (0..25).map(|number| number.to_string()).collect::<Vec<_>>());
    });
}

#[test]
fn who_may_not_see_answers_is_told_of_none() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let team = world.name("team");
        alice.create(&team, &[&bob.user]);
        let channel = group(&team);
        let root = alice.send(&channel, "root");
        answer(&mut alice, &channel, root, "seen");
        assert_eq!(alice.change(Method::GroupRemove, &team, &[&bob.user]).reason, Reason::Ok);
        answer(&mut alice, &channel, root, "unseen");
        assert_eq!(bodies(&mut bob, &channel, root), ["seen"]);
        assert_eq!(counted(&mut bob, &channel, root), (0, 0), "the count is that of everybody's answers");
        let mut carol = world.connect("carol");
        let reply = carol.call_writing(Method::Thread, |out| targets::write_thread(out, &channel, root, 0));
        assert_eq!(reply.reason, Reason::NoChannel);
    });
}
