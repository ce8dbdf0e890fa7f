//! Bodies of every size arrive whole, and stay whole.

use postrider_protocol::{Reason, packet::SendPacket};

use crate::harness::{Client, Server, Via, channel_of, everywhere, files, on_all};

/// Around every threshold: nothing, inline, a block, a page, larger than a block, the limit.
const SIZES: [usize; 7] = [0, 1, 100, 3_000, 4_096, 16_000, 65_536];

/// Bytes that nothing repeats or compresses.
fn body(size: usize) -> Vec<u8> {
    let mut state = size as u32 + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..size).map(|_| next()).collect()
}

#[test]
fn s18_every_size_arrives_whole_live_by_sync_and_after_a_crash() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        for (seq, size) in (1..).zip(SIZES.into_iter().cycle().take(3 * SIZES.len())) {
            assert_eq!(alice.send(&channel, body(size)), seq);
            let image = bob.recv();
            assert_eq!(image.seq, seq);
            assert!(image.body == body(size), "{size} bytes, live");
        }
        all_whole(&mut bob, &channel);
    });
    for crash in [true, false] {
        if crash {
            server.kill();
        } else {
            server.stop();
            let check = server.run(&["store", "check", "data"]);
            assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
        }
        server.start_again();
        for via in Via::ALL {
            let [alice, bob] = ["alice", "bob"].map(|name| format!("{name}.{}", via.name()));
            all_whole(&mut Client::connect(&server, via, &bob, "phone"), &channel_of(&alice, &bob));
        }
    }
    let blobs = files(&server.place.data()).into_keys().filter(|path| path.to_string_lossy().contains("blobs"));
    assert_eq!(blobs.collect::<Vec<_>>(), [] as [std::path::PathBuf; 0]);
}

fn all_whole(client: &mut Client, channel: &postrider_protocol::Channel) {
    let seen = client.sync_from(channel, 1);
    assert!(seen.gaps.is_empty() && seen.images.len() == 3 * SIZES.len());
    for (image, size) in seen.images.iter().zip(SIZES.into_iter().cycle()) {
        assert!(image.body == body(size), "{size} bytes, by SYNC");
    }
}

#[test]
fn f29_one_byte_over_the_limit_is_refused_clearly() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, "bob");
        let send = SendPacket { body: body(65_537).into(), ..alice.next_send(&channel, "") };
        let ack = alice.resend(&send);
        assert_eq!((ack.reason, ack.seq, ack.time_ms), (Reason::BodyTooLarge, 0, 0));
        assert!(ack.tlvs.get_text(postrider_protocol::tag::DETAIL).is_some_and(|detail| detail.contains("65,536")));
        // The refusal bound the number to nothing.
        let send = SendPacket { body: body(65_536).into(), ..send };
        assert_eq!(alice.resend(&send).seq, 1);
    });
}
