//! What an app holds: [`Client`] to ask with, [`Events`] to hear from.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use postrider_protocol::{
    BODY_BYTES, Channel, DecodeError, Id, Method, Reason, Sender, SenderKind, Tlvs, Writer as _, image_flag,
    packet::{MembersPage, ReplyPacket, groups},
    session::client::{ClientEvent, ClientState},
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    Address, Tls,
    driver::{Command, Control, Driver, Queues, Save},
};

/// Events that wait for the app outside the protocol's own queue.
const EVENTS: usize = 64;
/// Commands that wait to be numbered.
const COMMANDS: usize = 64;
/// Acknowledgements and the like that wait.
const CONTROLS: usize = 256;

/// A client about to start.
pub struct Builder {
    address: Address,
    tls: Tls,
    token: Bytes,
    device: Option<Id>,
    tlvs: Tlvs,
    saved: Option<ClientState>,
    save: Option<Save>,
}

impl Builder {
    /// Receives as this device. Without one the client only sends and calls.
    #[must_use]
    pub fn device(mut self, device: Id) -> Self {
        self.device = Some(device);
        self
    }

    /// Trusts these certificates; without, the public authorities.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// What CONNECT tells of the device: platform, app version, language, time zone.
    #[must_use]
    pub fn about(mut self, tlvs: Tlvs) -> Self {
        self.tlvs = tlvs;
        self
    }

    /// Keeps the client's state across processes: `saved` is what `save` was given last, none at the first start.
    /// `save` is called before a new command goes out, after acknowledgements, and at the end; when it fails the client
    /// stops. Without this a client starts anew with each process.
    ///
    /// # Errors
    /// `saved` is no state of a client. The device of a saved state stays.
    pub fn keep(
        mut self,
        saved: Option<Bytes>,
        save: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    ) -> Result<Self, DecodeError> {
        self.saved = saved.map(ClientState::load).transpose()?;
        self.save = Some(Box::new(save));
        Ok(self)
    }

    /// Starts the client on the current runtime; it connects in the background. It stops when [`Client::close`] was
    /// called or every handle is gone, or when the server says that it may not come back: `Closed` tells.
    #[must_use]
    pub fn build(self) -> (Client, Events) {
        let (command_sender, commands) = mpsc::channel(COMMANDS);
        let (control_sender, controls) = mpsc::channel(CONTROLS);
        let (event_sender, events) = mpsc::channel(EVENTS);
        let (user_sender, user) = watch::channel(None);
        let kind = if self.save.is_some() { SenderKind::Kept } else { SenderKind::OneShot };
        let state = self.saved.unwrap_or_else(|| ClientState::new(self.device, kind));
        let queues = Queues { commands, controls, events: event_sender, user: user_sender };
        let driver = Driver::new(self.address, self.tls, self.token, self.tlvs, state, self.save, queues);
        tokio::spawn(driver.run());
        (Client { commands: command_sender, controls: control_sender, user }, Events { events })
    }
}

/// What a message is beside its body.
#[derive(Clone, Debug)]
pub struct MessageOptions {
    /// Bits of [`image_flag`].
    pub flags: u16,
    /// Optional fields: content type, trace context, read mark.
    pub tlvs: Tlvs,
}

impl Default for MessageOptions {
    /// An ordinary message: it counts as unread.
    fn default() -> Self {
        Self { flags: image_flag::COUNTABLE, tlvs: Tlvs::new() }
    }
}

/// A command is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The sender's number for it.
    pub number: u64,
    /// Its channel.
    pub channel: Channel,
    /// The seq of what it stored; 0 for what has no seq.
    pub seq: u64,
    /// Server time of what it stored, milliseconds since 1970.
    pub time_ms: u64,
}

/// Why a command was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The server refused it for good; nothing was stored.
    #[error("refused with {}{}{detail}", reason.name(), if detail.is_empty() { "" } else { ": " })]
    Refused {
        /// Why.
        reason: Reason,
        /// The server's words.
        detail: String,
    },
    /// The server does not know its sender any more: whether it was stored cannot be known.
    #[error("perhaps stored: the server has forgotten this sender")]
    PerhapsSent {
        /// The sender it went under.
        sender: Sender,
        /// Its number: an image with both shows that it was stored.
        number: u64,
    },
    /// The client stopped first. With a kept state the command goes out at the next start.
    #[error("the client stopped before an answer came")]
    Closed,
    /// The answer is not what the method answers.
    #[error("the answer cannot be read: {0}")]
    Answer(#[from] DecodeError),
}

/// Resolves when a command is acknowledged, or refused for good. When it is dropped, the command goes on.
#[derive(Debug)]
pub struct Pending {
    done: oneshot::Receiver<Result<Sent, CommandError>>,
}

impl Future for Pending {
    type Output = Result<Sent, CommandError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.done).poll(context).map(|done| done.unwrap_or(Err(CommandError::Closed)))
    }
}

/// What the server tells, each channel's messages in order and once. Events wait in a bounded queue; an app that takes
/// none is spared by the server's log, not by memory.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<ClientEvent>,
}

impl Events {
    /// The next event; none when the client has stopped and all was told. Cancel safe. `Sent`, `Refused`, `PerhapsSent`
    /// and `Reply` come here only for commands of an earlier process; others resolve their own futures.
    pub async fn recv(&mut self) -> Option<ClientEvent> {
        self.events.recv().await
    }
}

/// A running client. Clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    controls: mpsc::Sender<Control>,
    user: watch::Receiver<Option<Id>>,
}

impl Client {
    /// A client of the server at `address` for the user whom `token` proves.
    #[must_use]
    pub fn builder(address: Address, token: impl Into<Bytes>) -> Builder {
        let (tls, token) = (Tls::public(), token.into());
        Builder { address, tls, token, device: None, tlvs: Tlvs::new(), saved: None, save: None }
    }

    /// The user whom the token proves. Waits for the first connection. Cancel safe.
    ///
    /// # Errors
    /// [`CommandError::Closed`].
    pub async fn user(&self) -> Result<Id, CommandError> {
        let mut user = self.user.clone();
        let user = user.wait_for(Option::is_some).await.map_err(|_| CommandError::Closed)?;
        user.clone().ok_or(CommandError::Closed)
    }

    /// The channel that `user:ID` or `group:ID` means for this client's user. Waits for the first connection.
    ///
    /// # Errors
    /// [`CommandError::Closed`]; [`CommandError::Answer`] when `address` is neither.
    pub async fn channel(&self, address: &str) -> Result<Channel, CommandError> {
        Ok(Channel::from_address(&self.user().await?, address)?)
    }

    /// Sends a message and waits until it is durable. When the future is dropped the message may still go out.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn send(
        &self,
        channel: &Channel,
        body: impl Into<Bytes>,
        options: MessageOptions,
    ) -> Result<Sent, CommandError> {
        self.submit(channel, body, options).await?.await
    }

    /// Puts a message in the queue: messages go out in the order in which this returned. Waits while a thousand are
    /// not acknowledged. Cancel safe: when it is dropped before it returns, the message is not in the queue.
    ///
    /// # Errors
    /// [`CommandError::Refused`] for a body over the limit; [`CommandError::Closed`].
    pub async fn submit(
        &self,
        channel: &Channel,
        body: impl Into<Bytes>,
        options: MessageOptions,
    ) -> Result<Pending, CommandError> {
        let (channel, body, MessageOptions { flags, tlvs }) = (channel.clone(), body.into(), options);
        check_len(body.len())?;
        self.command(|done| Command::Send { channel, flags, body, tlvs, done }).await
    }

    /// Calls a method that changes `channel` and waits until that is durable.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn call(
        &self,
        channel: &Channel,
        method: Method,
        fields: impl Into<Bytes>,
    ) -> Result<Sent, CommandError> {
        self.call_with(channel, method, fields, Tlvs::new()).await
    }

    /// As [`Self::call`], with the TLVs that methods such as `EDIT` and `PROFILE_SET` take. What changes the user or
    /// their devices belongs to [`Channel::user`].
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn call_with(
        &self,
        channel: &Channel,
        method: Method,
        fields: impl Into<Bytes>,
        tlvs: Tlvs,
    ) -> Result<Sent, CommandError> {
        let (channel, fields) = (channel.clone(), fields.into());
        check_len(fields.len())?;
        self.command(|done| Command::Call { channel, method, fields, tlvs, done }).await?.await
    }

    /// Calls a method that changes nothing. A refusal is in the reply.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn ask(&self, method: Method, fields: impl Into<Bytes>) -> Result<ReplyPacket, CommandError> {
        let fields = fields.into();
        check_len(fields.len())?;
        let (done, reply) = oneshot::channel();
        let command = Command::Ask { method, fields, done };
        self.commands.send(command).await.map_err(|_| CommandError::Closed)?;
        reply.await.unwrap_or(Err(CommandError::Closed))
    }

    /// Creates a group with these members and the caller as owner.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn create_group(&self, group: &Id, members: &[Id]) -> Result<Sent, CommandError> {
        self.change_group(Method::GroupCreate, group, members).await
    }

    /// Adds members to a group.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn add_members(&self, group: &Id, members: &[Id]) -> Result<Sent, CommandError> {
        self.change_group(Method::GroupAdd, group, members).await
    }

    /// Removes members from a group; with the own id: leaves it.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn remove_members(&self, group: &Id, members: &[Id]) -> Result<Sent, CommandError> {
        self.change_group(Method::GroupRemove, group, members).await
    }

    async fn change_group(&self, method: Method, group: &Id, members: &[Id]) -> Result<Sent, CommandError> {
        let mut fields = Vec::new();
        groups::write_change(&mut fields, group, members);
        self.call(&Channel::group(group), method, fields).await
    }

    /// The members of a group with their roles: 0 member, 1 admin, 2 owner.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn members(&self, group: &Id) -> Result<Vec<(Id, u8)>, CommandError> {
        let mut members: Vec<(Id, u8)> = Vec::new();
        loop {
            let mut fields = Vec::new();
            fields.bytes8(group.as_bytes());
            fields.bytes8(members.last().map_or(&[], |(id, _)| id.as_bytes()));
            let reply = self.ask(Method::GroupMembers, fields).await?;
            if reply.reason != Reason::Ok {
                return Err(CommandError::Refused { reason: reply.reason, detail: String::new() });
            }
            let page = MembersPage::decode(reply.fields)?;
            let more = page.more && !page.members.is_empty();
            members.extend(page.members.into_iter().map(|member| (member.user, member.role)));
            if !more {
                return Ok(members);
            }
        }
    }

    /// Moves the user's read mark of `channel` forward to `seq`.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn mark_read(&self, channel: &Channel, seq: u64) -> Result<Sent, CommandError> {
        let mut fields = Vec::new();
        fields.raw(channel.as_bytes());
        fields.u64(seq);
        self.call(channel, Method::Read, fields).await
    }

    /// The app holds everything of `channel` up to `seq` for good: it need not come again to this device. The server is
    /// told within 200 ms, and before [`Self::close`] returns.
    ///
    /// # Errors
    /// [`CommandError::Closed`].
    pub async fn acknowledge(&self, channel: &Channel, seq: u64) -> Result<(), CommandError> {
        let control = Control::Acknowledge { channel: channel.clone(), seq };
        self.controls.send(control).await.map_err(|_| CommandError::Closed)
    }

    /// Connects with this token from now on; needed after `Closed` with [`crate::Retry::NewToken`].
    ///
    /// # Errors
    /// [`CommandError::Closed`].
    pub async fn set_token(&self, token: impl Into<Bytes>) -> Result<(), CommandError> {
        self.controls.send(Control::Token(token.into())).await.map_err(|_| CommandError::Closed)
    }

    /// Stops the client, once the server has every acknowledgement. Commands that are not acknowledged fail with
    /// [`CommandError::Closed`]. Gives the server up after 5 s.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.controls.send(Control::Close(done)).await.is_ok() {
            // An error is the end of the client too.
            let _ = closed.await;
        }
    }

    async fn command(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<Sent, CommandError>>) -> Command,
    ) -> Result<Pending, CommandError> {
        let (done, pending) = oneshot::channel();
        self.commands.send(command(done)).await.map_err(|_| CommandError::Closed)?;
        Ok(Pending { done: pending })
    }
}

fn check_len(len: usize) -> Result<(), CommandError> {
    if len <= BODY_BYTES {
        return Ok(());
    }
    let detail = format!("{len} bytes, at most {BODY_BYTES}");
    Err(CommandError::Refused { reason: Reason::BodyTooLarge, detail })
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("address", &self.address).field("device", &self.device).finish_non_exhaustive()
    }
}
