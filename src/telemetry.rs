//! Logs: to stderr, text on a terminal and JSON otherwise. No line ever holds a body, a token or a secret: what is
//! logged of a peer is its address, its transport and reasons from the registry.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, layer::SubscriberExt as _};

use crate::config::{Log, LogFormat};

/// Starts logging for the rest of the process. Later calls change nothing.
pub fn start(config: &Log) {
    // Other crates are heard from warn on; they log what peers send when they are asked for more.
    let directives = format!("warn,postrider={0},postrider_storage={0}", config.level.word());
    let filter = EnvFilter::try_new(directives).unwrap_or_default();
    let json = match config.format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if json {
        fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed()
    } else {
        let colours = std::io::stderr().is_terminal();
        fmt::layer().with_ansi(colours).with_target(false).with_writer(std::io::stderr).boxed()
    };
    let _ = tracing::subscriber::set_global_default(Registry::default().with(lines.with_filter(filter)));
}
