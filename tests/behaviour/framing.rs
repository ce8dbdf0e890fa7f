//! Bytes on a connection: what is a frame, what is not, and what a peer gets for saying it.

use bytes::Bytes;
use postrider_protocol::{
    HEADER_BYTES, Kind, MAX_INTEGER, Reason, Tlvs, frame,
    packet::{ListPacket, Packet},
    tag,
};

use crate::harness::{Client, World, channel_of, everywhere};

/// A frame of any kind with any payload.
fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut head = (payload.len() as u32).to_be_bytes().to_vec();
    head.extend([kind, 0]);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head);
    crc.update(payload);
    [head, crc.finalize().to_be_bytes().to_vec(), payload.to_vec()].concat()
}

fn encoded(packets: &[Packet]) -> Vec<u8> {
    let mut out = Vec::new();
    packets.iter().for_each(|packet| packet.encode(&mut out));
    out
}

/// A fresh open connection is told `reason` for `bytes`, and loses nobody else's messages by it.
fn is_refused(world: World<'_>, what: &str, bytes: &[u8], reason: Reason) {
    let mut mallory = world.connect_as("mallory", "");
    mallory.wire.say(bytes).unwrap();
    eprintln!("{}: {what}", world.via.name());
    let told = mallory.ends_with(reason);
    assert!(told.get_text(tag::DETAIL).is_some_and(|detail| !detail.is_empty()), "{what}: no detail");
}

#[test]
fn f01_a_length_over_the_limit_is_refused_on_the_header() {
    everywhere(&[], |world| {
        for length in [131_073_u32, 1 << 31, u32::MAX] {
            let mut header = frame::header(Kind::Send, &[]).to_vec();
            header[..4].copy_from_slice(&length.to_be_bytes());
            is_refused(world, "open", &header, Reason::FrameTooLarge);
        }
        for length in [16_385_u32, u32::MAX] {
            let mut stranger = Client::new(world.server, world.via);
            let mut header = frame::header(Kind::Connect, &[]).to_vec();
            header[..4].copy_from_slice(&length.to_be_bytes());
            stranger.wire.say(&header).unwrap();
            stranger.ends_with(Reason::FrameTooLarge);
        }
    });
}

#[test]
fn f02_a_payload_shorter_than_its_fields_is_malformed() {
    everywhere(&[], |world| {
        for kind in [Kind::Send, Kind::Recvack, Kind::Disconnect, Kind::List, Kind::Sync, Kind::Call] {
            is_refused(world, kind.name(), &framed(kind.number(), &[]), Reason::Malformed);
            is_refused(world, kind.name(), &framed(kind.number(), &[0, 0, 0]), Reason::Malformed);
        }
    });
}

#[test]
fn f03_of_a_frame_cut_off_by_the_end_nothing_is_used() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        let whole = alice.next_send(&channel, "whole");
        let cut = alice.next_send(&channel, "cut off");
        let mut bytes = encoded(&[Packet::Send(whole), Packet::Send(cut.clone())]);
        bytes.pop();
        alice.wire.say(&bytes).unwrap();
        assert_eq!(alice.sendack(1).reason, Reason::Ok);
        alice.wire.half_close();
        assert_eq!(alice.next(), None, "no answer to half a frame");
        assert_eq!(&bob.recv().body[..], b"whole");
        let mut again = Client::connect_with(world.server, world.via, &alice.user, "phone", alice.sender);
        assert_eq!(again.resend(&cut).seq, 2, "the seq of what was cut off is free");
        assert_eq!(bob.bodies(&channel), ["whole", "cut off"]);
    });
}

#[test]
fn f05_the_cuts_between_reads_have_no_meaning() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, &world.name("bob"));
        // Two frames, split at every byte.
        let length = encoded(&[Packet::Ping(Tlvs::new()), Packet::Send(alice.next_send(&channel, "split"))]).len();
        alice.number = 0;
        for at in 1..length {
            let send = alice.next_send(&channel, "split");
            let bytes = encoded(&[Packet::Ping(Tlvs::new()), Packet::Send(send.clone())]);
            let (one, other) = bytes.split_at(at);
            alice.wire.say(one).unwrap();
            alice.wire.say(other).unwrap();
            assert_eq!(alice.sendack(send.number).seq, at as u64);
        }
        // Byte for byte.
        let send = alice.next_send(&channel, "drip");
        for byte in encoded(&[Packet::Send(send.clone())]) {
            alice.wire.say(&[byte]).unwrap();
        }
        assert_eq!(alice.sendack(send.number).seq, length as u64);
        // A hundred at once, and a WebSocket message that holds nothing.
        alice.wire.say(&[]).unwrap();
        let sends: Vec<_> = (0..60).map(|_| Packet::Send(alice.next_send(&channel, "together"))).collect();
        alice.say_all(&sends);
        let last = alice.number;
        assert_eq!(alice.sendack(last).seq, length as u64 + 60);
        assert_eq!(alice.bodies(&channel).len(), length + 60);
    });
}

#[test]
fn f07_a_thousand_frames_in_one_segment_are_answered_in_order() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, &world.name("bob"));
        let mut burst = vec![Packet::Ping(Tlvs::new()); 1_000];
        burst.extend((0..1_000).map(|n: u64| Packet::Send(alice.next_send(&channel, n.to_be_bytes()))));
        alice.say_all(&burst);
        let mut expected = 1;
        let mut pongs = 0;
        while pongs < 1_000 || expected <= 1_000 {
            match alice.next().unwrap() {
                Packet::Pong(_) => pongs += 1,
                Packet::Sendack(ack) => {
                    assert_eq!((ack.reason, ack.number, ack.seq), (Reason::Ok, expected, expected));
                    expected += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn f08_flipped_bits_are_found_and_never_stored() {
    everywhere(&[], |world| {
        let mut bob = world.connect("bob");
        let channel = channel_of(&world.name("mallory"), &bob.user);
        let mut sample = world.connect_as("mallory", "");
        let good = encoded(&[Packet::Send(sample.next_send(&channel, "payload"))]);
        // Behind the length: a flip in that only moves where the frame ends.
        for bit in (32..good.len() * 8).step_by(7) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 0x80 >> (bit % 8);
            // Another one, further on, for every second flip.
            if bit % 2 == 0 && bit / 8 + 3 < bad.len() && bit / 8 != 2 {
                bad[bit / 8 + 3] ^= 1;
            }
            let mut mallory = world.connect_as("mallory", "");
            mallory.wire.say(&bad).unwrap();
            let flags = bit / 8 == 5 || (bit % 2 == 0 && bit / 8 + 3 == 5);
            mallory.ends_with(if flags { Reason::Malformed } else { Reason::BadCrc });
        }
        sample.wire.say(&good).unwrap();
        assert_eq!(sample.sendack(1).seq, 1, "nothing was stored before");
        assert_eq!(&bob.recv().body[..], b"payload");
    });
}

#[test]
fn f09_numbers_from_2_to_the_53_on_are_malformed() {
    everywhere(&[], |world| {
        let channel = channel_of(&world.name("mallory"), "bob");
        for number in [MAX_INTEGER + 1, 1 << 63, u64::MAX] {
            let mut payload = number.to_be_bytes().to_vec();
            payload.extend(number.to_be_bytes());
            payload.extend(channel.as_bytes());
            payload.extend([0, 0, 0, 0, 0, 0]);
            is_refused(world, "number", &framed(Kind::Send.number(), &payload), Reason::Malformed);
            let recvack = [channel.as_bytes(), &number.to_be_bytes()].concat();
            is_refused(world, "seq", &framed(Kind::Recvack.number(), &recvack), Reason::Malformed);
        }
    });
}

#[test]
fn f10_unknown_kinds_are_refused_unless_they_may_be_ignored() {
    everywhere(&[], |world| {
        for kind in [0, 18, 0x7f] {
            is_refused(world, "unknown kind", &framed(kind, b"?"), Reason::UnknownKind);
        }
        let mut flagged = framed(Kind::Ping.number(), &[]);
        flagged[5] = 1;
        is_refused(world, "flags", &flagged, Reason::Malformed);
        let mut alice = world.connect("alice");
        for kind in [0x80, 0xab, 0xff] {
            alice.wire.say(&framed(kind, &[0xff; 100])).unwrap();
        }
        alice.ping();
        let mut stranger = Client::new(world.server, world.via);
        stranger.wire.say(&framed(0x80, &[])).unwrap();
        stranger.ends_with(Reason::ProtocolViolation);
    });
}

#[test]
fn f11_frames_that_only_servers_send_are_a_violation() {
    everywhere(&[], |world| {
        let mut sample = world.connect("alice");
        let channel = channel_of(&sample.user, &sample.user);
        let mut tablet = world.connect_as("alice", "tablet");
        sample.send(&channel, "x");
        let recv = Packet::Recv(tablet.recv());
        let listed = Packet::Listed(sample.list_page(&Default::default(), &Default::default(), 0));
        let synced = Packet::Synced(sample.sync(&channel, 1, (1, 1), 0));
        let send = sample.next_send(&channel, "y");
        let sendack = Packet::Sendack(sample.resend(&send));
        let reply = Packet::Reply(sample.read(&channel, 1));
        let connack = Packet::Connack(sample.connack.clone().unwrap());
        let lag = Packet::Lag(postrider_protocol::packet::LagPacket { dropped: 1, tlvs: Tlvs::new() });
        for packet in [recv, listed, synced, sendack, reply, connack, lag] {
            is_refused(world, packet.kind().name(), &encoded(std::slice::from_ref(&packet)), Reason::ProtocolViolation);
        }
    });
}

#[test]
fn f13_a_second_connect_is_a_violation_and_the_session_kept_what_it_did() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        let send = Packet::Send(alice.next_send(&channel, "before"));
        let connect = Packet::Connect(crate::harness::connect_packet(&world.name("mallory"), "", alice.sender));
        let after = Packet::Send(alice.next_send(&channel, "after"));
        alice.say_all(&[send, connect, after]);
        assert_eq!(alice.sendack(1).seq, 1, "what came before counts");
        alice.ends_with(Reason::ProtocolViolation);
        assert_eq!(bob.recv().author().as_str(), alice.user);
        assert_eq!(bob.bodies(&channel), ["before"]);
    });
}

#[test]
fn what_is_owed_at_the_end_is_told_before_it() {
    everywhere(&[], |world| {
        let channel = channel_of(&world.name("alice"), &world.name("bob"));
        let (token, page) = (Bytes::new(), Bytes::new());
        let list = ListPacket { request: 1, token, page, limit: 0, tlvs: Tlvs::new() };
        // Answers are on their way from other threads while the connection ends: each time at another moment.
        for _ in 0..300 {
            let mut alice = world.connect("alice");
            let mut said: Vec<_> = (0..20).map(|n| Packet::Send(alice.next_send(&channel, format!("{n}")))).collect();
            said.push(Packet::List(list.clone()));
            said.push(Packet::Connect(crate::harness::connect_packet(&alice.user, "", alice.sender)));
            alice.say_all(&said);
            alice.wait("LISTED", |packet| matches!(packet, Packet::Listed(_)).then_some(()));
            (1..=20).for_each(|number| _ = alice.sendack(number));
            alice.ends_with(Reason::ProtocolViolation);
        }
    });
}

#[test]
fn f15_counts_beyond_what_is_there_are_malformed() {
    everywhere(&[], |world| {
        let channel = channel_of(&world.name("mallory"), "bob");
        let window = [1_u64.to_be_bytes(), 1_u64.to_be_bytes()].concat();
        // A body of 4 GiB in a payload of a few bytes.
        let send = [&window[..], channel.as_bytes(), &[0, 0], &u32::MAX.to_be_bytes()].concat();
        is_refused(world, "body", &framed(Kind::Send.number(), &send), Reason::Malformed);
        // A TLV of 64 KiB.
        let ping = [0, 0x50, 0xff, 0xff, 1];
        is_refused(world, "TLV", &framed(Kind::Ping.number(), &ping), Reason::Malformed);
        // Fields of a CALL: refused in its REPLY, the connection goes on.
        let mut alice = world.connect("alice");
        for (count, users) in [(u16::MAX, &b""[..]), (2, &b"\x03bob"[..]), (101, &b""[..])] {
            let fields = [&b"\x01g"[..], &count.to_be_bytes(), users].concat();
            let reply = alice.call(postrider_protocol::Method::GroupCreate, fields.into());
            assert_eq!(reply.reason, Reason::Malformed);
            assert!(reply.tlvs.get_text(tag::DETAIL).is_some());
        }
        alice.ping();
        // An id of 255 bytes of which 3 are there.
        let list = [&[0, 0, 0, 1][..], &[0x0f, 0xff, 1, 2]].concat();
        is_refused(world, "token", &framed(Kind::List.number(), &list), Reason::Malformed);
    });
}

#[test]
fn f16_bodies_are_opaque_however_deep() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        for body in ["[".repeat(60_000), "\u{202e}\0{{".to_owned()] {
            alice.send(&channel, &body);
            assert_eq!(bob.recv().body, body);
        }
        alice.send(&channel, [0x9f; 60_000]);
        assert_eq!(&bob.recv().body[..], [0x9f; 60_000], "CBOR that never ends");
    });
}

#[test]
fn f17_ids_and_text_of_other_bytes_are_malformed() {
    everywhere(&[], |world| {
        let window = [1_u64.to_be_bytes(), 1_u64.to_be_bytes()].concat();
        let bad: [&[u8]; 9] = [
            b"",
            b"a/b",
            b"a b",
            b"a\0",
            b"../x",
            "\u{e9}".as_bytes(),
            "\u{202e}x".as_bytes(),
            b"\xc0\xaf",
            b"\xed\xa0\x80",
        ];
        for id in bad {
            let channel = [&[2, id.len() as u8], id].concat();
            let send = [&window[..], &channel, &[0; 6]].concat();
            is_refused(world, "group id", &framed(Kind::Send.number(), &send), Reason::Malformed);
        }
        let long = [&window[..], &[2, 129], &[b'a'; 129], &[0; 6]].concat();
        is_refused(world, "long id", &framed(Kind::Send.number(), &long), Reason::Malformed);
        let swapped = [&window[..], b"\x01\x03bob\x05alice", &[0; 6]].concat();
        is_refused(world, "ids out of order", &framed(Kind::Send.number(), &swapped), Reason::Malformed);
        let own = [&window[..], b"\x03\x05alice", &[0; 6]].concat();
        is_refused(world, "the channel of one user", &framed(Kind::Send.number(), &own), Reason::Malformed);
        let not_text = [&[0, 1, 0, 2][..], b"\xc0\xaf"].concat();
        is_refused(world, "text", &framed(Kind::Ping.number(), &not_text), Reason::Malformed);
    });
}

#[test]
fn f18_tlvs_are_few_small_and_in_order() {
    everywhere(&[], |world| {
        let tlv =
            |tag: u16, len: usize| [&tag.to_be_bytes()[..], &(len as u16).to_be_bytes(), &vec![b'x'; len]].concat();
        let ping = |tlvs: Vec<Vec<u8>>| framed(Kind::Ping.number(), &tlvs.concat());
        is_refused(world, "33 of them", &ping((0x100..0x121).map(|tag| tlv(tag, 0)).collect()), Reason::Malformed);
        is_refused(world, "8 KiB and 1", &ping(vec![tlv(0x100, 8_189)]), Reason::Malformed);
        is_refused(world, "thousands", &ping((0..6_000).map(|tag| tlv(0x100 + tag, 0)).collect()), Reason::Malformed);
        is_refused(world, "twice", &ping(vec![tlv(0x100, 1), tlv(0x100, 1)]), Reason::Malformed);
        is_refused(world, "descending", &ping(vec![tlv(0x101, 1), tlv(0x100, 1)]), Reason::Malformed);
        is_refused(world, "of servers", &ping(vec![tlv(0x4002, 1)]), Reason::ProtocolViolation);
        is_refused(world, "critical", &ping(vec![tlv(0x8000, 1)]), Reason::UnknownCritical);
        let mut alice = world.connect("alice");
        alice.wire.say(&ping((0x100..0x120).map(|tag| tlv(tag, 100)).collect())).unwrap();
        alice.ping();
        alice.wire.say(&ping(vec![tlv(0x100, 8_188)])).unwrap();
        alice.ping();
    });
}

#[test]
fn tlvs_of_a_send_are_kept_passed_on_or_refused_by_their_tag() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        let mut send = alice.next_send(&channel, "hi");
        send.tlvs = Tlvs::from_pairs([(tag::CONTENT_TYPE, &b"text/plain"[..]), (0x1234, &b"\0\xff"[..])]);
        assert_eq!(alice.resend(&send).reason, Reason::Ok);
        assert_eq!(bob.recv().tlvs, send.tlvs);
        let mut send = alice.next_send(&channel, "critical");
        send.tlvs = Tlvs::from_pairs([(0x8001, &b"?"[..])]);
        assert_eq!(alice.resend(&send).reason, Reason::UnknownCritical, "the connection goes on");
        assert_eq!(alice.send(&channel, "next"), 2, "nothing was stored");
        let mut send = alice.next_send(&channel, "of servers");
        send.tlvs = Tlvs::from_pairs([(tag::DETAIL, &b"?"[..])]);
        alice.say(&Packet::Send(send));
        alice.ends_with(Reason::ProtocolViolation);
    });
}

#[test]
fn f25_a_flood_of_pings_is_ended_and_unasked_pongs_are_no_harm() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        alice.say_all(&vec![Packet::Pong(Tlvs::new()); 500]);
        alice.say_all(&vec![Packet::Ping(Tlvs::new()); 500]);
        alice.ping();
        let mut mallory = world.connect("mallory");
        let flood = encoded(&vec![Packet::Ping(Tlvs::new()); 1_000]);
        let mut rounds = 0..20;
        let told = loop {
            assert!(rounds.next().is_some(), "20,000 PINGs were answered");
            // Refused once the server has closed.
            let _ = mallory.wire.say(&flood);
            if let Some(told) = (0..900).find_map(|_| match mallory.next() {
                Some(Packet::Pong(_)) => None,
                other => Some(other),
            }) {
                break told;
            }
        };
        let Some(Packet::Disconnect(told)) = told else { panic!("{told:?}") };
        assert_eq!(told.reason, Reason::RateLimited);
        alice.ping();
    });
}

#[test]
fn f26_the_time_of_a_client_decides_nothing() {
    everywhere(&[], |world| {
        for (n, time) in [0, 1, MAX_INTEGER].into_iter().enumerate() {
            let mut client = Client::new(world.server, world.via);
            let user = world.name("alice");
            let sender = postrider_protocol::Sender::request(postrider_protocol::SenderKind::Kept);
            let mut connect = crate::harness::connect_packet(&user, "phone", sender);
            connect.tlvs = Tlvs::from_pairs([(tag::CLIENT_TIME, &time.to_be_bytes()[..])]);
            let connack = client.ask_in(&connect);
            let now_ms = crate::harness::now_s() * 1_000;
            assert!(connack.server_time_ms.abs_diff(now_ms) < 60_000, "{connack:?}");
            let ack = client.try_send(&channel_of(&user, "bob"), "now");
            assert_eq!((ack.reason, ack.seq), (Reason::Ok, n as u64 + 1));
            assert!(ack.time_ms.abs_diff(now_ms) < 60_000, "{ack:?}");
        }
        let mut client = Client::new(world.server, world.via);
        let sender = postrider_protocol::Sender::request(postrider_protocol::SenderKind::Kept);
        let mut connect = encoded(&[Packet::Connect(crate::harness::connect_packet("alice", "", sender))]);
        let payload = [&connect.split_off(HEADER_BYTES)[..], &[0, 0x14, 0, 8], &u64::MAX.to_be_bytes()].concat();
        client.wire.say(&framed(Kind::Connect.number(), &payload)).unwrap();
        client.ends_with(Reason::Malformed);
    });
}

#[test]
fn f27_other_protocols_are_shown_the_door_at_once() {
    everywhere(&["session.connect_timeout=20s"], |world| {
        let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 500]].concat();
        let noise: Vec<u8> = (0..500_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 | 1).collect();
        let said: [&[u8]; 5] = [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            &hello,
            &noise,
            b"\x10\x1a\x00\x04MQTT\x04\x02\x00\x3c\x00\x0eclient",
        ];
        for bytes in said {
            let mut stranger = Client::new(world.server, world.via);
            stranger.wire.say(bytes).unwrap();
            stranger.ends_with(Reason::FrameTooLarge);
        }
    });
}

#[test]
fn f29_the_longest_frame_is_taken_and_one_byte_more_is_not() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, &world.name("bob"));
        let mut send = alice.next_send(&channel, "");
        let around = encoded(&[Packet::Send(send.clone())]).len() - HEADER_BYTES;
        send.body = vec![1; 131_072 - around].into();
        assert_eq!(alice.resend(&send).reason, Reason::BodyTooLarge, "whole, and the connection goes on");
        assert_eq!(alice.send(&channel, ""), 1);
        assert_eq!(alice.send(&channel, vec![1; 65_536]), 2);
        send.body = vec![1; 131_073 - around].into();
        alice.wire.say(&encoded(&[Packet::Send(send)])[..1_000]).unwrap();
        alice.ends_with(Reason::FrameTooLarge);
    });
}
