//! One message to its end.
//!
//! ```text
//!   policies ─ drop ─▶ settled; refuse ─▶ dead letters, if there are ─▶ settled
//!
//!             2xx ─────────────────────────────────────────────────────▶ settled
//!   deliver ─ 4xx ───────────────────────▶ dead letters, if there are ─▶ settled        else the subscription stops
//!      ▲    ─ 408, 425, 429 ─ no more attempts ─▶ as 4xx
//!      │    ─ 5xx, no answer ─ no more attempts ─▶ the subscription stops, or: dead letters, if there are ─▶ settled
//!      └───── pause ◀──────── attempts left
//! ```

use std::rc::Rc;
use std::time::Duration;

use ringway_contract::{Cause, Fault, Message, Parcel, Qos, Retry, Verdict};
use ringway_net::sleep;

use super::{Halt, Pause, Run, warn};
use crate::messages::passage::Fate;
use crate::messages::route::Route;

/// How long a broker has to take a dead letter.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(30);

/// What became of a message.
pub(super) enum End {
    /// It need not come again.
    Settled,
    /// Nothing yet: it was halted between two attempts.
    Abandoned,
    /// It was not delivered, and none behind it may be.
    Stop(String),
}

/// Delivers a message, repeats, puts it away.
pub(super) async fn serve(run: Rc<Run>, halt: Rc<Halt>, parcel: Parcel) -> End {
    let parcel = if run.passage.is_idle() {
        Rc::new(parcel)
    } else {
        match Box::pin(run.passage.pass(&mut run.exchange(), parcel)).await {
            Fate::On(parcel) => Rc::from(parcel),
            Fate::Dropped => return End::Settled,
            // It would be refused again: it goes where what the consumer refuses goes, or nowhere.
            Fate::Refused(_, parcel) => {
                run.api.counters.push_refused.bump();
                return match &run.pushing.dead_letters {
                    Some(route) => put_away(&run, &halt, &parcel, route).await,
                    None => End::Settled,
                };
            }
        }
    };
    let mut attempts = 0;
    let verdict = loop {
        attempts += 1;
        let verdict = run.pushing.courier.clone().deliver(parcel.clone()).await;
        if verdict == Verdict::Delivered {
            run.api.counters.delivered.bump();
            return End::Settled;
        }
        tracing::debug!(
            api = run.api.info.id,
            subscription = run.pushing.shared.id,
            attempts,
            ?verdict,
            "a message was not delivered"
        );
        let Some(patience) = run.terms.patience.filter(|patience| attempts <= patience.retries_max) else {
            break verdict;
        };
        if !may_repeat(run.pushing.qos, verdict) {
            break verdict;
        }
        run.api.counters.push_retried.bump();
        if halt.unless(sleep(patience.delay(attempts))).await.is_none() {
            return End::Abandoned;
        }
    };
    let (counter, stops, cause) = match verdict {
        Verdict::Delivered => return End::Settled,
        Verdict::Refused(_) | Verdict::Deferred(_) => {
            (&run.api.counters.push_refused, true, "the consumer refuses a message")
        }
        Verdict::Failed(_) => (&run.api.counters.push_failed, run.terms.stops_when_failed, "the consumer fails"),
        Verdict::Exception(_) => {
            (&run.api.counters.push_failed, run.terms.stops_when_silent, "the consumer does not answer")
        }
    };
    counter.bump();
    let is_refused = matches!(verdict, Verdict::Refused(_) | Verdict::Deferred(_));
    match &run.pushing.dead_letters {
        Some(route) if is_refused || !stops => put_away(&run, &halt, &parcel, route).await,
        _ if stops => End::Stop(match verdict {
            Verdict::Refused(status) | Verdict::Deferred(status) | Verdict::Failed(status) => {
                format!("{cause}: {}", status.as_u16())
            }
            Verdict::Exception(fault) => format!("{cause}: {fault}"),
            Verdict::Delivered => cause.to_owned(),
        }),
        _ => End::Settled,
    }
}

/// Whether a message may be sent again: at most once, only when the consumer cannot have acted on it.
fn may_repeat(qos: Qos, verdict: Verdict) -> bool {
    match verdict {
        Verdict::Delivered | Verdict::Refused(_) => false,
        Verdict::Deferred(_) => true,
        Verdict::Failed(_) => qos != Qos::AtMostOnce,
        Verdict::Exception(fault) => qos != Qos::AtMostOnce || fault.retry == Retry::Safe,
    }
}

/// Publishes a dead letter, however long it takes.
async fn put_away(run: &Run, halt: &Halt, parcel: &Parcel, route: &Route) -> End {
    let mut pause = Pause::default();
    loop {
        let fault = match publish(run, parcel, route).await {
            Ok(()) => {
                run.api.counters.dead_lettered.bump();
                return End::Settled;
            }
            Err(fault) => fault,
        };
        let wait = pause.next();
        warn(run, &fault, wait, "a dead letter was not published");
        if halt.unless(sleep(wait)).await.is_none() {
            return End::Abandoned;
        }
    }
}

async fn publish(run: &Run, parcel: &Parcel, route: &Route) -> Result<(), Fault> {
    let slot = run.local.shard.timers.slot();
    slot.arm(PUBLISHED_WITHIN);
    let published = route.publish(&run.local, copy(&parcel.message), Qos::Auto, &run.attributes);
    slot.guard(published).await.unwrap_or(Err(Fault::new(Cause::BrokerTimeout)))
}

/// The message as it came. Its position is that of another topic.
fn copy(message: &Message) -> Message {
    Message {
        content: message.content.clone(),
        key: message.key.clone(),
        headers: message.headers.clone(),
        metadata: message.metadata.clone(),
        timestamp_ms: message.timestamp_ms,
        ..Message::default()
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn at_most_once_repeats_only_what_was_not_acted_on() {
        let unsent = Verdict::Exception(Fault::new(Cause::BackendUnreachable).retry(Retry::Safe));
        let silent = Verdict::Exception(Fault::new(Cause::BackendTimeout));
        let failed = Verdict::Failed(StatusCode::BAD_GATEWAY);
        let deferred = Verdict::Deferred(StatusCode::TOO_MANY_REQUESTS);
        for (verdict, once, often) in
            [(unsent, true, true), (silent, false, true), (failed, false, true), (deferred, true, true)]
        {
            assert_eq!(may_repeat(Qos::AtMostOnce, verdict), once, "{verdict:?}");
            assert_eq!(may_repeat(Qos::AtLeastOnce, verdict), often, "{verdict:?}");
        }
        assert!(!may_repeat(Qos::Auto, Verdict::Refused(StatusCode::GONE)));
    }
}
