//! The client's state machines against a server played from a script: frames in, frames and events out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use bytes::Bytes;
use postrider_protocol::{
    Channel, From, GapReason, Id, Image, Method, Reason, SEND_WINDOW, Sender, SenderKind, Tlvs,
    frame::Decoder,
    packet::{
        ConnackPacket, Conversation, DisconnectPacket, Gap, LagPacket, Limits, ListedPacket, Packet, ReplyPacket,
        SendackPacket, SyncItem, SyncedPacket,
    },
    session::client::{ClientEvent, ClientSession, ClientState, Retry},
    tag,
};

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

/// Alice's channel with Bob; the client under test is Bob's phone unless a test says otherwise.
fn alice() -> Channel {
    Channel::person(&id("alice"), &id("bob"))
}

fn group() -> Channel {
    Channel::group(&id("g1"))
}

fn issued(stamp: u64) -> Sender {
    Sender::issue(SenderKind::Kept, stamp)
}

fn image(channel: &Channel, seq: u64) -> Image {
    let from = From::of(&id("alice"), channel);
    let (sender, number) = (Sender::issue(SenderKind::OneShot, 7), seq);
    let body = Bytes::from(format!("m{seq}"));
    let channel = channel.clone();
    Image { kind: 1, flags: 1, seq, time_ms: 1_000 + seq, channel, from, sender, number, tlvs: Tlvs::new(), body }
}

fn recv(channel: &Channel, seq: u64) -> Packet {
    Packet::Recv(image(channel, seq))
}

fn conversation(channel: &Channel, epoch: u32, head: u64, sync_from: u64) -> Conversation {
    Conversation { channel: channel.clone(), flags: 0, epoch, head, sync_from, read: 0, image: Bytes::new() }
}

fn sendack(number: u64, seq: u64) -> Packet {
    let (reason, time_ms, tlvs) = (Reason::Ok, 2_000 + seq, Tlvs::new());
    Packet::Sendack(SendackPacket { number, reason, seq, time_ms, tlvs })
}

fn refusal(number: u64, reason: Reason, after: Option<u32>) -> Packet {
    let after = after.map(u32::to_be_bytes);
    let tlvs = Tlvs::from_pairs(after.iter().map(|after| (tag::RETRY_AFTER_MS, &after[..])));
    Packet::Sendack(SendackPacket { number, reason, seq: 0, time_ms: 0, tlvs })
}

/// A client and the script's end of its connection.
struct Script {
    state: ClientState,
    session: ClientSession,
    now_ms: u64,
    sender: Sender,
    /// What the client said since the last look, and the request of its last LIST.
    heard: Vec<Packet>,
    listing: u32,
    /// The epoch that SYNCED tells.
    epoch: u32,
}

impl Script {
    fn start(state: ClientState) -> Self {
        let mut script = Self::begin(state, 0, issued(9));
        let Some(Packet::Connect(connect)) = script.said().pop() else { panic!("no CONNECT") };
        if !connect.sender.is_request() {
            script.sender = connect.sender;
        }
        script.accept();
        script
    }

    fn begin(mut state: ClientState, now_ms: u64, sender: Sender) -> Self {
        let session = state.connect(now_ms, Bytes::from_static(b"token"), Tlvs::new());
        Self { state, session, now_ms, sender, heard: Vec::new(), listing: 0, epoch: 1 }
    }

    /// A client with a device, connected, that has listed: of `channel` it holds everything up to `at`.
    fn caught_up(channel: &Channel, at: u64) -> Self {
        let mut script = Self::start(ClientState::new(Some(id("phone")), SenderKind::Kept));
        script.expect_list(b"");
        script.list(b"t1", &[conversation(channel, 1, at, at)]);
        assert!(matches!(script.events().last(), Some(ClientEvent::CaughtUp)));
        script
    }

    /// The connection breaks and a new one is accepted.
    fn reconnect(&mut self) {
        self.state.handle_lost("cut");
        assert!(self.events().iter().any(|event| matches!(event, ClientEvent::Closed { .. })));
        self.session = self.state.connect(self.now_ms, Bytes::from_static(b"token"), Tlvs::new());
        assert!(matches!(self.said()[..], [Packet::Connect(_)]));
        self.accept();
    }

    fn accept(&mut self) {
        let limits =
            Limits { heartbeat_ms: 30_000, dead_ms: 90_000, frame_bytes: 131_072, body_bytes: 65_536, sync_page: 50 };
        self.say(&Packet::Connack(ConnackPacket {
            reason: Reason::Ok,
            version: 0,
            version_min: 0,
            version_max: 0,
            user: Some(id("bob")),
            sender: self.sender,
            server_time_ms: 5_000,
            limits,
            tlvs: Tlvs::new(),
        }));
    }

    /// The server says this.
    fn say(&mut self, packet: &Packet) {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        self.session.handle_bytes(bytes.into());
        self.state.drive(&mut self.session, self.now_ms);
    }

    /// Time passes, and timers run.
    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        if let Err(failure) = self.session.handle_timeout(self.now_ms) {
            self.state.handle_failure(failure);
        }
        self.state.drive(&mut self.session, self.now_ms);
    }

    /// What the client said since the last look.
    fn said(&mut self) -> Vec<Packet> {
        self.hear();
        std::mem::take(&mut self.heard)
    }

    fn hear(&mut self) {
        self.state.drive(&mut self.session, self.now_ms);
        let mut decoder = Decoder::new();
        decoder.feed(self.session.take_output().into());
        while let Some(frame) = decoder.next_frame().unwrap() {
            let packet = Packet::decode(frame).unwrap().unwrap();
            if let Packet::List(list) = &packet {
                self.listing = list.request;
            }
            self.heard.push(packet);
        }
    }

    fn events(&mut self) -> Vec<ClientEvent> {
        core::iter::from_fn(|| self.state.poll_event()).collect()
    }

    /// The seqs handed out since the last look: images as they are, gaps negative.
    fn handed_out(&mut self) -> Vec<i64> {
        let mut seqs = Vec::new();
        for event in self.events() {
            match event {
                ClientEvent::Message { image } => seqs.push(i64::try_from(image.seq).unwrap()),
                ClientEvent::Gap { gap, .. } => {
                    seqs.extend((gap.from..=gap.to).map(|seq| -i64::try_from(seq).unwrap()))
                }
                _ => {}
            }
        }
        seqs
    }

    fn expect_list(&mut self, token: &[u8]) {
        let said = self.said();
        assert!(
            said.iter().any(|packet| matches!(packet, Packet::List(list) if list.token == token)),
            "no LIST of {token:?} in {said:?}"
        );
    }

    /// Answers the last LIST with one page.
    fn list(&mut self, token: &'static [u8], conversations: &[Conversation]) {
        self.list_page(token, b"", conversations);
    }

    fn list_page(&mut self, token: &'static [u8], next: &'static [u8], conversations: &[Conversation]) {
        self.hear();
        self.heard.retain(|packet| !matches!(packet, Packet::List(_)));
        let (token, next) = (Bytes::from_static(token), Bytes::from_static(next));
        let (request, reason, conversations) = (self.listing, Reason::Ok, conversations.to_vec());
        self.say(&Packet::Listed(ListedPacket { request, reason, token, next, conversations, tlvs: Tlvs::new() }));
    }

    fn expect_sync(&mut self) -> (u32, u64, u64) {
        let said = self.said();
        match &said[..] {
            [Packet::Sync(sync)] => (sync.request, sync.from, sync.to),
            other => panic!("not one SYNC: {other:?}"),
        }
    }

    /// Answers SYNC `request` with the images `from..=to`, except those that lie in `gap`.
    fn sync(&mut self, channel: &Channel, request: u32, (from, to): (u64, u64), head: u64, gap: Option<Gap>) {
        let mut items = Vec::new();
        let mut seq = from;
        while seq <= to {
            if let Some(gap) = gap.filter(|gap| gap.from == seq) {
                items.push(SyncItem::Gap(gap));
                seq = gap.to + 1;
                continue;
            }
            let mut bytes = Vec::new();
            image(channel, seq).write(&mut bytes);
            items.push(SyncItem::Image(bytes.into()));
            seq += 1;
        }
        let (reason, epoch, tlvs) = (Reason::Ok, self.epoch, Tlvs::new());
        self.say(&Packet::Synced(SyncedPacket { request, reason, epoch, head, from, to, items, tlvs }));
    }

    fn text(&mut self, channel: &Channel, text: &str) -> u64 {
        let body = Bytes::copy_from_slice(text.as_bytes());
        self.state.send(channel.clone(), 1, body, Tlvs::new()).unwrap()
    }

    /// The numbers of the SENDs said since the last look.
    fn sent(&mut self) -> Vec<u64> {
        let number = |packet| if let Packet::Send(send) = packet { Some(send.number) } else { None };
        self.said().into_iter().filter_map(number).collect()
    }
}

// Pulling and pushing.

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

// Commands.

#[test]
fn an_answered_command_fills_its_seq() {
    let mut script = Script::caught_up(&alice(), 2);
    let number = script.text(&alice(), "hi");
    assert_eq!(script.sent(), [number]);
    script.say(&sendack(number, 3));
    let sent = ClientEvent::Sent { number, channel: alice(), seq: 3, time_ms: 2_003 };
    assert_eq!(script.events(), [sent]);
    script.say(&recv(&alice(), 4));
    assert_eq!(script.handed_out(), [4]);
}

#[test]
fn an_answer_above_messages_still_on_their_way_costs_no_sync() {
    let mut script = Script::caught_up(&alice(), 2);
    let number = script.text(&alice(), "hi");
    script.sent();
    script.say(&sendack(number, 5));
    script.say(&recv(&alice(), 3));
    script.say(&recv(&alice(), 4));
    script.say(&recv(&alice(), 6));
    assert_eq!(script.handed_out(), [3, 4, 6]);
    script.wait(10_000);
    assert!(!script.said().iter().any(|packet| matches!(packet, Packet::Sync(_))));
}

#[test]
fn no_more_than_a_window_is_in_flight_and_numbers_span_no_more() {
    let mut script = Script::caught_up(&alice(), 0);
    for _ in 0..100 {
        script.text(&alice(), "x");
    }
    let window = SEND_WINDOW as u64;
    assert_eq!(script.sent(), (1..=window).collect::<Vec<_>>());
    for number in 2..=window {
        script.say(&sendack(number, number));
    }
    assert_eq!(script.sent(), [], "number 1 is still open");
    script.say(&sendack(1, 1));
    assert_eq!(script.sent(), (window + 1..=100).collect::<Vec<_>>());
}

#[test]
fn f24_after_a_cut_unanswered_commands_go_out_again_in_order_under_the_same_numbers() {
    let mut script = Script::caught_up(&alice(), 0);
    let numbers: Vec<u64> = (0..5).map(|_| script.text(&alice(), "x")).collect();
    assert_eq!(script.sent(), numbers);
    script.say(&sendack(2, 1));
    script.reconnect();
    let said = script.said();
    let sends: Vec<(u64, u64)> = said
        .iter()
        .filter_map(|packet| if let Packet::Send(send) = packet { Some((send.number, send.oldest)) } else { None })
        .collect();
    assert_eq!(sends, [(1, 1), (3, 1), (4, 1), (5, 1)]);
}

#[test]
fn a_refusal_to_come_again_keeps_the_order() {
    let mut script = Script::caught_up(&alice(), 0);
    for _ in 0..4 {
        script.text(&alice(), "x");
    }
    assert_eq!(script.sent(), [1, 2, 3, 4]);
    script.say(&sendack(1, 1));
    script.say(&refusal(2, Reason::RateLimited, Some(300)));
    script.wait(300);
    assert_eq!(script.sent(), [], "3 and 4 are not answered");
    script.say(&refusal(3, Reason::RateLimited, Some(300)));
    script.say(&refusal(4, Reason::RateLimited, Some(300)));
    assert_eq!(script.sent(), []);
    script.wait(299);
    assert_eq!(script.sent(), []);
    let timeout = script.state.poll_timeout().unwrap();
    script.wait(timeout - script.now_ms);
    assert_eq!(script.sent(), [2], "one at first");
    script.say(&sendack(2, 2));
    assert_eq!(script.sent(), [3, 4]);
}

#[test]
fn a_refusal_for_good_is_told_and_the_rest_goes_on() {
    let mut script = Script::caught_up(&alice(), 0);
    let number = script.text(&group(), "x");
    let next = script.text(&alice(), "y");
    script.sent();
    script.say(&refusal(number, Reason::NoChannel, None));
    script.say(&sendack(next, 1));
    let events = script.events();
    assert!(
        matches!(
            &events[..],
            [ClientEvent::Refused { number: 1, reason: Reason::NoChannel, .. }, ClientEvent::Sent { .. }]
        ),
        "{events:?}"
    );
}

#[test]
fn f29_a_body_over_the_limit_is_refused_before_it_is_sent() {
    let mut state = ClientState::new(None, SenderKind::OneShot);
    let body = |len| Bytes::from(vec![0; len]);
    assert_eq!(state.send(alice(), 1, body(65_537), Tlvs::new()), Err(Reason::BodyTooLarge));
    assert_eq!(state.send(alice(), 1, body(65_536), Tlvs::new()), Ok(1));
}

#[test]
fn an_expired_sender_is_replaced_and_only_what_cannot_be_stored_goes_under_the_new_one() {
    let mut script = Script::caught_up(&alice(), 0);
    script.text(&alice(), "once on the wire, without an answer");
    script.sent();
    script.reconnect();
    script.text(&group(), "never on the wire before");
    assert_eq!(script.sent(), [1, 2]);
    script.say(&refusal(1, Reason::SenderExpired, None));
    script.text(&group(), "after the refusal");
    assert_eq!(script.sent(), []);
    script.say(&refusal(2, Reason::SenderExpired, None));
    assert!(matches!(script.said().last(), Some(Packet::Disconnect(_))));
    let events = script.events();
    assert!(matches!(events.last(), Some(ClientEvent::Closed { retry: Retry::Now, .. })), "{events:?}");
    assert!(events.contains(&ClientEvent::PerhapsSent { sender: issued(9), number: 1 }), "{events:?}");

    let mut script = Script::begin(script.state, script.now_ms, issued(10));
    assert!(
        matches!(&script.said()[..], [Packet::Connect(connect)] if connect.sender == Sender::request(SenderKind::Kept))
    );
    script.accept();
    assert_eq!(script.sent(), [2, 3]);
}

#[test]
fn another_sender_than_asked_for_leaves_what_was_on_the_wire_open() {
    let mut script = Script::caught_up(&alice(), 0);
    script.text(&alice(), "x");
    script.sent();
    script.sender = issued(11);
    script.reconnect();
    assert!(script.events().contains(&ClientEvent::PerhapsSent { sender: issued(9), number: 1 }));
    assert_eq!(script.sent(), []);
}

#[test]
fn an_own_image_from_a_sync_is_the_answer_to_its_command() {
    let mut script = Script::caught_up(&alice(), 2);
    let number = script.text(&alice(), "x");
    script.sent();
    script.reconnect();
    script.said();
    script.list(b"t2", &[conversation(&alice(), 1, 3, 2)]);
    let (request, ..) = script.expect_sync();
    let own = Image { sender: script.sender, number, ..image(&alice(), 3) };
    let mut bytes = Vec::new();
    own.write(&mut bytes);
    let (items, reason, tlvs) = (vec![SyncItem::Image(bytes.into())], Reason::Ok, Tlvs::new());
    script.say(&Packet::Synced(SyncedPacket { request, reason, epoch: 1, head: 3, from: 3, to: 3, items, tlvs }));
    script.say(&sendack(number, 3));
    let events = script.events();
    let sent = events.iter().filter(|event| matches!(event, ClientEvent::Sent { seq: 3, .. })).count();
    assert_eq!(sent, 1, "{events:?}");
    assert!(!events.iter().any(|event| matches!(event, ClientEvent::Message { .. })), "{events:?}");
}

#[test]
fn calls_share_the_numbers_and_questions_are_asked_again() {
    let mut script = Script::caught_up(&alice(), 0);
    let create = script.state.call(group(), Method::GroupCreate, Bytes::from_static(b"fields")).unwrap();
    let send = script.text(&group(), "first");
    let question = script.state.ask(Method::GroupMembers, Bytes::from_static(b"who")).unwrap();
    assert_eq!((create, send), (1, 2));
    let said = script.said();
    let [Packet::Call(call), Packet::Send(_), Packet::Call(asked)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((call.number, call.oldest, asked.number, asked.oldest), (1, 1, 0, 0));
    let reply = |request, seq| {
        let (reason, fields, tlvs) = (Reason::Ok, Bytes::new(), Tlvs::new());
        Packet::Reply(ReplyPacket { request, reason, seq, time_ms: 9, fields, tlvs })
    };
    script.say(&reply(call.request, 1));
    assert!(matches!(&script.events()[..], [ClientEvent::Sent { number: 1, seq: 1, .. }]));
    script.reconnect();
    let said = script.said();
    let again = said.iter().find_map(|packet| match packet {
        Packet::Call(call) if call.number == 0 => Some(call.request),
        _ => None,
    });
    script.say(&reply(again.unwrap(), 0));
    let events = script.events();
    assert!(events.iter().any(|e| matches!(e, ClientEvent::Reply { question: q, .. } if *q == question)), "{events:?}");
}

// The life of a connection.

#[test]
fn silence_is_broken_by_ping_and_ends_in_timeout() {
    let mut script = Script::caught_up(&alice(), 0);
    assert_eq!(script.session.poll_timeout(), Some(30_000));
    script.wait(30_000);
    assert!(matches!(&script.said()[..], [Packet::Ping(_)]));
    script.say(&Packet::Pong(Tlvs::new()));
    script.wait(30_000);
    script.wait(30_000);
    assert!(matches!(&script.said()[..], [Packet::Ping(_), Packet::Ping(_)]));
    script.wait(30_000);
    let events = script.events();
    assert!(
        matches!(
            events.last(),
            Some(ClientEvent::Closed { reason: Some(Reason::Timeout), retry: Retry::BackOff { .. }, .. })
        ),
        "{events:?}"
    );
}

#[test]
fn a_ping_is_answered() {
    let mut script = Script::caught_up(&alice(), 0);
    script.say(&Packet::Ping(Tlvs::new()));
    assert!(matches!(&script.said()[..], [Packet::Pong(_)]));
}

#[test]
fn a_server_that_does_not_answer_connect_is_given_up_after_ten_seconds() {
    let mut script = Script::begin(ClientState::new(None, SenderKind::OneShot), 0, issued(9));
    script.wait(9_999);
    assert_eq!(script.events(), []);
    script.wait(1);
    assert!(matches!(&script.events()[..], [ClientEvent::Closed { reason: Some(Reason::Timeout), .. }]));
}

#[test]
fn what_an_end_means() {
    let ends = [
        (Reason::Replaced, Retry::Never),
        (Reason::ProtocolViolation, Retry::Never),
        (Reason::TokenExpired, Retry::NewToken),
        (Reason::Shutdown, Retry::BackOff { at_least_ms: 700 }),
        (Reason::SlowConsumer, Retry::BackOff { at_least_ms: 700 }),
    ];
    for (reason, expected) in ends {
        let mut script = Script::caught_up(&alice(), 0);
        let tlvs = Tlvs::from_pairs([(tag::RETRY_AFTER_MS, &700_u32.to_be_bytes()[..]), (tag::DETAIL, b"because")]);
        script.say(&Packet::Disconnect(DisconnectPacket { reason, tlvs }));
        let detail = "because".to_string();
        assert_eq!(script.events(), [ClientEvent::Closed { reason: Some(reason), retry: expected, detail }]);
        assert!(script.session.is_closed());
    }
}

#[test]
fn a_state_is_not_used_for_another_user() {
    let mut script = Script::caught_up(&alice(), 0);
    let mut bytes = Vec::new();
    script.state.save(&mut bytes);
    script = Script::begin(ClientState::load(bytes.into()).unwrap(), 0, issued(9));
    script.said();
    let mut connack = ConnackPacket {
        reason: Reason::Ok,
        version: 0,
        version_min: 0,
        version_max: 0,
        user: Some(id("carol")),
        sender: issued(9),
        server_time_ms: 0,
        limits: Limits::default(),
        tlvs: Tlvs::new(),
    };
    script.say(&Packet::Connack(connack.clone()));
    assert!(matches!(&script.events()[..], [ClientEvent::Closed { retry: Retry::NewToken, .. }]));
    assert!(script.session.is_closed());
    connack.user = None;
    let mut script = Script::begin(ClientState::new(None, SenderKind::OneShot), 0, issued(9));
    script.say(&Packet::Connack(connack));
    assert!(script.session.is_closed());
}

#[test]
fn a_saved_state_goes_on_where_the_app_was() {
    let mut script = Script::caught_up(&alice(), 2);
    script.say(&recv(&alice(), 3));
    script.say(&recv(&alice(), 4));
    script.state.acknowledge(script.now_ms, &alice(), 3);
    let number = script.text(&alice(), "unanswered");
    script.state.call(group(), Method::GroupCreate, Bytes::from_static(b"f")).unwrap();
    let mut bytes = Vec::new();
    script.state.save(&mut bytes);
    for cut in 0..bytes.len() {
        assert!(ClientState::load(Bytes::copy_from_slice(&bytes[..cut])).is_err(), "cut at {cut}");
    }

    let mut script = Script::start(ClientState::load(bytes.into()).unwrap());
    let said = script.said();
    let Some(Packet::Send(send)) = said.first() else { panic!("{said:?}") };
    assert_eq!((send.number, send.oldest, &send.body[..]), (number, number, &b"unanswered"[..]));
    assert!(said.iter().any(|packet| matches!(packet, Packet::List(list) if list.token == b"t1"[..])));
    assert_eq!(script.text(&alice(), "next"), number + 2);
    script.list(b"t2", &[]);
    let said = script.said();
    let Some(Packet::Sync(sync)) = said.last() else { panic!("{said:?}") };
    assert_eq!((sync.from, sync.to, sync.epoch), (4, 4, 1), "what was not acknowledged comes again");
}

#[test]
fn f05_frames_cut_anywhere_mean_the_same() {
    let mut whole = Vec::new();
    for seq in 3..=6 {
        recv(&alice(), seq).encode(&mut whole);
    }
    for step in [1, 2, 3, 7, 50, whole.len()] {
        let mut script = Script::caught_up(&alice(), 2);
        for piece in whole.chunks(step) {
            script.session.handle_bytes(Bytes::copy_from_slice(piece));
            script.state.drive(&mut script.session, 0);
        }
        assert_eq!(script.handed_out(), [3, 4, 5, 6], "{step}");
    }
}

#[test]
fn f08_a_broken_frame_ends_the_connection_and_nothing_of_it_counts() {
    let mut script = Script::caught_up(&alice(), 2);
    let mut bytes = Vec::new();
    recv(&alice(), 3).encode(&mut bytes);
    *bytes.last_mut().unwrap() ^= 1;
    script.session.handle_bytes(bytes.into());
    let said = script.said();
    assert!(matches!(&said[..], [Packet::Disconnect(bye)] if bye.reason == Reason::BadCrc), "{said:?}");
    assert!(matches!(
        &script.events()[..],
        [ClientEvent::Closed { reason: Some(Reason::BadCrc), retry: Retry::BackOff { .. }, .. }]
    ));
}
