//! Vectors of groups in methods.json: name, what, bytes.

use postrider_protocol::{
    Id, Tlvs, Writer,
    packet::groups::{self, TEXTS},
    tag,
};

use crate::{
    built,
    packets::{id, long_id},
};

type Rows = Vec<(&'static str, &'static str, Vec<u8>)>;

fn many() -> Vec<Id> {
    (0..101).map(|n| id(&format!("user-{n}"))).collect()
}

/// All texts of a group at their longest, and the settings.
fn longest() -> Tlvs {
    let lengths = [128, 512, 1_024, 512, 1_024];
    let texts: Vec<_> = TEXTS.iter().zip(lengths).map(|(tag, len)| (*tag, vec![b'x'; len])).collect();
    let settings = [(tag::JOIN_MODE, vec![0, 0, 0, 2]), (tag::HISTORY, vec![0, 0, 0, 1])];
    let all: Vec<_> = texts.into_iter().chain(settings).chain([(tag::MAX_MEMBERS, vec![0xff; 4])]).collect();
    Tlvs::from_pairs(all.iter().map(|(tag, value)| (*tag, &value[..])))
}

fn with(tag: u16, value: &[u8]) -> Vec<u8> {
    built(|out| groups::write_settings(out, &id("team"), &Tlvs::from_pairs([(tag, value)])))
}

pub fn valid() -> Rows {
    let many = many();
    let change = |users: &[_]| built(|out| groups::write_change(out, &id("team"), users));
    let users = |users: &[_]| built(|out| groups::write_users(out, users));
    let create = |tlvs: &Tlvs| built(|out| groups::write_create(out, &id("team"), &[id("bob")], tlvs));
    let member = |user: &str, role: u8, nickname: &[u8], inviter: &[u8]| {
        built(|out| {
            out.bytes8(user.as_bytes());
            out.u8(role);
            out.u64(1);
            out.u64(1_700_000_000_000);
            out.u64(0);
            out.bytes8(nickname);
            out.bytes8(inviter);
        })
    };
    let page = [&[0, 2][..], &member("alice", 2, b"", b""), &member("bob", 1, "\u{e9}".as_bytes(), b"alice"), &[1]];
    let waiting = b"\0\x02\x03bob\x01\x03bob\0\0\x01\x8b\xcf\xe5\x68\0\0\x02hi\x05carol\x02\x05alice\0\0\x01\x8b\xcf\xe5\x68\0\0\0\0";
    vec![
        ("change: one user", "change", change(&[id("bob")])),
        ("change: nobody", "change", change(&[])),
        ("change: 100 users", "change", change(&many[..100])),
        ("users: nobody", "users", users(&[])),
        ("users: two", "users", users(&[id("bob"), id("carol")])),
        ("create: nothing told", "create", create(&Tlvs::new())),
        ("create: a name", "create", create(&Tlvs::from_pairs([(tag::NAME, "\u{c9}quipe".as_bytes())]))),
        ("create: everything at its longest", "create", create(&longest())),
        ("settings: a name is taken away", "settings", with(tag::NAME, b"")),
        ("settings: by approval", "settings", with(tag::JOIN_MODE, &[0, 0, 0, 1])),
        ("group: an id", "group", b"\x04team".to_vec()),
        ("group: the longest id", "group", built(|out| out.bytes8(long_id("g").as_bytes()))),
        ("group: an id like an address", "group", b"\x07group:x".to_vec()),
        ("roles: an admin", "roles", b"\x04team\x01\0\x01\x03bob".to_vec()),
        ("roles_changed: a member again", "roles_changed", b"\0\0\x01\x03bob".to_vec()),
        ("transfer: to bob", "transfer", b"\x04team\x03bob".to_vec()),
        ("owner_changed: bob", "owner_changed", b"\x03bob".to_vec()),
        ("mute: bob, for ever", "mute", b"\x04team\0\x1f\xff\xff\xff\xff\xff\xff\0\x01\x03bob".to_vec()),
        ("mute: everybody may speak again", "mute", b"\x04team\0\0\0\0\0\0\0\0\0\0".to_vec()),
        ("members_muted: everybody", "members_muted", b"\0\0\x01\x8b\xcf\xe5\x68\0\0\0".to_vec()),
        ("join: nothing said", "join", b"\x04team\0\0".to_vec()),
        ("join: 256 bytes", "join", built(|out| groups::write_join(out, &id("team"), &[b'x'; 256]))),
        ("answer: accepted", "answer", b"\x04team\x01\0\x01\x03bob".to_vec()),
        ("answer: refused", "answer", b"\x04team\0\0\x01\x03bob".to_vec()),
        ("nickname: none", "nickname", b"\x04team\0".to_vec()),
        ("nickname: 64 bytes", "nickname", built(|out| groups::write_nickname(out, &id("team"), &[b'x'; 64]))),
        ("members: first page", "members", b"\x04team\x00".to_vec()),
        ("members: after bob", "members", b"\x04team\x03bob".to_vec()),
        ("members_page: empty", "members_page", b"\0\0\0".to_vec()),
        ("members_page: an owner, an admin, more", "members_page", page.concat()),
        ("requests_page: empty", "requests_page", b"\0\0\0".to_vec()),
        ("requests_page: who asked and who is invited", "requests_page", waiting.to_vec()),
        (
            "info: to a member",
            "info",
            built(|out| {
                out.raw(b"\0\0\x02\0\0\x27\x10\0\0\0\0\0\0\0\0\0\0\x01\x8b\xcf\xe5\x68\0");
                out.raw(longest().as_bytes());
            }),
        ),
        ("info: to who has asked", "info", b"\0\x40\xff\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
    ]
}

pub fn malformed() -> Rows {
    let many = many();
    let change = |users: &[_]| built(|out| groups::write_change(out, &id("team"), users));
    vec![
        ("change: 101 users", "change", change(&many)),
        ("change: more users told than there are", "change", b"\x04team\0\x02\x03bob".to_vec()),
        ("change: a byte too many", "change", b"\x04team\0\0\0".to_vec()),
        ("change: no group", "change", b"\0\0\0".to_vec()),
        ("users: 65,535 of them in no bytes", "users", b"\xff\xff".to_vec()),
        ("users: an empty id", "users", b"\0\x01\0".to_vec()),
        ("create: half a TLV", "create", b"\x04team\0\0\0\x21\0".to_vec()),
        ("create: a TLV of something else", "create", b"\x04team\0\0\0\x20\0\x08\0\0\0\0\0\0\0\x01".to_vec()),
        ("create: a critical TLV", "create", b"\x04team\0\0\x80\0\0\0".to_vec()),
        ("settings: none", "settings", b"\x04team".to_vec()),
        ("settings: a name of 129 bytes", "settings", with(tag::NAME, &[b'x'; 129])),
        ("settings: an avatar of 513 bytes", "settings", with(tag::AVATAR, &[b'x'; 513])),
        ("settings: an announcement of 1,025 bytes", "settings", with(tag::ANNOUNCEMENT, &[b'x'; 1_025])),
        ("settings: a description of 513 bytes", "settings", with(tag::DESCRIPTION, &[b'x'; 513])),
        ("settings: a custom text of 1,025 bytes", "settings", with(tag::CUSTOM, &[b'x'; 1_025])),
        ("settings: a name that is not UTF-8", "settings", b"\x04team\0\x21\0\x01\xff".to_vec()),
        ("settings: join mode 3", "settings", with(tag::JOIN_MODE, &[0, 0, 0, 3])),
        ("settings: history 2", "settings", with(tag::HISTORY, &[0, 0, 0, 2])),
        ("group: a byte too many", "group", b"\x04team\0".to_vec()),
        ("group: none", "group", b"\0".to_vec()),
        ("roles: owner", "roles", b"\x04team\x02\0\x01\x03bob".to_vec()),
        ("roles_changed: no users", "roles_changed", b"\x01".to_vec()),
        ("transfer: to nobody", "transfer", b"\x04team\0".to_vec()),
        ("owner_changed: a byte too many", "owner_changed", b"\x03bob\0".to_vec()),
        ("mute: 2^53", "mute", b"\x04team\0\x20\0\0\0\0\0\0\0\0".to_vec()),
        ("members_muted: no users", "members_muted", b"\0\0\0\0\0\0\0\x01".to_vec()),
        ("join: 257 bytes", "join", built(|out| groups::write_join(out, &id("team"), &[b'x'; 257]))),
        ("join: not UTF-8", "join", b"\x04team\0\x01\xff".to_vec()),
        ("answer: accept is 2", "answer", b"\x04team\x02\0\x01\x03bob".to_vec()),
        ("nickname: 65 bytes", "nickname", built(|out| groups::write_nickname(out, &id("team"), &[b'x'; 65]))),
        ("nickname: not UTF-8", "nickname", b"\x04team\x02\xc0\x80".to_vec()),
        ("members: after is missing", "members", b"\x04team".to_vec()),
        ("members_page: more is 2", "members_page", b"\0\0\x02".to_vec()),
        ("members_page: 65,535 members in no bytes", "members_page", b"\xff\xff".to_vec()),
        ("requests_page: by nobody", "requests_page", b"\0\x01\x03bob\x01\0\0\0\0\0\0\0\0\x01\0\0\0".to_vec()),
        ("info: it ends early", "info", b"\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
    ]
}
