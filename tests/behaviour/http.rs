//! Health and metrics for whoever runs the server.

use postrider_protocol::Reason;

use crate::harness::{Client, Server, Via, channel_of, until};

#[test]
fn health_and_metrics_are_told() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/livez").0, 200);
    let (status, body) = server.get("/readyz");
    assert_eq!((status, body.as_str()), (200, "ready\n"));
    let (status, body) = server.get("/readyz?verbose");
    assert_eq!(status, 200);
    assert!(body.contains("[+] store ready") && body.contains("[+] listeners ready"), "{body}");
    for missing in ["/nothing", "/dev/token?user=alice", "/api/v1", "/../etc/passwd", "/chat/../../etc/passwd"] {
        assert_eq!(server.get(missing).0, 404, "{missing}");
    }
    let mut alice = Client::connect(&server, Via::Tcp, "alice", "phone");
    let _bob = Client::connect(&server, Via::Wss, "bob", "phone");
    for _ in 0..3 {
        alice.send(&channel_of("alice", "bob"), "x");
    }
    assert_eq!(alice.try_send(&channel_of("carol", "bob"), "x").reason, Reason::NoChannel);
    // The messages, and that the two devices came.
    until("the entries", || (server.metric("postrider_entries_committed_total") == 5.0).then_some(()));
    assert_eq!(server.metric("postrider_connections{transport=\"tcp\"}"), 1.0);
    assert_eq!(server.metric("postrider_connections{transport=\"wss\"}"), 1.0);
    assert_eq!(server.metric("postrider_connections{transport=\"ws\"}"), 0.0);
    assert!(server.metric("postrider_store_commit_duration_seconds_count") >= 1.0);
    let (_, text) = server.get("/metrics");
    assert!(text.ends_with("# EOF\n"));
    for name in ["alice", "bob", "carol", "phone"] {
        assert!(!text.contains(name), "no user and no device is a label: {name}");
    }
}

#[test]
fn many_users_make_no_more_series() {
    let server = Server::start(&[]);
    let series = |server: &Server| server.get("/metrics").1.lines().filter(|line| !line.starts_with('#')).count();
    let mut alice = Client::connect(&server, Via::Tcp, "alice", "phone");
    alice.send(&channel_of("alice", "bob"), "x");
    let before = series(&server);
    for n in 0..100 {
        let mut user = Client::connect(&server, Via::Tcp, &format!("user{n}"), &format!("device{n}"));
        user.send(&channel_of(&user.user.clone(), "bob"), "x");
    }
    assert!(series(&server) <= before + 5, "{before} then {}", series(&server));
}

#[test]
fn what_the_store_lacks_does_not_wait_in_memory_for_a_whole_checkpoint() {
    let server = Server::start(&["storage.checkpoint_bytes=1MiB", "limits.user_rate=0"]);
    let mut alice = Client::connect(&server, Via::Tcp, "alice", "phone");
    alice.send_many(300, &channel_of("alice", "bob"), [b'.'; 1_024]);
    let is_done = || server.metric("postrider_checkpoint_duration_seconds_count") >= 1.0;
    until("a smaller one, after a while", || is_done().then_some(()));
}
