//! `postrider token`: prints a token and nothing else.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use postrider_protocol::Id;

use super::{Failure, now_s};
use crate::{
    auth::{Claims, mint, read_secret},
    duration,
};

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// The file with the server's secret
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// Who the token stands for
    #[arg(long)]
    user: Id,
    /// The device it is bound to
    #[arg(long, default_value = "cli")]
    device: Id,
    /// How long it is good, such as 30m, 24h or 7d
    #[arg(long, default_value = "24h", value_parser = duration::parse)]
    ttl: Duration,
    /// The tenant
    #[arg(long, default_value_t = 0)]
    tenant: u32,
    /// A token of a system user, which may write to everybody
    #[arg(long)]
    system: bool,
    /// The name of the key, when the server has several
    #[arg(long)]
    kid: Option<String>,
}

pub(super) fn run(args: &TokenArgs) -> Result<(), Failure> {
    if args.ttl.as_secs() == 0 {
        return Err(Failure::usage("--ttl: a token lives at least 1s"));
    }
    let secret = read_secret(&args.secret_file).map_err(Failure::config)?;
    let iat = now_s();
    let claims = Claims {
        dev: Some(args.device.to_string()),
        ten: (args.tenant != 0).then_some(args.tenant),
        sys: args.system.then_some(true),
        ..Claims::new(args.user.to_string(), iat, args.ttl)
    };
    println!("{}", mint(&secret, args.kid.as_deref(), &claims).map_err(Failure::failed)?);
    Ok(())
}
