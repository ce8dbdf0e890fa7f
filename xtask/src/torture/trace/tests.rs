use std::{collections::BTreeSet, fs, path::Path};

use super::{Disk, PAGE, Trace};
use crate::torture::chance::Chance;

const ROOT: u64 = 1;
const FILE: u64 = 2;

/// A record as the tracer writes it.
fn record(kind: u8, object: u64, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(object.to_le_bytes());
    out.extend(offset.to_le_bytes());
    out.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
    out.extend(bytes);
    out
}

fn created() -> Vec<u8> {
    [record(b'C', FILE, 0, b"/d/f"), record(b's', ROOT, 0, b""), record(b'S', ROOT, 0, b"")].concat()
}

/// What `f` may hold after a cut at the end of `records`, over many images; none when there is no `f`.
fn images(records: Vec<u8>) -> BTreeSet<Option<Vec<u8>>> {
    let trace = Trace::parse(records, Path::new("/d")).unwrap();
    let mut disk = Disk::new(&trace, ROOT);
    disk.follow(trace.len());
    let dir =
        std::env::temp_dir().join(format!("postrider-trace-{}-{:?}", std::process::id(), std::thread::current().id()));
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let _ = fs::remove_dir_all(&dir);
        disk.image(&dir, &mut Chance::new(seed, 0)).unwrap();
        seen.insert(fs::read(dir.join("f")).ok());
    }
    let _ = fs::remove_dir_all(&dir);
    seen
}

fn page(byte: u8) -> Vec<u8> {
    vec![byte; usize::try_from(PAGE).unwrap()]
}

#[test]
fn what_was_synced_is_always_there() {
    let records = [created(), record(b'W', FILE, 0, b"one"), record(b's', FILE, 0, b""), record(b'S', FILE, 0, b"")];
    assert_eq!(images(records.concat()), BTreeSet::from([Some(b"one".to_vec())]));
}

#[test]
fn what_was_written_after_the_sync_began_may_be_lost() {
    let records = [created(), record(b's', FILE, 0, b""), record(b'W', FILE, 0, b"one"), record(b'S', FILE, 0, b"")];
    assert_eq!(images(records.concat()), BTreeSet::from([Some(Vec::new()), Some(b"one".to_vec())]));
}

#[test]
fn a_sync_that_failed_keeps_nothing() {
    let records = [created(), record(b'W', FILE, 0, b"one"), record(b's', FILE, 0, b""), record(b'F', FILE, 0, b"")];
    assert!(images(records.concat()).contains(&Some(Vec::new())));
}

#[test]
fn pages_are_kept_or_lost_each_for_itself() {
    let records = [created(), record(b'W', FILE, 0, &[page(1), page(2)].concat())];
    let seen = images(records.concat());
    let expected = [Vec::new(), page(1), [page(0), page(2)].concat(), [page(1), page(2)].concat()];
    assert_eq!(seen, expected.into_iter().map(Some).collect());
}

#[test]
fn a_page_never_holds_a_later_write_without_the_earlier() {
    let records = [created(), record(b'W', FILE, 0, b"ab"), record(b'W', FILE, 2, b"cd")];
    let expected = [&b""[..], b"ab", b"abcd"];
    assert_eq!(images(records.concat()), expected.iter().map(|bytes| Some(bytes.to_vec())).collect());
}

#[test]
fn a_file_without_a_synced_folder_may_be_missing() {
    let records = [
        record(b'C', FILE, 0, b"/d/f"),
        record(b'W', FILE, 0, b"one"),
        record(b's', FILE, 0, b""),
        record(b'S', FILE, 0, b""),
    ];
    assert_eq!(images(records.concat()), BTreeSet::from([None, Some(b"one".to_vec())]));
}

#[test]
fn a_rename_is_whole_or_not_at_all() {
    let other = 3;
    let records = [
        created(),
        record(b'W', FILE, 0, b"old"),
        record(b's', FILE, 0, b""),
        record(b'S', FILE, 0, b""),
        record(b'C', other, 0, b"/d/new"),
        record(b'W', other, 0, b"new"),
        record(b's', other, 0, b""),
        record(b'S', other, 0, b""),
        record(b'R', other, 0, b"/d/new\0/d/f"),
    ];
    assert_eq!(images(records.concat()), BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())]));
}
