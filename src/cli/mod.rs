//! The commands of `postrider`. Each gives back a [`Failure`] with its exit code, and says what to do next.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 usage, 78 configuration.

mod bench;
mod broadcast;
mod config;
mod dev;
mod health;
mod listen;
mod send;
mod serve;
mod store;
mod token;

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{Parser, Subcommand};

/// Why a command did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What went wrong and what to do next, for stderr.
    pub text: String,
}

impl Failure {
    /// Refused or failed: exit code 1.
    pub fn failed(text: impl fmt::Display) -> Self {
        Self { code: 1, text: text.to_string() }
    }

    /// Asked for wrongly: exit code 2.
    pub fn usage(text: impl fmt::Display) -> Self {
        Self { code: 2, text: text.to_string() }
    }

    /// A configuration that cannot be used: exit code 78.
    pub fn config(text: impl fmt::Display) -> Self {
        Self { code: 78, text: text.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

/// An instant-messaging server: every message durable before it is acknowledged.
#[derive(Debug, Parser)]
#[command(name = "postrider", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server on this machine with two ready users, and say what to open and type
    Dev(dev::DevArgs),
    /// Run a server
    Serve(serve::ServeArgs),
    /// Check a configuration, or tell its keys
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print a token for a user
    Token(token::TokenArgs),
    /// Send one message and wait until it is durable
    Send(send::SendArgs),
    /// Send one message of a system user to everybody, or to who has a tag
    Broadcast(broadcast::BroadcastArgs),
    /// Print what a device receives, and acknowledge it
    Listen(listen::ListenArgs),
    /// Look into a data directory
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Put load on a server, Postrider or a peer, and tell what it did
    Bench(bench::BenchArgs),
    /// Ask a running server whether it is ready
    Health(health::HealthArgs),
    /// Print the version
    Version,
}

/// Runs the command line of this process.
///
/// # Errors
/// What the command could not do; usage errors end the process here, with exit code 2.
pub fn run() -> Result<(), Failure> {
    match Cli::parse().command {
        Command::Dev(args) => dev::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Config(command) => config::run(&command),
        Command::Token(args) => token::run(&args),
        Command::Send(args) => block_on(send::run(args)),
        Command::Broadcast(args) => block_on(broadcast::run(args)),
        Command::Listen(args) => block_on(listen::run(args)),
        Command::Store(command) => store::run(&command),
        Command::Bench(args) => bench::run(args),
        Command::Health(args) => health::run(&args),
        Command::Version => {
            println!("postrider {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    }
}

/// Seconds since 1970.
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Runs `future` on a runtime with a thread for each core. What is still running then is left behind.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("no runtime: {error}")))?;
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_scripts_type_is_understood() {
        for line in [
            "postrider serve -c base.toml -c prod.toml --set a=b --set c=d",
            "postrider serve --config base.toml",
            "postrider dev --dir d -c more.toml --set http.addr=127.0.0.1:0",
            "postrider config check -c base.toml --set a=b",
            "postrider config default",
            "postrider config docs",
            "postrider token --secret-file F --user alice --device d1 --ttl 24h --tenant 3",
            "postrider send --addr 127.0.0.1:8790 --token-file F --to user:bob --text hi --json --timeout 10s",
            "postrider broadcast --addr 127.0.0.1:8790 --token-file F --all --text hi --json",
            "postrider broadcast --addr 127.0.0.1:8790 --token-file F --tag paid --body-file -",
            "postrider listen --addr wss://localhost:8795 --ca F --token-file F --count 3 --json",
            "postrider store check DIR",
            "postrider health --addr 127.0.0.1:8793",
            "postrider version",
        ] {
            if let Err(error) = Cli::try_parse_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
        }
        for line in [
            "postrider",
            "postrider token --user alice",
            "postrider token --secret-file F --user a/b",
            "postrider broadcast --addr 127.0.0.1:8790 --token-file F --text hi",
        ] {
            assert_eq!(Cli::try_parse_from(line.split(' ')).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
