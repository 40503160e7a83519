//! What policies put around the call of the endpoint: asked about each call, and the response that an exchange has without one.

use std::time::Duration;

use ringway_contract::around::CALLS_MAX;
use ringway_contract::{After, Cause, Fault, Tapped};
use ringway_wire::Framing;

use crate::annotate;
use crate::call::{Delivery, Served, deliver};
use crate::carriage::Desk;
use crate::chain::Chain;
use crate::content;
use crate::exchange::{Next, Stage, Stop};
use crate::writer::Writer;

/// What those around the call say of it: how long until it is made again, if it is. Asked once for each call.
///
/// # Errors
/// One of them answers instead.
pub fn judge(stage: &mut Stage<'_>, fault: Option<Fault>) -> Result<Option<Duration>, Stop> {
    if stage.exchange.arounds.is_empty() || stage.judged == stage.calls {
        return Ok(None);
    }
    stage.judged = stage.calls;
    let arounds = stage.exchange.arounds.clone();
    for around in arounds.iter() {
        match around.after(stage.exchange, fault) {
            After::Next => {}
            After::Reply(reply) => return Err(reply.into()),
            After::Again(delay) if repeats(stage, delay) => return Ok(Some(delay)),
            After::Again(_) => {}
        }
    }
    Ok(None)
}

/// Whether the call can be made again: its request is here, with all of its body, and there is time left.
fn repeats(stage: &Stage<'_>, delay: Duration) -> bool {
    let here = stage
        .exchange
        .request
        .as_deref()
        .is_some_and(|request| !request.head.framing.has_content() || stage.exchange.contents.request.is_some());
    here && stage.calls < CALLS_MAX && stage.left(stage.local.shard.now()) > delay
}

/// Drops the response of a call that is made again.
pub fn forget(stage: &mut Stage<'_>) {
    stage.exchange.tapped = Tapped::default();
    stage.exchange.contents.response = None;
    if let Some(mut response) = stage.exchange.response.take() {
        response.clear();
        stage.local.services.responses.put(response);
    }
}

/// Before a call is made again.
pub async fn wait(stage: &Stage<'_>, delay: Duration) {
    stage.local.counters.retries.bump();
    if !delay.is_zero() {
        ringway_net::sleep(delay).await;
    }
}

/// Brings the response to the client that the exchange has already: its head, and its body in the contents.
///
/// # Errors
/// A policy of the response answers instead, or fails.
pub async fn own(stage: &mut Stage<'_>, desk: &mut Desk, chain: &Chain, matched: &[u16]) -> Result<Served, Stop> {
    if chain.response(matched).any(|step| step.content) {
        content::plain_response(stage.exchange, stage.site.content_bytes_max)?;
    }
    let Some(response) = stage.exchange.response.as_deref_mut() else { return Err(Fault::new(Cause::Internal).into()) };
    let mut content = stage.exchange.contents.response.take().unwrap_or_default();
    response.framing = Framing::Length(content.len() as u64);
    if !content::may_have_content(stage.is_head, response.status) {
        // Of HEAD and 304 the length is that of a GET's body, where there is one.
        response.declared_bytes = Some(content.len() as u64).filter(|bytes| *bytes > 0 && stage.is_head);
        response.framing = Framing::None;
    } else {
        stage.exchange.contents.response = Some(content.clone());
    }
    for step in chain.response(matched) {
        if let Some(reply) = step.response(stage.exchange).await {
            return Err(step.stop(reply));
        }
    }
    content::settle_response(stage.exchange, &content);
    content = stage.exchange.contents.response.take().unwrap_or_default();
    annotate::response(stage);
    if let Some(logging) = &stage.api.logging {
        logging.returning(stage.exchange, Some(&content[..]));
    }

    let request = stage.exchange.request.as_deref();
    let held = stage.exchange.contents.request.is_some();
    let unread = request.is_none_or(|request| request.head.framing.has_content() && !held);
    // A body that nobody reads stands before the next request.
    stage.keep_alive &= !unread;
    let Some(plan) = Delivery::plan(stage, !unread) else { return Err(Fault::new(Cause::Internal).into()) };
    let mut writer = Writer::new(stage.connection, &stage.local.shard.buffers, &desk.write, stage.site.write_pace);
    plan.encode(stage, &mut writer);
    let mut served = Served::new(plan.status, if unread { Next::Linger } else { plan.next() });
    if let Err(fault) = deliver(&mut writer, content).await {
        served.fault = Some(fault);
        served.aborted = true;
        served.next = Next::Close;
        stage.connection.stream.abort();
    }
    served.response_bytes = writer.payload_bytes;
    Ok(served)
}
