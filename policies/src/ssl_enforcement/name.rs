//! Names of certificates' subjects, and patterns for them.

use ringway_contract::Refusal;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::ant::glob_fits;

/// Attributes that one name may have.
const ATTRIBUTES_MAX: usize = 64;

/// The short names of attribute types (RFC 4514 section 3, and those that Java knows).
const TYPES: [(&str, &str); 15] = [
    ("CN", "2.5.4.3"),
    ("SURNAME", "2.5.4.4"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("S", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("T", "2.5.4.12"),
    ("GIVENNAME", "2.5.4.42"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("EMAILADDRESS", "1.2.840.113549.1.9.1"),
];

/// A subject: the object identifier of each attribute's type, and its value.
pub type Subject = Vec<(String, String)>;

/// The subject of a certificate; `None` if it cannot be read, has no attributes or too many.
pub fn subject(der: &[u8]) -> Option<Subject> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    let attributes = certificate.subject().iter_attributes();
    let attributes =
        attributes.map(|attribute| Some((attribute.attr_type().to_id_string(), attribute.as_str().ok()?.to_owned())));
    let subject = attributes.take(ATTRIBUTES_MAX + 1).collect::<Option<Subject>>()?;
    (rest.is_empty() && (1..=ATTRIBUTES_MAX).contains(&subject.len())).then_some(subject)
}

/// A pattern such as `CN=*.example,O=Example,C=??`.
#[derive(Debug)]
pub struct Pattern(Vec<(String, Vec<char>)>);

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// It is no name, or has an attribute that is not known.
    pub fn new(field: &str, text: &str) -> Result<Self, Refusal> {
        let mut parts = Vec::new();
        for part in split(text).iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
            let (kind, value) = part
                .split_once('=')
                .ok_or_else(|| Refusal(format!("{field}: `{part}` is not an attribute such as `CN=name`")))?;
            let kind = kind.trim().to_ascii_uppercase();
            let is_oid = kind.contains('.') && kind.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let known = TYPES.iter().find(|(name, _)| *name == kind).map(|(_, oid)| (*oid).to_owned());
            let oid = known.or_else(|| is_oid.then(|| kind.clone()));
            let oid = oid.ok_or_else(|| Refusal(format!("{field}: `{kind}` is not a known attribute")))?;
            parts.push((oid, value.trim().chars().collect::<Vec<char>>()));
        }
        if parts.is_empty() || parts.len() > ATTRIBUTES_MAX {
            return Err(Refusal(format!("{field}: a name has 1 to {ATTRIBUTES_MAX} attributes")));
        }
        // What is exact first, so that a wildcard does not take what only another part could.
        parts.sort_by_key(|(_, value)| value.contains(&'*') || value.contains(&'?'));
        Ok(Self(parts))
    }

    /// Whether each attribute of the subject fits one part, and each part one attribute. Their order does not matter.
    pub fn fits(&self, subject: &Subject) -> bool {
        let mut left: Vec<&(String, String)> = subject.iter().collect();
        let mut take = |(oid, value): &(String, Vec<char>)| {
            let at = left.iter().position(|(kind, found)| kind == oid && glob_fits(value, found));
            at.map(|at| left.swap_remove(at)).is_some()
        };
        self.0.iter().all(&mut take) && left.is_empty()
    }
}

/// The parts between commas that no backslash stands before; the backslashes are gone.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '\\' => part.extend(rest.next()),
            ',' => parts.push(std::mem::take(&mut part)),
            other => part.push(other),
        }
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(text: &[(&str, &str)]) -> Subject {
        text.iter().map(|(oid, value)| ((*oid).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_name_fits_as_a_whole_or_not_at_all() {
        let own = subject(&[("2.5.4.6", "FR"), ("2.5.4.10", "Example, Inc."), ("2.5.4.3", "client")]);
        for text in [r"CN=client,O=Example\, Inc.,C=FR", "c = ??, o = Example*, cn = cl*t,", "2.5.4.3=client,O=*,C=FR"]
        {
            assert!(Pattern::new("name", text).unwrap().fits(&own), "{text}");
        }
        for text in [
            "CN=client",
            "CN=client,O=Example*",
            "CN=Client,O=*,C=FR",
            "CN=*,O=*,C=*,L=*",
            "CN=*,CN=*,C=FR",
            "O=client,CN=Example*,C=FR",
        ] {
            assert!(!Pattern::new("name", text).unwrap().fits(&own), "{text}");
        }
        for text in ["", ",", "client", "XX=client"] {
            assert!(Pattern::new("name", text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_exact_is_not_taken_by_a_wildcard() {
        let own = subject(&[("2.5.4.11", "a"), ("2.5.4.11", "b")]);
        assert!(Pattern::new("name", "OU=*,OU=a").unwrap().fits(&own));
        assert!(!Pattern::new("name", "OU=a,OU=a").unwrap().fits(&own));
    }
}
