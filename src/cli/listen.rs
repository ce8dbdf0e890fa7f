//! `postrider listen`: prints what a device receives, and acknowledges what it printed.

mod base64;
mod line;

use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;
use postrider_client::{Client, ClientEvent, Events, Retry};
use postrider_protocol::{GapReason, Id, Image};
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Failure,
    send::{ServerArgs, refusal},
};
use line::Line;

/// The device of a token that names none.
const DEVICE: &str = "cli";

#[derive(Debug, Args)]
pub(super) struct ListenArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The device to receive as, when the token names none
    #[arg(long)]
    device: Option<Id>,
    /// Stop after so many messages; without, on SIGINT or SIGTERM
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print JSON also on a terminal
    #[arg(long)]
    json: bool,
}

/// Prints messages until it has enough, or is told to stop.
///
/// # Errors
/// The server refused the client, or standard output failed.
pub(super) async fn run(args: ListenArgs) -> Result<(), Failure> {
    let device = device(&args)?;
    let (client, mut events) = args.server.client()?.device(device).build();
    let json = args.json || !io::stdout().is_terminal();
    let stop = stop()?;
    let printed = tokio::select! {
        printed = print_all(&client, &mut events, args.count, json) => printed,
        () = stop => Ok(()),
    };
    // What was printed must not come again.
    client.close().await;
    printed
}

/// The device that the server expects: the one asked for, or the one that the token is bound to. Only the server
/// can check the token, and does.
fn device(args: &ListenArgs) -> Result<Id, Failure> {
    #[derive(Deserialize)]
    struct Claims {
        dev: Option<String>,
    }
    if let Some(device) = &args.device {
        return Ok(device.clone());
    }
    let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(args.server.token()?);
    let device = claims.ok().and_then(|claims| claims.dev).unwrap_or_else(|| DEVICE.to_owned());
    device.parse().map_err(|_| Failure::failed(format!("the token's device {device:?} is no id; give --device")))
}

/// Resolves at SIGINT or SIGTERM.
fn stop() -> Result<impl Future<Output = ()>, Failure> {
    let on = |kind| signal(kind).map_err(|error| Failure::failed(format!("no signal handler: {error}")));
    let (mut interrupt, mut terminate) = (on(SignalKind::interrupt())?, on(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

async fn print_all(client: &Client, events: &mut Events, count: Option<u64>, json: bool) -> Result<(), Failure> {
    let mut left = count;
    let mut reached = true;
    while let Some(event) = events.recv().await {
        match event {
            ClientEvent::Message { image } => {
                let user = client.user().await.map_err(Failure::failed)?;
                print(&image, &user, json).map_err(|error| Failure::failed(format!("standard output: {error}")))?;
                client.acknowledge(&image.channel, image.seq).await.map_err(Failure::failed)?;
                left = left.map(|left| left - 1);
                if left == Some(0) {
                    return Ok(());
                }
            }
            ClientEvent::Gap { channel, gap } if gap.why != GapReason::NotVisible => {
                let user = client.user().await.map_err(Failure::failed)?;
                let (channel, why) = (channel.address_for(&user), gap.why.name());
                eprintln!("postrider: {channel}: {} to {} are not there any more: {why}", gap.from, gap.to);
            }
            ClientEvent::Connected { .. } if !reached => {
                eprintln!("postrider: connected again");
                reached = true;
            }
            ClientEvent::Closed { reason, retry, detail } => {
                if let Some(failure) = refusal(reason, retry, &detail) {
                    return Err(failure);
                }
                if reached && retry != Retry::Now {
                    eprintln!("postrider: {detail}; connecting again until it works");
                    reached = false;
                }
            }
            _ => {}
        }
    }
    Err(Failure::failed("the client stopped"))
}

/// One line, whole and at once: who reads a pipe waits for it.
fn print(image: &Image, user: &Id, json: bool) -> io::Result<()> {
    let line = Line::of(image, user);
    let mut bytes = Vec::new();
    if json {
        serde_json::to_writer(&mut bytes, &line)?;
    } else {
        bytes.extend_from_slice(line.to_string().as_bytes());
    }
    bytes.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&bytes)?;
    out.flush()
}
