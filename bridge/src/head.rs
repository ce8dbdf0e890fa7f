//! The head of an HTTP message: everything up to the empty line.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

const END: &[u8] = b"\r\n\r\n";
const STEP: usize = 1024;

/// Reads up to the empty line; returns the head with it, and what came behind it. None when the head is longer than
/// `max_bytes`, of which no more is read.
pub(crate) async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    max_bytes: usize,
) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut head = Vec::new();
    loop {
        // Only what is new is searched, so a head in pieces of one byte costs no more than one in one piece.
        let searched = head.len().saturating_sub(END.len() - 1);
        head.reserve(STEP);
        if (&mut *stream).take(STEP as u64).read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let new = head.get(searched..).unwrap_or_default();
        if let Some(at) = new.windows(END.len()).position(|window| window == END) {
            let behind = head.split_off(searched + at + END.len());
            return Ok((head.len() <= max_bytes).then_some((head, behind)));
        }
        if head.len() >= max_bytes {
            return Ok(None);
        }
    }
}
