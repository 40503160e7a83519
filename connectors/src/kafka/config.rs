//! What a definition says of a Kafka endpoint.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Configuration of `kafka`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// Brokers that the client asks for the others: `host:port`, separated by commas.
    pub bootstrap_servers: String,
}

/// Shared configuration of `kafka`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Shared {
    /// How brokers are reached, and what they are shown.
    pub security: Security,
    /// What is read. Without, nothing is.
    pub consumer: Option<Consumer>,
    /// What is written. Without, nothing is.
    pub producer: Option<Producer>,
    /// Settings of the client library for both, by the library's names; [which](#properties).
    pub properties: Properties,
}

/// Settings of the client library.
pub type Properties = BTreeMap<String, Property>;

/// A setting's value.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Property {
    /// `true` or `false`.
    Switch(bool),
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

impl std::fmt::Display for Property {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Switch(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// Encryption and authentication.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Security {
    /// Whether TLS and SASL are spoken. Default `PLAINTEXT`.
    pub protocol: Protocol,
    /// Who the gateway is, for the protocols `SASL_PLAINTEXT` and `SASL_SSL`.
    pub sasl: Sasl,
    /// Certificates, for the protocols `SSL` and `SASL_SSL`.
    pub ssl: Ssl,
}

/// Whether TLS and SASL are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Protocol {
    /// Neither.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL, without TLS.
    SaslPlaintext,
    /// Both.
    SaslSsl,
}

/// Authentication.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Sasl {
    /// The mechanism. Default `PLAIN`.
    pub sasl_mechanism: Mechanism,
    /// User, password or token as a JAAS line of Kafka's Java client: `username="..." password="...";`, or `access_token="...";` with
    /// OAUTHBEARER. The name of the login module may stand in front; it is not looked at.
    pub sasl_jaas_config: Option<String>,
    /// The user, instead of the JAAS line.
    pub username: Option<String>,
    /// The user's password, instead of the JAAS line.
    pub password: Option<String>,
    /// OAUTHBEARER: the token, instead of the JAAS line.
    pub token: Option<String>,
}

/// Passwords are not for logs.
impl std::fmt::Debug for Sasl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sasl").field("sasl_mechanism", &self.sasl_mechanism).finish_non_exhaustive()
    }
}

/// Mechanism of authentication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Mechanism {
    /// User and password in clear text (RFC 4616): over TLS only.
    #[default]
    #[serde(rename = "PLAIN")]
    Plain,
    /// SCRAM (RFC 5802) with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// SCRAM with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A bearer token (RFC 7628).
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
    /// Kerberos: refused, because its library is no part of the binary.
    #[serde(rename = "GSSAPI")]
    Gssapi,
    /// Amazon's: refused, because it needs Amazon's signatures.
    #[serde(rename = "AWS_MSK_IAM")]
    AwsMskIam,
}

/// Certificates.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Ssl {
    /// Whose signature a broker's certificate must bear. Without, the system's authorities.
    pub trust_store: TrustStore,
    /// The gateway's own certificate, for brokers that ask for one.
    pub key_store: KeyStore,
}

/// Authorities.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct TrustStore {
    /// Kind of store. Default `NONE`.
    #[serde(rename = "type")]
    pub kind: StoreKind,
    /// File of the store, as the gateway's process sees it.
    pub location: Option<String>,
    /// Password of the store; PKCS12 and JKS.
    pub password: Option<String>,
    /// The certificates themselves; PEM only.
    pub certificates: Option<String>,
}

/// A key and its certificate.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct KeyStore {
    /// Kind of store. Default `NONE`.
    #[serde(rename = "type")]
    pub kind: StoreKind,
    /// File of the store, as the gateway's process sees it. PEM: key and certificates in one file.
    pub location: Option<String>,
    /// Password of the store; PKCS12 and JKS.
    pub password: Option<String>,
    /// The private key itself; PEM only.
    pub key: Option<String>,
    /// Password of the private key; PEM, and JKS if it is another one than the store's.
    pub key_password: Option<String>,
    /// The certificate and those that lead to its authority, themselves; PEM only.
    pub certificate_chain: Option<String>,
}

/// Passwords and keys are not for logs.
impl std::fmt::Debug for TrustStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrustStore").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Passwords and keys are not for logs.
impl std::fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyStore").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Kind of store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum StoreKind {
    /// None.
    #[default]
    #[serde(rename = "NONE", alias = "")]
    None,
    /// PEM text.
    #[serde(rename = "PEM")]
    Pem,
    /// PKCS#12.
    #[serde(rename = "PKCS12")]
    Pkcs12,
    /// Java key store.
    #[serde(rename = "JKS")]
    Jks,
}

/// What is read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Consumer {
    /// Whether anything is. Default true.
    pub enabled: bool,
    /// Topics: a list of names, or a pattern.
    pub topics: Topics,
    /// Where a consumer begins that has no place yet. Default `latest`.
    pub auto_offset_reset: OffsetReset,
    /// Whether ids of messages are base64. Default true.
    pub encode_message_id: bool,
    /// Whether topics are looked up before the consumer joins its group: one that does not exist is told at once. It is told without, too,
    /// but later. Default false.
    pub check_topic_existence: bool,
    /// Whether the five bytes are removed by which Confluent's serializers name a schema. Default false.
    pub remove_confluent_header: bool,
    /// Settings of the client library's consumer, by the library's names; [which](#properties).
    pub properties: Properties,
}

impl Default for Consumer {
    fn default() -> Self {
        Self {
            enabled: true,
            topics: Topics::default(),
            auto_offset_reset: OffsetReset::default(),
            encode_message_id: true,
            check_topic_existence: false,
            remove_confluent_header: false,
            properties: Properties::new(),
        }
    }
}

/// Topics to read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Topics {
    /// By name.
    Names(Vec<String>),
    /// All whose whole name fits.
    Pattern {
        /// A regular expression. Names that fit are looked for again every 30 seconds.
        pattern: String,
    },
}

impl Default for Topics {
    fn default() -> Self {
        Self::Names(Vec::new())
    }
}

/// Where a consumer begins that has no place yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OffsetReset {
    /// With what is published from then on.
    #[default]
    Latest,
    /// With the oldest message that is kept.
    Earliest,
    /// Not at all: its subscription fails.
    None,
}

/// What is written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Producer {
    /// Whether anything is. Default true.
    pub enabled: bool,
    /// Topics; a message goes to each.
    pub topics: Vec<String>,
    /// How batches are compressed. Default `none`.
    pub compression_type: Compression,
    /// Whose copy a message waits for. Default `all`.
    pub acks: Acks,
    /// Whether a message that is sent again after an error is stored once only, and messages keep their order. Needs `acks: all`. Default
    /// true.
    pub idempotence: bool,
    /// How long a message waits for others to be sent with, in milliseconds. Default 1.
    #[schemars(range(max = 900_000))]
    pub linger_ms: u32,
    /// Most bytes of a batch. Default 1,000,000.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub batch_bytes: u32,
    /// How long it is tried to publish a message, in milliseconds, before it has failed. Default 10,000.
    #[schemars(range(min = 1, max = 600_000))]
    pub delivery_timeout_ms: u32,
    /// Whether a topic has to exist: brokers are not asked to make one. Default false.
    pub check_topic_existence: bool,
    /// Settings of the client library's producer, by the library's names; [which](#properties).
    pub properties: Properties,
}

impl Default for Producer {
    fn default() -> Self {
        Self {
            enabled: true,
            topics: Vec::new(),
            compression_type: Compression::default(),
            acks: Acks::default(),
            idempotence: true,
            linger_ms: 1,
            batch_bytes: 1_000_000,
            delivery_timeout_ms: 10_000,
            check_topic_existence: false,
            properties: Properties::new(),
        }
    }
}

/// How batches are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// The library's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Whose copy a message waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Acks {
    /// Every replica that is in sync.
    #[default]
    #[serde(rename = "all", alias = "-1")]
    All,
    /// The leader.
    #[serde(rename = "leader", alias = "1")]
    Leader,
    /// Nobody: what the network swallows is lost.
    #[serde(rename = "none", alias = "0")]
    None,
}
