//! Makes a signed token (RFC 7519) for the backend.

use std::path::PathBuf;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use ringway_contract::context::Context;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::subscriber::now_ms;
use ringway_contract::{Exchange, Kind, Node, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::jose::{self, Algorithm, Signer};
use crate::text::Text;
use crate::tokens::Cache;

/// `policy-generate-jwt`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "policy-generate-jwt",
    about: "Makes a signed token (JWT) that other steps can send to the backend.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(GenerateJwt::new).err()))
        .reading(files),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(GenerateJwt::new(decode(source.configuration)?)?)),
};

/// Bytes of a file with a key.
const KEY_BYTES_MAX: u64 = 64 * 1024;
/// How long a token that does not expire is given out again, in milliseconds.
const ETERNAL_MS: u64 = 60_000;

/// Configuration of `policy-generate-jwt`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// How the token is signed.
    pub signature: Signature,
    /// Where the key is. For HMAC, `content` is always the secret.
    pub key_resolver: KeyResolver,
    /// The private key in PEM, the path of a file with it, or the secret.
    pub content: String,
    /// HMAC: whether `content` is the base64 of the secret.
    pub secret_base64_encoded: bool,
    /// Of a Java key store; such are refused.
    pub alias: Option<String>,
    /// Of a Java key store; such are refused.
    pub storepass: Option<String>,
    /// Of a Java key store; such are refused.
    pub keypass: Option<String>,
    /// The header's `kid`: the key's name.
    pub kid: Option<String>,
    /// The header's `x5t`: the thumbprint of the certificate, by SHA-1 in base64url.
    pub x5t: Option<String>,
    /// Whether the header has the certificates that stand beside the key.
    pub x509_certificate_chain: CertificateChain,
    /// `jti`; may have expressions. Without: a new UUID for every request.
    pub id: Option<String>,
    /// `aud`; each may have expressions.
    pub audiences: Vec<String>,
    /// `iss`; may have expressions. Empty: none.
    pub issuer: String,
    /// `sub`; may have expressions. Without: none.
    pub subject: Option<String>,
    /// How long the token holds, in `expiresInUnit`; 0: it does not expire.
    pub expires_in: u32,
    /// The unit of `expiresIn`.
    pub expires_in_unit: Unit,
    /// Further claims. One that is named as a claim above takes its place.
    pub custom_claims: Vec<Claim>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            signature: Signature::default(),
            key_resolver: KeyResolver::default(),
            content: String::new(),
            secret_base64_encoded: false,
            alias: None,
            storepass: None,
            keypass: None,
            kid: None,
            x5t: None,
            x509_certificate_chain: CertificateChain::default(),
            id: None,
            audiences: Vec::new(),
            issuer: "urn://gravitee-api-gw".into(),
            subject: None,
            expires_in: 30,
            expires_in_unit: Unit::default(),
            custom_claims: Vec::new(),
        }
    }
}

/// How a token is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Signature {
    /// RSA PKCS#1 v1.5 with SHA-256.
    #[default]
    #[serde(rename = "RSA_RS256")]
    Rs256,
    /// HMAC with SHA-256; the secret has at least 32 bytes.
    #[serde(rename = "HMAC_HS256")]
    Hs256,
    /// HMAC with SHA-384; the secret has at least 48 bytes.
    #[serde(rename = "HMAC_HS384")]
    Hs384,
    /// HMAC with SHA-512; the secret has at least 64 bytes.
    #[serde(rename = "HMAC_HS512")]
    Hs512,
}

/// Where a key is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum KeyResolver {
    /// `content` is the key, in PEM.
    #[default]
    Inline,
    /// `content` is the path of a file with the key, in PEM. It is watched.
    Pem,
    /// A Java key store. Refused.
    Jks,
    /// A store of PKCS#12. Refused.
    Pkcs12,
}

/// What the header says of certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum CertificateChain {
    /// Nothing.
    #[default]
    None,
    /// All of them (`x5c`).
    X5c,
}

/// A unit of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Unit {
    /// A second.
    #[default]
    Seconds,
    /// 60 seconds.
    Minutes,
    /// 60 minutes.
    Hours,
    /// 24 hours.
    Days,
}

/// A claim.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// Its value; may have expressions. What is one expression keeps its type: a number, a list, an object.
    pub value: String,
}

fn files(configuration: Option<&Node>, _: Option<&Node>) -> Vec<PathBuf> {
    let config = decode::<Config>(configuration).ok();
    let config =
        config.filter(|config| config.signature == Signature::Rs256 && config.key_resolver == KeyResolver::Pem);
    config.map(|config| config.content.trim().into()).into_iter().collect()
}

struct GenerateJwt {
    signer: Signer,
    /// The header without `alg`.
    header: Map<String, Value>,
    id: Option<Text>,
    audiences: Vec<Text>,
    issuer: Text,
    subject: Text,
    /// Seconds; 0: for ever.
    lifetime: u64,
    claims: Vec<(String, Text)>,
    made: Cache<Made>,
}

/// A token, and until when it may be given out again, in milliseconds since 1970.
struct Made {
    token: String,
    until_ms: u64,
}

impl GenerateJwt {
    fn new(config: Config) -> Result<Self, Refusal> {
        let (signer, certificates) = signer(&config).map_err(|reason| Refusal(format!("`content`: {reason}")))?;
        let mut header = Map::new();
        header.insert("typ".into(), "JWT".into());
        for (name, value) in [("kid", config.kid), ("x5t", config.x5t)] {
            header.extend(value.filter(|value| !value.is_empty()).map(|value| (name.to_owned(), value.into())));
        }
        if config.x509_certificate_chain == CertificateChain::X5c {
            if certificates.is_empty() {
                let message = "`x509CertificateChain: X5C` needs the certificates beside the key: blocks `CERTIFICATE` in the same PEM";
                return Err(Refusal(message.into()));
            }
            header.insert("x5c".into(), jose::chain(&certificates));
        }
        let unit = match config.expires_in_unit {
            Unit::Seconds => 1,
            Unit::Minutes => 60,
            Unit::Hours => 3600,
            Unit::Days => 86_400,
        };
        let audiences = config.audiences.iter().enumerate();
        let audiences = audiences.map(|(at, text)| Text::on_request(&format!("audiences[{at}]"), text));
        let claims = config.custom_claims.into_iter().enumerate();
        let claims = claims.map(|(at, Claim { name, value })| {
            Ok((name, Text::on_request(&format!("customClaims[{at}].value"), &value)?))
        });
        Ok(Self {
            signer,
            header,
            id: config.id.filter(|id| !id.is_empty()).map(|id| Text::on_request("id", &id)).transpose()?,
            audiences: audiences.collect::<Result<_, _>>()?,
            issuer: Text::on_request("issuer", &config.issuer)?,
            subject: Text::on_request("subject", config.subject.as_deref().unwrap_or_default())?,
            lifetime: u64::from(config.expires_in) * unit,
            claims: claims.collect::<Result<_, _>>()?,
            made: Cache::default(),
        })
    }

    /// Claims of this exchange, besides those of the moment.
    fn claims(&self, exchange: &Exchange) -> Result<Map<String, Value>, Box<Reply>> {
        let mut claims = Map::new();
        let mut put = |name: &str, value: &str| {
            if !value.is_empty() {
                claims.insert(name.to_owned(), value.into());
            }
        };
        put("iss", &self.issuer.render(exchange)?);
        put("sub", &self.subject.render(exchange)?);
        if let Some(id) = &self.id {
            put("jti", &id.render(exchange)?);
        }
        let audiences = self.audiences.iter().map(|audience| audience.render(exchange));
        match &*audiences.collect::<Result<Vec<_>, _>>()? {
            [] => {}
            [one] => put("aud", one),
            many => {
                claims.insert("aud".into(), many.iter().map(|audience| &**audience).collect());
            }
        }
        for (name, value) in &self.claims {
            claims.insert(name.clone(), jose::to_json(&value.evaluate(exchange)?));
        }
        Ok(claims)
    }

    /// A token with these claims: one that was made a moment ago, or a new one.
    fn token(&self, exchange: &Exchange, mut claims: Map<String, Value>) -> Option<String> {
        // Without a name for it, each token has one of its own.
        let named = claims.contains_key("jti");
        let digest = named.then(|| jose::digest(Value::Object(claims.clone()).to_string().as_bytes()));
        let now = now_ms();
        if let Some(known) = digest.and_then(|digest| self.made.get(&digest)).filter(|known| now < known.until_ms) {
            return Some(known.token.clone());
        }
        let seconds = now / 1000;
        let mut moment = vec![("iat", Value::from(seconds))];
        if self.lifetime > 0 {
            moment.push(("exp", (seconds + self.lifetime).into()));
        }
        if !named {
            moment.push(("jti", uuid(exchange.random()?).into()));
        }
        for (name, value) in moment {
            claims.entry(name).or_insert(value);
        }
        let token = self.signer.token(&self.header, &Value::Object(claims).to_string())?;
        if let Some(digest) = digest {
            // At least half of its life is left to whoever gets it.
            let kept_ms = if self.lifetime > 0 { self.lifetime * 500 } else { ETERNAL_MS };
            self.made.put(digest, Rc::new(Made { token: token.clone(), until_ms: now + kept_ms }));
        }
        Some(token)
    }
}

/// The key, and the certificates beside it.
fn signer(config: &Config) -> Result<(Signer, Vec<Vec<u8>>), String> {
    let algorithm = match config.signature {
        Signature::Rs256 => Algorithm::Rs256,
        Signature::Hs256 => Algorithm::Hs256,
        Signature::Hs384 => Algorithm::Hs384,
        Signature::Hs512 => Algorithm::Hs512,
    };
    if config.signature != Signature::Rs256 {
        let secret = match config.secret_base64_encoded {
            true => STANDARD.decode(config.content.trim()).map_err(|_| "it is not base64")?,
            false => config.content.clone().into_bytes(),
        };
        return Signer::secret(algorithm, &secret).map(|signer| (signer, Vec::new()));
    }
    match config.key_resolver {
        KeyResolver::Inline => Signer::pem(algorithm, &config.content),
        KeyResolver::Pem => Signer::pem(algorithm, &read(config.content.trim())?),
        KeyResolver::Jks | KeyResolver::Pkcs12 => {
            let message = "stores of Java and PKCS#12 are not read here: write the key as PEM (`openssl pkcs12 -in store.p12 -nodes`, \
                           for a Java store `keytool -importkeystore -deststoretype PKCS12` first) and take `keyResolver: PEM`";
            Err(message.into())
        }
    }
}

fn read(path: &str) -> Result<String, String> {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| format!("{path}: {error}"))?;
    file.take(KEY_BYTES_MAX).read_to_string(&mut text).map_err(|error| format!("{path}: {error}"))?;
    Ok(text)
}

/// A random UUID (RFC 9562 section 5.4).
fn uuid(random: u128) -> String {
    let bits = random & !(0xf << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62;
    let hex = format!("{bits:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

impl Policy for GenerateJwt {
    fn phases(&self) -> Phases {
        let texts = self.id.iter().chain(&self.audiences).chain([&self.issuer, &self.subject]);
        let mut texts = texts.chain(self.claims.iter().map(|(_, value)| value));
        Phases { request_content: texts.any(|text| text.needs().request_content), ..Phases::REQUEST }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let claims = match self.claims(exchange) {
            Ok(claims) => claims,
            Err(reply) => return Step::Reply(reply),
        };
        let Some(token) = self.token(exchange, claims) else {
            let message = "A token for this request could not be made.";
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return Step::Reply(Box::new(Reply::refusal(status, "JWT_GENERATION_FAILED", message)));
        };
        exchange.attributes.set("jwt.generated", token);
        Step::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_uuid_says_that_it_is_one() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
