//! What a server once wrote is read by this one: a conversation as it was on the wire, and the data directory that it
//! left. With `POSTRIDER_RECORD=1` in its environment the first test makes both anew.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use postrider::auth::Claims;
use postrider_protocol::{
    Channel, CommandId, Id, Image, Kind, Method, Reason, Sender, SenderKind, Tlvs,
    frame::Decoder,
    image_flag,
    packet::{
        Packet, SendPacket, SyncItem,
        broadcast::{self, Announcement, Broadcasts, Reach},
        conversation_flag,
        schedule::{self, Plan, ScheduledPage},
        targets,
    },
    tag,
};

use crate::{
    conversations::set,
    harness::{Client, Place, Server, Via, channel_of, claims, cli, connect_packet, ends, group, id, now_s, until},
    messages::{edit, hide, pin, react, revoke},
    people::{block, profile, say},
};

/// Where they lie.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Long enough for everybody who will ever run this.
const LIFETIME_MS: u64 = 1 << 50;
/// Segments of the fixture, so that it has few bytes; the zeros behind what was written are not kept.
const SETTINGS: [&str; 2] = ["storage.segment_bytes=1MiB", "storage.window_bytes=1MiB"];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// A device that writes down what is on its wire.
fn taped(server: &Server, user: &str) -> Client {
    let mut client = Client::new(server, Via::Tcp);
    client.tape = Some(crate::harness::Tape::default());
    let sender = Sender::request(SenderKind::Kept);
    let connack = client.ask_in(&connect_packet(user, "phone", sender));
    assert_eq!(connack.reason, Reason::Ok);
    client.sender = connack.sender;
    client.user = user.to_owned();
    client
}

fn with(client: &mut Client, channel: &Channel, body: &str, flags: u16, pairs: &[(u16, &[u8])]) -> u64 {
    let tlvs = Tlvs::from_pairs(pairs.iter().copied());
    let send = client.next_send(channel, body);
    let ack = client.resend(&SendPacket { flags: flags | image_flag::COUNTABLE, tlvs, ..send });
    assert_eq!(ack.reason, Reason::Ok, "{ack:?}");
    ack.seq
}

/// A little of everything that is stored.
fn converse(alice: &mut Client, bob: &mut Client, carol: &mut Client) {
    let (two, team) = (channel_of("alice", "bob"), group("team"));
    let ok = |reply: postrider_protocol::packet::ReplyPacket| assert_eq!(reply.reason, Reason::Ok, "{reply:?}");
    ok(say(alice, &[(tag::NAME, b"Alice"), (tag::DESCRIPTION, b"Postmistress")]));
    let hello = with(alice, &two, "Have you seen the post?", 0, &[(tag::CONTENT_TYPE, b"text/plain")]);
    bob.recv_of(&two);
    let answer = with(bob, &two, "Not yet", 0, &[(tag::REPLY_TO, &hello.to_be_bytes())]);
    let taken = alice.send(&two, "Nobody is to read this");
    ok(edit(alice, &two, (hello, 0), "Have you seen the mail?"));
    ok(react(bob, &two, hello, true, "+1"));
    ok(pin(alice, &two, answer, true));
    ok(revoke(alice, &two, taken));
    ok(hide(bob, &two, answer, answer));
    with(alice, &two, "For a long while", 0, &[(tag::LIFETIME_MS, &LIFETIME_MS.to_be_bytes())]);
    ok(bob.read(&two, hello));
    with(bob, &two, "On the bench", 0, &[(tag::THREAD, &hello.to_be_bytes())]);
    ok(alice.call_writing(Method::Thread, |out| targets::write_thread(out, &two, hello, 0)));
    let named = [(tag::NAME, &b"The team"[..]), (tag::ANNOUNCEMENT, b"Monday at nine")];
    ok(alice.create_with("team", &["bob", "carol"], &named));
    let mut ids = Vec::new();
    ids.extend([3]);
    ids.extend(b"bob");
    with(alice, &team, "@bob, bring the bag", image_flag::MENTIONS, &[(tag::MENTIONS, &ids)]);
    with(alice, &team, "And everybody, be in time", image_flag::MENTION_ALL, &[]);
    ok(alice.give_role("team", 1, &["bob"]));
    ok(bob.nickname("team", "Bobby"));
    ok(carol.change(Method::GroupRemove, "team", &["carol"]));
    bob.send(&team, "Carol is gone");
    ok(set(bob, &two, &Tlvs::from_pairs([(tag::PINNED, &1_u32.to_be_bytes()[..])])));
    // It is refused when its time has come, and so stays as it is whenever this is read.
    let to_carol = channel_of("alice", "carol");
    let due_ms = (now_s() + 2) * 1_000;
    let plan = Plan { due_ms, flags: image_flag::COUNTABLE, body: "Happy new year".into() };
    ok(alice.call_writing(Method::Schedule, |out| schedule::write_schedule(out, &to_carol, &plan)));
    ok(block(carol, "alice", true));
    let tape = alice.tape.take();
    until("the refusal", || {
        let reply =
            alice.call_writing(Method::Scheduled, |out| schedule::write_named(out, &to_carol, &CommandId::FIRST));
        let page = ScheduledPage::decode(reply.fields).unwrap();
        (page.scheduled[0].refused > 0).then_some(())
    });
    alice.tape = tape;
    ok(alice.call_writing(Method::Scheduled, |out| schedule::write_named(out, &to_carol, &CommandId::FIRST)));
    assert_eq!(alice.try_send(&channel_of("alice", "carol"), "?").reason, Reason::Blocked);
    bob.list(&Bytes::new());
    bob.sync_from(&two, 1);
    alice.ping();
}

/// A system user writes to everybody.
fn announce(server: &Server) {
    let claims = Claims { sys: Some(true), ..claims("post", "") };
    let mut post = Client::connect_claiming(server, Via::Tcp, &claims, "desk");
    let tagging = post.call_writing(Method::TagsSet, |out| broadcast::write_tagging(out, &id("bob"), &[id("early")]));
    assert_eq!(tagging.reason, Reason::Ok);
    let (reach, body) = (Reach::Everybody, Bytes::from_static(b"The post office moves"));
    let announcement = Announcement { reach, flags: image_flag::COUNTABLE, body };
    assert_eq!(post.call_writing(Method::Broadcast, |out| announcement.write(out)).reason, Reason::Ok);
    until("its end", || {
        let all = Broadcasts::decode(post.call(Method::Broadcasts, Bytes::new()).fields).unwrap().0;
        (all[0].ended_ms > 0).then_some(())
    });
}

/// Everything that a user is told, but for what depends on the day.
fn view(server: &Server, user: &str) -> String {
    let mut client = Client::connect(server, Via::Tcp, user, "reader");
    let mut out = format!("{user}\n  profile of alice {}\n", hex(profile(&mut client, "alice").as_bytes()));
    let (mut listed, _) = client.list(&Bytes::new());
    let to_carol = channel_of(user, "carol");
    let reply = client.call_writing(Method::Scheduled, |out| schedule::write_named(out, &to_carol, &CommandId::FIRST));
    let _ = writeln!(out, "  scheduled for carol {}", hex(&reply.fields));
    listed.sort_by(|one, other| one.channel.as_bytes().cmp(other.channel.as_bytes()));
    for told in listed {
        let flags = told.flags & !conversation_flag::CUT;
        let _ = writeln!(
            out,
            "  {} head {} read {} unread {} mentions {} flags {flags}",
            hex(told.channel.as_bytes()),
            told.head,
            told.read,
            told.unread,
            told.mentions
        );
        let mut next = 1;
        while next <= told.head {
            let synced = client.sync(&told.channel, told.epoch, (next, told.head), 0);
            for item in &synced.items {
                let _ = match item {
                    SyncItem::Image(image) => writeln!(out, "    image {}", hex(image)),
                    SyncItem::Gap(gap) => writeln!(out, "    gap {} {} {}", gap.from, gap.to, gap.why.name()),
                    SyncItem::Made(made) => writeln!(out, "    made {made:?}"),
                };
            }
            next = synced.to + 1;
        }
    }
    out
}

fn views(server: &Server) -> String {
    ["alice", "bob", "carol"].map(|user| view(server, user)).concat()
}

/// Copies a directory; `change` says what becomes of each file.
fn copy(from: &Path, to: &Path, change: fn(Vec<u8>) -> Vec<u8>) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target, change);
        } else {
            fs::write(target, change(fs::read(&path).unwrap())).unwrap();
        }
    }
}

/// A file without the zeros at its end, behind its length.
fn cut(bytes: Vec<u8>) -> Vec<u8> {
    let kept = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let mut out = (bytes.len() as u64).to_be_bytes().to_vec();
    out.extend(&bytes[..kept]);
    out
}

fn fill(bytes: Vec<u8>) -> Vec<u8> {
    let (length, kept) = bytes.split_first_chunk().unwrap();
    let mut out = kept.to_vec();
    out.resize(usize::try_from(u64::from_be_bytes(*length)).unwrap(), 0);
    out
}

fn record() {
    let mut server = Server::start(&SETTINGS);
    let mut clients = ["alice", "bob", "carol"].map(|user| taped(&server, user));
    let [alice, bob, carol] = &mut clients;
    converse(alice, bob, carol);
    announce(&server);
    let mut text = String::new();
    for client in clients {
        for (is_said, frame) in client.tape.unwrap().frames {
            let kind = Kind::from_number(frame[4]).unwrap().name();
            let _ = writeln!(text, "{} {} {kind} {}", client.user, if is_said { '>' } else { '<' }, hex(&frame));
        }
    }
    let views = views(&server);
    server.stop();
    let _ = fs::remove_dir_all(fixtures());
    copy(&server.place.data(), &fixtures().join("data"), cut);
    fs::write(fixtures().join("conversation.txt"), text).unwrap();
    fs::write(fixtures().join("views.txt"), views).unwrap();
}

#[test]
fn a_recorded_conversation_is_read_as_it_was_said() {
    if std::env::var_os("POSTRIDER_RECORD").is_some() {
        record();
    }
    let text = fs::read_to_string(fixtures().join("conversation.txt")).unwrap();
    let mut images = Vec::new();
    for line in text.lines() {
        let [_, _, kind, frame] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let frame = unhex(frame);
        let mut decoder = Decoder::new();
        decoder.feed(frame.clone().into());
        let packet = Packet::decode(decoder.next_frame().unwrap().unwrap()).unwrap().unwrap();
        assert_eq!(packet.kind().name(), kind);
        let mut again = Vec::new();
        packet.encode(&mut again);
        assert_eq!(again, frame, "{line}");
        if let Packet::Recv(image) = packet {
            images.push(image);
        }
    }
    let of = |user: &Id, what: &str| images.iter().any(|image: &Image| image.author() == *user && image.body == what);
    assert!(of(&id("bob"), "Carol is gone") && of(&id("alice"), "@bob, bring the bag"));
}

#[test]
fn a_data_directory_that_was_written_before_is_served_as_it_was() {
    let place = Place::new();
    copy(&fixtures().join("data"), &place.data(), fill);
    let mut check = cli(&["store", "check"]);
    check.arg(place.data());
    let checked = ends(check);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let server = Server::start_in(place, &SETTINGS);
    let expected = fs::read_to_string(fixtures().join("views.txt")).unwrap();
    let found = views(&server);
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}
