//! Asks for TLS, and for certificates of clients.

use std::borrow::Cow;
use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::credentials;

mod name;

use name::Pattern;

/// `ssl-enforcement`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "ssl-enforcement",
    about: "Asks for TLS, for a client's certificate, and for its name.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(SslEnforcement::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(SslEnforcement::new(decode(source.configuration)?)?)),
};

/// Configuration of `ssl-enforcement`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Whether the client must speak TLS.
    pub requires_ssl: bool,
    /// Whether it must show a certificate.
    pub requires_client_authentication: bool,
    /// Where the certificate is: in the client's TLS session, or in a field that a proxy in front has set.
    pub certificate_location: Location,
    /// The name of that field.
    pub certificate_header_name: String,
    /// Names of which the certificate's subject must fit one; with `requiresClientAuthentication`.
    pub whitelist_client_certificates: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            requires_ssl: true,
            requires_client_authentication: false,
            certificate_location: Location::Session,
            certificate_header_name: "ssl-client-cert".into(),
            whitelist_client_certificates: Vec::new(),
        }
    }
}

/// Where the certificate is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Location {
    /// In the TLS session.
    #[default]
    Session,
    /// In a field.
    Header,
}

#[derive(Debug)]
struct SslEnforcement {
    tls: bool,
    certificate: bool,
    /// Of the field; `None`: the session.
    header: Option<String>,
    names: Vec<Pattern>,
}

impl SslEnforcement {
    fn new(config: Config) -> Result<Self, Refusal> {
        let names = config.whitelist_client_certificates.iter().enumerate();
        let names = names.map(|(at, text)| Pattern::new(&format!("whitelistClientCertificates[{at}]"), text));
        Ok(Self {
            tls: config.requires_ssl,
            certificate: config.requires_client_authentication,
            header: (config.certificate_location == Location::Header).then_some(config.certificate_header_name),
            names: names.collect::<Result<_, _>>()?,
        })
    }

    fn check(&self, exchange: &Exchange) -> Result<(), Box<Reply>> {
        if self.tls && !exchange.client.tls {
            let message = "This resource is open to TLS only.";
            return Err(refusal(StatusCode::FORBIDDEN, "SSL_ENFORCEMENT_SSL_REQUIRED", message));
        }
        if !self.certificate {
            return Ok(());
        }
        let Some(subject) = self.der(exchange).and_then(|der| name::subject(&der)) else {
            let message = "This resource needs a certificate of the client.";
            let key = "SSL_ENFORCEMENT_AUTHENTICATION_REQUIRED";
            return Err(refusal(StatusCode::UNAUTHORIZED, key, message));
        };
        if !self.names.is_empty() && !self.names.iter().any(|name| name.fits(&subject)) {
            let message = "This resource is not open to this client.";
            return Err(refusal(StatusCode::FORBIDDEN, "SSL_ENFORCEMENT_CLIENT_FORBIDDEN", message));
        }
        Ok(())
    }

    /// The certificate that is to be looked at.
    fn der<'e>(&self, exchange: &'e Exchange) -> Option<Cow<'e, [u8]>> {
        let Some(header) = &self.header else {
            return exchange.client.certificate.as_deref().map(|certificate| Cow::Borrowed(&*certificate.der));
        };
        let mut values = exchange.request.as_deref()?.head.fields.get_all(header);
        let value = values.next().filter(|_| values.next().is_none())?;
        credentials::certificate_in(std::str::from_utf8(value).ok()?).map(Cow::Owned)
    }
}

fn refusal(status: StatusCode, key: &'static str, message: &'static str) -> Box<Reply> {
    Box::new(Reply::refusal(status, key, message))
}

impl Policy for SslEnforcement {
    fn phases(&self) -> Phases {
        Phases::REQUEST
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.check(exchange).map_or_else(Step::Reply, |()| Step::Next)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::credentials::certificate_in;

    #[test]
    fn a_certificate_in_a_field_is_read_as_proxies_write_it() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "client");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Example");
        let certificate = params.self_signed(&key).unwrap();
        let pem = certificate.pem();
        let pem = pem.trim();
        let encoded = pem.replace('\n', "%0A").replace('\r', "%0D").replace(' ', "%20").replace('+', "%2B");
        for value in [encoded, pem.replace("\r\n", " ").replace('\n', " "), STANDARD.encode(certificate.der())] {
            let subject = name::subject(&certificate_in(&value).unwrap()).unwrap();
            assert!(Pattern::new("name", "O=Example,CN=cl*").unwrap().fits(&subject));
            assert!(!Pattern::new("name", "O=Example,CN=other").unwrap().fits(&subject));
        }
        let mut longer = certificate.der().to_vec();
        longer.push(0);
        assert!(name::subject(&longer).is_none());
        for value in ["", "-----BEGIN CERTIFICATE-----", "!!!", "AAAA"] {
            assert!(certificate_in(value).and_then(|der| name::subject(&der)).is_none(), "{value}");
        }
    }
}
