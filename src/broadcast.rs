//! Broadcasts under way: one task that sees to everybody they are for, a piece of them after the other, and notes how far
//! it is. It asks the owners of the slots like a session does, with few commands on their way at a time, so that others
//! come in between. What it did before a crash and had not noted it does again, which changes nothing.

pub mod broadcasters;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use postrider_protocol::{
    Channel, CommandId, Id, Reason,
    frame::Decoder,
    packet::{Packet, broadcast::Reach},
};
use postrider_storage::{BroadcastRow, StateKey, StoreError, TagsRow, fold::broadcast::Step};
use tokio_util::sync::CancellationToken;

use broadcasters::Broadcasters;

use crate::{
    clock::Clock,
    lookup::Lookup,
    metrics::Metrics,
    outbox::{Outbox, OutboxBounds},
    pipeline::Inbox,
    slot::{Announced, Command, Deed, Origin, Submission, worker_of},
};

/// Users that are seen to between two notes of how far a broadcast is.
const PIECE: usize = 256;
/// Messages that are on their way at a time.
const WINDOW: usize = 64;
/// What is refused for now, and a store that cannot be read, is tried again after so long.
const AGAIN: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Broadcaster {
    broadcasters: Arc<Broadcasters>,
    lookup: Lookup,
    queues: Vec<Inbox>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// What is to be done next for a user's broadcasts.
enum Next {
    /// Nothing.
    Nothing,
    /// It is over.
    End(CommandId),
    /// These users are sent it.
    Piece(Piece),
}

struct Piece {
    message: Arc<Announced>,
    /// Whom to send it to, as their person channels.
    to: Vec<Channel>,
    /// Everybody up to this one is seen to then.
    through: Id,
}

impl Broadcaster {
    /// Sees to the broadcasts of `broadcasters`; `queues` has one for each worker.
    #[must_use]
    pub const fn new(
        broadcasters: Arc<Broadcasters>,
        lookup: Lookup,
        queues: Vec<Inbox>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { broadcasters, lookup, queues, clock, metrics }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&self) {
        loop {
            let (tenant, user) = self.broadcasters.next().await;
            let lookup = self.lookup.clone();
            let asked = user.clone();
            // A read that was cut short is made again the next time.
            let next = tokio::task::spawn_blocking(move || next(&lookup, tenant, &asked)).await;
            match next {
                Ok(Ok(Next::Nothing)) => continue,
                Ok(Ok(Next::End(id))) => {
                    self.note(tenant, &user, Step::End { id, forgotten: None }).await;
                    tracing::info!(tenant, user = user.as_str(), number = id.number, "a broadcast has ended");
                }
                Ok(Ok(Next::Piece(piece))) => self.send(tenant, &user, piece).await,
                Ok(Err(error)) => {
                    tracing::error!(%error, "a broadcast cannot go on, it is tried again");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(_) => return,
            }
            self.broadcasters.add(tenant, &user);
        }
    }

    /// Sends a piece, and notes it.
    async fn send(&self, tenant: u32, user: &Id, Piece { message, to, through }: Piece) {
        let (mut sent, mut refused) = (0, 0);
        for some in to.chunks(WINDOW) {
            let deeds = some.iter().map(|channel| (channel.clone(), Deed::Send(Arc::clone(&message)))).collect();
            for reason in self.ask(tenant, user, message.id, deeds).await {
                *(if reason == Reason::Ok { &mut sent } else { &mut refused }) += 1;
            }
        }
        self.metrics.broadcast_messages.inc_by(sent);
        self.note(tenant, user, Step::Send { id: message.id, through, sent, refused }).await;
    }

    async fn note(&self, tenant: u32, user: &Id, step: Step) {
        let (Step::Send { id, .. } | Step::End { id, .. }) = &step else { return };
        self.ask(tenant, user, *id, vec![(Channel::user(user), Deed::Note(step.clone()))]).await;
    }

    /// Asks for all of `deeds` until none is refused for now; returns why each was refused, in no particular order.
    async fn ask(&self, tenant: u32, user: &Id, id: CommandId, mut deeds: Vec<(Channel, Deed)>) -> Vec<Reason> {
        let outbox = Arc::new(Outbox::new(Arc::new(OutboxBounds::new(0, 0, 0))));
        let origin = Origin::of_server(tenant, user.clone(), id.sender, Arc::clone(&outbox));
        let origin = Arc::new(Origin { is_system: true, ..origin });
        let mut reasons = Vec::new();
        while !deeds.is_empty() {
            self.submit(&origin, &deeds).await;
            let mut again = Vec::new();
            for (request, reason) in answers(&outbox, deeds.len()).await {
                match reason {
                    Reason::Busy | Reason::StorageFull => {
                        again.extend(deeds.get(request as usize).cloned());
                    }
                    reason => reasons.push(reason),
                }
            }
            deeds = again;
            if !deeds.is_empty() {
                tokio::time::sleep(AGAIN).await;
            }
        }
        reasons
    }

    /// Hands each of `deeds` to the owner of its slot, under its number as a request.
    async fn submit(&self, origin: &Arc<Origin>, deeds: &[(Channel, Deed)]) {
        let mut submissions: Vec<Vec<Command>> = self.queues.iter().map(|_| Vec::new()).collect();
        for (request, (channel, deed)) in (0..).zip(deeds) {
            let worker = worker_of(channel.slot(origin.tenant), self.queues.len());
            if let Some(commands) = submissions.get_mut(worker) {
                commands.push(Command::Broadcast { request, channel: channel.clone(), deed: deed.clone() });
            }
        }
        origin.outbox.owe(u32::try_from(deeds.len()).unwrap_or(u32::MAX));
        for (queue, commands) in self.queues.iter().zip(submissions) {
            if !commands.is_empty() {
                let origin = Arc::clone(origin);
                queue.send(Submission { origin, at_ms: self.clock.now().mono_ms, commands }).await;
            }
        }
    }
}

/// Waits for so many answers; returns the request and the reason of each.
async fn answers(outbox: &Outbox, count: usize) -> Vec<(u32, Reason)> {
    let (mut decoder, mut answers) = (Decoder::default(), Vec::new());
    while answers.len() < count {
        poll_fn(|context| if outbox.poll_woken(context.waker()) { Poll::Ready(()) } else { Poll::Pending }).await;
        let mut bytes = Vec::new();
        outbox.take(&mut bytes);
        decoder.feed(bytes.into());
        while let Ok(Some(frame)) = decoder.next_frame() {
            if let Ok(Some(Packet::Reply(reply))) = Packet::decode(frame) {
                answers.push((reply.request, reply.reason));
            }
        }
    }
    answers
}

/// What is to be done next for the broadcasts of `user`: they are sent in the order in which they were asked for.
fn next(lookup: &Lookup, tenant: u32, user: &Id) -> Result<Next, StoreError> {
    let under_way = lookup.broadcasts(tenant, user)?.into_iter().filter(|(_, row)| row.ended_ms == 0);
    let Some((id, row)) = under_way.min_by_key(|(_, row)| row.made) else { return Ok(Next::Nothing) };
    if row.is_cancelled {
        return Ok(Next::End(id));
    }
    let content = lookup.content((tenant, &Channel::user(user)), user, (id, row.parts))?;
    let Some((tlvs, body)) = content else {
        tracing::error!(tenant, user = user.as_str(), number = id.number, "the content of a broadcast is damaged");
        return Ok(Next::End(id));
    };
    let BroadcastRow { flags, reach, through, .. } = row;
    let (are_tagged, after) = (matches!(reach, Reach::Tagged(_)), through.as_ref().map(Channel::user));
    let channels = lookup.own_channels(tenant, are_tagged, (after.as_ref(), PIECE))?;
    let Some(last) = channels.last() else { return Ok(Next::End(id)) };
    let through = last.ids().0.detached();
    let mut to = Vec::new();
    for channel in &channels {
        let reader = channel.ids().0;
        let is_meant = match &reach {
            Reach::Everybody => true,
            Reach::Tagged(tag) => {
                let row: Option<TagsRow> = lookup.row(tenant, channel, &StateKey::Tags)?;
                row.is_some_and(|row| row.tags.contains(tag))
            }
        };
        if is_meant && reader != *user {
            to.push(Channel::person(user, &reader));
        }
    }
    let message = Arc::new(Announced { id, flags, tlvs, body });
    Ok(Next::Piece(Piece { message, to, through }))
}
