//! The golden vectors in protocol/vectors, both ways: bytes to fields, and back to the same bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "../examples/vectors/describe.rs"]
mod describe;

use std::{collections::HashSet, fs, path::Path};

use bytes::Bytes;
use describe::{hex, unhex};
use postrider_protocol::{Channel, Id, Image, Kind, Reason, frame::Decoder, packet::Packet};
use serde_json::Value;

fn file(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn rows(value: &Value) -> &[Value] {
    let rows = value.as_array().unwrap();
    assert!(!rows.is_empty());
    rows
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap()
}

fn bytes(row: &Value) -> Bytes {
    let bytes = unhex(text(row, "hex"));
    assert_eq!(unhex(&hex(&bytes)), bytes);
    bytes.into()
}

fn decode(bytes: Bytes) -> Result<Option<Packet>, postrider_protocol::DecodeError> {
    let mut decoder = Decoder::new();
    decoder.feed(bytes);
    let frame = decoder.next_frame()?.expect("a whole frame");
    assert!(!decoder.is_partial());
    Packet::decode(frame)
}

#[test]
fn valid_frames_decode_to_their_fields_and_encode_to_their_bytes() {
    let mut kinds = HashSet::new();
    for row in rows(&file("packets.json")) {
        let (name, bytes) = (text(row, "name"), bytes(row));
        let Some(packet) = decode(bytes.clone()).unwrap_or_else(|error| panic!("{name}: {error}")) else {
            assert!(row["packet"].is_null(), "{name}");
            continue;
        };
        assert_eq!(describe::packet(&packet), row["packet"], "{name}");
        let mut again = Vec::new();
        packet.encode(&mut again);
        assert!(again == bytes, "{name}: encodes to {}", hex(&again));
        kinds.insert(packet.kind());
    }
    assert_eq!(kinds.len(), Kind::ALL.len(), "every kind has a vector");
}

#[test]
fn malformed_frames_are_refused_for_their_reason() {
    for row in rows(&file("malformed.json")) {
        let (name, bytes) = (text(row, "name"), bytes(row));
        let reason = Reason::ALL.into_iter().find(|reason| reason.name() == text(row, "error")).unwrap();
        let error = decode(bytes).err().unwrap_or_else(|| panic!("{name}: decodes"));
        assert_eq!(error.reason, reason, "{name}: {error}");
    }
}

#[test]
fn images_decode_to_their_fields_and_encode_to_their_bytes() {
    let file = file("images.json");
    for row in rows(&file["valid"]) {
        let (name, bytes) = (text(row, "name"), bytes(row));
        let image = Image::decode(bytes.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(describe::image(&image), row["image"], "{name}");
        let mut again = Vec::new();
        image.write(&mut again);
        assert!(again == bytes, "{name}");
    }
    for row in rows(&file["malformed"]) {
        assert!(Image::decode(bytes(row)).is_err(), "{}", text(row, "name"));
    }
}

#[test]
fn channels_have_their_bytes_their_slot_and_their_address() {
    let file = file("channels.json");
    for row in rows(&file["valid"]) {
        let user: Id = text(row, "user").parse().unwrap();
        let channel = Channel::from_address(&user, text(row, "address")).unwrap();
        assert_eq!(channel.as_bytes(), &bytes(row)[..]);
        assert_eq!(Channel::new(bytes(row)), Some(channel.clone()));
        assert_eq!(describe::channel(&channel), row["channel"]);
        assert_eq!(channel.address_for(&user), text(row, "address"));
        let tenant = row["tenant"].as_u64().unwrap().try_into().unwrap();
        assert_eq!(u64::from(channel.slot(tenant)), row["slot"].as_u64().unwrap());
    }
    for row in rows(&file["malformed"]) {
        assert_eq!(Channel::new(bytes(row)), None, "{}", text(row, "name"));
    }
    for row in rows(&file["ids"]) {
        assert_eq!(text(row, "text").parse::<Id>().is_ok(), row["valid"], "{row}");
    }
    let user: Id = "me".parse().unwrap();
    for row in rows(&file["addresses"]) {
        assert_eq!(Channel::from_address(&user, text(row, "text")).is_ok(), row["valid"], "{row}");
    }
}

#[test]
fn fields_of_methods_decode_and_encode() {
    let file = file("methods.json");
    for row in rows(&file["valid"]) {
        let (again, fields) = describe::method(text(row, "what"))(bytes(row)).unwrap();
        assert_eq!((again, &fields), (bytes(row).to_vec(), &row["fields"]), "{}", text(row, "name"));
    }
    for row in rows(&file["malformed"]) {
        assert!(describe::method(text(row, "what"))(bytes(row)).is_err(), "{}", text(row, "name"));
    }
}

#[test]
fn streams_say_the_same_in_any_pieces() {
    for row in rows(&file("streams.json")) {
        let pieces: Vec<Vec<u8>> = rows(&row["pieces"]).iter().map(|piece| unhex(piece.as_str().unwrap())).collect();
        let (packets, error, partial) = describe::stream(&pieces);
        let expected = (row["packets"].clone(), row["error"].as_str(), row["partial"].as_bool().unwrap());
        assert_eq!((Value::from(packets), error, partial), expected, "{}", text(row, "name"));
        let whole = describe::stream(&[pieces.concat()]);
        assert_eq!((Value::from(whole.0), whole.1, whole.2), expected, "{} in one piece", text(row, "name"));
    }
}

#[test]
fn names_are_unique_within_a_file() {
    for name in ["packets.json", "malformed.json", "streams.json"] {
        let file = file(name);
        let names: HashSet<&str> = rows(&file).iter().map(|row| text(row, "name")).collect();
        assert_eq!(names.len(), rows(&file).len(), "{name}");
    }
}
