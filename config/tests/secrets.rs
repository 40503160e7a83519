//! Secrets of providers, in definitions and settings.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code outside of test functions")]

use std::collections::HashMap;
use std::path::Path;
use std::{fs, io};

use ringway_config::{Environment, Loaded, Loader, NoEnvironment, Premises, SecretStore, SecretTable, Settings};
use tempfile::TempDir;

/// Files of the disk, and variables of its own.
struct Variables(HashMap<&'static str, &'static str>);

impl Environment for Variables {
    fn variable(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|&value| value.to_owned())
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        fs::read_to_string(path)
    }
}

const SETTINGS: &str = "\
servers: [{ id: http, listen: 127.0.0.1:0 }]
secrets:
  - { id: files, type: directory, path: mounted }
  - { id: env, type: environment, prefix: RW_ }
apis: [orders.yaml]
";

fn definition(headers: &str) -> String {
    format!(
        "name: Orders
id: orders
definitionVersion: V4
type: PROXY
apiVersion: '1'
listeners: [{{ type: HTTP, paths: [{{ path: /orders }}], entrypoints: [{{ type: http-proxy }}] }}]
endpointGroups:
  - name: default
    type: http-proxy
    endpoints:
      - name: backend
        type: http-proxy
        configuration:
          target: http://127.0.0.1:9/
          headers: {headers}
plans: [{{ name: Open, security: {{ type: KEY_LESS }} }}]
"
    )
}

struct Folder(TempDir);

impl Folder {
    fn new(settings: &str, definition: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("mounted/orders")).unwrap();
        let folder = Self(folder);
        folder.write("mounted/orders/password", "s3cret-of-a-file\n");
        folder.write("mounted/all.json", r#"{"user": "json-user", "opens": "x{#request.id}y"}"#);
        folder.write("ringway.yaml", settings);
        folder.write("orders.yaml", definition);
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn load(&self) -> Loaded {
        let variables = Variables(HashMap::from([("RW_KEY", "s3cret-of-the-environment")]));
        Loader::default().environment(&variables).load(Some(&self.0.path().join("ringway.yaml")))
    }

    /// What is wrong, without the folder.
    fn problems(&self) -> Vec<String> {
        let folder = format!("{}/", self.0.path().display());
        self.load().problems.iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
    }
}

fn headers(loaded: &Loaded) -> Vec<String> {
    let api = &loaded.snapshot.as_ref().expect("it is sound").apis[0];
    let configuration = api.endpoint_groups[0].endpoints[0].configuration.as_ref().unwrap();
    let headers = configuration.field("headers").unwrap().items();
    headers.iter().map(|header| header.field("value").unwrap().as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_definition_has_the_secrets_that_it_names() {
    let folder = Folder::new(
        SETTINGS,
        &definition(
            "[{ name: a, value: \"{#secrets.get('/files/orders:password')}\" },
              { name: b, value: \"Bearer {#secrets.get('/env/KEY?reloadOnChange=true')}\" },
              { name: c, value: \"{#secrets.get('/files/all.json', 'user')}-{#request.id}\" },
              { name: d, value: \"{#request.id + #secrets.get('/files/all.json:opens')}\" }]",
        ),
    );
    let loaded = folder.load();
    assert_eq!(loaded.problems, []);
    assert_eq!(
        headers(&loaded),
        [
            "s3cret-of-a-file",
            "Bearer s3cret-of-the-environment",
            "json-user-{#request.id}",
            "{#request.id + ('x{#request.id}y')}"
        ]
    );
    let watched = |name: &str| loaded.files.contains(&folder.0.path().join("mounted").join(name));
    assert!(watched("orders/password") && watched("all.json"), "{:?}", loaded.files);
    let shown = format!("{loaded:?}");
    for secret in ["s3cret", "json-user", "x{#request"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

#[test]
fn a_secret_that_changes_makes_the_api_another_one() {
    let folder =
        Folder::new(SETTINGS, &definition("[{ name: a, value: \"{#secrets.get('/files/orders/password')}\" }]"));
    let fingerprint = |loaded: &Loaded| loaded.snapshot.as_ref().unwrap().apis[0].fingerprint;
    let (first, same) = (folder.load(), folder.load());
    assert_eq!(fingerprint(&first), fingerprint(&same));
    folder.write("mounted/orders/password", "another\n");
    let other = folder.load();
    assert_ne!(fingerprint(&first), fingerprint(&other));
    assert_eq!(headers(&other), ["another"]);
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    for (value, wanted) in [
        (
            "{#secrets.get('/fils/orders:password')}",
            "orders.yaml:15:39: error: endpointGroups[0].endpoints[0].configuration.headers[0].value: the secret \
             `orders:password` of the provider `fils` cannot be read: there is no provider `fils` (did you mean `files`?)",
        ),
        (
            "{#secrets.get('/vault/orders:password')}",
            "orders.yaml:15:39: error: endpointGroups[0].endpoints[0].configuration.headers[0].value: the secret \
             `orders:password` of the provider `vault` cannot be read: there is no provider `vault` (known are `files`, \
             `env`)",
        ),
        (
            "{#secrets.get('/files/orders:none')}",
            "orders.yaml:15:39: error: endpointGroups[0].endpoints[0].configuration.headers[0].value: the secret \
             `orders:none` of the provider `files` cannot be read: mounted/orders/none: No such file or directory (os \
             error 2)",
        ),
        (
            "{#secrets.get('orders')}",
            "orders.yaml:15:39: error: endpointGroups[0].endpoints[0].configuration.headers[0].value: `orders` names no \
             secret: it has no path behind the provider (it is written `/provider/path:key`)",
        ),
        (
            "{#secrets.get('/files/all.json:opens')}",
            "orders.yaml:15:39: error: endpointGroups[0].endpoints[0].configuration.headers[0].value: the value of the \
             secret has `{#`, `{(` or `{T(` in it, and would be taken for an expression",
        ),
    ] {
        let folder = Folder::new(SETTINGS, &definition(&format!("[{{ name: a, value: \"{value}\" }}]")));
        assert_eq!(folder.problems(), [wanted], "{value}");
    }
}

#[test]
fn the_pattern_of_a_regular_expression_is_quoted_without_its_secret() {
    let flows = "flows: [{ selectors: [{ type: CONDITION, condition: \
                 \"{#request.id matches #secrets.get('/files/orders:password') + '('}\" }] }]\n";
    let folder = Folder::new(SETTINGS, &format!("{}{flows}", definition("[]")));
    let problems = folder.problems();
    assert!(problems.len() == 1 && !problems[0].contains("s3cret"), "{problems:?}");
}

#[test]
fn any_text_of_the_settings_may_be_a_secret() {
    let redis = "ratelimit: { redis: { host: 'secret://env/KEY', password: 'secret://files/orders:password' } }\n";
    let folder = Folder::new(&format!("{SETTINGS}{redis}"), &definition("[]"));
    let loaded = folder.load();
    assert_eq!(loaded.problems, []);
    let snapshot = loaded.snapshot.unwrap();
    let redis = snapshot.settings.ratelimit.redis.as_ref().unwrap();
    assert_eq!(redis.host, "s3cret-of-the-environment");
    assert_eq!(redis.password.as_ref().unwrap().expose(), "s3cret-of-a-file");
    let mut shown = serde_json::to_string(&snapshot.settings).unwrap();
    snapshot.hidden.hide_in_json(&mut shown);
    assert!(!shown.contains("s3cret"), "{shown}");

    let redis = "ratelimit: { redis: { password: 'secret://files/none' } }\n";
    let folder = Folder::new(&format!("{SETTINGS}{redis}"), &definition("[]"));
    assert_eq!(
        folder.problems(),
        [
            "ringway.yaml:6:33: error: ratelimit.redis.password: the secret `none` of the provider `files` cannot be read: \
          mounted/none: No such file or directory (os error 2)"
        ]
    );
}

#[test]
fn what_apis_have_in_common_has_secrets_too() {
    let common = "dictionaries:
  - { id: keys, type: MANUAL, properties: { one: \"{#secrets.get('/env/KEY')}\", two: 'secret://files/orders:password' } }
";
    let folder = Folder::new(&format!("{SETTINGS}{common}"), &definition("[]"));
    let loaded = folder.load();
    assert_eq!(loaded.problems, []);
    let dictionary = &loaded.snapshot.as_ref().unwrap().dictionaries[0];
    let value = |key: &str| dictionary.properties.get(key).cloned();
    assert_eq!(value("one").as_deref(), Some("s3cret-of-the-environment"));
    assert_eq!(value("two").as_deref(), Some("s3cret-of-a-file"));
}

#[test]
fn wrong_providers_are_told() {
    for (providers, wanted) in [
        ("{ id: a/b, type: environment }", "ringway.yaml:1:17: error: secrets[0].id: an id has no `/`, `:` or `?`"),
        ("{ id: a, type: directory }", "ringway.yaml:1:11: error: secrets[0].path: `path` is missing"),
        (
            "{ id: a, type: environment, path: b }",
            "ringway.yaml:1:45: error: secrets[0].path: a provider of type `environment`",
        ),
        ("{ id: a, type: directory, path: b, prefix: C }", "secrets[0].prefix: a provider of type `directory` has no"),
        ("{ id: a, type: environment }, { id: a, type: environment }", "secrets[1].id: another provider is called `a`"),
        ("{ id: a, type: aws }", "secrets[0].type: "),
        ("{ id: a, type: vault }", "secrets[0].vault: `vault` is missing: a provider of type `vault` needs it"),
        ("{ id: a, type: environment, vault: { url: 'http://a', token: t } }", "secrets[0].vault: a provider of type"),
        ("{ id: a, type: vault, vault: { url: 'vault:8200', token: t } }", "secrets[0].vault.url: begins neither"),
        ("{ id: a, type: vault, vault: { url: 'http://a' } }", "secrets[0].vault.token: `token` is missing, or"),
        (
            "{ id: a, type: vault, vault: { url: 'http://a', token: t, appRole: { roleId: r } } }",
            "secrets[0].vault.appRole: `token` stands for the same",
        ),
    ] {
        let settings = format!("secrets: [{providers}]\nservers: [{{ id: http, listen: 127.0.0.1:0 }}]\n");
        let folder = Folder::new(&settings, &definition("[]"));
        let problems = folder.problems();
        assert!(problems.len() == 1 && problems[0].contains(wanted), "{providers}: {problems:?}");
    }
}

#[test]
fn definitions_that_are_checked_alone_may_name_any_secret() {
    let folder = Folder::new("", &definition("[{ name: a, value: \"{#secrets.get('/vault/orders:password')}\" }]"));
    let path = folder.0.path().join("orders.yaml");
    assert_eq!(Loader::default().check(std::slice::from_ref(&path)), []);
    folder.write("orders.yaml", &definition("[{ name: a, value: \"{#secrets.get('orders')}\" }]"));
    let problems = Loader::default().check(&[path]);
    assert!(problems.len() == 1 && problems[0].message.contains("names no secret"), "{problems:?}");
}

#[test]
fn a_text_that_somebody_sent_reads_no_secret() {
    let folder = Folder::new(SETTINGS, "");
    let settings = folder.load().snapshot.unwrap().settings;
    let text = definition("[{ name: a, value: \"{#secrets.get('/files/orders:password')}\" }]");
    let sent = |settings: &Settings| Loader::default().environment(&NoEnvironment).definition("sent", &text, settings);
    let (_, problems) = sent(&settings);
    assert!(problems.len() == 1 && problems[0].message.contains("files cannot be named here"), "{problems:?}");
}

/// A store that knows one path, and falls silent after it.
struct Store(&'static str);

impl SecretStore for Store {
    fn read(&mut self, path: &str) -> Result<Option<SecretTable>, String> {
        match (std::mem::replace(&mut self.0, "asked"), path) {
            ("", "kv/orders") => Ok(Some(vec![("key".to_owned(), Some("s3cret-of-a-store".into()))])),
            _ => Err("it is asked twice".to_owned()),
        }
    }
}

#[test]
fn a_store_is_asked_once_for_a_path_and_a_load() {
    const PREMISES: Premises = Premises { level: |_| None, servers: |_| Vec::new(), store: |_| Box::new(Store("")) };
    let settings = "servers: [{ id: http, listen: 127.0.0.1:0 }]
secrets: [{ id: vault, type: vault, vault: { url: 'http://vault.test', token: t } }]
apis: [orders.yaml]
";
    let value = |key: &str| format!("{{ name: a, value: \"{{#secrets.get('/vault/kv/orders:{key}')}}\" }}");
    let folder = Folder::new(settings, &definition(&format!("[{}, {}]", value("key"), value("key"))));
    let loader = Loader::default().premises(PREMISES);
    for _ in 0..2 {
        let loaded = loader.load(Some(&folder.0.path().join("ringway.yaml")));
        assert_eq!(loaded.problems, []);
        assert_eq!(headers(&loaded), ["s3cret-of-a-store"; 2]);
        assert!(!format!("{loaded:?}").contains("s3cret"));
    }
    let problems = folder.problems();
    assert!(problems.len() == 2 && problems[0].contains("no store is asked here"), "{problems:?}");
    folder.write("orders.yaml", &definition(&format!("[{}]", value("kee"))));
    let loaded = loader.load(Some(&folder.0.path().join("ringway.yaml")));
    let told = loaded.problems[0].to_string();
    assert!(told.contains("the path has no such key (did you mean `key`?)"), "{told}");
}
