//! SPEC.md is true: its hex examples are what they say, and its statements can be cited.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "../examples/vectors/describe.rs"]
#[allow(dead_code, reason = "shared with the vectors, which use all of it")]
mod describe;

use std::{collections::HashSet, fs, path::Path};

use postrider_protocol::{Channel, Image, Kind, Method, Reason, frame::Decoder, packet::Packet};

/// One fenced block of hex: what it says it is, and its bytes.
struct Example {
    what: String,
    bytes: Vec<u8>,
    line: usize,
}

fn spec() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../SPEC.md")).unwrap()
}

fn examples(text: &str) -> Vec<Example> {
    let (mut examples, mut open): (Vec<Example>, Option<Example>) = (Vec::new(), None);
    for (at, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) if info.starts_with("hex ") => {
                open = Some(Example { what: info[4..].into(), bytes: Vec::new(), line: at + 1 });
            }
            (Some(_), Some(_)) => examples.extend(open.take()),
            (Some(example), None) => {
                let hex = line.split('#').next().unwrap();
                example.bytes.extend(hex.split_whitespace().map(|two| u8::from_str_radix(two, 16).unwrap()));
            }
            (None, _) => {}
        }
    }
    assert!(open.is_none(), "a block that does not end");
    examples
}

fn encoded_again(example: &Example) -> Vec<u8> {
    let bytes = bytes::Bytes::copy_from_slice(&example.bytes);
    match example.what.as_str() {
        "frame" => {
            let mut decoder = Decoder::new();
            decoder.feed(bytes);
            let frame = decoder.next_frame().unwrap().expect("a whole frame");
            assert!(!decoder.is_partial(), "line {}: more than one frame", example.line);
            let mut out = Vec::new();
            Packet::decode(frame).unwrap().expect("a known kind").encode(&mut out);
            out
        }
        "image" => {
            let mut out = Vec::new();
            Image::decode(bytes).unwrap().write(&mut out);
            out
        }
        "channel" => Channel::new(bytes).expect("a channel").as_bytes().to_vec(),
        what => describe::method(what)(bytes).unwrap().0,
    }
}

#[test]
fn every_example_decodes_and_encodes_to_itself() {
    let text = spec();
    let examples = examples(&text);
    for example in &examples {
        assert_eq!(encoded_again(example), example.bytes, "line {}", example.line);
    }
    let kinds: HashSet<u8> =
        examples.iter().filter(|example| example.what == "frame").map(|example| example.bytes[4]).collect();
    for kind in Kind::ALL {
        assert!(kinds.contains(&kind.number()) || kind == Kind::Pong, "no example of {}", kind.name());
    }
}

#[test]
fn every_statement_has_an_id_of_its_own() {
    let text = spec();
    let mut ids = HashSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("- **PR-")) {
        let (id, _) = line.split_once("** ").expect("an id, then the statement");
        assert!(ids.insert(id), "PR-{id} twice");
    }
    assert!(ids.len() > 100);
}

#[test]
fn statements_count_from_one_within_their_section() {
    let text = spec();
    let (mut section, mut last) = ("", 0);
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")) {
            (section, last) = (heading.split(' ').next().unwrap().trim_end_matches('.'), 0);
        } else if let Some(statement) = line.strip_prefix("- **PR-") {
            let (of, number) = statement.split_once("**").unwrap().0.rsplit_once('-').unwrap();
            last += 1;
            assert_eq!((of, number), (section, last.to_string().as_str()));
        }
    }
}

#[test]
fn sections_that_are_referred_to_exist() {
    let text = spec();
    let headings: HashSet<&str> =
        text.lines().filter(|line| line.starts_with('#')).filter_map(|line| line.split(' ').nth(1)).collect();
    for (at, _) in text.match_indices('§') {
        let reference: String = text[at..].chars().skip(1).take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let section = reference.trim_end_matches('.');
        let found = headings.contains(section) || headings.contains(format!("{section}.").as_str());
        assert!(found, "there is no §{section}");
    }
}

#[test]
fn every_kind_reason_and_method_has_its_row() {
    let text = spec();
    let names = Kind::ALL.map(Kind::name).into_iter().chain(Reason::ALL.map(Reason::name));
    for name in names.chain(Method::ALL.map(Method::name)) {
        assert!(text.contains(&format!("| `{name}` |")), "{name}");
    }
}
