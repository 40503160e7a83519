//! Sharding tags and tenants: which APIs, plans, flows and endpoints a gateway has.

use crate::api::Api;
use crate::settings::Settings;

/// Whether what has the tags `own` belongs on a gateway with the tags `gateway`. A gateway without tags has everything; one with tags has only
/// what shares one of them and none that it excludes (`!tag`).
pub(crate) fn deployed(own: &[String], gateway: &[String]) -> bool {
    let has = |tag: &str| own.iter().any(|own| own.eq_ignore_ascii_case(tag));
    let (excluded, wanted): (Vec<&String>, Vec<&String>) = gateway.iter().partition(|tag| tag.starts_with('!'));
    if excluded.iter().any(|tag| has(tag.trim_start_matches('!'))) {
        return false;
    }
    wanted.is_empty() || wanted.iter().any(|tag| has(tag))
}

/// Whether what is part of an API and has the tags `own` is used: without tags of its own it goes where the API goes.
pub(crate) fn part_deployed(own: &[String], gateway: &[String]) -> bool {
    own.is_empty() || deployed(own, gateway)
}

/// Leaves out the endpoints of other tenants and the flows of other gateways; tells why the API is not served here, if so.
pub(crate) fn narrow(api: &mut Api, settings: &Settings, reasons: &mut Vec<String>) {
    if !deployed(&api.tags, &settings.tags) {
        reasons.insert(0, OTHER_GATEWAY.to_owned());
    }
    let flows = api.flows.iter_mut().chain(api.plans.iter_mut().flat_map(|plan| &mut plan.flows));
    for flow in flows {
        flow.enabled &= part_deployed(&flow.tags, &settings.tags);
    }
    if let Some(tenant) = &settings.tenant {
        for group in &mut api.endpoint_groups {
            group.endpoints.retain(|endpoint| endpoint.tenants.contains(tenant));
        }
    }
}

/// Why an API of another shard of gateways is not served; its paths then conflict with nobody's.
pub(crate) const OTHER_GATEWAY: &str = "its tags are not those of this gateway";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_choose_gateways() {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let table = [
            ("", "", true),
            ("a", "", true),
            ("", "a", false),
            ("a b", "b c", true),
            ("a", "b", false),
            ("", "!a", true),
            ("a", "!a", false),
            ("a b", "b !a", false),
            ("A", "a", true),
        ];
        for (own, gateway, wanted) in table {
            assert_eq!(deployed(&list(own), &list(gateway)), wanted, "{own:?} on {gateway:?}");
        }
    }
}
