//! `postrider store`: looks into a data directory that no server has open.

use std::path::PathBuf;

use clap::Subcommand;

use super::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Read everything and compare log and store; one line for each finding
    Check {
        /// The data directory, `storage.path` of the server
        dir: PathBuf,
    },
}

pub(super) fn run(command: &StoreCommand) -> Result<(), Failure> {
    let StoreCommand::Check { dir } = command;
    let findings =
        postrider_storage::check(dir).map_err(|error| Failure::failed(format!("{}: {error}", dir.display())))?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("clean");
            Ok(())
        }
        1 => Err(Failure::failed("1 finding")),
        n => Err(Failure::failed(format!("{n} findings"))),
    }
}
