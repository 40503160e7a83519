//! Refuses requests in which a regular expression is found.

use std::rc::Rc;

use http::StatusCode;
use regex::Regex;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Request, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{pattern, query};

/// `regex-threat-protection`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "regex-threat-protection",
    about: "Refuses requests whose path, fields or body fit a regular expression.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(|configuration, _| {
        refused(configuration, decode(configuration).and_then(RegexThreatProtection::new).err())
    }),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(RegexThreatProtection::new(decode(source.configuration)?)?)),
};

/// Configuration of `regex-threat-protection`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The expression. It must fit the whole of what is looked at: `.*` in front and behind finds it anywhere.
    pub regex: String,
    /// Whether case matters.
    #[serde(default)]
    pub case_sensitive: bool,
    /// Looks at names and values of the fields.
    #[serde(default = "yes")]
    pub check_headers: bool,
    /// Looks at the path behind the context path, and at names and values of the query's parameters, all decoded.
    #[serde(default = "yes")]
    pub check_path: bool,
    /// Looks at the body, which is held in memory for it.
    #[serde(default = "yes")]
    pub check_body: bool,
}

fn yes() -> bool {
    true
}

struct RegexThreatProtection {
    regex: Regex,
    config: Config,
}

impl RegexThreatProtection {
    fn new(config: Config) -> Result<Self, Refusal> {
        let regex = pattern::whole_with_lines("regex", &config.regex, config.case_sensitive)?;
        Ok(Self { regex, config })
    }

    /// The key of what is found.
    fn threat(&self, request: &Request, body: Option<&[u8]>) -> Option<&'static str> {
        // Bytes that are no UTF-8 become a character that expressions may pass over: they hide nothing.
        let fits = |bytes: &[u8]| self.regex.is_match(&String::from_utf8_lossy(bytes));
        if self.config.check_headers && request.head.fields.iter().any(|(name, value)| fits(name) || fits(value)) {
            return Some("REGEX_THREAT_HEADER_DETECTED");
        }
        if self.config.check_path && self.fits_path(request) {
            return Some("REGEX_THREAT_PATH_DETECTED");
        }
        body.is_some_and(fits).then_some("REGEX_THREAT_BODY_DETECTED")
    }

    fn fits_path(&self, request: &Request) -> bool {
        let query = request.head.query().unwrap_or_default();
        self.regex.is_match(&query::decoded(request.rest(), false))
            || query::pairs(query).any(|pair| {
                let (name, value) = query::parameter(pair);
                self.regex.is_match(&name) || self.regex.is_match(&value)
            })
    }
}

impl Policy for RegexThreatProtection {
    fn phases(&self) -> Phases {
        if self.config.check_body { Phases::REQUEST.with_content() } else { Phases::REQUEST }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let body = exchange.contents.request.as_deref().filter(|body| self.config.check_body && !body.is_empty());
        match exchange.request.as_deref().and_then(|request| self.threat(request, body)) {
            None => Step::Next,
            Some(key) => Step::Reply(Box::new(Reply::refusal(StatusCode::BAD_REQUEST, key, "Bad Request"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_no_text_hides_nothing() {
        let config =
            serde_json::from_str(r#"{"regex": ".*drop\\s+table.*", "checkHeaders": false, "checkPath": false}"#);
        let policy = RegexThreatProtection::new(config.unwrap()).unwrap();
        let threat = |body: &[u8]| policy.threat(&Request::default(), Some(body));
        assert_eq!(threat(b"\xff\xfe\n DROP\t table x \xc3"), Some("REGEX_THREAT_BODY_DETECTED"));
        assert_eq!(threat(b"\xff\xfe"), None);
    }
}
