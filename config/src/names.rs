//! Names as people write them: folding of case and hyphens, and the nearest name to one that is unknown.

/// How unlike two names may be for one to be proposed in place of the other: edits per character.
const EDITS_PER_CHAR_MAX: f64 = 0.4;

/// A name in kebab case: `KEY_LESS` and `key-less` are the same word.
pub fn kebab(name: &str) -> String {
    name.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Whether two names are the same but for case, and `_` for `-`.
pub fn same(a: &str, b: &str) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| fold(a) == fold(b))
}

/// The one of `names` that `name` was most likely meant to be.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = kebab(name);
    if wanted.chars().count() > 64 {
        return None;
    }
    names
        .into_iter()
        .map(|known| (edits(&wanted, &kebab(known)), known))
        .filter(|(edits, known)| (*edits as f64) <= EDITS_PER_CHAR_MAX * known.chars().count().max(2) as f64)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, known)| known)
}

/// What some ids of the reference product begin with and others do not, for no reason that one could remember.
const PREFIX: &str = "policy-";

/// Between two names in kebab case; a [`PREFIX`] that one of them lacks is one edit.
fn edits(a: &str, b: &str) -> usize {
    let is_prefixed = |long: &str, short: &str| long.strip_prefix(PREFIX) == Some(short);
    if is_prefixed(a, b) || is_prefixed(b, a) { 1 } else { strsim::damerau_levenshtein(a, b) }
}

/// The one of `names` that `name` misspells: so near that it cannot well be another word. `None` when `name` is one of them.
pub(crate) fn misspelt<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = kebab(name);
    let length = wanted.chars().count();
    let edits_max = if length < 5 { 1 } else { 2 };
    let near = names
        .into_iter()
        .map(|known| (edits(&wanted, known), known))
        .filter(|(edits, _)| length <= 64 && *edits <= edits_max)
        .min_by_key(|(edits, _)| *edits)?;
    Some(near.1).filter(|_| near.0 > 0)
}

/// An id made of a name: `Orders (EU)` is `orders-eu`.
pub(crate) fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let length = slug.trim_end_matches('-').len();
    slug.truncate(length);
    if slug.is_empty() { "api".into() } else { slug }
}

/// Names in a sentence: `` `a`, `b` or `c` ``.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_the_nearest_is_found() {
        assert!(same("ROUND_ROBIN", "round-robin") && same("Proxy", "PROXY") && !same("a", "b"));
        assert_eq!(kebab("API_KEY"), "api-key");
        let names = ["listeners", "endpointGroups", "plans", "port"];
        let table = [
            ("listners", Some("listeners")),
            ("endpointgroup", Some("endpointGroups")),
            ("PLAN", Some("plans")),
            ("prot", Some("port")),
            ("zebra", None),
            ("", None),
        ];
        for (name, wanted) in table {
            assert_eq!(nearest(name, names), wanted, "{name}");
        }
        let policies = ["policy-interrupt", "rate-limit", "http-proxy"];
        assert_eq!(nearest("interrupt", policies), Some("policy-interrupt"));
        assert_eq!(nearest("policy-rate-limit", policies), Some("rate-limit"));
        assert_eq!(misspelt("interrupt", policies), Some("policy-interrupt"));
        assert_eq!(misspelt("our-rate-limit", policies), None);
        assert_eq!(misspelt("transfrom-headers", ["transform-headers", "mock"]), Some("transform-headers"));
        assert_eq!(misspelt("JSON_XML", ["json-xml", "xml-json"]), None);
        assert_eq!(slug("Orders (EU)"), "orders-eu");
        assert_eq!(slug("…"), "api");
        assert_eq!(list(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
