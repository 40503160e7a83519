//! What APIs have in common: platform flows, shared policy groups and dictionaries, with their reloads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use ringway_tests::{Api, Backend, Client, Gateway, wait_until};
use serde_json::{Value, json};

fn step(policy: &str, configuration: Value) -> Value {
    json!({ "name": policy, "policy": policy, "configuration": configuration })
}

/// Sets a field.
fn set(name: &str, value: &str) -> Value {
    step("transform-headers", json!({ "addHeaders": [{ "name": name, "value": value }] }))
}

/// Adds a letter to the field `x-trace` of the request.
fn there(letter: &str) -> Value {
    set("X-Trace", &format!("{{#request.headers['x-trace'][0]}}{letter}"))
}

/// The same of the response.
fn back(letter: &str) -> Value {
    set("X-Trace", &format!("{{#response.headers['x-trace'][0]}}{letter}"))
}

fn group(id: &str) -> Value {
    step("shared-policy-group-policy", json!({ "sharedPolicyGroupId": id }))
}

/// A gateway with a document of what the APIs have in common.
fn with_common(common: &Value, apis: &[Api]) -> Gateway {
    let gateway = Gateway::configured("shards: 2\n", apis);
    gateway.write("apis/common.json", &common.to_string());
    reloaded(&gateway);
    gateway
}

#[track_caller]
fn reloaded(gateway: &Gateway) {
    let (status, text) = gateway.reload();
    assert_eq!(status, 200, "{text}");
}

/// Gives an application the key `first-key` for plans of an API.
fn subscribe(gateway: &Gateway, api: &str, plans: &[&str]) {
    let subscription = |plan: &&str| json!({ "api": api, "plan": plan, "apiKeys": [{ "key": "first-key" }] });
    let subscriptions: Vec<Value> = plans.iter().map(subscription).collect();
    let people = json!({ "applications": [{ "id": "shop", "subscriptions": subscriptions }] });
    gateway.write("apis/people.json", &people.to_string());
    reloaded(gateway);
}

/// The last request that a backend saw.
fn last(backend: &Backend, field: &str) -> Option<String> {
    backend.seen().last().and_then(|(head, _)| head.field(field).map(str::to_owned))
}

#[test]
fn platform_flows_are_around_those_of_plans_and_apis() {
    let backend = Backend::ok("ok");
    let flow = |letter: &str| json!([{ "request": [there(letter)], "response": [back(letter)] }]);
    let own = Api::proxy("/own", &backend.target()).with("flows", flow("a")).with("plans/0/flows", flow("b"));
    let bare = Api::proxy("/bare", &backend.target());
    let common = json!({ "platform": { "flows": flow("p") } });
    let gateway = with_common(&common, &[own, bare]);
    assert_eq!(gateway.get("/own").0.field("x-trace"), Some("abp"));
    assert_eq!(last(&backend, "x-trace").as_deref(), Some("pba"));
    assert_eq!(gateway.get("/bare").0.field("x-trace"), Some("p"));
    assert_eq!(last(&backend, "x-trace").as_deref(), Some("p"));
    // Where the file is gone, so are its flows.
    gateway.remove("apis/common.json");
    reloaded(&gateway);
    assert_eq!(gateway.get("/own").0.field("x-trace"), Some("ab"));
    assert_eq!(gateway.get("/bare").0.field("x-trace"), None);
    assert_eq!(last(&backend, "x-trace"), None);
}

#[test]
fn platform_flows_stand_in_ringway_yaml_too_and_end_exchanges() {
    let backend = Backend::ok("ok");
    let yaml = "platform:\n  flows:\n    - request:\n        - policy: policy-interrupt\n          condition: \"{#request.headers['x-stop'][0] == 'yes'}\"\n          configuration: { errorKey: STOPPED, message: no, statusCode: 403 }\n";
    let gateway = Gateway::configured(yaml, &[Api::proxy("/", &backend.target())]);
    assert_eq!(gateway.get("/").0.status(), 200);
    let (head, _) = Client::ask(gateway.http(), "GET / HTTP/1.1\r\nHost: a\r\nX-Stop: yes\r\n\r\n");
    assert_eq!((head.status(), backend.seen().len()), (403, 1));
}

#[test]
fn platform_flows_are_chosen_by_selectors_and_a_mode_of_their_own() {
    let backend = Backend::ok("ok");
    let flow = |letter: &str, selectors: Value| json!({ "selectors": selectors, "request": [there(letter)] });
    let http = |path: &str, operator: &str| json!({ "type": "HTTP", "path": path, "pathOperator": operator });
    let flows = json!([
        flow("1", json!([])),
        flow("2", json!([http("/items", "STARTS_WITH")])),
        flow(
            "3",
            json!([http("/items/:id", "EQUALS"), { "type": "CONDITION", "condition": "{#request.pathParams['id'] != '0'}" }])
        ),
        // For messages only.
        flow("4", json!([{ "type": "CHANNEL", "channel": "/" }])),
    ]);
    let api = |path: &str, required: bool| {
        let own = json!([{ "selectors": [http("/items", "STARTS_WITH")], "request": [there("a")] }]);
        let execution = json!({ "mode": "DEFAULT", "matchRequired": required });
        Api::proxy(path, &backend.target()).with("flows", own).with("flowExecution", execution)
    };
    let mut common = json!({ "platform": { "flows": flows } });
    let gateway = with_common(&common, &[api("/shop", false), api("/strict", true)]);
    let trace = |target: &str| {
        assert_eq!(gateway.get(target).0.status(), 200, "{target}");
        last(&backend, "x-trace").unwrap_or_default()
    };
    for (target, wanted) in
        [("/shop/", "1"), ("/shop/items", "12a"), ("/shop/items/7", "123a"), ("/shop/items/0", "12a")]
    {
        assert_eq!(trace(target), wanted, "{target}");
    }
    // A flow of the platform is no match for an API that asks for one.
    assert_eq!(gateway.get("/strict/other").0.status(), 404);
    common["platform"]["flowExecution"] = json!({ "mode": "BEST_MATCH" });
    gateway.write("apis/common.json", &common.to_string());
    reloaded(&gateway);
    for (target, wanted) in [("/shop/", "1"), ("/shop/items", "2a"), ("/shop/items/7", "3a"), ("/shop/items/0", "2a")] {
        assert_eq!(trace(target), wanted, "{target}");
    }
    common["platform"] =
        json!({ "flows": [flow("5", json!([http("/items", "EQUALS")]))], "flowExecution": { "matchRequired": true } });
    gateway.write("apis/common.json", &common.to_string());
    reloaded(&gateway);
    assert_eq!((trace("/shop/items").as_str(), gateway.get("/shop/items/7").0.status()), ("5a", 404));
}

#[test]
fn platform_flows_come_before_the_plan_and_see_every_answer() {
    let backend = Backend::ok("ok");
    let when = |mut step: Value, condition: &str| {
        step["condition"] = json!(condition);
        step
    };
    let copied = step(
        "transform-headers",
        json!({ "addHeaders": [{ "name": "X-Gravitee-Api-Key", "value": "{#request.headers['x-old-key'][0]}" }] }),
    );
    let stop = |key: &str| step("policy-interrupt", json!({ "errorKey": key, "message": "no", "statusCode": 403 }));
    let common = json!({
        "platform": { "flows": [{
            "request": [
                when(copied, "{#request.headers['x-old-key'][0] != null}"),
                when(stop("EARLY"), "{#request.headers['x-stop'][0] == 'early'}"),
                set("X-Seen", "{#context.attributes['plan'] ?: 'nobody'}"),
                step("policy-assign-attributes", json!({ "attributes": [{ "name": "mark", "value": "m" }] })),
            ],
            "response": [
                set("X-Last", "{#response.status} {#context.attributes['mark']}"),
                back("p"),
                when(stop("LATE"), "{#request.headers['x-stop'][0] == 'late'}"),
                back("q"),
            ],
        }] },
    });
    let gold = json!({
        "name": "Gold", "status": "PUBLISHED", "security": { "type": "API_KEY" },
        "selectionRule": "{#context.attributes['mark'] == 'm'}",
    });
    // The rule of this one never holds: what was set before its guard is there for the next.
    let other = json!({ "name": "Other", "status": "PUBLISHED", "security": { "type": "API_KEY" }, "selectionRule": "{#context.attributes['mark'] == 'n'}" });
    let refuse = json!({ "GATEWAY_PLAN_UNRESOLVABLE": { "*/*": { "status": 418, "body": "key?" } } });
    let keyed = Api::proxy("/keyed", &backend.target())
        .with("id", json!("keyed"))
        .with("plans", json!([other, gold]))
        .with("flows", json!([{ "response": [back("a")] }]))
        .with("responseTemplates", refuse);
    let away = Api::proxy("/away", "http://127.0.0.1:1");
    let gateway = with_common(&common, &[keyed, away]);
    subscribe(&gateway, "keyed", &["Other", "Gold"]);
    let ask = |target: &str, fields: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let (head, body) = Client::ask(gateway.http(), &request);
        let field = |name: &str| head.field(name).unwrap_or_default().to_owned();
        (head.status(), field("x-trace"), field("x-last"), String::from_utf8(body).unwrap())
    };
    let told = |status: u16, trace: &str, last: &str, body: &str| (status, trace.into(), last.into(), body.into());
    // The guard finds what the platform has put there.
    assert_eq!(ask("/keyed", "X-Old-Key: first-key\r\n"), told(200, "apq", "200 m", "ok"));
    assert_eq!(last(&backend, "x-seen").as_deref(), Some("nobody"));
    // Nobody is asked for a key.
    let (status, trace, last, body) = ask("/keyed", "X-Stop: early\r\n");
    assert!((status, &*trace, &*last) == (403, "pq", "403") && body.contains("EARLY"), "{trace} {last} {body}");
    // A refusal passes what is around it, in the words of the API.
    assert_eq!(ask("/keyed", ""), told(418, "pq", "418 m", "key?"));
    let (status, trace, last, _) = ask("/away", "");
    assert_eq!((status, &*trace, &*last), (502, "pq", "502 m"));
    // An answer of theirs is the last.
    for fields in ["X-Stop: late\r\nX-Old-Key: first-key\r\n", "X-Stop: late\r\n"] {
        let (status, trace, last, body) = ask("/keyed", fields);
        assert!((status, &*trace, &*last) == (403, "", "") && body.contains("LATE"), "{trace} {last} {body}");
    }
    assert_eq!(backend.seen().len(), 2);
}

#[test]
fn platform_limits_count_the_calls_of_an_api_whatever_their_plan() {
    let backend = Backend::ok("ok");
    let limit = json!({ "rate": { "limit": 3, "periodTime": 10, "periodTimeUnit": "MINUTES" } });
    let common = json!({
        "platform": { "flows": [{ "request": [step("rate-limit", limit)] }] },
    });
    let plans = json!([
        { "name": "Gold", "status": "PUBLISHED", "security": { "type": "API_KEY" } },
        { "name": "Free", "status": "PUBLISHED", "security": { "type": "KEY_LESS" } },
    ]);
    let both = Api::proxy("/both", &backend.target()).with("id", json!("both")).with("plans", plans);
    let gateway = with_common(&common, &[both, Api::proxy("/other", &backend.target())]);
    subscribe(&gateway, "both", &["Gold"]);
    let status = |target: &str, fields: &str| {
        Client::ask(gateway.http(), &format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).0.status()
    };
    let key = "X-Gravitee-Api-Key: first-key\r\n";
    let statuses = [key, "", "X-Gravitee-Api-Key: none-of-ours\r\n", key, ""].map(|fields| status("/both", fields));
    // Who is refused has been counted, too.
    assert_eq!(statuses, [200, 200, 401, 429, 429]);
    assert_eq!(status("/other", ""), 200);
}

#[test]
fn messages_pass_platform_flows_around_their_own() {
    let backend = Backend::ok("ok");
    let assign = |text: &str| step("policy-assign-content", json!({ "body": text }));
    let entrypoints =
        json!([{ "type": "http-get", "configuration": { "messagesLimitCount": 1 } }, { "type": "http-post" }]);
    let mock = json!({ "messageInterval": 5, "messageContent": "n" });
    let own = json!([{ "subscribe": [assign("${message.content} a")] }]);
    let messages = Api::messages("/messages", entrypoints, "mock", mock).with("flows", own);
    let schema = step("json-validation", json!({ "schema": "{\"type\": \"object\"}" }));
    let common = json!({
        "platform": { "flows": [
            { "subscribe": [assign("${message.content} p"), group("marks")] },
            { "selectors": [{ "type": "CHANNEL", "channel": "/deep", "operations": ["SUBSCRIBE"] }], "subscribe": [assign("${message.content} d")] },
            { "publish": [schema], "request": [there("p")] },
        ] },
        "sharedPolicyGroups": [{
            "id": "marks", "name": "Marks", "apiType": "MESSAGE", "phase": "SUBSCRIBE", "steps": [assign("${message.content} g")],
        }],
    });
    let gateway = with_common(&common, &[messages, Api::proxy("/proxy", &backend.target())]);
    let content = |target: &str| {
        let (_, body) = Client::ask(
            gateway.http(),
            &format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n"),
        );
        let answer: Value = serde_json::from_slice(&body).unwrap();
        answer["items"][0]["content"].clone()
    };
    assert_eq!(content("/messages"), "n 0 a p g");
    assert_eq!(content("/messages/deep"), "n 0 a p g d");
    let post = |body: &str| {
        let request = format!("POST /messages HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        Client::ask(gateway.http(), &request).0.status()
    };
    assert_eq!((post("{}"), post("[]")), (202, 400));
    assert_eq!(gateway.get("/proxy").0.status(), 200);
    assert_eq!(last(&backend, "x-trace").as_deref(), Some("p"));
}

#[test]
fn a_group_runs_in_every_api_that_names_it_and_only_those_change_with_it() {
    let (used, other) = (Backend::ok("ok"), Backend::ok("ok"));
    let mut guarded = group("outer");
    // Asked once: what the group does to the field does not end it half way.
    guarded["condition"] = json!("{#request.headers['x-trace'][0] == 'start'}");
    let flow = json!([{ "request": [guarded, group("inner")], "response": [group("marks")] }]);
    let apis = [
        Api::proxy("/a", &used.target()).with("flows", flow.clone()),
        Api::proxy("/b", &used.target()).with("plans/0/flows", flow),
        Api::proxy("/c", &other.target()),
    ];
    let named = group("inner");
    let common = |letter: &str| {
        let group = |id: &str, phase: &str, steps: Value| json!({ "id": id, "name": id, "apiType": "PROXY", "phase": phase, "steps": steps });
        json!({ "sharedPolicyGroups": [
            group("outer", "REQUEST", json!([there("1"), named.clone(), there("2")])),
            group("inner", "REQUEST", json!([there(letter)])),
            group("marks", "RESPONSE", json!([back("r"), step("policy-assign-content", json!({ "body": "${response.content}!" }))])),
        ] })
    };
    let gateway = Gateway::start(
        "shards: 1\nservers: [{ id: http, listen: '{http}' }]\nadmin: { listen: '{admin}' }\napis: ['{dir}/apis']\n",
        &[
            ("a.json", &apis[0].json()),
            ("b.json", &apis[1].json()),
            ("c.json", &apis[2].json()),
            ("groups.json", &common("i").to_string()),
        ],
    );
    let ask = |target: &str, trace: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Trace: {trace}\r\n\r\n");
        let (head, body) = Client::ask(gateway.http(), &request);
        assert_eq!((head.status(), &*body, head.field("x-trace")), (200, &b"ok!"[..], Some("r")), "{target}");
        last(&used, "x-trace").unwrap_or_default()
    };
    for target in ["/a", "/b"] {
        assert_eq!(ask(target, "start"), "start1i2i");
        assert_eq!(ask(target, "s"), "si");
    }
    assert_eq!(gateway.get("/c").1, b"ok");
    let connections = other.connections();
    gateway.write("apis/groups.json", &common("j").to_string());
    reloaded(&gateway);
    for target in ["/a", "/b"] {
        assert_eq!(ask(target, "start"), "start1j2j");
    }
    assert_eq!(gateway.get("/c").1, b"ok");
    assert_eq!(other.connections(), connections, "an API that does not use the group stays as it was");
    // What is wrong changes nothing.
    gateway.write("apis/groups.json", &common("k").to_string().replace("\"marks\"", "\"maks\""));
    let (status, text) = gateway.reload();
    assert!(status >= 400 && text.contains("did you mean `maks`?"), "{status} {text}");
    assert_eq!(ask("/a", "s"), "sj");
}

#[test]
fn what_is_common_changes_under_load_without_a_failure() {
    const CLIENTS: usize = 6;
    const RELOADS: usize = 30;
    let backend = Backend::ok("ok");
    let api = Api::proxy("/", &backend.target()).with("flows", json!([{ "response": [group("marks")] }]));
    let common = |number: usize| {
        json!({
            "platform": { "flows": [{ "response": [set("X-Platform", &number.to_string())] }] },
            "sharedPolicyGroups": [{
                "id": "marks", "name": "Marks", "apiType": "PROXY", "phase": "RESPONSE", "steps": [set("X-Group", &number.to_string())],
            }],
        })
    };
    let gateway = Gateway::start(
        "shards: 2\nservers: [{ id: http, listen: '{http}' }]\nadmin: { listen: '{admin}' }\napis: ['{dir}/apis']\n",
        &[("api.json", &api.json()), ("common.json", &common(0).to_string())],
    );
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (address, stop, asked) = (gateway.http(), Arc::clone(&stop), Arc::clone(&asked));
            thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::SeqCst) {
                    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    let (head, body) = client.response();
                    assert_eq!((head.status(), &*body), (200, &b"ok"[..]), "{head:?}");
                    // Both of one snapshot.
                    assert!(
                        head.field("x-platform").is_some() && head.field("x-platform") == head.field("x-group"),
                        "{head:?}"
                    );
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for number in 1..=RELOADS {
        gateway.write("apis/common.json", &common(number).to_string());
        reloaded(&gateway);
        assert_eq!(gateway.get("/").0.field("x-platform"), Some(number.to_string().as_str()));
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("no client saw a failure");
    }
    assert!(asked.load(Ordering::SeqCst) > 0);
}

/// An API that answers with an entry of a dictionary.
fn telling(target: &str) -> Api {
    let text = "{#dictionaries['countries'][#request.params['of'][0]] ?: 'nowhere'}";
    Api::proxy("/", target).with("flows", json!([{ "response": [set("X-Country", text)] }]))
}

fn country(gateway: &Gateway, key: &str) -> String {
    let (head, _) = gateway.get(&format!("/?of={key}"));
    assert_eq!(head.status(), 200);
    head.field("x-country").unwrap_or_default().to_owned()
}

#[test]
fn a_dictionary_changes_and_the_apis_that_read_it_stay() {
    let backend = Backend::ok("ok");
    let common = |entries: Value| json!({ "dictionaries": [{ "id": "countries", "properties": entries }] });
    let gateway = Gateway::start(
        "shards: 1\nservers: [{ id: http, listen: '{http}' }]\nadmin: { listen: '{admin}' }\napis: ['{dir}/apis']\n",
        &[
            ("api.json", &telling(&backend.target()).json()),
            ("common.json", &common(json!({ "FR": "France" })).to_string()),
        ],
    );
    assert_eq!((country(&gateway, "FR"), country(&gateway, "DE")), ("France".into(), "nowhere".into()));
    let connections = backend.connections();
    gateway.write("apis/common.json", &common(json!({ "DE": "Germany" })).to_string());
    reloaded(&gateway);
    assert_eq!((country(&gateway, "FR"), country(&gateway, "DE")), ("nowhere".into(), "Germany".into()));
    assert_eq!(backend.connections(), connections, "the API is not built anew");
    gateway.remove("apis/common.json");
    let (status, text) = gateway.reload();
    assert!(status == 200 && text.contains("there is no dictionary `countries`"), "{status} {text}");
    assert_eq!(country(&gateway, "DE"), "nowhere");
}

#[test]
fn scripts_read_the_dictionaries_that_expressions_read() {
    let backend = Backend::ok("ok");
    let script = |call: &str| {
        format!(
            "const all = context.dictionaries(), one = all['countries'];
             const told = [
                 one.FR, one['XX'] === undefined, all.get('countries').get('DE'), all.none === undefined, one.get('XX') === null,
                 Object.keys(one).join('+'), JSON.stringify(all.countries), 'FR' in one, one.containsKey('XX'), one.size(), all.keySet().join('+'),
             ];
             try {{ one.FR = 'Gaul'; }} catch (error) {{}}
             request.headers{call}.set('X-Told', told.concat(one.FR).join(' '));"
        )
    };
    let api = |path: &str, policy: &str, call: &str| {
        let step = step(policy, json!({ "script": script(call) }));
        Api::proxy(path, &backend.target()).with("flows", json!([{ "request": [step] }]))
    };
    let common = |germany: &str| {
        json!({ "dictionaries": [
            { "id": "countries", "properties": { "FR": "France", "DE": germany } },
            { "id": "cities", "properties": {} },
        ] })
    };
    let gateway = with_common(&common("Germany"), &[api("/js", "js", "()"), api("/javascript", "javascript", "")]);
    for germany in ["Germany", "Allemagne"] {
        gateway.write("apis/common.json", &common(germany).to_string());
        reloaded(&gateway);
        let wanted = format!(
            "France true {germany} true true DE+FR {{\"DE\":\"{germany}\",\"FR\":\"France\"}} true false 2 cities+countries France"
        );
        for target in ["/js", "/javascript"] {
            assert_eq!(gateway.get(target).0.status(), 200, "{target}: {}", gateway.log());
            assert_eq!(last(&backend, "x-told"), Some(wanted.clone()), "{target}");
        }
    }
}

#[test]
fn a_provider_is_asked_again_and_again_by_one_shard_for_all() {
    let said = Arc::new(Mutex::new(r#"{"list": [{"code": "FR", "name": "France"}]}"#.to_owned()));
    let answer = Arc::clone(&said);
    let provider = Backend::replies(move |_, _| {
        let said = answer.lock().unwrap().clone();
        let status = if said.is_empty() { "500 Down" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{said}", said.len())
    });
    let backend = Backend::ok("ok");
    let shift = r#"[{"operation": "shift", "spec": {"list": {"*": {"name": "@(1,code)"}}}}]"#;
    let common = json!({ "dictionaries": [{
        "id": "countries", "type": "DYNAMIC", "properties": { "XX": "somewhere" }, "trigger": { "rate": 1, "unit": "SECONDS" },
        "provider": { "type": "HTTP", "configuration": {
            "url": format!("{}/countries", provider.target()), "specification": shift, "headers": [{ "name": "X-Token", "value": "t" }],
        } },
    }] });
    let gateway = with_common(&common, &[telling(&backend.target())]);
    // Each on a connection of its own, so that both shards are asked.
    let everywhere = |key: &str, wanted: &str| (0..8).all(|_| country(&gateway, key) == wanted);
    wait_until("the provider's first answer", || everywhere("FR", "France"));
    assert!(everywhere("XX", "nowhere"), "its entries take the place of those of the definition");
    let (head, _) = provider.seen().remove(0);
    assert_eq!((head.method(), head.target(), head.field("x-token")), ("GET", "/countries", Some("t")));
    *said.lock().unwrap() = r#"{"list": [{"code": "FR", "name": "Frankreich"}]}"#.to_owned();
    wait_until("the change", || everywhere("FR", "Frankreich"));
    *said.lock().unwrap() = String::new();
    let asked = provider.seen().len();
    wait_until("a failure", || provider.seen().len() >= asked + 2);
    assert!(everywhere("FR", "Frankreich"), "the last entries stay");
    assert_eq!(gateway.log().matches("the provider cannot be asked").count(), 1, "{}", gateway.log());
    // A reload that leaves it as it is keeps what was said.
    gateway.write("apis/0.json", &telling(&backend.target()).with("description", json!("changed")).json());
    reloaded(&gateway);
    assert!(everywhere("FR", "Frankreich"));
    // Without it nobody asks.
    gateway.remove("apis/common.json");
    reloaded(&gateway);
    assert!(everywhere("FR", "nowhere"));
}
