//! What went wrong, on whose side, and whether trying again is safe.

use http::StatusCode;

/// Who is to blame for a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client broke the protocol, or went away.
    Client,
    /// The gateway itself: a limit of its own, or a defect.
    Gateway,
    /// The backend refused, stalled, lied or went away.
    Backend,
}

/// Whether the same request may be sent once more, to this or another endpoint (RFC 9110 section 9.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No byte of the request reached the backend.
    Safe,
    /// A kept-alive connection closed before any byte of the response: safe for an idempotent request without a body.
    Idempotent,
    /// The backend may have acted on the request.
    Never,
}

/// Declares [`Cause`] with its stable key, side and answer in one table.
macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $side:ident, $status:ident, $message:literal;)+) => {
        /// What happened. The key is stable: it names the fault in logs, metrics and response templates.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Cause { $($(#[$doc])* $name,)+ }

        impl Cause {
            /// Every cause, for documentation and tests.
            pub const ALL: &[Cause] = &[$(Cause::$name,)+];

            /// The stable key.
            pub const fn key(self) -> &'static str {
                match self { $(Cause::$name => $key,)+ }
            }

            /// Who is to blame.
            pub const fn side(self) -> Side {
                match self { $(Cause::$name => Side::$side,)+ }
            }

            /// The status that the client is answered with, where there is still somebody to answer.
            pub const fn status(self) -> StatusCode {
                match self { $(Cause::$name => StatusCode::$status,)+ }
            }

            /// One sentence for the client, without detail that could tell of the backend's network.
            pub const fn message(self) -> &'static str {
                match self { $(Cause::$name => $message,)+ }
            }
        }
    };
}

causes! {
    /// The client closed or reset its connection in the middle of the exchange.
    ClientClosed = "CLIENT_ABORTED", Client, BAD_REQUEST, "The client closed the connection.";
    /// The head of a request did not come within `timeouts.clientHeader`.
    ClientHeaderTimeout = "REQUEST_HEADER_TIMEOUT", Client, REQUEST_TIMEOUT, "The head of the request did not arrive in time.";
    /// The client's body stalled for longer than `timeouts.clientBodyIdle`, or fell behind `limits.bodyRateMin` by as much.
    ClientBodyTimeout = "REQUEST_BODY_TIMEOUT", Client, REQUEST_TIMEOUT, "The request body did not arrive in time.";
    /// The client's body breaks the chunked coding (RFC 9112 section 7.1).
    ClientBodyInvalid = "BAD_REQUEST_BODY", Client, BAD_REQUEST, "The request body is not validly framed.";
    /// The client's body is larger than `limits.bodyBytes`.
    ClientBodyTooLarge = "REQUEST_CONTENT_LIMIT_TOO_LARGE", Client, PAYLOAD_TOO_LARGE, "The request body is too large.";
    /// The id that a client of a message API wants to go on from is none of the endpoint's.
    CursorInvalid = "GATEWAY_INVALID_CURSOR", Client, BAD_REQUEST, "The cursor is none of this API.";
    /// A message is larger than `limits.messageBytes`, or than the broker takes.
    MessageTooLarge = "MESSAGE_TOO_LARGE", Client, PAYLOAD_TOO_LARGE, "The message is too large.";
    /// A policy refuses a message.
    MessageRefused = "MESSAGE_REFUSED", Client, BAD_REQUEST, "The message is refused.";
    /// The client took nothing of the response for longer than `timeouts.clientWriteIdle`, or fell behind `limits.responseRateMin` by as
    /// much.
    ClientWriteTimeout = "CLIENT_WRITE_TIMEOUT", Client, REQUEST_TIMEOUT, "The client does not read the response.";
    /// The whole exchange took longer than `timeouts.request`.
    RequestTimeout = "REQUEST_TIMEOUT", Gateway, GATEWAY_TIMEOUT, "The request took too long.";
    /// No endpoint of the API's group can take the request.
    NoEndpoint = "NO_ENDPOINT_FOUND", Gateway, SERVICE_UNAVAILABLE, "No endpoint is available.";
    /// The shard has `limits.exchangesPerShard` requests under way already, or no memory for more.
    Overloaded = "GATEWAY_OVERLOADED", Gateway, SERVICE_UNAVAILABLE, "The gateway is overloaded.";
    /// Every connection is busy and the queue for one is full.
    PendingFull = "GATEWAY_PENDING_OVERFLOW", Gateway, SERVICE_UNAVAILABLE, "Too many requests wait for the backend.";
    /// No connection became free in time.
    PendingTimeout = "GATEWAY_PENDING_TIMEOUT", Gateway, SERVICE_UNAVAILABLE, "No connection became free in time.";
    /// The circuit breaker is open.
    CircuitOpen = "GATEWAY_CIRCUIT_OPEN", Gateway, SERVICE_UNAVAILABLE, "The backend is failing; calls are suspended.";
    /// A defect of the gateway or of an extension.
    Internal = "GATEWAY_INTERNAL_ERROR", Gateway, INTERNAL_SERVER_ERROR, "Internal error.";
    /// The backend's name does not resolve.
    BackendUnresolved = "GATEWAY_BACKEND_UNRESOLVED", Backend, BAD_GATEWAY, "The backend cannot be resolved.";
    /// The backend refused the connection, or cannot be reached.
    BackendUnreachable = "GATEWAY_CLIENT_CONNECTION_ERROR", Backend, BAD_GATEWAY, "The backend cannot be reached.";
    /// The backend did not accept the connection in time.
    BackendConnectTimeout = "GATEWAY_CLIENT_CONNECTION_TIMEOUT", Backend, GATEWAY_TIMEOUT, "The backend did not accept in time.";
    /// The TLS handshake with the backend failed.
    BackendTls = "GATEWAY_CLIENT_TLS_ERROR", Backend, BAD_GATEWAY, "The TLS handshake with the backend failed.";
    /// The backend sent nothing for longer than its read timeout, or fell behind `limits.backendRateMin` by as much.
    BackendTimeout = "GATEWAY_BACKEND_TIMEOUT", Backend, GATEWAY_TIMEOUT, "The backend did not respond in time.";
    /// The backend closed before its response was complete.
    BackendClosed = "GATEWAY_BACKEND_CLOSED", Backend, BAD_GATEWAY, "The backend closed the connection.";
    /// The backend's response breaks HTTP/1.1.
    BackendInvalid = "GATEWAY_INVALID_RESPONSE", Backend, BAD_GATEWAY, "The backend's response is not valid.";
    /// A policy needs the response as a whole, and it is larger than `limits.contentBytes`.
    BackendBodyTooLarge = "RESPONSE_CONTENT_LIMIT_TOO_LARGE", Backend, BAD_GATEWAY, "The backend's response is too large.";
    /// The broker cannot be reached.
    BrokerUnreachable = "FAILURE_ENDPOINT_CONNECTION_FAILED", Backend, SERVICE_UNAVAILABLE, "The broker cannot be reached.";
    /// The broker closed the connection, and what was under way is lost.
    BrokerClosed = "FAILURE_ENDPOINT_CONNECTION_CLOSED", Backend, BAD_GATEWAY, "The broker closed the connection.";
    /// The broker does not let the gateway in, or not to what the definition names.
    BrokerRefused = "FAILURE_ENDPOINT_CONFIGURATION_INVALID", Backend, BAD_GATEWAY, "The broker refuses the gateway.";
    /// The broker did not answer in time.
    BrokerTimeout = "FAILURE_ENDPOINT_TIMEOUT", Backend, GATEWAY_TIMEOUT, "The broker did not answer in time.";
    /// The broker did not take a message.
    PublishFailed = "FAILURE_ENDPOINT_PUBLISH_FAILED", Backend, INTERNAL_SERVER_ERROR, "The message was not published.";
    /// The broker did not accept a subscription.
    SubscribeFailed = "FAILURE_ENDPOINT_SUBSCRIBE_FAILED", Backend, INTERNAL_SERVER_ERROR, "The subscription failed.";
}

/// A failure of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub cause: Cause,
    /// Whether trying again is safe.
    pub retry: Retry,
    /// More words for the log; never sent to a client.
    pub detail: &'static str,
}

impl Fault {
    /// A fault after which the request must not be sent again.
    pub const fn new(cause: Cause) -> Self {
        Self { cause, retry: Retry::Never, detail: "" }
    }

    /// The same with a retry verdict.
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same with words for the log.
    pub const fn detail(mut self, detail: &'static str) -> Self {
        self.detail = detail;
        self
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.cause.key(), self.cause.message())?;
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
