//! What a shard serves: routes, plans, chains and groups, compiled from the snapshot, swapped whole, never changed.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::StatusCode;
use ringway_config::api::{Api, ApiType, EndpointGroup};
use ringway_config::{Settings, Snapshot};
use ringway_contract::kind::{self, Registry};
use ringway_contract::{ApiInfo, Dictionary, PlanInfo, Services, Source, Template as Text, Vocabulary};
use ringway_net::{DnsError, Pace, Shard, Signal, spawn, until_closing, yield_now};
use ringway_wire::{Limits, RequestHead};

use crate::annotate::Annotations;
use crate::assemble;
use crate::chain::Chain;
use crate::compile;
use crate::cors::Cors;
use crate::dictionaries::{self, DictionaryShared};
use crate::messages::Door;
use crate::messages::brokers::{Brokers, Member as BrokerMember, Seed};
use crate::messages::push::{PushFacing, Pushing};
use crate::messages::route::Route;
use crate::plan::Plan;
use crate::record::Logging;
use crate::router::RouteTable;
use crate::secrets::Secrets;
use crate::shared::{ApiShared, EndpointShared};
use crate::telemetry::ApiCounters;
use crate::template::{Template, Templates};
use crate::upstream::balance::Balancer;
use crate::upstream::group::MEMBERS_MAX;
use crate::upstream::{Breaker, Group, Member, health};

/// What a shard needs to build its site. Made off the shard; the route table is the shard's own copy.
pub struct Deployment {
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    /// Its APIs, with what all shards share of them.
    pub apis: Vec<Arc<ApiShared>>,
    /// Its dictionaries.
    pub dictionaries: Vec<Arc<DictionaryShared>>,
    /// Per server the routes of the APIs that it serves.
    pub routes: Vec<RouteTable>,
    /// The kinds of extensions.
    pub registry: Registry,
    /// Number of the snapshot.
    pub revision: u64,
}

impl Deployment {
    /// Compiles the routes for one shard.
    ///
    /// # Errors
    /// Two APIs claim the same path.
    pub fn new(
        snapshot: &Arc<Snapshot>,
        apis: &[Arc<ApiShared>],
        dictionaries: &[Arc<DictionaryShared>],
        registry: Registry,
    ) -> Result<Self, String> {
        Ok(Self {
            snapshot: snapshot.clone(),
            apis: apis.to_vec(),
            dictionaries: dictionaries.to_vec(),
            routes: compile::routes(snapshot, apis)?,
            registry,
            revision: snapshot.revision,
        })
    }

    /// What a shard lends to extensions.
    pub fn services(&self, shards: usize) -> Services {
        let settings = &self.snapshot.settings;
        let mut services = Services {
            shards,
            resolve: Rc::new(|name| Box::pin(addresses(name))),
            sleep: |duration| Box::pin(ringway_net::sleep(duration)),
            spawn: |future| {
                spawn(async move {
                    until_closing(future).await;
                });
            },
            response_limits: compile::limits(settings),
            response_rate_min: settings.limits.backend_rate_min,
            ..Services::default()
        };
        services.counts = settings.ratelimit.redis.clone().map(Rc::new);
        services.dial = (self.registry.dial)(&services);
        services.fetch = (self.registry.fetch)(&services);
        services
    }
}

async fn addresses(name: String) -> Option<Vec<IpAddr>> {
    match Shard::current().resolver.resolve(&name).await {
        Ok(found) => Some(found.iter().copied().collect()),
        Err(DnsError::NotFound) => Some(Vec::new()),
        Err(_) => None,
    }
}

/// Times that bound an exchange.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// From the first byte of a head to its last; also how long a new connection may stay silent.
    pub client_header: Duration,
    /// Silence between two requests.
    pub keep_alive: Duration,
    /// The handshake.
    pub tls_handshake: Duration,
    /// From the request's head to the response's head.
    pub request: Duration,
    /// The wait for a free connection to the backend.
    pub pending: Duration,
}

/// What a shard serves.
pub struct Site {
    /// The APIs.
    pub apis: Vec<Rc<ApiSite>>,
    /// Per server its routes; their ids are indices of `apis`.
    routes: Vec<RouteTable>,
    /// Tables of texts for expressions, by name.
    pub dictionaries: Vec<(String, Arc<Dictionary>)>,
    /// The same, to ask their providers once the site is in force.
    asked: Vec<Weak<DictionaryShared>>,
    registry: Registry,
    /// Bounds of heads.
    pub limits: Limits,
    /// Most bytes of a request's body.
    pub body_bytes_max: u64,
    /// Most requests of one connection.
    pub requests_max: u32,
    /// How fast a request's body has to come.
    pub body_pace: Pace,
    /// How fast a client has to take what is sent to it.
    pub write_pace: Pace,
    /// Most exchanges under way on this shard.
    pub exchanges_max: usize,
    /// Bytes of memory of the process from which on requests are shed.
    pub memory_max: u64,
    /// Most connections of this shard.
    pub connections_max: usize,
    /// Most connections of one address to this shard; 0: any number.
    pub connections_per_address_max: usize,
    /// Times.
    pub timeouts: Timeouts,
    /// What is added to heads.
    pub annotations: Annotations,
    /// Most bytes of a body that is held for policies.
    pub content_bytes_max: usize,
    /// Most bytes of a message from a client.
    pub message_bytes_max: usize,
    /// Number of the snapshot.
    pub revision: u64,
}

/// An API as a shard serves it.
pub struct ApiSite {
    /// Its names.
    pub info: Rc<ApiInfo>,
    /// What it was built from: the same definition need not be built again.
    shared: Arc<ApiShared>,
    /// What is counted.
    pub counters: Arc<ApiCounters>,
    /// The flows of the platform: what a request passes before a plan is asked.
    pub platform: Chain,
    /// Its plans, keyless ones last.
    pub plans: Vec<Plan>,
    /// Its entrypoints, the most specific first.
    pub doors: Vec<Door>,
    /// The groups that serve it, if it carries requests: the first, unless a policy names another.
    pub groups: Vec<Group>,
    /// The groups of brokers that serve it, if it carries messages: the first, unless a policy names another.
    pub brokers: Vec<Rc<Brokers>>,
    /// Subscriptions that this shard sends the messages of.
    pub pushing: Vec<Rc<Pushing>>,
    /// Set when it is not served any more in this form: its streams are to end.
    pub retired: Rc<Signal>,
    /// Failover, if it has any.
    pub failover: Option<Failover>,
    /// Cross-origin rules.
    pub cors: Cors,
    /// What preflights pass before they are answered.
    pub preflight: Option<Chain>,
    /// Its own words for refusals.
    pub templates: Templates,
    /// What is never written down of its requests.
    pub secrets: Rc<Secrets>,
    /// What is written down of its exchanges besides the access log.
    pub logging: Option<Rc<Logging>>,
}

/// Failover of an API.
pub struct Failover {
    /// Attempts after the first.
    pub retries_max: u32,
    /// Whether a further attempt must go to another endpoint.
    pub force_next: bool,
    /// Suspends calls while the backend fails.
    pub breaker: Breaker,
}

/// Where a request goes.
pub struct Found<'a> {
    /// The API.
    pub api: &'a ApiSite,
    /// Bytes of the path that are the context path.
    pub prefix_len: usize,
}

impl Site {
    /// Builds the site of a shard, a few APIs at a time: in between, the shard serves. APIs whose definition has not changed are taken
    /// over from `before`, with their connections.
    ///
    /// # Errors
    /// An extension refuses its configuration: which API, which part, and why.
    pub async fn build(
        deployment: Deployment,
        before: Option<&Rc<Site>>,
        services: &Services,
        shard: usize,
    ) -> Result<Self, String> {
        let settings = &deployment.snapshot.settings;
        let mut known: HashMap<*const ApiShared, Rc<ApiSite>> = HashMap::new();
        for (count, api) in before.iter().flat_map(|site| &site.apis).enumerate() {
            known.insert(Arc::as_ptr(&api.shared), api.clone());
            breathe(count, TAKEN_OVER_IN_A_ROW_MAX).await;
        }
        let mut apis = Vec::with_capacity(deployment.apis.len());
        for (count, shared) in deployment.apis.iter().enumerate() {
            apis.push(match known.remove(&Arc::as_ptr(shared)) {
                Some(same) => same,
                None => ApiSite::build(shared, deployment.registry, settings, services, shard)
                    .map(Rc::new)
                    .map_err(|reason| format!("API `{}`: {reason}", shared.name()))?,
            });
            breathe(count, BUILT_IN_A_ROW_MAX).await;
        }
        Ok(Self {
            apis,
            routes: deployment.routes,
            dictionaries: deployment.dictionaries.iter().map(|shared| shared.entry()).collect(),
            asked: deployment.dictionaries.iter().map(Arc::downgrade).collect(),
            registry: deployment.registry,
            limits: compile::limits(settings),
            body_bytes_max: compile::body_bytes_max(settings),
            requests_max: compile::requests_max(settings),
            body_pace: compile::body_pace(settings),
            write_pace: compile::write_pace(settings),
            exchanges_max: settings.limits.exchanges_per_shard_max,
            memory_max: compile::memory_max(settings),
            connections_max: settings.limits.connections_per_shard_max,
            connections_per_address_max: settings.limits.connections_per_address_max,
            timeouts: compile::timeouts(settings),
            annotations: compile::annotations(settings),
            content_bytes_max: settings.limits.content_bytes_max,
            message_bytes_max: settings.limits.message_bytes_max,
            revision: deployment.revision,
        })
    }

    /// Begins to ask the providers of dictionaries that fall to this shard.
    pub fn ask(&self, services: &Services, shard: usize) {
        dictionaries::begin(&self.asked, self.registry, services, shard);
    }

    /// Tells the streams of APIs that `next` does not serve in the same form to end.
    pub fn retire(&self, next: &Site) {
        let kept: HashSet<*const ApiSite> = next.apis.iter().map(Rc::as_ptr).collect();
        for api in self.apis.iter().filter(|api| !api.brokers.is_empty() && !kept.contains(&Rc::as_ptr(api))) {
            api.retired.set();
        }
    }

    /// The route tables, to be freed where nobody waits.
    pub fn into_routes(self) -> Vec<RouteTable> {
        self.routes
    }

    /// The API that a request belongs to.
    pub fn find(&self, head: &RequestHead, server: u16) -> Option<Found<'_>> {
        // `OPTIONS *` asks the server as a whole (RFC 9110 section 9.3.7): it belongs to no path, not even to `/`.
        if head.is_asterisk() {
            return None;
        }
        let found = self.routes.get(usize::from(server))?.lookup(head.host(), head.path())?;
        let api = self.apis.get(found.id as usize)?;
        Some(Found { api, prefix_len: found.prefix_len })
    }
}

/// APIs that are built before the shard has its turn: some tens of microseconds each.
const BUILT_IN_A_ROW_MAX: usize = 16;
/// APIs that are only looked up.
const TAKEN_OVER_IN_A_ROW_MAX: usize = 4096;

async fn breathe(count: usize, in_a_row_max: usize) {
    if count % in_a_row_max == in_a_row_max - 1 {
        yield_now().await;
    }
}

impl ApiSite {
    fn build(
        shared: &Arc<ApiShared>,
        registry: Registry,
        settings: &Settings,
        services: &Services,
        shard: usize,
    ) -> Result<Self, String> {
        let api = &*shared.api;
        if !api.is_served() {
            // Nothing routes to it, and what it names may not exist here.
            return Ok(Self::idle(shared, services, shard));
        }
        let (mut groups, mut brokers) = (Vec::new(), Vec::new());
        match api.kind {
            ApiType::Message => brokers = build_brokers(shared, registry, services, shard)?,
            _ => groups = build_groups(shared, registry, settings, services, shard)?,
        }
        let platform = assemble::platform(api, registry, services)?;
        let plans = assemble::plans(api, &platform, registry, services)?;
        let secrets = Rc::new(Secrets::of(&plans));
        Ok(Self {
            info: Rc::new(info(api, services)),
            counters: shared.counters.get(shard).cloned().unwrap_or_default(),
            plans,
            doors: build_doors(api, registry, services)?,
            groups,
            pushing: build_pushing(shared, (&brokers, &platform), registry, services, shard)?,
            brokers,
            retired: Rc::default(),
            failover: compile::failover(api),
            cors: compile::cors(api)?,
            preflight: assemble::preflight(api, &platform, registry, services)?,
            platform,
            templates: templates(api)?,
            logging: Logging::of(shared, &secrets)?.map(Rc::new),
            secrets,
            shared: shared.clone(),
        })
    }

    fn idle(shared: &Arc<ApiShared>, services: &Services, shard: usize) -> Self {
        let api = &*shared.api;
        Self {
            info: Rc::new(info(api, services)),
            counters: shared.counters.get(shard).cloned().unwrap_or_default(),
            platform: Chain::default(),
            plans: Vec::new(),
            doors: Vec::new(),
            groups: Vec::new(),
            brokers: Vec::new(),
            pushing: Vec::new(),
            retired: Rc::default(),
            failover: None,
            cors: Cors::default(),
            preflight: None,
            templates: Templates::default(),
            secrets: Rc::default(),
            logging: None,
            shared: shared.clone(),
        }
    }
}

fn info(api: &Api, services: &Services) -> ApiInfo {
    ApiInfo {
        id: api.id.clone(),
        name: api.name.clone(),
        version: api.api_version.clone(),
        properties: api.properties.iter().map(|property| (property.key.clone(), property.value.clone())).collect(),
        dictionaries: services.dictionaries.clone(),
    }
}

fn build_doors(api: &Api, registry: Registry, services: &Services) -> Result<Vec<Door>, String> {
    let mut built = Vec::new();
    for entrypoint in api.http_listeners().flat_map(|listener| &listener.entrypoints) {
        let Some(kind) = kind::find(registry.entrypoints, &entrypoint.kind) else {
            return Err(format!("entrypoint `{}` is not known", entrypoint.kind));
        };
        let place = format!("{}/{}", api.id, kind.name);
        let source = Source {
            configuration: entrypoint.configuration.as_ref(),
            shared: None,
            place: &place,
            resources: &api.resources,
            groups: &api.endpoint_groups,
        };
        let refused = |refusal| format!("entrypoint `{}`: {refusal}", kind.name);
        built.push(Door {
            entrypoint: (kind.build)(source, services).map_err(refused)?,
            qos: entrypoint.qos,
            recovers: kind.messaging.is_some_and(|messaging| messaging.recover),
            name: kind.name,
            publishes: kind.messaging.is_some_and(|messaging| !messaging.publish.is_empty()),
            subscribes: kind.messaging.is_some_and(|messaging| !messaging.subscribe.is_empty()),
        });
    }
    built.sort_by_key(|door| std::cmp::Reverse(door.entrypoint.criteria()));
    Ok(built)
}

fn build_brokers(
    shared: &ApiShared,
    registry: Registry,
    services: &Services,
    shard: usize,
) -> Result<Vec<Rc<Brokers>>, String> {
    let mut common = &*shared.endpoints;
    let mut built = Vec::new();
    for group in &shared.api.endpoint_groups {
        let (own, others) = common.split_at(group.endpoints.len().min(common.len()));
        built.push(Rc::new(build_broker_group(&shared.api, (group, own), registry, services, shard)?));
        common = others;
    }
    Ok(built)
}

fn build_broker_group(
    api: &Api,
    (group, common): (&EndpointGroup, &[EndpointShared]),
    registry: Registry,
    services: &Services,
    shard: usize,
) -> Result<Brokers, String> {
    if group.endpoints.len() > MEMBERS_MAX {
        return Err(format!("group `{}` has more than {MEMBERS_MAX} endpoints", group.name));
    }
    let mut members = Vec::with_capacity(group.endpoints.len());
    for (endpoint, common) in group.endpoints.iter().zip(common) {
        let Some(kind) = kind::find(registry.brokers, &endpoint.kind) else {
            return Err(format!("endpoint type `{}` is not known", endpoint.kind));
        };
        let merged = endpoint.shared_configuration(group);
        let place = format!("{}/{}/{}", api.id, group.name, endpoint.name);
        let source = Source {
            configuration: endpoint.configuration.as_ref(),
            shared: merged.as_ref(),
            place: &place,
            resources: &api.resources,
            groups: &api.endpoint_groups,
        };
        let broker = (kind.build)(source, services)
            .map_err(|refusal| format!("endpoint `{}` of group `{}`: {refusal}", endpoint.name, group.name))?;
        members.push(Rc::new(BrokerMember::new(Seed {
            name: &endpoint.name,
            weight: endpoint.weight,
            secondary: endpoint.secondary,
            broker,
            healthy: common.healthy.clone(),
            counters: common.counters.get(shard).cloned().unwrap_or_default(),
        })));
    }
    let balancer = Balancer::new(group.load_balancer.kind, members.len(), shard as u64);
    Ok(Brokers::new(Rc::from(group.name.as_str()), members, balancer))
}

/// The subscriptions that fall to this shard: each to one, so that its messages stay in order.
fn build_pushing(
    shared: &ApiShared,
    (brokers, platform): (&[Rc<Brokers>], &Chain),
    registry: Registry,
    services: &Services,
    shard: usize,
) -> Result<Vec<Rc<Pushing>>, String> {
    let api = &*shared.api;
    let mut built = Vec::new();
    for entrypoint in api.pushing_entrypoints() {
        let own = api.subscriptions.iter().zip(&shared.subscriptions).filter(|(subscription, _)| {
            let consumer = subscription.consumer_configuration.as_ref();
            subscription.withheld.is_none()
                && consumer.is_some_and(|consumer| consumer.entrypoint_id == entrypoint.kind)
                && shard_of(&api.id, &subscription.id, services.shards) == shard
        });
        let own: Vec<_> = own.collect();
        if own.is_empty() {
            continue;
        }
        let Some(kind) = kind::find(registry.pushes, &entrypoint.kind) else {
            return Err(format!("entrypoint `{}` is not known", entrypoint.kind));
        };
        let place = format!("{}/{}", api.id, kind.name);
        let source = Source {
            configuration: entrypoint.configuration.as_ref(),
            shared: None,
            place: &place,
            resources: &api.resources,
            groups: &api.endpoint_groups,
        };
        let refused = |refusal| format!("entrypoint `{}`: {refusal}", kind.name);
        let push = (kind.build)(source, services).map_err(refused)?;
        let dead_letters = entrypoint.dlq.as_ref().and_then(|dlq| Route::named(brokers, &dlq.endpoint));
        for (subscription, known) in own {
            let told = subscription.consumer_configuration.as_ref();
            let told = told.and_then(|consumer| consumer.entrypoint_configuration.as_ref());
            let courier = push.open(told, entrypoint.qos);
            let Some(plan) = subscription.plan_of(api) else {
                return Err(format!("subscription `{}` has no plan", subscription.id));
            };
            let consumer = subscription.consumer_configuration.as_ref();
            let facing = PushFacing {
                entrypoint: kind.name,
                channel: consumer.map(|consumer| consumer.channel.clone()).unwrap_or_default(),
                plan: Rc::new(PlanInfo { id: plan.id.clone(), name: plan.name.clone() }),
                subscriber: Rc::new(assemble::subscriber(subscription)),
            };
            built.push(Rc::new(Pushing {
                shared: known.clone(),
                // A point is in no id of a subscription: two APIs cannot mean the same consumer.
                client: format!("{}.{}", api.id, subscription.id).into(),
                courier: courier.map_err(|refusal| format!("subscription `{}`: {refusal}", subscription.id))?,
                qos: entrypoint.qos,
                starting_at: subscription.starting_at,
                ending_at: subscription.ending_at,
                dead_letters: dead_letters.clone(),
                chain: Rc::new(assemble::chain(api, Some(plan), platform, registry, services)?),
                facing,
                begun: Cell::new(false),
            }));
        }
    }
    Ok(built)
}

/// The shard that serves a subscription: the same as long as there are as many (FNV-1a, which does not change between versions).
fn shard_of(api: &str, subscription: &str, shards: usize) -> usize {
    let bytes = api.bytes().chain([b'.']).chain(subscription.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    (hash % shards.max(1) as u64) as usize
}

fn build_groups(
    shared: &ApiShared,
    registry: Registry,
    settings: &Settings,
    services: &Services,
    shard: usize,
) -> Result<Vec<Group>, String> {
    let mut common = &*shared.endpoints;
    let mut groups = Vec::new();
    for group in &shared.api.endpoint_groups {
        let (own, others) = common.split_at(group.endpoints.len().min(common.len()));
        groups.push(build_group(shared, (group, own), registry, settings, services, shard)?);
        common = others;
    }
    Ok(groups)
}

fn build_group(
    shared: &ApiShared,
    (group, common): (&EndpointGroup, &[EndpointShared]),
    registry: Registry,
    settings: &Settings,
    services: &Services,
    shard: usize,
) -> Result<Group, String> {
    if group.endpoints.len() > MEMBERS_MAX {
        return Err(format!("group `{}` has more than {MEMBERS_MAX} endpoints", group.name));
    }
    let mut members = Vec::with_capacity(group.endpoints.len());
    for (endpoint, common) in group.endpoints.iter().zip(common) {
        let Some(kind) = kind::find(registry.endpoints, &endpoint.kind) else {
            return Err(format!("endpoint type `{}` is not known", endpoint.kind));
        };
        let merged = endpoint.shared_configuration(group);
        let place = format!("{}/{}/{}", shared.api.id, group.name, endpoint.name);
        let source = Source {
            configuration: endpoint.configuration.as_ref(),
            shared: merged.as_ref(),
            place: &place,
            resources: &shared.api.resources,
            groups: &shared.api.endpoint_groups,
        };
        let built = (kind.build)(source, services)
            .map_err(|refusal| format!("endpoint `{}` of group `{}`: {refusal}", endpoint.name, group.name))?;
        let member = Rc::new(Member::new(
            Rc::from(endpoint.name.as_str()),
            endpoint.weight,
            endpoint.secondary,
            built,
            settings.limits.pending_requests_max,
            common.healthy.clone(),
            common.counters.get(shard).cloned().unwrap_or_default(),
        ));
        // One shard probes for the process.
        if shared.api.fingerprint % services.shards.max(1) as u64 == shard as u64
            && let Some(node) = endpoint.health_check(group).and_then(|service| service.configuration.as_ref())
        {
            let named = |error| format!("health check of endpoint `{}`: {error}", endpoint.name);
            let check = kind::decode(Some(node)).map_err(|refusal| named(refusal.to_string()))?;
            spawn(health::watch(Rc::downgrade(&member), health::Check::new(&check).map_err(named)?));
        }
        members.push(member);
    }
    let balancer = Balancer::new(group.load_balancer.kind, members.len(), shard as u64);
    Ok(Group::new(Rc::from(group.name.as_str()), members, balancer))
}

fn templates(api: &Api) -> Result<Templates, String> {
    let mut templates = Templates::default();
    for (key, by_media) in &api.response_templates {
        for (media, template) in &by_media.0 {
            let status = match template.status {
                Some(code) => {
                    Some(StatusCode::from_u16(code).map_err(|_| format!("response template `{key}`: status {code}"))?)
                }
                None => None,
            };
            let compiled = |text: &str| {
                let text = Text::compile(text, &Vocabulary::error());
                text.map_err(|problem| format!("response template `{key}`: {problem}"))
            };
            let headers = template.headers.0.iter().map(|(name, value)| Ok((name.clone(), compiled(value)?)));
            let headers = headers.collect::<Result<_, String>>()?;
            templates.add(key, media, Template { status, headers, body: compiled(&template.body)? });
        }
    }
    Ok(templates)
}
