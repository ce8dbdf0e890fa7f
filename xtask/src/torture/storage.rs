//! The storage code as a child process (`torture-storage`), and what it says.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::Shared;
use crate::Result;

/// How long one opening with everything read may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Highest durable seq by channel, as the writer said.
pub type Durable = BTreeMap<u32, u64>;

/// The program, with or without a fault.
pub struct Storage {
    program: PathBuf,
    environment: Vec<(String, String)>,
}

/// What reading a directory told.
#[derive(Debug, Default)]
pub struct Told {
    /// How many entries were right, at the first reading.
    pub right: u64,
    /// Places without an image, `CHANNEL SEQ`, at either reading.
    pub missing: Vec<String>,
    /// Places with a wrong one.
    pub wrong: Vec<String>,
    /// What recovery said of acknowledged batches that are gone.
    pub losses: Vec<String>,
    /// Whether the store was rebuilt.
    pub is_rebuilt: bool,
}

impl Storage {
    /// Builds it.
    pub fn build(shared: &Shared) -> Result<Self> {
        Ok(Self { program: shared.build("xtask", "torture-storage")?, environment: shared.environment() })
    }

    fn command(&self, arguments: &[&str], dir: &Path) -> Command {
        let mut command = Command::new(&self.program);
        let (first, rest) = arguments.split_first().unwrap_or((&"", &[]));
        command.arg(first).arg(dir).args(rest).envs(self.environment.iter().cloned());
        command
    }

    /// Writes entries to `dir` under the tracer, and returns when it is done.
    pub fn write_traced(&self, dir: &Path, tracer: &Path, trace: &Path, seed: u64, entries: u64) -> Result {
        let mut command = self.command(&["write", &seed.to_string(), "0", &entries.to_string()], dir);
        command.env("LD_PRELOAD", tracer).env("TRACE_DIR", dir).env("TRACE", trace).stdout(Stdio::null());
        let output = command.stderr(Stdio::piped()).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("the traced writer failed: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
    }

    /// Writes entries to `dir`; what it says is durable goes into `durable`.
    pub fn write(
        &self,
        dir: &Path,
        seed: u64,
        first: u64,
        entries: u64,
        is_closed: bool,
        durable: &mut Durable,
    ) -> Result {
        let verb = if is_closed { "write-and-close" } else { "write-and-rest" };
        let mut command = self.command(&[verb, &seed.to_string(), &first.to_string(), &entries.to_string()], dir);
        let output = command.output()?;
        if !output.status.success() {
            return Err(format!("the writer failed: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
        }
        take_durable(&output.stdout, durable);
        Ok(())
    }

    /// Opens `dir`, reads everything, appends, and reads everything again.
    pub fn read(&self, dir: &Path, durable: &Durable) -> Result<Told> {
        let (told, errors) = (dir.with_extension("told"), dir.with_extension("errors"));
        let mut command = self.command(&["read"], dir);
        command.stdin(Stdio::piped()).stdout(File::create(&told)?).stderr(File::create(&errors)?);
        let mut child = command.spawn()?;
        let due: Vec<String> = durable.iter().map(|(channel, seq)| format!("{channel}:{seq}")).collect();
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(due.join(" ").as_bytes());
        }
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if start.elapsed() > PATIENCE {
                child.kill()?;
                child.wait()?;
                return Err(format!("opening hangs for {PATIENCE:?}").into());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let (text, errors) = (fs::read_to_string(told)?, fs::read_to_string(errors)?);
        if !status.success() {
            return Err(format!("does not open: {status}: {}", errors.trim()).into());
        }
        Ok(Told::parse(&text))
    }

    /// Whether `store check` finds something.
    pub fn has_findings(&self, dir: &Path) -> Result<bool> {
        Ok(!self.command(&["check"], dir).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
    }
}

impl Told {
    fn parse(text: &str) -> Self {
        let mut told = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("right", count)) if told.right == 0 => told.right = count.parse().unwrap_or_default(),
                Some(("missing", place)) => told.missing.push(place.to_owned()),
                Some(("wrong", place)) => told.wrong.push(place.to_owned()),
                Some(("loss", loss)) => told.losses.push(loss.to_owned()),
                Some(("rebuilt", _)) => told.is_rebuilt = true,
                _ => {}
            }
        }
        told
    }
}

/// Takes whole lines of `channel:seq …`.
pub fn take_durable(said: &[u8], durable: &mut Durable) {
    let end = said.iter().rposition(|byte| *byte == b'\n').unwrap_or_default();
    for pair in String::from_utf8_lossy(said.get(..end).unwrap_or_default()).split_whitespace() {
        if let Some((channel, seq)) = pair.split_once(':').and_then(|(c, s)| Some((c.parse().ok()?, s.parse().ok()?))) {
            durable.insert(channel, seq);
        }
    }
}
