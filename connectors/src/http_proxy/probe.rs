//! Asking a backend for a sign of life.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ringway_contract::{Cause, Fault, FetchResponse, HealthRequest};
use ringway_net::Stream;
use ringway_wire::chunk::{Decoded, Decoder};
use ringway_wire::{Fields, Framing, Parsed, ResponseHead};

use super::backend;
use super::endpoint::HttpProxy;
use super::target::Target;

/// The longest that an answer may take where the endpoint itself sets no limit.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Bytes of an answer's body that an assertion sees; a longer one fails the check.
const CONTENT_BYTES_MAX: usize = 64 * 1024;

/// Sends one request over a connection of its own and reads the response, its body only if the check asks for it.
///
/// # Errors
/// A fault of the backend's side.
pub async fn probe(endpoint: &HttpProxy, check: &HealthRequest) -> Result<FetchResponse, Fault> {
    let elsewhere = check.target.contains("://").then(|| Target::parse(&check.target)).transpose();
    let elsewhere =
        elsewhere.map_err(|_| Fault::new(Cause::BackendUnresolved).detail("the check's URL is not valid"))?;
    let target = elsewhere.as_ref().unwrap_or(&endpoint.target);
    let path = match elsewhere {
        Some(_) => "",
        None => check.target.as_str(),
    };
    let base = if check.override_path && !path.is_empty() { "" } else { target.base.as_str() };
    let slash = if path.starts_with('/') || (path.is_empty() && !base.is_empty()) { "" } else { "/" };

    let mut out = BytesMut::with_capacity(512);
    for piece in [check.method.as_str(), " ", base, slash, path, " HTTP/1.1\r\nHost: ", &target.authority, "\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    for (name, value) in &check.headers {
        for piece in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
    }
    out.extend_from_slice(b"User-Agent: ringway-health\r\nConnection: close\r\n\r\n");

    let stream = backend::connect(endpoint, target).await?;
    let slot = endpoint.shard.timers.slot();
    slot.arm(endpoint.read_timeout().unwrap_or(ANSWER_MAX));
    let answered = slot.guard(ask(endpoint, &stream, check, out)).await;
    stream.abort();
    answered.unwrap_or(Err(Fault::new(Cause::BackendTimeout)))
}

async fn ask(
    endpoint: &HttpProxy,
    stream: &Stream,
    check: &HealthRequest,
    out: BytesMut,
) -> Result<FetchResponse, Fault> {
    stream.write(out).await.0.map_err(|_| Fault::new(Cause::BackendClosed))?;
    let mut head = ResponseHead::default();
    let mut input = BytesMut::with_capacity(endpoint.limits.head_bytes_max);
    'head: loop {
        let (read, back) = stream.read(input).await;
        input = back;
        if !read.is_ok_and(|read| read > 0) {
            return Err(Fault::new(Cause::BackendClosed));
        }
        loop {
            match head.parse(&mut input, &endpoint.limits, &check.method) {
                Ok(Parsed::Complete) if head.status.is_informational() => head.clear(),
                Ok(Parsed::Complete) => break 'head,
                Ok(Parsed::Partial) => break,
                Err(_) => return Err(Fault::new(Cause::BackendInvalid)),
            }
        }
    }
    let body = if check.content { content(endpoint, stream, head.framing, input).await? } else { BytesMut::new() };
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let headers = head.fields.iter().map(|(name, value)| (text(name), Bytes::copy_from_slice(value))).collect();
    Ok(FetchResponse { status: head.status, headers, body: body.freeze() })
}

/// Reads a body of which `input` is the beginning.
async fn content(
    endpoint: &HttpProxy,
    stream: &Stream,
    framing: Framing,
    mut input: BytesMut,
) -> Result<BytesMut, Fault> {
    let mut decoder = Decoder::new(&endpoint.limits);
    let (mut rest, mut trailers) = (BytesMut::new(), Fields::new());
    let mut body = BytesMut::new();
    loop {
        let whole = match framing {
            Framing::None => return Ok(body),
            Framing::Length(length) => {
                let left = length.saturating_sub(body.len() as u64);
                input.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                input.len() as u64 == left
            }
            Framing::Chunked => match decoder.decode(&mut input, &mut rest, &mut trailers) {
                Ok(decoded) => decoded == Decoded::End,
                Err(_) => return Err(Fault::new(Cause::BackendInvalid)),
            },
            Framing::UntilClose => false,
        };
        body.extend_from_slice(&input);
        if body.len() > CONTENT_BYTES_MAX {
            return Err(Fault::new(Cause::BackendBodyTooLarge));
        }
        if whole {
            return Ok(body);
        }
        input.clear();
        let (read, back) = stream.read(input).await;
        input = back;
        match read {
            Ok(0) if framing == Framing::UntilClose => return Ok(body),
            Ok(read) if read > 0 => {}
            _ => return Err(Fault::new(Cause::BackendClosed)),
        }
    }
}
