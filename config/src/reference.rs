//! Names of the reference product: what an export may hold although Ringway has no such thing yet. They tell a thing that is still to come from
//! a spelling mistake.

/// Types of entrypoints.
pub(crate) const ENTRYPOINTS: [&str; 13] = [
    "a2a-proxy",
    "agent-to-agent",
    "http-get",
    "http-post",
    "http-proxy",
    "llm-proxy",
    "mcp",
    "mcp-proxy",
    "native-kafka",
    "sse",
    "tcp-proxy",
    "webhook",
    "websocket",
];

/// Entrypoints that Ringway has a place for, which the reference product does not have, and what they come with.
pub(crate) const COMING: [(&str, &str); 1] =
    [("grpc", "HTTP/2, in a later release; `sse`, `websocket` and `http-post` serve the same endpoints meanwhile")];

/// Types of endpoints.
pub(crate) const ENDPOINTS: [&str; 13] = [
    "a2a-proxy",
    "agent-to-agent",
    "asb",
    "http-proxy",
    "kafka",
    "llm-proxy",
    "mcp-proxy",
    "mock",
    "mqtt5",
    "native-kafka",
    "rabbitmq",
    "solace",
    "tcp-proxy",
];

/// Types of plan security.
pub(crate) const GUARDS: [&str; 5] = ["api-key", "jwt", "key-less", "mtls", "oauth2"];

/// Policies that will not come, and what to do instead.
pub(crate) const INSTEAD: [(&str, &str); 1] =
    [("groovy", "it needs a Java machine; write the script in JavaScript, for the policy `javascript`")];

/// Policies, by their ids in definitions; those of native APIs and of AI products are left out, because such APIs are not served anyway.
pub(crate) const POLICIES: [&str; 57] = [
    "api-key",
    "avro-json",
    "avro-protobuf",
    "cache",
    "cloud-events",
    "custom-query-parameters",
    "data-cache",
    "dynamic-routing",
    "generate-http-signature",
    "geoip-filtering",
    "graphql-rate-limit",
    "groovy",
    "html-json",
    "http-signature",
    "ip-filtering",
    "javascript",
    "json-threat-protection",
    "json-to-json",
    "json-validation",
    "json-xml",
    "jws",
    "jwt",
    "key-less",
    "latency",
    "message-filtering",
    "mock",
    "mtls",
    "oas-validation",
    "oauth2",
    "openid-userinfo",
    "policy-assign-attributes",
    "policy-assign-content",
    "policy-assign-metrics",
    "policy-basic-authentication",
    "policy-generate-jwt",
    "policy-http-callout",
    "policy-interrupt",
    "policy-override-request-method",
    "policy-request-validation",
    "protobuf-json",
    "quota",
    "rate-limit",
    "rbac",
    "regex-threat-protection",
    "request-content-limit",
    "resource-filtering",
    "rest-to-soap",
    "shared-policy-group-policy",
    "spike-arrest",
    "status-code-transformation",
    "transform-headers",
    "transform-queryparams",
    "url-rewriting",
    "xml-json",
    "xml-threat-protection",
    "xml-validation",
    "xslt",
];
