//! Credentials of a request: where they stand, and how they are taken out of it.

use std::borrow::Cow;

use ringway_contract::scope::parameters;
use ringway_contract::{Exchange, Known, Request, RequestHead};

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
