//! What was missed can be found and fetched, completely, in pieces of bounded size, and nothing else.

use bytes::Bytes;
use postrider_protocol::{
    Channel, GapReason, Image, MAX_INTEGER, Method, Reason, Tlvs,
    packet::{Packet, SendPacket, SyncItem, conversation_flag},
    tag,
};

use crate::harness::{Server, channel_of, everywhere, group, on_all};

/// The length of a packet's payload.
fn payload(packet: Packet) -> usize {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out.len() - postrider_protocol::HEADER_BYTES
}

#[test]
fn a_token_lists_only_what_changed_since() {
    let mut server = Server::start(&[]);
    let tokens: std::sync::Mutex<Vec<(String, Bytes)>> = Default::default();
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let (empty, token) = bob.list(&Bytes::new());
        assert!(empty.is_empty());
        let channel = channel_of(&alice.user, &bob.user);
        alice.send(&channel, "1");
        let (listed, token) = bob.list(&token);
        assert_eq!(listed.iter().map(|listed| (&listed.channel, listed.head)).collect::<Vec<_>>(), [(&channel, 1)]);
        let (listed, token) = bob.list(&token);
        assert!(listed.is_empty(), "{listed:?}");
        // New messages of one of two, a read mark, a new conversation.
        let other = channel_of(&world.name("carol"), &bob.user);
        world.connect("carol").send(&other, "hi");
        let (listed, token) = bob.list(&token);
        assert_eq!(listed.iter().map(|listed| &listed.channel).collect::<Vec<_>>(), [&other]);
        assert_eq!(bob.read(&channel, 1).reason, Reason::Ok);
        let (listed, token) = bob.list(&token);
        assert_eq!(listed.iter().map(|listed| (&listed.channel, listed.read)).collect::<Vec<_>>(), [(&channel, 1)]);
        // A cursor is no change.
        bob.recvack(&channel, 1);
        bob.ping();
        let (listed, token) = bob.list(&token);
        assert!(listed.is_empty(), "{listed:?}");
        let (all, _) = bob.list(&Bytes::new());
        assert_eq!(all.len(), 2);
        tokens.lock().unwrap().push((bob.user, token));
    });
    server.crash_and_restart();
    for (user, token) in tokens.into_inner().unwrap() {
        let mut bob = crate::harness::Client::connect(&server, crate::harness::Via::Tcp, &user, "phone");
        assert!(bob.list(&token).0.is_empty(), "a token outlives the server");
        bob.send(&channel_of(&user, &user), "note");
        assert_eq!(bob.list(&token).0.len(), 1);
    }
}

#[test]
fn pages_hold_each_conversation_once_newest_first_under_one_token() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channels: Vec<Channel> =
            (0..25).map(|n| channel_of(&alice.user, &world.name(&format!("friend{n}")))).collect();
        channels.iter().for_each(|channel| assert_eq!(alice.send(channel, "x"), 1));
        let mut page = Bytes::new();
        let (mut seen, mut token) = (Vec::new(), None);
        // The one that changes meanwhile was on the last page.
        for expected in [10, 10, 4] {
            let listed = alice.list_page(&Bytes::new(), &page, 10);
            assert_eq!((listed.reason, listed.conversations.len()), (Reason::Ok, expected));
            assert_eq!(*token.get_or_insert(listed.token.clone()), listed.token);
            seen.extend(listed.conversations);
            page = listed.next;
            alice.send(&channels[0], "meanwhile");
        }
        assert!(page.is_empty());
        let times: Vec<u64> = seen.iter().map(|listed| Image::decode(listed.image.clone()).unwrap().time_ms).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "newest first: {times:?}");
        let mut found: Vec<Channel> = seen.into_iter().map(|listed| listed.channel).collect();
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 24);
        let (since, _) = alice.list(&token.unwrap());
        assert_eq!(since.iter().map(|listed| (&listed.channel, listed.head)).collect::<Vec<_>>(), [(&channels[0], 4)]);
    });
}

#[test]
fn a_token_or_page_of_other_bytes_is_told_as_that() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        alice.send(&channel_of(&alice.user, "bob"), "x");
        let (_, token) = alice.list(&Bytes::new());
        for bad in [&b"x"[..], &[0xff; 4_096], &token[..token.len() - 1], &[&token[..], b"y"].concat()] {
            let bad = Bytes::copy_from_slice(bad);
            let listed = alice.list_page(&bad, &Bytes::new(), 0);
            assert_eq!((listed.reason, listed.conversations.len()), (Reason::BadListToken, 0), "{bad:?}");
            assert!(listed.token.is_empty() && listed.next.is_empty());
            assert_eq!(alice.list_page(&token, &bad, 0).reason, Reason::BadListToken, "as a page: {bad:?}");
        }
        assert!(alice.list(&token).0.is_empty());
    });
}

#[test]
fn previews_are_cut_and_answers_end_before_64_kib() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let long = Tlvs::from_pairs([(0x1234, &[b'x'; 8_000][..])]);
        for n in 0..20 {
            let channel = channel_of(&alice.user, &world.name(&format!("friend{n}")));
            let send = SendPacket { tlvs: long.clone(), ..alice.next_send(&channel, vec![b'y'; 257 - n % 2]) };
            assert_eq!(alice.resend(&send).reason, Reason::Ok);
        }
        let (mut page, mut count, mut pages) = (Bytes::new(), 0, 0);
        loop {
            let listed = alice.list_page(&Bytes::new(), &page, 100);
            assert!(payload(Packet::Listed(listed.clone())) <= 65_536);
            for conversation in &listed.conversations {
                let image = Image::decode(conversation.image.clone()).unwrap();
                let friend = conversation.channel.address_for(&alice.user.parse().unwrap());
                let long = friend.split('.').next().unwrap().trim_start_matches("user:friend").parse::<u32>().unwrap()
                    % 2
                    == 0;
                assert_eq!(conversation.flags, if long { conversation_flag::CUT } else { 0 });
                assert_eq!((image.body.len(), image.tlvs.as_bytes().len()), (256, 8_004));
            }
            count += listed.conversations.len();
            pages += 1;
            page = listed.next;
            if page.is_empty() {
                break;
            }
        }
        assert!(count == 20 && pages > 2, "{count} on {pages} pages");
    });
}

#[test]
fn sync_answers_are_full_at_their_limit_or_64_kib() {
    everywhere(&["sync.page=7", "sync.page_max=40"], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect_as("bob", ""));
        let channel = channel_of(&alice.user, &bob.user);
        let sends: Vec<_> = (0..60).map(|_| Packet::Send(alice.next_send(&channel, "small"))).collect();
        alice.say_all(&sends);
        assert_eq!(alice.sendack(60).seq, 60);
        let epoch = alice.listed(&channel).unwrap().epoch;
        for (from, to, limit, expected) in
            [(1, 60, 0, 7), (1, 60, 3, 3), (1, 60, 40, 40), (1, 60, 65_535, 40), (59, MAX_INTEGER, 0, 2), (5, 5, 0, 1)]
        {
            let synced = bob.sync(&channel, epoch, (from, to), limit);
            assert_eq!(
                (synced.reason, synced.head, synced.from, synced.to),
                (Reason::Ok, 60, from, from + expected - 1)
            );
            assert_eq!(synced.items.len() as u64, expected);
        }
        // Images whose lengths add up to the limit and a little more: one too many for one answer.
        let image = |body: usize, synced: &postrider_protocol::packet::SyncedPacket| {
            let SyncItem::Image(image) = &synced.items[0] else { panic!() };
            image.len() - b"small".len() + body
        };
        let sample = bob.sync(&channel, epoch, (1, 1), 0);
        let around = image(0, &sample);
        for (first, second, together) in [
            (30_000, 65_536 - 36 - 2 * (5 + around) - 30_000, true),
            (30_000, 65_536 - 36 - 2 * (5 + around) - 30_000 + 1, false),
            (65_536, 65_536, false),
        ] {
            let from = alice.send(&channel, vec![0; first]);
            alice.send(&channel, vec![0; second]);
            let synced = bob.sync(&channel, epoch, (from, from + 1), 0);
            assert_eq!(synced.to == from + 1, together, "{first} and {second}");
            assert!(payload(Packet::Synced(synced)) <= 65_536 || first == 65_536);
        }
        assert_eq!(bob.sync_from(&channel, 1).images.len(), 66);
    });
}

#[test]
fn who_joined_later_sees_a_gap_before_it() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let name = world.name("g");
        alice.create(&name, &[]);
        (2..=4).for_each(|seq| assert_eq!(alice.send(&group(&name), "before"), seq));
        assert_eq!(alice.change(Method::GroupAdd, &name, &[&bob.user]).seq, 5);
        assert_eq!(alice.send(&group(&name), "after"), 6);
        let listed = bob.listed(&group(&name)).unwrap();
        assert_eq!((listed.head, listed.sync_from), (6, 4));
        let seen = bob.sync_from(&group(&name), 1);
        assert_eq!(seen.images.iter().map(|image| image.seq).collect::<Vec<_>>(), [5, 6]);
        let [gap] = seen.gaps[..] else { panic!("{seen:?}") };
        assert_eq!((gap.from, gap.to, gap.why), (1, 4, GapReason::NotVisible));
        let synced = bob.sync(&group(&name), listed.epoch, (2, 3), 0);
        assert_eq!((synced.from, synced.to, synced.items.len()), (2, 3, 1), "{synced:?}");
    });
}

#[test]
fn an_interval_that_is_none_is_malformed() {
    everywhere(&[], |world| {
        for (from, to) in [(0, 1), (2, 1), (0, 0)] {
            let mut alice = world.connect("alice");
            alice.request += 1;
            let sync = postrider_protocol::packet::SyncPacket {
                request: 1,
                channel: channel_of(&alice.user, &alice.user),
                epoch: 1,
                from,
                to,
                limit: 0,
                tlvs: Tlvs::new(),
            };
            alice.say(&Packet::Sync(sync));
            alice.ends_with(Reason::Malformed);
        }
    });
}

#[test]
fn a_new_device_syncs_only_the_window_and_may_read_all() {
    everywhere(&["sync.window=10"], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, &world.name("bob"));
        alice.send_many(25, &channel, "x");
        let mut bob = world.connect("bob");
        assert_eq!(bob.listed(&channel).unwrap().sync_from, 15);
        assert_eq!(bob.sync_from(&channel, 1).images.len(), 25);
    });
}

#[test]
fn what_is_too_old_is_history() {
    let server = Server::start(&["sync.age=1s"]);
    on_all(&server, |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, &world.name("bob"));
        alice.send(&channel, "old");
        alice.send(&channel, "old");
        let mut bob = world.connect("bob");
        crate::harness::until("their age", || (bob.listed(&channel).unwrap().sync_from == 2).then_some(()));
        alice.send(&channel, "new");
        assert_eq!(bob.listed(&channel).unwrap().sync_from, 2);
    });
}

#[test]
fn reads_are_answered_in_their_order_one_at_a_time() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, "bob");
        alice.send(&channel, "x");
        let packets: Vec<_> = (1..=200)
            .map(|request| {
                let (channel, tlvs) = (channel.clone(), Tlvs::new());
                if request % 2 == 0 {
                    let (token, page) = (Bytes::new(), Bytes::new());
                    return Packet::List(postrider_protocol::packet::ListPacket {
                        request,
                        token,
                        page,
                        limit: 0,
                        tlvs,
                    });
                }
                let sync = postrider_protocol::packet::SyncPacket {
                    request,
                    channel,
                    epoch: 1,
                    from: 1,
                    to: 1,
                    limit: 0,
                    tlvs,
                };
                Packet::Sync(sync)
            })
            .collect();
        alice.say_all(&packets);
        for request in 1..=200 {
            match alice.next() {
                Some(Packet::Listed(listed)) => assert_eq!((listed.request, request % 2), (request, 0)),
                Some(Packet::Synced(synced)) => assert_eq!((synced.request, request % 2), (request, 1)),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn an_unknown_critical_tlv_refuses_a_read_and_the_connection_goes_on() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let tlvs = Tlvs::from_pairs([(0x9000, &b"?"[..])]);
        let (token, page) = (Bytes::new(), Bytes::new());
        alice.say(&Packet::List(postrider_protocol::packet::ListPacket { request: 77, token, page, limit: 0, tlvs }));
        let Some(Packet::Listed(listed)) = alice.next() else { panic!() };
        assert_eq!((listed.request, listed.reason), (77, Reason::UnknownCritical));
        assert!(listed.tlvs.get_text(tag::DETAIL).is_some());
        alice.ping();
    });
}
