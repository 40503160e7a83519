//! Every kind of problem, where it is found and what is said about it.
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use ringway_config::{Loader, Problem, Settings};

/// A valid definition; each case changes a line of it.
const VALID: &str = "\
name: Orders
type: proxy
listeners:
  - type: http
    paths:
      - path: /orders
    cors:
      enabled: true
      maxAge: 600
    entrypoints:
      - type: http-proxy
endpointGroups:
  - name: main
    type: http-proxy
    loadBalancer:
      type: round-robin
    endpoints:
      - name: a
        type: http-proxy
        weight: 1
        configuration:
          target: http://127.0.0.1:9000
flows:
  - name: all
    selectors:
      - type: http
        path: /
        methods: [GET]
plans:
  - name: open
    security:
      type: key-less
";

fn problems(text: &str) -> Vec<Problem> {
    Loader::default().definition("a.yaml", text, &Settings::default()).1
}

/// All problems in one line each, without the name of the file.
fn lines(text: &str) -> Vec<String> {
    problems(text).iter().map(|problem| problem.to_string().trim_start_matches("a.yaml:").to_owned()).collect()
}

#[test]
fn every_kind_of_problem_has_its_place_and_its_words() {
    assert_eq!(lines(VALID), [""; 0]);
    let table = [
        // Names.
        ("name: Orders", "nam: Orders", "1:1: error: `name` is missing"),
        ("listeners:", "listners:", "3:1: error: listners: unknown field (did you mean `listeners`?)"),
        (
            "        weight: 1",
            "        wieght: 1",
            "20:9: error: endpointGroups[0].endpoints[0].wieght: unknown field (did you mean `weight`?)",
        ),
        (
            "maxAge: 600",
            "zebra: 600",
            "9:7: error: listeners[0].cors.zebra: unknown field (known: `allowCredentials`, `allowHeaders`, `allowMethods`, `allowOrigin`, `enabled`, `exposeHeaders`, `maxAge` or `runPolicies`)",
        ),
        ("    paths:\n      - path: /orders\n", "    hosts: [a]\n", "4:5: error: listeners[0]: `paths` is missing"),
        // Types.
        ("name: Orders", "name: [Orders]", "1:7: error: name: expected a string, found a list"),
        ("name: Orders", "name: true", "1:7: error: name: expected a string, found a boolean (put it in quotes)"),
        (
            "enabled: true",
            "enabled: 'true'",
            "8:16: error: listeners[0].cors.enabled: expected a boolean, found a string (write true without quotes)",
        ),
        (
            "enabled: true",
            "enabled: yes",
            "8:16: error: listeners[0].cors.enabled: expected a boolean, found a string (write `true` or `false`)",
        ),
        (
            "weight: 1",
            "weight: '1'",
            "20:17: error: endpointGroups[0].endpoints[0].weight: expected an integer, found a string (write 1 without quotes)",
        ),
        (
            "weight: 1",
            "weight: 1.5",
            "20:17: error: endpointGroups[0].endpoints[0].weight: expected an integer, found `1.5`",
        ),
        (
            "methods: [GET]",
            "methods: GET",
            "28:18: error: flows[0].selectors[0].methods: expected a list, found a string (write `- ` in front of it, or put it in `[ ]`)",
        ),
        (
            "    cors:\n      enabled: true\n      maxAge: 600\n",
            "    cors: on\n",
            "7:11: error: listeners[0].cors: expected a map, found a string",
        ),
        // Values.
        ("type: proxy", "type: prxy", "2:7: error: type: `prxy` is not a valid value (did you mean `PROXY`?)"),
        (
            "type: round-robin",
            "type: rond_robin",
            "16:13: error: endpointGroups[0].loadBalancer.type: `rond_robin` is not a valid value (did you mean `ROUND_ROBIN`?)",
        ),
        (
            "methods: [GET]",
            "methods: [GTE]",
            "28:19: error: flows[0].selectors[0].methods[0]: `GTE` is not a valid value (did you mean `GET`?)",
        ),
        (
            "  - type: http\n    paths",
            "  - type: htp\n    paths",
            "4:11: error: listeners[0].type: `htp` is not a valid value (did you mean `HTTP`?)",
        ),
        (
            "      - type: http\n        path: /",
            "      - path: /",
            "26:9: error: flows[0].selectors[0]: `type` is missing (allowed: `HTTP`, `CHANNEL`, `CONDITION` or `MCP`)",
        ),
        // Ranges.
        (
            "weight: 1",
            "weight: 10001",
            "20:17: error: endpointGroups[0].endpoints[0].weight: `10001` is out of range: at most 10000 is allowed",
        ),
        (
            "weight: 1",
            "weight: -1",
            "20:17: error: endpointGroups[0].endpoints[0].weight: `-1` is out of range: at least 1 is allowed",
        ),
        (
            "maxAge: 600",
            "maxAge: -2",
            "9:15: error: listeners[0].cors.maxAge: `-2` is out of range: at least -1 is allowed",
        ),
        ("name: Orders", "name: ''", "1:7: error: name: must not be empty"),
        ("      - path: /orders", "      []", "6:7: error: listeners[0].paths: must not be empty"),
        (
            "name: Orders",
            "hrid: a b\nname: Orders",
            "1:7: error: hrid: `a b` does not match `^[a-zA-Z0-9][a-zA-Z0-9_-]+[a-zA-Z0-9]$`",
        ),
        // What only Ringway knows.
        (
            "path: /orders",
            "path: orders",
            "6:15: error: listeners[0].paths[0].path: `orders` does not begin with `/` (write `/orders`)",
        ),
        (
            "path: /orders",
            "path: /{id}",
            "6:15: error: listeners[0].paths[0].path: `/{id}` has a brace (parameters are written `:name`)",
        ),
        (
            "path: /orders",
            "{ path: /o, host: 'a:80' }",
            "6:27: error: listeners[0].paths[0].host: `a:80` has a colon (write `a`: hosts are compared without port)",
        ),
        (
            "path: /orders",
            "path: /orders\n      - path: /orders/",
            "7:15: error: listeners[0].paths[1].path: the context path `/orders/` is taken by the API `Orders` (it is given in a.yaml:6:15; choose another path or host, or other `servers`)",
        ),
        (
            "    entrypoints:",
            "    servers: [htpp]\n    entrypoints:",
            "10:15: error: listeners[0].servers[0]: the gateway has no server `htpp` (did you mean `http`?)",
        ),
        (
            "maxAge: 600",
            "allowOrigin: ['(']",
            "9:21: error: listeners[0].cors.allowOrigin[0]: `(` is neither an origin nor a regular expression: unclosed group",
        ),
        (
            "path: /\n",
            "path: /:a\n  - selectors:\n      - type: http\n        path: /:b\n",
            "30:15: error: flows[1].selectors[0].path: the parameter `:b` is `:a` in line 27: one position has one name",
        ),
        (
            "    endpoints:\n",
            "    services: { healthCheck: { type: ping, configuration: { scheduel: x } } }\n    endpoints:\n",
            "17:38: error: endpointGroups[0].services.healthCheck.type: `ping` is not a health check (allowed: `http-health-check`)",
        ),
        (
            "        configuration:\n          target: http://127.0.0.1:9000\n",
            "      - name: a\n        type: http-proxy\n",
            "21:15: error: endpointGroups[0].endpoints[1].name: the name `a` is taken in line 18: names of endpoints of an API are unique",
        ),
        (
            "path: /\n",
            "path: /\n      - type: HTTP\n        path: /b\n",
            "28:9: error: flows[0].selectors[1]: the flow has another selector of type HTTP: one of each is allowed (write a second flow)",
        ),
        (
            "plans:",
            "responseTemplates: { K: { '*/*': { headers: { 'a b': c, d: \"e\\nf\" } } } }\nplans:",
            "29:60: error: responseTemplates.K.*/*.headers.d: `e\\nf` is not the value of a field: it has a line break or another control character",
        ),
        (
            "    endpoints:\n",
            "    services: { healthCheck: { configuration: { schedule: daily, assertion: '{#x}' } } }\n    endpoints:\n",
            "17:79: error: endpointGroups[0].services.healthCheck.configuration.assertion: `#x` is not known (known are `#api`, `#dictionaries`, `#endpoints`, `#node`, `#properties`, `#response`, `#secrets`)",
        ),
        (
            "flows:",
            "  - { name: other, type: http-proxy }\nflows:",
            "23:5: warning: endpointGroups[1]: only the first group is used: no flow has a policy of the request that could name another",
        ),
        // Text that cannot be read.
        (
            "name: Orders",
            "name: ${RINGWAY_TEST_UNSET}",
            "1:7: error: name: the environment variable `RINGWAY_TEST_UNSET` is not set (set it, or give a default: `${RINGWAY_TEST_UNSET:-value}`)",
        ),
        ("type: proxy", "name: Other", "2:1: error: the key `name` was given before, in line 1"),
        // Warnings.
        (
            "type: proxy",
            "type: native",
            "2:7: warning: type: APIs of type NATIVE come with a later release (the API is loaded but not served)",
        ),
        (
            "      type: key-less",
            "      type: jwt",
            "29:1: warning: plans: no plan is offered: nobody may call this API (an open API has a published plan with `security: { type: KEY_LESS }`)",
        ),
        (
            "type: proxy",
            "type: proxy\nversion: a\napiVersion: b",
            "3:1: error: version: `version` and `apiVersion` are the same, and differ",
        ),
    ];
    for (from, to, wanted) in table {
        assert!(VALID.contains(from), "{from}");
        let found = lines(&VALID.replacen(from, to, 1));
        assert!(
            found.iter().any(|line| line == wanted),
            "{to}\n  wanted {wanted}\n  found  {}",
            found.join("\n         ")
        );
    }
}

#[test]
fn all_problems_are_named_at_once_in_the_order_of_the_file() {
    let text = VALID
        .replace("name: Orders", "nmae: Orders")
        .replace("maxAge: 600", "maxAge: x")
        .replace("weight: 1", "weight: -1");
    let places: Vec<(u32, u32)> = problems(&text).iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(places, [(1, 1), (1, 1), (9, 15), (20, 17)]);
}

#[test]
fn a_problem_is_shown_as_compilers_show_theirs() {
    let text = VALID.replace("        weight: 1", "        wieght: 1");
    let found = problems(&text);
    let wanted = "\
a.yaml:20:9: error: endpointGroups[0].endpoints[0].wieght: unknown field
 20 |         wieght: 1
    |         ^
   hint: did you mean `weight`?";
    assert_eq!(format!("{:#}", found[0]), wanted);
    let coloured = found[0].coloured().to_string();
    assert!(coloured.starts_with("\u{1b}[1ma.yaml:20:9:\u{1b}[0m \u{1b}[1;31merror:\u{1b}[0m "), "{coloured:?}");
    let json = serde_json::to_value(&found[0]).unwrap();
    assert_eq!(json["severity"], "error");
    assert_eq!((json["line"].as_u64(), json["column"].as_u64()), (Some(20), Some(9)));
    assert_eq!(json["hint"], "did you mean `weight`?");
}

#[test]
fn problems_of_json_have_the_same_words() {
    let text = "{\n\t\"name\": 12,\n\t\"type\": \"PROXI\", \"listeners\": [], \"endpointGroups\": null }";
    assert_eq!(
        lines(text),
        [
            "1:1: error: `endpointGroups` is missing",
            "2:10: error: name: expected a string, found a number (put it in quotes)",
            "3:10: error: type: `PROXI` is not a valid value (did you mean `PROXY`?)",
            "3:32: error: listeners: must not be empty",
        ]
    );
}

#[test]
fn an_export_is_searched_wholly() {
    let text =
        r#"{"api": {"name": "A", "type": "PROXY", "plans": [{"name": "x"}]}, "plans": [{"name": "y"}], "pgaes": []}"#;
    let found = lines(text);
    assert!(
        found.contains(&"1:93: error: pgaes: unknown field beside `api` (did you mean `pages`?)".to_owned()),
        "{found:?}"
    );
    assert!(found.contains(&"1:67: error: plans: `plans` stands in `api` too, in line 1".to_owned()), "{found:?}");
}

#[test]
fn a_secret_is_never_shown() {
    let text = VALID.replace(
        "          target: http://127.0.0.1:9000",
        "          target: http://127.0.0.1:9000\n        password: hunter2\n        weight2: ${HOME}",
    );
    for problem in problems(&text) {
        let shown = format!("{problem} {problem:#} {problem:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains(&std::env::var("HOME").unwrap_or("no home".into())), "{shown}");
    }
}

#[test]
fn a_hopeless_file_is_given_up() {
    let fields: String = (0..100_000).map(|number| format!("k{number}: 1\n")).collect();
    let found = problems(&fields);
    assert_eq!(found.len(), ringway_config::PROBLEMS_MAX);
    assert!(found.iter().any(|problem| problem.message == "here the check stopped: there are 500 problems or more"));
}

#[test]
fn conditions_are_compiled_where_they_stand() {
    let step = |condition: &str| {
        VALID.replace(
            "plans:\n",
            &format!("    request:\n      - policy: mock\n        condition: {condition}\nplans:\n"),
        )
    };
    let rule = |rule: &str| VALID.replace("  - name: open", &format!("  - name: open\n    selectionRule: {rule}"));
    let selector = |condition: &str| {
        VALID.replace(
            "      - type: http\n        path: /\n        methods: [GET]\n",
            &format!("      - type: condition\n        condition: {condition}\n"),
        )
    };
    let table = [
        (
            step("\"{#request.hedders['x'] == 'y'}\""),
            "31:31: error: flows[0].request[0].condition: `#request` has no `hedders` (did you mean `headers`?)",
        ),
        (
            step("\"{#response.status == 200}\""),
            "31:22: error: flows[0].request[0].condition: `#response` does not exist here",
        ),
        (
            step("\"#request.method == 'GET'\""),
            "31:21: error: flows[0].request[0].condition: a condition is one expression",
        ),
        // Escapes: the begin of the value.
        (
            step("'{#request.id == ''x'' and #nope}'"),
            "31:20: error: flows[0].request[0].condition: `#nope` is not known",
        ),
        (
            step("|\n          {#request.id +}"),
            "32:25: error: flows[0].request[0].condition: `}` stands where a value is expected",
        ),
        (
            selector("\"{#request.id.lenght() > 2}\""),
            "27:34: error: flows[0].selectors[0].condition: the method `lenght` is not carried (did you mean `length`?)",
        ),
        (rule("'{#request.host matches \"(?=x)\"}'"), "error: plans[0].selectionRule: the regular expression `(?=x)`"),
    ];
    for (text, wanted) in table {
        let found = lines(&text);
        assert!(found.iter().any(|line| line.contains(wanted)), "{wanted}\n{found:#?}");
    }
    for text in [step("\"{#request.id == 'x'}\""), step("'true'"), step("''"), rule("\"{#request.id != null}\"")] {
        assert!(!lines(&text).iter().any(|line| line.contains("error")), "{:?}", lines(&text));
    }
    let secret = step("\"${SECRET:-#request.nothing}\"");
    assert!(!lines(&secret).iter().any(|line| line.contains("nothing")), "{:?}", lines(&secret));
}
