//! Postrider: frames read in place, sent from templates. Only what is rare goes through the packets of the protocol
//! crate. CRCs are written and not checked: that is the business of tests, and would be paid by the server's figures.

use std::sync::Arc;

use bytes::Bytes;
use postrider_protocol::{
    Channel, HEADER_BYTES, Id, ImageKind, Kind, Reason, Sender, SenderKind, Tlvs, VERSION,
    frame::{self, Frame},
    image_flag,
    packet::{ConnectPacket, Packet, RecvackPacket, SendPacket},
    tag,
};

use crate::{
    catch_up::CatchUp,
    holds::Holds,
    plan::{Plan, Stamp, To},
    sink::{How, Sink},
    template::Template,
};

/// One device, over all its connections.
#[derive(Debug)]
pub(crate) struct Postrider {
    token: Arc<str>,
    device: Id,
    sender: Sender,
    holds: Holds,
    catch_up: CatchUp,
    /// When refused commands are sent again.
    retry_at_ns: Option<u64>,
    heartbeat_ns: u64,
    /// When it last said something.
    spoke_ns: u64,
}

impl Postrider {
    pub(crate) fn new(token: Arc<str>, device: Id) -> Self {
        Self {
            token,
            device,
            sender: Sender::request(SenderKind::Kept),
            holds: Holds::default(),
            catch_up: CatchUp::default(),
            retry_at_ns: None,
            heartbeat_ns: u64::MAX,
            spoke_ns: 0,
        }
    }

    /// Forgets what it holds, so that everything is missed again.
    pub(crate) fn forget(&mut self) {
        self.holds = Holds::default();
        self.catch_up = CatchUp::default();
    }

    /// Whether answers to LIST or SYNC are awaited.
    pub(crate) const fn is_catching_up(&self) -> bool {
        self.catch_up.is_busy()
    }

    /// When refused commands are to be sent again.
    pub(crate) const fn retry_at(&self) -> Option<u64> {
        self.retry_at_ns
    }

    /// The retry is under way.
    pub(crate) const fn retried(&mut self) {
        self.retry_at_ns = None;
    }

    /// Appends CONNECT.
    pub(crate) fn hello(&mut self, out: &mut Vec<u8>) {
        self.holds.reconnected();
        self.catch_up.reconnected();
        self.retry_at_ns = None;
        let connect = ConnectPacket {
            version_min: VERSION,
            version_max: VERSION,
            token: Bytes::copy_from_slice(self.token.as_bytes()),
            device: Some(self.device.clone()),
            sender: self.sender,
            tlvs: Tlvs::new(),
        };
        Packet::Connect(connect).encode(out);
    }

    /// Takes whole frames off `input`; returns how many bytes they are.
    ///
    /// # Errors
    /// The server refused something, closed, or said what is not understood.
    pub(crate) fn take(&mut self, input: &[u8], sink: &mut Sink<'_>) -> Result<usize, String> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let Some((kind, payload)) = next_frame(rest) else { return Ok(at) };
            at += HEADER_BYTES + payload.len();
            match Kind::from_number(kind) {
                Some(Kind::Recv) => self.recv(payload, sink)?,
                Some(Kind::Sendack) => self.sendack(payload, sink)?,
                _ => self.rare(Frame { kind, payload: Bytes::copy_from_slice(payload) }, sink)?,
            }
        }
    }

    fn recv(&mut self, payload: &[u8], sink: &mut Sink<'_>) -> Result<(), String> {
        let image = Parts::of(payload).ok_or("a RECV that is no image")?;
        let is_message = image.kind == ImageKind::Message.number();
        let hold = self.holds.of(image.channel);
        let how = if image.seq > hold.held { How::Pushed } else { How::Pulled };
        let in_order = hold.push(image.seq);
        if !self.catch_up.is_busy() {
            if sink.plan.catches_up() && hold.has_hole() {
                self.catch_up.begin(sink.out);
            } else {
                hold.take_pushed();
            }
        }
        let is_new = !is_message || sink.delivered(image.body, how);
        sink.ledger.disordered += u64::from(is_new && !in_order);
        Ok(())
    }

    fn sendack(&mut self, payload: &[u8], sink: &mut Sink<'_>) -> Result<(), String> {
        let (number, rest) = payload.split_first_chunk::<8>().ok_or("a short SENDACK")?;
        let number = u64::from_be_bytes(*number);
        let reason = rest.first_chunk::<2>().map(|reason| u16::from_be_bytes(*reason)).ok_or("a short SENDACK")?;
        if reason == Reason::Ok.number() {
            sink.acknowledged(number);
            return Ok(());
        }
        let refusal = Packet::decode(Frame { kind: Kind::Sendack.number(), payload: Bytes::copy_from_slice(payload) });
        let Ok(Some(Packet::Sendack(refusal))) = refusal else { return Err("a SENDACK that is none".to_owned()) };
        if matches!(refusal.reason, Reason::Busy | Reason::StorageFull | Reason::RateLimited) {
            if sink.window.refuse(number) {
                sink.ledger.refused += 1;
                let wait_ms = refusal.tlvs.get_u32(tag::RETRY_AFTER_MS).unwrap_or(1_000);
                let at_ns = sink.now_ns + u64::from(wait_ms) * 1_000_000;
                self.retry_at_ns = Some(self.retry_at_ns.unwrap_or(0).max(at_ns));
            }
            return Ok(());
        }
        sink.failed(number);
        Err(format!("a SEND was refused: {}", refusal.reason.name()))
    }

    fn rare(&mut self, frame: Frame, sink: &mut Sink<'_>) -> Result<(), String> {
        let packet = Packet::decode(frame).map_err(|error| error.to_string())?;
        match packet {
            Some(Packet::Connack(connack)) if connack.reason == Reason::Ok => {
                self.sender = connack.sender;
                self.heartbeat_ns = u64::from(connack.limits.heartbeat_ms) * 1_000_000;
                self.spoke_ns = sink.now_ns;
                sink.up = true;
                if sink.plan.catches_up() {
                    self.catch_up.begin(sink.out);
                }
            }
            Some(Packet::Connack(connack)) => return Err(format!("CONNACK refuses: {}", connack.reason.name())),
            Some(Packet::Lag(lag)) => {
                sink.ledger.lagged += u64::from(lag.dropped);
                self.catch_up.begin(sink.out);
            }
            Some(Packet::Listed(listed)) => self.catch_up.listed(listed, &mut self.holds, sink)?,
            Some(Packet::Synced(synced)) => self.catch_up.synced(synced, &mut self.holds, sink)?,
            Some(Packet::Disconnect(end)) => return Err(format!("DISCONNECT {}", end.reason.name())),
            Some(Packet::Ping(tlvs)) => Packet::Pong(tlvs).encode(sink.out),
            _ => {}
        }
        Ok(())
    }

    /// Once a second: acknowledges what came, and says something when it is time to.
    pub(crate) fn tick(&mut self, now_ns: u64, out: &mut Vec<u8>) {
        let before = out.len();
        for (channel, seq) in self.holds.acknowledge() {
            Packet::Recvack(RecvackPacket { channel, seq, tlvs: Tlvs::new() }).encode(out);
        }
        if out.len() > before {
            self.spoke_ns = now_ns;
        } else if now_ns.saturating_sub(self.spoke_ns) >= self.heartbeat_ns {
            self.spoke_ns = now_ns;
            Packet::Ping(Tlvs::new()).encode(out);
        }
    }

    /// Notes that it says something now.
    pub(crate) const fn spoke(&mut self, now_ns: u64) {
        self.spoke_ns = now_ns;
    }
}

/// The channel of a flow.
fn channel(plan: &Plan, me: u32, to: To) -> Option<Channel> {
    match to {
        To::User(user) => Some(Channel::person(&plan.user(me).parse().ok()?, &plan.user(user).parse().ok()?)),
        To::Group(group) => Some(Channel::group(&plan.group(group).parse().ok()?)),
    }
}

/// The message of `me` to `to`.
pub(crate) fn template(plan: &Plan, me: u32, to: To, size: usize) -> Option<Template> {
    let send = SendPacket {
        number: 1,
        oldest: 1,
        channel: channel(plan, me, to)?,
        flags: image_flag::COUNTABLE,
        body: Bytes::from(vec![0; size]),
        tlvs: Tlvs::new(),
    };
    let mut bytes = Vec::new();
    Packet::Send(send).encode(&mut bytes);
    let head = bytes.get(..bytes.len() - size)?;
    Some(Template::new(head, size, &[], HEADER_BYTES))
}

/// Appends a message.
pub(crate) fn send(template: &mut Template, stamp: Stamp, number: u64, oldest: u64, out: &mut Vec<u8>) {
    let mut mark = [0; 16];
    let (first, second) = mark.split_at_mut(8);
    first.copy_from_slice(&number.to_be_bytes());
    second.copy_from_slice(&oldest.to_be_bytes());
    let payload = template.set(stamp, &mark).get(HEADER_BYTES..).unwrap_or_default();
    out.extend_from_slice(&frame::header(Kind::Send, payload));
    out.extend_from_slice(payload);
}

/// The kind and payload of the frame at the front, if it is whole.
fn next_frame(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let &[a, b, c, d, kind, ..] = header;
    Some((kind, rest.get(..u32::from_be_bytes([a, b, c, d]) as usize)?))
}

/// The parts of an image that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) kind: u8,
    pub(crate) seq: u64,
    pub(crate) channel: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Finds them; the bytes come from a server that is trusted to send images.
    pub(crate) fn of(image: &'a [u8]) -> Option<Self> {
        let &kind = image.get(1)?;
        let seq = u64::from_be_bytes(*image.get(4..)?.first_chunk::<8>()?);
        let rest = image.get(20..)?;
        let one = 2 + usize::from(*rest.get(1)?);
        let len = if rest.first() == Some(&1) { one + 1 + usize::from(*rest.get(one)?) } else { one };
        let (channel, rest) = rest.split_at_checked(len)?;
        let from = if rest.first() == Some(&255) { 2 + usize::from(*rest.get(1)?) } else { 1 };
        let (tlvs, rest) = rest.get(from + 16..)?.split_first_chunk::<2>()?;
        let rest = rest.get(usize::from(u16::from_be_bytes(*tlvs))..)?;
        Some(Self { kind, seq, channel, body: rest.get(4..)? })
    }
}

#[cfg(test)]
mod tests {
    use postrider_protocol::{From, Image};

    use super::*;

    #[test]
    fn the_parts_are_those_of_the_decoder() {
        let user = |text: &str| text.parse::<Id>().unwrap();
        let (alice, bob) = (user("alice"), user("bob"));
        for (channel, from) in
            [(Channel::person(&alice, &bob), From::Side(1)), (Channel::group(&user("team")), From::User(bob.clone()))]
        {
            let image = Image {
                kind: 1,
                flags: 1,
                seq: 9,
                time_ms: 7,
                channel: channel.clone(),
                from,
                sender: Sender::request(SenderKind::Kept),
                number: 3,
                tlvs: Tlvs::from_pairs([(tag::CONTENT_TYPE, b"text/plain".as_slice())]),
                body: Bytes::from_static(b"hello"),
            };
            let mut bytes = Vec::new();
            image.write(&mut bytes);
            let parts = Parts { kind: 1, seq: 9, channel: channel.as_bytes(), body: b"hello" };
            assert_eq!(Parts::of(&bytes), Some(parts));
        }
    }

    #[test]
    fn a_template_is_a_frame_that_decodes() {
        let channel = Channel::person(&"a".parse().unwrap(), &"b".parse().unwrap());
        let packet =
            SendPacket { number: 1, oldest: 1, channel, flags: 1, body: Bytes::from(vec![0; 32]), tlvs: Tlvs::new() };
        let mut bytes = Vec::new();
        Packet::Send(packet).encode(&mut bytes);
        let mut template = Template::new(&bytes[..bytes.len() - 32], 32, &[], HEADER_BYTES);
        let mut out = Vec::new();
        let stamp = Stamp { flow: 1, number: 2, at_ns: 3 };
        send(&mut template, stamp, 70, 60, &mut out);
        let mut decoder = frame::Decoder::new();
        decoder.feed(out.into());
        let Some(Packet::Send(sent)) = Packet::decode(decoder.next_frame().unwrap().unwrap()).unwrap() else {
            panic!("no SEND");
        };
        assert_eq!((sent.number, sent.oldest, sent.body.len()), (70, 60, 32));
        assert_eq!(Stamp::read(&sent.body), Some(stamp));
    }
}
