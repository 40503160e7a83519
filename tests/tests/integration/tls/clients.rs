//! Clients that show certificates, good and bad ones.

use ringway_tests::{Authority, Backend, Gateway};

use super::{curl, start};

fn shown(by: &Authority, name: &str) -> String {
    format!("--cert {} --key {}", by.path(&format!("{name}.pem")), by.path(&format!("{name}.key")))
}

fn asking(authority: &Authority, mode: &str) -> (Backend, Gateway) {
    let authorities =
        if mode == "none" { String::new() } else { format!("      clientCa: '{}'\n", authority.path("ca.pem")) };
    start(authority, &format!("      clientAuth: {mode}\n{authorities}"))
}

#[test]
fn client_certificates_are_asked_for_and_judged_as_configured() {
    let authority = Authority::new();
    let stranger = Authority::new();
    authority.sign("client.test");
    stranger.sign("client.test");
    authority.sign_between("expired.test", "20200101000000Z", "20210101000000Z");
    authority.sign_between("early.test", "20980101000000Z", "20990101000000Z");
    authority.sign_for("server.test", "extendedKeyUsage=serverAuth");
    authority.self_sign("self.test");
    let cases = [
        ("a good one", shown(&authority, "client.test"), [true, true, true]),
        ("none", String::new(), [true, true, false]),
        ("a stranger's", shown(&stranger, "client.test"), [true, false, false]),
        ("an expired one", shown(&authority, "expired.test"), [true, false, false]),
        ("one that is not valid yet", shown(&authority, "early.test"), [true, false, false]),
        ("one for servers", shown(&authority, "server.test"), [true, false, false]),
        ("one signed by itself", shown(&authority, "self.test"), [true, false, false]),
    ];
    for (at, mode) in ["none", "request", "required"].into_iter().enumerate() {
        let (backend, gateway) = asking(&authority, mode);
        for (what, shown, served) in &cases {
            for version in ["--tlsv1.2 --tls-max 1.2", "--tlsv1.3"] {
                let before = backend.seen().len();
                let said = curl(&authority, &gateway, "one.test", &format!("{version} {shown}"));
                assert_eq!(said.code == 0, served[at], "{mode}, {what}, {version}: {said:?}");
                let asked = backend.seen().len() > before;
                assert_eq!(asked, served[at], "{mode}, {what}, {version}: whether the backend was asked");
            }
        }
    }
}
