//! The security of a plan.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use crate::{Exchange, Reply, Subscriber, Subscribers};

/// A guard's word on an exchange.
pub enum Admission<'a> {
    /// The exchange does not carry this plan's kind of credentials: the next plan is asked.
    Pass,
    /// The exchange belongs to this plan, and to this subscription; `None` where plans of this kind have no subscribers.
    Admit(Option<Rc<Subscriber>>),
    /// It carries this plan's kind of credentials, and they are no good here. Another plan of the kind may know them; an open plan is not
    /// asked any more.
    Refuse(Box<Reply>),
    /// Something must be waited for. Only this boxes a future.
    Wait(Pin<Box<dyn Future<Output = Admission<'a>> + 'a>>),
}

/// Where a request has credentials, besides fields that are known for it.
#[derive(Clone, Debug, Default)]
pub struct Credentials<'a> {
    /// Names of fields, in any case.
    pub fields: Vec<&'a str>,
    /// Names of query parameters, decoded.
    pub parameters: Vec<&'a str>,
}

/// Decides whether an exchange belongs to a plan, and who is asking.
pub trait Guard {
    /// Looks at the request, and leaves it as it is: another plan may be asked after it. May set attributes.
    fn admit<'a>(&'a self, exchange: &'a mut Exchange, subscribers: &'a Subscribers) -> Admission<'a>;

    /// Its plan takes the exchange: credentials that the backend is not to see are taken out of the request.
    fn conceal(&self, _exchange: &mut Exchange) {}

    /// Where it looks for credentials: the values are never written down.
    fn credentials(&self) -> Credentials<'_> {
        Credentials::default()
    }

    /// Plans of lower rank are asked first, so that credentials are seen by the plan that they are meant for: mutual TLS 0, JWT 1, OAuth 2,
    /// API key 3, open plans [`OPEN`].
    fn rank(&self) -> u8;
}

/// Rank of a guard that admits everyone: asked last, and only if no other plan saw credentials of its kind.
pub const OPEN: u8 = u8::MAX;
