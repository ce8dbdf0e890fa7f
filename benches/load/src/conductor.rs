//! Leads a run through its phases, and makes the report.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    ledger::{Ledger, latencies},
    options::{Options, Scenario, Target},
    plan::{Plan, Stay},
    plot,
    prepare::{self, Mint},
    process::{self, Usage},
    report::{Percentiles, Report},
    tally::{Board, Counts, Phase},
    transport::Site,
    worker::Worker,
};

/// How often the counts are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// What is under way at the end is given up once nothing has come for so long.
const DRAIN: Duration = Duration::from_secs(15);
/// And after so long, whatever still comes.
const LATEST: Duration = Duration::from_secs(180);
/// The devices of a storm may take so long.
const STORM: Duration = Duration::from_secs(180);
/// Files that are open beside the connections.
const FILES: u64 = 64;

/// Runs what `options` ask for. `mint` makes a token for a user; it is called for Postrider alone.
///
/// # Errors
/// The run could not be made at all. One that went wrong has a report that is not good.
pub fn run(options: Options, mint: Mint<'_>) -> Result<Report, String> {
    options.check()?;
    let site = Site::new(&options.addr, options.ca.as_deref())?;
    let mut plan = Plan::new(options, site);
    process::allow_files(plan.roles.len() as u64 + FILES)?;
    plan.secrets = secrets(&plan, mint)?;
    prepare::prepare(&plan, mint)?;
    let plan = Arc::new(plan);
    let mut run = Run::start(&plan)?;
    let result = run.conduct();
    run.board.enter(Phase::Stop);
    let mut ledgers = Vec::new();
    for thread in run.threads.drain(..) {
        ledgers.push(thread.join().map_err(|_| "a thread of the load generator panicked")?);
    }
    prepare::clean_up(&plan);
    result?;
    run.finish(&ledgers)
}

/// What each connection shows.
fn secrets(plan: &Plan, mint: Mint<'_>) -> Result<Vec<Arc<str>>, String> {
    if plan.options.target == Target::Postrider {
        return (0..plan.roles.len() as u32).map(|me| mint(&plan.user(me)).map(Arc::from)).collect();
    }
    let Some(file) = &plan.options.secret_file else { return Ok(Vec::new()) };
    let secret = std::fs::read_to_string(file).map_err(|error| format!("--secret-file {}: {error}", file.display()))?;
    Ok(vec![Arc::from(secret.trim())])
}

/// Counts and usage at one moment.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Instant,
    counts: Counts,
    server: Option<Usage>,
    load: Option<Usage>,
}

struct Run {
    plan: Arc<Plan>,
    board: Arc<Board>,
    threads: Vec<JoinHandle<Ledger>>,
    before: Moment,
    /// Between these two is measured.
    from: Moment,
    until: Moment,
    report: Report,
    /// Seconds since the threads began, and deliveries a second.
    rates: Vec<(f64, f64)>,
    last: Moment,
    peak: u64,
    /// Resident memory of the server: the sum of the samples of each minute that is measured, and how many they are.
    minutes: Vec<(u64, u64)>,
    measures: bool,
}

impl Run {
    fn start(plan: &Arc<Plan>) -> Result<Self, String> {
        let count = plan.options.threads();
        let board = Arc::new(Board::new(count));
        let (mut polls, mut wakers) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (poll, waker) = Worker::poll().map_err(|error| error.to_string())?;
            polls.push(poll);
            wakers.push(waker);
        }
        let wakers = Arc::new(wakers);
        let now = moment(plan, &board);
        let mut threads = Vec::new();
        for (number, poll) in polls.into_iter().enumerate() {
            let worker = Worker::new(Arc::clone(plan), Arc::clone(&board), number, poll, Arc::clone(&wakers))?;
            let thread = std::thread::Builder::new().name(format!("load-{number}"));
            threads.push(thread.spawn(move || worker.run()).map_err(|error| error.to_string())?);
        }
        let report = Report::empty(&plan.options);
        Ok(Self {
            plan: Arc::clone(plan),
            board,
            threads,
            before: now,
            from: now,
            until: now,
            report,
            rates: Vec::new(),
            last: now,
            peak: 0,
            minutes: Vec::new(),
            measures: false,
        })
    }

    fn conduct(&mut self) -> Result<(), String> {
        let options = self.plan.options.clone();
        self.connect()?;
        if options.scenario == Scenario::Idle {
            self.measure("waiting", &options);
            return Ok(());
        }
        self.board.enter(Phase::Run);
        self.wait("warming up", Duration::from_secs(u64::from(options.warmup)), |_| false);
        self.measure("measuring", &options);
        if options.scenario == Scenario::Storm {
            self.storm(&options)?;
        }
        self.board.enter(Phase::Drain);
        self.drain();
        self.report.unanswered = self.board.counts().unfinished;
        Ok(())
    }

    /// Waits for what is under way as long as any of it comes: what is late is not lost.
    fn drain(&mut self) {
        let (mut last, mut since) = (None, Instant::now());
        self.wait("draining", LATEST, |counts| {
            let now = Some((counts.received, counts.unfinished));
            if now != last {
                (last, since) = (now, Instant::now());
            }
            let is_done = counts.unfinished == 0 && counts.received >= counts.expected;
            is_done || since.elapsed() >= DRAIN
        });
    }

    /// Waits until everybody who is there from the beginning is in.
    fn connect(&mut self) -> Result<(), String> {
        let here = |stay: Stay| matches!(stay, Stay::Always | Stay::ComeAndGo { .. });
        let wanted = self.plan.roles.iter().filter(|role| here(role.stay)).count() as u64;
        let limit = Duration::from_secs(30 + wanted / 100);
        let began = Instant::now();
        if !self.wait("connecting", limit, |counts| counts.up >= wanted) {
            let (troubles, _) = self.board.troubles();
            let counts = self.board.counts();
            let why = troubles.first().map_or("no answer", String::as_str);
            return Err(format!("only {} of {wanted} connections are in: {why}", counts.up));
        }
        if wanted > 0 && self.plan.options.scenario == Scenario::Idle {
            self.report.connects_per_s = Some(wanted as f64 / began.elapsed().as_secs_f64());
        }
        Ok(())
    }

    fn measure(&mut self, what: &str, options: &Options) {
        let seconds = Duration::from_secs(u64::from(options.seconds));
        self.from = moment(&self.plan, &self.board);
        let now_ns = self.plan.now_ns();
        let [from, until] = &self.board.measured;
        until.store(now_ns + seconds.as_nanos() as u64, Ordering::Relaxed);
        from.store(now_ns, Ordering::Relaxed);
        self.measures = true;
        self.wait(what, seconds, |_| false);
        self.measures = false;
        self.until = moment(&self.plan, &self.board);
    }

    /// Lets all devices come at once, and waits until they have everything.
    fn storm(&mut self, options: &Options) -> Result<(), String> {
        let devices = u64::from(options.connections);
        let live = self.plan.roles.len() as u64 - devices;
        let pulls = self.plan.catches_up();
        let caught_up_before = self.board.counts().caught_up;
        self.board.storm_from.store(self.plan.now_ns(), Ordering::Relaxed);
        self.board.enter(Phase::Storm);
        let began = Instant::now();
        let mut all_in = None;
        let done = self.wait("storm", STORM, |counts| {
            if counts.up >= live + devices && all_in.is_none() {
                all_in = Some(began.elapsed());
            }
            all_in.is_some() && (!pulls || counts.caught_up - caught_up_before >= devices)
        });
        if !done {
            let (troubles, _) = self.board.troubles();
            return Err(format!("the storm is not over after {STORM:?}: {}", troubles.join("; ")));
        }
        self.report.connects_per_s = all_in.map(|all_in| devices as f64 / all_in.as_secs_f64());
        self.report.caught_up_s = pulls.then(|| began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Looks at the counts until `enough`, or for `limit`; says whether it was enough.
    fn wait(&mut self, what: &str, limit: Duration, mut enough: impl FnMut(&Counts) -> bool) -> bool {
        let began = Instant::now();
        loop {
            let left = limit.saturating_sub(began.elapsed());
            // Connecting and storms are timed by this: looking often costs nothing there.
            let look = if matches!(what, "connecting" | "storm") { LOOK / 20 } else { LOOK };
            std::thread::sleep(left.min(look));
            let counts = self.board.counts();
            if self.last.at.elapsed() >= LOOK {
                self.sample(what, began, limit);
            }
            if enough(&counts) {
                return true;
            }
            if began.elapsed() >= limit {
                return false;
            }
        }
    }

    fn sample(&mut self, what: &str, began: Instant, limit: Duration) {
        let now = moment(&self.plan, &self.board);
        if let Some(Usage { rss, .. }) = now.server {
            self.peak = self.peak.max(rss);
            if self.measures {
                // The last look comes a moment after the end.
                let whole = u64::from(self.plan.options.seconds / 60);
                let minute = (now.at.duration_since(self.from.at).as_secs() / 60).min(whole.saturating_sub(1));
                self.minutes.resize(self.minutes.len().max(minute as usize + 1), (0, 0));
                if let Some((sum, count)) = self.minutes.last_mut() {
                    (*sum, *count) = (*sum + rss, *count + 1);
                }
            }
        }
        let seconds = now.at.duration_since(self.last.at).as_secs_f64();
        let rate = now.counts.received.saturating_sub(self.last.counts.received) as f64 / seconds;
        self.rates.push((now.at.duration_since(self.before.at).as_secs_f64(), rate));
        self.last = now;
        let mut stderr = std::io::stderr();
        if stderr.is_terminal() {
            let line = format!(
                "{what} {:.0}/{:.0} s · {} connections · {rate:.0} deliveries/s · {} refused",
                began.elapsed().as_secs_f64(),
                limit.as_secs_f64(),
                now.counts.up,
                now.counts.refused
            );
            let _ = write!(stderr, "\r\x1b[2K{line}");
            let _ = stderr.flush();
        }
    }

    fn finish(mut self, ledgers: &[Ledger]) -> Result<Report, String> {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[2K");
        }
        let (mut delivery, mut ack, mut storm) = (latencies(), latencies(), latencies());
        let report = &mut self.report;
        let (mut expected, mut received) = (0, 0);
        for ledger in ledgers {
            expected += ledger.expected;
            received += ledger.received;
            report.synced += ledger.synced;
            report.duplicated += ledger.duplicated;
            report.disordered += ledger.disordered;
            report.refused += ledger.refused;
            report.lagged += ledger.lagged;
            report.troubles += ledger.failed;
            for (into, from) in
                [(&mut delivery, &ledger.delivery), (&mut ack, &ledger.ack), (&mut storm, &ledger.storm)]
            {
                into.add(from).map_err(|error| format!("{error:?}"))?;
            }
        }
        report.lost = u64::saturating_sub(expected, received);
        let (trouble, troubles) = self.board.troubles();
        report.trouble = trouble;
        report.troubles += troubles;
        report.latency_us = Percentiles::of(&delivery);
        report.ack_us = Percentiles::of(&ack);
        report.storm_latency_us = Percentiles::of(&storm);
        self.usage();
        if let Some(file) = &self.plan.options.plot {
            let svg = plot::svg(&self.report, &self.rates, &delivery, &ack);
            std::fs::write(file, svg).map_err(|error| format!("--plot {}: {error}", file.display()))?;
        }
        Ok(self.report)
    }

    fn usage(&mut self) {
        let (from, until, report) = (&self.from, &self.until, &mut self.report);
        let seconds = until.at.duration_since(from.at).as_secs_f64();
        let deliveries = until.counts.received.saturating_sub(from.counts.received) as f64;
        report.seconds = seconds;
        report.deliveries_per_s = deliveries / seconds;
        report.messages_per_s = until.counts.acked.saturating_sub(from.counts.acked) as f64 / seconds;
        let spent = |from: Option<Usage>, until: Option<Usage>| Some(until?.cpu_us.saturating_sub(from?.cpu_us) as f64);
        if let Some(cpu_us) = spent(from.server, until.server) {
            report.server_cpu_cores = Some(cpu_us / seconds / 1e6);
            report.server_cpu_us_per_delivery = (deliveries > 0.0).then(|| cpu_us / deliveries);
        }
        report.load_cpu_cores = spent(from.load, until.load).unwrap_or_default() / seconds / 1e6;
        report.server_rss_bytes = until.server.map(|usage| usage.rss);
        report.server_rss_bytes_by_minute = self.minutes.iter().map(|(sum, count)| sum / (*count).max(1)).collect();
        report.server_rss_peak_bytes = until.server.map(|usage| usage.rss.max(self.peak));
        if self.plan.options.scenario == Scenario::Sync {
            let devices = until.counts.caught_up.saturating_sub(from.counts.caught_up) as f64;
            report.connects_per_s = Some(devices / seconds);
        }
        if self.plan.options.scenario == Scenario::Idle
            && let (Some(before), Some(after)) = (self.before.server, until.server)
        {
            let each = after.rss.saturating_sub(before.rss) as f64 / f64::from(self.plan.options.connections);
            report.server_rss_bytes_per_connection = Some(each);
        }
    }
}

fn moment(plan: &Plan, board: &Board) -> Moment {
    Moment {
        at: Instant::now(),
        counts: board.counts(),
        server: plan.options.server_pid.and_then(process::usage),
        load: process::usage(std::process::id()),
    }
}
