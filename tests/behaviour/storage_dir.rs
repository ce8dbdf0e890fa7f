//! The data directory belongs to one process and one format, and is never taken for empty when it is not.

use std::{fs, path::Path, process::Output};

use crate::harness::{Client, Place, Server, Via, channel_of, ends, files};

/// `serve` on a place that it must not take; what it said.
fn refused(place: &Place) -> String {
    let before = contents(&place.data());
    let Output { status, stderr, .. } = ends(place.serve(&[]));
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(1), "{said}");
    assert_eq!(contents(&place.data()), before, "nothing was changed");
    said
}

fn contents(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    files(dir).into_keys().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// A place where a server ran and stored a message.
fn used() -> (Server, postrider_protocol::Channel) {
    let server = Server::start(&[]);
    let channel = channel_of("alice", "bob");
    Client::connect(&server, Via::Tcp, "alice", "phone").send(&channel, "kept");
    (server, channel)
}

#[test]
fn s08_a_directory_without_its_log_is_refused_and_nothing_deleted() {
    let (mut server, channel) = used();
    server.stop();
    let (data, aside) = (server.place.data(), server.place.path("aside"));
    for part in ["log", "FORMAT"] {
        fs::rename(data.join(part), &aside).unwrap();
        let said = refused(&server.place);
        assert!(said.contains(&*data.to_string_lossy()) && said.contains("nothing was changed"), "{said}");
        fs::rename(&aside, data.join(part)).unwrap();
    }
    let empty: Vec<_> = files(&data.join("log")).into_keys().collect();
    fs::create_dir(&aside).unwrap();
    for file in &empty {
        fs::rename(file, aside.join(file.file_name().unwrap())).unwrap();
    }
    refused(&server.place);
    for file in &empty {
        fs::rename(aside.join(file.file_name().unwrap()), file).unwrap();
    }
    server.start_again();
    assert_eq!(Client::connect(&server, Via::Tcp, "bob", "phone").bodies(&channel), ["kept"]);
}

#[test]
fn s19_a_second_process_is_refused_and_the_first_goes_on() {
    let (mut server, channel) = used();
    let Output { status, stderr, .. } = ends(server.place.serve(&[]));
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.code() == Some(1) && said.contains("in use"), "{status}: {said}");
    let check = server.run(&["store", "check", "data"]);
    assert_eq!(check.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&check.stderr).contains("in use"));
    assert_eq!(Client::connect(&server, Via::Tcp, "alice", "phone").send(&channel, "still"), 2);
    server.crash_and_restart();
    assert_eq!(Client::connect(&server, Via::Tcp, "bob", "phone").bodies(&channel), ["kept", "still"]);
}

#[test]
fn s20_a_newer_format_is_refused_by_its_number() {
    let (mut server, channel) = used();
    server.stop();
    let file = server.place.data().join("FORMAT");
    let original = fs::read_to_string(&file).unwrap();
    let line = original.lines().next().unwrap().replace("format 0", "format 7");
    assert!(line.contains("format 7"), "{line}");
    fs::write(&file, format!("{line}\n{:08x}\n", crc32fast::hash(line.as_bytes()))).unwrap();
    let said = refused(&server.place);
    assert!(said.contains('7') && said.contains("format"), "{said}");
    fs::write(&file, original.replace("format 0", "format 7")).unwrap();
    let said = refused(&server.place);
    assert!(said.contains("damaged"), "{said}");
    fs::write(&file, original).unwrap();
    server.start_again();
    assert_eq!(Client::connect(&server, Via::Tcp, "bob", "phone").bodies(&channel), ["kept"]);
}

#[test]
fn a_lost_store_is_rebuilt_from_the_log() {
    let (mut server, channel) = used();
    server.stop();
    fs::remove_dir_all(server.place.data().join("store")).unwrap();
    server.announce("rebuilding it from the log");
    server.announce("the store was rebuilt from the log");
    server.start_again();
    assert_eq!(Client::connect(&server, Via::Tcp, "bob", "phone").bodies(&channel), ["kept"]);
    server.stop();
    let check = server.run(&["store", "check", "data"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}
