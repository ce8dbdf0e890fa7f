//! A client that keeps to no rule: numbers twice with other bodies, cursors above the head, channels of others, noise.

use bytes::Bytes;
use postrider_protocol::{
    Channel, Id, Method, Sender, SenderKind, Tlvs, VERSION, image_flag,
    packet::{CallPacket, ConnectPacket, ListPacket, Packet, RecvackPacket, SendPacket, SyncPacket, groups},
};

use crate::{
    chance::Chance,
    device::token,
    oracle::{Oracle, Written},
};

/// See the module.
#[derive(Debug)]
pub struct Hostile {
    pub user: Id,
    pub connection: Option<u64>,
    own: Channel,
    sender: Option<Sender>,
    sent: Vec<(u64, Bytes)>,
}

impl Hostile {
    /// The user, whose only channel is `own`.
    pub const fn new(user: Id, own: Channel) -> Self {
        Self { user, connection: None, own, sender: None, sent: Vec::new() }
    }

    /// The first bytes of a connection.
    pub fn connect(&mut self, number: u64, wall_ms: u64) -> Vec<u8> {
        self.connection = Some(number);
        encoded(&Packet::Connect(ConnectPacket {
            version_min: VERSION,
            version_max: VERSION,
            token: token(&self.user, None, wall_ms).into(),
            device: Some("m".parse().expect("an id")),
            sender: self.sender.unwrap_or(Sender::request(SenderKind::Kept)),
            tlvs: Tlvs::new(),
        }))
    }

    /// The next bytes on the connection it has.
    pub fn act(&mut self, chance: &mut Chance, oracle: &mut Oracle, step: u64) -> Vec<u8> {
        self.sender = self.connection.and_then(|number| oracle.sender_of(number)).or(self.sender);
        if self.sender.is_none() {
            return Vec::new();
        }
        oracle.counters.add("hostile acts");
        let alien = chance.pick(&oracle.channels).clone();
        let tlvs = Tlvs::new();
        let packet = match chance.below(12) {
            0..=2 => self.send(oracle, step, None),
            3 | 4 => {
                let before = self.sent.get(chance.below(self.sent.len())).cloned();
                self.send(oracle, step, before)
            }
            5 => {
                let before = self.sent.get(chance.below(self.sent.len())).map(|(number, _)| *number);
                let body = self.body(oracle, step);
                self.send(oracle, step, before.map(|number| (number, body)))
            }
            6 => {
                let channel = if chance.one_in(2) { self.own.clone() } else { alien };
                let seq = oracle.head(&channel) + chance.between(1, 50);
                Packet::Recvack(RecvackPacket { channel, seq, tlvs })
            }
            7 => {
                let (to, limit) = (chance.between(1, 1 << 40), 100);
                Packet::Sync(SyncPacket { request: 1, channel: alien, epoch: 1, from: 1, to, limit, tlvs })
            }
            8 => {
                let body = self.body(oracle, step);
                Packet::Send(SendPacket { number: 1 << 30, oldest: 1 << 30, channel: alien, flags: 0, body, tlvs })
            }
            9 => {
                let token = Bytes::copy_from_slice(&chance.next().to_be_bytes());
                Packet::List(ListPacket { request: 2, token, page: Bytes::new(), limit: 0, tlvs })
            }
            10 => {
                let (group, _) = alien.ids();
                let mut fields = Vec::new();
                groups::write_change(&mut fields, &group, std::slice::from_ref(&self.user));
                oracle.callers.insert((Channel::group(&group), self.user.clone()));
                let (method, number) = (Method::GroupAdd.number(), 1 << 29);
                Packet::Call(CallPacket { request: 3, method, number, oldest: number, fields: fields.into(), tlvs })
            }
            _ => return chance.next().to_be_bytes().to_vec(),
        };
        encoded(&packet)
    }

    /// A SEND of a new number, or of `again`.
    fn send(&mut self, oracle: &mut Oracle, step: u64, again: Option<(u64, Bytes)>) -> Packet {
        let (number, body) = again.unwrap_or_else(|| {
            let number = self.sent.last().map_or(1, |(number, _)| number + 1);
            let sent = (number, self.body(oracle, step));
            self.sent.push(sent.clone());
            sent
        });
        let (oldest, channel) = (number.saturating_sub(20).max(1), self.own.clone());
        Packet::Send(SendPacket { number, oldest, channel, flags: image_flag::COUNTABLE, body, tlvs: Tlvs::new() })
    }

    fn body(&self, oracle: &mut Oracle, step: u64) -> Bytes {
        let body = Bytes::from(format!("{}/{}", self.user, oracle.written.len()));
        let (author, channel) = (self.user.clone(), self.own.clone());
        oracle.written.insert(body.clone(), Written { author, channel, at: step, sent: None, is_void: false });
        body
    }
}

fn encoded(packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}
