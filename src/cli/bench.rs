//! `postrider bench`: the load generator, with tokens of its own making.

use std::time::Duration;

use clap::Args;
use postrider_load::{Options, Target};

use super::{Failure, now_s};
use crate::auth::{Claims, mint, read_secret};

/// Tokens live longer than any run.
const TTL: Duration = Duration::from_secs(86_400);

#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    #[command(flatten)]
    options: Options,
}

/// Runs it and prints what came out; a run with a lost, doubled or disordered delivery has failed.
pub(super) fn run(args: BenchArgs) -> Result<(), Failure> {
    let options = args.options;
    options.check().map_err(Failure::usage)?;
    let secret = match (&options.secret_file, options.target) {
        (Some(file), Target::Postrider) => read_secret(file).map_err(Failure::config)?,
        (None, Target::Postrider) => return Err(Failure::usage("--secret-file: Postrider's, to make tokens with")),
        _ => Vec::new(),
    };
    let iat = now_s();
    let token = |user: &str| mint(&secret, None, &Claims::new(user, iat, TTL));
    let report = postrider_load::run(options.clone(), &token).map_err(Failure::failed)?;
    if options.json {
        println!("{}", serde_json::to_string(&report).map_err(Failure::failed)?);
    } else {
        print!("{}", report.table(&options));
    }
    if report.is_good() {
        Ok(())
    } else {
        Err(Failure::failed("a delivery was lost, doubled or out of order, or a connection failed"))
    }
}
