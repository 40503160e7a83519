//! One exchange's way through the cache: what it may be answered, and what is kept of what it is answered.

use std::cell::{Cell, RefCell};
use std::hash::Hash;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use ringway_contract::subscriber::now_ms as unix_ms;
use ringway_contract::{After, Around, Exchange, Fault, Framing, Known, Reply, RequestHead, ResponseHead, Step, Tap};

use super::flight::{Flight, Lead, Part};
use super::rules::{self, Directives};
use super::store::{FLIGHT_MS, Value};
use super::stored::Stored;
use super::{BODY_BYTES_MAX, CachedMethod, Scope, Shared};
use crate::clock::now_ms;
use crate::hashed::Key;
use crate::media;

/// How long nobody waits for calls after an answer that could not be kept, or none.
const PASS_MS: u64 = 2_000;
/// How long a stale response with a validator is kept, to ask whether it is still good.
const STALE_MS: u64 = 3_600_000;
/// How often one who waits for another shard looks into the store, at first and at last.
const LOOK_MS: (u64, u64) = (2, 32);

/// One exchange at the cache.
pub(super) struct Visit {
    shared: Rc<Shared>,
    refresh: bool,
    /// Where what is answered belongs: not set, it is not kept.
    key: Cell<Option<Key>>,
    lead: RefCell<Option<Lead>>,
    /// What the backend is asked about: whether it is still good.
    doubted: RefCell<Option<Arc<Stored>>>,
    /// What was found where several gateways keep it.
    brought: RefCell<Vec<(Key, Value)>>,
}

/// What the store has for a request.
enum Found {
    Fresh(Arc<Stored>),
    /// Nothing, or nothing fresh; where it belongs, what may be asked about, and whether calls are waited for.
    Absent {
        key: Key,
        stale: Option<Arc<Stored>>,
        passes: bool,
    },
}

/// What comes next.
enum Turn {
    /// Answered, or on to the backend.
    Done,
    Refuse(Box<Reply>),
    /// Until this shard's call landed.
    Wait(Rc<Flight>),
    /// Until another shard's call landed; this one leads here meanwhile.
    Look(Lead, Key),
}

impl Visit {
    pub(super) fn new(shared: Rc<Shared>, refresh: bool) -> Self {
        Self {
            shared,
            refresh,
            key: Cell::default(),
            lead: RefCell::default(),
            doubted: RefCell::default(),
            brought: RefCell::default(),
        }
    }

    /// Whether requests like this one are answered from the cache at all.
    fn takes(&self, head: &RequestHead) -> bool {
        let no_store = self.shared.rules.by_fields && Directives::of(&head.fields).no_store;
        self.shared.rules.methods.contains(&CachedMethod::of(&head.method)) && !no_store
    }

    /// Fetches what several gateways keep of this request.
    async fn bring(&self, exchange: &Exchange) {
        let Some(remote) = &self.shared.remote else { return };
        self.brought.borrow_mut().clear();
        let Some(head) = exchange.request.as_deref().map(|request| &request.head) else { return };
        let Ok(Some(primary)) = self.primary(exchange, head) else { return };
        if self.refresh || !self.takes(head) {
            return;
        }
        let Some(value) = remote.get(primary).await else { return };
        let names = if let Value::Varies(names) = &value { Some(names.clone()) } else { None };
        self.brought.borrow_mut().push((primary, value));
        if let Some(names) = names {
            let key = self.secondary(primary, &names, head);
            if let Some(value) = remote.get(key).await {
                self.brought.borrow_mut().push((key, value));
            }
        }
    }

    /// What is there.
    fn get(&self, key: Key) -> Option<Value> {
        let brought = self.brought.borrow().iter().find(|(known, _)| *known == key).map(|(_, value)| value.clone());
        brought.or_else(|| self.shared.store.get(key))
    }

    /// The key of one of the responses of a target, by the fields of the request that they differ by.
    fn secondary(&self, primary: Key, names: &[Box<str>], head: &RequestHead) -> Key {
        let values: Vec<(&str, Vec<&[u8]>)> =
            names.iter().map(|name| (&**name, head.fields.get_all(name).collect())).collect();
        self.shared.key(&(primary, values))
    }

    /// The key of a request, by the method that its response is kept under. `None`: what the response depends on is not known.
    fn primary(&self, exchange: &Exchange, head: &RequestHead) -> Result<Option<Key>, Box<Reply>> {
        let rules = &self.shared.rules;
        let own = rules.key.as_ref().map(|key| key.render(exchange)).transpose()?;
        // Nobody but the operator knows what of a body, or of credentials, a response depends on.
        let has_content =
            head.framing.has_content() || exchange.contents.request.as_ref().is_some_and(|body| !body.is_empty());
        if own.is_none() && has_content {
            return Ok(None);
        }
        let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
        Ok(Some(self.key_of(exchange, head, method, own.as_deref())))
    }

    fn key_of(&self, exchange: &Exchange, head: &RequestHead, method: &Method, own: Option<&str>) -> Key {
        let who = match self.shared.rules.scope {
            Scope::Api => None,
            Scope::Application => Some(exchange.subscriber.as_deref().map(|known| known.application.as_str())),
        };
        // What the operator says takes the place of the query.
        let query = if own.is_none() { head.query() } else { None };
        let route = exchange.attributes.get("request.endpoint");
        let place = (&*exchange.api.id, route, head.host(), head.port(), head.path(), query);
        self.shared.key(&(place, method.as_str(), who, own))
    }

    /// What the store has under a key, with what responses differ by.
    fn find(&self, head: &RequestHead, primary: Key) -> Found {
        let asked = if self.shared.rules.by_fields { Directives::of(&head.fields) } else { Directives::default() };
        let mut key = primary;
        let mut value = self.get(primary);
        if let Some(Value::Varies(names)) = &value {
            key = self.secondary(primary, names, head);
            value = self.get(key);
        }
        let stored = match value {
            Some(Value::Response(stored)) => stored,
            other => return Found::Absent { key, stale: None, passes: matches!(other, Some(Value::Passes)) },
        };
        let age_s = stored.age_ms() / 1000;
        let left_s = stored.fresh_ms.saturating_sub(now_ms().saturating_sub(stored.came_ms)) / 1000;
        let good = stored.is_fresh()
            && asked.max_age.is_none_or(|most| age_s <= most)
            && asked.min_fresh.is_none_or(|least| left_s >= least);
        if good && !self.refresh {
            return Found::Fresh(stored);
        }
        let asks = !self.refresh && stored.field("etag").or(stored.field("last-modified")).is_some();
        Found::Absent { key, stale: asks.then_some(stored), passes: false }
    }

    /// One look into the store. `late`: nobody is waited for any more.
    fn turn(&self, exchange: &mut Exchange, late: bool) -> Turn {
        let Some(head) = exchange.request.as_deref().map(|request| &request.head) else { return Turn::Done };
        let rules = &self.shared.rules;
        let asked = if rules.by_fields { Directives::of(&head.fields) } else { Directives::default() };
        let method = CachedMethod::of(&head.method);
        if !self.takes(head) {
            return Turn::Done;
        }
        let primary = match self.primary(exchange, head) {
            Ok(Some(primary)) => primary,
            Ok(None) => return Turn::Done,
            Err(reply) => return Turn::Refuse(reply),
        };
        let pragma =
            asked == Directives::default() && rules.by_fields && head.fields.get("pragma") == Some(b"no-cache");
        let (key, stale, passes) = match self.find(head, primary) {
            Found::Fresh(stored) if !asked.no_cache && !pragma => {
                self.answer(exchange, &stored);
                return Turn::Done;
            }
            Found::Fresh(stored) => (primary, None, {
                drop(stored);
                true
            }),
            Found::Absent { key, stale, passes } => (key, stale, passes),
        };
        if asked.only_if_cached {
            let message = "The response is not in the cache, and the client takes no other.";
            return Turn::Refuse(Box::new(Reply::refusal(StatusCode::GATEWAY_TIMEOUT, "CACHE_MISS", message)));
        }
        // A HEAD fills nothing: there is no body to keep.
        if method == CachedMethod::Head {
            return Turn::Done;
        }
        self.key.set(Some(primary));
        if passes || late || self.refresh || asked.no_cache {
            return Turn::Done;
        }
        match self.shared.flights.join(key) {
            Part::Wait(flight) => Turn::Wait(flight),
            Part::Lead(mut lead) => {
                if !lead.take_off(&self.shared.store) {
                    return Turn::Look(lead, key);
                }
                *self.lead.borrow_mut() = Some(lead);
                self.doubt(exchange, stale);
                Turn::Done
            }
        }
    }

    /// Has the backend asked whether what is stale is still good, unless the client asks for itself.
    fn doubt(&self, exchange: &mut Exchange, stale: Option<Arc<Stored>>) {
        let (Some(stale), Some(request)) = (stale, exchange.request.as_deref_mut()) else { return };
        let fields = &mut request.head.fields;
        const CONDITIONS: [&str; 5] =
            ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"];
        if CONDITIONS.iter().any(|name| fields.contains(name)) {
            return;
        }
        let set = [("If-None-Match", "etag"), ("If-Modified-Since", "last-modified")]
            .iter()
            .any(|(condition, field)| stale.field(field).is_some_and(|value| fields.set(condition, value).is_ok()));
        if set {
            *self.doubted.borrow_mut() = Some(stale);
        }
    }

    fn answer(&self, exchange: &mut Exchange, stored: &Stored) {
        let Some(request) = exchange.request.as_deref() else { return };
        let mut response = self.shared.responses.take();
        let body = stored.answer(&request.head, &mut response);
        exchange.response = Some(response);
        exchange.contents.response = Some(body);
    }

    /// How long the response may be kept and be fresh, in milliseconds, and how old it is. `None`: it is not kept.
    fn lifetime(&self, exchange: &Exchange, request: &RequestHead, response: &ResponseHead) -> Option<(u64, u64)> {
        let rules = &self.shared.rules;
        let said = Directives::of(&response.fields);
        let live_s = rules.live_s;
        let explicit = rules::lifetime(response, &said, unix_ms() / 1000);
        let takes = match &rules.condition {
            Some(condition) => condition.as_bool(exchange).unwrap_or_else(|error| {
                tracing::warn!(api = exchange.api.id, %error, "`responseCondition` cannot be evaluated");
                false
            }),
            None => response.status.is_success() || (rules.by_fields && explicit.is_some()),
        };
        if !takes || !rules::is_final(response.status) && rules.condition.is_none() {
            return None;
        }
        // Whatever the configuration says: what cannot be whole, and what is one client's.
        if response.status.is_informational() || matches!(response.status.as_u16(), 206 | 304) {
            return None;
        }
        let events = response
            .fields
            .known(Known::ContentType)
            .is_some_and(|media| media::essence(media) == b"text/event-stream");
        if events
            || matches!(response.framing, Framing::UntilClose)
            || response.fields.known(Known::SetCookie).is_some()
        {
            return None;
        }
        let shareable = rules::is_shareable(&said) || rules.key.is_some();
        if request.fields.known(Known::Authorization).is_some() && !shareable {
            return None;
        }
        if !rules.by_fields {
            return Some((live_s.saturating_mul(1000), 0));
        }
        if said.no_store || said.private || said.no_cache {
            return None;
        }
        let age_s = rules::age(response);
        let fresh_s = explicit.map_or(live_s, |explicit| explicit.saturating_sub(age_s).min(live_s));
        (fresh_s > 0 || response.fields.known(Known::Etag).is_some())
            .then_some((fresh_s.saturating_mul(1000), age_s.saturating_mul(1000)))
    }

    /// Looks at what the backend answered.
    fn keep(&self, exchange: &mut Exchange, primary: Key, lead: Option<Lead>, doubted: Option<Arc<Stored>>) -> Kept {
        let (Some(request), Some(response)) = (exchange.request.as_deref(), exchange.response.as_deref()) else {
            return Kept::Not;
        };
        if let Some(stale) = doubted.filter(|_| response.status == StatusCode::NOT_MODIFIED) {
            let said = Directives::of(&response.fields);
            let explicit = rules::lifetime(response, &said, unix_ms() / 1000).unwrap_or(self.shared.rules.live_s);
            let fresh_ms = explicit.min(self.shared.rules.live_s).saturating_mul(1000);
            let renewed = Arc::new(stale.renewed(response, rules::age(response) * 1000, fresh_ms));
            // It stays where it was: a 304 need not say what the response varies by.
            let names: Arc<[Box<str>]> = match self.get(primary) {
                Some(Value::Varies(names)) => names,
                _ => Arc::default(),
            };
            let key = if names.is_empty() { primary } else { self.secondary(primary, &names, &request.head) };
            if !said.no_store && !said.private {
                let value = Value::Response(renewed.clone());
                self.shared.keep(vec![(key, value)], fresh_ms.saturating_add(STALE_MS), lead);
            }
            return Kept::Renewed(renewed);
        }
        let Some(names) = rules::vary(response) else { return Kept::Not };
        let key = if names.is_empty() { primary } else { self.secondary(primary, &names, &request.head) };
        let Some((fresh_ms, age_ms)) = self.lifetime(exchange, &request.head, response) else { return Kept::Not };
        let expected = match response.framing {
            Framing::Length(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
            _ => 0,
        };
        if expected > BODY_BYTES_MAX {
            return Kept::Not;
        }
        let stored = Stored::head(response, age_ms, fresh_ms);
        let asks = stored.field("etag").or(stored.field("last-modified")).is_some();
        let for_ms = if asks { fresh_ms.saturating_add(STALE_MS) } else { fresh_ms };
        exchange.tapped.set(Box::new(Recorder {
            shared: self.shared.clone(),
            primary,
            key,
            names: names.into(),
            for_ms,
            stored,
            body: BytesMut::new(),
            whole: true,
            lead,
        }));
        Kept::OnItsWay
    }

    /// A request that changes something makes what is kept of its target doubtful (RFC 9111 section 4.4).
    fn invalidate(&self, exchange: &Exchange) {
        let (Some(request), Some(response)) = (exchange.request.as_deref(), exchange.response.as_deref()) else {
            return;
        };
        let head = &request.head;
        let changed = response.status.is_success() || response.status.is_redirection();
        if !changed || head.method.is_safe() || self.shared.rules.key.is_some() {
            return;
        }
        self.shared.remove(self.key_of(exchange, head, &Method::GET, None));
    }
}

enum Kept {
    /// It is not kept.
    Not,
    /// As soon as it is whole.
    OnItsWay,
    /// What was kept is still good, and is the answer.
    Renewed(Arc<Stored>),
}

impl Around for Visit {
    fn before<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let mut first = None;
        if self.shared.remote.is_none() {
            match self.turn(exchange, false) {
                Turn::Done => return Step::Next,
                Turn::Refuse(reply) => return Step::Reply(reply),
                turn @ (Turn::Wait(_) | Turn::Look(..)) => first = Some(turn),
            }
        }
        Step::Wait(Box::pin(async move {
            let began_ms = now_ms();
            let mut turn = match first {
                Some(turn) => turn,
                None => {
                    self.bring(exchange).await;
                    self.turn(exchange, false)
                }
            };
            loop {
                let waited_ms = now_ms().saturating_sub(began_ms);
                match turn {
                    Turn::Done => return Step::Next,
                    Turn::Refuse(reply) => return Step::Reply(reply),
                    Turn::Wait(flight) => {
                        let left_ms = FLIGHT_MS.saturating_sub(waited_ms);
                        flight.landed((self.shared.sleep)(Duration::from_millis(left_ms))).await;
                    }
                    Turn::Look(lead, key) => {
                        let (mut pause_ms, most_ms) = LOOK_MS;
                        while now_ms().saturating_sub(began_ms) < FLIGHT_MS && self.shared.store.is_under_way(key) {
                            (self.shared.sleep)(Duration::from_millis(pause_ms)).await;
                            pause_ms = (pause_ms * 2).min(most_ms);
                        }
                        drop(lead);
                    }
                }
                let late = now_ms().saturating_sub(began_ms) >= FLIGHT_MS;
                self.bring(exchange).await;
                turn = self.turn(exchange, late);
            }
        }))
    }

    fn after(&self, exchange: &mut Exchange, fault: Option<Fault>) -> After {
        // What the backend was asked is asked again when the call is made again.
        let (lead, doubted) = (self.lead.take(), self.doubted.borrow().clone());
        let Some(primary) = self.key.get() else {
            if self.shared.rules.by_fields && fault.is_none() {
                self.invalidate(exchange);
            }
            return After::Next;
        };
        let waited_for = lead.as_ref().map(Lead::key);
        let kept = if fault.is_some() { Kept::Not } else { self.keep(exchange, primary, lead, doubted) };
        match kept {
            Kept::OnItsWay => {}
            Kept::Renewed(stored) => {
                if let Some(mut response) = exchange.response.take() {
                    response.clear();
                    self.shared.responses.put(response);
                }
                self.answer(exchange, &stored);
            }
            // Whoever waits goes on at once, and does not wait again for what will not be kept.
            Kept::Not => {
                if let Some(key) = waited_for {
                    self.shared.store.put(key, Value::Passes, PASS_MS);
                }
            }
        }
        After::Next
    }
}

impl Shared {
    /// A key that everybody knows who shares the responses.
    fn key(&self, parts: &impl Hash) -> Key {
        if self.remote.is_some() { Key::everywhere(parts) } else { Key::of(parts) }
    }

    /// Keeps values for so long. The call is over when they are there.
    fn keep(&self, values: Vec<(Key, Value)>, for_ms: u64, lead: Option<Lead>) {
        match &self.remote {
            Some(remote) => remote.put(values, for_ms, lead),
            None => values.into_iter().for_each(|(key, value)| self.store.put(key, value, for_ms)),
        }
    }

    /// Forgets what is there.
    fn remove(&self, key: Key) {
        match &self.remote {
            Some(remote) => remote.remove(key),
            None => self.store.remove(key),
        }
    }
}

/// Keeps a response as soon as its body is whole.
struct Recorder {
    shared: Rc<Shared>,
    primary: Key,
    key: Key,
    names: Arc<[Box<str>]>,
    for_ms: u64,
    stored: Stored,
    body: BytesMut,
    whole: bool,
    lead: Option<Lead>,
}

impl Tap for Recorder {
    fn data(&mut self, piece: &[u8]) {
        if !self.whole {
            return;
        }
        if self.body.len() + piece.len() > BODY_BYTES_MAX || !self.shared.store.reserve(piece.len()) {
            self.whole = false;
            self.shared.store.release(self.body.len());
            self.body = BytesMut::new();
            if let Some(lead) = self.lead.take() {
                self.shared.store.put(lead.key(), Value::Passes, PASS_MS);
            }
            return;
        }
        self.body.extend_from_slice(piece);
    }

    fn end(mut self: Box<Self>) {
        if self.whole {
            let mut stored = std::mem::take(&mut self.stored);
            // A copy of exactly its length: what is kept for long wastes nothing.
            stored.body = Bytes::copy_from_slice(&self.body);
            let mut values = Vec::with_capacity(2);
            if !self.names.is_empty() {
                values.push((self.primary, Value::Varies(self.names.clone())));
            }
            values.push((self.key, Value::Response(Arc::new(stored))));
            self.shared.keep(values, self.for_ms, self.lead.take());
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.store.release(self.body.len());
    }
}
