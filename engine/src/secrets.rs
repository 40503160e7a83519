//! Where requests have their keys and tokens: what is never written down.

use std::fmt;

use ringway_contract::scope::decoded;
use ringway_wire::Known;

use crate::plan::Plan;

/// What stands in the place of what is never written down.
pub const HIDDEN: &str = "*****";
/// The query parameter whose value never is, whatever the plans of an API (RFC 6750 section 2.3).
const TOKEN: &str = "access_token";

/// Where callers of an API show who they are.
#[derive(Debug, Default)]
pub struct Secrets {
    /// Names of fields, besides those that are known for it.
    fields: Vec<String>,
    /// Names of query parameters, besides [`TOKEN`].
    parameters: Vec<String>,
}

impl Secrets {
    /// What the guards of plans look at.
    pub fn of(plans: &[Plan]) -> Self {
        let mut secrets = Self::default();
        for credentials in plans.iter().map(|plan| plan.guard.credentials()) {
            secrets.fields.extend(credentials.fields.iter().map(|name| (*name).to_owned()));
            secrets.parameters.extend(credentials.parameters.iter().map(|name| (*name).to_owned()));
        }
        secrets
    }

    /// Whether the value of a field is not written down.
    pub fn hides(&self, name: &[u8]) -> bool {
        let is_known = Known::of(name).is_some_and(|known| known == Known::SetCookie || known.is_credential());
        is_known || self.fields.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Writes the target of a request, or a part of it from its beginning, with [`HIDDEN`] for the values of parameters that show who is calling.
    pub fn write_target(&self, target: &str, out: &mut impl fmt::Write) -> fmt::Result {
        let Some((path, query)) = target.split_once('?') else { return out.write_str(target) };
        out.write_str(path)?;
        for (at, pair) in query.split('&').enumerate() {
            out.write_char(if at == 0 { '?' } else { '&' })?;
            match pair.split_once('=') {
                // Guards decode names, too.
                Some((name, _)) if self.is_parameter(&decoded(name, true)) => write!(out, "{name}={HIDDEN}")?,
                _ => out.write_str(pair)?,
            }
        }
        Ok(())
    }

    fn is_parameter(&self, name: &str) -> bool {
        name == TOKEN || self.parameters.iter().any(|own| own == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_credentials_are_hidden_however_their_names_are_spelled() {
        let secrets = Secrets { fields: vec!["X-Pass".into()], parameters: vec!["key".into()] };
        for (target, wanted) in [
            ("/a", "/a"),
            ("/a?", "/a?"),
            ("/key=a?x=1&&y", "/key=a?x=1&&y"),
            ("/a?x=1&access_token=secret&y", "/a?x=1&access_token=*****&y"),
            ("/a?key=one&KEY=2&key=a=b&key", "/a?key=*****&KEY=2&key=*****&key"),
            ("/a?%6bey=one&k%65y=&keys=3", "/a?%6bey=*****&k%65y=*****&keys=3"),
            ("http://a/b?key=one?key=two", "http://a/b?key=*****"),
            ("*", "*"),
        ] {
            let mut out = String::new();
            secrets.write_target(target, &mut out).unwrap();
            assert_eq!(out, wanted);
        }
        for name in ["authorization", "Cookie", "Set-Cookie", "X-Gravitee-Api-Key", "X-Api-Key", "x-pass"] {
            assert!(secrets.hides(name.as_bytes()), "{name}");
        }
        assert!(!secrets.hides(b"X-Passport"));
    }
}
