//! `cargo xtask dev`: the server for trying it out.

use clap::Args;

use crate::{Result, step};

/// Arguments of `dev`.
#[derive(Args)]
pub struct Dev {
    /// Build with optimisation; the first build takes longer.
    #[arg(long)]
    release: bool,
    /// Passed on to `postrider dev`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Dev {
    /// Builds and runs `postrider dev` until it ends.
    pub fn run(self) -> Result {
        let mut cargo = step::cargo(&["run", "--quiet", "--bin", "postrider"]);
        if self.release {
            cargo.arg("--release");
        }
        println!("building postrider (the first time takes a minute or two) …");
        step::run(cargo.args(["--", "dev"]).args(self.arguments))
    }
}
