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

/// Waits until nobody has `file` locked, at most for so many calls of `pause`. Whoever opens it afterwards tells what is
/// wrong if it still is.
pub(crate) fn wait_until_free(file: &File, pauses: u32, mut pause: impl FnMut()) {
    for _ in 0..pauses {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => pause(),
            // Given back at once, if it was taken: it is for who opens it next.
            Ok(()) | Err(TryLockError::Error(_)) => {
                let _ = file.unlock();
                return;
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_lock_goes_on_once_it_is_free_and_leaves_it_free() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::options().create(true).truncate(false).write(true).open(dir.path().join("db")).unwrap();
        let (other, mine) = (open(), open());
        other.try_lock().unwrap();
        let mut pauses = 0;
        wait_until_free(&mine, 10, || {
            pauses += 1;
            if pauses == 3 {
                other.unlock().unwrap();
            }
        });
        assert_eq!(pauses, 3);
        other.try_lock().unwrap();
        wait_until_free(&mine, 10, || pauses += 1);
        assert_eq!(pauses, 13, "it does not wait for ever");
    }
}
