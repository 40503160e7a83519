//! What a plan says of its tokens.

use std::collections::BTreeMap;

use ringway_contract::kind::{decode, refused};
use ringway_contract::{Node, Problem};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Jwt;
use crate::jose::Algorithm;

/// Configuration of `jwt`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// How tokens are signed. A token that is signed otherwise is refused.
    pub signature: Algorithm,
    /// Where the key comes from.
    pub public_key_resolver: Resolver,
    /// The key, or the URL of the key set. May have expressions.
    pub resolver_parameter: String,
    /// `GATEWAY_KEYS`: for each issuer (`iss`) its keys by their names (`kid`); `default` is the key of tokens that name none.
    pub gateway_keys: BTreeMap<String, BTreeMap<String, String>>,
    /// `JWKS_URL`: milliseconds that the connection may take. Counted together with `requestTimeout`.
    pub connect_timeout: u64,
    /// `JWKS_URL`: milliseconds that the call may take.
    pub request_timeout: u64,
    /// `JWKS_URL`: whether redirects are followed. They are not.
    pub follow_redirects: bool,
    /// `JWKS_URL`: whether the process's proxy is used. It is not.
    pub use_system_proxy: bool,
    /// Whether the attribute `jwt.claims` has the claims.
    pub extract_claims: bool,
    /// Whether the backend sees the token.
    pub propagate_auth_header: bool,
    /// The claim that names the user; `a.b`: the member `b` of the claim `a`.
    pub user_claim: String,
    /// The claim that names the client, likewise. Without: the first that there is of `azp`, `aud` and `client_id`.
    pub client_id_claim: Option<String>,
    /// Whether the scopes of the token are looked at.
    pub check_required_scopes: bool,
    /// Scopes that a token must have.
    pub required_scopes: Vec<String>,
    /// Whether a token needs every one of `requiredScopes`; otherwise one is enough.
    pub mode_strict: bool,
    /// Tokens that are bound to a certificate (RFC 8705 section 3).
    pub confirmation_method_validation: Confirmation,
    /// The `typ` of tokens.
    pub token_typ_validation: TokenType,
    /// Tokens that were taken back. Not there yet: a plan that asks for it is refused.
    pub revocation_check: Revocation,
    /// The document of RFC 9728. It is not served.
    pub protected_resource_metadata: Option<serde_json::Value>,
    /// The `iss` that a token must have. Without: any.
    pub issuer: Option<String>,
    /// One of these must be among a token's `aud`. Empty: any.
    pub audiences: Vec<String>,
    /// Seconds that the clocks may differ by, for `exp` and `nbf`.
    pub clock_skew: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            signature: Algorithm::default(),
            public_key_resolver: Resolver::default(),
            resolver_parameter: String::new(),
            gateway_keys: BTreeMap::new(),
            connect_timeout: 2000,
            request_timeout: 2000,
            follow_redirects: false,
            use_system_proxy: false,
            extract_claims: false,
            propagate_auth_header: true,
            user_claim: "sub".into(),
            client_id_claim: None,
            check_required_scopes: false,
            required_scopes: Vec::new(),
            mode_strict: true,
            confirmation_method_validation: Confirmation::default(),
            token_typ_validation: TokenType::default(),
            revocation_check: Revocation::default(),
            protected_resource_metadata: None,
            issuer: None,
            audiences: Vec::new(),
            clock_skew: 60,
        }
    }
}

/// Where keys come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Resolver {
    /// `resolverParameter` is the key.
    #[default]
    GivenKey,
    /// The keys of `gatewayKeys`. The reference product has them in the settings of its gateway.
    GatewayKeys,
    /// `resolverParameter` is the URL of a key set (RFC 7517).
    JwksUrl,
}

/// How tokens are bound to certificates.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Confirmation {
    /// Whether a token without `cnf` is good.
    pub ignore_missing: bool,
    /// By the thumbprint of the client's certificate.
    pub certificate_bound_thumbprint: Thumbprint,
}

/// By `x5t#S256`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Thumbprint {
    /// Whether it is checked.
    pub enabled: bool,
    /// Whether a proxy in front of the gateway tells of the certificate.
    pub extract_certificate_from_header: bool,
    /// The field in which it does: PEM or base64 of DER, percent-encoded or not.
    pub header_name: String,
    /// Addresses and networks of such proxies. Of other peers the field means nothing.
    pub trusted_proxies: Vec<String>,
}

impl Default for Thumbprint {
    fn default() -> Self {
        Self {
            enabled: false,
            extract_certificate_from_header: false,
            header_name: "ssl-client-cert".into(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// What `typ` a token may have.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TokenType {
    /// Whether it is checked.
    pub enabled: bool,
    /// Whether a token without `typ` is good.
    pub ignore_missing: bool,
    /// What it may be.
    pub expected_values: Vec<String>,
    /// Whether case does not matter.
    pub ignore_case: bool,
}

impl Default for TokenType {
    fn default() -> Self {
        Self { enabled: false, ignore_missing: false, expected_values: vec!["JWT".into()], ignore_case: false }
    }
}

/// Where it is said which tokens were taken back.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Revocation {
    /// Whether it is checked.
    pub enabled: bool,
}

/// What the schema lets pass: what is refused, and what is not acted on.
pub fn examine(node: Option<&Node>, _shared: Option<&Node>) -> Vec<Problem> {
    let read = decode::<Config>(node);
    let Ok(config) = &read else { return Vec::new() };
    let idle = [
        (config.follow_redirects, "followRedirects", "redirects of the key set are not followed"),
        (config.use_system_proxy, "useSystemProxy", "key sets are fetched without a proxy"),
        (
            config.protected_resource_metadata.is_some(),
            "protectedResourceMetadata",
            "the metadata of the protected resource is not served",
        ),
    ];
    let mut problems: Vec<Problem> = Vec::new();
    for (asked, field, message) in idle {
        if let Some(found) = node.and_then(|node| node.field(field)).filter(|_| asked) {
            problems.push(Problem::warning(&found.span, format!("configuration.{field}"), message));
        }
    }
    problems.extend(refused(node, read.and_then(|config| Jwt::new(config, None)).err()));
    problems
}
