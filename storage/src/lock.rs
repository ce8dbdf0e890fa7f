//! One process has a data directory at a time.

use std::{fs::File, fs::TryLockError, path::Path};

use crate::{OpenError, memory::Hold};

/// The lock; it is given back when the last part of an open directory is dropped.
#[derive(Debug)]
pub(crate) enum Lock {
    /// Held as long as the file is open.
    File(#[allow(dead_code, reason = "it is held")] File),
    /// Given back on drop.
    Memory(Hold),
}

impl Lock {
    /// Takes the lock of `dir`, without waiting.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("LOCK");
        let opened = File::options().create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(OpenError::io(format!("opening {}", path.display())))?;
        match file.try_lock() {
            Ok(()) => Ok(Self::File(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked(dir.to_path_buf())),
            Err(TryLockError::Error(source)) => {
                Err(OpenError::Io { what: format!("locking {}", path.display()), source })
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Self::Memory(hold) = self {
            hold.release();
        }
    }
}
