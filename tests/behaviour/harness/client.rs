//! A blocking client that does nothing by itself.

use std::{collections::VecDeque, io};

use bytes::Bytes;
use postrider::auth::Claims;
use postrider_protocol::{
    Channel, HEADER_BYTES, Id, Image, Method, Reason, Sender, SenderKind, Tlvs,
    frame::Decoder,
    image_flag,
    packet::{
        CallPacket, ConnackPacket, ConnectPacket, Conversation, ListPacket, ListedPacket, Made, Packet, RecvackPacket,
        ReplyPacket, SendPacket, SendackPacket, SyncItem, SyncPacket, SyncedPacket, groups, marks,
    },
};

use super::{Server, Via, Wire, claims, sign};

pub fn id(text: &str) -> Id {
    text.parse().unwrap()
}

/// The channel of two users.
pub fn channel_of(one: &str, other: &str) -> Channel {
    Channel::person(&id(one), &id(other))
}

pub fn group(name: &str) -> Channel {
    Channel::group(&id(name))
}

/// The fields of a CALL that changes the members of a group.
pub fn user_list(group: &str, users: &[&str]) -> Bytes {
    let users: Vec<Id> = users.iter().map(|user| id(user)).collect();
    let mut fields = Vec::new();
    groups::write_change(&mut fields, &id(group), &users);
    fields.into()
}

/// Everything that a user can see of a channel.
#[derive(Debug)]
pub struct Seen {
    pub images: Vec<Image>,
    pub gaps: Vec<postrider_protocol::packet::Gap>,
    /// What was made of the images.
    pub made: Vec<Made>,
    pub head: u64,
}

/// See the module.
pub struct Client {
    pub wire: Wire,
    via: Via,
    decoder: Decoder,
    /// What was heard and not asked for yet.
    heard: VecDeque<Packet>,
    /// The last number taken.
    pub number: u64,
    /// The last request id.
    pub request: u32,
    /// The sender that CONNACK told.
    pub sender: Sender,
    pub user: String,
    pub connack: Option<ConnackPacket>,
    /// Every frame that was said and heard, if somebody wants to know.
    pub tape: Option<Tape>,
}

/// Whole frames, each with whether the client said it.
#[derive(Default)]
pub struct Tape {
    pub frames: Vec<(bool, Vec<u8>)>,
    /// What was heard of a frame that is not whole yet.
    rest: Vec<u8>,
}

impl Tape {
    fn hear(&mut self, bytes: &[u8]) {
        self.rest.extend(bytes);
        while let Some(length) = self.rest.first_chunk().map(|length| u32::from_be_bytes(*length)) {
            let end = HEADER_BYTES + length as usize;
            if self.rest.len() < end {
                return;
            }
            self.frames.push((false, self.rest.drain(..end).collect()));
        }
    }
}

impl Client {
    /// A client that has said nothing.
    pub fn new(server: &Server, via: Via) -> Self {
        Self::over(server.wire(via), via)
    }

    pub fn over(wire: Wire, via: Via) -> Self {
        let sender = Sender::request(SenderKind::Kept);
        Self {
            wire,
            via,
            decoder: Decoder::new(),
            heard: VecDeque::new(),
            number: 0,
            request: 0,
            sender,
            user: String::new(),
            connack: None,
            tape: None,
        }
    }

    /// Connects with a good token under a new kept sender; "" for no device.
    pub fn connect(server: &Server, via: Via, user: &str, device: &str) -> Self {
        Self::connect_with(server, via, user, device, Sender::request(SenderKind::Kept))
    }

    /// As [`Client::connect`], under this sender.
    pub fn connect_with(server: &Server, via: Via, user: &str, device: &str, sender: Sender) -> Self {
        let mut client = Self::new(server, via);
        let connack = client.ask_in(&connect_packet(user, device, sender));
        assert_eq!(connack.reason, Reason::Ok, "{connack:?}");
        client.user = user.to_owned();
        client.sender = connack.sender;
        client.connack = Some(connack);
        client
    }

    /// Connects with a good token that claims this, under a new kept sender.
    pub fn connect_claiming(server: &Server, via: Via, claims: &Claims, device: &str) -> Self {
        let connect = connect_packet(&claims.sub, device, Sender::request(SenderKind::Kept));
        let connect = ConnectPacket { token: sign(claims).into(), ..connect };
        Self::connect_by(server, via, &claims.sub, &connect).unwrap()
    }

    /// Connects `user` with exactly this; the refusing CONNACK when it is refused.
    pub fn connect_by(server: &Server, via: Via, user: &str, connect: &ConnectPacket) -> Result<Self, ConnackPacket> {
        let mut client = Self::new(server, via);
        let connack = client.ask_in(connect);
        if connack.reason != Reason::Ok {
            client.is_over(connack.reason);
            return Err(connack);
        }
        client.user = user.to_owned();
        client.sender = connack.sender;
        client.connack = Some(connack);
        Ok(client)
    }

    /// Says CONNECT and returns the answer.
    pub fn ask_in(&mut self, connect: &ConnectPacket) -> ConnackPacket {
        self.say(&Packet::Connect(connect.clone()));
        match self.next() {
            Some(Packet::Connack(connack)) => connack,
            other => panic!("no CONNACK but {other:?}"),
        }
    }

    /// Says one packet.
    pub fn say(&mut self, packet: &Packet) {
        self.try_say(packet).unwrap();
    }

    /// As [`Client::say`], when the server may have closed.
    pub fn try_say(&mut self, packet: &Packet) -> io::Result<()> {
        let mut out = Vec::new();
        packet.encode(&mut out);
        if let Some(tape) = &mut self.tape {
            tape.frames.push((true, out.clone()));
        }
        self.wire.say(&out)
    }

    /// Says packets in one go.
    pub fn say_all(&mut self, packets: &[Packet]) {
        let mut out = Vec::new();
        packets.iter().for_each(|packet| packet.encode(&mut out));
        self.wire.say(&out).unwrap();
    }

    /// The next packet; none at the end of the stream.
    pub fn next(&mut self) -> Option<Packet> {
        if let Some(packet) = self.heard.pop_front() {
            return Some(packet);
        }
        self.hear()
    }

    fn hear(&mut self) -> Option<Packet> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                if let Some(packet) = Packet::decode(frame).unwrap() {
                    return Some(packet);
                }
                continue;
            }
            let bytes = self.wire.hear()?;
            if let Some(tape) = &mut self.tape {
                tape.hear(&bytes);
            }
            self.decoder.feed(bytes.into());
        }
    }

    /// The first packet that `wanted` gives a value for; others wait for who asks for them.
    pub fn wait<T>(&mut self, what: &str, wanted: impl Fn(&Packet) -> Option<T>) -> T {
        for at in 0..self.heard.len() {
            if let Some(value) = wanted(&self.heard[at]) {
                self.heard.remove(at);
                return value;
            }
        }
        loop {
            let Some(packet) = self.hear() else {
                panic!("{}: the end instead of {what}; heard {:?}", self.user, self.heard)
            };
            if let Some(value) = wanted(&packet) {
                return value;
            }
            assert!(
                !matches!(packet, Packet::Disconnect(_)) || what == "DISCONNECT",
                "{}: {packet:?} instead of {what}",
                self.user
            );
            self.heard.push_back(packet);
        }
    }

    /// How many RECVs were heard and not asked for.
    pub fn recvs_heard(&self) -> usize {
        self.heard.iter().filter(|packet| matches!(packet, Packet::Recv(_))).count()
    }

    /// Takes a packet that was heard and not asked for; false when there is none.
    pub fn take_heard(&mut self, wanted: impl Fn(&Packet) -> bool) -> bool {
        let at = self.heard.iter().position(wanted);
        at.is_some_and(|at| self.heard.remove(at).is_some())
    }

    pub fn sendack(&mut self, number: u64) -> SendackPacket {
        self.wait("SENDACK", |packet| match packet {
            Packet::Sendack(ack) if ack.number == number => Some(ack.clone()),
            _ => None,
        })
    }

    pub fn reply(&mut self, request: u32) -> ReplyPacket {
        self.wait("REPLY", |packet| match packet {
            Packet::Reply(reply) if reply.request == request => Some(reply.clone()),
            _ => None,
        })
    }

    /// The next live image.
    pub fn recv(&mut self) -> Image {
        self.wait("RECV", |packet| match packet {
            Packet::Recv(image) => Some(image.clone()),
            _ => None,
        })
    }

    /// The next live image of a channel.
    pub fn recv_of(&mut self, channel: &Channel) -> Image {
        self.wait("RECV", |packet| match packet {
            Packet::Recv(image) if image.channel == *channel => Some(image.clone()),
            _ => None,
        })
    }

    /// A PING and its PONG: everything that was said before was taken.
    pub fn ping(&mut self) {
        self.say(&Packet::Ping(Tlvs::new()));
        self.wait("PONG", |packet| matches!(packet, Packet::Pong(_)).then_some(()));
    }

    /// Waits for DISCONNECT with this reason and then for the end; returns what DISCONNECT carried.
    #[track_caller]
    pub fn ends_with(&mut self, reason: Reason) -> Tlvs {
        let told = self.wait("DISCONNECT", |packet| match packet {
            Packet::Disconnect(packet) => Some(packet.clone()),
            _ => None,
        });
        assert_eq!(told.reason, reason, "{told:?}");
        self.is_over(reason);
        told.tlvs
    }

    /// Waits for the end of the stream without another packet; a WebSocket tells the reason in its close code.
    #[track_caller]
    pub fn is_over(&mut self, reason: Reason) {
        assert_eq!(self.hear(), None, "nothing follows the last frame");
        if self.via.is_ws() {
            assert_eq!(self.wire.close_code(), Some(4_000 + reason.number()));
        }
    }

    /// The SEND of a new number.
    pub fn next_send(&mut self, channel: &Channel, body: impl AsRef<[u8]>) -> SendPacket {
        self.number += 1;
        SendPacket {
            number: self.number,
            oldest: self.number,
            channel: channel.clone(),
            flags: image_flag::COUNTABLE,
            body: Bytes::copy_from_slice(body.as_ref()),
            tlvs: Tlvs::new(),
        }
    }

    /// Sends and waits for the answer.
    pub fn try_send(&mut self, channel: &Channel, body: impl AsRef<[u8]>) -> SendackPacket {
        let packet = self.next_send(channel, body);
        self.resend(&packet)
    }

    /// Sends and waits for the answer, which is OK; the seq.
    #[track_caller]
    pub fn send(&mut self, channel: &Channel, body: impl AsRef<[u8]>) -> u64 {
        let ack = self.try_send(channel, body);
        assert_eq!(ack.reason, Reason::Ok, "{ack:?}");
        ack.seq
    }

    /// Sends `count` messages, one after the other.
    #[track_caller]
    pub fn send_many(&mut self, count: usize, channel: &Channel, body: impl AsRef<[u8]>) {
        for _ in 0..count {
            self.send(channel, &body);
        }
    }

    /// Sends exactly this and waits for the answer.
    pub fn resend(&mut self, packet: &SendPacket) -> SendackPacket {
        self.say(&Packet::Send(packet.clone()));
        self.sendack(packet.number)
    }

    /// The CALL of a new number, or of none for a method that changes nothing.
    pub fn next_call(&mut self, method: Method, fields: Bytes) -> CallPacket {
        self.request += 1;
        if method.changes() {
            self.number += 1;
        }
        let number = if method.changes() { self.number } else { 0 };
        CallPacket { request: self.request, method: method.number(), number, oldest: number, fields, tlvs: Tlvs::new() }
    }

    /// Calls and waits for the answer.
    pub fn call(&mut self, method: Method, fields: Bytes) -> ReplyPacket {
        let call = self.next_call(method, fields);
        self.say(&Packet::Call(call.clone()));
        self.reply(call.request)
    }

    /// A CALL with TLVs.
    pub fn call_with(&mut self, method: Method, fields: Bytes, tlvs: Tlvs) -> ReplyPacket {
        let call = CallPacket { tlvs, ..self.next_call(method, fields) };
        self.say(&Packet::Call(call.clone()));
        self.reply(call.request)
    }

    /// A changing call on a group.
    pub fn change(&mut self, method: Method, group: &str, users: &[&str]) -> ReplyPacket {
        self.call(method, user_list(group, users))
    }

    /// Makes a group of these users and the caller.
    #[track_caller]
    pub fn create(&mut self, group: &str, users: &[&str]) {
        let reply = self.change(Method::GroupCreate, group, users);
        assert_eq!((reply.reason, reply.seq), (Reason::Ok, 1), "{reply:?}");
    }

    /// Moves the read mark.
    pub fn read(&mut self, channel: &Channel, seq: u64) -> ReplyPacket {
        let mut fields = Vec::new();
        marks::write_mark(&mut fields, channel, seq);
        self.call(Method::Read, fields.into())
    }

    pub fn recvack(&mut self, channel: &Channel, seq: u64) {
        self.say(&Packet::Recvack(RecvackPacket { channel: channel.clone(), seq, tlvs: Tlvs::new() }));
    }

    /// One page of LIST.
    pub fn list_page(&mut self, token: &Bytes, page: &Bytes, limit: u16) -> ListedPacket {
        self.request += 1;
        let (request, token, page) = (self.request, token.clone(), page.clone());
        self.say(&Packet::List(ListPacket { request, token, page, limit, tlvs: Tlvs::new() }));
        self.wait("LISTED", |packet| match packet {
            Packet::Listed(listed) if listed.request == request => Some(listed.clone()),
            _ => None,
        })
    }

    /// All pages of LIST, and the token for the next one.
    pub fn list(&mut self, token: &Bytes) -> (Vec<Conversation>, Bytes) {
        let (mut all, mut page) = (Vec::new(), Bytes::new());
        loop {
            let listed = self.list_page(token, &page, 0);
            assert_eq!(listed.reason, Reason::Ok, "{listed:?}");
            all.extend(listed.conversations);
            if listed.next.is_empty() {
                return (all, listed.token);
            }
            page = listed.next;
        }
    }

    /// What LIST tells of a channel, from the beginning.
    pub fn listed(&mut self, channel: &Channel) -> Option<Conversation> {
        self.list(&Bytes::new()).0.into_iter().find(|conversation| conversation.channel == *channel)
    }

    /// One SYNC.
    pub fn sync(&mut self, channel: &Channel, epoch: u32, (from, to): (u64, u64), limit: u16) -> SyncedPacket {
        self.request += 1;
        let (request, channel) = (self.request, channel.clone());
        self.say(&Packet::Sync(SyncPacket { request, channel, epoch, from, to, limit, tlvs: Tlvs::new() }));
        self.wait("SYNCED", |packet| match packet {
            Packet::Synced(synced) if synced.request == request => Some(synced.clone()),
            _ => None,
        })
    }

    /// All of a channel from `from` on, as a client that comes back fetches it: each seq once, as image or gap.
    pub fn sync_from(&mut self, channel: &Channel, from: u64) -> Seen {
        let listed = self.listed(channel).unwrap_or_else(|| panic!("{channel:?} is not listed"));
        let mut seen = Seen { images: Vec::new(), gaps: Vec::new(), made: Vec::new(), head: listed.head };
        let mut next = from;
        while next <= listed.head {
            let synced = self.sync(channel, listed.epoch, (next, listed.head), 0);
            assert_eq!((synced.reason, synced.from), (Reason::Ok, next), "{synced:?}");
            assert!(synced.to >= next && synced.to <= listed.head, "{synced:?}");
            for item in synced.items {
                match item {
                    SyncItem::Image(bytes) => {
                        let image = Image::decode(bytes).unwrap();
                        assert_eq!((image.seq, &image.channel), (next, channel));
                        next += 1;
                        seen.images.push(image);
                    }
                    SyncItem::Gap(gap) => {
                        assert_eq!(gap.from, next);
                        next = gap.to + 1;
                        seen.gaps.push(gap);
                    }
                    SyncItem::Made(made) => seen.made.push(made),
                }
            }
            assert_eq!(next, synced.to + 1, "an answer covers its interval");
        }
        seen
    }

    /// The bodies of all messages of a channel.
    pub fn bodies(&mut self, channel: &Channel) -> Vec<Bytes> {
        self.sync_from(channel, 1).images.into_iter().map(|image| image.body).collect()
    }
}

/// CONNECT with a good token.
pub fn connect_packet(user: &str, device: &str, sender: Sender) -> ConnectPacket {
    ConnectPacket {
        version_min: 0,
        version_max: 0,
        token: sign(&claims(user, "")).into(),
        device: (!device.is_empty()).then(|| id(device)),
        sender,
        tlvs: Tlvs::new(),
    }
}
