//! The file FORMAT: which format a data directory has, and which log. It is what makes a directory ours.
//!
//! ```text
//! postrider data, format 0, log 0123456789abcdef, whole
//! CRC-32 of the line before, in hex
//! ```
//! Both lines come twice, an empty one between, so that a byte which goes bad takes nothing away; with one sound copy
//! the next open writes the other one anew. `new` in place of `whole` says that the first open has not ended yet: only then may log and store be missing.

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
    let format = match fs::read(&path) {
        Ok(bytes) => parse(dir, &String::from_utf8_lossy(&bytes))?,
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

/// Notes that an open has ended: the file is as it should be then.
pub(crate) fn complete(dir: &Path, format: &Format) -> Result<(), OpenError> {
    let whole = Format { is_new: false, ..*format };
    let is_whole = fs::read(dir.join("FORMAT")).is_ok_and(|bytes| bytes == text(&whole).as_bytes());
    if is_whole { Ok(()) } else { write(dir, &whole) }
}

fn has_files(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut files| files.next().is_some())
}

fn line(format: u32, id: u64, is_new: bool) -> String {
    format!("postrider data, format {format}, log {id:016x}, {}", if is_new { "new" } else { "whole" })
}

fn parse(dir: &Path, text: &str) -> Result<Format, OpenError> {
    let damaged = || OpenError::NotWhole { path: dir.to_path_buf(), what: "its FORMAT file is damaged".into() };
    let is_sound =
        |(line, crc): &(&str, &str)| u32::from_str_radix(crc, 16).ok() == Some(crc32fast::hash(line.as_bytes()));
    let pairs = text.lines().zip(text.lines().skip(1));
    let (line, _) = pairs.into_iter().find(is_sound).ok_or_else(damaged)?;
    let mut fields = line.strip_prefix("postrider data, format ").ok_or_else(damaged)?.split(", ");
    let found: u32 = fields.next().and_then(|number| number.parse().ok()).ok_or_else(damaged)?;
    if found > KNOWN {
        return Err(OpenError::NewerFormat { path: dir.to_path_buf(), found, known: KNOWN });
    }
    let id = fields.next().and_then(|id| u64::from_str_radix(id.strip_prefix("log ")?, 16).ok());
    Ok(Format { id: id.ok_or_else(damaged)?, is_new: fields.next() == Some("new") })
}

/// What the file has.
fn text(format: &Format) -> String {
    let line = line(KNOWN, format.id, format.is_new);
    let copy = format!("{line}\n{:08x}\n", crc32fast::hash(line.as_bytes()));
    format!("{copy}\n{copy}")
}

fn write(dir: &Path, format: &Format) -> Result<(), OpenError> {
    let text = text(format);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_bit_goes_bad_the_file_says_the_same_and_is_made_anew() {
        let dir = Path::new("data");
        let format = Format { id: 0x0123_4567_89ab_cdef, is_new: false };
        let sound = text(&format).into_bytes();
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(dir, &String::from_utf8_lossy(&bytes)).unwrap(), format, "bit {bit}");
        }
        assert!(parse(dir, "postrider data, format 0, log 0123456789abcdef, whole").is_err(), "without its CRC");
    }
}
