//! Tokens: good ones by the server's own code, bad ones by hand.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postrider::auth::{Claims, mint};
use ring::hmac;

/// The secret of every server under test.
pub const SECRET: &str = "f3a1c9be7d5520486b1fd2e8903c74aa";

/// Seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What a good token of `user` claims; "" for no device.
pub fn claims(user: &str, device: &str) -> Claims {
    let dev = (!device.is_empty()).then(|| device.to_owned());
    Claims { dev, ..Claims::new(user, now_s(), Duration::from_secs(3_600)) }
}

/// A token of these claims.
pub fn sign(claims: &Claims) -> String {
    mint(SECRET.as_bytes(), None, claims).unwrap()
}

/// A token whose parts are what a forger says they are.
pub struct Forged<'a> {
    /// The JSON of the header.
    pub header: &'a str,
    /// The JSON of the claims.
    pub claims: &'a str,
    /// What it is signed with; none for an empty signature.
    pub secret: Option<&'a [u8]>,
}

impl Forged<'_> {
    /// The token.
    pub fn token(&self) -> String {
        let signed = format!("{}.{}", base64url(self.header.as_bytes()), base64url(self.claims.as_bytes()));
        let signature = self.secret.map(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            base64url(hmac::sign(&key, signed.as_bytes()).as_ref())
        });
        format!("{signed}.{}", signature.unwrap_or_default())
    }
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            out.push(char::from(ALPHABET[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    out
}
