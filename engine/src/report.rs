//! The one place that turns a refusal or a fault into a response.
//!
//! A response template of the API has the first word; without one, the answer is a problem document (RFC 9457) with the stable key.

use std::rc::Rc;

use bytes::{BufMut, BytesMut};
use http::{Method, StatusCode};
use ringway_contract::{Cause, Chunk, Reply, Request, Side};
use ringway_wire::{self as wire, Fields, Framing, Known, Rejection, RequestHead, Version, date};

use crate::call::Served;
use crate::carriage::{self, Desk};
use crate::connection::Connection;
use crate::exchange::{Next, Stage, Stop};
use crate::local::Local;
use crate::max_forwards;
use crate::site::Site;
use crate::writer::Writer;

/// Answers a request whose exchange was stopped.
pub async fn stop(stage: &mut Stage<'_>, desk: &mut Desk, stop: Stop) -> Served {
    let fault = match &stop {
        Stop::Fault(fault) => Some(*fault),
        Stop::Reply(_) => None,
    };
    let reply = match stop {
        Stop::Reply(reply) => reply,
        Stop::Fault(fault) => Box::new(Reply::refusal(fault.cause.status(), fault.cause.key(), fault.cause.message())),
    };
    if let Some(fault) = fault
        && fault.cause.side() != Side::Client
    {
        tracing::debug!(api = stage.api.info.id, %fault, "exchange failed");
    }
    let mut served = Served { fault, ..Served::new(reply.status, Next::Close) };
    if fault.is_some_and(|fault| fault.cause == Cause::ClientClosed) {
        served.aborted = true;
        return served;
    }
    let request = stage.exchange.request.as_deref();
    // A body that nobody read stands before the next request: the connection ends here. The same holds when the lane took the request.
    let unread = request.is_none_or(|request| request.head.framing.has_content());
    let keep_alive = stage.keep_alive && !unread && fault.is_none_or(|fault| fault.cause.side() != Side::Client);
    let mut writer = writer(stage.local, stage.site, stage.connection, &desk.write);
    let head = request.map(|request| &request.head);
    let body = stage.api.templates.find(reply.key, head).map(|(media, template)| template.reply(media, &reply));
    let reply = body.as_ref().unwrap_or(&reply);
    served.status = reply.status;
    let annotate = |fields: &mut Fields| {
        if let Some(head) = head {
            for field in [&stage.site.annotations.request_id, &stage.site.annotations.transaction_id] {
                if !field.name.is_empty()
                    && let Some(id) = head.fields.get(&field.name)
                {
                    let _ = fields.set(&field.name, id);
                }
            }
            stage.api.cors.annotate(head, fields);
        }
    };
    let sent = send(&mut writer, stage.local, reply, head, keep_alive, annotate).await;
    served.response_bytes = writer.payload_bytes;
    served.aborted = !sent;
    served.next = match (sent, keep_alive) {
        (false, _) => Next::Close,
        (true, true) => Next::KeepAlive,
        (true, false) => Next::Linger,
    };
    served
}

/// Answers a request that no API takes.
pub async fn unrouted(
    local: &Rc<Local>,
    site: &Site,
    connection: &Connection,
    desk: &mut Desk,
    request: &Request,
    keep_alive: bool,
) -> Next {
    let reply = if request.head.is_asterisk() {
        max_forwards::options()
    } else {
        Reply::refusal(StatusCode::NOT_FOUND, "GATEWAY_NO_API", "No API is deployed at this host and path.")
    };
    outside(local, site, connection, desk, request, keep_alive, &reply).await
}

/// Answers a request for a host that has another certificate than the connection's.
pub async fn misdirected(
    local: &Rc<Local>,
    site: &Site,
    connection: &Connection,
    desk: &mut Desk,
    request: &Request,
    keep_alive: bool,
) -> Next {
    let reply = Reply::refusal(
        StatusCode::MISDIRECTED_REQUEST,
        "MISDIRECTED_REQUEST",
        "This connection was made for another host; open one for this host.",
    );
    outside(local, site, connection, desk, request, keep_alive, &reply).await
}

/// Answers a request outside of any API.
async fn outside(
    local: &Rc<Local>,
    site: &Site,
    connection: &Connection,
    desk: &mut Desk,
    request: &Request,
    keep_alive: bool,
    reply: &Reply,
) -> Next {
    local.counters.rejected.bump();
    let head = &request.head;
    let keep_alive = keep_alive && !head.framing.has_content();
    let mut writer = writer(local, site, connection, &desk.write);
    match send(&mut writer, local, reply, Some(head), keep_alive, |_| {}).await {
        false => Next::Close,
        true if keep_alive => Next::KeepAlive,
        true => Next::Linger,
    }
}

/// Answers bytes that are no valid request, and closes.
pub async fn rejection(local: &Rc<Local>, connection: &mut Connection, desk: &mut Desk, rejection: &Rejection) {
    local.counters.requests.bump();
    local.counters.rejected.bump();
    let reply = Reply::refusal(rejection.status(), rejection.key(), rejection.message());
    close_with(local, connection, desk, &reply).await;
}

/// Answers a head that did not arrive in time, and closes.
pub async fn timeout(local: &Rc<Local>, connection: &mut Connection, desk: &mut Desk) {
    local.counters.rejected.bump();
    let reply = Reply::refusal(
        StatusCode::REQUEST_TIMEOUT,
        "REQUEST_HEADER_TIMEOUT",
        "The head of the request did not arrive in time.",
    );
    close_with(local, connection, desk, &reply).await;
}

async fn close_with(local: &Rc<Local>, connection: &mut Connection, desk: &mut Desk, reply: &Reply) {
    let site = local.site();
    let sent = {
        let mut writer = writer(local, &site, connection, &desk.write);
        send(&mut writer, local, reply, None, false, |_| {}).await
    };
    if sent {
        carriage::linger(connection).await;
    }
}

fn writer<'a>(local: &'a Local, site: &Site, connection: &'a Connection, slot: &'a ringway_net::Slot) -> Writer<'a> {
    Writer::new(connection, &local.shard.buffers, slot, site.timeouts.client_write_idle)
}

/// Writes a whole answer; `false` when the client did not take it.
async fn send(
    writer: &mut Writer<'_>,
    local: &Local,
    reply: &Reply,
    head: Option<&RequestHead>,
    keep_alive: bool,
    annotate: impl FnOnce(&mut Fields),
) -> bool {
    let problem = match &reply.body {
        Some(_) => None,
        None => Some(problem(reply)),
    };
    let body: &[u8] = reply.body.as_deref().or(problem.as_deref()).unwrap_or_default();
    let mut response = local.services.responses.take();
    response.set_status(reply.status);
    let fields = &mut response.fields;
    let _ = fields.append("Date", date::imf_fixdate(local.shard.unix_ms() / 1000));
    for (name, value) in &reply.headers {
        // A policy's own field that is no field is left out rather than sent: it could split the response.
        let _ = fields.append(name, value);
    }
    if problem.is_some() && !fields.contains("content-type") {
        let _ = fields.append("Content-Type", "application/problem+json");
    }
    annotate(fields);
    let old = head.is_some_and(|head| head.version == Version::Http10);
    let connection = match (keep_alive, old) {
        (true, false) => wire::Connection::Keep,
        (true, true) => wire::Connection::KeepAlive,
        (false, _) => wire::Connection::Close,
    };
    // RFC 9110 section 8.6: no Content-Length in 1xx and 204.
    let bodiless = reply.status.is_informational() || reply.status == StatusCode::NO_CONTENT;
    let framing = if bodiless { Framing::None } else { Framing::Length(body.len() as u64) };
    response.encode(framing, connection, writer.gathered());
    response.clear();
    local.services.responses.put(response);
    let silent = head.is_some_and(|head| head.method == Method::HEAD)
        || matches!(reply.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !silent && writer.data(Chunk::Shared(bytes::Bytes::copy_from_slice(body)), false).await.is_err() {
        return false;
    }
    writer.flush().await.is_ok()
}

/// A problem document. `type` is left out: RFC 9457 then takes `about:blank`, and the title is the status's own.
fn problem(reply: &Reply) -> BytesMut {
    let mut out = BytesMut::with_capacity(256);
    out.put_slice(b"{\"title\":\"");
    escape(reply.status.canonical_reason().unwrap_or("Error"), &mut out);
    out.put_slice(b"\",\"status\":");
    out.put_slice(reply.status.as_str().as_bytes());
    out.put_slice(b",\"detail\":\"");
    escape(&reply.message, &mut out);
    out.put_slice(b"\",\"key\":\"");
    escape(reply.key, &mut out);
    out.put_slice(b"\"}");
    out
}

fn escape(text: &str, out: &mut BytesMut) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.put_slice(&[b'\\', byte]),
            0..0x20 => out.put_slice(b" "),
            _ => out.put_u8(byte),
        }
    }
}

/// What a response template may be chosen by.
pub fn accepts(head: Option<&RequestHead>, media: &str) -> bool {
    media == "*/*"
        || head.and_then(|head| head.fields.known(Known::Accept)).is_some_and(|accept| {
            accept.split(|byte| *byte == b',').any(|range| {
                let range = range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                range.eq_ignore_ascii_case(media.as_bytes())
            })
        })
}
