//! Quotas: requests a minute, bytes a day and a month, of users, channels, connections and tenants.

use std::sync::Barrier;

use bytes::Bytes;
use postrider::auth::Claims;
use postrider_protocol::{
    Channel, Method, Reason,
    packet::{
        Packet,
        usage::{ScopeUsage, Usage},
    },
    tag,
};

use crate::harness::{Client, Server, World, channel_of, claims, everywhere, group};

/// What the client is told of quotas, with those of a channel.
pub fn usage(client: &mut Client, channel: Option<&Channel>) -> Vec<ScopeUsage> {
    let fields = channel.map_or(&[][..], Channel::as_bytes);
    let reply = client.call(Method::Usage, Bytes::copy_from_slice(fields));
    assert_eq!(reply.reason, Reason::Ok, "{reply:?}");
    Usage::decode(reply.fields).unwrap().0
}

/// A connection in a tenant.
fn in_tenant(world: World<'_>, tenant: u32, user: &str) -> Client {
    let user = world.name(user);
    let claims = Claims { ten: Some(tenant), ..claims(&user, "") };
    Client::connect_claiming(world.server, world.via, &claims, "")
}

#[test]
fn quotas_are_off_unless_they_are_set() {
    everywhere(&[], |world| assert_eq!(usage(&mut world.connect("alice"), None), []));
}

#[test]
fn a_user_has_so_many_requests_a_minute_over_all_devices() {
    everywhere(&["limits.quota.user.requests_per_minute=5"], |world| {
        let (mut phone, mut tablet) = (world.connect("alice"), world.connect_as("alice", "tablet"));
        let channel = channel_of(&phone.user, "bob");
        // At most two minutes begin meanwhile.
        let refused = (0..6).find_map(|_| {
            let acks = [phone.try_send(&channel, "x"), tablet.try_send(&channel, "y")];
            acks.into_iter().find(|ack| ack.reason != Reason::Ok)
        });
        let refused = refused.expect("the eleventh request within two minutes");
        assert_eq!((refused.reason, refused.seq), (Reason::QuotaExceeded, 0));
        assert!((1..=60_000).contains(&refused.tlvs.get_u32(tag::RETRY_AFTER_MS).unwrap()));
        assert!(refused.tlvs.get_text(tag::DETAIL).unwrap().contains("user"));
        world.connect("carol").send(&channel_of(&world.name("carol"), "bob"), "another user");
    });
}

#[test]
fn bytes_are_counted_once_and_told_to_their_user() {
    let settings = ["limits.quota.user.bytes_per_day=1000B", "limits.quota.channel.bytes_per_month=10KiB"];
    everywhere(&settings, |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, "bob");
        let send = alice.next_send(&channel, [b'x'; 600]);
        let first = alice.resend(&send);
        assert_eq!((first.reason, first.seq), (Reason::Ok, 1));
        for _ in 0..5 {
            assert_eq!(alice.resend(&send), first, "what is stored already costs nothing");
        }
        assert_eq!(
            alice.try_send(&group("none"), [b'x'; 300]).reason,
            Reason::NoChannel,
            "what is refused costs nothing"
        );
        let mut over = alice.next_send(&channel, [b'x'; 401]);
        let refused = alice.resend(&over);
        assert_eq!(refused.reason, Reason::QuotaExceeded);
        assert!((1..=86_400_000).contains(&refused.tlvs.get_u32(tag::RETRY_AFTER_MS).unwrap()));
        // Given up, so that later lines may go.
        over.oldest += 1;
        over.number += 1;
        over.body = Bytes::from_static(&[b'y'; 400]);
        alice.number += 1;
        assert_eq!(alice.resend(&over).reason, Reason::Ok, "to the last byte");
        let told = usage(&mut alice, Some(&channel));
        let told: Vec<_> = told
            .iter()
            .map(|it| (it.scope, it.minute.used, it.day.used, it.day.most, it.month.used, it.month.most))
            .collect();
        assert_eq!(told, [(1, 2, 1_000, 1_000, 1_000, 0), (2, 2, 1_000, 0, 1_000, 10_240)]);
        let mut mallory = world.connect("mallory");
        let reply = mallory.call(Method::Usage, Bytes::copy_from_slice(channel.as_bytes()));
        assert_eq!(reply.reason, Reason::NoChannel, "what others use is theirs");
    });
}

/// Test 9 of the twelve: 64 at once are never over, and nothing is charged that was not accepted.
#[test]
fn sixty_four_requests_at_once_are_never_over_a_quota_and_never_leak() {
    let settings = [
        "limits.quota.tenant.bytes_per_day=1000B",
        "limits.quota.channel.bytes_per_day=700B",
        "limits.quota.user.bytes_per_month=100KiB",
        "limits.quota.connection.bytes_per_day=100KiB",
    ];
    let server = Server::start(&settings);
    let world = World { server: &server, via: crate::harness::Via::Tcp };
    let start = Barrier::new(64);
    let (accepted, used): (Vec<u64>, Vec<u64>) = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..64)
            .map(|number| {
                let start = &start;
                scope.spawn(move || {
                    let user = format!("user{}", number % 8);
                    let mut client = in_tenant(world, 3, &user);
                    let own = channel_of(&client.user, &world.name(if number < 32 { "a" } else { "b" }));
                    start.wait();
                    let sends: Vec<_> = (0..8).map(|_| Packet::Send(client.next_send(&own, [b'x'; 10]))).collect();
                    client.say_all(&sends);
                    let acks = (1..=8).map(|number| client.sendack(number));
                    let accepted = acks.filter(|ack| ack.reason == Reason::Ok).count() as u64;
                    let told = usage(&mut client, None);
                    (accepted * 10, told.iter().find(|it| it.scope == 3).unwrap().day.used)
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).unzip()
    });
    assert_eq!(accepted.iter().sum::<u64>(), 1_000, "all that the tenant may use");
    assert_eq!(accepted, used, "each connection is charged with what was accepted of it");
    let by_user = |user: u64| (user..64).step_by(8).map(|at| used[at as usize]).sum::<u64>();
    for user in 0..8 {
        let told = usage(&mut in_tenant(world, 3, &format!("user{user}")), None);
        assert_eq!(told[0].month.used, by_user(user), "user{user}");
    }
    assert_eq!(in_tenant(world, 4, "user0").send(&channel_of(&world.name("user0"), "a"), "another tenant"), 1);
}

#[test]
fn a_tenant_s_quota_holds_for_all_of_its_users_together() {
    let server = Server::start(&["limits.quota.tenant.bytes_per_day=100B"]);
    let world = World { server: &server, via: crate::harness::Via::Ws };
    let (mut alice, mut bob) = (in_tenant(world, 1, "alice"), in_tenant(world, 1, "bob"));
    let channel = channel_of(&alice.user, &bob.user);
    assert_eq!(alice.send(&channel, [b'x'; 60]), 1);
    let refused = bob.try_send(&channel, [b'x'; 60]);
    assert_eq!(refused.reason, Reason::QuotaExceeded);
    assert!(refused.tlvs.get_text(tag::DETAIL).unwrap().contains("tenant"));
    let mut other = in_tenant(world, 2, "bob");
    assert_eq!(other.send(&channel, [b'x'; 60]), 1);
}

#[test]
fn a_connection_s_quota_begins_anew_with_the_next_connection() {
    everywhere(&["limits.quota.connection.bytes_per_month=100B"], |world| {
        for seq in 1..=3 {
            let mut alice = world.connect("alice");
            let channel = channel_of(&alice.user, "bob");
            assert_eq!(alice.send(&channel, [b'x'; 100]), seq);
            assert_eq!(alice.try_send(&channel, "x").reason, Reason::QuotaExceeded);
        }
    });
}

#[test]
fn what_was_used_outlives_a_restart_and_a_damaged_file_stops_nothing() {
    let mut server = Server::start(&["limits.quota.user.bytes_per_month=1000B"]);
    let connect = |server: &Server| Client::connect(server, crate::harness::Via::Tcp, "alice", "phone");
    let channel = channel_of("alice", "bob");
    assert_eq!(connect(&server).send(&channel, [b'x'; 700]), 1);
    server.stop();
    server.start_again();
    let mut alice = connect(&server);
    assert_eq!(usage(&mut alice, None)[0].month.used, 700);
    assert_eq!(alice.try_send(&channel, [b'x'; 301]).reason, Reason::QuotaExceeded);
    drop(alice);
    server.stop();
    std::fs::write(server.place.data().join("quotas"), "nonsense").unwrap();
    server.announce("the file of quotas is damaged");
    server.start_again();
    assert_eq!(connect(&server).send(&channel, [b'x'; 301]), 2);
}
