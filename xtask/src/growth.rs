//! `cargo xtask growth`: what a server is like that has been in use for long. Fills a data directory to a size, through
//! the storage API, and then lets the real server start, answer and take messages over it.

mod fill;

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use clap::Args;
use postrider_protocol::{Reason, Sender, SenderKind};
use serde_json::{Value, json};

use crate::{
    Result,
    step::{self, cargo},
    torture::{
        server::{Server, Site},
        wire::Wire,
    },
};

/// Arguments of `growth`.
#[derive(Args)]
pub struct Growth {
    /// How many messages the directory holds
    #[arg(long, default_value_t = 10_000_000)]
    messages: u64,
    /// In how many person channels
    #[arg(long, default_value_t = 100_000)]
    channels: u32,
    /// How many of the messages are written at one message a commit
    #[arg(long, default_value_t = 1_000_000)]
    single: u64,
    /// How often the rates of this server and of an empty one are compared
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// So many starts, each after a SIGKILL
    #[arg(long, default_value_t = 20)]
    starts: u32,
    /// Instead, let retention keep about --messages while so many times as many are written; fails when the last ten
    /// times enlarged the files by more than a tenth
    #[arg(long, default_value_t = 0)]
    turnovers: u32,
    /// Use the directory that an earlier run filled
    #[arg(long)]
    again: bool,
    /// Print a JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// Channels whose newest messages are read.
const READS: u64 = 500;
/// So many turnovers must not enlarge the files.
const TURNOVERS: usize = 10;
/// How long a rate is measured, seconds.
const SECONDS: &str = "5";

/// Fails when the files of log and store are more than a tenth longer than ten turnovers before.
fn settled(sizes: &[(u64, u64)]) -> Result {
    let bytes = |turnover: usize| sizes.get(turnover).map(|(log, store)| log + store);
    let last = sizes.len().saturating_sub(1);
    match (last.checked_sub(TURNOVERS).and_then(bytes), bytes(last)) {
        (Some(before), Some(after)) if after * 10 > before * 11 => {
            Err(format!("the files grew from {before} to {after} bytes in the last {TURNOVERS} turnovers").into())
        }
        _ => Ok(()),
    }
}

impl Growth {
    /// Fills, measures, prints.
    pub fn run(self) -> Result {
        if cfg!(debug_assertions) {
            // Filling is work for an optimised build.
            let mut again = cargo(&["run", "--quiet", "--release", "--package", "xtask", "--"]);
            return step::run(again.args(std::env::args_os().skip(1)));
        }
        let folder = step::target().join("growth");
        let data = folder.join("data");
        if self.turnovers > 0 {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder)?;
            let sizes = fill::slide(&data, self.messages, self.channels, self.turnovers)?;
            println!("{}", json!({ "log_and_store_bytes": sizes }));
            return settled(&sizes);
        }
        step::run(&mut cargo(&["build", "--quiet", "--release", "--bin", "postrider"]))?;
        if !(self.again && data.exists()) {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder)?;
            fill::fill(&data, self.messages, self.channels, self.single)?;
        }
        let report = self.measure(&folder)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            report.as_object().into_iter().flatten().for_each(|(name, value)| println!("{name:<36} {value}"));
        }
        Ok(())
    }

    fn site(&self, run: &Path, data: &Path) -> Result<Site> {
        let mut site = Site::new(step::target().join("release/postrider"), run, data.to_owned(), Vec::new())?;
        site.settings.push("limits.user_rate=0".to_owned());
        Ok(site)
    }

    fn measure(&self, folder: &Path) -> Result<Value> {
        let site = self.site(&folder.join("run"), &folder.join("data"))?;
        let mut report = serde_json::Map::new();
        let mut put = |name: &str, value: Value| {
            eprintln!("{name}: {value}");
            report.insert(name.to_owned(), value);
        };
        put("messages", self.messages.into());
        put("channels", self.channels.into());
        put("log_bytes", size(&site.data.join("log"))?.into());
        let (_, server) = start(&site)?;
        // What a crash leaves is not what a fill leaves.
        bench(&site, &server)?;
        server.kill()?;
        let (first, server) = start(&site)?;
        put("ready_ms_warm", first.into());
        put("rss_bytes_at_start", rss(&server)?.into());
        let mut latencies = self.read(&site)?;
        latencies.sort_unstable();
        put("read_newest_50_us_p50", nth(&latencies, 50).into());
        put("read_newest_50_us_p99", nth(&latencies, 99).into());
        put("rss_bytes_after_reads", rss(&server)?.into());
        server.kill()?;
        if step::is_root() && drop_caches() {
            let (cold, server) = start(&site)?;
            put("ready_ms_cold", cold.into());
            server.kill()?;
        }
        let mut last = first;
        for _ in 1..self.starts {
            let (ready, server) = start(&site)?;
            last = ready;
            server.kill()?;
        }
        put(&format!("ready_ms_start_{}", self.starts), last.into());
        let (full, empty, most) = self.rates(&site, folder)?;
        put("rss_bytes_under_load", most.into());
        put("deliveries_per_s", full.into());
        put("deliveries_per_s_empty_store", empty.into());
        #[allow(clippy::cast_precision_loss, reason = "a ratio")]
        put("ratio_to_empty_store", json!(full as f64 / empty.max(1) as f64));
        put("store_bytes", size(&site.data.join("store"))?.into());
        Ok(report.into())
    }

    /// Microseconds for the newest 50 messages of channels told by chance.
    fn read(&self, site: &Site) -> Result<Vec<u64>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut latencies = Vec::new();
            for at in 0..READS {
                let user = fill::user_of(at.wrapping_mul(2_654_435_761) % u64::from(self.channels));
                let mut wire = Wire::dial(site.address(0)?, &site.tls).await?;
                let connack =
                    wire.connect(&site.token(&user, "reader")?, None, Sender::request(SenderKind::OneShot)).await?;
                if connack.reason != Reason::Ok {
                    return Err(format!("CONNECT was refused: {}", connack.reason.name()).into());
                }
                let conversations = wire.list().await?;
                let conversation = conversations.first().ok_or("a user without a conversation")?;
                let begun = Instant::now();
                wire.sync(conversation, conversation.head.saturating_sub(49).max(1), conversation.head).await?;
                latencies.push(u64::try_from(begun.elapsed().as_micros())?);
            }
            Ok(latencies)
        })
    }

    /// Medians of the p2p rate here and on an empty server, in alternation, and the most memory that was used here.
    fn rates(&self, site: &Site, folder: &Path) -> Result<(u64, u64, u64)> {
        let (mut full, mut empty, mut most) = (Vec::new(), Vec::new(), 0);
        for round in 0..self.rounds.max(1) {
            let data = folder.join("empty");
            let _ = fs::remove_dir_all(&data);
            let other = self.site(&folder.join("run-empty"), &data)?;
            let (_, server) = start(&other)?;
            empty.push(bench(&other, &server)?);
            server.kill()?;
            let (_, server) = start(site)?;
            full.push(bench(site, &server)?);
            most = most.max(rss(&server)?);
            eprintln!("round {round}: {full:?} against {empty:?}");
            server.kill()?;
        }
        full.sort_unstable();
        empty.sort_unstable();
        Ok((nth(&full, 50), nth(&empty, 50), most))
    }
}

/// Starts the server; milliseconds until it was ready.
fn start(site: &Site) -> Result<(u64, Server)> {
    let begun = Instant::now();
    let server = site.start()?;
    Ok((u64::try_from(begun.elapsed().as_millis())?, server))
}

/// Deliveries a second of `postrider bench p2p`.
fn bench(site: &Site, server: &Server) -> Result<u64> {
    let address = site.address(0)?.authority().to_string();
    let mut bench = Command::new(&site.program);
    bench.args(["bench", "p2p", "--json", "--connections", "100", "--window", "32", "--seconds", SECONDS]);
    bench.args(["--addr", &address, "--server-pid", &server.pid().to_string(), "--secret-file"]);
    let report: Value = serde_json::from_str(&step::output(bench.arg(site.run.join("secret")))?)?;
    let rate = report.get("deliveries_per_s").and_then(Value::as_f64).ok_or("bench tells no rate")?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
    Ok(rate as u64)
}

/// Resident bytes of the server.
fn rss(server: &Server) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1_024)
}

/// Bytes of all files below `folder`.
fn size(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for file in fs::read_dir(folder)? {
        let file = file?;
        sum += if file.file_type()?.is_dir() { size(&file.path())? } else { file.metadata()?.len() };
    }
    Ok(sum)
}

/// The file cache forgets; false where that is not allowed.
fn drop_caches() -> bool {
    let synced = Command::new("sync").status().is_ok_and(|status| status.success());
    let dropped = fs::write("/proc/sys/vm/drop_caches", "3").is_ok();
    std::thread::sleep(Duration::from_millis(200));
    synced && dropped
}

/// The value below which `percent` of the sorted ones lie.
fn nth(sorted: &[u64], percent: usize) -> u64 {
    let at = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(at).copied().unwrap_or_default()
}
