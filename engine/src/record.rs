//! `analytics.logging`: requests and responses themselves, at both sides of the gateway, one JSON object for each exchange. It is written where
//! the access log is.
//!
//! ```text
//!   client ── entrypointRequest ──▶ policies ── endpointRequest ──▶ endpoint
//!   client ◀─ entrypointResponse ── policies ◀─ endpointResponse ── endpoint
//! ```
//!
//! An API without it pays a look at an empty option.

use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use ringway_config::Hidden;
use ringway_config::api::{ApiType, Sampling};
use ringway_contract::recording::{Mask, Noted, Recording, Seen};
use ringway_contract::{Exchange, Template, Vocabulary};
use ringway_wire::{Fields, RequestHead};

use crate::call::Served;
use crate::ended::Ended;
use crate::local::Local;
use crate::messages::scribe::Messages;
use crate::report::Answer;
use crate::secrets::{HIDDEN, Secrets};
use crate::shared::ApiShared;

/// What an API asks to be written down.
pub struct Logging {
    /// What the client sees.
    pub entrypoint: bool,
    /// What the endpoint sees.
    pub endpoint: bool,
    /// To the endpoint.
    pub request: bool,
    /// Back.
    pub response: bool,
    headers: bool,
    payload: bool,
    /// Of which requests.
    pub condition: Option<Template>,
    /// What never is.
    pub secrets: Rc<Secrets>,
    /// What never is, wherever it comes from.
    pub hidden: Hidden,
    /// What of their messages.
    pub messages: Option<Messages>,
}

impl Logging {
    /// That of an API whose callers show who they are by `secrets`; `None`: nothing.
    ///
    /// # Errors
    /// The condition is none.
    pub fn of(shared: &ApiShared, secrets: &Rc<Secrets>) -> Result<Option<Self>, String> {
        let api = &*shared.api;
        let Some(said) = api.analytics.logging.as_ref().filter(|_| api.analytics.enabled) else { return Ok(None) };
        let compiled = |field: &str, text: &Option<String>, vocabulary: Vocabulary| {
            let text = text.as_deref().filter(|text| !text.trim().is_empty());
            let condition = text.map(|text| Template::condition(text, &vocabulary)).transpose();
            condition.map_err(|problem| format!("analytics.logging.{field}: {problem}"))
        };
        let messages = match api.kind {
            ApiType::Message => {
                let condition = compiled("messageCondition", &said.message_condition, Vocabulary::message())?;
                let rule = api.analytics.sampling.as_ref().map(Sampling::rule).transpose();
                let rule = rule.map_err(|problem| format!("analytics.sampling: {problem}"))?.unwrap_or_default();
                Messages::new(said.content, condition, rule, &shared.sampled)
            }
            _ => None,
        };
        let logging = Self {
            entrypoint: said.mode.entrypoint,
            endpoint: said.mode.endpoint,
            request: said.phase.request,
            response: said.phase.response,
            headers: said.content.headers,
            payload: said.content.payload,
            condition: compiled("condition", &said.condition, Vocabulary::response())?,
            secrets: secrets.clone(),
            hidden: api.hidden.clone(),
            messages,
        };
        let asks = (logging.entrypoint || logging.endpoint) && (logging.request || logging.response);
        Ok(asks.then_some(logging))
    }

    fn seen(&self, line: String, fields: &Fields) -> Seen {
        Seen { line, fields: if self.headers { self.shown(fields) } else { Vec::new() }, body: None }
    }

    /// Method and target, without what shows who is calling.
    fn line(&self, head: &RequestHead) -> String {
        let mut line = format!("{} {}", head.method, head.path());
        if let Some(query) = head.query() {
            let _ = self.secrets.write_target(&format!("?{query}"), &mut line);
        }
        line
    }

    fn shown(&self, fields: &Fields) -> Vec<(String, String)> {
        let shown = |(name, value): (&[u8], &[u8])| {
            let value = if self.secrets.hides(name) { HIDDEN.into() } else { String::from_utf8_lossy(value) };
            (String::from_utf8_lossy(name).to_ascii_lowercase(), value.into_owned())
        };
        fields.iter().map(shown).collect()
    }

    fn noted(&self, content: &[u8]) -> Option<Rc<Noted>> {
        self.payload.then(|| Noted::of(content))
    }

    /// The request as the client sent it.
    pub fn began(&self, exchange: &mut Exchange) {
        let mut recording = Box::<Recording>::default();
        if let Some(request) = exchange.request.as_deref().filter(|_| self.entrypoint && self.request) {
            recording.entrypoint_request = Some(self.seen(self.line(&request.head), &request.head.fields));
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
        let own = self.endpoint.then(|| self.seen(self.line(&request.head), &request.head.fields));
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
    pub fn refused(&self, exchange: &mut Exchange, key: &str, answer: &Answer) {
        let recording = exchange.recording.get_or_insert_default();
        key.clone_into(&mut recording.key);
        if let Some(request) = exchange.request.as_deref().filter(|_| self.entrypoint && self.request) {
            // Who was not let in may have shown something by another name.
            if exchange.plan.id.is_empty() {
                let line = format!("{} {}", request.head.method, request.head.path());
                recording.entrypoint_request = Some(Seen { line, ..Seen::default() });
            }
        }
        if !self.entrypoint || !self.response {
            return;
        }
        let seen = self.seen(answer.response.status.as_str().to_owned(), &answer.response.fields);
        recording.entrypoint_response = Some(Seen { body: self.noted(&answer.body), ..seen });
    }

    /// Writes down what was seen, if the condition holds.
    pub fn finish(&self, local: &Local, exchange: &mut Exchange, served: &Served, took: Duration) {
        let Some(mut recording) = exchange.recording.take() else { return };
        let wanted = self.condition.as_ref().is_none_or(|condition| {
            let holds = condition.as_bool(&Ended { exchange, refusal: None, status: Some(served.status.as_u16()) });
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
        who(&mut out, exchange);
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
        self.hidden.hide_in_json(&mut out);
        local.access_log.record(&out);
    }
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
        pairs(out, ",", "headers", &seen.fields, masks);
    }
    if let Some(seen) = seen.body.as_ref().filter(|body| body.total() > 0) {
        body(out, ",", seen, masks);
    }
    out.push('}');
}

/// API, plan and application of an exchange as members of a record.
pub fn who(out: &mut String, exchange: &Exchange) {
    let application = exchange.subscriber.as_deref().map_or("", |subscriber| subscriber.application.as_str());
    for (name, value) in
        [("api", &*exchange.api.id), ("plan", exchange.plan.name.as_str()), ("application", application)]
    {
        member(out, name, value);
    }
}

/// Names and values as a member behind `comma`, without what is hidden.
pub fn pairs(out: &mut String, comma: &str, name: &str, pairs: &[(String, String)], masks: &[Rc<dyn Mask>]) {
    let _ = write!(out, "{comma}\"{name}\":[");
    for (at, (name, value)) in pairs.iter().enumerate() {
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

/// A body as members behind `comma`, without what is hidden: its length, and its text if it is one.
pub fn body(out: &mut String, comma: &str, body: &Noted, masks: &[Rc<dyn Mask>]) {
    let _ = write!(out, "{comma}\"bodyBytes\":{}", body.total());
    if let Some(mut shown) = body.text() {
        masks.iter().for_each(|mask| mask.body(&mut shown, body.is_whole()));
        member(out, "body", &shown);
    }
}

/// A member of a record, behind another.
pub fn member(out: &mut String, name: &str, value: &str) {
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
}
