//! The file that keeps what was used over a restart. A crash loses what was used since it was written last.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use super::Quotas;

/// See the module.
#[derive(Clone, Debug)]
pub struct File(PathBuf);

impl File {
    /// In a data directory.
    #[must_use]
    pub fn within(dir: &Path) -> Self {
        Self(dir.join("quotas"))
    }

    /// Puts what the file keeps into `quotas`. Of a file that is damaged nothing is believed: everything counts as
    /// unused then.
    pub fn load(&self, quotas: &Quotas) {
        if !quotas.is_on() {
            return;
        }
        let name = self.0.display();
        match fs::read(&self.0) {
            Ok(bytes) if quotas.restore(&bytes) => {}
            Ok(_) => tracing::warn!(file = %name, "the file of quotas is damaged: everything counts as unused"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(file = %name, %error, "the file of quotas cannot be read"),
        }
    }

    /// Writes what was used, if something was. Blocks.
    pub fn save(&self, quotas: &Quotas) {
        let Some(bytes) = quotas.save() else { return };
        if let Err(error) = self.replace(&bytes) {
            quotas.keep_again();
            tracing::error!(file = %self.0.display(), %error, "the file of quotas cannot be written");
        }
    }

    /// The file is the old one or the new one, whole, whenever the machine stops.
    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let new = self.0.with_extension("new");
        let mut file = fs::File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, &self.0)?;
        let dir = self.0.parent().unwrap_or_else(|| Path::new("."));
        fs::File::open(dir)?.sync_all()
    }
}
