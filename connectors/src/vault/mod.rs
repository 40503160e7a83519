//! Secrets of a HashiCorp Vault or an OpenBao: what the control side asks when it reads settings and definitions, never a shard.

mod http;

use http::{Asked, Client};
use ringway_contract::{AppRole, KvEngine, Secret, SecretStore, SecretTable, Vault};
use serde_json::{Value, json};

/// Makes a store of which nothing was asked yet.
pub fn store(vault: &Vault) -> Box<dyn SecretStore> {
    Box::new(Store { vault: vault.clone(), client: None, failed: None })
}

/// A store for the time of one load: a token that was got by a login is used for that long, and need not be renewed.
struct Store {
    vault: Vault,
    /// Whom to ask, and with which token.
    client: Option<(Client, Secret)>,
    /// Why nothing more is asked: a store that is away costs one timeout, however many secrets it has.
    failed: Option<String>,
}

impl SecretStore for Store {
    fn read(&mut self, path: &str) -> Result<Option<SecretTable>, String> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let read = self.ask(path);
        if let Err(Refusal::Store(reason)) = &read {
            self.failed = Some(reason.clone());
        }
        read.map_err(|refusal| match refusal {
            Refusal::Store(reason) | Refusal::Path(reason) => reason,
        })
    }
}

/// Why a secret cannot be told.
enum Refusal {
    /// No other can, either.
    Store(String),
    /// This one cannot.
    Path(String),
}

impl Store {
    fn ask(&mut self, path: &str) -> Result<Option<SecretTable>, Refusal> {
        let (engine, rest) =
            path.split_once('/').filter(|(engine, rest)| !engine.is_empty() && !rest.is_empty()).ok_or_else(|| {
                Refusal::Path("the path begins with the place of an engine, as in `secret/orders:password`".to_owned())
            })?;
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Refusal::Path("a part of the path is none".to_owned()));
        }
        let target = match self.vault.kv_engine {
            KvEngine::V1 => format!("{engine}/{rest}"),
            KvEngine::V2 => format!("{engine}/data/{rest}"),
        };
        let (client, token) = match &mut self.client {
            Some(known) => known,
            none => none.insert(open(&self.vault).map_err(Refusal::Store)?),
        };
        let asked = client.ask("GET", &target, Some(token), None).map_err(Refusal::Store)?;
        match asked.status {
            200 => {
                let data = match self.vault.kv_engine {
                    KvEngine::V1 => asked.body.pointer("/data"),
                    KvEngine::V2 => asked.body.pointer("/data/data"),
                };
                let table = data
                    .and_then(Value::as_object)
                    .map(|entries| entries.iter().map(|(key, value)| (key.clone(), text(value))).collect());
                let engine = if self.vault.kv_engine == KvEngine::V1 { "V1" } else { "V2" };
                table.map(Some).ok_or_else(|| {
                    Refusal::Path(format!("{} answers nothing that a key/value engine {engine} does", client.origin()))
                })
            }
            404 => Ok(None),
            403 => Err(Refusal::Path(format!("{} forbids it (403)", client.origin()))),
            _ => Err(Refusal::Store(unexpected(client, &asked))),
        }
    }
}

/// A client, and the token that it asks with.
fn open(vault: &Vault) -> Result<(Client, Secret), String> {
    let client = Client::new(vault)?;
    let token = match (&vault.token, &vault.app_role) {
        (Some(token), _) => token.clone(),
        (None, Some(role)) => login(&client, role)?,
        (None, None) => return Err("there is no token".to_owned()),
    };
    Ok((client, token))
}

fn login(client: &Client, role: &AppRole) -> Result<Secret, String> {
    let mut body = json!({ "role_id": role.role_id.expose() });
    if let (Some(body), Some(secret)) = (body.as_object_mut(), &role.secret_id) {
        body.insert("secret_id".to_owned(), secret.expose().into());
    }
    let asked = client.ask("POST", &format!("auth/{}/login", role.path), None, Some(&body))?;
    let token = asked.body.pointer("/auth/client_token").and_then(Value::as_str).map(Secret::from);
    match (asked.status, token) {
        (200, Some(token)) => Ok(token),
        (400 | 403, _) => Err(format!("{} refuses the login ({})", client.origin(), asked.status)),
        _ => Err(unexpected(client, &asked)),
    }
}

fn unexpected(client: &Client, asked: &Asked) -> String {
    let reason = match asked.status {
        503 => ": it is sealed",
        _ => "",
    };
    format!("{} answers {}{reason}", client.origin(), asked.status)
}

fn text(value: &Value) -> Option<Secret> {
    match value {
        Value::String(text) => Some(Secret::from(text.as_str())),
        Value::Number(_) | Value::Bool(_) => Some(Secret::from(value.to_string().as_str())),
        _ => None,
    }
}
