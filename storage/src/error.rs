//! What can go wrong.

use std::{io, path::PathBuf};

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{0} is in use by another process")]
    Locked(PathBuf),
    /// A newer version wrote it.
    #[error("{path} has data format {found}; this build reads formats up to {known}: use the version that wrote it")]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The newest format this build reads.
        known: u32,
    },
    /// Files that must be there are not, or files are there that are not ours. Nothing was changed.
    #[error("{path}: {what}; nothing was changed")]
    NotWhole {
        /// The directory.
        path: PathBuf,
        /// What is amiss.
        what: String,
    },
    /// The options contradict each other.
    #[error("storage options: {0}")]
    Options(&'static str),
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, and to which file.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The log refused.
    #[error("log: {0}")]
    Log(#[from] LogError),
    /// The store refused, also after it was rebuilt.
    #[error("store: {0}")]
    Store(#[from] StoreError),
}

/// Why the log did not take or keep a batch. After any of these the log takes nothing more and the process must end:
/// what is durable is found out by opening again.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// An earlier call failed.
    #[error("an earlier write failed")]
    Poisoned,
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, and to which file.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// Positions of a slot do not follow each other, an entry is over the limit, or a ticket is not the next.
    #[error("{0}")]
    Misuse(&'static str),
}

/// Why the store did not answer. It never answers with wrong or missing rows instead.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A value is not what was written; opening again rebuilds the store.
    #[error("a damaged value in table {table}")]
    Damaged {
        /// The table.
        table: &'static str,
    },
    /// The engine refused or panicked; opening again recovers.
    #[error("engine: {0}")]
    Engine(String),
    /// An earlier write failed; opening again recovers.
    #[error("an earlier write failed")]
    Poisoned,
    /// Too little space for a checkpoint; nothing was written. It goes on when there is space again.
    #[error("too little space")]
    Full,
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, and to which file.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl LogError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl StoreError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl From<io::Error> for StoreError {
    fn from(source: io::Error) -> Self {
        Self::Io { what: "reading a snapshot".into(), source }
    }
}

impl From<io::Error> for OpenError {
    fn from(source: io::Error) -> Self {
        Self::Io { what: "reading the log".into(), source }
    }
}
