//! Cross-origin resource sharing (the Fetch standard), as the listener's `cors` block says.

use bytes::Bytes;
use http::{Method, StatusCode};
use regex::Regex;
use ringway_contract::Reply;
use ringway_wire::{Fields, Known, RequestHead};

/// The rules of one listener; without any, nothing is done.
#[derive(Debug, Default)]
pub struct Cors {
    rules: Option<Rules>,
}

/// Rules that are in force.
#[derive(Debug)]
pub struct Rules {
    /// Origins that may call.
    pub origins: Vec<Origin>,
    /// Methods that may be used.
    pub methods: String,
    /// Fields that may be sent.
    pub headers: String,
    /// Fields that a script may see.
    pub expose: String,
    /// Whether credentials may be sent.
    pub credentials: bool,
    /// How long a preflight's answer holds, in seconds; `None` leaves it to the browser.
    pub max_age_s: Option<u64>,
}

/// An origin that may call.
#[derive(Debug)]
pub enum Origin {
    /// Every one.
    Any,
    /// This one.
    Exact(String),
    /// Those that match as a whole.
    Pattern(Regex),
}

impl Origin {
    /// Reads `*`, an origin, or a regular expression.
    ///
    /// # Errors
    /// The expression is not valid.
    pub fn parse(text: &str) -> Result<Self, regex::Error> {
        match text {
            "*" => Ok(Self::Any),
            plain if plain.bytes().all(|b| b.is_ascii_alphanumeric() || b":/-".contains(&b)) => {
                Ok(Self::Exact(plain.to_owned()))
            }
            // A dot in a plain origin is meant as a dot or as any character: both take the origin itself.
            pattern => Regex::new(&format!("^(?:{pattern})$")).map(Self::Pattern),
        }
    }

    fn takes(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == origin,
            Self::Pattern(pattern) => pattern.is_match(origin),
        }
    }
}

impl Cors {
    /// Puts rules in force.
    pub fn new(rules: Rules) -> Self {
        Self { rules: Some(rules) }
    }

    /// The answer to a preflight; `None` when the request is none.
    pub fn preflight(&self, head: &RequestHead) -> Option<Box<Reply>> {
        let rules = self.rules.as_ref()?;
        let wanted = head.fields.get("access-control-request-method")?;
        if head.method != Method::OPTIONS {
            return None;
        }
        let origin = head.fields.known(Known::Origin)?;
        let method = std::str::from_utf8(wanted).unwrap_or_default();
        let headers = head.fields.get("access-control-request-headers").unwrap_or_default();
        let headers = std::str::from_utf8(headers).unwrap_or_default();
        let fine = rules.origin(origin).is_some()
            && lists(&rules.methods, method, true)
            && headers.split(',').all(|name| lists(&rules.headers, name.trim(), false));
        if !fine {
            let message = "The origin, method or headers of this preflight are not allowed.";
            return Some(Box::new(Reply::refusal(StatusCode::BAD_REQUEST, "CORS_PREFLIGHT_FAILED", message)));
        }
        let mut reply = Reply::answer(StatusCode::OK, Bytes::new());
        for (name, value) in
            [("Access-Control-Allow-Methods", &rules.methods), ("Access-Control-Allow-Headers", &rules.headers)]
        {
            if !value.is_empty() {
                reply = reply.header(name, value.clone());
            }
        }
        if let Some(max_age) = rules.max_age_s {
            reply = reply.header("Access-Control-Max-Age", max_age.to_string());
        }
        Some(Box::new(reply))
    }

    /// Adds what a browser must see on any response to a cross-origin request. The origin is named, never `*`, so that
    /// credentials work; `Vary` keeps caches apart.
    pub fn annotate(&self, head: &RequestHead, fields: &mut Fields) {
        let Some(rules) = &self.rules else { return };
        let _ = fields.append("Vary", "Origin");
        let Some(origin) = head.fields.known(Known::Origin).and_then(|origin| rules.origin(origin)) else { return };
        let _ = fields.set("Access-Control-Allow-Origin", origin);
        if rules.credentials {
            let _ = fields.set("Access-Control-Allow-Credentials", "true");
        }
        if !rules.expose.is_empty() {
            let _ = fields.set("Access-Control-Expose-Headers", &rules.expose);
        }
    }
}

impl Rules {
    fn origin<'a>(&self, origin: &'a [u8]) -> Option<&'a str> {
        let origin = std::str::from_utf8(origin).ok()?;
        self.origins.iter().any(|allowed| allowed.takes(origin)).then_some(origin)
    }
}

/// Whether a comma list names `item`, or `*`; an empty item is always there.
fn lists(list: &str, item: &str, exact: bool) -> bool {
    item.is_empty()
        || list
            .split(',')
            .map(str::trim)
            .any(|allowed| allowed == "*" || if exact { allowed == item } else { allowed.eq_ignore_ascii_case(item) })
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use ringway_wire::Limits;

    use super::*;

    fn cors() -> Cors {
        Cors::new(Rules {
            origins: [r"https://app\.example\.test", "http://localhost:3000"]
                .iter()
                .map(|origin| Origin::parse(origin).unwrap())
                .collect(),
            methods: "GET, POST".into(),
            headers: "content-type".into(),
            expose: "x-total".into(),
            credentials: true,
            max_age_s: Some(600),
        })
    }

    fn head(text: &str) -> RequestHead {
        let mut head = RequestHead::default();
        head.parse(&mut BytesMut::from(text), &Limits::default()).unwrap();
        head
    }

    fn preflight(origin: &str, method: &str, headers: &str) -> Option<StatusCode> {
        let head = head(&format!(
            "OPTIONS /a HTTP/1.1\r\nHost: h\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: {method}\r\n\
             Access-Control-Request-Headers: {headers}\r\n\r\n"
        ));
        cors().preflight(&head).map(|reply| reply.status)
    }

    #[test]
    fn preflights_are_answered_by_the_rules() {
        for (origin, method, headers, status) in [
            ("https://app.example.test", "GET", "Content-Type", 200),
            ("http://localhost:3000", "POST", "", 200),
            ("https://app.example.test.evil", "GET", "", 400),
            ("https://appXexample.test", "GET", "", 400),
            ("https://app.example.test", "DELETE", "", 400),
            ("https://app.example.test", "GET", "content-type, x-other", 400),
        ] {
            assert_eq!(
                preflight(origin, method, headers).map(|status| status.as_u16()),
                Some(status),
                "{origin} {method} {headers}"
            );
        }
        assert!(cors().preflight(&head("OPTIONS /a HTTP/1.1\r\nHost: h\r\n\r\n")).is_none());
    }

    #[test]
    fn responses_name_the_origin() {
        let mut fields = Fields::default();
        cors().annotate(&head("GET / HTTP/1.1\r\nHost: h\r\nOrigin: http://localhost:3000\r\n\r\n"), &mut fields);
        assert_eq!(fields.get("access-control-allow-origin"), Some(&b"http://localhost:3000"[..]));
        assert_eq!(fields.get("access-control-allow-credentials"), Some(&b"true"[..]));
        let mut strange = Fields::default();
        cors().annotate(&head("GET / HTTP/1.1\r\nHost: h\r\nOrigin: http://evil\r\n\r\n"), &mut strange);
        assert_eq!(strange.get("access-control-allow-origin"), None);
        assert_eq!(strange.get("vary"), Some(&b"Origin"[..]));
    }
}
