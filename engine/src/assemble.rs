//! Plans and their chains, from the definition.

use std::rc::Rc;

use ringway_config::api::{self, Api, PlanMode};
use ringway_contract::kind::{self, Registry};
use ringway_contract::{Mask, PlanInfo, Services, Source, Subscriber, Subscribers, Template, Vocabulary};

use crate::chain::{Chain, Flow, Masks, Mode, Scope, Selector, Step};
use crate::plan::Plan;

/// The plans of an API, in the order in which they are asked.
///
/// # Errors
/// A guard or a policy refuses its configuration: which, and why.
pub fn plans(api: &Api, registry: Registry, services: &Services) -> Result<Vec<Plan>, String> {
    let mut plans = Vec::new();
    // Nobody calls a push plan.
    for plan in api.offered_plans().filter(|plan| plan.mode == PlanMode::Standard) {
        let Some(security) = plan.guard() else { continue };
        // A plan whose security is not known is not open: it is not there.
        let Some(kind) = kind::find(registry.guards, security) else { continue };
        let place = format!("{}/{}", api.id, plan.id);
        let configuration = plan.security.as_ref().and_then(|security| security.configuration.as_ref());
        let source = Source {
            configuration,
            shared: None,
            place: &place,
            resources: &api.resources,
            groups: &api.endpoint_groups,
        };
        let guard = (kind.build)(source, services).map_err(|refusal| format!("plan `{}`: {refusal}", plan.name))?;
        let info = Rc::new(PlanInfo { id: plan.id.clone(), name: plan.name.clone() });
        let chain = chain(api, Some(plan), registry, services)?;
        let rule = plan.selection_rule.as_deref().filter(|rule| !rule.trim().is_empty());
        let rule = rule.map(|rule| condition(rule, Phase::Request)).transpose()?;
        plans.push(Plan { info, guard, rule, subscribers: subscribers(api, plan), chain });
    }
    plans.sort_by_key(|plan| plan.guard.rank());
    Ok(plans)
}

/// Who is subscribed to a plan.
fn subscribers(api: &Api, plan: &api::Plan) -> Subscribers {
    let mut subscribers = Subscribers::default();
    let own = api.served_subscriptions().filter(|known| known.plan_of(api).is_some_and(|known| known.id == plan.id));
    for subscription in own {
        let subscriber = Rc::new(subscriber(subscription));
        for key in subscription.keys.iter().filter(|key| !key.revoked) {
            let ends_ms = key.expires_at.map_or(u64::MAX, |moment| moment.0);
            subscribers.add_key(key.fingerprint.0, &subscriber, ends_ms);
        }
        if let Some(client) = &subscription.client_id {
            subscribers.add_client(client, &subscriber);
        }
        for certificate in &subscription.client_certificates {
            let ends_ms = certificate.ends_at.map_or(u64::MAX, |moment| moment.0);
            subscribers.add_certificate(certificate.fingerprint.0, &subscriber, ends_ms);
        }
    }
    subscribers
}

/// Who a subscription stands for.
pub fn subscriber(subscription: &api::Subscription) -> Subscriber {
    Subscriber {
        id: subscription.id.clone(),
        application: subscription.application.clone(),
        metadata: subscription.metadata.clone(),
        starts_ms: subscription.starting_at.map_or(0, |moment| moment.0),
        ends_ms: subscription.ending_at.map_or(u64::MAX, |moment| moment.0),
    }
}

/// What preflights pass, if the API asks for it: its own flows, on the way to the endpoint.
///
/// # Errors
/// As [`plans`].
pub fn preflight(api: &Api, registry: Registry, services: &Services) -> Result<Option<Chain>, String> {
    let mut rules = api.http_listeners().map(|listener| &listener.cors).filter(|cors| cors.enabled);
    let runs = rules.next().is_some_and(|cors| cors.run_policies);
    runs.then(|| chain(api, None, registry, services)).transpose()
}

/// The flows of a plan, and those of the API behind them.
pub fn chain(api: &Api, plan: Option<&api::Plan>, registry: Registry, services: &Services) -> Result<Chain, String> {
    let mode = match api.flow_execution.mode {
        api::FlowMode::Default => Mode::All,
        api::FlowMode::BestMatch => Mode::BestMatch,
    };
    let id = plan.map_or("", |plan| plan.id.as_str());
    let of_plan = plan.into_iter().flat_map(|plan| &plan.flows).enumerate().map(|(at, flow)| (Scope::Plan, at, flow));
    let of_api = api.flows.iter().enumerate().map(|(at, flow)| (Scope::Api, at, flow));
    let mut flows = Vec::new();
    for (scope, at, flow) in of_plan.chain(of_api) {
        if !flow.enabled {
            continue;
        }
        let selector = match (flow.http_selector(), flow.channel_selector()) {
            (Some(http), _) => Selector::new(&http.path, http.path_operator, &http.methods),
            (None, Some(channel)) => Selector::channel(channel),
            (None, None) => Selector::default(),
        };
        let place = match scope {
            // What counts calls counts them per plan: two plans share nothing, though both run the API's flows.
            Scope::Plan => format!("{}/{id}/flows[{at}]", api.id),
            Scope::Api => format!("{}/{id}//flows[{at}]", api.id),
        };
        let build =
            Build { registry, services, place: &place, resources: &api.resources, groups: &api.endpoint_groups };
        let mut masks = Masks::default();
        let request = build.steps(&flow.request, Phase::Request, &mut masks.request)?;
        let response = build.steps(&flow.response, Phase::Response, &mut masks.response)?;
        // Messages are not written down.
        let publish = build.steps(&flow.publish, Phase::Publish, &mut Vec::new())?;
        let subscribe = build.steps(&flow.subscribe, Phase::Subscribe, &mut Vec::new())?;
        let hides = !masks.request.is_empty() || !masks.response.is_empty();
        let is_empty = !hides && [&request, &response, &publish, &subscribe].iter().all(|steps| steps.is_empty());
        if is_empty && !api.flow_execution.match_required {
            continue;
        }
        let condition = flow.condition().map(|text| condition(text, Phase::Request)).transpose()?;
        let needs = |step: &Step| {
            let condition = step.condition.as_ref().is_some_and(|condition| condition.needs().request_content);
            condition || step.policy.phases().request_content
        };
        let request_content = response.iter().any(needs);
        let (publish, subscribe) = (publish.into(), subscribe.into());
        flows.push(Flow { scope, selector, condition, request_content, masks, request, response, publish, subscribe });
    }
    Ok(Chain::new(flows, mode, api.flow_execution.match_required))
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Request,
    Response,
    Publish,
    Subscribe,
}

/// A condition was compiled when the definition was checked: that it compiles is known.
fn condition(text: &str, phase: Phase) -> Result<Template, String> {
    let vocabulary = match phase {
        Phase::Request => Vocabulary::request(),
        Phase::Response => Vocabulary::response(),
        Phase::Publish | Phase::Subscribe => Vocabulary::message(),
    };
    Template::condition(text, &vocabulary).map_err(|problem| format!("condition `{text}`: {problem}"))
}

/// What the steps of a flow are built with.
struct Build<'a> {
    registry: Registry,
    services: &'a Services,
    place: &'a str,
    resources: &'a [api::Resource],
    groups: &'a [api::EndpointGroup],
}

impl Build<'_> {
    /// The steps that take part in a phase, and what they hide of it.
    fn steps(&self, steps: &[api::Step], phase: Phase, masks: &mut Vec<Rc<dyn Mask>>) -> Result<Box<[Step]>, String> {
        let mut built = Vec::new();
        for (at, step) in steps.iter().enumerate().filter(|(_, step)| step.enabled) {
            let Some(kind) = kind::find(self.registry.policies, &step.policy) else {
                return Err(format!("policy `{}` is not known", step.policy));
            };
            let place = format!("{}.{phase:?}[{at}]", self.place);
            let source = Source {
                configuration: step.configuration.as_ref(),
                shared: None,
                place: &place,
                resources: self.resources,
                groups: self.groups,
            };
            let policy = (kind.build)(source, self.services)
                .map_err(|refusal| format!("policy `{}`: {refusal}", step.policy))?;
            masks.extend(policy.mask());
            let phases = policy.phases();
            let (takes_part, content) = match phase {
                Phase::Request => (phases.request, phases.request_content),
                Phase::Response => (phases.response, phases.response_content),
                Phase::Publish => (phases.publish, false),
                Phase::Subscribe => (phases.subscribe, false),
            };
            if !takes_part {
                continue;
            }
            let condition = step.condition.as_deref().filter(|text| !text.trim().is_empty());
            let condition = condition.map(|text| self::condition(text, phase)).transpose()?;
            let needs = condition.as_ref().map(Template::needs).unwrap_or_default();
            let content = content
                || match phase {
                    Phase::Request => needs.request_content,
                    Phase::Response => needs.response_content,
                    Phase::Publish | Phase::Subscribe => false,
                };
            let on_messages = matches!(phase, Phase::Publish | Phase::Subscribe);
            let message_condition =
                step.message_condition.as_deref().filter(|text| on_messages && !text.trim().is_empty());
            let message_condition = message_condition.map(|text| self::condition(text, phase)).transpose()?;
            built.push(Step { policy, condition, message_condition, content });
        }
        Ok(built.into())
    }
}
