//! The four transports as one stream of bytes, blocking, with every byte in the test's hands.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::CertificateDer;

use super::PATIENCE;

/// Which way a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Via {
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// Its name in logs, settings and addresses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    pub const fn is_ws(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// The socket, under TLS or not.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buf),
            Self::Tls(tls) => tls.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(buf),
            Self::Tls(tls) => tls.write(buf),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// One WebSocket frame as it is on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsFrame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// What a WebSocket has told besides bytes.
#[derive(Default)]
struct Ws {
    input: Vec<u8>,
    close_code: Option<u16>,
}

/// A connection, up to the point where CONNECT would be said.
pub struct Wire {
    pub stream: Stream,
    ws: Option<Ws>,
}

impl Wire {
    /// Connects and shakes hands; `certificate` is the one to trust.
    pub fn connect(addr: SocketAddr, via: Via, certificate: &CertificateDer<'static>) -> io::Result<Self> {
        let mut stream = open(addr, via, certificate)?;
        let mut ws = None;
        if via.is_ws() {
            let (status, rest) = handshake(&mut stream, addr, "/ws", &[])?;
            if status != 101 {
                return Err(io::Error::other(format!("HTTP {status}")));
            }
            ws = Some(Ws { input: rest, close_code: None });
        }
        Ok(Self { stream, ws })
    }

    /// Says `bytes`, over WebSocket as one binary message.
    pub fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &self.ws {
            None => self.stream.write_all(bytes)?,
            Some(_) => self.stream.write_all(&frame(2, bytes))?,
        }
        self.stream.flush()
    }

    /// Says raw bytes below the WebSocket.
    pub fn say_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The next bytes; none at the end of the stream, however it ended.
    pub fn hear(&mut self) -> Option<Vec<u8>> {
        let Some(ws) = &mut self.ws else { return read_some(&mut self.stream) };
        loop {
            if let Some(frame) = take_frame(&mut ws.input) {
                match frame.opcode {
                    0 | 2 => return Some(frame.payload),
                    8 => {
                        ws.close_code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                        return None;
                    }
                    _ => continue,
                }
            }
            ws.input.extend(read_some(&mut self.stream)?);
        }
    }

    /// The code that a WebSocket was closed with.
    pub fn close_code(&self) -> Option<u16> {
        self.ws.as_ref()?.close_code
    }

    /// Says that nothing more comes, as TCP and TLS can, and goes on listening. (A WebSocket has no such thing: after
    /// its close frame nothing is heard.)
    pub fn half_close(&mut self) {
        if let Stream::Tls(tls) = &mut self.stream {
            tls.conn.send_close_notify();
        }
        self.stream.flush().unwrap();
        self.stream.tcp().shutdown(Shutdown::Write).unwrap();
    }

    /// The socket below everything.
    pub fn tcp(&self) -> &TcpStream {
        self.stream.tcp()
    }
}

/// A socket, under TLS when `via` is.
pub fn open(addr: SocketAddr, via: Via, certificate: &CertificateDer<'static>) -> io::Result<Stream> {
    let tcp = TcpStream::connect_timeout(&addr, PATIENCE)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    if !via.is_tls() {
        return Ok(Stream::Plain(tcp));
    }
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let conn = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(conn, tcp);
    tls.conn.complete_io(&mut tls.sock)?;
    Ok(Stream::Tls(Box::new(tls)))
}

/// Asks for a WebSocket at `path`; the status, and what came behind the head.
pub fn handshake(
    stream: &mut (impl Read + Write),
    host: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> io::Result<(u16, Vec<u8>)> {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    loop {
        if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end]).into_owned();
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
            let status = status.ok_or_else(|| io::Error::other(format!("not HTTP: {head}")))?;
            return Ok((status, answer.split_off(end + 4)));
        }
        let more = read_some(stream).ok_or(io::ErrorKind::UnexpectedEof)?;
        answer.extend(more);
    }
}

/// A masked WebSocket frame.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x5a, 0xc3, 0x17, 0x88];
    let mut out = vec![0x80 | opcode];
    match payload.len() {
        len @ 0..126 => out.push(0x80 | len as u8),
        len @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// Takes a frame of the server, unmasked, off the front of `input`.
fn take_frame(input: &mut Vec<u8>) -> Option<WsFrame> {
    let (opcode, short) = (*input.first()? & 0x0f, *input.get(1)?);
    assert!(short & 0x80 == 0, "a server does not mask");
    let (len, head) = match short {
        126 => (usize::from(u16::from_be_bytes(*input.get(2..)?.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*input.get(2..)?.first_chunk()?)).unwrap(), 10),
        len => (usize::from(len), 2),
    };
    let payload = input.get(head..head + len)?.to_vec();
    input.drain(..head + len);
    Some(WsFrame { opcode, payload })
}

fn read_some(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 64 << 10];
    match stream.read(&mut buffer) {
        Ok(0) => None,
        Ok(len) => {
            buffer.truncate(len);
            Some(buffer)
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            panic!("nothing was heard for {PATIENCE:?}")
        }
        Err(_) => None,
    }
}
