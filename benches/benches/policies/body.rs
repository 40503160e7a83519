//! Bodies of a length, each as long as it takes to reach it.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

use crate::table;

fn grown(begin: &str, end: &str, length: usize, mut item: impl FnMut(&mut String, usize)) -> String {
    let mut text = begin.to_owned();
    let mut number = 0;
    while text.len() + end.len() < length {
        item(&mut text, number);
        number += 1;
    }
    text + end
}

/// A list of orders.
pub fn json(length: usize) -> String {
    grown("[", "]", length, |text, id| {
        let comma = if id == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}{{"id":{id},"sku":"A-{id:06}","price":{}.95,"note":"two \"quoted\" words","paid":true}}"#,
            id % 90
        );
    })
}

/// The same in XML.
pub fn xml(length: usize) -> String {
    grown("<orders>", "</orders>", length, |text, id| {
        let _ = write!(text, "<order id=\"{id}\"><sku>A-{id:06}</sku><price>{}.95</price></order>", id % 90);
    })
}

/// Prose.
pub fn text(length: usize) -> String {
    grown("", "", length, |text, number| {
        let _ = writeln!(text, "line {number}: see http://internal.test/orders/{number}");
    })
}

/// A query of many fields.
pub fn graphql(length: usize) -> String {
    grown(r#"{"query": "{ "#, r#"}"}"#, length, |text, number| {
        let _ = write!(text, "o{number}: order(id: {number}) {{ id sku price }} ");
    })
}

/// A JSON body that is signed, with the certificate of the key.
pub fn signed(length: usize) -> String {
    let x5c = STANDARD.encode(table::pem("rsa.crt"));
    let header = format!(r#"{{"alg":"RS256","typ":"JOSE+JSON","cty":"json","x5c":["{x5c}"]}}"#);
    let payload = format!(r#"{{"orders":{}}}"#, json(length * 3 / 4));
    let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let pair = RsaKeyPair::from_pkcs8(&table::pem("rsa.key")).unwrap();
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature).unwrap();
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}
