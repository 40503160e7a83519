//! Dictionaries of the snapshot in force, and the shard that asks for the entries of one that is dynamic.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use ringway_config::Snapshot;
use ringway_config::api::{self, DictionaryType, HttpProvider};
use ringway_contract::dictionaries::{Dictionary, Entries, entries};
use ringway_contract::kind::{Registry, Reshape};
use ringway_contract::{FetchRequest, FetchResponse, Services};
use ringway_net::{pause, spawn, until_closing};

/// How long a provider has to answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// A dictionary. One that a reload leaves as it is stays the same value, and keeps what its provider said.
pub struct DictionaryShared {
    definition: Arc<api::Dictionary>,
    entries: Arc<Dictionary>,
    /// Whether a shard asks its provider.
    asked: AtomicBool,
}

/// The dictionaries of `snapshot`; those of `before` that are unchanged are taken over.
pub fn share(snapshot: &Snapshot, before: &[Arc<DictionaryShared>]) -> Vec<Arc<DictionaryShared>> {
    let known = |wanted: &api::Dictionary| {
        let same = |known: &&Arc<DictionaryShared>| {
            known.definition.id == wanted.id && known.definition.fingerprint == wanted.fingerprint
        };
        before.iter().find(same).cloned()
    };
    let fresh = |definition: &Arc<api::Dictionary>| {
        let own: Entries = definition.properties.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let entries = Arc::new(Dictionary::new(own));
        Arc::new(DictionaryShared { definition: definition.clone(), entries, asked: AtomicBool::new(false) })
    };
    snapshot.dictionaries.iter().map(|definition| known(definition).unwrap_or_else(|| fresh(definition))).collect()
}

impl DictionaryShared {
    /// Its name in expressions, and what all shards read.
    pub fn entry(&self) -> (String, Arc<Dictionary>) {
        (self.definition.id.clone(), self.entries.clone())
    }
}

/// Begins to ask the providers that fall to this shard, and that no shard asks.
pub fn begin(dictionaries: &[Weak<DictionaryShared>], registry: Registry, services: &Services, shard: usize) {
    for shared in dictionaries.iter().filter_map(Weak::upgrade) {
        let definition = &shared.definition;
        let falls_here = definition.fingerprint % services.shards.max(1) as u64 == shard as u64;
        let (Some(provider), Some(trigger)) = (&definition.provider, definition.trigger) else { continue };
        let is_asked = definition.kind == DictionaryType::Dynamic && definition.state.is_started();
        if !falls_here || !is_asked || shared.asked.swap(true, Ordering::Relaxed) {
            continue;
        }
        match Asking::new(&provider.configuration, registry) {
            Ok(asking) => {
                let every = Duration::from_secs(trigger.seconds());
                spawn(ask(Arc::downgrade(&shared), asking, every, services.clone()));
            }
            // It was checked; what is wrong all the same is no reason to serve nothing.
            Err(reason) => tracing::error!(dictionary = definition.id, reason, "the provider cannot be asked"),
        }
    }
}

/// How a provider is asked, and what is made of its answer.
struct Asking {
    request: FetchRequest,
    reshape: Option<Reshape>,
}

impl Asking {
    fn new(provider: &HttpProvider, registry: Registry) -> Result<Self, String> {
        let method = provider.method.parse().map_err(|_| format!("method `{}` is not one", provider.method))?;
        let request = FetchRequest {
            method,
            headers: provider.headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect(),
            body: Bytes::from(provider.body.clone()),
            timeout: ANSWERED_WITHIN,
            ..FetchRequest::get(&*provider.url)
        };
        let reshape = match (provider.specification.trim(), registry.reshape) {
            ("", _) => None,
            (_, None) => return Err("nothing here knows specifications".into()),
            (_, Some(known)) => Some((known.build)(&provider.specification).map_err(|refusal| refusal.to_string())?),
        };
        Ok(Self { request, reshape })
    }

    fn read(&self, answer: &FetchResponse) -> Result<Entries, String> {
        if !answer.status.is_success() {
            return Err(format!("status {}", answer.status.as_u16()));
        }
        match &self.reshape {
            None => entries(&answer.body),
            Some(reshape) => {
                let made = reshape(&answer.body).ok_or("the specification makes nothing of the answer")?;
                entries(made.as_bytes())
            }
        }
    }
}

/// Asks for as long as the dictionary is in force. What cannot be had leaves the entries as they are.
async fn ask(shared: Weak<DictionaryShared>, asking: Asking, every: Duration, services: Services) {
    let Some(fetch) = services.fetch.clone() else { return };
    let mut failing = false;
    loop {
        // The dictionary is not held while the provider thinks: a reload must be able to drop it.
        let Some(outcome) = until_closing(Rc::clone(&fetch).fetch(asking.request.clone())).await else { return };
        let Some(alive) = shared.upgrade() else { return };
        let id = &alive.definition.id;
        match outcome.map_err(|fault| fault.to_string()).and_then(|answer| asking.read(&answer)) {
            Ok(entries) => {
                if std::mem::take(&mut failing) {
                    tracing::info!(dictionary = id, "the provider answers again");
                }
                alive.entries.replace(entries);
            }
            Err(reason) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(dictionary = id, reason, "the provider cannot be asked: its last entries stay");
                }
            }
        }
        drop(alive);
        if !pause(every).await || shared.strong_count() == 0 {
            return;
        }
    }
}
