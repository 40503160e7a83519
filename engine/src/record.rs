//! `analytics.logging`: requests and responses themselves, at both sides of the gateway, one JSON object for each exchange. It is written where
//! the access log is.
//!
//! ```text
//!   client ── entrypointRequest ──▶ policies ── endpointRequest ──▶ endpoint
//!   client ◀─ entrypointResponse ── policies ◀─ endpointResponse ── endpoint
//! ```
//!
//! An API without it pays a look at an empty option.

use std::borrow::Cow;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use ringway_config::api::Api;
use ringway_contract::context::{Body, Context, Field, Map};
use ringway_contract::recording::{Mask, Noted, Recording, Seen};
use ringway_contract::{Exchange, Reply, Template, Value, Vocabulary};
use ringway_wire::{Fields, Known, RequestHead};

use crate::call::Served;
use crate::local::Local;

/// The query parameter whose value never is (RFC 6750 section 2.3).
const TOKEN: &str = "access_token";
/// What stands in the place of what is never written down.
const HIDDEN: &str = "*****";

/// What an API asks to be written down.
pub struct Logging {
    entrypoint: bool,
    endpoint: bool,
    request: bool,
    response: bool,
    headers: bool,
    payload: bool,
    condition: Option<Template>,
}

impl Logging {
    /// That of an API; `None`: nothing.
    ///
    /// # Errors
    /// The condition is none.
    pub fn of(api: &Api) -> Result<Option<Self>, String> {
        let Some(said) = api.analytics.logging.as_ref().filter(|_| api.analytics.enabled) else { return Ok(None) };
        let condition = said.condition.as_deref().filter(|text| !text.trim().is_empty());
        let condition = condition.map(|text| Template::condition(text, &Vocabulary::response())).transpose();
        let logging = Self {
            entrypoint: said.mode.entrypoint,
            endpoint: said.mode.endpoint,
            request: said.phase.request,
            response: said.phase.response,
            headers: said.content.headers,
            payload: said.content.payload,
            condition: condition.map_err(|problem| format!("analytics.logging.condition: {problem}"))?,
        };
        let asks = (logging.entrypoint || logging.endpoint) && (logging.request || logging.response);
        Ok(asks.then_some(logging))
    }

    fn seen(&self, line: String, fields: &Fields) -> Seen {
        Seen { line, fields: if self.headers { noted(fields) } else { Vec::new() }, body: None }
    }

    fn noted(&self, content: &[u8]) -> Option<Rc<Noted>> {
        self.payload.then(|| Noted::of(content))
    }

    /// The request as the client sent it, once a plan has let it in: what it showed for that is gone by then, if it is not to be passed on.
    pub fn admitted(&self, exchange: &mut Exchange) {
        let mut recording = Box::<Recording>::default();
        if let Some(request) = exchange.request.as_deref().filter(|_| self.entrypoint && self.request) {
            recording.entrypoint_request = Some(self.seen(line(&request.head), &request.head.fields));
        }
        exchange.recording = Some(recording);
    }

    /// The body of a request that is held.
    pub fn held(&self, exchange: &mut Exchange) {
        let noted = exchange.contents.request.as_ref().and_then(|content| self.noted(content));
        if let Some(seen) = exchange.recording.as_deref_mut().and_then(|known| known.entrypoint_request.as_mut()) {
            seen.body = noted;
        }
    }

    /// The request as it is about to go to the endpoint.
    pub fn calling(&self, exchange: &mut Exchange) {
        let (Some(recording), Some(request)) = (exchange.recording.as_deref_mut(), exchange.request.as_deref()) else {
            return;
        };
        if !self.request {
            return;
        }
        let own = self.endpoint.then(|| self.seen(line(&request.head), &request.head.fields));
        recording.endpoint_request = own;
        if !self.payload {
            return;
        }
        let body = match &exchange.contents.request {
            Some(content) => Noted::of(content),
            None => {
                // Nothing changes a body that is not held: both sides see the same one.
                let streamed = Rc::<Noted>::default();
                exchange.request_tapped.note(&streamed);
                if let Some(seen) = recording.entrypoint_request.as_mut() {
                    seen.body = Some(streamed.clone());
                }
                streamed
            }
        };
        if let Some(seen) = recording.endpoint_request.as_mut() {
            seen.body = Some(body);
        }
    }

    /// The response as the endpoint sent it; its body comes later.
    pub fn answered(&self, exchange: &mut Exchange) {
        let (Some(recording), Some(response)) = (exchange.recording.as_deref_mut(), exchange.response.as_deref())
        else {
            return;
        };
        if !self.response {
            return;
        }
        let mut seen = self.seen(response.status.as_str().to_owned(), &response.fields);
        if self.payload {
            let streamed = Rc::<Noted>::default();
            exchange.tapped.note(&streamed);
            seen.body = Some(streamed);
        }
        recording.endpoint_response = Some(seen);
    }

    /// The response as the client gets it; `held`: with this body, and not with that of the endpoint.
    pub fn returning(&self, exchange: &mut Exchange, held: Option<&[u8]>) {
        let (Some(recording), Some(response)) = (exchange.recording.as_deref_mut(), exchange.response.as_deref())
        else {
            return;
        };
        if !self.entrypoint || !self.response {
            return;
        }
        let mut seen = self.seen(response.status.as_str().to_owned(), &response.fields);
        seen.body = match held {
            Some(content) => self.noted(content),
            None => recording.endpoint_response.as_ref().and_then(|seen| seen.body.clone()),
        };
        recording.entrypoint_response = Some(seen);
    }

    /// An answer of the gateway's own.
    pub fn refused(&self, exchange: &mut Exchange, reply: &Reply) {
        let recording = exchange.recording.get_or_insert_default();
        recording.key = reply.key.clone().into_owned();
        if let Some(request) = exchange.request.as_deref().filter(|_| self.entrypoint && self.request) {
            // Who was not let in has shown something that nobody took out.
            let seen = || Seen { line: format!("{} {}", request.head.method, request.head.path()), ..Seen::default() };
            recording.entrypoint_request.get_or_insert_with(seen);
        }
        if !self.entrypoint || !self.response {
            return;
        }
        let shown = |(name, value): &(Cow<'static, str>, bytes::Bytes)| {
            (name.to_ascii_lowercase(), String::from_utf8_lossy(value).into_owned())
        };
        recording.entrypoint_response = Some(Seen {
            line: reply.status.as_str().to_owned(),
            fields: if self.headers { reply.headers.iter().map(shown).collect() } else { Vec::new() },
            body: reply.body.as_ref().and_then(|body| self.noted(body)),
        });
    }

    /// Writes down what was seen, if the condition holds.
    pub fn finish(&self, local: &Local, exchange: &mut Exchange, served: &Served, took: Duration) {
        let Some(mut recording) = exchange.recording.take() else { return };
        let wanted = self.condition.as_ref().is_none_or(|condition| {
            let holds = condition.as_bool(&Judged { exchange, status: served.status.as_u16() });
            holds.unwrap_or_else(|error| {
                tracing::warn!(api = exchange.api.id, %error, "`analytics.logging.condition` cannot be evaluated");
                false
            })
        });
        if !wanted {
            return;
        }
        if !self.endpoint {
            // It was noted for the sake of its body.
            recording.endpoint_response = None;
        }
        let mut out = String::with_capacity(1024);
        let _ = write!(out, "{{\"time\":{},\"record\":\"exchange\"", local.shard.unix_ms());
        let application = exchange.subscriber.as_deref().map_or("", |subscriber| subscriber.application.as_str());
        for (name, value) in
            [("api", &*exchange.api.id), ("plan", exchange.plan.name.as_str()), ("application", application)]
        {
            member(&mut out, name, value);
        }
        let key = served.fault.map_or(&*recording.key, |fault| fault.cause.key());
        if !key.is_empty() {
            member(&mut out, "errorKey", key);
        }
        let _ = write!(out, ",\"status\":{},\"durationUs\":{}", served.status.as_u16(), took.as_micros());
        let Recording { is_masked, request_masks, response_masks, .. } = &*recording;
        for (name, seen, masks) in [
            ("entrypointRequest", &recording.entrypoint_request, request_masks),
            ("endpointRequest", &recording.endpoint_request, request_masks),
            ("endpointResponse", &recording.endpoint_response, response_masks),
            ("entrypointResponse", &recording.entrypoint_response, response_masks),
        ] {
            if let Some(seen) = seen {
                show(&mut out, name, seen, is_masked.then_some(masks));
            }
        }
        out.push_str("}\n");
        local.access_log.record(&out);
    }
}

/// An exchange at its end, when the response may be the gateway's own, or gone.
struct Judged<'a> {
    exchange: &'a Exchange,
    status: u16,
}

impl Context for Judged<'_> {
    fn field(&self, field: Field) -> Value<'_> {
        match field {
            Field::ResponseStatus => Value::Int(i64::from(self.status)),
            other => self.exchange.field(other),
        }
    }

    fn entry(&self, map: Map, name: &str, index: usize) -> Value<'_> {
        self.exchange.entry(map, name, index)
    }

    fn names(&self, map: Map, each: &mut dyn FnMut(&str)) {
        self.exchange.names(map, each);
    }

    fn body(&self, body: Body) -> Option<&[u8]> {
        self.exchange.body(body)
    }

    fn dictionary(&self, id: &str, key: &str) -> Value<'_> {
        self.exchange.dictionary(id, key)
    }

    fn now_ms(&self) -> Option<u64> {
        self.exchange.now_ms()
    }

    fn random(&self) -> Option<u128> {
        self.exchange.random()
    }
}

/// Method and target, without a token in its query.
fn line(head: &RequestHead) -> String {
    let mut line = format!("{} {}", head.method, head.path());
    for (at, pair) in head.query().into_iter().flat_map(|query| query.split('&')).enumerate() {
        line.push(if at == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if name == TOKEN => {
                let _ = write!(line, "{name}={HIDDEN}");
            }
            _ => line.push_str(pair),
        }
    }
    line
}

fn noted(fields: &Fields) -> Vec<(String, String)> {
    let shown = |(name, value): (&[u8], &[u8])| {
        let secret = Known::of(name).is_some_and(|known| known == Known::SetCookie || known.is_credential());
        let value = if secret { HIDDEN.into() } else { String::from_utf8_lossy(value) };
        (String::from_utf8_lossy(name).to_ascii_lowercase(), value.into_owned())
    };
    fields.iter().map(shown).collect()
}

/// A request or a response as a member of the record. Without `masks` it is not known what is to be hidden: then it is its line alone.
fn show(out: &mut String, name: &str, seen: &Seen, masks: Option<&Vec<Rc<dyn Mask>>>) {
    let _ = write!(out, ",\"{name}\":{{");
    match seen.line.split_once(' ') {
        Some((method, uri)) => {
            text(out, "method");
            out.push(':');
            text(out, method);
            member(out, "uri", uri);
        }
        None => {
            let _ = write!(out, "\"status\":{}", seen.line);
        }
    }
    let Some(masks) = masks else { return out.push('}') };
    if !seen.fields.is_empty() {
        out.push_str(",\"headers\":[");
        for (at, (name, value)) in seen.fields.iter().enumerate() {
            let mut value = value.clone();
            masks.iter().for_each(|mask| mask.field(name, &mut value));
            out.push_str(if at == 0 { "[" } else { ",[" });
            text(out, name);
            out.push(',');
            text(out, &value);
            out.push(']');
        }
        out.push(']');
    }
    if let Some(body) = seen.body.as_ref().filter(|body| body.total() > 0) {
        let _ = write!(out, ",\"bodyBytes\":{}", body.total());
        if let Some(mut shown) = body.text() {
            masks.iter().for_each(|mask| mask.body(&mut shown, body.is_whole()));
            member(out, "body", &shown);
        }
    }
    out.push('}');
}

fn member(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, ",\"{name}\":");
    text(out, value);
}

/// A JSON string: a client cannot forge a line.
fn text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            '\n' => out.push_str("\\n"),
            // U+2028 and U+2029 end a line to some readers.
            '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_be_forged() {
        let mut out = String::new();
        text(&mut out, "a\"}\n{\\\u{2028}\u{0}ü");
        assert_eq!(out, "\"a\\\"}\\n{\\\\\\u2028\\u0000ü\"");
    }

    #[test]
    fn credentials_are_hidden() {
        let mut fields = Fields::new();
        for name in ["Authorization", "cookie", "Set-Cookie", "X-Gravitee-Api-Key", "X-Api-Key"] {
            fields.append(name, "secret").unwrap();
        }
        fields.append("X-Other", "shown").unwrap();
        let shown = noted(&fields);
        assert!(shown.iter().take(5).all(|(_, value)| value == HIDDEN), "{shown:?}");
        assert_eq!(shown.last(), Some(&("x-other".to_owned(), "shown".to_owned())));
        let mut head = RequestHead::new();
        head.set_path("/a", &ringway_wire::UriOptions::default()).unwrap();
        head.set_query(Some("x=1&access_token=secret&y")).unwrap();
        assert!(line(&head).ends_with("/a?x=1&access_token=*****&y"), "{}", line(&head));
    }
}
