//! The client against a server played from a script over a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::{
    io,
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use postrider_client::{
    Address, Client, ClientEvent, CommandError, Connection, ConnectionError, Events, Retry, Tls,
    protocol::{
        Channel, From, Id, Image, Reason, SEND_WINDOW, Sender, SenderKind, Tlvs,
        frame::Decoder,
        packet::{
            ConnackPacket, ConnectPacket, Conversation, DisconnectPacket, Limits, ListedPacket, MembersPage, Packet,
            ReplyPacket, SendPacket, SendackPacket, groups::Member,
        },
        tag,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn channel() -> Channel {
    Channel::person(&id("alice"), &id("bob"))
}

/// Listens where the client connects.
struct Server {
    listener: TcpListener,
}

/// The server's end of one connection.
struct Peer {
    stream: TcpStream,
    decoder: Decoder,
    connect: Option<ConnectPacket>,
}

impl Server {
    async fn start() -> (Self, Address) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        (Self { listener }, address)
    }

    /// The next connection, its CONNECT read.
    async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut peer = Peer { stream, decoder: Decoder::new(), connect: None };
        let Some(Packet::Connect(connect)) = peer.hear().await else { panic!("no CONNECT") };
        peer.connect = Some(connect);
        peer
    }

    /// The next connection, accepted; with a device also listed, with nothing in it.
    async fn welcome(&self) -> Peer {
        let mut peer = self.accept().await;
        peer.say(&connack(Reason::Ok, b"")).await;
        if peer.connect.as_ref().unwrap().device.is_some() {
            let Some(Packet::List(list)) = peer.hear().await else { panic!("no LIST") };
            let (channel, request) = (channel(), list.request);
            let conversation = Conversation {
                channel,
                flags: 0,
                epoch: 1,
                head: 0,
                sync_from: 0,
                read: 0,
                unread: 0,
                mentions: 0,
                muted_until_ms: 0,
                cleared: 0,
                name: Bytes::new(),
                avatar: Bytes::new(),
                image: Bytes::new(),
            };
            let conversations = if list.token.is_empty() { vec![conversation] } else { Vec::new() };
            let (token, next) = (Bytes::from_static(b"t"), Bytes::new());
            let (reason, tlvs) = (Reason::Ok, Tlvs::new());
            peer.say(&Packet::Listed(ListedPacket { request, reason, token, next, conversations, tlvs })).await;
        }
        peer
    }
}

impl Peer {
    async fn say(&mut self, packet: &Packet) {
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next packet of the client; none at the end.
    async fn hear(&mut self) -> Option<Packet> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Packet::decode(frame).unwrap();
            }
            let mut piece = BytesMut::new();
            if self.stream.read_buf(&mut piece).await.unwrap() == 0 {
                return None;
            }
            self.decoder.feed(piece.freeze());
        }
    }

    async fn hear_send(&mut self) -> SendPacket {
        match self.hear().await {
            Some(Packet::Send(send)) => send,
            other => panic!("not SEND: {other:?}"),
        }
    }
}

fn connack(reason: Reason, detail: &'static [u8]) -> Packet {
    let limits = Limits { heartbeat_ms: 30_000, dead_ms: 90_000, ..Limits::default() };
    Packet::Connack(ConnackPacket {
        reason,
        version: 0,
        version_min: 0,
        version_max: 0,
        user: (reason == Reason::Ok).then(|| id("bob")),
        sender: Sender::issue(SenderKind::Kept, 5),
        server_time_ms: 1,
        limits,
        tlvs: if detail.is_empty() { Tlvs::new() } else { Tlvs::from_pairs([(tag::DETAIL, detail)]) },
    })
}

fn sendack(number: u64, reason: Reason, seq: u64) -> Packet {
    Packet::Sendack(SendackPacket { number, reason, seq, time_ms: 7, tlvs: Tlvs::new() })
}

fn recv(seq: u64) -> Packet {
    let (channel, sender) = (channel(), Sender::issue(SenderKind::OneShot, 1));
    let (from, body) = (From::Side(0), Bytes::from(format!("m{seq}")));
    Packet::Recv(Image {
        kind: 1,
        flags: 1,
        seq,
        time_ms: 9,
        channel,
        from,
        sender,
        number: seq,
        tlvs: Tlvs::new(),
        body,
    })
}

fn sender(address: Address) -> (Client, Events) {
    Client::builder(address, "token").build()
}

fn phone(address: Address) -> (Client, Events) {
    Client::builder(address, "token").device(id("phone")).build()
}

/// The next message; passes over what is told of the connection.
async fn message(events: &mut Events) -> Image {
    loop {
        if let ClientEvent::Message { image } = events.recv().await.expect("an event") {
            return image;
        }
    }
}

async fn closed(events: &mut Events) -> (Option<Reason>, Retry, String) {
    loop {
        if let ClientEvent::Closed { reason, retry, detail } = events.recv().await.expect("an event") {
            return (reason, retry, detail);
        }
    }
}

#[tokio::test]
async fn a_send_resolves_when_it_is_acknowledged() {
    let (server, address) = Server::start().await;
    let (client, _events) = sender(address);
    let send = tokio::spawn({
        let client = client.clone();
        async move { client.send(&client.channel("user:alice").await?, "hi", Default::default()).await }
    });
    let mut peer = server.welcome().await;
    assert!(peer.connect.as_ref().unwrap().device.is_none());
    let heard = peer.hear_send().await;
    assert_eq!((&heard.body[..], &heard.channel, heard.flags), (&b"hi"[..], &channel(), 1));
    peer.say(&sendack(heard.number, Reason::Ok, 12)).await;
    let sent = send.await.unwrap().unwrap();
    assert_eq!((sent.seq, sent.time_ms, sent.channel), (12, 7, channel()));
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason() {
    let (server, address) = Server::start().await;
    let (client, _events) = sender(address);
    let send = tokio::spawn(async move { client.send(&channel(), "hi", Default::default()).await });
    let mut peer = server.welcome().await;
    let heard = peer.hear_send().await;
    peer.say(&sendack(heard.number, Reason::NoChannel, 0)).await;
    let refused = send.await.unwrap().unwrap_err();
    assert_eq!(refused, CommandError::Refused { reason: Reason::NoChannel, detail: String::new() });
}

#[tokio::test]
async fn f24_what_was_not_acknowledged_goes_out_again_after_a_cut_under_its_number() {
    let (server, address) = Server::start().await;
    let (client, _events) = sender(address);
    let mut pending = Vec::new();
    for text in ["one", "two"] {
        pending.push(client.submit(&channel(), text, Default::default()).await.unwrap());
    }
    let mut peer = server.welcome().await;
    let first = [peer.hear_send().await, peer.hear_send().await];
    drop(peer);
    let mut peer = server.welcome().await;
    assert_eq!(peer.connect.as_ref().unwrap().sender, Sender::issue(SenderKind::Kept, 5));
    let again = [peer.hear_send().await, peer.hear_send().await];
    assert_eq!(first, again);
    for (seq, send) in (1..).zip(&again) {
        peer.say(&sendack(send.number, Reason::Ok, seq)).await;
    }
    for (seq, pending) in (1..).zip(pending) {
        assert_eq!(pending.await.unwrap().seq, seq);
    }
}

#[tokio::test]
async fn messages_come_in_order_and_once_across_connections() {
    let (server, address) = Server::start().await;
    let (_client, mut events) = phone(address);
    let mut peer = server.welcome().await;
    for seq in [1, 2, 2] {
        peer.say(&recv(seq)).await;
    }
    assert_eq!(message(&mut events).await.seq, 1);
    assert_eq!(message(&mut events).await.seq, 2);
    drop(peer);
    let mut peer = server.welcome().await;
    for seq in [2, 1, 3] {
        peer.say(&recv(seq)).await;
    }
    assert_eq!(message(&mut events).await.seq, 3);
}

#[tokio::test]
async fn close_waits_until_the_server_has_the_acknowledgements() {
    let (server, address) = Server::start().await;
    let (client, mut events) = phone(address);
    let mut peer = server.welcome().await;
    peer.say(&recv(1)).await;
    let image = message(&mut events).await;
    client.acknowledge(&image.channel, image.seq).await.unwrap();
    let close = tokio::spawn(async move { client.close().await });
    assert!(matches!(peer.hear().await, Some(Packet::Recvack(ack)) if ack.seq == 1));
    assert!(matches!(peer.hear().await, Some(Packet::Ping(_))));
    assert!(!close.is_finished());
    peer.say(&Packet::Pong(Tlvs::new())).await;
    assert!(matches!(peer.hear().await, Some(Packet::Disconnect(bye)) if bye.reason == Reason::Ok));
    assert!(peer.hear().await.is_none());
    close.await.unwrap();
    while events.recv().await.is_some() {}
}

#[tokio::test]
async fn a_client_without_handles_leaves() {
    let (server, address) = Server::start().await;
    let handles = sender(address);
    let mut peer = server.welcome().await;
    drop(handles);
    assert!(matches!(peer.hear().await, Some(Packet::Ping(_))));
    peer.say(&Packet::Pong(Tlvs::new())).await;
    assert!(matches!(peer.hear().await, Some(Packet::Disconnect(_))));
}

#[tokio::test]
async fn a09_who_was_replaced_does_not_come_back() {
    let (server, address) = Server::start().await;
    let (client, mut events) = phone(address);
    let mut peer = server.welcome().await;
    let pending = client.submit(&channel(), "hi", Default::default()).await.unwrap();
    peer.hear_send().await;
    peer.say(&Packet::Disconnect(DisconnectPacket { reason: Reason::Replaced, tlvs: Tlvs::new() })).await;
    assert_eq!(closed(&mut events).await.1, Retry::Never);
    assert!(events.recv().await.is_none());
    assert_eq!(pending.await, Err(CommandError::Closed));
    assert_eq!(client.send(&channel(), "x", Default::default()).await, Err(CommandError::Closed));
}

#[tokio::test]
async fn an_expired_token_is_replaced_by_the_app() {
    let (server, address) = Server::start().await;
    let (client, mut events) = sender(address);
    server.accept().await.say(&connack(Reason::TokenExpired, b"an hour ago")).await;
    let told = (Some(Reason::TokenExpired), Retry::NewToken, "an hour ago".to_owned());
    assert_eq!(closed(&mut events).await, told);
    client.set_token("fresh").await.unwrap();
    let peer = server.accept().await;
    assert_eq!(peer.connect.unwrap().token, "fresh");
}

#[tokio::test]
async fn an_app_that_takes_no_events_is_still_answered() {
    let (server, address) = Server::start().await;
    let (client, _events) = phone(address);
    let mut peer = server.welcome().await;
    for seq in 1..=5_000 {
        peer.say(&recv(seq)).await;
    }
    let pending = client.submit(&channel(), "hi", Default::default()).await.unwrap();
    let heard = loop {
        if let Some(Packet::Send(send)) = peer.hear().await {
            break send;
        }
    };
    peer.say(&sendack(heard.number, Reason::Ok, 5_001)).await;
    assert_eq!(pending.await.unwrap().seq, 5_001);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_here() {
    let (_server, address) = Server::start().await;
    let (client, _events) = sender(address);
    let refused = client.send(&channel(), vec![0; 65_537], Default::default()).await.unwrap_err();
    assert!(matches!(refused, CommandError::Refused { reason: Reason::BodyTooLarge, .. }));
}

#[tokio::test]
async fn what_goes_out_is_stored_first_and_goes_out_again_from_there() {
    let (server, address) = Server::start().await;
    let stored = Arc::new(Mutex::new(Bytes::new()));
    let start = |saved: Option<Bytes>| {
        let stored = stored.clone();
        let save = move |bytes: &[u8]| {
            *stored.lock().unwrap() = Bytes::copy_from_slice(bytes);
            Ok(())
        };
        Client::builder(address.clone(), "token").keep(saved, save).unwrap().build()
    };
    let (client, _events) = start(None);
    let _pending = client.submit(&channel(), "hi", Default::default()).await.unwrap();
    let mut peer = server.welcome().await;
    assert_eq!(peer.connect.as_ref().unwrap().sender, Sender::request(SenderKind::Kept));
    let first = peer.hear_send().await;
    // The process dies here: what counts is what was stored when the SEND was seen.
    let saved = stored.lock().unwrap().clone();
    let (_client, mut events) = start(Some(saved));
    let mut peer = server.welcome().await;
    assert_eq!(peer.connect.as_ref().unwrap().sender, Sender::issue(SenderKind::Kept, 5));
    assert_eq!(peer.hear_send().await, first);
    peer.say(&sendack(first.number, Reason::Ok, 1)).await;
    loop {
        if let Some(ClientEvent::Sent { number, .. }) = events.recv().await {
            assert_eq!(number, first.number);
            break;
        }
    }
}

#[tokio::test]
async fn what_cannot_be_stored_does_not_go_out() {
    let (server, address) = Server::start().await;
    let save = |_: &[u8]| Err(io::Error::other("disk full"));
    let (client, mut events) = Client::builder(address, "token").keep(None, save).unwrap().build();
    let pending = client.submit(&channel(), "hi", Default::default()).await.unwrap();
    let (mut stream, _) = server.listener.accept().await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(pending.await, Err(CommandError::Closed));
    assert!(closed(&mut events).await.2.contains("disk full"));
}

#[tokio::test]
async fn members_are_asked_for_page_by_page() {
    let (server, address) = Server::start().await;
    let (client, _events) = sender(address);
    let ask = tokio::spawn(async move { client.members(&id("g1")).await });
    let mut peer = server.welcome().await;
    for (member, fields_asked, more) in [("alice", &b"\x02g1\x00"[..], true), ("bob", b"\x02g1\x05alice", false)] {
        let Some(Packet::Call(call)) = peer.hear().await else { panic!("no CALL") };
        assert_eq!((&call.fields[..], call.number, call.oldest), (fields_asked, 0, 0));
        let mut fields = Vec::new();
        let members = vec![Member {
            user: id(member),
            role: 0,
            joined: 1,
            joined_ms: 0,
            muted_until_ms: 0,
            nickname: Bytes::new(),
            inviter: None,
        }];
        MembersPage { members, more }.write(&mut fields);
        let (request, reason, fields) = (call.request, Reason::Ok, fields.into());
        peer.say(&Packet::Reply(ReplyPacket { request, reason, seq: 0, time_ms: 0, fields, tlvs: Tlvs::new() })).await;
    }
    assert_eq!(ask.await.unwrap().unwrap(), [(id("alice"), 0), (id("bob"), 0)]);
}

#[tokio::test]
async fn no_more_than_a_window_is_on_the_wire() {
    let (server, address) = Server::start().await;
    let (client, _events) = sender(address);
    let mut pending = Vec::new();
    for _ in 0..100 {
        pending.push(client.submit(&channel(), "x", Default::default()).await.unwrap());
    }
    let mut peer = server.welcome().await;
    let window = SEND_WINDOW as u64;
    for number in 1..=window {
        assert_eq!(peer.hear_send().await.number, number);
    }
    peer.say(&sendack(1, Reason::Ok, 1)).await;
    let next = peer.hear_send().await;
    assert_eq!((next.number, next.oldest), (window + 1, 2));
}

#[tokio::test]
async fn a_bare_connection_speaks_packets_and_tells_why_it_was_refused() {
    let (server, address) = Server::start().await;
    let connect = || ConnectPacket {
        version_min: 0,
        version_max: 0,
        token: Bytes::from_static(b"token"),
        device: None,
        sender: Sender::request(SenderKind::OneShot),
        tlvs: Tlvs::new(),
    };
    let script = tokio::spawn(async move {
        server.accept().await.say(&connack(Reason::Unauthenticated, b"bad signature")).await;
        let mut peer = server.welcome().await;
        assert!(matches!(peer.hear().await, Some(Packet::Ping(_))));
        peer.say(&Packet::Pong(Tlvs::new())).await;
    });
    let tls = Tls::public();
    let refused = Connection::open(&address, &tls, connect()).await.unwrap_err();
    assert!(matches!(&refused, ConnectionError::Refused(connack) if connack.reason == Reason::Unauthenticated));
    assert!(refused.to_string().contains("UNAUTHENTICATED, bad signature"), "{refused}");
    let (mut connection, connack) = Connection::open(&address, &tls, connect()).await.unwrap();
    assert_eq!(connack.user, Some(id("bob")));
    connection.send(&Packet::Ping(Tlvs::new())).await.unwrap();
    assert!(matches!(connection.recv().await, Ok(Packet::Pong(_))));
    script.await.unwrap();
    assert!(matches!(connection.recv().await, Err(ConnectionError::Ended)));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let (server, address) = Server::start().await;
    drop(server);
    let (_client, mut events) = sender(address.clone());
    let (reason, retry, detail) = closed(&mut events).await;
    assert_eq!((reason, retry), (None, Retry::BackOff { at_least_ms: 0 }));
    assert!(detail.contains(&address.to_string()), "{detail}");
}
