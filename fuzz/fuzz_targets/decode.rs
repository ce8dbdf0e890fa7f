//! A stream says the same in any pieces: input is a count, so many piece lengths, then the stream.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use postrider_protocol::{
    DecodeError,
    frame::{Decoder, Frame},
    packet::Packet,
};

fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Result<usize, DecodeError>) {
    let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
    for piece in pieces {
        decoder.feed(Bytes::copy_from_slice(piece));
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, Ok(decoder.buffered()))
}

/// The stream in pieces of these lengths, over and over; a length of 0 takes all.
fn pieces<'a>(mut stream: &'a [u8], lengths: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = lengths.iter().cycle();
    std::iter::from_fn(move || {
        if stream.is_empty() {
            return None;
        }
        let wanted = lengths.next().map_or(0, |len| usize::from(*len));
        let len = if wanted == 0 { stream.len() } else { wanted.min(stream.len()) };
        let (piece, rest) = stream.split_at(len);
        stream = rest;
        Some(piece)
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((&count, rest)) = data.split_first() else { return };
    let (lengths, stream) = rest.split_at(usize::from(count % 16).min(rest.len()));
    let whole = frames(std::iter::once(stream));
    assert_eq!(whole, frames(pieces(stream, lengths)));
    for frame in whole.0 {
        let _ = Packet::decode(frame);
    }
});
