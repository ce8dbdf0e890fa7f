//! Frames, images and checksums: what every message pays several times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod timing;

use bytes::Bytes;
use postrider_protocol::{
    Channel, From, Id, Image, Kind, Reason, Sender, SenderKind, Tlvs, frame,
    packet::{Packet, SendPacket, SendackPacket},
};
use timing::measure;

/// Frames of one piece.
const BATCH: u64 = 32;

fn main() {
    let id = |text: &str| text.parse::<Id>().unwrap();
    let channel = Channel::person(&id("alice"), &id("bob"));
    let body = Bytes::from(vec![7; 128]);
    let send = Packet::Send(SendPacket {
        number: 70,
        oldest: 40,
        channel: channel.clone(),
        flags: 1,
        body: body.clone(),
        tlvs: Tlvs::new(),
    });
    let ack =
        Packet::Sendack(SendackPacket { number: 70, reason: Reason::Ok, seq: 9, time_ms: 1 << 40, tlvs: Tlvs::new() });
    let image = Image {
        kind: 1,
        flags: 1,
        seq: 9,
        time_ms: 1 << 40,
        channel,
        from: From::Side(1),
        sender: Sender::request(SenderKind::Kept),
        number: 70,
        tlvs: Tlvs::new(),
        body,
    };
    let mut out = Vec::new();
    for (name, packet) in [("send", &send), ("sendack", &ack)] {
        measure(&format!("encode {name}"), 1, || {
            out.clear();
            packet.encode(&mut out);
        });
        let mut piece = Vec::new();
        (0..BATCH).for_each(|_| packet.encode(&mut piece));
        let piece = Bytes::from(piece);
        measure(&format!("decode {name}"), BATCH, || {
            let mut decoder = frame::Decoder::new();
            decoder.feed(piece.clone());
            while let Some(frame) = decoder.next_frame().unwrap() {
                assert!(Packet::decode(frame).unwrap().is_some());
            }
        });
    }
    measure("frame of an image", 1, || {
        out.clear();
        frame::append(&mut out, Kind::Recv, |out| image.write(out));
    });
    out.clear();
    image.write(&mut out);
    let bytes = Bytes::from(out);
    measure("decode image", 1, || Image::decode(bytes.clone()).unwrap());
    for len in [16_usize, 200, 4_096, 65_536] {
        let data = vec![5; len];
        measure(&format!("crc32 of {len} bytes"), 1, || crc32fast::hash(&data));
    }
}
