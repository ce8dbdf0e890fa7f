//! malformed.json: what a decoder must refuse, and why.

use postrider_protocol::{Kind, MAX_INTEGER, Writer};
use serde_json::{Value, json};

use crate::{built, describe, frame, packets::message};

type Cases = Vec<(String, Vec<u8>, &'static str)>;

fn headers(cases: &mut Cases) {
    let mut add = |name: &str, bytes: Vec<u8>, error| cases.push((name.into(), bytes, error));
    let ping = frame(7, b"");
    for length in [131_073u32, 1 << 31, u32::MAX] {
        let mut bytes = ping.clone();
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        add(&format!("header: length {length}"), bytes, "FRAME_TOO_LARGE");
    }
    for flag in [0x01, 0x80] {
        let mut bytes = ping.clone();
        bytes[5] = flag;
        add(&format!("header: flags {flag:02x}"), bytes, "MALFORMED");
    }
    for (at, what) in [(4, "kind"), (6, "first CRC byte"), (9, "last CRC byte")] {
        let mut bytes = ping.clone();
        bytes[at] ^= 1;
        add(&format!("header: a flipped bit in the {what}"), bytes, "BAD_CRC");
    }
    let mut bytes = frame(9, &[0, 0]);
    *bytes.last_mut().unwrap() ^= 0x80;
    add("payload: a flipped bit", bytes, "BAD_CRC");
    for kind in [0, 18, 0x7f] {
        add(&format!("kind {kind}"), frame(kind, b""), "UNKNOWN_KIND");
    }
    add("an HTTP request", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "FRAME_TOO_LARGE");
    add("an SSH client", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), "FRAME_TOO_LARGE");
    add("a TLS ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), "FRAME_TOO_LARGE");
}

/// TLVs, in PING, whose payload is nothing else.
fn tlvs(cases: &mut Cases) {
    let mut add = |name: &str, payload: &[u8]| cases.push((format!("TLVs: {name}"), frame(7, payload), "MALFORMED"));
    add("half a tag", &[1]);
    add("a tag without a length", &[1, 0, 0]);
    add("a value that ends early", &[1, 0, 0, 2, 0]);
    add("the same tag twice", &[1, 0, 0, 0, 1, 0, 0, 0]);
    add("descending tags", &[1, 1, 0, 0, 1, 0, 0, 0]);
    add("33 of them", &built(|out| (0..33).for_each(|tag| out.raw(&[2, tag, 0, 0]))));
    let over = |len: usize| {
        built(|out| {
            out.u16(0x0100);
            out.bytes16(&vec![0; len - 4]);
        })
    };
    add("8,193 bytes", &over(8193));
    add("text that is not UTF-8", &[0, 1, 0, 1, 0xff]);
    add("text with an overlong form", &[0, 1, 0, 2, 0xc0, 0x80]);
    add("text with a surrogate", &[0, 1, 0, 3, 0xed, 0xa0, 0x80]);
    add("a u64 of seven bytes", &[0, 0x20, 0, 7, 0, 0, 0, 0, 0, 0, 1]);
    add("a u64 of 2^53", &[0, 0x20, 0, 8, 0, 0x20, 0, 0, 0, 0, 0, 0]);
    add("a u32 of five bytes", &[0x40, 1, 0, 5, 0, 0, 0, 0, 1]);
}

fn send(number: u64, channel: &[u8], flags: u16, body_len: u32, body: &[u8]) -> Vec<u8> {
    built(|out| {
        out.u64(number);
        out.u64(1);
        out.raw(channel);
        out.u16(flags);
        out.u32(body_len);
        out.raw(body);
    })
}

fn fields(cases: &mut Cases) {
    let group = [2, 4, b't', b'e', b'a', b'm'];
    let mut add = |name: &str, kind: Kind, payload: &[u8]| {
        cases.push((name.into(), frame(kind.number(), payload), "MALFORMED"));
    };
    add("send: empty payload", Kind::Send, b"");
    add("send: number 2^53", Kind::Send, &send(MAX_INTEGER + 1, &group, 0, 0, b""));
    add("send: number 2^64 - 1", Kind::Send, &send(u64::MAX, &group, 0, 0, b""));
    add("send: unknown flag", Kind::Send, &send(1, &group, 16, 0, b""));
    add("send: highest flag", Kind::Send, &send(1, &group, 0x8000, 0, b""));
    add("send: body longer than the payload", Kind::Send, &send(1, &group, 0, 2, b"x"));
    add("send: body length 2^32 - 1", Kind::Send, &send(1, &group, 0, u32::MAX, b"x"));
    add("send: bytes after the body that are no TLVs", Kind::Send, &send(1, &group, 0, 1, b"xyz"));
    channels(&mut add);
    connects(&mut add);
    add("disconnect: a reason that is not known", Kind::Disconnect, &[0xff, 0xff]);
    add(
        "sendack: a reason that was skipped",
        Kind::Sendack,
        &built(|out| {
            out.u64(1);
            out.u16(17);
            out.raw(&[0; 16]);
        }),
    );
    intervals(&mut add, &group);
    add("listed: 65,535 conversations in no bytes", Kind::Listed, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    add(
        "list: token of 4,097 bytes",
        Kind::List,
        &built(|out| {
            out.u32(1);
            out.bytes16(&[0; 4097]);
            out.raw(&[0; 4]);
        }),
    );
    add(
        "call: fields longer than the payload",
        Kind::Call,
        &built(|out| {
            out.raw(&[0; 22]);
            out.u32(1);
        }),
    );
    add("lag: three bytes", Kind::Lag, &[0, 0, 1]);
    add("recv: seq 0", Kind::Recv, &built(|out| message(0, b"x").write(out)));
    let mut control = message(1, b"x");
    control.kind = 128;
    add("recv: kind 128, which never leaves a server", Kind::Recv, &built(|out| control.write(out)));
    add(
        "recv: a byte after the image",
        Kind::Recv,
        &built(|out| {
            message(1, b"x").write(out);
            out.u8(0);
        }),
    );
}

fn channels(add: &mut impl FnMut(&str, Kind, &[u8])) {
    for (name, channel) in [
        ("kind 0", &[0, 1, b'a'][..]),
        ("kind 3, which is never on the wire", &[3, 1, b'a']),
        ("kind 4", &[4, 1, b'a']),
        ("an empty id", &[2, 0]),
        ("an id with a space", &[2, 1, b' ']),
        ("an id with a NUL", &[2, 2, b'a', 0]),
        ("an id that is not ASCII", &[2, 2, 0xc3, 0xa9]),
        ("an id that ends early", &[2, 255, b'a']),
        ("a person channel with ids out of order", &[1, 1, b'b', 1, b'a']),
        ("a person channel with one id", &[1, 1, b'a']),
    ] {
        add(&format!("send: channel of {name}"), Kind::Send, &send(1, channel, 0, 0, b""));
    }
    let long = built(|out| {
        out.u8(2);
        out.bytes8(&[b'a'; 129]);
    });
    add("send: an id of 129 bytes", Kind::Send, &send(1, &long, 0, 0, b""));
}

fn connects(add: &mut impl FnMut(&str, Kind, &[u8])) {
    let connect = |min: u8, max: u8, token: u16, device: &[u8], sender: u8| {
        built(|out| {
            out.raw(&[min, max]);
            out.u16(token);
            out.raw(&vec![b't'; usize::from(token)]);
            out.bytes8(device);
            out.raw(&[sender, 0, 0, 0, 0, 0, 0, 0]);
        })
    };
    add("connect: version_max below version_min", Kind::Connect, &connect(1, 0, 0, b"", 1));
    add("connect: token of 4,097 bytes", Kind::Connect, &connect(0, 0, 4097, b"", 1));
    add("connect: a device that is no id", Kind::Connect, &connect(0, 0, 0, b"a/b", 1));
    add("connect: sender kind 0", Kind::Connect, &connect(0, 0, 0, b"", 0));
    add("connect: sender kind 3", Kind::Connect, &connect(0, 0, 0, b"", 3));
}

fn intervals(add: &mut impl FnMut(&str, Kind, &[u8]), group: &[u8]) {
    let sync = |from: u64, to: u64| {
        built(|out| {
            out.u32(1);
            out.raw(group);
            out.u32(0);
            out.u64(from);
            out.u64(to);
            out.u16(0);
        })
    };
    add("sync: from 0", Kind::Sync, &sync(0, 1));
    add("sync: to below from", Kind::Sync, &sync(2, 1));
    add("sync: to 2^53", Kind::Sync, &sync(1, MAX_INTEGER + 1));
    let synced = |count: u16, items: &[u8]| {
        built(|out| {
            out.u32(1);
            out.u16(0);
            out.u32(0);
            (0..3).for_each(|_| out.u64(1));
            out.u16(count);
            out.raw(items);
        })
    };
    let gap = |from: u64, to: u64, why: u8| {
        built(|out| {
            out.u8(2);
            out.u64(from);
            out.u64(to);
            out.u8(why);
        })
    };
    add("synced: 65,535 elements in no bytes", Kind::Synced, &synced(u16::MAX, b""));
    add("synced: element 0", Kind::Synced, &synced(1, &[0]));
    add("synced: element 3 alone", Kind::Synced, &synced(1, &[3]));
    add("synced: element 4", Kind::Synced, &synced(1, &[4]));
    let made = |seq: u64, pinned: u8, count: u8, reactions: &[u8]| {
        built(|out| {
            out.u8(3);
            out.u64(seq);
            out.u64(0);
            out.u32(0);
            out.raw(&[pinned, count]);
            out.raw(reactions);
        })
    };
    add("synced: what was made of seq 0", Kind::Synced, &synced(1, &made(0, 0, 0, b"")));
    add("synced: pinned 2", Kind::Synced, &synced(1, &made(1, 2, 0, b"")));
    add("synced: 255 reactions in no bytes", Kind::Synced, &synced(1, &made(1, 0, 255, b"")));
    add("synced: 21 reactions", Kind::Synced, &synced(1, &made(1, 0, 21, &b"\x01a\0\0\0\x01\0".repeat(21))));
    add("synced: an empty reaction", Kind::Synced, &synced(1, &made(1, 0, 1, b"\0\0\0\0\x01\0")));
    add("synced: a reaction that is no text", Kind::Synced, &synced(1, &made(1, 0, 1, b"\x01\xff\0\0\0\x01\0")));
    add("synced: own 2", Kind::Synced, &synced(1, &made(1, 0, 1, b"\x01a\0\0\0\x01\x02")));
    add("synced: image length 2^32 - 1", Kind::Synced, &synced(1, &[1, 0xff, 0xff, 0xff, 0xff]));
    add("synced: a gap from 0", Kind::Synced, &synced(1, &gap(0, 1, 1)));
    add("synced: a gap that runs backwards", Kind::Synced, &synced(1, &gap(2, 1, 1)));
    add("synced: a gap for no known reason", Kind::Synced, &synced(1, &gap(1, 1, 6)));
}

/// Every kind of the valid vectors without its last byte; all of these end in a field, not in TLVs.
fn cut(cases: &mut Cases) {
    for vector in crate::packets::all().as_array().unwrap() {
        let (name, bytes) = (vector["name"].as_str().unwrap(), describe::unhex(vector["hex"].as_str().unwrap()));
        let cuttable = !vector["packet"].is_null() && bytes.len() > 10 && bytes.len() < 400;
        if cuttable {
            let cut = frame(bytes[4], &bytes[10..bytes.len() - 1]);
            cases.push((format!("cut by one byte: {name}"), cut, "MALFORMED"));
        }
    }
}

pub fn all() -> Value {
    let mut cases = Cases::new();
    headers(&mut cases);
    tlvs(&mut cases);
    fields(&mut cases);
    cut(&mut cases);
    cases
        .iter()
        .map(|(name, bytes, error)| json!({ "name": name, "hex": describe::hex(bytes), "error": error }))
        .collect()
}
