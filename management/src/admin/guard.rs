//! Who may talk to the admin port.
//!
//! The port has no login; it is bound to loopback. Two attacks reach a loopback port through a victim's browser, and both are
//! answered here, before any handler:
//!
//! * *DNS rebinding*: a hostile name resolves to 127.0.0.1, and the page on it is then "same origin" with this port. Its requests
//!   carry the hostile name in `Host`, so only loopback names and addresses are accepted while the port listens on loopback.
//! * *Cross-site request forgery*: a page on any site may post a form here. It cannot set a header of its own without a
//!   preflight, which this port never answers, so every method that changes something must carry `X-Ringway-Admin`.
//!
//! When an operator binds the port to another address, the names by which it is reached are not known here; `Host` is then not
//! checked, and what stands in front of the port must be.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ringway_config::settings::Listen;

use super::problem::ProblemDetails;

/// The header that a request must carry to change something. Its value does not matter.
pub const ADMIN_HEADER: &str = "x-ringway-admin";

/// What the port listens on decides whether `Host` is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    loopback: bool,
}

impl Guard {
    pub(crate) fn new(listen: &Listen) -> Self {
        // No browser reaches a Unix socket.
        Self { loopback: matches!(listen, Listen::Tcp(address) if address.ip().is_loopback()) }
    }

    /// `Ok` when the request may go on.
    fn check(self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ProblemDetails> {
        if self.loopback {
            let mut hosts = headers.get_all(header::HOST).iter();
            let host = match (hosts.next(), hosts.next()) {
                (Some(host), None) => host.to_str().unwrap_or_default(),
                _ => return Err(ProblemDetails::new(StatusCode::BAD_REQUEST, "exactly one Host header is needed")),
            };
            // RFC 9112 section 3.2.2: the authority of an absolute-form target wins over Host. Both must be local here.
            let target = uri.authority().map_or(host, |authority| authority.as_str());
            if !is_loopback_name(host) || !is_loopback_name(target) {
                return Err(ProblemDetails::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "the admin port listens on loopback and answers to loopback names only",
                ));
            }
        }
        if !method.is_safe() && !headers.contains_key(ADMIN_HEADER) {
            return Err(ProblemDetails::new(
                StatusCode::FORBIDDEN,
                "a request that changes something needs the header `X-Ringway-Admin: 1`",
            ));
        }
        Ok(())
    }
}

/// The middleware.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.check(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Whether a `Host` value (RFC 9110 section 7.2: host and optional port) names this machine's loopback.
fn is_loopback_name(host: &str) -> bool {
    let name = if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
            return false;
        }
        address
    } else {
        match host.split_once(':') {
            Some((name, port)) if is_port(port) => name,
            Some(_) => return false,
            None => host,
        }
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_local() {
        for host in ["localhost", "LOCALHOST:18082", "127.0.0.1", "127.8.0.1:1", "[::1]", "[::1]:18082"] {
            assert!(is_loopback_name(host), "{host}");
        }
        for host in [
            "",
            "evil.test",
            "evil.test:18082",
            "localhost.evil.test",
            "127.0.0.1.evil.test",
            "10.0.0.1",
            "0.0.0.0",
            "[::1",
            "[::1]x",
            "::1",
            "localhost:",
            "localhost:99999",
            "user@localhost",
        ] {
            assert!(!is_loopback_name(host), "{host}");
        }
    }

    fn verdict(
        listen: &str,
        method: Method,
        uri: &'static str,
        headers: &[(&'static str, &'static str)],
    ) -> Option<u16> {
        let guard = Guard::new(&listen.parse().unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let problem = guard.check(&method, &Uri::from_static(uri), &map).err()?;
        Some(problem.into_response().status().as_u16())
    }

    #[test]
    fn a_rebound_name_is_refused_on_loopback_only() {
        assert_eq!(verdict("127.0.0.1:1", Method::GET, "/", &[("host", "localhost:1")]), None);
        assert_eq!(verdict("127.0.0.1:1", Method::GET, "/", &[("host", "evil.test")]), Some(421));
        assert_eq!(verdict("127.0.0.1:1", Method::GET, "http://evil.test/", &[("host", "localhost")]), Some(421));
        assert_eq!(verdict("0.0.0.0:1", Method::GET, "/", &[("host", "gateway.internal")]), None);
        assert_eq!(verdict("unix:/run/a.sock", Method::GET, "/", &[("host", "anything")]), None);
    }

    #[test]
    fn a_missing_or_doubled_host_is_refused() {
        assert_eq!(verdict("127.0.0.1:1", Method::GET, "/", &[]), Some(400));
        assert_eq!(
            verdict("127.0.0.1:1", Method::GET, "/", &[("host", "localhost"), ("host", "localhost")]),
            Some(400)
        );
    }

    #[test]
    fn a_change_needs_the_header() {
        let host = ("host", "localhost");
        assert_eq!(verdict("127.0.0.1:1", Method::POST, "/reload", &[host]), Some(403));
        assert_eq!(verdict("127.0.0.1:1", Method::PUT, "/log-level", &[host]), Some(403));
        assert_eq!(verdict("127.0.0.1:1", Method::POST, "/reload", &[host, ("x-ringway-admin", "1")]), None);
        assert_eq!(verdict("0.0.0.0:1", Method::POST, "/reload", &[host]), Some(403));
    }
}
