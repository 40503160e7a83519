//! Who is subscribed to a plan, found by what a caller shows.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::digest::{SHA256, digest};

/// SHA-256 of a secret, or of a certificate's DER. Only this is kept of a key: it is never stored, logged or compared in clear.
pub type Fingerprint = [u8; 32];

/// The fingerprint of a secret.
pub fn fingerprint(secret: &[u8]) -> Fingerprint {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest(&SHA256, secret).as_ref());
    fingerprint
}

/// A consumer of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscriber {
    /// Id of the subscription.
    pub id: String,
    /// Id of the application.
    pub application: String,
    /// Facts for expressions.
    pub metadata: BTreeMap<String, String>,
    /// When it begins, in milliseconds since 1970.
    pub starts_ms: u64,
    /// When it ends; [`u64::MAX`]: never.
    pub ends_ms: u64,
}

impl Subscriber {
    /// Whether the subscription holds at this moment, in milliseconds since 1970.
    pub fn holds(&self, now_ms: u64) -> bool {
        (self.starts_ms..self.ends_ms).contains(&now_ms)
    }
}

/// What a caller may show, and until when.
#[derive(Clone, Debug)]
struct Credential {
    subscriber: Rc<Subscriber>,
    /// Milliseconds since 1970; [`u64::MAX`]: for ever.
    ends_ms: u64,
}

/// The subscribers of one plan. Every lookup is one hash, whatever their number.
#[derive(Debug, Default)]
pub struct Subscribers {
    keys: HashMap<Fingerprint, Credential>,
    clients: HashMap<String, Credential>,
    certificates: HashMap<Fingerprint, Credential>,
}

impl Subscribers {
    /// Adds an API key by its fingerprint; it is good until `ends_ms`, in milliseconds since 1970.
    pub fn add_key(&mut self, key: Fingerprint, subscriber: &Rc<Subscriber>, ends_ms: u64) {
        self.keys.insert(key, Credential { subscriber: subscriber.clone(), ends_ms });
    }

    /// Adds an application's client id, as tokens name it.
    pub fn add_client(&mut self, client: &str, subscriber: &Rc<Subscriber>) {
        let credential = Credential { subscriber: subscriber.clone(), ends_ms: u64::MAX };
        self.clients.insert(client.to_owned(), credential);
    }

    /// Adds a client certificate by the fingerprint of its DER; it is good until `ends_ms`, in milliseconds since 1970.
    pub fn add_certificate(&mut self, certificate: Fingerprint, subscriber: &Rc<Subscriber>, ends_ms: u64) {
        self.certificates.insert(certificate, Credential { subscriber: subscriber.clone(), ends_ms });
    }

    /// Who holds this API key now.
    pub fn by_key(&self, key: &[u8]) -> Option<&Rc<Subscriber>> {
        valid(self.keys.get(&fingerprint(key))?)
    }

    /// Whose client id it is.
    pub fn by_client(&self, client: &str) -> Option<&Rc<Subscriber>> {
        valid(self.clients.get(client)?)
    }

    /// Whose certificate it is, by its DER.
    pub fn by_certificate(&self, der: &[u8]) -> Option<&Rc<Subscriber>> {
        valid(self.certificates.get(&fingerprint(der))?)
    }
}

fn valid(credential: &Credential) -> Option<&Rc<Subscriber>> {
    let now = now_ms();
    (now < credential.ends_ms && credential.subscriber.holds(now)).then_some(&credential.subscriber)
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscriber(starts_ms: u64, ends_ms: u64) -> Rc<Subscriber> {
        Rc::new(Subscriber { id: "s".into(), application: "a".into(), starts_ms, ends_ms, ..Subscriber::default() })
    }

    #[test]
    fn a_credential_holds_as_long_as_its_subscription_and_itself() {
        let mut subscribers = Subscribers::default();
        let always = subscriber(0, u64::MAX);
        subscribers.add_key(fingerprint(b"good"), &always, u64::MAX);
        subscribers.add_key(fingerprint(b"expired"), &always, 1);
        subscribers.add_key(fingerprint(b"over"), &subscriber(0, 1), u64::MAX);
        subscribers.add_key(fingerprint(b"early"), &subscriber(u64::MAX - 1, u64::MAX), u64::MAX);
        subscribers.add_client("app", &always);
        assert!(subscribers.by_key(b"good").is_some());
        for key in ["expired", "over", "early", "", "goo", "good "] {
            assert!(subscribers.by_key(key.as_bytes()).is_none(), "{key}");
        }
        assert!(subscribers.by_client("app").is_some());
        assert!(subscribers.by_client("App").is_none());
        assert!(subscribers.by_certificate(b"good").is_none());
    }
}
