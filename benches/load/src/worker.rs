//! One thread: many nonblocking sockets, one poll. What is read in one round is answered in one write for each
//! connection.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    io::ErrorKind,
    os::fd::AsRawFd as _,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mio::{Events, Interest, Poll, Token, Waker, unix::SourceFd};
use rustix::{
    fd::OwnedFd,
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec},
};

use crate::{
    conn::{Conn, Lent, Status, Turn},
    ledger::Ledger,
    options::Scenario,
    plan::{Plan, Stay},
    sink::Progress,
    tally::{Board, Phase},
    transport::Stream,
};

const WAKE: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);
/// How often a thread looks around when nothing happens.
const ROUND: Duration = Duration::from_millis(10);
const SECOND_NS: u64 = 1_000_000_000;
/// Each connection ticks once a second, so many groups of them one after the other: devices do not know of each other.
const TICKS: usize = 16;
/// Connections of one thread that are on their way at a time.
const OPENING: usize = 256;
const BUFFER: usize = 512 << 10;
const SCRATCH: usize = 64 << 10;
/// A connection that failed comes again after so long.
const AGAIN_NS: u64 = 500_000_000;

/// See the module.
pub(crate) struct Worker {
    plan: Arc<Plan>,
    board: Arc<Board>,
    number: usize,
    poll: Poll,
    timer: OwnedFd,
    /// What the timer is set to.
    timer_ns: u64,
    wakers: Arc<Vec<Waker>>,
    conns: Vec<Conn>,
    /// The first connection of the plan on this thread comes to index 0; by number of the plan.
    places: Vec<Option<u32>>,
    /// Connections that are wanted and not begun.
    wanted: VecDeque<u32>,
    opening: usize,
    up: u64,
    caught_up: u64,
    dirty: Vec<u32>,
    wakes: BinaryHeap<Reverse<(u64, u32)>>,
    ledger: Ledger,
    progress: Progress,
    phase: Phase,
    ticked_ns: u64,
    /// Whose turn it was then, of [`TICKS`].
    tick: usize,
    /// The moment of this round.
    now_ns: u64,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
}

impl Worker {
    /// The thread's poll and the waker that others wake it with.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn poll() -> std::io::Result<(Poll, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        Ok((poll, waker))
    }

    /// Thread `number` of the plan.
    ///
    /// # Errors
    /// The system refuses, or the plan is no plan.
    pub(crate) fn new(
        plan: Arc<Plan>,
        board: Arc<Board>,
        number: usize,
        poll: Poll,
        wakers: Arc<Vec<Waker>>,
    ) -> Result<Self, String> {
        let timer =
            rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)
                .map_err(|error| error.to_string())?;
        poll.registry()
            .register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)
            .map_err(|error| error.to_string())?;
        let threads = wakers.len();
        let (mut conns, mut places, mut members) = (Vec::new(), Vec::new(), 0);
        for me in 0..plan.roles.len() as u32 {
            let mine = plan.thread(me, threads) == number;
            places.push(mine.then_some(conns.len() as u32));
            if mine {
                let conn = Conn::new(&plan, me)?;
                members += u32::from(plan.roles.get(me as usize).is_some_and(|role| role.receives));
                conns.push(conn);
            }
        }
        let fan = (plan.options.scenario == Scenario::Fanout).then_some(members);
        let flows = if plan.waits_for_receivers() { plan.flows.len() } else { 0 };
        Ok(Self {
            board,
            number,
            poll,
            timer,
            timer_ns: u64::MAX,
            wakers,
            places,
            wanted: VecDeque::new(),
            opening: 0,
            up: 0,
            caught_up: 0,
            dirty: Vec::new(),
            wakes: BinaryHeap::new(),
            ledger: Ledger::new(),
            progress: Progress::new(flows, fan),
            phase: Phase::Connect,
            ticked_ns: 0,
            tick: 0,
            now_ns: 0,
            buffer: vec![0; BUFFER],
            scratch: vec![0; SCRATCH],
            conns,
            plan,
        })
    }

    /// Runs to the end of the run; returns the counts.
    pub(crate) fn run(mut self) -> Ledger {
        let mut events = Events::with_capacity(4_096);
        self.want(|stay| matches!(stay, Stay::Always | Stay::ComeAndGo { .. }));
        while self.phase < Phase::Stop {
            if let Err(error) = self.poll.poll(&mut events, Some(ROUND))
                && error.kind() != ErrorKind::Interrupted
            {
                self.board.trouble(format!("poll: {error}"));
                break;
            }
            let now_ns = self.plan.now_ns();
            self.now_ns = now_ns;
            for event in &events {
                match event.token() {
                    WAKE => {}
                    TIMER => {
                        let mut count = [0; 8];
                        let _ = rustix::io::read(&self.timer, &mut count);
                        self.timer_ns = u64::MAX;
                    }
                    Token(at) => self.ready(at as u32, event.is_readable(), event.is_writable(), now_ns),
                }
            }
            self.look_around(now_ns);
            self.open_wanted(now_ns);
            self.wake_due(now_ns);
            self.write_all(now_ns);
            self.publish();
            self.set_timer(now_ns);
        }
        self.ledger
    }

    fn want(&mut self, which: impl Fn(Stay) -> bool) {
        let wanted = (0..).zip(&self.conns).filter(|(_, conn)| which(conn.stay)).map(|(at, _)| at);
        self.wanted.extend(wanted);
    }

    /// Begins the connections that are wanted, so many at a time.
    fn open_wanted(&mut self, now_ns: u64) {
        while self.opening < OPENING
            && let Some(at) = self.wanted.pop_front()
        {
            let Some(conn) = self.conns.get_mut(at as usize) else { continue };
            if conn.status != Status::Down {
                continue;
            }
            let opened = Stream::connect(&self.plan.site).and_then(|mut stream| {
                let both = Interest::READABLE | Interest::WRITABLE;
                self.poll.registry().register(stream.socket(), Token(at as usize), both)?;
                Ok(stream)
            });
            match opened {
                Ok(stream) => {
                    conn.stream = Some(stream);
                    conn.status = Status::Opening;
                    conn.caught_up = false;
                    self.opening += 1;
                }
                Err(error) => self.broke(at, format!("cannot connect: {error}"), now_ns),
            }
        }
    }

    /// Something happened on a socket.
    fn ready(&mut self, at: u32, readable: bool, writable: bool, now_ns: u64) {
        if let Err(error) = self.serve(at, readable, writable, now_ns) {
            self.broke(at, error, now_ns);
        }
    }

    fn serve(&mut self, at: u32, readable: bool, writable: bool, now_ns: u64) -> Result<(), String> {
        let Some(conn) = self.conns.get_mut(at as usize) else { return Ok(()) };
        let Some(stream) = &mut conn.stream else { return Ok(()) };
        if !conn.connected {
            if !stream.begin().map_err(|error| format!("cannot connect: {error}"))? {
                return Ok(());
            }
            conn.connected = true;
            if stream.is_open() {
                conn.hello(&self.plan);
            }
            mark(&mut self.dirty, conn, at);
        } else if writable && stream.is_behind() {
            stream.flush().map_err(|error| error.to_string())?;
            mark(&mut self.dirty, conn, at);
        }
        if readable {
            let mut lent = Lent { plan: &self.plan, ledger: &mut self.ledger, progress: &mut self.progress, now_ns };
            let turn = conn.read(&mut self.buffer, &mut self.scratch, &mut lent)?;
            mark(&mut self.dirty, conn, at);
            self.turn(at, turn, now_ns);
        }
        Ok(())
    }

    fn turn(&mut self, at: u32, turn: Turn, now_ns: u64) {
        let Some(conn) = self.conns.get_mut(at as usize) else { return };
        if turn.up && conn.status == Status::Opening {
            conn.let_in(now_ns);
            self.opening = self.opening.saturating_sub(1);
            self.up += 1;
            if let Stay::ComeAndGo { mean_ns } = conn.stay {
                let gone = (-(mean_ns as f64) * (1.0 - conn.chance.unit()).ln()) as u64;
                conn.moves_ns = Some(now_ns + gone);
            }
        }
        if !turn.caught_up || conn.caught_up {
            return;
        }
        conn.caught_up = true;
        self.caught_up += 1;
        let missed = u64::from(self.plan.options.missed);
        match conn.stay {
            Stay::Storm => self.ledger.expected += missed,
            Stay::Cycle => {
                self.ledger.expected += missed;
                conn.forget();
                conn.drop_stream();
                self.up -= 1;
                if self.phase.sends() {
                    self.wanted.push_back(at);
                }
            }
            _ => {}
        }
    }

    /// A connection failed.
    fn broke(&mut self, at: u32, error: String, now_ns: u64) {
        self.board.trouble(error);
        if let Some(conn) = self.conns.get_mut(at as usize) {
            self.opening -= usize::from(conn.status == Status::Opening);
            self.up -= u64::from(conn.status == Status::Up);
            conn.drop_stream();
            conn.moves_ns = Some(now_ns + AGAIN_NS);
        }
        self.plan_wake(at);
    }

    /// Follows the phase, and once a second lets every connection say what it has to.
    fn look_around(&mut self, now_ns: u64) {
        let phase = self.board.phase();
        if phase != self.phase {
            self.phase = phase;
            match phase {
                Phase::Run => {
                    self.want(|stay| stay == Stay::Cycle);
                    self.mark_all();
                }
                Phase::Storm => self.want(|stay| stay == Stay::Storm),
                Phase::Drain => self.mark_all(),
                _ => {}
            }
        }
        let [from, until] = &self.board.measured;
        self.ledger.measured = from.load(Ordering::Relaxed)..until.load(Ordering::Relaxed);
        self.ledger.storm_from = self.board.storm_from.load(Ordering::Relaxed);
        if now_ns - self.ticked_ns >= SECOND_NS / TICKS as u64 {
            self.ticked_ns = now_ns;
            self.tick = (self.tick + 1) % TICKS;
            for (at, conn) in (0..).zip(&mut self.conns).skip(self.tick).step_by(TICKS) {
                conn.tick(now_ns);
                if !conn.out.is_empty() {
                    mark(&mut self.dirty, conn, at);
                }
            }
        }
    }

    fn mark_all(&mut self) {
        for (at, conn) in (0..).zip(&mut self.conns) {
            mark(&mut self.dirty, conn, at);
        }
    }

    /// Connections whose time has come.
    fn wake_due(&mut self, now_ns: u64) {
        while let Some(&Reverse((due, at))) = self.wakes.peek()
            && due <= now_ns
        {
            self.wakes.pop();
            let Some(conn) = self.conns.get_mut(at as usize) else { continue };
            if conn.wake_ns != Some(due) {
                continue;
            }
            conn.wake_ns = None;
            if conn.moves_ns.is_some_and(|moves| moves <= now_ns) {
                conn.moves_ns = None;
                match conn.status {
                    Status::Down => self.wanted.push_back(at),
                    Status::Up if self.phase.sends() => {
                        conn.drop_stream();
                        self.up -= 1;
                        // Away for up to 3 s.
                        conn.moves_ns = Some(now_ns + SECOND_NS / 2 + conn.chance.below(5 * SECOND_NS / 2));
                    }
                    _ => {}
                }
            }
            mark(&mut self.dirty, conn, at);
        }
    }

    /// Fills windows, and writes for each connection that has something to write.
    fn write_all(&mut self, now_ns: u64) {
        let heard = if self.plan.options.scenario == Scenario::Fanout { self.follow_fan() } else { 0 };
        for sender in self.progress.woken.drain(..) {
            if let Some(Some(at)) = self.places.get(sender as usize).copied()
                && let Some(conn) = self.conns.get_mut(at as usize)
            {
                mark(&mut self.dirty, conn, at);
            }
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        for at in dirty.drain(..) {
            let Some(conn) = self.conns.get_mut(at as usize) else { continue };
            conn.dirty = false;
            if conn.status == Status::Up {
                let mut lent =
                    Lent { plan: &self.plan, ledger: &mut self.ledger, progress: &mut self.progress, now_ns };
                conn.fill(&mut lent, self.phase.sends(), heard);
            }
            if conn.connected
                && let Err(error) = conn.write()
            {
                self.broke(at, error.to_string(), now_ns);
            }
            self.plan_wake(at);
        }
        // What broke while it was written is marked in the new list.
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
    }

    /// Tells how far the members of this thread are, and lets the sender look; returns how far all members are.
    fn follow_fan(&mut self) -> u64 {
        let moved = self.board.tallies.get(self.number).is_some_and(|tally| self.progress.publish(&tally.fan));
        if let Some(sender) = self.plan.flows.first().map(|flow| flow.sender) {
            let thread = self.plan.thread(sender, self.wakers.len());
            if thread == self.number {
                self.progress.woken.push(sender);
            } else if moved && let Some(waker) = self.wakers.get(thread) {
                let _ = waker.wake();
            }
        }
        self.board.fan()
    }

    /// Puts the connection where its next own moment is.
    fn plan_wake(&mut self, at: u32) {
        let sends = self.phase.sends();
        let Some(conn) = self.conns.get_mut(at as usize) else { return };
        let Some(next) = conn.wakes_at(self.now_ns, sends) else { return };
        if conn.wake_ns.is_none_or(|wake| next < wake) {
            conn.wake_ns = Some(next);
            self.wakes.push(Reverse((next, at)));
        }
    }

    fn publish(&mut self) {
        let Some(tally) = self.board.tallies.get(self.number) else { return };
        let ledger = &self.ledger;
        tally.expected.store(ledger.expected, Ordering::Relaxed);
        tally.received.store(ledger.received, Ordering::Relaxed);
        tally.acked.store(ledger.acked, Ordering::Relaxed);
        tally.refused.store(ledger.refused, Ordering::Relaxed);
        tally.up.store(self.up, Ordering::Relaxed);
        tally.caught_up.store(self.caught_up, Ordering::Relaxed);
        if self.phase == Phase::Drain {
            let away = |conn: &Conn| {
                let wanted = !matches!(conn.stay, Stay::Cycle) && conn.status != Status::Up;
                let halfway = matches!(conn.stay, Stay::Cycle) && conn.status != Status::Down;
                u64::from(wanted || halfway)
            };
            let unfinished = self.conns.iter().map(|conn| conn.unfinished() + away(conn)).sum();
            tally.unfinished.store(unfinished, Ordering::Relaxed);
        } else {
            tally.unfinished.store(1, Ordering::Relaxed);
        }
    }

    /// The poll's own timeout counts milliseconds; the timer does not.
    fn set_timer(&mut self, now_ns: u64) {
        let Some(&Reverse((next, _))) = self.wakes.peek() else { return };
        if next >= self.timer_ns {
            return;
        }
        self.timer_ns = next;
        let wait = next.saturating_sub(now_ns).max(1);
        let value = Timespec { tv_sec: (wait / SECOND_NS) as i64, tv_nsec: (wait % SECOND_NS) as i64 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        let _ = rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once);
    }
}

/// Notes that a connection may have something to send.
fn mark(dirty: &mut Vec<u32>, conn: &mut Conn, at: u32) {
    if !conn.dirty {
        conn.dirty = true;
        dirty.push(at);
    }
}
