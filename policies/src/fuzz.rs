//! What fuzzers call: any body is transformed or refused, in bounded time and memory, and never a panic; what is made can be read again.
#![allow(clippy::expect_used, reason = "its own configurations are sound; nothing of this is in the product")]

mod directory;
mod redis;
mod token;

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use ringway_contract::kind::{Services, Source};
use ringway_contract::{ApiInfo, Client, Exchange, Node, Policy, Request, Step};

use crate::xml::tree::{Bounds, Document};

pub use directory::directory;
pub use redis::redis;
pub use token::token;

/// Bytes that may come of an input: no policy makes more than 16 MiB of a body.
const OUT_BYTES_MAX: usize = 40 * 1024 * 1024;

/// A policy with this configuration, if it takes it.
fn policy(name: &str, configuration: &serde_json::Value) -> Option<Rc<dyn Policy>> {
    let kind = crate::POLICIES.iter().find(|kind| kind.name == name)?;
    let node = Node::parse_json("fuzz", &configuration.to_string()).ok()?;
    let source = Source { configuration: Some(&node), shared: None, place: "fuzz", resources: &[], groups: &[] };
    (kind.build)(source, &Services::default()).ok()
}

/// What a policy makes of a request with this body; `None` if it refuses it.
fn run(policy: &dyn Policy, media: &str, body: &[u8]) -> Option<Bytes> {
    let mut request = Box::<Request>::default();
    let head =
        format!("POST /api/orders?a=1 HTTP/1.1\r\nHost: a\r\nContent-Type: {media}\r\nContent-Length: 1\r\n\r\n");
    request.head.parse(&mut BytesMut::from(&*head), &Services::default().response_limits).ok()?;
    request.context_path_len = "/api".len();
    let client = Client { address: None, tls: false, certificate: None };
    let mut exchange = Exchange::new(request, Rc::new(ApiInfo::default()), Rc::default(), client);
    exchange.contents.request = Some(Bytes::copy_from_slice(body));
    let passed = matches!(policy.request(&mut exchange), Step::Next);
    let made = exchange.contents.request.filter(|_| passed)?;
    assert!(made.len() <= OUT_BYTES_MAX, "{} bytes were made", made.len());
    Some(made)
}

/// The two halves of an input, at the first zero.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (one, other) = data.split_at(at);
    (one, other.get(1..).unwrap_or_default())
}

fn assert_xml(text: &[u8], by: &str) {
    let bounds = Bounds { depth_max: 300, nodes_max: 10_000_000 };
    let parsed = Document::parse(text, bounds).map(drop).map_err(|malformed| malformed.what);
    // A member's name may have a prefix, and JSON has no way to declare one.
    let readable = matches!(parsed, Ok(()) | Err("a prefix that is not declared"));
    assert!(readable, "{by}: {parsed:?}: {}", String::from_utf8_lossy(text));
}

/// The two readers of JSON agree, and what is made of JSON can be read.
pub fn json(data: &[u8]) {
    crate::json::agree(data);
    let media = "application/json";
    let identity = serde_json::json!({"specification": "[{\"operation\": \"shift\", \"spec\": {\"*\": \"&\"}}]"});
    for (name, configuration) in [
        ("json-xml", serde_json::json!({})),
        ("json-to-json", identity),
        ("json-validation", serde_json::json!({"schema": "{\"type\": [\"object\", \"array\"]}"})),
        ("json-threat-protection", serde_json::json!({})),
        ("cloud-events", serde_json::json!({"type": "t", "source": "s", "id": "i"})),
    ] {
        let policy = policy(name, &configuration);
        let made = policy.and_then(|policy| run(&*policy, media, data));
        match made {
            Some(xml) if name == "json-xml" && !data.is_empty() => assert_xml(&xml, name),
            Some(json) if name == "cloud-events" || name == "json-to-json" => {
                assert!(data.is_empty() || crate::json::Value::parse(&json).is_ok(), "{name}");
            }
            _ => {}
        }
    }
}

const SCHEMA: &str = "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema'><xs:element name='a'><xs:complexType mixed='true'>\
    <xs:choice minOccurs='0' maxOccurs='unbounded'><xs:element ref='a'/><xs:element name='d' type='xs:dateTime'/>\
    <xs:element name='n' type='xs:decimal'/><xs:any namespace='##other' processContents='lax'/></xs:choice>\
    <xs:attribute name='i' type='xs:ID'/><xs:attribute name='r' type='xs:IDREFS'/></xs:complexType></xs:element></xs:schema>";
const SHEET: &str = "<xsl:stylesheet version='1.0' xmlns:xsl='http://www.w3.org/1999/XSL/Transform'><xsl:template match='@*|node()'>\
    <xsl:copy><xsl:apply-templates select='@*|node()'/></xsl:copy></xsl:template></xsl:stylesheet>";

/// Documents, alone or behind a schema or a stylesheet and a zero.
pub fn xml(data: &[u8]) {
    let (first, second) = halves(data);
    let (own, body) = if second.is_empty() { (None, first) } else { (std::str::from_utf8(first).ok(), second) };
    for (name, configuration) in [
        ("xml-json", serde_json::json!({})),
        ("xml-threat-protection", serde_json::json!({})),
        ("xml-validation", serde_json::json!({"xsdSchema": own.unwrap_or(SCHEMA)})),
        ("xslt", serde_json::json!({"stylesheet": own.unwrap_or(SHEET)})),
    ] {
        let Some(policy) = policy(name, &configuration) else { continue };
        let made = run(&*policy, "application/xml", body).filter(|_| !body.is_empty());
        match (name, made) {
            ("xml-json", Some(json)) => assert!(crate::json::Value::parse(&json).is_ok(), "{name}"),
            // A stylesheet of one's own may make text, or several roots.
            ("xslt", Some(xml)) if own.is_none() => assert_xml(&xml, name),
            _ => {}
        }
    }
}

/// An OpenAPI document, and a body behind a zero.
pub fn openapi(data: &[u8]) {
    let (document, body) = halves(data);
    let Ok(document) = std::str::from_utf8(document) else { return };
    for field in ["sourceJson", "sourceYaml"] {
        if let Some(policy) = policy("oas-validation", &serde_json::json!({field: document})) {
            run(&*policy, "application/json", body);
            run(&*policy, "application/x-www-form-urlencoded", body);
        }
    }
}

/// What is escaped into an envelope does not open or close anything there.
pub fn soap(data: &[u8]) {
    let envelope = "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body><a>{#xmlEscape(#request.content)}</a>\
        </e:Body></e:Envelope>";
    let configuration = serde_json::json!({"envelope": envelope, "soapAction": "a"});
    let policy = policy("rest-to-soap", &configuration).expect("an envelope that is one");
    let made = run(&*policy, "text/plain", data);
    if let Some(xml) = made.filter(|_| std::str::from_utf8(data).is_ok()) {
        let count = |text: &[u8], byte: u8| text.iter().filter(|known| **known == byte).count();
        assert_eq!(count(&xml, b'<'), count(envelope.as_bytes(), b'<'));
        xml_json(&xml);
    }
}

fn xml_json(xml: &[u8]) {
    if let Some(policy) = policy("xml-json", &serde_json::json!({})) {
        run(&*policy, "application/xml", xml);
    }
}

/// Requests of GraphQL, as documents and in JSON.
pub fn graphql(data: &[u8]) {
    let configuration = serde_json::json!({"maxCost": 1000, "maxBatch": 10});
    let policy = policy("graphql-limits", &configuration).expect("limits");
    run(&*policy, "application/graphql", data);
    run(&*policy, "application/json", data);
    if let Ok(text) = std::str::from_utf8(data) {
        let request = serde_json::json!({"query": text, "variables": {"n": 7}});
        run(&*policy, "application/json", request.to_string().as_bytes());
    }
}

const AVRO: &str = r#"{"type": "record", "name": "R", "fields": [{"name": "s", "type": "string"}, {"name": "n", "type": ["null", "R"]},
    {"name": "d", "type": "double"}, {"name": "a", "type": {"type": "array", "items": ["null", "long", "bytes"]}},
    {"name": "m", "type": {"type": "map", "values": "float"}}]}"#;

const PROTOBUF: &str = r#"syntax = "proto3"; import "google/protobuf/struct.proto"; import "google/protobuf/any.proto";
    message R { string s = 1; R r = 2; repeated R many = 3; repeated sint64 ones = 4; map<string, R> map = 5; double d = 6; bytes y = 7;
    oneof c { R one = 8; int32 i = 9; } google.protobuf.Value v = 10; google.protobuf.Any any = 11; optional bool t = 12; E e = 13;
    repeated fixed32 x = 14; map<int32, bool> flags = 15; enum E { A = 0; B = 1; } }"#;

/// Avro and Protocol Buffers: what is read is JSON, and of that bytes can be made again; alone, or behind a schema and a zero byte, or in a frame.
pub fn binary(data: &[u8]) {
    let avro = serde_json::json!({"schemaDefinition": AVRO, "serializationFormat": "simple"});
    both_ways("avro-json", ["avro-to-json", "json-to-avro"], &avro, data);
    let json = serde_json::json!({"includingDefaultValueFields": data.first().is_some_and(|byte| byte & 0x80 != 0)});
    let protobuf = |schema: &str, format: &str| {
        let side = serde_json::json!({"schemaDefinition": schema, "serializationFormat": format});
        let (inside, outside) = (serde_json::json!({"inlineIn": side}), serde_json::json!({"inlineOut": side}));
        serde_json::json!({"json": json, "protobufIn": inside, "protobufOut": outside})
    };
    let ways = ["protobuf-to-json", "json-to-protobuf"];
    both_ways("protobuf-json", ways, &protobuf(PROTOBUF, "simple"), data);
    both_ways("protobuf-json", ways, &protobuf(PROTOBUF, "confluent"), data);
    let (schema, body) = halves(data);
    if let Ok(schema) = std::str::from_utf8(schema) {
        both_ways("protobuf-json", ways, &protobuf(schema, "simple"), body);
        let own = serde_json::json!({"schemaDefinition": schema, "serializationFormat": "simple", "jsonEncoding": "UNWRAPPED"});
        both_ways("avro-json", ["avro-to-json", "json-to-avro"], &own, body);
    }
}

fn both_ways(name: &str, ways: [&str; 2], configuration: &serde_json::Value, data: &[u8]) {
    let made = ways.map(|way| {
        let mut configuration = configuration.clone();
        if let Some(members) = configuration.as_object_mut() {
            members.insert("conversion".into(), way.into());
        }
        policy(name, &configuration)
    });
    // A schema of the input's may be none.
    let [Some(there), Some(back)] = made else { return };
    run(&*back, "application/json", data);
    if let Some(json) = run(&*there, "application/octet-stream", data).filter(|_| !data.is_empty()) {
        assert!(crate::json::Value::parse(&json).is_ok(), "{}", String::from_utf8_lossy(&json));
        // Numbers that only one of them has, and fields that no schema knows, are lost; but it is read.
        run(&*back, "application/json", &json);
    }
}

/// Pages, and selectors behind a zero byte.
pub fn html(data: &[u8]) {
    let (page, selector) = halves(data);
    let selector =
        std::str::from_utf8(selector).ok().filter(|text| !text.is_empty()).unwrap_or("p > b, li:nth-child(2n+1)");
    let Ok(selector) = crate::html::select::Selector::parse(selector) else { return };
    let page = String::from_utf8_lossy(page);
    let document = crate::html::Document::parse(&page);
    for at in selector.select(&document).unwrap_or_default().into_iter().take(100) {
        let mut text = String::new();
        document.put_text(at, &mut text);
        assert!(text.len() <= page.len() * 4, "more text than there is");
    }
}

#[cfg(test)]
mod tests {
    type Target = fn(&[u8]);

    #[test]
    fn what_fuzzers_begin_with_passes() {
        let targets: [(&str, Target); 9] = [
            ("json", super::json),
            ("xml", super::xml),
            ("openapi", super::openapi),
            ("soap", super::soap),
            ("graphql", super::graphql),
            ("binary", super::binary),
            ("html", super::html),
            ("redis", super::redis),
            ("directory", super::directory),
        ];
        for (name, target) in targets {
            let folder = format!("{}/../fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
            let mut count = 0;
            for file in std::fs::read_dir(folder).expect("a corpus") {
                let seed = std::fs::read(file.expect("a file").path()).expect("a seed");
                target(&seed);
                // What is cut off anywhere is refused, and no more.
                (0..seed.len()).step_by(7).for_each(|end| target(&seed[..end]));
                count += 1;
            }
            assert!(count > 0, "{name}");
        }
    }
}
