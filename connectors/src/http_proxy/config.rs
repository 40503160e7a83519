//! What a definition may say of an HTTP backend. Names and defaults are the reference product's.

use ringway_contract::Node;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::tls::SslConfig;

/// `configuration` of an endpoint.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointConfig {
    /// URL of the backend: `http://host:port/base`, `https://…`, `ws://…`, `wss://…`, or `http://unix:/path/of.sock:/base`. The path
    /// behind the API's context path is appended to it. Expressions of the API (`{#api.properties['backend']}`) are evaluated when the
    /// definition is read; a target for each request is `dynamic-routing`'s affair.
    pub target: String,
}

/// `sharedConfiguration` of a group, inherited by its endpoints.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SharedConfig {
    /// Protocol and timeouts.
    pub http: HttpConfig,
    /// TLS towards the backend, for `https` and `wss` targets.
    pub ssl: SslConfig,
    /// A proxy between the gateway and the backend.
    pub proxy: ProxyConfig,
    /// Fields set on every request to the backend, instead of all that the client sent of the same name; of two with one name the last
    /// counts. `Host` is set, too. Those of framing and connection (`Content-Length`, `Transfer-Encoding`, `Connection`, `Upgrade`, …)
    /// are the gateway's own and have no effect. Values may have expressions: those of the API alone are evaluated once, others for
    /// each request; the body is not among what they see.
    pub headers: Vec<Header>,
}

impl SharedConfig {
    /// With the paths of files read from the folder of the file that `node` stands in, as everything else that a definition names.
    #[must_use]
    pub fn located(mut self, node: Option<&Node>) -> Self {
        self.ssl = self.ssl.located(node);
        self
    }
}

/// Protocol and timeouts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Version of HTTP. `HTTP_2` is not spoken yet: such a backend is called by HTTP/1.1.
    pub version: Version,
    /// For `HTTP_2`: whether to upgrade from HTTP/1.1. Accepted for compatibility, not acted on.
    pub clear_text_upgrade: bool,
    /// Whether connections are kept for further requests. If not, requests say `Connection: close`.
    pub keep_alive: bool,
    /// How long an idle connection is kept, in milliseconds.
    pub keep_alive_timeout: u64,
    /// The longest that connecting may take in milliseconds, with everything that belongs to it: resolving the name, trying its addresses
    /// (each gets an equal share), the proxy, the TLS handshake. 0: two minutes.
    pub connect_timeout: u64,
    /// The longest that the backend may stay silent, in milliseconds, once the whole request was sent (or its head, where the client waits
    /// for a 100): before the response and within it. Each byte starts it anew; while the client is the slow one it stands still. Event
    /// streams have `idleTimeout` instead. 0: for ever.
    pub read_timeout: u64,
    /// The longest, in milliseconds, that a tunnel may stay without a byte in either direction, and an event stream (`text/event-stream`)
    /// without a byte; and that the backend may take nothing of a request: the rest of that is then not sent, and the backend has
    /// `readTimeout` to answer. 0: for ever.
    pub idle_timeout: u64,
    /// Accepted for compatibility, not acted on: a connection carries one request at a time. Behind a slow response all others would wait, and
    /// when it breaks off nobody knows which of them the backend has seen.
    pub pipelining: bool,
    /// Whether the gateway accepts gzip from the backend in the name of clients that do not, and undoes it for them; clients that do accept
    /// it get it as it is. `false`: the backend is not asked for codings, unless `propagateClientAcceptEncoding` says otherwise. Not given
    /// (other than in the reference product, where this is `true`): the gateway has no part in it, client and backend agree on codings.
    pub use_compression: Option<bool>,
    /// With `useCompression: false`: whether the client's `Accept-Encoding` reaches the backend, and the answer the client as it is.
    pub propagate_client_accept_encoding: bool,
    /// Whether the backend sees the client's `Host` instead of its own.
    pub propagate_client_host: bool,
    /// Whether the gateway itself follows redirects (301, 302, 303, 307, 308) of GET and HEAD requests without a body, at most 10 in a row;
    /// the next one goes to the client. Another origin (scheme, host or port) is reached over a connection of its own and gets neither
    /// `Authorization`, `Cookie`, `Proxy-Authorization`, `X-Api-Key`, `X-Gravitee-Api-Key` nor the fields of `headers`. Only for backends
    /// that are trusted: they choose where the gateway connects to.
    pub follow_redirects: bool,
    /// Most connections to the backend. They are divided among the shards; each has at least one. A redirect that is followed elsewhere
    /// has at most one more at a time.
    #[schemars(range(min = 1))]
    pub max_concurrent_connections: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            version: Version::default(),
            clear_text_upgrade: true,
            keep_alive: true,
            keep_alive_timeout: 30_000,
            connect_timeout: 3_000,
            read_timeout: 10_000,
            idle_timeout: 60_000,
            pipelining: false,
            use_compression: None,
            propagate_client_accept_encoding: false,
            propagate_client_host: false,
            follow_redirects: false,
            max_concurrent_connections: 20,
        }
    }
}

/// Version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Version {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "HTTP_1_1")]
    Http11,
    /// HTTP/2.
    #[serde(rename = "HTTP_2")]
    Http2,
}

/// A proxy between the gateway and the backend.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProxyConfig {
    /// Whether it is used.
    pub enabled: bool,
    /// Whether the environment's `HTTP_PROXY` (for `http` targets) or `HTTPS_PROXY` (for `https`), also in small letters, names it instead
    /// of `host` and `port`. It is taken for an HTTP proxy without a user. Unset: no proxy. What `NO_PROXY` (or `no_proxy`) names is reached
    /// without it, redirects and health checks elsewhere included: entries between commas or blanks, each `*`, a name (for itself and all
    /// below it), `.name` (for all below it), an address or a range of them (`10.0.0.0/8`), all but ranges with `:port` where only that
    /// port is meant. Names are not resolved for it.
    pub use_system_proxy: bool,
    /// Protocol of the proxy.
    #[serde(rename = "type")]
    pub kind: ProxyKind,
    /// Its host.
    pub host: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// User name, if it asks for one.
    pub username: Option<String>,
    /// Password.
    pub password: Option<String>,
}

/// Protocol of a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ProxyKind {
    /// HTTP CONNECT (RFC 9110 section 9.3.6).
    #[default]
    #[serde(rename = "HTTP")]
    Http,
    /// SOCKS 4.
    #[serde(rename = "SOCKS4")]
    Socks4,
    /// SOCKS 5 (RFC 1928).
    #[serde(rename = "SOCKS5")]
    Socks5,
}

/// A field.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Name of the field.
    pub name: String,
    /// Its value.
    pub value: String,
}
