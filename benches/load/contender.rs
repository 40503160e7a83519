//! A proxy under measurement: its configuration for each setup, and its process on core 1.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ringway_benches::cost;
use ringway_tests::{Port, Process};

use crate::case::{self, KEY_FIELD, KEYS, ROUTES, Setup};
use crate::stage::{Stage, start, temporary};

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Ringway,
    /// Ringway without the policies of the case, where it is about them.
    Without,
    Nginx,
    Haproxy,
}

impl Kind {
    /// All of them, in the order in which they are shown.
    pub(crate) const ALL: [Kind; 4] = [Kind::Ringway, Kind::Without, Kind::Nginx, Kind::Haproxy];

    /// Whether there is something of it to measure.
    pub(crate) fn takes_part(self, setup: Setup) -> bool {
        self != Kind::Without || setup == Setup::Policies
    }

    /// As its makers write it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Kind::Ringway => "Ringway",
            Kind::Without => "without",
            Kind::Nginx => "nginx",
            Kind::Haproxy => "HAProxy",
        }
    }
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Contender {
    pub kind: Kind,
    pub setup: Setup,
    process: Process,
    port: Port,
}

impl Contender {
    pub(crate) fn start(kind: Kind, setup: Setup, stage: &Stage) -> Result<Contender> {
        let port = Port::new();
        let name = format!("{}-{}", kind.label(), port.number());
        let process = match kind {
            Kind::Nginx => start_nginx(setup, stage, &port, &name)?,
            Kind::Haproxy => start_haproxy(setup, stage, &port, &name)?,
            Kind::Ringway => start_ringway(setup, stage, &port, &name)?,
            Kind::Without => start_ringway(Setup::Bare, stage, &port, &name)?,
        };
        let mut contender = Contender { kind, setup, process, port };
        let log = || stage.folder.read(&format!("{name}.log"));
        let ready = ringway_tests::wait_for("the proxy to listen", || {
            let ended = contender.process.ended().is_some();
            (ended || TcpStream::connect(contender.address()).is_ok()).then_some(!ended)
        });
        ensure!(ready, "{} ended: {}", kind.label(), log());
        contender.settle()?;
        Ok(contender)
    }

    /// Waits until it rests: what a start leaves behind (10,000 routes looked at once more) is not the cost of a request.
    fn settle(&self) -> Result<()> {
        const SPELL: Duration = Duration::from_millis(500);
        const BUSY_MAX: Duration = Duration::from_millis(5);
        let mut since = (Instant::now(), cost::cpu(self.id())?);
        ringway_tests::wait_until("the proxy to rest", || {
            let Ok(cpu) = cost::cpu(self.id()) else { return true };
            if cpu.saturating_sub(since.1) > BUSY_MAX {
                since = (Instant::now(), cpu);
            }
            since.0.elapsed() >= SPELL
        });
        Ok(())
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

fn start_nginx(setup: Setup, stage: &Stage, port: &Port, name: &str) -> Result<Process> {
    let root = stage.folder.path().display().to_string();
    let backend = match setup {
        Setup::Unix => format!("unix:{root}/backend.sock"),
        Setup::WebSocket => stage.web_socket.to_string(),
        _ => stage.backend.address().to_string(),
    };
    let listen = match setup {
        Setup::Tls => format!(
            "listen {} ssl backlog=4096; ssl_certificate {root}/leaf.pem; ssl_certificate_key {root}/leaf.key; ssl_protocols TLSv1.3;",
            port.address()
        ),
        _ => format!("listen {} backlog=4096;", port.address()),
    };
    let pass = match setup {
        Setup::WebSocket => {
            "proxy_pass http://backend; proxy_http_version 1.1; proxy_read_timeout 600s; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
        }
        Setup::Equal => {
            "proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection '';
             proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
             proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
             proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Request-Id $request_id;
             proxy_set_header Via '1.1 nginx'; add_header Via '1.1 nginx'; add_header X-Request-Id $request_id;
             limit_conn addresses 10000; client_max_body_size 10m;"
        }
        Setup::Policies => {
            "if ($client = '') { return 401; }
             limit_req zone=clients burst=1000000 nodelay;
             proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection '';
             proxy_set_header X-Gravitee-Api-Key ''; proxy_set_header X-Tier gold; proxy_set_header X-Debug '';"
        }
        _ => "proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection '';",
    };
    let clients = match setup {
        Setup::Policies => {
            let keys: String = (0..KEYS).map(|number| format!("'{}' c{number};\n", case::key(number))).collect();
            format!(
                "map $http_x_gravitee_api_key $client {{ default ''; {keys} }}
                 limit_req_zone $client zone=clients:1m rate=1000000r/s; limit_req_status 429;"
            )
        }
        _ => String::new(),
    };
    let locations = match setup {
        Setup::Routes => (0..ROUTES).map(|route| format!("location /r{route}/ {{ {pass} }}\n")).collect(),
        _ => format!("location / {{ {pass} }}"),
    };
    stage.folder.write(&format!("{name}.conf"), &format!(
        "daemon off; master_process off; worker_rlimit_nofile 20000; pid {root}/{name}.pid; error_log {root}/{name}.log warn;
         events {{ worker_connections 9000; }}
         http {{
           access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; tcp_nodelay on;
           {temporary}
           limit_conn_zone $binary_remote_addr zone=addresses:1m;
           {clients}
           upstream backend {{ server {backend}; keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 600s; }}
           server {{ {listen} {locations} }}
         }}\n",
        temporary = temporary(&root, name),
    ));
    start(
        &stage.folder,
        name,
        1,
        Path::new("nginx"),
        &["-p", &root, "-c", &stage.path(&format!("{name}.conf")), "-e", "stderr"],
    )
}

fn start_haproxy(setup: Setup, stage: &Stage, port: &Port, name: &str) -> Result<Process> {
    let root = stage.folder.path().display().to_string();
    let backend = match setup {
        Setup::Unix => format!("unix@{root}/backend.sock"),
        Setup::WebSocket => stage.web_socket.to_string(),
        _ => stage.backend.address().to_string(),
    };
    let bind = match setup {
        Setup::Tls => format!("bind {} backlog 4096 ssl crt {root}/both.pem ssl-min-ver TLSv1.3", port.address()),
        _ => format!("bind {} backlog 4096", port.address()),
    };
    let work = match setup {
        Setup::Equal => "option forwardfor
             http-request set-header X-Forwarded-Proto http
             http-request set-header X-Forwarded-Host %[req.hdr(host)]
             http-request set-header X-Forwarded-Port %[dst_port]
             unique-id-format %[uuid()]
             unique-id-header X-Request-Id
             http-request set-header Via \"1.1 haproxy\"
             http-response set-header Via \"1.1 haproxy\"
             http-response set-header X-Request-Id %[unique-id]
             stick-table type ip size 100k store conn_cur
             tcp-request connection track-sc0 src
             tcp-request connection reject if { sc0_conn_cur gt 10000 }
             http-request deny deny_status 413 if { req.hdr_val(content-length) gt 10485760 }"
            .to_owned(),
        Setup::Policies => {
            let keys: String = (0..KEYS).map(|number| format!("{} c{number}\n", case::key(number))).collect();
            stage.folder.write("keys.map", &keys);
            format!(
                "http-request set-var(txn.client) req.hdr({KEY_FIELD}),map_str({root}/keys.map)
             http-request deny deny_status 401 unless {{ var(txn.client) -m found }}
             stick-table type string len 16 size 10k expire 60s store http_req_rate(1s)
             http-request track-sc0 var(txn.client)
             http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 1000000 }}
             http-request del-header {KEY_FIELD}
             http-request set-header X-Tier gold
             http-request del-header X-Debug"
            )
        }
        _ => String::new(),
    };
    let choice = match setup {
        Setup::Routes => {
            let routes: String = (0..ROUTES).map(|route| format!("/r{route}/ backend\n")).collect();
            stage.folder.write("routes.map", &routes);
            format!("use_backend %[path,map_beg({root}/routes.map,none)]")
        }
        _ => "default_backend backend".to_owned(),
    };
    stage.folder.write(
        &format!("{name}.conf"),
        &format!(
            "global
             maxconn 9000
             nbthread 1
             tune.ssl.default-dh-param 2048
         defaults
             mode http
             timeout connect 5s
             timeout client 600s
             timeout server 600s
             timeout tunnel 600s
             option http-keep-alive
             http-reuse always
         frontend front
             {bind}
             {work}
             {choice}
         backend backend
             server one {backend} pool-max-conn -1
"
        ),
    );
    start(&stage.folder, name, 1, Path::new("haproxy"), &["-db", "-f", &stage.path(&format!("{name}.conf"))])
}

fn start_ringway(setup: Setup, stage: &Stage, port: &Port, name: &str) -> Result<Process> {
    let root = stage.folder.path().display().to_string();
    let binary = stage.ringway.as_deref().context("the gateway's binary")?;
    let target = match setup {
        Setup::Unix => format!("http://unix:{root}/backend.sock"),
        Setup::WebSocket => format!("http://{}", stage.web_socket),
        _ => format!("http://{}", stage.backend.address()),
    };
    let tls = match setup {
        Setup::Tls => {
            format!(
                ", tls: {{ minVersion: TLSv1.3, certificates: [{{ cert: '{root}/leaf.pem', key: '{root}/leaf.key' }}] }}"
            )
        }
        _ => String::new(),
    };
    let work = match setup {
        Setup::Equal => {
            "http: { requestId: { header: X-Request-Id }, transactionId: { header: '' } }
limits: { connectionsPerAddress: 10000, bodyBytes: 10485760 }"
        }
        _ => "http: { xForwarded: off, via: '', requestId: { header: '' }, transactionId: { header: '' } }",
    };
    let yaml = format!(
        "shards: 1
servers: [{{ id: http, listen: '{}', backlog: 4096{tls} }}]
apis: ['{root}/{name}-apis']
admin: {{ enabled: false }}
timeouts: {{ keepAlive: 600000 }}
logging: {{ level: warn, access: {{ enabled: false }} }}
{work}
",
        port.address()
    );
    stage.folder.write(&format!("{name}.yaml"), &yaml);
    let paths: Vec<String> = match setup {
        Setup::Routes => (0..ROUTES).map(|route| format!("/r{route}/")).collect(),
        _ => vec!["/".to_owned()],
    };
    let mut definition = api(&paths, &target);
    if setup == Setup::Policies {
        with_policies(&mut definition);
        stage.folder.write(&format!("{name}-apis/applications.json"), &applications());
    }
    stage.folder.write(&format!("{name}-apis/load.json"), &definition.to_string());
    start(&stage.folder, name, 1, binary, &["run", "--config", &stage.path(&format!("{name}.yaml"))])
}

/// One API with all the paths, because an API has connections of its own: 10,000 of them would measure pools instead of routes.
fn api(paths: &[String], target: &str) -> serde_json::Value {
    let paths: Vec<serde_json::Value> = paths.iter().map(|path| serde_json::json!({ "path": path })).collect();
    serde_json::json!({
        "definitionVersion": "V4", "type": "PROXY", "name": "load", "apiVersion": "1",
        "listeners": [{ "type": "HTTP", "paths": paths, "entrypoints": [{ "type": "http-proxy" }] }],
        "endpointGroups": [{
            "name": "backend", "type": "http-proxy",
            "sharedConfiguration": { "http": {
                "keepAliveTimeout": 600_000, "idleTimeout": 600_000, "maxConcurrentConnections": 9_000
            } },
            "endpoints": [{
                "name": "one", "type": "http-proxy", "inheritConfiguration": true, "configuration": { "target": target }
            }]
        }],
        "plans": [{ "name": "free", "security": { "type": "KEY_LESS" }, "status": "PUBLISHED", "flows": [] }]
    })
}

/// The plan and the steps of [`Setup::Policies`].
fn with_policies(api: &mut serde_json::Value) {
    let limit = serde_json::json!({ "rate": { "limit": 1_000_000, "periodTime": 1, "periodTimeUnit": "SECONDS" } });
    let edit =
        serde_json::json!({ "addHeaders": [{ "name": "X-Tier", "value": "gold" }], "removeHeaders": ["X-Debug"] });
    api["plans"] =
        serde_json::json!([{ "name": "keys", "security": { "type": "API_KEY" }, "status": "PUBLISHED", "flows": [] }]);
    api["flows"] = serde_json::json!([{
        "name": "all", "enabled": true, "selectors": [{ "type": "HTTP", "path": "/", "pathOperator": "STARTS_WITH" }],
        "request": [
            { "name": "limit", "enabled": true, "policy": "rate-limit", "configuration": limit },
            { "name": "edit", "enabled": true, "policy": "transform-headers", "configuration": edit }
        ]
    }]);
}

/// Those who are subscribed in [`Setup::Policies`].
fn applications() -> String {
    let subscribed = |number: usize| {
        let subscription =
            serde_json::json!({ "api": "load", "plan": "keys", "apiKeys": [{ "key": case::key(number) }] });
        serde_json::json!({ "id": format!("c{number}"), "subscriptions": [subscription] })
    };
    serde_json::json!({ "applications": (0..KEYS).map(subscribed).collect::<Vec<_>>() }).to_string()
}
