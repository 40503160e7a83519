//! The guard of plans whose subscribers show a signed token.

mod config;
mod keys;

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use ringway_contract::kind::Part;
use ringway_contract::subscriber::now_ms;
use ringway_contract::{Admission, Exchange, Fetch, Guard, Kind, Refusal, Reply, Subscribers, Value};

use self::config::{Config, Resolver};
use self::keys::{Keys, Resolved};
use crate::credentials::{self, Told};
use crate::jose::{self, Algorithm, KeySet, Signed, Token};
use crate::tokens::Cache;

/// `jwt`.
pub static KIND: Kind<dyn Guard> = Kind {
    name: "jwt",
    about: "Lets subscribers in who show a signed token (JWT).",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(config::examine),
    shared: None,
    messaging: None,
    build: |source, services| {
        let config = ringway_contract::kind::decode(source.configuration)?;
        Ok(Rc::new(Jwt::new(config, services.fetch.clone())?))
    },
};

struct Jwt {
    config: Config,
    keys: Keys,
    /// Proxies whose word on a certificate counts.
    told: Option<Told>,
    cache: Cache<Verified>,
}

/// What was verified of a token. What depends on the moment or the connection is looked at each time.
struct Verified {
    claims: Value<'static>,
    client: Option<String>,
    user: Option<String>,
    /// Seconds since 1970.
    expires: Option<f64>,
    not_before: Option<f64>,
    thumbprint: Option<String>,
    /// Of the key set that verified it: when that changes, the token is verified again.
    revision: u64,
}

/// Why a token does not let in.
enum Unfit {
    Token,
    UnknownKey,
    NoKeys,
    Scope,
    Thumbprint,
    Subscription,
}

impl Unfit {
    fn reply(&self) -> Box<Reply> {
        let unauthorized = StatusCode::UNAUTHORIZED;
        let (status, key, message) = match self {
            Self::Token | Self::UnknownKey => (unauthorized, "JWT_INVALID_TOKEN", "The token is not valid."),
            Self::NoKeys => {
                let message = "The keys that tokens are checked with are not available.";
                (StatusCode::SERVICE_UNAVAILABLE, "JWT_KEYS_UNAVAILABLE", message)
            }
            Self::Scope => (unauthorized, "JWT_INSUFFICIENT_SCOPE", "The token lacks a scope."),
            Self::Thumbprint => {
                let message = "The token is bound to another certificate.";
                (unauthorized, "JWT_INVALID_CERTIFICATE_BOUND_THUMBPRINT", message)
            }
            Self::Subscription => {
                (unauthorized, "GATEWAY_PLAN_UNRESOLVABLE", "The token's client is not subscribed to this plan.")
            }
        };
        let reply = Reply::refusal(status, key, message);
        // RFC 6750 section 3.
        Box::new(if status == unauthorized {
            reply.header("WWW-Authenticate", &b"Bearer error=\"invalid_token\""[..])
        } else {
            reply
        })
    }
}

impl Jwt {
    /// `fetch` is not there while a configuration is only checked.
    fn new(config: Config, fetch: Option<Rc<dyn Fetch>>) -> Result<Self, Refusal> {
        if config.revocation_check.enabled {
            return Err(Refusal(
                "`revocationCheck` comes with a later release: without it, revoked tokens would be let in".into(),
            ));
        }
        let bound = &config.confirmation_method_validation.certificate_bound_thumbprint;
        let told = bound.enabled && bound.extract_certificate_from_header;
        let told = told.then(|| Told::new(&bound.header_name, &bound.trusted_proxies)).transpose()?;
        if config.check_required_scopes && config.required_scopes.is_empty() {
            return Err(Refusal("`checkRequiredScopes` needs `requiredScopes`".into()));
        }
        let keys = Keys::new(&config, fetch)?;
        Ok(Self { config, keys, told, cache: Cache::default() })
    }

    /// What the token says, if it is good now.
    fn verified(&self, token: &str, keys: &KeySet) -> Result<Rc<Verified>, Unfit> {
        if token.len() > jose::TOKEN_BYTES_MAX {
            return Err(Unfit::Token);
        }
        let digest = jose::digest(token.as_bytes());
        let known = self.cache.get(&digest).filter(|known| known.revision == keys.revision);
        let verified = match known {
            Some(known) => known,
            None => {
                let fresh = Rc::new(self.verify(token, keys)?);
                self.cache.put(digest, fresh.clone());
                fresh
            }
        };
        let (now, skew) = (now_ms() as f64 / 1000.0, f64::from(self.config.clock_skew));
        let expired = verified.expires.is_some_and(|at| now >= at + skew);
        let early = verified.not_before.is_some_and(|at| now < at - skew);
        if expired || early { Err(Unfit::Token) } else { Ok(verified) }
    }

    fn verify(&self, token: &str, keys: &KeySet) -> Result<Verified, Unfit> {
        let token = Token::read(token, self.config.signature).ok_or(Unfit::Token)?;
        if !self.type_fits(&token.header) {
            return Err(Unfit::Token);
        }
        match keys.signed(&token) {
            Signed::Yes => {}
            Signed::No => return Err(Unfit::Token),
            Signed::UnknownKey => return Err(Unfit::UnknownKey),
        }
        let claims = token.claims().ok_or(Unfit::Token)?;
        if !self.issuer_fits(&claims) {
            return Err(Unfit::Token);
        }
        if !self.scopes_fit(&claims) {
            return Err(Unfit::Scope);
        }
        let client = match &self.config.client_id_claim {
            Some(path) if !path.is_empty() => jose::at_path(&claims, path).and_then(jose::first_text),
            _ => ["azp", "aud", "client_id"]
                .iter()
                .find_map(|name| jose::member(&claims, name).and_then(jose::first_text)),
        };
        let user = Some(&*self.config.user_claim).filter(|path| !path.is_empty()).unwrap_or("sub");
        Ok(Verified {
            client: client.map(str::to_owned),
            user: jose::at_path(&claims, user).and_then(jose::first_text).map(str::to_owned),
            expires: seconds(&claims, "exp")?,
            not_before: seconds(&claims, "nbf")?,
            thumbprint: jose::at_path(&claims, "cnf.x5t#S256").and_then(jose::first_text).map(str::to_owned),
            revision: keys.revision,
            claims,
        })
    }

    fn type_fits(&self, header: &Value<'static>) -> bool {
        let wanted = &self.config.token_typ_validation;
        if !wanted.enabled {
            return true;
        }
        match jose::member(header, "typ") {
            None => wanted.ignore_missing,
            Some(Value::Text(typ)) => wanted
                .expected_values
                .iter()
                .any(|expected| typ == expected || (wanted.ignore_case && typ.eq_ignore_ascii_case(expected))),
            Some(_) => false,
        }
    }

    fn issuer_fits(&self, claims: &Value<'static>) -> bool {
        let issued = self.config.issuer.as_deref().is_none_or(|issuer| jose::text(claims, "iss") == Some(issuer));
        let wanted = &self.config.audiences;
        let mut named = jose::texts(jose::member(claims, "aud"));
        issued && (wanted.is_empty() || named.any(|audience| wanted.iter().any(|wanted| wanted == audience)))
    }

    fn scopes_fit(&self, claims: &Value<'static>) -> bool {
        let has = |scope: &String| {
            let said = jose::member(claims, "scope").or_else(|| jose::member(claims, "scp"));
            jose::texts(said).flat_map(str::split_ascii_whitespace).any(|own| own == scope)
        };
        let mut required = self.config.required_scopes.iter();
        !self.config.check_required_scopes
            || if self.config.mode_strict { required.all(has) } else { required.any(has) }
    }

    /// Whether the client has the certificate that the token is bound to (RFC 8705 section 3).
    fn bound(&self, exchange: &Exchange, verified: &Verified) -> bool {
        let wanted = &self.config.confirmation_method_validation;
        let told = self.told.as_ref().and_then(|told| told.of(exchange));
        let shown = exchange.client.certificate.as_deref().map(|certificate| &*certificate.der);
        match (&verified.thumbprint, told.as_deref().or(shown)) {
            _ if !wanted.certificate_bound_thumbprint.enabled => true,
            (None, _) => wanted.ignore_missing && jose::member(&verified.claims, "cnf").is_none(),
            (Some(_), None) => false,
            (Some(thumbprint), Some(der)) => URL_SAFE_NO_PAD.encode(jose::digest(der)) == *thumbprint,
        }
    }

    /// Decides with the keys that there are.
    fn decide<'a>(
        &self,
        exchange: &mut Exchange,
        subscribers: &Subscribers,
        keys: Option<&KeySet>,
    ) -> Result<Admission<'a>, Unfit> {
        let token = credentials::head(exchange).and_then(credentials::bearer).unwrap_or_default();
        let verified = self.verified(&token, keys.ok_or(Unfit::NoKeys)?)?;
        if !self.bound(exchange, &verified) {
            return Err(Unfit::Thumbprint);
        }
        let subscriber = verified.client.as_deref().and_then(|client| subscribers.by_client(client));
        let subscriber = subscriber.ok_or(Unfit::Subscription)?.clone();
        let token = token.into_owned();
        let attributes = &mut exchange.attributes;
        attributes.set("jwt.token", token);
        if let Some(client) = &verified.client {
            attributes.set("oauth.client_id", client.clone());
        }
        if let Some(user) = &verified.user {
            attributes.set("user", user.clone());
        }
        if self.config.extract_claims {
            attributes.set_json("jwt.claims", verified.claims.clone());
        }
        Ok(Admission::Admit(Some(subscriber)))
    }
}

impl Guard for Jwt {
    fn admit<'a>(&'a self, exchange: &'a mut Exchange, subscribers: &'a Subscribers) -> Admission<'a> {
        match credentials::head(exchange).and_then(credentials::bearer) {
            None => return Admission::Pass,
            Some(token) if token.is_empty() => return Admission::Refuse(Unfit::Token.reply()),
            Some(_) => {}
        }
        let resolved = self.keys.of(exchange);
        let due = resolved.as_ref().and_then(Resolved::due);
        if due.is_none() {
            let keys = resolved.as_ref().and_then(Resolved::keys);
            match self.decide(exchange, subscribers, keys.as_deref()) {
                Ok(admission) => return admission,
                Err(Unfit::UnknownKey) => {}
                Err(unfit) => return Admission::Refuse(unfit.reply()),
            }
        }
        // Keys have to come first; then it is decided once more, with what there is.
        let Some(flight) = due.or_else(|| resolved.as_ref().and_then(Resolved::renewed)) else {
            return Admission::Refuse(Unfit::UnknownKey.reply());
        };
        Admission::Wait(Box::pin(async move {
            flight.await;
            let keys = resolved.as_ref().and_then(Resolved::keys);
            let decided = self.decide(exchange, subscribers, keys.as_deref());
            decided.unwrap_or_else(|unfit| Admission::Refuse(unfit.reply()))
        }))
    }

    fn conceal(&self, exchange: &mut Exchange) {
        if let Some(request) = exchange.request.as_deref_mut().filter(|_| !self.config.propagate_auth_header) {
            credentials::remove_bearer(&mut request.head);
        }
    }

    fn rank(&self) -> u8 {
        1
    }
}

/// A date of RFC 7519 section 2, in seconds since 1970.
fn seconds(claims: &Value<'static>, name: &str) -> Result<Option<f64>, Unfit> {
    match jose::member(claims, name) {
        None => Ok(None),
        Some(Value::Int(seconds)) => Ok(Some(*seconds as f64)),
        Some(Value::Float(seconds)) if seconds.is_finite() => Ok(Some(*seconds)),
        Some(_) => Err(Unfit::Token),
    }
}
