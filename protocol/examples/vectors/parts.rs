//! images.json, channels.json, methods.json, streams.json.

use postrider_protocol::{Channel, From, Image, Sender, Tlvs, Writer, tag};
use serde_json::{Value, json};

use crate::{
    broadcast, built, describe, frame, group_parts,
    packets::{encoded, id, long_id, message},
    schedule, targets,
};

pub fn images() -> Value {
    let own = Channel::person(&id("alice"), &id("alice"));
    let group = Channel::group(&id("team"));
    let valid = [
        ("from the second side of a person channel", message(1, b"hello")),
        ("from the first side", Image { from: From::Side(0), ..message(2, "caf\u{e9}".as_bytes()) }),
        ("a note to self", Image { from: From::Side(0), channel: own, ..message(3, b"milk") }),
        ("a user in a group", Image { from: From::User(id("alice")), channel: group.clone(), ..message(4, b"hi all") }),
        ("somebody who is no side of a person channel", Image { from: From::User(id("system")), ..message(5, b"") }),
        ("no sender", Image { sender: Sender::from_bytes([0; 8]), number: 0, ..message(6, b"") }),
        (
            "TLVs",
            Image {
                tlvs: Tlvs::from_pairs([
                    (tag::CONTENT_TYPE, &b"text/plain"[..]),
                    (0x3fff, &[0, 1]),
                    (0x4003, b"phone"),
                ]),
                ..message(7, b"typed")
            },
        ),
        (
            "not sequenced, in the channel of one user: decodes, and is never on the wire",
            Image {
                kind: 128,
                from: From::User(id("alice")),
                channel: Channel::user(&id("alice")),
                ..message(0, &[0; 8])
            },
        ),
        (
            "the longest ids",
            Image {
                from: From::Side(1),
                channel: Channel::person(&long_id("a"), &long_id("b")),
                ..message(8, &[0x61; 65_536])
            },
        ),
    ];
    let valid: Value = valid
        .iter()
        .map(|(name, it)| json!({ "name": name, "hex": describe::hex(&encoded(it)), "image": describe::image(it) }))
        .collect();
    json!({ "valid": valid, "malformed": malformed_images() })
}

fn malformed_images() -> Value {
    let good = encoded(&message(1, b"hello")).to_vec();
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let from = 20 + message(1, b"").channel.as_bytes().len();
    let with = |channel: &Channel, from: &[u8]| {
        built(|out| {
            out.raw(&good[..20]);
            out.raw(channel.as_bytes());
            out.raw(from);
            out.raw(&good[20 + 11 + 1..]);
        })
    };
    assert_eq!(from, 20 + 11);
    let pair = Channel::person(&id("alice"), &id("bob"));
    let own = Channel::person(&id("alice"), &id("alice"));
    let group = Channel::group(&id("team"));
    let long = built(|out| {
        out.raw(&good[..good.len() - 9]);
        out.bytes32(&[0x61; 65_537]);
    });
    let cases = [
        ("nothing", Vec::new()),
        ("format 1", changed(0, 1)),
        ("seq 2^56", changed(4, 1)),
        ("from 2", changed(from, 2)),
        ("from 254", changed(from, 254)),
        ("a side in a group", with(&group, &[0])),
        ("side 1 of a note to self", with(&own, &[1])),
        ("a side spelled out", with(&pair, &[255, 3, b'b', b'o', b'b'])),
        ("from nobody", with(&group, &[255, 0])),
        ("a TLV length beyond the end", changed(good.len() - 11, 0xff)),
        ("a body of 65,537 bytes", long),
        ("a body that ends early", good[..good.len() - 1].to_vec()),
        ("a byte after the body", [&good[..], b"!"].concat()),
    ];
    cases.iter().map(|(name, bytes)| json!({ "name": name, "hex": describe::hex(bytes) })).collect()
}

pub fn channels() -> Value {
    let long = "z".repeat(128);
    let rows = [
        (0, "alice", "user:bob"),
        (0, "bob", "user:alice"),
        (0, "alice", "user:alice"),
        (0, "alice", "group:team"),
        (7, "alice", "group:team"),
        (u32::MAX, "alice", "group:team"),
        (0, "a", "user:B"),
        (0, "alice", "user:sip:carol@example.org"),
        (0, "alice", "group:group:x"),
        (0, "A-Z.a_z~0:9@+=-", "user:0"),
        (0, "a", &format!("user:{long}")),
        (0, &long, "user:aa"),
    ];
    let valid: Value = rows
        .iter()
        .map(|(tenant, user, address)| {
            let channel = Channel::from_address(&id(user), address).unwrap();
            assert_eq!(channel.address_for(&id(user)), *address);
            json!({
                "user": user, "address": address, "tenant": tenant, "channel": describe::channel(&channel),
                "hex": describe::hex(channel.as_bytes()), "slot": channel.slot(*tenant),
            })
        })
        .collect();
    let malformed: Value = [
        ("nothing", &b""[..]),
        ("kind alone", &[2]),
        ("kind 0", &[0, 1, b'a']),
        ("kind 4", &[4, 1, b'a']),
        ("empty id", &[2, 0]),
        ("ids out of order", &[1, 1, b'b', 1, b'a']),
        ("a longer id before its beginning", &[1, 2, b'a', b'a', 1, b'a']),
        ("second id missing", &[1, 1, b'a']),
        ("a byte too many", &[2, 1, b'a', 0]),
        ("upper half of a byte", &[2, 1, 0x80]),
    ]
    .iter()
    .map(|(name, bytes)| json!({ "name": name, "hex": describe::hex(bytes) }))
    .collect();
    let ids = ["a", "0", "._~:@+=-", long.as_str(), "", &"z".repeat(129), "a b", "a/b", "a\n", "\u{e9}", "a%b", "a*"];
    let ids: Value = ids
        .iter()
        .map(|text| json!({ "text": text, "valid": text.parse::<postrider_protocol::Id>().is_ok() }))
        .collect();
    let addresses = ["user:a", "group:a", "user:a:b", "user:", "group:", "self:a", "a", "", "User:a", "user:a b", ":a"];
    let addresses: Value = addresses
        .iter()
        .map(|text| json!({ "text": text, "valid": Channel::from_address(&id("me"), text).is_ok() }))
        .collect();
    json!({ "valid": valid, "malformed": malformed, "ids": ids, "addresses": addresses })
}

/// A conversation muted for ever, shown again and cleared up to 9.
fn settings() -> Vec<u8> {
    built(|out| {
        out.raw(b"\x02\x04team");
        out.raw(b"\0\x30\0\x08\0\x1f\xff\xff\xff\xff\xff\xff");
        out.raw(b"\0\x32\0\x04\0\0\0\0");
        out.raw(b"\0\x34\0\x08\0\0\0\0\0\0\0\x09");
    })
}

/// Of nine members five have a message and two have read it; three are on the page.
fn receipts() -> Vec<u8> {
    built(|out| {
        out.raw(b"\0\0\0\x09\0\0\0\x05\0\0\0\x02\0\x03");
        out.raw(b"\x03bob\x02\x05carol\x01\x04dave\0\x01");
    })
}

pub fn methods() -> Value {
    let valid = [
        ("read: a person", "read", b"\x01\x05alice\x03bob\0\0\0\0\0\0\0\x09".to_vec()),
        ("read: a group, the highest seq", "read", b"\x02\x04team\0\x1f\xff\xff\xff\xff\xff\xff".to_vec()),
        ("view: pinned", "view", b"\x02\x04team\0\x31\0\x04\0\0\0\x01".to_vec()),
        ("view: muted, shown, cleared", "view", settings()),
        ("receipts: first page", "receipts", b"\x02\x04team\0\0\0\0\0\0\0\x09\0".to_vec()),
        ("receipts: after bob", "receipts", b"\x02\x04team\0\0\0\0\0\0\0\x09\x03bob".to_vec()),
        ("receipts_page: nobody", "receipts_page", vec![0; 15]),
        ("receipts_page: one of each, more", "receipts_page", receipts()),
        ("badge: nothing", "badge", vec![0; 12]),
        ("badge: 7 unread, 2 mentions, 3 conversations", "badge", b"\0\0\0\x07\0\0\0\x02\0\0\0\x03".to_vec()),
    ];
    let valid = valid.into_iter().chain(people());
    let malformed_reads = [
        ("read: channel of one user", "read", b"\x03\x05alice\0\0\0\0\0\0\0\x09".to_vec()),
        ("read: seq 2^53", "read", b"\x02\x04team\0\x20\0\0\0\0\0\0".to_vec()),
        ("read: a byte too many", "read", b"\x02\x04team\0\0\0\0\0\0\0\x09\0".to_vec()),
        ("view: none", "view", b"\x02\x04team".to_vec()),
        ("view: another TLV alone", "view", b"\x02\x04team\0\x21\0\x01x".to_vec()),
        ("view: pinned is 2", "view", b"\x02\x04team\0\x31\0\x04\0\0\0\x02".to_vec()),
        ("view: pinned in three bytes", "view", b"\x02\x04team\0\x31\0\x03\0\0\x01".to_vec()),
        ("view: a TLV of the server", "view", b"\x02\x04team\0\x31\0\x04\0\0\0\x01\x40\x02\0\0".to_vec()),
        ("view: channel of one user", "view", b"\x03\x05alice\0\x31\0\x04\0\0\0\x01".to_vec()),
        ("receipts: after is missing", "receipts", b"\x02\x04team\0\0\0\0\0\0\0\x09".to_vec()),
        ("receipts_page: state 3", "receipts_page", b"\0\0\0\x01\0\0\0\0\0\0\0\0\0\x01\x01a\x03\0".to_vec()),
        ("receipts_page: 65,535 users in no bytes", "receipts_page", b"\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff".to_vec()),
        ("badge: a byte too many", "badge", vec![0; 13]),
        ("badge: a byte missing", "badge", vec![0; 11]),
    ];
    let (valid, malformed) = (group_parts::valid().into_iter().chain(valid), group_parts::malformed());
    let malformed = malformed.into_iter().chain(malformed_reads);
    let (more_valid, more_malformed) = notices();
    let valid = valid.into_iter().chain(more_valid);
    let malformed = malformed.into_iter().chain(more_malformed);
    let valid: Value = valid
        .chain(targets::valid())
        .chain(schedule::valid())
        .chain(broadcast::valid())
        .map(|(name, what, bytes)| {
            let (again, fields) = describe::method(what)(bytes.clone().into()).unwrap();
            assert_eq!(again, bytes, "{name}");
            json!({ "name": name, "what": what, "hex": describe::hex(&bytes), "fields": fields })
        })
        .collect();
    let malformed: Value = malformed
        .chain(malformed_people())
        .chain(targets::malformed())
        .chain(schedule::malformed())
        .chain(broadcast::malformed())
        .map(|(name, what, bytes)| json!({ "name": name, "what": what, "hex": describe::hex(&bytes) }))
        .collect();
    json!({ "valid": valid, "malformed": malformed })
}

type Vector = (&'static str, &'static str, Vec<u8>);

/// A length of two bytes and so many letters.
fn letters(len: u16) -> Vec<u8> {
    [&len.to_be_bytes()[..], &vec![b'x'; usize::from(len)]].concat()
}

fn people() -> Vec<Vector> {
    let used = [&b"\x01\x01"[..], &[0; 48]].concat();
    vec![
        ("user: bob", "user", b"\x03bob".to_vec()),
        ("optional: none", "optional", b"\0".to_vec()),
        ("optional: a device", "optional", b"\x05phone".to_vec()),
        ("switch: on", "switch", b"\x03bob\x01".to_vec()),
        ("switch: off", "switch", b"\x03bob\0".to_vec()),
        ("ask: without a text", "ask", b"\x03bob\0\0".to_vec()),
        ("ask: the longest text", "ask", [b"\x03bob".to_vec(), letters(256)].concat()),
        ("note: the longest note", "note", [b"\x03bob".to_vec(), letters(128)].concat()),
        ("profiles: nobody", "profiles", b"\0\0".to_vec()),
        ("profiles: a name, and nothing", "profiles", b"\0\x02\x03bob\0\x07\0\x21\0\x03Bob\x03eve\0\0".to_vec()),
        ("devices: none", "devices", b"\0\0".to_vec()),
        (
            "devices: a phone",
            "devices",
            b"\0\x01\x05phone\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x09\x01\0\0\x07\0\x10\0\x03ios".to_vec(),
        ),
        ("blocked: one, more", "blocked", b"\0\x01\x03bob\x01".to_vec()),
        ("contacts: none", "contacts", b"\0\0\0".to_vec()),
        ("contacts: of each state", "contacts", b"\0\x03\x01a\x01\0\0\x01b\x02\0\x02hi\x01c\x03\0\0\0".to_vec()),
        ("usage: the caller", "usage", Vec::new()),
        ("usage: a group too", "usage", b"\x02\x04team".to_vec()),
        ("used: quotas are off", "used", b"\0".to_vec()),
        ("used: a user", "used", used),
    ]
}

fn malformed_people() -> Vec<Vector> {
    vec![
        ("user: nobody", "user", b"\0".to_vec()),
        ("user: a byte too many", "user", b"\x03bob\0".to_vec()),
        ("optional: nothing at all", "optional", Vec::new()),
        ("switch: 2", "switch", b"\x03bob\x02".to_vec()),
        ("switch: without a flag", "switch", b"\x03bob".to_vec()),
        ("ask: 257 bytes", "ask", [b"\x03bob".to_vec(), letters(257)].concat()),
        ("ask: not UTF-8", "ask", b"\x03bob\0\x01\xff".to_vec()),
        ("note: 129 bytes", "note", [b"\x03bob".to_vec(), letters(129)].concat()),
        ("profiles: 65,535 of them in no bytes", "profiles", b"\xff\xff".to_vec()),
        ("profiles: half a TLV", "profiles", b"\0\x01\x03bob\0\x02\0\x21".to_vec()),
        ("devices: online is 2", "devices", b"\0\x01\x01p\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0".to_vec()),
        ("blocked: more is 2", "blocked", b"\0\0\x02".to_vec()),
        ("contacts: state 0", "contacts", b"\0\x01\x01a\0\0\0\0".to_vec()),
        ("contacts: state 4", "contacts", b"\0\x01\x01a\x04\0\0\0".to_vec()),
        ("usage: a user's own channel", "usage", b"\x03\x05alice".to_vec()),
        ("used: scope 4", "used", [&b"\x01\x04"[..], &[0; 48]].concat()),
        ("used: 255 scopes in no bytes", "used", b"\xff".to_vec()),
    ]
}

/// Name, what it is, bytes.
type Cases = Vec<(&'static str, &'static str, Vec<u8>)>;

/// Fields of notices, of PRESENCE and of WATCH: good ones and bad ones.
fn notices() -> (Cases, Cases) {
    const PAIR: &[u8] = b"\x01\x05alice\x03bob";
    const TEAM: &[u8] = b"\x02\x04team";
    let seqs = |low: u8, high: u8| [[0, 0, 0, 0, 0, 0, 0, low], [0, 0, 0, 0, 0, 0, 0, high]].concat();
    let of = |parts: &[&[u8]]| parts.concat();
    let long = vec![0x61; 16_384];
    let signal = |len: u32, body: &[u8]| of(&[PAIR, &len.to_be_bytes(), body]);
    let valid = vec![
        ("typing: begins", "said_typing", of(&[PAIR, b"\x01"])),
        ("typing: stops, in a group", "said_typing", of(&[TEAM, b"\0"])),
        ("typing: bob writes", "told_typing", of(&[PAIR, b"\x03bob\x01"])),
        ("signal: empty", "said_signal", signal(0, b"")),
        ("signal: the longest", "said_signal", signal(16_384, &long)),
        ("signal: from bob", "told_signal", of(&[PAIR, b"\x03bob", &seqs(7, 0)[..8], &[0, 0, 0, 2], b"hi"])),
        ("receipt: bob has 9 and has read 7", "told_receipt", of(&[PAIR, b"\0\x01\x03bob", &seqs(9, 7)])),
        ("receipt: ask for them", "told_receipt", of(&[TEAM, b"\0\0"])),
        ("conversation: read up to 9", "told_conversation", of(&[PAIR, &seqs(9, 0), &[0; 8], &[0, 0, 0]])),
        (
            "conversation: 3 to 5 deleted, blocked, a contact",
            "told_conversation",
            of(&[PAIR, &seqs(9, 3), &seqs(5, 0)[..8], &[1, 3, 0]]),
        ),
        ("conversation: invited", "told_conversation", of(&[TEAM, &[0; 24], &[0, 0, 2]])),
        ("requests: three", "told_requests", b"\x04team\0\0\0\x03".to_vec()),
        ("presence: nobody", "told_presence", b"\0\0".to_vec()),
        ("presence: offline since 7", "told_presence", of(&[b"\0\x01\x03bob\0", &seqs(7, 0)[..8], b"\0"])),
        (
            "presence: online on two platforms, and one unknown",
            "presence_list",
            of(&[b"\0\x02\x03bob\x01", &[0; 8], b"\x02\x07android\x03web\x05carol\x02", &[0; 8], b"\0"]),
        ),
        ("watch: nothing", "watch", b"\0".to_vec()),
        ("watch: a group", "watch", of(&[b"\x01", TEAM])),
    ];
    let malformed = vec![
        ("typing: state 2", "said_typing", of(&[PAIR, b"\x02"])),
        ("typing: no state", "said_typing", PAIR.to_vec()),
        ("typing: channel of one user", "said_typing", b"\x03\x05alice\x01".to_vec()),
        ("typing: nobody", "told_typing", of(&[PAIR, b"\0\x01"])),
        ("signal: 16,385 bytes", "said_signal", signal(16_385, &[&long[..], b"a"].concat())),
        ("signal: more told than there is", "said_signal", signal(3, b"hi")),
        ("signal: a byte too many", "said_signal", signal(1, b"hi")),
        ("receipt: 101 of them in no bytes", "told_receipt", of(&[TEAM, b"\0\x65"])),
        ("receipt: seq 2^56", "told_receipt", of(&[PAIR, b"\0\x01\x03bob\x01", &[0; 15]])),
        ("conversation: contact 4", "told_conversation", of(&[PAIR, &[0; 24], &[0, 4, 0]])),
        ("conversation: waiting 3", "told_conversation", of(&[PAIR, &[0; 24], &[0, 0, 3]])),
        ("requests: a byte too few", "told_requests", b"\x04team\0\0\0".to_vec()),
        ("presence: state 3", "told_presence", of(&[b"\0\x01\x03bob\x03", &[0; 8], b"\0"])),
        ("presence: 17 platforms", "presence_list", of(&[b"\0\x01\x03bob\x01", &[0; 8], b"\x11", &[0; 17]])),
        ("presence: 101 users in no bytes", "presence_list", b"\0\x65".to_vec()),
        ("watch: on is 2", "watch", of(&[b"\x02", TEAM])),
        ("watch: on, and no channel", "watch", b"\x01".to_vec()),
        ("watch: a channel although off", "watch", of(&[b"\0", TEAM])),
    ];
    (valid, malformed)
}

pub fn streams() -> Value {
    let ping = frame(7, b"");
    let recv = frame(5, &encoded(&message(1, b"hello")));
    let done = frame(9, &[0, 0]);
    let all = [&ping[..], &recv, &done].concat();
    let large = frame(5, &encoded(&message(2, &[0x61; 65_536])));
    let bad = {
        let mut bytes = recv.clone();
        *bytes.last_mut().unwrap() ^= 1;
        [&ping[..], &bytes, &done].concat()
    };
    let by = |bytes: &[u8], size: usize| bytes.chunks(size).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let at = |bytes: &[u8], at: usize| vec![bytes[..at].to_vec(), bytes[at..].to_vec()];
    let cases = [
        ("three frames in one piece", vec![all.clone()]),
        ("three frames byte by byte", by(&all, 1)),
        ("three frames in pieces of seven", by(&all, 7)),
        ("a cut inside the first header", at(&all, 4)),
        ("a cut between header and payload", at(&all, 20)),
        ("a cut before the last byte", at(&all, all.len() - 1)),
        ("a large frame in pieces of a thousand", by(&large, 1000)),
        ("a frame that has not all come", vec![recv[..recv.len() - 1].to_vec()]),
        ("half a header", vec![ping.clone(), recv[..5].to_vec()]),
        ("nothing", vec![Vec::new()]),
        ("a broken frame ends the stream, what came before it counts", by(&bad, 13)),
        ("an ignorable frame is skipped", vec![frame(0x90, b"?"), ping.clone()]),
        ("too large is told by the header alone", vec![vec![0, 2, 0, 1, 3, 0], vec![0, 0, 0, 0]]),
    ];
    cases.iter().map(|(name, pieces)| stream(name, pieces)).collect()
}

fn stream(name: &str, pieces: &[Vec<u8>]) -> Value {
    let (packets, error, partial) = describe::stream(pieces);
    let pieces: Vec<String> = pieces.iter().map(|piece| describe::hex(piece)).collect();
    json!({ "name": name, "pieces": pieces, "packets": packets, "error": error, "partial": partial })
}
