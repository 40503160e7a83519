//! Guards of plans: what it costs to let a caller in, tokens among them that were seen before and tokens that were not.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::BytesMut;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use ringway_config::Node;
use ringway_contract::kind::{Services, Source};
use ringway_contract::subscriber::fingerprint;
use ringway_contract::{Admission, ApiInfo, Client, Exchange, Guard, Request, Subscriber, Subscribers};
use ringway_policies::GUARDS;
use ringway_wire::Limits;

/// Subscribers of the plan.
const SUBSCRIBERS: usize = 10_000;

/// The text of a key of the cases of guards.
fn key(name: &str) -> String {
    std::fs::read_to_string(format!("{}/../policies/tests/keys/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn pem(name: &str) -> Vec<u8> {
    STANDARD.decode(key(name).lines().filter(|line| !line.starts_with("-----")).collect::<String>()).unwrap()
}

fn guard(name: &str, configuration: &serde_json::Value) -> Rc<dyn Guard> {
    let node = Node::parse_json("bench", &configuration.to_string()).unwrap();
    let kind = GUARDS.iter().find(|kind| kind.name == name).unwrap();
    let source = Source { configuration: Some(&node), shared: None, place: "bench", resources: &[], groups: &[] };
    (kind.build)(source, &Services::default()).map_err(|refusal| refusal.to_string()).unwrap()
}

fn subscribers() -> Subscribers {
    let mut all = Subscribers::default();
    for number in 0..SUBSCRIBERS {
        let subscriber = Rc::new(Subscriber { id: number.to_string(), ends_ms: u64::MAX, ..Subscriber::default() });
        all.add_key(fingerprint(format!("key-{number}").as_bytes()), &subscriber, u64::MAX);
        all.add_client(&format!("client-{number}"), &subscriber);
    }
    all
}

fn request(field: &str) -> Request {
    let head = format!("GET /orders/17 HTTP/1.1\r\nHost: api.example.test\r\nAccept: */*\r\n{field}\r\n");
    let mut request = Request::default();
    request.head.parse(&mut BytesMut::from(&*head), &Limits::default()).unwrap();
    request
}

fn exchange(request: &Request, api: &Rc<ApiInfo>) -> Exchange {
    let client = Client { address: None, tls: false, certificate: None };
    Exchange::new(Box::new(request.clone()), api.clone(), Rc::default(), client)
}

/// A token of an access as authorization servers make them.
fn token(algorithm: &str) -> String {
    let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT","kid":"2027-01"}}"#);
    let payload = r#"{"iss":"https://id.example.test/realms/one","aud":["orders","account"],"azp":"client-77","sub":"5b1c9b5e-3f0f-4a2e-9b57-0c2c4a8c2f11","exp":4102444800,"iat":1700000000,"jti":"0f6b1c1e","scope":"openid orders:read orders:write","preferred_username":"ada","realm_access":{"roles":["user","clerk"]}}"#;
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let (random, message) = (SystemRandom::new(), signed.as_bytes());
    let signature = match algorithm {
        "RS256" => {
            let pair = RsaKeyPair::from_pkcs8(&pem("rsa.key")).unwrap();
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
            signature
        }
        "ES256" => {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pem("ec.key"), &random).unwrap();
            pair.sign(&random, message).unwrap().as_ref().to_vec()
        }
        "ES512" => {
            use p521::ecdsa::signature::Signer;
            use p521::ecdsa::{Signature, SigningKey};
            // ECPrivateKey (RFC 5915 section 3): version 1, then the number.
            let (der, marked) = (pem("ec521.key"), [2, 1, 1, 4, 66]);
            let from = der.windows(marked.len()).position(|window| window == marked).unwrap() + marked.len();
            let signature: Signature = SigningKey::from_slice(&der[from..from + 66]).unwrap().sign(message);
            signature.to_bytes().to_vec()
        }
        _ => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pem("ed.key")).unwrap().sign(message).as_ref().to_vec(),
    };
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn admits(guard: &dyn Guard, exchange: &mut Exchange, subscribers: &Subscribers) {
    assert!(matches!(guard.admit(exchange, subscribers), Admission::Admit(_)));
}

fn guards(criterion: &mut Criterion) {
    let (subscribers, api) = (subscribers(), Rc::new(ApiInfo::default()));
    let batch = BatchSize::NumIterations(64);

    let mut group = criterion.benchmark_group("guards");
    for (name, field) in [("key-less", ""), ("api-key", "X-Gravitee-Api-Key: key-77\r\n")] {
        let (guard, request) = (guard(name, &serde_json::json!({})), request(field));
        group.bench_function(name, |bencher| {
            let measured = |exchange: &mut Exchange| admits(&*guard, exchange, &subscribers);
            bencher.iter_batched_ref(|| exchange(&request, &api), measured, batch);
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("jwt");
    let algorithms = [
        ("RS256", "RSA_RS256", "rsa.pub"),
        ("ES256", "EC_ES256", "ec.pub"),
        ("ES512", "EC_ES512", "ec521.pub"),
        ("EdDSA", "ED_EDDSA", "ed.pub"),
    ];
    for (algorithm, signature, file) in algorithms {
        let configuration = serde_json::json!({ "signature": signature, "resolverParameter": key(file) });
        let request = request(&format!("Authorization: Bearer {}\r\n", token(algorithm)));
        // Each token is the first that this plan sees.
        group.bench_function(format!("{algorithm}, seen for the first time"), |bencher| {
            bencher.iter_batched_ref(
                || (guard("jwt", &configuration), exchange(&request, &api)),
                |(guard, exchange)| admits(&**guard, exchange, &subscribers),
                batch,
            );
        });
        let seen = guard("jwt", &configuration);
        group.bench_function(format!("{algorithm}, seen before"), |bencher| {
            bencher.iter_batched_ref(
                || exchange(&request, &api),
                |exchange| admits(&*seen, exchange, &subscribers),
                batch,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    // Making an exchange takes longer than looking up a key, so a second of measuring would be many seconds.
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    targets = guards
}
criterion_main!(benches);
