//! API definitions for tests: the smallest that is valid, and what a test says differently.

use serde_json::{Value, json};

/// An API definition in the shape of Gravitee v4, as JSON.
#[derive(Clone, Debug)]
pub struct Api {
    json: Value,
}

impl Api {
    /// A key-less proxy API at a path of any host, with one endpoint.
    pub fn proxy(path: &str, target: &str) -> Api {
        Api::balanced(path, &[target])
    }

    /// An API of type MESSAGE at `path`: its entrypoints, and the type and configuration of its one endpoint.
    pub fn messages(path: &str, entrypoints: Value, kind: &str, configuration: Value) -> Api {
        let name = format!("messages{}", path.replace('/', "-"));
        let json = json!({
            "definitionVersion": "V4",
            "type": "MESSAGE",
            "name": name,
            "apiVersion": "1.0",
            "listeners": [{ "type": "HTTP", "paths": [{ "path": path }], "entrypoints": entrypoints }],
            "endpointGroups": [{
                "name": "brokers",
                "type": kind,
                "endpoints": [{ "name": "broker", "type": kind, "configuration": configuration }]
            }],
            "plans": [{ "name": "open", "mode": "STANDARD", "status": "PUBLISHED", "security": { "type": "KEY_LESS" } }]
        });
        Api { json }
    }

    /// A key-less proxy API with endpoints `e0`, `e1`, ... in one group.
    pub fn balanced(path: &str, targets: &[&str]) -> Api {
        let endpoints: Vec<Value> = targets
            .iter()
            .enumerate()
            .map(|(at, target)| {
                json!({ "name": format!("e{at}"), "type": "http-proxy", "inheritConfiguration": true, "configuration": { "target": target } })
            })
            .collect();
        let name = format!("test{}", path.replace('/', "-"));
        Api {
            json: json!({
                "definitionVersion": "V4", "type": "PROXY", "name": name, "apiVersion": "1",
                "listeners": [{ "type": "HTTP", "paths": [{ "path": path }], "entrypoints": [{ "type": "http-proxy" }] }],
                "endpointGroups": [{ "name": "default", "type": "http-proxy", "endpoints": endpoints }],
                "plans": [{ "name": "free", "security": { "type": "KEY_LESS" }, "status": "PUBLISHED", "flows": [] }]
            }),
        }
    }

    /// Sets the value at a path of keys and indices (`endpointGroups/0/loadBalancer`), making the objects on the way.
    #[must_use]
    pub fn with(mut self, path: &str, value: Value) -> Api {
        let mut place = &mut self.json;
        for key in path.split('/') {
            place = match (key.parse::<usize>(), place) {
                (Ok(index), Value::Array(items)) => items.get_mut(index).expect("the index of an item"),
                (_, place) => &mut place[key],
            };
        }
        *place = value;
        self
    }

    /// Sets an option of the group's `sharedConfiguration/http`.
    #[must_use]
    pub fn http(self, option: &str, value: Value) -> Api {
        self.with(&format!("endpointGroups/0/sharedConfiguration/http/{option}"), value)
    }

    /// The definition.
    pub fn json(&self) -> String {
        self.json.to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Api;

    #[test]
    fn what_a_test_says_differently_is_set_in_place() {
        let api = Api::balanced("/a/", &["http://x", "http://y"])
            .with("endpointGroups/0/endpoints/1/secondary", json!(true))
            .http("readTimeout", json!(5));
        let json: Value = serde_json::from_str(&api.json()).unwrap();
        assert_eq!(json["endpointGroups"][0]["endpoints"][1]["secondary"], true);
        assert_eq!(json["endpointGroups"][0]["endpoints"][1]["configuration"]["target"], "http://y");
        assert_eq!(json["endpointGroups"][0]["sharedConfiguration"]["http"]["readTimeout"], 5);
    }
}
