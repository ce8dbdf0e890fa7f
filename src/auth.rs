//! Who a token says the client is: JSON Web Tokens, HS256.
//!
//! The algorithm belongs to the key and never comes from the token. Sizes and the shape of the header are looked at
//! before any signature, times after it, so that only a genuine token is ever called expired.

use std::{fmt, path::Path, time::Duration};

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, EncodingKey, Header,
    crypto::{CryptoProvider, JwtSigner, KeyUtils},
    dangerous,
    errors::{Error as JwtError, ErrorKind},
    signature,
};
use postrider_protocol::{Id, Reason, TOKEN_BYTES};
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::config::Jwt;

/// A secret has at least so many bytes.
const SECRET_BYTES: usize = 32;
/// Bytes of a signature.
const TAG_BYTES: usize = 32;
/// Fewer different bytes than this are no random secret.
const SECRET_VARIETY: usize = 8;
/// What secrets in examples, documents and default configurations of this kind of software look like, lower case.
const SAMPLES: [&str; 11] = [
    "openim123",
    "a1234567",
    "change-me",
    "changeme",
    "change_me",
    "dev-manager-secret",
    "your-256-bit-secret",
    "your-secret-key",
    "at-least-256-bits",
    "wfay2rgf2s1oqi/zlk+lsrp1kb2jwadgaihq7jzn+kc=",
    "t713/ryygw7g4m3vg6zgrh7+fm1t0t8j13koxscoaj4=",
];

/// What a token claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// The device; the one of CONNECT is then this one or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev: Option<String>,
    /// The tenant; 0 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ten: Option<u32>,
    /// Whether the user is a system user, which may write to everybody; not when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sys: Option<bool>,
    /// Issued at, seconds since 1970.
    pub iat: u64,
    /// Good until, seconds since 1970.
    pub exp: u64,
    /// Not good before, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
}

impl Claims {
    /// That of the user alone, issued at `iat` and good for `ttl`.
    #[must_use]
    pub fn new(user: impl Into<String>, iat: u64, ttl: Duration) -> Self {
        let exp = iat.saturating_add(ttl.as_secs());
        Self { sub: user.into(), dev: None, ten: None, sys: None, iat, exp, nbf: None }
    }
}

/// Who a genuine, current token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The tenant.
    pub tenant: u32,
    /// The user.
    pub user: Id,
    /// The device that the token is bound to, if it is bound to one.
    pub device: Option<Id>,
    /// Whether it is a system user.
    pub is_system: bool,
    /// When the token was issued, seconds since 1970.
    pub issued_s: u64,
    /// The last second at which the token is good, leeway not counted.
    pub expires_s: u64,
}

/// Why a token is not accepted; the text names no part of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Not a token that a key of this server signed, or not for this server.
    #[error("{0}")]
    Refused(&'static str),
    /// Genuine, and past its time.
    #[error("the token has expired")]
    Expired,
}

impl AuthError {
    /// What the client is told.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Refused(_) => Reason::Unauthenticated,
            Self::Expired => Reason::TokenExpired,
        }
    }
}

/// Checks tokens against the configured keys, which are set up once and not for each token.
pub struct Verifier {
    plain: Option<hmac::Key>,
    named: Vec<(String, hmac::Key)>,
    max_ttl_s: u64,
    leeway_s: u64,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("plain", &self.plain.is_some()).field("named", &self.named.len()).finish()
    }
}

impl Verifier {
    /// Reads the secrets that `config` names.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn load(config: &Jwt) -> Result<Self, String> {
        let plain = config.secret_file.as_deref().map(read_secret).transpose()?;
        let mut named = Vec::with_capacity(config.keys.len());
        for key in &config.keys {
            named.push((key.kid.clone(), read_secret(&key.secret_file)?));
        }
        Ok(Self::new(plain.as_deref(), &named, config.max_ttl, config.leeway))
    }

    /// Checks with these secrets: one for tokens without `kid`, others by their `kid`. With a single named key and no
    /// other a token needs no `kid` either.
    #[must_use]
    pub fn new(plain: Option<&[u8]>, named: &[(String, Vec<u8>)], max_ttl: Duration, leeway: Duration) -> Self {
        let plain = match (plain, named) {
            (None, [(_, only)]) => Some(only.as_slice()),
            (plain, _) => plain,
        };
        let key = |secret: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self {
            plain: plain.map(key),
            named: named.iter().map(|(kid, secret)| (kid.clone(), key(secret))).collect(),
            max_ttl_s: max_ttl.as_secs(),
            leeway_s: leeway.as_secs(),
        }
    }

    /// Who `token` stands for at `now_s`, in seconds since 1970. Costs one hash of at most 4 KiB.
    ///
    /// # Errors
    /// [`AuthError`]; nothing of the token may be believed then.
    pub fn verify(&self, token: &[u8], now_s: u64) -> Result<Identity, AuthError> {
        if token.len() > TOKEN_BYTES {
            return Err(AuthError::Refused("the token is longer than 4096 bytes"));
        }
        let mut parts = token.rsplitn(2, |byte| *byte == b'.');
        let (signature, signed) = parts.next().zip(parts.next()).unwrap_or_default();
        if signed.iter().filter(|byte| **byte == b'.').count() != 1 {
            return Err(AuthError::Refused("the token is not of three parts"));
        }
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| AuthError::Refused("the token's header cannot be read, or names an unknown algorithm"))?;
        let key = self.key_for(&header)?;
        if read_tag(signature).is_none_or(|tag| hmac::verify(key, signed, &tag).is_err()) {
            return Err(AuthError::Refused("the token's signature is not by a key of this server"));
        }
        // The signature has been looked at above, once, with a key that is set up already.
        let claims = dangerous::insecure_decode_claims::<Claims>(token)
            .map_err(|_| AuthError::Refused("the token's claims cannot be read; sub, iat and exp are needed"))?;
        self.check_times(&claims, now_s)?;
        let id = |text: &str, what| text.parse::<Id>().map_err(|_| AuthError::Refused(what));
        Ok(Identity {
            tenant: claims.ten.unwrap_or(0),
            user: id(&claims.sub, "the claim sub is not an id")?,
            device: claims.dev.as_deref().map(|dev| id(dev, "the claim dev is not an id")).transpose()?,
            is_system: claims.sys == Some(true),
            issued_s: claims.iat,
            expires_s: claims.exp,
        })
    }

    fn key_for(&self, header: &Header) -> Result<&hmac::Key, AuthError> {
        if header.alg != Algorithm::HS256 {
            return Err(AuthError::Refused("the token's algorithm is not the one of its key"));
        }
        if header.crit.is_some() {
            return Err(AuthError::Refused("the token's header has a critical part that is not understood"));
        }
        match &header.kid {
            Some(kid) => self.named.iter().find(|(name, _)| name == kid).map(|(_, key)| key),
            None => self.plain.as_ref(),
        }
        .ok_or(AuthError::Refused("no key of this server has the token's kid"))
    }

    fn check_times(&self, claims: &Claims, now_s: u64) -> Result<(), AuthError> {
        let soon = now_s.saturating_add(self.leeway_s);
        if claims.exp.saturating_add(self.leeway_s) <= now_s {
            return Err(AuthError::Expired);
        }
        if claims.iat > soon || claims.nbf.is_some_and(|nbf| nbf > soon) {
            return Err(AuthError::Refused("the token is not good yet"));
        }
        if claims.exp.saturating_sub(claims.iat) > self.max_ttl_s {
            return Err(AuthError::Refused("the token lives longer than auth.jwt.max_ttl"));
        }
        Ok(())
    }
}

/// The 32 bytes of a signature, from base64 for URLs without padding; none when `text` is not exactly that.
fn read_tag(text: &[u8]) -> Option<[u8; TAG_BYTES]> {
    let mut tag = [0; TAG_BYTES];
    let mut bytes = tag.iter_mut();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            *bytes.next()? = u8::try_from(bits >> held).ok()?;
            bits &= (1 << held) - 1;
        }
    }
    // What is left of the last digit is zero: each signature is written in one way only.
    (bytes.next().is_none() && held < 6 && bits == 0).then_some(tag)
}

/// Signs `claims` with `secret`; `kid` names the key when the server has several.
///
/// # Errors
/// When signing fails; with HS256 it does not.
pub fn mint(secret: &[u8], kid: Option<&str>, claims: &Claims) -> Result<String, String> {
    install_provider();
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret)).map_err(|e| e.to_string())
}

/// The secret in `file`: its bytes without trailing white space.
///
/// # Errors
/// The file cannot be read or others can read it; the secret is too short, of too few different bytes, or a sample.
pub fn read_secret(file: &Path) -> Result<Vec<u8>, String> {
    let name = file.display();
    let secret = read_private(file)?;
    check_secret(&secret).map_err(|why| format!("secret file {name}: {why}; try: openssl rand -hex 32 > {name}"))?;
    Ok(secret)
}

/// What is in `file`, which only its owner may read: its bytes without trailing white space.
///
/// # Errors
/// The file cannot be read, or others can read it.
pub fn read_private(file: &Path) -> Result<Vec<u8>, String> {
    let name = file.display();
    let read = || -> std::io::Result<_> { Ok((std::fs::metadata(file)?, std::fs::read(file)?)) };
    let (meta, mut secret) = read().map_err(|e| format!("secret file {name}: {e}"))?;
    if others_can_read(&meta) {
        return Err(format!("secret file {name}: others can read it; chmod 600 {name}"));
    }
    while secret.last().is_some_and(u8::is_ascii_whitespace) {
        secret.pop();
    }
    Ok(secret)
}

#[cfg(unix)]
fn others_can_read(meta: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    meta.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn others_can_read(_: &std::fs::Metadata) -> bool {
    false
}

fn check_secret(secret: &[u8]) -> Result<(), String> {
    if secret.len() < SECRET_BYTES {
        return Err(format!("{} bytes, at least {SECRET_BYTES} are needed", secret.len()));
    }
    let lower = String::from_utf8_lossy(secret).to_ascii_lowercase();
    if SAMPLES.iter().any(|sample| lower.contains(sample)) {
        return Err("that is a sample secret that everybody knows".to_owned());
    }
    let mut seen = [false; 256];
    for byte in secret {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    if seen.iter().filter(|seen| **seen).count() < SECRET_VARIETY {
        return Err("too few different bytes to be random".to_owned());
    }
    Ok(())
}

/// Signs by HMAC-SHA-256 of ring, the one provider of cryptography in this process.
struct Hs256(hmac::Key);

impl Hs256 {
    fn new(alg: Algorithm, family: AlgorithmFamily, secret: &[u8]) -> Result<Box<Self>, JwtError> {
        if alg != Algorithm::HS256 || family != AlgorithmFamily::Hmac {
            return Err(ErrorKind::UnsupportedAlgorithm.into());
        }
        Ok(Box::new(Self(hmac::Key::new(hmac::HMAC_SHA256, secret))))
    }
}

impl signature::Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |alg, key| Ok(Hs256::new(*alg, key.family(), key.as_bytes())?),
    // Tokens are verified without it.
    verifier_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    key_utils: KeyUtils::new_unimplemented(),
};

fn install_provider() {
    // An error says that it was installed before.
    let _ = PROVIDER.install_default();
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
