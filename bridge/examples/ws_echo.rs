//! Echoes text and binary messages, for suites that test a WebSocket server from outside (Autobahn's fuzzingclient):
//! `cargo run -p postrider-bridge --example ws_echo -- 127.0.0.1:9001`.
//!
//! Handshake and buffers are those of the server; the limit of a message is 32 MiB, because the suite sends 16 MiB, and
//! text is echoed, which the server refuses.
#![allow(clippy::print_stdout, reason = "an example")]

use futures_util::{SinkExt as _, StreamExt as _};
use postrider_bridge::{AcceptRules, accept};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{
    Error, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(&addr).await?;
    println!("echo at ws://{addr}/");
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(echo(stream));
    }
}

async fn echo(stream: TcpStream) {
    let rules = AcceptRules { path: "/".to_owned(), max_message_bytes: 32 << 20, ..AcceptRules::default() };
    let Ok(stream) = accept(stream, &rules).await else { return };
    let mut socket = stream.into_messages();
    while let Some(message) = socket.next().await {
        let sent = match message {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message).await,
            Ok(_) => continue,
            Err(error) => {
                let code = match error {
                    Error::Capacity(_) => CloseCode::Size,
                    Error::Utf8(_) => CloseCode::Invalid,
                    _ => CloseCode::Protocol,
                };
                let _ = socket.close(Some(CloseFrame { code, reason: "".into() })).await;
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}
