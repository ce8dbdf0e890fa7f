//! Writes the seeds of the fuzz targets from the golden vectors, into fuzz/corpus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "vectors/describe.rs"]
#[allow(dead_code, reason = "shared with the vectors, which use all of it")]
mod describe;

use std::{fs, path::Path};

use serde_json::Value;

/// Longer vectors teach a fuzzer nothing that shorter ones do not.
const LONGEST: usize = 2_048;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let frames: Vec<Vec<u8>> =
        ["packets.json", "malformed.json"].iter().flat_map(|name| read(&root.join("vectors").join(name))).collect();
    let connect = frames.iter().find(|frame| frame[4] == 1).unwrap();
    for (at, frame) in frames.iter().enumerate().filter(|(_, frame)| frame.len() > 9 && frame.len() < LONGEST) {
        let (kind, payload) = (frame[4], &frame[10..]);
        let write = |target: &str, seed: &[u8]| {
            let folder = root.join("../fuzz/corpus").join(target);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("vector-{at:03}")), seed).unwrap();
        };
        write("decode", &[&[2, 7, 1], &frame[..], &frame[..]].concat());
        write("round_trip", &[&[kind], payload].concat());
        if let Ok(size) = u8::try_from(payload.len()) {
            let opening = [1, u8::try_from(connect.len() - 10).unwrap()];
            write("server_session", &[&opening, &connect[10..], &[0xf2, 0, kind, size], payload, &[0xf5, 0]].concat());
        }
    }
}

fn read(path: &Path) -> Vec<Vec<u8>> {
    let file: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    file.as_array().unwrap().iter().map(|row| describe::unhex(row["hex"].as_str().unwrap())).collect()
}
