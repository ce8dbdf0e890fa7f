//! File descriptors: a connection needs one.

use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// Open files that are no connections: the log, the store, listeners, pages and metrics being fetched.
const OTHERS: u64 = 512;

/// Lets this process have as many open files as the system lets it ask for, and the kernel make room for those of so
/// many connections now: its table of them grows by doubling, and once a process has threads, the one at which it grows
/// stands still for 10 ms and more, with all that it serves. So call it before there are threads.
///
/// Returns for how many connections there are descriptors, as far as that is bounded.
pub fn prepare(connections: u64) -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let most = if raised { maximum } else { current };
    let wanted = (connections + OTHERS).min(most.unwrap_or(u64::MAX));
    if let Some(last) = wanted.checked_sub(1).and_then(|last| i32::try_from(last).ok()) {
        // Made and closed again: the table stays. Without it there is nothing but the waits.
        let _ = fcntl_dupfd_cloexec(std::io::stderr(), last);
    }
    most.map(|most| most.saturating_sub(OTHERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slots in the kernel's table of this process's descriptors.
    fn slots() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap().trim().parse().unwrap()
    }

    #[test]
    fn what_the_system_allows_is_asked_for_and_room_is_made_at_once() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        let less = maximum.map_or(1 << 20, |most| most - 1);
        setrlimit(Resource::Nofile, Rlimit { current: Some(less), maximum }).unwrap();
        let connections = less.min(5_000) - OTHERS;
        assert!(slots() < connections, "{} already", slots());

        assert_eq!(prepare(connections), maximum.map(|most| most - OTHERS));

        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
        assert!(slots() >= connections, "{}", slots());
    }
}
