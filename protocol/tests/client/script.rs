//! The server played from a script.

use bytes::Bytes;
use postrider_protocol::{
    Channel, From, Id, Image, Reason, Sender, SenderKind, Tlvs,
    frame::Decoder,
    packet::{ConnackPacket, Conversation, Gap, Limits, ListedPacket, Packet, SendackPacket, SyncItem, SyncedPacket},
    session::client::{ClientEvent, ClientSession, ClientState},
    tag,
};

pub fn id(text: &str) -> Id {
    text.parse().unwrap()
}

/// Alice's channel with Bob; the client under test is Bob's phone unless a test says otherwise.
pub fn alice() -> Channel {
    Channel::person(&id("alice"), &id("bob"))
}

pub fn group() -> Channel {
    Channel::group(&id("g1"))
}

pub fn issued(stamp: u64) -> Sender {
    Sender::issue(SenderKind::Kept, stamp)
}

pub fn image(channel: &Channel, seq: u64) -> Image {
    let from = From::of(&id("alice"), channel);
    let (sender, number) = (Sender::issue(SenderKind::OneShot, 7), seq);
    let body = Bytes::from(format!("m{seq}"));
    let channel = channel.clone();
    Image { kind: 1, flags: 1, seq, time_ms: 1_000 + seq, channel, from, sender, number, tlvs: Tlvs::new(), body }
}

pub fn recv(channel: &Channel, seq: u64) -> Packet {
    Packet::Recv(image(channel, seq))
}

pub fn conversation(channel: &Channel, epoch: u32, head: u64, sync_from: u64) -> Conversation {
    Conversation {
        channel: channel.clone(),
        flags: 0,
        epoch,
        head,
        sync_from,
        read: 0,
        unread: 0,
        mentions: 0,
        muted_until_ms: 0,
        cleared: 0,
        name: Bytes::new(),
        avatar: Bytes::new(),
        image: Bytes::new(),
    }
}

pub fn sendack(number: u64, seq: u64) -> Packet {
    let (reason, time_ms, tlvs) = (Reason::Ok, 2_000 + seq, Tlvs::new());
    Packet::Sendack(SendackPacket { number, reason, seq, time_ms, tlvs })
}

pub fn refusal(number: u64, reason: Reason, after: Option<u32>) -> Packet {
    let after = after.map(u32::to_be_bytes);
    let tlvs = Tlvs::from_pairs(after.iter().map(|after| (tag::RETRY_AFTER_MS, &after[..])));
    Packet::Sendack(SendackPacket { number, reason, seq: 0, time_ms: 0, tlvs })
}

/// A client and the script's end of its connection.
pub struct Script {
    pub state: ClientState,
    pub session: ClientSession,
    pub now_ms: u64,
    pub sender: Sender,
    /// What the client said since the last look, and the request of its last LIST.
    pub heard: Vec<Packet>,
    pub listing: u32,
    /// The epoch that SYNCED tells.
    pub epoch: u32,
}

impl Script {
    pub fn start(state: ClientState) -> Self {
        let mut script = Self::begin(state, 0, issued(9));
        let Some(Packet::Connect(connect)) = script.said().pop() else { panic!("no CONNECT") };
        if !connect.sender.is_request() {
            script.sender = connect.sender;
        }
        script.accept();
        script
    }

    pub fn begin(mut state: ClientState, now_ms: u64, sender: Sender) -> Self {
        let session = state.connect(now_ms, Bytes::from_static(b"token"), Tlvs::new());
        Self { state, session, now_ms, sender, heard: Vec::new(), listing: 0, epoch: 1 }
    }

    /// A client with a device, connected, that has listed: of `channel` it holds everything up to `at`.
    pub fn caught_up(channel: &Channel, at: u64) -> Self {
        let mut script = Self::start(ClientState::new(Some(id("phone")), SenderKind::Kept));
        script.expect_list(b"");
        script.list(b"t1", &[conversation(channel, 1, at, at)]);
        assert!(matches!(script.events().last(), Some(ClientEvent::CaughtUp)));
        script
    }

    /// The connection breaks and a new one is accepted.
    pub fn reconnect(&mut self) {
        self.state.handle_lost("cut");
        assert!(self.events().iter().any(|event| matches!(event, ClientEvent::Closed { .. })));
        self.session = self.state.connect(self.now_ms, Bytes::from_static(b"token"), Tlvs::new());
        assert!(matches!(self.said()[..], [Packet::Connect(_)]));
        self.accept();
    }

    pub fn accept(&mut self) {
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
    pub fn say(&mut self, packet: &Packet) {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        self.session.handle_bytes(bytes.into());
        self.state.drive(&mut self.session, self.now_ms);
    }

    /// Time passes, and timers run.
    pub fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        if let Err(failure) = self.session.handle_timeout(self.now_ms) {
            self.state.handle_failure(failure);
        }
        self.state.drive(&mut self.session, self.now_ms);
    }

    /// What the client said since the last look.
    pub fn said(&mut self) -> Vec<Packet> {
        self.hear();
        std::mem::take(&mut self.heard)
    }

    pub fn hear(&mut self) {
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

    pub fn events(&mut self) -> Vec<ClientEvent> {
        core::iter::from_fn(|| self.state.poll_event()).collect()
    }

    /// The seqs handed out since the last look: images as they are, gaps negative.
    pub fn handed_out(&mut self) -> Vec<i64> {
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

    pub fn expect_list(&mut self, token: &[u8]) {
        let said = self.said();
        assert!(
            said.iter().any(|packet| matches!(packet, Packet::List(list) if list.token == token)),
            "no LIST of {token:?} in {said:?}"
        );
    }

    /// Answers the last LIST with one page.
    pub fn list(&mut self, token: &'static [u8], conversations: &[Conversation]) {
        self.list_page(token, b"", conversations);
    }

    pub fn list_page(&mut self, token: &'static [u8], next: &'static [u8], conversations: &[Conversation]) {
        self.hear();
        self.heard.retain(|packet| !matches!(packet, Packet::List(_)));
        let (token, next) = (Bytes::from_static(token), Bytes::from_static(next));
        let (request, reason, conversations) = (self.listing, Reason::Ok, conversations.to_vec());
        self.say(&Packet::Listed(ListedPacket { request, reason, token, next, conversations, tlvs: Tlvs::new() }));
    }

    pub fn expect_sync(&mut self) -> (u32, u64, u64) {
        let said = self.said();
        match &said[..] {
            [Packet::Sync(sync)] => (sync.request, sync.from, sync.to),
            other => panic!("not one SYNC: {other:?}"),
        }
    }

    /// Answers SYNC `request` with the images `from..=to`, except those that lie in `gap`.
    pub fn sync(&mut self, channel: &Channel, request: u32, (from, to): (u64, u64), head: u64, gap: Option<Gap>) {
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

    pub fn text(&mut self, channel: &Channel, text: &str) -> u64 {
        let body = Bytes::copy_from_slice(text.as_bytes());
        self.state.send(channel.clone(), 1, body, Tlvs::new()).unwrap()
    }

    /// The numbers of the SENDs said since the last look.
    pub fn sent(&mut self) -> Vec<u64> {
        let number = |packet| if let Packet::Send(send) = packet { Some(send.number) } else { None };
        self.said().into_iter().filter_map(number).collect()
    }
}
