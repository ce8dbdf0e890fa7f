#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::Write as _;

use super::*;

const NOW: u64 = 1_800_000_000;
const SECRET: &[u8] = b"kJ8#mQ2z!pL5vR9t@wX3yB6nC1dF4gH7";
const OTHER: &[u8] = b"7Hg4Fd1Cn6By3Xw@t9Rv5Lp!z2Qm#8Jk";

fn claims() -> Claims {
    Claims::new("alice", NOW - 10, Duration::from_secs(3_610))
}

fn verifier() -> Verifier {
    Verifier::new(Some(SECRET), &[], Duration::from_secs(86_400), Duration::from_secs(30))
}

fn verify(token: &str) -> Result<Identity, AuthError> {
    verifier().verify(token.as_bytes(), NOW)
}

fn refused(token: &str) -> &'static str {
    match verify(token) {
        Err(AuthError::Refused(why)) => why,
        other => panic!("{token} gave {other:?}"),
    }
}

/// A token of exactly these parts, signed as HS256 with `SECRET`, whatever the header says.
fn forge(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message.as_bytes());
    format!("{message}.{}", base64(tag.as_ref()))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..=chunk.len() {
            out.push(char::from(ALPHABET[(word >> (18 - 6 * i)) as usize & 63]));
        }
    }
    out
}

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn body() -> String {
    format!(r#"{{"sub":"alice","iat":{},"exp":{}}}"#, NOW - 10, NOW + 60)
}

#[test]
fn a_genuine_token_tells_who_it_is() {
    let token = mint(SECRET, None, &Claims { dev: Some("d1".into()), ten: Some(7), ..claims() }).unwrap();
    let identity = verify(&token).unwrap();
    assert_eq!(identity.tenant, 7);
    assert_eq!(identity.user.as_str(), "alice");
    assert_eq!(identity.device.unwrap().as_str(), "d1");
    assert_eq!(identity.expires_s, NOW + 3_600);
    let plain = verify(&mint(SECRET, None, &claims()).unwrap()).unwrap();
    assert_eq!((plain.tenant, plain.device), (0, None));
    assert!(verify(&forge(HS256, &body())).is_ok(), "what forge makes is genuine but for what a test changes");
}

#[test]
fn a01_the_algorithm_never_comes_from_the_token() {
    for alg in ["none", "None", "NONE", "HS384", "HS512", "RS256", "ES256", "EdDSA", "", "hs256"] {
        let header = format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#);
        refused(&forge(&header, &body()));
        let unsigned = format!("{}.{}.", base64(header.as_bytes()), base64(body().as_bytes()));
        refused(&unsigned);
    }
    refused(&forge(r#"{"typ":"JWT"}"#, &body()));
    assert_eq!(
        refused(&forge(r#"{"alg":"HS256","crit":["exp"]}"#, &body())),
        "the token's header has a critical part that is not understood"
    );
}

#[test]
fn a01_keys_come_from_the_configuration_alone() {
    let why = "no key of this server has the token's kid";
    for kid in ["k2", "../../etc/passwd", "/dev/null", "' or 1=1", ""] {
        assert_eq!(refused(&mint(SECRET, Some(kid), &claims()).unwrap()), why);
    }
    for extra in [r#""jku":"http://127.0.0.1/k""#, r#""x5u":"http://127.0.0.1/k""#] {
        let token = forge(&format!(r#"{{"alg":"HS256","kid":"k9",{extra}}}"#), &body());
        assert_eq!(refused(&token), why);
    }
    let wrong = "the token's signature is not by a key of this server";
    assert_eq!(refused(&mint(OTHER, None, &claims()).unwrap()), wrong);
}

#[test]
fn a01_every_changed_byte_is_noticed() {
    let token = forge(HS256, &body());
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(verifier().verify(&changed, NOW).is_err(), "byte {at}");
    }
    for end in 0..token.len() {
        assert!(verifier().verify(&token.as_bytes()[..end], NOW).is_err(), "cut at {end}");
    }
    for text in ["", ".", "..", "...", "a.b.c", &format!("{token}.x"), &format!(" {token}")] {
        refused(text);
    }
}

#[test]
fn a01_a_signature_is_written_in_one_way_only() {
    let token = forge(HS256, &body());
    let last = token.as_bytes()[token.len() - 1];
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = digits.iter().position(|digit| *digit == last).unwrap();
    // Only the upper four bits of the last digit belong to the signature.
    for low in 1..4 {
        let mut other = token.clone().into_bytes();
        *other.last_mut().unwrap() = digits[value | low];
        refused(std::str::from_utf8(&other).unwrap());
    }
    for text in [format!("{token}="), format!("{token}A"), format!("{token}AA")] {
        refused(&text);
    }
}

#[test]
fn a01_several_keys_are_told_apart_by_kid() {
    let named = [("old".to_owned(), SECRET.to_vec()), ("new".to_owned(), OTHER.to_vec())];
    let verifier = Verifier::new(None, &named, Duration::from_secs(86_400), Duration::ZERO);
    let with = |secret, kid| verifier.verify(mint(secret, kid, &claims()).unwrap().as_bytes(), NOW);
    assert!(with(SECRET, Some("old")).is_ok());
    assert!(with(OTHER, Some("new")).is_ok());
    assert!(with(OTHER, Some("old")).is_err(), "each kid has its own key");
    assert!(with(SECRET, None).is_err(), "with two keys a token says which");
    let single = Verifier::new(None, &named[..1], Duration::from_secs(86_400), Duration::ZERO);
    let token = mint(SECRET, None, &claims()).unwrap();
    assert!(single.verify(token.as_bytes(), NOW).is_ok(), "a single key needs no kid");
}

#[test]
fn a02_times_are_checked_to_the_second() {
    let at = |iat: u64, exp: u64| verify(&mint(SECRET, None, &Claims { iat, exp, ..claims() }).unwrap());
    assert!(at(NOW - 60, NOW - 29).is_ok(), "within the leeway");
    assert_eq!(at(NOW - 60, NOW - 30), Err(AuthError::Expired));
    assert_eq!(AuthError::Expired.reason(), Reason::TokenExpired);
    assert!(at(NOW + 30, NOW + 60).is_ok());
    assert_eq!(at(NOW + 31, NOW + 60), Err(AuthError::Refused("the token is not good yet")));
    assert!(at(NOW, NOW + 86_400).is_ok());
    assert_eq!(at(NOW, NOW + 86_401), Err(AuthError::Refused("the token lives longer than auth.jwt.max_ttl")));
    assert!(at(0, u64::MAX).is_err());
    let early = Claims { nbf: Some(NOW + 31), ..claims() };
    assert_eq!(refused(&mint(SECRET, None, &early).unwrap()), "the token is not good yet");
}

#[test]
fn a02_only_a_genuine_token_is_called_expired() {
    let old = Claims { iat: 1, exp: 2, ..claims() };
    assert_eq!(verify(&mint(SECRET, None, &old).unwrap()), Err(AuthError::Expired));
    assert!(matches!(verify(&mint(OTHER, None, &old).unwrap()), Err(AuthError::Refused(_))));
}

#[test]
fn a02_claims_that_are_missing_or_odd_are_refused() {
    let (iat, exp) = (NOW - 10, NOW + 60);
    for body in [
        format!(r#"{{"sub":"alice","iat":{iat}}}"#),
        format!(r#"{{"sub":"alice","exp":{exp}}}"#),
        format!(r#"{{"iat":{iat},"exp":{exp}}}"#),
        format!(r#"{{"sub":"alice","iat":{iat},"exp":"{exp}"}}"#),
        format!(r#"{{"sub":"alice","iat":{iat},"exp":-1}}"#),
        format!(r#"{{"sub":"alice","iat":{iat},"exp":1e400}}"#),
        format!(r#"{{"sub":"alice","iat":{iat},"exp":{exp},"exp":{exp}}}"#),
        format!(r#"{{"sub":"","iat":{iat},"exp":{exp}}}"#),
        format!(r#"{{"sub":"al ice","iat":{iat},"exp":{exp}}}"#),
        format!(r#"{{"sub":"{}","iat":{iat},"exp":{exp}}}"#, "a".repeat(129)),
        format!(r#"{{"sub":"alice","dev":"a/b","iat":{iat},"exp":{exp}}}"#),
        format!(r#"{{"sub":"alice","ten":4294967296,"iat":{iat},"exp":{exp}}}"#),
        format!(r#"{{"sub":"alice","ten":-1,"iat":{iat},"exp":{exp}}}"#),
        format!(r#"["alice",{iat},{exp}]"#),
        "null".to_owned(),
        String::new(),
    ] {
        refused(&forge(HS256, &body));
    }
}

#[test]
fn a03_a_token_over_4_kib_is_refused_before_any_signature() {
    let claims =
        |len: usize| format!(r#"{{"sub":"alice","iat":{},"exp":{},"x":"{}"}}"#, NOW, NOW + 60, "x".repeat(len));
    let longest =
        (2_800..3_100).rev().map(|len| forge(HS256, &claims(len))).find(|token| token.len() <= 4_096).unwrap();
    assert!(longest.len() > 4_090);
    assert!(verify(&longest).is_ok());
    assert_eq!(refused(&forge(HS256, &claims(3_100))), "the token is longer than 4096 bytes");
    assert_eq!(refused(&"A.".repeat(100_000)), "the token is longer than 4096 bytes");
}

fn file_with(secret: &[u8], mode: u32) -> tempfile::NamedTempFile {
    use std::os::unix::fs::PermissionsExt as _;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(secret).unwrap();
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
    file
}

#[test]
fn a11_trailing_white_space_is_no_part_of_a_secret() {
    let file = file_with(&[SECRET, b" \t\r\n\n"].concat(), 0o600);
    assert_eq!(read_secret(file.path()).unwrap(), SECRET);
    let short = file_with(&[&SECRET[..31], b"\n\n\n"].concat(), 0o600);
    assert!(read_secret(short.path()).unwrap_err().contains("31 bytes"));
}

#[test]
fn a11_a_secret_that_others_can_read_is_refused() {
    for mode in [0o640, 0o604, 0o644, 0o660, 0o666, 0o610] {
        let file = file_with(SECRET, mode);
        assert!(read_secret(file.path()).unwrap_err().contains("chmod 600"), "{mode:o}");
    }
    for mode in [0o600, 0o400] {
        assert!(read_secret(file_with(SECRET, mode).path()).is_ok(), "{mode:o}");
    }
    assert!(read_secret(Path::new("/nowhere/secret")).unwrap_err().contains("/nowhere/secret"));
}

#[test]
fn a11_short_sample_and_dull_secrets_are_refused() {
    for sample in [
        &b"openIM123"[..],
        b"a1234567",
        b"",
        b"\n",
        b"openIM123openIM123openIM123openIM123",
        b"Change-Me-please-change-me-please-now",
        b"wukongim-dev-manager-secret-0123456789",
        b"a-string-secret-at-least-256-bits-long",
        b"wfaY2RgF2S1OQI/ZlK+LSrp1KB2jwAdGAIHQ7JZn+Kc=",
        b"T713/rYYgW7g4m3vG6zGRh7+FM1t0T8j13koXScOAj4=",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        b"01010101010101010101010101010101010101",
    ] {
        assert!(read_secret(file_with(sample, 0o600).path()).is_err(), "{}", String::from_utf8_lossy(sample));
    }
}

#[test]
fn a11_errors_and_debug_never_show_a_secret() {
    let file = file_with(&SECRET[..20], 0o600);
    let shown = String::from_utf8_lossy(&SECRET[..20]).into_owned();
    assert!(!read_secret(file.path()).unwrap_err().contains(&shown));
    assert!(!format!("{:?}", verifier()).contains(&shown));
}
