//! The one place that turns a refusal or a fault into a response.
//!
//! A response template of the API has the first word; without one, the answer is a problem document with the stable key.

use std::rc::Rc;

use bytes::Bytes;
use http::{Method, StatusCode};
use ringway_contract::{Cause, Chunk, Reply, Request, Side};
use ringway_wire::{self as wire, Framing, Known, Rejection, RequestHead, ResponseHead, Version, date};

use crate::annotate;
use crate::call::Served;
use crate::carriage::Desk;
use crate::connection::Connection;
use crate::content;
use crate::exchange::{Next, Stage, Stop};
use crate::local::Local;
use crate::max_forwards;
use crate::problem::Problem;
use crate::site::Site;
use crate::writer::Writer;

/// Answers a request whose exchange was stopped.
pub async fn stop(stage: &mut Stage<'_>, desk: &mut Desk, stop: Stop) -> Served {
    let (reply, fault, passed) = match stop {
        Stop::Reply(reply) => (reply, None, false),
        Stop::Last(reply) => (reply, None, true),
        Stop::Fault(fault) => (Box::new(of_cause(fault.cause)), Some(fault), false),
    };
    // What was on its way to the client is not sent.
    stage.exchange.response = None;
    stage.exchange.contents.response = None;
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
    let held = stage.exchange.contents.request.is_some();
    let unread = request.is_none_or(|request| request.head.framing.has_content() && !held);
    let keep_alive = stage.keep_alive && !unread && fault.is_none_or(|fault| fault.cause.side() != Side::Client);
    let head = request.map(|request| &request.head);
    let mut answer = worded(stage, &reply, head);
    if !passed && stage.api.platform.response(&desk.matched).next().is_some() {
        // Boxed: most APIs have nothing around them.
        answer = Box::pin(platform(stage, &desk.matched, answer)).await;
    }
    let head = stage.exchange.request.as_deref().map(|request| &request.head);
    let fields = &mut answer.response.fields;
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
    if let Some(told) = &stage.exchange.told {
        annotate::tell(told, fields);
    }
    served.status = answer.response.status;
    let mut writer = writer(stage.local, stage.site, stage.connection, &desk.write);
    let sent = send(&mut writer, &answer, About { head, is_head: stage.is_head, keep_alive }).await;
    served.response_bytes = writer.payload_bytes;
    served.aborted = !sent;
    if let Some(logging) = &stage.api.logging {
        logging.refused(stage.exchange, &reply.key, &answer);
    }
    answer.response.clear();
    stage.local.services.responses.put(answer.response);
    served.next = match (sent, keep_alive) {
        (false, _) => Next::Close,
        (true, true) => Next::KeepAlive,
        (true, false) => Next::Linger,
    };
    served
}

/// The answer in the words of the API's response template, if it has one.
fn worded(stage: &Stage<'_>, reply: &Reply, head: Option<&RequestHead>) -> Answer {
    let worded = stage.api.templates.find(&reply.key, head).and_then(|(media, template)| {
        let worded = template.reply(media, reply, stage.exchange);
        worded
            .inspect_err(
                |error| tracing::warn!(api = stage.api.info.id, key = &*reply.key, %error, "a response template"),
            )
            .ok()
    });
    Answer::new(stage.local, worded.as_ref().unwrap_or(reply), head)
}

/// An answer of the gateway's own behind the platform's flows, which see every response.
async fn platform(stage: &mut Stage<'_>, matched: &[u16], answer: Answer) -> Answer {
    let Answer { response, body } = answer;
    stage.exchange.response = Some(response);
    stage.exchange.contents.response = Some(body.clone());
    for step in stage.api.platform.response(matched) {
        if let Some(reply) = step.response(stage.exchange).await {
            return worded(stage, &reply, stage.exchange.request.as_deref().map(|request| &request.head));
        }
    }
    content::settle_response(stage.exchange, &body);
    let response = stage.exchange.response.take().unwrap_or_else(|| stage.local.services.responses.take());
    Answer { response, body: stage.exchange.contents.response.take().unwrap_or_default() }
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
    local.counters.rejected.bump();
    let reply = if request.head.is_asterisk() {
        max_forwards::options()
    } else {
        Reply::refusal(StatusCode::NOT_FOUND, "GATEWAY_NO_API", "No API is deployed at this host and path.")
    };
    answer(local, site, connection, desk, &reply, Some(&request.head), keep_alive).await
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
    local.counters.rejected.bump();
    let reply = Reply::refusal(
        StatusCode::MISDIRECTED_REQUEST,
        "MISDIRECTED_REQUEST",
        "This connection was made for another host; open one for this host.",
    );
    answer(local, site, connection, desk, &reply, Some(&request.head), keep_alive).await
}

/// The refusal that a cause stands for.
fn of_cause(cause: Cause) -> Reply {
    let reply = Reply::refusal(cause.status(), cause.key(), cause.message());
    match cause {
        Cause::Overloaded | Cause::PendingFull | Cause::PendingTimeout => {
            reply.header("Retry-After", RETRY_AFTER_SECONDS)
        }
        _ => reply,
    }
}

/// How long a client should wait before it tries again after it was one too many.
const RETRY_AFTER_SECONDS: &str = "1";

/// Answers a request that is one too many. Nothing is looked up for it: this has to cost less than serving it.
pub async fn shed(
    local: &Rc<Local>,
    site: &Site,
    connection: &Connection,
    desk: &mut Desk,
    request: &Request,
    keep_alive: bool,
) -> Next {
    local.counters.shed.bump();
    let reply = of_cause(Cause::Overloaded);
    answer(local, site, connection, desk, &reply, Some(&request.head), keep_alive).await
}

/// Answers bytes that are no valid request, and closes.
pub async fn rejection(local: &Rc<Local>, connection: &Connection, desk: &mut Desk, rejection: &Rejection) -> Next {
    local.counters.requests.bump();
    local.counters.rejected.bump();
    let reply = Reply::refusal(rejection.status(), rejection.key(), rejection.message());
    answer(local, &local.site(), connection, desk, &reply, None, false).await
}

/// Answers a head that did not arrive in time, and closes.
pub async fn timeout(local: &Rc<Local>, connection: &Connection, desk: &mut Desk) -> Next {
    local.counters.requests.bump();
    local.counters.rejected.bump();
    let reply = of_cause(Cause::ClientHeaderTimeout);
    answer(local, &local.site(), connection, desk, &reply, None, false).await
}

/// Answers without an API. A body that nobody reads stands before the next request, so the connection ends with it.
async fn answer(
    local: &Rc<Local>,
    site: &Site,
    connection: &Connection,
    desk: &mut Desk,
    reply: &Reply,
    head: Option<&RequestHead>,
    keep_alive: bool,
) -> Next {
    let keep_alive = keep_alive && head.is_some_and(|head| !head.framing.has_content());
    let mut writer = writer(local, site, connection, &desk.write);
    let is_head = head.is_some_and(|head| head.method == Method::HEAD);
    let mut answer = Answer::new(local, reply, head);
    let sent = send(&mut writer, &answer, About { head, is_head, keep_alive }).await;
    answer.response.clear();
    local.services.responses.put(answer.response);
    match sent {
        false => Next::Close,
        true if keep_alive => Next::KeepAlive,
        true => Next::Linger,
    }
}

fn writer<'a>(local: &'a Local, site: &Site, connection: &'a Connection, slot: &'a ringway_net::Slot) -> Writer<'a> {
    Writer::new(connection, &local.shard.buffers, slot, site.write_pace)
}

/// What an answer answers.
struct About<'a> {
    /// `None` when there is none, or a lane has it.
    head: Option<&'a RequestHead>,
    is_head: bool,
    keep_alive: bool,
}

/// An answer of the gateway's own.
pub struct Answer {
    /// Its head, without framing.
    pub response: Box<ResponseHead>,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    fn new(local: &Local, reply: &Reply, head: Option<&RequestHead>) -> Self {
        let mut response = local.services.responses.take();
        response.set_status(reply.status);
        let fields = &mut response.fields;
        let _ = fields.append("Date", date::imf_fixdate(local.shard.unix_ms() / 1000));
        for (name, value) in &reply.headers {
            // A policy's own field that is no field is left out rather than sent: it could split the response.
            let _ = fields.append(name, value);
        }
        let body = match &reply.body {
            Some(body) => body.clone(),
            None => {
                let problem = Problem::of(reply, head);
                if !fields.contains("content-type") {
                    let _ = fields.append("Content-Type", problem.media);
                }
                problem.body.freeze()
            }
        };
        Self { response, body }
    }
}

/// Writes a whole answer; `false` when the client did not take it.
async fn send(writer: &mut Writer<'_>, answer: &Answer, about: About<'_>) -> bool {
    let About { head, is_head, keep_alive } = about;
    let Answer { response, body } = answer;
    let old = head.is_some_and(|head| head.version == Version::Http10);
    let connection = match (keep_alive, old, response.fields.known(Known::Upgrade)) {
        // RFC 9110 section 15.5.22: a 426 says to what.
        (true, false, Some(protocols)) => wire::Connection::Upgrade(protocols),
        (true, false, None) => wire::Connection::Keep,
        (true, true, _) => wire::Connection::KeepAlive,
        (false, _, _) => wire::Connection::Close,
    };
    let status = response.status;
    // RFC 9110 section 8.6: no Content-Length in 1xx and 204.
    let bodiless = status.is_informational() || status == StatusCode::NO_CONTENT;
    let framing = if bodiless { Framing::None } else { Framing::Length(body.len() as u64) };
    response.encode(framing, connection, writer.gathered());
    let silent = is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !silent && writer.data(Chunk::Shared(body.clone()), false).await.is_err() {
        return false;
    }
    writer.flush().await.is_ok()
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
