//! Brokers that want to know who is there, and such that encrypt.

use ringway_tests::{Gateway, Kafka};
use serde_json::{Value, json};

use crate::{Events, api, entrypoints, key, numbers, post, topic};

fn gateway(servers: &str, name: &str, security: Value) -> Gateway {
    let mut shared = topic(name);
    shared["security"] = security;
    Gateway::serving(&[api(servers, entrypoints("AUTO"), shared)])
}

fn sasl(mechanism: &str, line: &str) -> Value {
    json!({ "protocol": "SASL_PLAINTEXT", "sasl": { "saslMechanism": mechanism, "saslJaasConfig": line } })
}

/// An unsecured token (RFC 7515 appendix A.5), as brokers take it whose OAUTHBEARER is left as it comes.
const TOKEN: &str = concat!(
    "eyJhbGciOiJub25lIn0", // {"alg":"none"}
    ".",
    "eyJzdWIiOiJhbGljZSIsImlhdCI6MTcwMDAwMDAwMCwiZXhwIjo0MTAyNDQ0ODAwfQ", // sub alice, iat 2023, exp 2100
    "."
);

#[test]
fn every_mechanism_gets_in_and_messages_go_both_ways() {
    let kafka = Kafka::shared();
    let user = "x.LoginModule required username=\"alice\" password=\"secret\";";
    let token = format!("x.LoginModule required access_token=\"{TOKEN}\";");
    for (mechanism, line) in
        [("PLAIN", user), ("SCRAM-SHA-256", user), ("SCRAM-SHA-512", user), ("OAUTHBEARER", token.as_str())]
    {
        let name = kafka.topic("sasl", 1);
        let gateway = gateway(&kafka.sasl_servers(), &name, sasl(mechanism, line));
        let mut stream =
            Events::open(gateway.http(), &name, None).unwrap_or_else(|error| panic!("{mechanism}: {error:?}"));
        assert_eq!(post(&gateway, "", "one").map(|(status, _)| status), Some(202), "{mechanism}");
        assert_eq!(stream.next().map(|(_, data)| data).as_deref(), Some("one"), "{mechanism}");
    }
}

#[test]
fn wrong_credentials_are_told_with_their_key_and_soon() {
    let kafka = Kafka::shared();
    let name = kafka.topic("sasl-wrong", 1);
    let refused = (502, "FAILURE_ENDPOINT_CONFIGURATION_INVALID".to_owned());
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let gateway = gateway(&kafka.sasl_servers(), &name, sasl(mechanism, "username=alice password=wrong;"));
        let stream = Events::open(gateway.http(), &name, None).err().unwrap();
        assert_eq!(stream.0, 502, "{mechanism}: {stream:?}");
        assert_eq!(post(&gateway, "", "one").as_ref().map(key), Some(refused.clone()), "{mechanism}");
        // It goes on refusing, and the gateway goes on.
        assert_eq!(post(&gateway, "", "two").as_ref().map(key), Some(refused.clone()), "{mechanism}");
    }
    assert_eq!(kafka.records(&name).len(), 0);
}

#[test]
fn tls_with_the_brokers_authority_gets_in_and_without_it_does_not() {
    let kafka = Kafka::shared();
    let name = kafka.topic("tls", 1);
    let tls = |store: Value| json!({ "protocol": "SSL", "ssl": { "trustStore": store } });
    let trusted =
        gateway(&kafka.tls_servers(), &name, tls(json!({ "type": "PEM", "certificates": kafka.authority() })));
    let mut stream = Events::open(trusted.http(), &name, None).unwrap();
    for number in numbers(0..3) {
        assert_eq!(post(&trusted, "", &number).map(|(status, _)| status), Some(202));
        assert_eq!(stream.next().map(|(_, data)| data), Some(number));
    }
    let other = gateway(&kafka.tls_servers(), &name, tls(json!({ "type": "NONE" })));
    let refused = Events::open(other.http(), &name, None).err().unwrap();
    assert_eq!(refused.0, 502, "{refused:?}");
}
