//! Plans: who may call an API, and the chain that goes with it.

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::{Admission, Exchange, Guard, PlanInfo, Reply, Subscribers, Template, guard};

use crate::chain::{Chain, holds};

/// A compiled plan.
pub struct Plan {
    /// Its names.
    pub info: Rc<PlanInfo>,
    /// Its security.
    pub guard: Rc<dyn Guard>,
    /// Which of those that its guard admits are its own.
    pub rule: Option<Template>,
    /// Its subscribers.
    pub subscribers: Subscribers,
    /// Policies of the plan and the API, behind those of the platform.
    pub chain: Chain,
}

/// The first plan that admits the exchange. Plans are in the order of their guards' ranks, then of the definition. An open plan is asked
/// only if no other one saw credentials of its kind: who shows a key that is no good is not let in without.
///
/// # Errors
/// The reply of the first guard that refused credentials of its kind, or 401 when no plan takes the exchange. An API without a
/// published plan is therefore closed.
pub async fn admit<'a>(plans: &'a [Plan], exchange: &mut Exchange) -> Result<&'a Plan, Box<Reply>> {
    let mut refusal = None;
    for plan in plans {
        if refusal.is_some() && plan.guard.rank() == guard::OPEN {
            break;
        }
        // What the platform's flows have set stays, whatever the guard of a plan adds that does not take the exchange.
        let attributes = plan.rule.is_some().then(|| exchange.attributes.clone());
        match settle(plan.guard.admit(exchange, &plan.subscribers)).await {
            Verdict::Pass => {}
            Verdict::Admit(subscriber) => {
                let before = std::mem::replace(&mut exchange.plan, plan.info.clone());
                exchange.subscriber = subscriber;
                if plan.rule.as_ref().map_or(Ok(true), |rule| holds(rule, exchange))? {
                    plan.guard.conceal(exchange);
                    return Ok(plan);
                }
                exchange.attributes = attributes.unwrap_or_default();
                (exchange.plan, exchange.subscriber) = (before, None);
            }
            Verdict::Refuse(reply) => refusal = refusal.or(Some(reply)),
        }
    }
    Err(refusal.unwrap_or_else(|| {
        Box::new(Reply::refusal(
            StatusCode::UNAUTHORIZED,
            "GATEWAY_PLAN_UNRESOLVABLE",
            "No plan of this API takes the request.",
        ))
    }))
}

/// An [`Admission`] that nothing is waited for any more.
enum Verdict {
    Pass,
    Admit(Option<Rc<ringway_contract::Subscriber>>),
    Refuse(Box<Reply>),
}

async fn settle(mut admission: Admission<'_>) -> Verdict {
    loop {
        admission = match admission {
            Admission::Pass => return Verdict::Pass,
            Admission::Admit(subscriber) => return Verdict::Admit(subscriber),
            Admission::Refuse(reply) => return Verdict::Refuse(reply),
            Admission::Wait(future) => future.await,
        }
    }
}
