//! Running other programs from the repository's root, and saying so.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use crate::Result;

/// The repository's root.
pub fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("xtask"), PathBuf::from);
    manifest.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A command to be run in the root.
pub fn command(program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// The cargo that runs this task.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments);
    // A build script of one package must not see the variables that cargo set for this one.
    command.env_remove("CARGO_MANIFEST_DIR");
    command
}

/// Runs `command` to its end, with its output on ours.
pub fn run(command: &mut Command) -> Result {
    let shown = format!("{} {}", name(command), arguments(command));
    let status = command.status().map_err(|error| format!("cannot run `{shown}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` failed: {status}").into()) }
}

/// Runs `command` to its end and returns what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{} {}", name(command), arguments(command));
    let output = command.output().map_err(|error| format!("cannot run `{shown}`: {error}"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{shown}` failed: {}: {}", output.status, told.trim()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}

fn arguments(command: &Command) -> String {
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    arguments.join(" ")
}

/// Whether `program` can be run.
pub fn exists(program: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).chain(["/usr/sbin".into(), "/sbin".into()]).any(|dir| dir.join(program).is_file())
}

/// Whether this process may do everything.
pub fn is_root() -> bool {
    output(&mut command("id", &["-u"])).is_ok_and(|id| id.trim() == "0")
}

/// Makes sure that `program` is there: with apt when that is possible, otherwise says what to type.
pub fn require(program: &str, package: &str) -> Result {
    if exists(program) {
        return Ok(());
    }
    let line = format!("apt-get install -y --no-install-recommends {package}");
    if !is_root() || !exists("apt-get") {
        return Err(format!("{program} is missing; install it, on Debian by: sudo {line}").into());
    }
    run(command("apt-get", &["update", "-q"]).env("DEBIAN_FRONTEND", "noninteractive"))?;
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    run(command("apt-get", &words).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Steps one after the other, each announced and timed; the first failure ends the list.
#[derive(Default)]
pub struct Steps {
    done: Vec<(String, f64)>,
}

impl Steps {
    /// Takes the next step.
    pub fn step(&mut self, name: &str, step: impl FnOnce() -> Result) -> Result {
        println!("\n== {name}");
        let start = Instant::now();
        step().map_err(|error| format!("{name}: {error}"))?;
        let seconds = start.elapsed().as_secs_f64();
        println!("== {name}: {seconds:.1} s");
        self.done.push((name.to_owned(), seconds));
        Ok(())
    }

    /// Says what was done and how long it took.
    pub fn finish(self) {
        println!();
        for (name, seconds) in &self.done {
            println!("{seconds:8.1} s  {name}");
        }
        println!("{:8.1} s  in all", self.done.iter().map(|(_, seconds)| seconds).sum::<f64>());
    }
}
