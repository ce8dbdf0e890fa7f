//! `postrider config`: check, default, docs.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Failure, serve};
use crate::config::{Config, Layers, default_toml, docs};

/// Where a configuration comes from.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ConfigArgs {
    /// TOML file; may be given several times, later ones win
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// One key, over files and environment
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

impl ConfigArgs {
    /// As these, with `file` below all others.
    pub(super) fn over(&self, file: PathBuf) -> Self {
        let files = std::iter::once(file).chain(self.files.iter().cloned()).collect();
        Self { files, sets: self.sets.clone() }
    }

    /// Reads and checks the configuration; returns it with what an operator should be warned of.
    pub(super) fn read(&self) -> Result<(Config, Vec<String>), Failure> {
        let layers = Layers::of_process(self.files.clone(), self.sets.clone());
        let config = layers.read().map_err(Failure::config)?;
        let warnings = config.validate().map_err(Failure::config)?;
        Ok((config, warnings))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Read the configuration as serve would, with secrets and certificates, and print it
    Check(ConfigArgs),
    /// Print every key with its default, as a file to edit
    Default,
    /// Print what every key means
    Docs,
}

pub(super) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check(args) => {
            let (config, warnings) = args.read()?;
            serve::check_files(&config)?;
            for warning in warnings {
                eprintln!("warning: {warning}");
            }
            print!("{}", config.to_toml());
        }
        ConfigCommand::Default => print!("{}", default_toml()),
        ConfigCommand::Docs => print!("{}", docs()),
    }
    Ok(())
}
