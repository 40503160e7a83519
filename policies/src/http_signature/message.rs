//! What is signed of a request, and how a signature is written (draft-cavage-http-signatures-12).

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ringway_contract::RequestHead;
use schemars::JsonSchema;
use serde::Deserialize;

/// Parameters of a signature.
const PARAMETERS_MAX: usize = 16;
/// Fields that a signature may name.
const NAMES_MAX: usize = 64;

/// How a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Scheme {
    /// In `Authorization`, with the scheme `Signature` (section 3.1).
    #[default]
    Authorization,
    /// In a field `Signature` (section 4.1).
    Signature,
}

/// An algorithm of HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// HMAC with SHA-1.
    #[serde(rename = "HMAC_SHA1")]
    Sha1,
    /// HMAC with SHA-256.
    #[default]
    #[serde(rename = "HMAC_SHA256")]
    Sha256,
    /// HMAC with SHA-384.
    #[serde(rename = "HMAC_SHA384")]
    Sha384,
    /// HMAC with SHA-512.
    #[serde(rename = "HMAC_SHA512")]
    Sha512,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Its name in a signature.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "hmac-sha1",
            Self::Sha256 => "hmac-sha256",
            Self::Sha384 => "hmac-sha384",
            Self::Sha512 => "hmac-sha512",
        }
    }

    /// Signs with this secret.
    pub fn key(self, secret: &[u8]) -> hmac::Key {
        let digest = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::Key::new(digest, secret)
    }
}

/// A signature as it is written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// The name of the key.
    pub key_id: String,
    /// In lower case.
    pub algorithm: String,
    /// In base64.
    pub signature: String,
    /// Seconds since 1970, as they are written.
    pub created: Option<String>,
    /// Likewise; may have a fraction.
    pub expires: Option<String>,
    /// Names of fields in lower case, and `(request-target)`, `(created)`, `(expires)`.
    pub names: Vec<String>,
}

impl Signature {
    /// Reads the parameters. `strict`: texts are quoted. `None`: it is not well formed, a parameter repeats, or one is missing.
    pub fn parse(text: &str, strict: bool) -> Option<Self> {
        let mut own = Self::default();
        let mut names = None;
        let mut rest = text.trim();
        let quoted = strict || rest.contains('"');
        let mut seen: Vec<String> = Vec::new();
        while !rest.is_empty() {
            let (name, behind) = rest.split_once('=')?;
            let name = name.trim().to_ascii_lowercase();
            let (value, is_text, behind) = value(behind.trim_start(), quoted)?;
            if seen.len() >= PARAMETERS_MAX || seen.contains(&name) {
                return None;
            }
            match &*name {
                "keyid" if is_text => own.key_id = value,
                "algorithm" if is_text => own.algorithm = value.to_ascii_lowercase(),
                "signature" if is_text => own.signature = value,
                "headers" if is_text => names = Some(value.to_ascii_lowercase()),
                "created" => own.created = Some(seconds(&value).map(|_| value)?),
                "expires" => own.expires = Some(seconds(&value).map(|_| value)?),
                "keyid" | "algorithm" | "signature" | "headers" => return None,
                _ => {}
            }
            seen.push(name);
            rest = match behind.trim_start() {
                "" => "",
                more => more.strip_prefix(',')?.trim_start(),
            };
        }
        // Section 2.1.6: without names, it is the moment that is signed.
        let names = names.unwrap_or_else(|| "(created)".to_owned());
        own.names = names.split_ascii_whitespace().map(str::to_owned).collect();
        let complete = !own.key_id.is_empty() && !own.signature.is_empty() && !own.algorithm.is_empty();
        (complete && (1..=NAMES_MAX).contains(&own.names.len())).then_some(own)
    }

    /// What is signed (section 2.3). `None`: the request lacks something that is named.
    pub fn message(&self, head: &RequestHead) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        for name in &self.names {
            if !message.is_empty() {
                message.push(b'\n');
            }
            message.extend_from_slice(name.as_bytes());
            message.extend_from_slice(b": ");
            match &**name {
                "(request-target)" => {
                    let method = head.method.as_str().to_ascii_lowercase();
                    let query = head.query().map(|query| format!("?{query}")).unwrap_or_default();
                    message.extend_from_slice(format!("{method} {}{query}", head.path()).as_bytes());
                }
                "(created)" => message.extend_from_slice(self.created.as_ref()?.as_bytes()),
                "(expires)" => message.extend_from_slice(self.expires.as_ref()?.as_bytes()),
                name => {
                    let mut values = head.fields.get_all(name);
                    message.extend_from_slice(values.next()?.trim_ascii());
                    for value in values {
                        message.extend_from_slice(b", ");
                        message.extend_from_slice(value.trim_ascii());
                    }
                }
            }
        }
        Some(message)
    }

    /// Whether it is this key's of the request.
    pub fn is_of(&self, key: &hmac::Key, head: &RequestHead) -> bool {
        let signature = STANDARD.decode(&self.signature).ok();
        let message = self.message(head);
        message.zip(signature).is_some_and(|(message, signature)| hmac::verify(key, &message, &signature).is_ok())
    }

    /// Signs. `None`: as [`Signature::message`].
    pub fn sign(&mut self, key: &hmac::Key, head: &RequestHead) -> Option<()> {
        self.signature = STANDARD.encode(hmac::sign(key, &self.message(head)?));
        Some(())
    }

    /// As it is written.
    pub fn to_text(&self) -> String {
        let key_id = self.key_id.replace('\\', "\\\\").replace('"', "\\\"");
        let mut text = format!("keyId=\"{key_id}\",algorithm=\"{}\"", self.algorithm);
        for (name, value) in [("created", &self.created), ("expires", &self.expires)] {
            if let Some(value) = value {
                // Writing to a text cannot fail.
                let _ = write!(text, ",{name}={value}");
            }
        }
        let _ = write!(text, ",headers=\"{}\",signature=\"{}\"", self.names.join(" "), self.signature);
        text
    }
}

/// The value in front, whether it is a text and no number, and what is behind it.
fn value(text: &str, quoted: bool) -> Option<(String, bool, &str)> {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end)?;
        return Some((value.trim().to_owned(), !quoted, rest));
    };
    let mut value = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, true, inner.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// Seconds since 1970: digits, with or without a fraction.
pub fn seconds(text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| (1..=15).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    (digits(whole) && digits(fraction)).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_well_formed_is_no_signature() {
        let good = r#"keyId="a",algorithm="hmac-sha256",headers="host date",signature="AAAA""#;
        assert_eq!(Signature::parse(good, true).unwrap().names, ["host", "date"]);
        assert_eq!(
            Signature::parse(r#"keyId="a\"b" , algorithm="x",signature="y",new="1",created=1"#, true).unwrap().key_id,
            "a\"b"
        );
        let table = [
            "",
            "keyId",
            r#"keyId="a"#,
            r#"keyId="a",algorithm="x""#,
            r#"keyId="a",algorithm="x",signature="y",headers="""#,
            r#"keyId="a",keyId="b",algorithm="x",signature="y""#,
            r#"keyId="a",algorithm="x",signature="y",created=soon"#,
            r#"keyId="a",algorithm="x",signature="y",expires=-1"#,
            r#"keyId="a" algorithm="x",signature="y""#,
            "keyId=a,algorithm=x,signature=y",
        ];
        for text in table {
            assert!(Signature::parse(text, true).is_none(), "{text}");
        }
        assert!(
            Signature::parse("keyId=a,algorithm=x,signature=y==,created=1", false)
                .is_some_and(|own| own.signature == "y==")
        );
    }
}
