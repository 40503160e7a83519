//! Who may come, by address, where the address has to be found out first.

use ringway_tests::{Api, Backend, Gateway};
use serde_json::json;

#[test]
fn names_of_hosts_are_looked_up_by_every_shard() {
    let backend = Backend::ok("in");
    let of = |path: &str, list: &str, name: &str| {
        let step = json!({ "policy": "ip-filtering", "configuration": { list: [name] } });
        Api::proxy(path, &backend.target()).with("flows", json!([{ "request": [step] }]))
    };
    // The resolver knows it without a name server (RFC 6761 section 6.3).
    let apis = [of("/in", "whitelistIps", "localhost"), of("/out", "blacklistIps", "localhost")];
    let gateway = Gateway::configured("shards: 2\n", &apis);
    for _ in 0..20 {
        assert_eq!(gateway.get("/in").0.status(), 200);
        assert_eq!(gateway.get("/out").0.status(), 403);
    }
}
