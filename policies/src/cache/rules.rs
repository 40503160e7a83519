//! What may be kept and answered, and for how long (RFC 9111).

use http::{Method, StatusCode};
use ringway_contract::{Fields, Known, RequestHead, ResponseHead};

use super::stored::Stored;

/// Names that a `Vary` may list; a longer one is kept by nobody.
pub const VARY_MAX: usize = 16;

/// The directives of `Cache-Control` that mean something to a shared cache. Numbers are seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// Nothing of it is kept.
    pub no_store: bool,
    /// It is not answered without asking.
    pub no_cache: bool,
    /// It is one user's.
    pub private: bool,
    /// It is everybody's.
    pub public: bool,
    /// It is never answered when it is stale.
    pub must_revalidate: bool,
    /// The client takes nothing that must be asked for.
    pub only_if_cached: bool,
    /// How long it is fresh.
    pub max_age: Option<u64>,
    /// The same for shared caches.
    pub s_maxage: Option<u64>,
    /// How long it has to be fresh still.
    pub min_fresh: Option<u64>,
}

impl Directives {
    /// Those of all `Cache-Control` lines. What is no number is the strictest one (RFC 9111 section 4.2.1).
    pub fn of(fields: &Fields) -> Self {
        let mut all = Self::default();
        for line in fields.known_all(Known::CacheControl) {
            for item in items(line) {
                let (name, value) = match item.iter().position(|byte| *byte == b'=') {
                    Some(at) => (item.get(..at).unwrap_or_default(), item.get(at + 1..).unwrap_or_default()),
                    None => (item, &b""[..]),
                };
                let number = Some(seconds(value.trim_ascii()));
                // Two of the same: the stricter one counts.
                let least = |known: Option<u64>| known.map_or(number, |known| number.map(|number| number.min(known)));
                match &*name.trim_ascii().to_ascii_lowercase() {
                    b"no-store" => all.no_store = true,
                    b"no-cache" => all.no_cache = true,
                    b"private" => all.private = true,
                    b"public" => all.public = true,
                    b"must-revalidate" | b"proxy-revalidate" => all.must_revalidate = true,
                    b"only-if-cached" => all.only_if_cached = true,
                    b"max-age" => all.max_age = least(all.max_age),
                    b"s-maxage" => all.s_maxage = least(all.s_maxage),
                    b"min-fresh" => all.min_fresh = number,
                    _ => {}
                }
            }
        }
        all
    }
}

/// The items of a list; commas in quotes part nothing.
fn items(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    line.split(move |byte| {
        let parts = *byte == b',' && !quoted;
        if escaped {
            escaped = false;
        } else if quoted && *byte == b'\\' {
            escaped = true;
        } else if *byte == b'"' {
            quoted = !quoted;
        }
        parts
    })
    .map(<[u8]>::trim_ascii)
}

/// Delta seconds (RFC 9111 section 1.2.2), with or without quotes; 0 for what is none.
fn seconds(value: &[u8]) -> u64 {
    let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    let text = std::str::from_utf8(value).unwrap_or_default();
    match text.parse::<u64>() {
        Ok(seconds) => seconds.min(u64::from(u32::MAX >> 1)),
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => u64::from(u32::MAX >> 1),
        Err(_) => 0,
    }
}

/// How long a response is fresh by what it says of itself, in seconds (section 4.2.1). `None`: it says nothing.
pub fn lifetime(response: &ResponseHead, directives: &Directives, now_s: u64) -> Option<u64> {
    let fields = &response.fields;
    directives.s_maxage.or(directives.max_age).or_else(|| {
        let expires = fields.get("expires")?;
        // What is no date has passed.
        let Some(expires) = http_date(expires) else { return Some(0) };
        let made = fields.known(Known::Date).and_then(http_date).unwrap_or(now_s);
        Some(expires.saturating_sub(made))
    })
}

/// The age that a response has when it comes, in seconds.
pub fn age(response: &ResponseHead) -> u64 {
    response.fields.get("age").map_or(0, |value| seconds(value.trim_ascii()))
}

/// Whether an answer to a request with credentials may be another one's, too (section 3.5).
pub fn is_shareable(directives: &Directives) -> bool {
    directives.public || directives.must_revalidate || directives.s_maxage.is_some()
}

/// Statuses that are kept when the response says how long it is fresh, besides 2xx.
pub fn is_final(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..=205 | 207..=299 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The fields that the response depends on, in lower case and in order. `None`: on something that nobody can tell, or on too many.
pub fn vary(response: &ResponseHead) -> Option<Vec<Box<str>>> {
    let mut names: Vec<Box<str>> = Vec::new();
    for line in response.fields.get_all("vary") {
        for name in line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
            if name == b"*" || names.len() >= VARY_MAX {
                return None;
            }
            names.push(std::str::from_utf8(name).ok()?.to_ascii_lowercase().into());
        }
    }
    // A body in a coding is for clients that take it, whether or not the backend says so.
    if response.fields.known(Known::ContentEncoding).is_some() {
        names.push("accept-encoding".into());
    }
    names.sort_unstable();
    names.dedup();
    Some(names)
}

/// Whether the client has this response already (RFC 9110 sections 13.1.2 and 13.1.3).
pub fn has_it(request: &RequestHead, stored: &Stored) -> bool {
    if request.method != Method::GET && request.method != Method::HEAD {
        return false;
    }
    let plain = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    if request.fields.known(Known::IfNoneMatch).is_some() {
        let Some(own) = stored.field("etag").map(plain) else { return false };
        let mut tags = request.fields.known_all(Known::IfNoneMatch).flat_map(items);
        return tags.any(|tag| tag == b"*" || plain(tag) == own);
    }
    let dates = request.fields.known(Known::IfModifiedSince).and_then(http_date);
    dates.zip(stored.field("last-modified").and_then(http_date)).is_some_and(|(since, changed)| changed <= since)
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 of an IMF-fixdate, such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7). The obsolete forms are not read.
pub fn http_date(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let (_, text) = text.split_once(", ")?;
    let mut parts = text.split(' ');
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let day = number(parts.next()?).filter(|day| (1..=31).contains(day))?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|known| *known == name)? as u64 + 1;
    let year = number(parts.next()?).filter(|year| (1970..=9999).contains(year))?;
    let mut clock = parts.next()?.split(':').map(|part| number(part).filter(|part| *part <= 60));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if parts.next()? != "GMT" {
        return None;
    }
    // Days from the civil date: years begin in March, so that the leap day is the last one.
    let years = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (years / 400, years % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    days.checked_sub(719_468)?.checked_mul(86_400)?.checked_add(hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(name, value.as_bytes()).unwrap();
        }
        fields
    }

    fn response(lines: &[(&str, &str)]) -> ResponseHead {
        let mut response = ResponseHead::default();
        response.fields = fields(lines);
        response
    }

    #[test]
    fn directives_are_read_strictly() {
        let of = |value| Directives::of(&fields(&[("Cache-Control", value)]));
        assert_eq!(of("max-age=60").max_age, Some(60));
        assert_eq!(of("Max-Age = \"60\"").max_age, Some(60));
        assert_eq!(of("max-age=-1").max_age, Some(0));
        assert_eq!(of("max-age=1.5").max_age, Some(0));
        assert_eq!(of("max-age").max_age, Some(0));
        assert_eq!(of("max-age=60, max-age=10").max_age, Some(10));
        assert_eq!(of("max-age=99999999999999999999").max_age, Some(u64::from(u32::MAX >> 1)));
        assert!(of("x=\"a, no-store\"").no_store.eq(&false), "what stands in quotes is no directive");
        let all = of("Public,s-maxage=5 , PRIVATE=\"set-cookie\", no-cache, no-store,must-revalidate");
        assert!(all.public && all.private && all.no_cache && all.no_store && all.must_revalidate);
        assert_eq!(all.s_maxage, Some(5));
    }

    #[test]
    fn freshness_is_what_the_response_says() {
        let of = |lines: &[(&str, &str)]| {
            let response = response(lines);
            lifetime(&response, &Directives::of(&response.fields), 1_000)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("Cache-Control", "max-age=10, s-maxage=20")]), Some(20));
        let dates = [("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Expires", "Sun, 06 Nov 1994 08:50:37 GMT")];
        assert_eq!(of(&dates), Some(60));
        assert_eq!(of(&[("Expires", "0")]), Some(0));
        assert_eq!(of(&[("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")]), Some(0));
        assert_eq!(of(&[dates[0], ("Cache-Control", "max-age=5"), dates[1]]), Some(5));
    }

    #[test]
    fn dates_are_read() {
        for (text, wanted) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun Nov  6 08:49:37 1994", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 32 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 99:49:37 GMT", None),
            ("Sun, +6 Nov 1994 08:49:37 GMT", None),
            ("", None),
        ] {
            assert_eq!(http_date(text.as_bytes()), wanted, "{text}");
        }
    }

    #[test]
    fn a_coding_varies_by_what_clients_take() {
        let names = |lines: &[(&str, &str)]| vary(&response(lines)).map(|names| names.join(","));
        assert_eq!(names(&[]).as_deref(), Some(""));
        assert_eq!(names(&[("Vary", "Accept, X-B,, accept"), ("Vary", "a")]).as_deref(), Some("a,accept,x-b"));
        assert_eq!(
            names(&[("Vary", "accept"), ("Content-Encoding", "gzip")]).as_deref(),
            Some("accept,accept-encoding")
        );
        assert_eq!(names(&[("Vary", "accept, *")]), None);
        assert_eq!(names(&[("Vary", &"a,".repeat(VARY_MAX + 1))]), None);
    }
}
