//! Cases of methods.json about a message that is there already.

use postrider_protocol::packet::{ElementsPage, Made, SyncItem};

use crate::{
    built,
    packets::{encoded, message},
};

/// Its name, what it is, and its bytes.
pub type Case = (&'static str, &'static str, Vec<u8>);

/// The channel of alice and bob.
const PAIR: &[u8; 11] = b"\x01\x05alice\x03bob";

pub fn valid() -> Vec<Case> {
    let pair = PAIR;
    let made = Made { seq: 9, edit: 0, version: 0, is_pinned: true, answers: 0, answered: 0, reactions: Vec::new() };
    let items = vec![SyncItem::Image(encoded(&message(9, b"hi"))), SyncItem::Made(made)];
    let elements = built(|out| ElementsPage { items, more: true }.write(out));
    vec![
        ("revoke: a person", "revoke", [&pair[..], b"\0\0\0\0\0\0\0\x09"].concat()),
        ("edit: the second version", "edit", [&pair[..], b"\0\0\0\0\0\0\0\x09\0\0\0\x01\0\0\0\x03new"].concat()),
        ("react: on", "react", [&pair[..], b"\0\0\0\0\0\0\0\x09\x01\x04\xf0\x9f\x91\x8d"].concat()),
        ("react: off", "react", [&pair[..], b"\0\0\0\0\0\0\0\x09\0\x01+"].concat()),
        ("pin: on", "pin", [&pair[..], b"\0\0\0\0\0\0\0\x09\x01"].concat()),
        ("hide: two", "hide", [&pair[..], b"\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\x09"].concat()),
        ("pins: first page", "pins", [&pair[..], &[0; 8]].concat()),
        ("edits: after 12", "edits", [&pair[..], b"\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x0c"].concat()),
        ("thread: before 12", "thread", [&pair[..], b"\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x0c"].concat()),
        ("elements: none", "elements", b"\0\0\0".to_vec()),
        ("elements: an image, what was made of it, more", "elements", elements),
    ]
}

pub fn malformed() -> Vec<Case> {
    let pair = PAIR;
    vec![
        ("revoke: seq 0", "revoke", [&pair[..], &[0; 8]].concat()),
        ("revoke: a byte too many", "revoke", [&pair[..], b"\0\0\0\0\0\0\0\x09\0"].concat()),
        ("edit: no body", "edit", [&pair[..], b"\0\0\0\0\0\0\0\x09\0\0\0\x01"].concat()),
        ("edit: the highest version", "edit", [&pair[..], b"\0\0\0\0\0\0\0\x09\xff\xff\xff\xff\0\0\0\0"].concat()),
        ("react: on 2", "react", [&pair[..], b"\0\0\0\0\0\0\0\x09\x02\x01+"].concat()),
        ("react: nothing", "react", [&pair[..], b"\0\0\0\0\0\0\0\x09\x01\0"].concat()),
        ("react: 33 bytes", "react", [&pair[..], b"\0\0\0\0\0\0\0\x09\x01\x21", &[b'+'; 33]].concat()),
        ("react: no text", "react", [&pair[..], b"\0\0\0\0\0\0\0\x09\x01\x01\xff"].concat()),
        ("pin: on 255", "pin", [&pair[..], b"\0\0\0\0\0\0\0\x09\xff"].concat()),
        ("hide: from 0", "hide", [&pair[..], b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x09"].concat()),
        ("hide: to below from", "hide", [&pair[..], b"\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x08"].concat()),
        ("pins: no after", "pins", pair.to_vec()),
        ("edits: no after", "edits", [&pair[..], b"\0\0\0\0\0\0\0\x09"].concat()),
        ("thread: root 0", "thread", [&pair[..], &[0; 16]].concat()),
        ("elements: 65,535 of them in no bytes", "elements", b"\xff\xff".to_vec()),
        ("elements: more is 2", "elements", b"\0\0\x02".to_vec()),
    ]
}
