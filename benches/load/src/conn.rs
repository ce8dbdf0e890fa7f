//! One connection: its stream, its dialect, what it sends and what it has received.

use std::io;

use crate::{
    chance::Chance,
    ledger::{Ledger, Seen},
    mqtt,
    nats::Nats,
    options::{Options, Scenario, Target},
    plan::{Pace, Plan, Stamp, Stay, To},
    postrider::{self, Postrider},
    sink::{Progress, Sink},
    template::Template,
    transport::Stream,
    window::Window,
};

/// Bytes that are made for one connection in one go.
const BATCH: usize = 128 << 10;
/// So many of a hundred messages of `mixed` go to persons.
const PERSONS_PERCENT: u64 = 80;
const MQTT_PING_NS: u64 = 30_000_000_000;

/// How a server is spoken to.
#[derive(Debug)]
enum Dialect {
    Postrider(Box<Postrider>),
    Nats(Nats),
    Mqtt { pinged_ns: u64 },
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Not wanted yet, or between two connections.
    Down,
    /// Up to the server's word that it is let in.
    Opening,
    Up,
}

/// One of a connection's flows.
#[derive(Debug)]
struct Outflow {
    flow: u32,
    to: To,
    /// Messages so far.
    sent: u64,
    template: Template,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) me: u32,
    pub(crate) status: Status,
    pub(crate) stay: Stay,
    pub(crate) stream: Option<Stream>,
    /// Whether the socket is connected.
    pub(crate) connected: bool,
    dialect: Dialect,
    pace: Pace,
    /// Its flows, as the plan numbers them.
    sends: Vec<u32>,
    outflows: Vec<Outflow>,
    /// How many of its flows go to persons; those come first.
    persons: u64,
    window: Window,
    seen: Seen,
    /// The beginning of what is not whole.
    partial: Vec<u8>,
    pub(crate) out: Vec<u8>,
    /// When the next message is due; none before the run.
    due_ns: Option<u64>,
    /// When it leaves, or comes back.
    pub(crate) moves_ns: Option<u64>,
    /// The wake-up that it waits for.
    pub(crate) wake_ns: Option<u64>,
    /// Whether it has caught up since it came.
    pub(crate) caught_up: bool,
    pub(crate) dirty: bool,
    pub(crate) chance: Chance,
}

/// What a thread lends to a connection.
#[derive(Debug)]
pub(crate) struct Lent<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) progress: &'a mut Progress,
    pub(crate) now_ns: u64,
}

/// What bytes of a server led to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    pub(crate) up: bool,
    pub(crate) caught_up: bool,
}

impl Conn {
    /// Connection `me` of the plan.
    ///
    /// # Errors
    /// Its name is no id.
    pub(crate) fn new(plan: &Plan, me: u32) -> Result<Self, String> {
        let role = plan.roles.get(me as usize).ok_or("a connection without a role")?;
        let options = &plan.options;
        let dialect = match options.target {
            Target::Postrider => {
                let device = "bench".parse().map_err(|_| "bench is no id")?;
                Dialect::Postrider(Box::new(Postrider::new(plan.secret(me), device)))
            }
            Target::Nats | Target::Jetstream => Dialect::Nats(Nats::new(options.target)),
            Target::Mqtt => Dialect::Mqtt { pinged_ns: 0 },
        };
        let mut outflows = Vec::new();
        for &flow in &role.sends {
            let to = plan.flows.get(flow as usize).ok_or("a flow that is not planned")?.to;
            let size = options.size as usize;
            let template = match &dialect {
                Dialect::Postrider(_) => postrider::template(plan, me, to, size).ok_or("a name that is no id")?,
                Dialect::Nats(nats) => nats.template(plan, me, to, size),
                Dialect::Mqtt { .. } => mqtt::template(plan, to, size),
            };
            outflows.push(Outflow { flow, to, sent: 0, template });
        }
        Ok(Self {
            me,
            status: Status::Down,
            stay: role.stay,
            stream: None,
            connected: false,
            dialect,
            pace: role.pace,
            sends: role.sends.clone(),
            persons: outflows.iter().filter(|outflow| matches!(outflow.to, To::User(_))).count() as u64,
            outflows,
            window: Window::new(if role.sends.is_empty() { 1 } else { span(options) }),
            seen: Seen::default(),
            partial: Vec::new(),
            out: Vec::new(),
            due_ns: None,
            moves_ns: None,
            wake_ns: None,
            caught_up: false,
            dirty: false,
            chance: Chance::new(u64::from(me) + 1),
        })
    }

    /// The connection is over; the next one begins with nothing of it.
    pub(crate) fn drop_stream(&mut self) {
        self.stream = None;
        self.connected = false;
        self.status = Status::Down;
        self.partial.clear();
        self.out.clear();
    }

    /// Says who it is, once the stream is open.
    pub(crate) fn hello(&mut self, plan: &Plan) {
        match &mut self.dialect {
            Dialect::Postrider(postrider) => postrider.hello(&mut self.out),
            Dialect::Nats(_) => {}
            Dialect::Mqtt { .. } => mqtt::hello(plan, self.me, &mut self.out),
        }
    }

    /// Reads what is there, through `buffer`.
    ///
    /// # Errors
    /// The stream failed or ended, or the server refused.
    pub(crate) fn read(&mut self, buffer: &mut [u8], scratch: &mut [u8], lent: &mut Lent<'_>) -> Result<Turn, String> {
        let mut turn = Turn::default();
        loop {
            let Some(stream) = &mut self.stream else { return Ok(turn) };
            let was_open = stream.is_open();
            let held = self.partial.len();
            let (front, back) = buffer.split_at_mut_checked(held).ok_or("a packet longer than the buffer")?;
            let (got, drained) = stream.read(back, scratch).map_err(|error| error.to_string())?;
            let opened = !was_open && stream.is_open();
            if opened {
                self.hello(lent.plan);
            }
            if got > 0 {
                front.copy_from_slice(&self.partial);
                self.partial.clear();
                let input = buffer.get(..held + got).unwrap_or_default();
                let used = self.take(input, lent, &mut turn)?;
                self.partial.extend_from_slice(input.get(used..).unwrap_or_default());
            }
            if drained {
                return Ok(turn);
            }
        }
    }

    fn take(&mut self, input: &[u8], lent: &mut Lent<'_>, turn: &mut Turn) -> Result<usize, String> {
        let mut sink = Sink {
            now_ns: lent.now_ns,
            me: self.me,
            plan: lent.plan,
            sends: &self.sends,
            ledger: lent.ledger,
            seen: &mut self.seen,
            window: &mut self.window,
            progress: lent.progress,
            out: &mut self.out,
            up: false,
            caught_up: false,
        };
        let used = match &mut self.dialect {
            Dialect::Postrider(postrider) => postrider.take(input, &mut sink)?,
            Dialect::Nats(nats) => nats.take(input, &mut sink)?,
            Dialect::Mqtt { .. } => mqtt::take(input, &mut sink)?,
        };
        turn.up |= sink.up;
        turn.caught_up |= sink.caught_up;
        Ok(used)
    }

    /// The server has let it in: what was not answered on the connection before is sent again. Who was away wrote
    /// nothing: what was due meanwhile is due now.
    pub(crate) fn let_in(&mut self, now_ns: u64) {
        self.status = Status::Up;
        if matches!(self.stay, Stay::ComeAndGo { .. }) {
            self.due_ns = self.due_ns.map(|due_ns| due_ns.max(now_ns));
        }
        self.again(true);
    }

    fn again(&mut self, all: bool) {
        let Self { window, outflows, out, dialect, .. } = self;
        if !matches!(dialect, Dialect::Postrider(_)) {
            return;
        }
        let oldest = window.oldest();
        window.again(all, |number, sent| {
            if let Some(outflow) = outflows.get_mut(sent.flow as usize) {
                let stamp = Stamp { flow: outflow.flow, number: sent.number, at_ns: sent.at_ns };
                postrider::send(&mut outflow.template, stamp, number, oldest, out);
            }
        });
    }

    /// Makes what is due and has room; `heard` is how many messages of a fan-out all its members have.
    pub(crate) fn fill(&mut self, lent: &mut Lent<'_>, sends: bool, heard: u64) {
        if let Dialect::Postrider(postrider) = &mut self.dialect {
            if postrider.retry_at().is_some_and(|at| at <= lent.now_ns) {
                postrider.retried();
                self.again(false);
            } else if postrider.retry_at().is_some() {
                return;
            }
        }
        let behind = self.stream.as_ref().is_none_or(Stream::is_behind);
        if !sends || behind || self.outflows.is_empty() {
            return;
        }
        let options = &lent.plan.options;
        while self.out.len() < BATCH {
            let Some(at_ns) = self.due(lent.now_ns) else { return };
            let pick = self.pick();
            let Some(outflow) = self.outflows.get(pick) else { return };
            let acknowledged = options.target != Target::Nats;
            let room = self.window.has_room() && self.window.waiting() < options.window && self.window.refused() == 0;
            let behind = if options.scenario == Scenario::Fanout {
                outflow.sent.saturating_sub(heard)
            } else if lent.plan.waits_for_receivers() {
                outflow.sent.saturating_sub(lent.progress.delivered(outflow.flow))
            } else {
                0
            };
            let most = if acknowledged { options.ahead } else { options.window };
            if (acknowledged && !room) || behind >= u64::from(most) {
                return;
            }
            self.send(pick, at_ns, lent);
            self.take_turn();
        }
    }

    /// When the message that is due now was due; none when it is not yet.
    fn due(&mut self, now_ns: u64) -> Option<u64> {
        match self.pace {
            Pace::Never => None,
            Pace::Window => Some(now_ns),
            Pace::Even { first_ns, .. } => Some(*self.due_ns.get_or_insert(now_ns + first_ns)),
            Pace::Random { mean_ns } => {
                let first = now_ns + (mean_ns as f64 * self.chance.unit()) as u64;
                Some(*self.due_ns.get_or_insert(first))
            }
        }
        .filter(|at| *at <= now_ns)
    }

    fn take_turn(&mut self) {
        let gap = match self.pace {
            Pace::Even { every_ns, .. } => every_ns,
            Pace::Random { mean_ns } => (-(mean_ns as f64) * (1.0 - self.chance.unit()).ln()) as u64,
            _ => return,
        };
        self.due_ns = self.due_ns.map(|at| at + gap);
    }

    /// Which flow is next.
    fn pick(&mut self) -> usize {
        let all = self.outflows.len() as u64;
        if all == 1 {
            return 0;
        }
        let groups = all - self.persons;
        let person = groups == 0 || (self.persons > 0 && self.chance.below(100) < PERSONS_PERCENT);
        let pick = if person { self.chance.below(self.persons) } else { self.persons + self.chance.below(groups) };
        pick as usize
    }

    fn send(&mut self, pick: usize, at_ns: u64, lent: &mut Lent<'_>) {
        let Self { window, outflows, out, dialect, .. } = self;
        let Some(outflow) = outflows.get_mut(pick) else { return };
        outflow.sent += 1;
        let stamp = Stamp { flow: outflow.flow, number: outflow.sent, at_ns };
        if lent.plan.options.target == Target::Nats {
            // Nothing answers: it counts as sent, and as expected, from now on.
            let receivers = lent.plan.flows.get(outflow.flow as usize).map_or(0, |flow| flow.receivers);
            lent.ledger.acked += 1;
            lent.ledger.expected += u64::from(receivers);
        }
        match dialect {
            Dialect::Postrider(postrider) => {
                let number = window.take(pick as u32, outflow.sent, at_ns);
                postrider::send(&mut outflow.template, stamp, number, window.oldest(), out);
                postrider.spoke(lent.now_ns);
            }
            Dialect::Nats(nats) => {
                let acknowledged = lent.plan.options.target == Target::Jetstream;
                let number = if acknowledged { window.take(pick as u32, outflow.sent, at_ns) } else { 0 };
                nats.send(&mut outflow.template, stamp, number, out);
            }
            Dialect::Mqtt { .. } => {
                let number = window.take(pick as u32, outflow.sent, at_ns);
                mqtt::send(&mut outflow.template, stamp, number, out);
            }
        }
    }

    /// Writes what was made.
    ///
    /// # Errors
    /// The stream failed.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        // Before the handshake of a WebSocket is done nothing is made.
        if let Some(stream) = &mut self.stream {
            stream.send(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    /// Once a second. A device that will catch up again acknowledges nothing, or there would be less to fetch.
    pub(crate) fn tick(&mut self, now_ns: u64) {
        if self.status != Status::Up || self.stay == Stay::Cycle {
            return;
        }
        match &mut self.dialect {
            Dialect::Postrider(postrider) => postrider.tick(now_ns, &mut self.out),
            Dialect::Nats(_) => {}
            Dialect::Mqtt { pinged_ns } => {
                if now_ns.saturating_sub(*pinged_ns) >= MQTT_PING_NS {
                    *pinged_ns = now_ns;
                    mqtt::ping(&mut self.out);
                }
            }
        }
    }

    /// When it next has something to do by itself. What was due and is not sent waits for an answer, not for a time.
    pub(crate) fn wakes_at(&self, now_ns: u64, sends: bool) -> Option<u64> {
        let up = self.status == Status::Up;
        let retry = match &self.dialect {
            Dialect::Postrider(postrider) => postrider.retry_at(),
            _ => None,
        };
        let due = self.due_ns.filter(|due| sends && up && *due > now_ns);
        [self.moves_ns, retry.filter(|_| up), due].into_iter().flatten().min()
    }

    /// Commands without an answer, and one for catching up.
    pub(crate) fn unfinished(&self) -> u64 {
        let busy = match &self.dialect {
            Dialect::Postrider(postrider) => postrider.is_catching_up(),
            _ => false,
        };
        u64::from(self.window.waiting()) + u64::from(busy)
    }

    /// Forgets what it has received, for the next device that catches up.
    pub(crate) fn forget(&mut self) {
        self.seen.clear();
        if let Dialect::Postrider(postrider) = &mut self.dialect {
            postrider.forget();
        }
    }
}

/// How far apart numbers under way may lie.
fn span(options: &Options) -> u32 {
    match options.target {
        Target::Postrider => postrider_protocol::SEND_WINDOW as u32,
        _ => options.window,
    }
}
