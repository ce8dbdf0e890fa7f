//! The byte stream over real sockets: what arrives, in which pieces, and how it ends.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

use std::{io, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use postrider_bridge::{AcceptRules, MESSAGE_BYTES, WsStream, accept, connect};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::{Bytes, Message, protocol::frame::coding::CloseCode};

type Server = WsStream<TcpStream>;

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    // As the listener does: else pieces of one byte wait for each other's acknowledgement.
    client.set_nodelay(true).unwrap();
    let server = listener.accept().await.unwrap().0;
    server.set_nodelay(true).unwrap();
    (server, client)
}

async fn pair() -> (Server, WsStream<TcpStream>) {
    let (server, client) = sockets().await;
    let rules = AcceptRules::default();
    let (server, client) = tokio::join!(accept(server, &rules), connect(client, "localhost", "/ws"));
    (server.unwrap(), client.unwrap())
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

/// A masked frame, as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
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
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

const BINARY: u8 = 0x82;

/// What a server that was sent these raw bytes reads, and the close code that the client then sees.
async fn after(raw: &[u8]) -> (io::Result<Vec<u8>>, Option<u16>) {
    let (mut server, mut client) = pair().await;
    let write = async {
        let _ = client.get_mut().write_all(raw).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), client.get_mut().read_to_end(&mut answer)).await.unwrap();
        answer
    };
    let read = async {
        let mut heard = Vec::new();
        let result = server.read_to_end(&mut heard).await;
        // What the listener does with every connection that ends.
        let _ = server.shutdown().await;
        result.map(|_| heard)
    };
    let (answer, heard) = tokio::join!(write, read);
    let close = answer.windows(4).rev().find(|window| window[0] == 0x88 && window[1] >= 2);
    (heard, close.map(|window| u16::from_be_bytes([window[2], window[3]])))
}

#[tokio::test]
async fn bytes_cross_in_both_directions() {
    let (server, client) = pair().await;
    for (mut from, mut to) in [(server, client)] {
        let sent = pattern(500_000);
        for _ in 0..2 {
            let write = async {
                from.write_all(&sent).await.unwrap();
                from.flush().await.unwrap();
            };
            let mut heard = vec![0; sent.len()];
            tokio::join!(write, async { to.read_exact(&mut heard).await.unwrap() });
            assert!(heard == sent);
            std::mem::swap(&mut from, &mut to);
        }
    }
}

#[tokio::test]
async fn one_write_is_one_message_and_a_long_one_is_split() {
    let (mut server, client) = pair().await;
    let mut messages = client.into_messages();
    server.write_all(b"one").await.unwrap();
    let parts = [io::IoSlice::new(b"tw"), io::IoSlice::new(b""), io::IoSlice::new(b"o")];
    assert_eq!(server.write_vectored(&parts).await.unwrap(), 3);
    server.flush().await.unwrap();
    assert_eq!(messages.next().await.unwrap().unwrap(), Message::binary(&b"one"[..]));
    assert_eq!(messages.next().await.unwrap().unwrap(), Message::binary(&b"two"[..]));
    let sent = pattern(100_000);
    let write = async {
        server.write_all(&sent).await.unwrap();
        server.flush().await.unwrap();
    };
    let read = async {
        let mut heard = Vec::new();
        while heard.len() < sent.len() {
            let message = messages.next().await.unwrap().unwrap().into_data();
            assert!(message.len() <= 16 * 1024);
            heard.extend_from_slice(&message);
        }
        heard
    };
    let ((), heard) = tokio::join!(write, read);
    assert!(heard == sent);
}

#[tokio::test]
async fn where_messages_and_segments_are_cut_means_nothing() {
    let sent = pattern(300);
    for cut in 0..=sent.len() {
        let (mut server, mut client) = pair().await;
        let (head, tail) = sent.split_at(cut);
        // Two messages, an empty one between them, and the second in two fragments with a ping inside.
        let middle = tail.len() / 2;
        let mut raw = frame(BINARY, head);
        raw.extend(frame(BINARY, b""));
        raw.extend(frame(0x02, &tail[..middle]));
        raw.extend(frame(0x89, b"ping"));
        raw.extend(frame(0x80, &tail[middle..]));
        for piece in raw.chunks(cut % 7 + 1) {
            client.get_mut().write_all(piece).await.unwrap();
        }
        let mut heard = vec![0; sent.len()];
        server.read_exact(&mut heard).await.unwrap();
        assert!(heard == sent, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_small_reader_gets_everything() {
    let (mut server, mut client) = pair().await;
    let sent = pattern(10_000);
    client.write_all(&sent).await.unwrap();
    client.flush().await.unwrap();
    let mut heard = Vec::new();
    let mut piece = [0; 7];
    while heard.len() < sent.len() {
        let count = server.read(&mut piece).await.unwrap();
        assert!(count > 0);
        heard.extend_from_slice(&piece[..count]);
    }
    assert!(heard == sent);
}

#[tokio::test]
async fn a_ping_is_answered_while_the_reader_waits() {
    let (mut server, client) = pair().await;
    let reading = tokio::spawn(async move { server.read_u8().await });
    let mut messages = client.into_messages();
    messages.send(Message::Ping(Bytes::from_static(b"are you there"))).await.unwrap();
    assert_eq!(messages.next().await.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"are you there")));
    messages.send(Message::binary(vec![9])).await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), 9);
}

#[tokio::test]
async fn w02_a_text_message_closes_with_1003() {
    let (heard, code) = after(&[frame(BINARY, b"first"), frame(0x81, b"{}")].concat()).await;
    assert_eq!(heard.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(code, Some(1003));
}

#[tokio::test]
async fn w04_a_message_over_the_limit_closes_with_1009() {
    let (mut server, mut client) = pair().await;
    client.get_mut().write_all(&frame(BINARY, &pattern(MESSAGE_BYTES))).await.unwrap();
    let mut heard = vec![0; MESSAGE_BYTES];
    server.read_exact(&mut heard).await.unwrap();
    assert!(heard == pattern(MESSAGE_BYTES), "the longest message is taken");

    let (heard, code) = after(&frame(BINARY, &pattern(MESSAGE_BYTES + 1))).await;
    assert!(heard.is_err());
    assert_eq!(code, Some(1009));
    for len in [(MESSAGE_BYTES + 1) as u64, 1 << 31, 1 << 63, u64::MAX] {
        // The header alone: what it promises never comes, and is not waited for.
        let mut header = vec![BINARY, 0x80 | 127];
        header.extend(len.to_be_bytes());
        header.extend([0; 4]);
        let (heard, code) = after(&header).await;
        assert!(heard.is_err());
        assert_eq!(code, Some(1009), "{len}");
    }
    let half = pattern(MESSAGE_BYTES / 2 + 1);
    let (_, code) = after(&[frame(0x02, &half), frame(0x80, &half)].concat()).await;
    assert_eq!(code, Some(1009), "fragments are counted together");
}

#[tokio::test]
async fn w06_offences_against_the_framing_close_with_1002() {
    let unmasked = vec![BINARY, 2, b'h', b'i'];
    for (what, raw) in [
        ("unmasked", unmasked),
        ("reserved bit 1", frame(BINARY | 0x40, b"x")),
        ("reserved bit 2", frame(BINARY | 0x20, b"x")),
        ("reserved opcode", frame(0x83, b"x")),
        ("reserved control opcode", frame(0x8b, b"x")),
        ("fragmented ping", frame(0x09, b"x")),
        ("long ping", frame(0x89, &[0; 126])),
        ("continuation of nothing", frame(0x80, b"x")),
        ("a message inside another", [frame(0x02, b"x"), frame(BINARY, b"y")].concat()),
    ] {
        let (heard, code) = after(&raw).await;
        assert!(heard.is_err(), "{what}");
        assert_eq!(code, Some(1002), "{what}");
    }
}

#[tokio::test]
async fn w05_bad_text_is_refused_whatever_its_code() {
    let (heard, code) = after(&frame(0x81, b"\xff\xfe")).await;
    assert!(heard.is_err());
    assert_eq!(code, Some(1007));
}

#[tokio::test]
async fn the_end_of_the_peer_is_the_end_of_the_stream() {
    let close = frame(0x88, &1000u16.to_be_bytes());
    let (heard, code) = after(&[frame(BINARY, b"last words"), close].concat()).await;
    assert_eq!(heard.unwrap(), b"last words");
    assert_eq!(code, Some(1000), "the close is answered");

    let (mut server, mut client) = pair().await;
    client.write_all(b"last words").await.unwrap();
    client.flush().await.unwrap();
    client.get_mut().shutdown().await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"last words", "a socket that ends without a close is an end too");
}

#[tokio::test]
async fn shutdown_closes_with_1000_and_close_with_with_its_code() {
    let (mut server, client) = pair().await;
    server.write_all(b"bye").await.unwrap();
    server.shutdown().await.unwrap();
    let mut messages = client.into_messages();
    assert_eq!(messages.next().await.unwrap().unwrap(), Message::binary(&b"bye"[..]));
    let Message::Close(Some(close)) = messages.next().await.unwrap().unwrap() else { panic!("no close") };
    assert_eq!(close.code, CloseCode::Normal);

    let (mut server, client) = pair().await;
    let long = "é".repeat(100);
    server.close_with(4009, &long).await.unwrap();
    server.close_with(4010, "later").await.unwrap();
    let mut messages = client.into_messages();
    let Message::Close(Some(close)) = messages.next().await.unwrap().unwrap() else { panic!("no close") };
    assert_eq!(u16::from(close.code), 4009, "the first code stands");
    assert_eq!(close.reason.as_str(), "é".repeat(61), "cut to what a close frame holds, between characters");
}

#[tokio::test]
async fn writing_after_the_peer_closed_fails_and_does_not_hang() {
    let (mut server, mut client) = pair().await;
    client.shutdown().await.unwrap();
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    assert!(server.write_all(b"x").await.is_err());
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_peer_that_takes_nothing_stops_the_writer_within_bounds() {
    let (mut server, client) = pair().await;
    let piece = pattern(16 * 1024);
    let mut written = 0;
    let stuck = async {
        loop {
            written += server.write(&piece).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(500), stuck).await.is_err());
    // Socket buffers on both sides take a few MiB; nothing beyond them may be taken.
    assert!(written < 32 << 20, "{written}");
    drop(client);
}
