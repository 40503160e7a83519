//! The field names that the gateway itself looks at, told apart with one table load and one compare.

/// How many bits of the product choose a slot of [`SLOTS`].
const SLOT_BITS: u32 = 8;
/// A multiplier under which no two names of the table meet in a slot. Found by trial; the compiler checks it below, so a
/// new name that collides stops the build instead of hiding another.
const MULTIPLIER: u32 = 0xcefe_2a1f;

macro_rules! known {
    ($($variant:ident = $name:literal,)*) => {
        /// A field name that the gateway knows (RFC 9110, RFC 9112, RFC 7239, RFC 6455, W3C Trace Context).
        ///
        /// Every other name is looked up by comparing; see [`Fields::get`](crate::Fields::get).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known { $(#[doc = concat!("`", $name, "`")] $variant,)* }

        impl Known {
            /// All of them, in the order of their ids.
            pub const ALL: &[Known] = &[$(Known::$variant,)*];
        }

        const NAMES: &[&str] = &[$($name,)*];
    };
}

known! {
    Host = "host",
    ContentLength = "content-length",
    TransferEncoding = "transfer-encoding",
    Connection = "connection",
    KeepAlive = "keep-alive",
    ProxyConnection = "proxy-connection",
    Te = "te",
    Trailer = "trailer",
    Upgrade = "upgrade",
    Http2Settings = "http2-settings",
    Expect = "expect",
    Via = "via",
    Forwarded = "forwarded",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedProto = "x-forwarded-proto",
    XForwardedPort = "x-forwarded-port",
    XForwardedPrefix = "x-forwarded-prefix",
    XRealIp = "x-real-ip",
    XRequestId = "x-request-id",
    XCorrelationId = "x-correlation-id",
    XApiKey = "x-api-key",
    XGraviteeApiKey = "x-gravitee-api-key",
    XGraviteeRequestId = "x-gravitee-request-id",
    XGraviteeTransactionId = "x-gravitee-transaction-id",
    Traceparent = "traceparent",
    Tracestate = "tracestate",
    Origin = "origin",
    Referer = "referer",
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    AccessControlRequestMethod = "access-control-request-method",
    AccessControlRequestHeaders = "access-control-request-headers",
    Authorization = "authorization",
    ProxyAuthorization = "proxy-authorization",
    ProxyAuthenticate = "proxy-authenticate",
    WwwAuthenticate = "www-authenticate",
    Cookie = "cookie",
    SetCookie = "set-cookie",
    UserAgent = "user-agent",
    ContentType = "content-type",
    ContentEncoding = "content-encoding",
    ContentRange = "content-range",
    Range = "range",
    CacheControl = "cache-control",
    Date = "date",
    Server = "server",
    Location = "location",
    Etag = "etag",
    LastModified = "last-modified",
    IfNoneMatch = "if-none-match",
    IfModifiedSince = "if-modified-since",
    IfMatch = "if-match",
    Vary = "vary",
    RetryAfter = "retry-after",
    Allow = "allow",
    MaxForwards = "max-forwards",
    SecWebSocketKey = "sec-websocket-key",
    SecWebSocketVersion = "sec-websocket-version",
    SecWebSocketProtocol = "sec-websocket-protocol",
    SecWebSocketExtensions = "sec-websocket-extensions",
    LastEventId = "last-event-id",
}

/// The id of a field whose name is not in the table: the last bit of a [`Set`].
pub(crate) const OTHER: u8 = 63;
/// How many ids there are, [`OTHER`] included.
pub(crate) const IDS: usize = 64;
/// A set of known names, one bit for each id.
pub(crate) type Set = u64;

const _: () = assert!(NAMES.len() <= OTHER as usize, "a set of known names has 64 bits, one of them for the others");

const fn set(of: &[Known]) -> Set {
    let (mut bits, mut i) = (0, 0);
    while i < of.len() {
        bits |= of[i].bit();
        i += 1;
    }
    bits
}

/// Fields that speak of the connection, not of the message (RFC 9110 section 7.6.1). `HTTP2-Settings` is among them so that an
/// h2c upgrade can never be smuggled past the gateway.
pub(crate) const HOP_BY_HOP: Set = set(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::Trailer,
    Known::TransferEncoding,
    Known::Upgrade,
    Known::Http2Settings,
]);
/// What an encoder always writes anew.
pub(crate) const MANAGED: Set = HOP_BY_HOP | set(&[Known::ContentLength]);
/// What `Connection` may name beside the hop-by-hop fields without being refused.
const NOMINATABLE: Set = set(&[Known::ProxyAuthorization, Known::ProxyAuthenticate]);
/// End-to-end fields: a `Connection` that names one wants the gateway to drop what a backend decides by (RFC 9110 section
/// 7.6.1: "MUST NOT").
pub(crate) const PROTECTED: Set = !(HOP_BY_HOP | NOMINATABLE | 1 << OTHER) | set(&[Known::TransferEncoding]);
/// Fields of framing, of who asks and of where from: a line whose name is one of these but for an underscore would be taken for it
/// behind a gateway interface that knows no hyphens (RFC 3875 section 4.1.18).
const SHADOWABLE: Set = set(&[
    Known::ContentLength,
    Known::TransferEncoding,
    Known::ContentType,
    Known::ProxyAuthorization,
    Known::XForwardedFor,
    Known::XForwardedHost,
    Known::XForwardedProto,
    Known::XForwardedPort,
    Known::XForwardedPrefix,
    Known::XRealIp,
    Known::XApiKey,
    Known::XGraviteeApiKey,
    Known::XGraviteeRequestId,
    Known::XGraviteeTransactionId,
]);
/// Never taken from a trailer section (RFC 9110 section 6.5.1): framing, routing, authentication, request modifiers and what
/// tells how to read the content.
pub(crate) const FORBIDDEN_IN_TRAILERS: Set = MANAGED
    | set(&[
        Known::Host,
        Known::Expect,
        Known::Via,
        Known::Forwarded,
        Known::XForwardedFor,
        Known::XForwardedHost,
        Known::XForwardedProto,
        Known::XForwardedPort,
        Known::XForwardedPrefix,
        Known::XRealIp,
        Known::XApiKey,
        Known::XGraviteeApiKey,
        Known::Authorization,
        Known::ProxyAuthorization,
        Known::ProxyAuthenticate,
        Known::WwwAuthenticate,
        Known::Cookie,
        Known::SetCookie,
        Known::Origin,
        Known::Location,
        Known::Allow,
        Known::ContentType,
        Known::ContentEncoding,
        Known::ContentRange,
        Known::Range,
        Known::CacheControl,
        Known::Date,
        Known::Vary,
        Known::RetryAfter,
        Known::MaxForwards,
        Known::IfMatch,
        Known::IfNoneMatch,
        Known::IfModifiedSince,
    ]);

/// What requests show to be let in: meant for one origin only, and nobody else's business.
const CREDENTIALS: [Known; 5] =
    [Known::Authorization, Known::Cookie, Known::ProxyAuthorization, Known::XApiKey, Known::XGraviteeApiKey];

impl Known {
    /// Whether a request shows by it who it is from.
    #[must_use]
    pub fn is_credential(self) -> bool {
        CREDENTIALS.contains(&self)
    }

    /// The name in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// The known name that `name` spells, in any case.
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Known> {
        // `classify` folds the case of tokens only; what is no token is compared once more.
        Known::ALL
            .get(usize::from(classify(name)))
            .copied()
            .filter(|known| known.name().as_bytes().eq_ignore_ascii_case(name))
    }

    pub(crate) const fn bit(self) -> Set {
        1 << self as u8
    }
}

/// The slot of a name: its length, first byte and last two bytes tell all names of the table apart.
const fn slot(length: usize, first: u8, last: u8, last_but_one: u8) -> usize {
    let key = (first | 0x20) as u32
        | ((last | 0x20) as u32) << 8
        | ((last_but_one | 0x20) as u32) << 16
        | (length as u32 & 0xff) << 24;
    (key.wrapping_mul(MULTIPLIER) >> (32 - SLOT_BITS)) as usize
}

static SLOTS: [u8; 1 << SLOT_BITS] = {
    let mut slots = [OTHER; 1 << SLOT_BITS];
    let mut id = 0;
    while id < NAMES.len() {
        let name = NAMES[id].as_bytes();
        assert!(name.len() <= NAME_BYTES_MAX);
        let at = slot(name.len(), name[0], name[name.len() - 1], name[name.len() - 2]);
        assert!(slots[at] == OTHER, "two known names share a slot: choose another multiplier");
        slots[at] = id as u8;
        id += 1;
    }
    slots
};

/// Bytes of the longest name, rounded up to words.
const NAME_BYTES_MAX: usize = 32;

/// The names again, padded to one stride, so that a compare needs no second pointer.
static PADDED: [[u8; NAME_BYTES_MAX]; IDS] = {
    let mut padded = [[0; NAME_BYTES_MAX]; IDS];
    let mut id = 0;
    while id < NAMES.len() {
        let name = NAMES[id].as_bytes();
        let mut at = 0;
        while at < name.len() {
            padded[id][at] = name[at];
            at += 1;
        }
        id += 1;
    }
    padded
};

static LENGTHS: [u8; IDS] = {
    let mut lengths = [0; IDS];
    let mut id = 0;
    while id < NAMES.len() {
        lengths[id] = NAMES[id].len() as u8;
        id += 1;
    }
    lengths
};

/// The id of a field name, [`OTHER`] when it is none of the table.
///
/// `name` must be a token (RFC 9110 section 5.6.2): folding the case by setting a bit is exact only there.
#[inline]
pub(crate) fn classify(name: &[u8]) -> u8 {
    let &[first, .., last_but_one, last] = name else {
        return classify_short(name);
    };
    let id = SLOTS[slot(name.len(), first, last, last_but_one)];
    let at = usize::from(id) % IDS;
    if usize::from(LENGTHS[at]) == name.len() && same_token(name, &PADDED[at]) { id } else { OTHER }
}

/// Whether `name`, which is none of the table, is one of [`SHADOWABLE`] when its underscores are hyphens.
///
/// A hyphen stands at none of the places that choose the slot (checked below), so nearly every name is told by one load.
#[inline]
pub(crate) fn is_shadow(name: &[u8]) -> bool {
    let &[first, .., last_but_one, last] = name else { return false };
    let id = SLOTS[slot(name.len(), first, last, last_but_one)];
    usize::from(LENGTHS[usize::from(id) % IDS]) == name.len() && shadows(name, id)
}

#[cold]
fn shadows(name: &[u8], id: u8) -> bool {
    let hyphen = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    SHADOWABLE >> id & 1 == 1
        && NAMES.get(usize::from(id)).is_some_and(|known| name.iter().map(hyphen).eq(known.bytes()))
}

const _: () = {
    let mut id = 0;
    while id < NAMES.len() {
        let name = NAMES[id].as_bytes();
        assert!(name[0] != b'-' && name[name.len() - 1] != b'-' && name[name.len() - 2] != b'-');
        id += 1;
    }
};

#[cold]
fn classify_short(name: &[u8]) -> u8 {
    if name.eq_ignore_ascii_case(b"te") { Known::Te as u8 } else { OTHER }
}

/// Whether the token `name` is the name at the begin of `lower`, in any case. The last word overlaps the one before.
#[inline]
fn same_token(name: &[u8], lower: &[u8; NAME_BYTES_MAX]) -> bool {
    const CASE: u64 = 0x2020_2020_2020_2020;
    let word =
        |bytes: &[u8], at: usize| bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map(u64::from_le_bytes);
    let half =
        |bytes: &[u8], at: usize| bytes.get(at..at + 4).and_then(|half| half.try_into().ok()).map(u32::from_le_bytes);
    let length = name.len();
    if length < 8 {
        if length < 4 {
            return name.iter().zip(lower).all(|(byte, lower)| byte | 0x20 == *lower);
        }
        let same = |at| half(name, at).map(|half| half | CASE as u32) == half(lower, at);
        return same(0) & same(length - 4);
    }
    let same = |at| word(name, at).map(|word| word | CASE) == word(lower, at);
    same(0) & same(length - 8) && (length <= 16 || same(8) && (length <= 24 || same(16)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case_and_its_neighbours_are_not() {
        for (known, name) in Known::ALL.iter().zip(NAMES) {
            assert_eq!(Known::of(name.as_bytes()), Some(*known), "{name}");
            assert_eq!(Known::of(name.to_uppercase().as_bytes()), Some(*known), "{name}");
            for at in 0..name.len() {
                let mut near = name.as_bytes().to_vec();
                near[at] = b'!';
                assert_eq!(Known::of(&near), None, "{name} at {at}");
            }
            assert_eq!(Known::of(name.replace('-', "\r").as_bytes()).is_some(), !name.contains('-'));
            assert_eq!(Known::of(&name.as_bytes()[1..]), None);
            assert_eq!(Known::of(format!("{name}s").as_bytes()), None);
        }
    }

    #[test]
    fn a_name_is_a_shadow_when_its_underscores_are_hyphens() {
        for shadow in ["Content_Length", "TRANSFER_ENCODING", "x_forwarded-for", "x-forwarded_for", "X_REAL_IP"] {
            assert!(is_shadow(shadow.as_bytes()), "{shadow}");
        }
        for other in
            ["content-lengt_", "_ontent-length", "content_lengths", "user_agent", "my_field", "a_", "_", "x_real"]
        {
            assert!(!is_shadow(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn names_are_lower_case_tokens_without_doubles() {
        for (i, name) in NAMES.iter().enumerate() {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name}");
            assert!(!NAMES[..i].contains(name));
        }
    }

    #[test]
    fn the_framing_fields_are_protected_and_the_options_are_not() {
        for protected in
            [Known::Host, Known::ContentLength, Known::TransferEncoding, Known::Authorization, Known::Cookie]
        {
            assert_ne!(PROTECTED & protected.bit(), 0, "{protected:?}");
        }
        for free in [Known::KeepAlive, Known::Upgrade, Known::Te, Known::Http2Settings] {
            assert_eq!(PROTECTED & free.bit(), 0, "{free:?}");
        }
        assert_eq!(PROTECTED >> OTHER, 0);
    }
}
