//! Where segments of the log are: files of a directory, or memory. Numbers are names.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use crate::{
    direct::{Direct, Stage},
    memory::Hold,
};

/// Zeros are written in pieces of this size; where each is synced before the next, it is all that a sync of the log finds
/// before it in the drive's queue.
pub(crate) const PIECE: usize = 1 << 20;

/// The place of the segments.
#[derive(Clone, Debug)]
pub(crate) enum Disk {
    Files(PathBuf),
    Memory(Hold),
}

/// An open segment.
#[derive(Debug)]
pub(crate) enum Segment {
    /// With what appends to it past the cache, for the one who does.
    File(File, Option<Direct>),
    Memory(Hold, u32),
}

impl Disk {
    fn path(dir: &Path, number: u32) -> PathBuf {
        dir.join(format!("{number:010}.seg"))
    }

    /// Whether segments are files.
    pub(crate) const fn is_files(&self) -> bool {
        matches!(self, Self::Files(_))
    }

    /// What errors call a segment.
    pub(crate) fn name(&self, number: u32) -> String {
        match self {
            Self::Files(dir) => Self::path(dir, number).display().to_string(),
            Self::Memory(_) => format!("segment {number}"),
        }
    }

    /// The numbers of the segments, ascending. Other files are left alone.
    pub(crate) fn segments(&self) -> io::Result<Vec<u32>> {
        let dir = match self {
            Self::Files(dir) => dir,
            Self::Memory(hold) => return hold.segments(),
        };
        let mut numbers = Vec::new();
        for file in fs::read_dir(dir)? {
            let name = file?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".seg")).and_then(|name| name.parse().ok());
            numbers.extend(number.filter(|&number: &u32| number > 0));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Makes a segment of `len` bytes that begins with `head` and goes on with zeros; durable on return. The zeros are
    /// written, so that later writes find their blocks allocated and a sync has no metadata to write. `before` is called
    /// with the offset of each piece before it is written, and says whether that piece is synced on its own.
    pub(crate) fn create(
        &self,
        number: u32,
        head: &[u8],
        len: u64,
        before: impl FnMut(u64) -> bool,
    ) -> io::Result<Segment> {
        let dir = match self {
            Self::Files(dir) => dir,
            Self::Memory(hold) => {
                let mut bytes = head.to_vec();
                bytes.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
                hold.create(number, bytes)?;
                return Ok(Segment::Memory(hold.clone(), number));
            }
        };
        let path = Self::path(dir, number);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        let direct = Direct::open(&path, len);
        let zeros = write_zeros(&file, direct.as_ref(), len, before);
        let made = zeros.and_then(|()| file.write_all_at(head, 0)).and_then(|()| file.sync_all());
        if let Err(error) = made.and_then(|()| sync_dir(dir)) {
            // It holds nothing yet; with a full disk its space is what is missing.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Segment::File(file, direct))
    }

    /// Opens a segment.
    pub(crate) fn open(&self, number: u32) -> io::Result<Segment> {
        match self {
            Self::Files(dir) => {
                let file = File::options().read(true).write(true).open(Self::path(dir, number))?;
                Ok(Segment::File(file, None))
            }
            Self::Memory(hold) => Ok(Segment::Memory(hold.clone(), number)),
        }
    }

    /// Opens a segment of `len` bytes to append to it.
    pub(crate) fn open_prepared(&self, number: u32, len: u64) -> io::Result<Segment> {
        let mut segment = self.open(number)?;
        if let (Segment::File(_, direct), Self::Files(dir)) = (&mut segment, self) {
            *direct = Direct::open(&Self::path(dir, number), len);
        }
        Ok(segment)
    }

    /// Removes a segment; durable on return.
    pub(crate) fn remove(&self, number: u32) -> io::Result<()> {
        match self {
            Self::Files(dir) => fs::remove_file(Self::path(dir, number)).and_then(|()| sync_dir(dir)),
            Self::Memory(hold) => hold.remove(number),
        }
    }

    /// Everything in a segment.
    pub(crate) fn read_all(&self, number: u32) -> io::Result<Bytes> {
        match self {
            Self::Files(dir) => fs::read(Self::path(dir, number)).map(Bytes::from),
            Self::Memory(hold) => hold.read(number, 0, usize::MAX).map(Bytes::from),
        }
    }

    /// Bytes of the segments from number `first` on.
    pub(crate) fn len_from(&self, first: u32) -> io::Result<u64> {
        self.segments()?.into_iter().filter(|&number| number >= first).map(|number| self.len(number)).sum()
    }

    /// Bytes of a segment.
    pub(crate) fn len(&self, number: u32) -> io::Result<u64> {
        match self {
            Self::Files(dir) => Ok(fs::metadata(Self::path(dir, number))?.len()),
            Self::Memory(hold) => Ok(hold.read(number, 0, usize::MAX)?.len() as u64),
        }
    }
}

impl Segment {
    /// Writes what follows all that was written before, in place of zeros.
    pub(crate) fn append(&self, stage: &mut Stage, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file, Some(direct)) => direct.append(file, stage, bytes, offset),
            _ => self.write_all_at(bytes, offset),
        }
    }

    /// As [`Segment::append`]; nothing else will be written into the last page of it.
    pub(crate) fn append_pages(&self, stage: &mut Stage, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file, Some(direct)) => direct.append_pages(file, stage, bytes, offset),
            _ => self.write_all_at(bytes, offset),
        }
    }

    /// Overwrites what is there.
    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file, _) => file.write_all_at(bytes, offset),
            Self::Memory(hold, number) => hold.write(*number, usize::try_from(offset).unwrap_or(usize::MAX), bytes),
        }
    }

    /// Up to `len` bytes from `offset`; fewer only at the end.
    pub(crate) fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let file = match self {
            Self::File(file, _) => file,
            Self::Memory(hold, number) => return hold.read(*number, usize::try_from(offset).unwrap_or(0), len),
        };
        let mut bytes = vec![0; len];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }

    pub(crate) fn sync_data(&self) -> io::Result<()> {
        match self {
            Self::File(file, _) => file.sync_data(),
            Self::Memory(hold, number) => hold.sync(*number),
        }
    }

    /// Cuts the segment to `len` bytes; durable after a sync.
    pub(crate) fn cut(&self, len: u64) -> io::Result<()> {
        match self {
            Self::File(file, _) => file.set_len(len),
            Self::Memory(hold, number) => hold.cut(*number, usize::try_from(len).unwrap_or(usize::MAX)),
        }
    }
}

fn write_zeros(file: &File, direct: Option<&Direct>, len: u64, mut before: impl FnMut(u64) -> bool) -> io::Result<()> {
    let mut zeros = Stage::new(PIECE);
    let mut at = 0;
    while at < len {
        let is_synced = before(at);
        let piece = usize::try_from(len - at).unwrap_or(PIECE).min(PIECE);
        let zeros = zeros.bytes(piece);
        match direct {
            Some(direct) => direct.write(file, zeros, at)?,
            None => file.write_all_at(zeros, at)?,
        }
        if is_synced {
            file.sync_data()?;
        }
        at += piece as u64;
    }
    Ok(())
}

/// Makes what was created, renamed or removed in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes a file of `len` allocated bytes.
pub(crate) fn allocate(path: &Path, len: u64) -> io::Result<()> {
    let file = File::options().write(true).create(true).truncate(true).open(path)?;
    write_zeros(&file, Direct::open(path, len).as_ref(), len, |_| false)?;
    file.sync_all()
}
