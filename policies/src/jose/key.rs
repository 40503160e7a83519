//! Keys that verify.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use ringway_contract::Value;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};

use super::p521;
use super::{Algorithm, Family, text};

/// Bits of an RSA modulus that *ring* verifies with: fewer are too weak, more cost too much.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key, and the one algorithm that it is used with (RFC 8725 section 3.1).
pub struct Key {
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// A point of a curve, in the form that *ring* takes.
    Point(Vec<u8>),
    P521(Box<p521::PublicKey>),
    Secret(hmac::Key),
}

impl Key {
    /// Reads a key as an operator gives it: a secret for HMAC, otherwise a public key or a certificate in PEM, or the form of `ssh-rsa`
    /// (RFC 4253 section 6.6).
    ///
    /// # Errors
    /// A sentence about what is wrong with it; it has nothing of the key.
    pub fn given(algorithm: Algorithm, given: &str) -> Result<Self, String> {
        let trimmed = given.trim();
        if let Some(digest) = algorithm.digest() {
            return Self::secret(algorithm, digest, given.as_bytes());
        }
        if let Some(rest) = trimmed.strip_prefix("ssh-rsa ") {
            let blob = STANDARD.decode(rest.split_whitespace().next().unwrap_or_default());
            let parts = blob.ok().and_then(|blob| ssh_rsa(&blob)).ok_or("the key is not of the form of ssh-rsa")?;
            return Self::rsa(algorithm, parts.0, parts.1);
        }
        let not_pem = "the key is neither PEM nor of the form of ssh-rsa";
        let (_, pem) = x509_parser::pem::parse_x509_pem(trimmed.as_bytes()).map_err(|_| not_pem)?;
        let broken = || format!("the PEM block `{}` cannot be read", pem.label);
        match &*pem.label {
            "CERTIFICATE" => {
                let (_, certificate) = X509Certificate::from_der(&pem.contents).map_err(|_| broken())?;
                Self::of_info(algorithm, certificate.public_key())
            }
            "PUBLIC KEY" => {
                let (_, info) = SubjectPublicKeyInfo::from_der(&pem.contents).map_err(|_| broken())?;
                Self::of_info(algorithm, &info)
            }
            "RSA PUBLIC KEY" => {
                let (_, key) = x509_parser::public_key::RSAPublicKey::from_der(&pem.contents).map_err(|_| broken())?;
                Self::rsa(algorithm, key.modulus.to_vec(), key.exponent.to_vec())
            }
            label if label.ends_with("PRIVATE KEY") => Err("this is a private key: give the public one".into()),
            label => Err(format!("the PEM block is a `{label}`, not a public key or a certificate")),
        }
    }

    /// Reads a key of a key set; `None`: it is none for this algorithm.
    pub fn of_set(algorithm: Algorithm, key: &Value<'static>) -> Option<Self> {
        let use_fits = text(key, "use").is_none_or(|use_| use_ == "sig");
        let algorithm_fits = text(key, "alg").is_none_or(|alg| alg == algorithm.name());
        if !use_fits || !algorithm_fits {
            return None;
        }
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(key, name)?).ok();
        let curve = |wanted: &str| text(key, "crv") == Some(wanted);
        let point = |bytes_wanted: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            let fits = x.len() == bytes_wanted && y.len() == bytes_wanted;
            fits.then(|| Self { algorithm, material: Material::Point([&[4], &*x, &*y].concat()) })
        };
        match (algorithm.family(), text(key, "kty")?) {
            (Family::Rsa, "RSA") => Self::rsa(algorithm, bytes("n")?, bytes("e")?).ok(),
            (Family::P256, "EC") if curve("P-256") => point(32),
            (Family::P384, "EC") if curve("P-384") => point(48),
            (Family::P521, "EC") if curve("P-521") => Self::p521(&[&[4], &*bytes("x")?, &*bytes("y")?].concat()),
            (Family::Ed25519, "OKP") if curve("Ed25519") => {
                let x = bytes("x").filter(|x| x.len() == 32)?;
                Some(Self { algorithm, material: Material::Point(x) })
            }
            (Family::Secret, "oct") => Self::secret(algorithm, algorithm.digest()?, &bytes("k")?).ok(),
            _ => None,
        }
    }

    fn secret(algorithm: Algorithm, digest: hmac::Algorithm, secret: &[u8]) -> Result<Self, String> {
        let least = digest.digest_algorithm().output_len();
        if secret.len() < least {
            let name = algorithm.name();
            return Err(format!("{name} needs a secret of {least} bytes at least (RFC 7518 section 3.2)"));
        }
        Ok(Self { algorithm, material: Material::Secret(hmac::Key::new(digest, secret)) })
    }

    fn rsa(algorithm: Algorithm, mut n: Vec<u8>, mut e: Vec<u8>) -> Result<Self, String> {
        if algorithm.family() != Family::Rsa {
            return Err(format!("{} does not take an RSA key", algorithm.name()));
        }
        // ring takes the numbers without leading zeros.
        for number in [&mut n, &mut e] {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            number.drain(..zeros);
        }
        let bits = (n.len() * 8).saturating_sub(n.first().map_or(0, |byte| byte.leading_zeros() as usize));
        if !RSA_BITS.contains(&bits) || e.is_empty() {
            return Err(format!("the RSA key has {bits} bits: 2048 to 8192 are taken"));
        }
        Ok(Self { algorithm, material: Material::Rsa { n, e } })
    }

    fn p521(point: &[u8]) -> Option<Self> {
        let key = p521::PublicKey::read(point)?;
        Some(Self { algorithm: Algorithm::Es512, material: Material::P521(Box::new(key)) })
    }

    fn of_info(algorithm: Algorithm, info: &SubjectPublicKeyInfo<'_>) -> Result<Self, String> {
        use x509_parser::public_key::PublicKey;
        let bits = info.subject_public_key.data.to_vec();
        let wrong = || format!("this is not a key that {} takes", algorithm.name());
        match (algorithm.family(), info.parsed().map_err(|_| wrong())?) {
            (Family::Rsa, PublicKey::RSA(key)) => Self::rsa(algorithm, key.modulus.to_vec(), key.exponent.to_vec()),
            (Family::P256, PublicKey::EC(_)) if bits.len() == 65 => {
                Ok(Self { algorithm, material: Material::Point(bits) })
            }
            (Family::P384, PublicKey::EC(_)) if bits.len() == 97 => {
                Ok(Self { algorithm, material: Material::Point(bits) })
            }
            (Family::P521, PublicKey::EC(_)) => Self::p521(&bits).ok_or_else(wrong),
            (Family::Ed25519, _) if info.algorithm.algorithm.to_id_string() == "1.3.101.112" && bits.len() == 32 => {
                Ok(Self { algorithm, material: Material::Point(bits) })
            }
            _ => Err(wrong()),
        }
    }

    /// Whether it is the public key of this certificate.
    pub fn is_of(&self, certificate: &X509Certificate<'_>) -> bool {
        let other = Self::of_info(self.algorithm, certificate.public_key());
        match (&self.material, other.map(|key| key.material)) {
            (Material::Rsa { n, e }, Ok(Material::Rsa { n: other_n, e: other_e })) => *n == other_n && *e == other_e,
            (Material::Point(point), Ok(Material::Point(other))) => *point == other,
            (Material::P521(key), Ok(Material::P521(other))) => key.is(&other),
            _ => false,
        }
    }

    /// Whether `signature` is this key's of `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Rsa { n, e } => {
                let key = RsaPublicKeyComponents { n, e };
                rsa_parameters(self.algorithm).is_some_and(|by| key.verify(by, message, signature).is_ok())
            }
            Material::P521(key) => key.verifies(message, signature),
            Material::Point(point) => self
                .algorithm
                .verification()
                .is_some_and(|by| UnparsedPublicKey::new(by, point).verify(message, signature).is_ok()),
        }
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static ring::signature::RsaParameters> {
    use ring::signature as by;
    Some(match algorithm {
        Algorithm::Rs256 => &by::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &by::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &by::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &by::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &by::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &by::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

/// Modulus and exponent of an `ssh-rsa` blob: its name, exponent and modulus, each behind its length.
fn ssh_rsa(blob: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (name, rest) = ssh_part(blob)?;
    let (e, rest) = ssh_part(rest)?;
    let (n, rest) = ssh_part(rest)?;
    (name == b"ssh-rsa" && rest.is_empty()).then(|| (n.to_vec(), e.to_vec()))
}

fn ssh_part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}
