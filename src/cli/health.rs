//! `postrider health`: asks a running server, for people and for container checks.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use clap::Args;

use super::Failure;

/// An answer that is not there by then is no.
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// `http.addr` of the server
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8793")]
    addr: SocketAddr,
}

pub(super) fn run(args: &HealthArgs) -> Result<(), Failure> {
    let (ready, text) = ask(args.addr).map_err(|error| {
        Failure::failed(format!("{}: {error}; is the server running, with http.addr={0}?", args.addr))
    })?;
    print!("{text}");
    if ready { Ok(()) } else { Err(Failure::failed("the server is not ready")) }
}

/// Whether the server at `addr` is ready, and what it says about its parts.
pub(super) fn ask(addr: SocketAddr) -> std::io::Result<(bool, String)> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /readyz?verbose HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((answer.starts_with("HTTP/1.1 200 "), body.to_owned()))
}
