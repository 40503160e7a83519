//! What the schemas let pass, found before a gateway starts with it.

use std::path::PathBuf;

use ringway_contract::kind::decode;
use ringway_contract::{Node, Problem, Refusal};

use super::config::{EndpointConfig, Exchange, NAME_BYTES_MAX, SharedConfig};
use crate::tls::SslConfig;

const SHARED: &str = "sharedConfiguration";

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
        let place = path.split('.').filter(|step| !step.is_empty()).try_fold(node, |node, step| node.field(step));
        let pointer = if path.is_empty() { SHARED.to_owned() } else { format!("{SHARED}.{path}") };
        problems.push(Problem::error(&place.unwrap_or(node).span, pointer, refusal));
    }
    let ssl = node.field("security").and_then(|security| security.field("ssl"));
    if let (Some(place), Some(ssl)) = (ssl, config.security.ssl) {
        let pointer = format!("{SHARED}.security.ssl");
        if let Some(entry) = place.entry("trustAll").filter(|_| ssl.trust_all) {
            let message = "`trustAll` takes any certificate: whoever is on the way can read and change all";
            problems.push(Problem::warning(&entry.span, format!("{pointer}.trustAll"), message));
        }
        problems.extend(SslConfig::from(ssl).located(shared).problems(place, &pointer));
    }
    problems
}

/// The stores that it is built from.
pub fn files(_: Option<&Node>, shared: Option<&Node>) -> Vec<PathBuf> {
    let ssl = decode::<SharedConfig>(shared).ok().and_then(|config| config.security.ssl);
    ssl.map_or_else(Vec::new, |ssl| SslConfig::from(ssl).located(shared).files())
}

/// The first of what [`examine`] finds besides TLS.
///
/// # Errors
/// There is something.
pub fn refuse(configuration: &EndpointConfig, shared: &SharedConfig) -> Result<(), Refusal> {
    let first = endpoint(configuration).into_iter().next();
    match first.or_else(|| self::shared(shared).into_iter().next()) {
        Some((path, refusal)) => Err(Refusal(format!("{path}: {refusal}"))),
        None => Ok(()),
    }
}

fn endpoint(config: &EndpointConfig) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let host = &config.server_host;
    if host.is_empty() {
        found.push(("serverHost", "the broker's host is empty".to_owned()));
    } else if host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@')) {
        found.push(("serverHost", "it is no name or address of a host (without scheme, port and path)".to_owned()));
    }
    if config.server_port == 0 {
        found.push(("serverPort", "no broker listens at port 0".to_owned()));
    }
    long(&config.virtual_host, "virtualHost", &mut found);
    found
}

fn shared(config: &SharedConfig) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let (consumer, producer) = (
        config.consumer.as_ref().filter(|consumer| consumer.enabled),
        config.producer.as_ref().filter(|producer| producer.enabled),
    );
    if consumer.is_none() && producer.is_none() {
        found.push(("", "neither a consumer nor a producer is enabled: nothing can be read or published".to_owned()));
    }
    if let Some(consumer) = consumer {
        match (&consumer.exchange, &consumer.queue) {
            (None, None) => found.push(("consumer", "needs `exchange`, `queue`, or both".to_owned())),
            (Some(of), _) => {
                exchange(of, ["consumer.exchange.name", "consumer.exchange.type"], &mut found);
                if of.name.is_empty() {
                    found.push(("consumer.exchange.name", "no queue can be bound to the default exchange".to_owned()));
                }
            }
            _ => {}
        }
        if let Some(queue) = &consumer.queue {
            if queue.is_empty() {
                found.push(("consumer.queue", "the name of a queue is empty".to_owned()));
            }
            if queue.starts_with("amq.") {
                found.push(("consumer.queue", "names that begin with `amq.` are the broker's own".to_owned()));
            }
            long(queue, "consumer.queue", &mut found);
        }
        long(&consumer.routing_key, "consumer.routingKey", &mut found);
    }
    if let Some(producer) = producer {
        if let Some(of) = &producer.exchange {
            exchange(of, ["producer.exchange.name", "producer.exchange.type"], &mut found);
        }
        if producer.exchange.as_ref().is_none_or(|exchange| exchange.name.is_empty()) && producer.routing_key.is_empty()
        {
            let message = "the default exchange takes the routing key for the name of a queue, and there is none";
            found.push(("producer", message.to_owned()));
        }
        long(&producer.routing_key, "producer.routingKey", &mut found);
    }
    found
}

fn exchange(exchange: &Exchange, [name, kind]: [&'static str; 2], found: &mut Vec<(&'static str, String)>) {
    if exchange.kind().is_none() {
        let known = "there are `direct`, `fanout`, `topic`, `headers` and those of plug-ins (`x-…`)";
        found.push((kind, format!("no type of exchange is called `{}`: {known}", exchange.kind)));
    }
    long(&exchange.name, name, found);
}

fn long(text: &str, name: &'static str, found: &mut Vec<(&'static str, String)>) {
    if text.len() > NAME_BYTES_MAX {
        found.push((name, format!("is longer than {NAME_BYTES_MAX} bytes")));
    }
}
