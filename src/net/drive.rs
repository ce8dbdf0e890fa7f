//! The driver of one session: bytes between a socket and the session's value, effects carried out, one timer. One task
//! for a connection; while it is idle it holds no buffer.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use postrider_protocol::{
    Reason, Tlvs,
    packet::{DisconnectPacket, Packet},
    tag,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    sync::Semaphore,
    time::{Instant, Sleep},
};

use super::transport::Transport;
use crate::{
    clock::Clock,
    metrics::Metrics,
    outbox::Farewell,
    pipeline::Inbox,
    reader::Reader,
    session::{Effect, ReadRequest, Session, Shared},
    slot::Now,
};

/// One read takes at most so much; after one that took more than half of it the others have their turn.
const READ_BYTES: usize = 16 << 10;
/// A connection that waits keeps no larger buffer for writing.
const KEPT_BYTES: usize = 64 << 10;
/// A connection that is to end has so long for what it is still owed.
const SETTLE_MS: u64 = 5_000;
/// And then so long to take its last frame.
const LAST_FRAME: Duration = Duration::from_secs(1);

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
    pub reader: Arc<Reader>,
    /// How many of them at once.
    pub reads: Arc<Semaphore>,
    /// The clocks.
    pub clock: Clock,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// A connection that takes nothing for so long, milliseconds, is closed.
    pub slow_after_ms: u64,
}

/// What woke a driver.
enum Turn {
    Bytes(Bytes),
    /// The peer will send no more.
    Eof,
    /// The socket failed.
    Lost,
    Woken,
    Timer,
}

/// See the module.
struct Driver {
    services: Arc<Services>,
    session: Session,
    transport: Transport,
    /// What is being written, and how much of it is.
    pending: Vec<u8>,
    written: usize,
    needs_flush: bool,
    /// Since when the socket has taken nothing although bytes wait.
    stalled_since: Option<u64>,
    farewell: Option<(Farewell, u64)>,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires, monotonic milliseconds.
    timer_at: u64,
}

/// Runs one connection to its end; `number` is unique in this process, the time for CONNECT runs since `accepted`.
pub async fn drive(services: Arc<Services>, transport: Transport, number: u64, accepted: Now) {
    let session = Session::new(Arc::clone(&services.shared), number, accepted);
    let kind = transport.kind();
    let timer_at = accepted.mono_ms;
    let timer = Box::pin(tokio::time::sleep_until(Instant::from_std(services.clock.instant(timer_at))));
    let mut driver = Driver {
        services,
        session,
        transport,
        pending: Vec::new(),
        written: 0,
        needs_flush: false,
        stalled_since: None,
        farewell: None,
        timer,
        timer_at,
    };
    let reason = driver.run().await;
    driver.services.metrics.connection_closed(kind, reason);
}

impl Driver {
    async fn run(&mut self) -> Reason {
        let lost = loop {
            let turn = poll_fn(|cx| self.poll_turn(cx)).await;
            let is_long = matches!(&turn, Turn::Bytes(bytes) if bytes.len() > READ_BYTES / 2);
            let now = self.services.clock.now();
            let effects = match turn {
                Turn::Bytes(bytes) => {
                    self.services.metrics.bytes_received.inc_by(bytes.len() as u64);
                    self.session.handle_bytes(now, bytes);
                    self.session.advance(now)
                }
                Turn::Woken => {
                    // A peer that takes nothing must not hold up the end, so that its time runs from now.
                    if let Some(farewell) = self.session.outbox().farewell() {
                        self.end(now.mono_ms, farewell);
                    }
                    self.session.advance(now)
                }
                Turn::Timer => {
                    let mut effects = self.session.handle_timeout(now);
                    effects.extend(self.session.advance(now));
                    effects
                }
                Turn::Eof => {
                    self.end(now.mono_ms, Farewell { silent: true, ..Reason::Ok.into() });
                    Vec::new()
                }
                Turn::Lost => break true,
            };
            self.perform(effects).await;
            if let Some(lost) = self.is_over(now.mono_ms) {
                break lost;
            }
            if is_long {
                // A peer that sends without end would keep this thread until the runtime has enough of it.
                tokio::task::yield_now().await;
            }
        };
        let effects = self.session.finish(self.services.clock.now());
        self.perform(effects).await;
        let farewell = self.farewell.take().map_or_else(|| Reason::Ok.into(), |(farewell, _)| farewell);
        if !lost {
            self.part(&farewell).await;
        }
        farewell.reason
    }

    /// Whether to stop: Some(true) when the socket is of no use any more.
    fn is_over(&mut self, now_ms: u64) -> Option<bool> {
        if self.stalled_since.is_some_and(|since| now_ms >= since + self.services.slow_after_ms) {
            self.services.metrics.slow_consumers.inc();
            self.farewell = Some((Reason::SlowConsumer.into(), now_ms));
            return Some(true);
        }
        let (_, since) = self.farewell.as_ref()?;
        let written = self.written == self.pending.len() && self.session.outbox().waiting() == 0;
        let given_up = now_ms >= since + SETTLE_MS;
        ((written && self.session.is_settled()) || given_up).then_some(given_up && !written)
    }

    fn end(&mut self, now_ms: u64, farewell: Farewell) {
        self.farewell.get_or_insert((farewell, now_ms));
    }

    async fn perform(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Submit(worker, submission) => {
                    if let Some(queue) = self.services.queues.get(worker) {
                        queue.send(submission).await;
                    }
                }
                Effect::Read(request) => {
                    // Its own task: while it waits for its turn, the connection goes on.
                    tokio::spawn(read(Arc::clone(&self.services), request));
                }
            }
        }
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        if self.poll_write(cx).is_err() {
            return Poll::Ready(Turn::Lost);
        }
        if self.session.outbox().poll_woken(cx.waker()) {
            // What was queued meanwhile is taken at the next poll, which follows at once.
            return Poll::Ready(Turn::Woken);
        }
        if self.farewell.is_none() && self.session.wants_bytes() {
            match self.poll_read(cx) {
                Poll::Ready(Ok(bytes)) if bytes.is_empty() => return Poll::Ready(Turn::Eof),
                Poll::Ready(Ok(bytes)) => return Poll::Ready(Turn::Bytes(bytes)),
                Poll::Ready(Err(_)) => return Poll::Ready(Turn::Lost),
                Poll::Pending => {}
            }
        }
        self.poll_timer(cx).map(|()| Turn::Timer)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<Bytes>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut self.transport).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled()))),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            }
        })
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
            self.pending.clear();
            self.written = 0;
            if !self.session.outbox().is_ready() || self.farewell.is_some() && self.session.outbox().waiting() == 0 {
                break;
            }
            if let Some(farewell) = self.session.outbox().take(&mut self.pending) {
                let now = self.services.clock.now().mono_ms;
                self.end(now, farewell);
            }
        }
        if self.pending.capacity() > KEPT_BYTES {
            self.pending = Vec::new();
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

    fn stall(&mut self) {
        if self.stalled_since.is_none() {
            self.stalled_since = Some(self.services.clock.now().mono_ms);
        }
    }

    /// Ready when something is due. The timer is moved only when it would fire too late: a deadline that moved on is
    /// looked at again when the timer fires early.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let slow = self.stalled_since.map(|since| since + self.services.slow_after_ms);
        let settle = self.farewell.as_ref().map(|(_, since)| since + SETTLE_MS);
        let due = [self.session.poll_timeout(), slow, settle].into_iter().flatten().min();
        loop {
            if let Some(due) = due.filter(|due| *due < self.timer_at || self.timer.is_elapsed()) {
                self.timer_at = due;
                self.timer.as_mut().reset(Instant::from_std(self.services.clock.instant(due)));
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = self.services.clock.now().mono_ms;
            match due {
                Some(due) if due <= now => return Poll::Ready(()),
                Some(_) => {}
                None => return Poll::Pending,
            }
        }
    }

    /// The last frame, and the goodbye of the transport.
    async fn part(&mut self, farewell: &Farewell) {
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

/// Reads on the blocking pool, when fewer than the bound are reading.
async fn read(services: Arc<Services>, request: ReadRequest) {
    let Ok(permit) = Arc::clone(&services.reads).acquire_owned().await else { return };
    let reading = tokio::task::spawn_blocking(move || {
        let start = std::time::Instant::now();
        request.run(&services.reader, services.clock.now().wall_ms);
        services.metrics.read_duration.observe(start.elapsed().as_secs_f64());
        drop(permit);
    });
    // A panic in it is told by the panic hook; the client asks again.
    let _ = reading.await;
}

/// The one frame of a connection that is turned away.
#[must_use]
pub fn busy_frame(retry_after_ms: u32) -> Vec<u8> {
    let tlvs = Tlvs::from_pairs([(tag::RETRY_AFTER_MS, &retry_after_ms.to_be_bytes()[..])]);
    let mut frame = Vec::new();
    Packet::Disconnect(DisconnectPacket { reason: Reason::Busy, tlvs }).encode(&mut frame);
    frame
}
