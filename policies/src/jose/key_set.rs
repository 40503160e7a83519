//! A set of keys (RFC 7517 section 5), and which of them may have signed a token.

use std::cell::Cell;

use ringway_contract::Value;

use super::{Algorithm, Key, Token, json, text};

/// Keys of a set that are kept at most.
const KEYS_MAX: usize = 128;
/// Keys that are tried for a token that does not name one: each costs a verification.
const TRIED_MAX: usize = 8;

/// Keys for one algorithm.
pub struct KeySet {
    /// Different for every set of this thread.
    pub revision: u64,
    keys: Vec<Named>,
    choice: Choice,
}

/// Which of the keys a token may mean.
enum Choice {
    /// The one that was given: what tokens say of keys does not matter.
    Given,
    /// Those of its issuer, by `kid` or else [`DEFAULT`].
    OfIssuer,
    /// What it names, or else any.
    Named,
}

/// The name of the key of tokens that name none, among keys of issuers.
const DEFAULT: &str = "default";

struct Named {
    /// Whose tokens it verifies; `None`: anyone's.
    issuer: Option<String>,
    kid: Option<String>,
    /// Thumbprints of the certificate, by SHA-1 and SHA-256.
    thumbprints: [Option<String>; 2],
    key: Key,
}

/// What a set says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// One of its keys signed it.
    Yes,
    /// None did that the token may mean.
    No,
    /// It has no key of the name that the token gives.
    UnknownKey,
}

impl KeySet {
    /// The set of one key that was given.
    pub fn of(key: Key) -> Self {
        let named = Named { issuer: None, kid: None, thumbprints: [None, None], key };
        Self { revision: next_revision(), keys: vec![named], choice: Choice::Given }
    }

    /// The set of keys that belong to issuers: issuer, name, key.
    pub fn of_issuers(keys: impl IntoIterator<Item = (String, String, Key)>) -> Self {
        let named = |(issuer, kid, key)| Named { issuer: Some(issuer), kid: Some(kid), thumbprints: [None, None], key };
        Self { revision: next_revision(), keys: keys.into_iter().map(named).collect(), choice: Choice::OfIssuer }
    }

    /// Reads a set; keys that are none for the algorithm are left out.
    ///
    /// # Errors
    /// A sentence: it is no set.
    pub fn parse(algorithm: Algorithm, body: &[u8]) -> Result<Self, &'static str> {
        let set = json::parse(body).ok_or("it is not a JSON object")?;
        let Some(Value::List(all)) = json::member(&set, "keys") else { return Err("it has no list `keys`") };
        let owned = |key: &Value<'static>, name: &str| text(key, name).map(str::to_owned);
        let keys = all.iter().take(KEYS_MAX).filter_map(|key| {
            Some(Named {
                issuer: None,
                kid: owned(key, "kid"),
                thumbprints: [owned(key, "x5t"), owned(key, "x5t#S256")],
                key: Key::of_set(algorithm, key)?,
            })
        });
        Ok(Self { revision: next_revision(), keys: keys.collect(), choice: Choice::Named })
    }

    /// Whether one of the keys that the token may mean signed it. A token means a key by `kid`, or else by the thumbprint of its certificate, or
    /// else any.
    pub fn signed(&self, token: &Token<'_>) -> Signed {
        let said = |name: &str| text(&token.header, name);
        let names = [said("kid"), said("x5t"), said("x5t#S256")];
        // Not verified yet, and good enough to choose a key by: what another issuer has signed, its key does not verify.
        let claims = matches!(self.choice, Choice::OfIssuer).then(|| token.claims()).flatten();
        let issuer = claims.as_ref().and_then(|claims| text(claims, "iss"));
        let means = |named: &&Named| match names {
            _ if matches!(self.choice, Choice::Given) => true,
            [kid, ..] if matches!(self.choice, Choice::OfIssuer) => {
                issuer.is_some() && named.issuer.as_deref() == issuer && named.kid.as_deref() == kid.or(Some(DEFAULT))
            }
            [Some(kid), ..] => named.kid.as_deref() == Some(kid),
            [None, Some(x5t), _] => named.thumbprints[0].as_deref() == Some(x5t),
            [None, None, Some(x5t)] => named.thumbprints[1].as_deref() == Some(x5t),
            [None, None, None] => true,
        };
        let mut meant = self.keys.iter().filter(means).take(TRIED_MAX).peekable();
        if meant.peek().is_none() {
            return Signed::UnknownKey;
        }
        if meant.any(|named| token.is_signed_by(&named.key)) { Signed::Yes } else { Signed::No }
    }
}

fn next_revision() -> u64 {
    thread_local! { static LAST: Cell<u64> = const { Cell::new(0) } }
    LAST.with(|last| {
        last.set(last.get() + 1);
        last.get()
    })
}
