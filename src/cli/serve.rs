//! `postrider serve`: a server from its configuration to the signal that ends it.

use std::{sync::Arc, time::Duration};

use clap::Args;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{Failure, block_on, config::ConfigArgs};
use crate::{
    auth::Verifier,
    config::Config,
    health::{Health, State},
    http,
    metrics::Metrics,
    net::{descriptors, listener::bind, tls::Certificates},
    server::Server,
    telemetry,
};

/// Answers under way over HTTP have so long at the end.
const HTTP_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let (config, warnings) = args.config.read()?;
    start(&config, &warnings)
}

/// Runs a server until it is told to stop.
pub(super) fn start(config: &Config, warnings: &[String]) -> Result<(), Failure> {
    check_files(config)?;
    telemetry::start(&config.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    prepare_descriptors(config);
    block_on(serve(config))
}

fn prepare_descriptors(config: &Config) {
    let listeners = &config.listeners;
    let addrs = [listeners.tcp.addr, listeners.tls.addr, listeners.ws.addr, listeners.wss.addr];
    let wanted = u64::from(listeners.max_connections) * addrs.iter().flatten().count() as u64;
    if let Some(most) = descriptors::prepare(wanted).filter(|most| *most < wanted) {
        // Told, not complained of: the default is more than a small machine gives, and running out is a warning.
        tracing::info!(
            most,
            wanted,
            "fewer files may be open than there may be connections: the limit is `ulimit -Hn`"
        );
    }
}

/// What the configuration names must be usable before anything starts.
pub(super) fn check_files(config: &Config) -> Result<(), Failure> {
    Verifier::load(&config.auth.jwt).map_err(Failure::config)?;
    if let (Some(cert), Some(key)) = (&config.tls.cert_file, &config.tls.key_file) {
        Certificates::load(cert, key).map_err(Failure::config)?;
    }
    Ok(())
}

async fn serve(config: &Config) -> Result<(), Failure> {
    // Before anything that takes long, so that no signal finds its default action.
    let mut signals = Signals::new()?;
    let metrics = Arc::new(Metrics::new());
    let health = Arc::new(Health::new(&["store", "listeners"]));
    let stop_http = CancellationToken::new();
    let http = start_http(config, &health, &metrics, &stop_http)?;

    let mut starting = tokio::spawn({
        let (config, health) = (config.clone(), Arc::clone(&health));
        async move { Server::start(&config, metrics, health).await }
    });
    let server = tokio::select! {
        started = &mut starting => started.map_err(Failure::failed)?.map_err(Failure::failed)?,
        () = signals.end() => return Err(Failure::failed("told to stop before it was ready")),
    };
    health.set("store", State::Ready);
    health.set("listeners", State::Ready);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    while signals.next().await == Signal::Reload {
        server.reload();
    }

    tracing::info!("stopping");
    health.set("listeners", State::Draining);
    tokio::select! {
        stopped = server.stop() => stopped.map_err(Failure::failed)?,
        () = signals.end() => return Err(Failure::failed("told twice to stop: what was under way is not finished")),
    }
    stop_http.cancel();
    if let Some(http) = http {
        // A client that reads slowly does not hold up the end.
        let _ = tokio::time::timeout(HTTP_PATIENCE, http).await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Health is told from the start, while the store still opens.
fn start_http(
    config: &Config,
    health: &Arc<Health>,
    metrics: &Arc<Metrics>,
    stop: &CancellationToken,
) -> Result<Option<JoinHandle<()>>, Failure> {
    let Some(addr) = config.http.addr else { return Ok(None) };
    let listener =
        bind(addr).map_err(|error| Failure::failed(format!("http.addr: cannot listen on {addr}: {error}")))?;
    let addr = listener.local_addr().map_err(|error| Failure::failed(format!("http.addr {addr}: {error}")))?;
    tracing::info!(%addr, "http is listening");
    let router = http::router(config, Arc::clone(health), Arc::clone(metrics));
    let stop = stop.clone().cancelled_owned();
    Ok(Some(tokio::spawn(async move {
        if let Err(error) = http::serve(listener, router, stop).await {
            tracing::error!(%error, "http ended");
        }
    })))
}

#[derive(PartialEq, Eq)]
enum Signal {
    Reload,
    End,
}

struct Signals {
    hangup: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(|error| Failure::failed(format!("no signals: {error}")));
        Ok(Self {
            hangup: on(SignalKind::hangup())?,
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.terminate.recv() => Signal::End,
            _ = self.interrupt.recv() => Signal::End,
        }
    }

    async fn end(&mut self) {
        while self.next().await == Signal::Reload {}
    }
}
