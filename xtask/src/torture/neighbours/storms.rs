//! Bad neighbours who are strangers, or who are never the same for long: connections that say nothing, half of
//! something or nonsense, at a bounded rate.

use std::time::Duration;

use postrider_client::Transport;
use postrider_protocol::{Tlvs, packet::Packet};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    super::{chance::mix, wire::Wire},
    bad::Means,
    guests::{connect_frame, frame},
    scene::Scene,
};
use crate::Result;

/// Connects a second.
const STORM: u32 = 400;
/// Handshakes a second: each costs the server, and this machine's other half, a signature.
const HANDSHAKES: u32 = 150;
/// Connections that stay.
const CROWD: usize = 400;
/// A connection of a storm waits so long for the server to close it.
const PATIENCE: Duration = Duration::from_millis(300);
/// The listeners, in turns.
const TRANSPORTS: [Transport; 4] = [Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

async fn dial(scene: &Scene, number: u64) -> Result<TcpStream> {
    let transport = TRANSPORTS.get(usize::try_from(number % 4)?).copied().unwrap_or(Transport::Tcp);
    dial_by(scene, transport).await
}

async fn dial_by(scene: &Scene, transport: Transport) -> Result<TcpStream> {
    let stream = TcpStream::connect(scene.socket(transport)?).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Says these bytes, and waits for the server to close.
async fn say(mut stream: TcpStream, bytes: &[u8]) -> Result {
    stream.write_all(bytes).await?;
    let mut into = [0; 4_096];
    let reading = async { while matches!(stream.read(&mut into).await, Ok(1..)) {} };
    let _ = timeout(PATIENCE, reading).await;
    Ok(())
}

/// Connections that stay and say nothing.
pub fn silent(means: &mut Means<'_>) {
    for at in 0..CROWD as u64 {
        means.again(move |scene, acts| async move {
            let mut stream = dial(&scene, at).await?;
            acts.add(1);
            let _ = stream.read(&mut [0; 1]).await;
            Ok(())
        });
    }
}

/// A third stops in the middle of a header, a third in the middle of CONNECT, a third drips.
pub fn half_frames(means: &mut Means<'_>) {
    for at in 0..CROWD {
        means.again(move |scene, acts| async move {
            let token = scene.slow.get(at % scene.slow.len().max(1)).ok_or("no token")?;
            let connect = connect_frame(token.as_bytes(), Some("d1"));
            let mut stream = dial_by(&scene, Transport::Tcp).await?;
            acts.add(1);
            let stop = [5, connect.len() / 2, 0].get(at % 3).copied().unwrap_or(0);
            stream.write_all(connect.get(..stop).unwrap_or_default()).await?;
            if stop == 0 {
                // Never whole: the last byte does not come.
                for byte in connect.iter().take(connect.len().saturating_sub(1)) {
                    stream.write_all(&[*byte]).await?;
                    acts.add(1);
                    sleep(Duration::from_millis(50)).await;
                }
            }
            let _ = stream.read(&mut [0; 1]).await;
            Ok(())
        });
    }
    // Let in, and then half a PING.
    for at in 0..means.scene.slow.len() {
        means.again(move |scene, acts| async move {
            let token = scene.slow.get(at).ok_or("no token")?;
            let mut bytes = connect_frame(token.as_bytes(), Some("d1"));
            bytes.extend(frame(&Packet::Ping(Tlvs::new())).into_iter().take(7));
            let mut stream = dial_by(&scene, Transport::Tcp).await?;
            stream.write_all(&bytes).await?;
            acts.add(1);
            let mut into = [0; 16 << 10];
            while matches!(stream.read(&mut into).await, Ok(1..)) {}
            Ok(())
        });
    }
}

/// Half of it frames with a bad CRC, half of it noise.
pub fn garbage(means: &mut Means<'_>) {
    means.storm(STORM, |scene, number| async move {
        if number % 2 == 0 {
            let mut connect = connect_frame(b"token", Some("d1"));
            if let Some(last) = connect.last_mut() {
                *last ^= 1;
            }
            return say(dial_by(&scene, Transport::Tcp).await?, &connect).await;
        }
        let noise: Vec<u8> = (0..256).flat_map(|at| mix(number << 16 | at).to_be_bytes()).collect();
        say(dial(&scene, number / 2).await?, &noise).await
    });
}

/// A length of 4 GiB, one just above what CONNECT may have, and the largest allowed one that never comes.
pub fn oversized(means: &mut Means<'_>) {
    means.storm(STORM, |scene, number| async move {
        let length: u32 = [u32::MAX, 16_385, 16_384].get(usize::try_from(number % 3)?).copied().unwrap_or(0);
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend([1, 0, 0, 0, 0, 0]);
        if length == 16_384 {
            bytes.resize(16_384, 0);
        }
        say(dial_by(&scene, Transport::Tcp).await?, &bytes).await
    });
}

/// Tokens of the largest size: the form is right, the signature is not.
pub fn bad_tokens(means: &mut Means<'_>) {
    means.storm(STORM, |scene, _| async move {
        let good = scene.slow.first().ok_or("no token")?;
        let (head, rest) = good.split_once('.').ok_or("not a token")?;
        let signature = rest.rsplit('.').next().unwrap_or_default();
        let room = 4_096_usize.saturating_sub(head.len() + signature.len() + 2);
        // A payload of zeros in base64 is a payload that only the signature tells from a good one.
        let token = format!("{head}.{}.{signature}", "A".repeat(room / 4 * 4));
        say(dial_by(&scene, Transport::Tcp).await?, &connect_frame(token.as_bytes(), Some("d1"))).await
    });
}

/// Whole handshakes, by a client that checks nothing it need not.
pub fn handshakes(means: &mut Means<'_>) {
    means.storm(HANDSHAKES, |scene, number| async move {
        let transport = if number % 2 == 0 { Transport::Tls } else { Transport::Wss };
        let _ = timeout(PATIENCE, Wire::dial(scene.address(transport)?, &scene.tls)).await;
        Ok(())
    });
}

/// One device, again and again: each connection ends the one before.
pub fn replaced(means: &mut Means<'_>) {
    means.storm(STORM, |scene, _| async move {
        let token = scene.slow.first().ok_or("no token")?;
        say(dial_by(&scene, Transport::Tcp).await?, &connect_frame(token.as_bytes(), Some("d1"))).await
    });
}
