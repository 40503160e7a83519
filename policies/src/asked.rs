//! What expressions see where a policy has something to ask about, besides the exchange.

use ringway_contract::context::{Body, Context, Field, Map};
use ringway_contract::{Exchange, FetchResponse, Value};

/// An exchange, with texts that are there for the moment, and what a service said.
pub struct Asked<'a> {
    /// The exchange.
    pub exchange: &'a Exchange,
    /// Fields that it has not, and their texts.
    pub texts: &'a [(Field, &'a str)],
    /// Seen as `#authResponse`, in the place of the backend's.
    pub response: Option<&'a FetchResponse>,
}

impl Context for Asked<'_> {
    fn field(&self, field: Field) -> Value<'_> {
        if let Some((_, text)) = self.texts.iter().find(|(known, _)| *known == field) {
            return Value::text(text);
        }
        match (field, self.response) {
            (Field::ResponseStatus, Some(response)) => Value::Int(response.status.as_u16().into()),
            _ => self.exchange.field(field),
        }
    }

    fn entry(&self, map: Map, name: &str, index: usize) -> Value<'_> {
        if map != Map::ResponseHeaders {
            return self.exchange.entry(map, name, index);
        }
        let headers = self.response.map(|response| &*response.headers).unwrap_or_default();
        let mut own = headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        own.nth(index).map_or(Value::Null, |value| Value::Text(String::from_utf8_lossy(value)))
    }

    fn names(&self, map: Map, each: &mut dyn FnMut(&str)) {
        if map != Map::ResponseHeaders {
            return self.exchange.names(map, each);
        }
        let headers = self.response.map(|response| &*response.headers).unwrap_or_default();
        for (at, (name, _)) in headers.iter().enumerate() {
            if !headers.iter().take(at).any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                each(name);
            }
        }
    }

    fn body(&self, body: Body) -> Option<&[u8]> {
        match body {
            Body::Response => self.response.map(|response| &*response.body),
            _ => self.exchange.body(body),
        }
    }

    fn dictionary(&self, id: &str, key: &str) -> Value<'_> {
        self.exchange.dictionary(id, key)
    }

    fn now_ms(&self) -> Option<u64> {
        self.exchange.now_ms()
    }

    fn random(&self) -> Option<u128> {
        self.exchange.random()
    }
}
