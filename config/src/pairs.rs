//! Which entrypoint may be coupled with which endpoint of a message API, and at which level of service.

use crate::api::{Api, EndpointGroup, Listener, Qos};
use crate::catalogue::{Catalogue, Extension, Messaging};
use crate::node::Node;
use crate::problem::Problem;
use crate::subscriptions;

impl Messaging {
    /// Whether an entrypoint that asks for this can be served by an endpoint that can do `endpoint`, at `qos`. `AUTO` is whatever the two do
    /// best together.
    ///
    /// # Errors
    /// Why not, as the rest of a sentence about the pair.
    pub fn with(&self, endpoint: &Self, qos: Qos) -> Result<(), &'static str> {
        let publishes = !self.publish.is_empty() && !endpoint.publish.is_empty();
        let subscribes = !self.subscribe.is_empty() && !endpoint.subscribe.is_empty();
        if !publishes && !subscribes {
            return Err("one of them only publishes and the other only subscribes");
        }
        if qos == Qos::Auto {
            return Ok(());
        }
        if subscribes {
            if !self.subscribe.contains(&qos) {
                return Err("the entrypoint cannot promise it: its clients have no way to acknowledge");
            }
            if !endpoint.subscribe.contains(&qos) {
                return Err("the endpoint cannot promise it");
            }
            // At most once needs no id: what was delivered, or lost on the way, is settled before.
            if self.recover && !endpoint.recover && qos == Qos::AtLeastOnce {
                return Err("clients of the entrypoint go on from an id, and the endpoint cannot");
            }
        } else if !self.publish.contains(&qos) {
            return Err(
                "the entrypoint publishes, and a client is answered when the broker has the message or not at all",
            );
        } else if !endpoint.publish.contains(&qos) {
            return Err("the endpoint cannot promise it");
        }
        Ok(())
    }
}

/// The name of a level in definitions.
pub fn level(qos: Qos) -> &'static str {
    match qos {
        Qos::None => "NONE",
        Qos::Auto => "AUTO",
        Qos::AtMostOnce => "AT_MOST_ONCE",
        Qos::AtLeastOnce => "AT_LEAST_ONCE",
    }
}

/// Whether the group at this place serves clients: the first does, and any other where a policy of the request may name it.
pub(crate) fn may_serve(api: &Api, at: usize) -> bool {
    let mut flows = api.plans.iter().flat_map(|plan| &plan.flows).chain(&api.flows);
    at == 0 || flows.any(|flow| flow.enabled && flow.request.iter().any(|step| step.enabled))
}

/// Whether messages of clients may go through the group at this place. One that takes dead letters is for those.
fn carries(api: &Api, at: usize, group: &EndpointGroup) -> bool {
    may_serve(api, at) && (at == 0 || !subscriptions::takes_dead_letters(api, group))
}

/// Looks at every pair of a definition whose extensions exist.
pub(crate) fn check(api: &Api, node: &Node, catalogue: &Catalogue) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, listener) in api.listeners.iter().enumerate() {
        for (index, entrypoint) in listener.entrypoints().iter().enumerate() {
            let table =
                if matches!(listener, Listener::Subscription(_)) { &catalogue.pushes } else { &catalogue.entrypoints };
            let Some((name, wants)) = messaging(table, &entrypoint.kind) else { continue };
            // One problem for each type: an API's endpoints are mostly of one.
            let mut seen: Vec<&str> = Vec::new();
            let groups = api.endpoint_groups.iter().enumerate().filter(|(at, group)| carries(api, *at, group));
            for endpoint in groups.flat_map(|(_, group)| &group.endpoints) {
                let Some((other, can)) = messaging(&catalogue.brokers, &endpoint.kind) else { continue };
                if seen.contains(&other) {
                    continue;
                }
                seen.push(other);
                let Err(reason) = wants.with(&can, entrypoint.qos) else { continue };
                let pointer = format!("listeners[{at}].entrypoints[{index}].qos");
                let place = node.field("listeners").and_then(|listeners| listeners.items().get(at));
                let place = place.and_then(|listener| listener.field("entrypoints")?.items().get(index));
                let span = place.map_or(&node.span, |place| &place.field("qos").unwrap_or(place).span);
                let message = format!("`{name}` with `{other}` has no {}: {reason}", level(entrypoint.qos));
                problems.push(Problem::error(span, pointer, message).maybe_hint(allowed(&wants, &can)));
            }
        }
    }
    problems
}

fn allowed(wants: &Messaging, can: &Messaging) -> Option<String> {
    let levels = [Qos::None, Qos::Auto, Qos::AtMostOnce, Qos::AtLeastOnce];
    let names: Vec<_> = levels.into_iter().filter(|qos| wants.with(can, *qos).is_ok()).map(level).collect();
    (!names.is_empty()).then(|| format!("allowed: {}", names.join(", ")))
}

pub(crate) fn messaging(table: &[Extension], name: &str) -> Option<(&'static str, Messaging)> {
    let known = table.iter().find(|known| known.name == name)?;
    Some((known.name, known.messaging?))
}
