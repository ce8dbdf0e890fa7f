//! Bad neighbours with good tokens, over TCP: they write frames made beforehand, and throw away what they read.

use std::time::Duration;

use bytes::Bytes;
use postrider_client::Transport;
use postrider_protocol::{
    Sender, SenderKind, Tlvs, VERSION,
    packet::{ConnectPacket, ListPacket, Packet, RecvackPacket, SendPacket, SyncPacket},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, sleep_until},
};

use super::{
    bad::{Acts, Means},
    scene::{self, Scene},
};
use crate::Result;

/// Connections that one user floods over.
const CONNECTIONS: usize = 4;
/// Bytes a second of one flooding connection: four of them fill a line of 1 Gbit/s. Faster than a line, what loopback
/// costs the machine would be measured, and not the server.
const LINE: u64 = 30_000_000;
/// Short frames that leave together: as many as a packet of a line holds. One by one, what the neighbour costs the
/// machine would be measured.
const AT_ONCE: usize = 32;
/// How far a line and its timer may be apart.
const SLACK: Duration = Duration::from_millis(2);

/// The bytes of a CONNECT.
pub fn connect_frame(token: &[u8], device: Option<&str>) -> Vec<u8> {
    frame(&Packet::Connect(ConnectPacket {
        version_min: VERSION,
        version_max: VERSION,
        token: Bytes::copy_from_slice(token),
        device: device.map(scene::id),
        sender: Sender::request(SenderKind::OneShot),
        tlvs: Tlvs::new(),
    }))
}

/// The bytes of a packet.
pub fn frame(packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

/// A connection that was let in; with the smallest buffer for receiving, if it is not going to.
async fn enter(scene: &Scene, token: &str, device: &str, is_deaf: bool) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if is_deaf {
        socket.set_recv_buffer_size(2_048)?;
    }
    let mut stream = socket.connect(scene.socket(Transport::Tcp)?).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&connect_frame(token.as_bytes(), Some(device))).await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    let [a, b, c, d, .., high, low] = head;
    if [high, low] != [0, 0] {
        return Err("CONNECT was refused".into());
    }
    let rest = usize::try_from(u32::from_be_bytes([a, b, c, d]))?.saturating_sub(2);
    stream.read_exact(&mut vec![0; rest]).await?;
    Ok(stream)
}

/// Writes what `next` gives, again and again, and reads whatever comes; ends with the connection.
async fn flood(stream: TcpStream, acts: Acts, mut next: impl FnMut(&mut Vec<u8>) -> u64) -> Result {
    let (mut read, mut write) = stream.into_split();
    let writing = async {
        let (mut out, mut line) = (Vec::new(), Instant::now());
        loop {
            out.clear();
            let frames = next(&mut out);
            write.write_all(&out).await?;
            acts.add(frames);
            // A timer is good for milliseconds: the line may run so far ahead of it, and catch up no more than that.
            line = line.max(Instant::now() - SLACK) + Duration::from_nanos(out.len() as u64 * 1_000_000_000 / LINE);
            if line > Instant::now() + SLACK {
                sleep_until(line).await;
            }
        }
    };
    let reading = async {
        let mut into = vec![0; 64 << 10];
        while read.read(&mut into).await? > 0 {}
        Ok(())
    };
    tokio::select! {
        ended = writing => ended,
        ended = reading => ended,
    }
}

fn token(tokens: &[String], at: usize) -> Result<&String> {
    Ok(tokens.get(at % tokens.len().max(1)).ok_or("no token")?)
}

fn sync_frame(scene: &Scene, from: u64) -> Vec<u8> {
    let (channel, epoch, head) = &scene.history;
    let (channel, epoch, to) = (channel.clone(), *epoch, *head);
    frame(&Packet::Sync(SyncPacket { request: 1, channel, epoch, from, to, limit: 100, tlvs: Tlvs::new() }))
}

/// The busy group fills their queues, and what they ask for does; nobody takes any of it.
pub fn slow_readers(means: &mut Means<'_>) {
    for at in 0..means.scene.slow.len() {
        means.again(move |scene, acts| async move {
            let mut stream = enter(&scene, token(&scene.slow, at)?, "d1", true).await?;
            // Members know nothing of each other's history but the group's: they ask for all they have.
            let list = frame(&list()).repeat(100);
            loop {
                stream.write_all(&list).await?;
                acts.add(100);
                sleep(Duration::from_millis(10)).await;
            }
        });
    }
    for at in 0..means.scene.collector.len() {
        means.again(move |scene, acts| async move {
            let mut stream = enter(&scene, token(&scene.collector, at)?, &format!("d{at}"), true).await?;
            let sync = sync_frame(&scene, 1);
            loop {
                stream.write_all(&sync).await?;
                acts.add(1);
            }
        });
    }
}

/// Connected, and gone as far as anybody can tell.
pub fn vanished(means: &mut Means<'_>) {
    for at in 0..means.scene.slow.len() {
        means.again(move |scene, acts| async move {
            let stream = enter(&scene, token(&scene.slow, at)?, "d1", true).await?;
            acts.add(1);
            std::future::pending::<()>().await;
            drop(stream);
            Ok(())
        });
    }
}

/// Takes what comes and lists what is new, ten times a second from the beginning.
pub fn never_acknowledge(means: &mut Means<'_>) {
    for at in 0..means.scene.slow.len() {
        means.again(move |scene, acts| async move {
            let mut stream = enter(&scene, token(&scene.slow, at)?, "d1", false).await?;
            stream.write_all(&frame(&list())).await?;
            acts.add(1);
            let mut into = vec![0; 64 << 10];
            let stay = Instant::now() + Duration::from_millis(100);
            while let Ok(read) = tokio::time::timeout_at(stay, stream.read(&mut into)).await {
                if read? == 0 {
                    break;
                }
            }
            Ok(())
        });
    }
}

/// PINGs beyond what liveness needs, until the server has enough of it.
pub fn pings(means: &mut Means<'_>) {
    let ping = frame(&Packet::Ping(Tlvs::new()));
    for at in 0..CONNECTIONS {
        let pings = ping.repeat(1_000);
        means.again(move |scene, acts| {
            let pings = pings.clone();
            async move {
                let tokens: Vec<String> = scene.flooders.iter().map(|(token, _)| token.clone()).collect();
                let stream = enter(&scene, token(&tokens, at)?, "d1", false).await?;
                flood(stream, acts, |out| {
                    out.extend_from_slice(&pings);
                    1_000
                })
                .await
            }
        });
    }
}

/// SENDs with bodies of so many bytes by so many users, whatever is answered.
pub fn sends(means: &mut Means<'_>, body: usize, users: usize) {
    let body = Bytes::from(vec![b'.'; body]);
    for at in 0..CONNECTIONS {
        let body = body.clone();
        means.again(move |scene, acts| {
            let body = body.clone();
            async move {
                let (token, channel) = scene.flooders.get(at % users).ok_or("no flooder")?.clone();
                // Without a device, so that the connections of one user leave each other alone.
                let stream = enter_without_device(&scene, &token).await?;
                let mut number = 0;
                flood(stream, acts, move |out| {
                    let frames = if body.len() < 1_024 { 16 } else { 1 };
                    for _ in 0..frames {
                        number += 1;
                        let oldest = if number > 63 { number - 63 } else { 1 };
                        let (channel, body) = (channel.clone(), body.clone());
                        let send = SendPacket { number, oldest, channel, flags: 0, body, tlvs: Tlvs::new() };
                        Packet::Send(send).encode(out);
                    }
                    frames
                })
                .await
            }
        });
    }
}

async fn enter_without_device(scene: &Scene, token: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(scene.socket(Transport::Tcp)?).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&connect_frame(token.as_bytes(), None)).await?;
    Ok(stream)
}

fn list() -> Packet {
    let none = Bytes::new();
    Packet::List(ListPacket { request: 1, token: none.clone(), page: none, limit: 100, tlvs: Tlvs::new() })
}

/// LISTs of everything, as many as the server takes.
pub fn lists(means: &mut Means<'_>) {
    for at in 0..means.scene.collector.len() {
        means.again(move |scene, acts| async move {
            let stream = enter(&scene, token(&scene.collector, at)?, &format!("d{at}"), false).await?;
            let lists = frame(&list()).repeat(AT_ONCE);
            flood(stream, acts, |out| {
                out.extend_from_slice(&lists);
                AT_ONCE as u64
            })
            .await
        });
    }
}

/// SYNCs of the widest pages all over the history, as many as the server takes.
pub fn syncs(means: &mut Means<'_>) {
    for at in 0..means.scene.collector.len() {
        means.again(move |scene, acts| async move {
            let stream = enter(&scene, token(&scene.collector, at)?, &format!("d{at}"), false).await?;
            let mut from = 1;
            flood(stream, acts, |out| {
                for _ in 0..AT_ONCE {
                    from = (from + 6_151) % scene.history.2 + 1;
                    out.extend_from_slice(&sync_frame(&scene, from));
                }
                AT_ONCE as u64
            })
            .await
        });
    }
}

/// RECVACKs for more channels than a connection keeps cursors of, so that each is news to the server.
pub fn recvacks(means: &mut Means<'_>) {
    for at in 0..means.scene.collector.len() {
        means.again(move |scene, acts| async move {
            let stream = enter(&scene, token(&scene.collector, at)?, &format!("d{at}"), false).await?;
            let mut round = Vec::new();
            for channel in &scene.conversations {
                let (channel, seq) = (channel.clone(), 1);
                Packet::Recvack(RecvackPacket { channel, seq, tlvs: Tlvs::new() }).encode(&mut round);
            }
            let frames = scene.conversations.len() as u64;
            flood(stream, acts, |out| {
                out.extend_from_slice(&round);
                frames
            })
            .await
        });
    }
}
