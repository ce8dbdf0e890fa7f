//! Where a server listens, as one string.

use std::{fmt, str::FromStr};

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Transport {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Tcp, "tcp"), (Self::Tls, "tls"), (Self::Ws, "ws"), (Self::Wss, "wss")];

    /// Whether the server shows a certificate.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// Where a server listens: `HOST:PORT`, which is TCP, or `tcp://`, `tls://`, `ws://`, `wss://` and HOST:PORT; the last
/// two may end with a path, `/ws` when they do not. An IPv6 address stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    transport: Transport,
    host: String,
    port: u16,
    path: String,
}

/// Text that is no address; says what is expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an address: {what}; write HOST:PORT, or tcp://, tls://, ws:// or wss:// and HOST:PORT")]
pub struct AddressError {
    text: String,
    what: &'static str,
}

impl Address {
    /// How bytes travel there.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// The host: a name, or an IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The path of the WebSocket; empty for the other transports.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and port, with brackets where they are needed.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (transport, rest) = match text.split_once("://") {
            None => (Transport::Tcp, text),
            Some((scheme, rest)) => {
                let known = Transport::ALL.iter().find(|(_, name)| *name == scheme);
                (known.ok_or("its scheme is unknown")?.0, rest)
            }
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let path = match path {
            "" | "/" if transport.is_websocket() => "/ws",
            "" | "/" => "",
            _ if !transport.is_websocket() => return Err("only ws:// and wss:// have a path"),
            path => path,
        };
        if path.contains(['?', '#']) || authority.contains('@') {
            return Err("it may not hold a user, a query or a fragment");
        }
        let (host, port) = split_port(authority)?;
        let is_host = |byte: u8| byte.is_ascii_graphic();
        if host.is_empty() || !host.bytes().all(is_host) || !path.bytes().all(is_host) {
            return Err("the host is missing or holds characters that no host has");
        }
        Ok(Self { transport, host: host.to_owned(), port, path: path.to_owned() })
    }
}

fn split_port(authority: &str) -> Result<(&str, u16), &'static str> {
    let missing = "the port is missing";
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("a bracket is not closed")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "between the brackets stands no IPv6 address")?;
            (host, rest.strip_prefix(':').ok_or(missing)?)
        }
        None => {
            let (host, port) = authority.rsplit_once(':').ok_or(missing)?;
            if host.contains(':') {
                return Err("an IPv6 address stands in brackets");
            }
            (host, port)
        }
    };
    match port.parse() {
        Ok(port) if port > 0 => Ok((host, port)),
        _ => Err("the port is not a number from 1 to 65535"),
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text).map_err(|what| AddressError { text: text.to_owned(), what })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = Transport::ALL.iter().find(|(transport, _)| *transport == self.transport).map_or("", |row| row.1);
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_alone_are_tcp() {
        let address: Address = "chat.example:8790".parse().unwrap();
        assert_eq!((address.transport(), address.host(), address.port()), (Transport::Tcp, "chat.example", 8790));
    }

    #[test]
    fn the_scheme_chooses_the_transport_and_the_path_of_a_websocket_is_ws() {
        for (text, shown) in [
            ("tcp://h:1", "tcp://h:1"),
            ("tls://h:1/", "tls://h:1"),
            ("ws://h:1", "ws://h:1/ws"),
            ("wss://h:1/", "wss://h:1/ws"),
            ("wss://h:1/im/ws", "wss://h:1/im/ws"),
            ("tls://[::1]:8791", "tls://[::1]:8791"),
            ("127.0.0.1:65535", "tcp://127.0.0.1:65535"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_is_expected() {
        for text in [
            "",
            "host",
            "host:",
            ":1",
            "host:0",
            "host:65536",
            "host:-1",
            "::1:8790",
            "[::1]",
            "[::1:1",
            "[x]:1",
            "http://h:1",
            "tcp://h:1/ws",
            "ws://h:1/ws?token=x",
            "ws://me@h:1",
            "ho st:1",
            "tls://",
        ] {
            let error = text.parse::<Address>().expect_err(text).to_string();
            assert!(error.contains("write HOST:PORT"), "{error}");
        }
    }
}
