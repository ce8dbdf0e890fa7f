//! `postrider dev`: a server on this machine alone, with secrets of its own making and two users.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Failure, config::ConfigArgs, health, now_s, serve};
use crate::{
    auth::{Claims, mint, read_secret},
    config::{Config, is_loopback},
    http::{DEV_USERS, browsable},
};

/// The tokens in files live so long; each start makes new ones.
const TTL: Duration = Duration::from_secs(30 * 86_400);
/// How often the start is looked after.
const GLANCE: Duration = Duration::from_millis(100);
/// A start that takes longer than this is told of no more.
const GLANCES: u32 = 6_000;

#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// The directory for everything: data, secret, certificate, tokens
    #[arg(long, default_value = "postrider-dev")]
    dir: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &DevArgs) -> Result<(), Failure> {
    let failed =
        |what: &str, error: &dyn std::fmt::Display| Failure::failed(format!("{}: {what}: {error}", args.dir.display()));
    fs::create_dir_all(&args.dir).map_err(|error| failed("cannot be made", &error))?;
    // Absolute, so that `serve -c postrider.toml` works from anywhere.
    let dir = args.dir.canonicalize().map_err(|error| failed("cannot be found", &error))?;
    prepare(&dir).map_err(|error| failed("cannot be prepared", &error))?;

    let (mut config, warnings) = args.config.over(dir.join("postrider.toml")).read()?;
    let listeners = &config.listeners;
    let all = [listeners.tcp.addr, listeners.tls.addr, listeners.ws.addr, listeners.wss.addr, config.http.addr];
    if let Some(addr) = all.iter().flatten().find(|addr| !is_loopback(addr)) {
        return Err(Failure::config(format!("dev hands out tokens and stays on loopback, not {addr}; use serve")));
    }
    config.dev.0 = true;
    add_origins(&mut config);
    let tokens = write_tokens(&args.dir, &config)?;
    announce(&args.dir, &config, tokens);
    serve::start(&config, &warnings)
}

/// Makes what is not there yet: secret, certificate, configuration.
fn prepare(dir: &Path) -> Result<(), String> {
    let secret = dir.join("secret");
    if !secret.exists() {
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).map_err(|_| "no random bytes".to_owned())?;
        let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        write_private(&secret, &hex)?;
    }
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    if !cert.exists() || !key.exists() {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
        write_private(&key, &made.signing_key.serialize_pem())?;
        write_private(&cert, &made.cert.pem())?;
    }
    let config = dir.join("postrider.toml");
    if !config.exists() {
        write_private(&config, &config_text(dir))?;
    }
    Ok(())
}

fn config_text(dir: &Path) -> String {
    let path = |name: &str| toml::Value::String(dir.join(name).to_string_lossy().into_owned());
    format!(
        "# Made by `postrider dev`, and read by it at each start: change what you like.\n\
         [listeners]\n\
         tcp.addr = \"127.0.0.1:8790\"\n\
         tls.addr = \"127.0.0.1:8791\"\n\
         ws.addr = \"127.0.0.1:8792\"\n\
         wss.addr = \"127.0.0.1:8795\"\n\n\
         [http]\naddr = \"127.0.0.1:8793\"\n\n\
         [tls]\ncert_file = {}\nkey_file = {}\n\n\
         [storage]\npath = {}\n\n\
         [auth.jwt]\nsecret_file = {}\n",
        path("cert.pem"),
        path("key.pem"),
        path("data"),
        path("secret"),
    )
}

/// Writes a file that only its owner can read, in place of one that is there.
fn write_private(file: &Path, text: &str) -> Result<(), String> {
    let write = || {
        // Another name first: a file that exists keeps its mode, and half a secret is worse than none.
        let fresh = file.with_extension("new");
        let _ = fs::remove_file(&fresh);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut out = options.open(&fresh)?;
        writeln!(out, "{}", text.trim_end())?;
        out.sync_all()?;
        fs::rename(&fresh, file)
    };
    write().map_err(|error| format!("{}: {error}", file.display()))
}

/// Lets the pages of the HTTP listener open a WebSocket, beside those that may already.
fn add_origins(config: &mut Config) {
    let listeners = &mut config.listeners;
    let mut pages: Vec<(&str, SocketAddr)> = Vec::new();
    if listeners.ws.origins.is_empty() {
        pages.extend(listeners.ws.addr.map(|addr| ("http", addr)));
        pages.extend(listeners.wss.addr.map(|addr| ("https", addr)));
    }
    pages.extend(config.http.addr.map(|addr| ("http", addr)));
    for (scheme, addr) in pages {
        listeners.ws.origins.push(format!("{scheme}://{}", browsable(addr)));
        listeners.ws.origins.push(format!("{scheme}://localhost:{}", addr.port()));
    }
}

/// Writes a token for each user; returns the files.
fn write_tokens(dir: &Path, config: &Config) -> Result<Vec<(String, PathBuf)>, Failure> {
    let Some(file) = &config.auth.jwt.secret_file else {
        return Err(Failure::config("auth.jwt.secret_file: dev needs it to make tokens"));
    };
    let secret = read_secret(file).map_err(Failure::config)?;
    let iat = now_s();
    let mut files = Vec::new();
    for user in DEV_USERS {
        let ttl = TTL.min(config.auth.jwt.max_ttl);
        let claims = Claims { dev: Some("cli".to_owned()), ..Claims::new(user, iat, ttl) };
        let token = mint(&secret, None, &claims).map_err(Failure::failed)?;
        let path = dir.join(format!("{user}.token"));
        write_private(&path, &token).map_err(Failure::failed)?;
        files.push((user.to_owned(), path));
    }
    Ok(files)
}

/// Says what to open and type, as soon as the server is ready; a thread waits for that.
fn announce(dir: &Path, config: &Config, tokens: Vec<(String, PathBuf)>) {
    let text = instructions(dir, config, &tokens);
    let Some(addr) = config.http.addr else {
        println!("{text}");
        return;
    };
    std::thread::spawn(move || {
        for _ in 0..GLANCES {
            // First, so that a start that fails at once is not taken for another server's success.
            std::thread::sleep(GLANCE);
            if health::ask(addr).is_ok_and(|(ready, _)| ready) {
                println!("{text}");
                return;
            }
        }
    });
}

fn instructions(dir: &Path, config: &Config, tokens: &[(String, PathBuf)]) -> String {
    // As this one was called, so that the lines can be typed as they are.
    let program = std::env::args().next().unwrap_or_else(|| "postrider".to_owned());
    use std::fmt::Write as _;
    let mut out = format!("\nPostrider is ready; everything is in {}\n", dir.display());
    if let Some(addr) = config.http.addr {
        out.push_str("\nTwo people, in two windows of a browser:\n");
        for (user, _) in tokens {
            let _ = writeln!(out, "  http://{}/chat?user={user}", browsable(addr));
        }
    }
    if let (Some(addr), [(alice, alice_file), (bob, bob_file), ..]) = (config.listeners.tcp.addr, tokens) {
        let _ = writeln!(
            out,
            "\nOr in two terminals:\n  {program} listen --addr {addr} --token-file {}\n  {program} send --addr {addr} --token-file {} --to user:{bob} --text hello",
            bob_file.display(),
            alice_file.display(),
        );
        let _ = writeln!(out, "\n{alice} and {bob} are ready; a token for anybody else:");
        let secret = config.auth.jwt.secret_file.as_deref().unwrap_or(Path::new("secret"));
        let _ = writeln!(out, "  {program} token --secret-file {} --user carol", secret.display());
    }
    if let (Some(addr), Some(cert)) = (config.listeners.tls.addr, &config.tls.cert_file) {
        let _ = writeln!(out, "\nEncrypted: --addr tls://localhost:{} --ca {}", addr.port(), cert.display());
    }
    out.push_str("\nCtrl-C stops it.\n");
    out
}

#[cfg(test)]
#[path = "dev_tests.rs"]
mod tests;
