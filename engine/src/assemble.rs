//! Plans and their chains, from the definition.

use std::rc::Rc;

use ringway_config::api::{self, Api, ApiType, PlanMode};
use ringway_contract::kind::{self, Registry};
use ringway_contract::{Mask, PlanInfo, Policy, Services, Source, Subscriber, Subscribers, Template, Vocabulary};

use crate::chain::{Chain, Choice, Flow, Masks, Mode, Scope, Selector, Step};
use crate::group::Group;
use crate::plan::Plan;

/// The plans of an API, in the order in which they are asked.
///
/// # Errors
/// A guard or a policy refuses its configuration: which, and why.
pub fn plans(api: &Api, platform: &Chain, registry: Registry, services: &Services) -> Result<Vec<Plan>, String> {
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
        let chain = chain(api, Some(plan), platform, registry, services)?;
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

/// What preflights pass behind the platform's flows, if the API asks for it: its own flows, on the way to the endpoint.
///
/// # Errors
/// As [`plans`].
pub fn preflight(
    api: &Api,
    platform: &Chain,
    registry: Registry,
    services: &Services,
) -> Result<Option<Chain>, String> {
    let mut rules = api.http_listeners().map(|listener| &listener.cors).filter(|cors| cors.enabled);
    let runs = rules.next().is_some_and(|cors| cors.run_policies);
    runs.then(|| chain(api, None, platform, registry, services)).transpose()
}

/// The flows of the platform, as an API passes them.
///
/// # Errors
/// As [`plans`].
pub fn platform(api: &Api, registry: Registry, services: &Services) -> Result<Chain, String> {
    let choice = choice(api.platform.flow_execution);
    let build = Build { registry, services, resources: &[], groups: &api.endpoint_groups, scope: Scope::Platform };
    // No plan is known when they run: what counts calls counts those of the API.
    let flows = build.flows(api.kind, &api.platform.flows, &format!("{}///flows", api.id), choice.match_required)?;
    Ok(Chain::new(flows, choice))
}

/// The flows of a plan, and those of the API behind them; behind those of the platform.
///
/// # Errors
/// As [`plans`].
pub fn chain(
    api: &Api,
    plan: Option<&api::Plan>,
    platform: &Chain,
    registry: Registry,
    services: &Services,
) -> Result<Chain, String> {
    let choice = choice(api.flow_execution);
    let id = plan.map_or("", |plan| plan.id.as_str());
    let of_plan = plan.map(|plan| plan.flows.as_slice()).unwrap_or_default();
    let mut flows = Vec::new();
    // What counts calls counts them per plan: two plans share nothing, though both run the API's flows.
    for (scope, own, place) in [
        (Scope::Plan, of_plan, format!("{}/{id}/flows", api.id)),
        (Scope::Api, &api.flows, format!("{}/{id}//flows", api.id)),
    ] {
        let build = Build { registry, services, resources: &api.resources, groups: &api.endpoint_groups, scope };
        flows.extend(build.flows(api.kind, own, &place, choice.match_required)?);
    }
    Ok(Chain::behind(platform, flows, choice))
}

fn choice(execution: api::FlowExecution) -> Choice {
    let mode = match execution.mode {
        api::FlowMode::Default => Mode::All,
        api::FlowMode::BestMatch => Mode::BestMatch,
    };
    Choice { mode, match_required: execution.match_required }
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Request,
    Response,
    Publish,
    Subscribe,
}

impl Phase {
    fn is_of_messages(self) -> bool {
        matches!(self, Self::Publish | Self::Subscribe)
    }
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
    resources: &'a [api::Resource],
    groups: &'a [api::EndpointGroup],
    scope: Scope,
}

impl Build<'_> {
    /// The flows of a scope that do anything; all of them where one `is_required` to match.
    fn flows(&self, kind: ApiType, flows: &[api::Flow], place: &str, is_required: bool) -> Result<Vec<Flow>, String> {
        let mut built = Vec::new();
        for (at, flow) in flows.iter().enumerate().filter(|(_, flow)| flow.enabled) {
            let selector = match (flow.http_selector(), flow.channel_selector()) {
                (Some(http), _) => Selector::new(&http.path, http.path_operator, &http.methods),
                // A flow of the platform may be for messages only: what has none has no channel.
                (None, Some(_)) if kind != ApiType::Message => continue,
                (None, Some(channel)) => Selector::channel(channel),
                (None, None) => Selector::default(),
            };
            let mut masks = Masks::default();
            let steps =
                |steps: &[api::Step], phase: Phase, masks: &mut Vec<Rc<dyn Mask>>| -> Result<Vec<Step>, String> {
                    let mut built = Vec::new();
                    if kind == ApiType::Message || !phase.is_of_messages() {
                        self.steps(steps, phase, &format!("{place}[{at}].{phase:?}"), &mut built, masks)?;
                    }
                    Ok(built)
                };
            let request = steps(&flow.request, Phase::Request, &mut masks.request)?;
            let response = steps(&flow.response, Phase::Response, &mut masks.response)?;
            // Messages are not written down.
            let publish = steps(&flow.publish, Phase::Publish, &mut Vec::new())?;
            let subscribe = steps(&flow.subscribe, Phase::Subscribe, &mut Vec::new())?;
            let hides = !masks.request.is_empty() || !masks.response.is_empty();
            let is_empty = !hides && [&request, &response, &publish, &subscribe].iter().all(|steps| steps.is_empty());
            if is_empty && !is_required {
                continue;
            }
            let needs = |step: &Step| {
                let condition = step.condition.as_ref().is_some_and(|condition| condition.needs().request_content);
                condition || step.policy.phases().request_content
            };
            built.push(Flow {
                scope: self.scope,
                selector,
                condition: flow.condition().map(|text| condition(text, Phase::Request)).transpose()?,
                request_content: response.iter().any(needs),
                masks,
                request: request.into(),
                response: response.into(),
                publish: publish.into(),
                subscribe: subscribe.into(),
            });
        }
        Ok(built)
    }

    /// Adds the steps that take part in a phase. The steps of a shared policy group are steps like others; only where the group as a whole
    /// has a condition they are one. What they hide of the phase is added to `masks`.
    fn steps(
        &self,
        steps: &[api::Step],
        phase: Phase,
        place: &str,
        built: &mut Vec<Step>,
        masks: &mut Vec<Rc<dyn Mask>>,
    ) -> Result<(), String> {
        for (at, step) in steps.iter().enumerate().filter(|(_, step)| step.enabled) {
            let place = format!("{place}[{at}]");
            let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
            let condition = given(&step.condition).map(|text| self::condition(&text, phase)).transpose()?;
            let message_condition = given(&step.message_condition).filter(|_| phase.is_of_messages());
            let message_condition = message_condition.map(|text| self::condition(&text, phase)).transpose()?;
            let policy = match &step.steps {
                None => self.policy(step, &place)?,
                Some(inner) if condition.is_none() && message_condition.is_none() => {
                    self.steps(inner, phase, &format!("{place}.steps"), built, masks)?;
                    continue;
                }
                Some(inner) => {
                    let mut own = Vec::new();
                    self.steps(inner, phase, &format!("{place}.steps"), &mut own, masks)?;
                    Rc::new(Group::new(own))
                }
            };
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
            let needs = condition.as_ref().map(Template::needs).unwrap_or_default();
            let content = content
                || match phase {
                    Phase::Request => needs.request_content,
                    Phase::Response => needs.response_content,
                    Phase::Publish | Phase::Subscribe => false,
                };
            built.push(Step { scope: self.scope, policy, condition, message_condition, content });
        }
        Ok(())
    }

    fn policy(&self, step: &api::Step, place: &str) -> Result<Rc<dyn Policy>, String> {
        let Some(kind) = kind::find(self.registry.policies, &step.policy) else {
            return Err(format!("policy `{}` is not known", step.policy));
        };
        let source = Source {
            configuration: step.configuration.as_ref(),
            shared: None,
            place,
            resources: self.resources,
            groups: self.groups,
        };
        (kind.build)(source, self.services).map_err(|refusal| format!("policy `{}`: {refusal}", step.policy))
    }
}
