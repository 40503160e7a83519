//! Why a message was refused: one table of keys, statuses and sentences.

use http::StatusCode;

macro_rules! rejections {
    ($($(#[$doc:meta])* $variant:ident = $key:literal, $status:ident, $message:literal;)*) => {
        /// A message that is refused. From a client it is answered with [`status`](Self::status) and the connection is closed;
        /// from a backend it is always a 502 and the backend connection is closed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Rejection { $(#[doc = $message] $(#[$doc])* $variant,)* }

        impl Rejection {
            /// All of them, in the order of their declaration.
            pub const ALL: &[Rejection] = &[$(Rejection::$variant,)*];

            /// The stable key for logs, metrics and response templates.
            #[must_use]
            pub fn key(self) -> &'static str {
                match self { $(Rejection::$variant => $key,)* }
            }

            /// What a client is answered.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Rejection::$variant => StatusCode::$status,)* }
            }

            /// What is wrong, and which section of which RFC says so.
            #[must_use]
            pub fn message(self) -> &'static str {
                match self { $(Rejection::$variant => $message,)* }
            }
        }
    };
}

rejections! {
    BadRequestLine = "BAD_REQUEST_LINE", BAD_REQUEST, "the request line is not `method SP target SP version CRLF` (RFC 9112 section 3)";
    BadStatusLine = "BAD_STATUS_LINE", BAD_REQUEST, "the status line is not `version SP 3DIGIT SP reason CRLF` (RFC 9112 section 4)";
    MethodTooLong = "METHOD_TOO_LONG", NOT_IMPLEMENTED, "the method is longer than 32 bytes (RFC 9112 section 3)";
    UnsupportedVersion = "UNSUPPORTED_VERSION", HTTP_VERSION_NOT_SUPPORTED, "the version is neither HTTP/1.0 nor HTTP/1.1 (RFC 9110 section 15.6.6)";
    TargetTooLong = "URI_TOO_LONG", URI_TOO_LONG, "the request target is longer than the limit (RFC 9110 section 15.5.15)";
    BadTarget = "BAD_TARGET", BAD_REQUEST, "the request target has none of the four forms, or a byte that no URI has (RFC 9112 section 3.2, RFC 3986)";
    HeaderTooLarge = "HEADER_TOO_LARGE", REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is larger than the limit (RFC 6585 section 5)";
    TooManyFields = "TOO_MANY_FIELDS", REQUEST_HEADER_FIELDS_TOO_LARGE, "the head has more field lines than the limit (RFC 6585 section 5)";
    BareLineFeed = "BARE_LINE_FEED", BAD_REQUEST, "a line ends in LF without CR (RFC 9112 section 2.2)";
    BadFieldName = "BAD_FIELD_NAME", BAD_REQUEST, "a field name is empty or not a token (RFC 9110 section 5.1)";
    SpaceBeforeColon = "SPACE_BEFORE_COLON", BAD_REQUEST, "white space stands between a field name and its colon (RFC 9112 section 5.1)";
    FoldedLine = "FOLDED_LINE", BAD_REQUEST, "a field line begins with white space (RFC 9112 section 5.2)";
    BadFieldValue = "BAD_FIELD_VALUE", BAD_REQUEST, "a field value has a control byte (RFC 9110 section 5.5)";
    UnderscoreInName = "UNDERSCORE_IN_FIELD_NAME", BAD_REQUEST, "a field name has an underscore, which this listener refuses";
    ShadowedField = "SHADOWED_FIELD", BAD_REQUEST, "a field name is that of framing or identity with an underscore for a hyphen (RFC 3875 section 4.1.18)";
    MissingHost = "MISSING_HOST", BAD_REQUEST, "an HTTP/1.1 request has no Host (RFC 9112 section 3.2)";
    DuplicateHost = "DUPLICATE_HOST", BAD_REQUEST, "more than one Host (RFC 9112 section 3.2)";
    BadHost = "BAD_HOST", BAD_REQUEST, "the host is not a name or address with an optional port (RFC 9112 section 3.2)";
    BadContentLength = "BAD_CONTENT_LENGTH", BAD_REQUEST, "Content-Length is not 1 to 19 digits (RFC 9110 section 8.6)";
    DuplicateContentLength = "DUPLICATE_CONTENT_LENGTH", BAD_REQUEST, "more than one Content-Length, or a list of them (RFC 9112 section 6.3)";
    LengthAndCoding = "LENGTH_AND_CODING", BAD_REQUEST, "Content-Length and Transfer-Encoding together (RFC 9112 section 6.3)";
    BadTransferEncoding = "BAD_TRANSFER_ENCODING", BAD_REQUEST, "Transfer-Encoding is not the one word chunked (RFC 9112 section 6.1)";
    UnsupportedTransferEncoding = "UNSUPPORTED_TRANSFER_ENCODING", NOT_IMPLEMENTED, "a transfer coding other than chunked (RFC 9112 section 6.1)";
    TransferEncodingInHttp10 = "TRANSFER_ENCODING_IN_HTTP_1_0", BAD_REQUEST, "Transfer-Encoding in an HTTP/1.0 message (RFC 9112 section 6.1)";
    BadConnection = "BAD_CONNECTION", BAD_REQUEST, "Connection is not a list of at most 32 tokens (RFC 9110 section 7.6.1)";
    ProtectedFieldNominated = "PROTECTED_FIELD_NOMINATED", BAD_REQUEST, "Connection names an end-to-end field (RFC 9110 section 7.6.1)";
    BadExpectation = "BAD_EXPECTATION", EXPECTATION_FAILED, "Expect is not 100-continue (RFC 9110 section 10.1.1)";
    PathAboveRoot = "PATH_ABOVE_ROOT", BAD_REQUEST, "the path climbs above its root (RFC 3986 section 5.2.4)";
    HiddenDotSegment = "HIDDEN_DOT_SEGMENT", BAD_REQUEST, "a dot segment is hidden behind a parameter or an encoded separator (RFC 3986 section 3.3)";
    BadPercentEncoding = "BAD_PERCENT_ENCODING", BAD_REQUEST, "a percent sign in the path is not followed by two hexadecimal digits (RFC 3986 section 2.1)";
    EncodedNul = "ENCODED_NUL", BAD_REQUEST, "the path has an encoded NUL (RFC 3986 section 7.3)";
    EncodedSlash = "ENCODED_SLASH", BAD_REQUEST, "the path has an encoded slash, which this listener refuses (RFC 3986 section 2.2)";
    PathParameter = "PATH_PARAMETER", BAD_REQUEST, "the path has a semicolon, plain or encoded, which this listener refuses (RFC 3986 section 3.3)";
    DoubleEncoding = "DOUBLE_ENCODING", BAD_REQUEST, "the path is percent-encoded twice, which this listener refuses (RFC 3986 section 2.4)";
    Backslash = "BACKSLASH", BAD_REQUEST, "the path has a backslash, which this listener refuses (RFC 3986 section 2)";
    BadUtf8 = "BAD_UTF8", BAD_REQUEST, "the decoded path is not UTF-8 (RFC 3629 section 3)";
    BadChunkSize = "BAD_CHUNK_SIZE", BAD_REQUEST, "a chunk size is not 1 to 16 hexadecimal digits up to 2^60 (RFC 9112 section 7.1)";
    BadChunkExtension = "BAD_CHUNK_EXTENSION", BAD_REQUEST, "a chunk extension is malformed (RFC 9112 section 7.1.1)";
    ChunkExtensionTooLong = "CHUNK_EXTENSION_TOO_LONG", BAD_REQUEST, "chunk extensions are longer than the limit (RFC 9112 section 7.1.1)";
    BadChunkEnd = "BAD_CHUNK_END", BAD_REQUEST, "chunk data is not followed by CRLF (RFC 9112 section 7.1)";
    TrailersTooLarge = "TRAILERS_TOO_LARGE", REQUEST_HEADER_FIELDS_TOO_LARGE, "the trailer section is larger than the limit (RFC 9112 section 7.1.2)";
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Rejection {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_stable_words_without_doubles() {
        for (i, rejection) in Rejection::ALL.iter().enumerate() {
            let key = rejection.key();
            assert!(key.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'), "{key}");
            assert!(Rejection::ALL[..i].iter().all(|other| other.key() != key), "{key}");
            assert!(rejection.status().is_client_error() || rejection.status().is_server_error());
        }
    }
}
