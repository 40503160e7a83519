//! Where the values of an evaluation come from.

use crate::Value;

/// What an expression reads. Every accessor says "absent" unless it is implemented: an exchange has no message, a message has no query.
pub trait Context {
    /// A single value. Fields that are numbers or booleans say so.
    fn field(&self, field: Field) -> Value<'_> {
        let _ = field;
        Value::Null
    }

    /// The `index`th value (from 0) of `name` in a map. Maps that are not [`Map::is_multi`] have one value for a name, of index 0. Where
    /// [`Map::ignores_case`] says so, `name` is in lower case.
    fn entry(&self, map: Map, name: &str, index: usize) -> Value<'_> {
        let _ = (map, name, index);
        Value::Null
    }

    /// Whether the value of this index, or the only value of its name where `index` is none, is `text`. Asked of maps that are
    /// [`Map::is_multi`] alone, whose values are texts.
    fn entry_is(&self, map: Map, name: &str, index: Option<usize>, text: &str) -> bool {
        let first = self.entry(map, name, index.unwrap_or(0));
        matches!(first.single(), Value::Text(own) if own == text)
            && (index.is_some() || self.entry(map, name, 1).is_null())
    }

    /// Calls `each` with every name of a map, once for each.
    fn names(&self, map: Map, each: &mut dyn FnMut(&str)) {
        let _ = (map, each);
    }

    /// The whole content of a message, if it was kept; see [`Needs`](crate::Needs).
    fn body(&self, body: Body) -> Option<&[u8]> {
        let _ = body;
        None
    }

    /// An entry of a dictionary.
    fn dictionary(&self, id: &str, key: &str) -> Value<'_> {
        let _ = (id, key);
        Value::Null
    }

    /// Milliseconds since 1970, for `T(java.lang.System).currentTimeMillis()`.
    fn now_ms(&self) -> Option<u64> {
        None
    }

    /// Random bits, for `T(java.util.UUID).randomUUID()`. Others must not be able to guess them.
    fn random(&self) -> Option<u128> {
        None
    }
}

/// A context that has nothing: what constants are folded with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Context for Nothing {}

/// A single value of the context. The comments say how expressions name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// `#request.id`
    RequestId,
    /// `#request.transactionId`
    RequestTransactionId,
    /// `#request.uri`: path and query.
    RequestUri,
    /// `#request.path`, and `#request.paths`, its parts
    RequestPath,
    /// `#request.pathInfo`, the path behind the context path, and `#request.pathInfos`, its parts
    RequestPathInfo,
    /// `#request.contextPath`
    RequestContextPath,
    /// `#request.method`
    RequestMethod,
    /// `#request.scheme`
    RequestScheme,
    /// `#request.host`
    RequestHost,
    /// `#request.version`, such as `HTTP_1_1`
    RequestVersion,
    /// `#request.timestamp`: when the request came, in milliseconds since 1970; a number.
    RequestTimestamp,
    /// `#request.remoteAddress`: without port.
    RequestRemoteAddress,
    /// `#request.localAddress`: without port.
    RequestLocalAddress,
    /// `#request.ssl.clientHost`
    TlsClientHost,
    /// `#request.ssl.clientPort`; a number.
    TlsClientPort,
    /// `#response.status`, `#authResponse.status`; a number.
    ResponseStatus,
    /// `#message.id`
    MessageId,
    /// `#message.contentLength`: bytes; a number.
    MessageContentLength,
    /// `#message.error`; a boolean.
    MessageError,
    /// `#api.id`
    ApiId,
    /// `#api.name`
    ApiName,
    /// `#api.version`
    ApiVersion,
    /// `#node.id`
    NodeId,
    /// `#node.version`
    NodeVersion,
    /// `#node.tenant`
    NodeTenant,
    /// `#node.zone`
    NodeZone,
    /// `#node.shardingTags`; a list.
    NodeShardingTags,
    /// `#subscription.id`
    SubscriptionId,
    /// `#calloutResponse.status`; a number.
    CalloutStatus,
    /// `#error.key`
    ErrorKey,
    /// `#error.message`
    ErrorMessage,
    /// `#error.statusCode`; a number.
    ErrorStatus,
    /// `#username`
    Username,
    /// `#password`
    Password,
    /// `#keyId`
    KeyId,
}

/// A map of the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Map {
    /// `#request.headers`
    RequestHeaders,
    /// `#request.params`: the query's.
    RequestParams,
    /// `#request.pathParams`: those of the flow's path, decoded.
    RequestPathParams,
    /// `#request.pathParamsRaw`: those of the flow's path, as they came.
    RequestPathParamsRaw,
    /// `#request.ssl.client`: the subject of the client's certificate, by the names of its attributes; `dn` is the whole name.
    TlsClient,
    /// `#request.ssl.server`: the subject of the gateway's certificate.
    TlsServer,
    /// `#response.headers`, `#authResponse.headers`
    ResponseHeaders,
    /// `#message.headers`
    MessageHeaders,
    /// `#message.metadata`
    MessageMetadata,
    /// `#message.attributes`: by short or long names.
    MessageAttributes,
    /// `#context.attributes`: by short or long names.
    Attributes,
    /// `#api.properties`, `#properties`
    Properties,
    /// `#endpoints`: what a route may be set to, by the endpoint's name.
    Endpoints,
    /// `#subscription.metadata`
    SubscriptionMetadata,
    /// `#calloutResponse.headers`
    CalloutHeaders,
    /// `#parameters`
    Parameters,
}

impl Map {
    /// Whether a name may have many values.
    pub fn is_multi(self) -> bool {
        matches!(
            self,
            Self::RequestHeaders
                | Self::RequestParams
                | Self::ResponseHeaders
                | Self::MessageHeaders
                | Self::CalloutHeaders
                | Self::TlsClient
                | Self::TlsServer
        )
    }

    /// Whether names are compared without case; then they are asked for in lower case.
    pub fn ignores_case(self) -> bool {
        matches!(
            self,
            Self::RequestHeaders
                | Self::ResponseHeaders
                | Self::MessageHeaders
                | Self::CalloutHeaders
                | Self::TlsClient
                | Self::TlsServer
        )
    }

    /// Whether it is the subject of a certificate: `.cn` is the first value, `.attributes['cn']` are all.
    pub(crate) fn is_principal(self) -> bool {
        matches!(self, Self::TlsClient | Self::TlsServer)
    }
}

/// Content that must be kept to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// `#request.content`
    Request,
    /// `#response.content`, `#authResponse.content`
    Response,
    /// `#message.content`
    Message,
    /// `#calloutResponse.content`: is always there where it has a name.
    Callout,
}
