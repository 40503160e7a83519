//! Plans: who may call an API, and the chain that goes with it.

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::{Admission, Exchange, Guard, Reply};

use crate::chain::Chain;

/// A compiled plan.
pub struct Plan {
    /// Its name.
    pub name: Rc<str>,
    /// Its security.
    pub guard: Rc<dyn Guard>,
    /// Policies of the plan and the API.
    pub chain: Chain,
}

/// The first plan that admits the exchange. Plans are in the order of the definition, keyless ones last.
///
/// # Errors
/// The reply of the first guard that refused credentials of its kind, or 401 when no plan takes the exchange. An API without a
/// published plan is therefore closed.
pub fn admit<'a>(plans: &'a [Plan], exchange: &mut Exchange) -> Result<&'a Plan, Box<Reply>> {
    for plan in plans {
        match plan.guard.admit(exchange) {
            Admission::Pass => {}
            Admission::Admit => {
                exchange.plan = plan.name.clone();
                return Ok(plan);
            }
            Admission::Refuse(reply) => return Err(reply),
        }
    }
    Err(Box::new(Reply::refusal(
        StatusCode::UNAUTHORIZED,
        "GATEWAY_PLAN_UNRESOLVABLE",
        "No plan of this API takes the request.",
    )))
}
