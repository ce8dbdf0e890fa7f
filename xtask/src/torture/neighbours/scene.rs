//! What is there before anybody behaves badly: the busy group, and a user with many conversations and a long history.

use std::net::SocketAddr;

use bytes::Bytes;
use postrider_client::{Address, Tls, Transport};
use postrider_protocol::{
    Channel, Id, Method, Reason, Sender, SenderKind, Tlvs,
    packet::{CallPacket, Packet, SendPacket, groups},
};

use super::super::{server::Site, wire::Wire};
use crate::Result;

/// Members of the busy group who read and write.
pub const MEMBERS: u32 = 10;
/// Members of the busy group who do not read, when they come.
const SLOW: u32 = 40;
/// Conversations of the collector: more than a connection keeps cursors of.
const CONVERSATIONS: u32 = 1_100;
/// Messages in the longest of them.
const HISTORY: u64 = 10_000;
/// Devices of the collector, and users who flood.
const MANY: u32 = 4;
/// Commands under way while the scene is set.
const WINDOW: u64 = 60;

/// See the module.
pub struct Scene {
    /// Where the server listens.
    addresses: Vec<Address>,
    /// Whom clients trust.
    pub tls: Tls,
    /// Tokens of the members of the busy group who do not read.
    pub slow: Vec<String>,
    /// Tokens of the collector, one for each device.
    pub collector: Vec<String>,
    /// The collector's conversations.
    pub conversations: Vec<Channel>,
    /// The one with a long history, its epoch and its head.
    pub history: (Channel, u32, u64),
    /// Tokens of users who flood, and whom they write to.
    pub flooders: Vec<(String, Channel)>,
}

/// The id of a user, device or group.
pub fn id(text: &str) -> Id {
    text.parse().unwrap_or_else(|error| unreachable!("{text} is an id: {error}"))
}

/// A member of the busy group who reads and writes.
pub fn member(at: u32) -> Id {
    id(&format!("member-{at}"))
}

/// The busy group.
pub fn busy_group() -> Id {
    id("busy")
}

impl Scene {
    /// Makes it at a server without a rate limit.
    pub fn set(site: &Site) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let slow: Vec<Id> = (0..SLOW).map(|at| id(&format!("slow-{at}"))).collect();
        runtime.block_on(make_group(site, &slow))?;
        let collector = id("collector");
        let conversations: Vec<Channel> =
            (0..CONVERSATIONS).map(|at| Channel::person(&collector, &id(&format!("friend-{at}")))).collect();
        let oldest = conversations.first().ok_or("no conversations")?.clone();
        let history = runtime.block_on(write_history(site, &collector, &conversations, &oldest))?;
        let flooder = |at: u32| {
            let user = id(&format!("flooder-{at}"));
            let token = site.token(user.as_str(), "d1")?;
            Ok((token, Channel::person(&user, &id(&format!("flooded-{at}")))))
        };
        Ok(Self {
            addresses: site.addresses.clone(),
            tls: site.tls.clone(),
            slow: slow.iter().map(|user| site.token(user.as_str(), "d1")).collect::<Result<_>>()?,
            collector: (0..MANY).map(|at| site.token(collector.as_str(), &format!("d{at}"))).collect::<Result<_>>()?,
            conversations,
            history,
            flooders: (0..MANY).map(flooder).collect::<Result<_>>()?,
        })
    }

    /// Where the server listens by this transport, or by another if it does not by this.
    pub fn address(&self, transport: Transport) -> Result<&Address> {
        let address = self.addresses.iter().find(|address| address.transport() == transport);
        Ok(address.or(self.addresses.first()).ok_or("no listener")?)
    }

    /// The same, for a socket.
    pub fn socket(&self, transport: Transport) -> Result<SocketAddr> {
        Ok(self.address(transport)?.authority().parse()?)
    }
}

async fn open(site: &Site, user: &Id) -> Result<Wire> {
    let mut wire = Wire::dial(site.address(0)?, &site.tls).await?;
    let token = site.token(user.as_str(), "scene")?;
    let connack = wire.connect(&token, None, Sender::request(SenderKind::OneShot)).await?;
    if connack.reason != Reason::Ok {
        return Err(format!("CONNECT was refused: {}", connack.reason.name()).into());
    }
    Ok(wire)
}

async fn make_group(site: &Site, slow: &[Id]) -> Result {
    let mut wire = open(site, &member(0)).await?;
    let others: Vec<Id> = (1..MEMBERS).map(member).chain(slow.iter().cloned()).collect();
    let mut fields = Vec::new();
    groups::write_change(&mut fields, &busy_group(), &others);
    let (method, fields) = (Method::GroupCreate.number(), fields.into());
    wire.put(&Packet::Call(CallPacket { request: 1, method, number: 1, oldest: 1, fields, tlvs: Tlvs::new() }));
    let reason = |packet: &Packet| match packet {
        Packet::Reply(reply) => Some(reply.reason),
        _ => None,
    };
    match wire.answer(reason, drop).await? {
        Reason::Ok => Ok(()),
        reason => Err(format!("GROUP_CREATE was refused: {}", reason.name()).into()),
    }
}

/// One message in each conversation and many in `oldest`; returns that with its epoch and head.
async fn write_history(
    site: &Site,
    user: &Id,
    conversations: &[Channel],
    oldest: &Channel,
) -> Result<(Channel, u32, u64)> {
    let mut wire = open(site, user).await?;
    let all = conversations.iter().chain(std::iter::repeat_n(oldest, usize::try_from(HISTORY)?));
    let (mut sent, mut answered) = (0, 0);
    for channel in all {
        sent += 1;
        wire.put(&Packet::Send(SendPacket {
            number: sent,
            oldest: sent.saturating_sub(WINDOW).max(1),
            channel: channel.clone(),
            flags: 0,
            body: Bytes::from_static(&[b'.'; 200]),
            tlvs: Tlvs::new(),
        }));
        while sent - answered >= WINDOW {
            answered += one_answer(&mut wire).await?;
        }
    }
    while answered < sent {
        answered += one_answer(&mut wire).await?;
    }
    let listed = wire.list().await?;
    let found = listed.into_iter().find(|conversation| conversation.channel == *oldest);
    let found = found.ok_or("LIST does not show the longest conversation")?;
    Ok((found.channel, found.epoch, found.head))
}

async fn one_answer(wire: &mut Wire) -> Result<u64> {
    let reason = |packet: &Packet| match packet {
        Packet::Sendack(ack) => Some(ack.reason),
        _ => None,
    };
    match wire.answer(reason, drop).await? {
        Reason::Ok => Ok(1),
        reason => Err(format!("a SEND of the scene was refused: {}", reason.name()).into()),
    }
}
