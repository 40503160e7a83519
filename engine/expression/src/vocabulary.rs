//! Which names there are: roots such as `#request`, and what each of them has.

use crate::context::{Body, Field, Map};

/// A root: a name that begins with `#`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    /// `#request`
    Request,
    /// `#response`
    Response,
    /// `#message`
    Message,
    /// `#context`
    Context,
    /// `#api`
    Api,
    /// `#properties`
    Properties,
    /// `#dictionaries`
    Dictionaries,
    /// `#endpoints`
    Endpoints,
    /// `#node`
    Node,
    /// `#subscription`
    Subscription,
    /// `#secrets`: see [`crate::secrets`].
    Secrets,
    /// `#calloutResponse`: what a service that is called beside the traffic answered.
    CalloutResponse,
    /// `#upstreamResponse`: another name of `#response`, of what decides about the endpoint's answer.
    UpstreamResponse,
    /// `#error`: the refusal or failure that is told of.
    Error,
    /// `#parameters`: what belongs to it.
    Parameters,
    /// `#authResponse`: what a service said of someone's credentials.
    AuthResponse,
    /// `#username`: of credentials that are looked at.
    Username,
    /// `#password`: of credentials that are looked at.
    Password,
    /// `#keyId`: the name that a signature gives its key.
    KeyId,
}

/// The roots that exist where an expression stands. A definition is refused when it names another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    roots: u32,
}

impl Vocabulary {
    /// Nothing but constants.
    pub(crate) const fn none() -> Self {
        Self { roots: 0 }
    }

    /// What exists everywhere: the API, its properties, dictionaries and endpoints, and the node.
    pub const fn deployment() -> Self {
        Self::none()
            .with(Root::Api)
            .with(Root::Properties)
            .with(Root::Dictionaries)
            .with(Root::Endpoints)
            .with(Root::Node)
            .with(Root::Secrets)
    }

    /// What exists while a request is on its way to the backend.
    pub const fn request() -> Self {
        Self::deployment().with(Root::Request).with(Root::Context).with(Root::Subscription)
    }

    /// What exists while a response is on its way to the client.
    pub const fn response() -> Self {
        Self::request().with(Root::Response)
    }

    /// What exists for a message on its way to a broker or to a client.
    pub const fn message() -> Self {
        Self::request().with(Root::Message)
    }

    /// What exists somewhere on the way of an exchange or a message; what does not exist here and now is null.
    pub const fn any() -> Self {
        Self::response().with(Root::Message)
    }

    /// What exists where a refusal or a failure is told of, at any time of an exchange.
    pub const fn error() -> Self {
        Self::response().with(Root::Error).with(Root::Parameters)
    }

    /// One root more.
    #[must_use]
    pub const fn with(self, root: Root) -> Self {
        Self { roots: self.roots | 1 << root as u32 }
    }

    /// One root less.
    #[must_use]
    pub const fn without(self, root: Root) -> Self {
        Self { roots: self.roots & !(1 << root as u32) }
    }

    /// Whether a root exists.
    pub const fn has(self, root: Root) -> bool {
        self.roots & 1 << root as u32 != 0
    }

    /// The names of the roots that exist, with their `#`.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        ROOTS.iter().filter(move |(_, root, _)| self.has(*root)).map(|(name, ..)| *name)
    }
}

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// Something that is of no use without one of its properties.
    Object(Object),
    Field(Field),
    /// The parts of a path, as splitting it at each `/` gives them: the first is empty.
    Parts(Field),
    Map(Map),
    Names(Map),
    Text(Body),
    Json(Body),
    Xml,
    Dictionaries,
    Secrets,
}

/// What has properties but is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    Request,
    Response,
    Message,
    Context,
    Api,
    Node,
    Subscription,
    Ssl,
    CalloutResponse,
    Error,
    AuthResponse,
}

use Member::{Json, Names, Parts, Text, Xml};

/// The roots.
pub(crate) const ROOTS: [(&str, Root, Member); 19] = [
    ("#request", Root::Request, Member::Object(Object::Request)),
    ("#response", Root::Response, Member::Object(Object::Response)),
    ("#message", Root::Message, Member::Object(Object::Message)),
    ("#context", Root::Context, Member::Object(Object::Context)),
    ("#api", Root::Api, Member::Object(Object::Api)),
    ("#properties", Root::Properties, Member::Map(Map::Properties)),
    ("#dictionaries", Root::Dictionaries, Member::Dictionaries),
    ("#endpoints", Root::Endpoints, Member::Map(Map::Endpoints)),
    ("#node", Root::Node, Member::Object(Object::Node)),
    ("#subscription", Root::Subscription, Member::Object(Object::Subscription)),
    ("#secrets", Root::Secrets, Member::Secrets),
    ("#calloutResponse", Root::CalloutResponse, Member::Object(Object::CalloutResponse)),
    ("#upstreamResponse", Root::UpstreamResponse, Member::Object(Object::Response)),
    ("#error", Root::Error, Member::Object(Object::Error)),
    ("#parameters", Root::Parameters, Member::Map(Map::Parameters)),
    ("#authResponse", Root::AuthResponse, Member::Object(Object::AuthResponse)),
    ("#username", Root::Username, Member::Field(Field::Username)),
    ("#password", Root::Password, Member::Field(Field::Password)),
    ("#keyId", Root::KeyId, Member::Field(Field::KeyId)),
];

/// The properties of objects.
const MEMBERS: [(Object, &str, Member); 67] = [
    (Object::Request, "id", Member::Field(Field::RequestId)),
    (Object::Request, "transactionId", Member::Field(Field::RequestTransactionId)),
    (Object::Request, "uri", Member::Field(Field::RequestUri)),
    (Object::Request, "path", Member::Field(Field::RequestPath)),
    (Object::Request, "paths", Parts(Field::RequestPath)),
    (Object::Request, "pathInfo", Member::Field(Field::RequestPathInfo)),
    (Object::Request, "pathInfos", Parts(Field::RequestPathInfo)),
    (Object::Request, "contextPath", Member::Field(Field::RequestContextPath)),
    (Object::Request, "params", Member::Map(Map::RequestParams)),
    (Object::Request, "pathParams", Member::Map(Map::RequestPathParams)),
    (Object::Request, "pathParamsRaw", Member::Map(Map::RequestPathParamsRaw)),
    (Object::Request, "headers", Member::Map(Map::RequestHeaders)),
    (Object::Request, "method", Member::Field(Field::RequestMethod)),
    (Object::Request, "scheme", Member::Field(Field::RequestScheme)),
    (Object::Request, "host", Member::Field(Field::RequestHost)),
    (Object::Request, "version", Member::Field(Field::RequestVersion)),
    (Object::Request, "timestamp", Member::Field(Field::RequestTimestamp)),
    (Object::Request, "remoteAddress", Member::Field(Field::RequestRemoteAddress)),
    (Object::Request, "localAddress", Member::Field(Field::RequestLocalAddress)),
    (Object::Request, "ssl", Member::Object(Object::Ssl)),
    (Object::Request, "content", Text(Body::Request)),
    (Object::Request, "jsonContent", Json(Body::Request)),
    (Object::Request, "xmlContent", Xml),
    (Object::Ssl, "clientHost", Member::Field(Field::TlsClientHost)),
    (Object::Ssl, "clientPort", Member::Field(Field::TlsClientPort)),
    (Object::Ssl, "client", Member::Map(Map::TlsClient)),
    (Object::Ssl, "server", Member::Map(Map::TlsServer)),
    (Object::Response, "status", Member::Field(Field::ResponseStatus)),
    (Object::Response, "headers", Member::Map(Map::ResponseHeaders)),
    (Object::Response, "content", Text(Body::Response)),
    (Object::Response, "jsonContent", Json(Body::Response)),
    (Object::Response, "xmlContent", Xml),
    (Object::Message, "id", Member::Field(Field::MessageId)),
    (Object::Message, "content", Text(Body::Message)),
    (Object::Message, "jsonContent", Json(Body::Message)),
    (Object::Message, "xmlContent", Xml),
    (Object::Message, "contentLength", Member::Field(Field::MessageContentLength)),
    (Object::Message, "headers", Member::Map(Map::MessageHeaders)),
    (Object::Message, "metadata", Member::Map(Map::MessageMetadata)),
    (Object::Message, "attributes", Member::Map(Map::MessageAttributes)),
    (Object::Message, "attributeNames", Names(Map::MessageAttributes)),
    (Object::Message, "error", Member::Field(Field::MessageError)),
    (Object::Context, "attributes", Member::Map(Map::Attributes)),
    (Object::Context, "attributeNames", Names(Map::Attributes)),
    (Object::Api, "id", Member::Field(Field::ApiId)),
    (Object::Api, "name", Member::Field(Field::ApiName)),
    (Object::Api, "version", Member::Field(Field::ApiVersion)),
    (Object::Api, "properties", Member::Map(Map::Properties)),
    (Object::Node, "id", Member::Field(Field::NodeId)),
    (Object::Node, "version", Member::Field(Field::NodeVersion)),
    (Object::Node, "tenant", Member::Field(Field::NodeTenant)),
    (Object::Node, "zone", Member::Field(Field::NodeZone)),
    (Object::Node, "shardingTags", Member::Field(Field::NodeShardingTags)),
    // The context that has such a response answers with it where others answer with the backend's.
    (Object::AuthResponse, "status", Member::Field(Field::ResponseStatus)),
    (Object::AuthResponse, "headers", Member::Map(Map::ResponseHeaders)),
    (Object::AuthResponse, "content", Text(Body::Response)),
    (Object::AuthResponse, "jsonContent", Json(Body::Response)),
    (Object::Subscription, "id", Member::Field(Field::SubscriptionId)),
    (Object::Subscription, "metadata", Member::Map(Map::SubscriptionMetadata)),
    (Object::CalloutResponse, "status", Member::Field(Field::CalloutStatus)),
    (Object::CalloutResponse, "headers", Member::Map(Map::CalloutHeaders)),
    (Object::CalloutResponse, "content", Text(Body::Callout)),
    (Object::CalloutResponse, "jsonContent", Json(Body::Callout)),
    (Object::CalloutResponse, "xmlContent", Xml),
    (Object::Error, "key", Member::Field(Field::ErrorKey)),
    (Object::Error, "message", Member::Field(Field::ErrorMessage)),
    (Object::Error, "statusCode", Member::Field(Field::ErrorStatus)),
];

impl Object {
    /// How it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Request => "#request",
            Self::Response => "#response",
            Self::Message => "#message",
            Self::Context => "#context",
            Self::Api => "#api",
            Self::Node => "#node",
            Self::Subscription => "#subscription",
            Self::Ssl => "#request.ssl",
            Self::CalloutResponse => "#calloutResponse",
            Self::Error => "#error",
            Self::AuthResponse => "#authResponse",
        }
    }

    /// One of its properties.
    pub(crate) fn member(self, name: &str) -> Option<Member> {
        MEMBERS.iter().find(|(object, known, _)| *object == self && *known == name).map(|(.., member)| *member)
    }

    /// The names of its properties.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        MEMBERS.iter().filter(move |(object, ..)| *object == self).map(|(_, name, _)| *name)
    }
}
