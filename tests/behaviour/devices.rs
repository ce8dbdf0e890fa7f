//! The devices of a user: which there are, removing them, and how many of a platform may be connected.

use bytes::Bytes;
use postrider::auth::Claims;
use postrider_protocol::{
    Method, Reason, Sender, SenderKind, Tlvs,
    packet::{
        ConnackPacket, ConnectPacket, ReplyPacket,
        people::{self, Device, Devices},
    },
    tag,
};

use crate::harness::{
    Client, Server, World, channel_of, claims, connect_packet, everywhere, id, now_s, on_all, sign, until,
};

/// A token was issued so many seconds ago, before anything is removed in a test.
const OLD: i64 = -600;
/// Or so many seconds from now, which a server takes for the clocks' sake: after everything that is removed.
const NEW: i64 = 25;

/// CONNECT of a device that tells its platform, with a token issued so many seconds from now.
fn packet(user: &str, device: &str, platform: &str, later: i64) -> ConnectPacket {
    let iat = now_s().saturating_add_signed(later);
    let token = sign(&Claims { iat, exp: iat + 3_600, ..claims(user, "") });
    let platform = (!platform.is_empty()).then_some((tag::PLATFORM, platform.as_bytes()));
    ConnectPacket {
        token: token.into(),
        tlvs: Tlvs::from_pairs(platform),
        ..connect_packet(user, device, Sender::request(SenderKind::Kept))
    }
}

fn try_connect(world: World<'_>, user: &str, device: &str, later: i64) -> Result<Client, ConnackPacket> {
    let user = world.name(user);
    Client::connect_by(world.server, world.via, &user, &packet(&user, device, "", later))
}

/// A connection by an old token of a device that tells its platform.
fn connect(world: World<'_>, user: &str, device: &str, platform: &str) -> Client {
    let user = world.name(user);
    Client::connect_by(world.server, world.via, &user, &packet(&user, device, platform, OLD)).unwrap()
}

#[track_caller]
fn is_refused(world: World<'_>, user: &str, device: &str) {
    let connack = try_connect(world, user, device, OLD).err().expect("a refusal");
    assert_eq!((connack.reason, connack.user), (Reason::DeviceRemoved, None), "{device}");
}

/// The devices that the client's user has.
pub fn devices(client: &mut Client) -> Vec<Device> {
    let reply = client.call(Method::Devices, Bytes::new());
    assert_eq!(reply.reason, Reason::Ok, "{reply:?}");
    Devices::decode(reply.fields).unwrap().0
}

fn names(devices: &[Device]) -> Vec<String> {
    devices.iter().map(|device| device.device.to_string()).collect()
}

/// Waits until the devices are these: that one came is noted without waiting for it.
#[track_caller]
fn become_known(client: &mut Client, expected: &[&str]) -> Vec<Device> {
    until("the devices", || {
        let devices = devices(client);
        (names(&devices) == expected).then_some(devices)
    })
}

/// Removes a device; "" for all others.
pub fn remove(client: &mut Client, device: &str) -> ReplyPacket {
    let device = (!device.is_empty()).then(|| id(device));
    let mut fields = Vec::new();
    people::write_optional(&mut fields, device.as_ref());
    client.call(Method::DeviceRemove, fields.into())
}

#[track_caller]
fn ok(reply: ReplyPacket) {
    assert_eq!((reply.reason, reply.seq), (Reason::Ok, 0), "{reply:?}");
}

#[test]
fn a_device_is_known_with_what_it_told_last_and_outlives_a_crash() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let mut phone = connect(world, "alice", "phone", "ios");
        let tablet = connect(world, "alice", "tablet", "android");
        let known = become_known(&mut phone, &["phone", "tablet"]);
        assert_eq!(
            known.iter().map(|device| (device.is_this, device.is_online)).collect::<Vec<_>>(),
            [(true, true), (false, true)]
        );
        assert_eq!(known[1].fields.get_text(tag::PLATFORM), Some("android"));
        assert!(known[0].first_ms > 0 && known[0].last_ms >= known[0].first_ms);
        drop(tablet);
        until("the tablet to be offline", || {
            devices(&mut phone).iter().all(|it| it.is_online == it.is_this).then_some(())
        });
        // What it tells is kept when it tells something else.
        let mut tablet = connect(world, "alice", "tablet", "ios");
        let again = until("news of the tablet", || {
            devices(&mut tablet).into_iter().find(|it| it.fields.get_text(tag::PLATFORM) == Some("ios") && it.is_this)
        });
        assert_eq!(again.first_ms, known[1].first_ms);
        assert_eq!(devices(&mut world.connect_as("bob", "")), [], "a connection without a device is none");
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        let known = devices(&mut world.connect_as("alice", ""));
        assert_eq!(names(&known), ["phone", "tablet"]);
        assert!(known.iter().all(|device| !device.is_online && !device.is_this));
    });
}

#[test]
fn a_removed_device_is_ended_and_its_old_tokens_are_refused() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let mut phone = connect(world, "alice", "phone", "");
        let mut lost = connect(world, "alice", "lost", "");
        become_known(&mut phone, &["lost", "phone"]);
        let start = std::time::Instant::now();
        ok(remove(&mut phone, "lost"));
        lost.ends_with(Reason::DeviceRemoved);
        assert!(start.elapsed().as_secs() < 2, "I15");
        assert_eq!(names(&devices(&mut phone)), ["phone"]);
        is_refused(world, "alice", "lost");
        ok(remove(&mut phone, "lost"));
        phone.ping();
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        is_refused(world, "alice", "lost");
        let mut back = try_connect(world, "alice", "lost", NEW).unwrap();
        become_known(&mut back, &["lost", "phone"]);
        // The old token is refused still, and the connection by the new one does not suffer from it.
        is_refused(world, "alice", "lost");
        back.ping();
    });
}

#[test]
fn a_device_that_removes_itself_gets_its_answer_first() {
    everywhere(&[], |world| {
        let mut phone = connect(world, "alice", "phone", "");
        ok(remove(&mut phone, "phone"));
        phone.ends_with(Reason::DeviceRemoved);
    });
}

#[test]
fn removing_all_others_keeps_the_caller_alone() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let mut phone = connect(world, "alice", "phone", "");
        let mut others: Vec<_> = ["a", "b", ""].into_iter().map(|device| connect(world, "alice", device, "")).collect();
        let mut bob = connect(world, "bob", "phone", "");
        become_known(&mut phone, &["a", "b", "phone"]);
        ok(remove(&mut phone, ""));
        others.iter_mut().for_each(|other| _ = other.ends_with(Reason::DeviceRemoved));
        assert_eq!(names(&devices(&mut phone)), ["phone"]);
        phone.ping();
        bob.ping();
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        for device in ["a", "new", ""] {
            is_refused(world, "alice", device);
        }
        let mut phone = connect(world, "alice", "phone", "");
        let mut other = try_connect(world, "alice", "a", NEW).unwrap();
        become_known(&mut phone, &["a", "phone"]);
        // Who is kept the next time was not kept the first time: what was refused then is refused for ever.
        ok(remove(&mut other, ""));
        phone.ends_with(Reason::DeviceRemoved);
        is_refused(world, "alice", "a");
        other.ping();
    });
}

#[test]
fn a_removed_device_gets_nothing_of_what_is_sent_after_its_removal() {
    everywhere(&[], |world| {
        let (mut phone, mut bob) = (connect(world, "alice", "phone", ""), world.connect("bob"));
        let channel = channel_of(&phone.user, &bob.user);
        for round in 0..10 {
            let device = format!("lost{round}");
            let mut lost = connect(world, "alice", &device, "");
            assert_eq!(bob.send(&channel, "before"), 2 * round + 1);
            assert_eq!(lost.recv().seq, 2 * round + 1);
            ok(remove(&mut phone, &device));
            assert_eq!(bob.send(&channel, "after"), 2 * round + 2);
            lost.ends_with(Reason::DeviceRemoved);
            assert_eq!(lost.recvs_heard(), 0);
        }
    });
}

#[test]
fn the_device_not_used_for_longest_makes_room() {
    everywhere(&["devices.max=3"], |world| {
        let mut clients = Vec::new();
        for (device, expected) in [
            ("d", &["d"][..]),
            ("c", &["c", "d"]),
            ("b", &["b", "c", "d"]),
            ("a", &["a", "b", "c"]),
            ("d", &["a", "b", "d"]),
        ] {
            let mut client = connect(world, "alice", device, "");
            become_known(&mut client, expected);
            clients.push(client);
        }
        clients.iter_mut().skip(1).for_each(Client::ping);
    });
}

#[test]
fn only_so_many_devices_can_be_removed_one_by_one() {
    everywhere(&["devices.max=1"], |world| {
        let mut caller = world.connect_as("alice", "");
        for number in 0..100 {
            ok(remove(&mut caller, &format!("device{number}")));
        }
        assert_eq!(remove(&mut caller, "device100").reason, Reason::TooMany);
        ok(remove(&mut caller, "device99"));
        ok(remove(&mut caller, ""));
        caller.ends_with(Reason::DeviceRemoved);
        let mut caller = try_connect(world, "alice", "", NEW).unwrap();
        assert_eq!(devices(&mut caller), []);
    });
}

/// Traps 49 to 51: of two that fight for one place the later connection stays, whatever their clocks say, and the
/// other one is told so for good.
#[test]
fn a_further_device_of_a_limited_platform_replaces_the_earliest() {
    everywhere(&["devices.connected=phone=2"], |world| {
        let client = |device: &str, platform: &str| connect(world, "alice", device, platform);
        let (mut one, mut two, mut desk) = (client("one", "phone"), client("two", "phone"), client("desk", "desktop"));
        let mut three = client("three", "phone");
        let told = one.ends_with(Reason::Replaced);
        assert!(told.get_text(tag::DETAIL).unwrap().contains("platform"));
        // The same device again takes its own place, not that of another.
        let mut again = client("three", "phone");
        three.ends_with(Reason::Replaced);
        let (mut more, mut clock) = (client("more", "desktop"), packet(&world.name("alice"), "five", "phone", OLD));
        clock.tlvs = Tlvs::from_pairs([(tag::PLATFORM, &b"phone"[..]), (tag::CLIENT_TIME, &[0; 8])]);
        let mut five = Client::connect_by(world.server, world.via, &world.name("alice"), &clock).unwrap();
        two.ends_with(Reason::Replaced);
        [&mut again, &mut desk, &mut more, &mut five].into_iter().for_each(Client::ping);
        connect(world, "bob", "b1", "phone").ping();
    });
}
