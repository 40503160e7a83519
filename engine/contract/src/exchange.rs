//! One request and its response, as guards, policies and connectors see them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use ringway_wire::{FieldError, Fields, RequestHead, ResponseHead};

use crate::{Arounds, Attributes, Dictionaries, Elsewhere, Parcel, Recording, Subscriber, Tapped};

/// The request on its way to an endpoint.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The parsed head; edits made here are what the backend sees.
    pub head: RequestHead,
    /// Bytes of the path that the API's context path took; the rest is appended to the endpoint's target.
    pub context_path_len: usize,
    /// Fields that the endpoint sets on it, evaluated for this request; see [`Endpoint::prepare`](crate::Endpoint::prepare). They are not in
    /// the head, which may go to another endpoint afterwards.
    pub set: Option<Box<Fields>>,
}

impl Request {
    /// The path behind the context path; empty or starting with `/`.
    pub fn rest(&self) -> &str {
        self.head.path().get(self.context_path_len..).unwrap_or("")
    }

    /// Makes it ready for the next exchange, keeping its buffers.
    pub fn clear(&mut self) {
        self.head.clear();
        self.context_path_len = 0;
        self.set = None;
    }
}

/// Who is at the other end of the client's connection.
#[derive(Clone, Debug)]
pub struct Client {
    /// The peer's address: the socket's, or what the PROXY protocol said. `None` for Unix sockets.
    pub address: Option<SocketAddr>,
    /// Whether the client speaks TLS to the gateway (or to the balancer that said so by the PROXY protocol).
    pub tls: bool,
    /// The certificate that the client showed to the gateway and that was verified.
    pub certificate: Option<Rc<Certificate>>,
}

/// A client's certificate.
#[derive(Debug)]
pub struct Certificate {
    /// Its DER.
    pub der: Box<[u8]>,
}

/// What is fixed about the API that an exchange belongs to.
#[derive(Debug, Default)]
pub struct ApiInfo {
    /// The definition's id.
    pub id: String,
    /// The definition's name.
    pub name: String,
    /// The API's own version.
    pub version: String,
    /// Its properties: constants for expressions.
    pub properties: BTreeMap<String, String>,
    /// Tables of texts for expressions: those of the gateway.
    pub dictionaries: Dictionaries,
}

/// What is fixed about the plan that admitted an exchange.
#[derive(Debug, Default)]
pub struct PlanInfo {
    /// The definition's id.
    pub id: String,
    /// The definition's name.
    pub name: String,
}

/// Bodies that are held because a policy asked for them. Without their content codings, and of the length that they have here: framing and
/// `Content-Length` are the engine's business.
#[derive(Debug, Default)]
pub struct Contents {
    /// The request's, from the moment that the first policy which asks for it is called.
    pub request: Option<Bytes>,
    /// The response's, likewise.
    pub response: Option<Bytes>,
}

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    /// The request. `None` only while an endpoint's lane has it.
    pub request: Option<Box<Request>>,
    /// The response's head, from the moment that there is one.
    pub response: Option<Box<ResponseHead>>,
    /// Parameters of the path, as the pattern of a flow that was taken names them, not decoded.
    pub path_params: Box<[(Rc<str>, String)]>,
    /// Context attributes.
    pub attributes: Attributes,
    /// The API.
    pub api: Rc<ApiInfo>,
    /// The plan that admitted the exchange; its names are empty before the guards ran.
    pub plan: Rc<PlanInfo>,
    /// Who is asking, if the plan has subscribers.
    pub subscriber: Option<Rc<Subscriber>>,
    /// Bodies that are held.
    pub contents: Contents,
    /// Bytes that the request's body may have at most, if a policy says so; the gateway's own limits hold besides. What is longer is
    /// refused with 413: by its declared length before a policy of it, else as soon as its bytes are more.
    pub request_bytes_max: Option<u64>,
    /// An origin that the definition itself spells out. A request that is sent to this one may reach an address that is not public; where another
    /// one came about, by an expression, it may not.
    pub named_origin: Option<Rc<Elsewhere>>,
    /// What policies of the request put around the call of the endpoint.
    pub arounds: Arounds,
    /// Who sees the body that the endpoint sends.
    pub tapped: Tapped,
    /// Who sees the body that the client sends, on its way to the endpoint. One that is held is not sent by the client any more.
    pub request_tapped: Tapped,
    /// What is written down of it besides its line in the access log, if anything.
    pub recording: Option<Box<Recording>>,
    /// Fields of the response that were decided on the way to the endpoint; see [`Exchange::tell`].
    pub told: Option<Box<Fields>>,
    /// The client.
    pub client: Client,
    /// The message that policies have before them; see [`Policy::message`](crate::Policy::message).
    pub message: Option<Box<Parcel>>,
}

impl Exchange {
    /// Adds a field to the response, whoever will make it: the backend or the gateway. It takes the place of what the backend says by
    /// this name; of several that are told, all stay.
    ///
    /// # Errors
    /// The name or the value is none of a field.
    pub fn tell(&mut self, name: &str, value: &str) -> Result<(), FieldError> {
        self.told.get_or_insert_default().append(name, value)
    }

    /// One that begins: no plan has admitted it yet.
    pub fn new(request: Box<Request>, api: Rc<ApiInfo>, plan: Rc<PlanInfo>, client: Client) -> Self {
        Self { request: Some(request), ..Self::vacant(api, plan, client) }
    }

    /// One without a request: of messages that nobody asked for, and what stands in for an exchange that is lent.
    pub fn vacant(api: Rc<ApiInfo>, plan: Rc<PlanInfo>, client: Client) -> Self {
        Self {
            request: None,
            response: None,
            path_params: Box::default(),
            attributes: Attributes::default(),
            api,
            plan,
            subscriber: None,
            contents: Contents::default(),
            request_bytes_max: None,
            named_origin: None,
            arounds: Arounds::default(),
            tapped: Tapped::default(),
            request_tapped: Tapped::default(),
            recording: None,
            told: None,
            client,
            message: None,
        }
    }
}
