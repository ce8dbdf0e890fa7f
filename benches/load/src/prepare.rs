//! What must be there before a run: groups, missed messages, a stream.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use postrider_client::{Connection, Tls};
use postrider_protocol::{
    Channel, Id, Method, Reason, SEND_WINDOW, Sender, SenderKind, Tlvs, VERSION, image_flag,
    packet::{CallPacket, ConnectPacket, Packet, SendPacket, groups},
};

use crate::{
    nats,
    options::{Scenario, Target},
    plan::{NOBODY, Plan, Stamp, To},
};

/// Connections that write what devices have missed.
const FEEDERS: u32 = 8;
/// Users of one CALL.
const MEMBERS: usize = 100;

/// Makes a token for a user.
pub type Mint<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Makes what the plan needs on the server.
///
/// # Errors
/// The server was not reached, or refused.
pub(crate) fn prepare(plan: &Plan, mint: Mint<'_>) -> Result<(), String> {
    match plan.options.target {
        Target::Postrider => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(async {
                make_groups(plan, mint).await?;
                feed(plan, mint).await
            })
        }
        Target::Jetstream => {
            let stream = nats::stream_name(plan);
            let wish = format!(
                "{{\"name\":\"{stream}\",\"subjects\":[\"j.{}.>\"],\"storage\":\"file\",\"retention\":\"limits\"}}",
                plan.run
            );
            ask_jetstream(plan, &format!("STREAM.CREATE.{stream}"), &wish)
        }
        Target::Nats | Target::Mqtt => Ok(()),
    }
}

/// Removes what [`prepare`] made and can be removed.
pub(crate) fn clean_up(plan: &Plan) {
    if plan.options.target == Target::Jetstream {
        // It is told in a directory that the run's server throws away; a refusal harms nobody.
        let _ = ask_jetstream(plan, &format!("STREAM.DELETE.{}", nats::stream_name(plan)), "");
    }
}

fn id(name: &str) -> Result<Id, String> {
    name.parse().map_err(|_| format!("{name} is no id"))
}

/// A connection that only sends.
async fn open(plan: &Plan, token: &str) -> Result<Connection, String> {
    let tls = match &plan.options.ca {
        Some(file) => Tls::with_ca_file(file).map_err(|error| error.to_string())?,
        None => Tls::public(),
    };
    let connect = ConnectPacket {
        version_min: VERSION,
        version_max: VERSION,
        token: Bytes::copy_from_slice(token.as_bytes()),
        device: None,
        sender: Sender::request(SenderKind::OneShot),
        tlvs: Tlvs::new(),
    };
    let opened = Connection::open(&plan.options.addr, &tls, connect).await;
    opened.map(|(connection, _)| connection).map_err(|error| error.to_string())
}

async fn make_groups(plan: &Plan, mint: Mint<'_>) -> Result<(), String> {
    for (group, members) in (0..).zip(&plan.groups) {
        let owner = match plan.options.scenario {
            Scenario::Fanout => plan.options.connections,
            _ => members.first().copied().unwrap_or_default(),
        };
        let owner = plan.user(owner);
        let others = members.iter().map(|member| plan.user(*member)).filter(|user| *user != owner);
        let others: Vec<Id> = others.map(|user| id(&user)).collect::<Result<_, _>>()?;
        let name = id(&plan.group(group))?;
        let mut connection = open(plan, &mint(&owner)?).await?;
        for (number, users) in (1..).zip(others.chunks(MEMBERS)) {
            let method = if number == 1 { Method::GroupCreate } else { Method::GroupAdd };
            let mut fields = Vec::new();
            groups::write_change(&mut fields, &name, users);
            let call = CallPacket {
                request: number as u32,
                method: method.number(),
                number,
                oldest: number,
                fields: fields.into(),
                tlvs: Tlvs::new(),
            };
            connection.send(&Packet::Call(call)).await.map_err(|error| error.to_string())?;
            match connection.recv().await.map_err(|error| error.to_string())? {
                Packet::Reply(reply) if reply.reason == Reason::Ok => {}
                Packet::Reply(reply) => return Err(refused("a group of that size", reply.reason)),
                other => return Err(format!("a CALL was answered by {:?}", other.kind())),
            }
        }
    }
    Ok(())
}

fn refused(what: &str, reason: Reason) -> String {
    let hint = match reason {
        Reason::RateLimited => "; switch the limit off with limits.user_rate = 0",
        Reason::TooManyMembers => "; raise groups.max_members",
        _ => "",
    };
    format!("the server refused {what}: {}{hint}", reason.name())
}

/// Sends every device what it will have missed.
async fn feed(plan: &Plan, mint: Mint<'_>) -> Result<(), String> {
    let mut feeders = tokio::task::JoinSet::new();
    for feeder in 0..FEEDERS {
        let name = format!("{}-f{feeder}", plan.run);
        let mut messages = Vec::new();
        for (flow, at) in (0..).zip(&plan.flows) {
            let To::User(user) = at.to else { continue };
            if at.sender == NOBODY && user % FEEDERS == feeder {
                messages.push((flow, Channel::person(&id(&name)?, &id(&plan.user(user))?)));
            }
        }
        if messages.is_empty() {
            continue;
        }
        let connection = open(plan, &mint(&name)?).await?;
        feeders.spawn(write(connection, messages, u64::from(plan.options.missed), plan.options.size as usize));
    }
    while let Some(done) = feeders.join_next().await {
        done.map_err(|error| error.to_string())??;
    }
    Ok(())
}

/// Writes so many messages into each channel, a window at a time.
async fn write(
    mut connection: Connection,
    channels: Vec<(u32, Channel)>,
    missed: u64,
    size: usize,
) -> Result<(), String> {
    let all = missed * channels.len() as u64;
    let mut next = 1;
    loop {
        let oldest = next;
        while next <= all && next - oldest < SEND_WINDOW as u64 {
            let (round, at) = ((next - 1) / channels.len() as u64, (next - 1) % channels.len() as u64);
            let Some((flow, channel)) = channels.get(at as usize) else { break };
            let mut body = vec![b'-'; size];
            let stamp = Stamp { flow: *flow, number: round + 1, at_ns: 0 }.bytes();
            body.splice(..stamp.len(), stamp);
            let channel = channel.clone();
            let flags = image_flag::COUNTABLE;
            let send = SendPacket { number: next, oldest, channel, flags, body: body.into(), tlvs: Tlvs::new() };
            connection.send(&Packet::Send(send)).await.map_err(|error| error.to_string())?;
            next += 1;
        }
        if next == oldest {
            return Ok(());
        }
        for _ in oldest..next {
            match connection.recv().await.map_err(|error| error.to_string())? {
                Packet::Sendack(ack) if ack.reason == Reason::Ok => {}
                Packet::Sendack(ack) => return Err(refused("a message", ack.reason)),
                other => return Err(format!("a SEND was answered by {:?}", other.kind())),
            }
        }
    }
}

/// One request to JetStream.
fn ask_jetstream(plan: &Plan, what: &str, wish: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", plan.site.socket);
    let mut socket = TcpStream::connect(plan.site.socket).map_err(failed)?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).map_err(failed)?;
    let secret: Arc<str> = plan.secret(0);
    let auth = if secret.is_empty() { String::new() } else { format!(",\"auth_token\":\"{secret}\"") };
    let request = format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"lang\":\"bench\",\"version\":\"0\"{auth}}}\r\n\
         SUB _INBOX.{run} 1\r\nPUB $JS.API.{what} _INBOX.{run} {len}\r\n{wish}\r\n",
        run = plan.run,
        len = wish.len(),
    );
    socket.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let got = socket.read(&mut piece).map_err(failed)?;
        answer.extend_from_slice(piece.get(..got).unwrap_or_default());
        let text = String::from_utf8_lossy(&answer);
        if let Some((_, body)) = text.split_once("MSG ")
            && body.ends_with("}\r\n")
        {
            return if body.contains("\"error\":") { Err(format!("JetStream: {body}")) } else { Ok(()) };
        }
        if got == 0 || text.contains("-ERR") {
            return Err(format!("JetStream: {text}"));
        }
    }
}
