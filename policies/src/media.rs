//! What a `Content-Type` says (RFC 9110 section 8.3).

use ringway_contract::Fields;

/// The type and subtype without parameters.
pub fn essence(content_type: &[u8]) -> &[u8] {
    content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// The parameter `charset`, without quotes.
pub fn charset(content_type: &[u8]) -> Option<&str> {
    let parameters = content_type.split(|byte| *byte == b';').skip(1);
    let named = parameters.filter_map(|parameter| {
        let text = std::str::from_utf8(parameter).ok()?;
        let (name, value) = text.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    named.last()
}

/// Whether any `Content-Type` is JSON: `application/json` or a type with the suffix `+json` (RFC 6839).
pub fn is_json(fields: &Fields) -> bool {
    any(fields, "application/json", b"+json")
}

/// Whether any `Content-Type` is XML: `text/xml`, `application/xml` or a type with the suffix `+xml` or `-xml` (RFC 7303).
pub fn is_xml(fields: &Fields) -> bool {
    any(fields, "text/xml", b"+xml") || any(fields, "application/xml", b"-xml")
}

/// Whether no `Content-Type` says a charset that UTF-8 is not.
pub fn is_utf8(fields: &Fields) -> bool {
    let charset = fields.get("content-type").and_then(charset);
    charset.is_none_or(|name| ["utf-8", "utf8", "us-ascii"].iter().any(|known| name.eq_ignore_ascii_case(known)))
}

fn any(fields: &Fields, name: &str, suffix: &[u8]) -> bool {
    fields.get_all("content-type").any(|value| {
        let essence = essence(value);
        let tail = essence.get(essence.len().saturating_sub(suffix.len())..).unwrap_or_default();
        essence.eq_ignore_ascii_case(name.as_bytes()) || tail.eq_ignore_ascii_case(suffix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_hide_a_type() {
        assert_eq!(essence(b" application/json ; charset=utf-8"), b"application/json");
        assert_eq!(charset(b"text/xml; q=1;Charset=\"UTF-8\""), Some("UTF-8"));
        for (value, json, xml) in [
            ("Application/JSON;charset=utf-8", true, false),
            ("application/problem+json", true, false),
            ("text/plain", false, false),
            ("application/soap+xml; x=y", false, true),
            ("TEXT/XML", false, true),
            ("", false, false),
        ] {
            let mut fields = Fields::default();
            fields.append("Content-Type", value.as_bytes()).expect("a field");
            assert_eq!((is_json(&fields), is_xml(&fields)), (json, xml), "{value}");
        }
    }
}
