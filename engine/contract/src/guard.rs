//! The security of a plan.

use crate::{Exchange, Reply};

/// A guard's word on an exchange.
pub enum Admission {
    /// The exchange does not carry this plan's kind of credentials: the next plan is asked.
    Pass,
    /// The exchange belongs to this plan.
    Admit,
    /// It carries this plan's kind of credentials, and they are no good.
    Refuse(Box<Reply>),
}

/// Decides whether an exchange belongs to a plan, and who is asking.
pub trait Guard {
    /// Looks at the request; may set attributes (subscription, application, claims).
    fn admit(&self, exchange: &mut Exchange) -> Admission;

    /// Whether it admits everyone. Such a plan is asked last, so that credentials are seen by the plan that they are meant for.
    fn is_open(&self) -> bool {
        false
    }
}
