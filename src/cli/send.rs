//! `postrider send`: one message, durable or not sent.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use postrider_client::{Address, Builder, Client, ClientEvent, CommandError, Events, Retry, Sent, Tls};
use postrider_protocol::{BODY_BYTES, Reason};
use serde::Serialize;
use tokio::time::timeout;

use super::Failure;
use crate::duration;

/// How long the last words to the server may take once the message is durable.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

/// Where the server is, and as whom.
#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    /// The server: HOST:PORT is TCP; or tcp://, tls://, ws://, wss:// and HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    addr: Address,
    /// The file with the token of who this is
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: PathBuf,
    /// A PEM file with the private authority that signed the server's certificate
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl ServerArgs {
    /// The token in its file.
    pub(super) fn token(&self) -> Result<String, Failure> {
        let file = &self.token_file;
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::failed(format!("--token-file {}: {error}", file.display())))?;
        let token = text.trim();
        if token.is_empty() {
            let hint = "`postrider token` prints one";
            return Err(Failure::failed(format!("--token-file {} is empty; {hint}", file.display())));
        }
        Ok(token.to_owned())
    }

    /// A client that is about to start.
    pub(super) fn client(&self) -> Result<Builder, Failure> {
        let tls = match &self.ca {
            Some(file) => Tls::with_ca_file(file).map_err(|error| Failure::failed(format!("--ca {error}")))?,
            None => Tls::public(),
        };
        Ok(Client::builder(self.addr.clone(), self.token()?).tls(tls))
    }
}

/// What the end of a connection means to someone at a terminal; none while it is worth trying again.
pub(super) fn refusal(reason: Option<Reason>, retry: Retry, detail: &str) -> Option<Failure> {
    let hint = match (reason, retry) {
        (_, Retry::BackOff { .. } | Retry::Now) => return None,
        (Some(Reason::Replaced), _) => "another connection of this device took over",
        (_, Retry::NewToken) => "the token is not accepted; `postrider token` makes one from the server's secret",
        _ => "the server does not want this client back",
    };
    let name = reason.map_or("closed", Reason::name);
    let colon = if detail.is_empty() { "" } else { ": " };
    Some(Failure::failed(format!("{name}{colon}{detail}; {hint}")))
}

#[derive(Debug, Args)]
pub(super) struct SendArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Who gets it: user:ID or group:ID
    #[arg(long, value_name = "CHANNEL")]
    to: String,
    #[command(flatten)]
    body: BodyArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    /// How long to wait for the acknowledgement
    #[arg(long, default_value = "10s", value_parser = duration::parse)]
    timeout: Duration,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct BodyArgs {
    /// The message
    #[arg(long)]
    text: Option<String>,
    /// A file with the message's bytes; - is standard input
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
}

impl BodyArgs {
    pub(super) fn read(&self) -> Result<Vec<u8>, Failure> {
        let body = match (&self.text, &self.body_file) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(file)) => {
                read_bytes(file).map_err(|error| Failure::failed(format!("--body-file {}: {error}", file.display())))?
            }
            (None, None) => Vec::new(),
        };
        if body.len() > BODY_BYTES {
            return Err(Failure::failed(format!("BODY_TOO_LARGE: more than {BODY_BYTES} bytes; nothing was sent")));
        }
        Ok(body)
    }
}

/// The bytes of a file, no more than tell that there are too many.
fn read_bytes(file: &Path) -> io::Result<Vec<u8>> {
    let limit = BODY_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        fs::File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

#[derive(Serialize)]
struct Line<'a> {
    channel: &'a str,
    seq: u64,
    time_ms: u64,
}

/// Sends one message and returns when the server has acknowledged it.
///
/// # Errors
/// It was refused, the server was not reached, or no acknowledgement came in time.
pub(super) async fn run(args: SendArgs) -> Result<(), Failure> {
    check_channel(&args.to)?;
    let body = args.body.read()?;
    let (client, mut events) = args.server.client()?.build();
    let mut trouble = Trouble::default();
    let deliver = async {
        tokio::select! {
            sent = deliver(&client, &args.to, body) => sent,
            failure = watch(&mut events, &mut trouble) => Err(failure),
        }
    };
    let sent =
        timeout(args.timeout, deliver).await.unwrap_or_else(|_| Err(too_late(&args.server, args.timeout, &trouble)))?;
    print(&args, &sent).map_err(|error| Failure::failed(format!("acknowledged, but not printed: {error}")))?;
    // The message is durable: a server that is slow to part changes nothing.
    let _ = timeout(GOODBYE, client.close()).await;
    Ok(())
}

/// An address is wrong before there is a server to ask.
fn check_channel(to: &str) -> Result<(), Failure> {
    let nobody = "x".parse().map_err(Failure::failed)?;
    postrider_protocol::Channel::from_address(&nobody, to)
        .map(drop)
        .map_err(|error| Failure::usage(format!("--to {to:?}: {}", error.what)))
}

async fn deliver(client: &Client, to: &str, body: Vec<u8>) -> Result<Sent, Failure> {
    let send = async { client.send(&client.channel(to).await?, body, Default::default()).await };
    match send.await {
        // Why it stopped is in the events.
        Err(CommandError::Closed) => std::future::pending().await,
        sent => sent.map_err(|error| Failure::failed(format!("to {to}: {error}"))),
    }
}

/// What stands between the message and its acknowledgement.
#[derive(Default)]
pub(super) struct Trouble {
    /// The server has accepted a connection at some time.
    connected: bool,
    /// How the last connection ended.
    last: String,
}

/// Returns when there is no hope; notes what goes wrong meanwhile.
pub(super) async fn watch(events: &mut Events, trouble: &mut Trouble) -> Failure {
    while let Some(event) = events.recv().await {
        match event {
            ClientEvent::Connected { .. } => trouble.connected = true,
            ClientEvent::Closed { reason, retry, detail } => {
                if let Some(failure) = refusal(reason, retry, &detail) {
                    return failure;
                }
                trouble.last = detail;
            }
            _ => {}
        }
    }
    Failure::failed("the client stopped")
}

/// What is said when the server has not acknowledged it within `patience`.
pub(super) fn too_late(server: &ServerArgs, patience: Duration, trouble: &Trouble) -> Failure {
    let because = if trouble.last.is_empty() { String::new() } else { format!(": {}", trouble.last) };
    let private = server.addr.transport().is_encrypted() && server.ca.is_none();
    let hint = match (trouble.connected, private) {
        (true, _) => "it may have been stored or not; sent again it is another message",
        (false, true) => "nothing was sent; is the server running there, or does it need --ca FILE?",
        (false, false) => "nothing was sent; is the server running there?",
    };
    Failure::failed(format!("not acknowledged within {patience:?}{because}; {hint}"))
}

fn print(args: &SendArgs, sent: &Sent) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        let line = Line { channel: &args.to, seq: sent.seq, time_ms: sent.time_ms };
        serde_json::to_writer(&mut out, &line)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{} {}", args.to, sent.seq)?;
    }
    out.flush()
}
