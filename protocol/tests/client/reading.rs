//! Pulling and pushing: what is handed out, and in which order.

use bytes::Bytes;
use postrider_protocol::{
    Channel, GapReason, Reason, SenderKind, Tlvs,
    packet::{Gap, LagPacket, ListedPacket, Made, Packet, SyncItem, SyncedPacket},
    session::client::{ClientEvent, ClientState, Retry},
};

use crate::script::{Script, alice, conversation, group, id, image, recv};

#[test]
fn what_was_missed_is_listed_then_synced_page_by_page_in_order() {
    let mut script = Script::start(ClientState::new(Some(id("phone")), SenderKind::Kept));
    script.expect_list(b"");
    script.list_page(b"t1", b"page2", &[conversation(&group(), 1, 0, 0)]);
    assert!(matches!(&script.said()[..], [Packet::List(list)] if list.page == b"page2"[..]));
    script.list(b"t1", &[conversation(&alice(), 1, 5, 2)]);
    let (request, from, to) = script.expect_sync();
    assert_eq!((from, to), (3, 5));
    script.sync(&alice(), request, (3, 4), 5, None);
    let (request, from, to) = script.expect_sync();
    assert_eq!((from, to), (5, 5));
    assert_eq!(script.handed_out(), [3, 4]);
    script.sync(&alice(), request, (5, 5), 5, None);
    let events = script.events();
    assert!(matches!(&events[..], [ClientEvent::Message { .. }, ClientEvent::CaughtUp]), "{events:?}");
}

#[test]
fn live_messages_wait_for_the_first_list() {
    let mut script = Script::start(ClientState::new(Some(id("phone")), SenderKind::Kept));
    script.say(&recv(&alice(), 4));
    assert_eq!(script.handed_out(), []);
    script.expect_list(b"");
    script.list(b"t1", &[conversation(&alice(), 1, 3, 2)]);
    let (request, from, to) = script.expect_sync();
    assert_eq!((from, to), (3, 3));
    script.sync(&alice(), request, (3, 3), 3, None);
    assert_eq!(script.handed_out(), [3, 4]);
}

#[test]
fn a_duplicate_is_dropped() {
    let mut script = Script::caught_up(&alice(), 2);
    for seq in [3, 3, 1, 4, 3, 4] {
        script.say(&recv(&alice(), seq));
    }
    assert_eq!(script.handed_out(), [3, 4]);
}

#[test]
fn a_live_message_never_moves_the_cursor_over_a_hole() {
    let mut script = Script::caught_up(&alice(), 2);
    script.say(&recv(&alice(), 5));
    script.say(&recv(&alice(), 6));
    assert_eq!(script.handed_out(), []);
    assert_eq!(script.said(), []);
    let timeout = script.state.poll_timeout().unwrap();
    script.wait(timeout - script.now_ms);
    let (request, from, to) = script.expect_sync();
    assert_eq!((from, to), (3, 4), "only the hole is pulled");
    script.sync(&alice(), request, (3, 4), 6, None);
    assert_eq!(script.handed_out(), [3, 4, 5, 6]);
}

#[test]
fn a_hole_that_fills_by_itself_is_not_pulled() {
    let mut script = Script::caught_up(&alice(), 2);
    script.say(&recv(&alice(), 4));
    script.say(&recv(&alice(), 3));
    assert_eq!(script.handed_out(), [3, 4]);
    script.wait(10_000);
    assert_eq!(script.said(), []);
}

#[test]
fn a_gap_moves_the_cursor_and_is_told() {
    let mut script = Script::caught_up(&alice(), 0);
    script.say(&Packet::Lag(LagPacket { dropped: 5, tlvs: Tlvs::new() }));
    script.expect_list(b"t1");
    script.list(b"t2", &[conversation(&alice(), 1, 5, 0)]);
    let (request, ..) = script.expect_sync();
    let gap = Gap { from: 2, to: 4, why: GapReason::Trimmed };
    script.sync(&alice(), request, (1, 5), 5, Some(gap));
    assert_eq!(script.handed_out(), [1, -2, -3, -4, 5]);
    script.say(&recv(&alice(), 6));
    assert_eq!(script.handed_out(), [6]);
}

#[test]
fn an_answer_that_does_not_cover_its_interval_ends_the_connection() {
    let mut script = Script::start(ClientState::new(Some(id("phone")), SenderKind::Kept));
    script.list(b"t1", &[conversation(&alice(), 1, 3, 0)]);
    let said = script.said();
    let Some(Packet::Sync(sync)) = said.last() else { panic!("{said:?}") };
    let (reason, request, tlvs) = (Reason::Ok, sync.request, Tlvs::new());
    let mut bytes = Vec::new();
    image(&alice(), 2).write(&mut bytes);
    let items = vec![SyncItem::Image(bytes.into())];
    script.say(&Packet::Synced(SyncedPacket { request, reason, epoch: 1, head: 3, from: 1, to: 3, items, tlvs }));
    assert_eq!(script.handed_out(), []);
    assert!(script.session.is_closed());
}

#[test]
fn what_was_made_of_messages_follows_all_of_them() {
    for (is_last, is_closed) in [(true, false), (false, true)] {
        let mut script = Script::start(ClientState::new(Some(id("phone")), SenderKind::Kept));
        script.list(b"t1", &[conversation(&alice(), 1, 2, 0)]);
        let said = script.said();
        let Some(Packet::Sync(sync)) = said.last() else { panic!("{said:?}") };
        let (reason, request, tlvs) = (Reason::Ok, sync.request, Tlvs::new());
        let element = |seq| {
            let mut bytes = Vec::new();
            image(&alice(), seq).write(&mut bytes);
            SyncItem::Image(bytes.into())
        };
        let made = SyncItem::Made(Made {
            seq: 1,
            edit: 9,
            version: 1,
            is_pinned: false,
            answers: 0,
            answered: 0,
            reactions: Vec::new(),
        });
        let mut items = vec![element(1), element(2)];
        items.insert(if is_last { 2 } else { 1 }, made);
        script.say(&Packet::Synced(SyncedPacket { request, reason, epoch: 1, head: 2, from: 1, to: 2, items, tlvs }));
        assert_eq!(script.handed_out(), if is_last { vec![1, 2] } else { vec![] });
        assert_eq!(script.session.is_closed(), is_closed);
    }
}

#[test]
fn a_channel_met_live_is_listed_before_what_came_before_it_is_skipped() {
    let mut script = Script::caught_up(&alice(), 0);
    script.say(&recv(&group(), 40));
    assert_eq!(script.handed_out(), []);
    script.expect_list(b"t1");
    script.list(b"t2", &[conversation(&group(), 1, 40, 39)]);
    assert_eq!(script.handed_out(), [40]);
    // From its first image on a channel can be followed at once.
    let notes = Channel::person(&id("bob"), &id("bob"));
    script.say(&recv(&notes, 1));
    assert_eq!(script.handed_out(), [1]);
}

#[test]
fn after_a_reconnect_nothing_comes_twice_and_nothing_is_missing() {
    let mut script = Script::caught_up(&alice(), 2);
    script.say(&recv(&alice(), 3));
    script.say(&recv(&alice(), 5));
    script.reconnect();
    script.expect_list(b"t1");
    script.list(b"t2", &[conversation(&alice(), 1, 6, 2)]);
    let (request, from, to) = script.expect_sync();
    assert_eq!((from, to), (4, 6), "from the own cursor, not from the server's");
    script.sync(&alice(), request, (4, 6), 6, None);
    assert_eq!(script.handed_out(), [4, 5, 6]);
}

#[test]
fn what_was_not_pulled_before_a_cut_is_pulled_after_it_although_the_list_does_not_tell_again() {
    let mut script = Script::start(ClientState::new(Some(id("phone")), SenderKind::Kept));
    script.list(b"t1", &[conversation(&alice(), 1, 3, 0)]);
    script.reconnect();
    script.expect_list(b"t1");
    script.list(b"t2", &[]);
    assert!(matches!(&script.said()[..], [Packet::Sync(sync)] if (sync.from, sync.to) == (1, 3)));
}

#[test]
fn a_raised_epoch_voids_what_is_held() {
    let mut script = Script::caught_up(&alice(), 9);
    script.reconnect();
    script.say(&recv(&alice(), 8));
    script.expect_list(b"t1");
    script.list(b"t2", &[conversation(&alice(), 2, 7, 5)]);
    let events = script.events();
    assert!(events.iter().any(|event| matches!(event, ClientEvent::Conversation { reset: true, .. })), "{events:?}");
    let (request, from, to) = script.expect_sync();
    assert_eq!((from, to), (6, 7));
    script.epoch = 2;
    script.sync(&alice(), request, (6, 7), 7, None);
    assert_eq!(script.handed_out(), [6, 7, 8]);
}

#[test]
fn f32_a_cursor_above_the_head_starts_anew() {
    let mut script = Script::caught_up(&alice(), 9);
    script.reconnect();
    script.expect_list(b"t1");
    script.list(b"t2", &[conversation(&alice(), 1, 4, 3)]);
    let (request, from, to) = script.expect_sync();
    assert_eq!((from, to), (4, 4));
    script.sync(&alice(), request, (4, 4), 4, None);
    assert_eq!(script.handed_out(), [4]);
}

#[test]
fn an_epoch_mismatch_lists_everything_and_starts_anew() {
    let mut script = Script::caught_up(&alice(), 2);
    script.say(&recv(&alice(), 4));
    script.wait(200);
    let (request, ..) = script.expect_sync();
    let (reason, tlvs) = (Reason::EpochMismatch, Tlvs::new());
    let (epoch, head, from, to, items) = (2, 4, 0, 0, Vec::new());
    script.say(&Packet::Synced(SyncedPacket { request, reason, epoch, head, from, to, items, tlvs }));
    script.wait(1_000);
    script.expect_list(b"");
    script.list(b"t2", &[conversation(&alice(), 2, 4, 3)]);
    assert_eq!(script.handed_out(), [4]);
}

#[test]
fn an_answer_from_another_epoch_is_not_handed_out() {
    let mut script = Script::caught_up(&alice(), 2);
    script.say(&recv(&alice(), 4));
    script.wait(200);
    let (request, ..) = script.expect_sync();
    script.epoch = 2;
    script.sync(&alice(), request, (3, 3), 4, None);
    assert_eq!(script.handed_out(), []);
    script.wait(1_000);
    script.expect_list(b"");
}

#[test]
fn an_empty_answer_is_asked_for_again_after_a_pause() {
    let mut script = Script::caught_up(&alice(), 2);
    script.say(&recv(&alice(), 4));
    script.wait(200);
    let (request, ..) = script.expect_sync();
    script.sync(&alice(), request, (3, 2), 2, None);
    assert_eq!(script.said(), []);
    let timeout = script.state.poll_timeout().unwrap();
    assert!(timeout > script.now_ms);
    script.wait(timeout - script.now_ms);
    assert_eq!(script.expect_sync().1, 3);
}

#[test]
fn a_list_token_that_is_not_known_is_dropped() {
    let mut script = Script::caught_up(&alice(), 2);
    script.reconnect();
    let said = script.said();
    let Some(Packet::List(list)) = said.last() else { panic!("{said:?}") };
    let (request, reason, tlvs) = (list.request, Reason::BadListToken, Tlvs::new());
    let (token, next, conversations) = (Bytes::new(), Bytes::new(), Vec::new());
    script.say(&Packet::Listed(ListedPacket { request, reason, token, next, conversations, tlvs }));
    script.expect_list(b"");
}

#[test]
fn lag_lists_again_and_pulls_what_was_dropped() {
    let mut script = Script::caught_up(&alice(), 2);
    script.say(&Packet::Lag(LagPacket { dropped: 3, tlvs: Tlvs::new() }));
    script.expect_list(b"t1");
    script.list(b"t2", &[conversation(&alice(), 1, 5, 2)]);
    let (request, from, to) = script.expect_sync();
    script.sync(&alice(), request, (from, to), 5, None);
    assert_eq!(script.handed_out(), [3, 4, 5]);
}

#[test]
fn an_app_that_takes_no_events_is_not_buried_and_misses_nothing() {
    let mut script = Script::caught_up(&alice(), 0);
    for seq in 1..=9_000 {
        script.say(&recv(&alice(), seq));
    }
    let mut seqs = script.handed_out();
    assert!(seqs.len() <= 1_100, "{}", seqs.len());
    while seqs.len() < 9_000 {
        let before = seqs.len();
        script.wait(1);
        for packet in script.said() {
            let Packet::Sync(sync) = packet else { panic!("{packet:?}") };
            script.sync(&alice(), sync.request, (sync.from, sync.to.min(sync.from + 49)), 9_000, None);
        }
        seqs.extend(script.handed_out());
        assert!(seqs.len() > before, "stuck at {before}");
    }
    assert_eq!(seqs, (1..=9_000).collect::<Vec<i64>>());
}

#[test]
fn acknowledgements_are_cumulative_and_batched() {
    let mut script = Script::caught_up(&alice(), 2);
    script.say(&recv(&alice(), 3));
    script.say(&recv(&alice(), 4));
    script.state.acknowledge(script.now_ms, &alice(), 3);
    script.state.acknowledge(script.now_ms, &alice(), 4);
    assert_eq!(script.said(), []);
    script.wait(200);
    assert!(matches!(&script.said()[..], [Packet::Recvack(ack)] if ack.seq == 4));
    script.wait(1_000);
    assert_eq!(script.said(), []);
}

#[test]
fn what_was_not_handed_out_cannot_be_acknowledged() {
    let mut script = Script::caught_up(&alice(), 2);
    script.say(&recv(&alice(), 3));
    script.state.acknowledge(script.now_ms, &alice(), 900);
    script.wait(200);
    assert!(matches!(&script.said()[..], [Packet::Recvack(ack)] if ack.seq == 3));
}

#[test]
fn an_acknowledgement_whose_connection_broke_is_told_again() {
    let mut script = Script::caught_up(&alice(), 2);
    script.say(&recv(&alice(), 3));
    script.state.acknowledge(script.now_ms, &alice(), 3);
    script.wait(200);
    assert!(matches!(&script.said()[..], [Packet::Recvack(_)]));
    script.reconnect();
    script.expect_list(b"t1");
    script.list(b"t2", &[]);
    script.wait(200);
    assert!(matches!(&script.said()[..], [Packet::Recvack(ack)] if ack.seq == 3));
}

#[test]
fn closing_waits_until_the_server_has_the_acknowledgements() {
    let mut script = Script::caught_up(&alice(), 2);
    script.say(&recv(&alice(), 3));
    script.state.acknowledge(script.now_ms, &alice(), 3);
    script.state.close();
    assert!(matches!(&script.said()[..], [Packet::Recvack(_), Packet::Ping(_)]));
    assert!(!script.session.is_closed());
    script.say(&Packet::Pong(Tlvs::new()));
    assert!(matches!(&script.said()[..], [Packet::Disconnect(bye)] if bye.reason == Reason::Ok));
    assert!(script.session.is_closed());
    assert!(matches!(script.events().last(), Some(ClientEvent::Closed { retry: Retry::Never, .. })));
}
