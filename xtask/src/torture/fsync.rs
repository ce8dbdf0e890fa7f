//! Watches the server's system calls: what is acknowledged was synced before, and nothing is after a sync failed.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use clap::Args;
use postrider_protocol::{
    Channel, Kind, Reason, Tlvs,
    frame::Decoder,
    image_flag,
    packet::{Packet, SendPacket},
};

use super::{
    Found, Shared, bodies, conclude, load,
    server::Site,
    strace::{self, Call},
    wire::Wire,
    world,
};
use crate::{Result, step};

/// Arguments of `torture fsync`.
#[derive(Args, Clone)]
pub struct Fsync {
    /// How many SENDs are watched, one after the other.
    #[arg(long, default_value_t = 1_000)]
    sends: u64,
    #[command(flatten)]
    shared: Shared,
}

/// The calls by which bytes come from a socket, and go to one.
const READS: [&str; 4] = ["read", "readv", "recvfrom", "recvmsg"];
const WRITES: [&str; 4] = ["write", "writev", "sendto", "sendmsg"];
/// The calls by which bytes go into a file.
const FILE_WRITES: [&str; 4] = ["write", "writev", "pwrite64", "pwritev"];

impl Fsync {
    /// As long as a check before each change can take.
    pub fn short() -> Self {
        Self { sends: 200, shared: Shared::default() }
    }

    /// As long as the claim says.
    pub fn long() -> Self {
        Self { sends: 1_000, shared: Shared::default() }
    }

    /// The same with a fault planted.
    pub fn with(mut self, shared: Shared) -> Self {
        self.shared = shared;
        self
    }

    /// Runs the suite.
    pub fn run(self) -> Result {
        step::require("strace", "strace")?;
        let work = self.shared.work("fsync")?;
        let program = self.shared.build("postrider", "postrider")?;
        let site = |name: &str| {
            Site::new(program.clone(), &work.join(name), work.join(name).join("data"), self.shared.environment())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut found = runtime.block_on(self.watch(&site("watched")?))?;
        found.extend(runtime.block_on(self.fail(&site("failing")?))?);
        conclude("fsync", &work, &found)
    }

    /// Traces so many SENDs and reads in the trace what came before each SENDACK.
    async fn watch(&self, site: &Site) -> Result<Vec<String>> {
        let trace = site.run.join("trace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-y", "-xx", "-s", "4096", "-o"]).arg(&trace).args([
            "-e",
            "trace=read,readv,recvfrom,recvmsg,write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync",
            "-e",
            "signal=none",
        ]);
        let server = site.start_under({
            strace.arg(&site.program);
            strace
        })?;
        let (mut wire, _) = load::ask_as(site, 1).await?;
        for number in 1..=self.sends {
            let (reason, seq) = send(&mut wire, number).await?;
            if reason != Reason::Ok {
                return Err(Found(format!("SEND {number} was refused: {}", reason.name())).into());
            }
            if seq != number {
                return Err(Found(format!("SEND {number} got seq {seq}")).into());
            }
        }
        // The signal goes to strace, which passes it on to nobody; its end is the server's.
        step::run(Command::new("pkill").args(["-TERM", "-P", &server.pid().to_string()]))?;
        let mut server = server;
        server.wait(Duration::from_secs(30))?.ok_or("the traced server does not stop")?;
        let calls = strace::parse(&fs::read_to_string(&trace)?);
        let (mut found, mut proven) = (Vec::new(), 0);
        for number in 1..=self.sends {
            match judge(&calls, number) {
                Ok(()) => proven += 1,
                Err(why) => found.push(format!("SEND {number}: {why}")),
            }
        }
        println!("{proven} of {} SENDs have a completed fdatasync of the log before their SENDACK", self.sends);
        Ok(found)
    }

    /// Lets fdatasync fail under the server: it ends, and acknowledges nothing more.
    async fn fail(&self, site: &Site) -> Result<Vec<String>> {
        let mut server = site.start()?;
        let (mut wire, _) = load::ask_as(site, 1).await?;
        for number in 1..=20 {
            send(&mut wire, number).await?;
        }
        let mut strace = Command::new("strace");
        strace.args(["-f", "-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO", "-o"]);
        strace.arg(site.run.join("inject")).arg("-p").arg(server.pid().to_string());
        let mut strace = strace.stderr(Stdio::piped()).spawn()?;
        let told = strace.stderr.take().ok_or("strace has no stderr")?;
        let mut line = String::new();
        BufReader::new(told).read_line(&mut line)?;
        if !line.contains("attached") {
            return Err(format!("strace cannot attach to the server: {}", line.trim()).into());
        }
        let mut found = Vec::new();
        for number in 21..=40 {
            match send(&mut wire, number).await {
                Ok((Reason::Ok, seq)) => found.push(format!("SEND {number} got seq {seq} although fdatasync fails")),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        match server.wait(Duration::from_secs(10))? {
            None => found.push("the server goes on although fdatasync fails".to_owned()),
            Some(status) if status.success() => {
                found.push("the server ended with 0 although fdatasync failed".to_owned())
            }
            Some(status) => println!("fdatasync failed: nothing more was acknowledged, the server ended: {status}"),
        }
        drop(server);
        strace.wait()?;
        Ok(found)
    }
}

/// Sends a message of user 1 to themselves and waits for its answer.
async fn send(wire: &mut Wire, number: u64) -> Result<(Reason, u64)> {
    wire.put(&Packet::Send(SendPacket {
        number,
        oldest: number,
        channel: Channel::person(&world::user_id(1), &world::user_id(1)),
        flags: image_flag::COUNTABLE,
        body: bodies::body(1, number, 100).into(),
        tlvs: Tlvs::new(),
    }));
    let sendack = |packet: &Packet| match packet {
        Packet::Sendack(sendack) if sendack.number == number => Some((sendack.reason, sendack.seq)),
        _ => None,
    };
    wire.answer(sendack, drop).await
}

/// Whether, between the arrival of SEND `number` and its SENDACK, the log was written and then synced.
fn judge(calls: &[Call], number: u64) -> std::result::Result<(), String> {
    let body = bodies::body(1, number, 100);
    let holds = |call: &Call| call.bytes.windows(body.len()).any(|window| window == body);
    let on_socket = |call: &Call| call.file.contains("<socket:") || call.file.contains("<TCP");
    let on_log = |call: &Call| call.file.contains("/log/");
    let of = |names: &[&str], call: &Call| names.contains(&call.name.as_str());
    let arrived = calls.iter().find(|call| of(&READS, call) && on_socket(call) && holds(call));
    let arrived = arrived.and_then(|call| call.ended).ok_or("its arrival is not in the trace")?;
    let answered = calls.iter().find(|call| of(&WRITES, call) && on_socket(call) && answers(&call.bytes, number));
    let answered = answered.map(|call| call.began).ok_or("its SENDACK is not in the trace")?;
    let written = calls.iter().find(|call| of(&FILE_WRITES, call) && on_log(call) && holds(call));
    let written = written.and_then(|call| call.ended).ok_or("it was never written to the log")?;
    let synced = calls.iter().any(|call| {
        of(&["fdatasync", "fsync"], call)
            && on_log(call)
            && call.result == Some(0)
            && call.began > written
            && call.ended.is_some_and(|ended| ended < answered)
    });
    match (arrived < written, synced) {
        (true, true) => Ok(()),
        (false, _) => Err("it was written before it arrived".to_owned()),
        (_, false) => Err("acknowledged without a completed fdatasync of the log".to_owned()),
    }
}

/// Whether `bytes` hold the accepting SENDACK of `number`.
fn answers(bytes: &[u8], number: u64) -> bool {
    let mut decoder = Decoder::new();
    decoder.feed(bytes::Bytes::copy_from_slice(bytes));
    while let Ok(Some(frame)) = decoder.next_frame() {
        let is_sendack = frame.kind == Kind::Sendack.number();
        if is_sendack && matches!(Packet::decode(frame), Ok(Some(Packet::Sendack(ack))) if ack.number == number) {
            return true;
        }
    }
    false
}
