//! The project's own tasks: `cargo xtask dev | test | nightly | generate | sim | growth | torture`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod check;
mod counts;
mod dev;
mod generate;
mod growth;
mod median;
mod overload;
mod peers;
mod sim;
mod step;
mod torture;

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand};

/// What a task returns; an error is told to the person who ran it, in one line.
type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The tasks of this project")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build Postrider and run it for trying it out: fresh secrets, two users, all listeners on loopback.
    Dev(dev::Dev),
    /// Everything that must be green before a change lands; what CI runs.
    Test(check::Test),
    /// The same with the long versions of the searches for faults: hours, not minutes.
    Nightly(check::Nightly),
    /// Make again what is made from protocol/registry.toml.
    Generate(Generate),
    /// Run the seeded world: the server's own stages on one thread, with virtual time and a disk that forgets.
    Sim(sim::Sim),
    /// Instructions of one message on the hot path, under callgrind, against benches/counts.json.
    Counts(counts::Counts),
    /// Postrider beside NATS, JetStream and Mosquitto, scenario by scenario; writes docs/benchmarks.md.
    Peers(peers::Peers),
    /// A server that has been in use for long: how it starts, reads and takes messages over millions of them.
    Growth(growth::Growth),
    /// Twice the load that saturates the server, and what becomes of it.
    Overload(overload::Overload),
    /// Break the real server on purpose, and see that nothing acknowledged is lost.
    Torture(torture::Torture),
}

#[derive(clap::Args)]
struct Generate {
    /// Change nothing, and fail when something is not as it would be made.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Dev(task) => task.run(),
        Task::Test(task) => task.run(),
        Task::Nightly(task) => task.run(),
        Task::Generate(task) => generate::run(task.check).map_err(Into::into),
        Task::Sim(task) => task.run(),
        Task::Counts(task) => task.run(),
        Task::Peers(task) => task.run(),
        Task::Growth(task) => task.run(),
        Task::Overload(task) => task.run(),
        Task::Torture(task) => task.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            // A suite that found something is not one that could not run.
            ExitCode::from(if error.is::<torture::Found>() { torture::FOUND } else { 2 })
        }
    }
}
