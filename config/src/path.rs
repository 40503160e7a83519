//! Context paths and hosts: what they may be, and when two are the same.

/// The longest host in bytes (RFC 1035 section 2.3.4, without the final dot).
const HOST_BYTES_MAX: usize = 253;

/// The longest context path in bytes.
const PATH_BYTES_MAX: usize = 4096;

/// The most segments of a context path.
const SEGMENTS_MAX: usize = 64;

/// The most parameters of a context path.
const PARAMETERS_MAX: usize = 8;

/// What is wrong, as the rest of a sentence that begins with the path, and what to do about it.
pub(crate) type Wrong = (String, Option<String>);

/// A check of a path or a host.
pub(crate) type Check = fn(&str) -> Result<(), Wrong>;

/// Whether `path` can be a context path.
pub(crate) fn check_context_path(path: &str) -> Result<(), Wrong> {
    check_path(path)?;
    if path.len() > PATH_BYTES_MAX {
        return wrong(format!("is longer than {PATH_BYTES_MAX} bytes"));
    }
    if segments(path).count() > SEGMENTS_MAX {
        return wrong(format!("has more than {SEGMENTS_MAX} segments"));
    }
    if parameters(path).count() > PARAMETERS_MAX {
        return wrong(format!("has more than {PARAMETERS_MAX} parameters"));
    }
    Ok(())
}

/// Whether `path` can be the path of a flow: as a context path, without its bounds.
pub(crate) fn check_flow_path(path: &str) -> Result<(), Wrong> {
    if path.is_empty() { Ok(()) } else { check_path(path) }
}

fn check_path(path: &str) -> Result<(), Wrong> {
    if !path.starts_with('/') {
        return Err(("does not begin with `/`".into(), Some(format!("write `/{path}`"))));
    }
    if path.contains("//") {
        return wrong("has an empty segment (`//`)");
    }
    if let Some(bad) = path.chars().find(|c| {
        matches!(c, '?' | '#' | '\\' | '"' | '<' | '>' | '^' | '`' | '{' | '|' | '}')
            || c.is_whitespace()
            || c.is_control()
    }) {
        return match bad {
            '{' | '}' => Err(("has a brace".into(), Some("parameters are written `:name`".into()))),
            bad => wrong(format!("has the character {bad:?}, which a path cannot have")),
        };
    }
    if segments(path).any(|segment| matches!(segment, "." | "..")) {
        return wrong("has a segment `.` or `..`, which no request has after normalisation");
    }
    for (at, _) in path.match_indices('%') {
        let digits = path.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if digits.is_none() {
            return wrong("has a `%` without two hexadecimal digits");
        }
    }
    let mut seen: Vec<&str> = Vec::new();
    for name in parameters(path) {
        if name.is_empty() {
            return wrong("has a parameter without a name");
        }
        if seen.contains(&name) {
            return wrong(format!("has two parameters `:{name}`"));
        }
        seen.push(name);
    }
    Ok(())
}

/// Whether `host` can be the host of a context path: a name or an address without port, `*.` and a name, or nothing or `*` for every host.
pub(crate) fn check_host(host: &str) -> Result<(), Wrong> {
    if normal_host(Some(host)).is_empty() {
        return Ok(());
    }
    let name = host.strip_prefix("*.").unwrap_or(host);
    if name.len() > HOST_BYTES_MAX {
        return wrong(format!("is longer than {HOST_BYTES_MAX} bytes"));
    }
    if name.starts_with('[') {
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let valid = address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
        return if valid { Ok(()) } else { wrong("is not an IPv6 address in brackets") };
    }
    if let Some((name, port)) = name.split_once(':') {
        let hint = port
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| format!("write `{name}`: hosts are compared without port"));
        return Err(("has a colon".into(), hint));
    }
    if name.contains('*') {
        return Err(("has a `*` that is not its first label".into(), Some("write `*.example.com`".into())));
    }
    let valid = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.strip_suffix('.').unwrap_or(name).split('.').all(valid) { Ok(()) } else { wrong("is not a host name") }
}

fn wrong(message: impl Into<String>) -> Result<(), Wrong> {
    Err((message.into(), None))
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// The names of the parameters of a path, in order.
pub(crate) fn parameters(path: &str) -> impl Iterator<Item = &str> {
    segments(path).filter_map(|segment| segment.strip_prefix(':'))
}

/// The form of a context path that is the same for all that take the same requests: `/orders/` is `/orders`, and a parameter has no name.
pub(crate) fn normal_path(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    for segment in segments(path) {
        normal.push('/');
        normal.push_str(if segment.starts_with(':') { ":" } else { segment });
    }
    if normal.is_empty() { "/".into() } else { normal }
}

/// The form of a host that is the same for all that take the same requests; empty for every host.
pub(crate) fn normal_host(host: Option<&str>) -> String {
    let host = host.unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    if host == "*" { String::new() } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_paths_are_checked() {
        for path in ["/", "/orders", "/orders/", "/a/:b/c", "/a%20b", "/é", "/a:b"] {
            assert_eq!(check_context_path(path), Ok(()), "{path}");
        }
        let deep = "/a".repeat(65);
        let long = format!("/{}", "a".repeat(4096));
        let table = [
            ("orders", "does not begin with `/`"),
            ("", "does not begin with `/`"),
            ("/a//b", "has an empty segment (`//`)"),
            ("/a?b", "has the character '?', which a path cannot have"),
            ("/a b", "has the character ' ', which a path cannot have"),
            ("/a/{id}", "has a brace"),
            ("/a/../b", "has a segment `.` or `..`, which no request has after normalisation"),
            ("/a%2", "has a `%` without two hexadecimal digits"),
            ("/:a/:a", "has two parameters `:a`"),
            ("/:", "has a parameter without a name"),
            ("/:a/:b/:c/:d/:e/:f/:g/:h/:i", "has more than 8 parameters"),
            (&deep, "has more than 64 segments"),
            (&long, "is longer than 4096 bytes"),
        ];
        for (path, wanted) in table {
            assert_eq!(check_context_path(path).map_err(|wrong| wrong.0), Err(wanted.into()), "{path}");
        }
    }

    #[test]
    fn hosts_are_checked() {
        for host in
            ["api.example.com", "*.example.com", "localhost", "10.0.0.1", "[::1]", "a_b.test", "example.com.", "", "*"]
        {
            assert_eq!(check_host(host), Ok(()), "{host}");
        }
        for host in ["a..b", "-a", "a:80", "a.*.b", "a b", "[::1", "http://a"] {
            assert!(check_host(host).is_err(), "{host}");
        }
    }

    #[test]
    fn paths_that_take_the_same_requests_are_the_same() {
        let table = [("/orders/", "/orders"), ("/", "/"), ("/a/:id/b/", "/a/:/b")];
        for (path, wanted) in table {
            assert_eq!(normal_path(path), wanted);
        }
        assert_eq!(normal_host(Some("API.Example.com.")), "api.example.com");
    }
}
