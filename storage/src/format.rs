//! The file FORMAT: which format a data directory has, and which log. It is what makes a directory ours.
//!
//! ```text
//! postrider data, format 0, log 0123456789abcdef, whole
//! CRC-32 of the line before, in hex
//! ```
//! `new` in place of `whole` says that the first open has not ended yet: only then may log and store be missing.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io::Write,
    path::Path,
};

use crate::{OpenError, disk};

const KNOWN: u32 = 0;

/// What FORMAT says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub id: u64,
    is_new: bool,
}

/// Reads FORMAT, or makes a new directory; refuses one that is not whole.
pub(crate) fn open(dir: &Path) -> Result<Format, OpenError> {
    let path = dir.join("FORMAT");
    let refuse = |what: &str| OpenError::NotWhole { path: dir.to_path_buf(), what: what.into() };
    let format = match fs::read_to_string(&path) {
        Ok(text) => parse(dir, &text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if has_files(&dir.join("log")) || has_files(&dir.join("store")) {
                return Err(refuse("there is data, but no FORMAT file"));
            }
            let format = Format { id: RandomState::new().hash_one(dir), is_new: true };
            write(dir, &format)?;
            format
        }
        Err(source) => return Err(OpenError::Io { what: format!("reading {}", path.display()), source }),
    };
    let log = dir.join("log");
    if has_files(&log) {
        return Ok(format);
    }
    // A first open that was cut short may have come as far as the store; nothing was acknowledged then.
    if !format.is_new {
        return Err(refuse("its log is missing"));
    }
    let made = fs::create_dir_all(&log).and_then(|()| disk::sync_dir(dir));
    made.map_err(OpenError::io(format!("making {}", log.display())))?;
    Ok(format)
}

/// Notes that the first open has ended.
pub(crate) fn complete(dir: &Path, format: &Format) -> Result<(), OpenError> {
    if format.is_new { write(dir, &Format { is_new: false, ..*format }) } else { Ok(()) }
}

fn has_files(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut files| files.next().is_some())
}

fn line(format: u32, id: u64, is_new: bool) -> String {
    format!("postrider data, format {format}, log {id:016x}, {}", if is_new { "new" } else { "whole" })
}

fn parse(dir: &Path, text: &str) -> Result<Format, OpenError> {
    let mut lines = text.lines();
    let (line, crc) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let damaged = || OpenError::NotWhole { path: dir.to_path_buf(), what: "its FORMAT file is damaged".into() };
    if u32::from_str_radix(crc, 16).ok() != Some(crc32fast::hash(line.as_bytes())) {
        return Err(damaged());
    }
    let mut fields = line.strip_prefix("postrider data, format ").ok_or_else(damaged)?.split(", ");
    let found: u32 = fields.next().and_then(|number| number.parse().ok()).ok_or_else(damaged)?;
    if found > KNOWN {
        return Err(OpenError::NewerFormat { path: dir.to_path_buf(), found, known: KNOWN });
    }
    let id = fields.next().and_then(|id| u64::from_str_radix(id.strip_prefix("log ")?, 16).ok());
    Ok(Format { id: id.ok_or_else(damaged)?, is_new: fields.next() == Some("new") })
}

fn write(dir: &Path, format: &Format) -> Result<(), OpenError> {
    let line = line(KNOWN, format.id, format.is_new);
    let text = format!("{line}\n{:08x}\n", crc32fast::hash(line.as_bytes()));
    let (path, new) = (dir.join("FORMAT"), dir.join("FORMAT.new"));
    let write = || {
        let mut file = fs::File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        disk::sync_dir(dir)
    };
    write().map_err(OpenError::io(format!("writing {}", path.display())))
}
