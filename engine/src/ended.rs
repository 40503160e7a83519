//! What expressions see of an exchange at its end, when the answer may be the gateway's own, or gone.

use ringway_contract::context::{Body, Context, Field, Map};
use ringway_contract::{Exchange, Reply, Value};

/// An exchange, and how it ended.
pub struct Ended<'a> {
    /// The exchange.
    pub exchange: &'a Exchange,
    /// The refusal that it ended with: what `#error` tells.
    pub refusal: Option<&'a Reply>,
    /// The status that the client saw, if that is known already.
    pub status: Option<u16>,
}

impl Context for Ended<'_> {
    fn field(&self, field: Field) -> Value<'_> {
        match (field, self.refusal, self.status) {
            (Field::ErrorKey, Some(refusal), _) => Value::text(&refusal.key),
            (Field::ErrorMessage, Some(refusal), _) => Value::text(&refusal.message),
            (Field::ErrorStatus, Some(refusal), _) => Value::Int(i64::from(refusal.status.as_u16())),
            (Field::ResponseStatus, _, Some(status)) => Value::Int(i64::from(status)),
            (other, ..) => self.exchange.field(other),
        }
    }

    fn entry(&self, map: Map, name: &str, index: usize) -> Value<'_> {
        let Some(refusal) = self.refusal.filter(|_| map == Map::Parameters) else {
            return self.exchange.entry(map, name, index);
        };
        let found = refusal.parameters.iter().find(|(known, _)| index == 0 && known == name);
        Value::maybe_text(found.map(|(_, value)| value.as_str()))
    }

    fn names(&self, map: Map, each: &mut dyn FnMut(&str)) {
        match self.refusal.filter(|_| map == Map::Parameters) {
            Some(refusal) => refusal.parameters.iter().for_each(|(name, _)| each(name)),
            None => self.exchange.names(map, each),
        }
    }

    fn body(&self, body: Body) -> Option<&[u8]> {
        self.exchange.body(body)
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
