//! Kills the server while it works, again and again, and checks what every client did and saw.

use clap::Args;

use super::{
    Shared, conclude,
    load::{Load, Plan},
    server::{Server, Site},
};
use crate::Result;

/// Arguments of `torture kill`.
#[derive(Args, Clone)]
pub struct Kill {
    /// How often the server is killed.
    #[arg(long, default_value_t = 20)]
    cycles: u64,
    /// How many users send at once.
    #[arg(long, default_value_t = 24)]
    users: u32,
    /// Messages a second, of all users together, while the server is up.
    #[arg(long, default_value_t = 8_000)]
    rate: u32,
    /// Groups of six, beside the person channels.
    #[arg(long, default_value_t = 2)]
    groups: u32,
    /// What the clients connect over, in turns.
    #[arg(long, default_value = "tcp,tls,ws,wss")]
    transports: String,
    #[command(flatten)]
    shared: Shared,
}

impl Kill {
    /// So many cycles, the rest by default.
    pub fn cycles(cycles: u64) -> Self {
        Self {
            cycles,
            users: 24,
            rate: 8_000,
            groups: 2,
            transports: "tcp,tls,ws,wss".to_owned(),
            shared: Shared::default(),
        }
    }

    /// The same with a fault planted.
    pub fn with(mut self, shared: Shared) -> Self {
        self.shared = shared;
        self
    }

    /// Runs the suite.
    pub fn run(self) -> Result {
        let plan = Plan { users: self.users, rate: self.rate, groups: self.groups, seed: self.shared.seed() };
        let work = self.shared.work("kill")?;
        let program = self.shared.build("postrider", "postrider")?;
        let mut site = Site::new(program, &work.join("run"), work.join("data"), self.shared.environment())?;
        site.listen(&self.transports)?;
        let mut load = Load::start(&site, &plan)?;
        for _ in 0..self.cycles {
            load.cycle(Server::kill, || Ok(()))?;
        }
        let void = is_void(&load);
        let mut found = load.finish("kill")?;
        found.extend(void);
        conclude("kill", &work, &found)
    }
}

/// A run that did too little tells nothing; a long one claims a rate as well, which a short one on a busy machine
/// cannot.
fn is_void(load: &Load) -> Vec<String> {
    let (tally, mut found) = (&load.tally, Vec::new());
    if tally.in_flight * 10 < tally.cycles * 9 {
        found.push(format!("only {} of {} kills cut a SEND off: the run is void", tally.in_flight, tally.cycles));
    }
    let acknowledged = load.acknowledged();
    if acknowledged < tally.cycles * 100 {
        found.push(format!("only {acknowledged} acknowledged over {} kills: the run is void", tally.cycles));
    }
    let per_second = acknowledged as f64 / tally.time.as_secs_f64().max(0.001);
    if tally.cycles >= 100 && per_second < 1_000.0 {
        found.push(format!("only {per_second:.0} messages/s: the run is void"));
    }
    found
}
