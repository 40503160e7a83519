//! How the gateway shows a consumer who it is.

use std::cell::RefCell;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use ring::{hmac, rand, signature};
use ringway_contract::{Cause, Fault, Refusal, RequestHead};
use serde::Deserialize;
use serde_json::{Value, json};

use super::config::{Algorithm, Auth, AuthKind, Jwt, Oauth2};
use crate::caller::{Caller, Url};

/// Name of the field with a message's id.
pub const ID: &str = "webhook-id";
/// Name of the field with the seconds since 1970 at which a message was signed.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// Name of the field with the signature.
pub const SIGNATURE: &str = "webhook-signature";

/// A token is asked for anew so many milliseconds before it expires.
const TOKEN_MARGIN_MS: u64 = 10_000;
/// How long a token is taken to be valid if its server does not say.
const TOKEN_LIFETIME_S: u64 = 60;

/// Credentials, checked.
pub enum Credentials {
    /// None.
    None,
    /// `Authorization` is always the same.
    Fixed(String),
    /// A token that is fetched.
    Oauth2(Oauth2),
    /// Each message is signed.
    Signature(hmac::Key),
    /// A token that is signed here.
    Jwt(Box<Signer>),
}

/// Credentials in use, with the token that is valid.
pub struct Keeper {
    credentials: Credentials,
    /// Calls the token endpoint.
    tokens: Option<Caller>,
    /// `Authorization`, and until when it is used.
    kept: RefCell<Option<(String, u64)>>,
}

impl Credentials {
    /// Reads them.
    ///
    /// # Errors
    /// What `type` names is missing, or a key cannot be read.
    pub fn new(auth: &Auth) -> Result<Self, Refusal> {
        let missing = |name: &str| Refusal(format!("auth: `{name}` is missing"));
        Ok(match auth.kind {
            AuthKind::None => Self::None,
            AuthKind::Basic => {
                let basic = auth.basic.as_ref().ok_or_else(|| missing("basic"))?;
                Self::Fixed(format!("Basic {}", STANDARD.encode(format!("{}:{}", basic.username, basic.password))))
            }
            AuthKind::Token => {
                Self::Fixed(format!("Bearer {}", auth.token.as_ref().ok_or_else(|| missing("token"))?.value))
            }
            AuthKind::Oauth2 => Self::Oauth2(auth.oauth2.clone().ok_or_else(|| missing("oauth2"))?),
            AuthKind::Signature => {
                let secret = &auth.signature.as_ref().ok_or_else(|| missing("signature"))?.secret;
                let decoded = secret.strip_prefix("whsec_").map(|coded| STANDARD.decode(coded)).transpose();
                let decoded =
                    decoded.map_err(|error| Refusal(format!("auth.signature.secret: not base64: {error}")))?;
                let bytes = decoded.unwrap_or_else(|| secret.as_bytes().to_vec());
                Self::Signature(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
            }
            AuthKind::Jwt => Self::Jwt(Box::new(Signer::new(auth.jwt.as_ref().ok_or_else(|| missing("jwt"))?)?)),
        })
    }

    /// The URL that tokens are fetched from.
    ///
    /// # Errors
    /// It is none.
    pub fn token_url(&self) -> Result<Option<Url>, Refusal> {
        let Self::Oauth2(oauth2) = self else { return Ok(None) };
        Url::parse(&oauth2.endpoint).map(Some).map_err(|error| Refusal(format!("auth.oauth2.endpoint: {error}")))
    }
}

impl Keeper {
    /// In use from now on.
    pub fn new(credentials: Credentials, tokens: Option<Caller>) -> Self {
        Self { credentials, tokens, kept: RefCell::default() }
    }

    /// `Authorization` for a request at `now_ms`, if it has one.
    ///
    /// # Errors
    /// No token can be had.
    pub async fn authorization(&self, now_ms: u64) -> Result<Option<String>, Fault> {
        match &self.credentials {
            Credentials::None | Credentials::Signature(_) => return Ok(None),
            Credentials::Fixed(value) => return Ok(Some(value.clone())),
            Credentials::Oauth2(_) | Credentials::Jwt(_) => {}
        }
        if let Some((value, until)) = &*self.kept.borrow()
            && now_ms < *until
        {
            return Ok(Some(value.clone()));
        }
        let (token, until) = match (&self.credentials, &self.tokens) {
            (Credentials::Oauth2(oauth2), Some(tokens)) => fetch(oauth2, tokens, now_ms).await?,
            (Credentials::Jwt(signer), _) => signer.token(now_ms)?,
            _ => return Err(Fault::new(Cause::Internal)),
        };
        let value = format!("Bearer {token}");
        *self.kept.borrow_mut() = Some((value.clone(), until));
        Ok(Some(value))
    }

    /// The consumer does not take the token. Whether another one may help.
    pub fn renew(&self) -> bool {
        matches!(self.credentials, Credentials::Oauth2(_)) && self.kept.take().is_some()
    }

    /// Signs a message, where that is asked for.
    pub fn sign(&self, head: &mut RequestHead, id: &str, now_ms: u64, body: &[u8]) {
        let Credentials::Signature(key) = &self.credentials else { return };
        let seconds = (now_ms / 1000).to_string();
        let mut context = hmac::Context::with_key(key);
        for piece in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
            context.update(piece);
        }
        let value = format!("v1,{}", STANDARD.encode(context.sign()));
        // Neither can be refused: plain text, into a head with room.
        let _ = head.fields.set(TIMESTAMP, &seconds);
        let _ = head.fields.set(SIGNATURE, value);
    }

    /// Lets idle connections go.
    pub fn sweep(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.sweep();
        }
    }
}

/// The answer of a token endpoint (RFC 6749 section 5.1).
#[derive(Deserialize)]
struct Issued {
    access_token: String,
    expires_in: Option<u64>,
}

/// Asks for a token by client credentials (RFC 6749 sections 2.3.1 and 4.4).
async fn fetch(oauth2: &Oauth2, tokens: &Caller, now_ms: u64) -> Result<(String, u64), Fault> {
    let mut form = "grant_type=client_credentials".to_owned();
    if !oauth2.scopes.is_empty() {
        form.push_str("&scope=");
        form.push_str(&form_encoded(&oauth2.scopes.join(" ")));
    }
    let client = format!("{}:{}", form_encoded(&oauth2.client_id), form_encoded(&oauth2.client_secret));
    let fields = |head: &mut RequestHead| {
        let _ = head.fields.set("Authorization", format!("Basic {}", STANDARD.encode(client)));
        let _ = head.fields.set("Content-Type", "application/x-www-form-urlencoded");
        let _ = head.fields.set("Accept", "application/json");
    };
    let answer = tokens.post(fields, Bytes::from(form)).await?;
    let refused = || Fault::new(Cause::BackendInvalid).detail("the authorization server issues no token");
    if !answer.status.is_success() {
        return Err(refused());
    }
    let issued: Issued = serde_json::from_slice(&answer.body).map_err(|_| refused())?;
    let lifetime_ms = issued.expires_in.unwrap_or(TOKEN_LIFETIME_S).saturating_mul(1000);
    // One that lives for a moment only is used for half of it.
    let used_ms = lifetime_ms.saturating_sub(TOKEN_MARGIN_MS).max(lifetime_ms / 2);
    Ok((issued.access_token, now_ms.saturating_add(used_ms)))
}

/// As forms write it (the URL standard's `application/x-www-form-urlencoded`).
fn form_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Signs tokens.
pub struct Signer {
    key: SigningKey,
    header: String,
    claims: BTreeMap<String, String>,
    lifetime_s: u64,
}

enum SigningKey {
    Hmac(hmac::Key),
    Rsa(signature::RsaKeyPair),
}

impl Signer {
    /// Reads the key.
    ///
    /// # Errors
    /// It is none.
    pub fn new(jwt: &Jwt) -> Result<Self, Refusal> {
        let (key, algorithm) = match jwt.algorithm {
            Algorithm::HS256 => (SigningKey::Hmac(hmac::Key::new(hmac::HMAC_SHA256, jwt.key.as_bytes())), "HS256"),
            Algorithm::RS256 => (SigningKey::Rsa(rsa(&jwt.key)?), "RS256"),
        };
        let mut header = json!({ "alg": algorithm, "typ": "JWT" });
        if let Some(id) = &jwt.key_id {
            header["kid"] = Value::from(id.as_str());
        }
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        Ok(Self { key, header, claims: jwt.claims.clone(), lifetime_s: jwt.lifetime_seconds })
    }

    /// A token (RFC 7515 section 7.1), and until when it is used, in milliseconds since 1970.
    ///
    /// # Errors
    /// The key does not sign.
    pub fn token(&self, now_ms: u64) -> Result<(String, u64), Fault> {
        let now_s = now_ms / 1000;
        let mut claims = json!(self.claims);
        claims["iat"] = Value::from(now_s);
        claims["exp"] = Value::from(now_s + self.lifetime_s);
        let signed = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = match &self.key {
            SigningKey::Hmac(key) => hmac::sign(key, signed.as_bytes()).as_ref().to_vec(),
            SigningKey::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&signature::RSA_PKCS1_SHA256, &rand::SystemRandom::new(), signed.as_bytes(), &mut signature)
                    .map_err(|_| Fault::new(Cause::Internal).detail("the key does not sign"))?;
                signature
            }
        };
        Ok((format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)), now_ms + self.lifetime_s * 500))
    }
}

/// A private key of RSA: PEM of PKCS#8 or PKCS#1.
fn rsa(pem: &str) -> Result<signature::RsaKeyPair, Refusal> {
    let coded: String = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    let refused = |error: String| Refusal(format!("auth.jwt.key: {error}"));
    let der = STANDARD.decode(coded).map_err(|error| refused(format!("no PEM: {error}")))?;
    let read = match pem.contains("BEGIN RSA PRIVATE KEY") {
        true => signature::RsaKeyPair::from_der(&der),
        false => signature::RsaKeyPair::from_pkcs8(&der),
    };
    read.map_err(|error| refused(format!("no private key of RSA: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_standard_webhooks_has_it() {
        // The example of the specification.
        let auth = Auth {
            kind: AuthKind::Signature,
            signature: Some(super::super::config::Signature {
                secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
            }),
            ..Auth::default()
        };
        let keeper = Keeper::new(Credentials::new(&auth).unwrap(), None);
        let mut head = RequestHead::new();
        keeper.sign(&mut head, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330_000, br#"{"test": 2432232314}"#);
        let signature = head.fields.get(SIGNATURE).unwrap();
        assert_eq!(signature, b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(head.fields.get(TIMESTAMP).unwrap(), b"1614265330");
    }

    #[test]
    fn a_token_carries_its_claims_and_is_signed() {
        let jwt = Jwt {
            algorithm: Algorithm::HS256,
            key: "secret".into(),
            key_id: Some("k1".into()),
            claims: BTreeMap::from([("iss".into(), "ringway".into())]),
            lifetime_seconds: 60,
        };
        let (token, until) = Signer::new(&jwt).unwrap().token(5_000_000).unwrap();
        assert_eq!(until, 5_030_000);
        let (signed, tag) = token.rsplit_once('.').unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        hmac::verify(&key, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(tag).unwrap()).unwrap();
        let parts: Vec<Value> = signed
            .split('.')
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(parts[0], json!({ "alg": "HS256", "typ": "JWT", "kid": "k1" }));
        assert_eq!(parts[1], json!({ "iss": "ringway", "iat": 5000, "exp": 5060 }));
    }

    #[test]
    fn what_auth_names_must_be_there() {
        for kind in [AuthKind::Basic, AuthKind::Token, AuthKind::Oauth2, AuthKind::Signature, AuthKind::Jwt] {
            let refusal = Credentials::new(&Auth { kind, ..Auth::default() }).err().unwrap();
            assert!(refusal.0.contains("is missing"), "{refusal}");
        }
        assert_eq!(form_encoded("a b&c=ü"), "a+b%26c%3D%C3%BC");
    }
}
