//! The policies that an exchange passes, compiled once per shard and plan.
//!
//! A flow is matched once, on the request; what matched holds for the response too. Flows of the plan come before those of the API on
//! the way to the endpoint, and after them on the way back. What has no policy is not in the chain at all.

use std::rc::Rc;

use ringway_config::api::{Method, PathOperator};
use ringway_contract::{Exchange, Policy, Reply, Step as Next};
use ringway_wire::RequestHead;

/// Whose flow it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The plan's.
    Plan,
    /// The API's.
    Api,
}

/// A compiled flow.
pub struct Flow {
    /// Whose it is.
    pub scope: Scope,
    /// What it matches.
    pub selector: Selector,
    /// Steps on the way to the endpoint.
    pub request: Box<[Step]>,
    /// Steps on the way back.
    pub response: Box<[Step]>,
}

/// A policy at its place.
pub struct Step {
    /// The policy.
    pub policy: Rc<dyn Policy>,
    /// Whether it, or its condition, needs the body.
    pub content: bool,
}

impl Step {
    /// On the way to the endpoint; `Some` is the answer that ends the exchange.
    pub async fn request(&self, exchange: &mut Exchange) -> Option<Box<Reply>> {
        settle(self.policy.request(exchange)).await
    }

    /// On the way back.
    pub async fn response(&self, exchange: &mut Exchange) -> Option<Box<Reply>> {
        settle(self.policy.response(exchange)).await
    }
}

/// An HTTP selector: a path pattern relative to the context path, and methods.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    segments: Box<[Segment]>,
    exact: bool,
    /// Empty: any method.
    methods: Box<[Method]>,
}

#[derive(Clone, Debug)]
enum Segment {
    Literal(Box<str>),
    Parameter,
}

impl Selector {
    /// Compiles a path pattern such as `/orders/:id`.
    pub fn new(path: &str, operator: PathOperator, methods: &[Method]) -> Self {
        let segments = segments(path)
            .map(|segment| if segment.starts_with(':') { Segment::Parameter } else { Segment::Literal(segment.into()) })
            .collect();
        Self { segments, exact: operator == PathOperator::Equals, methods: methods.into() }
    }

    /// Whether it takes every request.
    pub fn is_any(&self) -> bool {
        self.segments.is_empty() && !self.exact && self.methods.is_empty()
    }

    /// Whether it takes a request with `rest` behind the context path.
    pub fn matches(&self, head: &RequestHead, rest: &str) -> bool {
        if !self.methods.is_empty() && !self.takes(&head.method) {
            return false;
        }
        let mut present = segments(rest);
        let all = self.segments.iter().all(|wanted| match (wanted, present.next()) {
            (Segment::Literal(literal), Some(segment)) => **literal == *segment,
            (Segment::Parameter, Some(_)) => true,
            (_, None) => false,
        });
        all && (!self.exact || present.next().is_none())
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

/// The chain of one plan.
#[derive(Default)]
pub struct Chain {
    flows: Box<[Flow]>,
    mode: Mode,
    match_required: bool,
}

/// No flow matched, and the definition asks for one (`flowExecution.matchRequired`).
#[derive(Debug, PartialEq, Eq)]
pub struct NoMatch;

impl Chain {
    /// A chain; `flows` are in the order of the request.
    pub fn new(flows: Vec<Flow>, mode: Mode, match_required: bool) -> Self {
        Self { flows: flows.into(), mode, match_required }
    }

    /// Whether the chain has nothing to do.
    pub fn is_idle(&self) -> bool {
        self.flows.is_empty() && !self.match_required
    }

    /// Writes the indices of the flows that the request takes to `matched`.
    ///
    /// # Errors
    /// [`NoMatch`] when a match is required and there is none.
    pub fn select(&self, head: &RequestHead, rest: &str, matched: &mut Vec<u16>) -> Result<(), NoMatch> {
        matched.clear();
        let takes = |flow: &Flow| flow.selector.is_any() || flow.selector.matches(head, rest);
        match self.mode {
            Mode::All => {
                let hits = self.flows.iter().enumerate().filter(|(_, flow)| takes(flow));
                matched.extend(hits.map(|(index, _)| index as u16));
            }
            Mode::BestMatch => {
                for scope in [Scope::Plan, Scope::Api] {
                    let hits = self.flows.iter().enumerate().filter(|(_, flow)| flow.scope == scope && takes(flow));
                    // The first of equals wins, as in the order of the definition: `max_by_key` alone would take the last.
                    matched
                        .extend(hits.rev().max_by_key(|(_, flow)| flow.selector.specificity()).map(|(i, _)| i as u16));
                }
            }
        }
        if matched.is_empty() && self.match_required { Err(NoMatch) } else { Ok(()) }
    }

    /// The steps on the way to the endpoint, in order.
    pub fn request<'a>(&'a self, matched: &'a [u16]) -> impl Iterator<Item = &'a Step> {
        self.taken(matched).flat_map(|flow| flow.request.iter())
    }

    /// The steps on the way back, in order.
    pub fn response<'a>(&'a self, matched: &'a [u16]) -> impl Iterator<Item = &'a Step> {
        let of = move |scope| self.taken(matched).filter(move |flow| flow.scope == scope);
        [Scope::Api, Scope::Plan].into_iter().flat_map(of).flat_map(|flow| flow.response.iter())
    }

    fn taken<'a>(&'a self, matched: &'a [u16]) -> impl Iterator<Item = &'a Flow> {
        matched.iter().filter_map(|index| self.flows.get(usize::from(*index)))
    }
}

async fn settle(mut step: Next<'_>) -> Option<Box<Reply>> {
    loop {
        step = match step {
            Next::Next => return None,
            Next::Reply(reply) => return Some(reply),
            Next::Wait(future) => future.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(pattern: &str, operator: PathOperator, methods: &[Method], method: http::Method, rest: &str) -> bool {
        let mut head = RequestHead::default();
        head.method = method;
        Selector::new(pattern, operator, methods).matches(&head, rest)
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
        let flow = |scope, path| Flow {
            scope,
            selector: Selector::new(path, PathOperator::StartsWith, &[]),
            request: Box::default(),
            response: Box::default(),
        };
        let flows = || {
            vec![flow(Scope::Plan, "/"), flow(Scope::Api, "/"), flow(Scope::Api, "/a/:id"), flow(Scope::Api, "/a/b")]
        };
        let select = |mode, rest| {
            let mut matched = Vec::new();
            Chain::new(flows(), mode, false).select(&RequestHead::default(), rest, &mut matched).map(|()| matched)
        };
        assert_eq!(select(Mode::All, "/a/b"), Ok(vec![0, 1, 2, 3]));
        assert_eq!(select(Mode::BestMatch, "/a/b"), Ok(vec![0, 3]));
        assert_eq!(select(Mode::BestMatch, "/a/x"), Ok(vec![0, 2]));
        assert_eq!(select(Mode::BestMatch, "/z"), Ok(vec![0, 1]));
        let strict = Chain::new(vec![flow(Scope::Api, "/only")], Mode::All, true);
        assert_eq!(strict.select(&RequestHead::default(), "/other", &mut Vec::new()), Err(NoMatch));
    }
}
