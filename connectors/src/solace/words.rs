//! The configuration of a broker's MQTT port in the words of [`mqtt5`].

use super::config::{Consumer, DeliveryMode, Producer, SharedConfig};
use crate::mqtt5::{self, examine};

/// What it says there.
///
/// # Errors
/// A field, and what of it MQTT does not have.
pub fn shared(config: &SharedConfig) -> Result<mqtt5::SharedConfig, (&'static str, String)> {
    let consumer = config.consumer.as_ref().filter(|consumer| consumer.enabled).map(consumer);
    let producer = config.producer.as_ref().filter(|producer| producer.enabled).map(producer);
    let mut shared = mqtt5::SharedConfig {
        consumer: consumer.transpose().map_err(|refusal| ("consumer", refusal))?,
        producer: producer.transpose().map_err(|refusal| ("producer", refusal))?,
        ..mqtt5::SharedConfig::default()
    };
    shared.security.auth = config
        .security
        .auth
        .as_ref()
        .map(|auth| mqtt5::Auth { username: auth.username.clone(), password: auth.password.clone() });
    Ok(shared)
}

const QUEUES: &str = "queues are reached over `AMQP`: MQTT has topics only";

fn consumer(config: &Consumer) -> Result<mqtt5::Consumer, String> {
    if config.queue.is_some() {
        return Err(QUEUES.to_owned());
    }
    if config.topics.is_empty() {
        return Err("needs a topic in `topics`".to_owned());
    }
    let topics = config.topics.iter().map(|topic| filter(topic)).collect::<Result<_, _>>()?;
    let receive_maximum = u16::try_from(config.prefetch).unwrap_or(u16::MAX).max(1);
    Ok(mqtt5::Consumer { topics, receive_maximum, shared: config.shared, ..mqtt5::Consumer::default() })
}

fn producer(config: &Producer) -> Result<mqtt5::Producer, String> {
    let ([topic], None) = (&*config.topics, &config.queue) else {
        return Err(if config.queue.is_some() { QUEUES } else { "needs exactly one topic in `topics`" }.to_owned());
    };
    if let Some(refusal) = examine::topic(topic) {
        return Err(refusal);
    }
    let qos = if config.delivery_mode == DeliveryMode::Persistent { 1 } else { 0 };
    Ok(mqtt5::Producer { topic: Some(topic.clone()), qos, ..mqtt5::Producer::default() })
}

/// A topic subscription of Solace as a filter of MQTT: `*` stands for a level there, and `>` for all levels that follow, of which MQTT
/// allows none, too.
fn filter(topic: &str) -> Result<String, String> {
    let last = topic.split('/').count() - 1;
    let levels = topic.split('/').enumerate().map(|(at, level)| match level {
        "*" => Ok("+"),
        ">" if at == last => Ok("#"),
        _ if level.contains('*') => {
            Err(format!("`{topic}`: MQTT has wildcards for whole levels only, and no `{level}`"))
        }
        level => Ok(level),
    });
    let filter = levels.collect::<Result<Vec<_>, _>>()?.join("/");
    examine::filter(&filter).map_or(Ok(filter), Err)
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn wildcards_of_solace_are_those_of_mqtt_where_both_have_them() {
        for (topic, wanted) in [("a/b", "a/b"), ("a/*/b", "a/+/b"), ("a/>", "a/#"), (">", "#"), ("a/+/#", "a/+/#")] {
            assert_eq!(filter(topic).as_deref(), Ok(wanted));
        }
        for topic in ["a/b*", "a*/b", "", "a/#/b", "a/*b"] {
            assert!(filter(topic).is_err(), "{topic}");
        }
    }
}
