//! Where the keys of a plan come from.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::Shared;
use ringway_contract::{Exchange, Fetch, Refusal, Template, Vocabulary};

use super::{Algorithm, Config, Resolver};
use crate::jose::{Flight, Key, KeySet, Remote};

/// Different keys or URLs that the expressions of one plan may lead to; one more takes the place of the oldest.
const RESOLVED_MAX: usize = 16;

/// Keys that were found.
#[derive(Clone)]
pub(super) enum Resolved {
    Given(Rc<KeySet>),
    Remote(Rc<Remote>),
}

impl Resolved {
    pub(super) fn keys(&self) -> Option<Rc<KeySet>> {
        match self {
            Self::Given(keys) => Some(keys.clone()),
            Self::Remote(remote) => remote.keys(),
        }
    }

    pub(super) fn due(&self) -> Option<Shared<Flight>> {
        if let Self::Remote(remote) = self { remote.due() } else { None }
    }

    pub(super) fn renewed(&self) -> Option<Shared<Flight>> {
        if let Self::Remote(remote) = self { remote.renewed() } else { None }
    }
}

pub(super) struct Keys {
    parameter: Template,
    maker: Maker,
    /// By what the parameter was; the only one where it has no expression.
    known: RefCell<Vec<(String, Resolved)>>,
}

struct Maker {
    resolver: Resolver,
    algorithm: Algorithm,
    timeout: Duration,
    fetch: Option<Rc<dyn Fetch>>,
}

impl Keys {
    pub(super) fn new(config: &Config, fetch: Option<Rc<dyn Fetch>>) -> Result<Self, Refusal> {
        let gateway_keys = config.public_key_resolver == Resolver::GatewayKeys;
        let text = if gateway_keys { "" } else { &*config.resolver_parameter };
        let parameter = Template::compile(text, &Vocabulary::request())
            .map_err(|problem| Refusal(format!("`resolverParameter`: {problem}")))?;
        let timeout = config.connect_timeout.saturating_add(config.request_timeout);
        let maker = Maker {
            resolver: config.public_key_resolver,
            algorithm: config.signature,
            timeout: Duration::from_millis(timeout),
            fetch,
        };
        let mut known = Vec::new();
        if gateway_keys {
            known.push((String::new(), Resolved::Given(Rc::new(of_issuers(config)?))));
        } else if let Some(text) = parameter.as_text() {
            let made = maker.make(text).map_err(|reason| Refusal(format!("`resolverParameter`: {reason}")))?;
            known.extend(made.map(|made| (text.to_owned(), made)));
        }
        Ok(Self { parameter, maker, known: RefCell::new(known) })
    }

    /// The keys for an exchange; `None`: what the expression leads to is no key.
    pub(super) fn of(&self, exchange: &Exchange) -> Option<Resolved> {
        if self.parameter.as_text().is_some() {
            return self.known.borrow().first().map(|(_, resolved)| resolved.clone());
        }
        let mut text = String::new();
        self.parameter.render(exchange, &mut text).ok()?;
        let mut known = self.known.borrow_mut();
        if let Some((_, resolved)) = known.iter().find(|(own, _)| *own == text) {
            return Some(resolved.clone());
        }
        let made = self.maker.make(&text).ok()??;
        if known.len() >= RESOLVED_MAX {
            known.remove(0);
        }
        known.push((text, made.clone()));
        Some(made)
    }
}

/// The keys that the configuration names for issuers.
fn of_issuers(config: &Config) -> Result<KeySet, Refusal> {
    let all =
        config.gateway_keys.iter().flat_map(|(issuer, keys)| keys.iter().map(move |(kid, key)| (issuer, kid, key)));
    let read = all.map(|(issuer, kid, key)| {
        let key = Key::given(config.signature, key);
        let key = key.map_err(|reason| Refusal(format!("`gatewayKeys`, `{issuer}`, `{kid}`: {reason}")))?;
        Ok((issuer.clone(), kid.clone(), key))
    });
    let keys = read.collect::<Result<Vec<_>, Refusal>>()?;
    if keys.is_empty() {
        let message = "`publicKeyResolver: GATEWAY_KEYS` needs `gatewayKeys: { <issuer>: { <kid or default>: <key> } }`: what stands below \
                       `policy.jwt.issuer` in the settings of the reference product's gateway; or give the key (`GIVEN_KEY`) or the URL of a \
                       key set (`JWKS_URL`)";
        return Err(Refusal(message.into()));
    }
    Ok(KeySet::of_issuers(keys))
}

impl Maker {
    /// `None`: it is good, and there is no client to fetch with, because a configuration is only checked.
    fn make(&self, text: &str) -> Result<Option<Resolved>, String> {
        if text.trim().is_empty() {
            return Err("it is empty".into());
        }
        if self.resolver == Resolver::GivenKey {
            let key = Key::given(self.algorithm, text)?;
            return Ok(Some(Resolved::Given(Rc::new(KeySet::of(key)))));
        }
        let url = text.trim();
        let parsed = url.parse::<http::Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
        if parsed.is_none() {
            return Err("it is not an http or https URL".into());
        }
        let remote = |fetch| Remote::shared(url, self.timeout, self.algorithm, fetch);
        Ok(self.fetch.clone().map(remote).map(Resolved::Remote))
    }
}
