//! The server as `/proc` shows it, and this process's limit of open files.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// CPU time and memory of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// User and system time since its start, microseconds.
    pub cpu_us: u64,
    /// Resident memory, bytes.
    pub rss: u64,
}

/// What process `pid` has used.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    let ticks = cpu_ticks(&stat)?;
    let tick_us = 1_000_000 / rustix::param::clock_ticks_per_second().max(1);
    Some(Usage { cpu_us: ticks * tick_us, rss: pages * rustix::param::page_size() as u64 })
}

/// utime + stime of a line of `/proc/PID/stat`; the name in parentheses may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Raises the limit of open files as far as allowed.
///
/// # Errors
/// When `files` are not allowed.
pub(crate) fn allow_files(files: u64) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let now = getrlimit(Resource::Nofile).current;
    match now {
        Some(now) if now < files => Err(format!("{files} open files are needed, {now} are allowed: ulimit -n {files}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_may_hold_anything() {
        let line = "12 (a) b (c)) S 1 12 12 0 -1 4194304 1 0 0 0 70 30 0 0 20 0 1 0 5 0 0";
        assert_eq!(cpu_ticks(line), Some(100));
    }

    #[test]
    fn this_process_is_seen() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.rss > 100_000, "{usage:?}");
    }
}
