//! What expressions see behind a call: the exchange, and `#calloutResponse`.

use ringway_contract::context::{Body, Context, Field, Map};
use ringway_contract::{Exchange, FetchResponse, Value};

/// An exchange with what a service answered.
pub struct Answered<'a> {
    /// The exchange.
    pub exchange: &'a Exchange,
    /// The answer.
    pub response: &'a FetchResponse,
}

impl Context for Answered<'_> {
    fn field(&self, field: Field) -> Value<'_> {
        match field {
            Field::CalloutStatus => Value::Int(i64::from(self.response.status.as_u16())),
            other => self.exchange.field(other),
        }
    }

    fn entry(&self, map: Map, name: &str, index: usize) -> Value<'_> {
        if map != Map::CalloutHeaders {
            return self.exchange.entry(map, name, index);
        }
        let mut values = self.response.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.nth(index).map_or(Value::Null, |(_, value)| Value::Text(String::from_utf8_lossy(value)))
    }

    fn names(&self, map: Map, each: &mut dyn FnMut(&str)) {
        if map != Map::CalloutHeaders {
            return self.exchange.names(map, each);
        }
        let headers = &self.response.headers;
        for (at, (name, _)) in headers.iter().enumerate() {
            if !headers.iter().take(at).any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                each(name);
            }
        }
    }

    fn body(&self, body: Body) -> Option<&[u8]> {
        if body == Body::Callout { Some(&self.response.body) } else { self.exchange.body(body) }
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
