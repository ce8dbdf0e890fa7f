//! What the packets of a server mean for the state.

use alloc::string::ToString;

use super::{
    ClientState,
    channels::{Held, detail},
    commands::{Answer, Command},
    event::{ClientEvent, Failure, Retry},
    state::{Phase, RETRY_MS, Read},
};
use crate::{
    Channel, Reason, Tlvs,
    packet::{ConnackPacket, DisconnectPacket, ListedPacket, Packet, ReplyPacket, SendackPacket, SyncedPacket},
    session::server::Detail,
    tag,
};

impl ClientState {
    pub(super) fn handle_packet(&mut self, now_ms: u64, packet: Packet) -> Result<(), Failure> {
        match packet {
            Packet::Connack(connack) => self.handle_connack(connack)?,
            Packet::Disconnect(DisconnectPacket { reason, tlvs }) => self.refused(reason, &tlvs),
            Packet::Sendack(sendack) => {
                let SendackPacket { number, reason, seq, time_ms, tlvs } = sendack;
                self.handle_answer(now_ms, number, (reason, seq, time_ms), &tlvs)?;
            }
            Packet::Reply(reply) => self.handle_reply(now_ms, reply)?,
            Packet::Recv(image) if self.device.is_some() => {
                let channel = image.channel.clone();
                let (channels, mut out) = self.channels_and_outlet();
                channels.receive(now_ms, &channel, image.seq, Held::Image(image), &mut out);
            }
            Packet::Lag(_) if self.device.is_some() => self.channels.listing.wanted = true,
            Packet::Notice(notice) => self.tell(ClientEvent::Notice(notice)),
            Packet::Listed(listed) => self.handle_listed(now_ms, listed)?,
            Packet::Synced(synced) => self.handle_synced(now_ms, synced)?,
            // The session passes nothing else on.
            _ => {}
        }
        Ok(())
    }

    fn handle_connack(&mut self, connack: ConnackPacket) -> Result<(), Failure> {
        if connack.reason != Reason::Ok {
            if connack.reason == Reason::SenderExpired {
                let perhaps = self.commands.forget_sender();
                self.perhaps_sent(perhaps);
            }
            self.refused(connack.reason, &connack.tlvs);
            return Ok(());
        }
        let Some(user) = connack.user.map(|user| user.detached()) else {
            return Err(Failure::violation("CONNACK names no user"));
        };
        if self.user.as_ref().is_some_and(|known| *known != user) {
            let detail = "the token is another user's than this state";
            self.closed(Some(Reason::Unauthenticated), Retry::NewToken, detail.to_string());
            return Ok(());
        }
        self.user = Some(user.clone());
        let perhaps = self.commands.adopt(connack.sender);
        self.phase = Phase::Open;
        self.sync_page = connack.limits.sync_page;
        let (server_time_ms, limits) = (connack.server_time_ms, connack.limits);
        self.tell(ClientEvent::Connected { user, server_time_ms, limits });
        self.perhaps_sent(perhaps);
        Ok(())
    }

    /// The answer to a command: its reason, the seq and the time of what it stored.
    fn handle_answer(
        &mut self,
        now_ms: u64,
        number: u64,
        (reason, seq, time_ms): (Reason, u64, u64),
        tlvs: &Tlvs,
    ) -> Result<(), Failure> {
        if reason == Reason::Internal {
            // Whether it was stored is open: connect again and send it again.
            return Err(Failure { reason, detail: Detail::Rule("the server failed to answer a command") });
        }
        let after = tlvs.get_u32(tag::RETRY_AFTER_MS);
        match self.commands.answer(now_ms, number, reason, after) {
            Some(Answer::Stored(Command { number, channel, .. })) => {
                self.answers.push_back(ClientEvent::Sent { number, channel: channel.clone(), seq, time_ms });
                if self.device.is_some() {
                    let (channels, mut out) = self.channels_and_outlet();
                    channels.receive(now_ms, &channel, seq, Held::Own, &mut out);
                }
            }
            Some(Answer::Refused(Command { number, .. })) => {
                self.answers.push_back(ClientEvent::Refused { number, reason, detail: detail(tlvs) });
            }
            Some(Answer::Perhaps(Command { number, .. })) => {
                let sender = self.commands.sender;
                self.answers.push_back(ClientEvent::PerhapsSent { sender, number });
            }
            // Not in flight any more: its image told of it before its answer.
            Some(Answer::Later) | None => {}
        }
        Ok(())
    }

    fn handle_reply(&mut self, now_ms: u64, reply: ReplyPacket) -> Result<(), Failure> {
        if let Some(number) = self.commands.of_request(reply.request) {
            return self.handle_answer(now_ms, number, (reply.reason, reply.seq, reply.time_ms), &reply.tlvs);
        }
        if let Some(Read::Question(question)) = self.take_read(reply.request, |read| matches!(read, Read::Question(_)))
        {
            if self.comes_again(now_ms, reply.reason, &reply.tlvs) {
                self.questions.push_front(question);
            } else {
                self.answers.push_back(ClientEvent::Reply { question: question.id, reply });
            }
        }
        Ok(())
    }

    fn handle_listed(&mut self, now_ms: u64, listed: ListedPacket) -> Result<(), Failure> {
        if self.take_read(listed.request, |read| matches!(read, Read::List)).is_none() {
            return Ok(());
        }
        match listed.reason {
            Reason::Ok => {
                let (channels, mut out) = self.channels_and_outlet();
                channels.listed(now_ms, listed, &mut out);
            }
            Reason::BadListToken if !self.channels.listing.token.is_empty() => self.channels.listing.start_over(),
            reason if self.comes_again(now_ms, reason, &listed.tlvs) => self.channels.listing.repeat(),
            reason => return Err(Failure { reason, detail: Detail::Rule("the server refused LIST") }),
        }
        Ok(())
    }

    fn handle_synced(&mut self, now_ms: u64, synced: SyncedPacket) -> Result<(), Failure> {
        let Some(Read::Sync { channel, from, to }) =
            self.take_read(synced.request, |read| matches!(read, Read::Sync { .. }))
        else {
            return Ok(());
        };
        match synced.reason {
            Reason::Ok if synced.to < synced.from => {
                // It holds less than it told of before: ask again, but not without a pause.
                self.channels.sync_ended(&channel);
                self.reads_at = now_ms.saturating_add(u64::from(RETRY_MS));
            }
            Reason::Ok if !self.channels.is_in_epoch(&channel, synced.epoch) => self.start_over(now_ms, &channel),
            Reason::Ok => {
                let (channels, mut out) = self.channels_and_outlet();
                channels.synced(now_ms, &channel, (from, to), synced, &mut out)?;
            }
            Reason::EpochMismatch => self.start_over(now_ms, &channel),
            Reason::NoChannel => self.channels.forget(&channel),
            reason if self.comes_again(now_ms, reason, &synced.tlvs) => self.channels.sync_ended(&channel),
            reason => return Err(Failure { reason, detail: Detail::Rule("the server refused SYNC") }),
        }
        Ok(())
    }

    /// What is held of `channel` is void: list everything, after a pause, for a server may say so again and again.
    fn start_over(&mut self, now_ms: u64, channel: &Channel) {
        self.channels.mismatch(channel);
        self.reads.retain(|_, read| !matches!(read, Read::List));
        self.reads_at = now_ms.saturating_add(u64::from(RETRY_MS));
    }

    fn take_read(&mut self, request: u32, is_it: impl FnOnce(&Read) -> bool) -> Option<Read> {
        if self.reads.get(&request).is_some_and(is_it) { self.reads.remove(&request) } else { None }
    }

    /// Whether a refused LIST, SYNC or question has to be asked again; notes when.
    fn comes_again(&mut self, now_ms: u64, reason: Reason, tlvs: &Tlvs) -> bool {
        let again = matches!(
            reason,
            Reason::Busy | Reason::RateLimited | Reason::QuotaExceeded | Reason::StorageFull | Reason::Shutdown
        );
        if again {
            let after = u64::from(tlvs.get_u32(tag::RETRY_AFTER_MS).unwrap_or(RETRY_MS));
            self.reads_at = self.reads_at.max(now_ms.saturating_add(after));
        }
        again
    }

    /// The server ended the connection, or did not begin it.
    fn refused(&mut self, reason: Reason, tlvs: &Tlvs) {
        let retry = Retry::after(reason, tlvs.get_u32(tag::RETRY_AFTER_MS));
        self.closed(Some(reason), retry, detail(tlvs));
    }
}
