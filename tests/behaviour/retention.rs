//! Retention drops the oldest messages and nothing else: who asks for them is told so, and what was accepted stays known.

use postrider_protocol::{GapReason, Reason};

use crate::harness::{Client, Server, Via, channel_of};

const SETTINGS: [&str; 6] = [
    "storage.retention.max_bytes=1MiB",
    "storage.retention.snapshot_segments=1",
    "storage.segment_bytes=1MiB",
    "storage.checkpoint_bytes=256KiB",
    "commit.batch_bytes=256KiB",
    "limits.user_rate=0",
];

#[test]
fn what_is_trimmed_is_a_gap_and_everything_else_goes_on() {
    let mut server = Server::start(&SETTINGS);
    let (mut alice, mut bob) =
        (Client::connect(&server, Via::Tcp, "alice", "phone"), Client::connect(&server, Via::Tcp, "bob", ""));
    let channel = channel_of("alice", "bob");
    let first = bob.next_send(&channel, "early");
    assert_eq!(bob.resend(&first).seq, 1);
    let body = vec![b'x'; 60_000];
    let mut head = 1;
    let seen = crate::harness::until("the first message is trimmed", || {
        head = alice.send(&channel, &body);
        let listed = alice.listed(&channel).unwrap();
        let synced = alice.sync(&channel, listed.epoch, (1, head), 1);
        let is_trimmed = synced.items.iter().any(|item| format!("{item:?}").contains("Trimmed"));
        is_trimmed.then(|| alice.sync_from(&channel, 1))
    });
    let [gap] = seen.gaps[..] else { panic!("one gap: {:?}", seen.gaps) };
    assert_eq!((gap.from, gap.why), (1, GapReason::Trimmed));
    assert_eq!(seen.images.len() as u64, head - gap.to);
    assert!(seen.images.iter().all(|image| image.body.len() == body.len()));

    // The command of a message that is gone is still known, and a device that is new begins above what is gone.
    let mut told = bob.resend(&first);
    assert_eq!((told.reason, told.seq), (Reason::Ok, 1));
    let sync_from = Client::connect(&server, Via::Tcp, "bob", "new").listed(&channel).unwrap().sync_from;
    assert_eq!(sync_from, gap.to);

    server.crash_and_restart();
    let mut bob = Client::connect_with(&server, Via::Tcp, "bob", "", bob.sender);
    told = bob.resend(&first);
    assert_eq!((told.reason, told.seq), (Reason::Ok, 1));
    let again = bob.sync_from(&channel, 1);
    assert_eq!((again.gaps.len(), again.head), (1, head));
    assert_eq!(again.images.len() as u64, head - again.gaps[0].to);
    assert_eq!(Client::connect(&server, Via::Tcp, "alice", "phone").send(&channel, "on"), head + 1);
}
