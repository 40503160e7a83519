//! What the schemas let pass, found before a gateway starts with it.

use std::path::PathBuf;

use ringway_contract::kind::decode;
use ringway_contract::{Node, Problem, Refusal};
use rumqttc::v5::mqttbytes::valid_filter;

use super::config::{EndpointConfig, SharedConfig};

const SHARED: &str = "sharedConfiguration";

/// Bytes of a text on the wire (MQTT 5, section 1.5.4).
pub const TEXT_BYTES_MAX: usize = 65_535;

/// All that is wrong or without effect. Both nodes fit their schemas.
pub fn examine(configuration: Option<&Node>, shared: Option<&Node>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let (Some(node), Ok(config)) = (configuration, decode::<EndpointConfig>(configuration)) {
        for (field, refusal) in endpoint(&config) {
            let place = node.field(field).unwrap_or(node);
            problems.push(Problem::error(&place.span, format!("configuration.{field}"), refusal));
        }
    }
    let Ok(config) = decode::<SharedConfig>(shared) else { return problems };
    let Some(node) = shared else {
        let nothing = "`sharedConfiguration` names neither a consumer nor a producer: nothing can be read or published";
        problems.extend(configuration.map(|node| Problem::error(&node.span, SHARED, nothing)));
        return problems;
    };
    for (path, refusal) in self::shared(&config) {
        let mut pointer = SHARED.to_owned();
        let mut place = node;
        for step in path.iter().copied() {
            pointer = format!("{pointer}.{step}");
            place = place.field(step).unwrap_or(place);
        }
        problems.push(Problem::error(&place.span, pointer, refusal));
    }
    let ssl = node.field("security").and_then(|security| security.field("ssl"));
    if let (Some(place), Some(ssl)) = (ssl, config.security.ssl) {
        let pointer = format!("{SHARED}.security.ssl");
        if let Some(entry) = place.entry("trustAll").filter(|_| ssl.trust_all) {
            let message = "`trustAll` takes any certificate: whoever is on the way can read and change all";
            problems.push(Problem::warning(&entry.span, format!("{pointer}.trustAll"), message));
        }
        problems.extend(ssl.located(shared).problems(place, &pointer));
    }
    problems
}

/// The stores that it is built from.
pub fn files(_: Option<&Node>, shared: Option<&Node>) -> Vec<PathBuf> {
    let ssl = decode::<SharedConfig>(shared).ok().and_then(|config| config.security.ssl);
    ssl.map_or_else(Vec::new, |ssl| ssl.located(shared).files())
}

/// The first of what [`examine`] finds besides TLS.
///
/// # Errors
/// There is something.
pub fn refuse(configuration: &EndpointConfig, config: &SharedConfig) -> Result<(), Refusal> {
    if let Some((field, refusal)) = endpoint(configuration).into_iter().next() {
        return Err(Refusal(format!("{field}: {refusal}")));
    }
    match shared(config).into_iter().next() {
        Some((path, refusal)) => Err(Refusal(format!("{}: {refusal}", path.join(".")))),
        None => Ok(()),
    }
}

fn endpoint(config: &EndpointConfig) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let host = &config.server_host;
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@')) {
        found.push(("serverHost", "it is no name or address of a host (without scheme, port and path)".to_owned()));
    }
    if config.server_port == 0 {
        found.push(("serverPort", "no broker listens at port 0".to_owned()));
    }
    found
}

fn shared(config: &SharedConfig) -> Vec<(&'static [&'static str], String)> {
    let mut found: Vec<(&'static [&'static str], String)> = Vec::new();
    if let Some(consumer) = config.consumer.as_ref().filter(|consumer| consumer.enabled) {
        if consumer.filters().next().is_none() {
            found.push((&["consumer"], "it needs a `topic`, or `topics`".to_owned()));
        }
        if let Some(refusal) = consumer.topic.as_deref().and_then(filter) {
            found.push((&["consumer", "topic"], refusal));
        }
        found.extend(consumer.topics.iter().filter_map(|topic| Some((&["consumer", "topics"][..], filter(topic)?))));
        if consumer.receive_maximum == 0 {
            found.push((&["consumer", "receiveMaximum"], "the broker could send nothing".to_owned()));
        }
    }
    if let Some(producer) = config.producer.as_ref().filter(|producer| producer.enabled) {
        match producer.topic.as_deref() {
            None => found.push((&["producer"], "it needs a `topic`".to_owned())),
            Some(topic) => found.extend(self::topic(topic).map(|refusal| (&["producer", "topic"][..], refusal))),
        }
        let response = producer.response_topic.as_deref().and_then(topic);
        found.extend(response.map(|refusal| (&["producer", "responseTopic"][..], refusal)));
        let content_type = producer.content_type.as_deref().and_then(text);
        found.extend(content_type.map(|refusal| (&["producer", "contentType"][..], refusal)));
    }
    if let Some(will) = &config.last_will {
        found.extend(topic(&will.topic).map(|refusal| (&["lastWill", "topic"][..], refusal)));
        found.extend(text(&will.payload).map(|refusal| (&["lastWill", "payload"][..], refusal)));
    }
    if let Some(auth) = &config.security.auth {
        found.extend(text(&auth.username).map(|refusal| (&["security", "auth", "username"][..], refusal)));
        found.extend(text(&auth.password).map(|refusal| (&["security", "auth", "password"][..], refusal)));
    }
    found
}

/// What is wrong with a text (MQTT 5, section 1.5.4).
fn text(text: &str) -> Option<String> {
    (text.len() > TEXT_BYTES_MAX || text.contains('\0'))
        .then(|| "at most 65,535 bytes, and no U+0000 (MQTT 5, section 1.5.4)".to_owned())
}

/// What is wrong with a topic to publish to.
pub fn topic(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("a topic is not empty".to_owned());
    }
    if name.contains(['+', '#']) {
        return Some("wildcards are for subscriptions: a message goes to one topic".to_owned());
    }
    text(name)
}

/// Bytes that are left of a filter's for the name of a share.
const SHARE_BYTES_MAX: usize = 512;

/// What is wrong with a topic to subscribe to.
pub fn filter(filter: &str) -> Option<String> {
    let plain = match filter.strip_prefix("$share/") {
        None => filter,
        Some(shared) => match shared.split_once('/') {
            Some((share, plain)) if !share.is_empty() && !share.contains(['+', '#']) => plain,
            _ => return Some("a shared filter is `$share/NAME/FILTER`".to_owned()),
        },
    };
    if !valid_filter(plain) {
        let rule = "`+` stands for one whole level, `#` for all levels at the end (MQTT 5, section 4.7.1)";
        return Some(format!("`{filter}` is no topic filter: {rule}"));
    }
    text(filter).or_else(|| (filter.len() > TEXT_BYTES_MAX - SHARE_BYTES_MAX).then(|| "it is too long".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_have_wildcards_in_their_places_and_topics_have_none() {
        for right in ["a", "a/b", "+", "#", "a/+/b", "a/#", "/", "$SYS/broker", "$share/group/a/+"] {
            assert_eq!(filter(right), None, "{right}");
        }
        for wrong in ["", "a/#/b", "a+", "a/b#", "##", "$share/a", "$share//a", "$share/+/a", "a\0"] {
            assert!(filter(wrong).is_some(), "{wrong}");
        }
        assert_eq!(topic("a/b"), None);
        for wrong in ["", "a/+", "#", "a\0"] {
            assert!(topic(wrong).is_some(), "{wrong}");
        }
    }
}
