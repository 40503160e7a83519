//! Hashes of passwords, as a configuration has them: `$2b$…` of bcrypt, and `$argon2id$…` in the form of the Password Hashing Competition.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Greatest cost of bcrypt: a password takes about a second at it.
const BCRYPT_COST_MAX: u32 = 14;
/// bcrypt looks at no more bytes of a password: a longer one is refused, because another one would be as good as it.
const BCRYPT_PASSWORD_MAX: usize = 72;
/// Memory of one run of Argon2, in KiB.
const ARGON2_KIB_MAX: u32 = 64 * 1024;
/// Memory times passes of Argon2, in KiB: what a password may cost.
const ARGON2_WORK_MAX: u32 = 4 * ARGON2_KIB_MAX;
/// Bytes of what Argon2 makes of a password.
const ARGON2_OUTPUT: std::ops::RangeInclusive<usize> = 16..=64;

/// A hash that was read.
pub enum Hash {
    Bcrypt(Box<str>),
    Argon2 { with: Box<Argon2<'static>>, salt: Box<[u8]>, output: Box<[u8]> },
}

impl Hash {
    /// Whether a text means to be a hash, and no password.
    pub fn is_one(text: &str) -> bool {
        ["$2a$", "$2b$", "$2x$", "$2y$", "$argon2"].iter().any(|begin| text.starts_with(begin))
    }

    /// Reads one.
    ///
    /// # Errors
    /// A sentence about what is wrong with it; it has nothing of the hash.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("$argon2") {
            return argon2(text).ok_or_else(|| {
                format!(
                    "it is no hash of Argon2 of the form `$argon2id$v=19$m=19456,t=2,p=1$salt$hash` with at most {ARGON2_KIB_MAX} KiB \
                     and {ARGON2_WORK_MAX} KiB times passes"
                )
            });
        }
        let cost = text.get(4..6).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        // `$2x$` is that of a library that made other hashes by mistake.
        if text.parse::<bcrypt::HashParts>().is_err() || text.starts_with("$2x$") {
            return Err("it is no hash of bcrypt of the form `$2b$10$…`, 60 characters".into());
        }
        if !(4..=BCRYPT_COST_MAX).contains(&cost) {
            return Err(format!("its cost is {cost}: 4 to {BCRYPT_COST_MAX} are taken"));
        }
        Ok(Self::Bcrypt(text.into()))
    }

    /// Whether it is the one of this password. Takes long, on purpose.
    pub fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(hash) => {
                password.len() <= BCRYPT_PASSWORD_MAX && bcrypt::verify(password, hash).unwrap_or(false)
            }
            Self::Argon2 { with, salt, output } => {
                let mut made = vec![0; output.len()];
                let done = with.hash_password_into(password, salt, &mut made).is_ok();
                // All of it, wherever the first difference is.
                let differing = made.iter().zip(&**output).fold(0, |sum, (one, other)| sum | (one ^ other));
                done && std::hint::black_box(differing) == 0
            }
        }
    }
}

/// `$argon2id$v=19$m=19456,t=2,p=1$salt$output`.
fn argon2(text: &str) -> Option<Hash> {
    let mut parts = text.split('$').skip(1);
    let algorithm: Algorithm = parts.next()?.parse().ok()?;
    let version = match parts.next()? {
        "v=19" => Version::V0x13,
        "v=16" => Version::V0x10,
        _ => return None,
    };
    let [mut memory, mut passes, mut lanes] = [None; 3];
    for pair in parts.next()?.split(',') {
        let (name, value) = pair.split_once('=')?;
        let value = Some(value.parse::<u32>().ok()?);
        match name {
            "m" => memory = value,
            "t" => passes = value,
            "p" => lanes = value,
            _ => return None,
        }
    }
    let (memory, passes, lanes) = (memory?, passes?, lanes?);
    let salt = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
    let output = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
    let within = memory <= ARGON2_KIB_MAX && memory.saturating_mul(passes) <= ARGON2_WORK_MAX;
    if parts.next().is_some() || !within || !ARGON2_OUTPUT.contains(&output.len()) || !(8..=64).contains(&salt.len()) {
        return None;
    }
    let params = Params::new(memory, passes, lanes, Some(output.len())).ok()?;
    let with = Box::new(Argon2::new(algorithm, version, params));
    Some(Hash::Argon2 { with, salt: salt.into(), output: output.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_other_programs_are_known() {
        // Made by libxcrypt, and of the tests of Argon2's reference implementation.
        let table = [
            ("$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "secret"),
            ("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password"),
        ];
        for (text, password) in table {
            let hash = Hash::parse(text).unwrap();
            assert!(hash.is_of(password.as_bytes()), "{text}");
            for wrong in ["", "Secret", "secret "] {
                assert!(!hash.is_of(wrong.as_bytes()), "{text}: {wrong}");
            }
        }
    }

    #[test]
    fn bcrypt_is_not_shown_more_than_it_looks_at() {
        let long = "x".repeat(72);
        let hash = Hash::Bcrypt(bcrypt::hash(&long, 4).unwrap().into());
        assert!(hash.is_of(long.as_bytes()));
        assert!(!hash.is_of(format!("{long}y").as_bytes()));
    }

    #[test]
    fn what_is_no_hash_or_costs_too_much_is_refused() {
        let table = [
            "$2b$04$short",
            "$2b$15$abcdefghijklmnopqrstuu5Lo0g67CiD3M4RpN1BmBb4Crp5w7dbK",
            "$2x$04$abcdefghijklmnopqrstuu5Lo0g67CiD3M4RpN1BmBb4Crp5w7dbK",
            "$2b$04$\u{e9}bcdefghijklmnopqrstuu5Lo0g67CiD3M4RpN1BmBb4Crp5w7dbK",
            "$argon2id",
            "$argon2id$v=19$m=65537,t=1,p=1$c29tZXNhbHQ$c29tZXNhbHRzb21lc2FsdA",
            "$argon2id$v=19$m=65536,t=5,p=1$c29tZXNhbHQ$c29tZXNhbHRzb21lc2FsdA",
            "$argon2id$v=19$m=64,t=4294967295,p=1$c29tZXNhbHQ$c29tZXNhbHRzb21lc2FsdA",
            "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$c2hvcnQ",
            "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$c29tZXNhbHRzb21lc2FsdA$more",
            "$argon2id$v=18$m=64,t=1,p=1$c29tZXNhbHQ$c29tZXNhbHRzb21lc2FsdA",
        ];
        for text in table {
            assert!(Hash::is_one(text) && Hash::parse(text).is_err(), "{text}");
        }
    }
}
