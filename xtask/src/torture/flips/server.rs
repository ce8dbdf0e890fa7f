//! The same with the real server: it starts on a directory with a flipped bit, at the second attempt at the latest, and
//! serves nothing wrong.

use std::{fs, path::Path};

use postrider_protocol::{
    Image, Tlvs, image_flag,
    packet::{Packet, SendPacket, SyncItem},
};

use super::{Target, copy, flip_bit, pick, targets};
use crate::{
    Result,
    torture::{
        Shared, bodies,
        chance::Chance,
        load,
        server::Site,
        world::{self, user_id},
    },
};

/// Messages of user 1 to themselves and to user 2, in turn.
const MESSAGES: u64 = 1_000;
/// SENDs without an answer at most.
const WINDOW: u64 = 32;
/// The most that may be lost: one batch holds no more than what was under way.
const LOST: usize = WINDOW as usize;

/// Flips `count` bits, one at a time, and returns what was found.
pub fn run(work: &Path, shared: &Shared, count: u64, chance: &mut Chance) -> Result<Vec<String>> {
    let program = shared.build("postrider", "postrider")?;
    let (data, image) = (work.join("server-data"), work.join("server-image"));
    let mut site = Site::new(program, &work.join("server-run"), data.clone(), shared.environment())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = site.start()?;
    runtime.block_on(write(&site))?;
    server.kill()?;
    let written: Vec<Target> = targets(&data, None)?;
    site.data.clone_from(&image);
    let (mut found, mut second_starts, mut gaps) = (Vec::new(), 0, 0);
    for flip in 0..count {
        let Some((path, byte)) = pick(&written, flip % 2 == 0, chance) else { break };
        let bit = chance.below(8);
        let place = format!("{} byte {byte} bit {bit}, real server", path.display());
        let _ = fs::remove_dir_all(&image);
        copy(&data, &image)?;
        flip_bit(&image.join(&path), byte, bit)?;
        let started = site.start().or_else(|_| {
            second_starts += 1;
            site.start()
        });
        match started {
            Err(error) => found.push(format!("{place}: twice: {error}")),
            Ok(server) => {
                match runtime.block_on(read(&site)) {
                    Err(error) => found.push(format!("{place}: {error}")),
                    Ok(lost) if lost > LOST => found.push(format!("{place}: {lost} lost, more than a batch")),
                    Ok(lost) => gaps += lost,
                }
                server.kill()?;
            }
        }
    }
    println!("{count} bits under the real server, {second_starts} second starts, {gaps} entries in gaps");
    Ok(found)
}

async fn write(site: &Site) -> Result {
    let (mut wire, _) = load::ask_as(site, 1).await?;
    for first in (1..=MESSAGES).step_by(usize::try_from(WINDOW)?) {
        let last = (first + WINDOW - 1).min(MESSAGES);
        for number in first..=last {
            let to = user_id(1 + u32::from(number % 2 == 0));
            wire.put(&Packet::Send(SendPacket {
                number,
                oldest: first,
                channel: postrider_protocol::Channel::person(&user_id(1), &to),
                flags: image_flag::COUNTABLE,
                body: bodies::body(1, number, 200).into(),
                tlvs: Tlvs::new(),
            }));
        }
        let mut left = last - first + 1;
        while left > 0 {
            let accepted = |packet: &Packet| matches!(packet, Packet::Sendack(ack) if ack.seq > 0).then_some(());
            wire.answer(accepted, drop).await?;
            left -= 1;
        }
    }
    Ok(())
}

/// Reads both channels; how many entries are gone.
async fn read(site: &Site) -> Result<usize> {
    let (mut wire, _) = load::ask_as(site, 1).await?;
    let (mut right, mut lost) = (0, 0);
    for conversation in wire.list().await? {
        for item in wire.sync_all(&conversation, 1).await? {
            match item {
                SyncItem::Made(_) => {}
                SyncItem::Gap(gap) => lost += usize::try_from(gap.to - gap.from + 1)?,
                SyncItem::Image(bytes) => match world::intent(&Image::decode(bytes)?) {
                    Some(_) => right += 1,
                    None => return Err("a body is wrong".into()),
                },
            }
        }
    }
    // What is not told at all, at the end of a channel, is lost too.
    Ok(lost + usize::try_from(MESSAGES)?.saturating_sub(right + lost))
}
