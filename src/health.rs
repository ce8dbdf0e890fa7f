//! Whether the server can serve, part by part: set by who runs a part, told by `/readyz`.

use std::{
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How one part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is coming up; how far it is.
    Starting(String),
    /// It serves.
    Ready,
    /// It serves, but not as it should; the server stays ready.
    Degraded(String),
    /// It does not serve; why.
    Failed(String),
    /// It is on its way down.
    Draining,
}

impl State {
    const fn serves(&self) -> bool {
        matches!(self, Self::Ready | Self::Degraded(_))
    }
}

/// The parts of a server and how each is. Setting and asking never wait for anything but each other.
#[derive(Debug)]
pub struct Health {
    parts: Mutex<Vec<(&'static str, State)>>,
}

impl Health {
    /// A server of these parts, all of them starting.
    #[must_use]
    pub fn new(parts: &[&'static str]) -> Self {
        let parts = parts.iter().map(|name| (*name, State::Starting(String::new()))).collect();
        Self { parts: Mutex::new(parts) }
    }

    fn parts(&self) -> MutexGuard<'_, Vec<(&'static str, State)>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how a part is; a part that was not named before is added.
    pub fn set(&self, part: &'static str, state: State) {
        let mut parts = self.parts();
        match parts.iter_mut().find(|(name, _)| *name == part) {
            Some((_, current)) => *current = state,
            None => parts.push((part, state)),
        }
    }

    /// Whether every part serves.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.parts().iter().all(|(_, state)| state.serves())
    }

    /// One line for each part.
    #[must_use]
    pub fn report(&self) -> String {
        let mut out = String::new();
        for (name, state) in self.parts().iter() {
            let (word, why) = match state {
                State::Starting(how_far) => ("starting", how_far.as_str()),
                State::Ready => ("ready", ""),
                State::Degraded(why) => ("degraded", why.as_str()),
                State::Failed(why) => ("failed", why.as_str()),
                State::Draining => ("draining", ""),
            };
            let mark = if state.serves() { '+' } else { '-' };
            let _ = writeln!(out, "[{mark}] {name} {word} {why}");
        }
        out.lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_when_every_part_serves() {
        let health = Health::new(&["store", "listeners"]);
        assert!(!health.is_ready());
        health.set("store", State::Starting("rebuilding, 40 %".into()));
        health.set("listeners", State::Ready);
        assert!(!health.is_ready());
        assert_eq!(health.report(), "[-] store starting rebuilding, 40 %\n[+] listeners ready\n");
        health.set("store", State::Degraded("disk nearly full".into()));
        assert!(health.is_ready(), "a degraded part serves");
        health.set("store", State::Draining);
        assert!(!health.is_ready());
    }
}
