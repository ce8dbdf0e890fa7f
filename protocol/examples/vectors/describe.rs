//! Bytes and decoded values in the words of the golden vectors (protocol/vectors/README.md).

#[path = "describe_broadcast.rs"]
mod of_broadcast;
#[path = "describe_groups.rs"]
mod of_groups;
#[path = "describe_schedule.rs"]
mod of_schedule;
#[path = "people.rs"]
mod people;

use bytes::Bytes;
use postrider_protocol::{
    Channel, ChannelKind, From, Id, Image, NoticeKind, Tlvs,
    frame::Decoder,
    packet::{
        Conversation, ElementsPage, Packet, Reaction, SyncItem, marks,
        notice::{Receipt, Said, Told},
        presence::{self, Presence},
        targets,
    },
};
use serde_json::{Map, Value, json};

/// A decoder of what CALL, REPLY and membership images carry: canonical bytes again, and the fields by name.
pub type Method = fn(Bytes) -> Result<(Vec<u8>, Value), postrider_protocol::DecodeError>;

/// Hex in groups, long runs of one byte as `61*65536`.
pub fn hex(bytes: &[u8]) -> String {
    let mut groups: Vec<String> = Vec::new();
    let mut plain = String::new();
    for run in bytes.chunk_by(|a, b| a == b) {
        if run.len() < 32 {
            run.iter().for_each(|byte| plain.push_str(&format!("{byte:02x}")));
            continue;
        }
        if !plain.is_empty() {
            groups.push(std::mem::take(&mut plain));
        }
        groups.push(format!("{:02x}*{}", run[0], run.len()));
    }
    if !plain.is_empty() {
        groups.push(plain);
    }
    groups.join(" ")
}

/// The bytes that [`hex`] tells.
pub fn unhex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for group in text.split(' ').filter(|group| !group.is_empty()) {
        let (digits, times) = group.split_once('*').map_or((group, 1), |(hex, times)| (hex, times.parse().unwrap()));
        assert!(digits.len().is_multiple_of(2), "odd number of hex digits in {group}");
        let once: Vec<u8> =
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
        bytes.extend(once.iter().copied().cycle().take(once.len() * times));
    }
    bytes
}

fn text(id: Option<&Id>) -> String {
    id.map(Id::to_string).unwrap_or_default()
}

pub fn channel(channel: &Channel) -> Value {
    let kind = match channel.kind() {
        ChannelKind::Person => 1,
        ChannelKind::Group => 2,
        ChannelKind::User => 3,
    };
    let (low, high) = channel.ids();
    let ids: Vec<String> = std::iter::once(low).chain(high).map(|id| id.to_string()).collect();
    json!({ "kind": kind, "ids": ids })
}

pub fn tlvs(tlvs: &Tlvs) -> Value {
    tlvs.iter().map(|(tag, value)| json!({ "tag": tag, "value": hex(value) })).collect()
}

pub fn image(image: &Image) -> Value {
    let from = match &image.from {
        From::Side(side) => json!({ "side": side }),
        From::User(user) => json!({ "user": user.to_string() }),
    };
    json!({
        "kind": image.kind, "flags": image.flags, "seq": image.seq, "time_ms": image.time_ms,
        "channel": channel(&image.channel), "from": from, "sender": hex(image.sender.as_bytes()),
        "number": image.number, "tlvs": tlvs(&image.tlvs), "body": hex(&image.body),
    })
}

fn conversation(it: &Conversation) -> Value {
    json!({
        "channel": channel(&it.channel), "flags": it.flags, "epoch": it.epoch, "head": it.head,
        "sync_from": it.sync_from, "read": it.read, "unread": it.unread, "mentions": it.mentions,
        "muted_until_ms": it.muted_until_ms, "cleared": it.cleared,
        "name": hex(&it.name), "avatar": hex(&it.avatar), "image": hex(&it.image),
    })
}

fn item(item: &SyncItem) -> Value {
    match item {
        SyncItem::Image(bytes) => json!({ "image": hex(bytes) }),
        SyncItem::Gap(gap) => json!({ "gap": { "from": gap.from, "to": gap.to, "why": gap.why.name() } }),
        SyncItem::Made(made) => {
            let reaction =
                |it: &Reaction| json!({ "reaction": hex(&it.reaction), "count": it.count, "own": it.is_own });
            let reactions: Value = made.reactions.iter().map(reaction).collect();
            json!({ "made": {
                "seq": made.seq, "edit": made.edit, "version": made.version, "pinned": made.is_pinned,
                "answers": made.answers, "answered": made.answered,
                "reactions": reactions,
            } })
        }
    }
}

/// The fields of `packet` by name, its kind among them.
pub fn packet(packet: &Packet) -> Value {
    let mut fields = fields(packet);
    fields.insert("kind".into(), packet.kind().name().into());
    Value::Object(fields)
}

fn fields(packet: &Packet) -> Map<String, Value> {
    let value = match packet {
        Packet::Connect(it) => json!({
            "version_min": it.version_min, "version_max": it.version_max, "token": hex(&it.token),
            "device": text(it.device.as_ref()), "sender": hex(it.sender.as_bytes()), "tlvs": tlvs(&it.tlvs),
        }),
        Packet::Connack(it) => json!({
            "reason": it.reason.name(), "version": it.version, "version_min": it.version_min,
            "version_max": it.version_max, "user": text(it.user.as_ref()), "sender": hex(it.sender.as_bytes()),
            "server_time_ms": it.server_time_ms, "heartbeat_ms": it.limits.heartbeat_ms,
            "dead_ms": it.limits.dead_ms, "frame_bytes": it.limits.frame_bytes, "body_bytes": it.limits.body_bytes,
            "sync_page": it.limits.sync_page, "tlvs": tlvs(&it.tlvs),
        }),
        Packet::Send(it) => json!({
            "number": it.number, "oldest": it.oldest, "channel": channel(&it.channel), "flags": it.flags,
            "body": hex(&it.body), "tlvs": tlvs(&it.tlvs),
        }),
        Packet::Sendack(it) => json!({
            "number": it.number, "reason": it.reason.name(), "seq": it.seq, "time_ms": it.time_ms,
            "tlvs": tlvs(&it.tlvs),
        }),
        Packet::Recv(it) => json!({ "image": image(it) }),
        Packet::Recvack(it) => json!({ "channel": channel(&it.channel), "seq": it.seq, "tlvs": tlvs(&it.tlvs) }),
        Packet::Ping(it) | Packet::Pong(it) => json!({ "tlvs": tlvs(it) }),
        Packet::Disconnect(it) => json!({ "reason": it.reason.name(), "tlvs": tlvs(&it.tlvs) }),
        Packet::List(it) => json!({
            "request": it.request, "token": hex(&it.token), "page": hex(&it.page), "limit": it.limit,
            "tlvs": tlvs(&it.tlvs),
        }),
        Packet::Listed(it) => json!({
            "request": it.request, "reason": it.reason.name(), "token": hex(&it.token), "next": hex(&it.next),
            "conversations": it.conversations.iter().map(conversation).collect::<Value>(), "tlvs": tlvs(&it.tlvs),
        }),
        Packet::Sync(it) => json!({
            "request": it.request, "channel": channel(&it.channel), "epoch": it.epoch, "from": it.from, "to": it.to,
            "limit": it.limit, "tlvs": tlvs(&it.tlvs),
        }),
        Packet::Synced(it) => json!({
            "request": it.request, "reason": it.reason.name(), "epoch": it.epoch, "head": it.head, "from": it.from,
            "to": it.to, "items": it.items.iter().map(item).collect::<Value>(), "tlvs": tlvs(&it.tlvs),
        }),
        Packet::Notice(it) => json!({ "what": it.what, "fields": hex(&it.fields), "tlvs": tlvs(&it.tlvs) }),
        Packet::Lag(it) => json!({ "dropped": it.dropped, "tlvs": tlvs(&it.tlvs) }),
        Packet::Call(it) => json!({
            "request": it.request, "method": it.method, "number": it.number, "oldest": it.oldest,
            "fields": hex(&it.fields), "tlvs": tlvs(&it.tlvs),
        }),
        Packet::Reply(it) => json!({
            "request": it.request, "reason": it.reason.name(), "seq": it.seq, "time_ms": it.time_ms,
            "fields": hex(&it.fields), "tlvs": tlvs(&it.tlvs),
        }),
    };
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// What a stream in these pieces says: packets, the reason it fails for, whether part of a frame is left.
pub fn stream(pieces: &[Vec<u8>]) -> (Vec<Value>, Option<&'static str>, bool) {
    let (mut decoder, mut packets) = (Decoder::new(), Vec::new());
    for piece in pieces {
        decoder.feed(piece.clone().into());
        loop {
            let decoded = decoder.next_frame().and_then(|frame| frame.map(Packet::decode).transpose());
            match decoded {
                Ok(None) => break,
                Ok(Some(None)) => {}
                Ok(Some(Some(it))) => packets.push(packet(&it)),
                Err(error) => return (packets, Some(error.reason.name()), false),
            }
        }
    }
    (packets, None, decoder.is_partial())
}

fn ids(ids: &[Id]) -> Value {
    ids.iter().map(Id::to_string).collect()
}

fn one_presence(it: &Presence) -> Value {
    json!({
        "user": it.user.to_string(), "state": it.state.number(), "last_seen_ms": it.last_seen_ms,
        "platforms": it.platforms.iter().map(|platform| String::from_utf8_lossy(platform)).collect::<Value>(),
    })
}

/// The fields of a notice by name: `said` by a client, else told by the server.
pub fn notice(kind: NoticeKind, said: bool, bytes: Bytes) -> Result<(Vec<u8>, Value), postrider_protocol::DecodeError> {
    let mut out = Vec::new();
    if said {
        let it = Said::decode(kind, bytes)?.expect("a kind that clients send");
        it.write(&mut out);
        let value = match &it {
            Said::Typing { channel: of, is_writing } => {
                json!({ "channel": channel(of), "state": u8::from(*is_writing) })
            }
            Said::Signal { channel: of, body } => json!({ "channel": channel(of), "body": hex(body) }),
        };
        return Ok((out, value));
    }
    let it = Told::decode(kind, bytes)?;
    it.write(&mut out);
    let value = match &it {
        Told::Typing { channel: of, user, is_writing } => {
            json!({ "channel": channel(of), "user": user.to_string(), "state": u8::from(*is_writing) })
        }
        Told::Presence(list) => json!({ "users": list.iter().map(one_presence).collect::<Value>() }),
        Told::Receipt { channel: of, marks } => {
            let one = |mark: &Receipt| json!({ "user": mark.user.to_string(), "delivered": mark.delivered, "read": mark.read });
            json!({ "channel": channel(of), "marks": marks.iter().map(one).collect::<Value>() })
        }
        Told::Conversation(view) => json!({
            "channel": channel(&view.channel), "read": view.read, "from": view.hidden.0, "to": view.hidden.1,
            "blocks": u8::from(view.blocks), "contact": view.contact, "waiting": view.waiting,
        }),
        Told::Signal { channel: of, user, time_ms, body } => {
            json!({ "channel": channel(of), "user": user.to_string(), "time_ms": time_ms, "body": hex(body) })
        }
        Told::Requests { group, waiting } => json!({ "group": group.to_string(), "waiting": waiting }),
    };
    Ok((out, value))
}

/// The decoder of a notice: `said_…` by a client, `told_…` by the server.
fn notice_of(what: &str) -> Option<Method> {
    Some(match what {
        "said_typing" => |bytes| notice(NoticeKind::Typing, true, bytes),
        "said_signal" => |bytes| notice(NoticeKind::Signal, true, bytes),
        "told_typing" => |bytes| notice(NoticeKind::Typing, false, bytes),
        "told_presence" => |bytes| notice(NoticeKind::Presence, false, bytes),
        "told_receipt" => |bytes| notice(NoticeKind::Receipt, false, bytes),
        "told_conversation" => |bytes| notice(NoticeKind::Conversation, false, bytes),
        "told_signal" => |bytes| notice(NoticeKind::Signal, false, bytes),
        "told_requests" => |bytes| notice(NoticeKind::Requests, false, bytes),
        _ => return None,
    })
}

/// The decoder for `what` of methods.json.
pub fn method(what: &str) -> Method {
    if let Some(notice) = notice_of(what) {
        return notice;
    }
    match what {
        "read" => |bytes| {
            let (of, seq) = marks::read_mark(bytes)?;
            let mut out = Vec::new();
            marks::write_mark(&mut out, &of, seq);
            Ok((out, json!({ "channel": channel(&of), "seq": seq })))
        },
        "view" => |bytes| {
            let (of, settings) = marks::read_settings(bytes)?;
            let mut out = Vec::new();
            marks::write_settings(&mut out, &of, &settings);
            Ok((out, json!({ "channel": channel(&of), "settings": tlvs(&settings) })))
        },
        "receipts" => |bytes| {
            let (of, seq, after) = marks::read_receipts(bytes)?;
            let mut out = Vec::new();
            marks::write_receipts(&mut out, &of, seq, after.as_ref());
            Ok((out, json!({ "channel": channel(&of), "seq": seq, "after": text(after.as_ref()) })))
        },
        "receipts_page" => |bytes| {
            let page = marks::ReceiptsPage::decode(bytes)?;
            let mut out = Vec::new();
            page.write(&mut out);
            let state =
                |(user, state): &(Id, marks::Receipt)| json!({ "user": user.to_string(), "state": *state as u8 });
            let users: Value = page.users.iter().map(state).collect();
            let (members, delivered, read) = (page.members, page.delivered, page.read);
            let counts = json!({ "members": members, "delivered": delivered, "read": read });
            Ok((out, json!({ "counts": counts, "users": users, "more": page.more })))
        },
        "badge" => |bytes| {
            let badge = marks::Badge::decode(bytes)?;
            let mut out = Vec::new();
            badge.write(&mut out);
            let (unread, mentions, conversations) = (badge.unread, badge.mentions, badge.conversations);
            Ok((out, json!({ "unread": unread, "mentions": mentions, "conversations": conversations })))
        },
        "watch" => |bytes| {
            let of = presence::read_watch(bytes)?;
            let mut out = Vec::new();
            presence::write_watch(&mut out, of.as_ref());
            Ok((out, json!({ "channel": of.as_ref().map(channel) })))
        },
        "presence_list" => |bytes| {
            let list = presence::read_answer(bytes)?;
            let mut out = Vec::new();
            presence::write_list(&mut out, &list);
            Ok((out, json!({ "users": list.iter().map(one_presence).collect::<Value>() })))
        },
        _ => of_target(what),
    }
}

/// As [`method`], for what is about a message that is there already.
fn of_target(what: &str) -> Method {
    match what {
        "revoke" => |bytes| {
            let (of, seq) = targets::read_revoke(bytes)?;
            Ok((written(|out| targets::write_revoke(out, &of, seq)), json!({ "channel": channel(&of), "seq": seq })))
        },
        "edit" => |bytes| {
            let it = targets::Edit::decode(bytes)?;
            let fields = json!({
                "channel": channel(&it.channel), "seq": it.seq, "version": it.version, "body": hex(&it.body),
            });
            Ok((written(|out| it.write(out)), fields))
        },
        "react" => |bytes| {
            let it = targets::React::decode(bytes)?;
            let fields = json!({
                "channel": channel(&it.channel), "seq": it.seq, "on": it.is_on, "reaction": hex(&it.reaction),
            });
            Ok((written(|out| it.write(out)), fields))
        },
        "pin" => |bytes| {
            let (of, seq, on) = targets::read_pin(bytes)?;
            let fields = json!({ "channel": channel(&of), "seq": seq, "on": on });
            Ok((written(|out| targets::write_pin(out, &of, seq, on)), fields))
        },
        "hide" => |bytes| {
            let (of, from, to) = targets::read_hide(bytes)?;
            let fields = json!({ "channel": channel(&of), "from": from, "to": to });
            Ok((written(|out| targets::write_hide(out, &of, (from, to))), fields))
        },
        "pins" => |bytes| {
            // A seq, as `after` elsewhere is an id.
            let (of, seq) = targets::read_pins(bytes)?;
            let fields = json!({ "channel": channel(&of), "after_seq": seq });
            Ok((written(|out| targets::write_pins(out, &of, seq)), fields))
        },
        "edits" => |bytes| {
            let (of, seq, after) = targets::read_edits(bytes)?;
            let fields = json!({ "channel": channel(&of), "seq": seq, "after_seq": after });
            Ok((written(|out| targets::write_edits(out, &of, seq, after)), fields))
        },
        "thread" => |bytes| {
            let (of, seq, before) = targets::read_thread(bytes)?;
            let fields = json!({ "channel": channel(&of), "seq": seq, "before_seq": before });
            Ok((written(|out| targets::write_thread(out, &of, seq, before)), fields))
        },
        "made" => |bytes| {
            let page = ElementsPage::decode([&[0, 1], &bytes[..], &[0]].concat().into())?;
            let bytes = written(|out| page.write(out));
            Ok((bytes[2..bytes.len() - 1].to_vec(), item(&page.items[0])))
        },
        "elements" => |bytes| {
            let page = ElementsPage::decode(bytes)?;
            let items: Value = page.items.iter().map(item).collect();
            Ok((written(|out| page.write(out)), json!({ "items": items, "more": page.more })))
        },
        _ => of_groups::method(what)
            .or_else(|| of_schedule::method(what))
            .or_else(|| of_broadcast::method(what))
            .unwrap_or_else(|| people::method(what)),
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}
