//! Bodies that prove whose they are: `user u32 · number u64 · length u32 · hash u64`, then bytes that follow from the
//! hash. Whoever reads one can check every byte of it without having seen it before.

use super::chance::mix;

/// The shortest body.
pub const LEAST: usize = 24;

/// The body of `user`'s command `number`, `len` bytes long (at least [`LEAST`]).
pub fn body(user: u32, number: u64, len: usize) -> Vec<u8> {
    let len = len.max(LEAST);
    let hash = hash(user, number, len);
    let mut body = Vec::with_capacity(len + 8);
    body.extend_from_slice(&user.to_be_bytes());
    body.extend_from_slice(&number.to_be_bytes());
    body.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    body.extend_from_slice(&hash.to_be_bytes());
    let mut fill = hash;
    while body.len() < len {
        fill = mix(fill.wrapping_add(1));
        body.extend_from_slice(&fill.to_be_bytes());
    }
    body.truncate(len);
    body
}

/// Whose body this is: user and number; none when a byte is wrong.
pub fn owner(bytes: &[u8]) -> Option<(u32, u64)> {
    let (user, rest) = bytes.split_first_chunk::<4>()?;
    let (number, _) = rest.split_first_chunk::<8>()?;
    let (user, number) = (u32::from_be_bytes(*user), u64::from_be_bytes(*number));
    (body(user, number, bytes.len()) == bytes).then_some((user, number))
}

const fn hash(user: u32, number: u64, len: usize) -> u64 {
    mix(mix(number ^ 0x5056) ^ ((user as u64) << 32) ^ len as u64)
}

#[cfg(test)]
mod tests {
    use super::{body, owner};

    #[test]
    fn a_body_tells_its_owner_and_every_wrong_bit() {
        for len in [0, 24, 25, 31, 32, 100, 4_096] {
            let good = body(7, 19, len);
            assert_eq!(owner(&good), Some((7, 19)));
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 4;
                assert_eq!(owner(&bad), None, "bit {at} of {len}");
            }
            assert_eq!(owner(&good[..good.len() - 1]), None);
        }
    }
}
