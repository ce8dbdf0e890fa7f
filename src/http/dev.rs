//! Tokens for the pages of `postrider dev`: for two users, to this machine, to pages of this server.

use std::{
    net::IpAddr,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use axum::http::{HeaderMap, Uri, header};

use crate::{
    auth::{Claims, mint, read_secret},
    config::Config,
};

/// Who `postrider dev` has ready.
pub const USERS: [&str; 2] = ["alice", "bob"];
/// How long a page's token lives; the page asks again.
const TTL: Duration = Duration::from_secs(12 * 3_600);

/// Mints tokens with the secret of `postrider dev`.
pub(super) struct Tokens {
    secret_file: Option<PathBuf>,
    ws: Option<String>,
}

impl Tokens {
    pub(super) fn new(config: &Config) -> Self {
        let ws = config.listeners.ws.addr.map(|addr| format!("ws://{}/ws", super::browsable(addr)));
        Self { secret_file: config.auth.jwt.secret_file.clone(), ws }
    }

    /// `{"user", "token", "ws"}` for one of the users.
    pub(super) fn token(&self, user: &str) -> Result<String, &'static str> {
        if !USERS.contains(&user) {
            return Err("dev has tokens for alice and bob\n");
        }
        let file = self.secret_file.as_deref().ok_or("no secret\n")?;
        let secret = read_secret(file).map_err(|_| "the secret cannot be read\n")?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let token = mint(&secret, None, &Claims::new(user, now, TTL)).map_err(|_| "the token cannot be signed\n")?;
        Ok(serde_json::json!({ "user": user, "token": token, "ws": self.ws }).to_string())
    }
}

/// Lets only this machine ask, and only a page of this server or no page at all: another site's page in the same
/// browser is named by `Origin` and `Sec-Fetch-Site`, and a name that was made to point here by `Host`.
pub(super) fn check_origin(peer: IpAddr, headers: &HeaderMap) -> Result<(), &'static str> {
    if !peer.is_loopback() {
        return Err("only this machine is given tokens\n");
    }
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    let name = host.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if bare != "localhost" && !bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        return Err("only under a loopback name are tokens given\n");
    }
    if text(header::ORIGIN).is_some_and(|origin| origin != format!("http://{host}")) {
        return Err("only pages of this server are given tokens\n");
    }
    if let Some(site) = headers.get("sec-fetch-site")
        && site != "same-origin"
        && site != "none"
    {
        return Err("only pages of this server are given tokens\n");
    }
    Ok(())
}
