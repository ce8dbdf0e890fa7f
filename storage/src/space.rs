//! How much space is left, and the ballast that is given up when a start finds too little.

use std::{fs, io, path::Path, path::PathBuf, sync::Arc};

use crate::{Options, disk};

/// Asks for the free space of a data directory.
#[derive(Clone, Debug)]
pub(crate) struct Space(Option<Arc<(PathBuf, u64)>>);

impl Space {
    pub(crate) fn of(options: &Options) -> Self {
        Self(Some(Arc::new((options.path.clone(), options.reserve_bytes))))
    }

    pub(crate) const fn endless() -> Self {
        Self(None)
    }

    /// Free bytes for us.
    pub(crate) fn free(&self) -> io::Result<u64> {
        self.0.as_ref().map_or(Ok(u64::MAX), |of| free(&of.0))
    }

    /// Whether `need` bytes can be taken and the reserve stays; true when the system does not tell.
    pub(crate) fn has(&self, need: u64) -> bool {
        let Some(of) = &self.0 else { return true };
        free(&of.0).map_or(true, |free| free >= of.1.saturating_add(need))
    }
}

fn free(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Makes the ballast when there is space for it, gives it up when there is not. Never fails: it is only a help.
pub(crate) fn ballast(options: &Options) {
    let path = options.path.join("ballast");
    let Ok(free) = free(&options.path) else { return };
    let has = fs::metadata(&path).map_or(0, |file| file.len()) == options.ballast_bytes;
    if has && free < options.reserve_bytes {
        let _ = fs::remove_file(&path);
        tracing::warn!(free, "too little space: the ballast was given up");
    } else if !has && options.ballast_bytes > 0 && free > (options.reserve_bytes + options.ballast_bytes) * 2 {
        let made = disk::allocate(&path, options.ballast_bytes);
        if made.is_err() {
            let _ = fs::remove_file(&path);
        }
    }
}
