//! The fields that a definition sets on every request to its backend.

use bytes::BytesMut;
use ringway_contract::{Cause, Exchange, Fault, Refusal, Template, Vocabulary};
use ringway_wire::{Authority, Fields, Known};

use super::config::Header;

const HOST: &str = "host";
/// Lines end with it, and so does a head.
const LINE_END: &[u8] = b"\r\n";

/// They are written behind the client's, and never put into the client's head: that one may go to another endpoint afterwards.
pub struct Headers {
    /// Names whose lines from the client are removed.
    pub names: Vec<String>,
    /// What `Host` says instead of the target's authority, where it is the same for all requests.
    host: Option<String>,
    /// Those that are the same for all requests, as bytes.
    lines: Vec<u8>,
    /// Those that each request has a value of its own for.
    evaluated: Vec<(String, Template)>,
}

impl Headers {
    /// Reads them.
    ///
    /// # Errors
    /// A name or value that no head takes, or an expression that is none.
    pub fn new(headers: &[Header]) -> Result<Self, Refusal> {
        let mut fields = Fields::new();
        let mut evaluated: Vec<(String, Template)> = Vec::new();
        for Header { name, value } in headers {
            let refused = |error: &dyn std::fmt::Display| Refusal(format!("header `{name}`: {error}"));
            let template = Template::compile(value, &Vocabulary::request()).map_err(|problem| refused(&problem))?;
            // Of two with one name the last counts.
            evaluated.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            if template.as_text().is_some() {
                fields.set(name, value).map_err(|error| refused(&error))?;
                continue;
            }
            if template.needs().request_content {
                return Err(refused(&"a body is not held for it: set it with the policy transform-headers instead"));
            }
            // The name is tried out.
            fields.set(name, "").map_err(|error| refused(&error))?;
            fields.remove(name);
            evaluated.push((name.clone(), template));
        }
        let host = fields.known(Known::Host).map(|host| String::from_utf8_lossy(host).into_owned());
        if let Some(host) = host.as_deref().filter(|host| !is_host(host)) {
            return Err(Refusal(format!("header `Host`: `{host}` is no host")));
        }
        fields.remove_known(Known::Host);
        let mut lines = BytesMut::new();
        fields.encode(&mut lines);
        let names = fields.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned());
        let names = names.chain(evaluated.iter().map(|(name, _)| name.clone()));
        Ok(Self {
            names: names.filter(|name| !name.eq_ignore_ascii_case(HOST)).collect(),
            host,
            lines: lines.to_vec(),
            evaluated,
        })
    }

    /// Gives the request the values that are its own.
    ///
    /// # Errors
    /// A value cannot be evaluated, or is none that a field can have.
    pub fn prepare(&self, exchange: &mut Exchange) -> Result<(), Fault> {
        if self.evaluated.is_empty() {
            if let Some(request) = exchange.request.as_deref_mut() {
                request.set = None;
            }
            return Ok(());
        }
        let mut set = Box::<Fields>::default();
        let mut value = String::new();
        for (name, template) in &self.evaluated {
            value.clear();
            let evaluated = template.render(exchange, &mut value).map_err(|error| error.to_string());
            let evaluated = evaluated.and_then(|()| match name.eq_ignore_ascii_case(HOST) && !is_host(&value) {
                true => Err("it is no host".to_owned()),
                false => set.set(name, &value).map_err(|error| error.to_string()),
            });
            if let Err(error) = evaluated {
                tracing::warn!(api = exchange.api.id, header = name, error, "a header of the endpoint has no value");
                return Err(Fault::new(Cause::Internal).detail("a header of the endpoint cannot be evaluated"));
            }
        }
        if let Some(request) = exchange.request.as_deref_mut() {
            request.set = Some(set);
        }
        Ok(())
    }

    /// What `Host` says instead of the target's authority.
    pub fn host<'a>(&'a self, set: Option<&'a Fields>) -> Option<&'a str> {
        let own = set.and_then(|set| set.known(Known::Host)).and_then(|host| std::str::from_utf8(host).ok());
        own.or(self.host.as_deref())
    }

    /// Adds the lines to a head that was encoded to its end.
    pub fn append_to(&self, set: Option<&Fields>, out: &mut BytesMut) {
        if (self.lines.is_empty() && set.is_none()) || !out.ends_with(LINE_END) {
            return;
        }
        out.truncate(out.len() - LINE_END.len());
        out.extend_from_slice(&self.lines);
        for (name, value) in set.into_iter().flat_map(Fields::iter) {
            if !name.eq_ignore_ascii_case(HOST.as_bytes()) {
                for piece in [name, b": ", value, LINE_END] {
                    out.extend_from_slice(piece);
                }
            }
        }
        out.extend_from_slice(LINE_END);
    }
}

fn is_host(text: &str) -> bool {
    Authority::parse(text.as_bytes(), &mut String::new()).is_some()
}
