//! While one peer does its worst, the others' SENDACK stays as fast as it was: a steady load, and beside it one kind
//! of bad neighbour at a time.
//!
//! Time goes by in windows: quiet, two kinds, quiet, two kinds, and so on for some rounds. A kind's ratio in a round
//! is its window's p99 over that of the quiet ones around it; the median over the rounds is judged. Who is over the
//! bound is measured for more rounds, and all of them count. What is measured runs before, and neighbours behind,
//! whatever else the machine does: they would have a machine of their own.

mod bad;
mod guests;
mod scene;
mod steady;
mod storms;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::json;

use super::{
    Shared, conclude,
    server::{Server, Site},
};
use crate::{Result, median::median, step};
use bad::Kind;
use scene::Scene;
use steady::{Ledger, Steady};

/// Others' p99 beside a bad neighbour is at most so many times that without it.
const BOUND: f64 = 1.5;
/// Between two windows, for neighbours to go.
const SETTLE: Duration = Duration::from_millis(300);
/// More rounds for who is over the bound, for each round that there was.
const AGAIN: u32 = 2;
/// At most so many kinds are measured again.
const AGAIN_KINDS: usize = 6;

/// Arguments of `torture neighbours`.
#[derive(Args, Clone)]
pub struct Neighbours {
    /// How long one window is.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// How often each kind is measured.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Pairs of users who write to each other, steadily.
    #[arg(long, default_value_t = 100)]
    pairs: u32,
    /// Messages a second, of all pairs together.
    #[arg(long, default_value_t = 1_500)]
    rate: u32,
    /// What they connect over, in turns.
    #[arg(long, default_value = "tcp,tls,ws,wss")]
    transports: String,
    /// These kinds alone.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Kind>,
    /// Measure this program instead of building the server.
    #[arg(long)]
    program: Option<PathBuf>,
    #[command(flatten)]
    shared: Shared,
}

/// What one window showed, beside its latencies.
#[derive(Clone, Copy)]
struct Window {
    number: u32,
    /// Resident memory of the server at its end, bytes.
    rss: u64,
    /// CPU time of the server, of one core.
    cpu: f64,
    /// What the neighbour did.
    acts: u64,
}

/// A kind's window and the quiet ones around it.
struct Trial {
    kind: Kind,
    bad: Window,
    quiet: [Window; 2],
}

/// What all trials of a kind come to; times in microseconds.
struct Verdict {
    kind: Kind,
    ratios: Vec<f64>,
    ratio: f64,
    p50: [f64; 2],
    p99: [f64; 2],
    cpu: [f64; 2],
    rss_growth: u64,
    acts_per_second: f64,
}

impl Neighbours {
    /// Long windows, the rest by default.
    pub fn long() -> Self {
        Self {
            seconds: 3.0,
            rounds: 5,
            pairs: 100,
            rate: 1_500,
            transports: "tcp,tls,ws,wss".to_owned(),
            only: Vec::new(),
            program: None,
            shared: Shared::default(),
        }
    }

    /// Runs the suite.
    pub fn run(self) -> Result {
        let seed = self.shared.seed();
        let work = self.shared.work("neighbours")?;
        let program = match &self.program {
            Some(program) => program.canonicalize()?,
            None => self.shared.build("postrider", "postrider")?,
        };
        let mut site = Site::new(program, &work.join("run"), work.join("data"), self.shared.environment())?;
        site.listen(&self.transports)?;
        let start = Instant::now();
        let (mut verdicts, mut found) = (Vec::new(), Vec::new());
        println!("load average {}; the scene is set …", load_average());
        let scene = {
            let server = start_before_others(&site)?;
            let scene = Scene::set(&site)?;
            server.stop()?;
            Arc::new(scene)
        };
        // Without a limit first, then as servers are.
        for unlimited in [true, false] {
            let kinds: Vec<Kind> = Kind::all(unlimited).filter(|kind| self.is_asked(*kind)).collect();
            if kinds.iter().all(|kind| kind.is_machine()) {
                continue;
            }
            site.settings.retain(|setting| unlimited || !setting.starts_with("limits.user_rate"));
            let (more, wrong) = self.measure(&site, &scene, &kinds)?;
            verdicts.extend(more);
            found.extend(wrong);
        }
        found.extend(self.report(seed, start.elapsed(), &verdicts));
        conclude("neighbours", &work, &found)
    }

    fn is_asked(&self, kind: Kind) -> bool {
        self.only.is_empty() || self.only.contains(&kind) || kind.is_machine()
    }

    /// All rounds of these kinds beside one server.
    fn measure(&self, site: &Site, scene: &Arc<Scene>, kinds: &[Kind]) -> Result<(Vec<Verdict>, Vec<String>)> {
        let server = start_before_others(site)?;
        let ledger = Arc::new(Ledger::default());
        let load = Steady { pairs: self.pairs, rate: self.rate }.start(site, &ledger)?;
        let neighbours = runtime(19)?;
        let mut probe = Probe { pid: server.pid(), ledger: &ledger, next: 1, seconds: self.seconds };
        // The first second is nobody's: connections are new, and so are the channels.
        thread::sleep(Duration::from_secs(1));
        let mut trials = Vec::new();
        for _ in 0..self.rounds {
            self.round(kinds, &mut probe, &neighbours, scene, &mut trials)?;
        }
        let mut over: Vec<Verdict> =
            verdicts(kinds, &trials, &ledger, self.seconds).into_iter().filter(Verdict::is_over).collect();
        over.sort_by(|a, b| b.ratio.total_cmp(&a.ratio));
        let over: Vec<Kind> = over.into_iter().map(|verdict| verdict.kind).take(AGAIN_KINDS).collect();
        for _ in 0..self.rounds * AGAIN {
            self.round(&over, &mut probe, &neighbours, scene, &mut trials)?;
        }
        let verdicts = verdicts(kinds, &trials, &ledger, self.seconds);
        let found = load.stop()?;
        neighbours.shutdown_background();
        if !server.stop()?.success() {
            return Err("the server did not end well".into());
        }
        Ok((verdicts, found))
    }

    fn round(
        &self,
        kinds: &[Kind],
        probe: &mut Probe<'_>,
        neighbours: &tokio::runtime::Runtime,
        scene: &Arc<Scene>,
        trials: &mut Vec<Trial>,
    ) -> Result {
        if kinds.is_empty() {
            return Ok(());
        }
        let mut before = probe.window(|| 0)?;
        for two in kinds.chunks(2) {
            let mut bad = Vec::new();
            for kind in two {
                let attack = bad::begin(*kind, scene, neighbours.handle());
                bad.push((*kind, probe.window(|| attack.acts())?));
                drop(attack);
                thread::sleep(SETTLE);
            }
            let after = probe.window(|| 0)?;
            trials.extend(bad.into_iter().map(|(kind, bad)| Trial { kind, bad, quiet: [before, after] }));
            before = after;
        }
        Ok(())
    }

    /// Tells all of it; returns what is over the bound.
    fn report(&self, seed: u64, took: Duration, verdicts: &[Verdict]) -> Vec<String> {
        println!(
            "\n  neighbour              p99 ratio  (worst)  quiet p50/p99 ms    beside p50/p99 ms   server CPU       RSS growth     acts/s"
        );
        for verdict in verdicts {
            let [quiet50, bad50] = verdict.p50.map(|us| us / 1_000.0);
            let [quiet99, bad99] = verdict.p99.map(|us| us / 1_000.0);
            let [quiet_cpu, bad_cpu] = verdict.cpu.map(|cpu| cpu * 100.0);
            let worst = verdict.ratios.iter().copied().fold(0.0, f64::max);
            println!(
                "  {:<22} {:>8.2}x {worst:>8.2}x {quiet50:>8.2} /{quiet99:>7.2} {bad50:>10.2} /{bad99:>7.2} \
                 {quiet_cpu:>6.0} → {bad_cpu:>3.0} % {:>10.1} MiB {:>10.0}{}",
                verdict.kind.name(),
                verdict.ratio,
                verdict.rss_growth as f64 / f64::from(1 << 20),
                verdict.acts_per_second,
                if verdict.kind.is_judged() { "" } else { "  not judged" },
            );
        }
        println!("  nobody: the noise of this machine; its load average is {} now", load_average());
        println!(
            "  busy-cores: what it makes wait, disk and threads, while work of no importance keeps every core busy"
        );
        println!("  not judged: without a limit one user may take all that the machine has");
        let kinds: Vec<_> = verdicts.iter().map(Verdict::json).collect();
        let summary = json!({
            "suite": "neighbours", "seed": seed, "seconds": took.as_secs_f64(), "window_seconds": self.seconds,
            "rounds": self.rounds, "pairs": self.pairs, "rate": self.rate, "bound": BOUND,
            "load_average": load_average(), "kinds": kinds,
        });
        println!("{summary}");
        let over = verdicts.iter().filter(|verdict| verdict.is_over());
        let (noisy, over): (Vec<_>, Vec<_>) = over.partition(|verdict| verdict.kind == Kind::Nobody);
        if !noisy.is_empty() {
            println!("  beside nobody it is above {BOUND} already: the machine is too busy for this run to mean much");
        }
        over.into_iter()
            .filter(|verdict| verdict.kind.is_judged())
            .map(|verdict| {
                let (name, ratio) = (verdict.kind.name(), verdict.ratio);
                format!("beside {name} the others' SENDACK p99 is {ratio:.2} times what it is without, above {BOUND}")
            })
            .collect()
    }
}

/// Cuts time into windows.
struct Probe<'a> {
    pid: u32,
    ledger: &'a Ledger,
    next: u32,
    seconds: f64,
}

impl Probe<'_> {
    fn window(&mut self, acts: impl Fn() -> u64) -> Result<Window> {
        let number = self.next;
        self.next += 1;
        let (acts_before, cpu_before, start) = (acts(), cpu_seconds(self.pid)?, Instant::now());
        self.ledger.open(number);
        thread::sleep(Duration::from_secs_f64(self.seconds));
        self.ledger.open(0);
        let cpu = (cpu_seconds(self.pid)? - cpu_before) / start.elapsed().as_secs_f64();
        Ok(Window { number, rss: resident_bytes(self.pid)?, cpu, acts: acts() - acts_before })
    }
}

impl Verdict {
    fn is_over(&self) -> bool {
        self.ratio > BOUND
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "kind": self.kind.name(), "judged": self.kind.is_judged(), "ratio": self.ratio, "ratios": self.ratios,
            "quiet_p50_us": self.p50[0], "p50_us": self.p50[1], "quiet_p99_us": self.p99[0], "p99_us": self.p99[1],
            "quiet_cpu": self.cpu[0], "cpu": self.cpu[1], "rss_growth_bytes": self.rss_growth,
            "acts_per_second": self.acts_per_second,
        })
    }
}

fn verdicts(kinds: &[Kind], trials: &[Trial], ledger: &Ledger, seconds: f64) -> Vec<Verdict> {
    let samples = ledger.samples();
    let at = |window: &Window, part: f64| samples.get(&window.number).map_or(0.0, |sorted| quantile(sorted, part));
    let quiet = |trial: &Trial, part: f64| trial.quiet.iter().map(|window| at(window, part)).sum::<f64>() / 2.0;
    let mut verdicts = Vec::new();
    for kind in kinds {
        let trials: Vec<&Trial> = trials.iter().filter(|trial| trial.kind == *kind).collect();
        let of = |value: &dyn Fn(&Trial) -> f64| median(trials.iter().map(|trial| value(trial)).collect());
        let ratios: Vec<f64> = trials.iter().map(|trial| at(&trial.bad, 0.99) / quiet(trial, 0.99).max(1.0)).collect();
        let growth = |trial: &&Trial| trial.bad.rss.saturating_sub(trial.quiet[0].rss);
        verdicts.push(Verdict {
            kind: *kind,
            ratio: median(ratios.clone()),
            ratios,
            p50: [of(&|trial| quiet(trial, 0.5)), of(&|trial| at(&trial.bad, 0.5))],
            p99: [of(&|trial| quiet(trial, 0.99)), of(&|trial| at(&trial.bad, 0.99))],
            cpu: [of(&|trial| (trial.quiet[0].cpu + trial.quiet[1].cpu) / 2.0), of(&|trial| trial.bad.cpu)],
            rss_growth: trials.iter().map(growth).max().unwrap_or_default(),
            acts_per_second: of(&|trial| trial.bad.acts as f64) / seconds,
        });
    }
    verdicts
}

/// The value below which `part` of them lie.
fn quantile(sorted: &[u32], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().map_or(0.0, f64::from)
}

/// Starts the server before what else the machine does, where that is allowed.
fn start_before_others(site: &Site) -> Result<Server> {
    if !step::is_root() {
        return site.start();
    }
    let mut nice = Command::new("nice");
    nice.args(["-n", "-10"]).arg(&site.program);
    site.start_under(nice)
}

/// A runtime with one thread of this niceness, where that is allowed.
fn runtime(niceness: i32) -> Result<tokio::runtime::Runtime> {
    let renice = move || {
        if let Ok(thread) = fs::read_link("/proc/thread-self")
            && let Some(thread) = thread.file_name()
        {
            let mut renice = Command::new("renice");
            renice.args(["-n", &niceness.to_string(), "-p"]).arg(thread);
            let _ = renice.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
        }
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(1).enable_all().on_thread_start(renice).build()?)
}

fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / 100.0)
}

fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

fn load_average() -> String {
    let loads = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    loads.split(' ').next().unwrap_or_default().to_owned()
}
