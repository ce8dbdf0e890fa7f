//! Writing a file past the system's file cache, which would take a page of memory for each page of a log that hardly
//! anybody reads again.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// Files are written past the cache in whole pages at multiples of this, from memory that is aligned likewise: no file
/// system or drive in use asks for more.
pub(crate) const CACHE_PAGE: usize = 4 << 10;

/// Aligned memory that bytes leave from.
#[derive(Debug)]
pub(crate) struct Stage {
    memory: Vec<u8>,
    skip: usize,
}

impl Stage {
    /// One for up to `len` bytes, all zero.
    pub(crate) fn new(len: usize) -> Self {
        let memory = vec![0; len + CACHE_PAGE];
        let skip = memory.as_ptr().align_offset(CACHE_PAGE).min(CACHE_PAGE);
        Self { memory, skip }
    }

    /// The first `len` of them, as they were left; none of them when there are fewer.
    pub(crate) fn bytes(&mut self, len: usize) -> &mut [u8] {
        let skip = self.skip;
        self.memory.get_mut(skip..skip + len).unwrap_or_default()
    }

    /// The first `len` of them, as `bytes` and zeros behind.
    fn with(&mut self, bytes: &[u8], len: usize) -> &[u8] {
        let staged = self.bytes(len);
        let (start, zeros) = staged.split_at_mut(bytes.len());
        start.copy_from_slice(bytes);
        zeros.fill(0);
        staged
    }

    const fn len(&self) -> usize {
        self.memory.len() - CACHE_PAGE
    }
}

/// A file that one writer appends to, in place of zeros that are there already.
#[derive(Debug)]
pub(crate) struct Direct {
    file: File,
    /// Bytes of the file.
    len: u64,
}

impl Direct {
    /// Opens the file at `path`, of `len` bytes, once more; none where the system has no such way.
    pub(crate) fn open(path: &Path, len: u64) -> Option<Self> {
        open(path).map(|file| Self { file, len })
    }

    /// Writes `pages`, staged, from `at` on, a multiple of the page; through `cached`, the same file, where the system
    /// refuses them as they are.
    ///
    /// # Errors
    /// Of the system.
    pub(crate) fn write(&self, cached: &File, pages: &[u8], at: u64) -> io::Result<()> {
        match self.file.write_all_at(pages, at) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => cached.write_all_at(pages, at),
            done => done,
        }
    }

    /// Writes `bytes` at `offset`, behind all that was written before, through `cached`, the same file: they are on the
    /// drive with the sync that follows, while a direct write is one more turn of the drive. Zeros go with them up to the
    /// end of their last page: the system need not read what is in a page that is written as a whole.
    ///
    /// # Errors
    /// Of the system.
    pub(crate) fn append(&self, cached: &File, stage: &mut Stage, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        let padded = end.next_multiple_of(CACHE_PAGE as u64).min(self.len).max(end);
        let len = usize::try_from(padded - offset).unwrap_or(usize::MAX);
        if len > stage.len() {
            return cached.write_all_at(bytes, offset);
        }
        cached.write_all_at(stage.with(bytes, len), offset)
    }

    /// As [`Direct::append`], past the cache; nothing else will be written into their last page. What shares their first
    /// page with something goes through `cached`: so who overwrites a record and who appends behind it see one page.
    ///
    /// # Errors
    /// Of the system.
    pub(crate) fn append_pages(&self, cached: &File, stage: &mut Stage, bytes: &[u8], offset: u64) -> io::Result<()> {
        let to_page = usize::try_from(offset.next_multiple_of(CACHE_PAGE as u64) - offset).unwrap_or(0);
        let (first, pages) = bytes.split_at(to_page.min(bytes.len()));
        cached.write_all_at(first, offset)?;
        let mut at = offset + to_page as u64;
        for piece in pages.chunks(stage.len()) {
            let staged = stage.with(piece, piece.len().next_multiple_of(CACHE_PAGE));
            self.write(cached, staged, at)?;
            at += staged.len() as u64;
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn open(path: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()?;
    File::options().write(true).custom_flags(flags).open(path).ok()
}

#[cfg(not(target_os = "linux"))]
const fn open(_: &Path) -> Option<File> {
    None
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Not whole pages: padding stops at its end.
    const LEN: usize = (1 << 20) + 100;

    #[test]
    fn what_is_appended_and_overwritten_in_turns_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut expected = vec![0; LEN];
        std::fs::write(&path, &expected).unwrap();
        let cached = File::options().read(true).write(true).open(&path).unwrap();
        let direct = Direct::open(&path, LEN as u64).unwrap();
        let mut stage = Stage::new(64 << 10);
        let (mut at, page) = (64, CACHE_PAGE);
        // Within a page, up to its end, whole pages from its start, across it, with and without its end, and short ones
        // behind them.
        let pieces = [(10, 1), (page - 74, 1), (10 * page, page), (50_001, page), (300, 1), (200_000, page)];
        for (number, (len, align)) in pieces.into_iter().chain([(2 * page, 1), (100, page), (65_432, 64)]).enumerate() {
            let bytes = vec![number as u8 + 1; len];
            let append = if align == page { Direct::append_pages } else { Direct::append };
            append(&direct, &cached, &mut stage, &bytes, at as u64).unwrap();
            expected[at..at + len].copy_from_slice(&bytes);
            // What erasure does to a record that may share its page with what comes next.
            cached.write_all_at(&[0xee; 4], (at + len) as u64 - 6).unwrap();
            expected[at + len - 6..at + len - 2].fill(0xee);
            at = (at + len).next_multiple_of(align);
            assert!(std::fs::read(&path).unwrap() == expected, "after piece {number}");
        }
        let rest = LEN - at;
        direct.append(&cached, &mut stage, &vec![0xff; rest], at as u64).unwrap();
        expected[at..].fill(0xff);
        assert!(std::fs::read(&path).unwrap() == expected, "the file has its length");
    }
}
