//! Files beside the log that are there whole or not at all: written under another name, synced, renamed.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Cursor, Read, Write},
    path::PathBuf,
};

use crate::{disk, memory::Hold};

/// What a file is called while it is written.
const DRAFT: &str = ".new";
/// So much is written between two syncs: the last one is short then.
const SYNC_BYTES: usize = 4 << 20;

/// The place of such files: the data directory, or memory.
#[derive(Clone, Debug)]
pub(crate) enum Folder {
    Files(PathBuf),
    Memory(Hold),
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Draft {
    name: String,
    unsynced: usize,
    to: DraftTo,
}

#[derive(Debug)]
enum DraftTo {
    File(PathBuf, BufWriter<File>),
    Memory(Hold, Vec<u8>),
}

/// A file that is read.
#[derive(Debug)]
pub(crate) enum Source {
    File(BufReader<File>),
    Memory(Cursor<Vec<u8>>),
}

impl Folder {
    /// The names of the files that begin with `prefix`.
    pub(crate) fn names(&self, prefix: &str) -> io::Result<Vec<String>> {
        let mut names = match self {
            Self::Memory(hold) => hold.file_names()?,
            Self::Files(dir) => {
                let names = fs::read_dir(dir)?.map(|file| Ok(file?.file_name().to_string_lossy().into_owned()));
                names.collect::<io::Result<_>>()?
            }
        };
        names.retain(|name| name.starts_with(prefix) && !name.ends_with(DRAFT));
        Ok(names)
    }

    /// Opens a file to read it from its beginning; none when there is none.
    pub(crate) fn open(&self, name: &str) -> io::Result<Option<Source>> {
        match self {
            Self::Memory(hold) => Ok(hold.file(name)?.map(|bytes| Source::Memory(Cursor::new(bytes)))),
            Self::Files(dir) => match File::open(dir.join(name)) {
                Ok(file) => Ok(Some(Source::File(BufReader::new(file)))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// Begins to write a file; it is there once the draft is done.
    pub(crate) fn draft(&self, name: &str) -> io::Result<Draft> {
        let to = match self {
            Self::Memory(hold) => DraftTo::Memory(hold.clone(), Vec::new()),
            Self::Files(dir) => {
                DraftTo::File(dir.clone(), BufWriter::new(File::create(dir.join(format!("{name}{DRAFT}")))?))
            }
        };
        Ok(Draft { name: name.to_owned(), unsynced: 0, to })
    }

    /// Writes a short file; durable on return.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut draft = self.draft(name)?;
        draft.write(bytes)?;
        draft.done()
    }

    /// Removes a file, and what is left of an unfinished one of that name.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let dir = match self {
            Self::Memory(hold) => return hold.remove_file(name),
            Self::Files(dir) => dir,
        };
        for path in [dir.join(name), dir.join(format!("{name}{DRAFT}"))] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Draft {
    /// Appends `bytes`.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.to {
            DraftTo::Memory(_, held) => held.extend_from_slice(bytes),
            DraftTo::File(_, file) => {
                file.write_all(bytes)?;
                self.unsynced += bytes.len();
                if self.unsynced >= SYNC_BYTES {
                    file.flush()?;
                    file.get_ref().sync_data()?;
                    self.unsynced = 0;
                }
            }
        }
        Ok(())
    }

    /// Puts the file in its place; durable on return.
    pub(crate) fn done(self) -> io::Result<()> {
        match self.to {
            DraftTo::Memory(hold, bytes) => hold.put_file(&self.name, bytes),
            DraftTo::File(dir, file) => {
                file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
                fs::rename(dir.join(format!("{}{DRAFT}", self.name)), dir.join(&self.name))?;
                disk::sync_dir(&dir)
            }
        }
    }
}

impl Read for Source {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(bytes),
            Self::Memory(held) => held.read(bytes),
        }
    }
}
