//! packets.json: valid frames of every kind, at the edges of their fields.

use bytes::Bytes;
use postrider_protocol::{
    Channel, From, GapReason, Id, Image, MAX_INTEGER, Method, Reason, Sender, SenderKind, Tlvs, image_flag,
    packet::{
        CallPacket, ConnackPacket, ConnectPacket, Conversation, DisconnectPacket, Gap, LagPacket, Limits, ListPacket,
        ListedPacket, Made, NoticePacket, Packet, Reaction, RecvackPacket, ReplyPacket, SendPacket, SendackPacket,
        SyncItem, SyncPacket, SyncedPacket, conversation_flag, groups, marks,
    },
    tag, write_ids,
};
use serde_json::{Value, json};

use crate::{built, describe, first_packet, frame};

pub fn id(text: &str) -> Id {
    text.parse().unwrap()
}

pub fn long_id(letter: &str) -> Id {
    id(&letter.repeat(128))
}

/// A message from bob to alice.
pub fn message(seq: u64, body: &[u8]) -> Image {
    let channel = Channel::person(&id("alice"), &id("bob"));
    Image {
        kind: 1,
        flags: image_flag::COUNTABLE,
        seq,
        time_ms: 1_700_000_000_000,
        from: From::of(&id("bob"), &channel),
        channel,
        sender: Sender::issue(SenderKind::Kept, 0x1234_5678_9abc),
        number: 7,
        tlvs: Tlvs::new(),
        body: Bytes::copy_from_slice(body),
    }
}

pub fn encoded(image: &Image) -> Bytes {
    built(|out| image.write(out)).into()
}

fn refusal_tlvs() -> Tlvs {
    Tlvs::from_pairs([(tag::RETRY_AFTER_MS, &1500u32.to_be_bytes()[..]), (tag::DETAIL, b"come back later")])
}

/// 32 TLVs of 256 bytes with their heads: 8 KiB.
pub fn most_tlvs() -> Tlvs {
    let value = [0x2a; 252];
    let tlvs = Tlvs::from_pairs((0x0100..0x0120).map(|tag| (tag, &value[..])));
    assert_eq!(tlvs.as_bytes().len(), 8192);
    tlvs
}

fn connecting(all: &mut Vec<(&'static str, Packet)>) {
    let plain = ConnectPacket {
        version_min: 0,
        version_max: 0,
        token: Bytes::new(),
        device: None,
        sender: Sender::request(SenderKind::OneShot),
        tlvs: Tlvs::new(),
    };
    all.push(("connect: no token, no device, asks for a one-shot sender", Packet::Connect(plain.clone())));
    let full = ConnectPacket {
        version_max: 255,
        token: Bytes::from_static(b"header.payload.signature"),
        device: Some(id("phone-1")),
        sender: Sender::issue(SenderKind::Kept, 0x1234_5678_9abc),
        tlvs: Tlvs::from_pairs([
            (tag::PLATFORM, &b"android"[..]),
            (tag::APP_VERSION, b"1.2.3"),
            (tag::LANGUAGE, b"zh-Hans"),
            (tag::TIME_ZONE, b"Asia/Shanghai"),
            (tag::CLIENT_TIME, &1_700_000_000_000u64.to_be_bytes()),
        ]),
        ..plain.clone()
    };
    all.push(("connect: everything", Packet::Connect(full)));
    let most = ConnectPacket {
        version_min: 255,
        version_max: 255,
        token: vec![0x74; 4096].into(),
        device: Some(long_id("d")),
        tlvs: most_tlvs(),
        ..plain
    };
    all.push(("connect: every field at its limit", Packet::Connect(most)));
    let accepted = ConnackPacket {
        reason: Reason::Ok,
        version: 0,
        version_min: 0,
        version_max: 0,
        user: Some(id("alice")),
        sender: Sender::issue(SenderKind::Kept, 0x1234_5678_9abc),
        server_time_ms: 1_700_000_000_123,
        limits: Limits {
            heartbeat_ms: 30_000,
            dead_ms: 90_000,
            frame_bytes: 131_072,
            body_bytes: 65_536,
            sync_page: 100,
        },
        tlvs: Tlvs::new(),
    };
    all.push(("connack: accepted", Packet::Connack(accepted.clone())));
    let refused = ConnackPacket {
        reason: Reason::Unauthenticated,
        user: None,
        sender: Sender::from_bytes([0; 8]),
        server_time_ms: 0,
        limits: Limits::default(),
        tlvs: Tlvs::from_pairs([(tag::DETAIL, &b"signature"[..])]),
        ..accepted
    };
    all.push(("connack: refused", Packet::Connack(refused)));
}

fn sending(all: &mut Vec<(&'static str, Packet)>) {
    let hello = SendPacket {
        number: 1,
        oldest: 1,
        channel: Channel::person(&id("bob"), &id("alice")),
        flags: image_flag::COUNTABLE,
        body: Bytes::from_static(b"hello"),
        tlvs: Tlvs::new(),
    };
    all.push(("send: to a person", Packet::Send(hello.clone())));
    let to_group = SendPacket {
        number: 64,
        flags: image_flag::COUNTABLE | image_flag::SILENT,
        channel: Channel::group(&id("team:a~b.c_d@e+f=g-h")),
        tlvs: Tlvs::from_pairs([
            (tag::CONTENT_TYPE, &b"text/plain"[..]),
            (tag::TRACEPARENT, b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            (tag::READ, &12u64.to_be_bytes()),
            (0x3fff, b"passed on"),
        ]),
        ..hello.clone()
    };
    all.push(("send: to a group, with fields, at the end of the window", Packet::Send(to_group)));
    let mention = SendPacket {
        flags: image_flag::COUNTABLE | image_flag::MENTION_ALL | image_flag::MENTIONS,
        channel: Channel::group(&id("team")),
        tlvs: Tlvs::from_pairs([(tag::MENTIONS, &write_ids(&[id("carol"), id("bob")])[..])]),
        ..hello.clone()
    };
    all.push(("send: to a group, mentioning two and all", Packet::Send(mention)));
    let edge = SendPacket {
        number: MAX_INTEGER,
        oldest: MAX_INTEGER,
        channel: Channel::person(&long_id("a"), &long_id("b")),
        flags: 0,
        body: vec![0x61; 65_536].into(),
        tlvs: most_tlvs(),
    };
    all.push(("send: every field at its limit", Packet::Send(edge)));
    let itself = Channel::person(&id("alice"), &id("alice"));
    let empty = SendPacket { channel: itself, flags: 0, body: Bytes::new(), ..hello.clone() };
    all.push(("send: a note to self, empty body", Packet::Send(empty)));
    let large = SendPacket { body: vec![0x61; 65_537].into(), ..hello.clone() };
    all.push(("send: a body over the limit decodes (it is refused by SENDACK)", Packet::Send(large)));
    let critical = SendPacket { tlvs: Tlvs::from_pairs([(0x8000, &b""[..]), (0xffff, b"\x01")]), ..hello.clone() };
    all.push(("send: critical TLVs decode (they are refused by SENDACK)", Packet::Send(critical)));
    let room = 131_072 - (8 + 8 + hello.channel.as_bytes().len() + 2 + 4);
    let whole = SendPacket { body: vec![0x61; room].into(), ..hello };
    all.push(("send: a payload of exactly 128 KiB", Packet::Send(whole)));
    let ack = SendackPacket { number: 1, reason: Reason::Ok, seq: 1, time_ms: 1_700_000_000_000, tlvs: Tlvs::new() };
    all.push(("sendack: accepted", Packet::Sendack(ack.clone())));
    let most = SendackPacket { number: MAX_INTEGER, seq: MAX_INTEGER, time_ms: MAX_INTEGER, ..ack.clone() };
    all.push(("sendack: largest integers", Packet::Sendack(most)));
    let busy = SendackPacket { reason: Reason::Busy, seq: 0, time_ms: 0, tlvs: refusal_tlvs(), ..ack };
    all.push(("sendack: refused for now", Packet::Sendack(busy)));
}

fn receiving(all: &mut Vec<(&'static str, Packet)>) {
    all.push(("recv: from the second side", Packet::Recv(message(1, b"hello"))));
    let group = Channel::group(&id("team"));
    let users = built(|out| groups::write_users(out, &[id("bob"), id("carol")]));
    let joined =
        Image { kind: 11, flags: 0, from: From::of(&id("alice"), &group), channel: group, ..message(2, &users) };
    all.push(("recv: members joined a group", Packet::Recv(joined)));
    let unknown = Image { kind: 127, flags: 0xffff, ..message(3, b"from a newer server") };
    all.push(("recv: a kind and flags that are not known yet", Packet::Recv(unknown)));
    let largest = Image { tlvs: most_tlvs(), ..message(MAX_INTEGER, &[0x61; 65_536]) };
    all.push(("recv: the largest image", Packet::Recv(largest)));
    let channel = Channel::person(&id("alice"), &id("bob"));
    all.push(("recvack", Packet::Recvack(RecvackPacket { channel, seq: 42, tlvs: Tlvs::new() })));
    let notice = NoticePacket { what: 1, fields: Bytes::from_static(b"fields"), tlvs: Tlvs::new() };
    all.push(("notice", Packet::Notice(notice)));
    all.push(("lag", Packet::Lag(LagPacket { dropped: 17, tlvs: Tlvs::new() })));
    all.push(("ping", Packet::Ping(Tlvs::new())));
    all.push(("ping: with a field", Packet::Ping(Tlvs::from_pairs([(0x0100, &b"x"[..])]))));
    all.push(("pong", Packet::Pong(Tlvs::new())));
    all.push(("disconnect: done", Packet::Disconnect(DisconnectPacket { reason: Reason::Ok, tlvs: Tlvs::new() })));
    let shutdown = DisconnectPacket { reason: Reason::Shutdown, tlvs: refusal_tlvs() };
    all.push(("disconnect: the server stops", Packet::Disconnect(shutdown)));
}

fn listing(all: &mut Vec<(&'static str, Packet)>) {
    let list = ListPacket { request: 1, token: Bytes::new(), page: Bytes::new(), limit: 0, tlvs: Tlvs::new() };
    all.push(("list: everything", Packet::List(list.clone())));
    let longest = ListPacket {
        request: u32::MAX,
        token: vec![1; 4096].into(),
        page: vec![2; 4096].into(),
        limit: u16::MAX,
        ..list
    };
    all.push(("list: every field at its limit", Packet::List(longest)));
    let none = ListedPacket {
        request: 1,
        reason: Reason::Ok,
        token: Bytes::from_static(b"token"),
        next: Bytes::new(),
        conversations: Vec::new(),
        tlvs: Tlvs::new(),
    };
    all.push(("listed: nothing changed", Packet::Listed(none.clone())));
    let image = message(9, b"the last one");
    let with_bob = Conversation {
        channel: image.channel.clone(),
        flags: conversation_flag::CUT,
        epoch: 3,
        head: 9,
        sync_from: 4,
        read: 8,
        unread: 1,
        mentions: 0,
        muted_until_ms: 0,
        cleared: 2,
        name: Bytes::new(),
        avatar: Bytes::new(),
        image: encoded(&image),
    };
    let left = Conversation {
        channel: Channel::group(&id("team")),
        flags: conversation_flag::LEFT | conversation_flag::DISMISSED,
        epoch: u32::MAX,
        head: MAX_INTEGER,
        sync_from: MAX_INTEGER,
        read: 0,
        unread: 1_001,
        mentions: 1_001,
        muted_until_ms: MAX_INTEGER,
        cleared: 0,
        name: Bytes::from_static(b"The team"),
        avatar: Bytes::from_static(b"https://example.com/team.png"),
        image: Bytes::new(),
    };
    let two = ListedPacket { next: Bytes::from_static(b"next"), conversations: vec![with_bob, left], ..none.clone() };
    all.push(("listed: two conversations and a next page", Packet::Listed(two)));
    let bad = ListedPacket { reason: Reason::BadListToken, token: Bytes::new(), tlvs: refusal_tlvs(), ..none };
    all.push(("listed: refused", Packet::Listed(bad)));
}

fn syncing(all: &mut Vec<(&'static str, Packet)>) {
    let channel = Channel::group(&id("team"));
    let sync = SyncPacket { request: 2, channel, epoch: 1, from: 1, to: 1, limit: 0, tlvs: Tlvs::new() };
    all.push(("sync: one seq", Packet::Sync(sync.clone())));
    let all_seqs = SyncPacket { epoch: u32::MAX, to: MAX_INTEGER, limit: u16::MAX, ..sync };
    all.push(("sync: as far as there is", Packet::Sync(all_seqs)));
    let answer = SyncedPacket {
        request: 2,
        reason: Reason::Ok,
        epoch: 1,
        head: 9,
        from: 1,
        to: 8,
        items: vec![
            SyncItem::Gap(Gap { from: 1, to: 3, why: GapReason::Trimmed }),
            SyncItem::Gap(Gap { from: 4, to: 5, why: GapReason::NotVisible }),
            SyncItem::Image(encoded(&message(6, b"six"))),
            SyncItem::Gap(Gap { from: 7, to: 7, why: GapReason::Quarantined }),
            SyncItem::Image(encoded(&message(8, b""))),
        ],
        tlvs: Tlvs::new(),
    };
    all.push(("synced: images and every kind of gap", Packet::Synced(answer.clone())));
    let reaction = |text: &'static str, count, is_own| Reaction { reaction: text.into(), count, is_own };
    let made = |seq, (edit, version), is_pinned, (answers, answered), reactions| {
        SyncItem::Made(Made { seq, edit, version, is_pinned, answers, answered, reactions })
    };
    let mut erased = message(2, b"");
    erased.flags |= image_flag::ERASED;
    let mut edited = Image { tlvs: Tlvs::from_pairs([(tag::VERSION, &2_u32.to_be_bytes()[..])]), ..message(3, b"new") };
    edited.flags |= image_flag::EDITED;
    let items = vec![
        SyncItem::Image(encoded(&message(1, b"one"))),
        SyncItem::Image(encoded(&erased)),
        SyncItem::Image(encoded(&edited)),
        SyncItem::Gap(Gap { from: 4, to: 4, why: GapReason::Expired }),
        SyncItem::Gap(Gap { from: 5, to: 6, why: GapReason::Hidden }),
        made(1, (0, 0), true, (0, 0), vec![reaction("\u{1f44d}", 3, true), reaction("ok", 1, false)]),
        made(3, (9, 2), false, (2, 11), Vec::new()),
    ];
    let followed = SyncedPacket { to: 6, items, ..answer.clone() };
    all.push(("synced: what later images made of the messages", Packet::Synced(followed)));
    let refused =
        SyncedPacket { reason: Reason::EpochMismatch, epoch: 2, head: 5, to: 0, from: 0, items: Vec::new(), ..answer };
    all.push(("synced: refused", Packet::Synced(refused)));
}

fn calling(all: &mut Vec<(&'static str, Packet)>) {
    let create = built(|out| groups::write_change(out, &id("team"), &[id("bob")]));
    let call = CallPacket {
        request: 3,
        method: Method::GroupCreate.number(),
        number: 2,
        oldest: 1,
        fields: create.into(),
        tlvs: Tlvs::new(),
    };
    all.push(("call: create a group", Packet::Call(call.clone())));
    let mark = built(|out| marks::write_mark(out, &Channel::person(&id("alice"), &id("bob")), 9));
    let read = CallPacket { request: 4, method: Method::Read.number(), number: 3, fields: mark.into(), ..call.clone() };
    all.push(("call: move the read mark", Packet::Call(read)));
    let members = built(|out| groups::write_members(out, &id("team"), None));
    let method = Method::GroupMembers.number();
    let ask = CallPacket { request: 5, method, number: 0, oldest: 0, fields: members.into(), ..call.clone() };
    all.push(("call: the members of a group", Packet::Call(ask)));
    let unknown = CallPacket { method: u16::MAX, fields: Bytes::new(), ..call };
    all.push(("call: a method that is not known decodes (REPLY refuses it)", Packet::Call(unknown)));
    let reply = ReplyPacket {
        request: 3,
        reason: Reason::Ok,
        seq: 1,
        time_ms: 1_700_000_000_000,
        fields: Bytes::new(),
        tlvs: Tlvs::new(),
    };
    all.push(("reply: done", Packet::Reply(reply.clone())));
    let fields = Bytes::from_static(&[0, 1, 3, b'b', b'o', b'b', 0, 0]);
    all.push(("reply: a page of members", Packet::Reply(ReplyPacket { seq: 0, time_ms: 0, fields, ..reply.clone() })));
    let refused = ReplyPacket { reason: Reason::NotAllowed, seq: 0, time_ms: 0, tlvs: refusal_tlvs(), ..reply };
    all.push(("reply: refused", Packet::Reply(refused)));
}

pub fn all() -> Value {
    let mut packets = Vec::new();
    connecting(&mut packets);
    sending(&mut packets);
    receiving(&mut packets);
    listing(&mut packets);
    syncing(&mut packets);
    calling(&mut packets);
    let mut vectors = Vec::new();
    for (name, packet) in packets {
        let bytes = built(|out| packet.encode(out));
        assert_eq!(first_packet(&bytes).as_ref(), Some(&packet), "{name}");
        vectors.push(json!({ "name": name, "hex": describe::hex(&bytes), "packet": describe::packet(&packet) }));
    }
    for (name, kind) in [("an unknown kind that may be ignored", 0x80), ("the highest kind", 0xff)] {
        let bytes = frame(kind, b"anything");
        assert_eq!(first_packet(&bytes), None);
        vectors.push(json!({ "name": name, "hex": describe::hex(&bytes), "packet": null }));
    }
    vectors.into()
}
