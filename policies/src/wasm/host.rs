//! The functions that a module imports: headers, bodies, properties, an answer of its own.

use bytes::Bytes;
use http::{Method, StatusCode};
use ringway_contract::{Exchange, Fields, Reply};
use wasmi::{Caller, Error, Linker, StoreLimits};

use super::guest::{
    Outcome, Status, charge, decode_pairs, encode_pairs, give, read, size, text, told, write, write_u32,
};
use super::property;

/// Which message the module is asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// On the way to the endpoint.
    #[default]
    Request,
    /// On the way back.
    Response,
}

/// What belongs to one instance of a module.
pub struct State {
    /// Its memory at most.
    pub limits: StoreLimits,
    /// Bytes that a body which it makes may have.
    pub content_bytes_max: usize,
    /// What it is configured with.
    pub configuration: Bytes,
    /// The exchange that it is asked about.
    pub exchange: Option<Exchange>,
    /// Which of its messages.
    pub side: Side,
    /// Whether bodies are shown to it.
    pub shows_content: bool,
    /// The answer that it gives.
    pub reply: Option<Box<Reply>>,
    /// Whether it said that the message goes on.
    pub resumed: bool,
    /// Whether its allocator runs.
    pub allocating: bool,
}

/// Bytes of a line that a module may log.
pub const LOG_BYTES_MAX: usize = 4_096;

// Kinds of maps and buffers, of the ABI.
const REQUEST_HEADERS: i32 = 0;
const RESPONSE_HEADERS: i32 = 2;
const REQUEST_BODY: i32 = 0;
const RESPONSE_BODY: i32 = 1;
const VM_CONFIGURATION: i32 = 6;
const PLUGIN_CONFIGURATION: i32 = 7;

impl State {
    /// How many fields the message has, and how many bytes of a body that may be shown.
    pub fn sizes(&self) -> (i32, i32) {
        let (headers, body) = match self.side {
            Side::Request => (REQUEST_HEADERS, REQUEST_BODY),
            Side::Response => (RESPONSE_HEADERS, RESPONSE_BODY),
        };
        let narrow = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        (
            narrow(self.pairs(headers).map_or(0, |pairs| pairs.len())),
            narrow(self.content(body).map_or(0, |body| body.len())),
        )
    }

    fn fields(&self, kind: i32) -> Option<&Fields> {
        let exchange = self.exchange.as_ref()?;
        match kind {
            REQUEST_HEADERS => exchange.request.as_deref().map(|request| &request.head.fields),
            RESPONSE_HEADERS => exchange.response.as_deref().map(|response| &response.fields),
            _ => None,
        }
    }

    fn fields_mut(&mut self, kind: i32) -> Outcome<&mut Fields> {
        let exchange = self.exchange.as_mut().ok_or(Status::BadArgument)?;
        let fields = match kind {
            REQUEST_HEADERS => exchange.request.as_deref_mut().map(|request| &mut request.head.fields),
            RESPONSE_HEADERS => exchange.response.as_deref_mut().map(|response| &mut response.fields),
            _ => None,
        };
        Ok(fields.ok_or(Status::BadArgument)?)
    }

    /// What stands in the first line of a message, by the names that HTTP/2 gives it.
    fn pseudo(&self, kind: i32, name: &str) -> Option<Vec<u8>> {
        let exchange = self.exchange.as_ref()?;
        if kind == RESPONSE_HEADERS {
            let status = exchange.response.as_deref().filter(|_| name == ":status")?.status;
            return Some(status.as_str().into());
        }
        let head = &exchange.request.as_deref()?.head;
        Some(match name {
            ":method" => head.method.as_str().into(),
            ":path" => match head.query() {
                Some(query) => format!("{}?{query}", head.path()).into_bytes(),
                None => head.path().into(),
            },
            ":authority" => head.host().into(),
            ":scheme" => (if exchange.client.tls { "https" } else { "http" }).into(),
            _ => return None,
        })
    }

    fn value(&self, kind: i32, name: &str) -> Option<Vec<u8>> {
        if name.starts_with(':') {
            return self.pseudo(kind, name);
        }
        self.fields(kind)?.get(name).map(<[u8]>::to_vec)
    }

    /// All that [`encode_pairs`] lays out: the first line, then the fields.
    fn pairs(&self, kind: i32) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let fields = self.fields(kind)?;
        let names: &[&str] =
            if kind == REQUEST_HEADERS { &[":method", ":path", ":authority", ":scheme"] } else { &[":status"] };
        let first = names.iter().filter_map(|name| Some((name.as_bytes().to_vec(), self.pseudo(kind, name)?)));
        let rest = fields.iter().filter(|(name, _)| kind != REQUEST_HEADERS || !name.eq_ignore_ascii_case(b"host"));
        Some(first.chain(rest.map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec()))).collect())
    }

    fn set(&mut self, kind: i32, name: &str, value: &[u8], adds: bool) -> Outcome {
        if name.starts_with(':') {
            return self.set_pseudo(kind, name, value);
        }
        let fields = self.fields_mut(kind)?;
        let done = if adds { fields.append(name, value) } else { fields.set(name, value) };
        Ok(done.map_err(|_| Status::BadArgument)?)
    }

    /// Of the first line, the method and the status may be changed. Paths and hosts belong to the policies that know what they mean for the
    /// choice of an endpoint.
    fn set_pseudo(&mut self, kind: i32, name: &str, value: &[u8]) -> Outcome {
        let exchange = self.exchange.as_mut().ok_or(Status::BadArgument)?;
        match (kind, name) {
            (REQUEST_HEADERS, ":method") => {
                let request = exchange.request.as_deref_mut().ok_or(Status::BadArgument)?;
                request.head.method = Method::from_bytes(value).map_err(|_| Status::BadArgument)?;
            }
            (RESPONSE_HEADERS, ":status") => {
                let response = exchange.response.as_deref_mut().ok_or(Status::BadArgument)?;
                response.set_status(status_of(value)?);
            }
            _ => return Err(Status::BadArgument.into()),
        }
        Ok(())
    }

    fn content(&self, kind: i32) -> Option<Bytes> {
        let contents = self.exchange.as_ref().filter(|_| self.shows_content).map(|exchange| &exchange.contents);
        match kind {
            REQUEST_BODY => contents?.request.clone(),
            RESPONSE_BODY => contents?.response.clone(),
            PLUGIN_CONFIGURATION => Some(self.configuration.clone()),
            VM_CONFIGURATION => Some(Bytes::new()),
            _ => None,
        }
    }

    fn set_content(&mut self, kind: i32, content: Vec<u8>) -> Outcome {
        let shows = self.shows_content;
        let contents = self.exchange.as_mut().filter(|_| shows).map(|exchange| &mut exchange.contents);
        let contents = contents.ok_or(Status::BadArgument)?;
        let slot = match (kind, self.side) {
            (REQUEST_BODY, Side::Request) => &mut contents.request,
            (RESPONSE_BODY, Side::Response) => &mut contents.response,
            _ => return Err(Status::BadArgument.into()),
        };
        *slot = Some(content.into());
        Ok(())
    }
}

fn status_of(text: &[u8]) -> Outcome<StatusCode> {
    let status = StatusCode::from_bytes(text).ok().filter(|status| (200..600).contains(&status.as_u16()));
    Ok(status.ok_or(Status::BadArgument)?)
}

type Guest<'a> = Caller<'a, State>;

/// Defines the functions of the ABI that are there; the rest of what a module imports is defined in [`super::plugin`].
///
/// # Errors
/// One is defined twice.
pub fn define(linker: &mut Linker<State>) -> Result<(), Error> {
    headers(linker)?;
    buffers(linker)?;
    control(linker)
}

fn headers(linker: &mut Linker<State>) -> Result<(), Error> {
    let get = |mut guest: Guest<'_>, kind: i32, name: i32, length: i32, at: i32, bytes: i32| {
        told((|| {
            let name = text(&mut guest, name, length)?;
            let value = guest.data().value(kind, &name).ok_or(Status::NotFound)?;
            give(&mut guest, &value, at, bytes)
        })())
    };
    linker.func_wrap("env", "proxy_get_header_map_value", get)?;
    let add = |mut guest: Guest<'_>, kind: i32, name: i32, length: i32, value: i32, bytes: i32| {
        told((|| {
            let (name, value) = (text(&mut guest, name, length)?, read(&mut guest, value, bytes)?);
            guest.data_mut().set(kind, &name, &value, true)
        })())
    };
    linker.func_wrap("env", "proxy_add_header_map_value", add)?;
    let replace = |mut guest: Guest<'_>, kind: i32, name: i32, length: i32, value: i32, bytes: i32| {
        told((|| {
            let (name, value) = (text(&mut guest, name, length)?, read(&mut guest, value, bytes)?);
            guest.data_mut().set(kind, &name, &value, false)
        })())
    };
    linker.func_wrap("env", "proxy_replace_header_map_value", replace)?;
    let remove = |mut guest: Guest<'_>, kind: i32, name: i32, length: i32| {
        told((|| {
            let name = text(&mut guest, name, length)?;
            guest.data_mut().fields_mut(kind)?.remove(&name);
            Ok(())
        })())
    };
    linker.func_wrap("env", "proxy_remove_header_map_value", remove)?;
    let pairs = |mut guest: Guest<'_>, kind: i32, at: i32, bytes: i32| {
        told((|| {
            let pairs = encode_pairs(&guest.data().pairs(kind).ok_or(Status::BadArgument)?);
            give(&mut guest, &pairs, at, bytes)
        })())
    };
    linker.func_wrap("env", "proxy_get_header_map_pairs", pairs)?;
    let set_pairs = |mut guest: Guest<'_>, kind: i32, at: i32, bytes: i32| {
        told((|| {
            let pairs = decode_pairs(&read(&mut guest, at, bytes)?).ok_or(Status::ParseFailure)?;
            let fields = guest.data_mut().fields_mut(kind)?;
            let names: Vec<_> = fields.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
            let host = |name: &str| kind == REQUEST_HEADERS && name.eq_ignore_ascii_case("host");
            names.iter().filter(|name| !host(name)).for_each(|name| {
                fields.remove(name);
            });
            // What stands in the first line is not a field, and stays.
            for (name, value) in pairs.iter().filter(|(name, _)| !name.starts_with(':') && !host(name)) {
                guest.data_mut().set(kind, name, value, true)?;
            }
            Ok(())
        })())
    };
    linker.func_wrap("env", "proxy_set_header_map_pairs", set_pairs)?;
    let count = |mut guest: Guest<'_>, kind: i32, at: i32| {
        told((|| {
            let bytes = encode_pairs(&guest.data().pairs(kind).ok_or(Status::BadArgument)?).len();
            write_u32(&mut guest, at, bytes)
        })())
    };
    linker.func_wrap("env", "proxy_get_header_map_size", count)?;
    Ok(())
}

fn buffers(linker: &mut Linker<State>) -> Result<(), Error> {
    let get = |mut guest: Guest<'_>, kind: i32, start: i32, most: i32, at: i32, bytes: i32| {
        told((|| {
            let content = guest.data().content(kind).ok_or(Status::NotFound)?;
            let start = size(start).min(content.len());
            let end = start.saturating_add(size(most)).min(content.len());
            give(&mut guest, content.get(start..end).unwrap_or_default(), at, bytes)
        })())
    };
    linker.func_wrap("env", "proxy_get_buffer_bytes", get)?;
    let status = |mut guest: Guest<'_>, kind: i32, length: i32, flags: i32| {
        told((|| {
            let bytes = guest.data().content(kind).ok_or(Status::NotFound)?.len();
            write_u32(&mut guest, length, bytes)?;
            write_u32(&mut guest, flags, 0)
        })())
    };
    linker.func_wrap("env", "proxy_get_buffer_status", status)?;
    // A range is replaced: with a start behind the end it is appended to, with a length of 0 at the start it is put before.
    let set = |mut guest: Guest<'_>, kind: i32, start: i32, length: i32, at: i32, bytes: i32| {
        told((|| {
            let new = read(&mut guest, at, bytes)?;
            let old = guest.data().content(kind).unwrap_or_default();
            charge(&mut guest, old.len())?;
            let start = size(start).min(old.len());
            let end = start.saturating_add(size(length)).min(old.len());
            let (before, after) = (old.get(..start).unwrap_or_default(), old.get(end..).unwrap_or_default());
            if before.len() + new.len() + after.len() > guest.data().content_bytes_max {
                return Err(Status::BadArgument.into());
            }
            guest.data_mut().set_content(kind, [before, &new, after].concat())
        })())
    };
    linker.func_wrap("env", "proxy_set_buffer_bytes", set)?;
    Ok(())
}

fn control(linker: &mut Linker<State>) -> Result<(), Error> {
    let log = |mut guest: Guest<'_>, level: i32, at: i32, bytes: i32| {
        told((|| {
            let line = read(&mut guest, at, bytes)?;
            let line = String::from_utf8_lossy(line.get(..line.len().min(LOG_BYTES_MAX)).unwrap_or_default());
            match level {
                0 => tracing::trace!(target: "ringway::wasm", "{line}"),
                1 => tracing::debug!(target: "ringway::wasm", "{line}"),
                2 => tracing::info!(target: "ringway::wasm", "{line}"),
                3 => tracing::warn!(target: "ringway::wasm", "{line}"),
                4 | 5 => tracing::error!(target: "ringway::wasm", "{line}"),
                _ => return Err(Status::BadArgument.into()),
            }
            Ok(())
        })())
    };
    linker.func_wrap("env", "proxy_log", log)?;
    let now = |mut guest: Guest<'_>, at: i32| {
        let now = ringway_contract::subscriber::now_ms().saturating_mul(1_000_000);
        told(write(&mut guest, at, &now.to_le_bytes()))
    };
    linker.func_wrap("env", "proxy_get_current_time_nanoseconds", now)?;
    let get = |mut guest: Guest<'_>, path: i32, length: i32, at: i32, bytes: i32| {
        told((|| {
            let path = text(&mut guest, path, length)?;
            let exchange = guest.data().exchange.as_ref().ok_or(Status::NotFound)?;
            let value = property::get(exchange, &path).ok_or(Status::NotFound)?;
            give(&mut guest, &value, at, bytes)
        })())
    };
    linker.func_wrap("env", "proxy_get_property", get)?;
    let set = |mut guest: Guest<'_>, path: i32, length: i32, value: i32, bytes: i32| {
        told((|| {
            let (path, value) = (text(&mut guest, path, length)?, text(&mut guest, value, bytes)?);
            let exchange = guest.data_mut().exchange.as_mut().ok_or(Status::NotFound)?;
            Ok(property::set(exchange, &path, value).ok_or(Status::BadArgument)?)
        })())
    };
    linker.func_wrap("env", "proxy_set_property", set)?;
    let answer = |mut guest: Guest<'_>,
                  code: i32,
                  _details: i32,
                  _details_bytes: i32,
                  body: i32,
                  body_bytes: i32,
                  fields: i32,
                  fields_bytes: i32,
                  _grpc_status: i32| {
        told((|| {
            let status = status_of(code.to_string().as_bytes())?;
            let body = read(&mut guest, body, body_bytes)?;
            let pairs = decode_pairs(&read(&mut guest, fields, fields_bytes)?).ok_or(Status::ParseFailure)?;
            // Held against the rules of fields here, where the module can be told.
            let mut checked = Fields::new();
            for (name, value) in &pairs {
                checked.append(name, value).map_err(|_| Status::BadArgument)?;
            }
            let own = ["content-length", "transfer-encoding", "connection"];
            let pairs = pairs.into_iter().filter(|(name, _)| !own.iter().any(|own| name.eq_ignore_ascii_case(own)));
            let reply = Reply::answer(status, body.into());
            let reply = pairs.fold(reply, |reply, (name, value)| reply.header(name, value));
            guest.data_mut().reply = Some(Box::new(reply));
            Ok(())
        })())
    };
    linker.func_wrap("env", "proxy_send_local_response", answer)?;
    let resume = |mut guest: Guest<'_>| {
        guest.data_mut().resumed = true;
        0
    };
    linker.func_wrap("env", "proxy_continue_request", resume)?;
    linker.func_wrap("env", "proxy_continue_response", resume)?;
    let resume = |mut guest: Guest<'_>, _kind: i32| {
        guest.data_mut().resumed = true;
        0
    };
    linker.func_wrap("env", "proxy_continue_stream", resume)?;
    // There is one context at a time, which ends with its phase.
    linker.func_wrap("env", "proxy_set_effective_context", |_: Guest<'_>, _context: i32| 0)?;
    linker.func_wrap("env", "proxy_done", |_: Guest<'_>| 0)?;
    Ok(())
}
