//! The task behind a client: carries bytes between a socket and the protocol's state machines, and makes the next
//! connection when one ends.
//!
//! It never waits for the app: answers resolve their futures at once, and other events stay in the protocol's bounded
//! queue until the app's channel has room. What the app asks is taken while connected, connecting and waiting alike.

use std::{
    collections::{HashMap, VecDeque},
    future::{Future, pending},
    io,
    pin::pin,
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes};
use postrider_protocol::{
    Channel, Id, Method, Reason, Sender, Tlvs,
    packet::ReplyPacket,
    session::client::{ClientEvent, ClientSession, ClientState, Retry},
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot, watch,
    },
    time::{sleep, sleep_until, timeout},
};

use crate::{
    Address, CommandError, Sent, Tls,
    backoff::Backoff,
    transport::{Intake, Socket, dial},
};

/// Most commands and questions without an answer before no more are taken.
const WAITING: usize = 1_000;
/// How long the server has to take the last acknowledgements.
const CLOSE: Duration = Duration::from_secs(5);
/// How long the state may be newer than what is stored, when nothing forces it.
const SAVE_MS: u64 = 1_000;

/// Stores the state of a client.
pub(crate) type Save = Box<dyn FnMut(&[u8]) -> io::Result<()> + Send>;
type Done<T> = oneshot::Sender<Result<T, CommandError>>;

/// What waits for an answer of the server.
#[derive(Debug)]
pub(crate) enum Command {
    Send { channel: Channel, flags: u16, body: Bytes, tlvs: Tlvs, done: Done<Sent> },
    Call { channel: Channel, method: Method, fields: Bytes, tlvs: Tlvs, done: Done<Sent> },
    Ask { method: Method, fields: Bytes, done: Done<ReplyPacket> },
}

/// What does not.
#[derive(Debug)]
pub(crate) enum Control {
    Acknowledge { channel: Channel, seq: u64 },
    Token(Bytes),
    Close(oneshot::Sender<()>),
}

/// The driver's ends of what the handles hold.
#[derive(Debug)]
pub(crate) struct Queues {
    pub commands: mpsc::Receiver<Command>,
    pub controls: mpsc::Receiver<Control>,
    pub events: mpsc::Sender<ClientEvent>,
    pub user: watch::Sender<Option<Id>>,
}

pub(crate) struct Driver {
    address: Address,
    tls: Tls,
    token: Bytes,
    about: Tlvs,
    state: ClientState,
    queues: Queues,
    started: Instant,
    /// The next event for the app.
    event: Option<ClientEvent>,
    /// What became of commands of an earlier process; never more than the saved state held.
    unclaimed: VecDeque<ClientEvent>,
    sent: HashMap<u64, Done<Sent>>,
    replies: HashMap<u64, Done<ReplyPacket>>,
    closing: Option<Vec<oneshot::Sender<()>>>,
    new_token: bool,
    saver: Saver,
    backoff: Backoff,
}

/// What [`Driver::step`] was woken by.
enum Asked {
    Event,
    Control(Option<Control>),
    Command(Command),
}

/// When the state has to be stored.
struct Saver {
    save: Option<Save>,
    /// Before anything more is written to the server.
    now: bool,
    /// At this time.
    at_ms: Option<u64>,
    /// The sender that is stored.
    sender: Sender,
}

impl Driver {
    pub(crate) fn new(
        address: Address,
        tls: Tls,
        token: Bytes,
        about: Tlvs,
        state: ClientState,
        save: Option<Save>,
        queues: Queues,
    ) -> Self {
        Self {
            address,
            tls,
            token,
            about,
            saver: Saver { save, now: false, at_ms: None, sender: state.sender() },
            state,
            queues,
            started: Instant::now(),
            event: None,
            unclaimed: VecDeque::new(),
            sent: HashMap::new(),
            replies: HashMap::new(),
            closing: None,
            new_token: false,
            backoff: Backoff::new(),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Runs until the client is closed, all handles are gone, or the server says that it may not come back.
    pub(crate) async fn run(mut self) {
        while self.closing.is_none() {
            let (address, tls) = (self.address.clone(), self.tls.clone());
            match self.meanwhile(async move { dial(&address, &tls).await }).await {
                Some(Ok(socket)) => self.serve(socket).await,
                Some(Err(error)) => self.state.handle_unreachable(&error.to_string()),
                None => break,
            }
            self.take_answers();
            match self.state.retry() {
                Some(Retry::BackOff { at_least_ms }) => {
                    let wait = self.backoff.wait(at_least_ms);
                    self.meanwhile(sleep(wait)).await;
                }
                Some(Retry::NewToken) => self.wait_for_token().await,
                Some(Retry::Now) => {}
                Some(Retry::Never) | None => break,
            }
        }
        self.saver.now = true;
        // Nobody is left who could be told that the last state was not stored; the one before it is whole.
        let _ = self.save();
        self.finish().await;
    }

    /// Does what the app asks until `future` is done; none when the client has to stop first.
    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        while self.closing.is_none() {
            tokio::select! {
                done = &mut future => return Some(done),
                () = self.step() => {}
            }
        }
        None
    }

    async fn wait_for_token(&mut self) {
        while !self.new_token && self.closing.is_none() {
            self.step().await;
        }
        self.new_token = false;
    }

    /// Waits for the app to ask something or to take an event, and does that. Cancel safe.
    async fn step(&mut self) {
        self.event = self.event.take().or_else(|| self.next_event());
        let open = self.closing.is_none();
        let room = open && self.state.waiting() < WAITING;
        let asked = tokio::select! {
            permit = self.queues.events.reserve(), if self.event.is_some() => {
                if let (Some(event), Ok(permit)) = (self.event.take(), permit) {
                    permit.send(event);
                }
                Asked::Event
            }
            control = self.queues.controls.recv(), if open => Asked::Control(control),
            Some(command) = self.queues.commands.recv(), if room => Asked::Command(command),
            else => pending().await,
        };
        match asked {
            Asked::Event => self.hand_out(),
            Asked::Control(control) => self.control(control),
            Asked::Command(command) => {
                self.command(command);
                while self.state.waiting() < WAITING
                    && let Ok(command) = self.queues.commands.try_recv()
                {
                    self.command(command);
                }
            }
        }
    }

    fn next_event(&mut self) -> Option<ClientEvent> {
        self.unclaimed.pop_front().or_else(|| self.state.poll_event())
    }

    /// Gives the app as many events as it has room for.
    fn hand_out(&mut self) {
        while let Some(event) = self.next_event() {
            if let Err(TrySendError::Full(event)) = self.queues.events.try_send(event) {
                self.event = Some(event);
                return;
            }
        }
    }

    fn control(&mut self, control: Option<Control>) {
        match control {
            Some(Control::Acknowledge { channel, seq }) => {
                let now_ms = self.now_ms();
                self.state.acknowledge(now_ms, &channel, seq);
                self.saver.at_ms.get_or_insert(now_ms.saturating_add(SAVE_MS));
            }
            Some(Control::Token(token)) => {
                self.token = token;
                self.new_token = true;
            }
            Some(Control::Close(done)) => self.closing.get_or_insert_default().push(done),
            None => {
                self.closing.get_or_insert_default();
            }
        }
    }

    fn command(&mut self, command: Command) {
        self.saver.now = true;
        match command {
            Command::Send { channel, flags, body, tlvs, done } => {
                register(&mut self.sent, done, self.state.send(channel, flags, body, tlvs));
            }
            Command::Call { channel, method, fields, tlvs, done } => {
                register(&mut self.sent, done, self.state.call_with(channel, method, fields, tlvs));
            }
            Command::Ask { method, fields, done } => {
                register(&mut self.replies, done, self.state.ask(method, fields));
            }
        }
    }

    /// Carries bytes until the connection ends.
    async fn serve(&mut self, socket: Box<dyn Socket>) {
        let (mut reader, mut writer) = tokio::io::split(socket);
        let mut intake = Intake::new();
        let mut output = Output::default();
        let mut session = self.state.connect(self.now_ms(), self.token.clone(), self.about.clone());
        let mut close_by: Option<Instant> = None;
        loop {
            if self.closing.is_some() && close_by.is_none() {
                close_by = Some(Instant::now() + CLOSE);
                self.state.close();
            }
            let now_ms = self.now_ms();
            self.state.drive(&mut session, now_ms);
            self.take_answers();
            if let Err(error) = self.save() {
                self.state.handle_lost(&format!("the client's state could not be stored: {error}"));
                self.closing.get_or_insert_default();
                return;
            }
            if self.state.retry().is_some() {
                break;
            }
            if self.state.is_connected() {
                self.backoff.reset();
            }
            output.take(&mut session);
            let wake = self.deadline(&session, close_by);
            tokio::select! {
                piece = intake.read(&mut reader) => match piece {
                    Ok(piece) if piece.is_empty() => self.state.handle_lost("the server closed the connection"),
                    Ok(piece) => session.handle_bytes(piece),
                    Err(error) => self.state.handle_lost(&error.to_string()),
                },
                result = output.write(&mut writer), if !output.is_done() => {
                    if let Err(error) = result {
                        self.state.handle_lost(&error.to_string());
                    }
                }
                () = sleep_until(wake.into()) => {
                    if close_by.is_some_and(|close_by| Instant::now() >= close_by) {
                        self.state.handle_lost("the server did not take the last acknowledgements in time");
                    }
                    let now_ms = self.now_ms();
                    if let Err(failure) = session.handle_timeout(now_ms) {
                        self.state.handle_failure(failure);
                    }
                }
                () = self.step() => {}
            }
        }
        output.take(&mut session);
        // The last words, if there are any, are a courtesy.
        let _ = timeout(Duration::from_secs(1), output.end(&mut writer)).await;
    }

    fn deadline(&self, session: &ClientSession, close_by: Option<Instant>) -> Instant {
        // While the server takes no bytes nothing more is made for it, however due it is.
        let state = self.state.poll_timeout().filter(|_| session.output_len() == 0);
        let wakes = [session.poll_timeout(), state, self.saver.due_at()];
        let wake = wakes.into_iter().flatten().min().map(|ms| self.started + Duration::from_millis(ms));
        let far = Instant::now() + Duration::from_secs(60);
        [wake, close_by].into_iter().flatten().fold(far, Instant::min)
    }

    /// Resolves what was answered; answers to an earlier process go to the app.
    fn take_answers(&mut self) {
        while let Some(answer) = self.state.poll_answer() {
            self.saver.at_ms.get_or_insert(self.now_ms().saturating_add(SAVE_MS));
            let number = match answer {
                ClientEvent::Sent { number, .. }
                | ClientEvent::Refused { number, .. }
                | ClientEvent::PerhapsSent { number, .. } => number,
                ClientEvent::Reply { question, reply } => {
                    // Who asked may have gone.
                    let _ = self.replies.remove(&question).map(|done| done.send(Ok(reply)));
                    continue;
                }
                _ => continue,
            };
            match self.sent.remove(&number) {
                // Who asked may have gone.
                Some(done) => drop(done.send(outcome(answer))),
                None => self.unclaimed.push_back(answer),
            }
        }
        if self.state.user() != self.queues.user.borrow().as_ref() {
            self.queues.user.send_replace(self.state.user().cloned());
        }
    }

    /// Stores the state if that is due.
    fn save(&mut self) -> io::Result<()> {
        let due = self.saver.due_at().is_some_and(|at| at <= self.now_ms());
        let Some(save) = self.saver.save.as_mut() else { return Ok(()) };
        if due || self.saver.now || self.saver.sender != self.state.sender() {
            let mut bytes = Vec::new();
            self.state.save(&mut bytes);
            save(&bytes)?;
            self.saver.now = false;
            self.saver.at_ms = None;
            self.saver.sender = self.state.sender();
        }
        Ok(())
    }

    /// Fails what was not answered, and gives the app the events that are left.
    async fn finish(mut self) {
        self.sent.clear();
        self.replies.clear();
        self.queues.commands.close();
        self.queues.controls.close();
        for done in self.closing.take().unwrap_or_default() {
            // Who asked may have gone.
            let _ = done.send(());
        }
        let Self { event, unclaimed, mut state, queues, .. } = self;
        drop((queues.commands, queues.controls, queues.user));
        let rest = std::iter::from_fn(|| state.poll_event());
        for event in event.into_iter().chain(unclaimed).chain(rest) {
            if queues.events.send(event).await.is_err() {
                return;
            }
        }
    }
}

/// What the end of a command means to who asked for it.
fn outcome(answer: ClientEvent) -> Result<Sent, CommandError> {
    match answer {
        ClientEvent::Sent { number, channel, seq, time_ms } => Ok(Sent { number, channel, seq, time_ms }),
        ClientEvent::Refused { reason, detail, .. } => Err(CommandError::Refused { reason, detail }),
        ClientEvent::PerhapsSent { sender, number } => Err(CommandError::PerhapsSent { sender, number }),
        _ => Err(CommandError::Closed),
    }
}

/// Keeps who waits for the answer, or answers at once when there is nothing to wait for.
fn register<T>(waiting: &mut HashMap<u64, Done<T>>, done: Done<T>, number: Result<u64, Reason>) {
    match number {
        Ok(number) => {
            waiting.insert(number, done);
        }
        Err(reason) => {
            // Who asked may have gone.
            let _ = done.send(Err(CommandError::Refused { reason, detail: String::new() }));
        }
    }
}

impl Saver {
    fn due_at(&self) -> Option<u64> {
        self.at_ms.filter(|_| self.save.is_some())
    }
}

/// Bytes on their way to the server.
#[derive(Default)]
struct Output {
    bytes: Bytes,
    flushed: bool,
}

impl Output {
    fn take(&mut self, session: &mut ClientSession) {
        if self.bytes.is_empty() && session.output_len() > 0 {
            self.bytes = session.take_output().into();
            self.flushed = false;
        }
    }

    const fn is_done(&self) -> bool {
        self.bytes.is_empty() && self.flushed
    }

    /// Writes some, or flushes when all is written. Cancel safe.
    async fn write(&mut self, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        if self.bytes.is_empty() {
            writer.flush().await?;
            self.flushed = true;
            return Ok(());
        }
        let written = writer.write(&self.bytes).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.bytes.advance(written);
        Ok(())
    }

    /// Writes all and ends the stream.
    async fn end(&mut self, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while !self.bytes.is_empty() {
            self.write(writer).await?;
        }
        writer.shutdown().await
    }
}
