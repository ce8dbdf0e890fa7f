//! Writes the golden vectors. A vector that is there already must come out the same: it is what other implementations
//! were checked against. `--rewrite` overrides that before a release.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod broadcast;
mod describe;
mod group_parts;
mod malformed;
mod packets;
mod parts;
mod schedule;
mod targets;

use std::{fs, path::Path};

use postrider_protocol::frame::Frame;
use serde_json::Value;

/// A frame of any kind, well-formed or not inside.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend([kind, 0]);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes);
    crc.update(payload);
    bytes.extend(crc.finalize().to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The bytes that `write` appends.
fn built(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// What the first frame of `bytes` says.
fn first_packet(bytes: &[u8]) -> Option<postrider_protocol::packet::Packet> {
    let mut decoder = postrider_protocol::frame::Decoder::new();
    decoder.feed(bytes.to_vec().into());
    let frame: Frame = decoder.next_frame().unwrap().expect("a whole frame");
    postrider_protocol::packet::Packet::decode(frame).unwrap()
}

/// The vectors of `old` must be in `new` unchanged, wherever they are in it.
fn keeps(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Array(old), Value::Array(new)) => old.iter().all(|vector| new.contains(vector)),
        (Value::Object(old), Value::Object(new)) => {
            old.iter().all(|(name, old)| new.get(name).is_some_and(|new| keeps(old, new)))
        }
        _ => old == new,
    }
}

fn main() {
    let rewrite = std::env::args().any(|argument| argument == "--rewrite");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let files = [
        ("packets.json", packets::all()),
        ("malformed.json", malformed::all()),
        ("images.json", parts::images()),
        ("channels.json", parts::channels()),
        ("methods.json", parts::methods()),
        ("streams.json", parts::streams()),
    ];
    for (name, vectors) in files {
        let path = directory.join(name);
        let old = fs::read_to_string(&path).ok().map(|text| serde_json::from_str::<Value>(&text).unwrap());
        let kept = old.is_none_or(|old| keeps(&old, &vectors));
        assert!(kept || rewrite, "{name}: a vector changed or went; nothing was written to it");
        fs::write(&path, serde_json::to_string_pretty(&vectors).unwrap() + "\n").unwrap();
    }
}
