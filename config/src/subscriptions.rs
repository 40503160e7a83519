//! Which subscriptions are served here, and where the messages go that their consumers refuse.

use crate::api::{Api, ConsumerStatus, Dlq, EndpointGroup, Listener, Plan, PlanMode, Subscription, SubscriptionStatus};
use crate::catalogue::{Carries, Catalogue};
use crate::names;
use crate::node::Node;
use crate::pairs;
use crate::problem::Problem;

/// Marks the subscriptions that are not served, with the reason; looks at dead-letter queues.
pub(crate) fn judge(
    api: &mut Api,
    node: &Node,
    carries: Carries,
    catalogue: Option<&Catalogue>,
    problems: &mut Vec<Problem>,
) {
    for at in 0..api.subscriptions.len() {
        let place = item(node, "subscriptions", at).unwrap_or(node);
        if let Some(subscription) = api.subscriptions.get_mut(at) {
            complete(subscription);
        }
        let Some(subscription) = api.subscriptions.get(at) else { continue };
        let said = Said { place, pointer: format!("subscriptions[{at}]") };
        let withheld = withheld(api, subscription, &said, carries, problems);
        if let Some(subscription) = api.subscriptions.get_mut(at) {
            subscription.withheld = withheld;
        }
    }
    push_plans(api, node, problems);
    if carries == Carries::Messages {
        dead_letters(api, node, catalogue, problems);
    }
}

/// Gives a subscription to a standard plan the id that it may leave out.
pub(crate) fn complete(subscription: &mut Subscription) {
    if subscription.id.is_empty() && subscription.consumer_configuration.is_none() {
        subscription.id = names::slug(&format!("{} {}", subscription.application, subscription.plan));
    }
}

/// Where a subscription stands.
pub(crate) struct Said<'n> {
    pub(crate) place: &'n Node,
    pub(crate) pointer: String,
}

impl Said<'_> {
    fn field(&self, name: &str) -> &Node {
        self.place.field(name).unwrap_or(self.place)
    }

    fn pointer(&self, name: &str) -> String {
        format!("{}.{name}", self.pointer)
    }
}

/// Why a subscription is not served.
pub(crate) fn withheld(
    api: &Api,
    subscription: &Subscription,
    said: &Said<'_>,
    carries: Carries,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let Some(plan) = subscription.plan_of(api) else {
        let names = api.plans.iter().flat_map(|plan| [plan.id.as_str(), plan.name.as_str()]);
        let hint = names::nearest(&subscription.plan, names).map(|near| format!("did you mean `{near}`?"));
        let message = format!("the API has no plan {}", said.field("plan").shown());
        problems.push(Problem::error(&said.field("plan").span, said.pointer("plan"), message).maybe_hint(hint));
        return Some("there is no such plan".into());
    };
    match plan.mode {
        PlanMode::Push => pushed(api, subscription, said, carries, problems),
        PlanMode::Standard => called(subscription, plan, said, problems),
    }
    .or_else(|| match (subscription.status, subscription.consumer_status) {
        (SubscriptionStatus::Accepted, ConsumerStatus::Stopped) => Some("its consumer has stopped it".into()),
        (SubscriptionStatus::Accepted, _) => plan.withheld.as_ref().map(|reason| format!("of its plan: {reason}")),
        (status, _) => Some(format!("it is {}", status.name())),
    })
}

/// What is wrong with a subscription whose messages are sent.
fn pushed(
    api: &Api,
    subscription: &Subscription,
    said: &Said<'_>,
    carries: Carries,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    if subscription.id.is_empty() {
        let message = "`id` is missing: by it a broker remembers how far the consumer of a push plan has come";
        problems.push(Problem::error(&said.place.span, said.pointer("id"), message));
    }
    let Some(consumer) = &subscription.consumer_configuration else {
        let message = "`consumerConfiguration` is missing: it says where a push plan sends messages to";
        problems.push(Problem::error(&said.place.span, said.pointer("consumerConfiguration"), message));
        return Some("it does not say where messages are sent to".into());
    };
    let known = || api.pushing_entrypoints().map(|entrypoint| entrypoint.kind.as_str());
    if carries != Carries::Messages || !known().any(|kind| kind == consumer.entrypoint_id) {
        let configuration = said.field("consumerConfiguration");
        let span = &configuration.field("entrypointId").unwrap_or(said.place).span;
        let reason = format!("no listener of type SUBSCRIPTION has the entrypoint `{}`", consumer.entrypoint_id);
        let hint = names::nearest(&consumer.entrypoint_id, known()).map(|near| format!("did you mean `{near}`?"));
        let hint = hint.unwrap_or_else(|| "the subscription is not served".into());
        let pointer = said.pointer("consumerConfiguration.entrypointId");
        problems.push(Problem::warning(span, pointer, reason.clone()).hint(hint));
        return Some(reason);
    }
    None
}

/// What is wrong with a subscription whose application calls.
fn called(subscription: &Subscription, plan: &Plan, said: &Said<'_>, problems: &mut Vec<Problem>) -> Option<String> {
    if subscription.consumer_configuration.is_some() {
        let message = format!("messages are sent to subscribers of push plans, and `{}` is a standard plan", plan.name);
        let span = &said.field("plan").span;
        problems.push(Problem::error(span, said.pointer("plan"), message).hint("a push plan has `mode: PUSH`"));
    }
    // Whoever shows nothing that the plan looks at is never recognised.
    let missing = match plan.guard() {
        Some("api-key") if subscription.keys.is_empty() => "apiKeys",
        Some("jwt" | "oauth2") if subscription.client_id.is_none() => "clientId",
        Some("mtls") if subscription.client_certificates.is_empty() => "clientCertificates",
        Some("key-less") => {
            let message = "has no effect: nobody needs a subscription to an open plan";
            let problem = Problem::warning(&said.place.span, said.pointer.clone(), message);
            problems.push(problem);
            return Some("its plan is open".into());
        }
        _ => return None,
    };
    let reason = format!("`{missing}` is missing: the plan `{}` knows its subscribers by that", plan.name);
    let problem = Problem::warning(&said.place.span, said.pointer.clone(), reason.clone());
    problems.push(problem.hint("nobody can use the subscription"));
    Some(reason)
}

impl Subscription {
    /// Its plan, among those of the API.
    pub fn plan_of<'a>(&self, api: &'a Api) -> Option<&'a Plan> {
        api.plans.iter().find(|plan| plan.id == self.plan || plan.name == self.plan)
    }
}

fn push_plans(api: &Api, node: &Node, problems: &mut Vec<Problem>) {
    for (at, plan) in api.plans.iter().enumerate().filter(|(_, plan)| plan.mode == PlanMode::Push) {
        let Some(security) = item(node, "plans", at).and_then(|plan| plan.field("security")) else { continue };
        if plan.security.is_some() {
            let message = "has no effect: nobody calls a push plan";
            let pointer = format!("plans[{at}].security");
            problems.push(Problem::warning(&security.span, pointer, format!("`security` {message}")));
        }
    }
}

/// Whether the dead letters of an API go to a group, or to an endpoint of it.
pub(crate) fn takes_dead_letters(api: &Api, group: &EndpointGroup) -> bool {
    let named =
        |dlq: &Dlq| group.name == dlq.endpoint || group.endpoints.iter().any(|endpoint| endpoint.name == dlq.endpoint);
    api.pushing_entrypoints().filter_map(|entrypoint| entrypoint.dlq.as_ref()).any(named)
}

/// A dead-letter queue is an endpoint, or a group, of this API that publishes.
fn dead_letters(api: &Api, node: &Node, catalogue: Option<&Catalogue>, problems: &mut Vec<Problem>) {
    for (at, listener) in api.listeners.iter().enumerate() {
        for (index, entrypoint) in listener.entrypoints().iter().enumerate() {
            let Some(dlq) = &entrypoint.dlq else { continue };
            let place = item(node, "listeners", at).and_then(|listener| item(listener, "entrypoints", index));
            let place = place.and_then(|entrypoint| entrypoint.field("dlq")).unwrap_or(node);
            let pointer = format!("listeners[{at}].entrypoints[{index}].dlq");
            if !matches!(listener, Listener::Subscription(_)) {
                let message =
                    "`dlq` has no effect: only entrypoints that send messages to subscribers have dead letters";
                problems.push(Problem::warning(&place.span, pointer, message));
                continue;
            }
            let place = place.field("endpoint").unwrap_or(place);
            let pointer = format!("{pointer}.endpoint");
            let kinds = kinds(api, dlq);
            if kinds.is_empty() {
                let groups = &api.endpoint_groups;
                let endpoints = groups.iter().flat_map(|group| &group.endpoints).map(|endpoint| endpoint.name.as_str());
                let names = groups.iter().map(|group| group.name.as_str()).chain(endpoints);
                let hint = names::nearest(&dlq.endpoint, names).map(|near| format!("did you mean `{near}`?"));
                let message = format!("the API has no endpoint or group {} with an endpoint", place.shown());
                problems.push(Problem::error(&place.span, pointer, message).maybe_hint(hint));
                continue;
            }
            let Some(catalogue) = catalogue else { continue };
            let silent = kinds
                .iter()
                .find(|kind| pairs::messaging(&catalogue.brokers, kind).is_some_and(|(_, can)| can.publish.is_empty()));
            if let Some(kind) = silent {
                let message = format!("dead letters are published, and `{kind}` does not publish");
                problems.push(Problem::error(&place.span, pointer, message));
            }
        }
    }
}

/// The types of the endpoints that take dead letters.
fn kinds<'a>(api: &'a Api, dlq: &Dlq) -> Vec<&'a str> {
    api.dead_letter_group(dlq).map_or_else(Vec::new, |(group, only)| {
        let endpoints = group.endpoints.iter().filter(|endpoint| only.is_none_or(|only| endpoint.name == only));
        endpoints.map(|endpoint| endpoint.kind.as_str()).collect()
    })
}

impl Api {
    /// Where dead letters go: a group, or only its endpoint of this name.
    pub fn dead_letter_group(&self, dlq: &Dlq) -> Option<(&EndpointGroup, Option<&str>)> {
        let whole = self.endpoint_groups.iter().find(|group| group.name == dlq.endpoint).map(|group| (group, None));
        whole.or_else(|| {
            self.endpoint_groups.iter().find_map(|group| {
                let endpoint = group.endpoints.iter().find(|endpoint| endpoint.name == dlq.endpoint)?;
                Some((group, Some(endpoint.name.as_str())))
            })
        })
    }
}

fn item<'n>(node: &'n Node, list: &str, at: usize) -> Option<&'n Node> {
    node.field(list)?.items().get(at)
}
