//! One nonblocking socket with TLS and WebSocket over it where the address says so.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, ToSocketAddrs as _},
    path::Path,
    sync::Arc,
};

use mio::net::TcpStream;
use postrider_client::{Address, Transport};
use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};

use crate::websocket::{self, Unframer};

/// What every connection to the server needs to know.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) socket: SocketAddr,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    upgrade: Option<Vec<u8>>,
}

impl Site {
    /// Resolves the address and reads the certificates.
    ///
    /// # Errors
    /// The host has no address, or the authority cannot be read.
    pub(crate) fn new(address: &Address, ca: Option<&Path>) -> Result<Self, String> {
        let socket = (address.host(), address.port()).to_socket_addrs().ok().and_then(|mut all| all.next());
        let socket = socket.ok_or_else(|| format!("{}: the host has no address", address.authority()))?;
        let tls = if address.transport().is_encrypted() { Some(trust(address.host(), ca)?) } else { None };
        let websocket = matches!(address.transport(), Transport::Ws | Transport::Wss);
        let upgrade = websocket.then(|| websocket::request(&address.authority(), address.path()));
        Ok(Self { socket, tls, upgrade })
    }
}

fn trust(host: &str, ca: Option<&Path>) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
    let file = ca.ok_or("--ca FILE with the authority of the server's certificate is needed")?;
    let error = |error: &dyn std::fmt::Display| format!("--ca {}: {error}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| error(&e))? {
        roots.add(certificate.map_err(|e| error(&e))?).map_err(|e| error(&e))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| error(&e))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    // Each connection is another device: nothing to resume.
    config.resumption = rustls::client::Resumption::disabled();
    let name = ServerName::try_from(host.to_owned()).map_err(|e| error(&e))?;
    Ok((Arc::new(config), name))
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    websocket: Option<Unframer>,
    upgrade: Option<Vec<u8>>,
    /// Bytes for the layer above the socket that it did not take; those before `taken` are gone.
    pending: Vec<u8>,
    taken: usize,
}

impl Stream {
    /// Begins to connect.
    pub(crate) fn connect(site: &Site) -> io::Result<Self> {
        let socket = TcpStream::connect(site.socket)?;
        socket.set_nodelay(true)?;
        let tls = match &site.tls {
            Some((config, name)) => {
                let mut tls = ClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other)?;
                tls.set_buffer_limit(None);
                Some(Box::new(tls))
            }
            None => None,
        };
        Ok(Self {
            socket,
            tls,
            websocket: site.upgrade.as_ref().map(|_| Unframer::new()),
            upgrade: site.upgrade.clone(),
            pending: Vec::new(),
            taken: 0,
        })
    }

    /// For the poll.
    pub(crate) const fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// The socket can be written for the first time: whether it is connected now.
    ///
    /// # Errors
    /// It was refused.
    pub(crate) fn begin(&mut self) -> io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(error),
        }
        if let Some(request) = self.upgrade.take() {
            self.put(&request);
        }
        self.flush()?;
        Ok(true)
    }

    /// Whether bytes can be sent: no handshake of a WebSocket is under way.
    pub(crate) fn is_open(&self) -> bool {
        self.websocket.as_ref().is_none_or(Unframer::is_open)
    }

    /// Reads what is there into `buffer`; `scratch` is for bytes that are still encrypted. Returns the number of
    /// bytes and whether the socket is drained.
    ///
    /// # Errors
    /// The stream failed or ended.
    pub(crate) fn read(&mut self, buffer: &mut [u8], scratch: &mut [u8]) -> io::Result<(usize, bool)> {
        let room = if self.tls.is_some() { scratch.len().min(buffer.len()) } else { buffer.len() };
        let into = if self.tls.is_some() { &mut *scratch } else { &mut *buffer };
        let got = match self.socket.read(into.get_mut(..room).unwrap_or_default()) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
            Ok(got) => got,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((0, true)),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok((0, false)),
            Err(error) => return Err(error),
        };
        let mut bytes = got;
        if let Some(tls) = &mut self.tls {
            bytes = decrypt(tls, scratch.get(..got).unwrap_or_default(), buffer)?;
            if tls.wants_write() {
                self.flush()?;
            }
        }
        if let Some(websocket) = &mut self.websocket {
            bytes = websocket.unframe(buffer.get_mut(..bytes).unwrap_or_default())?;
        }
        Ok((bytes, got < room))
    }

    /// Sends `bytes`, or keeps what the socket does not take.
    ///
    /// # Errors
    /// The stream failed.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let direct = self.websocket.is_none() && self.tls.is_none() && self.pending.is_empty();
        let mut rest = bytes;
        if direct {
            let taken = written(self.socket.write(bytes))?;
            rest = bytes.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(());
            }
        }
        if self.websocket.is_some() {
            let mut framed = std::mem::take(&mut self.pending);
            websocket::frame(rest, &mut framed);
            self.pending = framed;
        } else {
            self.put(rest);
        }
        self.flush()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Writes what the socket takes.
    ///
    /// # Errors
    /// The stream failed.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(&self.pending)?;
            self.pending.clear();
            while tls.wants_write() && written(tls.write_tls(&mut self.socket))? > 0 {}
            return Ok(());
        }
        while self.taken < self.pending.len() {
            let taken = written(self.socket.write(self.pending.get(self.taken..).unwrap_or_default()))?;
            if taken == 0 {
                return Ok(());
            }
            self.taken += taken;
        }
        self.pending.clear();
        self.taken = 0;
        Ok(())
    }

    /// Whether bytes wait to be written.
    pub(crate) fn is_behind(&self) -> bool {
        !self.pending.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }
}

fn decrypt(tls: &mut ClientConnection, mut from: &[u8], into: &mut [u8]) -> io::Result<usize> {
    let mut bytes = 0;
    while !from.is_empty() {
        tls.read_tls(&mut from)?;
        tls.process_new_packets().map_err(io::Error::other)?;
        loop {
            match tls.reader().read(into.get_mut(bytes..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(got) => bytes += got,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(bytes)
}

/// How many bytes a nonblocking write took.
fn written(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        other => other,
    }
}
