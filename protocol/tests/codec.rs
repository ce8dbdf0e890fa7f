//! Properties of the codec: what is encoded decodes to itself, pieces do not matter, and no bytes do harm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use bytes::Bytes;
use postrider_protocol::{
    Channel, DecodeError, FRAME_PAYLOAD_BYTES, From, GapReason, HEADER_BYTES, Id, Image, Kind, MAX_INTEGER, Reason,
    Sender, SenderKind, Tlvs,
    frame::{self, Decoder, Frame},
    packet::{
        CallPacket, ConnackPacket, ConnectPacket, Conversation, DisconnectPacket, Gap, LagPacket, Limits, ListPacket,
        ListedPacket, Made, NoticePacket, Packet, Reaction, RecvackPacket, ReplyPacket, SendPacket, SendackPacket,
        SyncItem, SyncPacket, SyncedPacket,
    },
};
use proptest::{collection::vec, option, prelude::*, sample::select};

fn integer() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(MAX_INTEGER), 0..=MAX_INTEGER]
}

fn some_bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn id() -> impl Strategy<Value = Id> {
    prop_oneof![9 => "[A-Za-z0-9._~:@+=-]{1,8}", 1 => "[A-Za-z0-9._~:@+=-]{126,128}"]
        .prop_map(|text| text.parse().unwrap())
}

fn channel() -> impl Strategy<Value = Channel> {
    prop_oneof![
        (id(), id()).prop_map(|(one, other)| Channel::person(&one, &other)),
        id().prop_map(|user| Channel::person(&user, &user)),
        id().prop_map(|group| Channel::group(&group)),
    ]
}

/// Tags without a form, so that any value is one.
fn tlvs() -> impl Strategy<Value = Tlvs> {
    vec((0x0100u16..0x4000, vec(any::<u8>(), 0..20)), 0..6).prop_map(|mut pairs| {
        pairs.sort();
        Tlvs::from_pairs(pairs.iter().map(|(tag, value)| (*tag, &value[..])))
    })
}

fn reason() -> impl Strategy<Value = Reason> {
    select(Reason::ALL.to_vec())
}

fn sender() -> impl Strategy<Value = Sender> {
    (select(vec![SenderKind::Kept, SenderKind::OneShot]), any::<u64>())
        .prop_map(|(kind, stamp)| Sender::issue(kind, stamp))
}

fn image() -> impl Strategy<Value = Image> {
    let head = (0u8..128, any::<u16>(), 1..=MAX_INTEGER, integer());
    (head, channel(), id(), any::<bool>(), sender(), integer(), tlvs(), some_bytes(300)).prop_map(
        |((kind, flags, seq, time_ms), channel, stranger, member, sender, number, tlvs, body)| {
            let author = if member { channel.ids().0 } else { stranger };
            let from = From::of(&author, &channel);
            Image { kind, flags, seq, time_ms, channel, from, sender, number, tlvs, body }
        },
    )
}

fn image_bytes() -> impl Strategy<Value = Bytes> {
    image().prop_map(|image| {
        let mut out = Vec::new();
        image.write(&mut out);
        out.into()
    })
}

fn interval() -> impl Strategy<Value = (u64, u64)> {
    (1..=MAX_INTEGER, 1..=MAX_INTEGER).prop_map(|(a, b)| (a.min(b), a.max(b)))
}

fn connect() -> impl Strategy<Value = Packet> {
    (any::<(u8, u8)>(), some_bytes(40), option::of(id()), sender(), tlvs()).prop_map(
        |((a, b), token, device, sender, tlvs)| {
            Packet::Connect(ConnectPacket { version_min: a.min(b), version_max: a.max(b), token, device, sender, tlvs })
        },
    )
}

fn connack() -> impl Strategy<Value = Packet> {
    let limits =
        any::<(u32, u32, u32, u32, u16)>().prop_map(|(heartbeat_ms, dead_ms, frame_bytes, body_bytes, sync_page)| {
            Limits { heartbeat_ms, dead_ms, frame_bytes, body_bytes, sync_page }
        });
    let versions = any::<(u8, u8, u8)>();
    (reason(), versions, option::of(id()), any::<[u8; 8]>(), integer(), limits, tlvs()).prop_map(
        |(reason, (version, version_min, version_max), user, sender, server_time_ms, limits, tlvs)| {
            let sender = Sender::from_bytes(sender);
            Packet::Connack(ConnackPacket {
                reason,
                version,
                version_min,
                version_max,
                user,
                sender,
                server_time_ms,
                limits,
                tlvs,
            })
        },
    )
}

fn listed() -> impl Strategy<Value = Packet> {
    let conversation = (
        channel(),
        any::<(u16, u32, u16, u16)>(),
        (integer(), integer(), integer(), integer(), integer()),
        (some_bytes(128), some_bytes(512)),
        image_bytes(),
    )
        .prop_map(
            |(
                channel,
                (flags, epoch, unread, mentions),
                (head, sync_from, read, muted_until_ms, cleared),
                (name, avatar),
                image,
            )| {
                Conversation {
                    channel,
                    flags,
                    epoch,
                    head,
                    sync_from,
                    read,
                    unread,
                    mentions,
                    muted_until_ms,
                    cleared,
                    name,
                    avatar,
                    image,
                }
            },
        );
    (any::<u32>(), reason(), some_bytes(30), some_bytes(30), vec(conversation, 0..4), tlvs()).prop_map(
        |(request, reason, token, next, conversations, tlvs)| {
            Packet::Listed(ListedPacket { request, reason, token, next, conversations, tlvs })
        },
    )
}

fn made() -> impl Strategy<Value = Made> {
    let reaction = ("[a-z\u{1f44d}]{1,8}", any::<u32>(), any::<bool>()).prop_map(|(text, count, is_own)| Reaction {
        reaction: text.into(),
        count,
        is_own,
    });
    let numbers = (1..=MAX_INTEGER, integer(), any::<u32>(), any::<bool>());
    let thread = (any::<u32>(), integer());
    (numbers, thread, vec(reaction, 0..=20))
        .prop_map(|(numbers, (answers, answered), reactions)| made_of(numbers, answers, answered, reactions))
}

fn made_of(
    (seq, edit, version, is_pinned): (u64, u64, u32, bool),
    answers: u32,
    answered: u64,
    reactions: Vec<Reaction>,
) -> Made {
    Made { seq, edit, version, is_pinned, answers, answered, reactions }
}

fn synced() -> impl Strategy<Value = Packet> {
    let item = prop_oneof![
        image_bytes().prop_map(SyncItem::Image),
        (interval(), select(GapReason::ALL.to_vec())).prop_map(|((from, to), why)| SyncItem::Gap(Gap {
            from,
            to,
            why
        })),
        made().prop_map(SyncItem::Made),
    ];
    let numbers = (any::<(u32, u32)>(), integer(), integer(), integer());
    (numbers, reason(), vec(item, 0..5), tlvs()).prop_map(
        |(((request, epoch), head, from, to), reason, items, tlvs)| {
            Packet::Synced(SyncedPacket { request, reason, epoch, head, from, to, items, tlvs })
        },
    )
}

fn from_clients() -> impl Strategy<Value = Packet> {
    prop_oneof![
        connect(),
        (integer(), integer(), channel(), 0u16..16, some_bytes(300), tlvs()).prop_map(
            |(number, oldest, channel, flags, body, tlvs)| {
                Packet::Send(SendPacket { number, oldest, channel, flags, body, tlvs })
            }
        ),
        (channel(), integer(), tlvs()).prop_map(|(channel, seq, tlvs)| Packet::Recvack(RecvackPacket {
            channel,
            seq,
            tlvs
        })),
        (any::<(u32, u16)>(), some_bytes(30), some_bytes(30), tlvs()).prop_map(
            |((request, limit), token, page, tlvs)| { Packet::List(ListPacket { request, token, page, limit, tlvs }) }
        ),
        (any::<(u32, u32, u16)>(), channel(), interval(), tlvs()).prop_map(
            |((request, epoch, limit), channel, (from, to), tlvs)| {
                Packet::Sync(SyncPacket { request, channel, epoch, from, to, limit, tlvs })
            }
        ),
        (any::<(u32, u16)>(), integer(), integer(), some_bytes(60), tlvs()).prop_map(
            |((request, method), number, oldest, fields, tlvs)| {
                Packet::Call(CallPacket { request, method, number, oldest, fields, tlvs })
            }
        ),
    ]
}

fn from_servers() -> impl Strategy<Value = Packet> {
    prop_oneof![
        connack(),
        (integer(), reason(), integer(), integer(), tlvs()).prop_map(|(number, reason, seq, time_ms, tlvs)| {
            Packet::Sendack(SendackPacket { number, reason, seq, time_ms, tlvs })
        }),
        image().prop_map(Packet::Recv),
        listed(),
        synced(),
        (any::<u8>(), some_bytes(30), tlvs()).prop_map(|(what, fields, tlvs)| Packet::Notice(NoticePacket {
            what,
            fields,
            tlvs
        })),
        (any::<u32>(), tlvs()).prop_map(|(dropped, tlvs)| Packet::Lag(LagPacket { dropped, tlvs })),
        (any::<u32>(), reason(), integer(), integer(), some_bytes(60), tlvs()).prop_map(
            |(request, reason, seq, time_ms, fields, tlvs)| {
                Packet::Reply(ReplyPacket { request, reason, seq, time_ms, fields, tlvs })
            }
        ),
    ]
}

fn packet() -> impl Strategy<Value = Packet> {
    prop_oneof![
        4 => from_clients(),
        4 => from_servers(),
        1 => tlvs().prop_map(Packet::Ping),
        1 => tlvs().prop_map(Packet::Pong),
        1 => (reason(), tlvs()).prop_map(|(reason, tlvs)| Packet::Disconnect(DisconnectPacket { reason, tlvs })),
    ]
}

fn encoded(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out
}

/// What a stream in these pieces says until it ends or fails.
fn frames(pieces: &[&[u8]]) -> (Vec<Frame>, Option<DecodeError>, usize) {
    let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
    for piece in pieces {
        decoder.feed(Bytes::copy_from_slice(piece));
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error), 0),
            }
        }
    }
    (frames, None, decoder.buffered())
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let mut from = 0;
    let mut pieces = Vec::new();
    for to in cuts.into_iter().chain([bytes.len()]) {
        pieces.push(&bytes[from..to]);
        from = to;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn a_packet_decodes_to_itself(packet in packet()) {
        let bytes = encoded(&packet);
        let (mut found, error, rest) = frames(&[&bytes]);
        prop_assert_eq!((found.len(), error, rest), (1, None, 0));
        let again = Packet::decode(found.remove(0)).unwrap().unwrap();
        prop_assert_eq!(encoded(&again), bytes);
        prop_assert_eq!(again, packet);
    }

    #[test]
    fn what_is_stored_is_told_by_the_frame_of_its_packet(number in integer(), seq in integer(), time_ms in integer()) {
        let packet = Packet::Sendack(SendackPacket { number, reason: Reason::Ok, seq, time_ms, tlvs: Tlvs::new() });
        prop_assert_eq!(encoded(&packet), SendackPacket::stored(number, seq, time_ms));
    }

    #[test]
    fn pieces_do_not_matter(packets in vec(packet(), 1..5), cuts in vec(any::<usize>(), 0..12), flip in option::of(any::<(usize, u8)>())) {
        let mut bytes: Vec<u8> = packets.iter().flat_map(encoded).collect();
        if let Some((at, bit)) = flip {
            let at = at % bytes.len();
            bytes[at] ^= 1 << (bit % 8);
        }
        let whole = frames(&[&bytes]);
        prop_assert_eq!(&frames(&pieces(&bytes, &cuts)), &whole);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&frames(&single), &whole);
    }

    #[test]
    fn a_flipped_bit_is_noticed(packet in packet(), at in any::<usize>(), bit in 0u8..8) {
        let mut bytes = encoded(&packet);
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let (found, error, rest) = frames(&[&bytes]);
        // A length that grew leaves the frame incomplete; everything else is refused.
        prop_assert!(found.is_empty() && (error.is_some() || (rest > 0 && at < 4)));
    }

    #[test]
    fn any_payload_is_refused_or_has_one_spelling(kind in select(Kind::ALL.to_vec()), payload in vec(any::<u8>(), 0..200)) {
        let frame = Frame { kind: kind.number(), payload: payload.clone().into() };
        if let Ok(Some(packet)) = Packet::decode(frame) {
            prop_assert_eq!(&encoded(&packet)[HEADER_BYTES..], &payload[..]);
        }
    }

    #[test]
    fn a_changed_payload_is_refused_or_has_one_spelling(packet in packet(), at in any::<usize>(), byte in any::<u8>()) {
        let mut payload = encoded(&packet).split_off(HEADER_BYTES);
        if !payload.is_empty() {
            let at = at % payload.len();
            payload[at] = byte;
        }
        let frame = Frame { kind: packet.kind().number(), payload: payload.clone().into() };
        if let Ok(Some(packet)) = Packet::decode(frame) {
            prop_assert_eq!(&encoded(&packet)[HEADER_BYTES..], &payload[..]);
        }
    }

    #[test]
    fn a_payload_cut_anywhere_does_no_harm(packet in packet()) {
        let payload = encoded(&packet).split_off(HEADER_BYTES);
        for end in 0..payload.len() {
            let frame = Frame { kind: packet.kind().number(), payload: Bytes::copy_from_slice(&payload[..end]) };
            if let Ok(Some(shorter)) = Packet::decode(frame) {
                prop_assert_eq!(&encoded(&shorter)[HEADER_BYTES..], &payload[..end]);
            }
        }
    }
}

fn raw_frame(payload_len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    frame::append(&mut out, Kind::Pong, |out| out.resize(out.len() + payload_len, 0));
    out
}

#[test]
fn the_frame_limit_is_exact() {
    let (found, error, _) = frames(&[&raw_frame(FRAME_PAYLOAD_BYTES)]);
    assert_eq!((found.len(), error), (1, None));
    let error = frames(&[&raw_frame(FRAME_PAYLOAD_BYTES + 1)[..HEADER_BYTES]]).1.unwrap();
    assert_eq!(error.reason, Reason::FrameTooLarge);
}

#[test]
fn a_limited_decoder_takes_its_limit_and_no_more() {
    for (payload, fits) in [(99, true), (100, true), (101, false)] {
        let mut decoder = Decoder::limited(100);
        decoder.feed(raw_frame(payload).into());
        assert_eq!(decoder.next_frame().is_ok(), fits, "{payload}");
    }
}

#[test]
fn what_is_fed_before_it_is_looked_at_is_joined() {
    let bytes = [raw_frame(3), raw_frame(0)].concat();
    let mut decoder = Decoder::new();
    for byte in &bytes {
        decoder.feed(Bytes::copy_from_slice(&[*byte]));
    }
    assert_eq!(decoder.buffered(), bytes.len());
    assert_eq!(decoder.next_frame().unwrap().unwrap().payload.len(), 3);
    assert_eq!(decoder.next_frame().unwrap().unwrap().payload.len(), 0);
    assert!(!decoder.is_partial() && !decoder.has_input());
}

#[test]
fn the_number_and_the_bytes_of_tlvs_are_limited_exactly() {
    let pairs = |count: u16, len: usize| -> Vec<u8> {
        let value = vec![0; len];
        (0..count)
            .flat_map(|tag| {
                let head = [(0x0100 + tag).to_be_bytes(), u16::try_from(len).unwrap().to_be_bytes()].concat();
                [head, value.clone()].concat()
            })
            .collect()
    };
    let fits = |bytes: Vec<u8>| Tlvs::parse(bytes.into(), 0).is_ok();
    assert!(fits(pairs(32, 0)) && !fits(pairs(33, 0)));
    assert!(fits(pairs(1, 8188)) && !fits(pairs(1, 8189)));
    assert!(fits(pairs(32, 252)) && !fits(pairs(32, 253)));
}

#[test]
fn lengths_that_promise_more_than_there_is_take_no_memory() {
    // 65,535 elements told, none there: decoding fails at the first, having taken nothing for the others.
    for (kind, payload) in [
        (Kind::Listed, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xff][..]),
        (Kind::Send, &[0xff; 30]),
        (Kind::Recv, &[0; 40]),
    ] {
        let frame = Frame { kind: kind.number(), payload: Bytes::copy_from_slice(payload) };
        assert_eq!(Packet::decode(frame).unwrap_err().reason, Reason::Malformed);
    }
}
