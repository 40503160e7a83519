//! The guard of plans whose subscribers show a certificate.

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Admission, Exchange, Guard, Kind, Refusal, Reply, Subscribers};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::credentials::Told;

/// `mtls`.
pub static KIND: Kind<dyn Guard> = Kind {
    name: "mtls",
    about: "Lets subscribers in who show their certificate in the TLS handshake, to the gateway or to a proxy that it trusts.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(Mtls::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(Mtls::new(decode(source.configuration)?)?)),
};

/// Configuration of `mtls`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Where TLS ends in front of the gateway: what the proxies there tell of certificates. Without: only certificates of TLS count.
    pub client_auth_header: Option<Header>,
}

/// A field that proxies set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// Its name. It has the certificate as PEM or as base64 of its DER, percent-encoded or not.
    pub name: String,
    /// Addresses and networks of the proxies. Of other peers the field means nothing.
    pub trusted_proxies: Vec<String>,
}

struct Mtls {
    told: Option<Told>,
}

impl Mtls {
    fn new(config: Config) -> Result<Self, Refusal> {
        let told = config.client_auth_header.map(|header| Told::new(&header.name, &header.trusted_proxies));
        Ok(Self { told: told.transpose()? })
    }
}

impl Guard for Mtls {
    fn admit<'a>(&'a self, exchange: &'a mut Exchange, subscribers: &'a Subscribers) -> Admission<'a> {
        // A proxy may show a certificate of its own: what it tells of its client's goes before it.
        let told = self.told.as_ref().and_then(|told| told.of(exchange));
        let shown = exchange.client.certificate.as_deref().map(|certificate| &*certificate.der);
        let Some(der) = told.as_deref().or(shown) else { return Admission::Pass };
        match subscribers.by_certificate(der) {
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
