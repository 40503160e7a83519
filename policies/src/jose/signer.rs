//! Keys that sign.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use x509_parser::pem::Pem;

use super::{Algorithm, Family};

/// PEM blocks that are read of a key: itself and its certificates.
const BLOCKS_MAX: usize = 16;

/// A key that signs by one algorithm: HMAC, or RS256.
pub struct Signer {
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Rsa(Box<RsaKeyPair>),
    Secret(hmac::Key),
}

impl Signer {
    /// A secret for HMAC.
    ///
    /// # Errors
    /// A sentence about what is wrong with it; it has nothing of the secret.
    pub fn secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, String> {
        let name = algorithm.name();
        let digest = algorithm.digest().ok_or_else(|| format!("{name} does not take a secret"))?;
        let least = digest.digest_algorithm().output_len();
        if secret.len() < least {
            return Err(format!("{name} needs a secret of {least} bytes at least (RFC 7518 section 3.2)"));
        }
        Ok(Self { algorithm, material: Material::Secret(hmac::Key::new(digest, secret)) })
    }

    /// A private RSA key in PEM, with the certificates that stand beside it, in DER and in their order.
    ///
    /// # Errors
    /// A sentence about what is wrong with it; it has nothing of the key.
    pub fn pem(algorithm: Algorithm, text: &str) -> Result<(Self, Vec<Vec<u8>>), String> {
        if algorithm.family() != Family::Rsa || algorithm != Algorithm::Rs256 {
            return Err(format!("{} is not signed with", algorithm.name()));
        }
        let (mut pair, mut certificates) = (None, Vec::new());
        for block in Pem::iter_from_buffer(text.trim().as_bytes()).take(BLOCKS_MAX) {
            let block = block.map_err(|_| "the key is not PEM")?;
            let read = match &*block.label {
                "CERTIFICATE" => {
                    certificates.push(block.contents);
                    continue;
                }
                "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&block.contents),
                "RSA PRIVATE KEY" => RsaKeyPair::from_der(&block.contents),
                "ENCRYPTED PRIVATE KEY" => return Err("the key is encrypted: give it in clear".into()),
                label => return Err(format!("the PEM block is a `{label}`, not a private RSA key")),
            };
            // Its words are of the kind `TooSmall`, and have nothing of the key.
            pair = Some(read.map_err(|rejected| format!("it is no private RSA key of 2048 to 4096 bits: {rejected}"))?);
        }
        let pair = Box::new(pair.ok_or("there is no PEM block of a private key")?);
        Ok((Self { algorithm, material: Material::Rsa(pair) }, certificates))
    }

    /// A token in the compact form; `header` has the members besides `alg`. `None`: the system gives no random numbers.
    pub fn token(&self, header: &serde_json::Map<String, serde_json::Value>, claims: &str) -> Option<String> {
        let mut header = header.clone();
        header.insert("alg".into(), self.algorithm.name().into());
        let header = serde_json::Value::Object(header).to_string();
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = match &self.material {
            Material::Secret(key) => hmac::sign(key, token.as_bytes()).as_ref().to_vec(),
            Material::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature).ok()?;
                signature
            }
        };
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Some(token)
    }
}

/// Certificates as `x5c` has them (RFC 7515 section 4.1.6).
pub fn chain(certificates: &[Vec<u8>]) -> serde_json::Value {
    certificates.iter().map(|certificate| STANDARD.encode(certificate)).collect()
}
