//! What the schemas of an HTTP backend's configuration let pass: values that [`super::ENDPOINT`] would refuse to be built with, found
//! before a gateway starts with them, and values that it does not act on.

use std::path::PathBuf;

use ringway_contract::kind::decode;
use ringway_contract::{Node, Problem};

use super::backend::Way;
use super::config::{EndpointConfig, SharedConfig, Version};
use super::headers::Headers;
use super::target::Target;

const SHARED: &str = "sharedConfiguration";

/// All that is wrong or without effect. Both nodes fit their schemas.
pub fn examine(configuration: Option<&Node>, shared: Option<&Node>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (Some(node), Ok(EndpointConfig { target })) = (configuration, decode(configuration)) else { return problems };
    let parsed = Target::parse(&target);
    if let Err(error) = &parsed {
        let place = node.field("target").unwrap_or(node);
        // What was substituted may be a secret.
        let message = if place.substituted { "the substituted value is no target" } else { error };
        problems.push(Problem::error(&place.span, "configuration.target", message));
    }
    if let (Some(node), Ok(config)) = (shared, decode::<SharedConfig>(shared)) {
        let config = config.located(shared);
        let secure = parsed.is_ok_and(|target| target.tls) || config.http.follow_redirects;
        refusals(node, &config, secure, &mut problems);
        warnings(node, &config, &mut problems);
    }
    problems
}

/// The stores that it is built from, whether or not a connection asks for them now: a health check by TLS may.
pub fn files(_: Option<&Node>, shared: Option<&Node>) -> Vec<PathBuf> {
    decode::<SharedConfig>(shared).map_or_else(|_| Vec::new(), |config| config.located(shared).ssl.files())
}

fn refusals(node: &Node, config: &SharedConfig, secure: bool, problems: &mut Vec<Problem>) {
    let items = node.field("headers").map(Node::items).unwrap_or_default();
    for (at, (header, item)) in config.headers.iter().zip(items).enumerate() {
        if let Err(refusal) = Headers::new(std::slice::from_ref(header)) {
            problems.push(Problem::error(&item.span, format!("{SHARED}.headers[{at}]"), refusal.0));
        }
    }
    let mut refuse = |path: &[&str], message: String| {
        let place = path.iter().try_fold(node, |node, step| node.field(step)).unwrap_or(node);
        problems.push(Problem::error(&place.span, format!("{SHARED}.{}", path.join(".")), message));
    };
    if let Err(refusal) = Way::new(&config.proxy, secure) {
        refuse(&["proxy"], refusal.0);
    }
    // A store that nothing asks for may be left over from another time.
    if secure {
        let place = node.field("ssl").unwrap_or(node);
        problems.extend(config.ssl.problems(place, &format!("{SHARED}.ssl")));
    }
}

fn warnings(node: &Node, config: &SharedConfig, problems: &mut Vec<Problem>) {
    let http = &config.http;
    let packs = http.use_compression == Some(true);
    for (applies, group, field, message) in [
        (
            http.version == Version::Http2,
            "http",
            "version",
            "`HTTP_2` comes with a later release: the backend is called by HTTP/1.1, one request per connection at a time",
        ),
        (
            http.version == Version::Http2,
            "http",
            "clearTextUpgrade",
            "`clearTextUpgrade` has no effect: HTTP/2 to backends comes with a later release",
        ),
        (
            http.pipelining,
            "http",
            "pipelining",
            "`pipelining` has no effect: a connection carries one request at a time, and more of them are opened instead, up to \
             `maxConcurrentConnections`; pipelined requests would wait for the slowest before them, and be lost with it",
        ),
        (
            packs && http.propagate_client_accept_encoding,
            "http",
            "propagateClientAcceptEncoding",
            "`propagateClientAcceptEncoding` has no effect beside `useCompression: true`",
        ),
        (
            config.ssl.trust_all,
            "ssl",
            "trustAll",
            "`trustAll` takes any certificate: whoever is on the way can read and change all",
        ),
    ] {
        let place = node.field(group).and_then(|group| group.entry(field));
        if let Some(place) = place.filter(|_| applies) {
            problems.push(Problem::warning(&place.span, format!("{SHARED}.{group}.{field}"), message));
        }
    }
}
