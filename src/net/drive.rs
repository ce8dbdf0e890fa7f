//! The driver of one session: bytes between a socket and the session's value, effects carried out, one timer. One task
//! for a connection; while it is idle it holds no buffer.

use std::{
    cell::RefCell,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use postrider_protocol::{
    Reason, Tlvs,
    packet::{DisconnectPacket, Packet},
    tag,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::{Instant, Sleep},
};

use super::{listener::Seat, reads::Reads, transport::Transport};
use crate::{
    clock::Clock,
    metrics::Metrics,
    outbox::Farewell,
    pipeline::Inbox,
    session::{Effect, Session, Shared},
    slot::Now,
};

/// One read takes at most so much; after one that took more than half of it the others have their turn.
const READ_BYTES: usize = 16 << 10;
/// A connection that is to end has so long for what it is still owed.
const SETTLE_MS: u64 = 5_000;
/// And then so long to take its last frame.
const LAST_FRAME: Duration = Duration::from_secs(1);

/// Numbers connections, over all listeners of a process.
static NEXT: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// Bytes are read into this and copied out in their exact length, so that a waiting connection holds no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// What drivers need of the server.
#[derive(Debug)]
pub struct Services {
    /// What sessions share.
    pub shared: Arc<Shared>,
    /// The queue of each worker.
    pub queues: Vec<Inbox>,
    /// LIST and SYNC.
    pub reads: Reads,
    /// The clocks.
    pub clock: Clock,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// A connection that takes nothing for so long, milliseconds, is closed.
    pub slow_after_ms: u64,
}

/// One connection, from accept to its end: the future of its task. It is written out by hand, so that a connection that
/// waits is no larger than what it needs to wait; what only the end needs is made at the end.
#[must_use = "nothing happens until it is polled"]
pub struct Drive(State);

#[allow(clippy::large_enum_variant, reason = "this is the state that lasts, and the task is its box")]
enum State {
    Live(Driver),
    /// The goodbye is being said.
    Parting(Pin<Box<dyn Future<Output = ()> + Send>>),
    Over,
}

/// See the module.
struct Driver {
    services: Arc<Services>,
    session: Session,
    transport: Transport,
    /// Counted among the connections of its listener while it lives.
    _seat: Seat,
    /// What is being written, and how much of it is.
    pending: Vec<u8>,
    written: usize,
    needs_flush: bool,
    /// Whether the outbox may hold something.
    outbox_ready: bool,
    /// Whether something was put into it or taken out since the session went on: one that was held up may go on.
    outbox_moved: bool,
    /// Whether the others have their turn first.
    yields: bool,
    /// Since when the socket has taken nothing although bytes wait.
    stalled_since: Option<u64>,
    farewell: Option<Box<(Farewell, u64)>>,
    /// Effects that wait for room in the queue of a worker.
    blocked: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires, monotonic milliseconds.
    timer_at: u64,
}

impl Drive {
    /// The connection over `transport`; the time for CONNECT runs since `accepted`.
    pub fn new(services: Arc<Services>, transport: Transport, seat: Seat, accepted: Now) -> Self {
        let session = Session::new(Arc::clone(&services.shared), NEXT.fetch_add(1, Ordering::Relaxed), accepted);
        let timer_at = session.poll_timeout().unwrap_or(accepted.mono_ms);
        Self(State::Live(Driver {
            session,
            transport,
            _seat: seat,
            pending: Vec::new(),
            written: 0,
            needs_flush: false,
            outbox_ready: false,
            outbox_moved: false,
            yields: false,
            stalled_since: None,
            farewell: None,
            blocked: None,
            timer: Box::pin(tokio::time::sleep_until(Instant::from_std(services.clock.instant(timer_at)))),
            timer_at,
            services,
        }))
    }
}

impl Future for Drive {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Live(driver) = &mut self.0 {
            let lost = ready!(driver.poll_live(cx));
            if let State::Live(driver) = mem::replace(&mut self.0, State::Over) {
                self.0 = State::Parting(Box::pin(driver.part(lost)));
            }
        }
        if let State::Parting(parting) = &mut self.0 {
            ready!(parting.as_mut().poll(cx));
            self.0 = State::Over;
        }
        Poll::Ready(())
    }
}

impl Driver {
    /// Goes on until the connection is to end; true when its socket is of no use any more.
    fn poll_live(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if let Some(blocked) = &mut self.blocked {
                ready!(blocked.as_mut().poll(cx));
                self.blocked = None;
            }
            let woken = self.session.outbox().poll_woken(cx.waker());
            self.outbox_ready |= woken;
            self.outbox_moved |= woken;
            if self.poll_write(cx).is_err() {
                return Poll::Ready(true);
            }
            if let Some(lost) = self.is_over() {
                return Poll::Ready(lost);
            }
            if mem::take(&mut self.yields) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let effects = if mem::take(&mut self.outbox_moved) && self.session.is_held_up() {
                self.session.advance(self.services.clock.now())
            } else {
                match self.poll_read(cx) {
                    Poll::Ready(Ok(effects)) => effects,
                    Poll::Ready(Err(_)) => return Poll::Ready(true),
                    Poll::Pending => ready!(self.poll_timer(cx)),
                }
            };
            self.perform(effects);
        }
    }

    /// Whether to stop: Some(true) when the socket is of no use any more.
    fn is_over(&mut self) -> Option<bool> {
        if self.stalled_since.is_none() && self.farewell.is_none() {
            return None;
        }
        let now_ms = self.services.clock.now().mono_ms;
        if self.stalled_since.is_some_and(|since| now_ms >= since + self.services.slow_after_ms) {
            self.services.metrics.slow_consumers.inc();
            self.farewell = Some(Box::new((Reason::SlowConsumer.into(), now_ms)));
            return Some(true);
        }
        let (_, since) = self.farewell.as_deref()?;
        // Asked first: an answer is no longer owed only once it is in the outbox.
        let settled = self.session.is_settled();
        let written = self.written == self.pending.len() && self.session.outbox().waiting() == 0;
        let given_up = now_ms >= since + SETTLE_MS;
        ((settled && written) || given_up).then_some(given_up && !written)
    }

    fn end(&mut self, farewell: Farewell) {
        let now_ms = self.services.clock.now().mono_ms;
        self.farewell.get_or_insert_with(|| Box::new((farewell, now_ms)));
    }

    /// Carries effects out, as far as the workers have room: the rest is waited for before anything else.
    fn perform(&mut self, effects: Vec<Effect>) {
        let mut effects = effects.into_iter();
        while let Some(effect) = effects.next() {
            match effect {
                Effect::Submit(worker, submission) => {
                    let Some(queue) = self.services.queues.get(worker) else { continue };
                    if let Err(submission) = queue.try_send(submission) {
                        let rest = std::iter::once(Effect::Submit(worker, submission)).chain(effects);
                        self.blocked = Some(Box::pin(perform(Arc::clone(&self.services), rest)));
                        return;
                    }
                }
                Effect::Read(request) => self.services.reads.put(request),
            }
        }
    }

    /// Reads once, and gives the session what came.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<Vec<Effect>>> {
        if self.farewell.is_some() || !self.session.wants_bytes() {
            return Poll::Pending;
        }
        let bytes = SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.transport).poll_read(cx, &mut buffer))?;
            Poll::Ready(Ok::<_, std::io::Error>(Bytes::copy_from_slice(buffer.filled())))
        });
        let bytes = ready!(bytes)?;
        if bytes.is_empty() {
            // The peer will send no more.
            self.end(Farewell { silent: true, ..Reason::Ok.into() });
            return Poll::Ready(Ok(Vec::new()));
        }
        // A peer that sends without end would keep this thread until the runtime has enough of it.
        self.yields = bytes.len() > READ_BYTES / 2;
        self.services.metrics.bytes_received.inc_by(bytes.len() as u64);
        let now = self.services.clock.now();
        self.session.handle_bytes(now, bytes);
        Poll::Ready(Ok(self.session.advance(now)))
    }

    /// Writes as much as the socket takes.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> std::io::Result<()> {
        loop {
            while let Some(rest) = self.pending.get(self.written..).filter(|rest| !rest.is_empty()) {
                match Pin::new(&mut self.transport).poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => return Err(std::io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(count)) => {
                        self.written += count;
                        self.stalled_since = None;
                        self.needs_flush = true;
                        self.services.metrics.bytes_sent.inc_by(count as u64);
                    }
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => {
                        self.stall();
                        return Ok(());
                    }
                }
            }
            self.pending = Vec::new();
            self.written = 0;
            if !self.outbox_ready {
                break;
            }
            let farewell = self.session.outbox().take(&mut self.pending);
            // Something may still be there when something was: a LAG is due once the queue has drained.
            self.outbox_ready = !self.pending.is_empty();
            self.outbox_moved |= self.outbox_ready;
            if let Some(farewell) = farewell {
                self.end(farewell);
            }
        }
        if self.needs_flush {
            match Pin::new(&mut self.transport).poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.needs_flush = false;
                    self.stalled_since = None;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => self.stall(),
            }
        }
        Ok(())
    }

    /// The socket takes nothing. A peer that takes nothing must not hold up the end: its time runs from now.
    fn stall(&mut self) {
        if self.stalled_since.is_none() {
            self.stalled_since = Some(self.services.clock.now().mono_ms);
        }
        if self.outbox_ready
            && let Some(farewell) = self.session.outbox().farewell()
        {
            self.end(farewell);
        }
    }

    /// What is due. The timer is moved only when it would fire too late: a deadline that moved on is looked at again
    /// when the timer fires early.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Vec<Effect>> {
        let slow = self.stalled_since.map(|since| since + self.services.slow_after_ms);
        let settle = self.farewell.as_ref().map(|ending| ending.1 + SETTLE_MS);
        let due = [self.session.poll_timeout(), slow, settle].into_iter().flatten().min();
        loop {
            if let Some(due) = due.filter(|due| *due < self.timer_at || self.timer.is_elapsed()) {
                self.timer_at = due;
                self.timer.as_mut().reset(Instant::from_std(self.services.clock.instant(due)));
            }
            ready!(self.timer.as_mut().poll(cx));
            let now = self.services.clock.now();
            match due {
                Some(due) if due <= now.mono_ms => {
                    let mut effects = self.session.handle_timeout(now);
                    effects.extend(self.session.advance(now));
                    return Poll::Ready(effects);
                }
                Some(_) => {}
                None => return Poll::Pending,
            }
        }
    }

    /// Hands on what is left, then the last frame and the goodbye of the transport.
    async fn part(mut self, lost: bool) {
        let effects = self.session.finish(self.services.clock.now());
        perform(Arc::clone(&self.services), effects.into_iter()).await;
        let farewell = self.farewell.take().map_or_else(|| Reason::Ok.into(), |ending| ending.0);
        if !lost {
            self.say_goodbye(&farewell).await;
        }
        self.services.metrics.connection_closed(self.transport.kind(), farewell.reason);
    }

    async fn say_goodbye(&mut self, farewell: &Farewell) {
        if !farewell.silent {
            let retry_after = farewell.retry_after_ms.map(u32::to_be_bytes);
            let retry_after = retry_after.as_ref().map(|bytes| (tag::RETRY_AFTER_MS, &bytes[..]));
            let detail = farewell.detail.as_ref().map(|text| (tag::DETAIL, text.as_bytes()));
            let tlvs = Tlvs::from_pairs(retry_after.into_iter().chain(detail));
            let mut frame = Vec::new();
            Packet::Disconnect(DisconnectPacket { reason: farewell.reason, tlvs }).encode(&mut frame);
            let write = async {
                self.transport.write_all(&frame).await?;
                self.transport.flush().await
            };
            if !matches!(tokio::time::timeout(LAST_FRAME, write).await, Ok(Ok(()))) {
                return;
            }
        }
        // The peer may be gone already; there is nobody left to tell.
        let _ = self.transport.close_with(farewell.reason).await;
    }
}

/// Carries effects out, waiting for the workers.
async fn perform(services: Arc<Services>, effects: impl Iterator<Item = Effect>) {
    for effect in effects {
        match effect {
            Effect::Submit(worker, submission) => {
                if let Some(queue) = services.queues.get(worker) {
                    queue.send(submission).await;
                }
            }
            Effect::Read(request) => services.reads.put(request),
        }
    }
}

/// The one frame of a connection that is turned away.
#[must_use]
pub fn busy_frame(retry_after_ms: u32) -> Vec<u8> {
    let tlvs = Tlvs::from_pairs([(tag::RETRY_AFTER_MS, &retry_after_ms.to_be_bytes()[..])]);
    let mut frame = Vec::new();
    Packet::Disconnect(DisconnectPacket { reason: Reason::Busy, tlvs }).encode(&mut frame);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_waits_is_small() {
        // Each of thousands holds this. What comes rarely, or only at the end, belongs into a box.
        assert!(size_of::<Drive>() <= 400, "{} bytes", size_of::<Drive>());
    }
}
