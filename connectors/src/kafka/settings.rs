//! From a definition to settings of the client library.

use std::ffi::CString;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ringway_net::{KeyStore as Opened, StoreAt, store_authorities};

use super::config::{
    Acks, Config, Consumer, KeyStore, Mechanism, OffsetReset, Producer, Properties, Protocol, Sasl, Security, Shared,
    StoreKind, TrustStore,
};
use super::jaas;

/// Names and values of the client library's settings; a later one wins.
pub type Settings = Vec<(String, String)>;

/// What is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Path of the field, from `configuration` or `sharedConfiguration` on.
    pub at: String,
    /// What is wrong with it.
    pub message: String,
}

impl Complaint {
    /// A complaint about a field.
    pub fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into() }
    }
}

/// A bearer token.
#[derive(Clone)]
pub struct Token {
    /// The token.
    pub value: CString,
    /// Whose it is.
    pub principal: CString,
    expires_ms: Option<i64>,
}

/// How long a token is taken for valid that does not say it: the library asks for the next one at 80 % of it, and gets the same.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3_600);

impl Token {
    /// When it expires, in milliseconds since 1970.
    pub fn expires_ms(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.expires_ms.unwrap_or((now + TOKEN_LIFETIME).as_millis() as i64)
    }

    fn new(token: &str) -> Option<Self> {
        let claims = claims(token);
        let text = |name: &str| claims.as_ref()?.get(name)?.as_str().map(str::to_owned);
        let expires = claims.as_ref().and_then(|claims| claims.get("exp")?.as_i64());
        Some(Self {
            value: CString::new(token).ok()?,
            principal: CString::new(text("sub").unwrap_or_else(|| "ringway".to_owned())).ok()?,
            expires_ms: expires.map(|seconds| seconds.saturating_mul(1_000)),
        })
    }
}

/// What a JWT says of itself; any other token says nothing.
fn claims(token: &str) -> Option<serde_json::Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()
}

/// Settings of both clients that `properties` may name.
const COMMON: [&str; 26] = [
    "api.version.request.timeout.ms",
    "broker.address.family",
    "broker.address.ttl",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "debug",
    "max.in.flight",
    "message.max.bytes",
    "metadata.max.age.ms",
    "metadata.recovery.strategy",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.cipher.suites",
    "ssl.endpoint.identification.algorithm",
    "topic.metadata.refresh.interval.ms",
];

/// Settings that `consumer.properties` may name, besides [`COMMON`].
const CONSUMER: [&str; 17] = [
    "check.crcs",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.protocol",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "isolation.level",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "partition.assignment.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "session.timeout.ms",
];

/// Settings that `producer.properties` may name, besides [`COMMON`].
const PRODUCER: [&str; 11] = [
    "batch.num.messages",
    "compression.level",
    "max.in.flight.requests.per.connection",
    "message.send.max.retries",
    "partitioner",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "request.timeout.ms",
    "sticky.partitioning.linger.ms",
    "topic.metadata.propagation.max.ms",
];

/// Settings and token of the consumer of a definition, but for the group.
///
/// # Errors
/// What of it cannot be.
pub fn consumer(config: &Config, shared: &Shared, of: &Consumer) -> Result<(Settings, Option<Token>), Complaint> {
    let (mut settings, token) = common(config, &shared.security)?;
    // A consumer is for one client of the gateway: what it fetches ahead is small, and what it has read is committed by us.
    set(&mut settings, "enable.auto.commit", "false");
    set(&mut settings, "enable.auto.offset.store", "false");
    set(&mut settings, "queued.max.messages.kbytes", "4096");
    set(&mut settings, "queued.min.messages", "4096");
    // How long nothing is fetched after there was that much: the library's second would be a limit of 4096 messages a second or two.
    set(&mut settings, "fetch.queue.backoff.ms", "10");
    // A gateway that was killed holds its partitions for as long; brokers allow no less.
    set(&mut settings, "session.timeout.ms", "6000");
    set(&mut settings, "heartbeat.interval.ms", "2000");
    let reset = match of.auto_offset_reset {
        OffsetReset::Latest => "latest",
        OffsetReset::Earliest => "earliest",
        OffsetReset::None => "error",
    };
    set(&mut settings, "auto.offset.reset", reset);
    let at = "sharedConfiguration.properties";
    pass(&mut settings, &shared.properties, at, &[&COMMON])?;
    pass(&mut settings, &of.properties, "sharedConfiguration.consumer.properties", &[&COMMON, &CONSUMER])?;
    Ok((settings, token))
}

/// Settings and token of the producer of a definition.
///
/// # Errors
/// What of it cannot be.
pub fn producer(config: &Config, shared: &Shared, of: &Producer) -> Result<(Settings, Option<Token>), Complaint> {
    let at = "sharedConfiguration.producer";
    let (mut settings, token) = common(config, &shared.security)?;
    let acks = match of.acks {
        Acks::All => "all",
        Acks::Leader => "1",
        Acks::None => "0",
    };
    if of.idempotence && of.acks != Acks::All {
        return Err(Complaint::new(
            format!("{at}.acks"),
            "idempotence needs `acks: all`; set `idempotence: false` for less",
        ));
    }
    set(&mut settings, "acks", acks);
    set(&mut settings, "enable.idempotence", if of.idempotence { "true" } else { "false" });
    set(&mut settings, "compression.type", of.compression_type.name());
    set(&mut settings, "linger.ms", &of.linger_ms.to_string());
    set(&mut settings, "batch.size", &of.batch_bytes.to_string());
    set(&mut settings, "message.timeout.ms", &of.delivery_timeout_ms.to_string());
    set(&mut settings, "topic.metadata.propagation.max.ms", &(of.delivery_timeout_ms / 2).to_string());
    set(&mut settings, "allow.auto.create.topics", if of.check_topic_existence { "false" } else { "true" });
    // As Kafka's Java clients do it: keys lie in the same partitions whoever writes them.
    set(&mut settings, "partitioner", "murmur2_random");
    set(&mut settings, "queue.buffering.max.messages", "100000");
    set(&mut settings, "queue.buffering.max.kbytes", "65536");
    pass(&mut settings, &shared.properties, "sharedConfiguration.properties", &[&COMMON])?;
    pass(&mut settings, &of.properties, &format!("{at}.properties"), &[&COMMON, &PRODUCER])?;
    Ok((settings, token))
}

fn set(settings: &mut Settings, name: &str, value: &str) {
    settings.push((name.to_owned(), value.to_owned()));
}

fn pass(settings: &mut Settings, from: &Properties, at: &str, allowed: &[&[&str]]) -> Result<(), Complaint> {
    for (name, value) in from {
        if !allowed.iter().any(|names| names.contains(&name.as_str())) {
            let message = format!("`{name}` is none of the settings that may be given here");
            return Err(Complaint::new(format!("{at}.{name}"), message));
        }
        set(settings, name, &value.to_string());
    }
    Ok(())
}

fn common(config: &Config, security: &Security) -> Result<(Settings, Option<Token>), Complaint> {
    let mut settings = Settings::new();
    let servers = config.bootstrap_servers.trim();
    if servers.is_empty() || servers.contains('\0') || servers.split(',').any(|server| server.trim().is_empty()) {
        return Err(Complaint::new(
            "configuration.bootstrapServers",
            "has to name brokers: host:port, separated by commas",
        ));
    }
    set(&mut settings, "bootstrap.servers", servers);
    // Brokers that were away are found again within a second or so.
    set(&mut settings, "reconnect.backoff.max.ms", "1000");
    set(&mut settings, "socket.keepalive.enable", "true");
    set(&mut settings, "log.connection.close", "false");
    let (protocol, sasl, ssl) = match security.protocol {
        Protocol::Plaintext => ("plaintext", false, false),
        Protocol::Ssl => ("ssl", false, true),
        Protocol::SaslPlaintext => ("sasl_plaintext", true, false),
        Protocol::SaslSsl => ("sasl_ssl", true, true),
    };
    set(&mut settings, "security.protocol", protocol);
    if ssl {
        trust(&mut settings, &security.ssl.trust_store)?;
        identity(&mut settings, &security.ssl.key_store)?;
    }
    let token = if sasl { authentication(&mut settings, &security.sasl)? } else { None };
    Ok((settings, token))
}

const SASL: &str = "sharedConfiguration.security.sasl";

fn authentication(settings: &mut Settings, sasl: &Sasl) -> Result<Option<Token>, Complaint> {
    let line = sasl.sasl_jaas_config.as_deref().unwrap_or_default();
    let given = |own: &Option<String>, names: &[&str]| -> Result<Option<String>, Complaint> {
        if own.is_some() {
            return Ok(own.clone());
        }
        for name in names {
            let found = jaas::option(line, name).map_err(|error| {
                Complaint::new(format!("{SASL}.saslJaasConfig"), format!("is no JAAS line: {error}"))
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    };
    let lacks = |what: &str| {
        let at = if sasl.sasl_jaas_config.is_some() { format!("{SASL}.saslJaasConfig") } else { SASL.to_owned() };
        Complaint::new(at, format!("lacks {what}"))
    };
    let mechanism = match sasl.sasl_mechanism {
        Mechanism::Plain => "PLAIN",
        Mechanism::ScramSha256 => "SCRAM-SHA-256",
        Mechanism::ScramSha512 => "SCRAM-SHA-512",
        Mechanism::OauthBearer => "OAUTHBEARER",
        Mechanism::Gssapi | Mechanism::AwsMskIam => {
            let message = "is not spoken: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER are";
            return Err(Complaint::new(format!("{SASL}.saslMechanism"), message));
        }
    };
    set(settings, "sasl.mechanism", mechanism);
    if sasl.sasl_mechanism == Mechanism::OauthBearer {
        let token = given(&sasl.token, &["access_token", "token"])?.ok_or_else(|| lacks("an `access_token`"))?;
        return Ok(Some(Token::new(token.trim()).ok_or_else(|| lacks("a token without NUL"))?));
    }
    let username = given(&sasl.username, &["username"])?.ok_or_else(|| lacks("a `username`"))?;
    let password = given(&sasl.password, &["password"])?.ok_or_else(|| lacks("a `password`"))?;
    set(settings, "sasl.username", &username);
    set(settings, "sasl.password", &password);
    Ok(None)
}

fn trust(settings: &mut Settings, store: &TrustStore) -> Result<(), Complaint> {
    let at = "sharedConfiguration.security.ssl.trustStore";
    match (store.kind, &store.location, &store.certificates) {
        (StoreKind::None, ..) => {}
        (StoreKind::Pem, _, Some(certificates)) => set(settings, "ssl.ca.pem", certificates),
        (StoreKind::Pem, Some(location), None) => set(settings, "ssl.ca.location", location),
        (StoreKind::Pkcs12 | StoreKind::Jks, Some(location), _) => {
            // The library reads authorities as PEM only.
            let password = store.password.as_deref().unwrap_or_default();
            let authorities = store_authorities(Path::new(location), password)
                .map_err(|error| Complaint::new(format!("{at}.location"), error.to_string()))?;
            let pem: String = authorities.iter().map(|der| pem("CERTIFICATE", der)).collect();
            set(settings, "ssl.ca.pem", &pem);
        }
        _ => return Err(Complaint::new(at, "lacks `location` or, of type PEM, `certificates`")),
    }
    Ok(())
}

fn identity(settings: &mut Settings, store: &KeyStore) -> Result<(), Complaint> {
    let at = "sharedConfiguration.security.ssl.keyStore";
    match (store.kind, &store.location, &store.key, &store.certificate_chain) {
        (StoreKind::None, ..) => return Ok(()),
        (StoreKind::Jks, Some(location), ..) => {
            // The library reads PKCS#12 and PEM only.
            let opened = Opened {
                at: StoreAt::File(location.into()),
                password: store.password.clone().unwrap_or_default(),
                alias: None,
                key_password: store.key_password.clone(),
            };
            let (chain, key) =
                opened.identity().map_err(|error| Complaint::new(format!("{at}.location"), error.to_string()))?;
            set(settings, "ssl.key.pem", &pem("PRIVATE KEY", &key));
            set(settings, "ssl.certificate.pem", &chain.iter().map(|der| pem("CERTIFICATE", der)).collect::<String>());
            return Ok(());
        }
        (StoreKind::Pem, _, Some(key), Some(chain)) => {
            set(settings, "ssl.key.pem", key);
            set(settings, "ssl.certificate.pem", chain);
        }
        (StoreKind::Pem, Some(location), None, None) => {
            set(settings, "ssl.key.location", location);
            set(settings, "ssl.certificate.location", location);
        }
        (StoreKind::Pkcs12, Some(location), ..) => {
            set(settings, "ssl.keystore.location", location);
            set(settings, "ssl.keystore.password", store.password.as_deref().unwrap_or_default());
        }
        _ => return Err(Complaint::new(at, "lacks `location` or, of type PEM, `key` and `certificateChain`")),
    }
    if let Some(password) = &store.key_password {
        set(settings, "ssl.key.password", password);
    }
    Ok(())
}

/// DER in the textual encoding (RFC 7468).
fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}
