//! What applications show: keys and certificates. Only their fingerprints are kept.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Moment;

/// SHA-256 of a key, or of a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(fingerprint)
    }

    /// Reads 64 hexadecimal digits.
    fn parse(text: &str) -> Option<Self> {
        let mut fingerprint = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (at, byte) in fingerprint.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(fingerprint))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Fingerprint(..)")
    }
}

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "KeyText")]
pub struct ApiKey {
    /// What is kept of it.
    pub fingerprint: Fingerprint,
    /// Until when it is good; for ever without. A key that was renewed goes on for a while beside the new one.
    pub expires_at: Option<Moment>,
    /// Whether it was taken back.
    pub revoked: bool,
}

/// An API key as it is written.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, rename = "ApiKey")]
struct KeyText {
    /// The key, 8 to 256 characters; `${NAME}` and `file:` keep it out of the file. Only its SHA-256 is kept.
    #[schemars(length(min = 8, max = 256), regex(pattern = r"^[^\s^#%@\\/;=?|~,]+$"))]
    key: Option<String>,
    /// Instead of the key: its SHA-256, 64 hexadecimal digits, as `printf %s KEY | sha256sum` prints it.
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{64}$"))]
    sha256: Option<String>,
    /// Until when it is good; for ever without.
    #[serde(alias = "expiresAt")]
    expire_at: Option<Moment>,
    /// Whether it was taken back. Default false.
    #[serde(default)]
    revoked: bool,
}

impl TryFrom<KeyText> for ApiKey {
    type Error = &'static str;

    fn try_from(text: KeyText) -> Result<Self, Self::Error> {
        let fingerprint = match (&text.key, &text.sha256) {
            (Some(key), None) => Fingerprint::of(key.as_bytes()),
            (None, Some(sha256)) => Fingerprint::parse(sha256).ok_or("`sha256` is not 64 hexadecimal digits")?,
            _ => return Err("an API key has either `key` or `sha256`"),
        };
        Ok(Self { fingerprint, expires_at: text.expire_at, revoked: text.revoked })
    }
}

impl JsonSchema for ApiKey {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        KeyText::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        KeyText::json_schema(generator)
    }
}

/// A client certificate that an application shows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "CertificateText")]
pub struct ClientCertificate {
    /// What is kept of it.
    pub fingerprint: Fingerprint,
    /// Until when it is taken, whatever it says itself; without, as long as it says.
    pub ends_at: Option<Moment>,
}

/// A client certificate as it is written.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, rename = "ClientCertificate")]
struct CertificateText {
    /// What people call it.
    #[serde(default, rename = "name")]
    _name: String,
    /// The certificate in PEM; `file:` reads it from a file.
    content: String,
    /// Until when it is taken, whatever it says itself; without, as long as it says.
    ends_at: Option<Moment>,
}

impl TryFrom<CertificateText> for ClientCertificate {
    type Error = &'static str;

    fn try_from(text: CertificateText) -> Result<Self, Self::Error> {
        let der = der(&text.content).ok_or("`content` is no certificate in PEM")?;
        Ok(Self { fingerprint: Fingerprint::of(&der), ends_at: text.ends_at })
    }
}

impl JsonSchema for ClientCertificate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        CertificateText::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        CertificateText::json_schema(generator)
    }
}

/// The first certificate of a PEM text (RFC 7468).
fn der(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(body).ok().filter(|der| !der.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_as_its_fingerprint_only() {
        let of = |text: &str| serde_json::from_str::<ApiKey>(text);
        let plain = of(r#"{"key":"correct-horse"}"#).unwrap();
        let hashed = of(r#"{"sha256":"67f8df04e77bfac6a27d3e12cbcf0b8cde27a7a2f66a8a5d9e8a5d9aa4ea9b80"}"#).unwrap();
        assert_ne!(plain, hashed);
        assert!(!format!("{plain:?}").contains("correct"));
        assert!(of("{}").is_err());
        assert!(of(r#"{"sha256":"67"}"#).is_err());
        assert!(of(r#"{"key":"correct-horse","sha256":"67"}"#).is_err());
    }

    #[test]
    fn a_certificate_is_read_from_pem() {
        let pem = "text before\n-----BEGIN CERTIFICATE-----\nAQID\nBA==\n-----END CERTIFICATE-----\n";
        assert_eq!(der(pem), Some(vec![1, 2, 3, 4]));
        assert_eq!(der("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"), None);
        assert_eq!(der("AQID"), None);
    }
}
