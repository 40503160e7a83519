//! A context that is written down.

use ringway_expression::{Body, Context, Field, Map, Value};

/// An exchange as the tests see it.
pub struct Sample;

const REQUEST: &str = r#"{"name": "Ada", "age": 36, "score": 1.5, "active": true, "none": null, "tags": ["a", "b\"c", "d"],
    "address": {"city": "London", "zip": "N1"},
    "items": [{"id": 1, "price": 8, "sku": "x"}, {"id": 2, "price": 20}, {"id": 3, "price": 12.5, "sku": "z"}]}"#;

impl Context for Sample {
    fn field(&self, field: Field) -> Value<'_> {
        match field {
            Field::RequestId => Value::text("r-1"),
            Field::RequestMethod => Value::text("GET"),
            Field::RequestHost => Value::text("api.example.com"),
            Field::RequestUri => Value::text("/orders/v1/items/17?sort=up"),
            Field::RequestPath => Value::text("/orders/v1/items/17"),
            Field::RequestPathInfo => Value::text("/v1/items/17"),
            Field::RequestContextPath => Value::text("/orders"),
            Field::RequestTimestamp => Value::Int(1_700_000_000_000),
            Field::ResponseStatus => Value::Int(503),
            Field::MessageContentLength => Value::Int(12),
            Field::MessageError => Value::Bool(false),
            Field::ApiName => Value::text("Orders"),
            Field::NodeShardingTags => Value::List([Value::text("eu"), Value::text("internal")].into()),
            _ => Value::Null,
        }
    }

    fn entry(&self, map: Map, name: &str, index: usize) -> Value<'_> {
        let values: &[&'static str] = match (map, name) {
            (Map::RequestHeaders, "x-tier") => &["gold"],
            (Map::RequestHeaders, "x-many") => &["one", "two"],
            (Map::RequestHeaders, "content-length") => &["42"],
            (Map::RequestParams, "sort") => &["up"],
            (Map::RequestParams, "q") => &["<&\"'>"],
            (Map::RequestPathParams, "id") => &["17"],
            (Map::ResponseHeaders, "content-type") => &["application/json"],
            (Map::TlsClient, "cn") => &["client.example.com"],
            (Map::TlsClient, "ou") => &["Dev", "Test"],
            (Map::Attributes, "plan" | "gravitee.attribute.plan") => &["gold-plan"],
            (Map::Attributes, "empty") => &[""],
            (Map::Properties, "key") => &["value"],
            (Map::Endpoints, "default") => &["default:"],
            (Map::SubscriptionMetadata, "unit") => &["kg"],
            _ => &[],
        };
        Value::maybe_text(values.get(index).copied())
    }

    fn names(&self, map: Map, each: &mut dyn FnMut(&str)) {
        let names: &[&str] = match map {
            Map::RequestHeaders => &["x-tier", "x-many", "content-length"],
            Map::TlsClient => &["cn", "ou"],
            Map::Properties => &["key"],
            _ => &[],
        };
        names.iter().for_each(|name| each(name));
    }

    fn body(&self, body: Body) -> Option<&[u8]> {
        match body {
            Body::Request => Some(REQUEST.as_bytes()),
            Body::Response => Some(b"not json"),
            Body::Message | Body::Callout => None,
        }
    }

    fn dictionary(&self, id: &str, key: &str) -> Value<'_> {
        if (id, key) == ("countries", "FR") { Value::text("France") } else { Value::Null }
    }

    fn now_ms(&self) -> Option<u64> {
        Some(1_700_000_000_123)
    }

    fn random(&self) -> Option<u128> {
        Some(7)
    }
}
