//! What fuzzers call: a token that nobody signed is read or refused, and never taken for a signed one.

use crate::jose::{self, Algorithm, Key, KeySet, Signed, Token};

/// A secret that no input can have signed with.
const SECRET: &str = "a secret that is longer than the longest digest that HMAC is used with: 64 bytes";

/// Reads the first line as a token, by every algorithm, and what is behind it as a key and as a set of keys.
pub fn token(data: &[u8]) {
    let (line, rest) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[][..]),
    };
    let Ok(text) = std::str::from_utf8(line) else { return };
    for algorithm in Algorithm::ALL {
        let keys = std::str::from_utf8(rest).ok().and_then(|key| Key::given(algorithm, key).ok()).map(KeySet::of);
        let Some(token) = Token::read(text, algorithm) else { continue };
        assert!(text.len() <= jose::TOKEN_BYTES_MAX && text.matches('.').count() >= 2, "{text}");
        assert_eq!(jose::text(&token.header, "alg"), Some(algorithm.name()), "a token chooses its algorithm");
        if let Ok(key) = Key::given(algorithm, SECRET) {
            assert_ne!(KeySet::of(key).signed(&token), Signed::Yes, "nobody signed it");
        }
        let sets = [keys, KeySet::parse(algorithm, rest).ok()];
        for set in sets.iter().flatten() {
            let _ = set.signed(&token);
        }
        if let Some(claims) = token.claims() {
            for path in ["sub", "cnf.x5t#S256", "aud"] {
                let _ = jose::at_path(&claims, path).and_then(jose::first_text);
            }
            let again = jose::to_json(&claims).to_string();
            assert!(jose::parse(again.as_bytes()).is_some(), "{again}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_what_is_near_them_break_nothing() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/token");
        let mut read = 0;
        for entry in std::fs::read_dir(seeds).unwrap() {
            let seed = std::fs::read(entry.unwrap().path()).unwrap();
            token(&seed);
            for at in (0..seed.len()).step_by(7) {
                token(&seed[..at]);
                let mut changed = seed.clone();
                changed[at] ^= 1 << (at % 8);
                token(&changed);
            }
            read += 1;
        }
        assert!(read >= 5, "{read} seeds");
    }
}
