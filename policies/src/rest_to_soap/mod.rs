//! Sends a SOAP envelope instead of what the client sent.

use std::rc::Rc;

use http::{Method, StatusCode};
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Fields, Kind, Phases, Policy, Refusal, Reply, Step, Template, Vocabulary};
use schemars::JsonSchema;
use serde::Deserialize;

/// `rest-to-soap`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "rest-to-soap",
    about: "Sends a SOAP envelope to the endpoint instead of the client's request.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(RestToSoap::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(RestToSoap::new(decode(source.configuration)?)?)),
};

/// Configuration of `rest-to-soap`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The body that is sent; expressions in it are evaluated.
    pub envelope: String,
    /// `SOAPAction` of the request; empty for none.
    #[serde(default)]
    pub soap_action: Option<String>,
    /// `Content-Type` of the request.
    #[serde(default)]
    pub content_type: ContentType,
    /// `charset` of the `Content-Type`; empty for none. The envelope is sent as UTF-8.
    #[serde(default)]
    pub charset: Option<String>,
    /// Whether the request goes to the endpoint's own path, without the rest of the client's.
    #[serde(default)]
    pub strip_path: bool,
    /// Whether the client's query goes on to the endpoint.
    #[serde(default)]
    pub preserve_query_params: bool,
}

/// Types of envelopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ContentType {
    /// SOAP 1.1.
    #[default]
    #[serde(rename = "text/xml")]
    Text,
    /// SOAP 1.2.
    #[serde(rename = "application/soap-xml")]
    Soap,
    /// Of no version.
    #[serde(rename = "application/xml")]
    Xml,
}

struct RestToSoap {
    envelope: Template,
    soap_action: Option<String>,
    content_type: String,
    strip_path: bool,
    preserve_query: bool,
}

impl RestToSoap {
    fn new(config: Config) -> Result<Self, Refusal> {
        let envelope = Template::compile(&config.envelope, &Vocabulary::request());
        let envelope = envelope.map_err(|problem| Refusal(format!("envelope: {problem}")))?;
        let content_type = match config.content_type {
            ContentType::Text => "text/xml",
            ContentType::Soap => "application/soap-xml",
            ContentType::Xml => "application/xml",
        };
        let charset = config.charset.filter(|charset| !charset.trim().is_empty());
        let content_type =
            charset.map_or(content_type.to_owned(), |charset| format!("{content_type}; charset={charset}"));
        let soap_action = config.soap_action.filter(|action| !action.trim().is_empty());
        // Tried once on an empty head: what a head refuses is refused when the definition is loaded.
        let mut probe = Fields::default();
        let fits = |field: &str, error| Refusal(format!("{field}: {error}"));
        probe.set("Content-Type", content_type.as_bytes()).map_err(|error| fits("charset", error))?;
        if let Some(action) = &soap_action {
            probe.set("SOAPAction", action.as_bytes()).map_err(|error| fits("soapAction", error))?;
        }
        Ok(Self {
            envelope,
            soap_action,
            content_type,
            strip_path: config.strip_path,
            preserve_query: config.preserve_query_params,
        })
    }
}

impl Policy for RestToSoap {
    fn phases(&self) -> Phases {
        Phases::REQUEST.with_content()
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        // Before the query is taken away: the envelope may be about it.
        let mut envelope = String::new();
        if let Err(error) = self.envelope.render(exchange, &mut envelope) {
            let message = format!("Unable to make the envelope: {error}");
            return Step::Reply(Box::new(Reply::refusal(StatusCode::INTERNAL_SERVER_ERROR, "", message)));
        }
        let Some(request) = exchange.request.as_deref_mut() else { return Step::Next };
        let head = &mut request.head;
        head.method = Method::POST;
        // What may be refused of these was refused when the policy was built.
        let _ = head.fields.set("Content-Type", self.content_type.as_bytes());
        if let Some(action) = &self.soap_action {
            let _ = head.fields.set("SOAPAction", action.as_bytes());
        }
        if !self.preserve_query {
            let _ = head.set_query(None);
        }
        if self.strip_path {
            // Nothing is left behind the context path, which the endpoint's target stands for.
            request.context_path_len = request.head.path().len();
        }
        exchange.contents.request = Some(envelope.into());
        Step::Next
    }
}
