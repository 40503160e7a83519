//! Direct topics over MQTT 5, on the client of `mqtt5`.

use ringway_contract::{Attributes, Broker, Fault, Feed, Message, Publishing, Qos, Refusal, Source, Subscribe};

use super::config::{Place, SharedConfig};
use super::words;
use crate::mqtt5::{self, Mqtt};
use crate::tls::SslConfig;

/// A broker by its MQTT port. Attributes override no topics, as with the reference product.
pub struct Direct(Mqtt);

impl Direct {
    /// One of a checked configuration.
    ///
    /// # Errors
    /// What it lacks.
    pub fn new(place: Place, config: &SharedConfig, source: Source<'_>) -> Result<Self, Refusal> {
        let ssl = place.tls.then(|| SslConfig::from(config.security.ssl.clone()).located(source.shared));
        let shared = words::shared(config).map_err(|(field, refusal)| Refusal(format!("{field}: {refusal}")))?;
        let endpoint = mqtt5::EndpointConfig { server_host: place.host, server_port: place.port };
        Ok(Self(Mqtt::of(endpoint, shared, ssl.as_ref(), source.has_siblings())?))
    }
}

impl Broker for Direct {
    fn subscribe(&self, wish: &Subscribe, _attributes: &Attributes) -> Result<Feed, Fault> {
        self.0.subscribe(wish, &Attributes::default())
    }

    fn subject(&self, wish: &Subscribe, _attributes: &Attributes) -> Option<String> {
        self.0.subject(wish, &Attributes::default())
    }

    fn publish(&self, mut message: Message, qos: Qos, _attributes: &Attributes) -> Publishing {
        message.attributes = None;
        self.0.publish(message, qos, &Attributes::default())
    }
}
