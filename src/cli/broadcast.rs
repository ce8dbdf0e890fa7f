//! `postrider broadcast`: one message of a system user to everybody, or to who has a tag.

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Args;
use postrider_client::{Client, CommandError, Sent};
use postrider_protocol::{
    Channel, Id, Method, Reason, Tlvs, image_flag,
    packet::broadcast::{Announcement, Broadcast, Broadcasts, Reach},
    tag,
};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::{
    Failure,
    send::{BodyArgs, GOODBYE, ServerArgs, Trouble, too_late, watch},
};
use crate::duration;

/// So often it is asked how far it is, and told.
const ASK_EVERY: Duration = Duration::from_millis(250);
const TELL_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct BroadcastArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    reach: ReachArgs,
    #[command(flatten)]
    body: BodyArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    /// How long to wait until the server has taken it on; then it is waited for however long it takes
    #[arg(long, default_value = "10s", value_parser = duration::parse)]
    timeout: Duration,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ReachArgs {
    /// To every user of the tenant
    #[arg(long)]
    all: bool,
    /// To the users who have this tag
    #[arg(long)]
    tag: Option<Id>,
}

#[derive(Serialize)]
struct Line {
    number: u64,
    made_ms: u64,
    ended_ms: u64,
    sent: u64,
    refused: u64,
    cancelled: bool,
}

/// Returns when everybody has it. Who gives up waiting does not end it.
///
/// # Errors
/// It was refused, or the server was not reached.
pub(super) async fn run(args: BroadcastArgs) -> Result<(), Failure> {
    let reach = args.reach.tag.clone().map_or(Reach::Everybody, Reach::Tagged);
    let announcement = Announcement { reach, flags: image_flag::COUNTABLE, body: args.body.read()?.into() };
    let (client, mut events) = args.server.client()?.build();
    let mut trouble = Trouble::default();
    let taken = tokio::select! {
        taken = timeout(args.timeout, announce(&client, &announcement)) => taken,
        failure = watch(&mut events, &mut trouble) => Ok(Err(failure)),
    };
    let sent = taken.unwrap_or_else(|_| Err(too_late(&args.server, args.timeout, &trouble)))?;
    let ended = tokio::select! {
        ended = until_ended(&client, &sent) => ended,
        failure = watch(&mut events, &mut trouble) => Err(failure),
    }?;
    print(&args, &ended).map_err(|error| Failure::failed(format!("sent, but not printed: {error}")))?;
    let _ = timeout(GOODBYE, client.close()).await;
    Ok(())
}

async fn announce(client: &Client, announcement: &Announcement) -> Result<Sent, Failure> {
    let mut fields = Vec::new();
    announcement.write(&mut fields);
    let is_text = std::str::from_utf8(&announcement.body).is_ok();
    let tlvs = Tlvs::from_pairs(is_text.then_some((tag::CONTENT_TYPE, &b"text/plain"[..])));
    let call = async {
        let own = Channel::user(&client.user().await?);
        client.call_with(&own, Method::Broadcast, fields, tlvs).await
    };
    match call.await {
        // Why it stopped is in the events.
        Err(CommandError::Closed) => std::future::pending().await,
        Err(CommandError::Refused { reason: Reason::NotAllowed, .. }) => {
            Err(Failure::failed("NOT_ALLOWED: the token is of no system user; `postrider token --system` makes one"))
        }
        sent => sent.map_err(|error| Failure::failed(format!("broadcast: {error}"))),
    }
}

/// Waits until the broadcast has ended, and tells on standard error how far it is.
async fn until_ended(client: &Client, sent: &Sent) -> Result<Broadcast, Failure> {
    let mut told = Instant::now();
    loop {
        let reply = match client.ask(Method::Broadcasts, Bytes::new()).await {
            Err(CommandError::Closed) => std::future::pending().await,
            reply => reply.map_err(|error| Failure::failed(format!("broadcasts: {error}")))?,
        };
        let all = Broadcasts::decode(reply.fields).map_err(|error| Failure::failed(format!("broadcasts: {error}")))?;
        let own = all.0.into_iter().find(|it| it.id.number == sent.number && it.made_ms == sent.time_ms);
        let own = own.ok_or_else(|| Failure::failed("the server does not list the broadcast any more"))?;
        if own.ended_ms > 0 {
            return Ok(own);
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            eprintln!("{} users have it", own.sent);
        }
        sleep(ASK_EVERY).await;
    }
}

fn print(args: &BroadcastArgs, it: &Broadcast) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        let Broadcast { made_ms, ended_ms, sent, refused, is_cancelled: cancelled, .. } = *it;
        let line = Line { number: it.id.number, made_ms, ended_ms, sent, refused, cancelled };
        serde_json::to_writer(&mut out, &line)?;
        writeln!(out)?;
    } else {
        let refused = if it.refused > 0 { format!(", {} could not be sent it", it.refused) } else { String::new() };
        let cancelled = if it.is_cancelled { ", then it was cancelled" } else { "" };
        writeln!(out, "{} users have it{refused}{cancelled}", it.sent)?;
    }
    out.flush()
}
