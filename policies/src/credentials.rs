//! Credentials of a request: where they stand, and how they are taken out of it.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringway_contract::scope::{decoded, parameters};
use ringway_contract::{Exchange, Fields, Known, Refusal, Request, RequestHead};

use crate::ip_filtering::ranges::{Ranges, range};

/// The query parameter that may carry a bearer token (RFC 6750 section 2.3).
const ACCESS_TOKEN: &str = "access_token";

/// The bearer token of a request: of its first `Authorization` field of that scheme, or of the query parameter `access_token`. `None`: it
/// carries none; empty: it carries an empty one.
pub fn bearer(head: &RequestHead) -> Option<Cow<'_, str>> {
    let own = head.fields.get_all("authorization").find_map(|value| after_scheme(value, "bearer"));
    own.map(Cow::Borrowed).or_else(|| parameter(head, ACCESS_TOKEN))
}

/// What stands behind the scheme of an `Authorization` field, if the field is of this scheme. What is no text cannot be good: it is empty.
pub fn after_scheme<'a>(value: &'a [u8], scheme: &str) -> Option<&'a str> {
    let (own, rest) = value.split_at_checked(scheme.len())?;
    let ends = matches!(rest.first(), None | Some(b' ' | b'\t'));
    (ends && own.eq_ignore_ascii_case(scheme.as_bytes())).then(|| std::str::from_utf8(rest).unwrap_or_default().trim())
}

/// The first query parameter of this name, decoded.
pub fn parameter<'a>(head: &'a RequestHead, name: &str) -> Option<Cow<'a, str>> {
    parameters(head.query()?).find(|(known, _)| known == name).map(|(_, value)| value)
}

/// Takes every query parameter of this name out; what stays is not touched.
pub fn remove_parameter(head: &mut RequestHead, name: &str) {
    let Some(query) = head.query() else { return };
    let named = |pair: &str| parameters(pair).any(|(known, _)| known == name);
    if !query.split('&').any(named) {
        return;
    }
    let rest = query.split('&').filter(|pair| !named(pair)).collect::<Vec<_>>().join("&");
    // A part of what was a query is one.
    let _ = head.set_query(Some(&*rest).filter(|rest| !rest.is_empty()));
}

/// Takes a bearer token out, wherever it stands.
pub fn remove_bearer(head: &mut RequestHead) {
    head.fields.remove_known(Known::Authorization);
    remove_parameter(head, ACCESS_TOKEN);
}

/// The request's head. An exchange that a guard sees has its request.
pub fn head(exchange: &Exchange) -> Option<&RequestHead> {
    exchange.request.as_deref().map(|request: &Request| &request.head)
}

/// The DER of a certificate in a field: PEM or its base64 alone, percent-encoded or with blanks for its line ends, or between colons
/// (RFC 9440 section 2.1).
pub fn certificate_in(value: &str) -> Option<Vec<u8>> {
    let text = decoded(value, false);
    let body = text.trim();
    let body = match body.strip_prefix("-----BEGIN CERTIFICATE-----") {
        Some(rest) => rest.strip_suffix("-----END CERTIFICATE-----")?,
        None => body.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')).unwrap_or(body),
    };
    let digits: String = body.chars().filter(|character| !character.is_whitespace()).collect();
    STANDARD.decode(digits).ok()
}

/// Proxies that tell of their clients' certificates in a field.
pub struct Told {
    name: String,
    proxies: Ranges,
}

impl Told {
    /// The field of this name, of peers with these addresses or of these networks.
    ///
    /// # Errors
    /// The name is none of a field, or one of `proxies` is no network; or there are none, and everyone could be anyone.
    pub fn new(name: &str, proxies: &[String]) -> Result<Self, Refusal> {
        let probed = Fields::default().append(name, b"certificate");
        probed.map_err(|error| Refusal(format!("the field `{name}`: {error}")))?;
        if proxies.is_empty() {
            let message = "`trustedProxies` is empty: name the addresses or networks of the proxies whose word on a certificate counts";
            return Err(Refusal(message.into()));
        }
        let of = |text: &String| {
            range(text, false)
                .ok_or_else(|| Refusal(format!("`trustedProxies`: `{text}` is no address and no network")))
        };
        let proxies = Ranges::new(proxies.iter().map(of).collect::<Result<_, _>>()?);
        Ok(Self { name: name.to_owned(), proxies })
    }

    /// The DER that a proxy tells of; empty where it is no certificate. `None`: it tells of none, or the peer is no such proxy.
    pub fn of(&self, exchange: &Exchange) -> Option<Vec<u8>> {
        let peer = exchange.client.address?.ip();
        let mut values = head(exchange)?.fields.get_all(&self.name).filter(|value| !value.is_empty());
        let value = values.next().filter(|_| self.proxies.contains(peer))?;
        // Two are none: one of them is of the client's making.
        let text = std::str::from_utf8(value).ok().filter(|_| values.next().is_none());
        Some(text.and_then(certificate_in).unwrap_or_default())
    }
}
