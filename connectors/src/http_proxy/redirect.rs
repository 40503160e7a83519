//! Redirects that the gateway follows itself, where `followRedirects` asks for it (RFC 9110 section 15.4).
//!
//! ```text
//!   lane's connection    GET /a ─▶ 302 /b    GET /b ─▶ 302 http://other/c         (stays with the lane, if it can)
//!   one of its own                                     GET /c ─▶ 200 ──▶ Reply    (closed afterwards)
//! ```
//!
//! Only GET and HEAD without a body are followed: sending a body again would mean keeping it. A hop to another origin (scheme, host
//! or port) loses the client's credentials and the endpoint's own fields for good, even if a later hop leads back.

use std::pin::pin;

use http::Method;
use ringway_contract::lane::send;
use ringway_contract::{Cause, Fault, Frame, Request, Retry};
use ringway_net::Stream;
use ringway_ring::Sender;
use ringway_wire::{Authority, Connection, Fields, Framing, Known, RequestHead, ResponseHead, TargetParts};

use super::backend;
use super::lane::Exchange;
use super::request;
use super::response::{self, Received};
use super::target::Target;

/// Redirects in a row that are followed. The next one goes to the client as it is.
const REDIRECTS_MAX: usize = 10;

/// A redirect that is to be followed.
pub struct Moved {
    /// The client's request.
    pub request: Box<Request>,
    /// Where to.
    pub to: Hop,
    /// Whether the connection that it came over may serve another request.
    pub reusable: bool,
}

/// A request that a redirect asks for.
pub struct Hop {
    /// The origin; its base is not used.
    target: Target,
    /// What `Host` says.
    host: String,
    /// Path and query; the fields come when it is sent.
    head: RequestHead,
    /// Whether no hop so far has left the endpoint's own origin.
    home: bool,
}

impl Hop {
    /// The endpoint's own target, as `request` was sent to it.
    fn first(exchange: &Exchange<'_>, request: &Request) -> Option<Self> {
        let endpoint = exchange.endpoint;
        let mut room = String::new();
        let host = request::host(endpoint, request, &mut room).to_owned();
        let mut path = endpoint.target.base.clone() + request.rest();
        if path.is_empty() {
            path.push('/');
        }
        let mut head = RequestHead::new();
        head.set_path(&path, &endpoint.limits.uri).ok()?;
        head.set_query(request.head.query()).ok()?;
        Some(Self { target: endpoint.target.clone(), host, head, home: true })
    }

    /// What a `Location` means here (RFC 3986 section 5.2). `None` where it is no http or https URL, or its path is not one that a
    /// client could have sent.
    fn resolve(&self, location: &str, exchange: &Exchange<'_>) -> Option<Self> {
        let location = location.split('#').next().filter(|location| !location.is_empty())?;
        // A colon before any slash ends a scheme: the first segment of a relative path has none.
        let scheme = location.split_once(':').filter(|(before, _)| !before.contains(['/', '?']));
        let (tls, rest) = match scheme {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some(_) => return None,
            None => (self.target.tls, location),
        };
        let (target, rest) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, rest) = rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len()))?;
                (Some(target(tls, authority)?), rest)
            }
            None if scheme.is_some() => return None,
            None => (None, rest),
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let mut head = RequestHead::new();
        let uri = &exchange.endpoint.limits.uri;
        match (&target, path) {
            (Some(_), "") => head.set_path("/", uri),
            (None, "") => head.set_path(self.head.path(), uri),
            (_, path) if path.starts_with('/') => head.set_path(path, uri),
            (_, path) => {
                let folder =
                    self.head.path().rfind('/').and_then(|slash| self.head.path().get(..=slash)).unwrap_or("/");
                head.set_path(&format!("{folder}{path}"), uri)
            }
        }
        .ok()?;
        head.set_query(query).ok()?;
        let target = target.filter(|target| !self.is_at(target));
        Some(match target {
            None => Self { target: self.target.clone(), host: self.host.clone(), head, home: self.home },
            Some(target) => Self { host: target.authority.clone(), target, head, home: false },
        })
    }

    /// Whether this is the origin of `target`: by the backend's own name, or by the name that the backend was called by.
    fn is_at(&self, target: &Target) -> bool {
        let called =
            self::target(self.target.tls, &self.host).is_some_and(|called| called.authority == target.authority);
        self.target.tls == target.tls && (called || self.target.authority == target.authority)
    }

    /// Takes the fields of the request before, without what is not meant for this origin.
    fn inherit(&mut self, method: &Method, te_trailers: bool, before: &Fields) -> Option<()> {
        for (name, value) in before.iter() {
            let secret = Known::of(name).is_some_and(Known::is_credential);
            if self.home || !secret {
                self.head.fields.append(std::str::from_utf8(name).ok()?, value).ok()?;
            }
        }
        self.head.method = method.clone();
        self.head.te_trailers = te_trailers;
        Some(())
    }
}

fn target(tls: bool, authority: &str) -> Option<Target> {
    let mut host = String::new();
    let read = Authority::parse(authority.as_bytes(), &mut host)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if read.port == Some(0) { None } else { Some(Target::of_host(tls, host, read.port)) }
}

/// Where a response sends the client, if it does and the gateway may go there itself. Otherwise the response is the client's.
pub fn located(exchange: &Exchange<'_>, request: &Request, response: &ResponseHead) -> Option<Hop> {
    if !matches!(response.status.as_u16(), 301 | 302 | 303 | 307 | 308) || response.fields.is_repeated(Known::Location)
    {
        return None;
    }
    let location = std::str::from_utf8(response.fields.known(Known::Location)?).ok()?;
    match exchange.hop {
        Some(hop) => hop.resolve(location, exchange),
        None => Hop::first(exchange, request)?.resolve(location, exchange),
    }
}

/// A connection of a hop's own.
struct Own {
    stream: Stream,
    target: Target,
}

impl Drop for Own {
    /// Now, and not when the runtime comes to it.
    fn drop(&mut self) {
        self.stream.abort();
    }
}

/// Follows a redirect, and those after it, until a response is the client's. `true` when the lane's own connection may serve
/// another exchange.
pub async fn follow(lane: &Exchange<'_>, outbox: &mut Sender<Frame>, moved: Box<Moved>) -> bool {
    let endpoint = lane.endpoint;
    let Moved { mut request, to: mut hop, reusable: mut lane_is_free } = *moved;
    let head = &request.head;
    if hop.inherit(&head.method, head.te_trailers, &head.fields).is_none() {
        return fail(outbox, request, Fault::new(Cause::Internal), lane_is_free).await;
    }
    let mut own: Option<Own> = None;
    for followed in 1..=REDIRECTS_MAX {
        let over_lane = hop.home && lane_is_free;
        own = own.filter(|own| !over_lane && own.target == hop.target);
        let reused = over_lane || own.is_some();
        if !reused {
            match backend::connect(endpoint, &hop.target).await {
                Ok(stream) => own = Some(Own { stream, target: hop.target.clone() }),
                // The request before it did reach a backend.
                Err(fault) => return fail(outbox, request, fault.retry(Retry::Never), lane_is_free).await,
            }
        }
        let stream = own.as_ref().map_or(lane.stream, |own| &own.stream);
        let mut exchange = Exchange::new(endpoint, stream, lane.kept, reused);
        exchange.hop = Some(&hop);
        exchange.undoes.set(lane.undoes.get());
        exchange.follows.set(followed < REDIRECTS_MAX);
        let (back, mut next, reusable) = match ask(&exchange, &hop, outbox, request).await {
            Received::Done { reusable } => return if over_lane { reusable } else { lane_is_free },
            // Not reached: a request that asks for an upgrade is not redirected.
            Received::Upgraded(_) => return lane_is_free && !over_lane,
            Received::Moved(moved) => (moved.request, moved.to, moved.reusable),
        };
        if over_lane {
            lane_is_free = reusable;
        } else if !reusable {
            own = None;
        }
        if next.inherit(&hop.head.method, hop.head.te_trailers, &hop.head.fields).is_none() {
            return fail(outbox, back, Fault::new(Cause::Internal), lane_is_free).await;
        }
        (request, hop) = (back, next);
    }
    // Not reached: the last round relays whatever comes.
    lane_is_free
}

/// Sends the request of a hop and receives its response.
async fn ask(exchange: &Exchange<'_>, hop: &Hop, outbox: &mut Sender<Frame>, request: Box<Request>) -> Received {
    let endpoint = exchange.endpoint;
    let mut out = endpoint.shard.buffers.take();
    let target = TargetParts { prefix: "", path: hop.head.path(), query: hop.head.query() };
    let connection = if endpoint.shared.http.keep_alive { Connection::Keep } else { Connection::Close };
    hop.head.encode(&target, &hop.host, Framing::None, connection, &mut out);
    if hop.home {
        endpoint.headers.append_to(request.set.as_deref(), &mut out);
    }
    if exchange.undoes.get() {
        endpoint.codings.append_to(&mut out);
    }
    request::has_sent(exchange, request::send_head(exchange, out).await);
    response::receive(exchange, outbox, pin!(exchange.stream.arrival(None)), request).await
}

async fn fail(outbox: &mut Sender<Frame>, request: Box<Request>, fault: Fault, lane_is_free: bool) -> bool {
    send(outbox, Frame::Fail(request, fault)).await;
    lane_is_free
}
