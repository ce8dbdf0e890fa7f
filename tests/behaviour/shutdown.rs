//! SIGTERM: what was accepted is finished and answered, and clients are told when to come back.

use std::{
    net::TcpStream,
    sync::Mutex,
    time::{Duration, Instant},
};

use postrider_protocol::{Channel, Reason, packet::Packet, tag};

use crate::harness::{Client, Server, Via, channel_of};

/// A user, their channel, and number and seq of what was answered OK.
type Acked = (String, Channel, Vec<(u64, u64)>);

#[test]
fn under_load_everything_answered_ok_is_there_afterwards() {
    let mut server = Server::start(&[]);
    let acked: Mutex<Vec<Acked>> = Default::default();
    let start = std::thread::scope(|scope| {
        for n in 0..8 {
            let (server, acked) = (&server, &acked);
            scope.spawn(move || {
                let mut client = Client::connect(server, Via::ALL[n % 4], &format!("user{n}"), "phone");
                let channel = channel_of(&client.user, "bob");
                let mut mine = Vec::new();
                for _ in 0..20 {
                    let send = Packet::Send(client.next_send(&channel, (client.number + 1).to_be_bytes()));
                    client.say(&send);
                }
                loop {
                    match client.next() {
                        Some(Packet::Sendack(ack)) => {
                            assert_eq!(ack.reason, Reason::Ok);
                            mine.push((ack.number, ack.seq));
                            let send = Packet::Send(client.next_send(&channel, (client.number + 1).to_be_bytes()));
                            // The server may be gone: DISCONNECT is still to be read.
                            let _ = client.try_say(&send);
                        }
                        Some(Packet::Disconnect(told)) => {
                            assert_eq!(told.reason, Reason::Shutdown);
                            assert_eq!(told.tlvs.get_u32(tag::RETRY_AFTER_MS), Some(1_000));
                            client.is_over(Reason::Shutdown);
                            break;
                        }
                        other => panic!("{other:?}"),
                    }
                }
                acked.lock().unwrap().push((client.user, channel, mine));
            });
        }
        crate::harness::until("load", || (server.metric("postrider_entries_committed_total") > 500.0).then_some(()));
        server.terminate();
        Instant::now()
    });
    assert!(server.wait().success());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(server.log().last().unwrap().contains("stopped"));
    let check = server.run(&["store", "check", "data"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    server.start_again();
    for (user, channel, acked) in acked.into_inner().unwrap() {
        let seen = Client::connect(&server, Via::Tcp, &user, "phone").sync_from(&channel, 1);
        assert!(acked.len() > 10 && seen.gaps.is_empty());
        for (number, seq) in acked {
            let image = &seen.images[seq as usize - 1];
            assert_eq!((image.number, &image.body[..]), (number, &number.to_be_bytes()[..]));
        }
        assert!(seen.images.is_sorted_by_key(|image| image.number), "{user}'s lines changed places");
    }
}

#[test]
fn an_idle_server_stops_at_once_and_tells_everybody() {
    let mut server = Server::start(&[]);
    let mut clients: Vec<_> = Via::ALL
        .iter()
        .flat_map(|via| ["phone", ""].map(|device| Client::connect(&server, *via, via.name(), device)))
        .collect();
    // One that has not said CONNECT is told too.
    clients.push(Client::new(&server, Via::Tcp));
    let start = Instant::now();
    server.terminate();
    for client in &mut clients {
        let told = client.ends_with(Reason::Shutdown);
        assert_eq!(told.get_u32(tag::RETRY_AFTER_MS), Some(1_000));
    }
    drop(clients);
    assert!(server.wait().success());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(TcpStream::connect(server.addr(Via::Tcp)).is_err());
}

#[test]
fn nobody_who_shakes_hands_slowly_holds_up_the_end() {
    let mut server = Server::start(&[]);
    let silent: Vec<_> = Via::ALL.map(|via| TcpStream::connect(server.addr(via)).unwrap()).into();
    for via in Via::ALL {
        let open = format!("postrider_connections{{transport=\"{}\"}}", via.name());
        crate::harness::until(&open, || (server.metric(&open) >= 1.0).then_some(()));
    }
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(silent);
}

#[test]
fn nobody_who_does_not_read_holds_up_the_end() {
    let mut server = Server::start(&[]);
    let mut alice = Client::connect(&server, Via::Tcp, "alice", "");
    let bob = Client::connect(&server, Via::Tcp, "bob", "phone");
    let channel = channel_of("alice", "bob");
    for _ in 0..120 {
        alice.send(&channel, vec![0; 60_000]);
    }
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    drop(bob);
}
