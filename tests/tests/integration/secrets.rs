//! Secrets of providers: where they get to, where they never do, and what becomes of one that is changed or gone.

use std::fs;

use ringway_tests::{Api, Backend, Gateway, Scratch, binary, tool, wait_for, wait_until};
use serde_json::{Value, json};

/// An API that tells its backend two secrets, and has all of it written down.
fn api(backend: &Backend) -> Api {
    let header = |name: &str, value: &str| json!({ "name": name, "value": value });
    let set = json!({ "addHeaders": [
        header("X-Api-Key", "{#secrets.get('/files/orders:key?reloadOnChange=true')}"),
        header("X-Pair", "{#request.method}:{#secrets.get('/env/PAIR')}"),
    ] });
    let logging = json!({ "content": { "headers": true, "payload": true }, "phase": { "request": true, "response": true },
                          "mode": { "entrypoint": true, "endpoint": true } });
    Api::proxy("/", &backend.target())
        .with("flows", json!([{ "request": [{ "policy": "transform-headers", "configuration": set }] }]))
        .with("analytics", json!({ "logging": logging }))
}

/// A gateway with a folder of secrets that is elsewhere than its own.
fn serving(secrets: &Scratch, more: &str, apis: &[Api]) -> Gateway {
    let yaml = format!(
        "secrets:\n  - {{ id: files, type: directory, path: '{}' }}\n  - {{ id: env, type: environment, prefix: RW_ }}\n{more}",
        secrets.path().display()
    );
    Gateway::surrounded(&[("RW_PAIR", "pair-of-the-environment")], &yaml, apis)
}

fn last(backend: &Backend, field: &str) -> Option<String> {
    backend.seen().last().and_then(|(head, _)| head.field(field).map(str::to_owned))
}

#[test]
fn a_secret_reaches_the_backend_and_nothing_that_is_written() {
    // The backend says what it was told.
    let backend = Backend::replies(|head, _| {
        let key = head.field("x-api-key").unwrap_or_default();
        format!("HTTP/1.1 200 OK\r\nX-Echo: {key}\r\nContent-Length: {}\r\n\r\n{key}", key.len())
    });
    let secrets = Scratch::new("secrets");
    secrets.write("orders/key", "first-of-the-folder\n");
    secrets.write("tenant", "tenant-of-the-folder");
    let tenants = json!(["{#secrets.get('/files/tenant')}"]);
    let here = api(&backend).with("endpointGroups/0/endpoints/0/tenants", tenants.clone());
    // Nobody listens there, and what it cannot be reached by is told.
    let away = Api::proxy("/away", "http://127.0.0.1:1/{#secrets.get('/files/tenant')}")
        .with("endpointGroups/0/endpoints/0/tenants", tenants)
        .with(
            "endpointGroups/0/services",
            json!({ "healthCheck": { "enabled": true, "type": "http-health-check",
              "configuration": { "schedule": "* * * * * *", "target": "/{#secrets.get('/files/tenant')}" } } }),
        );
    let gateway = serving(&secrets, "tenant: secret://files/tenant\n", &[here, away]);
    assert_eq!(gateway.get("/away").0.status(), 502);
    let (head, body) = gateway.get("/");
    assert_eq!((head.field("x-echo"), &*body), (Some("first-of-the-folder"), &b"first-of-the-folder"[..]));
    assert_eq!(last(&backend, "x-pair").as_deref(), Some("GET:pair-of-the-environment"));

    let record: Value = wait_for("the record", || {
        let text = gateway.log();
        let line = text.lines().find(|line| line.contains("\"record\":\"exchange\""))?;
        serde_json::from_str(line).ok()
    });
    assert_eq!(record["endpointResponse"]["body"], "***", "{record}");
    let told = ["/config", "/apis", "/metrics", "/shards"].map(|target| gateway.ask_admin("GET", target).1);
    assert!(told[0].contains("\"tenant\":\"***\""), "{}", told[0]);
    for text in told.iter().chain([&gateway.log(), &record.to_string()]) {
        assert!(!text.contains("of-the-folder") && !text.contains("of-the-environment"), "{text}");
    }
}

#[test]
fn a_secret_that_changes_is_used_without_a_restart() {
    let backend = Backend::ok("ok");
    let secrets = Scratch::new("secrets");
    secrets.write("orders/key", "first-of-the-folder\n");
    let gateway = serving(&secrets, "", &[api(&backend)]);
    gateway.get("/");
    assert_eq!(last(&backend, "x-api-key").as_deref(), Some("first-of-the-folder"));
    // As Kubernetes and editors do: another file takes its place.
    let other = secrets.write("orders/..new", "second-of-the-folder\n");
    fs::rename(other, secrets.join("orders/key")).expect("a file that is renamed");
    wait_until("the new secret", || {
        gateway.get("/");
        last(&backend, "x-api-key").as_deref() == Some("second-of-the-folder")
    });
    assert!(!gateway.log().contains("of-the-folder"), "{}", gateway.log());
}

#[test]
fn a_secret_that_is_gone_leaves_the_apis_as_they_are() {
    let backend = Backend::ok("ok");
    let secrets = Scratch::new("secrets");
    let key = secrets.write("orders/key", "first-of-the-folder\n");
    let gateway = serving(&secrets, "watch: false\n", &[api(&backend)]);
    fs::remove_file(key).expect("the secret");
    let (status, text) = gateway.reload();
    assert_eq!(status, 422, "{text}");
    let named = "the secret `orders:key` of the provider `files` cannot be read: ";
    assert!(text.contains(named) && text.contains("flows[0].request[0].configuration.addHeaders[0].value"), "{text}");
    assert!(gateway.log().contains(named) && gateway.log().contains("serves on"), "{}", gateway.log());
    assert_eq!(gateway.get("/").0.status(), 200);
    assert_eq!(last(&backend, "x-api-key").as_deref(), Some("first-of-the-folder"));
    secrets.write("orders/key", "second-of-the-folder\n");
    assert_eq!(gateway.reload().0, 200);
    gateway.get("/");
    assert_eq!(last(&backend, "x-api-key").as_deref(), Some("second-of-the-folder"));
}

#[test]
fn a_secret_that_cannot_be_read_is_told_by_check_and_at_the_start() {
    let backend = Backend::ok("ok");
    let folder = Scratch::new("settings");
    folder.write("apis/orders.json", &api(&backend).json());
    folder.write("mounted/orders/key", "first-of-the-folder");
    let yaml = "servers: [{ id: http, listen: '127.0.0.1:0' }]\nadmin: { enabled: false }\napis: [apis]\n";
    let yaml = |secrets: &str| format!("{yaml}secrets:\n{secrets}");
    let files = "  - { id: files, type: directory, path: mounted }\n";
    let path = folder.write("ringway.yaml", &yaml(&format!("{files}  - {{ id: envs, type: environment }}\n")));
    let binary = binary().display().to_string();
    for arguments in
        [["check", &path.display().to_string()].as_slice(), &["run", "--config", &path.display().to_string()]]
    {
        let said = tool::run(&binary, arguments);
        let text = format!("{}{}", said.out, said.err);
        assert_ne!(said.code, 0, "{text}");
        for part in [
            "orders.json:",
            "flows[0].request[0].configuration.addHeaders[1].value",
            "the secret `PAIR` of the provider `env` cannot be read: there is no provider `env`",
            "did you mean `envs`?",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("of-the-folder"), "{text}");
    }
    let path =
        folder.write("ringway.yaml", &yaml(&format!("{files}  - {{ id: env, type: directory, path: mounted }}\n")));
    folder.write("mounted/PAIR", "pair-of-the-folder");
    let said = tool::run(&binary, ["check", &path.display().to_string()]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
}
