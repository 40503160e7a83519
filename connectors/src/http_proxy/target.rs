//! The URL of a backend.

use std::net::IpAddr;
use std::path::PathBuf;

use http::Uri;
use ringway_wire::Authority;

/// Where a backend is, and what its requests begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Where to connect to.
    pub place: Place,
    /// `Host` of requests: with the port where it is not the scheme's own.
    pub authority: String,
    /// Path that the request's own is appended to; empty or without a trailing slash.
    pub base: String,
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A name or address, and a port.
    Host { name: String, port: u16 },
    /// A Unix socket.
    Unix(PathBuf),
}

impl Target {
    /// The name that a certificate must have.
    pub fn server_name(&self) -> &str {
        match &self.place {
            Place::Host { name, .. } => name,
            Place::Unix(_) => &self.authority,
        }
    }

    /// Reads a target. `http`, `https`, `ws` and `wss`; for a Unix socket `http://unix:/path/of.sock:/base`, the base being optional.
    ///
    /// # Errors
    /// What is wrong with it, in words for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("a target begins with http:// or https://")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            other => return Err(format!("scheme `{other}` is not one of http, https, ws, wss")),
        };
        if let Some(path) = rest.strip_prefix("unix:") {
            let (socket, base) = path.split_once(':').unwrap_or((path, ""));
            if !socket.starts_with('/') {
                return Err("the path of a Unix socket is absolute: http://unix:/path/of.sock:/base".into());
            }
            let place = Place::Unix(PathBuf::from(socket));
            return Ok(Self { tls, place, authority: "localhost".into(), base: base_of(base)? });
        }
        let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
        let authority = uri.authority().ok_or("the target has no host")?;
        if authority.as_str().contains('@') {
            return Err("user and password in a target are refused: set an Authorization header instead".into());
        }
        if uri.query().is_some() {
            return Err("a query in a target is not supported".into());
        }
        // Not the port that `Uri` tells: to it, one that is out of range is none.
        let mut name = String::new();
        let read = Authority::parse(authority.as_str().as_bytes(), &mut name);
        let port = match read.map(|read| read.port) {
            None | Some(Some(0)) => return Err(format!("`{authority}` is no host with a port between 1 and 65535")),
            Some(port) => port,
        };
        let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { base: base_of(uri.path())?, ..Self::of_host(tls, name, port) })
    }

    /// The root of a host, which is in lower case and, where it is an IPv6 address, without brackets. Without a port it is the
    /// scheme's own.
    pub fn of_host(tls: bool, name: String, port: Option<u16>) -> Self {
        let usual = if tls { 443 } else { 80 };
        let port = port.unwrap_or(usual);
        let shown = match name.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => name.clone(),
        };
        let authority = if port == usual { shown } else { format!("{shown}:{port}") };
        Self { tls, place: Place::Host { name, port }, authority, base: String::new() }
    }
}

fn base_of(path: &str) -> Result<String, String> {
    let base = path.trim_end_matches('/');
    if base.is_empty() || base.starts_with('/') {
        Ok(base.into())
    } else {
        Err(format!("`{path}` does not begin with /"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        let host = |name: &str, port| Place::Host { name: name.into(), port };
        for (text, tls, place, authority, base) in [
            ("http://backend", false, host("backend", 80), "backend", ""),
            ("http://Backend:8080/v1/", false, host("backend", 8080), "backend:8080", "/v1"),
            ("https://b:443/", true, host("b", 443), "b", ""),
            ("wss://b:80/chat", true, host("b", 80), "b:80", "/chat"),
            ("http://[::1]:9", false, host("::1", 9), "[::1]:9", ""),
            ("http://unix:/run/a.sock", false, Place::Unix("/run/a.sock".into()), "localhost", ""),
            ("http://unix:/run/a.sock:/base/", false, Place::Unix("/run/a.sock".into()), "localhost", "/base"),
        ] {
            let expected = Target { tls, place, authority: authority.into(), base: base.into() };
            assert_eq!(Target::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn bad_targets_say_why() {
        for (text, word) in [
            ("backend:80", "begins with"),
            ("ftp://b", "scheme `ftp`"),
            ("http://", "not a URL"),
            ("http://u:p@b", "user and password"),
            ("http://b/?a=1", "query"),
            ("http://unix:run/a.sock", "absolute"),
            ("http://b:99999", "between 1 and 65535"),
            ("http://b:0", "between 1 and 65535"),
        ] {
            let error = Target::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
