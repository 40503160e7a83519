//! Webhooks: each message of a subscription is a POST to the consumer's URL.

use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use ring::digest;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{
    Courier, Delivering, Kind, Message, Messaging, Node, Parcel, Problem, Push, Qos, Refusal, RequestHead, Retry,
    Services, Terms, Verdict,
};
use ringway_net::Shard;

use crate::caller::{Caller, Url};
use crate::http_proxy::backend::Way;
use crate::http_proxy::config::{HttpConfig, SharedConfig};
use crate::http_proxy::headers::Headers;
use crate::tls;

mod auth;
mod config;

use auth::{Credentials, Keeper};
use config::{Config, SubscriptionConfig};

const LEVELS: &[Qos] = &[Qos::None, Qos::Auto, Qos::AtMostOnce, Qos::AtLeastOnce];

/// Longest id that is sent as it is.
const ID_BYTES_MAX: usize = 256;
/// Headers of a message that become fields.
const HEADERS_MAX: usize = 128;

/// `webhook`, the entrypoint.
pub static PUSH: Kind<dyn Push> = Kind {
    name: "webhook",
    about: "Each message of a subscription is a POST to its consumer's URL, repeated if need be, in order.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(examine).reading(files),
    shared: Some(Part::of::<SubscriptionConfig>()),
    messaging: Some(Messaging { publish: &[], subscribe: LEVELS, recover: false }),
    build: |source, services| {
        let config = decode::<Config>(source.configuration)?;
        Ok(Rc::new(Webhook { config, services: services.clone() }))
    },
};

struct Webhook {
    config: Config,
    services: Services,
}

impl Push for Webhook {
    fn open(&self, subscription: Option<&Node>, qos: Qos) -> Result<Rc<dyn Courier>, Refusal> {
        let told = decode::<SubscriptionConfig>(subscription)?;
        let terms = Terms {
            window: self.config.http.max_concurrent_connections,
            patience: told.retry.patience(),
            stops_when_failed: self.config.interrupt_consumption_on_server_error,
            stops_when_silent: self.config.interrupt_consumption_on_exception,
        };
        let private = self.config.allow_private_addresses;
        let url = Url::parse(&told.callback_url).map_err(|error| Refusal(format!("callbackUrl: {error}")))?;
        let shared = shared(&self.config, &told, subscription);
        let credentials = Credentials::new(&told.auth)?;
        let tokens = credentials.token_url()?.map(|url| {
            // The consumer's fields are not for the authorization server.
            Caller::new(url, SharedConfig { headers: Vec::new(), ..shared.clone() }, private, &self.services)
        });
        let keeper = Keeper::new(credentials, tokens.transpose()?);
        let caller = Caller::new(url, shared, private, &self.services)?;
        Ok(Rc::new(Hook { caller, keeper, terms, qos }))
    }
}

/// What a subscription and its entrypoint say, as an HTTP backend takes it.
fn shared(config: &Config, told: &SubscriptionConfig, node: Option<&Node>) -> SharedConfig {
    let http = HttpConfig {
        connect_timeout: config.http.connect_timeout,
        read_timeout: config.http.read_timeout,
        idle_timeout: config.http.idle_timeout,
        keep_alive_timeout: config.http.idle_timeout,
        follow_redirects: false,
        ..HttpConfig::default()
    };
    let shared =
        SharedConfig { http, ssl: told.ssl.clone(), proxy: config.proxy.clone(), headers: told.headers.clone() };
    shared.located(node)
}

/// The stores of a subscription.
fn files(_: Option<&Node>, subscription: Option<&Node>) -> Vec<PathBuf> {
    let told = decode::<SubscriptionConfig>(subscription);
    told.map_or_else(|_| Vec::new(), |told| told.ssl.located(subscription).files())
}

/// What the schemas let pass. What a subscription says comes as the shared configuration.
fn examine(configuration: Option<&Node>, subscription: Option<&Node>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Ok(config) = decode::<Config>(configuration) {
        problems.extend(refused(configuration, Way::new(&config.proxy, true).err()));
    }
    let (Some(node), Ok(told)) = (subscription, decode::<SubscriptionConfig>(subscription)) else { return problems };
    let mut refuse = |field: &str, refusal: Option<String>| {
        let Some(reason) = refusal else { return };
        let place = node.field(field).unwrap_or(node);
        // What was substituted may be a secret.
        let reason = if place.substituted { "the substituted value does not fit here".to_owned() } else { reason };
        problems.push(Problem::error(&place.span, format!("sharedConfiguration.{field}"), reason));
    };
    let url = Url::parse(&told.callback_url);
    let is_secure = url.as_ref().is_ok_and(|url| url.origin.to_ascii_lowercase().starts_with("https"));
    refuse("callbackUrl", url.err());
    refuse("headers", Headers::new(&told.headers).err().map(|refusal| refusal.0));
    let credentials = Credentials::new(&told.auth).and_then(|credentials| credentials.token_url());
    let is_secure = is_secure || matches!(&credentials, Ok(Some(url)) if url.origin.starts_with("https"));
    refuse("auth", credentials.err().map(|refusal| refusal.0));
    if is_secure {
        let located = shared(&Config::default(), &told, Some(node));
        refuse("ssl", tls::client(&located.ssl).err().map(|refusal| refusal.0));
    }
    problems
}

/// Sends the messages of one subscription.
struct Hook {
    caller: Caller,
    keeper: Keeper,
    terms: Terms,
    qos: Qos,
}

impl Courier for Hook {
    fn terms(&self) -> Terms {
        self.terms
    }

    fn deliver(self: Rc<Self>, parcel: Rc<Parcel>) -> Delivering {
        Box::pin(async move {
            let verdict = self.attempt(&parcel).await;
            match verdict {
                // The consumer closed an idle connection at the moment that it was used: no failure, if the message may come twice.
                Verdict::Exception(fault) if fault.retry == Retry::Idempotent && self.qos != Qos::AtMostOnce => {
                    self.attempt(&parcel).await
                }
                Verdict::Refused(http::StatusCode::UNAUTHORIZED) if self.keeper.renew() => self.attempt(&parcel).await,
                _ => verdict,
            }
        })
    }

    fn sweep(&self) {
        self.caller.sweep();
        self.keeper.sweep();
    }
}

impl Hook {
    async fn attempt(&self, parcel: &Parcel) -> Verdict {
        let now_ms = Shard::current().unix_ms();
        let authorization = match self.keeper.authorization(now_ms).await {
            Ok(authorization) => authorization,
            // Not a byte of the message has left.
            Err(fault) => return Verdict::Exception(fault.retry(Retry::Safe)),
        };
        let content = parcel.message.content.clone();
        let fields = |head: &mut RequestHead| {
            headers(&parcel.message, head);
            let id = id(parcel);
            let _ = head.fields.set(auth::ID, &id);
            if let Some(authorization) = authorization {
                // One that is no field value is left out: the consumer then says so.
                let _ = head.fields.set("Authorization", authorization);
            }
            self.keeper.sign(head, &id, now_ms, &parcel.message.content);
        };
        match self.caller.post(fields, content).await {
            Ok(answer) => verdict(answer.status),
            Err(fault) => Verdict::Exception(fault),
        }
    }
}

/// What a status says of a message. A redirect is not followed, and so nobody has the message.
fn verdict(status: http::StatusCode) -> Verdict {
    match status.as_u16() {
        200..=299 => Verdict::Delivered,
        408 | 425 | 429 => Verdict::Deferred(status),
        500.. => Verdict::Failed(status),
        _ => Verdict::Refused(status),
    }
}

/// The id of a message as a field has it: long and strange ones by their digest.
fn id(parcel: &Parcel) -> String {
    let id = &parcel.id;
    let is_plain = !id.is_empty() && id.len() <= ID_BYTES_MAX && id.iter().all(u8::is_ascii_graphic);
    if is_plain {
        return String::from_utf8_lossy(id).into_owned();
    }
    let digested: &Bytes = if id.is_empty() { &parcel.message.content } else { id };
    let digest = digest::digest(&digest::SHA256, digested);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Headers of messages that are no fields of a request to somebody else: framing, connection, credentials, and the gateway's own.
const KEPT_BACK: [&str; 24] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "www-authenticate",
    "x-api-key",
    "x-gravitee-api-key",
    auth::ID,
    auth::TIMESTAMP,
    auth::SIGNATURE,
];

fn headers(message: &Message, head: &mut RequestHead) {
    for (name, value) in message.headers.iter().take(HEADERS_MAX) {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if !KEPT_BACK.iter().any(|kept| name.eq_ignore_ascii_case(kept)) {
            // What cannot stand in a field is left out.
            let _ = head.fields.append(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_become_fields_unless_they_are_dangerous() {
        let pair = |name: &'static str, value: &'static str| (Bytes::from(name), Bytes::from(value));
        let message = Message {
            headers: vec![
                pair("X-Device", "7"),
                pair("Content-Type", "text/plain"),
                pair("Content-Length", "99"),
                pair("TRANSFER-ENCODING", "chunked"),
                pair("Authorization", "Bearer stolen"),
                pair("webhook-signature", "v1,forged"),
                pair("bad name", "x"),
                pair("X-Split", "a\r\nX-Injected: b"),
                pair("X-Device", "8"),
            ],
            ..Message::default()
        };
        let mut head = RequestHead::new();
        headers(&message, &mut head);
        let fields: Vec<_> = head.fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let wanted = [("X-Device", "7"), ("Content-Type", "text/plain"), ("X-Device", "8")];
        assert_eq!(fields, wanted.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())));
    }

    #[test]
    fn statuses_are_verdicts() {
        let of = |code| verdict(http::StatusCode::from_u16(code).unwrap());
        assert_eq!(of(204), Verdict::Delivered);
        assert!(matches!(of(302), Verdict::Refused(_)));
        assert!(matches!(of(410), Verdict::Refused(_)));
        assert!(matches!(of(429), Verdict::Deferred(_)));
        assert!(matches!(of(503), Verdict::Failed(_)));
    }

    #[test]
    fn ids_that_no_field_takes_are_digested() {
        let parcel = |id: &'static str| Parcel { id: id.into(), ..Parcel::from(Message::new("x")) };
        assert_eq!(id(&parcel("t:0:17")), "t:0:17");
        assert_eq!(id(&parcel("a b")).len(), 64);
        assert_eq!(id(&parcel("")).len(), 64);
    }
}
