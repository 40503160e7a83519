//! Every policy with a configuration that is typical of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::body;

/// What a policy is run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// The head of a request.
    Head,
    /// The head of a request that has a body.
    Post,
    /// The head of a request, and it answers by itself.
    Answer,
    /// The head of a response.
    Back,
    /// A request, and the call of the backend with what it puts around it.
    Call,
    /// A request with a body: a list of orders.
    Json,
    /// The same in an object.
    JsonObject,
    /// Orders in XML.
    Xml,
    /// Prose.
    Text,
    /// A query.
    Graphql,
    /// Orders in JSON that are signed.
    Signed,
    /// A response with orders.
    JsonBack,
    /// A response with orders in a page.
    HtmlBack,
    /// A message with orders.
    Message,
}

impl With {
    pub fn has_body(self) -> bool {
        !matches!(self, Self::Head | Self::Post | Self::Answer | Self::Back | Self::Call)
    }

    /// Whether it is about the response.
    pub fn is_back(self) -> bool {
        matches!(self, Self::Back | Self::JsonBack | Self::HtmlBack)
    }

    /// The lengths of bodies that it is run with.
    pub fn lengths(self) -> &'static [usize] {
        if self.has_body() { &[1024, 10 * 1024] } else { &[0] }
    }

    pub fn media(self) -> &'static str {
        match self {
            Self::Xml => "application/xml",
            Self::Text => "text/plain",
            Self::HtmlBack => "text/html",
            Self::Signed => "application/jose+json",
            _ => "application/json",
        }
    }

    pub fn body(self, length: usize) -> Bytes {
        Bytes::from(match self {
            Self::JsonObject => format!("{{\"order\":{}}}", body::json(length)),
            Self::Xml | Self::HtmlBack => body::xml(length),
            Self::Text => body::text(length),
            Self::Graphql => body::graphql(length),
            Self::Signed => body::signed(length),
            _ => body::json(length),
        })
    }
}

/// A policy.
pub struct Row {
    pub policy: &'static str,
    /// As in a definition; see [`filled`].
    pub configuration: &'static str,
    pub with: With,
    /// Lines that the request has besides; see [`filled`].
    pub fields: &'static str,
    /// Type and configuration of the resource `mine`.
    pub resource: Option<(&'static str, &'static str)>,
    pub attributes: &'static [(&'static str, &'static str)],
}

pub const fn head(policy: &'static str, configuration: &'static str) -> Row {
    row(policy, With::Head, configuration)
}

const fn row(policy: &'static str, with: With, configuration: &'static str) -> Row {
    Row { policy, configuration, with, fields: "", resource: None, attributes: &[] }
}

/// One waits, one acts on what is written down only, and two read what `avro-json` and `protobuf-json` write.
pub const UNMEASURED: [&str; 4] = ["avro-protobuf", "latency", "policy-data-logging-masking", "schema-registry-json"];

/// A limit that is counted in one place, of whoever the exchange says.
pub const EXACT: &str = r#"{"rate": {"key": "{#context.attributes['caller']}", "useKeyOnly": true, "limit": 1000, "periodTime": 1, "periodTimeUnit": "MINUTES"}}"#;
/// The same, so large that shards lease it.
pub const LEASED: &str = r#"{"rate": {"key": "{#context.attributes['caller']}", "useKeyOnly": true, "limit": 1000000000, "periodTime": 1, "periodTimeUnit": "MINUTES"}}"#;

/// The schema of orders.
macro_rules! order {
    () => {
        r#"{\"type\": \"object\", \"required\": [\"id\", \"sku\"], \"properties\": {\"id\": {\"type\": \"integer\"}, \"sku\": {\"type\": \"string\", \"pattern\": \"^A-[0-9]+$\"}, \"price\": {\"type\": \"number\", \"minimum\": 0}, \"paid\": {\"type\": \"boolean\"}}}"#
    };
}

/// All of them, those that look at the head only first.
pub const ROWS: &[Row] = &[
    head(
        "policy-assign-attributes",
        r#"{"attributes": [{"name": "tier", "value": "gold"}, {"name": "user", "value": "{#request.headers['x-user'][0]}"}]}"#,
    ),
    Row {
        fields: "Authorization: Basic YWRhOnNlY3JldA==\r\n",
        resource: Some((
            "auth-provider-inline-resource",
            r#"{"users": [{"username": "ada", "password": "secret", "roles": ["ops"]}]}"#,
        )),
        ..head("policy-basic-authentication", r#"{"authenticationProviders": ["mine"]}"#)
    },
    Row { resource: Some(("cache", "{}")), ..row("cache", With::Call, r#"{"cacheName": "mine", "scope": "API"}"#) },
    row(
        "policy-circuit-breaker",
        With::Call,
        r#"{"failureRateThreshold": 50, "windowSize": 100, "waitDurationInOpenState": 1000}"#,
    ),
    head(
        "dynamic-routing",
        r#"{"rules": [{"pattern": "/stores/(.*)", "url": "{#endpoints['stores']}/{#group[0]}"}, {"pattern": "/orders/(.*)", "url": "{#endpoints['orders']}/{#group[0]}"}]}"#,
    ),
    Row {
        fields: "Date: Tue, 07 Jun 2014 20:51:35 GMT\r\n",
        ..head(
            "generate-http-signature",
            r#"{"keyId": "gateway", "secret": "shared secret", "headers": ["(request-target)", "host", "date"], "created": false, "expires": false}"#,
        )
    },
    head(
        "policy-generate-jwt",
        r#"{"signature": "HMAC_HS256", "content": "0123456789abcdef0123456789abcdef", "issuer": "gateway", "subject": "{#request.headers['x-user'][0]}"}"#,
    ),
    head(
        "geoip-filtering",
        r#"{"database": "<path places.mmdb>", "whitelistRules": [{"type": "COUNTRY", "country": "FR"}]}"#,
    ),
    head(
        "policy-http-callout",
        r#"{"method": "GET", "url": "http://rights.test/users/{#request.headers['x-user'][0]}", "variables": [{"name": "tier", "value": "{#jsonPath(#calloutResponse.content, '$.tier')}"}]}"#,
    ),
    row(
        "http-redirect",
        With::Answer,
        r#"{"rules": [{"path": "/orders/(.*)", "location": "https://new.example/{#group[0]}", "status": 308}]}"#,
    ),
    row("policy-interrupt", With::Answer, r#"{"errorKey": "MAINTENANCE", "message": "Back at noon."}"#),
    head(
        "ip-filtering",
        r#"{"whitelistIps": ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"], "blacklistIps": ["10.6.6.6"]}"#,
    ),
    head("javascript", r#"{"script": "request.headers.set('X-Tier', context.attributes.tier);"}"#),
    head("js", r#"{"script": "request.headers().set('X-Tier', request.header('x-user'));"}"#),
    row(
        "mock",
        With::Answer,
        r#"{"status": "200", "headers": [{"name": "X-Mock", "value": "yes"}], "content": "{\"user\": \"{#request.headers['x-user'][0]}\"}"}"#,
    ),
    head("policy-override-request-method", r#"{"method": "PUT"}"#),
    head("quota", r#"{"addHeaders": true, "quota": {"limit": 1000000000, "periodTime": 1, "periodTimeUnit": "DAYS"}}"#),
    head(
        "rate-limit",
        r#"{"addHeaders": true, "rate": {"limit": 1000000000, "periodTime": 1, "periodTimeUnit": "MINUTES"}}"#,
    ),
    Row {
        attributes: &[("user.roles", "admin,ops")],
        ..head("rbac", r#"{"roles": ["ops", "audit"], "strict": false}"#)
    },
    row("request-content-limit", With::Post, r#"{"limit": 100000}"#),
    head(
        "policy-request-validation",
        r#"{"rules": [{"input": "{#request.params['page'][0]}", "constraint": {"type": "MIN", "parameters": ["1"]}}, {"input": "{#request.headers['x-user'][0]}", "constraint": {"type": "PATTERN", "parameters": ["[a-z]+"]}}]}"#,
    ),
    head(
        "resource-filtering",
        r#"{"whitelist": [{"pattern": "/orders/**", "methods": ["GET", "POST"]}], "blacklist": [{"pattern": "/**/admin"}]}"#,
    ),
    row("retry", With::Call, r#"{"condition": "{#response.status >= 500}", "maxRetries": 2, "timeout": 1000}"#),
    head(
        "spike-arrest",
        r#"{"addHeaders": true, "spike": {"limit": 1000000000, "periodTime": 1, "periodTimeUnit": "MINUTES"}}"#,
    ),
    head("ssl-enforcement", "{}"),
    row(
        "status-code-policy",
        With::Back,
        r#"{"statusMappings": [{"inputStatusCode": 404, "outputStatusCode": 200}, {"inputStatusCode": 200, "outputStatusCode": 203}]}"#,
    ),
    row(
        "traffic-shadowing",
        With::Call,
        r#"{"target": "http://next.test/copy", "headers": [{"name": "X-Shadow", "value": "{#request.path}"}]}"#,
    ),
    head(
        "transform-headers",
        r#"{"removeHeaders": ["user-agent"], "addHeaders": [{"name": "X-Tier", "value": "gold"}]}"#,
    ),
    head(
        "transform-queryparams",
        r#"{"removeQueryParameters": ["tag"], "addQueryParameters": [{"name": "source", "value": "gateway"}]}"#,
    ),
    head("wasm", r#"{"module": "<wasm headers.wat>", "configuration": "gold"}"#),
    Row {
        fields: "Date: Tue, 07 Jun 2014 20:51:35 GMT\r\nAuthorization: Signature keyId=\"app\",algorithm=\"hmac-sha256\",headers=\"host date\",signature=\"<signature>\"\r\n",
        ..head("http-signature", r#"{"secret": "shared secret"}"#)
    },
    row(
        "policy-assign-content",
        With::Json,
        r#"{"body": "{\"user\": \"${request.headers['x-user']}\", \"orders\": ${request.content}}"}"#,
    ),
    row(
        "avro-json",
        With::Json,
        r#"{"conversion": "json-to-avro", "serializationFormat": "simple", "schemaDefinition": "{\"type\": \"array\", \"items\": {\"type\": \"record\", \"name\": \"Order\", \"fields\": [{\"name\": \"id\", \"type\": \"long\"}, {\"name\": \"sku\", \"type\": \"string\"}, {\"name\": \"price\", \"type\": \"double\"}, {\"name\": \"note\", \"type\": \"string\"}, {\"name\": \"paid\", \"type\": \"boolean\"}]}}"}"#,
    ),
    row(
        "protobuf-json",
        With::JsonObject,
        r#"{"conversion": "json-to-protobuf", "protobufOut": {"inlineOut": {"serializationFormat": "simple", "schemaDefinition": "syntax = \"proto3\"; message Orders { repeated Order order = 1; message Order { int64 id = 1; string sku = 2; double price = 3; string note = 4; bool paid = 5; } }"}}}"#,
    ),
    row(
        "html-json",
        With::HtmlBack,
        r#"{"selectors": [{"jsonName": "names", "selector": "order > sku", "array": true}, {"jsonName": "first", "selector": "order"}]}"#,
    ),
    row(
        "cloud-events",
        With::Json,
        r#"{"type": "order.created", "source": "urn:orders", "id": "{#request.headers['x-user'][0]}"}"#,
    ),
    row("graphql-limits", With::Graphql, r#"{"maxDepth": 10, "maxCost": 100000, "maxAliases": 10000}"#),
    row(
        "graphql-rate-limit",
        With::Graphql,
        r#"{"limit": 1000000000000, "periodTime": 1, "periodTimeUnit": "MINUTES"}"#,
    ),
    row("json-threat-protection", With::Json, r#"{"maxArraySize": 10000}"#),
    row(
        "json-to-json",
        With::Json,
        r#"{"specification": "[{\"operation\": \"shift\", \"spec\": {\"*\": {\"id\": \"[&1].number\", \"*\": \"[&1].&\"}}}]"}"#,
    ),
    row("json-validation", With::Json, concat!(r#"{"schema": "{\"type\": \"array\", \"items\": "#, order!(), r#"}"}"#)),
    row("json-xml", With::JsonObject, r#"{"rootElement": "orders"}"#),
    row("jws", With::Signed, r#"{"keys": {"default": "<rsa.pub>"}}"#),
    row("message-filtering", With::Message, r#"{"filter": "{#jsonPath(#message.content, '$[0].id') == 0}"}"#),
    row(
        "oas-validation",
        With::Json,
        concat!(
            r#"{"sourceJson": "{\"openapi\": \"3.0.3\", \"info\": {\"title\": \"o\", \"version\": \"1\"}, \"paths\": {\"/orders/{id}/items\": {\"post\": {\"parameters\": [{\"name\": \"id\", \"in\": \"path\", \"required\": true, \"schema\": {\"type\": \"integer\"}}, {\"name\": \"page\", \"in\": \"query\", \"schema\": {\"type\": \"integer\"}}], \"requestBody\": {\"content\": {\"application/json\": {\"schema\": {\"type\": \"array\", \"items\": "#,
            order!(),
            r#"}}}}, \"responses\": {\"200\": {\"description\": \"well\"}}}}}}"}"#
        ),
    ),
    row("regex-threat-protection", With::Text, r#"{"regex": ".*<\\s*script\\b[^>]*>.*"}"#),
    row(
        "rest-to-soap",
        With::Json,
        r#"{"envelope": "<Envelope><Body>{#request.content}</Body></Envelope>", "soapAction": "urn:list"}"#,
    ),
    row(
        "url-rewriting",
        With::JsonBack,
        r#"{"fromRegex": "https?://internal\\.test(?<rest>/[^\"\\s]*)", "toReplacement": "https://api.example{#group[0]}"}"#,
    ),
    row("xml-json", With::Xml, "{}"),
    row(
        "xml-threat-protection",
        With::Xml,
        r#"{"maxElements": 10000, "maxChildrenPerElement": 10000, "maxLength": 100000}"#,
    ),
    row(
        "xml-validation",
        With::Xml,
        r#"{"xsdSchema": "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema'><xs:element name='orders'><xs:complexType><xs:sequence><xs:element name='order' maxOccurs='unbounded'><xs:complexType><xs:sequence><xs:element name='sku' type='xs:string'/><xs:element name='price' type='xs:decimal'/></xs:sequence><xs:attribute name='id' type='xs:nonNegativeInteger' use='required'/></xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element></xs:schema>"}"#,
    ),
    row(
        "xslt",
        With::Xml,
        r#"{"stylesheet": "<xsl:stylesheet version='1.0' xmlns:xsl='http://www.w3.org/1999/XSL/Transform'><xsl:template match='/orders'><list n='{count(order)}'><xsl:for-each select='order'><item sku='{sku}'><xsl:value-of select='price'/></item></xsl:for-each></list></xsl:template></xsl:stylesheet>"}"#,
    ),
];

/// A text with `<rsa.pub>` replaced by that key, within JSON; `<path file>` by the path of that file; `<wasm file>` by that module, in
/// Base64; `<signature>` by the HMAC of host and date.
pub fn filled(text: &str) -> String {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/tests/data/places.mmdb");
    let mut out = text.replace("<path places.mmdb>", data);
    if out.contains("<rsa.pub>") {
        out = out.replace("<rsa.pub>", &key("rsa.pub").replace('\n', "\\n"));
    }
    if out.contains("<wasm headers.wat>") {
        let module = wat::parse_file(concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/tests/modules/headers.wat"));
        out = out.replace("<wasm headers.wat>", &STANDARD.encode(module.unwrap()));
    }
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"shared secret");
    let signed = ring::hmac::sign(&secret, b"host: api.example.test\ndate: Tue, 07 Jun 2014 20:51:35 GMT");
    out.replace("<signature>", &STANDARD.encode(signed))
}

/// The text of a key of the cases of policies.
pub fn key(name: &str) -> String {
    std::fs::read_to_string(format!("{}/../policies/tests/keys/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// What its PEM has.
pub fn pem(name: &str) -> Vec<u8> {
    let text = key(name);
    let lines: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(lines).unwrap()
}
