//! What an API reaches.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use ringway_wire::Authority;

use crate::{Exchange, Fault, FetchResponse, Lane};

/// A pending health probe: what the backend answered, without its body unless [`HealthRequest::content`] asks for it.
pub type Probe = Pin<Box<dyn Future<Output = Result<FetchResponse, Fault>>>>;

/// What a health check asks.
#[derive(Clone, Debug)]
pub struct HealthRequest {
    /// The method.
    pub method: http::Method,
    /// A path, or a URL.
    pub target: String,
    /// Whether a path replaces that of the endpoint instead of being appended to it.
    pub override_path: bool,
    /// Fields of the request.
    pub headers: Vec<(String, String)>,
    /// Whether the body of the answer is read.
    pub content: bool,
}

/// The origin of a URL that a policy sends a request to, in place of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Whether TLS is spoken: `https`.
    pub tls: bool,
    /// A name in lower case, or an address; of IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Elsewhere {
    /// Whether a text means a URL rather than the name of an endpoint.
    pub fn is_url(text: &str) -> bool {
        let begins = |scheme: &str| text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
        begins("http://") || begins("https://")
    }

    /// Reads the origin of an `http` or `https` URL; the other half is what follows it, as it stands: nothing, or a path and a query. `None`: its
    /// authority is none, names a user, or has a port that is none.
    pub fn of(url: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = url.split_once("://").filter(|_| Self::is_url(url))?;
        let tls = scheme.len() == "https".len();
        let (authority, rest) = rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len()))?;
        // As an endpoint's target names a Unix socket: not the host that it would be here.
        if authority.eq_ignore_ascii_case("unix:") {
            return None;
        }
        let mut host = String::new();
        let read = Authority::parse(authority.as_bytes(), &mut host)?;
        let port = read.port.unwrap_or(if tls { 443 } else { 80 });
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        (port > 0).then_some((Self { tls, host, port }, rest))
    }
}

/// Speaks the backend's protocol on one side and frames on the other. Built once per shard.
pub trait Endpoint {
    /// Puts what of its configuration changes from request to request on the exchange, before its request goes to one of the lanes.
    ///
    /// # Errors
    /// Something cannot be evaluated.
    fn prepare(&self, _exchange: &mut Exchange) -> Result<(), Fault> {
        Ok(())
    }

    /// A fresh lane: one backend connection, made when the first exchange opens, then kept.
    fn lane(self: Rc<Self>) -> Lane;

    /// Most lanes that this shard may hold at once, idle ones included. At least 1.
    fn lanes_max(&self) -> usize;

    /// How long a lane may stay idle before it is dropped, in milliseconds. 0: it is not kept.
    fn idle_ms(&self) -> u64;

    /// The same towards another place, for requests that a policy sends there; it sees nothing that is meant for this endpoint only.
    /// `public`: addresses that are not those of the public internet are not dialled. `None`: there is no other place by this protocol.
    fn elsewhere(&self, _place: &Elsewhere, _public: bool) -> Option<Rc<dyn Endpoint>> {
        None
    }

    /// Asks the backend for a sign of life, within the endpoint's own timeouts.
    fn probe(self: Rc<Self>, check: Rc<HealthRequest>) -> Probe;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_and_the_rest_is_left() {
        let origin = |tls, host: &str, port| Elsewhere { tls, host: host.into(), port };
        for (url, expected) in [
            ("http://next.test", Some((origin(false, "next.test", 80), ""))),
            ("HTTPS://Next.Test:8443/a?b", Some((origin(true, "next.test", 8443), "/a?b"))),
            ("http://next.test?b", Some((origin(false, "next.test", 80), "?b"))),
            ("https://[::1]:443/", Some((origin(true, "::1", 443), "/"))),
            ("ftp://next.test/", None),
            ("http:/next.test/", None),
            ("http://", None),
            ("http:///a", None),
            ("http://user@next.test/", None),
            ("http://next.test:0/", None),
            ("http://next.test:99999/", None),
            ("http://next.test\\@evil.test/", None),
            ("http://next.test\r\nx: y/", None),
            ("http://next.test#evil/", None),
            ("http://unix:/run/a.sock", None),
            ("stores:/http://", None),
        ] {
            assert_eq!(Elsewhere::of(url), expected, "{url}");
        }
    }
}
