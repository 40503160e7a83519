//! The policies that an exchange passes, compiled once per shard and plan.
//!
//! A flow is matched once, on the request; what matched holds for the response too. Flows of the platform come before the guards, then those
//! of the plan, then those of the API, and the other way round on the way back. What has no policy is not in the chain at all.

use std::rc::Rc;

use http::StatusCode;
use ringway_config::api::{ChannelSelector, Method, Operation, PathOperator};
use ringway_contract::{Exchange, Mask, Policy, Recording, Reply, Request, Step as Next, Template};

use crate::exchange::Stop;
use crate::messages::passage::Passage;

/// Whose flow it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The platform's, around all others.
    Platform,
    /// The plan's.
    Plan,
    /// The API's.
    Api,
}

impl Scope {
    /// In the order of the way back.
    const BACK: [Self; 3] = [Self::Api, Self::Plan, Self::Platform];
}

/// A compiled flow.
pub struct Flow {
    /// Whose it is.
    pub scope: Scope,
    /// What it matches.
    pub selector: Selector,
    /// When it is taken at all.
    pub condition: Option<Template>,
    /// Whether its condition, or a step on the way back, needs the body of the request.
    pub request_content: bool,
    /// What steps hide of exchanges that are written down.
    pub masks: Masks,
    /// Steps on the way to the endpoint.
    pub request: Box<[Step]>,
    /// Steps on the way back.
    pub response: Box<[Step]>,
    /// Steps of each message on its way to a broker.
    pub publish: Rc<[Step]>,
    /// Steps of each message on its way from a broker.
    pub subscribe: Rc<[Step]>,
}

/// What the steps of a flow hide.
#[derive(Default)]
pub struct Masks {
    /// Of the request.
    pub request: Vec<Rc<dyn Mask>>,
    /// Of the response.
    pub response: Vec<Rc<dyn Mask>>,
}

/// A policy at its place.
pub struct Step {
    /// Whose it is.
    pub scope: Scope,
    /// The policy.
    pub policy: Rc<dyn Policy>,
    /// When it runs. Asked each time that its turn comes.
    pub condition: Option<Template>,
    /// For which messages it runs.
    pub message_condition: Option<Template>,
    /// Whether it, or its condition, needs the body.
    pub content: bool,
}

impl Step {
    /// On the way to the endpoint; `Some` is the answer that ends the exchange.
    pub async fn request(&self, exchange: &mut Exchange) -> Option<Box<Reply>> {
        match self.runs(exchange) {
            Ok(true) => settle(self.policy.request(exchange)).await.reply(),
            Ok(false) => None,
            Err(reply) => Some(reply),
        }
    }

    /// On the way back.
    pub async fn response(&self, exchange: &mut Exchange) -> Option<Box<Reply>> {
        match self.runs(exchange) {
            Ok(true) => settle(self.policy.response(exchange)).await.reply(),
            Ok(false) => None,
            Err(reply) => Some(reply),
        }
    }

    /// What an answer of this step on the way back is to its exchange.
    pub(crate) fn stop(&self, reply: Box<Reply>) -> Stop {
        match self.scope {
            Scope::Platform => Stop::Last(reply),
            Scope::Plan | Scope::Api => Stop::Reply(reply),
        }
    }

    /// The message of the exchange.
    pub async fn message(&self, exchange: &mut Exchange) -> Settled {
        let meant = |exchange: &Exchange| {
            self.message_condition.as_ref().map_or(Ok(true), |condition| holds(condition, exchange))
        };
        match self.runs(exchange).and_then(|runs| Ok(runs && meant(exchange)?)) {
            Ok(true) => settle(self.policy.message(exchange)).await,
            Ok(false) => Settled::Next,
            Err(reply) => Settled::Reply(reply),
        }
    }

    fn runs(&self, exchange: &Exchange) -> Result<bool, Box<Reply>> {
        self.condition.as_ref().map_or(Ok(true), |condition| holds(condition, exchange))
    }
}

/// Whether a condition holds. What is missing is false; what cannot be compared is an error of the definition.
///
/// # Errors
/// The answer 500 for a condition that is neither true nor false here.
pub fn holds(condition: &Template, exchange: &Exchange) -> Result<bool, Box<Reply>> {
    condition.as_bool(exchange).map_err(|error| {
        tracing::warn!(api = exchange.api.id, %error, "a condition cannot be evaluated");
        let message = "A condition of this API cannot be evaluated.";
        Box::new(Reply::refusal(StatusCode::INTERNAL_SERVER_ERROR, "GATEWAY_POLICY_INTERNAL_ERROR", message))
    })
}

/// What becomes of an exchange or a message after a policy.
pub enum Settled {
    /// It goes on.
    Next,
    /// It is answered.
    Reply(Box<Reply>),
    /// The message goes no further.
    Drop,
}

impl Settled {
    /// The answer that ends an exchange.
    pub fn reply(self) -> Option<Box<Reply>> {
        match self {
            Self::Reply(reply) => Some(reply),
            Self::Next | Self::Drop => None,
        }
    }
}

/// What a call comes in by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facing<'a> {
    /// The entrypoint's type.
    pub entrypoint: &'a str,
    /// Whether its clients publish.
    pub publishes: bool,
    /// Whether its clients subscribe.
    pub subscribes: bool,
    /// The channel, where it is not the path behind the context path.
    pub channel: Option<&'a str>,
}

/// A selector of requests or channels: a path pattern relative to the context path, and what else is asked for.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    segments: Box<[Segment]>,
    exact: bool,
    /// Empty: any method.
    methods: Box<[Method]>,
    /// Of a channel selector.
    channel: Option<Channel>,
}

#[derive(Clone, Debug)]
struct Channel {
    /// Empty: any.
    operations: Box<[Operation]>,
    /// Types of entrypoints; empty: any.
    entrypoints: Box<[String]>,
}

impl Channel {
    fn takes(&self, facing: &Facing<'_>) -> bool {
        let entrypoint = self.entrypoints.is_empty() || self.entrypoints.iter().any(|known| known == facing.entrypoint);
        let does = |operation: &Operation| match operation {
            Operation::Publish => facing.publishes,
            Operation::Subscribe => facing.subscribes,
        };
        entrypoint && (self.operations.is_empty() || self.operations.iter().any(does))
    }
}

#[derive(Clone, Debug)]
enum Segment {
    Literal(Box<str>),
    /// Its name.
    Parameter(Rc<str>),
}

impl Selector {
    /// Compiles a path pattern such as `/orders/:id`.
    pub fn new(path: &str, operator: PathOperator, methods: &[Method]) -> Self {
        let segments = segments(path)
            .map(|segment| match segment.strip_prefix(':') {
                Some(name) => Segment::Parameter(name.into()),
                None => Segment::Literal(segment.into()),
            })
            .collect();
        Self { segments, exact: operator == PathOperator::Equals, methods: methods.into(), channel: None }
    }

    /// Compiles a channel selector.
    pub fn channel(selector: &ChannelSelector) -> Self {
        let channel = Channel {
            operations: selector.operations.as_slice().into(),
            entrypoints: selector.entrypoints.as_slice().into(),
        };
        Self { channel: Some(channel), ..Self::new(&selector.channel, selector.channel_operator, &[]) }
    }

    /// Whether it takes every request.
    pub fn is_any(&self) -> bool {
        self.segments.is_empty() && !self.exact && self.methods.is_empty() && self.channel.is_none()
    }

    /// Whether it takes a call with `rest` behind the context path. What is no request has no method.
    pub fn matches(&self, method: Option<&http::Method>, rest: &str, facing: &Facing<'_>) -> bool {
        if !self.methods.is_empty() && !method.is_some_and(|method| self.takes(method)) {
            return false;
        }
        if self.channel.as_ref().is_some_and(|channel| !channel.takes(facing)) {
            return false;
        }
        let mut present = segments(rest);
        let all = self.segments.iter().all(|wanted| match (wanted, present.next()) {
            (Segment::Literal(literal), Some(segment)) => **literal == *segment,
            (Segment::Parameter(_), Some(_)) => true,
            (_, None) => false,
        });
        all && (!self.exact || present.next().is_none())
    }

    /// Adds the parameters of a path that it takes.
    fn parameters(&self, rest: &str, out: &mut Vec<(Rc<str>, String)>) {
        for (wanted, segment) in self.segments.iter().zip(segments(rest)) {
            if let Segment::Parameter(name) = wanted
                && !out.iter().any(|(known, _)| known == name)
            {
                out.push((name.clone(), segment.to_owned()));
            }
        }
    }

    /// `OTHER` stands for every method that has no name of its own.
    fn takes(&self, method: &http::Method) -> bool {
        let named = |known: &Method| known.name() == Some(method.as_str());
        self.methods.iter().any(named) || (self.methods.contains(&Method::Other) && !NAMED.iter().any(named))
    }

    /// Longer patterns are more specific; among equals, literals beat parameters, and exact beats prefix.
    fn specificity(&self) -> (usize, usize, bool) {
        let literals = self.segments.iter().filter(|segment| matches!(segment, Segment::Literal(_))).count();
        (self.segments.len(), literals, self.exact)
    }
}

/// The methods that selectors name.
const NAMED: [Method; 9] = [
    Method::Connect,
    Method::Delete,
    Method::Get,
    Method::Head,
    Method::Options,
    Method::Patch,
    Method::Post,
    Method::Put,
    Method::Trace,
];

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// How flows are chosen among those that match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Every one that matches, in order.
    #[default]
    All,
    /// Of each scope only the most specific one.
    BestMatch,
}

/// How flows of a scope are chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice {
    /// Which of those that match.
    pub mode: Mode,
    /// Whether a call that none of them matches is answered 404.
    pub match_required: bool,
}

/// The flows of the platform; or those of a plan and its API, behind the platform's.
#[derive(Default)]
pub struct Chain {
    flows: Box<[Rc<Flow>]>,
    /// How many of them are the platform's, and were chosen by its own chain before a guard was asked.
    ahead: usize,
    choice: Choice,
    /// Whether a condition of a flow needs the body of the request.
    pub request_content: bool,
    /// Whether a pattern has parameters.
    parameters: bool,
}

impl Chain {
    /// A chain; `flows` are in the order of the request.
    pub fn new(flows: Vec<Flow>, choice: Choice) -> Self {
        Self::behind(&Self::default(), flows, choice)
    }

    /// One that goes on behind another.
    pub fn behind(before: &Self, flows: Vec<Flow>, choice: Choice) -> Self {
        let has_parameters =
            |flow: &Flow| flow.selector.segments.iter().any(|segment| matches!(segment, Segment::Parameter(_)));
        let condition_needs = |flow: &Flow| flow.condition.as_ref().is_some_and(|known| known.needs().request_content);
        Self {
            parameters: flows.iter().any(has_parameters),
            request_content: flows.iter().any(condition_needs),
            ahead: before.flows.len(),
            flows: before.flows.iter().cloned().chain(flows.into_iter().map(Rc::new)).collect(),
            choice,
        }
    }

    /// Whether the chain has nothing to do, besides what the one before it has.
    pub fn is_idle(&self) -> bool {
        self.flows.len() == self.ahead && !self.choice.match_required
    }

    /// Adds the indices of the flows that the request takes to `matched`, and the parameters of its path to the exchange. Of a chain behind
    /// another, that one has been asked first.
    ///
    /// # Errors
    /// The answer 404 when a match is required and there is none, or 500 for a condition that cannot be evaluated.
    pub fn select(
        &self,
        exchange: &mut Exchange,
        facing: &Facing<'_>,
        matched: &mut Vec<u16>,
    ) -> Result<(), Box<Reply>> {
        let before = matched.len();
        let request = exchange.request.as_deref();
        let method = request.map(|request| &request.head.method);
        let rest = facing.channel.or(request.map(Request::rest)).unwrap_or_default();
        let takes = |flow: &Flow| flow.selector.is_any() || flow.selector.matches(method, rest, facing);
        let taken = self.flows.iter().enumerate().skip(self.ahead).filter(|(_, flow)| takes(flow));
        matched.extend(taken.map(|(index, _)| index as u16));
        if self.parameters {
            // Conditions may ask for them.
            let mut parameters = Vec::new();
            let own = matched.get(before..).unwrap_or_default();
            // The API's own names come before those that the platform gives to the same.
            self.taken(own).for_each(|flow| flow.selector.parameters(rest, &mut parameters));
            for (name, value) in std::mem::take(&mut exchange.path_params) {
                if !parameters.iter().any(|(known, _)| *known == name) {
                    parameters.push((name, value));
                }
            }
            exchange.path_params = parameters.into();
        }
        let mut refusal = None;
        matched.retain(|index| {
            let own = self.own(*index);
            let condition = own.and_then(|flow| flow.condition.as_ref());
            let holds = condition.map_or(Ok(true), |condition| holds(condition, exchange));
            holds.unwrap_or_else(|reply| {
                refusal = Some(reply);
                false
            })
        });
        if let Some(reply) = refusal {
            return Err(reply);
        }
        if self.choice.mode == Mode::BestMatch {
            Scope::BACK.into_iter().for_each(|scope| self.keep_best(scope, matched));
        }
        if self.choice.match_required && matched.len() == before {
            let message = "No flow of this API takes the request.";
            return Err(Box::new(Reply::refusal(StatusCode::NOT_FOUND, "GATEWAY_NO_FLOW", message)));
        }
        Ok(())
    }

    /// The flow, if it is one that this chain chooses.
    fn own(&self, index: u16) -> Option<&Rc<Flow>> {
        let index = usize::from(index);
        self.flows.get(index).filter(|_| index >= self.ahead)
    }

    /// Leaves of the flows of a scope only the most specific one.
    fn keep_best(&self, scope: Scope, matched: &mut Vec<u16>) {
        let of = |index: &u16| self.own(*index).filter(|flow| flow.scope == scope);
        let own = matched.iter().filter_map(|index| Some((*index, of(index)?)));
        // The first of equals wins, as in the order of the definition: `max_by_key` alone would take the last.
        let best = own.rev().max_by_key(|(_, flow)| flow.selector.specificity()).map(|(index, _)| index);
        matched.retain(|index| of(index).is_none() || best == Some(*index));
    }

    /// Tells a recording what the flows hide of it.
    pub fn mask(&self, matched: &[u16], recording: &mut Recording) {
        recording.is_masked = true;
        for flow in self.taken(matched) {
            recording.request_masks.extend(flow.masks.request.iter().cloned());
            recording.response_masks.extend(flow.masks.response.iter().cloned());
        }
    }

    /// Whether something on the way back needs the body of the request.
    pub fn keeps_request(&self, matched: &[u16]) -> bool {
        self.taken(matched).any(|flow| flow.request_content)
    }

    /// The steps on the way to the endpoint, in order; those of the chain before have run.
    pub fn request<'a>(&'a self, matched: &'a [u16]) -> impl Iterator<Item = &'a Step> {
        matched.iter().filter_map(|index| self.own(*index)).flat_map(|flow| flow.request.iter())
    }

    /// The steps on the way back, in order.
    pub fn response<'a>(&'a self, matched: &'a [u16]) -> impl Iterator<Item = &'a Step> {
        let of = move |scope| self.taken(matched).filter(move |flow| flow.scope == scope);
        Scope::BACK.into_iter().flat_map(of).flat_map(|flow| flow.response.iter())
    }

    /// What each message passes on its way to a broker.
    pub fn publish(&self, matched: &[u16]) -> Passage {
        Passage::new(self.taken(matched).map(|flow| &flow.publish))
    }

    /// What each message passes on its way from a broker.
    pub fn subscribe(&self, matched: &[u16]) -> Passage {
        let of = |scope| self.taken(matched).filter(move |flow| flow.scope == scope);
        Passage::new(Scope::BACK.into_iter().flat_map(of).map(|flow| &flow.subscribe))
    }

    fn taken<'a>(&'a self, matched: &'a [u16]) -> impl Iterator<Item = &'a Flow> {
        matched.iter().filter_map(|index| self.flows.get(usize::from(*index))).map(|flow| &**flow)
    }
}

/// Waits for a step.
pub async fn settle(mut step: Next<'_>) -> Settled {
    loop {
        step = match step {
            Next::Next => return Settled::Next,
            Next::Reply(reply) => return Settled::Reply(reply),
            Next::Drop => return Settled::Drop,
            Next::Wait(future) => future.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use ringway_contract::{Client, Request, Vocabulary};
    use ringway_wire::Limits;

    use super::*;

    fn flow(scope: Scope, path: &str) -> Flow {
        Flow {
            scope,
            selector: Selector::new(path, PathOperator::StartsWith, &[]),
            condition: None,
            request_content: false,
            masks: Masks::default(),
            request: Box::default(),
            response: Box::default(),
            publish: Rc::default(),
            subscribe: Rc::default(),
        }
    }

    fn choice(mode: Mode, match_required: bool) -> Choice {
        Choice { mode, match_required }
    }

    fn exchange(rest: &str) -> Exchange {
        let mut request = Box::<Request>::default();
        let mut bytes = BytesMut::from(&*format!("GET {rest} HTTP/1.1\r\nHost: a\r\nX-Tier: gold\r\n\r\n"));
        request.head.parse(&mut bytes, &Limits::default()).unwrap();
        let client = Client { address: None, tls: false, certificate: None };
        Exchange::new(request, Rc::default(), Rc::default(), client)
    }

    fn takes(pattern: &str, operator: PathOperator, methods: &[Method], method: http::Method, rest: &str) -> bool {
        Selector::new(pattern, operator, methods).matches(Some(&method), rest, &Facing::default())
    }

    #[test]
    fn selectors_match_whole_segments() {
        use PathOperator::{Equals, StartsWith};
        let get = http::Method::GET;
        for (pattern, operator, rest, expected) in [
            ("/", StartsWith, "", true),
            ("/", StartsWith, "/any/thing", true),
            ("/", Equals, "/", true),
            ("/", Equals, "", true),
            ("/", Equals, "/a", false),
            ("/a", StartsWith, "/a/b", true),
            ("/a", StartsWith, "/ab", false),
            ("/a/:id", Equals, "/a/1", true),
            ("/a/:id", Equals, "/a", false),
            ("/a/:id", Equals, "/a/1/2", false),
            ("/a/:id/c", StartsWith, "/a/1/c/d", true),
        ] {
            assert_eq!(takes(pattern, operator, &[], get.clone(), rest), expected, "{pattern} {operator:?} {rest}");
        }
        let purge = http::Method::from_bytes(b"PURGE").unwrap();
        assert!(takes("/", StartsWith, &[Method::Get, Method::Put], http::Method::PUT, "/x"));
        assert!(!takes("/", StartsWith, &[Method::Get], http::Method::POST, "/x"));
        assert!(takes("/", StartsWith, &[Method::Other], purge, "/x"));
        assert!(!takes("/", StartsWith, &[Method::Other], http::Method::GET, "/x"));
    }

    #[test]
    fn best_match_takes_the_most_specific_flow_of_each_scope() {
        let flows = || {
            vec![flow(Scope::Plan, "/"), flow(Scope::Api, "/"), flow(Scope::Api, "/a/:id"), flow(Scope::Api, "/a/b")]
        };
        let select = |mode, rest| {
            let (mut matched, mut exchange) = (Vec::new(), exchange(rest));
            Chain::new(flows(), choice(mode, false)).select(&mut exchange, &Facing::default(), &mut matched).unwrap();
            (matched, exchange.path_params.iter().map(|(name, value)| format!("{name}={value}")).collect::<String>())
        };
        assert_eq!(select(Mode::All, "/a/b"), (vec![0, 1, 2, 3], "id=b".into()));
        assert_eq!(select(Mode::BestMatch, "/a/b"), (vec![0, 3], "id=b".into()));
        assert_eq!(select(Mode::BestMatch, "/a/x"), (vec![0, 2], "id=x".into()));
        assert_eq!(select(Mode::BestMatch, "/z"), (vec![0, 1], String::new()));
        let strict = Chain::new(vec![flow(Scope::Api, "/only")], choice(Mode::All, true));
        let refusal = strict.select(&mut exchange("/other"), &Facing::default(), &mut Vec::new()).unwrap_err();
        assert_eq!((refusal.status, &*refusal.key), (StatusCode::NOT_FOUND, "GATEWAY_NO_FLOW"));

        // A flow whose condition does not hold does not match, and is no best match either.
        let under = |text| Template::condition(text, &Vocabulary::request()).unwrap();
        let mut flows = flows();
        flows[3].condition = Some(under("{#request.headers['x-tier'][0] == 'silver'}"));
        flows[2].condition = Some(under("{#request.headers['x-tier'][0] == 'gold'}"));
        let mut matched = Vec::new();
        Chain::new(flows, choice(Mode::BestMatch, false))
            .select(&mut exchange("/a/b"), &Facing::default(), &mut matched)
            .unwrap();
        assert_eq!(matched, [0, 2]);

        // It sees the parameters of the path.
        let mut named = flow(Scope::Api, "/a/:id");
        named.condition = Some(under("{#request.pathParams['id'] != '0'}"));
        let chain = Chain::new(vec![named], Choice::default());
        for (rest, wanted) in [("/a/7", &[0][..]), ("/a/0", &[]), ("/b/7", &[])] {
            matched.clear();
            chain.select(&mut exchange(rest), &Facing::default(), &mut matched).unwrap();
            assert_eq!(matched, wanted, "{rest}");
        }
    }

    #[test]
    fn flows_of_the_platform_are_chosen_by_themselves() {
        let platforms = |choice| Chain::new(vec![flow(Scope::Platform, "/"), flow(Scope::Platform, "/a")], choice);
        let select = |own, platform, rest: &str| {
            let (mut matched, mut exchange) = (Vec::new(), exchange(rest));
            let platform = platforms(platform);
            let chain = Chain::behind(&platform, vec![flow(Scope::Api, "/a/b")], own);
            let outcome = platform
                .select(&mut exchange, &Facing::default(), &mut matched)
                .and_then(|()| chain.select(&mut exchange, &Facing::default(), &mut matched));
            outcome.map(|()| matched).map_err(|reply| reply.key.to_string())
        };
        let (all, best) = (choice(Mode::All, false), choice(Mode::BestMatch, false));
        assert_eq!(select(all, all, "/a/b"), Ok(vec![0, 1, 2]));
        assert_eq!(select(all, best, "/a/b"), Ok(vec![1, 2]));
        assert_eq!(select(best, all, "/a/b"), Ok(vec![0, 1, 2]));
        assert_eq!(select(best, best, "/z"), Ok(vec![0]));
        // One of the platform is no match for an API that requires one, nor the other way round.
        assert_eq!(select(choice(Mode::All, true), all, "/a"), Err("GATEWAY_NO_FLOW".into()));
        assert_eq!(select(all, choice(Mode::All, true), "/a"), Ok(vec![0, 1]));
        let strict = Chain::new(vec![flow(Scope::Platform, "/z")], choice(Mode::All, true));
        assert!(strict.select(&mut exchange("/a"), &Facing::default(), &mut Vec::new()).is_err());
    }

    #[test]
    fn what_the_platform_has_done_is_not_done_again_and_comes_last_on_the_way_back() {
        struct Nothing;
        impl Policy for Nothing {
            fn phases(&self) -> ringway_contract::Phases {
                ringway_contract::Phases::default()
            }
        }
        let with_steps = |scope, path| {
            let step = || {
                let policy = Rc::new(Nothing);
                Step { scope, policy, condition: None, message_condition: None, content: false }
            };
            Flow { request: Box::new([step()]), response: Box::new([step()]), ..flow(scope, path) }
        };
        let platform = Chain::new(vec![with_steps(Scope::Platform, "/:name")], Choice::default());
        let own = vec![with_steps(Scope::Plan, "/"), with_steps(Scope::Api, "/:id")];
        let chain = Chain::behind(&platform, own, Choice::default());
        let (mut matched, mut exchange) = (Vec::new(), exchange("/7"));
        platform.select(&mut exchange, &Facing::default(), &mut matched).unwrap();
        chain.select(&mut exchange, &Facing::default(), &mut matched).unwrap();
        let scopes = |steps: &mut dyn Iterator<Item = &Step>| steps.map(|step| step.scope).collect::<Vec<_>>();
        assert_eq!(scopes(&mut platform.request(&matched)), [Scope::Platform]);
        assert_eq!(scopes(&mut chain.request(&matched)), [Scope::Plan, Scope::Api]);
        assert_eq!(scopes(&mut chain.response(&matched)), [Scope::Api, Scope::Plan, Scope::Platform]);
        // Whoever is refused by a guard has passed the platform's only.
        assert_eq!(scopes(&mut platform.response(&matched)), [Scope::Platform]);
        let names: Vec<_> = exchange.path_params.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["id", "name"]);
    }
}
