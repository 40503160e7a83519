//! The guard of plans whose subscribers show a certificate.

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::Part;
use ringway_contract::{Admission, Exchange, Guard, Kind, Reply, Subscribers};
use schemars::JsonSchema;
use serde::Deserialize;

/// `mtls`.
pub static KIND: Kind<dyn Guard> = Kind {
    name: "mtls",
    about: "Lets subscribers in who show their certificate in the TLS handshake.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>(),
    shared: None,
    messaging: None,
    build: |_, _| Ok(Rc::new(Mtls)),
};

/// There is nothing to configure.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Config {}

struct Mtls;

impl Guard for Mtls {
    fn admit<'a>(&'a self, exchange: &'a mut Exchange, subscribers: &'a Subscribers) -> Admission<'a> {
        let Some(certificate) = &exchange.client.certificate else { return Admission::Pass };
        match subscribers.by_certificate(&certificate.der) {
            Some(subscriber) => Admission::Admit(Some(subscriber.clone())),
            // A certificate may be there for the listener's sake: what else the request carries is another plan's to judge.
            None => Admission::Refuse(Box::new(Reply::refusal(
                StatusCode::UNAUTHORIZED,
                "CLIENT_CERTIFICATE_INVALID",
                "The client's certificate is not known to this plan.",
            ))),
        }
    }

    fn rank(&self) -> u8 {
        0
    }
}
