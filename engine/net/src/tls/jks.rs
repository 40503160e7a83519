//! Java's own key stores (JKS), read only. There is no specification; this is the layout that Java has written since 1.2:
//!
//! ```text
//!  FEEDFEED │ version 1|2 │ count │ entry… │ SHA-1 of password, "Mighty Aphrodite" and all before │    numbers: 32 bits, big end first
//!
//!  entry        tag │ alias (16-bit length, UTF-8) │ created (64 bits, ms) │ …
//!     tag 1     … length, a key under its own password │ count │ certificate…    its own first
//!     tag 2     … certificate                                                    trusted
//!  certificate  "X.509" (16-bit length; version 2 only) │ length │ DER
//!  key          PKCS#8 EncryptedPrivateKeyInfo of algorithm 1.3.6.1.4.1.42.2.17.1.1, whose bytes are
//!               salt (20) │ key XOR stream │ SHA-1 of password and key
//!               stream: S₁ = SHA-1(password, salt), Sₙ₊₁ = SHA-1(password, Sₙ)
//! ```
//!
//! The cipher is weak; who can read the file can guess at passwords fast. Passwords are hashed as UTF-16.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN};

use super::der::{self, OCTETS, SEQUENCE};

const MAGIC: [u8; 4] = 0xFEED_FEED_u32.to_be_bytes();
/// What Java's Cryptography Extension writes: the same layout with other ciphers.
const MAGIC_JCE: [u8; 4] = 0xCECE_CECE_u32.to_be_bytes();
const PHRASE: &[u8] = b"Mighty Aphrodite";
/// DER of the object identifier 1.3.6.1.4.1.42.2.17.1.1.
const PROTECTION: &[u8] = &[0x06, 0x0A, 0x2B, 0x06, 0x01, 0x04, 0x01, 0x2A, 0x02, 0x11, 0x01, 0x01];

/// Why a store, or a key in it, cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JksError {
    /// The checksum is not that of these bytes and this password.
    #[error("wrong password, or the store was changed")]
    Password,
    /// The same of a key's.
    #[error("wrong password of the key")]
    KeyPassword,
    /// Bytes are missing, too many or senseless.
    #[error("malformed at byte {0}")]
    Malformed(usize),
    /// A protected key that is none.
    #[error("malformed key")]
    Key,
    /// Of a version or algorithm that nobody writes.
    #[error("{0}")]
    Unsupported(&'static str),
}

/// An entry of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its name.
    pub alias: String,
    /// What it holds.
    pub content: Content<'a>,
}

/// What an entry holds; certificates in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// A private key, still protected, and its certificates, its own first.
    Key { protected: &'a [u8], chain: Vec<&'a [u8]> },
    /// A certificate that is trusted.
    Trusted(&'a [u8]),
}

/// Whether these bytes are such a store, or its sibling.
pub fn is_jks(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC) || bytes.starts_with(&MAGIC_JCE)
}

/// The entries of a store, in their order. Without a password its integrity is not checked, as Java does not either.
///
/// # Errors
/// [`JksError`]
pub fn read<'a>(bytes: &'a [u8], password: &str) -> Result<Vec<Entry<'a>>, JksError> {
    if bytes.starts_with(&MAGIC_JCE) {
        return Err(JksError::Unsupported("a JCEKS store: convert it to PKCS#12 with keytool -importkeystore"));
    }
    let (body, sum) = bytes.split_last_chunk::<SHA1_OUTPUT_LEN>().ok_or(JksError::Malformed(bytes.len()))?;
    if !password.is_empty() && sha1(&[&utf16(password), PHRASE, body]) != *sum {
        return Err(JksError::Password);
    }
    let mut reader = Reader { bytes: body, at: 0 };
    if reader.take(MAGIC.len())? != MAGIC {
        return Err(JksError::Malformed(0));
    }
    let version = reader.number()?;
    if !matches!(version, 1 | 2) {
        return Err(JksError::Unsupported("neither version 1 nor 2"));
    }
    // Never trusted for an allocation: each entry takes bytes, and these end.
    let count = reader.number()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(reader.entry(version)?);
    }
    if reader.at < body.len() { Err(JksError::Malformed(reader.at)) } else { Ok(entries) }
}

/// The key of an entry, PKCS#8 in DER.
///
/// # Errors
/// [`JksError`]
pub fn unprotect(protected: &[u8], password: &str) -> Result<Vec<u8>, JksError> {
    let mut outer = protected;
    let mut info = der::value(SEQUENCE, &mut outer).ok_or(JksError::Key)?;
    let algorithm = der::value(SEQUENCE, &mut info).ok_or(JksError::Key)?;
    if !algorithm.starts_with(PROTECTION) {
        return Err(JksError::Unsupported("a key under another protection than Java's own"));
    }
    let octets = der::value(OCTETS, &mut info).ok_or(JksError::Key)?;
    let (salt, rest) = octets.split_first_chunk::<SHA1_OUTPUT_LEN>().ok_or(JksError::Key)?;
    let (sealed, sum) = rest.split_last_chunk::<SHA1_OUTPUT_LEN>().ok_or(JksError::Key)?;
    let password = utf16(password);
    let mut key = Vec::with_capacity(sealed.len());
    let mut stream = *salt;
    for block in sealed.chunks(SHA1_OUTPUT_LEN) {
        stream = sha1(&[&password, &stream]);
        key.extend(block.iter().zip(stream).map(|(sealed, mask)| sealed ^ mask));
    }
    if sha1(&[&password, &key]) == *sum { Ok(key) } else { Err(JksError::KeyPassword) }
}

/// Reads from the front, and never past the end.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], JksError> {
        let end = self.at.checked_add(length).ok_or(JksError::Malformed(self.at))?;
        let taken = self.bytes.get(self.at..end).ok_or(JksError::Malformed(self.at))?;
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, JksError> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// Bytes behind their length.
    fn block(&mut self) -> Result<&'a [u8], JksError> {
        let length = self.number()?;
        self.take(length as usize)
    }

    /// Java's "modified" UTF-8 differs in characters that no alias has; those are replaced.
    fn text(&mut self) -> Result<String, JksError> {
        let bytes = self.take(2)?;
        let length = bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn entry(&mut self, version: u32) -> Result<Entry<'a>, JksError> {
        let start = self.at;
        let tag = self.number()?;
        let alias = self.text()?;
        let _created = self.take(8)?;
        let content = match tag {
            1 => {
                let protected = self.block()?;
                let count = self.number()?;
                let mut chain = Vec::new();
                for _ in 0..count {
                    chain.push(self.certificate(version)?);
                }
                Content::Key { protected, chain }
            }
            2 => Content::Trusted(self.certificate(version)?),
            _ => return Err(JksError::Malformed(start)),
        };
        Ok(Entry { alias, content })
    }

    fn certificate(&mut self, version: u32) -> Result<&'a [u8], JksError> {
        if version == 2 && self.text()? != "X.509" {
            return Err(JksError::Unsupported("a certificate that is not X.509"));
        }
        self.block()
    }
}

fn sha1(parts: &[&[u8]]) -> [u8; SHA1_OUTPUT_LEN] {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    parts.iter().for_each(|part| context.update(part));
    let mut sum = [0; SHA1_OUTPUT_LEN];
    sum.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    sum
}

fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by keytool: `tests/stores/make`.
    const KEYS: &[u8] = include_bytes!("../../tests/stores/keys.jks");
    const TRUST: &[u8] = include_bytes!("../../tests/stores/trust.jks");

    fn protected(alias: &str) -> Vec<u8> {
        let entries = read(KEYS, "changeit").unwrap();
        let entry = entries.iter().find(|entry| entry.alias == alias).unwrap();
        let Content::Key { protected, .. } = &entry.content else { panic!("{entry:?}") };
        protected.to_vec()
    }

    #[test]
    fn what_keytool_writes_is_read() {
        let chains: Vec<_> = read(KEYS, "changeit")
            .unwrap()
            .into_iter()
            .map(|entry| match entry.content {
                Content::Key { chain, .. } => (entry.alias, chain.len()),
                Content::Trusted(_) => (entry.alias, 0),
            })
            .collect();
        let mut names: Vec<_> = chains.iter().map(|(alias, count)| (alias.as_str(), *count)).collect();
        names.sort_unstable();
        assert_eq!(names, [("first", 1), ("second", 2)]);
        for alias in ["first", "second"] {
            let key = unprotect(&protected(alias), &format!("{alias}-key")).unwrap();
            assert_eq!(key.first(), Some(&SEQUENCE), "PKCS#8");
        }
        let trusted = read(TRUST, "changeit").unwrap();
        assert!(matches!(&trusted[..], [Entry { alias, content: Content::Trusted(_) }] if alias == "authority"));
        assert_eq!(read(TRUST, ""), Ok(trusted), "without a password its integrity is not checked");
    }

    #[test]
    fn passwords_are_checked() {
        assert_eq!(read(KEYS, "changed"), Err(JksError::Password));
        assert_eq!(unprotect(&protected("first"), "second-key"), Err(JksError::KeyPassword));
        assert_eq!(unprotect(&protected("first"), ""), Err(JksError::KeyPassword));
        let mut changed = KEYS.to_vec();
        changed[100] ^= 1;
        assert_eq!(read(&changed, "changeit"), Err(JksError::Password));
    }

    #[test]
    fn no_bytes_whatever_make_it_panic_or_grow() {
        for store in [KEYS, TRUST] {
            for length in 0..store.len() {
                assert!(read(&store[..length], "").is_err(), "cut at {length}");
            }
            // Every byte becomes the ones that lengths and tags are most surprised by.
            for at in 0..store.len() {
                for byte in [0x00, 0x01, 0x7F, 0x80, 0x84, 0xFF] {
                    let mut changed = store.to_vec();
                    changed[at] = byte;
                    for entry in read(&changed, "").unwrap_or_default() {
                        if let Content::Key { protected, .. } = entry.content {
                            let _ = unprotect(protected, "first-key");
                        }
                    }
                }
            }
        }
        let key = protected("second");
        for length in 0..key.len() {
            assert!(unprotect(&key[..length], "second-key").is_err(), "cut at {length}");
        }
        let counts = [&MAGIC[..], &[0, 0, 0, 2], &[0xFF; 4], &[0; 20]].concat();
        assert_eq!(read(&counts, ""), Err(JksError::Malformed(12)));
        assert!(matches!(read(&MAGIC_JCE, ""), Err(JksError::Unsupported(_))));
    }
}
