//! WebSocket framing of the client's side, without buffers of its own: messages are a byte stream, cut anywhere.
//!
//! The mask is zero, which the standard allows and which costs nothing here; the server unmasks as ever.

use std::io;

/// A message is no longer than this.
const MESSAGE: usize = 64 << 10;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;

/// What arrives on one WebSocket.
#[derive(Debug, Default)]
pub(crate) struct Unframer {
    /// The answer to the handshake while it is not whole, then nothing.
    answer: Option<Vec<u8>>,
    /// The head of a frame that is not whole.
    head: Vec<u8>,
    /// Bytes of the frame that are still to come.
    remaining: u64,
    /// Whether they are not the peer's bytes but a control frame's.
    control: bool,
}

impl Unframer {
    pub(crate) fn new() -> Self {
        Self { answer: Some(Vec::new()), ..Self::default() }
    }

    /// Whether the handshake is done.
    pub(crate) const fn is_open(&self) -> bool {
        self.answer.is_none()
    }

    /// Takes the framing out of `buffer` and moves the bytes of messages to its front; returns how many they are.
    ///
    /// # Errors
    /// The server refused, closed, or sent what is no message of bytes.
    pub(crate) fn unframe(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut at = self.shake(buffer)?;
        let mut kept = 0;
        while at < buffer.len() {
            if self.remaining == 0 {
                let Some(&byte) = buffer.get(at) else { break };
                at += 1;
                self.head.push(byte);
                self.begin()?;
                continue;
            }
            let here = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len() - at);
            self.remaining -= here as u64;
            if !self.control {
                buffer.copy_within(at..at + here, kept);
                kept += here;
            }
            at += here;
        }
        Ok(kept)
    }

    /// Takes the answer to the handshake off the front; returns where it ends.
    fn shake(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let Some(answer) = &mut self.answer else { return Ok(0) };
        let before = answer.len();
        answer.extend_from_slice(buffer);
        let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(buffer.len()) };
        if !answer.starts_with(b"HTTP/1.1 101") {
            let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
            return Err(io::Error::other(format!("no WebSocket: {}", String::from_utf8_lossy(line))));
        }
        self.answer = None;
        Ok(end + 4 - before)
    }

    /// Begins a frame once its head is whole.
    fn begin(&mut self) -> io::Result<()> {
        let &[first, second, ref rest @ ..] = self.head.as_slice() else { return Ok(()) };
        let wide = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if rest.len() < wide {
            return Ok(());
        }
        let short = u64::from(second & 0x7f);
        self.remaining = if wide == 0 { short } else { rest.iter().fold(0, |len, byte| (len << 8) | u64::from(*byte)) };
        let kind = first & 0x0f;
        self.head.clear();
        match kind {
            0 | BINARY => self.control = false,
            CLOSE => return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the server closed the WebSocket")),
            // A PING is not answered: no server that is measured here sends one within its timeout.
            PING | 10 => self.control = true,
            _ => return Err(io::Error::other("a WebSocket message that is not of bytes")),
        }
        Ok(())
    }
}

/// Appends `bytes` as messages to `out`.
pub(crate) fn frame(bytes: &[u8], out: &mut Vec<u8>) {
    for piece in bytes.chunks(MESSAGE) {
        out.push(0x80 | BINARY);
        match piece.len() {
            len @ 0..126 => out.push(0x80 | len as u8),
            len @ 126..=0xffff => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(piece);
    }
}

/// The client's side of the handshake.
pub(crate) fn request(authority: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: cG9zdHJpZGVyIGxvYWQgZw==\r\n\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server sends for `bytes` in one message.
    fn message(kind: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![0x80 | kind];
        if bytes.len() < 126 {
            out.push(bytes.len() as u8);
        } else {
            out.push(126);
            out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        }
        out.extend_from_slice(bytes);
        out
    }

    #[test]
    fn the_bytes_come_out_however_they_are_cut() {
        let long = vec![7; 300];
        let mut wire = b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n".to_vec();
        wire.extend(message(2, b"abc"));
        wire.extend(message(9, b"ping"));
        wire.extend(message(2, &long));
        wire.extend(message(2, b""));
        wire.extend(message(2, b"z"));
        for cut in 1..wire.len() {
            let mut unframer = Unframer::new();
            let mut got = Vec::new();
            for piece in wire.chunks(cut) {
                let mut piece = piece.to_vec();
                let kept = unframer.unframe(&mut piece).unwrap();
                got.extend_from_slice(&piece[..kept]);
            }
            assert!(unframer.is_open());
            assert_eq!(got, [b"abc".as_slice(), &long, b"z"].concat(), "cut into pieces of {cut}");
        }
    }

    #[test]
    fn a_refusal_is_told() {
        let mut unframer = Unframer::new();
        let mut answer = b"HTTP/1.1 403 Forbidden\r\n\r\n".to_vec();
        assert!(unframer.unframe(&mut answer).unwrap_err().to_string().contains("403"));
    }
}
